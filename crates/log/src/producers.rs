//! What a partition knows of its idempotent producers: which batches it has, so that one sent again is recognized, which comes
//! next, so that none is missed, and where their open transactions begin. The rules are those of Kafka's `ProducerStateManager` (Kafka 4).

use std::collections::{BTreeMap, HashMap};

use millstream_protocol::records::{BatchHeader, EndMarker};

use crate::{LogError, TopicPartition};

/// Batches of a producer that are remembered: as many as Kafka's clients keep in flight.
const BATCHES_MAX: usize = 5;
const SNAPSHOT_MAGIC: &[u8; 8] = b"MSPROD03";
/// A transaction's first offset where there is no transaction.
const NO_TRANSACTION: i64 = -1;

/// A batch that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Appended {
    first_sequence: i32,
    last_sequence: i32,
    first_offset: i64,
    last_offset: i64,
}

/// One producer's state. Batches stand oldest first; there may be none (after a transaction marker of a new epoch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    epoch: i16,
    batches: Vec<Appended>,
    /// When it last wrote, in milliseconds since 1970.
    seen_ms: i64,
    /// First offset of its open transaction.
    transaction: Option<i64>,
    /// Of its last transaction marker; -1 = none.
    coordinator_epoch: i32,
}

/// A transaction that was aborted: its records are to be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Its first record's offset.
    pub first_offset: i64,
    /// Offset of the marker that ends it.
    pub last_offset: i64,
}

/// A producer as administrators see it (DescribeProducers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerInfo {
    /// Id.
    pub producer_id: i64,
    /// Newest epoch seen.
    pub epoch: i16,
    /// Sequence number of its last record; -1 = none of this epoch.
    pub last_sequence: i32,
    /// When it last wrote, in milliseconds since 1970.
    pub seen_ms: i64,
    /// Epoch of the coordinator that wrote its last marker; -1 = none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub transaction_start: Option<i64>,
}

/// Where a producer's last batch of data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastBatch {
    pub(crate) epoch: i16,
    /// Offset of its last record; `None`: there is no batch of this epoch.
    pub(crate) last_offset: Option<i64>,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is there already, at these offsets.
    Duplicate {
        first_offset: i64,
        last_offset: i64,
    },
}

/// A change that can be taken back: the producer, and what was there before.
pub(crate) type Undo = (i64, Option<ProducerEntry>);

/// All producers of one partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    entries: HashMap<i64, ProducerEntry>,
    /// Open transactions by their first offset.
    open: BTreeMap<i64, i64>,
}

impl Producers {
    /// Decides about a batch of a client. Changes nothing.
    pub(crate) fn check(&self, partition: &TopicPartition, header: &BatchHeader) -> Result<Verdict, LogError> {
        // A producer that is not known may begin with any sequence: its earlier records may have been deleted.
        let Some(entry) = self.entries.get(&header.producer_id) else { return Ok(Verdict::Append) };
        let out_of_order = |expected| LogError::OutOfOrderSequence {
            partition: partition.clone(),
            producer_id: header.producer_id,
            expected,
            found: header.base_sequence,
        };
        if header.producer_epoch < entry.epoch {
            return Err(LogError::InvalidProducerEpoch {
                partition: partition.clone(),
                producer_id: header.producer_id,
                current: entry.epoch,
                found: header.producer_epoch,
            });
        }
        if header.is_control() {
            return Ok(Verdict::Append);
        }
        if entry.transaction.is_some() && !header.is_transactional() {
            return Err(LogError::TransactionOpen { partition: partition.clone(), producer_id: header.producer_id });
        }
        if header.producer_epoch > entry.epoch {
            return if header.base_sequence == 0 { Ok(Verdict::Append) } else { Err(out_of_order(0)) };
        }
        let same = |batch: &&Appended| {
            batch.first_sequence == header.base_sequence && batch.last_sequence == header.last_sequence()
        };
        // Numbers wrap from i32::MAX to 0. Without a batch of this epoch the first sequence is 0.
        let expected = entry.batches.last().map_or(0, |last| last.last_sequence.wrapping_add(1) & i32::MAX);
        if let Some(batch) = entry.batches.iter().find(same) {
            // A client ends a transaction when its batches are answered or given up, so this is no batch of the transaction that ended: librdkafka
            // gives the number of a batch that it gave up to the next one. Kafka calls that a duplicate, and the new record is lost.
            let ended = entry.transaction.is_none_or(|first| batch.first_offset < first);
            if header.is_transactional() && ended {
                return Err(out_of_order(expected));
            }
            return Ok(Verdict::Duplicate { first_offset: batch.first_offset, last_offset: batch.last_offset });
        }
        if header.base_sequence == expected { Ok(Verdict::Append) } else { Err(out_of_order(expected)) }
    }

