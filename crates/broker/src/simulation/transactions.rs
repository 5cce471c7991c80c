//! Transactional producers of both transaction versions: they begin, write to several partitions, commit offsets, commit, abort, take too
//! long, die, come back under the same id while the one before still writes, and ask again when an answer is lost.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use millstream_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::txn_offset_commit::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use millstream_protocol::messages::*;
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp};

use super::network::{Asking, Lost, Network};
use super::{BEGIN_MS, PARTITIONS, Scenario, Spawner, TOPIC, simulate};
use crate::Broker;
use crate::transactions::State;

const IDS: [&str; 2] = ["x", "y"];
const GROUP: &str = "g";
const TIMEOUT_MS: i64 = 8_000;
const PRODUCERS_MAX: usize = 3;

/// What a transaction's producer knows of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It has not asked for one.
    Open,
    /// It asked for a commit and heard nothing of it.
    CommitAsked,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Transaction {
    id: &'static str,
    /// Partition and value, in the order in which they were written, and whether that was acknowledged.
    writes: Vec<(i32, String, bool)>,
    /// It commits an offset, which is its own number.
    offset: bool,
    known: Known,
}

#[derive(Default)]
struct Judge {
    transactions: BTreeMap<usize, Transaction>,
    /// By transactional id: the call by which its newest producer has it.
    holders: BTreeMap<&'static str, u64>,
    /// Such calls that the broker has taken up and not answered.
    claiming: BTreeMap<u64, &'static str>,
    /// Ids of which nobody knows whose they are: the broker died over such a call.
    doubtful: BTreeSet<&'static str>,
    next_claim: u64,
    alive: usize,
}

/// A transaction with a partition whose record the disk refused, along with its batch.
const UNSAVED: &str = "unsaved";

type Shared = Rc<RefCell<Judge>>;

impl Judge {
    fn is_newest(&self, id: &str, claim: u64) -> bool {
        !self.doubtful.contains(id) && self.holders.get(id) == Some(&claim)
    }

    fn is_fenced(&self, id: &str, claim: u64) -> bool {
        !self.doubtful.contains(id) && self.holders.get(id) != Some(&claim)
    }
}

/// Why a producer does not go on as it is.
enum Stop {
    /// Another one has its id, or its time was up: it is over.
    Fenced,
    /// The transaction is to be aborted.
    Abort,
    /// It is dead.
    Dead,
}

struct Producer {
    network: Network,
    judge: Shared,
    id: &'static str,
    name: String,
    /// Transaction version 2.
    second: bool,
    at: (i64, i16),
    claim: u64,
    sequences: BTreeMap<i32, i32>,
    began_ms: i64,
}

