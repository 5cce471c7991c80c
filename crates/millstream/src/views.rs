//! Materialized views: computed anew from tables as they stand, put in place as a whole.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use futures::TryStreamExt;
use millstream_connectors::file_sink::{Committed, LocalDisk, Overwrite};
use millstream_engine::materialize;
use millstream_sql::{Table, TableKind};
use parking_lot::RwLock;

use crate::graph::Graph;

/// Rows of a view kept for the page.
const SHOWN_ROWS: usize = 5_000;

/// The current answer of a view, for people.
#[derive(Default)]
pub struct Answer {
    /// Its first rows.
    pub rows: Vec<RecordBatch>,
    /// What was written.
    pub committed: Option<Committed>,
    /// Why it is not current.
    pub problem: Option<String>,
    /// Counts answers.
    pub version: u64,
}

/// Computes a view and puts its files in place.
pub async fn compute(graph: &Graph, view: &Table, answer: &RwLock<Answer>) -> Result<Committed> {
    let done = write(graph, view).await.with_context(|| format!("materialized view {}", view.name));
    let mut answer = answer.write();
    match done {
        Ok((committed, rows)) => {
            answer.rows = rows;
            answer.committed = Some(committed.clone());
            answer.problem = None;
            answer.version += 1;
            Ok(committed)
        }
        Err(error) => {
            answer.problem = Some(format!("{error:#}"));
            Err(error)
        }
    }
}

async fn write(graph: &Graph, view: &Table) -> Result<(Committed, Vec<RecordBatch>)> {
    let TableKind::Materialized(plan) = &view.kind else { return Err(anyhow!("{} is no view", view.name)) };
    let mut rows = materialize(plan, graph.statics().as_ref(), &graph.session).await?;
    let config = Arc::new(graph.file_config(view)?);
    let schema = Arc::clone(&view.schema);
    let mut writer = Overwrite::begin(config, Arc::new(LocalDisk))?;
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
