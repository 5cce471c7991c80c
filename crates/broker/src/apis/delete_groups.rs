//! DeleteGroups: groups without members, with their offsets.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::delete_groups::DeletableGroupResult;
use millstream_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Api, Context, commit_code};

pub(crate) struct DeleteGroups;

impl Api for DeleteGroups {
    type Request = DeleteGroupsRequest;

    async fn handle(context: Context, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut results = Vec::new();
        for group_id in request.groups_names {
            let error_code = match context.broker.groups.delete(&group_id).await {
                Ok(()) => ErrorCode::None,
                Err(error) => commit_code(&error),
            };
            results.push(DeletableGroupResult { group_id, error_code });
        }
        DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
    }
}
