//! Heartbeat: a member is alive, and learns of a new round.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    Heartbeat = 12, versions 0..=4, flexible 4..;

    request HeartbeatRequest {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3.., null 3..],
    }

    response HeartbeatResponse {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
    }
}
