//! LeaveGroup: members go. One at the top until version 2, several from 3.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    LeaveGroup = 13, versions 0..=5, flexible 4..;

    request LeaveGroupRequest {
        group_id: String,
        member_id: String [0..=2],
        members: Vec<MemberIdentity> [3..],
    }

    response LeaveGroupResponse {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode,
        members: Vec<MemberResponse> [3..],
    }

    struct MemberIdentity {
        member_id: String [3..],
        group_instance_id: Option<String> [3.., null 3..],
        reason: Option<String> [5.., null 5..],
    }

    struct MemberResponse {
        member_id: String [3..],
        group_instance_id: Option<String> [3.., null 3..],
        error_code: ErrorCode [3..],
    }
}
