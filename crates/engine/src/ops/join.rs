//! A stream joined with a static table that is held in memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{and, cast, is_not_null, not, take, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::Rows;
use super::filter::filter_rows;

/// What a row of the stream becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    /// One row for each match.
    Inner,
    /// The same, and one with nulls if nothing matches.
    Outer,
    /// Itself if something matches.
    Semi,
    /// Itself if nothing matches. `null_aware`: as `NOT IN`, where a null among the keys decides.
    Anti { null_aware: bool },
}

/// Joins rows of a stream with a static side.
#[derive(Debug)]
pub(crate) struct JoinOp {
    pub kind: JoinKind,
    pub stream_is_left: bool,
    /// Over the stream's columns.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    pub side: Arc<StaticSide>,
    /// Over the columns of both.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Columns of both, left before right.
    pub both: SchemaRef,
    pub schema: SchemaRef,
    pub null_equals_null: bool,
}

/// The static side of a join: a plan, and its rows once they were read.
#[derive(Debug)]
pub(crate) struct StaticSide {
    plan: LogicalPlan,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    table: RwLock<Option<Arc<StaticTable>>>,
}

/// Rows by key.
#[derive(Debug)]
struct StaticTable {
    rows: RecordBatch,
    converter: Option<RowConverter>,
    by_key: HashMap<Vec<u8>, Vec<u32>, ahash::RandomState>,
    has_null_key: bool,
}

impl StaticSide {
    pub fn new(plan: LogicalPlan, keys: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        Self { plan, keys, table: RwLock::new(None) }
    }

    pub fn plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// Puts the plan's rows in place of those that were there.
    pub fn load(&self, rows: RecordBatch) -> Result<(), DataFusionError> {
        let columns = evaluate(&self.keys, &rows)?;
        let fields: Vec<SortField> = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        let mut by_key: HashMap<Vec<u8>, Vec<u32>, ahash::RandomState> = HashMap::default();
        let mut has_null_key = false;
        match &converter {
            Some(converter) => {
                let keys = converter.convert_columns(&columns)?;
                for (row, key) in keys.iter().enumerate() {
                    has_null_key |= columns.iter().any(|column| column.is_null(row));
                    by_key.entry_ref(key.as_ref()).or_default().push(row as u32);
                }
            }
            None => {
                by_key.insert(Vec::new(), (0..rows.num_rows() as u32).collect());
            }
        }
        *self.table.write() = Some(Arc::new(StaticTable { rows, converter, by_key, has_null_key }));
        Ok(())
    }
}

impl JoinOp {
    pub fn apply(&self, rows: Rows) -> Result<Rows, DataFusionError> {
        let table = self.side.table.read().clone();
        let table =
            table.ok_or_else(|| DataFusionError::Internal("the static side is read before rows come".into()))?;
        let keys = evaluate(&self.keys, &rows.batch)?;
        let (stream, fixed) = self.pairs(&table, &keys, rows.batch.num_rows())?;
        let (stream, fixed) = self.filtered(&table, &rows.batch, stream, fixed)?;
        match self.kind {
            JoinKind::Inner => self.joined(&table, rows, stream, fixed.into_iter().map(Some).collect()),
            JoinKind::Outer => {
                let (stream, fixed) = with_unmatched(rows.batch.num_rows(), &stream, &fixed);
                self.joined(&table, rows, stream, fixed)
            }
            JoinKind::Semi | JoinKind::Anti { .. } => {
                let mut matched = vec![false; rows.batch.num_rows()];
                for row in stream {
                    matched[row as usize] = true;
                }
                let mut selected = BooleanArray::from(matched);
                if let JoinKind::Anti { null_aware } = self.kind {
                    selected = not(&selected)?;
                    if null_aware && table.has_null_key {
                        selected = BooleanArray::from(vec![false; rows.batch.num_rows()]);
                    }
                    if null_aware && table.rows.num_rows() > 0 {
                        for key in &keys {
                            selected = and(&selected, &is_not_null(key)?)?;
                        }
                    }
                }
                filter_rows(rows, &selected)
            }
        }
    }

