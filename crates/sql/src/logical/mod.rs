//! Plan nodes that DataFusion does not have: the event-time watermark and the assignment of rows to time windows.
//!
//! Both announce what they do in the metadata of their output fields, and DataFusion carries field metadata through projections,
//! filters and group keys. So a stateful operator learns from its input's schema alone whether a column is event time
//! ([`watermark_delay_us`]) or a window over event time ([`WindowSpec::of`]).

mod watermark;
mod window;

use datafusion::arrow::datatypes::Field;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNode};

pub use watermark::WatermarkNode;
pub use window::{WindowNode, WindowSpec};

/// Metadata key of a field that carries event time: the watermark's delay in µs, as a decimal number.
pub const WATERMARK_DELAY_US: &str = "millstream.watermark.delay.us";

/// Metadata key of a field made by [`WindowNode`]: a [`WindowSpec`] as text.
pub const WINDOW: &str = "millstream.window";

/// The delay of the watermark on this field, if it is event time (or a window over event time).
pub fn watermark_delay_us(field: &Field) -> Option<i64> {
    field.metadata().get(WATERMARK_DELAY_US)?.parse().ok()
}

/// The delay of the watermark on the time that an expression gives, if that is event time. Besides columns, `window_time(window)` is: it
/// is how one time window stands on another.
pub fn event_time_delay_us(expr: &Expr, schema: &DFSchema) -> Option<i64> {
    match expr {
        Expr::Alias(alias) => event_time_delay_us(&alias.expr, schema),
        Expr::ScalarFunction(call) if call.func.name() == "window_time" => {
            event_time_delay_us(call.args.first()?, schema)
        }
        expr => watermark_delay_us(&expr.to_field(schema).ok()?.1),
    }
}

/// The plan as one of our nodes, if it is that node.
pub fn downcast<T: UserDefinedLogicalNode + 'static>(plan: &LogicalPlan) -> Option<&T> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
        _ => None,
    }
}
