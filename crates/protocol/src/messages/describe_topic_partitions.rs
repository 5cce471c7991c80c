//! DescribeTopicPartitions: partitions of topics, page by page.

use uuid::Uuid;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeTopicPartitions = 75, versions 0..=0, flexible 0..;

    request DescribeTopicPartitionsRequest {
        topics: Vec<TopicRequest>,
        response_partition_limit: i32 = 2000,
        cursor: Option<RequestedCursor> [0.., null 0..],
    }

    response DescribeTopicPartitionsResponse {
        throttle_time_ms: i32,
        topics: Vec<DescribeTopicPartitionsResponseTopic>,
        next_cursor: Option<Cursor> [0.., null 0..],
    }

    struct TopicRequest {
        name: String,
    }

    struct RequestedCursor {
        topic_name: String,
        partition_index: i32,
    }

    struct DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode,
        name: Option<String> [0.., null 0..],
        topic_id: Uuid,
        is_internal: bool,
        partitions: Vec<DescribeTopicPartitionsResponsePartition>,
        topic_authorized_operations: i32 = i32::MIN,
    }

    struct DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        eligible_leader_replicas: Option<Vec<i32>> [0.., null 0..],
        last_known_elr: Option<Vec<i32>> [0.., null 0..],
        offline_replicas: Vec<i32>,
    }

    struct Cursor {
        topic_name: String,
        partition_index: i32,
    }
}
