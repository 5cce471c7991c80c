//! `window(time, size[, slide[, start]])`: which windows a row belongs to.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{DFSchema, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::{WATERMARK_DELAY_US, WINDOW, event_time_delay_us};

/// Length, distance and offset of time windows, in µs. `0 < slide_us ≤ size_us`; tumbling windows have `slide_us == size_us`.
///
/// The windows are `[k·slide + start, k·slide + start + size)` for every integer `k`. As text: `size/slide/start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowSpec {
    /// Length of a window.
    pub size_us: i64,
    /// Distance of two windows' starts.
    pub slide_us: i64,
    /// Offset of the windows' starts against 1970-01-01T00:00:00Z.
    pub start_us: i64,
}

impl WindowSpec {
    /// The windows that this field holds, if a [`WindowNode`] made it.
    pub fn of(field: &Field) -> Option<Self> {
        field.metadata().get(WINDOW)?.parse().ok()
    }

    /// Does a row belong to exactly one window?
    pub fn is_tumbling(&self) -> bool {
        self.slide_us == self.size_us
    }

    /// Start of the last window that holds `time_us`. The others start at multiples of `slide_us` before it, down to (exclusive)
    /// `time_us − size_us`.
    pub fn last_start_us(&self, time_us: i64) -> i64 {
        time_us - (time_us - self.start_us).rem_euclid(self.slide_us)
    }

    /// Starts of all windows that hold `time_us`, latest first.
    pub fn starts_us(&self, time_us: i64) -> impl Iterator<Item = i64> + use<> {
        let (last, slide_us, size_us) = (self.last_start_us(time_us), self.slide_us, self.size_us);
        (0..).map(move |i| last - i * slide_us).take_while(move |start| *start + size_us > time_us)
    }
}

impl fmt::Display for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.size_us, self.slide_us, self.start_us)
    }
}

impl FromStr for WindowSpec {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().unwrap_or_default().parse();
        Ok(Self { size_us: next()?, slide_us: next()?, start_us: next()? })
    }
}

/// Each row comes out once for each window that its time lies in, with that window as a last column `name` of type
/// `STRUCT<start: TIMESTAMP, end: TIMESTAMP>`. A row whose time is null lies in no window and does not come out.
///
/// The window's field carries [`WINDOW`], and [`WATERMARK_DELAY_US`] if `time` is event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowNode {
    /// Where rows come from.
    pub input: Arc<LogicalPlan>,
    /// The time of a row, an expression over the input, of a timestamp type in µs.
    pub time: Expr,
    /// Which windows there are.
    pub spec: WindowSpec,
    /// Name of the window column.
    pub column: String,
    schema: DFSchemaRef,
}

impl WindowNode {
    /// Windows over `time`. Fails if `time` is not a timestamp or `column` clashes with a column of the input.
    pub fn try_new(input: Arc<LogicalPlan>, time: Expr, spec: WindowSpec, column: String) -> Result<Self> {
        let (_, time_field) = time.to_field(input.schema())?;
        if !matches!(time_field.data_type(), DataType::Timestamp(..)) {
            return plan_err!("window() wants a TIMESTAMP, not {}", time_field.data_type());
        }
        let end = |name: &str| Field::new(name, time_field.data_type().clone(), true);
        let mut metadata =
            [(WINDOW.to_string(), spec.to_string())].into_iter().collect::<std::collections::HashMap<_, _>>();
        if let Some(delay_us) = event_time_delay_us(&time, input.schema()) {
            metadata.insert(WATERMARK_DELAY_US.to_string(), delay_us.to_string());
        }
        let window = Field::new(&column, DataType::Struct(Fields::from(vec![end("start"), end("end")])), false);
        let fields = input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let fields = fields.chain([(None, Arc::new(window.with_metadata(metadata)))]).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { input, time, spec, column, schema })
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

impl Hash for WindowNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.time, self.spec, &self.column).hash(state);
    }
}

impl PartialOrd for WindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let order = (self.spec, &self.column).cmp(&(other.spec, &other.column));
        Some(order.then(self.time.partial_cmp(&other.time)?).then(self.input.partial_cmp(&other.input)?))
    }
}

impl UserDefinedLogicalNodeCore for WindowNode {
    fn name(&self) -> &str {
        "Window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.column.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let WindowSpec { size_us, slide_us, start_us } = self.spec;
        write!(
            f,
            "Window: {} over {} size_us={size_us} slide_us={slide_us} start_us={start_us}",
            self.column, self.time
        )
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (exprs.pop(), inputs.pop()) {
            (Some(time), Some(input)) => Self::try_new(Arc::new(input), time, self.spec, self.column.clone()),
            _ => plan_err!("window() has one time and one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|column| *column < inputs).collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_size_over_slide_windows() {
        let spec = WindowSpec { size_us: 10, slide_us: 5, start_us: 0 };
        assert_eq!(spec.starts_us(12).collect::<Vec<_>>(), [10, 5]);
        assert_eq!(spec.starts_us(10).collect::<Vec<_>>(), [10, 5]);
        assert_eq!(spec.starts_us(-1).collect::<Vec<_>>(), [-5, -10]);
        let shifted = WindowSpec { size_us: 10, slide_us: 10, start_us: 3 };
        assert_eq!(shifted.starts_us(2).collect::<Vec<_>>(), [-7]);
        assert_eq!(shifted.starts_us(3).collect::<Vec<_>>(), [3]);
        assert_eq!(shifted.to_string().parse(), Ok(shifted));
    }
}
