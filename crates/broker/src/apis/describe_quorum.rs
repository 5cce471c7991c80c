//! DescribeQuorum: the only node keeps the metadata log. Kafka's own name for it is what is asked for.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_quorum::{Listener, Node, PartitionData, ReplicaState, TopicData};
use millstream_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};

use super::{Access, Api, Context, LEADER_EPOCH};
use crate::security::acl::{Operation, Resource};

/// Kafka's metadata log.
const CLUSTER_METADATA: &str = "__cluster_metadata";

pub(crate) struct DescribeQuorum;

impl Api for DescribeQuorum {
    type Request = DescribeQuorumRequest;

    const ACCESS: Access<DescribeQuorumRequest> = Access::One {
        operation: Operation::Describe,
        of: |_| Resource::CLUSTER,
        denied: |_| DescribeQuorumResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..DescribeQuorumResponse::default()
        },
    };

    async fn handle(context: Context, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
        let is_metadata = match &request.topics[..] {
            [topic] => topic.topic_name == CLUSTER_METADATA && topic.partitions.len() == 1,
            _ => false,
        };
        if !is_metadata {
            return DescribeQuorumResponse {
                error_code: ErrorCode::InvalidRequest,
                ..DescribeQuorumResponse::default()
            };
        }
        let node_id = context.broker.config.node_id;
        let (host, port) = context.address();
        let end = context.broker.topics.metadata_end();
        let now_ms = context.broker.config.clock.now_ms();
        let partition = PartitionData {
            leader_id: node_id,
            leader_epoch: LEADER_EPOCH,
            high_watermark: end,
            current_voters: vec![ReplicaState {
                replica_id: node_id,
                log_end_offset: end,
                last_fetch_timestamp: now_ms,
                last_caught_up_timestamp: now_ms,
                ..ReplicaState::default()
            }],
            ..PartitionData::default()
        };
        let listener = Listener { name: context.listener.name.clone(), host, port };
        DescribeQuorumResponse {
            topics: vec![TopicData { topic_name: CLUSTER_METADATA.to_string(), partitions: vec![partition] }],
            nodes: vec![Node { node_id, listeners: vec![listener] }],
            ..DescribeQuorumResponse::default()
        }
    }
}
