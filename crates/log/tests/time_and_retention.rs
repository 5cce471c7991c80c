//! Time stamps, retention, deleted records, and producers over restarts.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use millstream_log::{Clock, Log, LogError, LogOptions, PartitionConfig, RetentionReport};
use millstream_protocol::records::{BatchBuilder, Codec};
use support::*;
use uuid::Uuid;

fn open(dir: &tempfile::TempDir, options: LogOptions) -> Log {
    let (log, report) = Log::open(dir.path(), options).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    log
}

fn segments(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir.join("topics/t-0")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "log")).count()
}

#[test]
fn an_offset_is_found_by_its_time_stamp_as_a_walk_over_all_records_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = support::memory::Random(7);
    let config = PartitionConfig {
        segment_bytes: 3000,
        index_interval_bytes: 200,
        retention_ms: None,
        segment_ms: i64::MAX,
        ..PartitionConfig::default()
    };
    let mut stamps = Vec::new();
    for round in 0..3 {
        let log = open(&dir, small_options());
        let partition = match round {
            0 => log.create_partition(&tp("t", 0), Uuid::nil(), config.clone()).unwrap(),
            _ => log.partition(&tp("t", 0)).unwrap(),
        };
        partition.set_config(config.clone()).unwrap();
        for _ in 0..100 {
            let mut builder = BatchBuilder::new([Codec::None, Codec::Zstd, Codec::Lz4][random.below(3) as usize]);
            for _ in 0..random.below(5) + 1 {
                // Mostly rising, not in order.
                let stamp = stamps.len() as i64 * 10 + random.below(200) as i64;
                builder.push(stamp, None, Some(b"value"), &[]);
                stamps.push(stamp);
            }
            append_one(&log, &tp("t", 0), builder.finish().unwrap()).unwrap();
        }
        let end = *stamps.iter().max().unwrap();
        for target in (0..end + 20).step_by(37) {
            let found = partition.offset_for_timestamp(target).unwrap().map(|found| (found.offset, found.timestamp_ms));
            let expected = stamps.iter().position(|stamp| *stamp >= target).map(|at| (at as i64, stamps[at]));
            assert_eq!(found, expected, "round {round}, time {target}");
        }
        let largest = partition.offset_of_max_timestamp().unwrap().unwrap();
        assert_eq!(largest.offset, stamps.iter().position(|stamp| *stamp == end).unwrap() as i64);
        if round == 1 {
            // What was before the log's start is not found.
            partition.delete_records(50).unwrap();
            assert!(partition.offset_for_timestamp(0).unwrap().unwrap().offset >= 50);
            stamps[..50].fill(-1);
        }
    }
}

#[test]
fn retention_by_time_deletes_whole_segments_also_the_last_and_a_restart_does_not_bring_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = PartitionConfig { segment_bytes: 300, retention_ms: Some(1000), ..PartitionConfig::default() };
    {
        let log = open(&dir, LogOptions::default());
        let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config.clone()).unwrap();
        for i in 0..40 {
            append_one(&log, &tp("t", 0), batch(i * 100, &["value"])).unwrap();
        }
        assert_eq!(log.enforce_retention(1000).unwrap(), RetentionReport::default());
        let report = log.enforce_retention(2500).unwrap();
        assert!(report.segments >= 3 && report.bytes > 0);
        let start = partition.log_start_offset();
        assert!((12..=15).contains(&start), "records from time 1500 on stay: {start}");
        assert_eq!(report.moved, [(tp("t", 0), start)]);
        assert!(matches!(partition.read(0, 100), Err(LogError::OffsetOutOfRange { .. })));
        assert_eq!(records(&partition, start).len() as i64, 40 - start);
    }
    let log = open(&dir, LogOptions::default());
    let partition = log.partition(&tp("t", 0)).unwrap();
    assert!((12..=15).contains(&partition.log_start_offset()));
    partition.set_config(config.clone()).unwrap();
    log.enforce_retention(1_000_000).unwrap();
    assert_eq!((partition.log_start_offset(), partition.high_watermark()), (40, 40));
    log.checkpoint().unwrap();
    assert_eq!(segments(dir.path()), 1, "an empty one to go on with");
    assert_eq!(partition.size_bytes(), 0);
    assert_eq!(append_one(&log, &tp("t", 0), batch(1, &["next"])).unwrap().base_offset, 40);
    drop(log);
    let log = open(&dir, LogOptions::default());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), ["next"]);
}

