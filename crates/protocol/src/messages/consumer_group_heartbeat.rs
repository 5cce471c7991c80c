//! ConsumerGroupHeartbeat: membership, assignment and life sign of a consumer group of the new protocol (KIP-848).

use uuid::Uuid;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    ConsumerGroupHeartbeat = 68, versions 0..=1, flexible 0..;

    request ConsumerGroupHeartbeatRequest {
        group_id: String,
        member_id: String,
        member_epoch: i32,
        instance_id: Option<String> [0.., null 0..],
        rack_id: Option<String> [0.., null 0..],
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<String>> [0.., null 0..],
        subscribed_topic_regex: Option<String> [1.., null 1..],
        server_assignor: Option<String> [0.., null 0..],
        topic_partitions: Option<Vec<RequestedTopicPartitions>> [0.., null 0..],
    }

    response ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        member_id: Option<String> [0.., null 0..],
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<Assignment> [0.., null 0..],
    }

    struct RequestedTopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    struct TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }
}
