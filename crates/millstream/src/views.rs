//! Materialized views: computed anew from tables as they stand, put in place as a whole.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use millstream_connectors::file_sink::{Committed, LocalDisk, Overwrite};
use millstream_engine::{Source, StaticTables, materialize};
use millstream_sql::{Relation, RelationKind, Table, TableKind, relations_of};
use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};

use crate::graph::Graph;

/// Rows of a view kept for the page.
const SHOWN_ROWS: usize = 5_000;
/// A view without rows is looked at this often, if its trigger is not sooner: the rows of a fresh start come within seconds.
const FRESH: Duration = Duration::from_millis(500);
/// Views are computed anew from whole tables: for so many times what that took, they rest.
const REST: u32 = 20;

/// The current answer of a view, for people.
#[derive(Default)]
pub struct Answer {
    /// Its first rows.
    pub rows: Vec<RecordBatch>,
    /// What was written.
    pub committed: Option<Committed>,
    /// What it waits for.
    pub waiting: Option<String>,
    /// Counts answers.
    pub version: u64,
}

/// Views that are kept current side by side.
pub struct Turns {
    /// One is computed at a time: each may need much memory.
    turn: Mutex<()>,
    views: u32,
}

impl Turns {
    /// Of so many views.
    pub fn new(views: usize) -> Self {
        Self { turn: Mutex::default(), views: u32::try_from(views).unwrap_or(u32::MAX) }
    }
}

/// Computes a view, and again whenever what it reads has changed, until `stop` turns true. It is looked every `millstream.trigger`.
pub async fn keep(
    graph: &Graph,
    view: &Table,
    answer: &RwLock<Answer>,
    turns: &Turns,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let inputs = Inputs::new(graph, plan(view)?)?;
    let trigger = graph.file_config(view)?.trigger;
    let mut seen: Option<Vec<u64>> = None;
    loop {
        let mut took = Duration::ZERO;
        match inputs.versions().await? {
            Ok(found) if seen.as_ref() == Some(&found) => {}
            Ok(found) => {
                let _turn = tokio::select! {
                    turn = turns.turn.lock() => turn,
                    _ = stop.wait_for(|stop| *stop) => return Ok(()),
                };
                let began = Instant::now();
                replace(graph, view, answer).await?;
                took = began.elapsed();
                seen = Some(found);
            }
            Err(name) => answer.write().waiting = Some(format!("{name} was never computed yet")),
        }
        let fresh = answer.read().committed.as_ref().is_none_or(|committed| committed.rows == 0);
        let pause = if fresh { trigger.min(FRESH) } else { trigger };
        let rest = took.saturating_mul(REST.saturating_mul(turns.views));
        tokio::select! {
            () = tokio::time::sleep(pause.max(rest)) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// What a view reads.
struct Inputs {
    statics: Arc<dyn StaticTables>,
    stored: Vec<Relation>,
    topics: Vec<Arc<dyn Source>>,
}

impl Inputs {
    fn new(graph: &Graph, plan: &LogicalPlan) -> Result<Self> {
        let is_topic = |relation: &Relation| matches!(relation.kind, RelationKind::Kafka(_));
        let (topics, stored): (Vec<_>, Vec<_>) = relations_of(plan).into_iter().partition(is_topic);
        let topics = topics.iter().map(|topic| graph.sources.stream("", topic, &graph.hubs));
        Ok(Self { statics: graph.statics(), stored, topics: topics.collect::<Result<_>>()? })
    }

    /// Other numbers whenever rows may have changed, or the name of a view among them that was never computed.
    async fn versions(&self) -> Result<Result<Vec<u64>, String>> {
        let (statics, stored) = (Arc::clone(&self.statics), self.stored.clone());
        let look = move || {
            let version = |relation: &Relation| Ok(statics.version(relation)?.ok_or_else(|| relation.name.clone()));
            stored.iter().map(version).collect::<Result<Result<Vec<u64>, String>>>()
        };
        let mut versions = match tokio::task::spawn_blocking(look).await?? {
            Ok(versions) => versions,
            Err(name) => return Ok(Err(name)),
        };
        for topic in &self.topics {
            let start = topic.start().await?;
            let end = match topic.latest(&start).await? {
                Some(end) => end,
                None => topic.end(&start).await?,
            };
            let mut hasher = DefaultHasher::new();
            (start, end).hash(&mut hasher);
            versions.push(hasher.finish());
        }
        Ok(Ok(versions))
    }
}

/// Computes a view and puts its files in place.
pub async fn compute(graph: &Graph, view: &Table, answer: &RwLock<Answer>) -> Result<Committed> {
    replace(graph, view, answer).await.with_context(|| format!("materialized view {}", view.name))
}

async fn replace(graph: &Graph, view: &Table, answer: &RwLock<Answer>) -> Result<Committed> {
    let (committed, rows) = write(graph, view).await?;
    let mut answer = answer.write();
    answer.rows = rows;
    answer.committed = Some(committed.clone());
    answer.waiting = None;
    answer.version += 1;
    Ok(committed)
}

fn plan(view: &Table) -> Result<&LogicalPlan> {
    match &view.kind {
        TableKind::Materialized(plan) => Ok(plan),
        TableKind::Streaming => Err(anyhow!("{} is no view", view.name)),
    }
}

async fn write(graph: &Graph, view: &Table) -> Result<(Committed, Vec<RecordBatch>)> {
    let mut rows = materialize(plan(view)?, graph.statics().as_ref(), &graph.session).await?;
    let config = Arc::new(graph.file_config(view)?);
    let schema = Arc::clone(&view.schema);
    let mut writer = tokio::task::block_in_place(|| Overwrite::begin(config, Arc::new(LocalDisk)))?;
    let (mut shown, mut count) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await? {
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)?;
        tokio::task::block_in_place(|| writer.write(&batch))?;
        if count < SHOWN_ROWS {
            shown.push(batch.slice(0, batch.num_rows().min(SHOWN_ROWS - count)));
            count += batch.num_rows();
        }
    }
    let version = chrono::Utc::now().timestamp_millis() as u64;
    Ok((tokio::task::block_in_place(|| writer.commit(version))?, shown))
}