#[test]
fn retention_by_size_keeps_at_least_the_size() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let config = PartitionConfig {
        segment_bytes: 300,
        retention_ms: None,
        retention_bytes: Some(1000),
        ..PartitionConfig::default()
    };
    let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    for _ in 0..40 {
        append_one(&log, &tp("t", 0), batch(1, &["value"])).unwrap();
    }
    log.enforce_retention(0).unwrap();
    log.checkpoint().unwrap();
    assert!((1000..1300).contains(&partition.size_bytes()), "{}", partition.size_bytes());
    assert_eq!(log.enforce_retention(0).unwrap().segments, 0);
}

#[test]
fn a_hold_keeps_what_a_reader_needs_until_it_is_over_but_not_from_who_deletes_records() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let config = PartitionConfig { segment_bytes: 300, retention_ms: Some(1000), ..PartitionConfig::default() };
    let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    for i in 0..40 {
        append_one(&log, &tp("t", 0), batch(i, &["value"])).unwrap();
    }
    let start_after = |now_ms: i64| {
        log.enforce_retention(now_ms).unwrap();
        partition.log_start_offset()
    };
    partition.hold("reader", 10, 6000);
    partition.hold("other", 30, 6000);
    assert!((6..=10).contains(&start_after(5000)));
    partition.hold("reader", 20, 6000);
    assert!((16..=20).contains(&start_after(5000)), "the reader went on");
    partition.release("reader");
    assert!((26..=30).contains(&start_after(5000)), "the other one is still there");
    assert_eq!(partition.delete_records(35).unwrap(), 35);
    assert_eq!(start_after(6000), 40, "nobody may hold for good");
}

#[test]
fn deleted_records_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(&dir, LogOptions::default());
        let partition = create(&log, &tp("t", 0));
        for value in ["a", "b", "c"] {
            append_one(&log, &tp("t", 0), batch(1, &[value])).unwrap();
        }
        assert_eq!(partition.delete_records(1).unwrap(), 1);
        assert_eq!(partition.delete_records(0).unwrap(), 1, "never back");
        assert!(matches!(partition.delete_records(4), Err(LogError::OffsetOutOfRange { .. })));
        assert_eq!(values(&partition), ["b", "c"]);
    }
    let log = open(&dir, LogOptions::default());
    let partition = log.partition(&tp("t", 0)).unwrap();
    assert_eq!(values(&partition), ["b", "c"]);
    assert_eq!(partition.delete_records(-1).unwrap(), 3);
    assert!(values(&partition).is_empty());
}

#[test]
fn a_duplicate_is_answered_with_its_old_offset_also_after_restarts() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let log = open(&dir, small_options());
        if round == 0 {
            create(&log, &tp("t", 0));
            for i in 0..8 {
                append_one(&log, &tp("t", 0), stamped(42, 0, i * 2, &["a", "b"])).unwrap();
            }
        }
        for i in 3..8 {
            let again = append_one(&log, &tp("t", 0), stamped(42, 0, i * 2, &["a", "b"])).unwrap();
            assert!(again.duplicate);
            assert_eq!((again.base_offset, again.last_offset), (i64::from(i) * 2, i64::from(i) * 2 + 1));
        }
        let gap = append_one(&log, &tp("t", 0), stamped(42, 0, 20, &["x"]));
        assert!(matches!(gap, Err(LogError::OutOfOrderSequence { expected: 16, found: 20, .. })), "{gap:?}");
        let partition = log.partition(&tp("t", 0)).unwrap();
        assert_eq!(partition.high_watermark(), 16);
        match round {
            // By the snapshot of a clean stop, by the one of a checkpoint and the log behind it, and from the log alone.
            0 => log.checkpoint().unwrap(),
            1 => log.close().unwrap(),
            _ => {
                log.close().unwrap();
                for entry in std::fs::read_dir(dir.path().join("topics/t-0")).unwrap() {
                    let path = entry.unwrap().path();
                    if path.extension().is_some_and(|ending| ending == "producers") {
                        std::fs::write(&path, "damaged").unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn duplicates_within_one_group_are_found_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let partition = create(&log, &tp("t", 0));
    let appends: Vec<_> = [0, 0, 1, 1, 0]
        .map(|sequence| log.append(vec![millstream_log::Append::new(tp("t", 0), stamped(1, 0, sequence, &["v"]))]))
        .into_iter()
        .collect();
    let offsets: Vec<_> = appends.into_iter().map(|append| append.wait().unwrap()[0].base_offset).collect();
    assert_eq!(offsets, [0, 0, 1, 1, 0]);
    assert_eq!(partition.high_watermark(), 2);
}

#[test]
fn an_old_epoch_of_a_producer_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    create(&log, &tp("t", 0));
    append_one(&log, &tp("t", 0), stamped(1, 5, 0, &["v"])).unwrap();
    let old = append_one(&log, &tp("t", 0), stamped(1, 4, 1, &["v"]));
    assert!(matches!(old, Err(LogError::InvalidProducerEpoch { current: 5, found: 4, .. })));
}

#[test]
fn a_segment_is_closed_when_its_first_record_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions { clock: Clock::new(|| 0), ..LogOptions::default() });
    let config = PartitionConfig { segment_ms: 1000, ..PartitionConfig::default() };
    log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    for stamp in [0, 500, 1000, 1001, 1500, 700, 2001] {
        append_one(&log, &tp("t", 0), batch(stamp, &["v"])).unwrap();
    }
    assert_eq!(segments(dir.path()), 2, "just as old as allowed is not too old");
}

