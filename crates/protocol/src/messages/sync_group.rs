//! SyncGroup: the leader hands out the assignment, every member gets its own.

use bytes::Bytes;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    SyncGroup = 14, versions 0..=5, flexible 4..;

    request SyncGroupRequest {
        group_id: String,
        generation_id: i32,
        member_id: String,
        group_instance_id: Option<String> [3.., null 3..],
        protocol_type: Option<String> [5.., null 5..],
        protocol_name: Option<String> [5.., null 5..],
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    response SyncGroupResponse {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        protocol_type: Option<String> [5.., null 5..],
        protocol_name: Option<String> [5.., null 5..],
        assignment: Bytes,
    }

    struct SyncGroupRequestAssignment {
        member_id: String,
        assignment: Bytes,
    }
}
