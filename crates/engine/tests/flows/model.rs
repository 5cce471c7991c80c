//! Random rows in random epochs against the rules written down once more, naively.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::harness::*;

const DELAY: i64 = 10;

/// What comes out and what is late, by the rules of the language for one partition.
fn expected(epochs: &[Vec<(i64, usize, i64)>], size: i64, slide: i64) -> (Vec<String>, usize) {
    let mut open: BTreeMap<(i64, usize), (i64, i64)> = BTreeMap::new();
    let (mut out, mut late) = (Vec::new(), 0);
    let (mut judge, mut highest) = (None::<i64>, None::<i64>);
    let close = |open: &mut BTreeMap<(i64, usize), (i64, i64)>, watermark: Option<i64>, out: &mut Vec<String>| {
        let Some(watermark) = watermark else { return };
        while let Some((&(end, station), &(total, rows))) =
            open.first_key_value().filter(|((end, _), _)| *end <= watermark)
        {
            out.push(format!("{end} {station} {total} {rows}"));
            open.remove(&(end, station));
        }
    };
    for epoch in epochs.iter().filter(|epoch| !epoch.is_empty()) {
        let watermark = highest.map(|highest| highest - DELAY);
        for (time, station, n) in epoch {
            let mut start = time - time.rem_euclid(slide);
            while start + size > *time {
                let end = start + size;
                if judge.is_some_and(|judge| end <= judge) {
                    late += 1;
                } else {
                    let group = open.entry((end, *station)).or_default();
                    *group = (group.0 + n, group.1 + 1);
                }
                start -= slide;
            }
        }
        close(&mut open, watermark, &mut out);
        judge = watermark;
        highest = highest.max(epoch.iter().map(|(time, _, _)| *time).max());
    }
    close(&mut open, highest.map(|highest| highest - DELAY), &mut out);
    out.sort();
    (out, late)
}

fn run(
    batches: &[Vec<(i64, usize, i64)>],
    size: i64,
    slide: i64,
    killed: Option<(usize, bool)>,
) -> (Vec<String>, usize) {
    let mut world = World::new(sums(window(watermark(scan("s"), DELAY), size, slide)), 1);
    world.change = Arc::new(|options| options.commit_rows_max = 7);
    let names = ["A", "B", "C", "D"];
    let batches: Vec<_> = batches
        .iter()
        .filter(|batch| !batch.is_empty())
        .map(|batch| rows(&batch.iter().map(|(time, station, n)| (*time, names[*station], *n)).collect::<Vec<_>>()))
        .collect();
    epochs(world.source(), &batches);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        if let Some((commits, after_writing)) = killed {
            world.log.die_after(commits, after_writing);
            let _ = world.run().await;
            world.log.revive();
        }
        world.run().await.unwrap();
    });
    let mut out = Vec::new();
    for batch in world.log.rows() {
        use arrow::array::AsArray;
        use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
        let ends = batch.column(0).as_struct().column(1).as_primitive::<TimestampMicrosecondType>().clone();
        let stations = batch.column(1).as_string::<i32>();
        let totals = batch.column(2).as_primitive::<Int64Type>();
        let counts = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let station = names.iter().position(|name| *name == stations.value(row)).unwrap();
            out.push(format!("{} {station} {} {}", ends.value(row) / MINUTE, totals.value(row), counts.value(row)));
        }
    }
    out.sort();
    (out, world.late().len())
}

/// Many late rows fill a commit while the epoch is still being read; killed there, the rest of it is judged by the same watermark.
#[test]
fn an_epoch_that_was_cut_while_it_was_read_is_ended_as_it_was_begun() {
    let batches = [
        vec![
            (16, 0, 0),
            (0, 0, 0),
            (0, 0, 0),
            (24, 1, 0),
            (164, 2, 0),
            (144, 0, 0),
            (56, 0, 0),
            (148, 3, 0),
            (193, 0, 0),
            (0, 3, 0),
            (52, 1, 0),
            (12, 3, 0),
            (159, 2, 0),
            (3, 1, 0),
            (99, 3, -1),
            (38, 0, -5),
            (76, 3, 5),
            (6, 2, 4),
        ],
        vec![(240, 1, 8), (160, 1, -6), (197, 3, -2), (116, 0, 4), (133, 3, 0), (94, 2, -5), (180, 2, 3), (198, 2, -9)],
        vec![
            (243, 0, 7),
            (310, 3, 1),
            (152, 2, 4),
            (175, 2, -2),
            (266, 1, -1),
            (164, 3, 5),
            (245, 3, 1),
            (232, 3, -4),
            (187, 0, -1),
            (220, 2, -4),
            (288, 1, 6),
        ],
        vec![(236, 1, -4), (383, 0, 5), (351, 3, -9), (220, 1, 3), (333, 0, -4), (372, 1, 7), (365, 2, 4), (237, 0, 6)],
    ];
    let expected = expected(&batches, 15, 4);
    for commits in 0..20 {
        for after_writing in [false, true] {
            assert_eq!(run(&batches, 15, 4, Some((commits, after_writing))), expected, "killed at {commits}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_rows_in_any_epochs(
        batches in prop::collection::vec(prop::collection::vec((0i64..200, 0usize..4, -9i64..9), 0..30), 1..12),
        drift in 0i64..100,
        (size, slide) in prop::sample::select(vec![(5, 5), (10, 5), (15, 4), (60, 60)]),
        killed in prop::option::of((0usize..20, any::<bool>())),
    ) {
        let batches: Vec<Vec<_>> = batches.iter().enumerate().map(|(epoch, batch)| {
            batch.iter().map(|(time, station, n)| (time + epoch as i64 * drift, *station, *n)).collect()
        }).collect();
        prop_assert_eq!(run(&batches, size, slide, killed), expected(&batches, size, slide));
    }
}
