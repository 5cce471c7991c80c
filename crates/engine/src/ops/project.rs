//! `SELECT`: columns computed from columns.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use super::Rows;

/// Computes each column of the output, a column at a time.
#[derive(Debug)]
pub(crate) struct ProjectOp {
    pub exprs: Vec<Arc<dyn PhysicalExpr>>,
    pub schema: SchemaRef,
}

impl ProjectOp {
    pub fn apply(&self, rows: Rows) -> Result<Rows, DataFusionError> {
        let count = rows.batch.num_rows();
        let columns = self.exprs.iter().map(|expr| expr.evaluate(&rows.batch)?.into_array(count));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Rows { batch, origin: rows.origin })
    }
}