    /// Notes a batch that stands at `base_offset`; `marker` is what it says if it is a control batch. Gives what takes the note back, and
    /// the transaction that it aborts.
    pub(crate) fn note(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndMarker>,
        base_offset: i64,
        now_ms: i64,
    ) -> (Undo, Option<AbortedTransaction>) {
        let before = self.entries.get(&header.producer_id).cloned();
        let entry = self.entries.entry(header.producer_id).or_insert_with(|| ProducerEntry {
            epoch: header.producer_epoch,
            batches: Vec::new(),
            seen_ms: now_ms,
            transaction: None,
            coordinator_epoch: -1,
        });
        entry.seen_ms = now_ms;
        if header.producer_epoch > entry.epoch {
            entry.epoch = header.producer_epoch;
            entry.batches.clear();
        }
        let mut aborted = None;
        if !header.is_control() {
            if entry.batches.len() == BATCHES_MAX {
                entry.batches.remove(0);
            }
            entry.batches.push(Appended {
                first_sequence: header.base_sequence,
                last_sequence: header.last_sequence(),
                first_offset: base_offset,
                last_offset: base_offset + i64::from(header.last_offset_delta),
            });
            if header.is_transactional() && entry.transaction.is_none() {
                entry.transaction = Some(base_offset);
                self.open.insert(base_offset, header.producer_id);
            }
        } else if let Some(marker) = marker {
            entry.coordinator_epoch = marker.coordinator_epoch;
            if let Some(first_offset) = entry.transaction.take() {
                self.open.remove(&first_offset);
                let producer_id = header.producer_id;
                aborted = (!marker.committed).then_some(AbortedTransaction {
                    producer_id,
                    first_offset,
                    last_offset: base_offset,
                });
            }
        }
        ((header.producer_id, before), aborted)
    }

    /// Takes back what [`Producers::note`] did last.
    pub(crate) fn undo(&mut self, (producer_id, before): Undo) {
        let open = |entry: Option<&ProducerEntry>| entry.and_then(|entry| entry.transaction);
        if let Some(first_offset) = open(self.entries.get(&producer_id)) {
            self.open.remove(&first_offset);
        }
        if let Some(first_offset) = open(before.as_ref()) {
            self.open.insert(first_offset, producer_id);
        }
        match before {
            Some(entry) => self.entries.insert(producer_id, entry),
            None => self.entries.remove(&producer_id),
        };
    }

    /// First offset of the oldest open transaction.
    pub(crate) fn first_unstable(&self) -> Option<i64> {
        self.open.first_key_value().map(|(first_offset, _)| *first_offset)
    }

    /// All producers, in order of their ids.
    pub(crate) fn infos(&self) -> Vec<ProducerInfo> {
        let info = |(producer_id, entry): (&i64, &ProducerEntry)| ProducerInfo {
            producer_id: *producer_id,
            epoch: entry.epoch,
            last_sequence: entry.batches.last().map_or(-1, |last| last.last_sequence),
            seen_ms: entry.seen_ms,
            coordinator_epoch: entry.coordinator_epoch,
            transaction_start: entry.transaction,
        };
        let mut infos: Vec<ProducerInfo> = self.entries.iter().map(info).collect();
        infos.sort_by_key(|info| info.producer_id);
        infos
    }

