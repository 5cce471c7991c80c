//! Full disks and failing ones: nothing acknowledged is lost, nothing is visible in part, and writing goes on when the cause is gone.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_log::files::Files;
use millstream_log::{Ack, Append, Log, LogError, LogOptions, PartitionConfig};
use support::memory::{Faults, Memory};
use support::*;
use uuid::Uuid;

fn open(memory: &Memory, options: LogOptions) -> Log {
    let (log, report) = Log::open_with(Path::new("/data"), options, Arc::new(memory.clone())).unwrap();
    assert!(report.damage.is_empty(), "{report:?}");
    log
}

fn full(what: &str) -> Faults {
    Faults { full: Some(what.to_owned()), ..Faults::default() }
}

fn failing_sync(what: &str, times: usize) -> Faults {
    Faults { sync: Some((what.to_owned(), times)), ..Faults::default() }
}

#[test]
fn a_full_disk_refuses_the_append_and_takes_the_next_when_there_is_space() {
    for large in [false, true] {
        let memory = Memory::new(1);
        let log = open(&memory, small_options());
        let (a, b) = (create(&log, &tp("a", 0)), create(&log, &tp("b", 0)));
        let both = |value: &str| {
            let batch = if large { large_batch(value, 5000) } else { batch(1, &[value]) };
            log.append(vec![Append::new(tp("a", 0), batch.clone()), Append::new(tp("b", 0), batch)]).wait()
        };
        both("1").unwrap();
        memory.set_faults(full("topics/b-0"));
        assert!(matches!(both("2"), Err(LogError::DiskFull { .. })));
        assert_eq!(
            (a.high_watermark(), a.log_end_offset()),
            (1, 1),
            "nothing of it is there, not in the other partition either"
        );
        append_one(&log, &tp("a", 0), batch(1, &["3"])).unwrap();
        memory.set_faults(Faults::default());
        both("4").unwrap();
        let first = |values: Vec<String>| values.iter().map(|value| value[..1].to_owned()).collect::<Vec<_>>();
        assert_eq!(first(values(&a)), ["1", "3", "4"]);
        assert_eq!(first(values(&b)), ["1", "4"]);
        drop(log);
        let log = open(&memory.power_cut(), small_options());
        assert_eq!(first(values(&log.partition(&tp("a", 0)).unwrap())), ["1", "3", "4"]);
    }
}

#[test]
fn what_could_not_even_be_taken_back_is_not_read_when_its_segment_is_closed() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    let config = PartitionConfig { segment_bytes: 6000, ..PartitionConfig::default() };
    log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    append_one(&log, &tp("t", 0), large_batch("first", 5000)).unwrap();
    // A new segment whose name cannot be synced, and which cannot be removed then.
    memory.set_faults(Faults { names: Some(("t-0".to_owned(), 0, 2)), ..Faults::default() });
    assert!(append_one(&log, &tp("t", 0), large_batch("refused", 5500)).is_err());
    memory.set_faults(Faults::default());
    append_one(&log, &tp("t", 0), large_batch("second", 4000)).unwrap();
    append_one(&log, &tp("t", 0), large_batch("third", 4000)).unwrap();
    drop(log);
    let log = open(&memory.power_cut(), small_options());
    let first = |values: Vec<String>| values.iter().map(|value| value[..5].to_owned()).collect::<Vec<_>>();
    assert_eq!(first(values(&log.partition(&tp("t", 0)).unwrap())), ["first", "secon", "third"]);
}

#[test]
fn a_failed_write_is_taken_back_with_its_new_segment() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    let config = PartitionConfig { segment_bytes: 200, ..PartitionConfig::default() };
    let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    for round in 0..20 {
        memory.set_faults(Faults { write: Some(".log".to_owned()), ..Faults::default() });
        assert!(matches!(append_one(&log, &tp("t", 0), batch(1, &["no"])), Err(LogError::Io { .. })));
        memory.set_faults(Faults::default());
        append_one(&log, &tp("t", 0), batch(1, &[&round.to_string()])).unwrap();
    }
    let expected: Vec<String> = (0..20).map(|round| round.to_string()).collect();
    assert_eq!(values(&partition), expected);
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), expected);
}

