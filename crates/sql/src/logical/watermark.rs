//! `WATERMARK column DELAY OF interval`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::WATERMARK_DELAY_US;

/// Rows pass unchanged; the largest value of `column` minus `delay_us` is the watermark of what stands above.
///
/// The output has the columns of the input; the field of `column` carries [`WATERMARK_DELAY_US`], and every other field loses it, as
/// Spark has it: the last watermark wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkNode {
    /// Where rows come from.
    pub input: Arc<LogicalPlan>,
    /// The event time: a column of the input, of type TIMESTAMP.
    pub column: Column,
    /// How long to wait for rows that are late, in µs. Not negative.
    pub delay_us: i64,
    schema: DFSchemaRef,
}

impl WatermarkNode {
    /// A watermark on `column` of `input`. Fails if there is no such column.
    pub fn try_new(input: Arc<LogicalPlan>, column: Column, delay_us: i64) -> Result<Self> {
        let schema = input.schema();
        let event_time = schema.index_of_column(&column)?;
        let fields = schema.iter().enumerate().map(|(i, (qualifier, field))| {
            let mut metadata = field.metadata().clone();
            if i == event_time {
                metadata.insert(WATERMARK_DELAY_US.to_string(), delay_us.to_string());
            } else {
                metadata.remove(WATERMARK_DELAY_US);
            }
            (qualifier.cloned(), Arc::new(field.as_ref().clone().with_metadata(metadata)))
        });
        let schema = Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?);
        Ok(Self { input, column, delay_us, schema })
    }

    /// Index of the event time among the columns (of input and output alike).
    pub fn column_index(&self) -> usize {
        self.schema.index_of_column(&self.column).expect("checked when the node was made")
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

impl Hash for WatermarkNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.column, self.delay_us).hash(state);
    }
}

impl PartialOrd for WatermarkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.column.flat_name(), node.delay_us);
        Some(key(self).cmp(&key(other)).then(self.input.partial_cmp(&other.input)?))
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "Watermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.column.clone())]
    }

    /// A filter on event time itself must not decide which rows move the clock; all other filters may go below, as in Spark.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.column.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Watermark: {} delay_us={}", self.column, self.delay_us)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (exprs.pop(), inputs.pop()) {
            (Some(Expr::Column(column)), Some(input)) => Self::try_new(Arc::new(input), column, self.delay_us),
            (expr, _) => plan_err!("a watermark stands on a column of one input, not on {expr:?}"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}
