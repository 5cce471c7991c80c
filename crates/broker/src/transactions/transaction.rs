//! One transactional id: what holds, and what may happen next. Decides and applies; knows neither log nor clock.
//!
//! The rules are those of Kafka's `TransactionCoordinator` and `TransactionMetadata` (4.3), without the states between open and ended.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::ErrorCode;
use serde::{Deserialize, Serialize};

use super::record::{Event, PendingOffset, Producer};

/// From this epoch on a producer gets a new id instead of a further epoch.
const EPOCH_LAST: i16 = i16::MAX - 1;
const NONE_EPOCH: i16 = -1;
const NONE_ID: i64 = -1;

/// Where a transaction stands, as administrators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// A producer has the id and has begun nothing.
    Empty,
    /// Begun.
    Ongoing,
    /// The last one was committed.
    CompleteCommit,
    /// The last one was aborted.
    CompleteAbort,
}

impl State {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
        }
    }
}

/// What is known of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub producer: Producer,
    pub timeout_ms: i32,
    pub state: State,
    /// Partitions written to, or about to be.
    pub partitions: BTreeSet<(String, i32)>,
    /// Offsets to be committed, by group.
    #[serde(with = "offsets_as_list")]
    pub groups: BTreeMap<String, BTreeMap<(String, i32), PendingOffset>>,
    /// When it began; -1: nothing did.
    pub started_ms: i64,
    pub updated_ms: i64,
    /// Partitions whose record is not known to be durable: it goes along with the next batch.
    #[serde(skip)]
    pub unsaved: BTreeSet<(String, i32)>,
    /// Its end, or a new producer, is on its way into the log.
    #[serde(skip)]
    pub is_ending: bool,
}

/// JSON has no keys but strings.
mod offsets_as_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::*;

    type Groups = BTreeMap<String, BTreeMap<(String, i32), PendingOffset>>;

    pub fn serialize<S: Serializer>(groups: &Groups, serializer: S) -> Result<S::Ok, S::Error> {
        let lists = groups.iter().map(|(group, offsets)| (group, offsets.values().collect::<Vec<_>>()));
        lists.collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Groups, D::Error> {
        let lists = BTreeMap::<String, Vec<PendingOffset>>::deserialize(deserializer)?;
        let keyed = |offsets: Vec<PendingOffset>| {
            offsets.into_iter().map(|offset| ((offset.topic.clone(), offset.partition), offset)).collect()
        };
        Ok(lists.into_iter().map(|(group, offsets)| (group, keyed(offsets))).collect())
    }
}

/// What is to be done about a request to end a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It ended so already: an answer was lost.
    Already(Producer),
    /// To be written, with markers of this epoch.
    Write { event: Event, marker_epoch: i16 },
}

