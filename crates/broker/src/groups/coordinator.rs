//! The group coordinator: all groups, their committed offsets, the clock, and the log of both.
//!
//! Groups decide ([`super::group`]); here parked requests find their answers, and records are written to `__consumer_offsets`.

mod consumer;
mod offsets;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Log, LogError};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::configs::GroupConfigs;
use super::consumer::group::ConsumerGroup;
use super::exchange::{Effect, GroupError, GroupState, Join, JoinAnswer, JoinRefused, Rules, Sync, SyncAnswer, Ticket};
use super::group::{Group, Member};
pub use consumer::{ConsumerGroupDescription, ConsumerMemberDescription, by_name};
pub use offsets::{Commit, CommitError, Committer};
use offsets::{Committed, expired, tombstone};

use super::record::{Entry, GroupRecord};
use crate::internal_log::{InternalLog, KeyValue};
use crate::runtime::{blocking, to_the_end};
use crate::seldom::Seldom;
use crate::topics::OFFSETS_TOPIC;
use crate::{BrokerConfig, BrokerError};

/// Longest name that a group keeps: every version of every answer can carry it.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// How much of a client's id becomes part of a member's.
const MEMBER_ID_PREFIX_MAX: usize = 249;
/// The ticker sleeps at least so long, so that many groups with near deadlines do not keep it busy.
const TICK_MS: i64 = 10;
/// How long a removal waits for appends of its group that are on their way.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// A member as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// Member id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// Metadata for the assignor in use.
    pub metadata: bytes::Bytes,
    /// Assignment.
    pub assignment: bytes::Bytes,
}

/// Which protocol a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// Members join, and one of them assigns.
    Classic,
    /// KIP-848: the coordinator assigns.
    Consumer,
}

impl GroupKind {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            GroupKind::Classic => "classic",
            GroupKind::Consumer => "consumer",
        }
    }
}

/// A group as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Name.
    pub id: String,
    /// Which protocol it speaks.
    pub kind: GroupKind,
    /// Where it stands, in Kafka's word.
    pub state: &'static str,
    /// `consumer`, …; empty for a group that only ever had offsets committed.
    pub protocol_type: String,
    /// The assignor in use, if the group is stable.
    pub protocol: String,
    /// Members.
    pub members: Vec<MemberDescription>,
}

#[derive(Debug)]
struct Held {
    group: Group,
    /// If there is one, the group speaks the new protocol, and `group` stands empty.
    consumer: Option<ConsumerGroup>,
    offsets: BTreeMap<(String, i32), Committed>,
    /// Since when it has no members, in milliseconds since 1970.
    empty_since_ms: i64,
    /// Appends that are on their way.
    in_flight: usize,
}

impl Held {
    fn new(id: &str, now_ms: i64) -> Self {
        Held { group: Group::new(id), consumer: None, offsets: BTreeMap::new(), empty_since_ms: now_ms, in_flight: 0 }
    }

    /// Whether nobody is in it.
    fn is_vacant(&self) -> bool {
        self.group.is_vacant() && self.consumer.as_ref().is_none_or(ConsumerGroup::is_empty)
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        let consumer = self.consumer.as_ref().and_then(ConsumerGroup::next_deadline_ms);
        [self.group.next_deadline_ms(), consumer].into_iter().flatten().min()
    }
}

#[derive(Debug, Default)]
struct Inner {
    groups: BTreeMap<String, Held>,
    joins: HashMap<Ticket, oneshot::Sender<JoinAnswer>>,
    syncs: HashMap<Ticket, oneshot::Sender<SyncAnswer>>,
    next_ticket: Ticket,
    /// When the ticker wakes.
    wakes_ms: i64,
    /// Appends that are on their way, over all groups.
    in_flight: usize,
    chance: fastrand::Rng,
}

