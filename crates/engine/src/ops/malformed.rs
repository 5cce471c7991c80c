//! Texts that `from_csv` and `from_json` found malformed: they stay in the stream as Spark has it, and a copy goes to the dead letters.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use millstream_functions::{FromText, SparkError};

use super::Notes;
use crate::fault::RowFault;

/// A reader of texts in an operator's expressions. Reading counts what is malformed; only when that count moved are the texts looked at
/// again for the reasons.
#[derive(Debug)]
pub(crate) struct Reader {
    reader: FromText,
    text: Arc<dyn PhysicalExpr>,
}

impl Reader {
    /// All readers in these expressions, each once for the same text.
    pub fn of<'a>(exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for expr in exprs {
            let walked = expr.apply(|expr| {
                let call = expr.downcast_ref::<ScalarFunctionExpr>();
                let reader = call.and_then(|call| call.fun().inner().downcast_ref::<FromText>());
                if let (Some(reader), Some(text)) = (reader, call.and_then(|call| call.args().first()))
                    && !found
                        .iter()
                        .any(|other| other.text.eq(text) && other.reader.declared_fields() == reader.declared_fields())
                {
                    found.push(Self { reader: reader.clone(), text: Arc::clone(text) });
                }
                Ok(TreeNodeRecursion::Continue)
            });
            walked.expect("the closure does not fail");
        }
        found
    }

    /// What it has counted so far, by whichever thread.
    pub fn count(&self) -> u64 {
        self.reader.malformed().get()
    }

    /// After the expressions ran over `batch`, having counted `before` before: notes the rows whose text was malformed. Without origins only that there
    /// are some. Another thread's count can make it look in vain, never miss one.
    pub fn note(
        &self,
        before: u64,
        batch: &RecordBatch,
        origin: Option<&arrow::array::UInt32Array>,
        notes: &mut Notes,
    ) -> Result<(), DataFusionError> {
        if self.count() == before {
            return Ok(());
        }
        let Some(origin) = origin else {
            notes.wants_origin = true;
            return Ok(());
        };
        let texts = self.text.evaluate(batch)?.into_array(batch.num_rows())?;
        let texts = cast(&texts, &DataType::Utf8)?;
        let reasons = self.reader.reasons(texts.as_string::<i32>())?;
        for row in (0..reasons.len()).filter(|row| reasons.is_valid(*row)) {
            notes.faults.push(RowFault {
                row: origin.value(row),
                class: SparkError::MALFORMED_RECORD.to_owned(),
                message: reasons.value(row).to_owned(),
                stops: false,
                kept: true,
            });
        }
        Ok(())
    }
}