    /// Rows with equal keys, in the stream's order.
    fn pairs(
        &self,
        table: &StaticTable,
        keys: &[ArrayRef],
        count: usize,
    ) -> Result<(Vec<u32>, Vec<u32>), DataFusionError> {
        let (mut stream, mut fixed) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let Some(converter) = &table.converter else {
            let all = table.by_key.values().next().map_or(&[][..], Vec::as_slice);
            for row in 0..count as u32 {
                stream.resize(stream.len() + all.len(), row);
                fixed.extend_from_slice(all);
            }
            return Ok((stream, fixed));
        };
        let types = self.side.key_types(&table.rows)?;
        let keys = keys.iter().zip(&types).map(|(key, data_type)| Ok(cast(key, data_type)?));
        let keys = keys.collect::<Result<Vec<_>, DataFusionError>>()?;
        let converted = converter.convert_columns(&keys)?;
        let has_nulls = keys.iter().any(|key| key.null_count() > 0);
        for (row, key) in converted.iter().enumerate() {
            if has_nulls && !self.null_equals_null && keys.iter().any(|key| key.is_null(row)) {
                continue;
            }
            if let Some(found) = table.by_key.get(key.as_ref()) {
                stream.resize(stream.len() + found.len(), row as u32);
                fixed.extend_from_slice(found);
            }
        }
        Ok((stream, fixed))
    }

    /// The pairs for which the join's other conditions hold.
    fn filtered(
        &self,
        table: &StaticTable,
        batch: &RecordBatch,
        stream: Vec<u32>,
        fixed: Vec<u32>,
    ) -> Result<(Vec<u32>, Vec<u32>), DataFusionError> {
        let Some(filter) = &self.filter else { return Ok((stream, fixed)) };
        let of_stream = take_record_batch(batch, &UInt32Array::from(stream.clone()))?;
        let of_static = take_record_batch(&table.rows, &UInt32Array::from(fixed.clone()))?;
        let both = self.both(of_stream.columns(), of_static.columns(), stream.len(), &self.both)?;
        let holds = filter.evaluate(&both)?.into_array(stream.len())?;
        let holds = holds.as_boolean();
        let holds = |row: &usize| holds.is_valid(*row) && holds.value(*row);
        Ok((0..stream.len()).filter(holds).map(|row| (stream[row], fixed[row])).unzip())
    }

    fn joined(
        &self,
        table: &StaticTable,
        rows: Rows,
        stream: Vec<u32>,
        fixed: Vec<Option<u32>>,
    ) -> Result<Rows, DataFusionError> {
        let stream = UInt32Array::from(stream);
        let fixed = UInt32Array::from(fixed);
        let of_stream = take_record_batch(&rows.batch, &stream)?;
        let of_static = table.rows.columns().iter().map(|column| take(column, &fixed, None));
        let of_static = of_static.collect::<Result<Vec<_>, _>>()?;
        let origin = match rows.origin {
            Some(origin) => Some(take(&origin, &stream, None)?.as_primitive().clone()),
            None => None,
        };
        let batch = self.both(of_stream.columns(), &of_static, stream.len(), &self.schema)?;
        Ok(Rows { batch, origin })
    }

    fn both(
        &self,
        of_stream: &[ArrayRef],
        of_static: &[ArrayRef],
        count: usize,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, DataFusionError> {
        let (left, right) = if self.stream_is_left { (of_stream, of_static) } else { (of_static, of_stream) };
        let columns = left.iter().chain(right).cloned().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

impl StaticSide {
    fn key_types(&self, rows: &RecordBatch) -> Result<Vec<DataType>, DataFusionError> {
        self.keys.iter().map(|key| key.data_type(rows.schema_ref())).collect()
    }
}

/// Adds each row of the stream that has no match, in order.
fn with_unmatched(count: usize, stream: &[u32], fixed: &[u32]) -> (Vec<u32>, Vec<Option<u32>>) {
    let (mut rows, mut others) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut next = 0;
    for row in 0..count as u32 {
        let before = rows.len();
        while next < stream.len() && stream[next] == row {
            rows.push(row);
            others.push(Some(fixed[next]));
            next += 1;
        }
        if rows.len() == before {
            rows.push(row);
            others.push(None);
        }
    }
    (rows, others)
}

fn evaluate(keys: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>, DataFusionError> {
    keys.iter().map(|key| key.evaluate(batch)?.into_array(batch.num_rows())).collect()
}
