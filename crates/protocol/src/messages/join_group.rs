//! JoinGroup: enter a classic consumer group; answered when the round is complete.

use bytes::Bytes;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    JoinGroup = 11, versions 0..=9, flexible 6..;

    request JoinGroupRequest {
        group_id: String,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32 [1..] = -1,
        member_id: String,
        group_instance_id: Option<String> [5.., null 5..],
        protocol_type: String,
        protocols: Vec<JoinGroupRequestProtocol>,
        reason: Option<String> [8.., null 8..],
    }

    response JoinGroupResponse {
        throttle_time_ms: i32 [2..],
        error_code: ErrorCode,
        generation_id: i32 = -1,
        protocol_type: Option<String> [7.., null 7..],
        protocol_name: Option<String> [0.., null 7..],
        leader: String,
        skip_assignment: bool [9..],
        member_id: String,
        members: Vec<JoinGroupResponseMember>,
    }

    struct JoinGroupRequestProtocol {
        name: String,
        metadata: Bytes,
    }

    struct JoinGroupResponseMember {
        member_id: String,
        group_instance_id: Option<String> [5.., null 5..],
        metadata: Bytes,
    }
}
