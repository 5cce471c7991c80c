//! ConsumerGroupDescribe: state and members of groups of the new protocol (KIP-848).

use uuid::Uuid;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    ConsumerGroupDescribe = 69, versions 0..=1, flexible 0..;

    request ConsumerGroupDescribeRequest {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
    }

    response ConsumerGroupDescribeResponse {
        throttle_time_ms: i32,
        groups: Vec<DescribedGroup>,
    }

    struct TopicPartitions {
        topic_id: Uuid,
        topic_name: String,
        partitions: Vec<i32>,
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }

    struct DescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: String,
        members: Vec<Member>,
        authorized_operations: i32 = i32::MIN,
    }

    struct Member {
        member_id: String,
        instance_id: Option<String> [0.., null 0..],
        rack_id: Option<String> [0.., null 0..],
        member_epoch: i32,
        client_id: String,
        client_host: String,
        subscribed_topic_names: Vec<String>,
        subscribed_topic_regex: Option<String> [0.., null 0..],
        assignment: Assignment,
        target_assignment: Assignment,
        member_type: i8 [1..] = -1,
    }
}
