//! `SELECT`: columns computed from columns.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use super::{Notes, Reader, Rows};

/// Computes each column of the output, a column at a time.
#[derive(Debug)]
pub(crate) struct ProjectOp {
    pub exprs: Vec<Arc<dyn PhysicalExpr>>,
    pub schema: SchemaRef,
    readers: Vec<Reader>,
}

impl ProjectOp {
    pub fn new(exprs: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Self {
        let readers = Reader::of(&exprs);
        Self { exprs, schema, readers }
    }

    pub fn apply(&self, rows: Rows, notes: &mut Notes) -> Result<Rows, DataFusionError> {
        let count = rows.batch.num_rows();
        let before: Vec<u64> = self.readers.iter().map(Reader::count).collect();
        let columns = self.exprs.iter().map(|expr| expr.evaluate(&rows.batch)?.into_array(count));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for (reader, before) in self.readers.iter().zip(before) {
            reader.note(before, &rows.batch, rows.origin.as_ref(), notes)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Rows { batch, origin: rows.origin })
    }
}
