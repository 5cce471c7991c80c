//! The casts themselves, column by column. Rules: <https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html#cast>.

// `from_…` are casts from a type, by a caster that knows the target.
#![allow(clippy::wrong_self_convention)]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray,
    StringArray, StructArray, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};

use crate::ddl::type_name;
use crate::error::SparkError;
use crate::interval::{MICROS_PER_DAY, MICROS_PER_SECOND};
use crate::session::Session;
use crate::text::encode::{Encoder, Format};
use crate::text::number::{parse_decimal, parse_double, parse_float, parse_long, rescale, write_double};
use crate::time::{parse_date, parse_timestamp, parse_timestamp_ntz, trim_all};

/// What a value that does not fit becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastMode {
    /// An error (CAST).
    Ansi,
    /// Null (TRY_CAST).
    Try,
}

/// Does Spark, in ANSI mode, have this cast?
pub(crate) fn can_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Decimal128, List, Map, Null, Struct, Timestamp, Utf8};
    let from = &crate::udf::types::plain(from);
    if from == to || from == &Null {
        return true;
    }
    match (from, to) {
        (List(a), List(b)) => can_cast(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| can_cast(a.data_type(), b.data_type()))
        }
        (Map(a, _), Map(b, _)) => can_cast(a.data_type(), b.data_type()),
        (_, Utf8) => true,
        (Utf8, to) => !to.is_nested(),
        (from, Boolean) => from.is_numeric(),
        (Boolean, to) => to.is_numeric(),
        (from, Binary) => from.is_integer(),
        (Timestamp(..), to) => {
            to.is_numeric() && matches!(from, Timestamp(_, Some(_))) || matches!(to, Date32 | Timestamp(..))
        }
        (Date32, to) => matches!(to, Timestamp(..)),
        (from, Timestamp(_, Some(_))) => from.is_numeric(),
        (from, to) => {
            (from.is_numeric() && to.is_numeric()) || matches!((from, to), (Decimal128(..), _)) && to.is_numeric()
        }
    }
}

/// Casts a column. In [`CastMode::Ansi`] the first value that does not fit is the error.
pub fn cast_array(array: &ArrayRef, to: &DataType, mode: CastMode, session: &Session) -> Result<ArrayRef> {
    let plain = crate::udf::types::plain(array.data_type());
    let array = if &plain == array.data_type() { Arc::clone(array) } else { arrow::compute::cast(array, &plain)? };
    let from = array.data_type();
    if from == to {
        return Ok(array);
    }
    if from == &DataType::Null {
        return Ok(new_null_array(to, array.len()));
    }
    let cast = Cast { from: type_name(from), to: type_name(to), mode, session };
    match (from, to) {
        (DataType::Binary, DataType::Utf8) => Ok(Arc::new(binary_to_string(array.as_binary()))),
        (_, DataType::Utf8) => to_string(&array, session),
        (DataType::Utf8, _) => cast.from_string(array.as_string(), to),
        (DataType::Boolean, _) if to.is_numeric() => {
            let ones = arrow::compute::cast(&array, &DataType::Int8)?;
            cast_array(&ones, to, mode, session)
        }
        (_, DataType::Boolean) if from.is_numeric() => {
            let zero = arrow::compute::cast(&(Arc::new(arrow::array::Int8Array::from(vec![0])) as ArrayRef), from)?;
            let zero = arrow::array::Scalar::new(zero);
            Ok(Arc::new(arrow::compute::kernels::cmp::neq(&array, &zero)?))
        }
        (DataType::Int8, _) => cast.from_integer::<Int8Type>(&array, to),
        (DataType::Int16, _) => cast.from_integer::<Int16Type>(&array, to),
        (DataType::Int32, _) => cast.from_integer::<Int32Type>(&array, to),
        (DataType::Int64, _) => cast.from_integer::<Int64Type>(&array, to),
        (DataType::Float32, _) => cast.from_float(array.as_primitive::<Float32Type>(), to, f64::from),
        (DataType::Float64, _) => cast.from_float(array.as_primitive::<Float64Type>(), to, |v| v),
        (DataType::Decimal128(_, scale), _) => cast.from_decimal(array.as_primitive(), *scale, to),
        (DataType::Timestamp(TimeUnit::Microsecond, zone), _) => {
            cast.from_timestamp(array.as_primitive(), zone.is_some(), to)
        }
        (DataType::Date32, DataType::Timestamp(_, zone)) => {
            let zone = if zone.is_some() { session.zone } else { crate::time::Zone::Utc };
            let values = array
                .as_primitive::<Date32Type>()
                .unary::<_, TimestampMicrosecondType>(|d| zone.to_utc(i64::from(d) * MICROS_PER_DAY));
            Ok(Arc::new(values.with_data_type(to.clone())))
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = cast_array(list.values(), item.data_type(), mode, session)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) if fields.len() == array.as_struct().num_columns() => {
            let source = array.as_struct();
            let columns = source
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| cast_array(column, field.data_type(), mode, session))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                source.nulls().cloned(),
                source.len(),
            )?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let source: ArrayRef = Arc::new(map.entries().clone());
            let cast = cast_array(&source, entries.data_type(), mode, session)?;
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(entries),
                map.offsets().clone(),
                cast.as_struct().clone(),
                map.nulls().cloned(),
                *sorted,
            )?))
        }
        _ => Ok(arrow::compute::cast(&array, to)?),
    }
}