impl Producer {
    /// Asks until there is an answer, and holds it against the fence. `None`: there is none but that this one is fenced.
    async fn ask<R: Request>(
        &self,
        version: i16,
        request: R,
        code: fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Stop> {
        loop {
            let was_fenced = Rc::new(Cell::new(false));
            let (judge, id, claim, fenced) = (self.judge.clone(), self.id, self.claim, was_fenced.clone());
            let taken = move || fenced.set(judge.borrow().is_fenced(id, claim));
            let name = self.name.clone();
            let done = move |answer: &R::Response| {
                let fenced = was_fenced.get();
                assert!(!fenced || code(answer) != ErrorCode::None, "{name} is fenced, and {} is taken", R::NAME);
            };
            let asking = Asking {
                who: &self.name,
                version,
                request: request.clone(),
                // What comes in too late is told apart by its epoch in version 2 only (KIP-890).
                haunts: self.second,
                taken: Box::new(taken),
                done: Box::new(done),
            };
            match self.network.call(asking).await {
                Err(Lost) => self.network.pause().await,
                Ok(answer) => match code(&answer) {
                    ErrorCode::ConcurrentTransactions
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::NotEnoughReplicas
                    | ErrorCode::KafkaStorageError => self.network.pause().await,
                    ErrorCode::ProducerFenced
                    | ErrorCode::InvalidProducerEpoch
                    | ErrorCode::InvalidProducerIdMapping => {
                        self.check_fence(R::NAME);
                        return Err(Stop::Fenced);
                    }
                    _ => return Ok(answer),
                },
            }
        }
    }

    /// Nobody is fenced but by another producer, or after its time was up.
    fn check_fence(&self, by: &str) {
        let is_newest = self.judge.borrow().is_newest(self.id, self.claim);
        let open_ms = self.network.now_ms() - self.began_ms;
        // In version 1 a request of the transaction before may have begun this one.
        assert!(!self.second || !is_newest || open_ms > TIMEOUT_MS, "{}: fenced after {open_ms} ms at {by}", self.name);
    }

    /// Takes the transactional id over.
    async fn claim(&mut self) {
        loop {
            let request = InitProducerIdRequest {
                transactional_id: Some(self.id.to_owned()),
                transaction_timeout_ms: TIMEOUT_MS as i32,
                producer_id: -1,
                producer_epoch: -1,
                ..InitProducerIdRequest::default()
            };
            let claim = {
                let mut judge = self.judge.borrow_mut();
                judge.next_claim += 1;
                judge.next_claim
            };
            let (judge, id) = (self.judge.clone(), self.id);
            let done = move |answer: &InitProducerIdResponse| {
                let mut judge = judge.borrow_mut();
                judge.claiming.remove(&claim);
                if answer.error_code == ErrorCode::None {
                    judge.holders.insert(id, claim);
                    judge.doubtful.remove(id);
                }
            };
            let judge = self.judge.clone();
            let taken = move || {
                judge.borrow_mut().claiming.insert(claim, id);
            };
            let (taken, done) = (Box::new(taken), Box::new(done));
            let asking = Asking { who: &self.name, version: 5, request, haunts: true, taken, done };
            match self.network.call(asking).await {
                Ok(answer) if answer.error_code == ErrorCode::None => {
                    self.at = (answer.producer_id, answer.producer_epoch);
                    self.claim = claim;
                    self.sequences.clear();
                    return;
                }
                Ok(answer) => {
                    let again = [ErrorCode::ConcurrentTransactions, ErrorCode::CoordinatorNotAvailable];
                    assert!(again.contains(&answer.error_code), "{}: {}", self.name, answer.error_code);
                }
                Err(Lost) => {}
            }
            self.network.pause().await;
        }
    }

    async fn live(mut self) {
        self.claim().await;
        while !self.network.calm() {
            match self.transaction().await {
                Ok(()) => {}
                Err(Stop::Abort) => {
                    // What it has asked for may yet come in: the next one begins with an epoch of its own.
                    self.claim().await;
                }
                Err(Stop::Fenced | Stop::Dead) => break,
            }
            if self.network.chance(10) {
                break;
            }
            if self.network.chance(20) {
                self.network.sleep(2000).await;
            }
        }
        self.network.say(|| format!("{} ends", self.name));
        self.judge.borrow_mut().alive -= 1;
    }

    fn note(&self, number: usize, what: impl FnOnce(&mut Transaction)) {
        what(self.judge.borrow_mut().transactions.get_mut(&number).expect("it was begun"));
    }

    async fn transaction(&mut self) -> Result<(), Stop> {
        self.began_ms = self.network.now_ms();
        let number = {
            let mut judge = self.judge.borrow_mut();
            let number = judge.transactions.len() + 1;
            let new = Transaction { id: self.id, writes: Vec::new(), offset: false, known: Known::Open };
            judge.transactions.insert(number, new);
            number
        };
        let partitions: BTreeSet<i32> =
            (0..=self.network.below(3)).map(|_| self.network.below(PARTITIONS as usize) as i32).collect();
        if !self.second {
            self.add(&partitions).await?;
        }
        for round in 0..=self.network.below(2) {
            for partition in &partitions {
                self.write(number, *partition, format!("{number}.{round}")).await?;
                if !self.network.calm() && self.network.chance(3) {
                    return Err(Stop::Dead);
                }
            }
        }
        if self.network.chance(40) {
            self.commit_offset(number).await?;
        }
        match self.network.below(100) {
            _ if self.network.calm() => self.end(number, true).await,
            0..70 => self.end(number, true).await,
            70..85 => self.end(number, false).await,
            85..93 => {
                self.network.sleep(TIMEOUT_MS + self.network.below(6000) as i64).await;
                self.end(number, self.network.chance(60)).await
            }
            _ => Err(Stop::Dead),
        }
    }

    async fn add(&self, partitions: &BTreeSet<i32>) -> Result<(), Stop> {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.to_owned(),
            v3_and_below_producer_id: self.at.0,
            v3_and_below_producer_epoch: self.at.1,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: TOPIC.into(),
                partitions: partitions.iter().copied().collect(),
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let code = |answer: &AddPartitionsToTxnResponse| {
            let topic = &answer.results_by_topic_v3_and_below[0];
            ErrorCode::from_code(topic.results_by_partition[0].partition_error_code)
        };
        let answer = self.ask(3, request, code).await?;
        assert_eq!(code(&answer), ErrorCode::None, "{}", self.name);
        Ok(())
    }

    fn batch(&self, sequence: i32, value: &str) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::None).transactional(true);
        builder.push(BEGIN_MS + self.network.now_ms(), None, Some(value.as_bytes()), &[]);
        let (producer_id, producer_epoch) = self.at;
        builder.set_producer(ProducerStamp { producer_id, producer_epoch, base_sequence: sequence });
        builder.finish().expect("a record")
    }

    async fn write(&mut self, number: usize, partition: i32, value: String) -> Result<(), Stop> {
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        self.note(number, |one| one.writes.push((partition, value.clone(), false)));
        let records = Some(self.batch(sequence, &value));
        let partition_data = vec![PartitionProduceData { index: partition, records }];
        let topic_data = vec![TopicProduceData { name: TOPIC.into(), partition_data, ..TopicProduceData::default() }];
        let transactional_id = Some(self.id.to_owned());
        let request = ProduceRequest { transactional_id, acks: -1, timeout_ms: 1000, topic_data };
        let code = |answer: &ProduceResponse| answer.responses[0].partition_responses[0].error_code;
        let answer = self.ask(if self.second { 12 } else { 9 }, request, code).await?;
        match code(&answer) {
            ErrorCode::None => {}
            ErrorCode::InvalidTxnState if !self.second => {
                // Its time was up, and the transaction with it.
                self.check_overdue("Produce");
                return Err(Stop::Abort);
            }
            code => panic!("{}: {code} for {value} with sequence {sequence}", self.name),
        }
        self.sequences.insert(partition, sequence + 1);
        self.note(number, |one| {
            one.writes.iter_mut().filter(|(p, v, _)| *p == partition && *v == value).for_each(|write| write.2 = true);
        });
        Ok(())
    }

    fn check_overdue(&self, what: &str) {
        let open_ms = self.network.now_ms() - self.began_ms;
        assert!(open_ms > TIMEOUT_MS, "{}: {what} finds no transaction after {open_ms} ms", self.name);
    }

    async fn commit_offset(&self, number: usize) -> Result<(), Stop> {
        if !self.second {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.id.to_owned(),
                producer_id: self.at.0,
                producer_epoch: self.at.1,
                group_id: GROUP.into(),
            };
            let code = |answer: &AddOffsetsToTxnResponse| answer.error_code;
            let answer = self.ask(3, request, code).await?;
            assert_eq!(answer.error_code, ErrorCode::None, "{}", self.name);
        }
        let one = TxnOffsetCommitRequestPartition {
            partition_index: place_of(self.id),
            committed_offset: number as i64,
            ..TxnOffsetCommitRequestPartition::default()
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.id.to_owned(),
            group_id: GROUP.into(),
            producer_id: self.at.0,
            producer_epoch: self.at.1,
            generation_id: -1,
            topics: vec![TxnOffsetCommitRequestTopic { name: TOPIC.into(), partitions: vec![one] }],
            ..TxnOffsetCommitRequest::default()
        };
        let code = |answer: &TxnOffsetCommitResponse| answer.topics[0].partitions[0].error_code;
        let answer = self.ask(if self.second { 5 } else { 3 }, request, code).await?;
        match code(&answer) {
            ErrorCode::None => self.note(number, |one| one.offset = true),
            ErrorCode::InvalidTxnState if !self.second => {
                self.check_overdue("TxnOffsetCommit");
                return Err(Stop::Abort);
            }
            code => panic!("{}: {code}", self.name),
        }
        Ok(())
    }

    async fn end(&mut self, number: usize, commits: bool) -> Result<(), Stop> {
        self.note(number, |one| one.known = if commits { Known::CommitAsked } else { Known::Aborted });
        let request = EndTxnRequest {
            transactional_id: self.id.to_owned(),
            producer_id: self.at.0,
            producer_epoch: self.at.1,
            committed: commits,
        };
        let answer =
            self.ask(if self.second { 5 } else { 3 }, request, |answer: &EndTxnResponse| answer.error_code).await?;
        match answer.error_code {
            ErrorCode::None => {
                self.note(number, |one| one.known = if commits { Known::Committed } else { Known::Aborted });
                if self.second {
                    self.at = (answer.producer_id, answer.producer_epoch);
                    self.sequences.clear();
                }
                Ok(())
            }
            ErrorCode::InvalidTxnState => {
                self.check_overdue("EndTxn");
                self.note(number, |one| one.known = Known::Aborted);
                Err(Stop::Abort)
            }
            code => panic!("{}: {code}", self.name),
        }
    }
}