#[test]
fn a_journal_file_whose_sync_fails_is_given_up_and_the_append_goes_to_the_next() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    create(&log, &tp("t", 0));
    for i in 0..200 {
        if i % 7 == 3 {
            memory.set_faults(failing_sync("journal", 1));
        }
        append_one(&log, &tp("t", 0), batch(1, &[&i.to_string()])).unwrap();
    }
    let expected: Vec<String> = (0..200).map(|i| i.to_string()).collect();
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), expected);
}

#[test]
fn a_journal_that_cannot_be_synced_at_all_refuses_appends_until_it_can() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    let partition = create(&log, &tp("t", 0));
    append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
    memory.set_faults(failing_sync("journal", 1000));
    for _ in 0..5 {
        assert!(matches!(append_one(&log, &tp("t", 0), batch(1, &["no"])), Err(LogError::Io { .. })));
        assert_eq!(values(&partition), ["a"], "reads go on");
    }
    memory.set_faults(Faults::default());
    append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), ["a", "b"]);
}

#[test]
fn an_answer_before_the_sync_is_one_that_a_kill_does_not_take_back() {
    for large in [false, true] {
        let memory = Memory::new(1);
        let log = open(&memory, small_options());
        create(&log, &tp("t", 0));
        let append = |name: &str| {
            let batch = if large { large_batch(name, 5000) } else { batch(1, &[name]) };
            log.append_with(vec![Append::new(tp("t", 0), batch)], Ack::Written).wait()
        };
        append("1").unwrap();
        memory.set_faults(Faults { write: Some("journal".to_owned()), ..Faults::default() });
        assert!(append("2").is_err(), "only the segment has it, which recovery cuts off where the journal ends");
        memory.set_faults(Faults::default());
        append("3").unwrap();
        let log = open(&memory.kill(), small_options());
        let there = values(&log.partition(&tp("t", 0)).unwrap());
        assert_eq!(there.iter().map(|value| &value[..1]).collect::<Vec<_>>(), ["1", "3"]);
    }
}

#[test]
fn a_segment_whose_sync_fails_is_written_again_from_the_journal() {
    for seed in 0..10 {
        let memory = Memory::new(seed);
        let log = open(&memory, small_options());
        create(&log, &tp("t", 0));
        append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
        // The failed sync loses the pages; were it just asked again, it would say that all is well.
        memory.set_faults(failing_sync("topics/t-0/0", 1));
        log.checkpoint().unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["c"])).unwrap();
        let log = open(&memory.power_cut(), small_options());
        assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), ["a", "b", "c"]);
    }
}

#[test]
fn segments_that_cannot_be_synced_stop_writing_when_the_journal_is_full_and_not_for_good() {
    let memory = Memory::new(3);
    let log = open(&memory, small_options());
    let partition = create(&log, &tp("t", 0));
    memory.set_faults(failing_sync("topics/t-0/0", usize::MAX));
    let mut appended = Vec::new();
    let error = loop {
        let value = format!("{} {}", appended.len(), "x".repeat(1000));
        match append_one(&log, &tp("t", 0), batch(1, &[&value])) {
            Ok(_) => appended.push(value),
            Err(error) => break error,
        }
        assert!(appended.len() < 1000, "the journal is full at last");
    };
    assert!(matches!(&error, LogError::Io { action: "sync", .. }), "{error}");
    assert!(appended.len() > 20, "the journal took what it can");
    assert_eq!(values(&partition), appended, "reads go on, nothing is lost");
    memory.set_faults(Faults::default());
    let value = "when all is well".to_owned();
    append_one(&log, &tp("t", 0), batch(1, &[&value])).unwrap();
    appended.push(value);
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), appended);
}

