//! Members of a classic group: they join, sync, show themselves late, leave, die, come back under a static id, and commit, also what is no
//! longer theirs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::join_group::JoinGroupRequestProtocol;
use millstream_protocol::messages::leave_group::MemberIdentity;
use millstream_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::messages::sync_group::SyncGroupRequestAssignment;
use millstream_protocol::messages::*;

use super::network::{Asking, Lost, Network};
use super::{PARTITIONS, Scenario, Spawner, TOPIC, simulate};
use crate::Broker;
use crate::groups::record::{Entry, GroupRecord};

const GROUP: &str = "g";
const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 15_000;
const BEAT_MS: i64 = 3_000;
const MEMBERS_MAX: usize = 5;
const STATICS: [&str; 2] = ["s1", "s2"];

/// What was ever given to whom, and what was taken.
#[derive(Default)]
struct Judge {
    /// The newest generation that the broker has told anybody of since it was opened.
    generation: i32,
    /// By generation: who was given which partition. A static member is known by its instance id.
    given: BTreeMap<i32, BTreeMap<i32, String>>,
    /// Member ids that the broker has told to be gone, or replaced.
    gone: BTreeSet<String>,
    /// By partition: commits in the order in which the broker took them up, and whether it has answered.
    commits: BTreeMap<i32, Vec<(i64, bool)>>,
    next_commit: i64,
    /// By instance id: how many joins without a member id the broker has taken up.
    claims: BTreeMap<String, u64>,
    /// Who holds an instance id, as far as the broker has told; and who does since what is durable.
    holders: BTreeMap<String, String>,
    settled: BTreeMap<String, String>,
    /// Member ids whose place another one has, durably.
    replaced: BTreeSet<String>,
    /// Live members and what they have of which generation.
    alive: BTreeMap<String, (i32, Vec<i32>)>,
}

type Shared = Rc<RefCell<Judge>>;

impl Judge {
    /// Who holds an instance id does so for good: a broker that is opened anew must know it.
    fn settles(&mut self, instance: &str, id: &str) {
        let before = self.settled.insert(instance.to_owned(), id.to_owned());
        self.replaced.extend(before.filter(|before| before != id));
    }

    fn gives(&mut self, generation: i32, owner: &str, partitions: &[i32]) {
        let given = self.given.entry(generation).or_default();
        for partition in partitions {
            let before = given.insert(*partition, owner.to_owned());
            assert!(
                before.as_deref().is_none_or(|before| before == owner),
                "generation {generation}: partition {partition} was given to {before:?} and to {owner}"
            );
        }
    }
}

#[derive(Clone)]
struct Member {
    network: Network,
    judge: Shared,
    name: String,
    instance: Option<String>,
    /// Of JoinGroup: without and with the right to let a leader not assign.
    version: i16,
    id: String,
    generation: i32,
    owned: Vec<i32>,
    /// The claim by which it got its id.
    claim: Rc<Cell<u64>>,
}

/// How a phase of a member's life ended.
enum Next {
    Again,
    Over,
}

impl Member {
    fn owner(&self) -> String {
        self.instance.clone().unwrap_or_else(|| self.id.clone())
    }

    async fn call<R: Request>(
        &self,
        version: i16,
        request: R,
        taken: impl FnOnce() + 'static,
        done: impl FnOnce(&R::Response) + 'static,
    ) -> Result<R::Response, Lost> {
        let (taken, done) = (Box::new(taken), Box::new(done));
        self.network.call(Asking { who: &self.name, version, request, haunts: true, taken, done }).await
    }

    async fn live(mut self) {
        loop {
            match self.round().await {
                Ok(Next::Again) => {}
                Ok(Next::Over) => break,
                Err(Lost) => self.network.pause().await,
            }
        }
        self.network.say(|| format!("{} ends", self.name));
        self.judge.borrow_mut().alive.remove(&self.name);
    }

    /// Joins, gets its part, and works until there is another round.
    async fn round(&mut self) -> Result<Next, Lost> {
        self.lose();
        let joined = self.join().await?;
        match joined.error_code {
            ErrorCode::None => self.generation = joined.generation_id,
            ErrorCode::MemberIdRequired => {
                self.id = joined.member_id;
                return Ok(Next::Again);
            }
            code => return Ok(self.refused(code).await),
        }
        self.id.clone_from(&joined.member_id);
        let assigns = joined.leader == self.id && !joined.skip_assignment && !joined.members.is_empty();
        let assignments = if assigns { self.assign(&joined) } else { Vec::new() };
        let synced = self.sync(assignments).await?;
        if synced.error_code != ErrorCode::None {
            return Ok(self.refused(synced.error_code).await);
        }
        self.owned = synced.assignment.iter().map(|number| i32::from(*number)).collect();
        self.judge.borrow_mut().alive.insert(self.name.clone(), (self.generation, self.owned.clone()));
        loop {
            if let Some(next) = self.work().await? {
                return Ok(next);
            }
        }
    }