/// See the module.
#[derive(Debug)]
pub struct Coordinator {
    pub(super) config: Arc<BrokerConfig>,
    configs: Arc<GroupConfigs>,
    log: InternalLog,
    inner: Mutex<Inner>,
    wake: Notify,
    /// Told when an append has come to its end.
    landed: Notify,
    /// Which refusals of the other protocol are told, by group.
    other_protocol: Mutex<Seldom<String>>,
}

impl Coordinator {
    /// Reads groups and offsets. Blocks.
    pub(crate) fn open(log: &Log, config: Arc<BrokerConfig>, configs: Arc<GroupConfigs>) -> Result<Self, BrokerError> {
        let log = InternalLog::open(log, OFFSETS_TOPIC, config.internal_log_bytes_max)?;
        let mut groups: BTreeMap<String, Held> = BTreeMap::new();
        let now_ms = config.clock.now_ms();
        log.replay(|position, key, value| match Entry::decode(key, value) {
            Some(Entry::Offset { group, topic, partition, value }) => {
                let held = groups.entry(group.clone()).or_insert_with(|| Held::new(&group, now_ms));
                match value {
                    Some(value) => drop(held.offsets.insert((topic, partition), Committed { value, position })),
                    None => drop(held.offsets.remove(&(topic, partition))),
                }
            }
            Some(Entry::Group { group, value: Some(record) }) => {
                let held = groups.entry(group.clone()).or_insert_with(|| Held::new(&group, now_ms));
                held.empty_since_ms = record.written_ms;
                held.group = Group::restore(&group, record, config.steady_clock.now_ms());
                held.consumer = None;
            }
            Some(Entry::Group { group, value: None }) => drop(groups.remove(&group)),
            Some(Entry::ConsumerGroup { group, value: Some(kept) }) => {
                let held = groups.entry(group.clone()).or_insert_with(|| Held::new(&group, now_ms));
                held.group = Group::new(&group);
                held.consumer.get_or_insert_with(|| ConsumerGroup::new(&group, 0)).restore(kept);
            }
            Some(Entry::ConsumerGroup { group, value: None }) => {
                groups.entry(group).and_modify(|held| held.consumer = None);
            }
            Some(Entry::ConsumerMember { group, member, value }) => {
                // A member's record can come before its group's: both are of one append.
                let known = groups.contains_key(&group);
                if known || value.is_some() {
                    let held = groups.entry(group.clone()).or_insert_with(|| Held::new(&group, now_ms));
                    if held.consumer.is_some() || value.is_some() {
                        let consumer = held.consumer.get_or_insert_with(|| ConsumerGroup::new(&group, 0));
                        let session_ms = i64::from(configs.session_timeout_ms(&group));
                        let expires_ms = config.steady_clock.now_ms() + session_ms;
                        consumer.restore_member(&member, value, expires_ms);
                    }
                }
            }
            None => tracing::warn!(position, "a record of {OFFSETS_TOPIC} is not understood: skipped"),
        })?;
        groups.retain(|_, held| {
            let is_known = held.consumer.is_some() || held.group.generation() > 0;
            !held.is_vacant() || !held.offsets.is_empty() || is_known
        });
        groups.values_mut().filter_map(|held| held.consumer.as_mut()).for_each(ConsumerGroup::compile_patterns);
        let inner = Inner {
            groups,
            wakes_ms: i64::MAX,
            chance: fastrand::Rng::with_seed(config.seed),
            // Tickets start at 1 so that 0 is never one.
            next_ticket: 1,
            ..Inner::default()
        };
        Ok(Coordinator {
            config,
            configs,
            log,
            inner: Mutex::new(inner),
            wake: Notify::new(),
            landed: Notify::new(),
            other_protocol: Mutex::default(),
        })
    }

    /// What groups have configured of their own.
    pub fn configs(&self) -> &Arc<GroupConfigs> {
        &self.configs
    }

    fn now_ms(&self) -> i64 {
        self.config.steady_clock.now_ms()
    }

