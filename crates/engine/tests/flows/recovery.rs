//! Snapshots, and what is said when state does not fit.

use std::fs;

use millstream_engine::EngineError;

use crate::harness::*;

#[tokio::test]
async fn a_changed_query_is_told_from_its_old_state() {
    let world = World::new(tumbling(), 1);
    world.source().append("0", &rows(&[(at("12:00"), "A", 1)]));
    world.run().await.unwrap();
    let world = World { flow: flow(sums(window(watermark(scan("s"), 10), 10, 10))), ..world };
    let error = world.run().await.unwrap_err();
    assert!(matches!(error, EngineError::Changed { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("--full-refresh t") && text.contains("size_us=600000000"), "{text}");
}

#[tokio::test]
async fn a_position_is_not_used_in_another_cluster() {
    let world = World::new(tumbling(), 1);
    world.source().move_to("cluster A");
    world.source().append("0", &rows(&[(at("12:00"), "A", 1)]));
    world.run().await.unwrap();
    world.source().append("0", &rows(&[(at("12:01"), "A", 1)]));
    world.run().await.unwrap();
    world.source().move_to("cluster B");
    let error = world.run().await.unwrap_err();
    assert!(matches!(error, EngineError::Elsewhere { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("s from cluster A") && text.contains("cluster B") && text.contains("--full-refresh t"),
        "{text}"
    );
    world.source().move_to("cluster A");
    world.run().await.unwrap();
}

#[tokio::test]
async fn a_changed_statement_is_told_in_its_own_words() {
    let world = World::new(tumbling(), 1);
    world.source().append("0", &rows(&[(at("12:00"), "A", 1)]));
    world.run().await.unwrap();
    let mut changed = flow(sums(window(watermark(scan("s"), 10), 10, 10)));
    changed.sql = format!("{}\nGROUP BY window(ts, '10 minutes')", changed.sql);
    let text = World { flow: changed, ..world }.run().await.unwrap_err().to_string();
    assert!(text.contains("`GROUP BY window(ts, '10 minutes')` was"), "{text}");
}

#[tokio::test]
async fn state_that_is_gone_or_damaged_is_said() {
    let world = World::new(tumbling(), 1);
    world.source().append("0", &rows(&[(at("12:00"), "A", 1)]));
    world.run().await.unwrap();
    let runs = world.folder.path().join("state/runs");
    let run = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let mut content = fs::read(&run).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&run, content).unwrap();
    let error = world.run().await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    millstream_engine::forget(&world.folder.path().join("state")).unwrap();
    let error = world.run().await.unwrap_err();
    assert!(matches!(error, EngineError::StateMissing { .. }), "{error}");
}

#[tokio::test]
async fn a_snapshot_writes_what_changed_and_removes_what_is_not_used() {
    let world = World::new(tumbling(), 1);
    let names = || {
        let runs = fs::read_dir(world.folder.path().join("state/runs")).unwrap();
        let mut names: Vec<_> = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    world.source().append("0", &rows(&[(at("12:00"), "A", 1)]));
    let mut task = world.open().await.unwrap();
    task.run_available().await.unwrap();
    assert_eq!(names(), ["2-0.arrow"]);
    world.source().append("0", &rows(&[(at("12:05"), "A", 1)]));
    task.run_available().await.unwrap();
    assert_eq!(names(), ["2-0.arrow", "4-0.arrow"], "the first window did not change");
    world.source().append("0", &rows(&[(at("12:17"), "A", 1)]));
    task.run_available().await.unwrap();
    assert_eq!(names(), ["4-0.arrow", "6-0.arrow"], "the first window is out");
    drop(task);
    world.source().append("0", &rows(&[(at("12:06"), "A", 1), (at("12:40"), "A", 1)]));
    world.run().await.unwrap();
    let expected = ["[12:00–12:05) | A | 1 | 1", "[12:05–12:10) | A | 2 | 2", "[12:15–12:20) | A | 1 | 1"];
    assert_eq!(world.sorted(), expected);
}

#[tokio::test]
async fn rows_that_state_needs_and_retention_took_are_an_error_and_no_smaller_sum() {
    let make = || {
        let world = World::new(tumbling(), 1);
        let batches: Vec<_> = (0..6).map(|minute| rows(&[(at("12:00") + minute, "A", 1)])).collect();
        epochs(world.source(), &batches);
        world.log.die_after(4, true);
        world
    };
    for (deleted, gone) in [(0, false), (3, true)] {
        let world = make();
        world.run().await.unwrap_err();
        world.log.revive();
        world.source().delete_before("0", deleted);
        let done = world.run().await;
        assert_eq!(matches!(done, Err(EngineError::RowsGone { .. })), gone, "{done:?}");
        if let Err(error) = done {
            assert!(error.to_string().contains("--full-refresh t"), "{error}");
        }
    }
}

#[tokio::test]
#[should_panic(expected = "a reader's mistake")]
async fn a_reader_that_panics_is_no_end_of_the_rows() {
    let world = World::new(tumbling(), 1);
    world.source().append("0", &rows(&[(at("12:00"), "A", 1), (at("12:30"), "A", 1)]));
    world.source().batch_rows(1);
    world.source().panic_in_reads();
    let _ = world.run().await;
}

#[tokio::test]
async fn a_source_is_told_what_a_replay_would_read() {
    let world = World::new(tumbling(), 1);
    world.source().append("0", &rows(&[(at("12:00"), "A", 1)]));
    world.log.die_after(0, true);
    world.run().await.unwrap_err();
    assert_eq!(world.source().needed(), position(&[0]), "no snapshot since it began");
    world.log.revive();
    world.run().await.unwrap();
    assert_eq!(world.source().needed(), position(&[1]));
}

#[tokio::test]
async fn two_runs_of_a_flow_are_never_at_its_state_at_once() {
    let world = World::new(tumbling(), 1);
    let first = world.open().await.unwrap();
    let error = world.open().await.err().expect("the first one has the folder");
    assert!(error.to_string().contains("still being written"), "{error}");
    drop(first);
    world.open().await.unwrap();
}
