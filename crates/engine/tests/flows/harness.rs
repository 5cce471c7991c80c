//! Makes flows, runs them, writes down what came out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Column;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource, col, lit};
use millstream_engine::testing::{ManualClock, MemoryFlowLog, MemorySource};
use millstream_engine::{
    CompileOptions, EngineError, FlowProgram, FlowTask, Position, RunSummary, Source, TaskOptions, compile,
};
use millstream_sql::logical::{WatermarkNode, WindowNode, WindowSpec};
use millstream_sql::{Flow, Origin, Relation, RelationKind};
use tokio::sync::watch;

pub const MINUTE: i64 = 60_000_000;

/// Events: when, where, how many.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("ts", time_type(), true),
        Field::new("station", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]))
}

pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// `(minutes after midnight, station, n)`.
pub fn rows(rows: &[(i64, &str, i64)]) -> RecordBatch {
    let rows: Vec<_> = rows.iter().map(|(ts, station, n)| (Some(*ts), *station, *n)).collect();
    rows_with_nulls(&rows)
}

pub fn rows_with_nulls(rows: &[(Option<i64>, &str, i64)]) -> RecordBatch {
    let times: TimestampMicrosecondArray = rows.iter().map(|(ts, _, _)| ts.map(|ts| ts * MINUTE)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times.with_data_type(time_type())),
        Arc::new(rows.iter().map(|(_, station, _)| Some(*station)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|(_, _, n)| Some(*n)).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// `12:34` as minutes.
pub fn at(clock: &str) -> i64 {
    let (hours, minutes) = clock.split_once(':').unwrap();
    hours.parse::<i64>().unwrap() * 60 + minutes.parse::<i64>().unwrap()
}

pub fn relation(name: &str, schema: SchemaRef, streaming: bool) -> Arc<Relation> {
    let kind = RelationKind::Kafka(BTreeMap::from([("subscribe".into(), name.into())]));
    Arc::new(Relation { name: name.into(), streaming, kind, schema })
}

pub fn scan(name: &str) -> LogicalPlanBuilder {
    scan_of(relation(name, schema(), true))
}

pub fn scan_of(relation: Arc<Relation>) -> LogicalPlanBuilder {
    let source: Arc<dyn TableSource> = Arc::clone(&relation) as _;
    LogicalPlanBuilder::scan(relation.name.as_str(), source, None).unwrap()
}

/// `WATERMARK ts DELAY OF …`.
pub fn watermark(plan: LogicalPlanBuilder, delay_minutes: i64) -> LogicalPlanBuilder {
    let input = plan.build().unwrap();
    let (qualifier, _) = input.schema().qualified_field_with_unqualified_name("ts").unwrap();
    let column = Column::new(qualifier.cloned(), "ts");
    let node = WatermarkNode::try_new(Arc::new(input), column, delay_minutes * MINUTE).unwrap();
    LogicalPlanBuilder::from(node.into_plan())
}

/// A column `window` over `ts`, in minutes.
pub fn window(plan: LogicalPlanBuilder, size: i64, slide: i64) -> LogicalPlanBuilder {
    let spec = WindowSpec { size_us: size * MINUTE, slide_us: slide * MINUTE, start_us: 0 };
    let node = WindowNode::try_new(Arc::new(plan.build().unwrap()), col("ts"), spec, "window".into()).unwrap();
    LogicalPlanBuilder::from(node.into_plan())
}

/// Sum and count by window and station.
pub fn sums(plan: LogicalPlanBuilder) -> LogicalPlan {
    let group = vec![col("window"), col("station")];
    let aggregates = vec![sum(col("n")).alias("total"), count(lit(1)).alias("rows")];
    plan.aggregate(group, aggregates).unwrap().build().unwrap()
}

/// The usual flow: 5-minute windows, 10 minutes' delay.
pub fn tumbling() -> LogicalPlan {
    sums(window(watermark(scan("s"), 10), 5, 5))
}

pub fn flow(plan: LogicalPlan) -> Flow {
    let fingerprint = plan.display_indent().to_string();
    let origin = Origin { file: "test.sql".into(), line: 1 };
    Flow { name: "t".into(), target: "t".into(), plan, fingerprint, origin, sql: String::new() }
}

/// Everything outside of a flow; it outlives the process that runs it.
pub struct World {
    pub flow: Flow,
    pub sources: BTreeMap<String, Arc<MemorySource>>,
    pub log: Arc<MemoryFlowLog>,
    pub clock: Arc<ManualClock>,
    pub folder: tempfile::TempDir,
    pub change: Arc<dyn Fn(&mut TaskOptions) + Send + Sync>,
    pub signal: watch::Sender<bool>,
}

impl World {
    /// A world with a source `s` of so many partitions.
    pub fn new(plan: LogicalPlan, partitions: usize) -> Self {
        Self::with_sources(plan, [("s", MemorySource::new(schema(), partitions))])
    }

    pub fn with_sources<'a>(
        plan: LogicalPlan,
        sources: impl IntoIterator<Item = (&'a str, Arc<MemorySource>)>,
    ) -> Self {
        Self {
            flow: flow(plan),
            sources: sources.into_iter().map(|(name, source)| (name.to_owned(), source)).collect(),
            log: MemoryFlowLog::new(),
            clock: ManualClock::new(0),
            folder: tempfile::tempdir().unwrap(),
            change: Arc::new(|_| {}),
            signal: watch::Sender::new(false),
        }
    }

    pub fn program(&self) -> FlowProgram {
        compile(&self.flow, CompileOptions::default()).unwrap()
    }

    pub fn source(&self) -> &MemorySource {
        &self.sources["s"]
    }

    pub async fn open(&self) -> Result<FlowTask, EngineError> {
        let mut options = TaskOptions::new(self.folder.path().join("state"));
        options.clock = Arc::clone(&self.clock) as _;
        (self.change)(&mut options);
        let sources = self.sources.iter().map(|(name, source)| (name.clone(), Arc::clone(source) as Arc<dyn Source>));
        let log = Arc::clone(&self.log) as _;
        let mut task = FlowTask::new(self.program(), sources.collect(), log, options, self.signal.subscribe())?;
        task.open().await?;
        Ok(task)
    }

    /// A process that runs what is there and ends.
    pub async fn run(&self) -> Result<RunSummary, EngineError> {
        self.open().await?.run_available().await
    }

    /// Each commit's rows.
    pub fn commits(&self) -> Vec<Vec<String>> {
        self.log.commits().iter().map(|commit| lines(&commit.rows)).collect()
    }

    /// All rows, sorted.
    pub fn sorted(&self) -> Vec<String> {
        let mut lines = lines(&self.log.rows());
        lines.sort();
        lines
    }

    /// Late rows, sorted.
    pub fn late(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.log.commits().iter().flat_map(|commit| lines(&commit.late)).collect();
        lines.sort();
        lines
    }

    /// Dead letters: class, value and record.
    #[allow(clippy::type_complexity)]
    pub fn dead(&self) -> Vec<(String, String, Option<(i32, i64)>)> {
        let commits = self.log.commits();
        let letters = commits.iter().flat_map(|commit| &commit.dead).map(|letter| {
            let record = letter.record.as_ref().map(|record| (record.partition, record.offset));
            (letter.error_class.clone(), String::from_utf8_lossy(&letter.value).into_owned(), record)
        });
        letters.collect()
    }
}

/// Runs a world straight, then kills or stops its process at every commit and goes on in a new one: the result is the same. Gives the
/// straight one.
pub async fn straight_and_broken(make: impl Fn() -> World) -> World {
    let straight = make();
    straight.run().await.unwrap();
    let commits = straight.log.commits().len();
    let last = straight.log.commits().last().unwrap().progress.clone();
    for broken_at in 0..=commits {
        for how in [Break::Kill { after_writing: false }, Break::Kill { after_writing: true }, Break::Stop] {
            let world = make();
            match how {
                Break::Kill { after_writing } => world.log.die_after(broken_at, after_writing),
                Break::Stop => world.log.stop_at(broken_at, world.signal.clone()),
            }
            let first = world.run().await;
            world.log.revive();
            let world = World { signal: watch::Sender::new(false), ..world };
            world.run().await.unwrap_or_else(|error| panic!("{how:?} at {broken_at}: {error}"));
            assert_eq!(world.sorted(), straight.sorted(), "{how:?} at {broken_at}, first run: {first:?}");
            assert_eq!(world.late(), straight.late(), "{how:?} at {broken_at}");
            assert_eq!(world.dead(), straight.dead(), "{how:?} at {broken_at}");
            let progress = world.log.commits().last().unwrap().progress.clone();
            assert_eq!(progress.totals, last.totals, "{how:?} at {broken_at}");
            assert_eq!(progress.sources, last.sources, "{how:?} at {broken_at}");
            assert_eq!(progress.watermark_us, last.watermark_us, "{how:?} at {broken_at}");
        }
    }
    straight
}

#[derive(Debug, Clone, Copy)]
enum Break {
    Kill { after_writing: bool },
    Stop,
}

/// Rows as text; windows and times as `hh:mm`.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default()
        .with_timestamp_tz_format(Some("%H:%M"))
        .with_timestamp_format(Some("%H:%M"))
        .with_null("null");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            lines.push(cells.join(" | ").replace("{start: ", "[").replace(", end: ", "–").replace('}', ")"));
        }
    }
    lines
}

/// A position of partitions `0` ….
pub fn position(offsets: &[i64]) -> Position {
    offsets.iter().enumerate().map(|(number, offset)| (number.to_string(), *offset)).collect()
}

/// Puts batches into partition 0 such that each is an epoch.
pub fn epochs(source: &MemorySource, batches: &[RecordBatch]) {
    let mut cuts = Vec::new();
    let mut offset = 0;
    for batch in batches {
        source.append("0", batch);
        offset += batch.num_rows() as i64;
        cuts.push(position(&[offset]));
    }
    source.cut(cuts);
}

/// `SELECT …` by names.
pub fn columns(names: &[&str]) -> Vec<Expr> {
    names.iter().map(|name| col(*name)).collect()
}