    /// A member joins; resolves when the group has an answer.
    pub async fn join(self: &Arc<Self>, group_id: &str, mut join: Join) -> JoinAnswer {
        let refuse = |error, member_id: &str| Err(JoinRefused { error, member_id: member_id.to_string() });
        if named(group_id).is_err() || group_id.len() > TEXT_BYTES_MAX {
            return refuse(GroupError::InvalidGroupId, &join.member_id);
        }
        let names = join.protocols.iter().map(|(name, _)| name).chain([&join.protocol_type]).chain(&join.instance_id);
        if names.into_iter().any(|name| name.len() > TEXT_BYTES_MAX) {
            return refuse(GroupError::InconsistentProtocol, &join.member_id);
        }
        let bounds = self.config.group_min_session_timeout_ms..=self.config.group_max_session_timeout_ms;
        if !bounds.contains(&join.session_timeout_ms) {
            return refuse(GroupError::InvalidSessionTimeout, &join.member_id);
        }
        let member_id = join.member_id.clone();
        let answer = {
            let mut inner = self.inner.lock();
            if !inner.groups.contains_key(group_id) && !member_id.is_empty() {
                return refuse(GroupError::UnknownMemberId, &member_id);
            }
            let prefix = join.instance_id.as_ref().unwrap_or(&join.client_id);
            let prefix: String = prefix.chars().take(MEMBER_ID_PREFIX_MAX).collect();
            join.fresh_member_id = format!("{prefix}-{}", uuid(&mut inner.chance));
            let (sender, receiver) = oneshot::channel();
            let ticket = inner.take_ticket();
            inner.joins.insert(ticket, sender);
            let now_ms = self.config.clock.now_ms();
            if !self.is_classic(&mut inner, group_id) {
                inner.joins.remove(&ticket);
                self.tell_of_protocol(group_id, GroupKind::Classic);
                return refuse(GroupError::InconsistentProtocol, &member_id);
            }
            inner.groups.entry(group_id.to_string()).or_insert_with(|| Held::new(group_id, now_ms));
            let rules = Rules {
                size_max: self.config.group_max_size,
                initial_delay_ms: i64::from(self.config.group_initial_rebalance_delay_ms),
            };
            self.with_group(&mut inner, group_id, |group, now_ms, effects| {
                group.join(now_ms, ticket, join, rules, effects);
            });
            inner.forget_if_nothing(group_id);
            receiver
        };
        answer.await.unwrap_or_else(|_| refuse(GroupError::CoordinatorNotAvailable, &member_id))
    }

    /// A member asks for its assignment; resolves when there is one.
    pub async fn sync(self: &Arc<Self>, group_id: &str, sync: Sync) -> SyncAnswer {
        named(group_id)?;
        let answer = {
            let mut inner = self.inner.lock();
            if !inner.groups.contains_key(group_id) {
                return Err(GroupError::UnknownMemberId);
            }
            let (sender, receiver) = oneshot::channel();
            let ticket = inner.take_ticket();
            inner.syncs.insert(ticket, sender);
            self.with_group(&mut inner, group_id, |group, now_ms, effects| group.sync(now_ms, ticket, sync, effects));
            receiver
        };
        answer.await.unwrap_or(Err(GroupError::CoordinatorNotAvailable))
    }

    /// A member is alive.
    pub fn heartbeat(
        self: &Arc<Self>,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        named(group_id)?;
        let mut inner = self.inner.lock();
        self.with_group(&mut inner, group_id, |group, now_ms, _| {
            group.heartbeat(now_ms, member_id, instance_id, generation)
        })
        .unwrap_or(Err(GroupError::UnknownMemberId))
    }

    /// A member leaves, or is made to.
    pub fn leave(
        self: &Arc<Self>,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        let mut inner = self.inner.lock();
        if inner.groups.get(group_id).is_some_and(|held| held.consumer.is_some()) {
            return self.expel(&mut inner, group_id, member_id, instance_id);
        }
        self.with_group(&mut inner, group_id, |group, now_ms, effects| {
            group.leave(now_ms, member_id, instance_id, effects)
        })
        .unwrap_or(Err(GroupError::UnknownMemberId))
    }

