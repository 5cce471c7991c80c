//! One append over durable and relaxed partitions: whatever happens to the process or the power, it is there in all of them or in none.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use millstream_log::{Append, Appended, Log, LogError, LogOptions, PartitionConfig, TopicPartition};
use support::memory::{Faults, Memory, Random};
use support::*;
use uuid::Uuid;

fn names() -> [TopicPartition; 4] {
    [tp("durable", 0), tp("durable", 1), tp("relaxed", 0), tp("relaxed", 1)]
}

fn is_relaxed(partition: usize) -> bool {
    partition >= 2
}

fn config(partition: usize) -> PartitionConfig {
    let flush_messages = is_relaxed(partition).then_some([60, 1_000_000][partition % 2]);
    PartitionConfig { segment_bytes: 6000, index_interval_bytes: 300, flush_messages, ..PartitionConfig::default() }
}

/// An append as the test knows it.
struct Known {
    partitions: Vec<usize>,
    /// By partition; empty before the answer.
    offsets: Vec<i64>,
}

impl Known {
    /// Nothing may take it back, or any part of it.
    fn is_whole(&self) -> bool {
        self.partitions.iter().any(|partition| !is_relaxed(*partition))
    }
}

#[derive(Default)]
struct Model {
    appends: BTreeMap<u64, Known>,
    next: u64,
    sequences: HashMap<usize, i32>,
}

impl Model {
    fn append(&mut self, log: &Log, random: &mut Random) -> (u64, Appended) {
        let number = self.next;
        self.next += 1;
        let mut partitions: Vec<usize> = (0..4).filter(|_| random.chance(35)).collect();
        if partitions.is_empty() {
            partitions.push(2 + random.below(2) as usize);
        }
        let mut parts = Vec::new();
        for partition in &partitions {
            let size = [10, 100, 1000, 1900, 2500, 7000][random.below(6) as usize];
            let value = format!("{number} {}", "x".repeat(size));
            let sequence = self.sequences.entry(*partition).or_default();
            parts.push(Append::new(names()[*partition].clone(), stamped(*partition as i64, 0, *sequence, &[&value])));
            *sequence += 1;
        }
        self.appends.insert(number, Known { partitions, offsets: Vec::new() });
        (number, log.append(parts))
    }

    /// Holds the log against what is known, and takes what is there for known from now on.
    fn check(&mut self, log: &Log, power_cut: bool, context: &str) {
        let mut there: HashMap<(u64, usize), i64> = HashMap::new();
        for (number, name) in names().iter().enumerate() {
            let Some(partition) = log.partition(name) else { continue };
            let mut last = None;
            for (i, (offset, value)) in records(&partition, 0).iter().enumerate() {
                assert_eq!(*offset, i as i64, "{context}: offsets of {name}");
                let append: u64 = value.split(' ').next().unwrap().parse().unwrap();
                assert!(last < Some(append), "{context}: order in {name}: {last:?} then {append}");
                last = Some(append);
                there.insert((append, number), *offset);
            }
            self.sequences.insert(number, partition.high_watermark() as i32);
            if let Some((offset, value)) = records(&partition, 0).last() {
                let again = append_one(log, name, stamped(number as i64, 0, *offset as i32, &[value])).unwrap();
                assert!(again.duplicate && again.base_offset == *offset, "{context}: {again:?}");
            }
        }
        self.appends.retain(|number, known| {
            let found: Vec<Option<i64>> =
                known.partitions.iter().map(|partition| there.get(&(*number, *partition)).copied()).collect();
            let context = format!("{context}: append {number} to {:?} is at {found:?}", known.partitions);
            if known.is_whole() {
                let whole = found.iter().all(Option::is_some);
                assert!(whole || found.iter().all(Option::is_none), "{context}");
                assert!(whole || known.offsets.is_empty(), "{context}, and was acknowledged");
            } else if !power_cut && !known.offsets.is_empty() {
                assert!(found.iter().all(Option::is_some), "{context}, and was acknowledged before a kill");
            }
            for (found, offset) in found.iter().zip(&known.offsets) {
                assert!(found.is_none_or(|found| found == *offset), "{context}, {offset} was answered");
            }
            let kept: Vec<(usize, i64)> =
                known.partitions.iter().zip(&found).filter_map(|(partition, at)| Some((*partition, (*at)?))).collect();
            (known.partitions, known.offsets) = kept.into_iter().unzip();
            !known.partitions.is_empty()
        });
    }

