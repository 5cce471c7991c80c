//! CAST and TRY_CAST as Spark does them in ANSI mode.

mod kernels;
mod udf;

pub use kernels::{CastMode, cast_array};
pub use udf::SparkCast;
