//! A log in memory, for tests of this crate and of those that use it. It keeps the promises of [`EmbeddedLog`] except durability.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use millstream_protocol::records::{Record, Scratch};
use millstream_sql::topic_fault;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::embedded::{Append, EmbeddedError, EmbeddedLog, PartitionOffsets, TopicInfo, TopicSpec};
use crate::records::visit;

/// Bytes of a v2 batch before `batchLength` is over: base offset and length.
const LENGTH_END: usize = 12;
/// Where `lastOffsetDelta` begins in a v2 batch.
const LAST_OFFSET_DELTA: usize = 23;
/// Where `maxTimestamp` begins in a v2 batch.
const MAX_TIMESTAMP: usize = 35;

type BeforeRead = Arc<dyn Fn(&MemoryLog, i64) + Send + Sync>;

/// Topics in memory.
#[derive(Default)]
pub struct MemoryLog {
    topics: Mutex<BTreeMap<String, Vec<Partition>>>,
    /// Appends that still fail with [`EmbeddedError::Unavailable`], as on a full disk.
    refusals: AtomicUsize,
    appends: AtomicUsize,
    before_read: Mutex<Option<BeforeRead>>,
    holds: Mutex<BTreeMap<(String, i32, String), i64>>,
}

struct Partition {
    start: i64,
    batches: Vec<(i64, i64, i64, Bytes)>,
    high_watermark: watch::Sender<i64>,
}

impl Partition {
    fn end(&self) -> i64 {
        *self.high_watermark.borrow()
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Lets the next `count` appends fail as on a full disk.
    pub fn refuse_appends(&self, count: usize) {
        self.refusals.store(count, Ordering::SeqCst);
    }

    /// Number of appends that were taken.
    pub fn appends(&self) -> usize {
        self.appends.load(Ordering::SeqCst)
    }

    /// Deletes a topic with all its records, as a client may at any time.
    pub fn delete_topic(&self, name: &str) {
        self.topics.lock().remove(name);
    }

    /// Lets something happen before each read from now on; it is told the offset.
    pub fn before_read(&self, act: impl Fn(&MemoryLog, i64) + Send + Sync + 'static) {
        *self.before_read.lock() = Some(Arc::new(act));
    }

    /// What `owner` holds of a partition.
    pub fn held(&self, topic: &str, partition: i32, owner: &str) -> Option<i64> {
        self.holds.lock().get(&(topic.to_owned(), partition, owner.to_owned())).copied()
    }

    fn with<T>(
        &self,
        topic: &str,
        partition: i32,
        act: impl FnOnce(&mut Partition) -> Result<T, EmbeddedError>,
    ) -> Result<T, EmbeddedError> {
        let mut topics = self.topics.lock();
        let found = topics
            .get_mut(topic)
            .and_then(|parts| usize::try_from(partition).ok().and_then(|at| parts.get_mut(at)))
            .ok_or_else(|| EmbeddedError::UnknownTopic(format!("{topic}-{partition}")))?;
        act(found)
    }
}

fn be<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Splits `bytes` into whole batches: (records in it by offset, max time stamp, the batch).
fn split(bytes: &Bytes) -> Option<Vec<(i64, i64, Bytes)>> {
    let mut batches = Vec::new();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let length = LENGTH_END + usize::try_from(i32::from_be_bytes(be(&rest, 8)?)).ok()?;
        if length > rest.len() {
            return None;
        }
        let batch = rest.split_to(length);
        let count = i64::from(i32::from_be_bytes(be(&batch, LAST_OFFSET_DELTA)?)) + 1;
        batches.push((count, i64::from_be_bytes(be(&batch, MAX_TIMESTAMP)?), batch));
    }
    Some(batches)
}

#[async_trait]
impl EmbeddedLog for MemoryLog {
    fn cluster_id(&self) -> String {
        "memory".into()
    }

    async fn ensure_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo, EmbeddedError> {
        if topic_fault(name.trim_start_matches("__")).is_some() {
            return Err(EmbeddedError::Refused(format!("{name:?} is not a legal topic name")));
        }
        let mut topics = self.topics.lock();
        let parts = topics.entry(name.to_owned()).or_insert_with(|| {
            (0..spec.partitions.max(1))
                .map(|_| Partition { start: 0, batches: Vec::new(), high_watermark: watch::Sender::new(0) })
                .collect()
        });
        Ok(TopicInfo { name: name.to_owned(), partitions: parts.len() as i32 })
    }

