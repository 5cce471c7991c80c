//! The broker's own topics: one partition each, read from the start when the broker opens. Replay applies; recovery is replay.
//!
//! They do not grow for ever: once such a log is large, what holds is written anew at its end in one atomic append and everything before is
//! forgotten.

use std::sync::Arc;

use bytes::Bytes;
use millstream_log::{Append, Log, LogError, Partition, PartitionConfig, TopicPartition};
use millstream_protocol::records::{BatchBuilder, Codec, Scratch, batches, decode_batch};
use uuid::Uuid;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;
/// Segments of an internal log up to its largest size: several, since only whole segments are given back to the disk.
const SEGMENTS: u64 = 4;
/// Bytes of a batch in which what holds is written anew.
const BATCH_BYTES: usize = 256 << 10;

/// A record: key and value, no value for what is no more.
pub(crate) type KeyValue = (Bytes, Option<Bytes>);

/// One of the broker's own topics.
#[derive(Debug)]
pub(crate) struct InternalLog {
    log: Log,
    name: TopicPartition,
    partition: Arc<Partition>,
    bytes_max: u64,
}

impl InternalLog {
    /// Opens or makes it; from `bytes_max` on it is to be written anew. Blocks.
    pub fn open(log: &Log, topic: &'static str, bytes_max: u64) -> Result<Self, LogError> {
        let name = TopicPartition::new(topic, 0);
        let config = PartitionConfig {
            retention_ms: None,
            retention_bytes: None,
            segment_bytes: (bytes_max / SEGMENTS).max(1),
            ..PartitionConfig::default()
        };
        let partition = match log.partition(&name) {
            Some(partition) => {
                partition.set_config(config)?;
                partition
            }
            None => log.create_partition(&name, Uuid::new_v4(), config)?,
        };
        Ok(InternalLog { log: log.clone(), name, partition, bytes_max })
    }

    /// Gives every record in order, with its offset. Blocks.
    pub fn replay(&self, mut apply: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>)) -> Result<(), LogError> {
        let mut scratch = Scratch::default();
        let mut offset = self.partition.log_start_offset();
        while offset < self.partition.high_watermark() {
            let bytes = self.partition.read(offset, READ_BYTES)?;
            let before = offset;
            for batch in batches(&bytes) {
                let (header, batch) = batch.map_err(|error| self.damaged(offset, &error))?;
                for record in decode_batch(batch, &mut scratch).map_err(|error| self.damaged(offset, &error))? {
                    let record = record.map_err(|error| self.damaged(offset, &error))?;
                    if record.offset >= before {
                        apply(record.offset, record.key, record.value);
                    }
                }
                offset = header.next_offset();
            }
            if offset == before {
                break;
            }
        }
        Ok(())
    }

    /// Appends the records, atomically. The order of calls is the order of records; resolves with the first one's offset when they are durable.
    pub fn append(
        &self,
        now_ms: i64,
        records: &[KeyValue],
    ) -> impl Future<Output = Result<i64, LogError>> + Send + 'static + use<> {
        let appended = self.part(now_ms, records).map(|part| self.log.append(vec![part]));
        async move {
            match appended {
                Some(appended) => Ok(appended.await?.first().map_or(0, |part| part.base_offset)),
                None => Ok(0),
            }
        }
    }

    /// The records as part of an append that has others; `None` without records.
    pub fn part(&self, now_ms: i64, records: &[KeyValue]) -> Option<Append> {
        let batches = build(now_ms, records);
        (!batches.is_empty()).then(|| Append::new(self.name.clone(), batches))
    }

    /// Whether it is time to write anew what holds.
    pub fn is_large(&self) -> bool {
        self.partition.size_bytes() > self.bytes_max
    }

    /// Forgets everything before `offset`: there what holds was written anew. Blocks.
    pub fn forget_before(&self, offset: i64) -> Result<(), LogError> {
        self.partition.delete_records(offset).map(|_| ())
    }

    fn damaged(&self, offset: i64, error: &dyn std::fmt::Display) -> LogError {
        LogError::Corrupt {
            path: self.log.dir().join(self.name.to_string()),
            position: 0,
            reason: format!("offset {offset} of {}: {error}", self.name),
        }
    }
}

fn build(now_ms: i64, records: &[KeyValue]) -> Bytes {
    let mut out = Vec::new();
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in records {
        builder.push(now_ms, Some(key), value.as_deref(), &[]);
        if builder.size() >= BATCH_BYTES
            && let Some(batch) = builder.finish()
        {
            out.extend_from_slice(&batch);
        }
    }
    match builder.finish() {
        Some(batch) if out.is_empty() => batch,
        Some(batch) => {
            out.extend_from_slice(&batch);
            out.into()
        }
        None => out.into(),
    }
}