struct Cast<'a> {
    from: String,
    to: String,
    mode: CastMode,
    session: &'a Session,
}

impl Cast<'_> {
    /// Applies `convert` to each value; what it does not convert is null or an error, by mode.
    fn each<F, T>(
        &self,
        array: &PrimitiveArray<F>,
        to: &DataType,
        convert: impl Fn(F::Native) -> Option<T::Native>,
        error: impl Fn(F::Native) -> SparkError,
    ) -> Result<ArrayRef>
    where
        F: ArrowPrimitiveType,
        T: ArrowPrimitiveType,
    {
        let out: PrimitiveArray<T> = match self.mode {
            CastMode::Try => array.unary_opt(convert),
            CastMode::Ansi => array.try_unary(|v| convert(v).ok_or_else(|| DataFusionError::from(error(v))))?,
        };
        Ok(Arc::new(out.with_data_type(to.clone())))
    }

    fn strings<T: ArrowPrimitiveType>(
        &self,
        array: &StringArray,
        to: &DataType,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(array.len());
        let mut valid = array.nulls().cloned();
        let mut bad = Vec::new();
        for row in 0..array.len() {
            if array.is_null(row) {
                values.push(T::default_value());
                continue;
            }
            match parse(array.value(row)) {
                Some(value) => values.push(value),
                None if self.mode == CastMode::Ansi => {
                    return Err(SparkError::cast_invalid_input(array.value(row), &self.to).into());
                }
                None => {
                    values.push(T::default_value());
                    bad.push(row);
                }
            }
        }
        if !bad.is_empty() {
            let mut builder = arrow::array::BooleanBufferBuilder::new(array.len());
            match &valid {
                Some(nulls) => builder.append_buffer(nulls.inner()),
                None => builder.append_n(array.len(), true),
            }
            for row in bad {
                builder.set_bit(row, false);
            }
            valid = Some(arrow::buffer::NullBuffer::new(builder.finish()));
        }
        let out = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), valid)?;
        Ok(Arc::new(out.with_data_type(to.clone())))
    }

    fn from_string(&self, array: &StringArray, to: &DataType) -> Result<ArrayRef> {
        match to {
            DataType::Int8 => self.strings::<Int8Type>(array, to, |s| integer(s)?.try_into().ok()),
            DataType::Int16 => self.strings::<Int16Type>(array, to, |s| integer(s)?.try_into().ok()),
            DataType::Int32 => self.strings::<Int32Type>(array, to, |s| integer(s)?.try_into().ok()),
            DataType::Int64 => self.strings::<Int64Type>(array, to, integer),
            DataType::Float32 => {
                self.strings::<Float32Type>(array, to, |s| parse_float(s).or_else(|| named(s).map(|v| v as f32)))
            }
            DataType::Float64 => self.strings::<Float64Type>(array, to, |s| parse_double(s).or_else(|| named(s))),
            DataType::Date32 => self.strings::<Date32Type>(array, to, |s| {
                // Words that Spark reads as days are left out: their meaning changes from day to day.
                parse_date(s)
            }),
            DataType::Timestamp(_, Some(_)) => {
                let zone = self.session.zone;
                self.strings::<TimestampMicrosecondType>(array, to, |s| {
                    parse_timestamp(s, zone, || self.session.now_us())
                })
            }
            DataType::Timestamp(_, None) => {
                self.strings::<TimestampMicrosecondType>(array, to, |text| parse_timestamp_ntz(text, true))
            }
            DataType::Decimal128(precision, scale) => {
                let (precision, scale) = (*precision, *scale);
                let mut out = Vec::with_capacity(array.len());
                for text in array {
                    let Some(text) = text else {
                        out.push(None);
                        continue;
                    };
                    let parsed = parse_decimal(trim_all(text));
                    let value = parsed.and_then(|(value, from)| rescale(value, from, precision, scale));
                    if value.is_none() && self.mode == CastMode::Ansi {
                        return Err(match parsed {
                            None => SparkError::cast_invalid_input(text, &self.to),
                            Some(_) => out_of_range(text, &self.to),
                        }
                        .into());
                    }
                    out.push(value);
                }
                let out: PrimitiveArray<Decimal128Type> = out.into_iter().collect();
                Ok(Arc::new(out.with_precision_and_scale(precision, scale)?))
            }
            DataType::Boolean => {
                let mut out = Vec::with_capacity(array.len());
                for text in array {
                    let value = text.and_then(boolean);
                    if let (Some(text), None, CastMode::Ansi) = (text, value, self.mode) {
                        return Err(SparkError::cast_invalid_input(text, &self.to).into());
                    }
                    out.push(value);
                }
                Ok(Arc::new(BooleanArray::from(out)))
            }
            DataType::Binary => {
                let array: ArrayRef = Arc::new(array.clone());
                Ok(arrow::compute::cast(&array, to)?)
            }
            other => Err(DataFusionError::Plan(format!("cannot cast \"STRING\" to \"{}\"", type_name(other)))),
        }
    }

    fn from_integer<F>(&self, array: &ArrayRef, to: &DataType) -> Result<ArrayRef>
    where
        F: ArrowPrimitiveType,
        F::Native: Into<i64> + std::fmt::Display,
    {
        let values = array.as_primitive::<F>();
        let overflow = |v: F::Native| SparkError::cast_overflow(v, &self.from, &self.to);
        match to {
            DataType::Int8 => self.each::<F, Int8Type>(values, to, |v| v.into().try_into().ok(), overflow),
            DataType::Int16 => self.each::<F, Int16Type>(values, to, |v| v.into().try_into().ok(), overflow),
            DataType::Int32 => self.each::<F, Int32Type>(values, to, |v| v.into().try_into().ok(), overflow),
            DataType::Int64 => Ok(Arc::new(values.unary::<_, Int64Type>(Into::into))),
            DataType::Float32 => Ok(Arc::new(values.unary::<_, Float32Type>(|v| v.into() as f32))),
            DataType::Float64 => Ok(Arc::new(values.unary::<_, Float64Type>(|v| v.into() as f64))),
            DataType::Decimal128(precision, scale) => self.each::<F, Decimal128Type>(
                values,
                to,
                |v| rescale(i128::from(v.into()), 0, *precision, *scale),
                |v| out_of_range(v, &self.to),
            ),
            DataType::Timestamp(_, Some(_)) => self.each::<F, TimestampMicrosecondType>(
                values,
                to,
                |v| v.into().checked_mul(MICROS_PER_SECOND),
                overflow,
            ),
            _ => Ok(arrow::compute::cast(array, to)?),
        }
    }

    fn from_float<F: ArrowPrimitiveType>(
        &self,
        array: &PrimitiveArray<F>,
        to: &DataType,
        widen: fn(F::Native) -> f64,
    ) -> Result<ArrayRef> {
        let overflow = |v: F::Native| {
            let mut text = Vec::new();
            write_double(&mut text, widen(v));
            SparkError::cast_overflow(String::from_utf8_lossy(&text), &self.from, &self.to)
        };
        // The fraction is cut; the bounds are those of the integer after the cut.
        let cut = |v: f64, low: f64, high: f64| (v.trunc() >= low && v.trunc() <= high).then_some(v.trunc() as i64);
        match to {
            DataType::Int8 => {
                self.each::<F, Int8Type>(array, to, |v| cut(widen(v), -128.0, 127.0).map(|v| v as i8), overflow)
            }
            DataType::Int16 => {
                self.each::<F, Int16Type>(array, to, |v| cut(widen(v), -32768.0, 32767.0).map(|v| v as i16), overflow)
            }
            DataType::Int32 => self.each::<F, Int32Type>(
                array,
                to,
                |v| cut(widen(v), f64::from(i32::MIN), f64::from(i32::MAX)).map(|v| v as i32),
                overflow,
            ),
            DataType::Int64 => self.each::<F, Int64Type>(
                array,
                to,
                |v| cut(widen(v), -9.223_372_036_854_776e18, 9.223_372_036_854_776e18),
                overflow,
            ),
            DataType::Float32 => Ok(Arc::new(array.unary::<_, Float32Type>(|v| widen(v) as f32))),
            DataType::Float64 => Ok(Arc::new(array.unary::<_, Float64Type>(widen))),
            DataType::Decimal128(precision, scale) => self.each::<F, Decimal128Type>(
                array,
                to,
                |v| {
                    let mut text = Vec::new();
                    write_double(&mut text, widen(v));
                    let (value, from) = parse_decimal(std::str::from_utf8(&text).ok()?)?;
                    rescale(value, from, *precision, *scale)
                },
                |v| out_of_range(widen(v), &self.to),
            ),
            DataType::Timestamp(_, Some(_)) => self.each::<F, TimestampMicrosecondType>(
                array,
                to,
                |v| {
                    let us = widen(v) * 1e6;
                    (us.is_finite() && us.abs() < 9.2e18).then_some(us as i64)
                },
                overflow,
            ),
            other => Err(DataFusionError::Plan(format!("cannot cast \"{}\" to \"{}\"", self.from, type_name(other)))),
        }
    }

    fn from_decimal(&self, array: &PrimitiveArray<Decimal128Type>, scale: i8, to: &DataType) -> Result<ArrayRef> {
        let unit = 10i128.pow(u32::from(scale.unsigned_abs()));
        let show = |v: i128| {
            let mut text = Vec::new();
            crate::text::number::write_decimal_plain(&mut text, v, scale);
            String::from_utf8_lossy(&text).into_owned()
        };
        let overflow = |v: i128| SparkError::cast_overflow(show(v), &self.from, &self.to);
        let double = |v: i128| show(v).parse::<f64>().ok();
        match to {
            DataType::Int8 => self.each::<_, Int8Type>(array, to, |v| (v / unit).try_into().ok(), overflow),
            DataType::Int16 => self.each::<_, Int16Type>(array, to, |v| (v / unit).try_into().ok(), overflow),
            DataType::Int32 => self.each::<_, Int32Type>(array, to, |v| (v / unit).try_into().ok(), overflow),
            DataType::Int64 => self.each::<_, Int64Type>(array, to, |v| (v / unit).try_into().ok(), overflow),
            DataType::Float32 => self.each::<_, Float32Type>(array, to, |v| show(v).parse().ok(), overflow),
            DataType::Float64 => self.each::<_, Float64Type>(array, to, double, overflow),
            DataType::Decimal128(to_precision, to_scale) => self.each::<_, Decimal128Type>(
                array,
                to,
                |v| rescale(v, i32::from(scale), *to_precision, *to_scale),
                |v| out_of_range(show(v), &self.to),
            ),
            DataType::Timestamp(_, Some(_)) => self.each::<_, TimestampMicrosecondType>(
                array,
                to,
                |v| (v * 1_000_000 / unit).try_into().ok(),
                overflow,
            ),
            other => Err(DataFusionError::Plan(format!("cannot cast \"{}\" to \"{}\"", self.from, type_name(other)))),
        }
    }

    fn from_timestamp(
        &self,
        array: &PrimitiveArray<TimestampMicrosecondType>,
        zoned: bool,
        to: &DataType,
    ) -> Result<ArrayRef> {
        let zone = self.session.zone;
        let overflow = |v: i64| SparkError::cast_overflow(v, &self.from, &self.to);
        let seconds = |v: i64| v.div_euclid(MICROS_PER_SECOND);
        match to {
            DataType::Date32 => Ok(Arc::new(array.unary::<_, Date32Type>(|us| {
                let local = if zoned { zone.to_local(us) } else { us };
                local.div_euclid(MICROS_PER_DAY) as i32
            }))),
            DataType::Timestamp(TimeUnit::Microsecond, to_zone) => {
                let out = match (zoned, to_zone.is_some()) {
                    (true, false) => array.unary::<_, TimestampMicrosecondType>(|us| zone.to_local(us)),
                    (false, true) => array.unary::<_, TimestampMicrosecondType>(|us| zone.to_utc(us)),
                    _ => array.clone(),
                };
                Ok(Arc::new(out.with_data_type(to.clone())))
            }
            DataType::Int8 => self.each::<_, Int8Type>(array, to, |v| seconds(v).try_into().ok(), overflow),
            DataType::Int16 => self.each::<_, Int16Type>(array, to, |v| seconds(v).try_into().ok(), overflow),
            DataType::Int32 => self.each::<_, Int32Type>(array, to, |v| seconds(v).try_into().ok(), overflow),
            DataType::Int64 => Ok(Arc::new(array.unary::<_, Int64Type>(seconds))),
            DataType::Float32 => Ok(Arc::new(array.unary::<_, Float32Type>(|v| (v as f64 / 1e6) as f32))),
            DataType::Float64 => Ok(Arc::new(array.unary::<_, Float64Type>(|v| v as f64 / 1e6))),
            DataType::Decimal128(precision, scale) => self.each::<_, Decimal128Type>(
                array,
                to,
                |v| rescale(i128::from(v), 6, *precision, *scale),
                |v| out_of_range(v, &self.to),
            ),
            other => Err(DataFusionError::Plan(format!("cannot cast \"{}\" to \"{}\"", self.from, type_name(other)))),
        }
    }
}

