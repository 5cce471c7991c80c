//! Rounding and the functions of real numbers where DataFusion's differ from Spark's.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use crate::error::SparkError;
use crate::text::number::{parse_decimal, write_double, write_float};
use crate::udf::{Call, Function, Returns, types};

fn double(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Float64)
}

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    vec![
        Function::new("round", 1..=2, round_types, |r| round_type("round", r), |call| round(call, Half::Up)),
        Function::new("bround", 1..=2, round_types, |r| round_type("bround", r), |call| round(call, Half::Even)),
        Function::new("abs", 1..=1, number, |r| Ok(r.types[0].clone()), abs),
        Function::new("ceil", 1..=1, number, whole_type, |call| whole(call, f64::ceil, 1)).alias(&["ceiling"]),
        Function::new("floor", 1..=1, number, whole_type, |call| whole(call, f64::floor, 0)),
        Function::new("rint", 1..=1, types::doubles, double, |call| map(call, |v| Some(v.round_ties_even()))),
        Function::new("sqrt", 1..=1, types::doubles, double, |call| map(call, |v| Some(v.sqrt()))),
        Function::new(
            "isnan",
            1..=1,
            types::doubles,
            |_| Ok(DataType::Boolean),
            |call| {
                let values = call.values::<Float64Type>(0)?;
                call.build_booleans(|row| Ok(Some(values.get(row).is_some_and(f64::is_nan))))
            },
        )
        .never_null(),
        Function::new("signum", 1..=1, types::doubles, double, |call| {
            map(call, |v| Some(if v == 0.0 || v.is_nan() { v } else { v.signum() }))
        })
        .alias(&["sign"]),
        Function::new("ln", 1..=1, types::doubles, double, |call| {
            map(call, |v| (v > 0.0 || v.is_nan()).then(|| v.ln()))
        }),
        Function::new("log10", 1..=1, types::doubles, double, |call| {
            map(call, |v| (v > 0.0 || v.is_nan()).then(|| v.log10()))
        }),
        Function::new("log2", 1..=1, types::doubles, double, |call| {
            map(call, |v| (v > 0.0 || v.is_nan()).then(|| v.log2()))
        }),
        Function::new("log1p", 1..=1, types::doubles, double, |call| {
            map(call, |v| (v > -1.0 || v.is_nan()).then(|| v.ln_1p()))
        }),
        Function::new("log", 1..=2, types::doubles, double, log),
        Function::new("e", 0..=0, types::any, double, |call| {
            call.build::<Float64Type>(|_| Ok(Some(std::f64::consts::E)))
        }),
        Function::new("conv", 3..=3, conv_types, |_| Ok(DataType::Utf8), conv),
        Function::new("format_number", 2..=2, format_types, |_| Ok(DataType::Utf8), format_number),
    ]
}

fn map(call: &Call<'_>, f: impl Fn(f64) -> Option<f64>) -> Result<ColumnarValue> {
    let values = call.values::<Float64Type>(0)?;
    call.build::<Float64Type>(|row| Ok(values.get(row).and_then(&f)))
}

fn number(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match types::plain(&given[0]) {
        DataType::Null | DataType::Utf8 => Ok(vec![DataType::Float64]),
        t if t.is_numeric() => Ok(vec![t]),
        other => types::refuse(name, &other, "a number"),
    }
}

fn abs(call: &Call<'_>) -> Result<ColumnarValue> {
    macro_rules! checked {
        ($type:ty, $name:literal) => {{
            let values = call.values::<$type>(0)?;
            call.build::<$type>(|row| match values.get(row) {
                None => Ok(None),
                Some(value) => Ok(Some(value.checked_abs().ok_or_else(|| SparkError::overflow($name, ""))?)),
            })
        }};
    }
    match call.return_type {
        DataType::Int8 => checked!(Int8Type, "tinyint"),
        DataType::Int16 => checked!(Int16Type, "smallint"),
        DataType::Int32 => checked!(Int32Type, "int"),
        DataType::Int64 => checked!(Int64Type, "long"),
        DataType::Decimal128(..) => checked!(Decimal128Type, "decimal"),
        DataType::Float32 => {
            let values = call.values::<Float32Type>(0)?;
            call.build::<Float32Type>(|row| Ok(values.get(row).map(f32::abs)))
        }
        _ => map(call, |v| Some(v.abs())),
    }
}

