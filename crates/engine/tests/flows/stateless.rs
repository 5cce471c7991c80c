//! Flows that keep nothing between rows.

use std::sync::Arc;

use datafusion::logical_expr::{col, lit};
use millstream_engine::Status;

use crate::harness::*;

fn pass_through() -> World {
    let plan = scan("s").filter(col("n").gt(lit(1i64))).unwrap();
    let plan = plan.project(vec![col("station"), (col("n") * lit(2i64)).alias("twice")]).unwrap();
    World::new(plan.build().unwrap(), 2)
}

#[tokio::test]
async fn rows_are_filtered_and_projected() {
    let world = straight_and_broken(|| {
        let world = pass_through();
        world.source().append("0", &rows(&[(0, "A", 1), (0, "B", 2)]));
        world.source().append("1", &rows(&[(0, "C", 3)]));
        world
    })
    .await;
    assert_eq!(world.sorted(), ["B | 4", "C | 6"]);
}

#[tokio::test]
async fn a_backlog_is_cut_into_commits_of_a_size() {
    let world = straight_and_broken(|| {
        let mut world = pass_through();
        world.change = Arc::new(|options| options.commit_rows_max = 2000);
        let all: Vec<_> = (0..10_000).map(|row| (0, "A", row + 2)).collect();
        world.source().append("0", &rows(&all));
        world
    })
    .await;
    assert!(
        world.log.commits().iter().all(|commit| commit.rows.iter().map(|rows| rows.num_rows()).sum::<usize>() <= 3000)
    );
    assert_eq!(world.sorted().len(), 10_000);
    assert!(world.log.commits().len() >= 5);
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_shown() {
    let world = pass_through();
    world.source().append("0", &rows(&[(0, "A", 2)]));
    world.log.refuse(3);
    let mut task = world.open().await.unwrap();
    let stats = task.stats();
    let clock = Arc::clone(&world.clock);
    let run = tokio::spawn(async move { task.run_available().await });
    let mut seen = false;
    while !run.is_finished() {
        seen |= matches!(stats.get().status, Status::Waiting(reason) if reason.contains("no space left"));
        clock.advance(1_000_000);
        tokio::task::yield_now().await;
    }
    assert_eq!(run.await.unwrap().unwrap().totals.rows_out, 1);
    assert!(seen);
    assert_eq!(world.sorted(), ["A | 4"]);
}

#[tokio::test]
async fn a_source_that_breaks_off_is_read_on() {
    let world = pass_through();
    let all: Vec<_> = (0..30_000).map(|row| (0, "A", row + 2)).collect();
    world.source().append("0", &rows(&all));
    world.source().fail_reads(4);
    let mut task = world.open().await.unwrap();
    let clock = Arc::clone(&world.clock);
    let run = tokio::spawn(async move { task.run_available().await });
    while !run.is_finished() {
        clock.advance(1_000_000);
        tokio::task::yield_now().await;
    }
    run.await.unwrap().unwrap();
    assert_eq!(world.sorted().len(), 30_000);
}
