//! A group of the new protocol as a state machine. Nothing here waits, writes or looks at a clock: a heartbeat takes the time it is, changes the
//! group and gives the records of what changed; its answer is sent once they are durable.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::assignor::{Assignor, Candidate};
use super::reconcile::{self, Current, MemberState};
use super::{Catalog, Parts, contains, each};
use crate::groups::exchange::GroupError;
use crate::groups::record::Entry;

/// Epoch of a member that joins.
pub const JOIN_EPOCH: i32 = 0;
/// Epoch of a member that leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// Epoch of a static member that leaves for a while.
pub const LEAVE_STATIC_EPOCH: i32 = -2;
/// Memory that a compiled pattern may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What holds for the group: its own configuration before the broker's (`group.consumer.…`).
#[derive(Debug, Clone)]
pub struct Rules {
    /// Silence after which a member is removed.
    pub session_timeout_ms: i32,
    /// Most members.
    pub size_max: usize,
    /// Assignors, the default first.
    pub assignors: Vec<Assignor>,
}

/// A heartbeat: what the member says, nothing where nothing changed.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    /// Chosen by the member.
    pub member_id: String,
    /// Its epoch, or one of the three constants.
    pub epoch: i32,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The member's rack.
    pub rack_id: Option<String>,
    /// How long it may take to give partitions up; -1: as before.
    pub rebalance_timeout_ms: i32,
    /// Topics.
    pub names: Option<Vec<String>>,
    /// Pattern of topics' names; empty: none any more.
    pub regex: Option<String>,
    /// The assignor that it would have.
    pub assignor: Option<String>,
    /// What it has.
    pub owned: Option<Parts>,
    /// From the request's header.
    pub client_id: String,
    /// The address the client came from.
    pub client_host: String,
}

impl Beat {
    /// Whether it can be what it says to be, whatever group it is for.
    pub(crate) fn check(&self, rules: &Rules) -> Result<(), Refused> {
        let wrong = |words: &str| refuse(GroupError::InvalidRequest, words);
        if self.member_id.is_empty() {
            return wrong("MemberId can't be empty.");
        }
        if self.instance_id.as_deref() == Some("") {
            return wrong("InstanceId can't be empty.");
        }
        if self.rack_id.as_deref() == Some("") {
            return wrong("RackId can't be empty.");
        }
        match self.epoch {
            JOIN_EPOCH if self.rebalance_timeout_ms < 0 => {
                return wrong("RebalanceTimeoutMs must be provided in first request.");
            }
            JOIN_EPOCH if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return wrong("TopicPartitions must be empty when (re-)joining.");
            }
            JOIN_EPOCH if self.names.is_none() && self.regex.as_deref().unwrap_or_default().is_empty() => {
                return wrong(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            LEAVE_STATIC_EPOCH if self.instance_id.is_none() => {
                return wrong("InstanceId must be provided when a static member leaves for a while.");
            }
            epoch if epoch < LEAVE_STATIC_EPOCH => return wrong("MemberEpoch is invalid."),
            _ => {}
        }
        match self.assignor.as_deref() {
            Some(name) if !rules.assignors.iter().any(|assignor| assignor.name() == name) => {
                let names: Vec<&str> = rules.assignors.iter().map(|assignor| assignor.name()).collect();
                let words =
                    format!("ServerAssignor {name} is not supported. Supported assignors: {}.", names.join(", "));
                refuse(GroupError::UnsupportedAssignor, words)
            }
            _ => Ok(()),
        }
    }
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beaten {
    /// Epoch from now on.
    pub epoch: i32,
    /// What it has from now on, if it does not know.
    pub assignment: Option<Parts>,
}

/// Why a heartbeat was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The code's reason.
    pub error: GroupError,
    /// In words.
    pub words: String,
}

fn refuse<T>(error: GroupError, words: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { error, words: words.into() })
}

