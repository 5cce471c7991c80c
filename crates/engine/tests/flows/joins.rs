//! A stream joined with a static table, and tables as they stand.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{JoinType, LogicalPlan};
use futures::TryStreamExt;
use millstream_engine::{StaticTables, materialize};
use millstream_sql::Relation;
use parking_lot::Mutex;

use crate::harness::*;

struct Stations;

fn stations_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("code", DataType::Utf8, true), Field::new("name", DataType::Utf8, true)]))
}

impl StaticTables for Stations {
    fn version(&self, _: &Relation) -> Result<Option<u64>, DataFusionError> {
        Ok(Some(0))
    }

    fn table(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let batch = match relation.name.as_str() {
            "s" => rows(&[(at("12:01"), "A", 1), (at("12:02"), "A", 2)]),
            _ => {
                let codes = StringArray::from(vec!["A", "B", "B"]);
                let names = StringArray::from(vec!["Astor Pl", "Bowery", "Broadway"]);
                RecordBatch::try_new(stations_schema(), vec![Arc::new(codes), Arc::new(names)])?
            }
        };
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}

fn join(kind: JoinType) -> LogicalPlan {
    let stations = scan_of(relation("stations", stations_schema(), false)).build().unwrap();
    let joined = scan("s").join(stations, kind, (vec!["station"], vec!["code"]), None).unwrap();
    match kind {
        JoinType::LeftSemi | JoinType::LeftAnti => joined.project(columns(&["station", "n"])),
        _ => joined.project(columns(&["n", "name"])),
    }
    .unwrap()
    .build()
    .unwrap()
}

async fn joined(kind: JoinType) -> Vec<String> {
    let make = || {
        let mut world = World::new(join(kind), 1);
        world.change = Arc::new(|options| options.statics = Some(Arc::new(Stations)));
        world.source().append("0", &rows(&[(0, "A", 1), (0, "B", 2), (0, "C", 3)]));
        world
    };
    straight_and_broken(make).await.sorted()
}

#[tokio::test]
async fn rows_meet_a_static_table() {
    assert_eq!(joined(JoinType::Inner).await, ["1 | Astor Pl", "2 | Bowery", "2 | Broadway"]);
    assert_eq!(joined(JoinType::Left).await, ["1 | Astor Pl", "2 | Bowery", "2 | Broadway", "3 | null"]);
    assert_eq!(joined(JoinType::LeftSemi).await, ["A | 1", "B | 2"]);
    assert_eq!(joined(JoinType::LeftAnti).await, ["C | 3"]);
}

#[tokio::test]
async fn a_materialized_view_may_use_windows() {
    let plan = sums(window(scan_of(relation("s", schema(), false)), 5, 5));
    let session = SessionContext::new().state();
    let stream = materialize(&plan, &Stations, &session).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(lines(&batches), ["[12:00–12:05) | A | 3 | 2"]);
    let plan = sums(window(watermark(scan_of(relation("s", schema(), false)), 10), 5, 5));
    let stream = materialize(&plan, &Stations, &session).await.unwrap();
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap()[0].num_rows(), 1);
    let plan = join(JoinType::Inner);
    assert!(materialize(&plan, &Stations, &session).await.is_ok());
}

/// A view that is computed while a flow runs: its rows are the codes given so far.
#[derive(Default)]
struct Growing(Mutex<Option<Vec<&'static str>>>);

impl StaticTables for Growing {
    fn version(&self, _: &Relation) -> Result<Option<u64>, DataFusionError> {
        Ok(self.0.lock().as_ref().map(|codes| codes.len() as u64))
    }

    fn table(&self, _: &Relation) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let codes = StringArray::from(self.0.lock().clone().unwrap_or_default());
        let batch = RecordBatch::try_new(stations_schema(), vec![Arc::new(codes.clone()), Arc::new(codes)])?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}

#[tokio::test]
async fn a_view_that_was_never_computed_is_waited_for_and_a_changed_one_is_read_anew() {
    let mut world = World::new(join(JoinType::Inner), 1);
    let view = Arc::new(Growing::default());
    let statics = Arc::clone(&view);
    world.change = Arc::new(move |options| options.statics = Some(Arc::clone(&statics) as _));
    world.source().append("0", &rows(&[(0, "A", 1)]));
    let computing = {
        let (clock, view) = (Arc::clone(&world.clock), Arc::clone(&view));
        async move {
            for round in 0.. {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if round == 5 {
                    *view.0.lock() = Some(vec!["A"]);
                }
                clock.advance(5_000_000);
            }
        }
    };
    let mut task = tokio::select! {
        task = world.open() => task.unwrap(),
        () = computing => unreachable!("it goes on until the flow is open"),
    };
    task.run_available().await.unwrap();
    world.source().append("0", &rows(&[(0, "B", 2)]));
    *view.0.lock() = Some(vec!["A", "B"]);
    world.clock.advance(1_000_000);
    task.run_available().await.unwrap();
    assert_eq!(world.sorted(), ["1 | A", "2 | B"]);
}
