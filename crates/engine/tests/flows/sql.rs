//! Flows as the front end plans them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, new_null_array};
use datafusion::execution::context::SessionContext;
use millstream_engine::testing::MemorySource;
use millstream_sql::{Environment, Flow, Pipeline, Project};

use crate::harness::*;

fn load(folder: &Path) -> Pipeline {
    Project::load(folder, &Environment::new([])).unwrap_or_else(|error| panic!("{error}"))
}

fn example(name: &str) -> Pipeline {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name))
}

/// A project of one file of SQL.
fn project(sql: &str) -> Pipeline {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("transformations")).unwrap();
    fs::write(folder.path().join("transformations/q.sql"), sql).unwrap();
    let spec = "name: test\nstorage: file:///tmp/test\nlibraries:\n  - glob:\n      include: transformations/**\n";
    fs::write(folder.path().join("spark-pipeline.yml"), spec).unwrap();
    load(folder.path())
}

const KAFKA: &str =
    "STREAM kafka WITH ('kafka.bootstrap.servers' = 'x:1', subscribe = 't', startingOffsets = 'earliest')";

/// A world whose one source has a topic's columns.
fn world(flow: &Flow) -> World {
    let relations = millstream_engine::compile(flow, Default::default()).unwrap();
    let relation = relations.relations().next().unwrap().clone();
    let source = MemorySource::new(Arc::clone(&relation.schema), 1);
    let mut world = World::with_sources(flow.plan.clone(), [(relation.name.as_str(), source)]);
    world.flow = flow.clone();
    world.change = Arc::new(|options| {
        let context = SessionContext::new();
        millstream_functions::register(&mut *context.state_ref().write(), &Default::default()).unwrap();
        options.session = context.state();
    });
    world
}

/// Records of these values, from `offset` on.
fn produce<'a>(world: &World, offset: i64, values: impl IntoIterator<Item = &'a str>) {
    let source = world.sources.values().next().unwrap();
    let values: BinaryArray = values.into_iter().map(|value| Some(value.as_bytes())).collect();
    let schema = millstream_engine::Source::schema(source.as_ref());
    let rows = arrow::array::Array::len(&values);
    let value: ArrayRef = Arc::new(values);
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "value" => Arc::clone(&value),
        "offset" => Arc::new(Int64Array::from_iter_values(offset..offset + rows as i64)) as ArrayRef,
        _ => new_null_array(field.data_type(), rows),
    });
    let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let open = Arc::new(arrow::datatypes::Schema::new(fields));
    source.append("0", &RecordBatch::try_new(open, columns.collect()).unwrap());
}

#[tokio::test]
async fn malformed_texts_stay_and_leave_a_copy() {
    let sql = format!(
        "CREATE STREAMING TABLE t USING csv AS SELECT r.a, r.b FROM \
         (SELECT from_csv(CAST(value AS STRING), 'a INT, b STRING') AS r FROM {KAFKA});"
    );
    let pipeline = project(&sql);
    let make = || {
        let world = world(&pipeline.flows[0]);
        produce(&world, 0, ["1,x", "two,y", "3,z"]);
        world
    };
    let world = straight_and_broken(make).await;
    assert_eq!(world.sorted(), ["1 | x", "3 | z", "null | y"]);
    let dead = world.dead();
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!((dead[0].1.as_str(), dead[0].2), ("two,y", Some((0, 1))));
    assert!(dead[0].0.starts_with("MALFORMED_RECORD"), "{dead:?}");
}

#[tokio::test]
async fn what_stops_spark_is_a_dead_letter_with_its_value() {
    let sql =
        format!("CREATE STREAMING TABLE t USING csv AS SELECT CAST(CAST(value AS STRING) AS INT) AS n FROM {KAFKA};");
    let pipeline = project(&sql);
    let make = || {
        let world = world(&pipeline.flows[0]);
        produce(&world, 0, ["1", "x", "3"]);
        world
    };
    let world = straight_and_broken(make).await;
    assert_eq!(world.sorted(), ["1", "3"]);
    assert_eq!(world.dead(), [("CAST_INVALID_INPUT".into(), "x".into(), Some((0, 1)))]);
}

fn audit(row: usize) -> String {
    let seconds = row * 7;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    let station = (row * 31) % 380;
    format!(
        "A{:03},R{:03},02-00-{:02},STATION {station},NQR456W,BMT,{:02}/{:02}/2024,{time},REGULAR,{},{}",
        station % 100,
        station % 470,
        row % 8,
        1 + (day / 28) % 12,
        1 + day % 28,
        row % 9973,
        row % 7919
    )
}

