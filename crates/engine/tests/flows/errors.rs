//! Rows that fail, and plans that cannot run.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{cast, col, lit};
use millstream_engine::{CompileOptions, EngineError, OnError, compile};

use crate::harness::*;

fn with_division() -> World {
    let plan = scan("s").project(vec![col("station"), (lit(12i64) / col("n")).alias("part")]).unwrap();
    let world = World::new(plan.build().unwrap(), 1);
    let mut all: Vec<_> = (0..2500).map(|row| (row, "A", 1)).collect();
    for bad in [0, 1700, 1701, 2499] {
        all[bad].2 = 0;
    }
    world.source().append("0", &rows(&all));
    world
}

#[tokio::test]
async fn rows_that_fail_go_to_the_dead_letters_and_the_others_go_on() {
    let world = straight_and_broken(with_division).await;
    assert_eq!(world.sorted().len(), 2496);
    let dead = world.dead();
    let offsets: Vec<_> = dead.iter().map(|(_, _, record)| record.unwrap().1).collect();
    assert_eq!(offsets, [0, 1700, 1701, 2499]);
    assert_eq!(dead[1].0, "DIVIDE_BY_ZERO");
    assert!(dead[1].1.contains(r#""station":"A","n":0"#), "{}", dead[1].1);
}

#[tokio::test]
async fn a_cast_that_fails_has_its_class() {
    let plan = scan("s").project(vec![cast(col("station"), DataType::Int32).alias("number")]).unwrap();
    let world = World::new(plan.build().unwrap(), 1);
    world.source().append("0", &rows(&[(0, "1", 0), (0, "x", 0)]));
    world.run().await.unwrap();
    assert_eq!(world.sorted(), ["1"]);
    assert_eq!(world.dead()[0].0, "CAST_INVALID_INPUT");
}

#[tokio::test]
async fn fail_stops_at_the_first_one() {
    let mut world = with_division();
    world.change = Arc::new(|options| options.on_error = OnError::Fail);
    let error = world.run().await.unwrap_err();
    assert!(matches!(&error, EngineError::Row { class, .. } if class == "DIVIDE_BY_ZERO"), "{error}");
    assert!(error.to_string().contains("offset 0"), "{error}");
    assert!(world.sorted().is_empty());
}

#[tokio::test]
async fn a_row_without_a_time_goes_to_the_dead_letters() {
    let make = |plan| {
        move || {
            let world = World::new(Clone::clone(&plan), 1);
            let all = [(Some(at("12:00")), "A", 1), (None, "B", 2), (Some(at("12:30")), "C", 3)];
            world.source().append("0", &rows_with_nulls(&all));
            world
        }
    };
    let world = straight_and_broken(make(tumbling())).await;
    assert_eq!(world.sorted(), ["[12:00–12:05) | A | 1 | 1"]);
    let dead = world.dead();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].0.as_str(), dead[0].2), ("EVENT_TIME_IS_NULL", Some((0, 1))));

    let distinct = watermark(scan("s"), 10).distinct().unwrap().build().unwrap();
    let world = straight_and_broken(make(distinct)).await;
    assert_eq!(world.sorted(), ["12:00 | A | 1"]);
    assert_eq!(world.dead()[0].2, Some((0, 1)));
}

#[tokio::test]
async fn a_row_that_fails_behind_an_aggregate_is_a_dead_letter_too() {
    let make = || {
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(tumbling());
        let plan = plan.project(vec![col("station"), (lit(12i64) / col("total")).alias("part")]).unwrap();
        let world = World::new(plan.build().unwrap(), 1);
        world.source().append("0", &rows(&[(at("12:00"), "A", 0), (at("12:00"), "B", 6), (at("12:30"), "C", 3)]));
        world
    };
    let world = straight_and_broken(make).await;
    assert_eq!(world.sorted(), ["B | 2"]);
    let dead = world.dead();
    assert!(dead[0].1.contains(r#""station":"A","total":0"#), "{}", dead[0].1);
    assert_eq!(dead[0].2, None);
}

#[test]
fn what_a_stream_cannot_do_is_named() {
    let refused = |plan| match compile(&flow(plan), CompileOptions::default()) {
        Err(EngineError::Unsupported { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let sorted = scan("s").sort(vec![col("n").sort(true, true)]).unwrap().build().unwrap();
    assert_eq!(refused(sorted), "ORDER BY");
    assert_eq!(refused(scan("s").distinct().unwrap().build().unwrap()), "SELECT DISTINCT without event time");
    let grouped = scan("s").aggregate(vec![col("station")], vec![datafusion::functions_aggregate::sum::sum(col("n"))]);
    assert_eq!(refused(grouped.unwrap().build().unwrap()), "GROUP BY without event time");
}

#[tokio::test]
async fn a_row_without_an_event_time_is_in_no_result_and_its_letter_says_so() {
    let world = World::new(tumbling(), 1);
    world.source().append("0", &rows_with_nulls(&[(None, "A", 1), (Some(at("12:00")), "A", 1)]));
    world.run().await.unwrap();
    let kept: Vec<bool> =
        world.log.commits().iter().flat_map(|commit| &commit.dead).map(|letter| letter.kept).collect();
    assert_eq!(kept, [false]);
}
