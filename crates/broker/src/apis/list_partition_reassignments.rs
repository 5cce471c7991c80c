//! ListPartitionReassignments: none ever, on one node. Kafka's topic tool asks.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

pub(crate) struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;

    const ACCESS: Access<ListPartitionReassignmentsRequest> = Access::One {
        operation: Operation::Describe,
        of: |_| Resource::CLUSTER,
        denied: |_| ListPartitionReassignmentsResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..ListPartitionReassignmentsResponse::default()
        },
    };

    async fn handle(_: Context, _: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse::default()
    }
}
