//! Row-wise operators: each row of the output comes from one row of the input, so that a range of rows can be gone through again in
//! pieces when one of them fails.

mod filter;
mod join;
mod malformed;
mod project;
mod unnest;
mod watermark;
mod window;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::error::DataFusionError;

pub(crate) use filter::{FilterOp, drop_unused_columns};
pub(crate) use join::{JoinKind, JoinOp, StaticSide};
pub(crate) use malformed::Reader;
pub(crate) use project::ProjectOp;
pub(crate) use unnest::UnnestOp;
pub(crate) use watermark::WatermarkOp;
pub(crate) use window::WindowOp;

use crate::fault::RowFault;

/// Rows between two operators.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub batch: RecordBatch,
    /// For each row, the row of the segment's input that it comes from; kept only when a row is looked for.
    pub origin: Option<UInt32Array>,
}

/// What operators notice besides their output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// Largest event time that passed the watermark.
    pub event_time_us: Option<i64>,
    /// Rows to be told of are there, but whose they are is not known without origins.
    pub wants_origin: bool,
    /// Rows to be told of.
    pub faults: Vec<RowFault>,
}

impl Notes {
    /// These rows are left out because their event time is null.
    pub fn null_times(&mut self, origin: Option<&UInt32Array>, rows: impl Iterator<Item = usize>) {
        match origin {
            Some(origin) => self.faults.extend(rows.map(|row| RowFault::null_time(origin.value(row)))),
            None => self.wants_origin = true,
        }
    }
}

/// An operator of a segment.
#[derive(Debug)]
pub(crate) enum Op {
    Filter(FilterOp),
    Project(ProjectOp),
    Watermark(WatermarkOp),
    Window(WindowOp),
    Unnest(UnnestOp),
    Join(JoinOp),
}

impl Op {
    /// Sends rows through. An error means that at least one row cannot be processed.
    pub fn apply(&self, rows: Rows, notes: &mut Notes) -> Result<Rows, DataFusionError> {
        match self {
            Self::Filter(op) => op.apply(rows, notes),
            Self::Project(op) => op.apply(rows, notes),
            Self::Watermark(op) => op.apply(rows, notes),
            Self::Window(op) => op.apply(rows, notes),
            Self::Unnest(op) => op.apply(rows),
            Self::Join(op) => op.apply(rows),
        }
    }
}
