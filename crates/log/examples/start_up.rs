//! Times a start with much data after a kill: `fill` makes the folder, or adds to the partitions that are there, and dies without closing;
//! `open` times the start up to the first durable record.
//!
//! `cargo run --release -p millstream-log --example start_up -- fill DIR PARTITIONS MIB_PER_PARTITION`
//! `cargo run --release -p millstream-log --example start_up -- open DIR`

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use millstream_log::{Append, Log, LogOptions, PartitionConfig, TopicPartition};
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp};
use uuid::Uuid;

/// Bytes of one large batch.
const LARGE: usize = 512 << 10;
/// Small appends to each partition at the end: they are in the journal only when the process dies.
const SMALL: i32 = 4;

fn batch(bytes: usize, producer_id: i64, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(&vec![b'x'; bytes]), &[]);
    builder.set_producer(ProducerStamp { producer_id, producer_epoch: 0, base_sequence: sequence });
    builder.finish().unwrap()
}

fn fill(dir: &Path, partitions: usize, mebibytes: usize) {
    let (log, _) = Log::open(dir, LogOptions::default()).unwrap();
    if log.partitions().iter().filter(|one| !one.topic_partition().topic.starts_with("__")).count() == 0 {
        for number in 0..partitions {
            let name = TopicPartition::new("start", number as i32);
            log.create_partition(&name, Uuid::from_u128(1), PartitionConfig::default()).unwrap();
        }
    }
    let names: Vec<TopicPartition> = log.partitions().iter().map(|one| one.topic_partition().clone()).collect();
    let names: Vec<TopicPartition> = names.into_iter().filter(|name| !name.topic.starts_with("__")).collect();
    let large = (mebibytes << 20) / LARGE;
    for (number, name) in names.iter().enumerate() {
        let part = |sequence| log.append(vec![Append::new(name.clone(), batch(LARGE, number as i64, sequence as i32))]);
        let appends: Vec<_> = (0..large).map(part).collect();
        appends.into_iter().for_each(|append| drop(append.wait().unwrap()));
    }
    log.checkpoint().unwrap();
    for small in 0..SMALL {
        let sequence = large as i32 + small;
        let part = |(number, name): (usize, &TopicPartition)| {
            log.append(vec![Append::new(name.clone(), batch(1000, number as i64, sequence))])
        };
        let appends: Vec<_> = names.iter().enumerate().map(part).collect();
        appends.into_iter().for_each(|append| drop(append.wait().unwrap()));
    }
    println!("{} partitions filled with {} MiB", names.len(), names.len() * mebibytes);
    // As a kill: nothing is closed.
    std::process::abort();
}

fn open(dir: &Path) {
    let start = Instant::now();
    let (log, report) = Log::open(dir, LogOptions::default()).unwrap();
    let opened = start.elapsed();
    let name = match log.partitions().iter().rfind(|one| !one.topic_partition().topic.starts_with("__")) {
        Some(partition) => partition.topic_partition().clone(),
        None => {
            let name = TopicPartition::new("start", 0);
            log.create_partition(&name, Uuid::from_u128(1), PartitionConfig::default()).unwrap();
            name
        }
    };
    log.append(vec![Append::new(name, batch(100, 1_000_000, 0))]).wait().unwrap();
    println!(
        "{} partitions, {} journal entries, {} bytes of them written to segments, clean {}, truncations {}, damage {}\n\
         opened in {opened:?}, first record durable after {:?}",
        report.partitions,
        report.journal_entries,
        report.journal_bytes,
        report.clean,
        report.truncations.len(),
        report.damage.len(),
        start.elapsed()
    );
    // As a kill: the next start has the same to do.
    std::process::abort();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", dir, partitions, mebibytes] => {
            fill(Path::new(dir), partitions.parse().unwrap(), mebibytes.parse().unwrap());
        }
        ["open", dir] => open(Path::new(dir)),
        _ => eprintln!("usage: start_up fill DIR PARTITIONS MIB_PER_PARTITION | start_up open DIR"),
    }
}
