//! A table's log as a source: a downstream flow is a follower like any other.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use millstream_engine::{Position, Progress, Source, SourceBatch, SourceError};

use millstream_protocol::records::Scratch;
use parking_lot::Mutex;

use super::hub::TableHub;
use super::reader::{ReadError, TableReader};
use super::topics::flow_topic;
use crate::embedded::EmbeddedError;
use crate::records::visit;

/// Bytes of the log read at once.
const READ_BYTES: usize = 1 << 20;
/// How often the hub is told what the flow needs no more.
const RELEASE_INTERVAL: Duration = Duration::from_secs(60);

/// A [`Source`] over the rows of a streaming table. Its one partition is named as the table; offsets are those of the table's log, so one
/// of them stands for all rows of a record.
pub struct TableSource {
    reader: TableReader,
    hub: Arc<TableHub>,
    flow: String,
    schema: SchemaRef,
    released: Mutex<Option<Instant>>,
}

impl TableSource {
    /// Rows of `hub`'s table for the flow `flow`, with the columns of `schema`, by name. The hub keeps rows until the flow cannot need them
    /// again: they are before the first progress that it keeps.
    pub fn new(hub: Arc<TableHub>, flow: &str, schema: SchemaRef) -> Self {
        hub.expect_follower(&Self::follower(flow));
        Self { reader: hub.reader(), hub, flow: flow.to_owned(), schema, released: Mutex::default() }
    }

    /// The name that a flow has among the followers of a table that it reads.
    pub fn follower(flow: &str) -> String {
        format!("flow {flow}")
    }

    /// Tells the hub from time to time what the flow has passed for good.
    async fn release(&self) {
        {
            let mut released = self.released.lock();
            if released.is_some_and(|at| at.elapsed() < RELEASE_INTERVAL) {
                return;
            }
            *released = Some(Instant::now());
        }
        let log = self.hub.log();
        let topic = flow_topic(&self.flow);
        let Ok(offsets) = log.offsets(&topic, 0) else { return };
        if offsets.log_start == offsets.high_watermark {
            return;
        }
        let Ok(bytes) = log.read(&topic, 0, offsets.log_start, 1).await else { return };
        let first = visit(&bytes, &mut Scratch::default(), |record| {
            if record.offset < offsets.log_start {
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(serde_json::from_slice::<Progress>(record.value.unwrap_or_default()).ok())
        });
        let Ok(Some(Some(progress))) = first else { return };
        let passed = progress.sources.values().filter_map(|position| position.get(self.name()).copied()).min();
        if let Some(passed) = passed {
            self.hub.passed(&Self::follower(&self.flow), passed);
        }
    }

    fn name(&self) -> &str {
        self.reader.table()
    }

    fn begun(&self, from: &Position) -> Result<i64, SourceError> {
        match from.get(self.name()) {
            Some(offset) => Ok(*offset),
            None => Ok(self.reader.offsets().map_err(log_error)?.log_start),
        }
    }
}

fn log_error(error: EmbeddedError) -> SourceError {
    match error {
        EmbeddedError::Unavailable(reason) => SourceError::Unavailable(reason),
        other => SourceError::Fatal(other.to_string()),
    }
}

fn read_error(error: ReadError) -> SourceError {
    match error {
        ReadError::Log(error) => log_error(error),
        other => SourceError::Fatal(other.to_string()),
    }
}

#[async_trait]
impl Source for TableSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn start(&self) -> Result<Position, SourceError> {
        let start = self.reader.offsets().map_err(log_error)?.log_start;
        if start > 0 {
            tracing::warn!(
                table = self.name(),
                "the table's log begins at {start}: a new flow does not see rows before; --full-refresh of the table makes all"
            );
        }
        Ok(Position::from([(self.name().to_owned(), start)]))
    }

    async fn end(&self, from: &Position) -> Result<Position, SourceError> {
        self.release().await;
        let begun = self.begun(from)?;
        let end = self.reader.offsets().map_err(log_error)?.high_watermark.max(begun);
        Ok(Position::from([(self.name().to_owned(), end)]))
    }

    fn read(
        &self,
        from: Position,
        to: Position,
        projection: Option<Vec<usize>>,
    ) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
        let name = self.name().to_owned();
        let begun = self.begun(&from);
        let end = to.get(&name).copied().unwrap_or(0);
        let (reader, schema) = (self.reader.clone(), Arc::clone(&self.schema));
        let next = match begun {
            Ok(next) => next,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let chunks = stream::try_unfold((reader, next), move |(reader, next)| async move {
            if next >= end {
                return Ok(None);
            }
            let chunk = reader.read(next, end, READ_BYTES).await.map_err(read_error)?;
            if chunk.next_offset == next {
                return Err(SourceError::Fatal(format!("the log of table {} ends at {next}", reader.table())));
            }
            let after = chunk.next_offset;
            Ok(Some(((chunk, next), (reader, after))))
        });
        chunks
            .flat_map(move |chunk| {
                let batches = chunk.and_then(|(chunk, _)| {
                    one(chunk.batches, &schema, projection.as_deref(), chunk.next_offset, &name)
                });
                match batches {
                    Ok(batch) => stream::iter(batch.map(Ok)).boxed(),
                    Err(error) => stream::iter([Err(error)]).boxed(),
                }
            })
            .boxed()
    }

    async fn changed(&self, from: &Position) -> Result<(), SourceError> {
        let begun = self.begun(from)?;
        let mut end = self.reader.watch().map_err(log_error)?;
        if end.wait_for(|end| *end > begun).await.is_err() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// All rows of a chunk as one batch: an offset stands for all rows of a record, so a batch must end where a record does.
fn one(
    batches: Vec<RecordBatch>,
    schema: &SchemaRef,
    projection: Option<&[usize]>,
    next_offset: i64,
    table: &str,
) -> Result<Option<SourceBatch>, SourceError> {
    let fail = |e: arrow::error::ArrowError| {
        SourceError::Fatal(format!(
            "rows of table {table} before offset {next_offset} do not fit its columns: {e}; make it anew with --full-refresh {table}"
        ))
    };
    let rows: Vec<RecordBatch> = batches
        .into_iter()
        .map(|batch| {
            let columns = schema
                .fields()
                .iter()
                .map(|field| cast(batch.column(batch.schema_ref().index_of(field.name())?), field.data_type()));
            let batch = RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?;
            projection.map_or(Ok(batch.clone()), |columns| batch.project(columns))
        })
        .collect::<Result<_, _>>()
        .map_err(fail)?;
    let Some(first) = rows.first() else { return Ok(None) };
    let rows = concat_batches(&first.schema(), &rows).map_err(fail)?;
    Ok(Some(SourceBatch { partition: table.to_owned(), next_offset, rows }))
}
