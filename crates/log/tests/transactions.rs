//! Transactions in a partition: where they are decided, which were aborted, and that both are known again after any kind of start.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_log::files::Files;
use millstream_log::{AbortedTransaction, Append, Log, LogError, Partition, PartitionConfig};
use millstream_protocol::records::{BatchBuilder, Codec, EndMarker, ProducerStamp, batches};
use support::memory::{Memory, Random};
use support::*;
use uuid::Uuid;

fn transactional(producer_id: i64, sequence: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).transactional(true);
    builder.push(1, None, Some(value.as_bytes()), &[]);
    builder.set_producer(ProducerStamp { producer_id, producer_epoch: 0, base_sequence: sequence });
    builder.finish().unwrap()
}

fn marker(producer_id: i64, committed: bool) -> Bytes {
    EndMarker { producer_id, producer_epoch: 0, committed, coordinator_epoch: 0 }.batch(1)
}

/// What stands in the log, and what readers are to make of it.
fn write(log: &Log, checkpoint_before: usize) {
    let name = tp("t", 0);
    let batches = [
        transactional(1, 0, "a"), // 0
        transactional(2, 0, "b"), // 1
        batch(1, &["plain"]),     // 2
        marker(1, false),         // 3
        transactional(1, 1, "c"), // 4
        marker(1, true),          // 5
    ];
    for (number, batch) in batches.into_iter().enumerate() {
        if number == checkpoint_before {
            log.checkpoint().unwrap();
        }
        append_one(log, &name, batch).unwrap();
    }
}

fn check(partition: &Partition) {
    assert_eq!(partition.last_stable_offset().unwrap(), 1, "producer 2 has not ended");
    assert_eq!(*partition.watch_stable().unwrap().borrow(), 1);
    let read = partition.read_committed(0, 10_000, true).unwrap();
    assert_eq!(batches(&read.batches).count(), 1);
    assert_eq!(read.aborted, [AbortedTransaction { producer_id: 1, first_offset: 0, last_offset: 3 }]);
    assert!(partition.read_committed(1, 10_000, true).unwrap().batches.is_empty());
    assert!(matches!(partition.read_committed(7, 10_000, true), Err(LogError::OffsetOutOfRange { .. })));
    let open: Vec<_> =
        partition.producers().unwrap().iter().map(|one| (one.producer_id, one.transaction_start)).collect();
    assert_eq!(open, [(1, None), (2, Some(1))]);
}

fn end(log: &Log) {
    let partition = log.partition(&tp("t", 0)).unwrap();
    append_one(log, &tp("t", 0), marker(2, false)).unwrap();
    assert_eq!(partition.last_stable_offset().unwrap(), 7);
    let read = partition.read_committed(2, 10_000, true).unwrap();
    assert_eq!(batches(&read.batches).count(), 5);
    let aborted: Vec<i64> = read.aborted.iter().map(|one| one.producer_id).collect();
    assert_eq!(aborted, [1, 2], "in order of their markers");
    assert_eq!(partition.read_committed(4, 10_000, true).unwrap().aborted.len(), 1);
    assert_eq!(partition.read_committed(4, 1, true).unwrap().aborted.len(), 1);
}

fn open(disk: &Memory) -> Log {
    let (log, report) = Log::open_with(Path::new("/data"), small_options(), Arc::new(disk.clone())).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    log
}

#[test]
fn transactions_are_known_again_after_every_kind_of_start() {
    for checkpoint_before in 0..=6 {
        for damaged in [false, true] {
            let disk = Memory::new(7);
            let log = open(&disk);
            create(&log, &tp("t", 0));
            write(&log, checkpoint_before);
            check(&log.partition(&tp("t", 0)).unwrap());
            // Killed: the checkpoint has what it had, the journal the rest.
            let disk = disk.kill();
            let log = open(&disk);
            check(&log.partition(&tp("t", 0)).unwrap());
            log.close().unwrap();
            drop(log);
            if damaged {
                disk.damage(Path::new("/data/topics/t-0/00000000000000000006.producers"), 20);
            }
            let log = open(&disk);
            check(&log.partition(&tp("t", 0)).unwrap());
            end(&log);
        }
    }
}

