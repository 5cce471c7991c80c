//! LeaveGroup: members go at once, without waiting for their session time-out.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::leave_group::MemberResponse;
use millstream_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{Access, Api, Context, group_code};
use crate::groups::coordinator::named;
use crate::security::acl::{Operation, Resource};

/// Several members in one request.
const MEMBERS_SINCE: i16 = 3;

pub(crate) struct LeaveGroup;

impl Api for LeaveGroup {
    type Request = LeaveGroupRequest;

    const ACCESS: Access<LeaveGroupRequest> = Access::One {
        operation: Operation::Read,
        of: |request| Resource::group(&request.group_id),
        denied: |_| LeaveGroupResponse {
            error_code: ErrorCode::GroupAuthorizationFailed,
            ..LeaveGroupResponse::default()
        },
    };

    async fn handle(context: Context, request: LeaveGroupRequest) -> LeaveGroupResponse {
        if let Err(error) = named(&request.group_id) {
            return LeaveGroupResponse { error_code: group_code(error), ..LeaveGroupResponse::default() };
        }
        let leave = |member_id: &str, instance_id: Option<&str>| {
            let left = context.broker.groups.leave(&request.group_id, member_id, instance_id);
            left.map_or_else(group_code, |()| ErrorCode::None)
        };
        if context.version < MEMBERS_SINCE {
            return LeaveGroupResponse { error_code: leave(&request.member_id, None), ..LeaveGroupResponse::default() };
        }
        let members = request.members.into_iter().map(|member| MemberResponse {
            error_code: leave(&member.member_id, member.group_instance_id.as_deref()),
            member_id: member.member_id,
            group_instance_id: member.group_instance_id,
        });
        LeaveGroupResponse { members: members.collect(), ..LeaveGroupResponse::default() }
    }
}