/// What of a member is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemberRecord {
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The member's rack.
    pub rack_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// How long it may take to give partitions up.
    pub rebalance_timeout_ms: i32,
    /// Topics.
    pub names: BTreeSet<String>,
    /// Pattern of topics' names.
    pub regex: Option<String>,
    /// The assignor that it would have.
    pub assignor: Option<String>,
    /// What it is meant to have.
    pub target: Parts,
    /// What it has.
    pub current: Current,
}

/// What of a group is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Counts every change of members, subscriptions and topics.
    pub epoch: i32,
    /// The epoch that the target is for.
    pub target_epoch: i32,
}

/// A member.
#[derive(Debug, Clone)]
pub struct Member {
    /// What is kept of it.
    pub kept: MemberRecord,
    expires_ms: i64,
    revoked_by_ms: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub struct ConsumerGroup {
    /// Name.
    pub id: String,
    kept: GroupRecord,
    members: BTreeMap<String, Member>,
    statics: HashMap<String, String>,
    /// Who has, or is giving up, each partition.
    owners: HashMap<(Uuid, i32), String>,
    patterns: HashMap<String, Regex>,
    /// What is subscribed to, as it was when the catalog had that version.
    topics: BTreeMap<String, (Uuid, i32)>,
    catalog_version: Option<u64>,
}

impl ConsumerGroup {
    /// A group without members, whose epochs go on from `epoch`.
    pub fn new(id: &str, epoch: i32) -> Self {
        ConsumerGroup {
            id: id.to_string(),
            kept: GroupRecord { epoch, target_epoch: epoch },
            members: BTreeMap::new(),
            statics: HashMap::new(),
            owners: HashMap::new(),
            patterns: HashMap::new(),
            topics: BTreeMap::new(),
            catalog_version: None,
        }
    }

    /// Takes the group's record back.
    pub fn restore(&mut self, kept: GroupRecord) {
        self.kept = kept;
    }

    /// Takes a member's record back, or its removal.
    pub fn restore_member(&mut self, id: &str, kept: Option<MemberRecord>, expires_ms: i64) {
        self.remove(id);
        if let Some(kept) = kept {
            let current = kept.current.clone();
            if let Some(instance) = &kept.instance_id {
                self.statics.insert(instance.clone(), id.to_string());
            }
            let revoked_by_ms = (current.state == MemberState::UnrevokedPartitions).then_some(expires_ms);
            self.members.insert(id.to_string(), Member { kept, expires_ms, revoked_by_ms });
            self.own(id, current);
        }
    }

    /// The group's epoch.
    pub fn epoch(&self) -> i32 {
        self.kept.epoch
    }

    /// The epoch of the target.
    pub fn target_epoch(&self) -> i32 {
        self.kept.target_epoch
    }

    /// Members by id.
    pub fn members(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// `Empty`, `Assigning`, `Reconciling` or `Stable`.
    pub fn state(&self) -> &'static str {
        let settled = |member: &Member| {
            member.kept.current.state == MemberState::Stable && member.kept.current.epoch == self.kept.target_epoch
        };
        if self.members.is_empty() {
            "Empty"
        } else if self.kept.epoch > self.kept.target_epoch {
            "Assigning"
        } else if self.members.values().all(settled) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Whether a member reads the topic.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        let reads = |member: &Member| {
            let pattern = member.kept.regex.as_ref().and_then(|pattern| self.patterns.get(pattern));
            member.kept.names.contains(topic) || pattern.is_some_and(|pattern| pattern.is_match(topic))
        };
        self.members.values().any(reads)
    }

    /// The assignor that most members want; the default if none says.
    pub fn assignor(&self, rules: &Rules) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        let wishes = self.members.values().filter_map(|member| member.kept.assignor.as_deref());
        for wish in wishes.filter_map(Assignor::from_name).filter(|wish| rules.assignors.contains(wish)) {
            *votes.entry(wish).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count).map(|(wish, _)| wish);
        most.or_else(|| rules.assignors.first().copied()).unwrap_or(Assignor::Uniform)
    }

