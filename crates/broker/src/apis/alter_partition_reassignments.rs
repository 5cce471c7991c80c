//! AlterPartitionReassignments: a partition may be put where it is, on the only node.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::alter_partition_reassignments::{
    ReassignablePartition, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use millstream_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

pub(crate) struct AlterPartitionReassignments;

impl Api for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;

    const ACCESS: Access<AlterPartitionReassignmentsRequest> = Access::One {
        operation: Operation::Alter,
        of: |_| Resource::CLUSTER,
        denied: |request| AlterPartitionReassignmentsResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..respond(request, |_, one| ReassignablePartitionResponse {
                partition_index: one.partition_index,
                error_code: ErrorCode::ClusterAuthorizationFailed,
                ..ReassignablePartitionResponse::default()
            })
        },
    };

    async fn handle(
        context: Context,
        request: AlterPartitionReassignmentsRequest,
    ) -> AlterPartitionReassignmentsResponse {
        respond(request, |topic, one| answer(&context, topic, one))
    }
}

fn respond(
    request: AlterPartitionReassignmentsRequest,
    answer: impl Fn(&str, ReassignablePartition) -> ReassignablePartitionResponse,
) -> AlterPartitionReassignmentsResponse {
    let responses = request.topics.into_iter().map(|topic| ReassignableTopicResponse {
        partitions: topic.partitions.into_iter().map(|one| answer(&topic.name, one)).collect(),
        name: topic.name,
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: responses.collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

fn answer(context: &Context, topic: &str, asked: ReassignablePartition) -> ReassignablePartitionResponse {
    let node_id = context.broker.config.node_id;
    let (error_code, words) = match asked.replicas {
        _ if !context.has_partition(topic, asked.partition_index) => {
            (ErrorCode::UnknownTopicOrPartition, Some("there is no such partition".to_string()))
        }
        None => (ErrorCode::NoReassignmentInProgress, Some("nothing is being moved".to_string())),
        Some(replicas) if replicas == [node_id] => (ErrorCode::None, None),
        Some(_) => {
            let words = format!("the only node is {node_id}: a partition has the replicas [{node_id}]");
            (ErrorCode::InvalidReplicaAssignment, Some(words))
        }
    };
    ReassignablePartitionResponse { partition_index: asked.partition_index, error_code, error_message: words }
}
