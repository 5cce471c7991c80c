//! ConsumerGroupHeartbeat: all that a member of a group of the new protocol sends (KIP-848).

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::consumer_group_heartbeat::{Assignment, TopicPartitions};
use millstream_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::{Access, Api, Context, group_code, words};
use crate::groups::consumer::collect;
use crate::groups::consumer::group::Beat;
use crate::security::acl::{Operation, Resource};

/// Members choose their ids (KIP-1082); before, the broker gave one to who had none.
const OWN_ID_SINCE: i16 = 1;

pub(crate) struct ConsumerGroupHeartbeat;

impl Api for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;

    const ACCESS: Access<ConsumerGroupHeartbeatRequest> = Access::One {
        operation: Operation::Read,
        of: |request| Resource::group(&request.group_id),
        denied: |_| refused(ErrorCode::GroupAuthorizationFailed),
    };

    async fn handle(context: Context, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        if context.version >= OWN_ID_SINCE && request.member_id.is_empty() {
            let error_message = words(&"MemberId can't be empty.");
            return ConsumerGroupHeartbeatResponse { error_message, ..refused(ErrorCode::InvalidRequest) };
        }
        let mut names = request.subscribed_topic_names.iter().flatten();
        if !names.all(|name| context.may(Operation::Describe, Resource::topic(name))) {
            return refused(ErrorCode::TopicAuthorizationFailed);
        }
        let owned = request.topic_partitions.map(|topics| {
            let each = topics.into_iter();
            collect(each.flat_map(|topic| topic.partitions.into_iter().map(move |number| (topic.topic_id, number))))
        });
        let beat = Beat {
            member_id: request.member_id,
            epoch: request.member_epoch,
            instance_id: request.instance_id,
            rack_id: request.rack_id,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            names: request.subscribed_topic_names,
            regex: request.subscribed_topic_regex,
            assignor: request.server_assignor,
            owned,
            client_id: context.client_id.to_string(),
            client_host: format!("/{}", context.peer.ip()),
        };
        let groups = &context.broker.groups;
        match groups.consumer_heartbeat(&request.group_id, beat, &*context.broker.topics).await {
            Ok((member_id, beaten)) => ConsumerGroupHeartbeatResponse {
                member_id: Some(member_id),
                member_epoch: beaten.epoch,
                // Who leaves is told nothing of the next heartbeat.
                heartbeat_interval_ms: match beaten.epoch {
                    ..0 => 0,
                    _ => groups.configs().heartbeat_interval_ms(&request.group_id),
                },
                assignment: beaten.assignment.map(|parts| Assignment {
                    topic_partitions: parts
                        .into_iter()
                        .map(|(topic_id, numbers)| TopicPartitions {
                            topic_id,
                            partitions: numbers.into_iter().collect(),
                        })
                        .collect(),
                }),
                ..ConsumerGroupHeartbeatResponse::default()
            },
            Err(refused) => ConsumerGroupHeartbeatResponse {
                error_code: group_code(refused.error),
                error_message: words(&refused.words),
                ..ConsumerGroupHeartbeatResponse::default()
            },
        }
    }
}

fn refused(error_code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse { error_code, ..ConsumerGroupHeartbeatResponse::default() }
}

/// What a client is told of a group that it asks for and that is not of the new protocol.
pub(super) fn not_found(group_id: &str) -> (ErrorCode, Option<String>) {
    (ErrorCode::GroupIdNotFound, words(&format!("Group {group_id} is not a consumer group.")))
}