    /// Every record of the group: what a log written anew begins with.
    pub fn records(&self) -> Vec<Entry> {
        let members = self.members.iter().map(|(id, member)| self.member_entry(id, Some(member.kept.clone())));
        [self.entry()].into_iter().chain(members).collect()
    }

    /// The records that remove it.
    pub fn removal(&self) -> Vec<Entry> {
        let members = self.members.keys().map(|id| self.member_entry(id, None));
        members.chain([Entry::ConsumerGroup { group: self.id.clone(), value: None }]).collect()
    }

    fn entry(&self) -> Entry {
        Entry::ConsumerGroup { group: self.id.clone(), value: Some(self.kept.clone()) }
    }

    fn member_entry(&self, id: &str, value: Option<MemberRecord>) -> Entry {
        Entry::ConsumerMember { group: self.id.clone(), member: id.to_string(), value }
    }

    /// Whether offsets may be committed in the name of this member and epoch. In nobody's name, as tools and consumers do that assign
    /// themselves, only while the group is empty: a member would not learn that its offset was moved.
    pub fn check_commit(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        if member_id.is_empty() && !self.members.is_empty() {
            return Err(GroupError::UnknownMemberId);
        }
        self.check_epoch(member_id, epoch)
    }

    /// Whether offsets may be read in the name of this member and epoch; in nobody's name they always may.
    pub fn check_epoch(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        if epoch < 0 && (self.members.is_empty() || member_id.is_empty()) {
            return Ok(());
        }
        match self.members.get(member_id) {
            None => Err(GroupError::UnknownMemberId),
            Some(member) if member.kept.current.epoch != epoch => Err(GroupError::StaleMemberEpoch),
            Some(_) => Ok(()),
        }
    }

    /// A member shows itself: it joins, goes on, or leaves. What is to be made durable before it is answered is put into `records`.
    pub fn beat(
        &mut self,
        now_ms: i64,
        rules: &Rules,
        catalog: &dyn Catalog,
        beat: Beat,
        records: &mut Vec<Entry>,
    ) -> Result<Beaten, Refused> {
        beat.check(rules)?;
        if beat.epoch < 0 {
            return self.leave(&beat, records);
        }
        let before = self.kept.clone();
        let mut changed = BTreeSet::new();
        let pattern = match beat.regex.as_deref() {
            Some(text) if !text.is_empty() && !self.patterns.contains_key(text) => Some((text, compile(text)?)),
            _ => None,
        };
        let subscribed = self.place(now_ms, rules, &beat, records)?;
        if let Some((text, pattern)) = pattern {
            self.patterns.insert(text.to_string(), pattern);
        }
        let said = self.subscribe(&beat) || subscribed;
        if subscribed || said {
            changed.insert(beat.member_id.clone());
        }
        let used: BTreeSet<&String> = self.members.values().filter_map(|member| member.kept.regex.as_ref()).collect();
        self.patterns.retain(|text, _| used.contains(text));
        if said || self.catalog_version != Some(catalog.version()) {
            self.catalog_version = Some(catalog.version());
            let topics = self.resolve(catalog);
            if said || topics != self.topics {
                self.topics = topics;
                self.kept.epoch += 1;
            }
        }
        if self.kept.epoch > self.kept.target_epoch {
            self.assign(rules, &mut changed);
        }
        let is_full = beat.epoch == JOIN_EPOCH
            || (beat.rebalance_timeout_ms >= 0
                && (beat.names.is_some() || beat.regex.is_some())
                && beat.owned.is_some());
        let moved = self.advance(now_ms, &beat.member_id, beat.owned.as_ref());
        if moved {
            changed.insert(beat.member_id.clone());
        }
        let member = self.members.get_mut(&beat.member_id).expect("placed above");
        member.expires_ms = now_ms + i64::from(rules.session_timeout_ms);
        let current = &member.kept.current;
        let answer = Beaten { epoch: current.epoch, assignment: (moved || is_full).then(|| current.assigned.clone()) };
        if self.kept != before {
            records.push(self.entry());
        }
        records.extend(changed.iter().map(|id| self.member_entry(id, self.members.get(id).map(|it| it.kept.clone()))));
        Ok(answer)
    }

