//! Why a flow cannot be run, or stopped.

use std::path::PathBuf;

use datafusion::error::DataFusionError;

use crate::flow_log::CommitError;
use crate::source::SourceError;

/// What went wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The plan asks for something a stream cannot do here.
    #[error("{what} is not supported in a streaming table; {remedy}")]
    Unsupported {
        /// The plan node or function.
        what: String,
        /// What to write instead.
        remedy: String,
    },
    /// An expression cannot be made ready to run, or the engine broke a promise to DataFusion.
    #[error("{0}")]
    Plan(#[from] DataFusionError),
    /// No source was given for a relation of the plan.
    #[error("relation {0} has no source")]
    MissingSource(String),
    /// A source is not usable any more.
    #[error("source {relation}: {error}")]
    Source {
        /// Name of the relation.
        relation: String,
        /// What the source said.
        error: SourceError,
    },
    /// The flow's log is not usable.
    #[error("flow log: {0}")]
    Log(#[from] CommitError),
    /// The query is another one than the state was made by.
    #[error(
        "the query of {flow} has changed since its epoch {epoch}: {change}. Its state and position belong to the old query. To begin \
         anew: `--full-refresh {table}`; to keep what is there: give the changed query another name"
    )]
    Changed {
        /// Name of the flow.
        flow: String,
        /// The table it feeds.
        table: String,
        /// Last epoch of the old query.
        epoch: u64,
        /// The first difference that is known.
        change: String,
    },
    /// A source is in another world than the flow's position.
    #[error(
        "{flow} has read {relation} from {was} so far; what is named now is {origin}, where the same offsets are of other records. To go \
         on: name the one from before; to begin anew with this one: `--full-refresh {table}`"
    )]
    Elsewhere {
        /// Name of the flow.
        flow: String,
        /// The table it feeds.
        table: String,
        /// Name of the source.
        relation: String,
        /// Where the position is from.
        was: String,
        /// Where the source is now.
        origin: String,
    },
    /// Progress says there was state, but it is not there.
    #[error("{path}: the state of {flow} as of epoch {epoch} is missing. To begin anew: `--full-refresh {table}`")]
    StateMissing {
        /// Name of the flow.
        flow: String,
        /// The table it feeds.
        table: String,
        /// Folder of the state.
        path: PathBuf,
        /// Epoch that is known last.
        epoch: u64,
    },
    /// Rows that state was made of after its last snapshot are not in the source any more, so that it cannot be made again.
    #[error(
        "of {read} rows that {flow} read after the last snapshot of its state, its source has {left} left: retention or deletion took the \
         others, and sums without them would be wrong. To begin anew with what is there: `--full-refresh {table}`"
    )]
    RowsGone {
        /// Name of the flow.
        flow: String,
        /// The table it feeds.
        table: String,
        /// Rows that were read.
        read: u64,
        /// Rows that are still there.
        left: u64,
    },
    /// A file of the state cannot be read or written.
    #[error("{path}: {message}")]
    State {
        /// The file.
        path: PathBuf,
        /// What happened.
        message: String,
    },
    /// A row failed and `millstream.on.error` is `fail`.
    #[error("[{class}] {message} ({place}); `millstream.on.error` is `fail`")]
    Row {
        /// Error class as Spark names it.
        class: String,
        /// What was wrong.
        message: String,
        /// The record, where one is to blame.
        place: String,
    },
    /// Told to stop while waiting.
    #[error("stopped while {0}")]
    Stopped(String),
}

impl EngineError {
    /// An [`EngineError::Unsupported`].
    pub(crate) fn unsupported(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), remedy: remedy.into() }
    }
}

impl From<arrow::error::ArrowError> for EngineError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Plan(error.into())
    }
}
