//! Many more partitions than a process may have files open. A file of its own: the limit holds for the whole process.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use millstream_log::{Ack, Append, Appended, Log, LogOptions, PartitionConfig, TopicPartition};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;
use uuid::Uuid;

/// What `ulimit -n` is set to: many systems give 1024, but this is quicker.
const OPEN_FILES_MAX: u64 = 256;
const PARTITIONS: i32 = 320;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
}

fn names() -> Vec<TopicPartition> {
    (0..PARTITIONS).map(|number| tp("t", number)).collect()
}

fn to_all(value: &str) -> Vec<Append> {
    names().into_iter().map(|name| Append::new(name, batch(1, &[value]))).collect()
}

/// The values of every partition are `expected`.
fn check(log: &Log, expected: &[&str]) {
    for name in names() {
        assert_eq!(values(&log.partition(&name).unwrap()), expected, "{name}");
    }
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn more_partitions_than_open_files_are_written_read_and_recovered() {
    setrlimit(Resource::Nofile, Rlimit { current: Some(OPEN_FILES_MAX), maximum: getrlimit(Resource::Nofile).maximum })
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = || LogOptions { tail_cache_bytes: 0, checkpoint_interval_ms: 1_000_000, ..LogOptions::default() };
    let (log, _) = Log::open(&dir.path().join("a"), options()).unwrap();
    for name in names() {
        // A part of them is relaxed: in an append over all these are written without their head first.
        let flush_ms = (name.partition % 20 == 0).then_some(1_000_000);
        log.create_partition(&name, Uuid::nil(), PartitionConfig { flush_ms, ..PartitionConfig::default() }).unwrap();
    }
    // One append over all of them, then an append for each, waited for together.
    log.append(to_all("together")).wait().unwrap();
    let each: Vec<Appended> =
        to_all("each").into_iter().map(|append| log.append_with(vec![append], Ack::Durable)).collect();
    each.into_iter().for_each(|appended| drop(appended.wait().unwrap()));
    check(&log, &["together", "each"]);
    assert!(open_files() < 170, "{} files are open", open_files());
    log.append(to_all("again")).wait().unwrap();

    // Killed: what the journal has is put into more segments than may be open.
    copy(&dir.path().join("a"), &dir.path().join("b"));
    drop(log);
    let (log, report) = Log::open(&dir.path().join("b"), options()).unwrap();
    assert!(report.damage.is_empty() && report.journal_entries > 0, "{report:?}");
    check(&log, &["together", "each", "again"]);
    log.append(to_all("after")).wait().unwrap();
    log.checkpoint().unwrap();
    check(&log, &["together", "each", "again", "after"]);
    assert!(open_files() < 170, "{} files are open", open_files());
}
