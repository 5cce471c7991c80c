//! The power goes at any moment: every acknowledged append is there afterwards, none is there in part, and all are in order.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use millstream_log::files::Files;
use millstream_log::{Append, Appended, Log, LogOptions, Partition, PartitionConfig, RecoveryReport, TopicPartition};
use support::memory::{Faults, Memory, Random};
use support::*;
use uuid::Uuid;

const PARTITIONS: i32 = 4;
/// The partition whose records are deleted now and then; the others keep all.
const SHRINKING: i32 = 3;

fn config() -> PartitionConfig {
    PartitionConfig { segment_bytes: 6000, index_interval_bytes: 300, ..PartitionConfig::default() }
}

/// What a test knows of its appends: by number, on which partitions, and whether they must be there.
#[derive(Default)]
struct Model {
    parts: BTreeMap<u64, Vec<i32>>,
    acknowledged: BTreeMap<u64, Vec<i64>>,
    next: u64,
    /// Appends that were answered with an error in this life: nothing of them is visible.
    refused: Vec<u64>,
    /// Next sequence of each partition's idempotent producer: every append brings it one record, so it is the next offset.
    sequences: HashMap<i32, i32>,
}

fn number(value: &str) -> u64 {
    value.split(' ').next().unwrap().parse().unwrap()
}

impl Model {
    /// Holds the partitions against what was acknowledged, and takes what is there for durable from now on.
    fn check(&mut self, log: &Log, context: &str) {
        let mut seen: HashMap<u64, Vec<(i32, i64)>> = HashMap::new();
        let mut starts = HashMap::new();
        for p in 0..PARTITIONS {
            let Some(partition) = log.partition(&tp("t", p)) else {
                assert!(self.acknowledged.is_empty(), "{context}: partition {p} is gone");
                self.sequences.remove(&p);
                continue;
            };
            let start = partition.log_start_offset();
            starts.insert(p, start);
            let records = records(&partition, start);
            let mut last = None;
            for (i, (offset, value)) in records.iter().enumerate() {
                assert_eq!(*offset, start + i as i64, "{context}: offsets of partition {p}");
                let number = number(value);
                assert!(last < Some(number), "{context}: order in partition {p}: {last:?} then {number}");
                last = Some(number);
                seen.entry(number).or_default().push((p, *offset));
            }
            let end = partition.high_watermark();
            assert_eq!(end, start + records.len() as i64, "{context}");
            self.sequences.insert(p, end as i32);
            if let Some((offset, value)) = records.last() {
                // The producers' state is as complete as the log.
                let again = append_one(log, &tp("t", p), stamped(i64::from(p), 0, *offset as i32, &[value]));
                let again = again.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert!(again.duplicate && again.base_offset == *offset, "{context}: {again:?}");
            }
        }
        for number in &self.refused {
            assert!(!seen.contains_key(number), "{context}: append {number} was refused and is there");
        }
        for (number, parts) in &self.parts {
            let seen = seen.get(number).map_or(&[][..], |seen| seen);
            match self.acknowledged.get(number) {
                Some(offsets) => {
                    for (p, offset) in parts.iter().zip(offsets) {
                        let there = seen.contains(&(*p, *offset));
                        assert!(there || starts[p] > *offset, "{context}: append {number} is lost at {p}@{offset}");
                    }
                }
                None => {
                    // What was deleted since cannot be told from what never was.
                    let certain: Vec<i32> =
                        parts.iter().copied().filter(|p| starts.get(p).is_none_or(|start| *start == 0)).collect();
                    let there = certain.iter().filter(|p| seen.iter().any(|(at, _)| at == *p)).count();
                    assert!(there == 0 || there == certain.len(), "{context}: append {number} is there in part");
                }
            }
        }
        let acknowledged = std::mem::take(&mut self.parts).into_iter().filter_map(|(number, parts)| {
            let offsets = match self.acknowledged.get(&number) {
                Some(offsets) => offsets.clone(),
                None => {
                    let seen = seen.get(&number)?;
                    parts
                        .iter()
                        .map(|p| seen.iter().find(|(at, _)| at == p).map_or(-1, |(_, offset)| *offset))
                        .collect()
                }
            };
            Some((number, parts, offsets))
        });
        let (mut parts_kept, mut offsets_kept) = (BTreeMap::new(), BTreeMap::new());
        for (number, parts, offsets) in acknowledged {
            parts_kept.insert(number, parts);
            offsets_kept.insert(number, offsets);
        }
        (self.parts, self.acknowledged) = (parts_kept, offsets_kept);
    }

