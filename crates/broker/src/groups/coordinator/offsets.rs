//! Committed offsets: who commits or reads is held against the group's members, what is durable becomes visible, what nobody needs is forgotten.

use std::collections::btree_map;
use std::sync::Arc;

use millstream_log::{Append, LogError};

use super::{Coordinator, Held, Inner, TEXT_BYTES_MAX, named};
use crate::BrokerError;
use crate::groups::exchange::{GroupError, GroupState};
use crate::groups::record::{Entry, OffsetRecord};
use crate::groups::subscription::topics_of;
use crate::internal_log::KeyValue;
use crate::runtime::to_the_end;

/// An offset to be committed.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Next offset to be read.
    pub offset: i64,
    /// Leader epoch, -1 if not known.
    pub leader_epoch: i32,
    /// The committer's note.
    pub metadata: String,
}

/// Who commits.
#[derive(Debug, Clone, Default)]
pub struct Committer {
    /// Member id, empty for a simple consumer.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Generation, -1 for a simple consumer.
    pub generation: i32,
}

#[derive(Debug)]
pub(super) struct Committed {
    pub(super) value: OffsetRecord,
    /// Offset of its record: commits that race become visible in the order of the log.
    pub(super) position: i64,
}

/// Why a commit (or a removal) did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The group refused.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The log refused or failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Commit {
    /// As the log has it.
    pub(in crate::groups) fn entry(self, group_id: &str, commit_ms: i64) -> Entry {
        Entry::Offset {
            group: group_id.to_string(),
            topic: self.topic,
            partition: self.partition,
            value: Some(OffsetRecord {
                offset: self.offset,
                leader_epoch: self.leader_epoch,
                metadata: self.metadata,
                commit_ms,
            }),
        }
    }
}

impl Coordinator {
    /// Commits offsets: durable and visible when it resolves.
    ///
    /// # Errors
    /// A group's refusal, or the log's.
    pub async fn commit(
        self: &Arc<Self>,
        group_id: &str,
        by: &Committer,
        commits: Vec<Commit>,
    ) -> Result<(), CommitError> {
        let commit_ms = self.config.clock.now_ms();
        let entries: Vec<Entry> = commits.into_iter().map(|commit| commit.entry(group_id, commit_ms)).collect();
        let written = {
            let mut inner = self.inner.lock();
            if !inner.groups.contains_key(group_id) {
                if by.generation >= 0 {
                    return Err(GroupError::IllegalGeneration.into());
                }
                inner.groups.insert(group_id.to_string(), Held::new(group_id, commit_ms));
            }
            let consumer = inner.groups.get(group_id).and_then(|held| held.consumer.as_ref());
            let checked = match consumer {
                Some(consumer) => Some(consumer.check_commit(&by.member_id, by.generation)),
                None => self.with_group(&mut inner, group_id, |group, now_ms, _| {
                    group.check_commit(now_ms, &by.member_id, by.instance_id.as_deref(), by.generation)
                }),
            };
            if entries.is_empty() || group_id.len() > TEXT_BYTES_MAX {
                inner.forget_if_nothing(group_id);
            }
            if group_id.len() > TEXT_BYTES_MAX {
                return Err(GroupError::InvalidGroupId.into());
            }
            checked.unwrap_or(Err(GroupError::UnknownMemberId))?;
            let records: Vec<KeyValue> = entries.iter().map(Entry::encode).collect();
            self.append(&mut inner, group_id, &records)
        };
        let (this, group_id) = (self.clone(), group_id.to_string());
        to_the_end(async move {
            let result = written.await;
            let mut inner = this.inner.lock();
            this.landed(&mut inner, &group_id);
            let begin = result?;
            this.show(&mut inner, begin, entries);
            Ok(())
        })
        .await
    }

    /// Whether offsets may be read in the name of a member of a group of the new protocol.
    pub fn check_reader(&self, group_id: &str, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        let inner = self.inner.lock();
        match inner.groups.get(group_id).and_then(|held| held.consumer.as_ref()) {
            Some(consumer) => consumer.check_epoch(member_id, epoch),
            None => Ok(()),
        }
    }

    /// Makes offsets visible whose records stand in the log from `begin` on.
    fn show(&self, inner: &mut Inner, begin: i64, entries: Vec<Entry>) {
        for (position, entry) in (begin..).zip(entries) {
            let Entry::Offset { group, topic, partition, value: Some(value) } = entry else { continue };
            let held = inner.groups.entry(group).or_insert_with_key(|id| Held::new(id, value.commit_ms));
            let there = held.offsets.entry((topic, partition));
            match there {
                btree_map::Entry::Occupied(there) if there.get().position >= position => {}
                btree_map::Entry::Occupied(mut there) => drop(there.insert(Committed { value, position })),
                btree_map::Entry::Vacant(place) => drop(place.insert(Committed { value, position })),
            }
        }
    }