/// Of a decimal, its whole digits and one more, as rounding may carry; otherwise BIGINT.
fn whole_type(returns: &Returns<'_>) -> Result<DataType> {
    Ok(match returns.types[0] {
        DataType::Decimal128(precision, scale) if scale > 0 => {
            DataType::Decimal128((precision - scale as u8 + 1).min(38), 0)
        }
        ref decimal @ DataType::Decimal128(..) => decimal.clone(),
        _ => DataType::Int64,
    })
}

/// The next whole number; `up` is 1 above and 0 below.
fn whole(call: &Call<'_>, of_double: fn(f64) -> f64, up: i128) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    match array.data_type() {
        DataType::Decimal128(_, scale) if *scale > 0 => {
            let unit = 10i128.pow(scale.unsigned_abs().into());
            let values = call.values::<Decimal128Type>(0)?;
            let below = |value: i128| value.div_euclid(unit);
            call.build::<Decimal128Type>(|row| {
                Ok(values.get(row).map(|value| below(value) + if value.rem_euclid(unit) > 0 { up } else { 0 }))
            })
        }
        DataType::Decimal128(..) => Ok(ColumnarValue::Array(array)),
        DataType::Float32 | DataType::Float64 => {
            let array = call.array_as(0, &DataType::Float64)?;
            let values = array.as_primitive::<Float64Type>();
            call.build::<Int64Type>(|row| {
                if arrow::array::Array::is_null(values, row) {
                    return Ok(None);
                }
                let value = of_double(values.value(row));
                // 2⁶³ is the first that does not fit; NaN is 0, as in Java.
                let fits =
                    value.is_nan() || (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
                if !fits {
                    return Err(SparkError::overflow(call.name, "").into());
                }
                Ok(Some(value as i64))
            })
        }
        _ => Ok(ColumnarValue::Array(call.array_as(0, &DataType::Int64)?)),
    }
}

/// `log(x)` is natural, `log(base, x)` is not.
fn log(call: &Call<'_>) -> Result<ColumnarValue> {
    if !call.has(1) {
        return map(call, |v| (v > 0.0 || v.is_nan()).then(|| v.ln()));
    }
    let (bases, values) = (call.values::<Float64Type>(0)?, call.values::<Float64Type>(1)?);
    call.build::<Float64Type>(|row| {
        let both = bases.get(row).zip(values.get(row));
        Ok(both.filter(|(base, value)| *base > 0.0 && *value > 0.0).map(|(base, value)| value.ln() / base.ln()))
    })
}

fn conv_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![types::string(name, &given[0])?, types::int(name, &given[1])?, types::int(name, &given[2])?])
}

/// `conv(number, from, to)`: a whole number of 64 bits in another base; a negative `to` reads it with its sign.
fn conv(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, from, to) = (call.texts(0)?, call.values::<Int32Type>(1)?, call.values::<Int32Type>(2)?);
    call.build_texts(|row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else { return Ok(false) };
        let text = text.trim_matches(' ');
        let bases = 2..=36;
        if text.is_empty() || !bases.contains(&from) || !bases.contains(&to.saturating_abs()) {
            return Ok(false);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let mut negative = digits.len() < text.len();
        let mut value = 0u64;
        for digit in digits.chars().map_while(|c| c.to_digit(from.unsigned_abs())) {
            value = value
                .checked_mul(u64::from(from.unsigned_abs()))
                .and_then(|value| value.checked_add(u64::from(digit)))
                .ok_or_else(|| SparkError::overflow("conv", ""))?;
        }
        if negative && to > 0 {
            value = if (value as i64) < 0 { u64::MAX } else { value.wrapping_neg() };
        }
        if to < 0 && (value as i64) < 0 {
            value = value.wrapping_neg();
            negative = true;
        }
        if negative && to < 0 {
            out.push(b'-');
        }
        let (start, base) = (out.len(), u64::from(to.unsigned_abs()));
        loop {
            let digit = char::from_digit((value % base) as u32, 36).expect("a digit below the base");
            out.push(digit.to_ascii_uppercase() as u8);
            value /= base;
            if value == 0 {
                break;
            }
        }
        out[start..].reverse();
        Ok(true)
    })
}

