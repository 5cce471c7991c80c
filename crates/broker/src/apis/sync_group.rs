//! SyncGroup: a member waits for its assignment; the leader brings everybody's.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::{Access, Api, Context, group_code, own};
use crate::groups::exchange::Sync;
use crate::security::acl::{Operation, Resource};

/// A member says which protocol it believes to be in (KIP-559).
const PROTOCOL_SINCE: i16 = 5;

pub(crate) struct SyncGroup;

impl Api for SyncGroup {
    type Request = SyncGroupRequest;

    const ACCESS: Access<SyncGroupRequest> = Access::One {
        operation: Operation::Read,
        of: |request| Resource::group(&request.group_id),
        denied: |_| SyncGroupResponse {
            error_code: ErrorCode::GroupAuthorizationFailed,
            ..SyncGroupResponse::default()
        },
    };

    async fn handle(context: Context, request: SyncGroupRequest) -> SyncGroupResponse {
        if context.version >= PROTOCOL_SINCE && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            let error_code = ErrorCode::InconsistentGroupProtocol;
            return SyncGroupResponse { error_code, ..SyncGroupResponse::default() };
        }
        let sync = Sync {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id,
            protocol_type: request.protocol_type,
            protocol: request.protocol_name,
            assignments: request.assignments.into_iter().map(|one| (one.member_id, own(&one.assignment))).collect(),
        };
        match context.broker.groups.sync(&request.group_id, sync).await {
            Ok(synced) => SyncGroupResponse {
                protocol_type: synced.protocol_type,
                protocol_name: synced.protocol,
                assignment: synced.assignment,
                ..SyncGroupResponse::default()
            },
            Err(error) => SyncGroupResponse { error_code: group_code(error), ..SyncGroupResponse::default() },
        }
    }
}