    /// Holds who commits in a transaction against the group's members.
    pub(in crate::groups) fn check_member(self: &Arc<Self>, group_id: &str, by: &Committer) -> Result<(), GroupError> {
        let mut inner = self.inner.lock();
        if let Some(consumer) = inner.groups.get(group_id).and_then(|held| held.consumer.as_ref()) {
            return consumer.check_commit(&by.member_id, by.generation);
        }
        self.with_group(&mut inner, group_id, |group, now_ms, _| {
            group.check_transactional_commit(now_ms, &by.member_id, by.instance_id.as_deref(), by.generation)
        })
        .unwrap_or(if by.generation < 0 { Ok(()) } else { Err(GroupError::UnknownMemberId) })
    }

    /// Records of groups as part of an append that has others; [`Coordinator::part_landed`] has to follow.
    pub(in crate::groups) fn append_part(&self, groups: &[String], records: &[KeyValue]) -> Option<Append> {
        let part = self.log.part(self.config.clock.now_ms(), records)?;
        let mut inner = self.inner.lock();
        inner.in_flight += groups.len();
        for group in groups {
            if let Some(held) = inner.groups.get_mut(group) {
                held.in_flight += 1;
            }
        }
        Some(part)
    }

    /// The append came to its end; if the offsets are in the log, `begin` is the first one's place there.
    pub(in crate::groups) fn part_landed(&self, groups: &[String], begin: Option<i64>, entries: Vec<Entry>) {
        let mut inner = self.inner.lock();
        groups.iter().for_each(|group| self.landed(&mut inner, group));
        if let Some(begin) = begin {
            self.show(&mut inner, begin, entries);
        }
    }

    /// Committed offsets: those of the partitions named, or all.
    pub fn offsets(
        &self,
        group_id: &str,
        only: Option<&[(String, i32)]>,
    ) -> Vec<((String, i32), Option<OffsetRecord>)> {
        let inner = self.inner.lock();
        let held = inner.groups.get(group_id);
        match only {
            Some(names) => names
                .iter()
                .map(|name| {
                    let found = held.and_then(|held| held.offsets.get(name));
                    (name.clone(), found.map(|committed| committed.value.clone()))
                })
                .collect(),
            None => held
                .into_iter()
                .flat_map(|held| &held.offsets)
                .map(|(name, committed)| (name.clone(), Some(committed.value.clone())))
                .collect(),
        }
    }

    /// Forgets committed offsets, if no member of the group reads the topic. Gives an answer for each.
    pub async fn delete_offsets(
        self: &Arc<Self>,
        group_id: &str,
        names: &[(String, i32)],
    ) -> Result<Vec<Result<(), GroupError>>, CommitError> {
        named(group_id)?;
        let (written, answers) = {
            let mut inner = self.inner.lock();
            self.pass(&mut inner, group_id);
            let Some(held) = inner.groups.get(group_id) else {
                return Err(GroupError::GroupIdNotFound.into());
            };
            let consumer = held.group.protocol_type().is_none_or(|kind| kind == "consumer");
            if !consumer && !held.group.is_vacant() {
                return Err(GroupError::NonEmptyGroup.into());
            }
            let subscribed = topics_of(&held.group);
            let answers: Vec<Result<(), GroupError>> = names
                .iter()
                .map(|(topic, _)| match &subscribed {
                    _ if held.consumer.as_ref().is_some_and(|consumer| consumer.is_subscribed(topic)) => {
                        Err(GroupError::SubscribedToTopic)
                    }
                    Some(topics) if !topics.contains(topic) => Ok(()),
                    _ if held.group.is_vacant() => Ok(()),
                    _ => Err(GroupError::SubscribedToTopic),
                })
                .collect();
            let records: Vec<KeyValue> = names
                .iter()
                .zip(&answers)
                .filter(|(_, answer)| answer.is_ok())
                .map(|((topic, partition), _)| tombstone(group_id, topic, *partition))
                .collect();
            (self.append(&mut inner, group_id, &records), answers)
        };
        let (this, group_id, names) = (self.clone(), group_id.to_string(), names.to_vec());
        to_the_end(async move {
            let result = written.await;
            let mut inner = this.inner.lock();
            this.landed(&mut inner, &group_id);
            result?;
            if let Some(held) = inner.groups.get_mut(&group_id) {
                for (name, _) in names.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
                    held.offsets.remove(name);
                }
            }
            Ok(answers)
        })
        .await
    }

    /// A topic was deleted: what was committed for it means nothing any more.
    pub(crate) async fn topic_deleted(self: &Arc<Self>, topic: &str) -> Result<(), BrokerError> {
        self.forget(|held| held.offsets.keys().filter(|(of, _)| of == topic).cloned().collect()).await
    }

    pub(super) async fn forget(
        self: &Arc<Self>,
        what: impl Fn(&Held) -> Vec<(String, i32)>,
    ) -> Result<(), BrokerError> {
        let (written, gone) = {
            let mut inner = self.inner.lock();
            let mut gone: Vec<(String, (String, i32), i64)> = Vec::new();
            for (id, held) in &inner.groups {
                gone.extend(what(held).into_iter().filter_map(|name| {
                    let position = held.offsets.get(&name)?.position;
                    Some((id.clone(), name, position))
                }));
            }
            if gone.is_empty() {
                return Ok(());
            }
            let records: Vec<KeyValue> =
                gone.iter().map(|(id, (topic, partition), _)| tombstone(id, topic, *partition)).collect();
            (self.append(&mut inner, "", &records), gone)
        };
        let this = self.clone();
        to_the_end(async move {
            let result = written.await;
            let mut inner = this.inner.lock();
            this.landed(&mut inner, "");
            result?;
            for (id, name, position) in gone {
                if let Some(held) = inner.groups.get_mut(&id)
                    && held.offsets.get(&name).is_some_and(|committed| committed.position == position)
                {
                    held.offsets.remove(&name);
                }
            }
            Ok(())
        })
        .await
    }
}

