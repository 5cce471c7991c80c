//! AddOffsetsToTxn: a group whose offsets a transaction commits.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    AddOffsetsToTxn = 25, versions 0..=4, flexible 3..;

    request AddOffsetsToTxnRequest {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        group_id: String,
    }

    response AddOffsetsToTxnResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
    }
}
