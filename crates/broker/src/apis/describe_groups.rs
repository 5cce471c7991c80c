//! DescribeGroups: where groups stand, and who is in them.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use millstream_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use super::{Access, Api, Context, operations};
use crate::groups::coordinator::{GroupDescription, GroupKind};
use crate::security::acl::{Operation, Resource};

/// From here on a group that is not there is an error (KIP-1043); before, it is one that is dead.
const NOT_FOUND_SINCE: i16 = 6;

pub(crate) struct DescribeGroups;

impl Api for DescribeGroups {
    type Request = DescribeGroupsRequest;

    const ACCESS: Access<DescribeGroupsRequest> = Access::Each;

    async fn handle(context: Context, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
        let operations =
            |group_id: &str| operations::of(&context, Resource::group(group_id), request.include_authorized_operations);
        let groups = request.groups.into_iter().map(|group_id| match find(&context, &group_id) {
            _ if !context.may(Operation::Describe, Resource::group(&group_id)) => DescribedGroup {
                error_code: ErrorCode::GroupAuthorizationFailed,
                group_id,
                ..DescribedGroup::default()
            },
            Some(group) => DescribedGroup {
                authorized_operations: operations(&group_id),
                group_id,
                group_state: group.state.to_string(),
                protocol_type: group.protocol_type,
                protocol_data: group.protocol,
                members: group
                    .members
                    .into_iter()
                    .map(|member| DescribedGroupMember {
                        member_id: member.id,
                        group_instance_id: member.instance_id,
                        client_id: member.client_id,
                        client_host: member.client_host,
                        member_metadata: member.metadata,
                        member_assignment: member.assignment,
                    })
                    .collect(),
                ..DescribedGroup::default()
            },
            None => {
                let is_error = context.version >= NOT_FOUND_SINCE;
                DescribedGroup {
                    error_code: if is_error { ErrorCode::GroupIdNotFound } else { ErrorCode::None },
                    error_message: is_error.then(|| "there is no such group".to_string()),
                    authorized_operations: if is_error { i32::MIN } else { operations(&group_id) },
                    group_id,
                    group_state: "Dead".to_string(),
                    ..DescribedGroup::default()
                }
            }
        });
        DescribeGroupsResponse { groups: groups.collect(), ..DescribeGroupsResponse::default() }
    }
}

/// Groups of the new protocol are described by ConsumerGroupDescribe; here they are not there, as in Kafka.
fn find(context: &Context, group_id: &str) -> Option<GroupDescription> {
    context.broker.groups.describe(group_id).filter(|group| group.kind == GroupKind::Classic)
}