    fn collect(&mut self, memory: &Memory, waiting: &mut Vec<(u64, Appended)>) {
        for (number, appended) in waiting.drain(..) {
            match appended.wait() {
                Ok(parts) => {
                    let known = self.appends.get_mut(&number).unwrap();
                    known.offsets = parts.iter().map(|part| part.base_offset).collect();
                }
                Err(error) => assert!(memory.is_dead(), "append {number}: {error}"),
            }
        }
    }
}

fn options() -> LogOptions {
    LogOptions { tail_cache_bytes: 3000, ..small_options() }
}

fn open(memory: &Memory, context: &str) -> Option<Log> {
    match Log::open_with(Path::new("/data"), options(), Arc::new(memory.clone())) {
        Ok((log, report)) => {
            assert_eq!(report.damage, [] as [&str; 0], "{context}");
            Some(log)
        }
        Err(error) => {
            assert!(memory.is_dead(), "{context}: {error}");
            None
        }
    }
}

fn live(log: &Log, memory: &Memory, model: &mut Model, random: &mut Random) {
    for (number, name) in names().iter().enumerate() {
        let partition = match log.partition(name) {
            Some(partition) => partition,
            None => log.create_partition(name, Uuid::nil(), config(number)).unwrap(),
        };
        partition.set_config(config(number)).unwrap();
    }
    memory.cut_after(random.below(400));
    let mut waiting = Vec::new();
    for _ in 0..random.below(150) {
        waiting.push(model.append(log, random));
        if random.chance(20) {
            model.collect(memory, &mut waiting);
        }
        if random.chance(3) {
            let _ = log.checkpoint();
        }
        if memory.is_dead() {
            break;
        }
    }
    model.collect(memory, &mut waiting);
}

fn run(seed: u64, power_cuts: u64) {
    let mut random = Random(seed);
    let mut memory = Memory::new(seed);
    let mut model = Model::default();
    let mut cut = false;
    for life in 0..5 {
        let context = format!("seed {seed}, life {life}, after a {}", if cut { "power cut" } else { "kill" });
        if let Some(log) = open(&memory, &context) {
            model.check(&log, cut, &context);
            live(&log, &memory, &mut model, &mut random);
        }
        cut = random.chance(power_cuts);
        memory = if cut { memory.power_cut() } else { memory.kill() };
        if random.chance(30) {
            memory.cut_after(random.below(60));
            drop(open(&memory, &context));
            let again = random.chance(power_cuts);
            memory = if again { memory.power_cut() } else { memory.kill() };
            cut |= again;
        }
    }
    let log = open(&memory, &format!("seed {seed}, at the end")).unwrap();
    model.check(&log, cut, &format!("seed {seed}, at the end"));
}

#[test]
fn an_append_over_both_is_whole_after_kills() {
    for seed in 0..30 {
        run(seed, 0);
    }
}

#[test]
fn an_append_over_both_is_whole_after_power_cuts_and_keeps_what_was_before_it() {
    for seed in 1000..1040 {
        run(seed, 100);
    }
}

#[test]
fn an_append_over_both_is_whole_after_kills_and_power_cuts_in_turn() {
    for seed in 2000..2030 {
        run(seed, 50);
    }
}

fn both(log: &Log, value: &str) -> Result<(), LogError> {
    let parts = [0, 2].map(|partition| Append::new(names()[partition].clone(), batch(1, &[value])));
    log.append(parts.to_vec()).wait().map(|_| ())
}

#[test]
fn a_relaxed_part_that_cannot_be_synced_refuses_the_whole_append() {
    let memory = Memory::new(1);
    let log = open(&memory, "").unwrap();
    let partitions = [0, 2].map(|number| log.create_partition(&names()[number], Uuid::nil(), config(number)).unwrap());
    both(&log, "a").unwrap();
    append_one(&log, &names()[2], batch(1, &["relaxed"])).unwrap();
    memory.set_faults(Faults { sync: Some(("relaxed-0/0".to_owned(), 1)), ..Faults::default() });
    assert!(matches!(both(&log, "no"), Err(LogError::Io { action: "sync", .. })));
    both(&log, "b").unwrap();
    let expected = [vec!["a", "b"], vec!["a", "relaxed", "b"]];
    assert_eq!(partitions.map(|partition| values(&partition)), expected);
    let log = open(&memory.power_cut(), "").unwrap();
    assert_eq!([0, 2].map(|number| values(&log.partition(&names()[number]).unwrap())), expected);
}
