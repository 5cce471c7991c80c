//! Texts to times and back: `to_timestamp`, `try_to_timestamp`, `to_date`, `date_format`, `unix_timestamp`, `from_unixtime`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::cast::{CastMode, cast_array};
use crate::ddl::{timestamp, timestamp_ntz};
use crate::error::{SparkError, excerpt};
use crate::interval::MICROS_PER_SECOND;
use crate::time::{Pattern, PatternError};
use crate::udf::{Call, ConstantFn, Function, types};

/// Spark's default of `unix_timestamp` and `from_unixtime`.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// A text or a time, then a pattern.
fn arguments(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let first = match types::plain(&given[0]) {
        DataType::Null => DataType::Utf8,
        t @ (DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..)) => t,
        t if t.is_numeric() && given.len() == 1 => t,
        other => return types::refuse(name, &other, "STRING, DATE or TIMESTAMP"),
    };
    Ok(std::iter::once(first).chain(given[1..].iter().map(|_| DataType::Utf8)).collect())
}

pub(crate) fn to_timestamp() -> Function {
    Function::new(
        "to_timestamp",
        1..=2,
        arguments,
        |_| Ok(timestamp()),
        |call| moments(call, CastMode::Ansi, &timestamp()),
    )
    .constants(READS)
    .alias(&["to_timestamp_ltz"])
}

pub(crate) fn try_to_timestamp() -> Function {
    Function::new(
        "try_to_timestamp",
        1..=2,
        arguments,
        |_| Ok(timestamp()),
        |call| moments(call, CastMode::Try, &timestamp()),
    )
    .constants(READS)
}

pub(crate) fn to_timestamp_ntz() -> Function {
    Function::new(
        "to_timestamp_ntz",
        1..=2,
        arguments,
        |_| Ok(timestamp_ntz()),
        |call| moments(call, CastMode::Ansi, &timestamp_ntz()),
    )
    .constants(READS)
}

pub(crate) fn to_date() -> Function {
    Function::new(
        "to_date",
        1..=2,
        arguments,
        |_| Ok(DataType::Date32),
        |call| moments(call, CastMode::Ansi, &DataType::Date32),
    )
    .constants(READS)
    .alias(&["date"])
}

pub(crate) fn try_to_date() -> Function {
    Function::new(
        "try_to_date",
        1..=2,
        arguments,
        |_| Ok(DataType::Date32),
        |call| moments(call, CastMode::Try, &DataType::Date32),
    )
    .constants(READS)
}

pub(crate) fn unix_timestamp() -> Function {
    let eval = |call: &Call<'_>| {
        if call.args.is_empty() {
            return Ok(ColumnarValue::Array(Arc::new(arrow::array::Int64Array::from(vec![
                call.session
                    .now_us()
                    .div_euclid(
                        MICROS_PER_SECOND
                    );
                call.rows
            ]))));
        }
        let ColumnarValue::Array(times) = moments(call, CastMode::Ansi, &timestamp())? else {
            return Err(DataFusionError::Internal("moments gives an array".into()));
        };
        cast_array(&times, &DataType::Int64, CastMode::Ansi, call.session).map(ColumnarValue::Array)
    };
    Function::new(
        "unix_timestamp",
        0..=2,
        |n, t| if t.is_empty() { Ok(vec![]) } else { arguments(n, t) },
        |_| Ok(DataType::Int64),
        eval,
    )
    .alias(&["to_unix_timestamp"])
    .constants(READS)
    .volatile()
}

/// Texts by a pattern, or other values by a cast.
fn moments(call: &Call<'_>, mode: CastMode, to: &DataType) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let pattern = match (array.data_type(), call.has(1), call.name) {
        (DataType::Utf8, true, _) => call.constant(1),
        (DataType::Utf8, false, "unix_timestamp") => Some(Some(DEFAULT_PATTERN.to_owned())),
        _ => return cast_array(&array, to, mode, call.session).map(ColumnarValue::Array),
    };
    let texts = array.as_string::<i32>();
    let times = match pattern {
        Some(None) => arrow::array::new_null_array(&timestamp(), texts.len()),
        Some(Some(pattern)) => {
            let pattern = for_parsing(&pattern)?;
            parse_all(call, texts, mode, to, |_| Ok(Some(&pattern)))?
        }
        None => {
            let patterns = call.strings(1)?;
            let mut compiled = std::collections::HashMap::new();
            for pattern in patterns.iter().flatten() {
                if !compiled.contains_key(pattern) {
                    compiled.insert(pattern, for_parsing(pattern)?);
                }
            }
            parse_all(call, texts, mode, to, |row| {
                Ok(if patterns.is_null(row) { None } else { compiled.get(patterns.value(row)) })
            })?
        }
    };
    if to == &DataType::Date32 {
        return cast_array(&times, to, mode, call.session).map(ColumnarValue::Array);
    }
    Ok(ColumnarValue::Array(times))
}

/// Their second argument is a pattern, if it is there.
const READS: &[(usize, ConstantFn)] = &[(1, |pattern, types| match types[0] {
    // Other values are cast, whatever the pattern says.
    DataType::Utf8 => for_parsing(pattern).map(drop),
    _ => Ok(()),
})];
const WRITES: &[(usize, ConstantFn)] = &[(1, |pattern, _| for_formatting(pattern).map(drop))];