/// The first event of a transactional id that nobody had.
pub(crate) fn first(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Event {
    let producer =
        Producer { id: producer_id, epoch: 0, last_epoch: NONE_EPOCH, previous_id: NONE_ID, with_end: false };
    Event::Initialized { producer, timeout_ms, at_ms: now_ms }
}

impl Transaction {
    /// What an event leaves of what was there; `None` for an event that needs something to be there.
    pub fn after(before: Option<Transaction>, event: Event) -> Option<Transaction> {
        match (before, event) {
            (_, Event::Whole(whole)) => Some(*whole),
            (before, Event::Initialized { producer, timeout_ms, at_ms }) => Some(Transaction {
                producer,
                timeout_ms,
                state: State::Empty,
                partitions: BTreeSet::new(),
                groups: BTreeMap::new(),
                started_ms: -1,
                updated_ms: at_ms,
                unsaved: BTreeSet::new(),
                is_ending: before.is_some_and(|before| before.is_ending),
            }),
            (Some(mut transaction), event) => {
                transaction.apply(event);
                Some(transaction)
            }
            (None, _) => None,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Added { partitions, groups, at_ms } => {
                self.begin(at_ms);
                self.partitions.extend(partitions);
                for group in groups {
                    self.groups.entry(group).or_default();
                }
            }
            Event::Offsets { group, offsets, at_ms } => {
                self.begin(at_ms);
                let keyed = offsets.into_iter().map(|offset| ((offset.topic.clone(), offset.partition), offset));
                self.groups.entry(group).or_default().extend(keyed);
            }
            Event::Ended { committed, producer, at_ms } => {
                self.producer = producer;
                self.state = if committed { State::CompleteCommit } else { State::CompleteAbort };
                self.partitions.clear();
                self.unsaved.clear();
                self.groups.clear();
                self.updated_ms = at_ms;
            }
            Event::Initialized { .. } | Event::Whole(_) => unreachable!("these replace what there is"),
        }
    }

    fn begin(&mut self, at_ms: i64) {
        if self.state != State::Ongoing {
            self.state = State::Ongoing;
            self.started_ms = at_ms;
        }
        self.updated_ms = at_ms;
    }

    /// Whether the next epoch needs a new producer id.
    pub fn needs_producer_id(&self) -> bool {
        self.producer.epoch >= EPOCH_LAST
    }

    /// Holds a request's producer against the one that has the id.
    ///
    /// # Errors
    /// CONCURRENT_TRANSACTIONS, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED.
    pub fn check(&self, producer_id: i64, epoch: i16) -> Result<(), ErrorCode> {
        // First: the producer may already use what is on its way.
        if self.is_ending {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if producer_id != self.producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if epoch != self.producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(())
    }

    /// A producer takes the id over, or goes on after an error (`expected`: what it believes to be, KIP-360). `fresh_id` is there if
    /// [`Transaction::needs_producer_id`]. Gives the event and the epoch of the markers that abort what is open.
    pub fn initialize(
        &self,
        expected: Option<(i64, i16)>,
        timeout_ms: i32,
        fresh_id: Option<i64>,
        now_ms: i64,
    ) -> Result<Event, ErrorCode> {
        if self.is_ending {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let now = self.producer;
        let event = |producer| Ok(Event::Initialized { producer, timeout_ms, at_ms: now_ms });
        if let Some((id, epoch)) = expected {
            let is_current = id == now.id && epoch == now.epoch;
            let repeated = id == now.id && epoch == now.last_epoch && self.state != State::Ongoing;
            let repeated_rotation = id == now.previous_id && epoch >= EPOCH_LAST && now.epoch == 0;
            if repeated || repeated_rotation {
                return event(now);
            }
            if !is_current {
                return Err(ErrorCode::ProducerFenced);
            }
        }
        let last_epoch = if expected.is_some() { now.epoch } else { NONE_EPOCH };
        event(self.next_producer(last_epoch, fresh_id))
    }

    /// Epoch of the markers that abort what is open when another producer takes over or time is up: it fences the one before.
    pub fn fencing_epoch(&self) -> i16 {
        self.producer.epoch.saturating_add(1)
    }

    fn next_producer(&self, last_epoch: i16, fresh_id: Option<i64>) -> Producer {
        let now = self.producer;
        match fresh_id.filter(|_| self.needs_producer_id()) {
            Some(id) => Producer { id, epoch: 0, last_epoch, previous_id: now.id, with_end: false },
            None => Producer { epoch: self.fencing_epoch(), last_epoch, with_end: false, ..now },
        }
    }

    /// Partitions and groups are to join the transaction. `None`: all of them have, durably.
    pub fn add(&self, partitions: Vec<(String, i32)>, groups: Vec<String>, now_ms: i64) -> Option<Event> {
        let known = self.state == State::Ongoing
            && partitions.iter().all(|name| self.partitions.contains(name) && !self.unsaved.contains(name))
            && groups.iter().all(|group| self.groups.contains_key(group));
        (!known).then_some(Event::Added { partitions, groups, at_ms: now_ms })
    }

    /// Whether the partition is part of the open transaction.
    pub fn has(&self, name: &(String, i32)) -> bool {
        self.state == State::Ongoing && self.partitions.contains(name)
    }

    /// Whether the group is part of the open transaction.
    pub fn has_group(&self, group: &str) -> bool {
        self.state == State::Ongoing && self.groups.contains_key(group)
    }

    /// The producer ends its transaction. `bumps`: with a new epoch (transaction version 2, EndTxn 5).
    pub fn end(
        &self,
        (producer_id, epoch): (i64, i16),
        committed: bool,
        bumps: bool,
        fresh_id: Option<i64>,
        now_ms: i64,
    ) -> Result<End, ErrorCode> {
        if self.is_ending {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let now = self.producer;
        let is_complete = matches!(self.state, State::CompleteCommit | State::CompleteAbort);
        let repeated_rotation = bumps
            && now.with_end
            && is_complete
            && producer_id == now.previous_id
            && epoch >= EPOCH_LAST
            && now.epoch == 0;
        if producer_id != now.id && !repeated_rotation {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        // Not every producer of the epoch before: another one may have taken the id over, whose epoch is not to be told to this one.
        let repeated =
            repeated_rotation || (bumps && is_complete && now.with_end && epoch.checked_add(1) == Some(now.epoch));
        if epoch != now.epoch && !repeated {
            return Err(ErrorCode::ProducerFenced);
        }
        let ended_so = match self.state {
            State::CompleteCommit => committed,
            State::CompleteAbort => !committed,
            State::Empty | State::Ongoing => false,
        };
        let producer = match bumps {
            true => Producer { with_end: true, ..self.next_producer(now.epoch, fresh_id) },
            false => Producer { last_epoch: NONE_EPOCH, with_end: false, ..now },
        };
        let marker_epoch = if bumps { self.fencing_epoch() } else { now.epoch };
        let write = Ok(End::Write { event: Event::Ended { committed, producer, at_ms: now_ms }, marker_epoch });
        match self.state {
            State::Ongoing => write,
            _ if repeated => {
                if ended_so {
                    Ok(End::Already(now))
                } else {
                    Err(ErrorCode::InvalidTxnState)
                }
            }
            // Version 1 cannot tell a repeated request from one for nothing.
            _ if !bumps && ended_so => Ok(End::Already(now)),
            _ if bumps && !committed => write,
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Whether its time is up.
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.state == State::Ongoing
            && !self.is_ending
            && now_ms.saturating_sub(self.started_ms) > i64::from(self.timeout_ms)
    }

    /// Aborts and fences the producer.
    pub fn time_out(&self, now_ms: i64) -> Event {
        let producer =
            Producer { epoch: self.fencing_epoch(), last_epoch: NONE_EPOCH, with_end: true, ..self.producer };
        Event::Ended { committed: false, producer, at_ms: now_ms }
    }
}