#[test]
fn a_large_append_whose_sync_fails_is_refused_and_others_of_its_group_are_not() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    let (a, b) = (create(&log, &tp("a", 0)), create(&log, &tp("b", 0)));
    append_one(&log, &tp("a", 0), batch(1, &["first"])).unwrap();
    memory.set_faults(failing_sync("topics/a-0/0", 1));
    let refused = log.append(vec![Append::new(tp("a", 0), large_batch("no", 5000))]);
    let other = log.append(vec![Append::new(tp("b", 0), batch(1, &["beside"]))]);
    assert!(matches!(refused.wait(), Err(LogError::Io { action: "sync", .. })));
    other.wait().unwrap();
    append_one(&log, &tp("a", 0), large_batch("yes", 5000)).unwrap();
    let first = |values: Vec<String>| values.iter().map(|value| value[..2].to_owned()).collect::<Vec<_>>();
    assert_eq!((first(values(&a)), first(values(&b))), (vec!["fi".to_owned(), "ye".to_owned()], vec!["be".to_owned()]));
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(first(values(&log.partition(&tp("a", 0)).unwrap())), ["fi", "ye"]);
}

#[test]
fn the_recycled_journal_is_small_however_much_goes_through_it() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    let partition = create(&log, &tp("t", 0));
    let expected: Vec<String> = (0..500).map(|i| format!("{i} {}", "x".repeat(700))).collect();
    for value in &expected {
        append_one(&log, &tp("t", 0), batch(1, &[value])).unwrap();
    }
    assert_eq!(values(&partition), expected);
    let files = millstream_log::files::Files::list(&memory, Path::new("/data/journal")).unwrap();
    assert!(files.len() <= 3, "{files:?}");
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), expected);
}

#[test]
fn what_waits_at_once_shares_a_sync() {
    let memory = Memory::new(1);
    let log = open(&memory, LogOptions::default());
    let names: Vec<_> = (0..100).map(|p| tp("t", p)).collect();
    names.iter().for_each(|name| drop(create(&log, name)));
    let before = memory.syncs();
    let parts = names.iter().map(|name| Append::new(name.clone(), batch(1, &["a"]))).collect();
    log.append(parts).wait().unwrap();
    assert!(memory.syncs() - before <= 2, "one for 100 partitions, one for the journal's new file");
}

#[test]
fn a_lost_or_damaged_checkpoint_costs_a_walk_and_no_record() {
    for damage in ["checkpoint", "missing"] {
        let memory = Memory::new(1);
        let log = open(&memory, small_options());
        let config = PartitionConfig { segment_bytes: 2000, ..PartitionConfig::default() };
        log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
        let expected: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        for value in &expected {
            append_one(&log, &tp("t", 0), batch(1, &[value])).unwrap();
        }
        drop(log);
        let path = Path::new("/data/checkpoint");
        match damage {
            "missing" => millstream_log::files::Files::remove_file(&memory, path).unwrap(),
            _ => memory.damage(path, 40),
        }
        let (log, report) = Log::open_with(Path::new("/data"), small_options(), Arc::new(memory)).unwrap();
        assert_eq!(report.damage.len(), 1, "{report:?}");
        assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), expected);
        append_one(&log, &tp("t", 0), batch(1, &["more"])).unwrap();
    }
}

#[test]
fn a_wrong_index_is_made_anew() {
    let memory = Memory::new(1);
    let config = PartitionConfig { index_interval_bytes: 100, ..PartitionConfig::default() };
    let log = open(&memory, small_options());
    log.create_partition(&tp("t", 0), Uuid::nil(), config.clone()).unwrap();
    let expected: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    for value in &expected {
        append_one(&log, &tp("t", 0), batch(1, &[value])).unwrap();
    }
    drop(log);
    let path = Path::new("/data/topics/t-0/00000000000000000000.index");
    let length = memory.content(path).unwrap().len();
    assert!(length > 100);
    for at in (0..length).step_by(5) {
        memory.damage(path, at);
    }
    let log = open(&memory, small_options());
    let partition = log.partition(&tp("t", 0)).unwrap();
    partition.set_config(config).unwrap();
    for offset in (0..100).rev() {
        assert_eq!(records(&partition, offset)[0], (offset, expected[offset as usize].clone()));
    }
}

#[test]
fn an_idle_log_asks_nothing_of_the_disk() {
    let memory = Memory::new(1);
    let options = LogOptions { checkpoint_interval_ms: 20, ..small_options() };
    let log = open(&memory, options);
    create(&log, &tp("t", 0));
    append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut syncs = memory.syncs();
    loop {
        std::thread::sleep(Duration::from_millis(400));
        if std::mem::replace(&mut syncs, memory.syncs()) == memory.syncs() {
            break;
        }
        assert!(Instant::now() < deadline, "syncs without end");
    }
}