fn round_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let first = match types::plain(&given[0]) {
        DataType::Null | DataType::Utf8 => DataType::Float64,
        t if t.is_numeric() => t,
        other => return types::refuse(name, &other, "a number"),
    };
    Ok(std::iter::once(first).chain(given[1..].iter().map(|_| DataType::Int32)).collect())
}

/// Of a decimal, the digits that are left: one more before the point, as rounding may carry.
fn round_type(name: &str, returns: &Returns<'_>) -> Result<DataType> {
    let DataType::Decimal128(precision, scale) = returns.types[0] else { return Ok(returns.types[0].clone()) };
    let places = match returns.scalars.get(1) {
        None => 0,
        Some(scalar) => match scalar.and_then(|s| s.cast_to(&DataType::Int32).ok()) {
            Some(datafusion::common::ScalarValue::Int32(Some(places))) => places,
            _ => return types::refuse(name, &returns.types[1], "the number of digits, written out,"),
        },
    };
    let whole = i32::from(precision) - i32::from(scale) + 1;
    if places < 0 {
        return Ok(DataType::Decimal128(whole.max(-places + 1).min(38) as u8, 0));
    }
    let kept = places.min(i32::from(scale));
    Ok(DataType::Decimal128((whole + kept).min(38) as u8, kept as i8))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Up,
    Even,
}

/// `value / 10^drop`, rounded.
fn drop_digits(value: i128, drop: u32, half: Half) -> i128 {
    let Some(unit) = 10i128.checked_pow(drop) else { return 0 };
    let (whole, rest) = (value / unit, (value % unit).unsigned_abs());
    let middle = unit.unsigned_abs() / 2;
    let away = match half {
        Half::Up => rest >= middle && drop > 0,
        Half::Even => rest > middle || (rest == middle && drop > 0 && whole % 2 != 0),
    };
    if away { whole + if value < 0 { -1 } else { 1 } } else { whole }
}

