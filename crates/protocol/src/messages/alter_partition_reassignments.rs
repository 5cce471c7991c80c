//! AlterPartitionReassignments: other replicas for partitions.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    AlterPartitionReassignments = 45, versions 0..=1, flexible 0..;

    request AlterPartitionReassignmentsRequest {
        timeout_ms: i32 = 60000,
        allow_replication_factor_change: bool [1..] = true,
        topics: Vec<ReassignableTopic>,
    }

    response AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        allow_replication_factor_change: bool [1..] = true,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        responses: Vec<ReassignableTopicResponse>,
    }

    struct ReassignableTopic {
        name: String,
        partitions: Vec<ReassignablePartition>,
    }

    struct ReassignablePartition {
        partition_index: i32,
        replicas: Option<Vec<i32>> [0.., null 0..],
    }

    struct ReassignableTopicResponse {
        name: String,
        partitions: Vec<ReassignablePartitionResponse>,
    }

    struct ReassignablePartitionResponse {
        partition_index: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
    }
}
