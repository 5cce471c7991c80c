//! A consumer group of the classic protocol as a state machine: who is a member, which generation it is, and what everybody is waiting for.
//!
//! Nothing here waits, writes or looks at a clock. A call takes the time it is (`now_ms`, any steady clock) and pushes [`Effect`]s: answers to
//! requests that were parked under a [`Ticket`], and a record to be made durable, whose outcome comes back by [`Group::persisted`].
//! The rules are those of Kafka's group coordinator (KIP-62, KIP-134 delayed first rebalance, KIP-345 static
//! members, KIP-394 known member ids, KIP-814).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::exchange::{Effect, GroupError, GroupState, Join, JoinRefused, Joined, Rules, Sync, Synced, Ticket};
use super::record::{GroupRecord, MemberRecord};

/// How long a member that joined a running rebalance may stay silent, as its client cannot send heartbeats before the join is answered.
const NEW_MEMBER_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// A member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Id given by the coordinator.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// From the request's header.
    pub client_id: String,
    /// The address the client came from.
    pub client_host: String,
    /// Silence after which the member is removed.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for this member.
    pub rebalance_timeout_ms: i32,
    /// Assignors with the member's metadata, best first.
    pub protocols: Vec<(String, Bytes)>,
    /// What the leader gave it.
    pub assignment: Bytes,
    awaiting_join: Option<Ticket>,
    awaiting_sync: Option<Ticket>,
    /// It has taken a static member's place, and that is being written: the join waits for it.
    taking_place: Option<(Ticket, Joined)>,
    is_new: bool,
    expires_ms: i64,
}

impl Member {
    fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| Some(name.as_str()) == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// The join that waits for an answer, which is now to be another one.
    fn parked_join(&mut self) -> Option<Ticket> {
        self.awaiting_join.take().or(self.taking_place.take().map(|(ticket, _)| ticket))
    }

    /// Silence counts only while the member is not itself kept waiting, except for one that is new: its client may be gone for good.
    fn expires(&self) -> bool {
        self.is_new || (self.awaiting_join.is_none() && self.awaiting_sync.is_none())
    }
}

/// Members that start together are to share the first assignment (KIP-134).
#[derive(Debug)]
struct Gathering {
    /// How long it waits for one more.
    delay_ms: i64,
    /// However many come, it ends then.
    ends_ms: i64,
    /// Somebody came since the wait was last begun.
    has_newcomer: bool,
}

/// A consumer group.
#[derive(Debug)]
pub struct Group {
    /// Name.
    pub id: String,
    state: GroupState,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Instance id to member id.
    statics: BTreeMap<String, String>,
    /// Ids given out but not come back yet, with the time at which they are forgotten.
    pending: BTreeMap<String, i64>,
    /// Members of this generation that have not asked for their assignment yet.
    pending_sync: BTreeSet<String>,
    /// When the phase of the rebalance that runs ends, whoever is missing.
    phase_ends_ms: Option<i64>,
    /// The first rebalance of a group in which nobody was, as long as it waits for more members.
    gathering: Option<Gathering>,
    /// The leader's assignment while its record is being written.
    assigning: bool,
    /// The record that the log has of it, and its offset there. In a rebalance it is not what the group is about to be.
    kept: Option<(i64, GroupRecord)>,
}