    /// Finds the member's place or makes one. True: it is new, so the group changes.
    fn place(&mut self, now_ms: i64, rules: &Rules, beat: &Beat, records: &mut Vec<Entry>) -> Result<bool, Refused> {
        let joins = beat.epoch == JOIN_EPOCH;
        let holder = beat.instance_id.as_ref().and_then(|instance| self.statics.get(instance)).cloned();
        if let (Some(instance), Some(holder)) = (&beat.instance_id, &holder)
            && *holder != beat.member_id
        {
            if !joins {
                let words = format!("another member has taken the place of group.instance.id {instance}");
                return refuse(GroupError::FencedInstanceId, words);
            }
            let Some(mut member) = self.members.get(holder).cloned() else {
                return refuse(GroupError::UnknownMemberId, "the static member is gone");
            };
            if member.kept.current.epoch != LEAVE_STATIC_EPOCH {
                let words = format!("group.instance.id {instance} is in use by member {holder}, which has not left");
                return refuse(GroupError::UnreleasedInstanceId, words);
            }
            self.remove(holder);
            records.push(self.member_entry(holder, None));
            // The new one takes over what the old one had; the group does not change.
            let current = Current { epoch: 0, previous_epoch: -1, ..member.kept.current.clone() };
            member.kept.instance_id = beat.instance_id.clone();
            self.statics.insert(instance.clone(), beat.member_id.clone());
            self.members.insert(beat.member_id.clone(), member);
            self.own(&beat.member_id, current);
            return Ok(false);
        }
        if let Some(member) = self.members.get(&beat.member_id) {
            let current = member.kept.current.clone();
            if joins {
                // It came back and has nothing: what it was giving up is given up.
                let rejoined = Current {
                    epoch: 0,
                    previous_epoch: -1,
                    state: MemberState::Stable,
                    revoking: Parts::new(),
                    ..current
                };
                self.own(&beat.member_id, rejoined);
                self.members.get_mut(&beat.member_id).expect("it is there").revoked_by_ms = None;
                return Ok(false);
            }
            let heard_less = beat.epoch == current.previous_epoch
                && beat
                    .owned
                    .as_ref()
                    .is_some_and(|owned| each(owned).all(|(id, number)| contains(&current.assigned, id, number)));
            if beat.epoch != current.epoch && !heard_less {
                let words = format!(
                    "the member is in epoch {}, not in {}: it has to give its partitions up and join again",
                    current.epoch, beat.epoch
                );
                return refuse(GroupError::FencedMemberEpoch, words);
            }
            return Ok(false);
        }
        if !joins {
            return refuse(GroupError::UnknownMemberId, format!("there is no member {}", beat.member_id));
        }
        if self.members.len() >= rules.size_max {
            let words = format!("the group has group.consumer.max.size={} members", rules.size_max);
            return refuse(GroupError::MaxSizeReached, words);
        }
        let kept = MemberRecord {
            instance_id: beat.instance_id.clone(),
            current: Current { previous_epoch: -1, ..Current::default() },
            ..MemberRecord::default()
        };
        if let Some(instance) = &beat.instance_id {
            self.statics.insert(instance.clone(), beat.member_id.clone());
        }
        self.members.insert(beat.member_id.clone(), Member { kept, expires_ms: now_ms, revoked_by_ms: None });
        Ok(true)
    }

