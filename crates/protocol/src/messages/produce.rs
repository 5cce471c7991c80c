//! Produce: record batches into partitions.

use bytes::Bytes;
use uuid::Uuid;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    Produce = 0, versions 3..=13, flexible 9..;

    request ProduceRequest {
        transactional_id: Option<String> [3.., null 3..],
        acks: i16,
        timeout_ms: i32,
        topic_data: Vec<TopicProduceData>,
    }

    response ProduceResponse {
        responses: Vec<TopicProduceResponse>,
        throttle_time_ms: i32,
        node_endpoints: Vec<NodeEndpoint> [10.., tag 0],
    }

    struct TopicProduceData {
        name: String [0..=12],
        topic_id: Uuid [13..],
        partition_data: Vec<PartitionProduceData>,
    }

    struct PartitionProduceData {
        index: i32,
        records: Option<Bytes> [0.., null 0..],
    }

    struct TopicProduceResponse {
        name: String [0..=12],
        topic_id: Uuid [13..],
        partition_responses: Vec<PartitionProduceResponse>,
    }

    struct PartitionProduceResponse {
        index: i32,
        error_code: ErrorCode,
        base_offset: i64,
        log_append_time_ms: i64 = -1,
        log_start_offset: i64 [5..] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8..],
        error_message: Option<String> [8.., null 8..],
        current_leader: LeaderIdAndEpoch [10.., tag 0],
    }

    struct BatchIndexAndErrorMessage {
        batch_index: i32 [8..],
        batch_index_error_message: Option<String> [8.., null 8..],
    }

    struct LeaderIdAndEpoch {
        leader_id: i32 [10..] = -1,
        leader_epoch: i32 [10..] = -1,
    }

    struct NodeEndpoint {
        node_id: i32 [10..],
        host: String [10..],
        port: i32 [10..],
        rack: Option<String> [10.., null 10..],
    }
}
