//! Appending and reading, on the real file system.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use millstream_log::{Ack, Append, Log, LogError, LogOptions, PartitionConfig};
use support::*;
use uuid::Uuid;

fn open(dir: &tempfile::TempDir, options: LogOptions) -> Log {
    Log::open(dir.path(), options).unwrap().0
}

#[test]
fn appended_records_are_read_back_with_their_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let partition = create(&log, &tp("t", 0));
    assert_eq!(append_one(&log, &tp("t", 0), batch(1, &["a", "b"])).unwrap().base_offset, 0);
    let appended = append_one(&log, &tp("t", 0), join(&[batch(1, &["c"]), batch(1, &["d", "e"])])).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (2, 4));
    assert_eq!(values(&partition), ["a", "b", "c", "d", "e"]);
    assert_eq!(partition.high_watermark(), 5);
    assert_eq!(partition.log_end_offset(), 5);
    assert_eq!(records(&partition, 3), [(3, "d".to_owned()), (4, "e".to_owned())]);
    assert!(partition.read(5, 100).unwrap().is_empty());
    assert!(matches!(partition.read(6, 100), Err(LogError::OffsetOutOfRange { high_watermark: 5, .. })));
}

#[test]
fn a_read_without_the_memory_tail_is_the_same() {
    for segment_bytes in [300, 1 << 30] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&dir, small_options());
        let config = PartitionConfig { segment_bytes, index_interval_bytes: 200, ..PartitionConfig::default() };
        let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
        let expected: Vec<String> = (0..300).map(|i| format!("value {i}")).collect();
        for value in &expected {
            append_one(&log, &tp("t", 0), batch(1, &[value])).unwrap();
        }
        assert_eq!(values(&partition), expected);
        for offset in 0..300 {
            let bytes = partition.read(offset, 1).unwrap();
            let (header, whole) = millstream_protocol::records::batches(&bytes).next().unwrap().unwrap();
            assert_eq!((header.base_offset, whole.len()), (offset, bytes.len()), "one batch, the right one");
            assert!(partition.read_within(offset, 1).unwrap().is_empty());
        }
    }
}

#[test]
fn records_are_there_after_a_clean_stop_and_the_next_start_has_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let expected: Vec<String> = (0..500).map(|i| format!("value {i}")).collect();
    for round in 0..5 {
        let (log, report) = Log::open(dir.path(), small_options()).unwrap();
        assert_eq!(report.created, round == 0);
        assert!(report.clean, "{report:?}");
        if round == 0 {
            create(&log, &tp("t", 0));
        }
        for value in &expected[round * 100..round * 100 + 100] {
            append_one(&log, &tp("t", 0), batch(1, &[value])).unwrap();
        }
        let partition = log.partition(&tp("t", 0)).unwrap();
        assert_eq!(values(&partition), expected[..round * 100 + 100]);
        log.close().unwrap();
        assert!(matches!(append_one(&log, &tp("t", 0), batch(1, &["late"])), Err(LogError::Closed)));
    }
}

#[test]
fn a_second_process_is_refused_with_the_first_ones_number() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let error = Log::open(dir.path(), LogOptions::default()).unwrap_err();
    assert!(matches!(error, LogError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    drop(log);
    open(&dir, LogOptions::default());
}

#[test]
fn a_large_append_goes_past_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let partition = create(&log, &tp("t", 0));
    let other = create(&log, &tp("t", 1));
    let big = large_batch("big", 40 << 20);
    append_one(&log, &tp("t", 0), batch(1, &["small"])).unwrap();
    let parts = vec![Append::new(tp("t", 0), big.clone()), Append::new(tp("t", 1), batch(1, &["beside"]))];
    let appended = log.append(parts).wait().unwrap();
    assert_eq!((appended[0].base_offset, appended[1].base_offset), (1, 0));
    append_one(&log, &tp("t", 0), batch(1, &["after"])).unwrap();
    assert_eq!(partition.read(1, 10).unwrap().len(), big.len());
    assert_eq!(values(&other), ["beside"]);
    assert_eq!(values(&partition).iter().map(|v| &v[..3]).collect::<Vec<_>>(), ["sma", "big", "aft"]);
}