/// The partition for which producers of an id commit offsets.
fn place_of(id: &str) -> i32 {
    IDS.iter().position(|one| *one == id).expect("one of them") as i32
}

struct Transactions {
    judge: Shared,
    next_producer: usize,
}

impl Transactions {
    fn spawn(&mut self, network: &Network, spawner: &Spawner) {
        self.next_producer += 1;
        self.judge.borrow_mut().alive += 1;
        let id = IDS[network.below(IDS.len())];
        let second = network.chance(60);
        let producer = Producer {
            network: network.clone(),
            judge: self.judge.clone(),
            id,
            name: format!("{id}{}v{}", self.next_producer, 1 + u8::from(second)),
            second,
            at: (-1, -1),
            claim: 0,
            sequences: BTreeMap::new(),
            began_ms: 0,
        };
        spawner.spawn(producer.live());
    }

    /// What is read at any time: nothing that was aborted or that nobody committed, nothing twice, everything in order.
    fn check_reads(&self, read: &dyn Fn(i32) -> Vec<String>) -> BTreeMap<usize, BTreeSet<(i32, String)>> {
        let judge = self.judge.borrow();
        let mut seen: BTreeMap<usize, BTreeSet<(i32, String)>> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let values = read(partition);
            let mut last: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for value in &values {
                let place: Vec<usize> = value.split('.').map(|part| part.parse().expect("a number")).collect();
                let transaction = &judge.transactions[&place[0]];
                let known = transaction.known;
                assert!(
                    matches!(known, Known::CommitAsked | Known::Committed),
                    "{partition}: {value} is read of a transaction that is {known:?}"
                );
                assert!(seen.entry(place[0]).or_default().insert((partition, value.clone())), "{value} is read twice");
                let before = last.insert(transaction.id, place.clone());
                assert!(
                    before.as_ref().is_none_or(|before| *before < place),
                    "{partition}: {place:?} after {before:?}"
                );
            }
        }
        seen
    }

    fn check_offsets(&self, broker: &Arc<Broker>, seen: &BTreeMap<usize, BTreeSet<(i32, String)>>) {
        let judge = self.judge.borrow();
        for id in IDS {
            let committed = judge.transactions.iter().filter(|(number, one)| {
                one.id == id && one.offset && (one.known == Known::Committed || seen.contains_key(number))
            });
            let expected = committed.map(|(number, _)| *number as i64).max();
            let name = (TOPIC.to_owned(), place_of(id));
            let shown = broker.groups.offsets(GROUP, Some(std::slice::from_ref(&name)))[0].1.clone();
            assert_eq!(shown.map(|shown| shown.offset), expected, "the offset that {id} has committed");
        }
    }
}

