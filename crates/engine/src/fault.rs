//! What a failing expression means for the row that made it fail.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use millstream_functions::SparkError;

/// Error class of a row whose event time is null.
pub(crate) const EVENT_TIME_IS_NULL: &str = "EVENT_TIME_IS_NULL";

/// A row that is told of in the dead letters. Most are taken out of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFault {
    /// Index in the batch that entered the segment.
    pub row: u32,
    /// As Spark names it.
    pub class: String,
    pub message: String,
    /// Would it have stopped Spark? (`millstream.on.error` = `fail` stops at these.)
    pub stops: bool,
    /// Does the row go on all the same, so that its letter is a copy?
    pub kept: bool,
}

impl RowFault {
    pub fn new(row: u32, error: &DataFusionError) -> Self {
        let (class, message) = classify(error);
        Self { row, class, message, stops: true, kept: false }
    }

    pub fn null_time(row: u32) -> Self {
        let message = "the event time of this row is null, so that no window can hold it".to_owned();
        Self { row, class: EVENT_TIME_IS_NULL.to_owned(), message, stops: false, kept: false }
    }
}

/// Can this error be a row's fault? The others say that the plan or the engine is wrong, whatever the rows are.
pub(crate) fn is_row_fault(error: &DataFusionError) -> bool {
    if SparkError::find(error).is_some() {
        return true;
    }
    match error.find_root() {
        DataFusionError::Execution(_) | DataFusionError::External(_) => true,
        DataFusionError::ArrowError(error, _) => !matches!(
            **error,
            ArrowError::NotYetImplemented(_) | ArrowError::SchemaError(_) | ArrowError::MemoryError(_)
        ),
        _ => false,
    }
}

fn classify(error: &DataFusionError) -> (String, String) {
    if let Some(spark) = SparkError::find(error) {
        return (spark.class.to_owned(), spark.message.clone());
    }
    let root = error.find_root();
    let class = match root {
        DataFusionError::ArrowError(error, _) => match **error {
            ArrowError::DivideByZero => "DIVIDE_BY_ZERO",
            ArrowError::ArithmeticOverflow(_) => "ARITHMETIC_OVERFLOW",
            ArrowError::CastError(_) | ArrowError::ParseError(_) => "CAST_INVALID_INPUT",
            _ => "EXPRESSION_FAILED",
        },
        _ => "EXPRESSION_FAILED",
    };
    (class.to_owned(), root.to_string())
}
