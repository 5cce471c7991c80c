//! Heartbeat: a member is alive, and learns whether it has to join again.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{Access, Api, Context, group_code};
use crate::security::acl::{Operation, Resource};

pub(crate) struct Heartbeat;

impl Api for Heartbeat {
    type Request = HeartbeatRequest;

    const ACCESS: Access<HeartbeatRequest> = Access::One {
        operation: Operation::Read,
        of: |request| Resource::group(&request.group_id),
        denied: |_| HeartbeatResponse {
            error_code: ErrorCode::GroupAuthorizationFailed,
            ..HeartbeatResponse::default()
        },
    };

    async fn handle(context: Context, request: HeartbeatRequest) -> HeartbeatResponse {
        let instance_id = request.group_instance_id.as_deref();
        let groups = &context.broker.groups;
        let beat = groups.heartbeat(&request.group_id, &request.member_id, instance_id, request.generation_id);
        HeartbeatResponse {
            error_code: beat.map_or_else(group_code, |()| ErrorCode::None),
            ..HeartbeatResponse::default()
        }
    }
}