    /// The last batch of each, by id.
    pub(crate) fn last_batches(&self) -> HashMap<i64, LastBatch> {
        let last = |entry: &ProducerEntry| LastBatch {
            epoch: entry.epoch,
            last_offset: entry.batches.last().map(|last| last.last_offset),
        };
        self.entries.iter().map(|(id, entry)| (*id, last(entry))).collect()
    }

    /// Forgets producers that were last seen before `before_ms` and have no open transaction.
    pub(crate) fn expire(&mut self, before_ms: i64) {
        self.entries.retain(|_, entry| entry.seen_ms >= before_ms || entry.transaction.is_some());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The state as bytes, with the segments that have a transaction index: their base offset and the number of its entries.
    ///
    /// ```text
    /// 0 magic "MSPROD03", number of producers u32; then per producer, little endian:
    ///   id i64, epoch i16, number of batches u16, seen_ms i64, first offset of its transaction i64 (-1: none), coordinator epoch i32,
    ///   and per batch: first sequence i32, last sequence i32, first offset i64, last offset i64
    /// then to the end: base offset of a segment i64, entries of its transaction index u32
    /// at the end: CRC32C of all before it u32
    /// ```
    pub(crate) fn encode(&self, indexed: &[(i64, u32)]) -> Vec<u8> {
        let mut bytes = SNAPSHOT_MAGIC.to_vec();
        bytes.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        for (id, entry) in &self.entries {
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes.extend_from_slice(&entry.epoch.to_le_bytes());
            bytes.extend_from_slice(&(entry.batches.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&entry.seen_ms.to_le_bytes());
            bytes.extend_from_slice(&entry.transaction.unwrap_or(NO_TRANSACTION).to_le_bytes());
            bytes.extend_from_slice(&entry.coordinator_epoch.to_le_bytes());
            for batch in &entry.batches {
                bytes.extend_from_slice(&batch.first_sequence.to_le_bytes());
                bytes.extend_from_slice(&batch.last_sequence.to_le_bytes());
                bytes.extend_from_slice(&batch.first_offset.to_le_bytes());
                bytes.extend_from_slice(&batch.last_offset.to_le_bytes());
            }
        }
        for (base_offset, entries) in indexed {
            bytes.extend_from_slice(&base_offset.to_le_bytes());
            bytes.extend_from_slice(&entries.to_le_bytes());
        }
        let crc = crc_fast::crc32_iscsi(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads what [`Producers::encode`] wrote; `None` if it is damaged or of another format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Producers, Vec<(i64, u32)>)> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc_fast::crc32_iscsi(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut rest = body.strip_prefix(SNAPSHOT_MAGIC)?;
        let mut producers = Producers::default();
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            let id = i64::from_le_bytes(take(&mut rest)?);
            let epoch = i16::from_le_bytes(take(&mut rest)?);
            let count = u16::from_le_bytes(take(&mut rest)?);
            let seen_ms = i64::from_le_bytes(take(&mut rest)?);
            let transaction = Some(i64::from_le_bytes(take(&mut rest)?)).filter(|first| *first != NO_TRANSACTION);
            let coordinator_epoch = i32::from_le_bytes(take(&mut rest)?);
            let batches = (0..count)
                .map(|_| {
                    Some(Appended {
                        first_sequence: i32::from_le_bytes(take(&mut rest)?),
                        last_sequence: i32::from_le_bytes(take(&mut rest)?),
                        first_offset: i64::from_le_bytes(take(&mut rest)?),
                        last_offset: i64::from_le_bytes(take(&mut rest)?),
                    })
                })
                .collect::<Option<Vec<_>>>()?;
            producers.open.extend(transaction.map(|first_offset| (first_offset, id)));
            let entry = ProducerEntry { epoch, batches, seen_ms, transaction, coordinator_epoch };
            producers.entries.insert(id, entry);
        }
        let mut indexed = Vec::new();
        while !rest.is_empty() {
            indexed.push((i64::from_le_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?)));
        }
        Some((producers, indexed))
    }
}

/// Cuts a field off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*field)
}

