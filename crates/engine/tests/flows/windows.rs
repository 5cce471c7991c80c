//! Windows, watermarks, lateness.

use std::sync::Arc;

use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use millstream_engine::testing::MemorySource;

use crate::harness::*;

fn worked_example() -> World {
    let world = World::new(tumbling(), 1);
    let batch = |times: &[&str]| rows(&times.iter().map(|time| (at(time), "A", 1)).collect::<Vec<_>>());
    let batches = [
        batch(&["12:01", "12:04"]),
        batch(&["12:21"]),
        batch(&["12:02"]),
        batch(&["12:02", "12:31"]),
        batch(&["12:10", "12:15"]),
    ];
    epochs(world.source(), &batches);
    world
}

#[tokio::test]
async fn the_worked_example_of_the_language() {
    let world = straight_and_broken(worked_example).await;
    let expected: [&[&str]; 5] =
        [&[], &[], &["[12:00–12:05) | A | 3 | 3"], &[], &["[12:10–12:15) | A | 1 | 1", "[12:15–12:20) | A | 1 | 1"]];
    assert_eq!(world.commits(), expected);
    assert_eq!(world.late(), ["12:02 | A | 1 | [12:00–12:05)"]);
    let watermarks: Vec<_> = world.log.commits().iter().map(|commit| commit.progress.watermark_us).collect();
    let expected = [None, Some("11:54"), Some("12:11"), Some("12:11"), Some("12:21")];
    assert_eq!(watermarks, expected.map(|time| time.map(|time| at(time) * MINUTE)));
}

#[tokio::test]
async fn a_backlog_is_one_epoch_and_an_empty_one_whatever_its_order() {
    let world = straight_and_broken(|| {
        let world = World::new(tumbling(), 1);
        let rows: Vec<_> =
            (0..2000).map(|row| ((row * 7919) % 600, if row % 3 == 0 { "A" } else { "B" }, row)).collect();
        world.source().append("0", &crate::harness::rows(&rows));
        world
    })
    .await;
    let commits = world.commits();
    assert_eq!(commits.len(), 2);
    assert!(commits[0].is_empty());
    // The latest time is 9:59, so windows up to 9:49 are final: 117 of 120, each with both stations.
    assert_eq!(commits[1].len(), 117 * 2);
    assert!(world.late().is_empty());
    let total: i64 = commits[1].iter().map(|line| line.rsplit(" | ").next().unwrap().parse::<i64>().unwrap()).sum();
    let due = (0..2000i64).filter(|row| (row * 7919) % 600 < 585).count();
    assert_eq!(total, due as i64);
}

#[tokio::test]
async fn an_epoch_with_a_large_output_comes_in_parts() {
    let world = straight_and_broken(|| {
        let mut world = World::new(tumbling(), 1);
        world.change = Arc::new(|options| options.commit_rows_max = 20);
        let rows: Vec<_> = (0..600).map(|row| (row, "A", row)).collect();
        world.source().append("0", &crate::harness::rows(&rows));
        world
    })
    .await;
    let commits = world.log.commits();
    assert!(commits.len() > 5, "{} commits", commits.len());
    assert_eq!(commits.last().unwrap().progress.epoch, 2);
    assert_eq!(world.sorted().len(), 117);
}

