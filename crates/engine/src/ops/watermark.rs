//! `WATERMARK`: looks at event time as rows pass.

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;

use super::{Notes, Rows};

/// Notes the largest event time of the rows that pass.
#[derive(Debug)]
pub(crate) struct WatermarkOp {
    /// Index of the event time, a timestamp in µs.
    pub column: usize,
}

impl WatermarkOp {
    pub fn apply(&self, rows: Rows, notes: &mut Notes) -> Result<Rows, DataFusionError> {
        let times = rows.batch.column(self.column).as_primitive::<TimestampMicrosecondType>();
        notes.event_time_us = notes.event_time_us.max(arrow::compute::max(times));
        Ok(rows)
    }
}