#[test]
fn an_append_that_fails_takes_its_marker_back_in_every_partition() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), small_options()).unwrap();
    for name in ["t", "u"] {
        create(&log, &tp(name, 0));
        append_one(&log, &tp(name, 0), transactional(1, 0, "a")).unwrap();
    }
    // The second part is of a producer that was replaced there.
    append_one(
        &log,
        &tp("u", 0),
        EndMarker { producer_epoch: 5, ..EndMarker::read(&marker(1, true)).unwrap().unwrap() }.batch(1),
    )
    .unwrap();
    let parts = vec![Append::new(tp("t", 0), marker(1, false)), Append::new(tp("u", 0), marker(1, false))];
    let error = log.append(parts).wait().unwrap_err();
    assert!(matches!(&error, LogError::InvalidProducerEpoch { partition, .. } if *partition == tp("u", 0)), "{error}");
    let partition = log.partition(&tp("t", 0)).unwrap();
    assert_eq!((partition.last_stable_offset().unwrap(), partition.high_watermark()), (0, 1));
    append_one(&log, &tp("t", 0), marker(1, true)).unwrap();
    assert_eq!(partition.last_stable_offset().unwrap(), 2);
    assert!(partition.read_committed(0, 10_000, true).unwrap().aborted.is_empty());
}

/// Transactions of several producers at once, over many segments.
struct Many {
    disk: Memory,
    log: Log,
    /// By producer: the first offset of its open transaction, and its next sequence.
    producers: BTreeMap<i64, (Option<i64>, i32)>,
    aborted: Vec<AbortedTransaction>,
}

impl Many {
    fn new(seed: u64) -> Many {
        let disk = Memory::new(seed);
        let log = open(&disk);
        let config = PartitionConfig { segment_bytes: 900, index_interval_bytes: 150, ..PartitionConfig::default() };
        log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
        Many { disk, log, producers: BTreeMap::new(), aborted: Vec::new() }
    }

    fn partition(&self) -> Arc<Partition> {
        self.log.partition(&tp("t", 0)).unwrap()
    }

    fn step(&mut self, random: &mut Random) {
        let producer_id = random.below(5) as i64;
        let (open, sequence) = self.producers.entry(producer_id).or_default();
        match *open {
            Some(first_offset) if random.chance(50) => {
                let committed = random.chance(30);
                let last_offset =
                    append_one(&self.log, &tp("t", 0), marker(producer_id, committed)).unwrap().base_offset;
                *open = None;
                if !committed {
                    self.aborted.push(AbortedTransaction { producer_id, first_offset, last_offset });
                }
            }
            _ => {
                let batch = transactional(producer_id, *sequence, "value");
                let offset = append_one(&self.log, &tp("t", 0), batch).unwrap().base_offset;
                *sequence += 1;
                open.get_or_insert(offset);
            }
        }
    }

    fn reopen(&mut self, random: &mut Random) {
        let disk = match random.below(3) {
            0 => {
                self.log.close().unwrap();
                self.disk.kill()
            }
            1 => self.disk.kill(),
            _ => self.disk.power_cut(),
        };
        self.disk = disk;
        let dir = Path::new("/data/topics/t-0");
        let names = self.disk.list(dir).unwrap_or_default();
        let indexes: Vec<_> =
            names.iter().filter(|name| name.ends_with(".aborted")).map(|name| dir.join(name)).collect();
        if !indexes.is_empty() && random.chance(40) {
            let path = &indexes[random.below(indexes.len() as u64) as usize];
            match random.below(3) {
                0 => self.disk.remove_file(path).unwrap(),
                1 => self.disk.open(path, false).unwrap().set_length(random.below(100)).unwrap(),
                _ => {
                    let length = self.disk.content(path).unwrap().len() as u64;
                    if length > 0 {
                        self.disk.damage(path, random.below(length) as usize);
                    }
                }
            }
        }
        self.log = open(&self.disk);
        let config = PartitionConfig { segment_bytes: 900, index_interval_bytes: 150, ..PartitionConfig::default() };
        self.partition().set_config(config).unwrap();
    }