    /// Appends and waits. Gives false if the disk did not let it.
    fn try_append(&mut self, log: &Log, random: &mut Random, context: &str) -> bool {
        let (number, appended) = self.append(log, random).unwrap();
        match appended.wait() {
            Ok(parts) => {
                self.acknowledged.insert(number, parts.iter().map(|part| part.base_offset).collect());
                true
            }
            Err(error) => {
                assert!(error.is_retriable(), "{context}: {error}");
                self.refused.push(number);
                for p in &self.parts[&number] {
                    let end = log.partition(&tp("t", *p)).unwrap().log_end_offset();
                    self.sequences.insert(*p, end as i32);
                }
                false
            }
        }
    }

    fn append(&mut self, log: &Log, random: &mut Random) -> Option<(u64, Appended)> {
        let number = self.next;
        self.next += 1;
        let mut partitions: Vec<i32> = (0..PARTITIONS).filter(|_| random.chance(40)).collect();
        if partitions.is_empty() {
            partitions.push(random.below(PARTITIONS as u64) as i32);
        }
        let mut parts = Vec::new();
        for p in &partitions {
            // Some beyond what the journal takes, some beyond a segment.
            let size = [10, 100, 1000, 1900, 2500, 7000][random.below(6) as usize];
            let value = format!("{number} {}", "x".repeat(size));
            let sequence = self.sequences.entry(*p).or_default();
            parts.push(Append::new(tp("t", *p), stamped(i64::from(*p), 0, *sequence, &[&value])));
            *sequence += 1;
        }
        self.parts.insert(number, partitions);
        Some((number, log.append(parts)))
    }
}

/// What may go wrong with a disk that does not die at once.
fn faults(random: &mut Random) -> Faults {
    let what = |random: &mut Random| {
        ["", "journal", "topics", "topics/t-1", ".log", ".index", ".producers", "checkpoint"][random.below(8) as usize]
            .to_owned()
    };
    let mut faults = Faults::default();
    match random.below(4) {
        0 => faults.full = Some(what(random)),
        1 => faults.write = Some(what(random)),
        2 => faults.sync = Some((what(random), [1, 2, 1000][random.below(3) as usize])),
        _ => faults.names = Some((what(random), random.below(5) as usize, [1, 2, 1000][random.below(3) as usize])),
    }
    faults
}

/// One life of a machine whose disk fails now and then: what is refused is not there, what is acknowledged is, and writing goes on when the
/// cause is gone.
fn live_with_faults(memory: &Memory, model: &mut Model, random: &mut Random, context: &str) {
    let Some((log, report)) = open(memory) else { panic!("{context}: the power is on") };
    assert_eq!(report.damage, [] as [&str; 0], "{context}");
    model.refused.clear();
    model.check(&log, context);
    (0..PARTITIONS).for_each(|p| drop(ensure(&log, &tp("t", p)).unwrap()));
    for _ in 0..random.below(60) {
        match random.below(10) {
            0 => memory.set_faults(faults(random)),
            1 | 2 => memory.set_faults(Faults::default()),
            3 if random.chance(30) => drop(log.checkpoint()),
            _ => {}
        }
        model.try_append(&log, random, context);
    }
    if random.chance(50) {
        // Reads go on while the disk fails. (The check's own appends are duplicates, which write nothing.)
        model.check(&log, &format!("{context}, failing"));
    }
    memory.set_faults(Faults::default());
    // What failed before may be heard of once more.
    let goes_on = (0..3).any(|_| model.try_append(&log, random, context));
    assert!(goes_on, "{context}: the cause is gone and nothing is written");
}