type Held = Vec<(String, String)>;

impl Scenario for Transactions {
    type Held = Held;

    fn begin(network: &Network, spawner: &Spawner) -> Self {
        let mut transactions = Transactions { judge: Rc::default(), next_producer: 0 };
        (0..2).for_each(|_| transactions.spawn(network, spawner));
        transactions
    }

    fn step(&mut self, network: &Network, spawner: &Spawner) {
        let alive = self.judge.borrow().alive;
        if alive == 0 || alive < PRODUCERS_MAX && network.below(100) < 2 {
            self.spawn(network, spawner);
        }
    }

    fn check(&mut self, _: &Arc<Broker>, _: &dyn Fn(i32) -> Vec<String>) {}

    fn held(broker: &Arc<Broker>) -> Held {
        let all = broker.transactions.whole().into_iter().map(|(id, mut one)| {
            // Of a beginning that the disk refused a replay does not know.
            one.started_ms = 0;
            (id, if one.unsaved.is_empty() { format!("{one:?}") } else { UNSAVED.to_owned() })
        });
        let offsets = broker.groups.whole().into_iter().map(|entry| ("offset".to_owned(), format!("{entry:?}")));
        all.chain(offsets).collect()
    }

    fn opened(&mut self, broker: &Arc<Broker>, read: &dyn Fn(i32) -> Vec<String>, before: Option<Held>) {
        if let Some(before) = before {
            let now = Self::held(broker);
            assert_eq!(now.len(), before.len(), "replay gives the same");
            for (now, before) in now.iter().zip(&before).filter(|(_, before)| before.1 != UNSAVED) {
                assert_eq!(now, before, "replay gives the same");
            }
        }
        let mut judge = self.judge.borrow_mut();
        let claiming = std::mem::take(&mut judge.claiming);
        judge.doubtful.extend(claiming.into_values());
        drop(judge);
        self.check_reads(read);
    }