    fn lose(&mut self) {
        self.owned.clear();
        self.judge.borrow_mut().alive.insert(self.name.clone(), (-1, Vec::new()));
    }

    async fn refused(&mut self, code: ErrorCode) -> Next {
        match code {
            ErrorCode::UnknownMemberId => self.id.clear(),
            ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress => {}
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator | ErrorCode::KafkaStorageError => {
                self.network.pause().await;
            }
            ErrorCode::FencedInstanceId => {
                let instance = self.instance.as_ref().expect("only static members are fenced");
                let claims = self.judge.borrow().claims.get(instance).copied().unwrap_or(0);
                assert!(claims > self.claim.get(), "{}: nobody else has claimed {instance}", self.name);
                return Next::Over;
            }
            code => panic!("{}: {code}", self.name),
        }
        Next::Again
    }

    async fn join(&self) -> Result<JoinGroupResponse, Lost> {
        let request = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from_static(b"t") }],
            ..JoinGroupRequest::default()
        };
        let (judge, instance, claims) = (self.judge.clone(), self.instance.clone(), self.id.is_empty());
        let (claim, generation) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (mine, at) = (claim.clone(), generation.clone());
        let taken = move || {
            at.set(judge.borrow().generation);
            if let Some(instance) = instance.filter(|_| claims) {
                let mut judge = judge.borrow_mut();
                let count = judge.claims.entry(instance).or_default();
                *count += 1;
                mine.set(*count);
            }
        };
        let (judge, instance) = (self.judge.clone(), self.instance.clone());
        let done = move |answer: &JoinGroupResponse| {
            let mut judge = judge.borrow_mut();
            if answer.error_code != ErrorCode::None {
                return;
            }
            assert!(
                answer.generation_id >= judge.generation,
                "generation {} after {}",
                answer.generation_id,
                judge.generation
            );
            // Where no new generation was told since it was taken up, the group stays as it is but for the member's id.
            let stays = generation.get() == answer.generation_id;
            judge.generation = answer.generation_id;
            if let Some(instance) = instance {
                let before = judge.holders.insert(instance.clone(), answer.member_id.clone());
                judge.gone.extend(before.filter(|before| *before != answer.member_id));
                if stays && claims {
                    judge.settles(&instance, &answer.member_id);
                }
            }
        };
        let answer = self.call(self.version, request, taken, done).await?;
        if claims && answer.error_code == ErrorCode::None {
            self.claim.set(claim.get());
        }
        Ok(answer)
    }

    fn assign(&self, joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
        let mut parts: Vec<Vec<u8>> = vec![Vec::new(); joined.members.len()];
        let first = self.network.below(parts.len());
        let count = parts.len();
        (0..PARTITIONS).for_each(|number| parts[(first + number as usize) % count].push(number as u8));
        let each = joined.members.iter().zip(parts);
        each.map(|(member, part)| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: part.into(),
        })
        .collect()
    }

    async fn sync(&self, assignments: Vec<SyncGroupRequestAssignment>) -> Result<SyncGroupResponse, Lost> {
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            assignments,
            ..SyncGroupRequest::default()
        };
        let (judge, owner, generation) = (self.judge.clone(), self.owner(), self.generation);
        let (instance, id) = (self.instance.clone(), self.id.clone());
        let done = move |answer: &SyncGroupResponse| {
            if answer.error_code == ErrorCode::None {
                let parts: Vec<i32> = answer.assignment.iter().map(|number| i32::from(*number)).collect();
                let mut judge = judge.borrow_mut();
                judge.gives(generation, &owner, &parts);
                if let Some(instance) = instance {
                    judge.settles(&instance, &id);
                }
            }
        };
        self.call(4, request, || (), done).await
    }

    /// One thing that a member does that has its part. Gives what follows when that is over.
    async fn work(&mut self) -> Result<Option<Next>, Lost> {
        let odds = if self.network.calm() { 0 } else { self.network.below(100) };
        match odds {
            0..45 => {
                self.network.sleep(BEAT_MS).await;
                self.beat().await
            }
            45..70 => self.commit(self.generation).await,
            70..75 => {
                // As one that was put out without having heard it.
                self.commit(self.generation - 1).await
            }
            75..82 => {
                self.network.sleep(i64::from(SESSION_MS) + self.network.below(8000) as i64).await;
                if self.network.chance(50) { self.commit(self.generation).await } else { self.beat().await }
            }
            82..88 => Ok(Some(Next::Again)),
            88..94 => {
                self.leave().await?;
                Ok(Some(Next::Over))
            }
            94..97 => Ok(Some(Next::Over)),
            _ => {
                self.network.sleep(BEAT_MS / 2).await;
                Ok(None)
            }
        }
    }

    async fn beat(&mut self) -> Result<Option<Next>, Lost> {
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        // A heartbeat that is lost is followed by another one.
        match self.call(4, request, || (), |_| ()).await {
            Ok(answer) if answer.error_code == ErrorCode::None => Ok(None),
            Ok(answer) => Ok(Some(self.refused(answer.error_code).await)),
            Err(Lost) => Ok(None),
        }
    }

    async fn commit(&mut self, generation: i32) -> Result<Option<Next>, Lost> {
        let partition = match self.owned.as_slice() {
            [] => return self.beat().await,
            owned => owned[self.network.below(owned.len())],
        };
        let number = {
            let mut judge = self.judge.borrow_mut();
            judge.next_commit += 1;
            judge.next_commit
        };
        let one = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: number,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic { name: TOPIC.into(), partitions: vec![one], ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let (judge, id) = (self.judge.clone(), self.id.clone());
        let newest = Rc::new(Cell::new((0, false)));
        let at = newest.clone();
        let taken = move || {
            let mut judge = judge.borrow_mut();
            at.set((judge.generation, judge.gone.contains(&id)));
            judge.commits.entry(partition).or_default().push((number, false));
        };
        let (judge, name) = (self.judge.clone(), self.name.clone());
        let done = move |answer: &OffsetCommitResponse| {
            let mut judge = judge.borrow_mut();
            let commits = judge.commits.entry(partition).or_default();
            match answer.topics[0].partitions[0].error_code {
                ErrorCode::None => {}
                // An error of the disk leaves it open.
                ErrorCode::CoordinatorNotAvailable | ErrorCode::KafkaStorageError => return,
                _ => return commits.retain(|(one, _)| *one != number),
            }
            let (newest, is_gone) = newest.get();
            assert!(generation >= newest, "{name} of generation {generation} commits while there is {newest}");
            assert!(!is_gone, "{name} commits and is gone");
            commits.iter_mut().filter(|(one, _)| *one == number).for_each(|(_, answered)| *answered = true);
        };
        let answer = self.call(8, request, taken, done).await?;
        match answer.topics[0].partitions[0].error_code {
            ErrorCode::None => Ok(None),
            // It was not meant to be taken.
            _ if generation != self.generation => Ok(None),
            ErrorCode::RebalanceInProgress => Ok(Some(Next::Again)),
            code => Ok(Some(self.refused(code).await)),
        }
    }

    async fn leave(&mut self) -> Result<(), Lost> {
        self.lose();
        let member = MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            ..MemberIdentity::default()
        };
        let request = LeaveGroupRequest { group_id: GROUP.into(), members: vec![member], ..Default::default() };
        let (judge, id) = (self.judge.clone(), self.id.clone());
        let done = move |answer: &LeaveGroupResponse| {
            if answer.members.iter().all(|member| member.error_code == ErrorCode::None) {
                judge.borrow_mut().gone.insert(id);
            }
        };
        self.call(4, request, || (), done).await.map(|_| ())
    }
}

