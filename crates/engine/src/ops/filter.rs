//! `WHERE`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{FilterBuilder, prep_null_mask_filter};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;

use super::{Notes, Op, ProjectOp, Reader, Rows};

/// Keeps the rows for which a predicate is true.
#[derive(Debug)]
pub(crate) struct FilterOp {
    pub predicate: Arc<dyn PhysicalExpr>,
    /// Columns that are needed further on; all if `None`.
    pub keep: Option<Vec<usize>>,
    readers: Vec<Reader>,
}

impl FilterOp {
    pub fn new(predicate: Arc<dyn PhysicalExpr>, keep: Option<Vec<usize>>) -> Self {
        let readers = Reader::of([&predicate]);
        Self { predicate, keep, readers }
    }

    pub fn apply(&self, rows: Rows, notes: &mut Notes) -> Result<Rows, DataFusionError> {
        let before: Vec<u64> = self.readers.iter().map(Reader::count).collect();
        let selected = self.predicate.evaluate(&rows.batch)?.into_array(rows.batch.num_rows())?;
        for (reader, before) in self.readers.iter().zip(before) {
            reader.note(before, &rows.batch, rows.origin.as_ref(), notes)?;
        }
        let batch = match &self.keep {
            Some(keep) => rows.batch.project(keep)?,
            None => rows.batch,
        };
        filter_rows(Rows { batch, origin: rows.origin }, selected.as_boolean())
    }
}

/// Rows for which `selected` is true (not null).
pub(crate) fn filter_rows(rows: Rows, selected: &BooleanArray) -> Result<Rows, DataFusionError> {
    let count = selected.true_count();
    if count == rows.batch.num_rows() {
        return Ok(rows);
    }
    if count == 0 {
        let origin = rows.origin.map(|_| UInt32Array::from(Vec::<u32>::new()));
        return Ok(Rows { batch: RecordBatch::new_empty(rows.batch.schema()), origin });
    }
    let mut builder = if selected.null_count() > 0 {
        FilterBuilder::new(&prep_null_mask_filter(selected))
    } else {
        FilterBuilder::new(selected)
    };
    if rows.batch.num_columns() > 1 {
        builder = builder.optimize();
    }
    let filter = builder.build();
    let origin = match rows.origin {
        Some(origin) => Some(filter.filter(&origin)?.as_primitive().clone()),
        None => None,
    };
    Ok(Rows { batch: filter.filter_record_batch(&rows.batch)?, origin })
}

/// Lets each filter that a projection follows copy only the columns which that projection reads.
pub(crate) fn drop_unused_columns(filter: &FilterOp, project: &ProjectOp) -> Option<(Op, Op)> {
    if filter.keep.is_some() {
        return None;
    }
    let used: BTreeSet<usize> = project.exprs.iter().flat_map(collect_columns).map(|column| column.index()).collect();
    let keep: Vec<usize> = used.into_iter().collect();
    let exprs = project.exprs.iter().map(|expr| renumber(expr, &keep)).collect::<Result<Vec<_>, _>>().ok()?;
    let filter = FilterOp::new(Arc::clone(&filter.predicate), Some(keep));
    Some((Op::Filter(filter), Op::Project(ProjectOp::new(exprs, Arc::clone(&project.schema)))))
}

/// The expression over the columns `keep` instead of over all.
fn renumber(expr: &Arc<dyn PhysicalExpr>, keep: &[usize]) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let renumbered = Arc::clone(expr).transform(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let index = keep.binary_search(&column.index()).expect("keep has every column that is used");
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(renumbered.data)
}
