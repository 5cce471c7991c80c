//! Runs a case's pipeline over memory, table after table, and writes down what came out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SessionContext, SessionState};
use futures::TryStreamExt;
use millstream_engine::testing::{ManualClock, MemoryFlowLog, MemorySource};
use millstream_engine::{CompileOptions, FlowTask, Position, Source, StaticTables, TaskOptions, compile, materialize};
use millstream_functions::formats::{CsvWriter, FileReader};
use millstream_functions::time::Zone;
use millstream_functions::{CsvOptions, JsonOptions, Session};
use millstream_sql::{FileFormat, Flow, Relation, RelationKind, TableKind};
use tokio::sync::watch;

use crate::case::Case;

/// What becomes of the process that runs a flow.
#[derive(Debug, Clone, Copy)]
pub enum Break {
    /// It does all its work.
    Never,
    /// It is told to stop after every commit, and another one goes on.
    Stops,
    /// It is killed once, at this commit of each flow.
    Kill { commits: usize, after_writing: bool },
}

/// A table as it came out: each row with the number of input epochs that had been given.
type Rows = Vec<(usize, RecordBatch)>;

/// What came out of a pipeline.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Table and its lines.
    tables: Vec<(String, Vec<String>)>,
    late: Vec<(String, u64)>,
    dead: Vec<String>,
    /// Commits of the flow that had most.
    pub commits: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (table, lines) in &self.tables {
            writeln!(f, "== {table}")?;
            lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        if !self.late.is_empty() {
            writeln!(f, "== late")?;
        }
        self.late.iter().try_for_each(|(table, count)| writeln!(f, "{table} {count}"))?;
        if !self.dead.is_empty() {
            writeln!(f, "== dead letters")?;
        }
        self.dead.iter().try_for_each(|letter| writeln!(f, "{letter}"))
    }
}

