//! OffsetFetch: how far groups have read.

use std::collections::{BTreeMap, HashSet};

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use millstream_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use uuid::Uuid;

use super::{Access, Api, Context, group_code};
use crate::groups::record::OffsetRecord;
use crate::security::acl::{Operation, Resource};

/// Several groups in one request.
const GROUPS_SINCE: i16 = 8;
/// Topic ids instead of names.
const IDS_SINCE: i16 = 10;

pub(crate) struct OffsetFetch;

impl Api for OffsetFetch {
    type Request = OffsetFetchRequest;

    const ACCESS: Access<OffsetFetchRequest> = Access::Each;

    async fn handle(context: Context, request: OffsetFetchRequest) -> OffsetFetchResponse {
        if context.version >= GROUPS_SINCE {
            let require_stable = request.require_stable;
            let groups = request.groups.into_iter().map(|group| one_group(&context, require_stable, group)).collect();
            return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
        }
        if !context.may(Operation::Describe, Resource::group(&request.group_id)) {
            return OffsetFetchResponse {
                error_code: ErrorCode::GroupAuthorizationFailed,
                ..OffsetFetchResponse::default()
            };
        }
        let asks_for_all = request.topics.is_none();
        let names: Option<Vec<(String, i32)>> = request.topics.map(|topics| {
            let each = topics.into_iter();
            each.flat_map(|topic| topic.partition_indexes.into_iter().map(move |index| (topic.name.clone(), index)))
                .collect()
        });
        let mut topics: BTreeMap<String, Vec<OffsetFetchResponsePartition>> = BTreeMap::new();
        let unstable = unstable(&context, request.require_stable, &request.group_id);
        for (name, found) in context.broker.groups.offsets(&request.group_id, names.as_deref()) {
            let topic = Resource::topic(&name.0);
            let is_allowed = match asks_for_all {
                true if !context.could(Operation::Describe, topic) => continue,
                true => true,
                false => context.may(Operation::Describe, topic),
            };
            let (error_code, found) = stable(&unstable, &name, found.filter(|_| is_allowed));
            let (topic, partition_index) = name;
            topics.entry(topic).or_default().push(OffsetFetchResponsePartition {
                partition_index,
                committed_offset: found.offset,
                committed_leader_epoch: found.leader_epoch,
                metadata: Some(found.metadata),
                error_code: if is_allowed { error_code } else { ErrorCode::TopicAuthorizationFailed },
            });
        }
        let topics = topics.into_iter().map(|(name, partitions)| OffsetFetchResponseTopic { name, partitions });
        OffsetFetchResponse { topics: topics.collect(), ..OffsetFetchResponse::default() }
    }
}

/// Partitions whose offset may yet be changed by a transaction that is open (KIP-447).
fn unstable(context: &Context, require_stable: bool, group: &str) -> HashSet<(String, i32)> {
    if require_stable { context.broker.transactions.pending(group) } else { HashSet::new() }
}

/// What a client is told of an offset, unless it wants none that may yet change.
fn stable(
    unstable: &HashSet<(String, i32)>,
    name: &(String, i32),
    found: Option<OffsetRecord>,
) -> (ErrorCode, OffsetRecord) {
    match unstable.contains(name) {
        true => (ErrorCode::UnstableOffsetCommit, nothing()),
        false => (ErrorCode::None, found.unwrap_or_else(nothing)),
    }
}

fn one_group(context: &Context, require_stable: bool, asked: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let unstable = unstable(context, require_stable, &asked.group_id);
    let by_id = context.version >= IDS_SINCE;
    if !context.may(Operation::Describe, Resource::group(&asked.group_id)) {
        return OffsetFetchResponseGroup {
            group_id: asked.group_id,
            error_code: ErrorCode::GroupAuthorizationFailed,
            ..OffsetFetchResponseGroup::default()
        };
    }
    let (member_id, epoch) = (asked.member_id.as_deref().unwrap_or_default(), asked.member_epoch);
    if let Err(error) = context.broker.groups.check_reader(&asked.group_id, member_id, epoch) {
        let error_code = group_code(error);
        return OffsetFetchResponseGroup {
            group_id: asked.group_id,
            error_code,
            ..OffsetFetchResponseGroup::default()
        };
    }
    let partitions_of = |found: Vec<((String, i32), Option<OffsetRecord>)>| {
        let each = found.into_iter().map(|(name, found)| {
            let (error_code, found) = stable(&unstable, &name, found);
            OffsetFetchResponsePartitions {
                partition_index: name.1,
                committed_offset: found.offset,
                committed_leader_epoch: found.leader_epoch,
                metadata: Some(found.metadata),
                error_code,
            }
        });
        each.collect()
    };
    let mut topics = Vec::new();
    match asked.topics {
        Some(names) => {
            for one in names {
                let name = match by_id {
                    true => {
                        context.topic(Operation::Describe, "", one.topic_id, true).map(|topic| topic.name.to_string())
                    }
                    false if !context.may(Operation::Describe, Resource::topic(&one.name)) => {
                        Err(ErrorCode::TopicAuthorizationFailed)
                    }
                    false => Ok(one.name.clone()),
                };
                let partitions = match name {
                    Ok(name) => {
                        let names: Vec<(String, i32)> =
                            one.partition_indexes.into_iter().map(|index| (name.clone(), index)).collect();
                        partitions_of(context.broker.groups.offsets(&asked.group_id, Some(&names)))
                    }
                    Err(error_code) => {
                        let each = one.partition_indexes.into_iter();
                        each.map(|partition_index| OffsetFetchResponsePartitions {
                            partition_index,
                            committed_offset: -1,
                            error_code,
                            metadata: Some(String::new()),
                            ..OffsetFetchResponsePartitions::default()
                        })
                        .collect()
                    }
                };
                topics.push(OffsetFetchResponseTopics { name: one.name, topic_id: one.topic_id, partitions });
            }
        }
        None => {
            let mut by_topic: BTreeMap<String, Vec<_>> = BTreeMap::new();
            for (name, found) in context.broker.groups.offsets(&asked.group_id, None) {
                by_topic.entry(name.0.clone()).or_default().push((name, found));
            }
            for (name, found) in by_topic {
                if !context.could(Operation::Describe, Resource::topic(&name)) {
                    continue;
                }
                let topic_id = context.broker.topics.get(&name).map_or(Uuid::nil(), |topic| topic.id);
                if by_id && topic_id.is_nil() {
                    continue;
                }
                topics.push(OffsetFetchResponseTopics { name, topic_id, partitions: partitions_of(found) });
            }
        }
    }
    OffsetFetchResponseGroup { group_id: asked.group_id, topics, error_code: ErrorCode::None }
}

/// Nothing was committed.
fn nothing() -> OffsetRecord {
    OffsetRecord { offset: -1, leader_epoch: -1, metadata: String::new(), commit_ms: -1 }
}