    /// Takes what the member says of itself. True: the group changes.
    fn subscribe(&mut self, beat: &Beat) -> bool {
        let member = self.members.get_mut(&beat.member_id).expect("placed before");
        let before = member.kept.clone();
        let kept = &mut member.kept;
        if let Some(names) = &beat.names {
            kept.names = names.iter().cloned().collect();
        }
        if let Some(regex) = &beat.regex {
            kept.regex = Some(regex.clone()).filter(|text| !text.is_empty());
        }
        if let Some(assignor) = &beat.assignor {
            kept.assignor = Some(assignor.clone());
        }
        if let Some(rack) = &beat.rack_id {
            kept.rack_id = Some(rack.clone());
        }
        if beat.rebalance_timeout_ms >= 0 {
            kept.rebalance_timeout_ms = beat.rebalance_timeout_ms;
        }
        kept.client_id.clone_from(&beat.client_id);
        kept.client_host.clone_from(&beat.client_host);
        (&before.names, &before.regex, &before.assignor) != (&kept.names, &kept.regex, &kept.assignor)
    }

    /// The topics that somebody reads, as they are.
    fn resolve(&self, catalog: &dyn Catalog) -> BTreeMap<String, (Uuid, i32)> {
        let mut out = BTreeMap::new();
        for name in self.members.values().flat_map(|member| &member.kept.names) {
            if !out.contains_key(name)
                && let Some(topic) = catalog.topic(name)
            {
                out.insert(name.clone(), topic);
            }
        }
        if !self.patterns.is_empty() {
            for name in catalog.names() {
                if self.patterns.values().any(|pattern| pattern.is_match(&name))
                    && let Some(topic) = catalog.topic(&name)
                {
                    out.insert(name, topic);
                }
            }
        }
        out
    }

    /// Computes the target anew.
    fn assign(&mut self, rules: &Rules, changed: &mut BTreeSet<String>) {
        let assignor = self.assignor(rules);
        let reads = |member: &Member| -> BTreeSet<Uuid> {
            let pattern = member.kept.regex.as_ref().and_then(|text| self.patterns.get(text));
            let wanted = self.topics.iter().filter(|(name, _)| {
                member.kept.names.contains(*name) || pattern.is_some_and(|pattern| pattern.is_match(name))
            });
            wanted.map(|(_, (id, _))| *id).collect()
        };
        // Static members stand under their instance's name, so that a new client in an old place gets what the old one had.
        let mut order: Vec<(&String, &Member)> = self.members.iter().collect();
        order.sort_by_key(|(id, member)| (member.kept.instance_id.clone(), (*id).clone()));
        let candidates: Vec<Candidate<'_>> =
            order.iter().map(|(_, member)| Candidate { topics: reads(member), now: &member.kept.target }).collect();
        let topics: BTreeMap<Uuid, i32> = self.topics.values().copied().collect();
        let targets = assignor.assign(&candidates, &topics);
        let ids: Vec<String> = order.into_iter().map(|(id, _)| id.clone()).collect();
        for (id, target) in ids.into_iter().zip(targets) {
            let member = self.members.get_mut(&id).expect("it was a candidate");
            if member.kept.target != target {
                member.kept.target = target;
                changed.insert(id);
            }
        }
        self.kept.target_epoch = self.kept.epoch;
    }

    /// The member's next step. True: what it has or its epoch is another.
    fn advance(&mut self, now_ms: i64, id: &str, owned: Option<&Parts>) -> bool {
        let member = &self.members[id];
        let is_free = |topic, number| self.owners.get(&(topic, number)).is_none_or(|owner| owner == id);
        let before = member.kept.current.clone();
        let next = reconcile::next(&before, self.kept.target_epoch, &member.kept.target, owned, is_free);
        if next == before {
            return false;
        }
        let unrevoked = next.state == MemberState::UnrevokedPartitions;
        self.own(id, next);
        let member = self.members.get_mut(id).expect("it is there");
        let by_ms = now_ms + i64::from(member.kept.rebalance_timeout_ms);
        member.revoked_by_ms = unrevoked.then_some(by_ms);
        true
    }

