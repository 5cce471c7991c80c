//! ConsumerGroupDescribe: where groups of the new protocol stand, and who is in them (KIP-848).

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::consumer_group_describe::{Assignment, DescribedGroup, Member, TopicPartitions};
use millstream_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};

use super::consumer_group_heartbeat::not_found;
use super::{Access, Api, Context, operations};
use crate::groups::consumer::Parts;
use crate::groups::coordinator::{ConsumerMemberDescription, by_name, named};
use crate::security::acl::{Operation, Resource};

/// A member that speaks the new protocol itself.
const CONSUMER_MEMBER: i8 = 1;

pub(crate) struct ConsumerGroupDescribe;

impl Api for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;

    const ACCESS: Access<ConsumerGroupDescribeRequest> = Access::Each;

    async fn handle(context: Context, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse {
        let asked = request.include_authorized_operations;
        let groups = request.group_ids.into_iter().map(|group_id| {
            let refused = |error_code, group_id| DescribedGroup { error_code, group_id, ..DescribedGroup::default() };
            if !context.may(Operation::Describe, Resource::group(&group_id)) {
                return refused(ErrorCode::GroupAuthorizationFailed, group_id);
            }
            if named(&group_id).is_err() {
                return refused(ErrorCode::InvalidGroupId, group_id);
            }
            let Some(group) = context.broker.groups.describe_consumer(&group_id) else {
                let (error_code, error_message) = not_found(&group_id);
                return DescribedGroup { error_code, error_message, group_id, ..DescribedGroup::default() };
            };
            let members: Vec<Member> = group.members.into_iter().map(|member| describe(&context, member)).collect();
            if !members.iter().all(|member| is_visible(&context, member)) {
                return refused(ErrorCode::TopicAuthorizationFailed, group_id);
            }
            DescribedGroup {
                authorized_operations: operations::of(&context, Resource::group(&group_id), asked),
                group_id,
                group_state: group.state.to_string(),
                group_epoch: group.epoch,
                assignment_epoch: group.target_epoch,
                assignor_name: group.assignor.to_string(),
                members,
                ..DescribedGroup::default()
            }
        });
        ConsumerGroupDescribeResponse { groups: groups.collect(), ..ConsumerGroupDescribeResponse::default() }
    }
}

/// Whether the client may know of all topics that the member has.
fn is_visible(context: &Context, member: &Member) -> bool {
    let assigned = [&member.assignment, &member.target_assignment];
    let mut topics = assigned.into_iter().flat_map(|assignment| &assignment.topic_partitions);
    topics.all(|topic| context.may(Operation::Describe, Resource::topic(&topic.topic_name)))
}

fn describe(context: &Context, member: ConsumerMemberDescription) -> Member {
    let kept = member.kept;
    Member {
        member_id: member.id,
        instance_id: kept.instance_id,
        rack_id: kept.rack_id,
        member_epoch: kept.current.epoch,
        client_id: kept.client_id,
        client_host: kept.client_host,
        subscribed_topic_names: kept.names.into_iter().collect(),
        subscribed_topic_regex: kept.regex,
        assignment: assignment(context, &kept.current.assigned),
        target_assignment: assignment(context, &kept.target),
        member_type: CONSUMER_MEMBER,
    }
}

/// Topics that are gone are left out, as they have no name.
fn assignment(context: &Context, parts: &Parts) -> Assignment {
    let topics = &context.broker.topics;
    let named = by_name(parts, |id| topics.get_by_id(id).map(|topic| topic.name.to_string()));
    let named = named.into_iter().filter(|(_, (name, _))| !name.is_empty());
    let topic_partitions =
        named.map(|(topic_id, (topic_name, partitions))| TopicPartitions { topic_id, topic_name, partitions });
    Assignment { topic_partitions: topic_partitions.collect() }
}
