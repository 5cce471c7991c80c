//! JoinGroup: a member enters its group and waits for the others.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::join_group::JoinGroupResponseMember;
use millstream_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::{Access, Api, Context, group_code, own};
use crate::groups::exchange::Join;
use crate::security::acl::{Operation, Resource};

/// A dynamic member comes back with the id it is given (KIP-394).
const KNOWN_MEMBER_ID_SINCE: i16 = 4;
/// A leader may be told not to assign (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub(crate) struct JoinGroup;

impl Api for JoinGroup {
    type Request = JoinGroupRequest;

    const ACCESS: Access<JoinGroupRequest> = Access::One {
        operation: Operation::Read,
        of: |request| Resource::group(&request.group_id),
        denied: |_| JoinGroupResponse {
            error_code: ErrorCode::GroupAuthorizationFailed,
            ..JoinGroupResponse::default()
        },
    };

    async fn handle(context: Context, request: JoinGroupRequest) -> JoinGroupResponse {
        let join = Join {
            require_known_member_id: context.version >= KNOWN_MEMBER_ID_SINCE,
            supports_skipping_assignment: context.version >= SKIP_ASSIGNMENT_SINCE,
            // Version 0 has one time-out for both.
            rebalance_timeout_ms: match request.rebalance_timeout_ms {
                ms if ms < 0 => request.session_timeout_ms,
                ms => ms,
            },
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            client_id: context.client_id.to_string(),
            client_host: format!("/{}", context.peer.ip()),
            session_timeout_ms: request.session_timeout_ms,
            protocol_type: request.protocol_type,
            protocols: request.protocols.into_iter().map(|one| (one.name, own(&one.metadata))).collect(),
            fresh_member_id: String::new(),
        };
        match context.broker.groups.join(&request.group_id, join).await {
            Ok(joined) => JoinGroupResponse {
                generation_id: joined.generation,
                protocol_type: joined.protocol_type,
                protocol_name: joined.protocol,
                leader: joined.leader,
                skip_assignment: joined.skip_assignment,
                member_id: joined.member_id,
                members: joined
                    .members
                    .into_iter()
                    .map(|(member_id, group_instance_id, metadata)| JoinGroupResponseMember {
                        member_id,
                        group_instance_id,
                        metadata,
                    })
                    .collect(),
                ..JoinGroupResponse::default()
            },
            Err(refused) => JoinGroupResponse {
                error_code: group_code(refused.error),
                member_id: refused.member_id,
                ..JoinGroupResponse::default()
            },
        }
    }
}
