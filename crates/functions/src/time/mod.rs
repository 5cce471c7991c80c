//! Dates and times: the calendar, zones, Spark's patterns and Spark's lenient reading of ISO texts. µs since 1970 throughout.

mod civil;
mod doubt;
mod format;
mod lenient;
mod parse;
mod pattern;
mod zone;

pub use civil::{Civil, civil_from_days, days_from_civil, days_in_month, split_micros};
pub(crate) use civil::{iso_week, weekday};
pub use doubt::{Doubt, doubt};
pub use lenient::{parse_date, parse_timestamp, parse_timestamp_ntz, write_date, write_timestamp};
pub(crate) use lenient::{push_two, trim_all, write_time};
pub use pattern::{Pattern, PatternError};
pub use zone::Zone;