struct Groups {
    judge: Shared,
    next_member: usize,
}

impl Groups {
    fn spawn(&mut self, network: &Network, spawner: &Spawner) {
        self.next_member += 1;
        let instance = network.chance(35).then(|| STATICS[network.below(STATICS.len())].to_owned());
        let name = format!("m{}{}", self.next_member, instance.as_deref().unwrap_or_default());
        self.judge.borrow_mut().alive.insert(name.clone(), (-1, Vec::new()));
        let member = Member {
            network: network.clone(),
            judge: self.judge.clone(),
            name,
            instance,
            version: if network.chance(50) { 9 } else { 5 },
            id: String::new(),
            generation: -1,
            owned: Vec::new(),
            claim: Rc::default(),
        };
        spawner.spawn(member.live());
    }

    /// The group as its record has it.
    fn record(broker: &Arc<Broker>) -> Option<GroupRecord> {
        let all = broker.groups.whole();
        all.into_iter().find_map(|entry| if let Entry::Group { value, .. } = entry { value } else { None })
    }

    /// What is shown of commits is one that was taken up no sooner than any that was answered.
    fn check_offsets(&self, broker: &Arc<Broker>) {
        let judge = self.judge.borrow();
        for (partition, commits) in &judge.commits {
            let name = (TOPIC.to_owned(), *partition);
            let shown = broker.groups.offsets(GROUP, Some(std::slice::from_ref(&name)))[0].1.clone();
            let answered = commits.iter().rposition(|(_, answered)| *answered);
            match shown {
                None => assert_eq!(answered, None, "partition {partition}: {commits:?}"),
                Some(shown) => {
                    let at = commits.iter().position(|(number, _)| *number == shown.offset);
                    let at = at.unwrap_or_else(|| panic!("{partition}: {} was never there, or is gone", shown.offset));
                    assert!(answered.is_none_or(|answered| answered <= at), "{partition}: {shown:?} of {commits:?}");
                }
            }
        }
    }
}

