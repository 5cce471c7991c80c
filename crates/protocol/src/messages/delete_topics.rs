//! DeleteTopics: remove topics. By name until version 5, by name or id from 6.

use uuid::Uuid;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DeleteTopics = 20, versions 1..=6, flexible 4..;

    request DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6..],
        topic_names: Vec<String> [0..=5],
        timeout_ms: i32,
    }

    response DeleteTopicsResponse {
        throttle_time_ms: i32,
        responses: Vec<DeletableTopicResult>,
    }

    struct DeleteTopicState {
        name: Option<String> [6.., null 6..],
        topic_id: Uuid [6..],
    }

    struct DeletableTopicResult {
        name: Option<String> [0.., null 6..],
        topic_id: Uuid [6..],
        error_code: ErrorCode,
        error_message: Option<String> [5.., null 5..],
    }
}