#[tokio::test]
async fn the_turnstiles_example_sums() {
    let pipeline = example("turnstiles");
    for flow in &pipeline.flows {
        let make = || {
            let mut world = world(flow);
            let change = Arc::clone(&world.change);
            world.change = Arc::new(move |options| {
                change(options);
                options.commit_rows_max = 300;
            });
            let lines: Vec<String> = (0..5000).map(audit).collect();
            produce(&world, 0, lines.iter().map(String::as_str));
            world
        };
        let world = straight_and_broken(make).await;
        assert!(world.dead().is_empty(), "{:?}", world.dead().first());
        // 35,000 s: two windows of four hours, 114 of five minutes are final.
        let columns = world.log.rows()[0].num_columns();
        let sum = |column: usize| -> i64 {
            world.sorted().iter().map(|line| line.split(" | ").nth(column).unwrap().parse::<i64>().unwrap()).sum()
        };
        let until = if flow.name.contains("station") { 8 * 3600 } else { 34_200 };
        let due = (0..5000usize).filter(|row| row * 7 < until);
        assert_eq!(sum(columns - 1), due.map(|row| (row % 7919) as i64).sum::<i64>(), "{}", flow.name);
    }
}

#[tokio::test]
async fn windows_stand_on_windows() {
    let sql = format!(
        "CREATE TEMPORARY VIEW five AS SELECT window, count(*) AS n FROM (SELECT to_timestamp(CAST(value AS STRING)) AS ts FROM {KAFKA}) \
         WATERMARK ts DELAY OF INTERVAL 0 MINUTES GROUP BY window(ts, '5 minutes');
         CREATE STREAMING TABLE t USING csv AS SELECT window(window_time(window), '10 minutes').start AS start, sum(n) AS n \
         FROM STREAM five GROUP BY window(window_time(window), '10 minutes');"
    );
    let pipeline = project(&sql);
    let make = || {
        let world = world(&pipeline.flows[0]);
        produce(
            &world,
            0,
            ["2024-01-01 12:01:00", "2024-01-01 12:03:00", "2024-01-01 12:08:00", "2024-01-01 12:12:00"],
        );
        world
    };
    assert_eq!(straight_and_broken(make).await.sorted(), ["12:00 | 3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release -p millstream-engine --test flows -- --ignored --nocapture"]
async fn rows_per_second() {
    let pipeline = example("turnstiles");
    let lines: Vec<String> = (0..1_500_000).map(audit).collect();
    for flow in &pipeline.flows {
        let world = world(flow);
        for (index, lines) in lines.chunks(8192).enumerate() {
            produce(&world, index as i64 * 8192, lines.iter().map(String::as_str));
        }
        world.sources.values().next().unwrap().batch_rows(8192);
        let begin = Instant::now();
        let summary = world.run().await.unwrap();
        let seconds = begin.elapsed().as_secs_f64();
        println!("{}: {:.2} M rows/s, {summary:?}", flow.name, 1.5 / seconds);
    }
    // The aggregate alone.
    let world = World::new(sums(window(watermark(scan("s"), 10), 240, 240)), 1);
    let names: Vec<String> = (0..380).map(|station| format!("STATION {station}")).collect();
    let all: Vec<_> = (0..3_000_000i64).map(|row| (row / 40, names[(row * 31 % 380) as usize].as_str(), row)).collect();
    world.source().append("0", &rows(&all));
    world.source().batch_rows(8192);
    let begin = Instant::now();
    world.run().await.unwrap();
    println!("window and sum alone: {:.2} M rows/s", 3.0 / begin.elapsed().as_secs_f64());
}

#[tokio::test]
async fn lists_become_rows() {
    let sql = format!(
        "CREATE STREAMING TABLE t USING csv AS SELECT word, n FROM \
         (SELECT explode(split(CAST(value AS STRING), ' ')) AS word, length(CAST(value AS STRING)) AS n FROM {KAFKA}) WHERE word <> 'b';"
    );
    let pipeline = project(&sql);
    let make = || {
        let world = world(&pipeline.flows[0]);
        produce(&world, 0, ["a b c", "", "d"]);
        world
    };
    assert_eq!(straight_and_broken(make).await.sorted(), [" | 0", "a | 5", "c | 5", "d | 1"]);
}