/// Offsets committed before `before_ms` that nobody has needed since: all of them if the group has had no members for as long, otherwise those
/// of topics that no member is subscribed to. Where that cannot be told, because members are still gathering or are no consumers, none.
pub(super) fn expired(held: &Held, before_ms: i64) -> Vec<(String, i32)> {
    let old = held.offsets.iter().filter(|(_, committed)| committed.value.commit_ms < before_ms);
    let old = old.map(|(name, _)| name);
    if held.is_vacant() {
        return if held.empty_since_ms < before_ms { old.cloned().collect() } else { Vec::new() };
    }
    if let Some(consumer) = &held.consumer {
        return old.filter(|(topic, _)| !consumer.is_subscribed(topic)).cloned().collect();
    }
    let settled = held.group.state() == GroupState::Stable && held.group.protocol_type() == Some("consumer");
    match settled.then(|| topics_of(&held.group)).flatten() {
        Some(topics) => old.filter(|(topic, _)| !topics.contains(topic)).cloned().collect(),
        None => Vec::new(),
    }
}

pub(super) fn tombstone(group_id: &str, topic: &str, partition: i32) -> KeyValue {
    Entry::Offset { group: group_id.to_string(), topic: topic.to_string(), partition, value: None }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::consumer::group::{ConsumerGroup, MemberRecord as ConsumerMemberRecord};
    use crate::groups::group::Group;
    use crate::groups::record::{GroupRecord, MemberRecord};

    /// With an old offset of each of two topics, and a new one.
    fn held() -> Held {
        let mut held = Held::new("g", 0);
        for (topic, partition, commit_ms) in [("read", 0, 5), ("left", 0, 5), ("left", 1, 50)] {
            let value = OffsetRecord { offset: 1, leader_epoch: -1, metadata: String::new(), commit_ms };
            held.offsets.insert((topic.to_string(), partition), Committed { value, position: 0 });
        }
        held
    }

    /// A classic group with a member whose metadata names the topic `read`.
    fn classic(protocol_type: &str) -> Group {
        let member = MemberRecord {
            id: "m".to_string(),
            subscription: bytes::Bytes::from_static(b"\x00\x01\x00\x00\x00\x01\x00\x04read\xff\xff\xff\xff"),
            ..MemberRecord::default()
        };
        let record = GroupRecord {
            generation: 1,
            protocol_type: Some(protocol_type.to_string()),
            protocol: Some("range".to_string()),
            members: vec![member],
            ..GroupRecord::default()
        };
        Group::restore("g", record, 0)
    }

    #[test]
    fn old_offsets_expire_in_empty_groups_and_of_topics_that_no_member_reads() {
        let left = [("left".to_string(), 0)];
        let empty = held();
        assert_eq!(expired(&empty, 10), [("left".to_string(), 0), ("read".to_string(), 0)]);
        assert!(expired(&Held { empty_since_ms: 10, ..held() }, 10).is_empty(), "it had members until now");
        let consumers = Held { group: classic("consumer"), ..held() };
        assert_eq!(expired(&consumers, 10), left);
        assert!(expired(&consumers, 5).is_empty(), "none is old");
        let others = Held { group: classic("connect"), ..held() };
        assert!(expired(&others, 10).is_empty(), "they are no consumers");
        let mut group = ConsumerGroup::new("g", 0);
        let names = ["read".to_string()].into();
        group.restore_member("m", Some(ConsumerMemberRecord { names, ..ConsumerMemberRecord::default() }), 0);
        let new_protocol = Held { consumer: Some(group), ..held() };
        assert_eq!(expired(&new_protocol, 10), left);
    }
}
