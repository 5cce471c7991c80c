//! Many members against one group, under a seed and a clock of the test's own. Members join, leave, die, come back, lose answers; topics grow; the
//! coordinator restarts from its records. At no time do two members read one partition; at rest everything is assigned and balanced.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::assignor::Assignor;
use super::group::*;
use super::reconcile::MemberState;
use super::{Catalog, Parts, contains, each};
use crate::groups::exchange::GroupError;
use crate::groups::record::Entry;

const SESSION_MS: i32 = 45_000;
const BEAT_MS: i64 = 5_000;

#[derive(Default)]
struct Topics {
    version: u64,
    all: BTreeMap<String, (Uuid, i32)>,
}

impl Topics {
    fn put(&mut self, name: &str, id: u128, partitions: i32) {
        self.version += 1;
        self.all.insert(name.to_string(), (Uuid::from_u128(id), partitions));
    }
}

impl Catalog for Topics {
    fn version(&self) -> u64 {
        self.version
    }
    fn topic(&self, name: &str) -> Option<(Uuid, i32)> {
        self.all.get(name).copied()
    }
    fn names(&self) -> Vec<String> {
        self.all.keys().cloned().collect()
    }
}

fn rules() -> Rules {
    Rules { session_timeout_ms: SESSION_MS, size_max: 100, assignors: vec![Assignor::Uniform, Assignor::Range] }
}

/// A consumer: it does what it is told, with the delay of a heartbeat.
#[derive(Debug, Clone, Default)]
struct Client {
    id: String,
    instance: Option<String>,
    regex: Option<String>,
    epoch: i32,
    owned: Parts,
    /// Told what to have; partitions that are not in it are given up before the next heartbeat.
    told: Option<Parts>,
    full: bool,
    silent: bool,
    /// It stops reading by itself when it has not been heard for so long.
    heard_ms: i64,
}