#[test]
fn an_append_with_one_bad_part_appends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let good = create(&log, &tp("t", 0));
    create(&log, &tp("t", 1));
    let cut = batch(1, &["x"]).slice(..65);
    for bad in [cut, Bytes::new(), Bytes::from_static(&[0xff; 100])] {
        let parts = vec![Append::new(tp("t", 0), batch(1, &["a"])), Append::new(tp("t", 1), bad)];
        let error = log.append(parts).wait().unwrap_err();
        assert!(matches!(error, LogError::InvalidBatches { .. }), "{error}");
    }
    assert_eq!((good.high_watermark(), good.log_end_offset()), (0, 0));
    append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
    assert_eq!(values(&good), ["b"]);
    let unknown = log.append(vec![Append::new(tp("nowhere", 0), batch(1, &["a"]))]).wait();
    assert!(matches!(unknown, Err(LogError::UnknownPartition(_))));
}

#[test]
fn concurrent_appenders_keep_the_order_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, small_options());
    let partitions: Vec<_> = (0..3).map(|p| create(&log, &tp("t", p))).collect();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let log = &log;
            scope.spawn(move || {
                let appends: Vec<_> = (0..100)
                    .map(|i| {
                        let parts = (0..3).map(|p| Append::new(tp("t", p), batch(1, &[&format!("{writer} {i}")])));
                        let ack = if i % 2 == 0 { Ack::Durable } else { Ack::Written };
                        log.append_with(parts.collect(), ack)
                    })
                    .collect();
                let mut last = -1;
                for append in appends {
                    let offset = append.wait().unwrap()[0].base_offset;
                    assert!(offset > last);
                    last = offset;
                }
            });
        }
    });
    log.checkpoint().unwrap();
    for partition in &partitions {
        let values = values(partition);
        assert_eq!(values.len(), 400);
        for writer in 0..4 {
            let of_writer: Vec<_> = values.iter().filter(|v| v.starts_with(&format!("{writer} "))).collect();
            let expected: Vec<_> = (0..100).map(|i| format!("{writer} {i}")).collect();
            assert_eq!(of_writer, expected.iter().collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn an_append_is_awaited_and_watchers_hear_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    let partition = create(&log, &tp("t", 0));
    let mut watch = partition.watch();
    let appended = log.append(vec![Append::new(tp("t", 0), batch(1, &["a"]))]);
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow(), 1);
    assert_eq!(appended.await.unwrap()[0].last_offset, 0);
}

#[test]
fn a_topic_made_again_under_the_same_name_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    create(&log, &tp("t", 0));
    append_one(&log, &tp("t", 0), batch(1, &["old"])).unwrap();
    assert!(matches!(
        log.create_partition(&tp("t", 0), Uuid::nil(), PartitionConfig::default()),
        Err(LogError::PartitionExists(_))
    ));
    log.delete_partition(&tp("t", 0)).unwrap();
    assert!(log.partition(&tp("t", 0)).is_none());
    let id = Uuid::from_u128(2);
    let partition = log.create_partition(&tp("t", 0), id, PartitionConfig::default()).unwrap();
    assert_eq!(partition.high_watermark(), 0);
    append_one(&log, &tp("t", 0), batch(1, &["new"])).unwrap();
    drop(log);
    let log = open(&dir, LogOptions::default());
    let partition = log.partition(&tp("t", 0)).unwrap();
    assert_eq!((partition.topic_id(), values(&partition)), (id, vec!["new".to_owned()]));
    assert_eq!(std::fs::read_dir(dir.path().join("topics")).unwrap().count(), 1, "the deleted folder is gone");
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, LogOptions::default());
    for name in ["", ".", "..", "a/b", "../x", "ä", "a b"] {
        let made = log.create_partition(&tp(name, 0), Uuid::nil(), PartitionConfig::default());
        assert!(matches!(made, Err(LogError::InvalidName { .. })), "{name}");
    }
}

#[test]
fn a_relaxed_topic_is_read_back_after_changes_of_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let relaxed = PartitionConfig { flush_ms: Some(60_000), ..PartitionConfig::default() };
    {
        let log = open(&dir, small_options());
        let partition = log.create_partition(&tp("t", 0), Uuid::nil(), relaxed.clone()).unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
        partition.set_config(PartitionConfig::default()).unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
        partition.set_config(relaxed).unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["c"])).unwrap();
        assert_eq!(values(&partition), ["a", "b", "c"]);
    }
    let log = open(&dir, small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), ["a", "b", "c"]);
}