#[cfg(test)]
mod tests {
    use millstream_protocol::records::header::{CONTROL_BIT, TRANSACTIONAL_BIT};

    use super::*;

    fn header(producer_id: i64, epoch: i16, sequence: i32, records: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            length: 100,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: records - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id,
            producer_epoch: epoch,
            base_sequence: sequence,
            record_count: records,
        }
    }

    fn transactional(producer_id: i64, epoch: i16, sequence: i32) -> BatchHeader {
        BatchHeader { attributes: TRANSACTIONAL_BIT, ..header(producer_id, epoch, sequence, 1) }
    }

    fn control(producer_id: i64, epoch: i16) -> BatchHeader {
        BatchHeader { attributes: TRANSACTIONAL_BIT | CONTROL_BIT, ..header(producer_id, epoch, -1, 1) }
    }

    fn abort(producer_id: i64) -> EndMarker {
        EndMarker { producer_id, producer_epoch: 0, committed: false, coordinator_epoch: 0 }
    }

    fn append(producers: &mut Producers, header: BatchHeader, offset: i64) -> Result<Verdict, LogError> {
        let verdict = producers.check(&TopicPartition::new("t", 0), &header)?;
        if verdict == Verdict::Append {
            producers.note(&header, None, offset, 1);
        }
        Ok(verdict)
    }

    #[test]
    fn the_last_five_batches_are_recognized_and_older_ones_are_out_of_order() {
        let mut producers = Producers::default();
        for i in 0..6 {
            append(&mut producers, header(1, 0, i * 10, 10), i64::from(i) * 100).unwrap();
        }
        for i in 1..6 {
            let again = append(&mut producers, header(1, 0, i * 10, 10), 0).unwrap();
            let first_offset = i64::from(i) * 100;
            assert_eq!(again, Verdict::Duplicate { first_offset, last_offset: first_offset + 9 });
        }
        let error = append(&mut producers, header(1, 0, 0, 10), 0).unwrap_err();
        assert!(matches!(error, LogError::OutOfOrderSequence { expected: 60, found: 0, .. }), "{error}");
    }

    #[test]
    fn a_gap_is_refused_but_an_unknown_producer_may_begin_anywhere() {
        let mut producers = Producers::default();
        assert_eq!(append(&mut producers, header(1, 0, 77, 1), 0).unwrap(), Verdict::Append);
        assert!(matches!(
            append(&mut producers, header(1, 0, 79, 1), 1),
            Err(LogError::OutOfOrderSequence { expected: 78, found: 79, .. })
        ));
    }

    #[test]
    fn an_old_epoch_is_fenced_and_a_new_one_begins_at_zero() {
        let mut producers = Producers::default();
        append(&mut producers, header(1, 3, 0, 5), 0).unwrap();
        assert!(matches!(
            append(&mut producers, header(1, 2, 5, 1), 5),
            Err(LogError::InvalidProducerEpoch { current: 3, found: 2, .. })
        ));
        assert!(matches!(
            append(&mut producers, header(1, 4, 5, 1), 5),
            Err(LogError::OutOfOrderSequence { expected: 0, .. })
        ));
        assert_eq!(append(&mut producers, header(1, 4, 0, 1), 5).unwrap(), Verdict::Append);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        append(&mut producers, header(1, 0, i32::MAX - 1, 2), 0).unwrap();
        assert_eq!(append(&mut producers, header(1, 0, 0, 3), 2).unwrap(), Verdict::Append);
        // A batch across the wrap: its last sequence is 1.
        let mut producers = Producers::default();
        append(&mut producers, header(2, 0, i32::MAX, 3), 0).unwrap();
        assert_eq!(append(&mut producers, header(2, 0, 2, 1), 3).unwrap(), Verdict::Append);
    }

    #[test]
    fn a_transaction_lasts_from_its_first_batch_to_its_marker() {
        let mut producers = Producers::default();
        append(&mut producers, transactional(1, 0, 0), 10).unwrap();
        append(&mut producers, transactional(2, 0, 0), 11).unwrap();
        append(&mut producers, transactional(1, 0, 1), 12).unwrap();
        assert_eq!(producers.first_unstable(), Some(10));
        let plain = append(&mut producers, header(1, 0, 2, 1), 13).unwrap_err();
        assert!(matches!(plain, LogError::TransactionOpen { producer_id: 1, .. }), "{plain}");
        let commit = EndMarker { committed: true, ..abort(1) };
        assert_eq!(producers.note(&control(1, 1), Some(commit), 13, 1).1, None);
        assert_eq!(producers.first_unstable(), Some(11));
        let fenced = append(&mut producers, transactional(1, 0, 2), 14).unwrap_err();
        assert!(matches!(fenced, LogError::InvalidProducerEpoch { current: 1, .. }), "{fenced}");
        assert_eq!(append(&mut producers, transactional(1, 1, 0), 14).unwrap(), Verdict::Append);
    }

    #[test]
    fn a_number_of_an_ended_transaction_is_no_duplicate_in_the_next() {
        for committed in [false, true] {
            let mut producers = Producers::default();
            append(&mut producers, transactional(1, 0, 0), 10).unwrap();
            let again = append(&mut producers, transactional(1, 0, 0), 11).unwrap();
            assert_eq!(again, Verdict::Duplicate { first_offset: 10, last_offset: 10 }, "it is open");
            producers.note(&control(1, 0), Some(EndMarker { committed, ..abort(1) }), 11, 1);
            let refused = |producers: &mut Producers| match append(producers, transactional(1, 0, 0), 12) {
                Err(LogError::OutOfOrderSequence { expected, found: 0, .. }) => expected,
                other => panic!("{other:?}"),
            };
            assert_eq!(refused(&mut producers), 1, "none is open");
            assert_eq!(append(&mut producers, transactional(1, 0, 1), 12).unwrap(), Verdict::Append);
            assert_eq!(refused(&mut producers), 2, "the next one is open");
        }
    }

    #[test]
    fn undo_restores_what_was_there() {
        let mut producers = Producers::default();
        append(&mut producers, header(1, 0, 0, 1), 0).unwrap();
        producers.note(&transactional(3, 0, 0), None, 1, 1);
        let before = producers.encode(&[]);
        let (undo, _) = producers.note(&header(1, 0, 1, 1), None, 1, 5);
        let (undo_new, _) = producers.note(&transactional(2, 0, 0), None, 2, 5);
        let (undo_end, aborted) = producers.note(&control(3, 0), Some(abort(3)), 3, 5);
        assert_eq!(aborted, Some(AbortedTransaction { producer_id: 3, first_offset: 1, last_offset: 3 }));
        assert_eq!(producers.first_unstable(), Some(2));
        producers.undo(undo_end);
        producers.undo(undo_new);
        producers.undo(undo);
        assert_eq!(producers.first_unstable(), Some(1));
        assert_eq!(Producers::decode(&before), Some((producers, Vec::new())));
    }

    #[test]
    fn a_snapshot_survives_and_a_damaged_one_is_refused() {
        let mut producers = Producers::default();
        for id in 0..50 {
            for sequence in 0..(id as i32 % 7) {
                append(&mut producers, header(id, 1, sequence, 1), id * 10 + i64::from(sequence)).unwrap();
            }
        }
        producers.note(&transactional(100, 0, 0), None, 1000, 1);
        let indexed = vec![(0, 1), (700, 0)];
        let bytes = producers.encode(&indexed);
        assert_eq!(Producers::decode(&bytes), Some((producers, indexed)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Producers::decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn silent_producers_expire() {
        let mut producers = Producers::default();
        producers.note(&header(1, 0, 0, 1), None, 0, 100);
        producers.note(&header(2, 0, 0, 1), None, 1, 200);
        producers.note(&transactional(3, 0, 0), None, 2, 100);
        producers.expire(150);
        let left: Vec<i64> = producers.infos().iter().map(|info| info.producer_id).collect();
        assert_eq!(left, [2, 3], "one with an open transaction stays");
    }
}