#[test]
fn a_deleted_partition_leaves_the_folder_of_the_next_of_its_name_alone() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    let old = create(&log, &tp("t", 0));
    append_one(&log, &tp("t", 0), batch(1, &["old"])).unwrap();
    log.delete_partition(&tp("t", 0)).unwrap();
    let new = create(&log, &tp("t", 0));
    let expected: Vec<String> = (0..20).map(|i| format!("new {i}")).collect();
    for value in &expected {
        append_one(&log, &tp("t", 0), batch(1, &[value])).unwrap();
    }
    assert_eq!(values(&old), ["old"], "whoever still has it reads its own records");
    assert!(matches!(old.delete_records(-1), Err(LogError::UnknownPartition(_))));
    log.checkpoint().unwrap();
    assert_eq!(values(&new), expected);
    drop(log);
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), expected);
}

#[test]
fn a_panic_of_a_thread_of_the_log_ends_the_process() {
    const CHILD: &str = "MILLSTREAM_TEST_PANIC";
    if std::env::var_os(CHILD).is_some() {
        let memory = Memory::new(1);
        let log = open(&memory, small_options());
        create(&log, &tp("t", 0));
        append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
        memory.set_faults(Faults { panic: Some("topics/t-0".to_owned()), ..Faults::default() });
        // Its waiter would wait for ever.
        let _ = log.checkpoint();
        return;
    }
    let name = "a_panic_of_a_thread_of_the_log_ends_the_process";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let ended = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    assert_eq!(ended.status.code(), None, "by a signal: {ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("a test wants it so"), "{ended:?}");
}

fn relaxed() -> PartitionConfig {
    PartitionConfig { flush_messages: Some(1_000_000), ..PartitionConfig::default() }
}

#[test]
fn a_relaxed_append_is_not_answered_before_its_group_cannot_be_taken_back() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    create(&log, &tp("durable", 0));
    let partition = log.create_partition(&tp("relaxed", 0), Uuid::nil(), relaxed()).unwrap();
    memory.set_faults(Faults { slow: Some(("journal".to_owned(), Duration::from_millis(300))), ..Faults::default() });
    let busy = log.append(vec![Append::new(tp("durable", 0), batch(1, &["a"]))]);
    std::thread::sleep(Duration::from_millis(100));
    memory.set_faults(Faults { write: Some("journal".to_owned()), ..Faults::default() });
    // They wait for the sync, and so become one group.
    let beside = log.append_with(vec![Append::new(tp("relaxed", 0), batch(1, &["b"]))], Ack::Written);
    let refused = log.append(vec![Append::new(tp("durable", 0), batch(1, &["no"]))]);
    assert!(refused.wait().is_err());
    assert_eq!(beside.wait().is_ok(), !values(&partition).is_empty());
    memory.set_faults(Faults::default());
    let _ = busy.wait();
}

#[test]
fn a_relaxed_topic_whose_sync_failed_becomes_durable_with_all_that_it_has() {
    for seed in 0..10 {
        let memory = Memory::new(seed);
        let log = open(&memory, small_options());
        let partition = log.create_partition(&tp("t", 0), Uuid::nil(), relaxed()).unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
        if seed % 2 == 0 {
            memory.set_faults(failing_sync("topics/t-0/0", 2));
            log.checkpoint().unwrap_err();
            memory.set_faults(Faults::default());
        }
        partition.set_config(PartitionConfig::default()).unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
        let log = open(&memory.power_cut(), small_options());
        assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), ["a", "b"], "seed {seed}");
    }
}

#[test]
fn a_segment_that_ends_before_what_the_journal_adds_to_it_is_reported() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    create(&log, &tp("t", 0));
    append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
    log.checkpoint().unwrap();
    append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
    let memory = memory.kill();
    let path = Path::new("/data/topics/t-0/00000000000000000000.log");
    memory.open(path, false).unwrap().set_length(10).unwrap();
    let (_, report) = Log::open_with(Path::new("/data"), small_options(), Arc::new(memory)).unwrap();
    assert!(report.damage.iter().any(|damage| damage.contains("has 10 bytes")), "{report:?}");
}

