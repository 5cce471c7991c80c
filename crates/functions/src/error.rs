//! Errors that stop a row, with the class name that Spark gives them.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// A value that ANSI mode refuses. Travels as [`DataFusionError::External`]; [`SparkError::find`] gets it back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[{class}] {message}")]
pub struct SparkError {
    /// Spark's error class, e.g. [`SparkError::CAST_INVALID_INPUT`].
    pub class: &'static str,
    /// What was wrong, with the value and what to write instead.
    pub message: String,
}

impl SparkError {
    /// A text that does not read as the type it is cast to.
    pub const CAST_INVALID_INPUT: &'static str = "CAST_INVALID_INPUT";
    /// A number that does not fit the type it is cast to.
    pub const CAST_OVERFLOW: &'static str = "CAST_OVERFLOW";
    /// A decimal that does not fit its precision.
    pub const NUMERIC_VALUE_OUT_OF_RANGE: &'static str = "NUMERIC_VALUE_OUT_OF_RANGE";
    /// Division or remainder by zero.
    pub const DIVIDE_BY_ZERO: &'static str = "DIVIDE_BY_ZERO";
    /// Remainder of a division by zero.
    pub const REMAINDER_BY_ZERO: &'static str = "REMAINDER_BY_ZERO";
    /// A result outside its integer type.
    pub const ARITHMETIC_OVERFLOW: &'static str = "ARITHMETIC_OVERFLOW";
    /// A text that does not fit a date pattern.
    pub const CANNOT_PARSE_TIMESTAMP: &'static str = "CANNOT_PARSE_TIMESTAMP";
    /// Fields that make no date or time.
    pub const DATETIME_FIELD_OUT_OF_BOUNDS: &'static str = "DATETIME_FIELD_OUT_OF_BOUNDS";
    /// An index outside an array.
    pub const INVALID_ARRAY_INDEX: &'static str = "INVALID_ARRAY_INDEX";
    /// The same, from `element_at`.
    pub const INVALID_ARRAY_INDEX_IN_ELEMENT_AT: &'static str = "INVALID_ARRAY_INDEX_IN_ELEMENT_AT";
    /// Index 0 where counting begins at 1.
    pub const INVALID_INDEX_OF_ZERO: &'static str = "INVALID_INDEX_OF_ZERO";
    /// A record that does not fit its schema, in FAILFAST mode.
    pub const MALFORMED_RECORD: &'static str = "MALFORMED_RECORD_IN_PARSING";
    /// An argument whose value makes no sense to the function.
    pub const INVALID_PARAMETER_VALUE: &'static str = "INVALID_PARAMETER_VALUE";

    /// An error of a class.
    pub fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// `The value 'x' of the type "STRING" cannot be cast to "INT" …`, as Spark words it.
    pub fn cast_invalid_input(value: &str, to: &str) -> Self {
        Self::new(
            Self::CAST_INVALID_INPUT,
            format!(
                "The value '{}' of the type \"STRING\" cannot be cast to \"{to}\" because it is malformed. Correct the value, or use try_cast to get null instead.",
                excerpt(value)
            ),
        )
    }

    /// A number that the type cannot hold.
    pub fn cast_overflow(value: impl std::fmt::Display, from: &str, to: &str) -> Self {
        Self::new(
            Self::CAST_OVERFLOW,
            format!(
                "The value {value} of the type \"{from}\" cannot be cast to \"{to}\" due to an overflow. Use try_cast to get null instead."
            ),
        )
    }

    /// Division by zero.
    pub fn divide_by_zero() -> Self {
        Self::new(Self::DIVIDE_BY_ZERO, "Division by zero. Use try_divide to get null instead.")
    }

    /// Overflow of an integer operation.
    pub fn overflow(what: &str, hint: &str) -> Self {
        let hint = if hint.is_empty() { String::new() } else { format!(" Use {hint} to get null instead.") };
        Self::new(Self::ARITHMETIC_OVERFLOW, format!("{what} overflow.{hint}"))
    }

    /// The first `SparkError` inside an error, however wrapped.
    pub fn find(error: &DataFusionError) -> Option<&SparkError> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(found) = current.downcast_ref::<SparkError>() {
                return Some(found);
            }
            cause = match current.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Diagnostic(_, inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Collection(all)) => return all.iter().find_map(SparkError::find),
                Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
                Some(other) => std::error::Error::source(other),
                None => match current.downcast_ref::<ArrowError>() {
                    Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                    _ => current.source(),
                },
            };
        }
        None
    }
}

impl From<SparkError> for DataFusionError {
    fn from(error: SparkError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<SparkError> for ArrowError {
    fn from(error: SparkError) -> Self {
        ArrowError::ExternalError(Box::new(error))
    }
}

/// At most 200 characters of a value, for a message.
pub(crate) fn excerpt(value: &str) -> String {
    match value.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spark_error_is_found_through_wrappings() {
        let inner: DataFusionError = SparkError::divide_by_zero().into();
        let wrapped = DataFusionError::Context("projection".into(), Box::new(inner));
        let arrow = DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(wrapped))), None);
        assert_eq!(SparkError::find(&arrow).map(|e| e.class), Some(SparkError::DIVIDE_BY_ZERO));
        assert_eq!(SparkError::find(&DataFusionError::Execution("x".into())), None);
    }
}
