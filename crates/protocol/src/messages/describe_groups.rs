//! DescribeGroups: state and members of groups.

use bytes::Bytes;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeGroups = 15, versions 0..=6, flexible 5..;

    request DescribeGroupsRequest {
        groups: Vec<String>,
        include_authorized_operations: bool [3..],
    }

    response DescribeGroupsResponse {
        throttle_time_ms: i32 [1..],
        groups: Vec<DescribedGroup>,
    }

    struct DescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String> [6.., null 6..],
        group_id: String,
        group_state: String,
        protocol_type: String,
        protocol_data: String,
        members: Vec<DescribedGroupMember>,
        authorized_operations: i32 [3..] = i32::MIN,
    }

    struct DescribedGroupMember {
        member_id: String,
        group_instance_id: Option<String> [4.., null 4..],
        client_id: String,
        client_host: String,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }
}
