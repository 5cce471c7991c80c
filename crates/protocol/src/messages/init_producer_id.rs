//! InitProducerId: an id and epoch for an idempotent or transactional producer.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    InitProducerId = 22, versions 0..=6, flexible 2..;

    request InitProducerIdRequest {
        transactional_id: Option<String> [0.., null 0..],
        transaction_timeout_ms: i32,
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
        enable_2pc: bool [6..],
        keep_prepared_txn: bool [6..],
    }

    response InitProducerIdResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        producer_id: i64 = -1,
        producer_epoch: i16,
        ongoing_txn_producer_id: i64 [6..] = -1,
        ongoing_txn_producer_epoch: i16 [6..] = -1,
    }
}