fn open(memory: &Memory) -> Option<(Log, RecoveryReport)> {
    let options = LogOptions { tail_cache_bytes: 3000, ..small_options() };
    match Log::open_with(Path::new("/data"), options, Arc::new(memory.clone())) {
        Ok(opened) => Some(opened),
        Err(error) => {
            assert!(memory.is_dead(), "{error}");
            None
        }
    }
}

fn ensure(log: &Log, name: &TopicPartition) -> Option<Arc<Partition>> {
    let partition = match log.partition(name) {
        Some(partition) => partition,
        None => log.create_partition(name, Uuid::nil(), config()).ok()?,
    };
    partition.set_config(config()).ok()?;
    Some(partition)
}

/// One life of the machine: opens, checks, appends until the power goes.
fn live(memory: &Memory, model: &mut Model, random: &mut Random, context: &str) {
    let Some((log, report)) = open(memory) else { return };
    assert_eq!(report.damage, [] as [&str; 0], "{context}");
    if memory.is_dead() {
        return;
    }
    let settled = memory.clone();
    model_check_unless_dead(&settled, model, &log, context);
    for p in 0..PARTITIONS {
        if ensure(&log, &tp("t", p)).is_none() {
            return;
        }
    }
    memory.cut_after(random.below(400));
    let mut waiting = Vec::new();
    for _ in 0..random.below(150) {
        waiting.extend(model.append(&log, random));
        if random.chance(20) {
            collect(memory, &mut waiting, model);
        }
        if random.chance(3) {
            let _ = log.checkpoint();
        }
        if random.chance(3)
            && let Some(partition) = log.partition(&tp("t", SHRINKING))
        {
            let start = partition.log_start_offset();
            let before = start + random.below((partition.high_watermark() - start + 1) as u64) as i64;
            let _ = partition.delete_records(before);
        }
        if memory.is_dead() {
            break;
        }
    }
    collect(memory, &mut waiting, model);
    if random.chance(20) {
        let _ = log.close();
    }
}

/// The check itself reads files; while the power is sure to stay on.
fn model_check_unless_dead(memory: &Memory, model: &mut Model, log: &Log, context: &str) {
    if !memory.is_dead() {
        model.check(log, context);
    }
}

fn collect(memory: &Memory, waiting: &mut Vec<(u64, Appended)>, model: &mut Model) {
    for (number, appended) in waiting.drain(..) {
        match appended.wait() {
            Ok(parts) => {
                model.acknowledged.insert(number, parts.iter().map(|part| part.base_offset).collect());
            }
            Err(error) => assert!(memory.is_dead(), "append {number}: {error}"),
        }
    }
}

fn run(seed: u64, lives: u64, cut: impl Fn(&mut Random, &Memory) -> Memory) {
    let mut random = Random(seed);
    let mut memory = Memory::new(seed);
    let mut model = Model::default();
    for life in 0..lives {
        live(&memory, &mut model, &mut random, &format!("seed {seed}, life {life}"));
        memory = cut(&mut random, &memory);
        // Now and then the power goes again while the folder is opened.
        if random.chance(30) {
            memory.cut_after(random.below(60));
            if let Some((log, _)) = open(&memory) {
                drop(log);
            }
            memory = cut(&mut random, &memory);
        }
    }
    let (log, _) = open(&memory).unwrap();
    model.check(&log, &format!("seed {seed}, at the end"));
}

#[test]
fn acknowledged_appends_survive_power_cuts() {
    for seed in seeds(0, 60) {
        run(seed, 5, |_, memory| memory.power_cut());
    }
}

#[test]
fn acknowledged_appends_survive_kills() {
    for seed in seeds(1_000_000, 30) {
        run(seed, 5, |_, memory| memory.kill());
    }
}

