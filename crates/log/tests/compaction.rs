//! Compaction against a naive model: whatever was compacted, and whenever the process or the power ended it, readers find of each key what a
//! reader of all records would know.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use millstream_log::{Clock, CompactionReport, Log, LogError, LogOptions, Partition, PartitionConfig};
use millstream_protocol::records::{BatchBuilder, Codec, EndMarker, ProducerStamp, Scratch, batches, decode_batch};
use support::memory::{Faults, Memory, Random};
use support::*;
use uuid::Uuid;

const DELETE_RETENTION_MS: i64 = 1000;

fn config() -> PartitionConfig {
    PartitionConfig {
        segment_bytes: 900,
        index_interval_bytes: 150,
        compact: true,
        delete_retention_ms: DELETE_RETENTION_MS,
        min_cleanable_dirty_millionths: 0,
        ..PartitionConfig::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    key: String,
    value: Option<String>,
}

/// What was appended, by offset, without what was aborted; and how to go on.
#[derive(Debug, Default, Clone)]
struct Model {
    committed: BTreeMap<i64, Written>,
    /// By producer: its next sequence, and what its open transaction has written.
    open: HashMap<i64, BTreeMap<i64, Written>>,
    sequences: HashMap<i64, i32>,
    /// Each producer's last batch.
    last: HashMap<i64, Bytes>,
}

/// What a reader of all records would know.
fn view(records: &BTreeMap<i64, Written>) -> BTreeMap<String, String> {
    let mut view = BTreeMap::new();
    for Written { key, value } in records.values() {
        match value {
            Some(value) => view.insert(key.clone(), value.clone()),
            None => view.remove(key),
        };
    }
    view
}

impl Model {
    fn step(&mut self, log: &Log, random: &mut Random, now_ms: i64) {
        let name = tp("t", 0);
        // 0: no producer; 1 and 2: idempotent; from 3 on: transactional.
        let producer = random.below(7) as i64;
        if let Some(open) = self.open.get(&producer)
            && (open.is_empty() || random.chance(40))
        {
            self.end(log, producer, random.chance(50), now_ms);
            return;
        }
        let codec = [Codec::None, Codec::Lz4, Codec::Zstd][random.below(3) as usize];
        let mut builder = BatchBuilder::new(codec).transactional(producer >= 3);
        let mut written = Vec::new();
        for _ in 0..random.below(4) + 1 {
            let key = format!("key {}", random.below(8));
            let value =
                (!random.chance(25)).then(|| format!("{} {}", random.next(), "x".repeat(random.below(60) as usize)));
            builder.push(now_ms, Some(key.as_bytes()), value.as_ref().map(String::as_bytes), &[("h", Some(b"v"))]);
            written.push(Written { key, value });
        }
        if producer > 0 {
            let sequence = self.sequences.entry(producer).or_default();
            let stamp = ProducerStamp { producer_id: producer, producer_epoch: 0, base_sequence: *sequence };
            *sequence += written.len() as i32;
            builder.set_producer(stamp);
        }
        let batch = builder.finish().unwrap();
        let appended = append_one(log, &name, batch.clone()).unwrap();
        let written = written.into_iter().enumerate().map(|(i, one)| (appended.base_offset + i as i64, one));
        match producer {
            0 => self.committed.extend(written),
            1 | 2 => {
                self.committed.extend(written);
                self.last.insert(producer, batch);
            }
            _ => {
                self.open.entry(producer).or_default().extend(written);
                self.last.insert(producer, batch);
            }
        }
    }

    fn end(&mut self, log: &Log, producer_id: i64, committed: bool, now_ms: i64) {
        let marker = EndMarker { producer_id, producer_epoch: 0, committed, coordinator_epoch: 0 };
        append_one(log, &tp("t", 0), marker.batch(now_ms)).unwrap();
        let written = self.open.remove(&producer_id).unwrap();
        if committed {
            self.committed.extend(written);
        }
    }

    /// Holds what is read against what was written.
    fn check(&self, log: &Log, context: &str) {
        let partition = log.partition(&tp("t", 0)).unwrap();
        assert_eq!(partition.log_start_offset(), 0, "{context}");
        let read = read_committed(&partition, 0, context);
        for (offset, record) in &read {
            assert_eq!(self.committed.get(offset), Some(record), "{context}: offset {offset}");
        }
        let stable = partition.last_stable_offset().unwrap();
        let decided: BTreeMap<i64, Written> =
            self.committed.range(..stable).map(|(offset, written)| (*offset, written.clone())).collect();
        assert_eq!(view(&read), view(&decided), "{context}");
        for offset in (0..stable).step_by(23) {
            let from_here = read_committed(&partition, offset, context);
            let expected: BTreeMap<i64, Written> = read.range(offset..).map(|(o, w)| (*o, w.clone())).collect();
            assert_eq!(from_here, expected, "{context}: from {offset}");
        }
        for (producer, batch) in &self.last {
            let again = append_one(log, &tp("t", 0), batch.clone());
            let known = match *producer > 2 && !self.open.contains_key(producer) {
                true => matches!(again, Err(LogError::OutOfOrderSequence { .. })), // its transaction has ended
                false => again.unwrap().duplicate,
            };
            assert!(known, "{context}: the last batch of producer {producer}");
        }
    }
}

/// As a consumer reads with `isolation.level=read_committed`.
fn read_committed(partition: &Partition, from: i64, context: &str) -> BTreeMap<i64, Written> {
    let (mut offset, mut records, mut scratch) = (from, BTreeMap::new(), Scratch::default());
    loop {
        let read = partition.read_committed(offset, 700, true).unwrap_or_else(|error| panic!("{context}: {error}"));
        if read.batches.is_empty() {
            // What is behind it up to the last stable offset is a gap; the check would miss what is not.
            return records;
        }
        let mut told = read.aborted.clone();
        told.sort_by_key(|one| one.first_offset);
        let (mut told, mut aborted) = (told.into_iter().peekable(), HashSet::new());
        for batch in batches(&read.batches) {
            let (header, batch) = batch.unwrap();
            while let Some(one) = told.next_if(|one| one.first_offset <= header.last_offset()) {
                aborted.insert(one.producer_id);
            }
            if header.is_control() {
                if EndMarker::read(batch).unwrap().is_some_and(|marker| !marker.committed) {
                    aborted.remove(&header.producer_id);
                }
            } else if !(header.is_transactional() && aborted.contains(&header.producer_id)) {
                for record in decode_batch(batch, &mut scratch).unwrap() {
                    let record = record.unwrap();
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let written = Written { key: text(record.key.unwrap()), value: record.value.map(text) };
                    assert_eq!(record.headers.count(), 1);
                    if record.offset >= from {
                        assert!(records.insert(record.offset, written).is_none(), "{context}: twice");
                    }
                }
            }
            offset = offset.max(header.next_offset());
        }
    }
}

struct World {
    memory: Memory,
    clock: Arc<AtomicI64>,
    log: Log,
}

fn open(memory: &Memory, clock: &Arc<AtomicI64>, keys_max: usize) -> Log {
    let now = clock.clone();
    let options = LogOptions {
        compaction_keys_max: keys_max,
        clock: Clock::new(move || now.load(Ordering::Relaxed)),
        // Records in memory are compacted, too.
        tail_cache_bytes: 1 << 20,
        ..small_options()
    };
    let (log, report) = Log::open_with(Path::new("/data"), options, Arc::new(memory.clone())).unwrap();
    assert_eq!(report.damage, [] as [&str; 0]);
    match log.partition(&tp("t", 0)) {
        Some(partition) => partition.set_config(config()).unwrap(),
        None => drop(log.create_partition(&tp("t", 0), Uuid::nil(), config()).unwrap()),
    }
    log
}

impl World {
    fn new(seed: u64, keys_max: usize) -> World {
        let (memory, clock) = (Memory::new(seed), Arc::new(AtomicI64::new(1000)));
        let log = open(&memory, &clock, keys_max);
        World { memory, clock, log }
    }

    fn now_ms(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn write(&self, model: &mut Model, random: &mut Random, steps: usize) {
        for _ in 0..steps {
            model.step(&self.log, random, self.clock.fetch_add(3, Ordering::Relaxed));
        }
    }

    fn compact(&self) -> CompactionReport {
        self.log.compact(self.now_ms()).unwrap()
    }
}

#[test]
fn readers_find_of_each_key_what_they_would_without_compaction() {
    for seed in 0..12 {
        // All keys in one pass, or few, which takes several.
        let world = World::new(seed, if seed % 2 == 0 { 1000 } else { 3 });
        let (mut model, mut random) = (Model::default(), Random(seed));
        let mut after = 0;
        for round in 0..6 {
            world.write(&mut model, &mut random, 40);
            while world.compact().partitions > 0 {}
            model.check(&world.log, &format!("seed {seed}, round {round}"));
            world.clock.fetch_add(random.below(1500) as i64, Ordering::Relaxed);
            after = world.log.partition(&tp("t", 0)).unwrap().size_bytes();
        }
        assert!(after < 15_000, "seed {seed}: {after} bytes are left of some 30000");
        let again = open(&world.memory.kill(), &world.clock, 1000);
        model.check(&again, &format!("seed {seed}, after a kill"));
    }
}

#[test]
fn a_compaction_that_is_cut_short_anywhere_loses_nothing_and_brings_nothing_back() {
    for power in [false, true] {
        for seed in 0..2 {
            // Every fifth step, other ones by each seed.
            for changes in (seed..).step_by(5) {
                let world = World::new(seed, 1000);
                let (mut model, mut random) = (Model::default(), Random(seed));
                // The second round finds tombstones and markers that may go.
                world.write(&mut model, &mut random, 40);
                world.compact();
                world.clock.fetch_add(DELETE_RETENTION_MS, Ordering::Relaxed);
                world.write(&mut model, &mut random, 20);
                let mut undecided: Vec<i64> = model.open.keys().copied().collect();
                undecided.sort_unstable();
                undecided
                    .into_iter()
                    .for_each(|producer| model.end(&world.log, producer, producer % 2 == 0, world.now_ms()));
                world.memory.cut_after(changes);
                let _ = world.log.compact(world.now_ms());
                let finished = !world.memory.is_dead();
                let memory = if power { world.memory.power_cut() } else { world.memory.kill() };
                let context = format!("seed {seed}, cut after {changes} changes, power {power}");
                let log = open(&memory, &world.clock, 1000);
                model.check(&log, &context);
                let left = millstream_log::files::Files::list(&memory, Path::new("/data/topics/t-0")).unwrap();
                let unfinished = |name: &String| name.ends_with(".cleaned") || name.ends_with(".swap");
                assert!(!left.iter().any(unfinished), "{context}: {left:?}");
                log.compact(world.now_ms()).unwrap();
                model.check(&log, &format!("{context}, compacted again"));
                if finished {
                    assert!(changes > 10, "it did something");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_compaction_that_an_error_cuts_short_is_finished_or_taken_back_at_once() {
    // One call that fails, and all of them from some point on.
    for times in [1, usize::MAX] {
        for seed in seeds(0, 2) {
            // Every fourth call, other ones by each seed.
            for before in (seed as usize * 2 % 4..).step_by(4) {
                let context = format!("seed {seed}, {times} errors after {before} changes of names");
                let world = World::new(seed, 1000);
                let (mut model, mut random) = (Model::default(), Random(seed + before as u64));
                world.write(&mut model, &mut random, 40);
                world
                    .memory
                    .set_faults(Faults { names: Some(("topics/t-0".to_owned(), before, times)), ..Faults::default() });
                let report = world.log.compact(world.now_ms()).unwrap_or_default();
                let finished = world.memory.names_before_fault() > 0;
                // What is on the disk is read, whatever it is called meanwhile, and written to.
                model.check(&world.log, &context);
                world.memory.set_faults(Faults::default());
                // A process that is killed now leaves a folder that opens.
                if random.chance(30) {
                    let log = open(&world.memory.kill(), &world.clock, 1000);
                    model.check(&log, &format!("{context}, killed"));
                    continue;
                }
                world.write(&mut model, &mut random, 10);
                world.clock.fetch_add(if report.failed > 0 { 60_000 } else { 0 }, Ordering::Relaxed);
                assert_eq!(world.compact().failed, 0, "{context}");
                model.check(&world.log, &format!("{context}, compacted again"));
                let left = millstream_log::files::Files::list(&world.memory, Path::new("/data/topics/t-0")).unwrap();
                assert!(!left.iter().any(|name| name.ends_with(".swap")), "{context}: {left:?}");
                let memory = if random.chance(50) { world.memory.kill() } else { world.memory.power_cut() };
                model.check(&open(&memory, &world.clock, 1000), &format!("{context}, opened again"));
                if finished {
                    assert!(before > 4 && report.failed == 0, "{context}");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_compacted_segment_has_its_index_before_anybody_reads() {
    let world = World::new(1, 1000);
    for key in 0..40 {
        put(&world, &format!("key {key}"), Some(&"x".repeat(60)));
    }
    assert_eq!(world.compact().partitions, 1);
    let path = Path::new("/data/topics/t-0/00000000000000000000.index");
    assert!(world.memory.content(path).is_some_and(|index| !index.is_empty()));
    // And it is the right one: were it not, it would be made anew, and so be changed.
    let index = world.memory.content(path);
    let partition = world.log.partition(&tp("t", 0)).unwrap();
    (0..partition.high_watermark()).for_each(|offset| drop(partition.read(offset, 1).unwrap()));
    assert_eq!(world.memory.content(path), index);
}

#[test]
fn a_partition_whose_compaction_fails_is_left_alone_for_longer_each_time() {
    let world = World::new(1, 1000);
    world.write(&mut Model::default(), &mut Random(1), 60);
    world.memory.set_faults(Faults { write: Some(".cleaned".to_owned()), ..Faults::default() });
    let mut failed_at = Vec::new();
    for second in 0..500 {
        if world.log.compact(world.now_ms()).unwrap().failed > 0 {
            failed_at.push(second);
        }
        world.clock.fetch_add(1000, Ordering::Relaxed);
    }
    assert_eq!(failed_at, [0, 60, 180, 420]);
    world.memory.set_faults(Faults::default());
    assert_eq!(world.compact(), CompactionReport::default());
    world.clock.fetch_add(1_000_000, Ordering::Relaxed);
    let report = world.compact();
    assert_eq!((report.partitions, report.failed), (1, 0));
}

#[test]
fn a_log_with_more_keys_than_the_buffer_holds_takes_several_passes() {
    let expected = |world: &World| {
        for round in 0..3 {
            for key in 0..100 {
                put(world, &format!("key {key}"), Some(&format!("round {round}")));
            }
        }
        fill(world);
        fill(world);
    };
    let (large, small) = (World::new(1, 1000), World::new(1, 1000));
    // 16 places of 25 bytes, of which 14 may be taken.
    small.log.set_compaction_bytes_max(400);
    expected(&large);
    expected(&small);
    assert_eq!(large.compact().passes, 1);
    let passes = small.compact().passes;
    assert!((300 / 14..=300 / 14 + 2).contains(&passes), "{passes}");
    assert_eq!(offsets(&small), offsets(&large));
    assert!(offsets(&small).len() < 115);
}

fn put(world: &World, key: &str, value: Option<&str>) {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(world.now_ms(), Some(key.as_bytes()), value.map(str::as_bytes), &[("h", None)]);
    append_one(&world.log, &tp("t", 0), builder.finish().unwrap()).unwrap();
}

/// Closes the segment that is written to.
fn fill(world: &World) {
    put(world, "filler", Some(&"x".repeat(900)));
}

fn offsets(world: &World) -> Vec<i64> {
    read_committed(&world.log.partition(&tp("t", 0)).unwrap(), 0, "").into_keys().collect()
}

#[test]
fn a_tombstone_stays_for_its_time_and_the_newest_record_and_the_open_segment_stay() {
    let world = World::new(1, 1000);
    for (key, value) in [("a", Some("1")), ("b", Some("1")), ("a", None), ("b", Some("2"))] {
        put(&world, key, value);
    }
    fill(&world);
    put(&world, "b", Some("3"));
    assert_eq!(world.compact().partitions, 1);
    assert_eq!(offsets(&world), [2, 3, 4, 5], "3 is newer, but in the open segment");
    world.clock.fetch_add(DELETE_RETENTION_MS - 1, Ordering::Relaxed);
    fill(&world);
    world.compact();
    assert_eq!(offsets(&world), [2, 4, 5, 6]);
    world.clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(world.compact(), CompactionReport::default(), "nothing is dirty");
    fill(&world);
    world.compact();
    assert_eq!(offsets(&world), [5, 6, 7], "the tombstone's time is over");
}

#[test]
fn a_record_younger_than_the_lag_and_a_topic_that_does_not_ask_stay() {
    let world = World::new(1, 1000);
    let partition = world.log.partition(&tp("t", 0)).unwrap();
    put(&world, "a", Some("1"));
    put(&world, "a", Some("2"));
    fill(&world);
    fill(&world);
    partition.set_config(PartitionConfig { compact: false, ..config() }).unwrap();
    assert_eq!(world.compact(), CompactionReport::default());
    partition.set_config(PartitionConfig { min_compaction_lag_ms: 10, ..config() }).unwrap();
    assert_eq!(world.compact(), CompactionReport::default());
    world.clock.fetch_add(10, Ordering::Relaxed);
    let report = world.compact();
    assert!(report.bytes_after < report.bytes_before && report.partitions == 1, "{report:?}");
    assert_eq!(offsets(&world), [1, 2, 3]);
}

#[test]
fn a_tombstone_behind_what_a_pass_has_noted_hides_older_records_until_they_are_gone() {
    // Three keys in a pass, and all in one segment, which every pass writes anew.
    let world = World::new(1, 3);
    let partition = world.log.partition(&tp("t", 0)).unwrap();
    let config = PartitionConfig { delete_retention_ms: 0, segment_bytes: 2000, ..config() };
    partition.set_config(config).unwrap();
    for number in 0..4 {
        put(&world, &format!("first {number}"), Some("v"));
    }
    put(&world, "gone", Some("v"));
    for number in 0..6 {
        put(&world, &format!("second {number}"), Some("v"));
    }
    put(&world, "gone", None);
    put(&world, "filler", Some(&"x".repeat(1900)));
    fill(&world);
    assert!(world.compact().passes > 3);
    let keys: Vec<String> = read_committed(&partition, 0, "").into_values().map(|written| written.key).collect();
    assert_eq!(keys.len(), 4 + 6 + 2, "{keys:?}");
    assert!(!keys.contains(&"gone".to_owned()), "{keys:?}");
}

#[test]
fn the_largest_time_stamp_is_not_that_of_a_batch_which_compaction_has_emptied() {
    let world = World::new(1, 1000);
    let partition = world.log.partition(&tp("t", 0)).unwrap();
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(5000, Some(b"key"), Some(b"old"), &[]);
    builder.set_producer(ProducerStamp { producer_id: 1, producer_epoch: 0, base_sequence: 0 });
    append_one(&world.log, &tp("t", 0), builder.finish().unwrap()).unwrap();
    put(&world, "key", Some("new"));
    fill(&world);
    fill(&world);
    assert_eq!(world.compact().partitions, 1);
    assert_eq!(offsets(&world)[0], 1, "the last batch of a producer stays, empty");
    let largest = partition.offset_of_max_timestamp().unwrap().unwrap();
    assert_eq!((largest.offset, largest.timestamp_ms), (1, world.now_ms()));
}
