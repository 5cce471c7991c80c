//! Where a flow's rows come from, as the engine sees it.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;

/// Next offset of each partition of a source. A partition is named as its source likes (`topic-0`, a file's path); an offset counts
/// what has been read of it.
pub type Position = BTreeMap<String, i64>;

/// Rows of one partition, in order. The engine keeps a clock per partition, so a batch never mixes two.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// Key in [`Position`].
    pub partition: String,
    /// Offset after the last row.
    pub next_offset: i64,
    /// The rows, of the source's schema (after its projection).
    pub rows: RecordBatch,
}

/// A replayable source: reading the same range twice gives the same rows.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Columns it gives.
    fn schema(&self) -> SchemaRef;
    /// Where a flow begins that has no progress (`startingOffsets`).
    async fn start(&self) -> Result<Position, SourceError>;
    /// What can be read now (high watermarks), given what has been read. Cut by the source's own limit (`maxOffsetsPerTrigger`).
    /// Partitions that appeared since are included. Never below `from`.
    async fn end(&self, from: &Position) -> Result<Position, SourceError>;
    /// Rows from `from` (inclusive) to `to` (exclusive), batches of at most some thousand rows; with `projection`, only those columns.
    /// A partition that is in `to` and not in `from` is read from its beginning.
    fn read(
        &self,
        from: Position,
        to: Position,
        projection: Option<Vec<usize>>,
    ) -> BoxStream<'static, Result<SourceBatch, SourceError>>;
    /// High watermarks as they stand now, not cut by any limit: what `run` reads up to before it ends. `None`: the source has no limit of
    /// its own, so that [`Source::end`] says it.
    async fn latest(&self, from: &Position) -> Result<Option<Position>, SourceError> {
        let _ = from;
        Ok(None)
    }
    /// Can this partition never get another row once it has been read to its end (a file)? Such a one does not hold the watermark back.
    fn partition_ends(&self, partition: &str) -> bool {
        let _ = partition;
        false
    }
    /// `reader`, a flow's input, would read again from here after a crash: state is on disk up to `from`. What can be kept from retention is.
    fn needed_from(&self, reader: &str, from: &Position) {
        let _ = (reader, from);
    }
    /// The world that its positions belong to, in words (`cluster 5L6g3nShT-eMCtK--X86sw`): the same names and offsets mean other rows in
    /// another one. `None`: they mean the same everywhere, or it cannot be told.
    async fn origin(&self) -> Result<Option<String>, SourceError> {
        Ok(None)
    }
    /// Resolves when [`Source::end`] may be beyond `from`. May resolve early; must not miss.
    async fn changed(&self, from: &Position) -> Result<(), SourceError>;
    /// May a record be blamed by partition and offset in dead letters? (`topic`, `partition`, `offset` of a row, from the metadata.)
    fn record_of(&self, partition: &str, offset: i64) -> Option<RecordId> {
        let _ = (partition, offset);
        None
    }
}

/// One record of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordId {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Try again later (a broker that is down); the engine waits and shows the reason.
    #[error("{0}; waiting for it")]
    Unavailable(String),
    /// What was asked for is gone (retention passed it) or can never be read.
    #[error("{0}")]
    Fatal(String),
}