    fn leave(&mut self, beat: &Beat, records: &mut Vec<Entry>) -> Result<Beaten, Refused> {
        let holder = match &beat.instance_id {
            Some(instance) => match self.statics.get(instance) {
                None => return refuse(GroupError::UnknownMemberId, format!("there is no static member {instance}")),
                Some(holder) if *holder != beat.member_id => {
                    let words = format!("another member has taken the place of group.instance.id {instance}");
                    return refuse(GroupError::FencedInstanceId, words);
                }
                Some(holder) => holder.clone(),
            },
            None => beat.member_id.clone(),
        };
        let Some(member) = self.members.get(&holder) else {
            return refuse(GroupError::UnknownMemberId, format!("there is no member {holder}"));
        };
        if beat.epoch == LEAVE_STATIC_EPOCH {
            // It keeps its place and its partitions until its session ends.
            let current = Current {
                epoch: LEAVE_STATIC_EPOCH,
                state: MemberState::Stable,
                revoking: Parts::new(),
                ..member.kept.current.clone()
            };
            self.own(&holder, current);
            let member = self.members.get_mut(&holder).expect("it is there");
            member.revoked_by_ms = None;
            let kept = member.kept.clone();
            records.push(self.member_entry(&holder, Some(kept)));
        } else {
            self.expel(&holder, records);
        }
        Ok(Beaten { epoch: beat.epoch, assignment: None })
    }

    /// Removes a member, with the records of it. The target is computed anew by the next heartbeat.
    fn expel(&mut self, id: &str, records: &mut Vec<Entry>) {
        self.remove(id);
        self.kept.epoch += 1;
        records.push(self.member_entry(id, None));
        records.push(self.entry());
    }

    fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.kept.instance_id
            && self.statics.get(instance).is_some_and(|holder| holder == id)
        {
            self.statics.remove(instance);
        }
        self.owners.retain(|_, owner| owner != id);
    }

    /// Sets what a member has, and who has what with it.
    fn own(&mut self, id: &str, current: Current) {
        let Some(member) = self.members.get_mut(id) else { return };
        for part in each(&member.kept.current.assigned).chain(each(&member.kept.current.revoking)) {
            if self.owners.get(&part).is_some_and(|owner| owner == id) {
                self.owners.remove(&part);
            }
        }
        for part in each(&current.assigned).chain(each(&current.revoking)) {
            self.owners.insert(part, id.to_string());
        }
        member.kept.current = current;
    }

    /// When [`ConsumerGroup::tick`] has something to do, if nothing else happens.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.members.values().flat_map(|member| [Some(member.expires_ms), member.revoked_by_ms]).flatten().min()
    }

    /// Time has passed: members that were silent, or did not give partitions up in time, are removed.
    pub fn tick(&mut self, now_ms: i64, records: &mut Vec<Entry>) {
        let is_late =
            |member: &Member| member.expires_ms <= now_ms || member.revoked_by_ms.is_some_and(|by_ms| by_ms <= now_ms);
        let late: Vec<String> =
            self.members.iter().filter(|(_, member)| is_late(member)).map(|(id, _)| id.clone()).collect();
        for id in late {
            tracing::info!(group = %self.id, member = %id, "member was silent or did not give partitions up: removed");
            self.expel(&id, records);
        }
    }

    /// The topics that somebody reads, by id.
    pub fn topic_names(&self) -> HashMap<Uuid, &str> {
        self.topics.iter().map(|(name, (id, _))| (*id, name.as_str())).collect()
    }

    /// Compiles patterns of members that were read back.
    pub fn compile_patterns(&mut self) {
        for member in self.members.values() {
            if let Some(text) = &member.kept.regex
                && let Ok(pattern) = compile(text)
            {
                self.patterns.insert(text.clone(), pattern);
            }
        }
    }
}

/// A pattern is matched against whole names, in time that grows with the name and not with the pattern's tricks.
fn compile(text: &str) -> Result<Regex, Refused> {
    let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(REGEX_BYTES_MAX).build();
    built.or_else(|error| {
        let words = format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {error}");
        refuse(GroupError::InvalidRegularExpression, words)
    })
}
