//! `up`: epochs as rows come.

use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::col;

use crate::harness::*;

#[tokio::test]
async fn rows_come_out_as_they_come_in_and_stopping_is_no_failure() {
    let plan = scan("s").project(vec![col("station")]).unwrap().build().unwrap();
    let world = World::new(plan, 1);
    let mut task = world.open().await.unwrap();
    let run = tokio::spawn(async move { task.run_forever().await });
    for (count, station) in ["A", "B", "C"].into_iter().enumerate() {
        world.source().append("0", &rows(&[(0, station, 0)]));
        tokio::time::timeout(Duration::from_secs(5), world.log.wait_for_commits(count + 1)).await.unwrap();
    }
    world.signal.send_replace(true);
    run.await.unwrap().unwrap();
    assert_eq!(world.commits(), [["A"], ["B"], ["C"]]);
}

#[tokio::test]
async fn an_idle_partition_leaves_the_minimum() {
    let mut world = World::new(tumbling(), 2);
    world.change = Arc::new(|options| options.snapshot_every_us = i64::MAX);
    world.source().append("0", &rows(&[(at("12:01"), "A", 1), (at("12:30"), "A", 1)]));
    let mut task = world.open().await.unwrap();
    let run = tokio::spawn(async move { task.run_forever().await });
    world.log.wait_for_commits(1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(world.sorted().is_empty(), "partition 1 holds the watermark");
    // Give the task time to begin waiting before the clock moves.
    world.clock.advance(10_000_000);
    tokio::time::timeout(Duration::from_secs(5), world.log.wait_for_commits(2)).await.unwrap();
    assert_eq!(world.sorted(), ["[12:00–12:05) | A | 1 | 1"]);
    world.signal.send_replace(true);
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn killed_at_every_commit_while_live() {
    let make = || World::new(tumbling(), 1);
    let feed = |world: &World| {
        for minute in 0..60 {
            world.source().append("0", &rows(&[(minute, "A", 1), ((minute * 31) % 60, "B", 1)]));
        }
        world.source().cut((1..=60).map(|epoch| position(&[epoch * 2])).collect());
    };
    let straight = make();
    feed(&straight);
    straight.run().await.unwrap();
    for broken_at in (0..60).step_by(7) {
        let world = make();
        feed(&world);
        world.log.die_after(broken_at, broken_at % 2 == 0);
        let mut task = world.open().await.unwrap();
        task.run_forever().await.unwrap_err();
        drop(task);
        world.log.revive();
        world.run().await.unwrap();
        assert_eq!(world.sorted(), straight.sorted(), "broken at {broken_at}");
        assert_eq!(world.late(), straight.late(), "broken at {broken_at}");
    }
}
