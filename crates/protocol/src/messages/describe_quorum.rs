//! DescribeQuorum: who keeps the metadata log.

use uuid::Uuid;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeQuorum = 55, versions 0..=2, flexible 0..;

    request DescribeQuorumRequest {
        topics: Vec<DescribeQuorumTopic>,
    }

    response DescribeQuorumResponse {
        error_code: ErrorCode,
        error_message: Option<String> [2.., null 2..],
        topics: Vec<TopicData>,
        nodes: Vec<Node> [2..],
    }

    struct DescribeQuorumTopic {
        topic_name: String,
        partitions: Vec<DescribeQuorumPartition>,
    }

    struct DescribeQuorumPartition {
        partition_index: i32,
    }

    struct TopicData {
        topic_name: String,
        partitions: Vec<PartitionData>,
    }

    struct PartitionData {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String> [2.., null 2..],
        leader_id: i32,
        leader_epoch: i32,
        high_watermark: i64,
        current_voters: Vec<ReplicaState>,
        observers: Vec<ReplicaState>,
    }

    struct ReplicaState {
        replica_id: i32,
        replica_directory_id: Uuid [2..],
        log_end_offset: i64,
        last_fetch_timestamp: i64 [1..] = -1,
        last_caught_up_timestamp: i64 [1..] = -1,
    }

    struct Node {
        node_id: i32 [2..],
        listeners: Vec<Listener>,
    }

    struct Listener {
        name: String [2..],
        host: String [2..],
        port: u16 [2..],
    }
}
