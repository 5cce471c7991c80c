//! ListGroups: all groups, or those in some states.

use millstream_protocol::messages::list_groups::ListedGroup;
use millstream_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

pub(crate) struct ListGroups;

impl Api for ListGroups {
    type Request = ListGroupsRequest;

    const ACCESS: Access<ListGroupsRequest> = Access::Each;

    async fn handle(context: Context, request: ListGroupsRequest) -> ListGroupsResponse {
        let wanted = |filter: &[String], value: &str| {
            filter.is_empty() || filter.iter().any(|word| word.eq_ignore_ascii_case(value))
        };
        let sees_all = context.could(Operation::Describe, Resource::CLUSTER);
        let groups = context
            .broker
            .groups
            .list()
            .into_iter()
            .filter(|group| sees_all || context.could(Operation::Describe, Resource::group(&group.id)))
            .filter(|group| {
                wanted(&request.states_filter, group.state) && wanted(&request.types_filter, group.kind.name())
            })
            .map(|group| ListedGroup {
                group_id: group.id,
                protocol_type: group.protocol_type,
                group_state: group.state.to_string(),
                group_type: group.kind.name().to_string(),
            })
            .collect();
        ListGroupsResponse { groups, ..ListGroupsResponse::default() }
    }
}
