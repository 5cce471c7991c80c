//! Row-wise operators: each row of the output comes from one row of the input, so that a range of rows can be gone through again in
//! pieces when one of them fails.

mod filter;
mod join;
mod project;
mod unnest;
mod watermark;
mod window;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::error::DataFusionError;

pub(crate) use filter::{FilterOp, drop_unused_columns};
pub(crate) use join::{JoinKind, JoinOp, StaticSide};
pub(crate) use project::ProjectOp;
pub(crate) use unnest::UnnestOp;
pub(crate) use watermark::WatermarkOp;
pub(crate) use window::WindowOp;

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
    /// Rows left out because their event time is null.
    pub null_times: usize,
    /// Their origins, where those are kept.
    pub null_time_origins: Vec<u32>,
}

impl Notes {
    /// Rows for which `is_null` holds were left out.
    pub fn null_times(&mut self, origin: Option<&UInt32Array>, rows: impl ExactSizeIterator<Item = usize>) {
        self.null_times += rows.len();
        if let Some(origin) = origin {
            self.null_time_origins.extend(rows.map(|row| origin.value(row)));
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
            Self::Filter(op) => op.apply(rows),
            Self::Project(op) => op.apply(rows),
            Self::Watermark(op) => op.apply(rows, notes),
            Self::Window(op) => op.apply(rows, notes),
            Self::Unnest(op) => op.apply(rows),
            Self::Join(op) => op.apply(rows),
        }
    }
}
