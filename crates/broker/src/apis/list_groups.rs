//! ListGroups: all groups, or those in some states.

use millstream_protocol::messages::list_groups::ListedGroup;
use millstream_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use super::{Api, Context};

/// The kind of all groups here (KIP-848 knows others).
const CLASSIC: &str = "classic";

pub(crate) struct ListGroups;

impl Api for ListGroups {
    type Request = ListGroupsRequest;

    async fn handle(context: Context, request: ListGroupsRequest) -> ListGroupsResponse {
        let wanted = |filter: &[String], value: &str| {
            filter.is_empty() || filter.iter().any(|word| word.eq_ignore_ascii_case(value))
        };
        let groups = context
            .broker
            .groups
            .list()
            .into_iter()
            .filter(|group| {
                wanted(&request.states_filter, group.state.name()) && wanted(&request.types_filter, CLASSIC)
            })
            .map(|group| ListedGroup {
                group_id: group.id,
                protocol_type: group.protocol_type,
                group_state: group.state.name().to_string(),
                group_type: CLASSIC.to_string(),
            })
            .collect();
        ListGroupsResponse { groups, ..ListGroupsResponse::default() }
    }
}