    fn topics(&self) -> Vec<TopicInfo> {
        let topics = self.topics.lock();
        topics.iter().map(|(name, parts)| TopicInfo { name: name.clone(), partitions: parts.len() as i32 }).collect()
    }

    fn offsets(&self, topic: &str, partition: i32) -> Result<PartitionOffsets, EmbeddedError> {
        self.with(topic, partition, |p| Ok(PartitionOffsets { log_start: p.start, high_watermark: p.end() }))
    }

    async fn offset_for_timestamp(
        &self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
    ) -> Result<Option<i64>, EmbeddedError> {
        let log_start = self.offsets(topic, partition)?.log_start;
        let bytes = self.read(topic, partition, log_start, usize::MAX).await?;
        let at_or_after = |record: &Record<'_>| match record.offset >= log_start && record.timestamp >= timestamp_ms {
            true => ControlFlow::Break(record.offset),
            false => ControlFlow::Continue(()),
        };
        visit(&bytes, &mut Scratch::default(), at_or_after).map_err(|e| EmbeddedError::Refused(e.to_string()))
    }

    async fn read(&self, topic: &str, partition: i32, offset: i64, max_bytes: usize) -> Result<Bytes, EmbeddedError> {
        let before = self.before_read.lock().clone();
        if let Some(before) = before {
            before(self, offset);
        }
        self.with(topic, partition, |p| {
            if offset < p.start || offset > p.end() {
                return Err(EmbeddedError::OutOfRange {
                    topic: topic.to_owned(),
                    partition,
                    offset,
                    log_start: p.start,
                    high_watermark: p.end(),
                });
            }
            let mut out = BytesMut::new();
            for (first, count, _, batch) in &p.batches {
                if first + count <= offset {
                    continue;
                }
                if !out.is_empty() && out.len() + batch.len() > max_bytes {
                    break;
                }
                out.extend_from_slice(batch);
            }
            Ok(out.freeze())
        })
    }

    fn hold(&self, topic: &str, partition: i32, owner: &str, offset: i64, _: i64) -> Result<(), EmbeddedError> {
        self.holds.lock().insert((topic.to_owned(), partition, owner.to_owned()), offset);
        Ok(())
    }

    async fn append(&self, parts: Vec<Append>) -> Result<Vec<i64>, EmbeddedError> {
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(EmbeddedError::Unavailable("no space left on device".into()));
        }
        let mut topics = self.topics.lock();
        let mut ready = Vec::new();
        for part in &parts {
            let there = topics.get(&part.topic).is_some_and(|t| (part.partition as usize) < t.len());
            if !there {
                return Err(EmbeddedError::UnknownTopic(format!("{}-{}", part.topic, part.partition)));
            }
            let batches = split(&part.batches).ok_or_else(|| EmbeddedError::Refused("not whole batches".into()))?;
            ready.push(batches);
        }
        let mut first_offsets = Vec::new();
        let mut moved = Vec::new();
        for (part, batches) in parts.iter().zip(ready) {
            let partition = &mut topics.get_mut(&part.topic).expect("looked up above")[part.partition as usize];
            let mut next = partition.batches.last().map_or(partition.end(), |(first, count, ..)| first + count);
            first_offsets.push(next);
            for (count, max_timestamp, batch) in batches {
                let mut batch = BytesMut::from(&batch[..]);
                batch[..8].copy_from_slice(&next.to_be_bytes());
                partition.batches.push((next, count, max_timestamp, batch.freeze()));
                next += count;
            }
            moved.push((part.topic.clone(), part.partition, next));
        }
        for (topic, partition, next) in moved {
            topics.get(&topic).expect("looked up above")[partition as usize].high_watermark.send_replace(next);
        }
        self.appends.fetch_add(1, Ordering::SeqCst);
        Ok(first_offsets)
    }

    fn watch(&self, topic: &str, partition: i32) -> Result<watch::Receiver<i64>, EmbeddedError> {
        self.with(topic, partition, |p| Ok(p.high_watermark.subscribe()))
    }

    async fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), EmbeddedError> {
        self.with(topic, partition, |p| {
            p.start = p.start.max(before.min(p.end()));
            p.batches.retain(|(first, count, ..)| first + count > p.start);
            Ok(())
        })
    }
}
