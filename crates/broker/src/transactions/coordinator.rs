//! The transaction coordinator: all transactional ids, and the appends in which they change.
//!
//! Everything is decided and handed to the log under one lock, so that a batch is before its transaction's end in the log or is refused. What
//! joins a transaction holds at once, also before it is durable: should its append fail, a marker too many is written, which means nothing. Ends and
//! new producers hold only once they are durable; until then the id answers CONCURRENT_TRANSACTIONS.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Ack, Append, Appended, Log, LogError, TopicPartition};
use millstream_protocol::ErrorCode;
use millstream_protocol::records::{BatchHeader, EndMarker};
use parking_lot::Mutex;

use super::record::{Event, PendingOffset};
use super::transaction::{End, State, Transaction, first};
use crate::groups::coordinator::{Commit, Committer, Coordinator as Groups};
use crate::groups::transactional::Committing;
use crate::internal_log::InternalLog;
use crate::runtime::{blocking, to_the_end};
use crate::topics::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topics};
use crate::{BrokerConfig, BrokerError};

/// Longest transactional id: every version of every answer can carry it.
const ID_BYTES_MAX: usize = 16 << 10;
/// Epoch of the only coordinator there ever is.
const COORDINATOR_EPOCH: i32 = 0;

/// A transactional id as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Transactional id.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// Producer id.
    pub producer_id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// How long a transaction may be open.
    pub timeout_ms: i32,
    /// When the last one began, in milliseconds since 1970; -1: none did.
    pub started_ms: i64,
    /// Partitions of the open transaction, by topic; the offsets' own topic if groups take part.
    pub partitions: Vec<(String, i32)>,
}

/// How a client's partition came to be part of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// By AddPartitionsToTxn or AddOffsetsToTxn, before (transaction version 1). With what a client is told that left that out.
    Before { otherwise: ErrorCode },
    /// By this very request (transaction version 2, KIP-890).
    Now,
}

/// See the module.
#[derive(Debug)]
pub struct Coordinator {
    config: Arc<BrokerConfig>,
    log: Log,
    records: InternalLog,
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    inner: Mutex<BTreeMap<String, Transaction>>,
}

/// An append that ends a transaction, or hands its id over.
struct Change {
    event: Event,
    partitions: Vec<(String, i32)>,
    marker: EndMarker,
    commits: Vec<(String, Vec<Commit>)>,
}

impl Coordinator {
    /// Reads what there is. Blocks.
    pub(crate) fn open(
        log: &Log,
        config: Arc<BrokerConfig>,
        topics: Arc<Topics>,
        groups: Arc<Groups>,
    ) -> Result<Self, BrokerError> {
        let records = InternalLog::open(log, TRANSACTIONS_TOPIC, config.internal_log_bytes_max)?;
        let mut all: BTreeMap<String, Transaction> = BTreeMap::new();
        records.replay(|offset, key, value| {
            let id = String::from_utf8_lossy(key.unwrap_or_default()).into_owned();
            let before = all.remove(&id);
            let Some(value) = value else { return };
            let after = match Event::decode(value) {
                Some(event) => Transaction::after(before, event),
                None => before,
            };
            match after {
                Some(after) => drop(all.insert(id, after)),
                None => tracing::warn!(offset, %id, "a record of {TRANSACTIONS_TOPIC} is not understood: skipped"),
            }
        })?;
        Ok(Coordinator { config, log: log.clone(), records, topics, groups, inner: Mutex::new(all) })
    }