    /// Runs a change on a group and carries out what it asks for. `None`: there is no such group.
    fn with_group<T>(
        self: &Arc<Self>,
        inner: &mut Inner,
        group_id: &str,
        change: impl FnOnce(&mut Group, i64, &mut Vec<Effect>) -> T,
    ) -> Option<T> {
        let now_ms = self.now_ms();
        let held = inner.groups.get_mut(group_id)?;
        let had_members = !held.group.is_vacant();
        let mut effects = Vec::new();
        let out = change(&mut held.group, now_ms, &mut effects);
        if had_members && held.group.is_vacant() {
            held.empty_since_ms = self.config.clock.now_ms();
        }
        let next_ms = held.group.next_deadline_ms();
        self.wake_at(inner, next_ms);
        for effect in effects {
            match effect {
                // A client that went away does not hear the answer; its session time-out tells.
                Effect::Joined(ticket, answer) => {
                    if let Some(parked) = inner.joins.remove(&ticket) {
                        let _ = parked.send(answer);
                    }
                }
                Effect::Synced(ticket, answer) => {
                    if let Some(parked) = inner.syncs.remove(&ticket) {
                        let _ = parked.send(answer);
                    }
                }
                Effect::Persist(record) => self.persist(inner, group_id, record),
            }
        }
        Some(out)
    }

    /// Lets time pass for a group, if it is due: whoever asks about it is not told of members whose sessions are over.
    fn pass(self: &Arc<Self>, inner: &mut Inner, group_id: &str) {
        let now_ms = self.now_ms();
        let due = inner.groups.get(group_id).and_then(Held::next_deadline_ms);
        if due.is_some_and(|at_ms| at_ms <= now_ms) {
            self.with_group(inner, group_id, |group, now_ms, effects| group.tick(now_ms, effects));
            self.tick_consumer(inner, group_id, now_ms);
            inner.forget_if_nothing(group_id);
        }
    }

    fn wake_at(&self, inner: &mut Inner, next_ms: Option<i64>) {
        if let Some(next_ms) = next_ms.filter(|next_ms| *next_ms < inner.wakes_ms) {
            inner.wakes_ms = next_ms;
            self.wake.notify_one();
        }
    }

    fn persist(self: &Arc<Self>, inner: &mut Inner, group_id: &str, mut record: GroupRecord) {
        record.written_ms = self.config.clock.now_ms();
        let entry = Entry::Group { group: group_id.to_string(), value: Some(record.clone()) };
        let written = self.append(inner, group_id, &[entry.encode()]);
        let (this, group_id) = (self.clone(), group_id.to_string());
        tokio::spawn(async move {
            let result = written.await;
            if let Err(error) = &result {
                tracing::warn!(group = %group_id, %error, "the group could not be written");
            }
            let mut inner = this.inner.lock();
            this.landed(&mut inner, &group_id);
            this.with_group(&mut inner, &group_id, |group, now_ms, effects| {
                group.persisted(now_ms, record, result.ok(), effects);
            });
        });
    }