pub async fn run(case: &Case, how: Break) -> Result<Outcome, String> {
    let mut world = World::new(case, how);
    let mut outcome = Outcome::default();
    for table in &case.pipeline.tables {
        let mut rows = Rows::new();
        let numbered = matches!(table.kind, TableKind::Streaming);
        if let TableKind::Materialized(plan) = &table.kind {
            let stream = materialize(plan, &world.statics(), &world.session).await;
            let batches: Result<Vec<_>, _> = match stream {
                Ok(stream) => stream.try_collect().await.map_err(|error: DataFusionError| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let batches = batches.map_err(|error| format!("view {}: {error}", table.name))?;
            rows.extend(batches.into_iter().map(|batch| (0, batch)));
        }
        let mut late = 0;
        for flow in case.pipeline.flows.iter().filter(|flow| flow.target == table.name) {
            let log = world.flow(flow).await.map_err(|error| format!("flow {}: {error}", flow.name))?;
            rows.extend(log.rows);
            late += log.late;
            outcome.dead.extend(log.dead);
            outcome.commits = outcome.commits.max(log.commits);
        }
        let rows = rows.into_iter().map(|(epoch, batch)| Ok((epoch, cast(&batch, &table.schema)?)));
        let mut rows = rows.collect::<Result<Rows, String>>()?;
        rows.sort_by_key(|(epoch, _)| *epoch);
        let mut lines = lines(&rows, &table.schema, &world.values);
        if numbered {
            // The order of rows of one epoch is nobody's promise.
            lines.sort();
        }
        let line = |(epoch, line)| if numbered { format!("{epoch}: {line}") } else { line };
        outcome.tables.push((table.name.clone(), lines.into_iter().map(line).collect()));
        if late > 0 {
            outcome.late.push((table.name.clone(), late));
        }
        world.tables.insert(table.name.clone(), rows);
    }
    Ok(outcome)
}

/// What flows see, and how they are run.
struct World<'a> {
    case: &'a Case,
    how: Break,
    values: Session,
    session: SessionState,
    tables: BTreeMap<String, Rows>,
    folder: tempfile::TempDir,
}

/// What came out of a flow.
struct FlowOutcome {
    rows: Rows,
    late: u64,
    dead: Vec<String>,
    commits: usize,
}

/// A stream in memory, epoch by epoch.
struct Input {
    source: Arc<MemorySource>,
    /// Rows that each epoch brings, per partition; and whether a run ends with it.
    epochs: Vec<(Vec<(String, RecordBatch)>, bool)>,
    /// Which input epoch of the case each is; from 1.
    numbers: Vec<usize>,
    /// Where each epoch ends.
    ends: Vec<Position>,
}

impl<'a> World<'a> {
    fn new(case: &'a Case, how: Break) -> Self {
        let zone = case.pipeline.configuration.get("spark.sql.session.timeZone");
        let values = Session::new(zone.and_then(|zone| Zone::parse(zone)).unwrap_or_default());
        let mut session = SessionContext::new().state();
        millstream_functions::register(&mut session, &values).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { case, how, values, session, tables: BTreeMap::new(), folder }
    }

    async fn flow(&self, flow: &Flow) -> Result<FlowOutcome, String> {
        let program = self.compile(flow)?;
        let inputs: BTreeMap<String, Input> = program
            .relations()
            .map(|relation| Ok((relation.name.clone(), self.input(relation)?)))
            .collect::<Result<_, String>>()?;
        let log = MemoryFlowLog::new();
        let runs = self.runs(&inputs);
        let mut given = 0;
        for until in runs {
            for input in inputs.values() {
                input.give(given, until);
            }
            given = until;
            self.run_to_end(flow, &inputs, &log).await?;
        }
        let commits = log.commits();
        let mut outcome = FlowOutcome { rows: Vec::new(), late: 0, dead: Vec::new(), commits: commits.len() };
        for commit in commits {
            let epoch = inputs.iter().map(|(name, input)| input.number(&commit.progress.sources[name])).max();
            outcome.rows.extend(commit.rows.into_iter().map(|batch| (epoch.unwrap_or(0), batch)));
            outcome.late += commit.late.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
            let letters = commit.dead.iter();
            outcome.dead.extend(
                letters.map(|letter| format!("{}|{}", letter.error_class, String::from_utf8_lossy(&letter.value))),
            );
        }
        Ok(outcome)
    }

    /// Up to which epoch each run of the case goes.
    fn runs(&self, inputs: &BTreeMap<String, Input>) -> Vec<usize> {
        let epochs = inputs.values().map(|input| input.epochs.len()).max().unwrap_or(0);
        let ends = (1..epochs)
            .filter(|end| inputs.values().any(|input| input.epochs.get(end - 1).is_some_and(|epoch| epoch.1)));
        ends.chain([epochs]).collect()
    }

    /// Processes, one after the other, until everything there is has been done.
    async fn run_to_end(
        &self,
        flow: &Flow,
        inputs: &BTreeMap<String, Input>,
        log: &Arc<MemoryFlowLog>,
    ) -> Result<(), String> {
        match self.how {
            Break::Never => self.process(flow, inputs, log, watch::Sender::new(false)).await,
            Break::Kill { commits, after_writing } => {
                let before = log.commits().len();
                if before > commits {
                    return self.process(flow, inputs, log, watch::Sender::new(false)).await;
                }
                log.die_after(commits - before, after_writing);
                let killed = self.process(flow, inputs, log, watch::Sender::new(false)).await;
                log.revive();
                match killed {
                    Ok(()) => Ok(()),
                    Err(_) => self.process(flow, inputs, log, watch::Sender::new(false)).await,
                }
            }
            Break::Stops => loop {
                let before = log.commits().len();
                let signal = watch::Sender::new(false);
                log.stop_at(before + 1, signal.clone());
                self.process(flow, inputs, log, signal).await?;
                if log.commits().len() == before {
                    return Ok(());
                }
            },
        }
    }

    async fn process(
        &self,
        flow: &Flow,
        inputs: &BTreeMap<String, Input>,
        log: &Arc<MemoryFlowLog>,
        signal: watch::Sender<bool>,
    ) -> Result<(), String> {
        let options = TaskOptions {
            clock: ManualClock::new(0),
            statics: Some(Arc::new(self.statics())),
            session: self.session.clone(),
            ..TaskOptions::new(self.folder.path().join(&flow.name))
        };
        let sources = inputs.iter().map(|(name, input)| (name.clone(), Arc::clone(&input.source) as Arc<dyn Source>));
        let log = Arc::clone(log) as _;
        let task = FlowTask::new(self.compile(flow)?, sources.collect(), log, options, signal.subscribe());
        let mut task = task.map_err(|error| error.to_string())?;
        task.open().await.map_err(|error| error.to_string())?;
        task.run_available().await.map(drop).map_err(|error| error.to_string())
    }

    fn compile(&self, flow: &Flow) -> Result<millstream_engine::FlowProgram, String> {
        let options = CompileOptions { config: Arc::clone(self.session.config_options()) };
        compile(flow, options).map_err(|error| error.to_string())
    }

    fn statics(&self) -> Statics {
        Statics {
            project: self.case.project.path().to_owned(),
            tables: self.tables.clone(),
            values: self.values.clone(),
            topic: Vec::from_iter((0..self.case.partitions).flat_map(|partition| {
                let mut offset = 0;
                let schema = kafka_schema();
                self.case.epochs.iter().map(move |epoch| {
                    let rows = epoch.rows(partition, offset, &schema);
                    offset += rows.num_rows();
                    rows
                })
            })),
        }
    }

    /// A relation as a stream: a topic's records as the case has them, a file an epoch, a table's rows as its flows gave them.
    fn input(&self, relation: &Relation) -> Result<Input, String> {
        let schema = &relation.schema;
        Ok(match &relation.kind {
            RelationKind::Kafka(_) => {
                let source = MemorySource::new(Arc::clone(schema), self.case.partitions);
                let mut offsets = vec![0; self.case.partitions];
                let epochs = self.case.epochs.iter().map(|epoch| {
                    let rows = offsets.iter_mut().enumerate().map(|(partition, offset)| {
                        let rows = epoch.rows(partition, *offset, schema);
                        *offset += rows.num_rows();
                        (partition.to_string(), rows)
                    });
                    (rows.collect(), epoch.ends_run)
                });
                Input::new(source, epochs.collect(), None)
            }
            RelationKind::Files { .. } => {
                let files = files(self.case.project.path(), relation, &self.values)?;
                let epochs =
                    files.into_iter().enumerate().map(|(index, rows)| (vec![(format!("file-{index}"), rows)], false));
                Input::new(MemorySource::files(Arc::clone(schema)), epochs.collect(), None)
            }
            RelationKind::Table(name) => {
                let mut epochs: Vec<(Vec<(String, RecordBatch)>, bool)> = Vec::new();
                let mut numbers: Vec<usize> = Vec::new();
                for (number, rows) in self.tables.get(name).ok_or("a table that does not stand before")? {
                    if numbers.last() != Some(number) {
                        numbers.push(*number);
                        epochs.push((Vec::new(), false));
                    }
                    epochs.last_mut().unwrap().0.push(("0".to_owned(), cast(rows, schema)?));
                }
                Input::new(MemorySource::new(Arc::clone(schema), 1), epochs, Some(numbers))
            }
        })
    }
}

impl Input {
    fn new(
        source: Arc<MemorySource>,
        epochs: Vec<(Vec<(String, RecordBatch)>, bool)>,
        numbers: Option<Vec<usize>>,
    ) -> Self {
        let numbers = numbers.unwrap_or_else(|| (1..=epochs.len()).collect());
        let mut position = Position::new();
        let ends = epochs.iter().map(|(parts, _)| {
            for (partition, rows) in parts {
                *position.entry(partition.clone()).or_default() += rows.num_rows() as i64;
            }
            position.clone()
        });
        let ends = ends.collect();
        Self { source, epochs, numbers, ends }
    }

    /// Lets epochs `from..to` in.
    fn give(&self, from: usize, to: usize) {
        let to = to.min(self.epochs.len());
        for (partition, rows) in self.epochs[from.min(to)..to].iter().flat_map(|(parts, _)| parts) {
            self.source.append(partition, rows);
        }
        self.source.cut(self.ends[..to].to_vec());
    }

    /// The last epoch of which something has been read.
    fn number(&self, position: &Position) -> usize {
        let read = |partition: &str| position.get(partition).copied().unwrap_or(0);
        let begun = |end: Option<&Position>| match end {
            None => true,
            Some(before) => {
                position.iter().any(|(partition, _)| read(partition) > before.get(partition).copied().unwrap_or(0))
            }
        };
        let last =
            (0..self.ends.len()).rev().find(|&epoch| begun(epoch.checked_sub(1).map(|before| &self.ends[before])));
        last.map_or(0, |epoch| self.numbers[epoch])
    }
}

/// Tables as they stand when everything before has been done.
struct Statics {
    project: PathBuf,
    tables: BTreeMap<String, Rows>,
    values: Session,
    topic: Vec<RecordBatch>,
}

impl StaticTables for Statics {
    fn version(&self, _: &Relation) -> Result<Option<u64>, DataFusionError> {
        Ok(Some(0))
    }

    fn table(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let missing = |error: String| DataFusionError::External(error.into());
        let batches: Vec<RecordBatch> = match &relation.kind {
            RelationKind::Kafka(_) => self.topic.clone(),
            RelationKind::Files { .. } => files(&self.project, relation, &self.values).map_err(missing)?,
            RelationKind::Table(name) => {
                let rows = self.tables.get(name).ok_or_else(|| missing(format!("no table {name}")))?;
                rows.iter().map(|(_, batch)| batch.clone()).collect()
            }
        };
        let cast = batches.iter().map(|batch| cast(batch, &relation.schema)).collect::<Result<Vec<_>, _>>();
        Ok(Arc::new(MemTable::try_new(Arc::clone(&relation.schema), vec![cast.map_err(missing)?])?))
    }
}

/// Each file of a relation, in the order of their names.
fn files(project: &Path, relation: &Relation, values: &Session) -> Result<Vec<RecordBatch>, String> {
    let RelationKind::Files { format, location, options } = &relation.kind else {
        unreachable!("asked for files only")
    };
    let folder = project.join(location);
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let options = || options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let read = |path: &PathBuf| -> Result<RecordBatch, DataFusionError> {
        let input = std::io::BufReader::new(std::fs::File::open(path)?);
        let schema = &relation.schema;
        let mut reader = match format {
            FileFormat::Csv => FileReader::csv(input, schema, None, &CsvOptions::parse(options())?, values)?,
            FileFormat::Json => FileReader::json(input, schema, None, &JsonOptions::parse(options())?, values)?,
            FileFormat::Text => FileReader::text(input, schema, None, None)?,
            FileFormat::Parquet => return Err(DataFusionError::NotImplemented("Parquet in a golden case".into())),
        };
        let mut batches = Vec::new();
        while let Some(batch) = reader.next_batch()? {
            batches.push(batch.with_schema(Arc::clone(schema))?);
        }
        Ok(arrow::compute::concat_batches(schema, &batches)?)
    };
    paths.iter().map(|path| read(path).map_err(|error| format!("{}: {error}", path.display()))).collect()
}

fn kafka_schema() -> SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", time, true),
        Field::new("timestampType", DataType::Int32, true),
    ]))
}

fn cast(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
    let columns = columns.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| error.to_string())
}

/// Rows as lines of CSV, with their epoch.
fn lines(rows: &Rows, schema: &SchemaRef, values: &Session) -> Vec<(usize, String)> {
    let writer = CsvWriter::new(schema, &CsvOptions::default(), values).unwrap();
    let mut lines = Vec::new();
    for (epoch, batch) in rows {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        writer.write_rows(batch, &mut text, &mut ends).unwrap();
        let starts = [0].into_iter().chain(ends.iter().copied());
        for (from, to) in starts.zip(&ends) {
            let line = String::from_utf8_lossy(&text[from..*to]).replace('\n', "\\n");
            lines.push((*epoch, line));
        }
    }
    lines
}