    /// InitProducerId of a transactional producer: aborts what is open under the id and gives producer id and epoch, before which all are fenced.
    /// `expected`: the producer goes on after an error, as what it was.
    pub(crate) async fn initialize(
        self: &Arc<Self>,
        id: &str,
        timeout_ms: i32,
        expected: Option<(i64, i16)>,
    ) -> Result<(i64, i16), ErrorCode> {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.config.transaction_max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let now_ms = self.config.clock.now_ms();
        let fresh_id = self.fresh_id(id).await?;
        let (change, appended, committing) = {
            let mut inner = self.inner.lock();
            let (event, fencing) = match (inner.get(id), fresh_id) {
                (Some(there), fresh_id) => {
                    (there.initialize(expected, timeout_ms, fresh_id, now_ms)?, Some(there.fencing_epoch()))
                }
                (None, Some(fresh_id)) => (first(fresh_id, timeout_ms, now_ms), None),
                // It was forgotten a moment ago.
                (None, None) => return Err(ErrorCode::CoordinatorNotAvailable),
            };
            let change = Change::abort(event, inner.get(id), fencing);
            let there = inner.entry(id.to_string());
            // A new id is reserved by the event itself, so that a second producer waits for the first.
            let there = there.or_insert_with(|| {
                Transaction::after(None, change.event.clone()).expect("a first event makes a transaction")
            });
            there.is_ending = true;
            let (appended, committing) = self.append(id, &change);
            (change, appended, committing)
        };
        self.finish(id, change, appended, committing).await
    }