fn out_of_range(value: impl std::fmt::Display, to: &str) -> SparkError {
    SparkError::new(
        SparkError::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("The value {value} cannot be represented as {to}. Use try_cast to get null instead."),
    )
}

#[inline]
fn integer(text: &str) -> Option<i64> {
    parse_long(text).or_else(|| parse_long(trim_all(text)))
}

/// Names of the special doubles, in any case.
fn named(text: &str) -> Option<f64> {
    match trim_all(text).to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

fn boolean(text: &str) -> Option<bool> {
    match trim_all(text).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Bytes that are no UTF-8 become U+FFFD, as they would wherever Spark writes them out.
fn binary_to_string(array: &BinaryArray) -> StringArray {
    match StringArray::try_from_binary(array.clone()) {
        Ok(strings) => strings,
        Err(_) => array.iter().map(|bytes| bytes.map(String::from_utf8_lossy)).collect(),
    }
}

fn to_string(array: &ArrayRef, session: &Session) -> Result<ArrayRef> {
    let format = Format::cast(session.zone);
    let encoder = Encoder::new(array, &format)?;
    let mut bytes = Vec::with_capacity(array.len() * 8);
    let mut offsets = Vec::with_capacity(array.len() + 1);
    offsets.push(0i32);
    for row in 0..array.len() {
        if !encoder.is_null(row) {
            encoder.write(row, &mut bytes);
        }
        let end = i32::try_from(bytes.len())
            .map_err(|_| DataFusionError::Execution("the texts of a batch exceed 2 GiB".into()))?;
        offsets.push(end);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let nulls = array.logical_nulls();
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
}