    fn append(
        &self,
        inner: &mut Inner,
        group_id: &str,
        records: &[KeyValue],
    ) -> impl Future<Output = Result<i64, LogError>> + Send + 'static + use<> {
        inner.in_flight += 1;
        if let Some(held) = inner.groups.get_mut(group_id) {
            held.in_flight += 1;
        }
        self.log.append(self.config.clock.now_ms(), records)
    }

    fn landed(&self, inner: &mut Inner, group_id: &str) {
        inner.in_flight -= 1;
        if let Some(held) = inner.groups.get_mut(group_id) {
            held.in_flight = held.in_flight.saturating_sub(1);
        }
        self.landed.notify_waiters();
    }

    /// The broker stops: members that wait for others are told to find their coordinator anew.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.joins.clear();
        inner.syncs.clear();
    }

    /// All groups, by name.
    pub fn list(&self) -> Vec<GroupDescription> {
        let inner = self.inner.lock();
        let named = inner.groups.iter().filter(|(id, _)| named(id).is_ok());
        let mut all: Vec<GroupDescription> = named.map(|(_, held)| describe(held, false)).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// A group with its members.
    pub fn describe(self: &Arc<Self>, group_id: &str) -> Option<GroupDescription> {
        let mut inner = self.inner.lock();
        self.pass(&mut inner, group_id);
        inner.groups.get(group_id).map(|held| describe(held, true))
    }

    /// Removes a group and its offsets. Durable when it resolves.
    pub async fn delete(self: &Arc<Self>, group_id: &str) -> Result<(), CommitError> {
        let deadline = tokio::time::Instant::now() + SETTLE_MAX;
        let written = loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            if let Some(written) = self.begin_delete(group_id)? {
                break written;
            }
            if tokio::time::timeout_at(deadline, landed).await.is_err() {
                return Err(GroupError::CoordinatorNotAvailable.into());
            }
        };
        let (this, group_id) = (self.clone(), group_id.to_string());
        to_the_end(async move {
            let result = written.await;
            let mut inner = this.inner.lock();
            this.landed(&mut inner, &group_id);
            match result {
                Ok(_) => {
                    inner.groups.remove(&group_id);
                    Ok(())
                }
                Err(error) => {
                    if let Some(held) = inner.groups.get_mut(&group_id) {
                        held.group = Group::new(&group_id);
                    }
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// Nothing: records of the group are on their way, which the removal has to stand behind.
    fn begin_delete(
        self: &Arc<Self>,
        group_id: &str,
    ) -> Result<Option<impl Future<Output = Result<i64, LogError>> + Send + 'static + use<>>, GroupError> {
        let mut inner = self.inner.lock();
        self.pass(&mut inner, group_id);
        let held = inner.groups.get_mut(group_id).ok_or(GroupError::GroupIdNotFound)?;
        if !held.is_vacant() {
            return Err(GroupError::NonEmptyGroup);
        }
        if held.in_flight > 0 {
            return Ok(None);
        }
        held.group.remove()?;
        let records = removal(group_id, held);
        Ok(Some(self.append(&mut inner, group_id, &records)))
    }

    /// Forgets offsets that nobody has needed for long, then groups that have been without members as long; writes the log anew if it is large.
    pub(crate) async fn expire(self: &Arc<Self>) -> Result<(), BrokerError> {
        let before_ms = self.config.clock.now_ms() - self.config.offsets_retention_ms;
        self.forget(|held| expired(held, before_ms)).await?;
        let vacant: Vec<String> = {
            let inner = self.inner.lock();
            let gone = |held: &Held| {
                held.is_vacant() && held.offsets.is_empty() && held.in_flight == 0 && held.empty_since_ms < before_ms
            };
            inner.groups.iter().filter(|(_, held)| gone(held)).map(|(id, _)| id.clone()).collect()
        };
        for id in vacant {
            if let Err(CommitError::Log(error)) = self.delete(&id).await {
                return Err(error.into());
            }
        }
        self.rewrite_if_large().await
    }

    /// Possible only while nothing is on its way: what is would be neither in the new records nor after them.
    async fn rewrite_if_large(self: &Arc<Self>) -> Result<(), BrokerError> {
        let written = {
            let mut inner = self.inner.lock();
            if !self.log.is_large() || inner.in_flight > 0 {
                return Ok(());
            }
            let records: Vec<KeyValue> = inner.whole().iter().map(Entry::encode).collect();
            self.append(&mut inner, "", &records)
        };
        let this = self.clone();
        to_the_end(async move {
            let result = written.await;
            this.landed(&mut this.inner.lock(), "");
            let begin = result?;
            blocking(|| this.log.forget_before(begin))?;
            Ok(())
        })
        .await
    }

    /// What is due for all groups; gives in how many milliseconds the next is, if nothing happens.
    pub(crate) fn tick(self: &Arc<Self>) -> Option<i64> {
        let mut inner = self.inner.lock();
        let now_ms = self.now_ms();
        let due: Vec<String> = inner
            .groups
            .iter()
            .filter(|(_, held)| held.next_deadline_ms().is_some_and(|at_ms| at_ms <= now_ms))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.pass(&mut inner, &id);
        }
        let next_ms = inner.groups.values().filter_map(Held::next_deadline_ms).min();
        inner.wakes_ms = next_ms.unwrap_or(i64::MAX);
        next_ms.map(|at_ms| at_ms - now_ms)
    }

    /// All that holds, as the records that would bring it back.
    #[cfg(test)]
    pub(crate) fn whole(&self) -> Vec<Entry> {
        self.inner.lock().whole()
    }

    /// Lets time pass for all groups, for as long as the broker lives.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            match self.tick() {
                Some(ms) => {
                    let sleep = tokio::time::sleep(Duration::from_millis(ms.max(TICK_MS) as u64));
                    tokio::select! { () = sleep => {} () = self.wake.notified() => {} }
                }
                None => self.wake.notified().await,
            }
        }
    }
}