struct World {
    group: ConsumerGroup,
    topics: Topics,
    clients: Vec<Client>,
    log: Vec<Entry>,
    now_ms: i64,
    chance: fastrand::Rng,
    next_id: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut topics = Topics::default();
        topics.put("a", 1, 7);
        topics.put("b", 2, 3);
        World {
            group: ConsumerGroup::new("g", 0),
            topics,
            clients: Vec::new(),
            log: Vec::new(),
            now_ms: 0,
            chance: fastrand::Rng::with_seed(seed),
            next_id: 0,
        }
    }

    fn join(&mut self) {
        self.next_id += 1;
        let instance = self.chance.u8(0..4) == 0;
        let regex = self.chance.u8(0..3) == 0;
        self.clients.push(Client {
            id: format!("m{}", self.next_id),
            instance: instance.then(|| format!("i{}", self.next_id)),
            regex: regex.then(|| "[ab]|c.*".to_string()),
            full: true,
            heard_ms: self.now_ms,
            ..Client::default()
        });
    }

    fn beat(&mut self, index: usize) {
        let lost = self.chance.u8(0..12) == 0;
        let client = &mut self.clients[index];
        if let Some(told) = client.told.take() {
            client.owned = told;
        }
        let joins = client.epoch == JOIN_EPOCH;
        let full = joins || client.full;
        let names = || vec!["a".to_string(), "b".to_string(), "c".to_string()];
        let beat = Beat {
            member_id: client.id.clone(),
            epoch: client.epoch,
            instance_id: client.instance.clone(),
            rebalance_timeout_ms: if full { 20_000 } else { -1 },
            names: (full && client.regex.is_none()).then(names),
            regex: client.regex.clone().filter(|_| full),
            owned: Some(client.owned.clone()),
            ..Beat::default()
        };
        let mut records = Vec::new();
        let answer = self.group.beat(self.now_ms, &rules(), &self.topics, beat, &mut records);
        self.log.extend(records);
        let client = &mut self.clients[index];
        client.full = lost;
        if lost {
            return;
        }
        match answer {
            Ok(beaten) => {
                client.heard_ms = self.now_ms;
                client.epoch = beaten.epoch;
                if let Some(parts) = beaten.assignment {
                    // What is new is read at once, what is taken away until it is given up.
                    let mut both = client.owned.clone();
                    for (id, number) in each(&parts) {
                        both.entry(id).or_default().insert(number);
                    }
                    client.owned = both;
                    client.told = Some(parts);
                }
            }
            Err(refused) => {
                assert!(
                    matches!(refused.error, GroupError::FencedMemberEpoch | GroupError::UnknownMemberId),
                    "{refused:?}"
                );
                self.clients[index].reset();
            }
        }
        self.check();
    }

    /// Nobody reads what another one reads. A client that has not been heard for its session has stopped by itself.
    fn check(&self) {
        let mut readers: HashMap<(Uuid, i32), &str> = HashMap::new();
        for client in self.clients.iter().filter(|client| self.now_ms - client.heard_ms < i64::from(SESSION_MS)) {
            // One that was put out without hearing it yet is fenced at its next word; its commits are refused.
            let is_member = self.group.members().any(|(id, member)| {
                *id == client.id
                    && (member.kept.current.epoch == client.epoch || member.kept.current.previous_epoch == client.epoch)
            });
            if !is_member {
                continue;
            }
            for part in each(&client.owned) {
                assert_eq!(readers.insert(part, &client.id), None, "{part:?} of {}", client.id);
            }
        }
        let mut owners: HashMap<(Uuid, i32), &str> = HashMap::new();
        for (id, member) in self.group.members() {
            let current = &member.kept.current;
            for part in each(&current.assigned).chain(each(&current.revoking)) {
                assert_eq!(owners.insert(part, id), None, "{part:?} of {id}");
            }
        }
    }

    fn tick(&mut self) {
        let mut records = Vec::new();
        self.group.tick(self.now_ms, &mut records);
        self.log.extend(records);
    }

    fn restart(&mut self) {
        let mut group = ConsumerGroup::new("g", 0);
        let encoded: Vec<_> = self.log.iter().map(Entry::encode).collect();
        for (key, value) in &encoded {
            match Entry::decode(Some(key), value.as_deref()).expect("it was written") {
                Entry::ConsumerGroup { value: Some(kept), .. } => group.restore(kept),
                Entry::ConsumerMember { member, value, .. } => {
                    group.restore_member(&member, value, self.now_ms + i64::from(SESSION_MS));
                }
                other => panic!("{other:?}"),
            }
        }
        group.compile_patterns();
        let kept = |group: &ConsumerGroup| -> Vec<(String, MemberRecord)> {
            group.members().map(|(id, member)| (id.clone(), member.kept.clone())).collect()
        };
        assert_eq!(kept(&group), kept(&self.group), "replay gives the same group");
        assert_eq!((group.epoch(), group.target_epoch()), (self.group.epoch(), self.group.target_epoch()));
        self.group = group;
        self.log = self.group.records();
    }

    fn step(&mut self) {
        self.now_ms += self.chance.i64(100..BEAT_MS);
        match self.chance.u8(0..40) {
            0 if self.clients.len() < 9 => self.join(),
            1 if !self.clients.is_empty() => {
                let index = self.chance.usize(0..self.clients.len());
                let client = self.clients.swap_remove(index);
                let away = client.instance.is_some() && self.chance.bool();
                let epoch = if away { LEAVE_STATIC_EPOCH } else { LEAVE_EPOCH };
                let beat = Beat {
                    member_id: client.id.clone(),
                    instance_id: client.instance.clone(),
                    epoch,
                    ..Beat::default()
                };
                let mut records = Vec::new();
                let left = self.group.beat(self.now_ms, &rules(), &self.topics, beat, &mut records);
                self.log.extend(records);
                if away && left.is_ok() {
                    // A new client in the same place.
                    self.next_id += 1;
                    self.clients.push(Client {
                        id: format!("m{}", self.next_id),
                        instance: client.instance,
                        regex: client.regex,
                        full: true,
                        heard_ms: self.now_ms,
                        ..Client::default()
                    });
                }
            }
            2 if !self.clients.is_empty() => {
                let index = self.chance.usize(0..self.clients.len());
                self.clients[index].silent = true;
            }
            3 => {
                let more = self.chance.i32(1..4);
                let (id, partitions) = self.topics.all["a"];
                if partitions < 40 {
                    self.topics.put("a", id.as_u128(), partitions + more);
                }
            }
            4 if self.chance.u8(0..5) == 0 => self.topics.put("c2", 3, 4),
            5 => self.restart(),
            _ => {}
        }
        // A silent client is one that died, or that comes back much later.
        for client in &mut self.clients {
            if client.silent && self.now_ms - client.heard_ms > 2 * i64::from(SESSION_MS) {
                client.silent = false;
            }
        }
        self.tick();
        let awake: Vec<usize> = (0..self.clients.len()).filter(|index| !self.clients[*index].silent).collect();
        for index in awake {
            if self.chance.u8(0..3) > 0 {
                self.beat(index);
            }
        }
    }

    fn settle(&mut self) {
        for client in &mut self.clients {
            client.silent = false;
        }
        for _ in 0..60 {
            self.now_ms += BEAT_MS;
            self.tick();
            for index in 0..self.clients.len() {
                self.beat(index);
            }
        }
        if self.clients.is_empty() {
            return;
        }
        assert_eq!(self.group.state(), "Stable");
        let reads_c = self.clients.iter().any(|client| client.regex.is_some());
        for (name, (id, partitions)) in &self.topics.all {
            for number in (0..*partitions).filter(|_| name != "c2" || reads_c) {
                let readers = self.clients.iter().filter(|client| contains(&client.owned, *id, number)).count();
                assert_eq!(readers, 1, "{name}-{number}");
            }
        }
    }
}

