//! Plan nodes that DataFusion does not have: the event-time watermark and the assignment of rows to time windows.
//!
//! Both announce what they do in the metadata of their output fields, and DataFusion carries field metadata through projections,
//! filters and group keys. So a stateful operator learns from its input's schema alone whether a column is event time
//! ([`watermark_delay_us`]) or a window over event time ([`WindowSpec::of`]).

mod watermark;
mod window;

use datafusion::arrow::datatypes::Field;
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNode};

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

/// The plan as one of our nodes, if it is that node.
pub fn downcast<T: UserDefinedLogicalNode + 'static>(plan: &LogicalPlan) -> Option<&T> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
        _ => None,
    }
}
