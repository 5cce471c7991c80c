//! DeleteGroups: groups without members, with their offsets.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::delete_groups::DeletableGroupResult;
use millstream_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Access, Api, Context, commit_code};
use crate::security::acl::{Operation, Resource};

pub(crate) struct DeleteGroups;

impl Api for DeleteGroups {
    type Request = DeleteGroupsRequest;

    const ACCESS: Access<DeleteGroupsRequest> = Access::Each;

    async fn handle(context: Context, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut results = Vec::new();
        for group_id in request.groups_names {
            if !context.may(Operation::Delete, Resource::group(&group_id)) {
                results.push(DeletableGroupResult { group_id, error_code: ErrorCode::GroupAuthorizationFailed });
                continue;
            }
            let error_code = match context.broker.groups.delete(&group_id).await {
                Ok(()) => ErrorCode::None,
                Err(error) => commit_code(&error),
            };
            results.push(DeletableGroupResult { group_id, error_code });
        }
        DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
    }
}