    /// A producer id, if the transactional id will need one.
    async fn fresh_id(&self, id: &str) -> Result<Option<i64>, ErrorCode> {
        if self.inner.lock().get(id).is_some_and(|there| !there.needs_producer_id()) {
            return Ok(None);
        }
        let taken = self.topics.take_producer_id().await;
        taken.map(Some).map_err(|error| unavailable(id, &error))
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn: durable when it resolves.
    pub(crate) async fn add(
        &self,
        id: &str,
        producer: (i64, i16),
        partitions: Vec<(String, i32)>,
        groups: Vec<String>,
    ) -> Result<(), ErrorCode> {
        let names = partitions.clone();
        let written = {
            let mut inner = self.inner.lock();
            let there = known(&mut inner, id, producer)?;
            let Some(event) = there.add(partitions, groups, self.config.clock.now_ms()) else { return Ok(()) };
            let written = self.records.append(self.config.clock.now_ms(), &[event.encode(id)]);
            there.unsaved.extend(names.iter().cloned());
            apply(&mut inner, id, event);
            written
        };
        written.await.map_err(|error| unavailable(id, &error))?;
        self.saved(id, producer, &names);
        Ok(())
    }

    /// Whether the partitions are part of the producer's open transaction, one by one.
    pub(crate) fn verify(
        &self,
        id: &str,
        producer: (i64, i16),
        partitions: &[(String, i32)],
    ) -> Result<Vec<bool>, ErrorCode> {
        let mut inner = self.inner.lock();
        let there = known(&mut inner, id, producer)?;
        Ok(partitions.iter().map(|name| there.has(name)).collect())
    }

    /// Appends a transactional batch, with the record that its partition takes part, where that is new. The append is begun when this returns.
    pub(crate) fn produce(
        &self,
        id: &str,
        header: &BatchHeader,
        joining: Joining,
        batch: Append,
        ack: Ack,
    ) -> Result<(Appended, Option<Saving>), ErrorCode> {
        let producer = (header.producer_id, header.producer_epoch);
        let name = (batch.partition.topic.to_string(), batch.partition.partition);
        let mut inner = self.inner.lock();
        let there = known(&mut inner, id, producer)?;
        match joining {
            Joining::Before { otherwise } if !there.has(&name) => return Err(otherwise),
            _ if there.has(&name) && !there.unsaved.contains(&name) => {
                return Ok((self.log.append_with(vec![batch], ack), None));
            }
            _ => {}
        }
        let now_ms = self.config.clock.now_ms();
        let event = Event::Added { partitions: vec![name.clone()], groups: Vec::new(), at_ms: now_ms };
        let parts = std::iter::once(batch).chain(self.records.part(now_ms, &[event.encode(id)]));
        let appended = self.log.append_with(parts.collect(), ack);
        there.unsaved.insert(name.clone());
        apply(&mut inner, id, event);
        let saving = (ack == Ack::Durable).then(|| Saving { id: id.to_string(), producer, partition: name });
        Ok((appended, saving))
    }

    /// The append that [`Coordinator::produce`] began is durable.
    pub(crate) fn produced(&self, saving: &Saving) {
        self.saved(&saving.id, saving.producer, std::slice::from_ref(&saving.partition));
    }

    fn saved(&self, id: &str, producer: (i64, i16), names: &[(String, i32)]) {
        let mut inner = self.inner.lock();
        // Of a later transaction nothing is known here.
        let Some(there) = inner.get_mut(id).filter(|there| (there.producer.id, there.producer.epoch) == producer)
        else {
            return;
        };
        there.unsaved.retain(|name| !names.contains(name));
    }

    /// TxnOffsetCommit: keeps a group's offsets until the transaction ends. Durable when it resolves.
    pub(crate) async fn commit_offsets(
        &self,
        id: &str,
        producer: (i64, i16),
        joining: Joining,
        (group, by): (&str, &Committer),
        offsets: Vec<PendingOffset>,
    ) -> Result<(), OffsetsRefused> {
        let written = {
            let mut inner = self.inner.lock();
            let there = known(&mut inner, id, producer)?;
            if let Joining::Before { otherwise } = joining
                && !there.has_group(group)
            {
                return Err(otherwise.into());
            }
            self.groups.check_transactional(group, by)?;
            let now_ms = self.config.clock.now_ms();
            let event = Event::Offsets { group: group.to_string(), offsets, at_ms: now_ms };
            let written = self.records.append(now_ms, &[event.encode(id)]);
            apply(&mut inner, id, event);
            written
        };
        written.await.map_err(|error| unavailable(id, &error))?;
        Ok(())
    }

    /// Partitions for which transactions that are open may yet commit an offset of the group.
    pub(crate) fn pending(&self, group: &str) -> HashSet<(String, i32)> {
        let inner = self.inner.lock();
        inner.values().filter_map(|there| there.groups.get(group)).flat_map(|offsets| offsets.keys().cloned()).collect()
    }

    /// EndTxn. Gives producer id and epoch for what follows.
    pub(crate) async fn end(
        self: &Arc<Self>,
        id: &str,
        producer: (i64, i16),
        committed: bool,
        bumps: bool,
    ) -> Result<(i64, i16), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if !self.inner.lock().contains_key(id) {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let fresh_id = if bumps { self.fresh_id(id).await? } else { None };
        let (change, appended, committing) = {
            let mut inner = self.inner.lock();
            let there = inner.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
            let end = there.end(producer, committed, bumps, fresh_id, self.config.clock.now_ms())?;
            let End::Write { event, marker_epoch } = end else {
                return Ok((there.producer.id, there.producer.epoch));
            };
            let change = Change::new(event, there, marker_epoch, committed);
            there.is_ending = true;
            let (appended, committing) = self.append(id, &change);
            (change, appended, committing)
        };
        self.finish(id, change, appended, committing).await
    }

    /// One atomic append: markers, offsets, and what the coordinator has to remember. Partitions that are gone need no marker.
    fn append(&self, id: &str, change: &Change) -> (Appended, Option<Committing>) {
        let now_ms = self.config.clock.now_ms();
        let mut parts: Vec<Append> = self.records.part(now_ms, &[change.event.encode(id)]).into_iter().collect();
        let offsets = self.groups.commit_part(change.commits.iter().cloned());
        let (offsets, committing) = offsets.unzip();
        parts.extend(offsets);
        let names = change.partitions.iter().map(|(topic, partition)| TopicPartition::new(topic.as_str(), *partition));
        let there = names.filter(|name| self.log.partition(name).is_some());
        let marker = change.marker.batch(now_ms);
        parts.extend(there.map(|name| Append::new(name, marker.clone())));
        (self.log.append(parts), committing)
    }

    /// Waits for the append and makes it hold. Goes on if nobody waits.
    async fn finish(
        self: &Arc<Self>,
        id: &str,
        mut change: Change,
        mut appended: Appended,
        mut committing: Option<Committing>,
    ) -> Result<(i64, i16), ErrorCode> {
        let (this, id) = (self.clone(), id.to_string());
        let name = id.clone();
        let done = to_the_end(async move {
            let result = loop {
                let result = appended.await;
                // The offsets are the second part, if there are any.
                let begin = result.as_ref().ok().and_then(|parts| parts.get(1)).map(|part| part.base_offset);
                if let Some(committing) = committing.take() {
                    this.groups.commit_landed(committing, begin);
                }
                match &result {
                    // Deleted meanwhile, or an administrator has fenced the producer there: it has nothing to end.
                    Err(LogError::UnknownPartition(gone) | LogError::InvalidProducerEpoch { partition: gone, .. })
                        if change.forget(gone) =>
                    {
                        (appended, committing) = this.append(&id, &change);
                    }
                    _ => break result,
                }
            };
            let mut inner = this.inner.lock();
            match result {
                Ok(_) => {
                    apply(&mut inner, &id, change.event);
                    let there = inner.get_mut(&id).expect("what is ending is not forgotten");
                    there.is_ending = false;
                    Ok((there.producer.id, there.producer.epoch))
                }
                Err(error) => {
                    if let Some(there) = inner.get_mut(&id) {
                        there.is_ending = false;
                    }
                    Err(BrokerError::Log(error))
                }
            }
        });
        done.await.map_err(|error: BrokerError| unavailable(&name, &error))
    }

    /// Aborts transactions whose time is up, forgets ids that were not used for long, and writes the log anew if it is large.
    pub(crate) async fn expire(self: &Arc<Self>) -> Result<(), BrokerError> {
        let now_ms = self.config.clock.now_ms();
        let (overdue, old): (Vec<String>, Vec<String>) = {
            let inner = self.inner.lock();
            let ids = |what: &dyn Fn(&Transaction) -> bool| {
                inner.iter().filter(|(_, there)| what(there)).map(|(id, _)| id.clone()).collect()
            };
            let before_ms = now_ms - self.config.transactional_id_expiration_ms;
            let unused =
                |there: &Transaction| there.state != State::Ongoing && !there.is_ending && there.updated_ms < before_ms;
            (ids(&|there| there.is_overdue(now_ms)), ids(&unused))
        };
        for id in overdue {
            self.time_out(&id, now_ms).await;
        }
        for id in old {
            let written = {
                let mut inner = self.inner.lock();
                // Taken out at once: a producer that comes now begins anew, behind this record.
                inner.remove(&id);
                self.records.append(now_ms, &[(id.into_bytes().into(), None)])
            };
            written.await?;
        }
        self.rewrite_if_large().await
    }

    async fn time_out(self: &Arc<Self>, id: &str, now_ms: i64) {
        let (change, appended, committing) = {
            let mut inner = self.inner.lock();
            let Some(there) = inner.get_mut(id).filter(|there| there.is_overdue(now_ms)) else { return };
            let change = Change::new(there.time_out(now_ms), there, there.fencing_epoch(), false);
            there.is_ending = true;
            let (appended, committing) = self.append(id, &change);
            (change, appended, committing)
        };
        tracing::info!(transactional_id = id, "a transaction was open for longer than its time-out: aborted");
        // A failure is told there; the next round tries again.
        let _ = self.finish(id, change, appended, committing).await;
    }

    /// Possible only while no end is on its way: it would be neither in the new records nor after them. What joins is in memory first.
    async fn rewrite_if_large(self: &Arc<Self>) -> Result<(), BrokerError> {
        let written = {
            let inner = self.inner.lock();
            if !self.records.is_large() || inner.values().any(|there| there.is_ending) {
                return Ok(());
            }
            let whole = inner.iter().map(|(id, there)| Event::Whole(Box::new(there.clone())).encode(id));
            self.records.append(self.config.clock.now_ms(), &whole.collect::<Vec<_>>())
        };
        let begin = written.await?;
        blocking(|| self.records.forget_before(begin))?;
        Ok(())
    }

    /// Lets time pass, for as long as the broker lives.
    pub(crate) async fn run(self: Arc<Self>) {
        let period = Duration::from_millis(self.config.transaction_abort_check_interval_ms.max(1));
        let mut round = tokio::time::interval(period);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            if let Err(error) = self.expire().await {
                tracing::warn!(%error, "transactions could not be looked after; it is tried again");
            }
        }
    }

