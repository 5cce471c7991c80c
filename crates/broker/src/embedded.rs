//! The log for the process the broker lives in: the same topics, without a socket, also the internal ones, and appends over many partitions.
//!
//! It is read as a consumer with `isolation.level=read_committed` would: the end of a partition is its last stable offset, and records of aborted
//! transactions are left out.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use millstream_log::{Append, Committed};
use millstream_protocol::records::{Scratch, batches, decode_batch};
use tokio::sync::watch;

use crate::runtime::blocking;
use crate::{Broker, BrokerError};

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
}

/// Offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// First offset that is still there.
    pub log_start: i64,
    /// Offset after the last record that is durable and of no open transaction.
    pub high_watermark: i64,
}

/// Records for one partition of an atomic append: whole v2 batches.
#[derive(Debug, Clone)]
pub struct Part {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// One or more batches.
    pub batches: Bytes,
}

impl Broker {
    /// Makes the topic if it is not there, with `partitions` (0: the default) and `configs` under Kafka's names. What is there stays as it is.
    pub async fn ensure_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> Result<TopicInfo, BrokerError> {
        let partitions = if partitions == 0 { -1 } else { partitions };
        let configs: BTreeMap<String, String> = configs.iter().cloned().collect();
        let topic = self.topics.ensure(name, partitions, configs).await?;
        Ok(TopicInfo { name: name.to_string(), partitions: topic.partitions.len() as i32 })
    }

    /// Deletes a topic with all its records; also what groups had read of it.
    pub async fn remove_topic(&self, name: &str) -> Result<(), BrokerError> {
        self.delete_topic(name).await
    }

    /// Sets some of a topic's own configurations; an empty value goes back to the default.
    pub async fn set_topic_configs(&self, name: &str, configs: &[(String, String)]) -> Result<(), BrokerError> {
        let configs = configs.to_vec();
        let change = move |own: &BTreeMap<String, String>| {
            let mut changed = own.clone();
            for (key, value) in configs {
                match value.is_empty() {
                    true => changed.remove(&key),
                    false => changed.insert(key, value),
                };
            }
            Ok(changed)
        };
        self.topics.set_configs(name, change).await
    }

    /// All topics by name, also internal ones.
    pub fn topics(&self) -> Vec<TopicInfo> {
        let all = self.topics.all();
        all.iter()
            .map(|topic| TopicInfo { name: topic.name.to_string(), partitions: topic.partitions.len() as i32 })
            .collect()
    }

    /// Offsets of a partition.
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<PartitionOffsets, BrokerError> {
        let partition = self.partition(topic, partition)?;
        let high_watermark = match partition.knows_transactions() {
            true => partition.last_stable_offset(),
            false => blocking(|| partition.last_stable_offset()),
        }?;
        Ok(PartitionOffsets { log_start: partition.log_start_offset(), high_watermark })
    }

    /// First offset whose record's time stamp is at or after `timestamp_ms`.
    pub async fn offset_for_timestamp(
        &self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
    ) -> Result<Option<i64>, BrokerError> {
        let partition = self.partition(topic, partition)?;
        let found = blocking(|| partition.offset_for_timestamp(timestamp_ms))?;
        Ok(found.map(|found| found.offset))
    }

    /// Whole batches from the one that holds `offset`, about `max_bytes` but at least one, never past the end that [`Broker::offsets`] gives; empty
    /// there. In the place of a batch of an aborted transaction stands one without records.
    pub async fn read(&self, topic: &str, partition: i32, offset: i64, max_bytes: usize) -> Result<Bytes, BrokerError> {
        let partition = self.partition(topic, partition)?;
        let committed = blocking(|| partition.read_committed(offset, max_bytes, true))?;
        Ok(match committed.aborted.is_empty() {
            true => committed.batches,
            false => without_aborted(&committed),
        })
    }

