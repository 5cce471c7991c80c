//! Running a flow.

mod clock;
mod error;
mod flow_log;
mod source;

pub use clock::{Clock, SystemClock};
pub use error::EngineError;
pub use flow_log::{Commit, CommitError, DeadLetter, FlowLog, Progress, Totals};
pub use source::{Position, RecordId, Source, SourceBatch, SourceError};