    fn at_rest(&mut self, _: &Network, broker: &Arc<Broker>, read: &dyn Fn(i32) -> Vec<String>) {
        for one in broker.transactions.list() {
            assert_ne!(one.state, State::Ongoing, "{one:?} hangs");
        }
        for partition in broker.topics.get(TOPIC).expect("it is there").partitions.iter() {
            let stable = partition.last_stable_offset().expect("it is known");
            assert_eq!(stable, partition.high_watermark(), "{} moves on", partition.topic_partition());
        }
        let seen = self.check_reads(read);
        self.check_offsets(broker, &seen);
        for (number, one) in &self.judge.borrow().transactions {
            let written: BTreeSet<(i32, String)> =
                one.writes.iter().filter(|write| write.2).map(|(p, value, _)| (*p, value.clone())).collect();
            match (one.known, seen.get(number)) {
                (Known::Committed, seen) => {
                    assert_eq!(
                        seen.cloned().unwrap_or_default(),
                        written,
                        "transaction {number} was committed: {one:?}"
                    );
                }
                (Known::CommitAsked, Some(seen)) => assert_eq!(*seen, written, "transaction {number}: {one:?}"),
                (_, seen) => assert_eq!(seen, None, "transaction {number}: {one:?}"),
            }
        }
    }
}

#[test]
fn transactions_are_whole_fenced_and_come_to_an_end() {
    simulate::<Transactions>(700, 40_000);
}
