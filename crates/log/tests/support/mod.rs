//! What the tests share: batches, readers, a folder on a file system of their own.
#![allow(dead_code, missing_docs)]

pub mod memory;

use bytes::{Bytes, BytesMut};
use millstream_log::{Append, AppendedPart, Log, LogError, LogOptions, Partition, PartitionConfig, TopicPartition};
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp, Scratch, batches, decode_batch};
use std::sync::Arc;
use uuid::Uuid;

pub fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// One batch of records with these values, at one time stamp.
pub fn batch(timestamp_ms: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for value in values {
        builder.push(timestamp_ms, None, Some(value.as_bytes()), &[]);
    }
    builder.finish().unwrap()
}

/// One batch of one record of about `bytes` bytes that begins with `name`.
pub fn large_batch(name: &str, bytes: usize) -> Bytes {
    let value = format!("{name}{}", "x".repeat(bytes));
    batch(1, &[&value])
}

/// A batch of an idempotent producer.
pub fn stamped(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for value in values {
        builder.push(1, None, Some(value.as_bytes()), &[]);
    }
    builder.set_producer(ProducerStamp { producer_id, producer_epoch: epoch, base_sequence: sequence });
    builder.finish().unwrap()
}

pub fn join(batches: &[Bytes]) -> Bytes {
    let mut joined = BytesMut::new();
    batches.iter().for_each(|batch| joined.extend_from_slice(batch));
    joined.freeze()
}

pub fn create(log: &Log, name: &TopicPartition) -> Arc<Partition> {
    log.create_partition(name, Uuid::from_u128(1), PartitionConfig::default()).unwrap()
}

pub fn append_one(log: &Log, name: &TopicPartition, batches: Bytes) -> Result<AppendedPart, LogError> {
    log.append(vec![Append::new(name.clone(), batches)]).wait().map(|parts| parts[0])
}

/// All records from `offset` on with their offsets, values cut to `width`.
pub fn records(partition: &Partition, mut offset: i64) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    let mut scratch = Scratch::default();
    loop {
        let bytes = partition.read(offset, 100_000).unwrap();
        if bytes.is_empty() {
            return records;
        }
        for batch in batches(&bytes) {
            let (header, batch) = batch.expect("whole batches");
            for record in decode_batch(batch, &mut scratch).unwrap() {
                let record = record.unwrap();
                if record.offset >= offset {
                    records.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
                }
            }
            offset = offset.max(header.next_offset());
        }
    }
}

/// The values only; panics on a gap in the offsets.
pub fn values(partition: &Partition) -> Vec<String> {
    let start = partition.log_start_offset();
    let records = records(partition, start);
    for (number, (offset, _)) in records.iter().enumerate() {
        assert_eq!(*offset, start + number as i64, "offsets without a gap");
    }
    records.into_iter().map(|(_, value)| value).collect()
}

/// Small files everywhere, so that a few appends meet every edge.
pub fn small_options() -> LogOptions {
    LogOptions {
        journal_file_bytes: 16 << 10,
        journal_files: 3,
        direct_bytes_min: 2 << 10,
        checkpoint_interval_ms: 1_000_000,
        tail_cache_bytes: 0,
        ..LogOptions::default()
    }
}

/// How many seeds a property is tried with: `quick` of them, or many more in the long form, `make soak`.
pub fn seeds(first: u64, quick: u64) -> std::ops::Range<u64> {
    let long = std::env::var_os("MILLSTREAM_SOAK").is_some();
    first..first + if long { quick * 100 } else { quick }
}