impl Scenario for Groups {
    type Held = Vec<Entry>;

    fn begin(network: &Network, spawner: &Spawner) -> Self {
        let mut groups = Groups { judge: Rc::default(), next_member: 0 };
        (0..2).for_each(|_| groups.spawn(network, spawner));
        groups
    }

    fn step(&mut self, network: &Network, spawner: &Spawner) {
        let alive = self.judge.borrow().alive.len();
        if alive == 0 || alive < MEMBERS_MAX && network.below(100) < 2 {
            self.spawn(network, spawner);
        }
    }

    fn check(&mut self, broker: &Arc<Broker>, _: &dyn Fn(i32) -> Vec<String>) {
        if let Some(group) = broker.groups.describe(GROUP).filter(|group| group.state == "Stable") {
            let mut parts: Vec<u8> = group.members.iter().flat_map(|member| member.assignment.to_vec()).collect();
            parts.sort_unstable();
            assert!(parts.iter().copied().eq(0..PARTITIONS as u8), "a stable group has {parts:?}: {group:?}");
        }
        self.check_offsets(broker);
    }

    fn held(broker: &Arc<Broker>) -> Vec<Entry> {
        broker.groups.whole()
    }

    fn opened(&mut self, broker: &Arc<Broker>, read: &dyn Fn(i32) -> Vec<String>, before: Option<Vec<Entry>>) {
        if let Some(before) = before {
            assert_eq!(broker.groups.whole(), before, "replay gives the same");
        }
        self.check_offsets(broker);
        {
            let mut judge = self.judge.borrow_mut();
            let record = Self::record(broker).unwrap_or_default();
            judge.generation = record.generation;
            for member in &record.members {
                assert!(!judge.replaced.contains(&member.id), "{} has a place that another one has", member.id);
            }
            // Who left or came while nothing was written has not, for this broker.
            let Judge { gone, replaced, holders, settled, claims, .. } = &mut *judge;
            gone.retain(|id| replaced.contains(id));
            for (instance, id) in std::mem::replace(holders, settled.clone()) {
                if settled.get(&instance) != Some(&id) {
                    *claims.entry(instance).or_default() += 1;
                }
            }
            let given = judge.given.keys().next_back().copied().unwrap_or(0);
            assert!(judge.generation >= given, "generation {} after {given}", judge.generation);
            for (partition, commits) in &mut judge.commits {
                let name = (TOPIC.to_owned(), *partition);
                let shown = broker.groups.offsets(GROUP, Some(std::slice::from_ref(&name)))[0].1.clone();
                // What was before it is covered, what was after it is lost.
                commits.retain(|(number, _)| shown.as_ref().is_some_and(|shown| shown.offset == *number));
                commits.iter_mut().for_each(|(_, answered)| *answered = true);
            }
        }
        self.check(broker, read);
    }

    fn at_rest(&mut self, network: &Network, broker: &Arc<Broker>, read: &dyn Fn(i32) -> Vec<String>) {
        self.check(broker, read);
        let judge = self.judge.borrow();
        let group = broker.groups.describe(GROUP).expect("it is there");
        network.say(|| format!("at rest: {:?} {group:?}", judge.alive));
        assert_eq!(group.state, "Stable");
        assert_eq!(group.members.len(), judge.alive.len(), "its members are those who live");
        let mut parts: Vec<i32> = judge.alive.values().flat_map(|(_, parts)| parts.clone()).collect();
        parts.sort_unstable();
        assert!(parts.into_iter().eq(0..PARTITIONS), "everything is read by somebody: {:?}", judge.alive);
        let generations: BTreeSet<i32> = judge.alive.values().map(|(generation, _)| *generation).collect();
        assert_eq!(generations.len(), 1, "{:?}", judge.alive);
    }
}

#[test]
fn groups_have_one_owner_of_each_partition_and_come_to_rest() {
    simulate::<Groups>(600, 120_000);
}