fn for_parsing(pattern: &str) -> Result<Pattern> {
    Pattern::for_parsing(pattern).map_err(unusable)
}

fn for_formatting(pattern: &str) -> Result<Pattern> {
    Pattern::for_formatting(pattern).map_err(unusable)
}

fn unusable(error: PatternError) -> DataFusionError {
    SparkError::new("INVALID_DATETIME_PATTERN", error.to_string()).into()
}

fn parse_all<'p>(
    call: &Call<'_>,
    texts: &StringArray,
    mode: CastMode,
    to: &DataType,
    pattern_of: impl Fn(usize) -> Result<Option<&'p Pattern>>,
) -> Result<ArrayRef> {
    let zone = call.session.zone;
    let ntz = matches!(to, DataType::Timestamp(_, None));
    let mut values = Vec::with_capacity(texts.len());
    let mut valid = arrow::array::NullBufferBuilder::new(texts.len());
    for row in 0..texts.len() {
        let pattern = if texts.is_null(row) { None } else { pattern_of(row)? };
        let Some(pattern) = pattern else {
            values.push(0);
            valid.append_null();
            continue;
        };
        let text = texts.value(row);
        match if ntz { pattern.parse_local(text) } else { pattern.parse(text, zone) } {
            Some(us) => {
                values.push(us);
                valid.append_non_null();
            }
            None if mode == CastMode::Ansi => {
                return Err(SparkError::new(
                    SparkError::CANNOT_PARSE_TIMESTAMP,
                    format!(
                        "Text '{}' could not be parsed by the pattern '{}'. Use try_to_timestamp to get null instead.",
                        excerpt(text),
                        pattern.source()
                    ),
                )
                .into());
            }
            None => {
                values.push(0);
                valid.append_null();
            }
        }
    }
    let array = TimestampMicrosecondArray::try_new(ScalarBuffer::from(values), valid.finish())?;
    Ok(Arc::new(array.with_data_type(if ntz { timestamp_ntz() } else { timestamp() })))
}

pub(crate) fn date_format() -> Function {
    let types = |name: &str, given: &[DataType]| Ok(vec![types::moment(name, &given[0])?, DataType::Utf8]);
    Function::new(
        "date_format",
        2..=2,
        types,
        |_| Ok(DataType::Utf8),
        |call| {
            let array = call.array(0)?;
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let zone = match array.data_type() {
                DataType::Timestamp(_, None) => crate::time::Zone::Utc,
                _ => call.session.zone,
            };
            format_all(call, times.len(), times.nulls().cloned(), 1, |row, pattern, out| {
                pattern.format(times.value(row), zone, out);
            })
        },
    )
    .constants(WRITES)
}

pub(crate) fn from_unixtime() -> Function {
    let types = |_: &str, given: &[DataType]| {
        Ok(std::iter::once(DataType::Int64).chain(given[1..].iter().map(|_| DataType::Utf8)).collect())
    };
    Function::new(
        "from_unixtime",
        1..=2,
        types,
        |_| Ok(DataType::Utf8),
        |call| {
            let array = call.array(0)?;
            let seconds = array.as_primitive::<Int64Type>();
            let zone = call.session.zone;
            format_all(call, seconds.len(), seconds.nulls().cloned(), 1, |row, pattern, out| {
                pattern.format(seconds.value(row).saturating_mul(MICROS_PER_SECOND), zone, out);
            })
        },
    )
    .constants(WRITES)
}

/// Writes one text per row with the pattern in argument `pattern_at`.
fn format_all(
    call: &Call<'_>,
    rows: usize,
    nulls: Option<arrow::buffer::NullBuffer>,
    pattern_at: usize,
    write: impl Fn(usize, &Pattern, &mut Vec<u8>),
) -> Result<ColumnarValue> {
    let constant =
        if call.has(pattern_at) { call.constant(pattern_at) } else { Some(Some(DEFAULT_PATTERN.to_owned())) };
    let mut bytes = Vec::with_capacity(rows * 16);
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0i32);
    let mut end_row = |bytes: &Vec<u8>| -> Result<()> {
        offsets.push(i32::try_from(bytes.len()).map_err(|_| DataFusionError::Execution("texts exceed 2 GiB".into()))?);
        Ok(())
    };
    let mut nulls = nulls;
    match constant {
        Some(None) => return Ok(ColumnarValue::Array(arrow::array::new_null_array(&DataType::Utf8, rows))),
        Some(Some(pattern)) => {
            let pattern = for_formatting(&pattern)?;
            for row in 0..rows {
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    write(row, &pattern, &mut bytes);
                }
                end_row(&bytes)?;
            }
        }
        None => {
            let patterns = call.strings(pattern_at)?;
            nulls = arrow::buffer::NullBuffer::union(nulls.as_ref(), patterns.nulls());
            for row in 0..rows {
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    write(row, &for_formatting(patterns.value(row))?, &mut bytes);
                }
                end_row(&bytes)?;
            }
        }
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(ColumnarValue::Array(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?)))
}
