//! ElectLeaders: preferred or unclean leaders for partitions.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    ElectLeaders = 43, versions 0..=2, flexible 2..;

    request ElectLeadersRequest {
        election_type: i8 [1..],
        topic_partitions: Option<Vec<TopicPartitions>> [0.., null 0..],
        timeout_ms: i32 = 60000,
    }

    response ElectLeadersResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode [1..],
        replica_election_results: Vec<ReplicaElectionResult>,
    }

    struct TopicPartitions {
        topic: String,
        partitions: Vec<i32>,
    }

    struct ReplicaElectionResult {
        topic: String,
        partition_result: Vec<PartitionResult>,
    }

    struct PartitionResult {
        partition_id: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
    }
}
