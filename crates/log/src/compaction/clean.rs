//! What becomes of a batch when its log is compacted. The rules are those of Kafka's `Cleaner`: of each key the newest record stays; a tombstone
//! stays until its batch's delete horizon; what was aborted goes; a transaction's marker goes, after a delete horizon, when nothing of
//! the transaction is left; the last batch of a producer stays, if empty, for its sequence numbers.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use millstream_protocol::records::{BatchError, BatchHeader, EndMarker, Retained, Scratch, retain};

use super::keys::Keys;
use crate::AbortedTransaction;
use crate::producers::LastBatch;

/// The transactions of a partition that were aborted.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// By producer: first offset, offset of the marker; in order.
    by_producer: HashMap<i64, Vec<(i64, i64)>>,
}

impl Aborted {
    pub(super) fn new(transactions: &[AbortedTransaction]) -> Aborted {
        let mut aborted = Aborted::default();
        for one in transactions {
            aborted.by_producer.entry(one.producer_id).or_default().push((one.first_offset, one.last_offset));
        }
        aborted
    }

    /// Whether the batch is of one of them.
    pub(super) fn has(&self, header: &BatchHeader) -> bool {
        let of_producer = self.by_producer.get(&header.producer_id).map_or(&[][..], |all| all);
        let number = of_producer.partition_point(|(_, marker)| *marker <= header.base_offset);
        header.is_transactional() && of_producer.get(number).is_some_and(|(first, _)| *first <= header.base_offset)
    }

    fn has_marker(&self, header: &BatchHeader) -> bool {
        let of_producer = self.by_producer.get(&header.producer_id).map_or(&[][..], |all| all);
        of_producer.binary_search_by_key(&header.base_offset, |(_, marker)| *marker).is_ok()
    }
}

/// What a pass goes by.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) keys: &'a Keys,
    /// Up to where `keys` were noted.
    pub(super) end: i64,
    pub(super) producers: &'a HashMap<i64, LastBatch>,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    Drop,
    Become(Bytes),
}

/// A pass over a log, batch by batch from its beginning.
#[derive(Debug)]
pub(super) struct Cleaner<'a> {
    rules: Rules<'a>,
    /// Of the segments that are being compacted.
    aborted: Aborted,
    /// Producers with data since their last marker.
    with_data: HashSet<i64>,
    /// Markers of aborted transactions of which nothing is left: nobody needs to pass over anything.
    pub(super) ended: Vec<i64>,
    scratch: Scratch,
}

impl<'a> Cleaner<'a> {
    pub(super) fn new(rules: Rules<'a>) -> Cleaner<'a> {
        let scratch = Scratch::default();
        Cleaner { rules, aborted: Aborted::default(), with_data: HashSet::new(), ended: Vec::new(), scratch }
    }

    /// Goes over to other segments, whose aborted transactions these are.
    pub(super) fn begin(&mut self, aborted: Aborted) {
        self.aborted = aborted;
    }

    /// Decides about the next batch, whose bytes are `batch`.
    pub(super) fn decide(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<Fate, BatchError> {
        let rules = &self.rules;
        let horizon_ms = rules.now_ms.saturating_add(rules.delete_retention_ms);
        let over = header.delete_horizon_ms().is_some_and(|horizon| horizon <= rules.now_ms);
        let retained = if header.is_control() {
            let has_data = self.with_data.remove(&header.producer_id);
            if has_data || header.record_count > 0 && EndMarker::read(batch)?.is_none() {
                return Ok(Fate::Keep);
            }
            // While readers are told of the transaction, they wait for its end. They are not any more, durably, before the next pass.
            let told = self.aborted.has_marker(header);
            if told {
                self.ended.push(header.base_offset);
            }
            retain(batch, &mut self.scratch, horizon_ms, |_| told || !over)?
        } else {
            if header.is_transactional() {
                self.with_data.insert(header.producer_id);
            }
            let is_aborted = self.aborted.has(header);
            retain(batch, &mut self.scratch, horizon_ms, |record| {
                let Some(key) = record.key.filter(|_| !is_aborted) else { return false };
                // From the end on, a tombstone has older records of its key to hide that this pass leaves where they are.
                let is_needed = record.value.is_some() || !over || record.offset >= rules.end;
                is_needed && !rules.keys.supersede(key, record.offset)
            })?
        };
        Ok(match retained {
            Retained::Same => Fate::Keep,
            Retained::Changed(changed) => Fate::Become(changed),
            Retained::Nothing if !self.is_last_of_producer(header) => Fate::Drop,
            Retained::Nothing if header.record_count == 0 => Fate::Keep,
            Retained::Nothing => Fate::Become(Bytes::copy_from_slice(&header.without_records())),
        })
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        header.has_producer()
            && self.rules.producers.get(&header.producer_id).is_some_and(|last| match last.last_offset {
                Some(offset) => offset == header.last_offset(),
                None => header.is_control() && header.producer_epoch == last.epoch,
            })
    }
}