    fn check(&self, context: &str) {
        let partition = self.partition();
        let open = self.producers.values().filter_map(|(open, _)| *open).min();
        let stable = partition.last_stable_offset().unwrap();
        assert_eq!(stable, open.unwrap_or(partition.high_watermark()).max(partition.log_start_offset()), "{context}");
        for offset in (partition.log_start_offset()..stable).step_by(7) {
            for bytes in [1, 300, 5000] {
                let read = partition.read_committed(offset, bytes, true).unwrap();
                let next = batches(&read.batches).last().unwrap().unwrap().0.next_offset();
                let touched = |one: &&AbortedTransaction| one.last_offset >= offset && one.first_offset < next;
                let touched: Vec<&AbortedTransaction> = self.aborted.iter().filter(touched).collect();
                // What was made anew from a log whose beginning is gone begins later, where there are records.
                let is_told = |one: &AbortedTransaction| {
                    let same = |told: &&AbortedTransaction| {
                        (told.producer_id, told.last_offset) == (one.producer_id, one.last_offset)
                            && told.first_offset >= one.first_offset
                    };
                    read.aborted.iter().find(same).copied()
                };
                let told: Vec<AbortedTransaction> = touched.iter().filter_map(|one| is_told(one)).collect();
                assert_eq!(read.aborted, told, "{context}: from {offset} to {next}: in order, and no others");
                for (header, _) in batches(&read.batches).map(Result::unwrap).filter(|(header, _)| !header.is_control())
                {
                    let has = |one: &AbortedTransaction| {
                        one.producer_id == header.producer_id
                            && (one.first_offset..one.last_offset).contains(&header.base_offset)
                    };
                    let expected = touched.iter().any(|one| has(one));
                    assert_eq!(read.aborted.iter().any(has), expected, "{context}: offset {}", header.base_offset);
                }
            }
        }
    }
}

#[test]
fn readers_are_told_of_just_the_aborted_transactions_that_they_meet() {
    for seed in seeds(0, 25) {
        let (mut many, mut random) = (Many::new(seed), Random(seed));
        for step in 0..300 {
            many.step(&mut random);
            match random.below(100) {
                0..3 => many.log.checkpoint().unwrap(),
                3..5 => {
                    many.check(&format!("seed {seed}, step {step}"));
                    many.reopen(&mut random);
                    many.check(&format!("seed {seed}, step {step}, opened again"));
                }
                5 => {
                    let start = many.partition().log_start_offset();
                    drop(many.partition().delete_records(start + random.below(20) as i64));
                }
                _ => {}
            }
        }
        many.check(&format!("seed {seed}, at the end"));
    }
}

#[test]
fn aborted_transactions_are_in_files_of_their_segments_and_go_with_them() {
    let (mut many, mut random) = (Many::new(1), Random(1));
    (0..600).for_each(|_| many.step(&mut random));
    many.log.checkpoint().unwrap();
    let dir = Path::new("/data/topics/t-0");
    let bytes = |disk: &Memory, suffix: &str| -> usize {
        let names = disk.list(dir).unwrap();
        let files = names.iter().filter(|name| name.ends_with(suffix));
        files.map(|name| disk.content(&dir.join(name)).unwrap().len()).sum()
    };
    assert!(many.aborted.len() > 100);
    assert!(bytes(&many.disk, ".aborted") >= 40 * many.aborted.len(), "all are in files");
    assert!(bytes(&many.disk, ".producers") < 2500, "they are not written again with each checkpoint");
    let end = many.partition().high_watermark();
    many.partition().delete_records(end - 1).unwrap();
    many.log.checkpoint().unwrap();
    assert!(bytes(&many.disk, ".aborted") < 1000, "they go with their segments");
    many.check("at the end");
}

#[test]
fn a_transaction_that_began_before_a_damaged_segment_is_still_open() {
    let memory = Memory::new(1);
    let log = open(&memory);
    let config = PartitionConfig { segment_bytes: 300, ..PartitionConfig::default() };
    log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    append_one(&log, &tp("t", 0), transactional(1, 0, "undecided")).unwrap();
    for i in 0..10 {
        append_one(&log, &tp("t", 0), batch(1, &[&i.to_string()])).unwrap();
    }
    log.checkpoint().unwrap();
    let memory = memory.kill();
    let dir = Path::new("/data/topics/t-0");
    let segments = memory.list(dir).unwrap().into_iter().filter(|name| name.ends_with(".log"));
    let last = segments.max().unwrap();
    assert!(!last.starts_with("00000000000000000000"));
    memory.open(&dir.join(last), false).unwrap().set_length(10).unwrap();
    let (log, report) = Log::open_with(Path::new("/data"), small_options(), Arc::new(memory)).unwrap();
    assert!(!report.damage.is_empty());
    assert_eq!(log.partition(&tp("t", 0)).unwrap().last_stable_offset().unwrap(), 0);
}