#[test]
fn acknowledged_appends_survive_kills_and_power_cuts_in_turn() {
    for seed in seeds(2_000_000, 30) {
        run(seed, 6, |random, memory| if random.chance(50) { memory.kill() } else { memory.power_cut() });
    }
}

#[test]
fn a_disk_that_fails_and_recovers_loses_nothing_that_was_acknowledged() {
    for seed in seeds(3_000_000, 60) {
        let mut random = Random(seed);
        let mut memory = Memory::new(seed);
        let mut model = Model::default();
        for life in 0..4 {
            live_with_faults(&memory, &mut model, &mut random, &format!("seed {seed}, life {life}"));
            memory = if random.chance(50) { memory.kill() } else { memory.power_cut() };
        }
        model.refused.clear();
        let (log, _) = open(&memory).unwrap();
        model.check(&log, &format!("seed {seed}, at the end"));
    }
}

#[test]
fn a_relaxed_topic_loses_at_most_what_was_not_synced_and_only_from_its_end() {
    let expected: Vec<String> = (0..60).map(|i| format!("{i} {}", "x".repeat(100))).collect();
    for seed in 0..40 {
        let mut memory = Memory::new(seed);
        let relaxed = PartitionConfig { flush_ms: Some(1_000_000), ..config() };
        let mut synced = 0;
        {
            let log = open(&memory).unwrap().0;
            let partition = log.create_partition(&tp("r", 0), Uuid::nil(), relaxed).unwrap();
            for (i, value) in expected.iter().enumerate() {
                append_one(&log, &tp("r", 0), batch(1, &[value])).unwrap();
                assert_eq!(partition.high_watermark(), i as i64 + 1, "visible at once");
                match i as u64 {
                    at if at == seed => log.checkpoint().unwrap(),
                    // Back to durable: what follows stands on what is synced.
                    at if at == seed + 10 => partition.set_config(config()).unwrap(),
                    _ => continue,
                }
                synced = i + 1;
            }
            let after = memory.power_cut();
            memory = after;
        }
        let durable = if synced as u64 == seed + 11 { expected.len() } else { synced };
        let (log, report) = open(&memory).unwrap();
        assert!(report.damage.is_empty(), "seed {seed}: {report:?}");
        let values = values(&log.partition(&tp("r", 0)).unwrap());
        assert!((durable..=expected.len()).contains(&values.len()), "seed {seed}: {} of {durable}", values.len());
        assert_eq!(values, expected[..values.len()]);
    }
}

#[test]
fn a_segment_that_was_taken_back_and_comes_back_is_not_read() {
    let memory = Memory::new(1);
    let name = tp("t", 0);
    let options = LogOptions { tail_cache_bytes: 0, ..small_options() };
    let (log, _) = Log::open_with(Path::new("/data"), options.clone(), Arc::new(memory.clone())).unwrap();
    log.create_partition(&name, Uuid::nil(), config()).unwrap();
    for sequence in 0..2 {
        append_one(&log, &name, stamped(0, 0, sequence, &["a"])).unwrap();
    }
    log.checkpoint().unwrap();
    for sequence in 2..8 {
        append_one(&log, &name, stamped(0, 0, sequence, &[&"x".repeat(1800)])).unwrap();
    }
    let memory = memory.kill();
    // Begun at an offset that the log had passed before it began its real next segment.
    let stale = memory.open(Path::new("/data/topics/t-0/00000000000000000003.log"), true).unwrap();
    stale.write_at(&[&[0; 700]], 0).unwrap();
    let (log, report) = Log::open_with(Path::new("/data"), options, Arc::new(memory)).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    let partition = log.partition(&name).unwrap();
    assert_eq!(records(&partition, 3).len(), 5);
    assert!(append_one(&log, &name, stamped(0, 0, 7, &[&"x".repeat(1800)])).unwrap().duplicate);
}
