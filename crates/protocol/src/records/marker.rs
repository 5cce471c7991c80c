//! Transaction markers: control batches that end a producer's transaction in a partition.
//!
//! A marker is a batch of one record, transactional and control, without a sequence number. Its key is `i16` version 0 and `i16` type
//! (0 abort, 1 commit), its value `i16` version 0 and `i32` coordinator epoch, big-endian (Kafka's `ControlRecordType` and
//! `EndTxnMarker`).

use bytes::Bytes;

use super::{BatchBuilder, BatchError, Codec, ProducerStamp, Scratch, decode_batch};

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// The end of a transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndMarker {
    /// Whose transaction.
    pub producer_id: i64,
    /// The epoch from which on the producer may write again; earlier ones are fenced.
    pub producer_epoch: i16,
    /// Committed or aborted.
    pub committed: bool,
    /// Epoch of the coordinator.
    pub coordinator_epoch: i32,
}

impl EndMarker {
    /// The marker as a batch, written at `now_ms` (ms since 1970).
    pub fn batch(&self, now_ms: i64) -> Bytes {
        let mut key = [0; 4];
        key[2..].copy_from_slice(&(if self.committed { COMMIT } else { ABORT }).to_be_bytes());
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = BatchBuilder::new(Codec::None).transactional(true).control(true);
        builder.set_producer(ProducerStamp {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: -1,
        });
        builder.push(now_ms, Some(&key), Some(&value), &[]);
        builder.finish().expect("a record was pushed")
    }

    /// Reads a control batch; `None` if it is another kind of control batch.
    ///
    /// # Errors
    /// What is wrong with the batch.
    pub fn read(batch: &[u8]) -> Result<Option<EndMarker>, BatchError> {
        let header = super::check(batch)?;
        let mut scratch = Scratch::default();
        // Compaction can leave a control batch without its record.
        let Some(record) = decode_batch(batch, &mut scratch)?.next().transpose()? else { return Ok(None) };
        let committed = match record.key {
            Some([_, _, high, low, ..]) => match i16::from_be_bytes([*high, *low]) {
                ABORT => false,
                COMMIT => true,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let coordinator_epoch = match record.value {
            Some([_, _, epoch @ ..]) => epoch.first_chunk().map_or(0, |epoch| i32::from_be_bytes(*epoch)),
            _ => 0,
        };
        let (producer_id, producer_epoch) = (header.producer_id, header.producer_epoch);
        Ok(Some(EndMarker { producer_id, producer_epoch, committed, coordinator_epoch }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::BatchHeader;

    #[test]
    fn a_marker_comes_back_and_is_a_control_batch() {
        for committed in [true, false] {
            let marker = EndMarker { producer_id: 7, producer_epoch: 3, committed, coordinator_epoch: 2 };
            let batch = marker.batch(1_700_000_000_000);
            let header = BatchHeader::read(&batch).expect("a header");
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.base_sequence, header.record_count), (-1, 1));
            assert_eq!(EndMarker::read(&batch), Ok(Some(marker)));
        }
    }
}