#[test]
fn kafkas_names_set_a_partitions_configuration() {
    let mut config = PartitionConfig::default();
    for (name, value) in
        [("segment.bytes", "1000"), ("retention.ms", "-1"), ("retention.bytes", "5000"), ("flush.messages", "1")]
    {
        assert!(config.set(name, value).unwrap());
    }
    assert_eq!((config.segment_bytes, config.retention_ms, config.retention_bytes), (1000, None, Some(5000)));
    assert!(!config.is_relaxed());
    config.set("flush.ms", "9223372036854775807").unwrap();
    assert!(!config.is_relaxed());
    config.set("flush.ms", "1000").unwrap();
    assert!(config.is_relaxed());
    assert!(!config.set("compression.type", "zstd").unwrap());
    assert!(config.set("cleanup.policy", "delete, compact").unwrap() && config.compact);
    config.set("min.cleanable.dirty.ratio", "0.25").unwrap();
    assert_eq!(config.min_cleanable_dirty_millionths, 250_000);
    assert!(matches!(config.set("segment.bytes", "many"), Err(LogError::InvalidConfig { .. })));
}

#[test]
fn the_largest_time_stamp_is_that_of_a_record_that_is_still_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let config = PartitionConfig { segment_bytes: 300, ..PartitionConfig::default() };
    let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    let mut builder = BatchBuilder::new(Codec::None);
    [900, 30, 20].iter().for_each(|stamp| builder.push(*stamp, None, Some(b"value"), &[]));
    append_one(&log, &tp("t", 0), builder.finish().unwrap()).unwrap();
    for stamp in [10, 25, 15, 5, 8] {
        append_one(&log, &tp("t", 0), batch(stamp, &["value"])).unwrap();
    }
    let largest = |before: i64| {
        partition.delete_records(before).unwrap();
        partition.offset_of_max_timestamp().unwrap().map(|found| (found.offset, found.timestamp_ms))
    };
    assert_eq!(largest(0), Some((0, 900)));
    assert_eq!(largest(1), Some((1, 30)));
    assert_eq!(largest(2), Some((4, 25)));
    assert_eq!(largest(5), Some((5, 15)));
    assert_eq!(largest(8), None);
}

#[test]
fn retention_by_time_goes_by_the_file_where_records_have_no_time_stamps() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let config = PartitionConfig { segment_bytes: 300, retention_ms: Some(3_600_000), ..PartitionConfig::default() };
    let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    for _ in 0..20 {
        append_one(&log, &tp("t", 0), batch(-1, &["value"])).unwrap();
    }
    let now_ms = Clock::system().now_ms();
    log.enforce_retention(now_ms).unwrap();
    assert_eq!(partition.log_start_offset(), 0);
    log.enforce_retention(now_ms + 4_000_000).unwrap();
    assert_eq!(partition.log_start_offset(), 20);
}
