//! What values mean: Spark's scalar functions, casts and aggregates in ANSI mode over Arrow and DataFusion, date patterns, and the text
//! formats CSV and JSON that sources and sinks share. Knows nothing of streams and of SQL text.
//!
//! Types: STRING is `Utf8`, TIMESTAMP is `Timestamp(Microsecond, "UTC")`, TIMESTAMP_NTZ the same without a zone, DATE `Date32`, DECIMAL
//! `Decimal128`. Values that stop a row are [`SparkError`]s; [`SparkError::find`] gets them out of a `DataFusionError`.

mod aggregates;
mod cast;
pub mod ddl;
mod error;
pub mod formats;
mod functions;
pub mod interval;
mod registry;
mod session;
mod text;
pub mod time;
mod udf;

pub use aggregates::wide_sum;
pub use cast::{CastMode, SparkCast, cast_array};
pub use error::SparkError;
pub use functions::from_text::{FromText, FromTextCall, MalformedCounter, TextFormat};
pub use functions::window::{WindowSpec, window_type};
pub use registry::{all_aggregate_udfs, all_scalar_udfs, register};
pub use session::{Clock, Session, SystemClock};
pub use text::options::{CsvOptions, DatePattern, JsonOptions, ParseMode, TextOptions};
