//! Transactions in a partition: where they are decided, which were aborted, and that both are known again after any kind of start.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_log::{AbortedTransaction, Append, Log, LogError, Partition};
use millstream_protocol::records::{BatchBuilder, Codec, EndMarker, ProducerStamp, batches};
use support::memory::Memory;
use support::*;

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
