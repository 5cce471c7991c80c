//! ListPartitionReassignments: none ever, on one node. Kafka's topic tool asks.

use millstream_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::{Api, Context};

pub(crate) struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;

    async fn handle(_: Context, _: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
        ListPartitionReassignmentsResponse::default()
    }
}
