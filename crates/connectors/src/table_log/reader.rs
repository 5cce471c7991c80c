//! Reading a table's log: what followers and downstream flows do.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use millstream_protocol::records::{BatchError, Scratch};
use tokio::sync::watch;

use super::payload;
use super::topics::table_topic;
use crate::embedded::{EmbeddedError, EmbeddedLog, PartitionOffsets};
use crate::records::visit;

/// Why a table's log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log says no.
    #[error(transparent)]
    Log(#[from] EmbeddedError),
    /// Damaged bytes.
    #[error("the log of table {table} from offset {offset}: {source}")]
    Batch {
        /// Table.
        table: String,
        /// Where the reading began.
        offset: i64,
        /// What is wrong.
        source: BatchError,
    },
    /// Bytes that are not rows.
    #[error("the log of table {table} at offset {offset} holds no rows: {source}")]
    Rows {
        /// Table.
        table: String,
        /// The record.
        offset: i64,
        /// What is wrong.
        source: ArrowError,
    },
}

/// Rows of one or more records of a table's log.
#[derive(Debug, Clone, Default)]
pub struct TableChunk {
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
    /// Offset after the last record read.
    pub next_offset: i64,
}

impl TableChunk {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Reads the log of one table.
#[derive(Clone)]
pub struct TableReader {
    log: Arc<dyn EmbeddedLog>,
    table: String,
    topic: String,
}

impl TableReader {
    /// A reader of `table`'s log, which must have been made.
    pub fn new(log: Arc<dyn EmbeddedLog>, table: &str) -> Self {
        Self { log, table: table.to_owned(), topic: table_topic(table) }
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// First and last offsets.
    pub fn offsets(&self) -> Result<PartitionOffsets, EmbeddedError> {
        self.log.offsets(&self.topic, 0)
    }

    /// The end of the log as it moves.
    pub fn watch(&self) -> Result<watch::Receiver<i64>, EmbeddedError> {
        self.log.watch(&self.topic, 0)
    }

    /// Rows of records from `from` to before `to`, about `max_bytes` of them as they lie in the log (at least one record if there is one).
    pub async fn read(&self, from: i64, to: i64, max_bytes: usize) -> Result<TableChunk, ReadError> {
        let mut chunk = TableChunk { batches: Vec::new(), next_offset: from };
        if from >= to {
            return Ok(chunk);
        }
        let bytes = self.log.read(&self.topic, 0, from, max_bytes).await?;
        let mut failed = None;
        let read = visit(&bytes, &mut Scratch::default(), |record| {
            if record.offset < from {
                return ControlFlow::Continue(());
            }
            if record.offset >= to {
                return ControlFlow::Break(());
            }
            match payload::decode(record.value.unwrap_or_default()) {
                Ok(batches) => chunk.batches.extend(batches),
                Err(source) => {
                    failed = Some(ReadError::Rows { table: self.table.clone(), offset: record.offset, source });
                    return ControlFlow::Break(());
                }
            }
            chunk.next_offset = record.offset + 1;
            ControlFlow::Continue(())
        });
        read.map_err(|source| ReadError::Batch { table: self.table.clone(), offset: from, source })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(chunk),
        }
    }
}