    /// All transactional ids, in order.
    pub fn list(&self) -> Vec<TransactionDescription> {
        self.inner.lock().iter().map(|(id, there)| describe(id, there)).collect()
    }

    /// All that holds, in order of the ids.
    #[cfg(test)]
    pub(crate) fn whole(&self) -> Vec<(String, Transaction)> {
        self.inner.lock().iter().map(|(id, there)| (id.clone(), there.clone())).collect()
    }

    /// A transactional id.
    pub fn describe(&self, id: &str) -> Option<TransactionDescription> {
        self.inner.lock().get(id).map(|there| describe(id, there))
    }
}

/// A partition that joins a transaction with its batch.
#[derive(Debug)]
pub(crate) struct Saving {
    id: String,
    producer: (i64, i16),
    partition: (String, i32),
}

/// Why offsets were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetsRefused {
    /// By the transaction.
    Transaction(ErrorCode),
    /// By the group.
    Group(crate::groups::exchange::GroupError),
}

impl From<ErrorCode> for OffsetsRefused {
    fn from(code: ErrorCode) -> Self {
        OffsetsRefused::Transaction(code)
    }
}

impl From<crate::groups::exchange::GroupError> for OffsetsRefused {
    fn from(error: crate::groups::exchange::GroupError) -> Self {
        OffsetsRefused::Group(error)
    }
}