#[tokio::test]
async fn sliding_windows_hold_a_row_each() {
    let world = straight_and_broken(|| {
        let world = World::new(sums(window(watermark(scan("s"), 0), 10, 5)), 1);
        epochs(
            world.source(),
            &[rows(&[(at("12:07"), "A", 1), (at("12:11"), "A", 2)]), rows(&[(at("12:30"), "A", 4)])],
        );
        world
    })
    .await;
    assert_eq!(
        world.sorted(),
        [
            "[12:00–12:10) | A | 1 | 1",
            "[12:05–12:15) | A | 3 | 2",
            "[12:10–12:20) | A | 2 | 1",
            "[12:20–12:30) | A | 4 | 1"
        ]
        .into_iter()
        .filter(|line| !line.starts_with("[12:20"))
        .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn partitions_out_of_step_lose_nothing() {
    let make = || {
        let world = World::new(tumbling(), 4);
        // Each partition is an hour behind the one before, and each epoch takes ten minutes of each.
        let mut cuts = Vec::new();
        for partition in 0..4 {
            let start = at("12:00") - partition * 60;
            let all: Vec<_> = (0..60).map(|minute| (start + minute, "A", 1)).collect();
            world.source().append(&partition.to_string(), &rows(&all));
        }
        for epoch in 1..=6 {
            cuts.push(position(&[epoch * 10; 4]));
        }
        world.source().cut(cuts);
        world
    };
    let world = straight_and_broken(make).await;
    assert!(world.late().is_empty(), "{:?}", world.late());
    // 9:00 to 13:00 without the last ten minutes: 12:59 − 10 closes windows up to 12:45.
    let rows: i64 = world.sorted().iter().map(|line| line.rsplit(" | ").next().unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!(rows, 225);
}

#[tokio::test]
async fn state_stays_for_the_next_run() {
    let world = World::new(tumbling(), 1);
    world.source().append("0", &rows(&[(at("12:01"), "A", 1)]));
    world.run().await.unwrap();
    world.source().append("0", &rows(&[(at("12:02"), "A", 2), (at("12:20"), "A", 1)]));
    world.run().await.unwrap();
    assert_eq!(world.sorted(), ["[12:00–12:05) | A | 3 | 2"]);
    let before = world.log.commits().len();
    world.run().await.unwrap();
    assert_eq!(world.log.commits().len(), before, "nothing new, nothing done");
}

#[tokio::test]
async fn distinct_rows_come_out_once_their_time_is_past() {
    let make = || {
        let plan = watermark(scan("s"), 10).project(columns(&["ts", "station"])).unwrap();
        let world = World::new(plan.distinct().unwrap().build().unwrap(), 1);
        let first = rows(&[(at("12:00"), "A", 1), (at("12:00"), "A", 2), (at("12:01"), "B", 3)]);
        epochs(
            world.source(),
            &[first, rows(&[(at("12:00"), "A", 4), (at("12:11"), "C", 5)]), rows(&[(at("12:00"), "A", 6)])],
        );
        world
    };
    let world = straight_and_broken(make).await;
    let expected: [&[&str]; 3] = [&[], &[], &["12:00 | A", "12:01 | B"]];
    assert_eq!(world.commits(), expected);
    assert!(world.late().is_empty(), "judged by the watermark of the epoch before");
}

#[tokio::test]
async fn a_union_waits_for_the_slower_input() {
    let make = || {
        let a = watermark(scan("a"), 0).build().unwrap();
        let union = watermark(scan("b"), 0).union(a).unwrap();
        let union = LogicalPlanBuilder::from(union.build().unwrap());
        let plan = sums(window(union, 5, 5));
        let (a, b) = (MemorySource::new(schema(), 1), MemorySource::new(schema(), 1));
        a.append("0", &rows(&[(at("12:01"), "A", 1), (at("13:00"), "A", 1)]));
        b.append("0", &rows(&[(at("12:02"), "A", 1), (at("12:07"), "A", 1)]));
        World::with_sources(plan, [("a", a), ("b", b)])
    };
    let world = straight_and_broken(make).await;
    assert_eq!(world.sorted(), ["[12:00–12:05) | A | 2 | 2"]);
}

#[tokio::test]
async fn aggregates_can_be_filtered_behind() {
    let make = || {
        let plan = LogicalPlanBuilder::from(tumbling());
        let plan = plan.filter(col("total").gt(lit(1i64))).unwrap().project(columns(&["station", "total"])).unwrap();
        let world = World::new(plan.build().unwrap(), 1);
        let all = rows(&[(at("12:00"), "A", 1), (at("12:00"), "B", 2), (at("12:30"), "B", 2)]);
        world.source().append("0", &all);
        world
    };
    assert_eq!(straight_and_broken(make).await.sorted(), ["B | 2"]);
}

#[tokio::test]
async fn many_windows_at_once_and_then_few() {
    let make = || {
        let mut world = World::new(tumbling(), 1);
        world.change = Arc::new(|options| options.commit_rows_max = 500);
        let backlog: Vec<_> =
            (0..6000).map(|row| ((row * 7919) % 6000, if row % 2 == 0 { "A" } else { "B" }, 1)).collect();
        let live: Vec<_> = (0..30).map(|row| rows(&[(5990 + row, "A", 1)])).collect();
        let mut batches = vec![rows(&backlog)];
        batches.extend(live);
        epochs(world.source(), &batches);
        world
    };
    let world = make();
    world.run().await.unwrap();
    let total: i64 = world.sorted().iter().map(|line| line.rsplit(" | ").next().unwrap().parse::<i64>().unwrap()).sum();
    // The last time is 6019, so windows up to 6005 are out (6009 is the watermark).
    assert_eq!(total, 6000 + 15);
    for broken_at in [1, 2, 3, 5, 9, 14] {
        let broken = make();
        broken.log.die_after(broken_at, true);
        broken.run().await.unwrap_err();
        broken.log.revive();
        broken.run().await.unwrap();
        assert_eq!(broken.sorted(), world.sorted());
    }
}