#[test]
fn what_is_lost_to_a_failed_sync_is_not_called_synced() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    log.create_partition(&tp("t", 0), Uuid::nil(), relaxed()).unwrap();
    append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
    append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
    let path = Path::new("/data/topics/t-0/00000000000000000000.log");
    memory.damage(path, memory.content(path).unwrap().len() - 1);
    memory.set_faults(failing_sync("topics/t-0/0", 1));
    assert!(matches!(log.checkpoint(), Err(LogError::Corrupt { .. })));
    assert!(matches!(log.checkpoint(), Err(LogError::Corrupt { .. })), "not the second time either");
    let (log, report) = Log::open_with(Path::new("/data"), small_options(), Arc::new(memory.kill())).unwrap();
    assert_eq!(report.truncations.len(), 1, "{report:?}");
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), ["a"]);
}

#[test]
fn a_state_of_producers_that_cannot_be_written_holds_up_nothing_else() {
    for restart_full in [false, true] {
        let memory = Memory::new(1);
        let log = open(&memory, small_options());
        create(&log, &tp("t", 0));
        create(&log, &tp("gone", 0));
        append_one(&log, &tp("t", 0), stamped(1, 0, 0, &["a"])).unwrap();
        log.checkpoint().unwrap();
        append_one(&log, &tp("t", 0), stamped(1, 0, 1, &["b"])).unwrap();
        append_one(&log, &tp("t", 0), stamped(2, 0, 0, &["c"])).unwrap();
        append_one(&log, &tp("gone", 0), batch(1, &["x"])).unwrap();
        memory.set_faults(full(".producers"));
        log.delete_partition(&tp("gone", 0)).unwrap();
        log.checkpoint().unwrap();
        let folders = memory.list(Path::new("/data/topics")).unwrap();
        assert_eq!(folders, ["t-0"], "the deleted one gave its space back");
        if !restart_full {
            memory.set_faults(Faults::default());
            log.checkpoint().unwrap();
        }
        let log = open(&memory.power_cut(), small_options());
        for (again, offset) in [(stamped(1, 0, 1, &["b"]), 1), (stamped(2, 0, 0, &["c"]), 2)] {
            let again = append_one(&log, &tp("t", 0), again).unwrap();
            assert!(again.duplicate && again.base_offset == offset, "{again:?}");
        }
    }
}

#[test]
fn deleting_a_topic_frees_a_full_disk_also_when_no_checkpoint_can_be_written() {
    for power in [false, true] {
        let memory = Memory::new(1);
        let log = open(&memory, small_options());
        append_to_gone(&log);
        // More partitions than the space that is kept for a checkpoint has lines.
        (0..1000).for_each(|number| drop(create(&log, &tp("other", number))));
        memory.set_faults(full("/data"));
        log.delete_partition(&tp("gone", 0)).unwrap();
        assert!(matches!(log.checkpoint(), Err(LogError::DiskFull { .. })));
        let folders = memory.list(Path::new("/data/topics")).unwrap();
        let folder = folders.into_iter().find(|name| name.ends_with(".deleted")).unwrap();
        assert_eq!(memory.list(&Path::new("/data/topics").join(&folder)).unwrap(), [""; 0]);
        let memory = if power { memory.power_cut() } else { memory.kill() };
        let log = open(&memory, small_options());
        assert!(log.partition(&tp("gone", 0)).is_none(), "it does not come back without its records");
        log.checkpoint().unwrap();
        assert!(!memory.list(Path::new("/data/topics")).unwrap().contains(&folder));
    }
}

fn append_to_gone(log: &Log) {
    create(log, &tp("gone", 0));
    append_one(log, &tp("gone", 0), batch(1, &["x"])).unwrap();
    log.checkpoint().unwrap();
}

