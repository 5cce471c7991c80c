//! A table's log as a [`Source`]: what a flow that reads `STREAM table` sees. One partition, in the order the rows were appended.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use millstream_engine::{Position, Source, SourceBatch, SourceError};

use super::reader::{ReadError, TableReader};
use crate::embedded::EmbeddedError;

/// Bytes of the log that are read at once.
const READ_BYTES: usize = 1 << 20;
/// Rows of one batch at most.
const BATCH_ROWS: usize = 8 * 1024;

/// The rows of a streaming table as a stream.
pub struct TableSource {
    reader: TableReader,
    schema: SchemaRef,
}

impl TableSource {
    /// Rows of the table behind `reader`, with the columns of `schema`, by name.
    pub fn new(reader: TableReader, schema: SchemaRef) -> Self {
        Self { reader, schema }
    }

    fn at(&self, offset: i64) -> Position {
        Position::from([(self.reader.table().to_owned(), offset)])
    }

    fn offset(&self, position: &Position) -> Option<i64> {
        position.get(self.reader.table()).copied()
    }
}

#[async_trait]
impl Source for TableSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    async fn start(&self) -> Result<Position, SourceError> {
        Ok(self.at(self.reader.offsets().map_err(log_error)?.log_start))
    }

    async fn end(&self, from: &Position) -> Result<Position, SourceError> {
        let end = self.reader.offsets().map_err(log_error)?.high_watermark;
        Ok(self.at(end.max(self.offset(from).unwrap_or(0))))
    }

    fn read(
        &self,
        from: Position,
        to: Position,
        projection: Option<Vec<usize>>,
    ) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
        let (Some(from), Some(to)) = (self.offset(&from), self.offset(&to)) else { return stream::empty().boxed() };
        let (reader, schema) = (self.reader.clone(), self.schema.clone());
        let chunks = stream::try_unfold(from, move |next| {
            let (reader, schema, projection) = (reader.clone(), schema.clone(), projection.clone());
            async move {
                if next >= to {
                    return Ok(None);
                }
                let chunk = reader.read(next, to, READ_BYTES).await.map_err(read_error)?;
                if chunk.next_offset == next {
                    let gone = format!("the log of table {} ends at {next} and not at {to}", reader.table());
                    return Err(SourceError::Fatal(gone));
                }
                let mut batches = Vec::new();
                for batch in &chunk.batches {
                    let rows = select(batch, &schema, projection.as_deref())
                        .map_err(|e| SourceError::Fatal(format!("table {}: {e}", reader.table())))?;
                    let cuts = (0..rows.num_rows()).step_by(BATCH_ROWS);
                    let partition = reader.table().to_owned();
                    batches.extend(cuts.map(|at| SourceBatch {
                        partition: partition.clone(),
                        // A record is the unit of an offset: only its last row is after it.
                        next_offset: chunk.next_offset,
                        rows: rows.slice(at, BATCH_ROWS.min(rows.num_rows() - at)),
                    }));
                }
                Ok(Some((stream::iter(batches.into_iter().map(Ok)), chunk.next_offset)))
            }
        });
        chunks
            .map(|chunk| chunk.map_or_else(|e| stream::iter(vec![Err(e)]).left_stream(), StreamExt::right_stream))
            .flatten()
            .boxed()
    }

    async fn changed(&self, from: &Position) -> Result<(), SourceError> {
        let from = self.offset(from).unwrap_or(0);
        let mut end = self.reader.watch().map_err(log_error)?;
        match end.wait_for(|end| *end > from).await {
            Ok(_) => Ok(()),
            Err(_) => Err(SourceError::Fatal(format!("the log of table {} is closed", self.reader.table()))),
        }
    }
}

/// Columns of `schema` by name, then those of the projection.
fn select(
    batch: &RecordBatch,
    schema: &SchemaRef,
    projection: Option<&[usize]>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        let at = batch.schema_ref().index_of(field.name())?;
        arrow::compute::cast(batch.column(at), field.data_type())
    });
    let rows = RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)?;
    match projection {
        Some(projection) => rows.project(projection),
        None => Ok(rows),
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