    /// One atomic append over all partitions named; durable when it returns. Gives each part's first offset.
    pub async fn append(&self, parts: Vec<Part>) -> Result<Vec<i64>, BrokerError> {
        let mut appends = Vec::with_capacity(parts.len());
        let mut counted = Vec::with_capacity(parts.len());
        for part in parts {
            let found = self.topics.get(&part.topic).ok_or_else(|| BrokerError::UnknownTopic(part.topic.clone()))?;
            let partition = found.partition(part.partition)?;
            if found.compacts && has_no_key(&part.batches) {
                return Err(BrokerError::InvalidRequest(format!(
                    "topic {} is compacted by keys, and a record for it has none: give the records keys, or set its cleanup.policy to delete",
                    part.topic
                )));
            }
            let records = batches(&part.batches).map_while(Result::ok);
            let records: u64 = records.map(|(header, _)| header.record_count.max(0) as u64).sum();
            counted.push((found.counters.clone(), part.partition, records, part.batches.len() as u64));
            appends.push(Append::new(partition.topic_partition().clone(), part.batches));
        }
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let appended = self.log.append(appends).await.inspect_err(|error| {
            counted.iter().for_each(|(counters, partition, ..)| counters.fails(*partition, error));
        })?;
        for (counters, partition, records, bytes) in &counted {
            counters.works(*partition);
            counters.add_in(*records, *bytes);
        }
        Ok(appended.iter().map(|part| part.base_offset).collect())
    }

    /// The partition's end, as [`Broker::offsets`] gives it, as it moves.
    pub fn watch(&self, topic: &str, partition: i32) -> Result<watch::Receiver<i64>, BrokerError> {
        let partition = self.partition(topic, partition)?;
        Ok(match partition.knows_transactions() {
            true => partition.watch_stable(),
            false => blocking(|| partition.watch_stable()),
        }?)
    }

    /// Forgets records before `before`.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), BrokerError> {
        let partition = self.partition(topic, partition)?;
        blocking(|| partition.delete_records(before))?;
        Ok(())
    }

    /// Keeps retention from deleting the partition's records from `offset` on, for `hold_ms` from now: for a reader that says so again as
    /// it reads on. Replaces what `owner` held before. Not kept over a restart; DeleteRecords does not ask.
    pub fn hold(&self, topic: &str, partition: i32, owner: &str, offset: i64, hold_ms: i64) -> Result<(), BrokerError> {
        let until_ms = self.config.clock.now_ms().saturating_add(hold_ms);
        self.partition(topic, partition)?.hold(owner, offset, until_ms);
        Ok(())
    }

    fn partition(&self, topic: &str, number: i32) -> Result<std::sync::Arc<millstream_log::Partition>, BrokerError> {
        let found = self.topics.get(topic).ok_or_else(|| BrokerError::UnknownTopic(topic.to_string()))?;
        found.partition(number).cloned()
    }
}

/// Has a record of these batches no key?
fn has_no_key(bytes: &Bytes) -> bool {
    let mut scratch = Scratch::default();
    batches(bytes).map_while(Result::ok).any(|(header, batch)| {
        !header.is_control()
            && decode_batch(batch, &mut scratch)
                .is_ok_and(|records| records.map_while(Result::ok).any(|record| record.key.is_none()))
    })
}

/// Puts a batch without records in the place of each that was aborted.
fn without_aborted(committed: &Committed) -> Bytes {
    let mut out = BytesMut::with_capacity(committed.batches.len());
    for (header, batch) in batches(&committed.batches).map_while(Result::ok) {
        let aborted = header.is_transactional()
            && !header.is_control()
            && committed.aborted.iter().any(|transaction| {
                let range = transaction.first_offset..transaction.last_offset;
                transaction.producer_id == header.producer_id && range.contains(&header.base_offset)
            });
        match aborted {
            true => out.extend_from_slice(&header.without_records()),
            false => out.extend_from_slice(batch),
        }
    }
    out.freeze()
}
