//! `window(time, size, slide)`: which windows a row lies in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{is_not_null, take, take_record_batch};
use arrow::datatypes::{DataType, Fields, SchemaRef, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use millstream_sql::logical::WindowSpec;

use super::filter::filter_rows;
use super::{Notes, Rows};

/// Each row comes out once for each of its windows, with the window as a last column. A row without a time lies in none.
#[derive(Debug)]
pub(crate) struct WindowOp {
    pub time: Arc<dyn PhysicalExpr>,
    pub spec: WindowSpec,
    /// Type of the window's start and end.
    pub bound_type: DataType,
    /// Fields of the window's struct.
    pub fields: Fields,
    pub schema: SchemaRef,
}

impl WindowOp {
    pub fn apply(&self, rows: Rows, notes: &mut Notes) -> Result<Rows, DataFusionError> {
        let times = self.time.evaluate(&rows.batch)?.into_array(rows.batch.num_rows())?;
        let mut times: TimestampMicrosecondArray = times.as_primitive::<TimestampMicrosecondType>().clone();
        let mut rows = rows;
        if times.null_count() > 0 {
            let nulls: Vec<usize> = (0..times.len()).filter(|row| times.is_null(*row)).collect();
            notes.null_times(rows.origin.as_ref(), nulls.into_iter());
            let known = is_not_null(&times)?;
            rows = filter_rows(rows, &known)?;
            times = arrow::compute::filter(&times, &known)?.as_primitive::<TimestampMicrosecondType>().clone();
        }
        let starts: Vec<i64> = if self.spec.is_tumbling() {
            times.values().iter().map(|time_us| self.spec.last_start_us(*time_us)).collect()
        } else {
            let mut starts = Vec::with_capacity(times.len() * 2);
            let mut indices = Vec::with_capacity(times.len() * 2);
            for (row, time_us) in times.values().iter().enumerate() {
                let before = starts.len();
                starts.extend(self.spec.starts_us(*time_us));
                indices.resize(indices.len() + starts.len() - before, row as u32);
            }
            let indices = UInt32Array::from(indices);
            rows.batch = take_record_batch(&rows.batch, &indices)?;
            rows.origin = match rows.origin {
                Some(origin) => Some(take(&origin, &indices, None)?.as_primitive().clone()),
                None => None,
            };
            starts
        };
        let ends: Vec<i64> = starts.iter().map(|start_us| start_us + self.spec.size_us).collect();
        let bounds: Vec<ArrayRef> = vec![self.bounds(starts), self.bounds(ends)];
        let mut columns = rows.batch.columns().to_vec();
        columns.push(Arc::new(StructArray::try_new(self.fields.clone(), bounds, None)?));
        Ok(Rows { batch: RecordBatch::try_new(Arc::clone(&self.schema), columns)?, origin: rows.origin })
    }

    fn bounds(&self, values: Vec<i64>) -> ArrayRef {
        let bounds = TimestampMicrosecondArray::new(ScalarBuffer::from(values), None);
        Arc::new(bounds.with_data_type(self.bound_type.clone()))
    }
}
