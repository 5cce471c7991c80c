//! `GROUP BY` over event time, and `SELECT DISTINCT` with it: groups live until the watermark passes their window.

mod buckets;
mod groups;
mod split;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Fields, SchemaRef, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use millstream_sql::logical::WindowSpec;

pub(crate) use buckets::Buckets;
pub(crate) use groups::{Groups, State};

/// What an aggregate is, made once from the plan.
#[derive(Debug)]
pub(crate) struct AggregateSpec {
    /// Physical group keys; a window is kept as its end.
    pub keys: SchemaRef,
    /// Which key is the time by which groups are let go.
    pub time: usize,
    /// Keys that are windows, with the type that they come out as.
    pub windows: Vec<(usize, WindowSpec, Fields)>,
    pub functions: Vec<Function>,
    /// Output: keys, then functions.
    pub schema: SchemaRef,
    /// Columns of a group's state: keys, then each function's state.
    pub state: SchemaRef,
    /// Span of event time that is kept together at least, in µs.
    pub width_us: i64,
}

/// An aggregate function and where its arguments stand among the prepared columns.
#[derive(Debug)]
pub(crate) struct Function {
    pub expr: Arc<AggregateFunctionExpr>,
    pub args: Range<usize>,
    /// Column of `FILTER (WHERE …)`.
    pub filter: Option<usize>,
    /// Number of columns of its state.
    pub state_columns: usize,
}

impl AggregateSpec {
    /// Groups as rows of the output: windows get their start back.
    pub fn output(&self, mut keys: Vec<ArrayRef>, values: Vec<ArrayRef>) -> Result<RecordBatch, DataFusionError> {
        for (index, spec, fields) in &self.windows {
            let ends = keys[*index].as_primitive::<TimestampMicrosecondType>();
            let starts: TimestampMicrosecondArray = ends.unary(|end_us| end_us - spec.size_us);
            let bound = |times: TimestampMicrosecondArray| -> ArrayRef {
                Arc::new(times.with_data_type(fields[0].data_type().clone()))
            };
            let nulls = ends.nulls().cloned();
            let bounds = vec![bound(starts), bound(ends.clone())];
            keys[*index] = Arc::new(StructArray::try_new(fields.clone(), bounds, nulls)?);
        }
        keys.extend(values);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), keys)?)
    }

    /// The time of each group among its keys.
    pub fn times<'a>(&self, keys: &'a [ArrayRef]) -> &'a TimestampMicrosecondArray {
        keys[self.time].as_primitive::<TimestampMicrosecondType>()
    }
}

/// Is this a type that time can be taken from?
pub(crate) fn is_event_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _))
}
