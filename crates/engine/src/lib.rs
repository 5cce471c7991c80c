//! Running a flow: a query's plan becomes a chain of operators that rows of a [`Source`] go through in epochs, and what comes out goes to
//! a [`FlowLog`], one atomic commit an epoch.
//!
//! The way of a row: [`compile`] cuts a plan into *segments* of row-wise operators between *stateful* ones; a [`FlowTask`] reads a range of
//! the sources, sends batches through the segments, lets windows close by the watermark and commits. State is a function of the log:
//! what is in memory can always be had again from a snapshot and the epochs after it.
//!
//! The engine knows no Kafka, no HTTP and no user's files. Time comes from a [`Clock`] that it is given.

mod aggregate;
mod blame;
mod clock;
mod compile;
mod error;
mod fault;
mod flow_log;
mod ops;
mod segment;
mod source;
mod state;
mod statics;
mod stats;
mod task;
pub mod testing;
mod watermark;

pub use clock::{Clock, SystemClock};
pub use compile::{CompileOptions, FlowProgram, compile};
pub use error::EngineError;
pub use flow_log::{Commit, CommitError, DeadLetter, FlowLog, Progress, Reading, Totals};
pub use source::{Position, RecordId, Source, SourceBatch, SourceError};
pub use state::forget;
pub use statics::{StaticTables, materialize};
pub use stats::{FlowStats, StatsHandle, Status, StepKind, StepStats};
pub use task::{FlowTask, OnError, RunSummary, TaskOptions};
