//! CreateTopics: make topics.

use uuid::Uuid;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    CreateTopics = 19, versions 2..=7, flexible 5..;

    request CreateTopicsRequest {
        topics: Vec<CreatableTopic>,
        timeout_ms: i32 = 60000,
        validate_only: bool,
    }

    response CreateTopicsResponse {
        throttle_time_ms: i32,
        topics: Vec<CreatableTopicResult>,
    }

    struct CreatableTopic {
        name: String,
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreatableReplicaAssignment>,
        configs: Vec<CreatableTopicConfig>,
    }

    struct CreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    struct CreatableTopicConfig {
        name: String,
        value: Option<String> [0.., null 0..],
    }

    struct CreatableTopicResult {
        name: String,
        topic_id: Uuid [7..],
        error_code: ErrorCode,
        error_message: Option<String> [1.., null 0..],
        topic_config_error_code: i16 [5.., tag 0],
        num_partitions: i32 [5..] = -1,
        replication_factor: i16 [5..] = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5.., null 5..],
    }

    struct CreatableTopicConfigs {
        name: String [5..],
        value: Option<String> [5.., null 5..],
        read_only: bool [5..],
        config_source: i8 [5..] = -1,
        is_sensitive: bool [5..],
    }
}