impl Inner {
    /// All that holds, as records.
    fn whole(&self) -> Vec<Entry> {
        let mut records = Vec::new();
        for (id, held) in &self.groups {
            if let Some(record) = held.group.kept() {
                records.push(Entry::Group { group: id.clone(), value: Some(record.clone()) });
            }
            if let Some(consumer) = &held.consumer {
                records.extend(consumer.records());
            }
            records.extend(held.offsets.iter().map(|((topic, partition), committed)| {
                let (group, topic, partition) = (id.clone(), topic.clone(), *partition);
                Entry::Offset { group, topic, partition, value: Some(committed.value.clone()) }
            }));
        }
        records
    }

    fn take_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// A group that was only asked for leaves nothing behind.
    fn forget_if_nothing(&mut self, group_id: &str) {
        let is_nothing = |held: &Held| {
            held.is_vacant()
                && held.consumer.is_none()
                && held.group.generation() == 0
                && held.offsets.is_empty()
                && held.in_flight == 0
        };
        if self.groups.get(group_id).is_some_and(is_nothing) {
            self.groups.remove(group_id);
        }
    }
}

/// A group without a name cannot have members, nor be asked for; only offsets are kept for it, as for older clients.
pub fn named(group_id: &str) -> Result<(), GroupError> {
    if group_id.is_empty() { Err(GroupError::InvalidGroupId) } else { Ok(()) }
}

fn removal(group_id: &str, held: &Held) -> Vec<KeyValue> {
    let mut records: Vec<KeyValue> =
        held.offsets.keys().map(|(topic, partition)| tombstone(group_id, topic, *partition)).collect();
    records.extend(held.consumer.iter().flat_map(ConsumerGroup::removal).map(|entry| entry.encode()));
    records.push(Entry::Group { group: group_id.to_string(), value: None }.encode());
    records
}

fn describe(held: &Held, with_members: bool) -> GroupDescription {
    let group = &held.group;
    if let Some(consumer) = &held.consumer {
        return GroupDescription {
            id: group.id.clone(),
            kind: GroupKind::Consumer,
            state: consumer.state(),
            protocol_type: "consumer".to_string(),
            protocol: String::new(),
            members: Vec::new(),
        };
    }
    let stable = group.state() == GroupState::Stable;
    let one = |member: &Member| MemberDescription {
        id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: if stable { group.metadata_of(member) } else { bytes::Bytes::new() },
        assignment: if stable { member.assignment.clone() } else { bytes::Bytes::new() },
    };
    GroupDescription {
        id: group.id.clone(),
        kind: GroupKind::Classic,
        state: group.state().name(),
        protocol_type: group.protocol_type().unwrap_or_default().to_string(),
        protocol: if stable { group.protocol().unwrap_or_default().to_string() } else { String::new() },
        members: if with_members { group.members().map(one).collect() } else { Vec::new() },
    }
}

fn uuid(chance: &mut fastrand::Rng) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(chance.u128(..).to_be_bytes()).into_uuid()
}