#[test]
fn retention_frees_a_full_disk() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    let config = PartitionConfig { segment_bytes: 300, retention_ms: Some(1000), ..PartitionConfig::default() };
    let partition = log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    for number in 0..40 {
        append_one(&log, &tp("t", 0), stamped(1, 0, number, &["value"])).unwrap();
    }
    log.checkpoint().unwrap();
    append_one(&log, &tp("t", 0), stamped(1, 0, 40, &["value"])).unwrap();
    memory.set_faults(full("/data"));
    log.enforce_retention(1_000_000).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while partition.size_bytes() > 0 {
        std::thread::sleep(Duration::from_millis(10));
        assert!(Instant::now() < deadline, "the disk stays full");
    }
    drop(log);
    let segments = memory.list(Path::new("/data/topics/t-0")).unwrap();
    assert_eq!(segments.iter().filter(|name| name.ends_with(".log")).count(), 1, "{segments:?}");
}

#[test]
fn who_waits_for_a_checkpoint_waits_for_one_however_much_is_written_meanwhile() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    // Each append asks for the next checkpoint.
    let config = PartitionConfig { flush_messages: Some(2), ..PartitionConfig::default() };
    log.create_partition(&tp("t", 0), Uuid::nil(), config).unwrap();
    memory.set_faults(Faults { slow: Some(("topics".to_owned(), Duration::from_millis(20))), ..Faults::default() });
    let done = Arc::new(AtomicBool::new(false));
    let waiting = std::thread::spawn({
        let (log, done) = (log.clone(), done.clone());
        move || {
            std::thread::sleep(Duration::from_millis(100));
            let result = log.checkpoint();
            done.store(true, Ordering::Release);
            result
        }
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done.load(Ordering::Acquire) {
        append_one(&log, &tp("t", 0), batch(1, &["a", "b"])).unwrap();
        assert!(Instant::now() < deadline, "it waits for a moment without appends");
    }
    waiting.join().unwrap().unwrap();
}

#[test]
fn journal_files_that_fail_are_not_many() {
    let memory = Memory::new(1);
    let log = open(&memory, small_options());
    create(&log, &tp("t", 0));
    append_one(&log, &tp("t", 0), batch(1, &["a"])).unwrap();
    // Neither the journal can be written, nor what would free it.
    let sync = Some(("topics/t-0/0".to_owned(), usize::MAX));
    memory.set_faults(Faults { write: Some("journal".to_owned()), sync, ..Faults::default() });
    for _ in 0..50 {
        assert!(append_one(&log, &tp("t", 0), batch(1, &["no"])).is_err());
    }
    let files = |memory: &Memory| memory.list(Path::new("/data/journal")).unwrap().len();
    assert!(files(&memory) <= 7, "{}", files(&memory));
    memory.set_faults(Faults::default());
    append_one(&log, &tp("t", 0), batch(1, &["b"])).unwrap();
    log.checkpoint().unwrap();
    assert!(files(&memory) <= 4, "{}", files(&memory));
    let log = open(&memory.power_cut(), small_options());
    assert_eq!(values(&log.partition(&tp("t", 0)).unwrap()), ["a", "b"]);
}

#[test]
fn a_checkpoint_that_names_a_partition_made_meanwhile_does_not_give_it_its_predecessors_folder() {
    for seed in 0..12 {
        let memory = Memory::new(seed);
        let log = open(&memory, small_options());
        create(&log, &tp("t", 0));
        append_one(&log, &tp("t", 0), batch(1, &["old"])).unwrap();
        log.checkpoint().unwrap();
        append_one(&log, &tp("t", 0), batch(1, &["old"])).unwrap();
        let slow = Some(("topics/t-0/0".to_owned(), Duration::from_millis(200)));
        memory.set_faults(Faults { slow, ..Faults::default() });
        let under_way = std::thread::spawn({
            let log = log.clone();
            move || log.checkpoint()
        });
        std::thread::sleep(Duration::from_millis(100));
        log.delete_partition(&tp("t", 0)).unwrap();
        let id = Uuid::from_u128(2);
        log.create_partition(&tp("t", 0), id, PartitionConfig::default()).unwrap();
        under_way.join().unwrap().unwrap();
        let memory = memory.power_cut();
        let log = open(&memory, small_options());
        let partition = log.partition(&tp("t", 0)).unwrap();
        assert_eq!((partition.topic_id(), partition.high_watermark()), (id, 0), "seed {seed}");
        let meta = memory.content(Path::new("/data/topics/t-0/partition.json")).unwrap();
        assert!(String::from_utf8(meta).unwrap().contains(&id.to_string()), "seed {seed}");
    }
}
