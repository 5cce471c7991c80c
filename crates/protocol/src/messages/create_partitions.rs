//! CreatePartitions: more partitions for a topic.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    CreatePartitions = 37, versions 0..=3, flexible 2..;

    request CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    response CreatePartitionsResponse {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsTopicResult>,
    }

    struct CreatePartitionsTopic {
        name: String,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>> [0.., null 0..],
    }

    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }

    struct CreatePartitionsTopicResult {
        name: String,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
    }
}
