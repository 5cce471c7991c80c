//! Folders of earlier formats still open. `tests/format-1` was left by a process that was killed: a checkpoint in its middle, a journal
//! to be replayed, a producer, a relaxed topic, a deleted one, a record batch cut off.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use millstream_log::{Append, Log, LogOptions, PartitionConfig};
use support::*;
use uuid::Uuid;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format-1")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn options() -> LogOptions {
    LogOptions { journal_file_bytes: 8 << 10, journal_files: 2, direct_bytes_min: 2 << 10, ..small_options() }
}

fn small_segments() -> PartitionConfig {
    PartitionConfig { segment_bytes: 500, index_interval_bytes: 100, ..PartitionConfig::default() }
}

/// Writes `tests/format-1` anew; for a new format, under a new name.
#[test]
#[ignore = "it makes what the other test keeps"]
fn make() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), options()).unwrap().0;
    let id = Uuid::from_u128(0x1234);
    log.create_partition(&tp("a", 0), id, small_segments()).unwrap();
    log.create_partition(&tp("gone", 0), id, small_segments()).unwrap();
    let relaxed = PartitionConfig { flush_ms: Some(1_000_000), ..PartitionConfig::default() };
    let relaxed = log.create_partition(&tp("relaxed", 0), id, relaxed).unwrap();
    for i in 0..20 {
        append_one(&log, &tp("a", 0), stamped(7, 0, i, &[&format!("a {i}")])).unwrap();
        append_one(&log, &tp("relaxed", 0), batch(1, &[&format!("r {i}")])).unwrap();
        if i == 10 {
            log.checkpoint().unwrap();
        }
    }
    log.delete_partition(&tp("gone", 0)).unwrap();
    log.partition(&tp("a", 0)).unwrap().delete_records(5).unwrap();
    log.create_partition(&tp("b", 1), id, small_segments()).unwrap();
    let parts = vec![Append::new(tp("a", 0), large_batch("large", 2500)), Append::new(tp("b", 1), batch(1, &["b"]))];
    log.append(parts).wait().unwrap();
    copy(dir.path(), &kept());
    // A relaxed topic is not in the journal: its torn batch is gone.
    let torn = kept().join("topics/relaxed-0/00000000000000000000.log");
    let length = fs::metadata(&torn).unwrap().len();
    fs::File::options().write(true).open(&torn).unwrap().set_len(length - 1).unwrap();
    assert_eq!(relaxed.high_watermark(), 20);
}

#[test]
fn a_folder_of_format_1_that_was_killed_opens() {
    let dir = tempfile::tempdir().unwrap();
    copy(&kept(), dir.path());
    for round in 0..2 {
        let (log, report) = Log::open(dir.path(), options()).unwrap();
        assert!(report.damage.is_empty(), "{report:?}");
        assert_eq!(report.truncations.len(), 1 - round, "{report:?}");
        let names: Vec<String> = log.partitions().iter().map(|p| p.topic_partition().to_string()).collect();
        assert_eq!(names, ["a-0", "b-1", "relaxed-0"]);
        let a = log.partition(&tp("a", 0)).unwrap();
        assert_eq!(a.topic_id(), Uuid::from_u128(0x1234));
        let values_a = values(&a);
        assert_eq!(values_a[..15], (5..20).map(|i| format!("a {i}")).collect::<Vec<_>>());
        assert!(values_a[15].starts_with("largexxx") && values_a.len() == 16);
        assert_eq!(values(&log.partition(&tp("b", 1)).unwrap()), ["b"]);
        let relaxed = values(&log.partition(&tp("relaxed", 0)).unwrap());
        assert_eq!(relaxed, (0..19).map(|i| format!("r {i}")).collect::<Vec<_>>());
        let again = append_one(&log, &tp("a", 0), stamped(7, 0, 19, &["a 19"])).unwrap();
        assert!(again.duplicate && again.base_offset == 19);
    }
}