impl Change {
    fn new(event: Event, there: &Transaction, marker_epoch: i16, committed: bool) -> Change {
        let commit = |offset: &PendingOffset| Commit {
            topic: offset.topic.clone(),
            partition: offset.partition,
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata.clone(),
        };
        let groups = there.groups.iter().filter(|(_, offsets)| committed && !offsets.is_empty());
        Change {
            event,
            partitions: there.partitions.iter().cloned().collect(),
            marker: EndMarker {
                producer_id: there.producer.id,
                producer_epoch: marker_epoch,
                committed,
                coordinator_epoch: COORDINATOR_EPOCH,
            },
            commits: groups.map(|(group, offsets)| (group.clone(), offsets.values().map(commit).collect())).collect(),
        }
    }

    /// Hands the id over; what is open is aborted with markers of the epoch `fencing`.
    fn abort(event: Event, there: Option<&Transaction>, fencing: Option<i16>) -> Change {
        match there.zip(fencing) {
            Some((there, epoch)) => Change::new(event, there, epoch, false),
            None => {
                let marker = EndMarker {
                    producer_id: -1,
                    producer_epoch: -1,
                    committed: false,
                    coordinator_epoch: COORDINATOR_EPOCH,
                };
                Change { event, partitions: Vec::new(), marker, commits: Vec::new() }
            }
        }
    }

    /// Leaves a partition out. False: it was not there.
    fn forget(&mut self, partition: &TopicPartition) -> bool {
        let before = self.partitions.len();
        self.partitions.retain(|(topic, number)| **topic != *partition.topic || *number != partition.partition);
        self.partitions.len() < before
    }
}

fn known<'a>(
    inner: &'a mut BTreeMap<String, Transaction>,
    id: &str,
    (producer_id, epoch): (i64, i16),
) -> Result<&'a mut Transaction, ErrorCode> {
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let there = inner.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
    there.check(producer_id, epoch)?;
    Ok(there)
}

fn apply(inner: &mut BTreeMap<String, Transaction>, id: &str, event: Event) {
    let before = inner.remove(id);
    if let Some(after) = Transaction::after(before, event) {
        inner.insert(id.to_string(), after);
    }
}

fn unavailable(id: &str, error: &dyn std::fmt::Display) -> ErrorCode {
    tracing::warn!(transactional_id = id, %error, "a transaction could not be written");
    // Clients repeat a request to a coordinator that is not there; a full disk may have space by then.
    ErrorCode::CoordinatorNotAvailable
}

fn describe(id: &str, there: &Transaction) -> TransactionDescription {
    let mut partitions: Vec<(String, i32)> = there.partitions.iter().cloned().collect();
    if !there.groups.is_empty() {
        partitions.push((OFFSETS_TOPIC.to_string(), 0));
    }
    TransactionDescription {
        id: id.to_string(),
        state: there.state,
        producer_id: there.producer.id,
        epoch: there.producer.epoch,
        timeout_ms: there.timeout_ms,
        started_ms: there.started_ms,
        partitions,
    }
}