impl Client {
    fn reset(&mut self) {
        self.epoch = JOIN_EPOCH;
        self.owned = Parts::new();
        self.told = None;
    }
}

#[test]
fn partitions_have_one_reader_at_a_time_and_at_rest_each_has_one() {
    for seed in 0..25 {
        let mut world = World::new(seed);
        (0..3).for_each(|_| world.join());
        for _ in 0..3 {
            (0..80).for_each(|_| world.step());
            world.settle();
        }
    }
}

#[test]
fn a_lone_member_gets_everything_and_keeps_it_over_a_growing_topic() {
    let mut world = World::new(1);
    world.clients.push(Client { id: "m".into(), full: true, ..Client::default() });
    world.settle();
    let before = world.group.epoch();
    assert_eq!(each(&world.clients[0].owned).count(), 10);
    world.topics.put("a", 1, 8);
    world.settle();
    assert_eq!((each(&world.clients[0].owned).count(), world.group.epoch()), (11, before + 1));
    let (_, member) = world.group.members().next().expect("it is there");
    assert_eq!(member.kept.current.state, MemberState::Stable);
}

#[test]
fn nonsense_is_refused() {
    let mut world = World::new(1);
    let good = Beat {
        member_id: "m".into(),
        rebalance_timeout_ms: 1000,
        names: Some(vec!["a".into()]),
        owned: Some(Parts::new()),
        ..Beat::default()
    };
    for (beat, error) in [
        (Beat { member_id: String::new(), ..good.clone() }, GroupError::InvalidRequest),
        (Beat { rebalance_timeout_ms: -1, ..good.clone() }, GroupError::InvalidRequest),
        (Beat { owned: None, ..good.clone() }, GroupError::InvalidRequest),
        (Beat { names: None, ..good.clone() }, GroupError::InvalidRequest),
        (Beat { epoch: -3, ..good.clone() }, GroupError::InvalidRequest),
        (Beat { epoch: LEAVE_STATIC_EPOCH, ..good.clone() }, GroupError::InvalidRequest),
        (Beat { epoch: 5, ..good.clone() }, GroupError::UnknownMemberId),
        (Beat { epoch: LEAVE_EPOCH, ..good.clone() }, GroupError::UnknownMemberId),
        (Beat { assignor: Some("best".into()), ..good.clone() }, GroupError::UnsupportedAssignor),
        (Beat { regex: Some("(".into()), ..good.clone() }, GroupError::InvalidRegularExpression),
    ] {
        let mut records = Vec::new();
        let refused = world.group.beat(0, &rules(), &world.topics, beat.clone(), &mut records);
        assert_eq!(refused.map_err(|refused| refused.error), Err(error), "{beat:?}");
        assert!(records.is_empty() && world.group.is_empty());
    }
    let joined = world.group.beat(0, &rules(), &world.topics, good.clone(), &mut Vec::new()).expect("a good one");
    let ahead = Beat { epoch: joined.epoch + 1, ..good.clone() };
    let refused = world.group.beat(0, &rules(), &world.topics, ahead, &mut Vec::new()).expect_err("it is ahead");
    assert_eq!(refused.error, GroupError::FencedMemberEpoch);
    assert_eq!(world.group.check_epoch("m", joined.epoch), Ok(()));
    assert_eq!(world.group.check_epoch("m", 0), Err(GroupError::StaleMemberEpoch));
    assert_eq!(world.group.check_commit("m", joined.epoch), Ok(()));
    assert_eq!(world.group.check_commit("m", 0), Err(GroupError::StaleMemberEpoch));
    assert_eq!(world.group.check_epoch("", -1), Ok(()), "anybody may read");
    assert_eq!(world.group.check_commit("", -1), Err(GroupError::UnknownMemberId), "the group has a member");
    let leaves = Beat { epoch: LEAVE_EPOCH, ..good };
    world.group.beat(0, &rules(), &world.topics, leaves, &mut Vec::new()).expect("a member may leave");
    assert_eq!(world.group.check_commit("", -1), Ok(()), "nobody is in it");
}