fn round(call: &Call<'_>, half: Half) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let places = if call.has(1) { Some(call.values::<Int32Type>(1)?) } else { None };
    let places = |row: usize| places.as_ref().map_or(Some(0), |places| places.get(row));
    macro_rules! integers {
        ($type:ty, $native:ty) => {{
            let values = call.values::<$type>(0)?;
            call.build::<$type>(|row| {
                let (Some(value), Some(places)) = (values.get(row), places(row)) else { return Ok(None) };
                if places >= 0 {
                    return Ok(Some(value));
                }
                let drop = places.unsigned_abs().min(38);
                let rounded = drop_digits(i128::from(value), drop, half)
                    .checked_mul(10i128.checked_pow(drop).unwrap_or(0))
                    .and_then(|v| <$native>::try_from(v).ok());
                rounded.map(Some).ok_or_else(|| SparkError::overflow("round", "").into())
            })
        }};
    }
    match array.data_type() {
        DataType::Int8 => integers!(Int8Type, i8),
        DataType::Int16 => integers!(Int16Type, i16),
        DataType::Int32 => integers!(Int32Type, i32),
        DataType::Int64 => integers!(Int64Type, i64),
        DataType::Float32 => {
            let values = call.values::<Float32Type>(0)?;
            call.build::<Float32Type>(|row| {
                Ok(values.get(row).zip(places(row)).map(|(value, places)| {
                    let mut text = Vec::new();
                    write_float(&mut text, value);
                    round_text(&text, f64::from(value), places, half) as f32
                }))
            })
        }
        DataType::Decimal128(_, scale) => {
            let scale = i32::from(*scale);
            let DataType::Decimal128(_, to) = *call.return_type else {
                return types::refuse(call.name, call.return_type, "DECIMAL");
            };
            let values = array.as_primitive::<Decimal128Type>();
            call.build::<Decimal128Type>(|row| {
                if arrow::array::Array::is_null(values, row) {
                    return Ok(None);
                }
                let Some(places) = places(row) else { return Ok(None) };
                let drop = (scale - places).max(0) as u32;
                let rounded = drop_digits(values.value(row), drop, half);
                // Back up where digits before the point were dropped.
                let up = (i32::from(to) - (scale - drop as i32)).max(0) as u32;
                Ok(Some(rounded * 10i128.checked_pow(up).unwrap_or(0)))
            })
        }
        _ => {
            let values = call.values::<Float64Type>(0)?;
            call.build::<Float64Type>(|row| {
                Ok(values.get(row).zip(places(row)).map(|(value, places)| {
                    // Whole digits of numbers of a usual size need no text.
                    if places == 0 && value.abs() < 1e15 {
                        return match half {
                            Half::Up => value.abs().floor() + f64::from(u8::from(value.abs().fract() >= 0.5)),
                            Half::Even => value.abs().round_ties_even(),
                        }
                        .copysign(value);
                    }
                    let mut text = Vec::new();
                    write_double(&mut text, value);
                    round_text(&text, value, places, half)
                }))
            })
        }
    }
}

/// Spark rounds a double by the decimal digits that it prints.
fn round_text(text: &[u8], value: f64, places: i32, half: Half) -> f64 {
    if !value.is_finite() {
        return value;
    }
    let Some((digits, scale)) = std::str::from_utf8(text).ok().and_then(parse_decimal) else { return value };
    if places >= scale {
        return value;
    }
    let rounded = drop_digits(digits, (scale - places).unsigned_abs(), half);
    format!("{rounded}e{}", -places).parse().map_or(value, |v: f64| v.copysign(value))
}

fn format_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let first = round_types(name, &given[..1])?.remove(0);
    Ok(vec![first, DataType::Int32])
}

/// `1,234,567.89`: half even, as Java's `DecimalFormat`.
fn format_number(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let texts = crate::cast::cast_array(&array, &DataType::Utf8, crate::cast::CastMode::Ansi, call.session)?;
    let texts = texts.as_string::<i32>();
    let places = call.values::<Int32Type>(1)?;
    call.build_texts(|row, out| {
        if arrow::array::Array::is_null(texts, row) {
            return Ok(false);
        }
        let Some(places) = places.get(row).filter(|p| (0..=30).contains(p)) else { return Ok(false) };
        let text = texts.value(row);
        let Some((digits, scale)) = parse_decimal(text) else {
            out.extend_from_slice(
                if text == "NaN" {
                    "NaN"
                } else {
                    text.strip_suffix("Infinity").map_or(text, |sign| if sign.is_empty() { "∞" } else { "-∞" })
                }
                .as_bytes(),
            );
            return Ok(true);
        };
        let rounded = if scale > places {
            drop_digits(digits, (scale - places) as u32, Half::Even)
        } else {
            digits * 10i128.checked_pow((places - scale) as u32).unwrap_or(1)
        };
        let width = places as usize + 1;
        let all = format!("{:0>width$}", rounded.unsigned_abs());
        let (whole, fraction) = all.split_at(all.len() - places as usize);
        if rounded < 0 {
            out.push(b'-');
        }
        for (i, digit) in whole.bytes().enumerate() {
            if i > 0 && (whole.len() - i).is_multiple_of(3) {
                out.push(b',');
            }
            out.push(digit);
        }
        if places > 0 {
            out.push(b'.');
            out.extend_from_slice(fraction.as_bytes());
        }
        Ok(true)
    })
}
