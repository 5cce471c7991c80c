//! ElectLeaders: the only replica of a partition leads already.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::elect_leaders::{PartitionResult, ReplicaElectionResult};
use millstream_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

pub(crate) struct ElectLeaders;

impl Api for ElectLeaders {
    type Request = ElectLeadersRequest;

    const ACCESS: Access<ElectLeadersRequest> = Access::One {
        operation: Operation::Alter,
        of: |_| Resource::CLUSTER,
        denied: |request| ElectLeadersResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..respond(request, |_, _| (ErrorCode::ClusterAuthorizationFailed, None))
        },
    };

    /// Asked for all partitions, a broker names those for which it did something: none.
    async fn handle(context: Context, request: ElectLeadersRequest) -> ElectLeadersResponse {
        respond(request, |topic, partition| match context.has_partition(topic, partition) {
            true => (ErrorCode::ElectionNotNeeded, Some("the partition's only replica leads")),
            false => (ErrorCode::UnknownTopicOrPartition, Some("there is no such partition")),
        })
    }
}

fn respond(
    request: ElectLeadersRequest,
    answer: impl Fn(&str, i32) -> (ErrorCode, Option<&'static str>),
) -> ElectLeadersResponse {
    let asked = request.topic_partitions.into_iter().flatten();
    let results = asked.map(|asked| {
        let partitions = asked.partitions.into_iter().map(|partition_id| {
            let (error_code, words) = answer(&asked.topic, partition_id);
            PartitionResult { partition_id, error_code, error_message: words.map(str::to_string) }
        });
        let partition_result = partitions.collect();
        ReplicaElectionResult { topic: asked.topic, partition_result }
    });
    ElectLeadersResponse { replica_election_results: results.collect(), ..ElectLeadersResponse::default() }
}
