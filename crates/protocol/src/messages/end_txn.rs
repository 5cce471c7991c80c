//! EndTxn: commit or abort a transaction.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    EndTxn = 26, versions 0..=5, flexible 3..;

    request EndTxnRequest {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    }

    response EndTxnResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        producer_id: i64 [5..] = -1,
        producer_epoch: i16 [5..] = -1,
    }
}