impl Group {
    /// A group without members.
    pub fn new(id: &str) -> Self {
        Group {
            id: id.to_string(),
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            phase_ends_ms: None,
            gathering: None,
            assigning: false,
            kept: None,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// The generation, counted from 1.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// `consumer`, …; nothing for a group that only ever had offsets committed.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The assignor in use.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Members by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Metadata of a member for the assignor in use.
    pub fn metadata_of(&self, member: &Member) -> Bytes {
        member.metadata(self.protocol())
    }

    /// Whether it is only a name, which can be forgotten if it has no offsets.
    pub fn is_vacant(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    /// A member asks to join. Answered by [`Effect::Joined`] under `ticket`, now or later.
    pub fn join(&mut self, now_ms: i64, ticket: Ticket, join: Join, rules: Rules, effects: &mut Vec<Effect>) {
        let refuse = |error, member_id: &str, effects: &mut Vec<Effect>| {
            effects.push(Effect::Joined(ticket, Err(JoinRefused { error, member_id: member_id.to_string() })));
        };
        if self.state == GroupState::Dead {
            return refuse(GroupError::CoordinatorNotAvailable, &join.member_id, effects);
        }
        let has_place = self.members.contains_key(&join.member_id) || self.pending.contains_key(&join.member_id);
        if !has_place && self.members.len() + self.pending.len() >= rules.size_max {
            return refuse(GroupError::MaxSizeReached, &join.member_id, effects);
        }
        if !self.supports(&join) {
            return refuse(GroupError::InconsistentProtocol, &join.member_id, effects);
        }
        if join.member_id.is_empty() {
            let member_id = join.fresh_member_id.clone();
            match &join.instance_id {
                Some(instance_id) if self.statics.contains_key(instance_id) => {
                    self.replace_static(now_ms, ticket, member_id, join, effects);
                }
                None if join.require_known_member_id => {
                    self.pending.insert(member_id.clone(), now_ms + i64::from(join.session_timeout_ms));
                    refuse(GroupError::MemberIdRequired, &member_id, effects);
                }
                _ => self.add_member(now_ms, ticket, member_id, join, rules, effects),
            }
            return;
        }
        if self.pending.contains_key(&join.member_id) {
            return self.add_member(now_ms, ticket, join.member_id.clone(), join, rules, effects);
        }
        if let Err(error) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            return refuse(error, &join.member_id, effects);
        }
        let unchanged = self.members[&join.member_id].protocols == join.protocols;
        let is_leader = self.leader.as_deref() == Some(join.member_id.as_str());
        let answer_now = match self.state {
            GroupState::CompletingRebalance => unchanged,
            // The leader joins anew to have partitions assigned again.
            GroupState::Stable => unchanged && !is_leader,
            _ => false,
        };
        if answer_now {
            let joined = self.joined(&join.member_id);
            self.touch(now_ms, &join.member_id);
            effects.push(Effect::Joined(ticket, Ok(joined)));
        } else {
            self.update_member(now_ms, ticket, join, effects);
            self.prepare_rebalance(now_ms, effects);
        }
    }

    /// A member asks for its assignment. Answered by [`Effect::Synced`] under `ticket`, now or later.
    pub fn sync(&mut self, now_ms: i64, ticket: Ticket, sync: Sync, effects: &mut Vec<Effect>) {
        if let Err(error) = self.check_sync(&sync) {
            return effects.push(Effect::Synced(ticket, Err(error)));
        }
        self.pending_sync.remove(&sync.member_id);
        self.touch(now_ms, &sync.member_id);
        if self.state == GroupState::Stable {
            let synced = self.synced(&sync.member_id);
            return effects.push(Effect::Synced(ticket, Ok(synced)));
        }
        let is_leader = self.leader.as_deref() == Some(sync.member_id.as_str());
        let member = self.members.get_mut(&sync.member_id).expect("checked by check_sync");
        if let Some(earlier) = member.awaiting_sync.replace(ticket) {
            effects.push(Effect::Synced(earlier, Err(GroupError::RebalanceInProgress)));
        }
        if is_leader && !self.assigning {
            self.assigning = true;
            let mut record = self.record();
            for (member_id, assignment) in sync.assignments {
                if let Some(member) = record.members.iter_mut().find(|member| member.id == member_id) {
                    member.assignment = assignment;
                }
            }
            effects.push(Effect::Persist(record));
        }
    }

    /// What would bring the group back as a crash now would leave it; `None`: the log knows nothing of it.
    pub fn kept(&self) -> Option<&GroupRecord> {
        self.kept.as_ref().map(|(_, record)| record)
    }

    /// The record of [`Effect::Persist`] is durable at this offset, or could not be written.
    pub fn persisted(&mut self, now_ms: i64, record: GroupRecord, offset: Option<i64>, effects: &mut Vec<Effect>) {
        if let Some(offset) = offset
            && self.kept.as_ref().is_none_or(|(before, _)| *before < offset)
        {
            self.kept = Some((offset, record.clone()));
        }
        self.take_places(&record, offset.is_some(), effects);
        let current = self.state == GroupState::CompletingRebalance && self.assigning;
        if record.members.is_empty() || record.generation != self.generation || !current {
            return;
        }
        self.assigning = false;
        if offset.is_none() {
            self.cancel_syncs(now_ms, GroupError::NotCoordinator, effects);
            return self.prepare_rebalance(now_ms, effects);
        }
        self.state = GroupState::Stable;
        for written in record.members {
            if let Some(member) = self.members.get_mut(&written.id) {
                member.assignment = written.assignment;
            }
        }
        let waiting: Vec<(String, Ticket)> = self
            .members
            .values_mut()
            .filter_map(|member| member.awaiting_sync.take().map(|ticket| (member.id.clone(), ticket)))
            .collect();
        for (member_id, ticket) in waiting {
            self.touch(now_ms, &member_id);
            effects.push(Effect::Synced(ticket, Ok(self.synced(&member_id))));
        }
    }

    /// A member is alive. Its client learns by the error that it has to join again.
    pub fn heartbeat(
        &mut self,
        now_ms: i64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.touch(now_ms, member_id);
        match self.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// A member leaves; an administrator names a static member by its instance id alone. Gives the id of the member that left.
    pub fn leave(
        &mut self,
        now_ms: i64,
        member_id: &str,
        instance_id: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        if self.pending.remove(member_id).is_some() {
            self.try_complete_join(now_ms, effects);
            return Ok(());
        }
        let member_id = match instance_id {
            Some(instance) if member_id.is_empty() => {
                self.statics.get(instance).cloned().ok_or(GroupError::UnknownMemberId)?
            }
            _ => member_id.to_string(),
        };
        self.check_member(&member_id, instance_id)?;
        self.remove_member(now_ms, &member_id, effects);
        Ok(())
    }

    /// Whether offsets may be committed in the name of this member; a simple consumer (generation below 0) may while there are no members.
    pub fn check_commit(
        &mut self,
        now_ms: i64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::UnknownMemberId);
        }
        if generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        // The assignment may be taking this member's partitions away at this moment.
        if self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        self.touch(now_ms, member_id);
        Ok(())
    }

    /// As [`Group::check_commit`], in a transaction: also while an assignment is being made, since the producer may only commit what
    /// its member read before (KIP-447).
    pub fn check_transactional_commit(
        &mut self,
        now_ms: i64,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::UnknownMemberId);
        }
        if generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.touch(now_ms, member_id);
        Ok(())
    }

    /// The group is removed: possible without members only.
    pub fn remove(&mut self) -> Result<(), GroupError> {
        match self.state {
            GroupState::Dead => Err(GroupError::GroupIdNotFound),
            GroupState::Empty => {
                self.state = GroupState::Dead;
                Ok(())
            }
            _ => Err(GroupError::NonEmptyGroup),
        }
    }

    /// When [`Group::tick`] has something to do, if nothing else happens.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let members = self.members.values().filter(|member| member.expires()).map(|member| member.expires_ms);
        members.chain(self.pending.values().copied()).chain(self.phase_ends_ms).min()
    }

    /// Time has passed: silent members are removed, a phase that lasted too long ends without the missing.
    pub fn tick(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        let forgotten = self.pending.len();
        self.pending.retain(|_, expires_ms| *expires_ms > now_ms);
        if self.pending.len() != forgotten {
            self.try_complete_join(now_ms, effects);
        }
        let silent: Vec<String> = self
            .members
            .values()
            .filter(|member| member.expires() && member.expires_ms <= now_ms)
            .map(|member| member.id.clone())
            .collect();
        for member_id in silent {
            tracing::info!(group = %self.id, member = %member_id, "member was silent for its session time-out: removed");
            self.remove_member(now_ms, &member_id, effects);
        }
        if self.phase_ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms) {
            self.phase_ends_ms = None;
            match self.state {
                GroupState::PreparingRebalance => self.end_gathering(now_ms, effects),
                GroupState::CompletingRebalance | GroupState::Stable => self.expire_pending_sync(now_ms, effects),
                GroupState::Empty | GroupState::Dead => {}
            }
        }
    }

    /// The group as a record.
    pub fn record(&self) -> GroupRecord {
        GroupRecord {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            written_ms: 0,
            members: self
                .members
                .values()
                .map(|member| MemberRecord {
                    id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    session_timeout_ms: member.session_timeout_ms,
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    subscription: self.metadata_of(member),
                    assignment: member.assignment.clone(),
                })
                .collect(),
        }
    }

    /// The group as it was when its record was written; its members have their whole session time-out to be heard of.
    pub fn restore(id: &str, record: GroupRecord, now_ms: i64) -> Self {
        let mut group = Group::new(id);
        group.kept = Some((-1, record.clone()));
        group.generation = record.generation;
        group.protocol_type = record.protocol_type;
        group.protocol = record.protocol;
        group.leader = record.leader;
        group.state = if record.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        let protocol = group.protocol.clone().unwrap_or_default();
        for member in record.members {
            if let Some(instance_id) = &member.instance_id {
                group.statics.insert(instance_id.clone(), member.id.clone());
            }
            let expires_ms = now_ms + i64::from(member.session_timeout_ms);
            group.members.insert(
                member.id.clone(),
                Member {
                    id: member.id,
                    instance_id: member.instance_id,
                    client_id: member.client_id,
                    client_host: member.client_host,
                    session_timeout_ms: member.session_timeout_ms,
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    protocols: vec![(protocol.clone(), member.subscription)],
                    assignment: member.assignment,
                    awaiting_join: None,
                    awaiting_sync: None,
                    taking_place: None,
                    is_new: false,
                    expires_ms,
                },
            );
        }
        group
    }

    fn supports(&self, join: &Join) -> bool {
        if self.members.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(join.protocol_type.as_str())
            && join.protocols.iter().any(|(name, _)| self.known_to_all(name))
    }

    fn known_to_all(&self, protocol: &str) -> bool {
        self.members.values().all(|member| member.protocols.iter().any(|(name, _)| name == protocol))
    }

    /// Each member votes for the first of its protocols that all know; a tie goes to the name that sorts first.
    fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| self.known_to_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_string())
    }

    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.statics.get(instance_id) {
                None => return Err(GroupError::UnknownMemberId),
                Some(current) if current != member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        if self.state == GroupState::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        self.check_member(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |said: &Option<String>, is: &Option<String>| said.is_some() && said != is;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn add_member(
        &mut self,
        now_ms: i64,
        ticket: Ticket,
        id: String,
        join: Join,
        rules: Rules,
        effects: &mut Vec<Effect>,
    ) {
        self.pending.remove(&id);
        if let Some(gathering) = &mut self.gathering {
            gathering.has_newcomer = true;
        } else if self.state == GroupState::Empty && rules.initial_delay_ms > 0 {
            let delay_ms = rules.initial_delay_ms;
            let ends_ms = now_ms + delay_ms.max(i64::from(join.rebalance_timeout_ms));
            self.gathering = Some(Gathering { delay_ms, ends_ms, has_newcomer: false });
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        if let Some(instance_id) = &join.instance_id {
            self.statics.insert(instance_id.clone(), id.clone());
        }
        self.members.insert(
            id.clone(),
            Member {
                id,
                instance_id: join.instance_id,
                client_id: join.client_id,
                client_host: join.client_host,
                session_timeout_ms: join.session_timeout_ms,
                rebalance_timeout_ms: join.rebalance_timeout_ms,
                protocols: join.protocols,
                assignment: Bytes::new(),
                awaiting_join: Some(ticket),
                awaiting_sync: None,
                taking_place: None,
                is_new: true,
                expires_ms: now_ms + NEW_MEMBER_TIMEOUT_MS,
            },
        );
        self.prepare_rebalance(now_ms, effects);
    }

    fn update_member(&mut self, now_ms: i64, ticket: Ticket, join: Join, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(&join.member_id) else { return };
        member.protocols = join.protocols;
        member.client_id = join.client_id;
        member.client_host = join.client_host;
        member.session_timeout_ms = join.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        let earlier = member.parked_join();
        member.awaiting_join = Some(ticket);
        self.touch(now_ms, &join.member_id);
        if let Some(earlier) = earlier {
            let refused = JoinRefused { error: GroupError::RebalanceInProgress, member_id: join.member_id };
            effects.push(Effect::Joined(earlier, Err(refused)));
        }
    }

    /// A static member came back after a restart of its client: the new one takes the place, the old one is fenced.
    fn replace_static(&mut self, now_ms: i64, ticket: Ticket, id: String, mut join: Join, effects: &mut Vec<Effect>) {
        let instance_id = join.instance_id.clone().expect("static members have an instance id");
        let old_id = self.statics.insert(instance_id, id.clone()).expect("the caller found it");
        let mut member = self.members.remove(&old_id).expect("every static member is a member");
        if let Some(parked) = member.parked_join() {
            let refused = JoinRefused { error: GroupError::FencedInstanceId, member_id: old_id.clone() };
            effects.push(Effect::Joined(parked, Err(refused)));
        }
        if let Some(parked) = member.awaiting_sync.take() {
            effects.push(Effect::Synced(parked, Err(GroupError::FencedInstanceId)));
        }
        let was_leader = self.leader.as_deref() == Some(old_id.as_str());
        if was_leader {
            self.leader = Some(id.clone());
        }
        if self.pending_sync.remove(&old_id) {
            self.pending_sync.insert(id.clone());
        }
        member.id = id.clone();
        self.members.insert(id.clone(), member);
        join.member_id = id.clone();
        let skips = join.supports_skipping_assignment;
        self.update_member(now_ms, ticket, join, effects);
        if self.state != GroupState::Stable || self.select_protocol() != self.protocol {
            return self.prepare_rebalance(now_ms, effects);
        }
        self.touch(now_ms, &id);
        let mut joined = self.joined(&id);
        if was_leader && skips {
            joined.skip_assignment = true;
        } else if was_leader {
            // An older client would assign if it thought it was the leader; the assignment stands, so it is shown its former self.
            joined.leader = old_id;
            joined.members.clear();
        }
        let member = self.members.get_mut(&id).expect("inserted above");
        member.awaiting_join = None;
        member.taking_place = Some((ticket, joined));
        effects.push(Effect::Persist(self.record()));
    }

    /// Answers those who have taken places as the record has it. Before, a crash could bring back the one before, who would fence the new one.
    fn take_places(&mut self, record: &GroupRecord, is_durable: bool, effects: &mut Vec<Effect>) {
        for written in &record.members {
            let member = self.members.get_mut(&written.id);
            let Some((ticket, joined)) = member.and_then(|member| member.taking_place.take()) else { continue };
            let refused = JoinRefused { error: GroupError::CoordinatorNotAvailable, member_id: String::new() };
            effects.push(Effect::Joined(ticket, if is_durable { Ok(joined) } else { Err(refused) }));
        }
    }

    fn remove_member(&mut self, now_ms: i64, member_id: &str, effects: &mut Vec<Effect>) {
        let Some(mut member) = self.members.remove(member_id) else { return };
        if let Some(parked) = member.parked_join() {
            let refused = JoinRefused { error: GroupError::UnknownMemberId, member_id: member_id.to_string() };
            effects.push(Effect::Joined(parked, Err(refused)));
        }
        if let Some(parked) = member.awaiting_sync {
            effects.push(Effect::Synced(parked, Err(GroupError::UnknownMemberId)));
        }
        if let Some(instance_id) = &member.instance_id {
            self.statics.remove(instance_id);
        }
        self.pending_sync.remove(member_id);
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(now_ms, effects),
            GroupState::PreparingRebalance => self.try_complete_join(now_ms, effects),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    fn prepare_rebalance(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        if self.state != GroupState::PreparingRebalance {
            self.cancel_syncs(now_ms, GroupError::RebalanceInProgress, effects);
            self.assigning = false;
            self.pending_sync.clear();
            for member in self.members.values_mut() {
                // It has joined, and does so in what begins now.
                if let Some((ticket, _)) = member.taking_place.take() {
                    member.awaiting_join.get_or_insert(ticket);
                }
            }
            self.state = GroupState::PreparingRebalance;
            let wait_ms = self.gathering.as_ref().map_or_else(|| self.rebalance_timeout_ms(), |it| it.delay_ms);
            self.phase_ends_ms = Some(now_ms + wait_ms);
        }
        self.try_complete_join(now_ms, effects);
    }

    /// The wait for more members is over, or goes on for who may yet come.
    fn end_gathering(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        match &mut self.gathering {
            Some(gathering) if gathering.has_newcomer && now_ms < gathering.ends_ms => {
                gathering.has_newcomer = false;
                self.phase_ends_ms = Some(gathering.ends_ms.min(now_ms + gathering.delay_ms));
            }
            _ => {
                self.gathering = None;
                self.complete_join(now_ms, effects);
            }
        }
    }

    fn cancel_syncs(&mut self, now_ms: i64, error: GroupError, effects: &mut Vec<Effect>) {
        for member in self.members.values_mut() {
            if let Some(parked) = member.awaiting_sync.take() {
                // It could not show itself while it was kept waiting.
                member.expires_ms = now_ms + i64::from(member.session_timeout_ms);
                effects.push(Effect::Synced(parked, Err(error)));
            }
        }
    }

    fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    fn try_complete_join(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        let all_here = self.pending.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state == GroupState::PreparingRebalance && self.gathering.is_none() && all_here {
            self.complete_join(now_ms, effects);
        }
    }

    fn complete_join(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        let missing: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for member_id in missing {
            self.members.remove(&member_id);
        }
        let leader_here =
            self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(|m| m.awaiting_join.is_some());
        if !leader_here {
            let here = self.members.values().find(|member| member.awaiting_join.is_some());
            match here {
                Some(member) => self.leader = Some(member.id.clone()),
                None if self.members.is_empty() => self.leader = None,
                // Only static members that have not come back: they keep their places until their sessions end.
                None => {
                    self.phase_ends_ms = Some(now_ms + self.rebalance_timeout_ms().max(1));
                    return;
                }
            }
        }
        self.generation = if self.generation == i32::MAX { 1 } else { self.generation + 1 };
        self.phase_ends_ms = None;
        self.protocol = self.select_protocol();
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            return effects.push(Effect::Persist(self.record()));
        }
        self.state = GroupState::CompletingRebalance;
        self.phase_ends_ms = Some(now_ms + self.rebalance_timeout_ms());
        let waiting: Vec<(String, Ticket)> = self
            .members
            .values_mut()
            .filter_map(|member| member.awaiting_join.take().map(|ticket| (member.id.clone(), ticket)))
            .collect();
        for (member_id, ticket) in waiting {
            self.members.get_mut(&member_id).expect("collected above").is_new = false;
            self.touch(now_ms, &member_id);
            self.pending_sync.insert(member_id.clone());
            effects.push(Effect::Joined(ticket, Ok(self.joined(&member_id))));
        }
    }

    /// Members that joined but never asked for their assignment hold partitions that nobody reads: out with them.
    fn expire_pending_sync(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        let missing = std::mem::take(&mut self.pending_sync);
        if missing.is_empty() && self.state == GroupState::CompletingRebalance {
            return self.prepare_rebalance(now_ms, effects);
        }
        for member_id in missing {
            self.remove_member(now_ms, &member_id, effects);
        }
    }

    fn touch(&mut self, now_ms: i64, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.expires_ms = now_ms + i64::from(member.session_timeout_ms);
        }
    }

    fn joined(&self, member_id: &str) -> Joined {
        let leader = self.leader.clone().unwrap_or_default();
        let members = if leader == member_id {
            let each = self.members.values();
            each.map(|member| (member.id.clone(), member.instance_id.clone(), self.metadata_of(member))).collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            skip_assignment: false,
            member_id: member_id.to_string(),
            members,
        }
    }

    fn synced(&self, member_id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(member_id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }
}
