//! `+ - * / div % pmod` and unary minus, with Spark's types and errors; and their `try_` forms.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};
use arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use super::widen;
use crate::error::SparkError;
use crate::udf::{Call, Function, Returns, types};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// Whole quotient.
    Div,
    Remainder,
    /// Remainder that is not negative for a positive divisor.
    Pmod,
}

macro_rules! operators {
    ($($make:ident $name:literal $op:ident $try:literal;)*) => {
        $(pub(crate) fn $make() -> Function {
            let function = Function::new(
                $name,
                2..=2,
                |name, given| arguments(name, given, Op::$op),
                |r| result(Op::$op, &r.types),
                |call| evaluate(call, Op::$op, $try),
            );
            match $name {
                "spark_remainder" => function.alias(&["mod"]),
                "spark_div" => function.alias(&["div"]),
                _ => function,
            }
        })*
    };
}

operators! {
    add "spark_add" Add false;
    subtract "spark_subtract" Subtract false;
    multiply "spark_multiply" Multiply false;
    divide "spark_divide" Divide false;
    div "spark_div" Div false;
    remainder "spark_remainder" Remainder false;
    pmod "pmod" Pmod false;
    try_add "try_add" Add true;
    try_subtract "try_subtract" Subtract true;
    try_multiply "try_multiply" Multiply true;
    try_divide "try_divide" Divide true;
    try_mod "try_mod" Remainder true;
}

pub(crate) fn negative() -> Function {
    let types = |name: &str, given: &[DataType]| {
        let given = types::plain(&given[0]);
        match given {
            DataType::Null | DataType::Utf8 => Ok(vec![DataType::Float64]),
            t if t.is_numeric() => Ok(vec![t]),
            other => types::refuse(name, &other, "a number"),
        }
    };
    let returns = |r: &Returns<'_>| Ok(r.types[0].clone());
    Function::new("spark_negative", 1..=1, types, returns, |call| {
        numeric::neg(&call.array(0)?)
            .map(ColumnarValue::Array)
            .map_err(|e| translate(e, Op::Subtract, call.return_type))
    })
    .alias(&["negative"])
}

/// Numbers of one type, or two decimals of their own.
fn arguments(name: &str, given: &[DataType], op: Op) -> Result<Vec<DataType>> {
    let mut given: Vec<DataType> = given.iter().map(types::plain).collect();
    for i in 0..2 {
        let other = given[1 - i].clone();
        if given[i] == DataType::Null {
            given[i] = if other.is_numeric() { other } else { DataType::Float64 };
        } else if given[i] == DataType::Utf8 {
            given[i] = if other.is_integer() { DataType::Int64 } else { DataType::Float64 };
        } else if !given[i].is_numeric() {
            return types::refuse(name, &given[i], "a number");
        }
    }
    let decimal = |t: &DataType| matches!(t, DataType::Decimal128(..));
    let float = |t: &DataType| matches!(t, DataType::Float32 | DataType::Float64);
    if given.iter().any(decimal) && !given.iter().any(float) {
        return Ok(given.into_iter().map(|t| if decimal(&t) { t } else { whole_decimal(&t) }).collect());
    }
    let common = match op {
        Op::Divide => DataType::Float64,
        Op::Div => DataType::Int64,
        _ if given.iter().any(decimal) => DataType::Float64,
        _ => widen(&given[0], &given[1]).unwrap_or(DataType::Float64),
    };
    Ok(vec![common.clone(), common])
}

/// The decimal that holds every value of an integer type.
fn whole_decimal(integer: &DataType) -> DataType {
    DataType::Decimal128(
        match integer {
            DataType::Int8 => 3,
            DataType::Int16 => 5,
            DataType::Int32 => 10,
            _ => 20,
        },
        0,
    )
}

/// Spark's types: of decimals, room for every result, cut to 38 digits at the cost of the fraction.
fn result(op: Op, types: &[DataType]) -> Result<DataType> {
    let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (&types[0], &types[1]) else {
        return Ok(types[0].clone());
    };
    let (p1, s1, p2, s2) = (i32::from(*p1), i32::from(*s1), i32::from(*p2), i32::from(*s2));
    let (precision, scale) = match op {
        Op::Add | Op::Subtract => ((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
        Op::Multiply => (p1 + p2 + 1, s1 + s2),
        Op::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Op::Div => return Ok(DataType::Int64),
        Op::Remainder | Op::Pmod => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
    };
    let (precision, scale) =
        if precision <= 38 { (precision, scale) } else { (38, (38 - (precision - scale)).max(scale.min(6))) };
    Ok(DataType::Decimal128(precision as u8, scale as i8))
}

fn evaluate(call: &Call<'_>, op: Op, lenient: bool) -> Result<ColumnarValue> {
    let (left, right) = (Operand::new(call, 0)?, Operand::new(call, 1)?);
    let array = match left.array.data_type() {
        DataType::Int8 => integers::<Int8Type>(&left, &right, op, lenient, call)?,
        DataType::Int16 => integers::<Int16Type>(&left, &right, op, lenient, call)?,
        DataType::Int32 => integers::<Int32Type>(&left, &right, op, lenient, call)?,
        DataType::Int64 => integers::<Int64Type>(&left, &right, op, lenient, call)?,
        DataType::Float32 => floats::<Float32Type>(&left, &right, op, lenient, call, f64::from, |v| v as f32)?,
        DataType::Float64 => floats::<Float64Type>(&left, &right, op, lenient, call, |v| v, |v| v)?,
        DataType::Decimal128(..) => decimals(&left, &right, op, lenient, call)?,
        other => return types::refuse(call.name, other, "a number"),
    };
    Ok(ColumnarValue::Array(array))
}

/// An operand: a column, or one value for all rows.
struct Operand {
    array: ArrayRef,
    constant: bool,
}

impl Operand {
    fn new(call: &Call<'_>, i: usize) -> Result<Self> {
        Ok(match &call.args[i] {
            ColumnarValue::Array(array) => Self { array: Arc::clone(array), constant: false },
            ColumnarValue::Scalar(value) => Self { array: value.to_array()?, constant: true },
        })
    }
}

impl Datum for Operand {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array.as_ref(), self.constant)
    }
}

/// One result per row from two operands of a primitive type.
fn each<T: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    left: &Operand,
    right: &Operand,
    call: &Call<'_>,
    mut f: impl FnMut(T::Native, T::Native) -> Result<Option<O::Native>>,
) -> Result<ArrayRef> {
    let (l, r) = (left.array.as_primitive::<T>(), right.array.as_primitive::<T>());
    let at = |operand: &Operand, row: usize| if operand.constant { 0 } else { row };
    let mut out = PrimitiveArray::<O>::builder(call.rows);
    for row in 0..call.rows {
        let (i, j) = (at(left, row), at(right, row));
        if l.is_null(i) || r.is_null(j) {
            out.append_null();
        } else {
            out.append_option(f(l.value(i), r.value(j))?);
        }
    }
    Ok(Arc::new(out.finish().with_data_type(call.return_type.clone())))
}

fn translate(error: ArrowError, op: Op, data_type: &DataType) -> DataFusionError {
    let kind = match data_type {
        DataType::Int64 => "long",
        DataType::Int32 => "integer",
        _ => "number",
    };
    match error {
        ArrowError::ArithmeticOverflow(_) => SparkError::overflow(
            kind,
            match op {
                Op::Add => "try_add",
                Op::Subtract => "try_subtract",
                Op::Multiply => "try_multiply",
                _ => "",
            },
        )
        .into(),
        ArrowError::DivideByZero => by_zero(op).into(),
        other => other.into(),
    }
}

fn by_zero(op: Op) -> SparkError {
    match op {
        Op::Remainder | Op::Pmod => {
            SparkError::new(SparkError::REMAINDER_BY_ZERO, "Remainder by zero. Use try_mod to get null instead.")
        }
        _ => SparkError::divide_by_zero(),
    }
}

/// Integer types of Spark, computed in 128 bits where the quick way does not do.
fn integers<T>(left: &Operand, right: &Operand, op: Op, lenient: bool, call: &Call<'_>) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128> + TryFrom<i128>,
{
    if !lenient {
        let quick = match op {
            Op::Add => Some(numeric::add(left, right)),
            Op::Subtract => Some(numeric::sub(left, right)),
            Op::Multiply => Some(numeric::mul(left, right)),
            Op::Div => Some(numeric::div(left, right)),
            Op::Divide | Op::Remainder | Op::Pmod => None,
        };
        // Two constants give an array of one row, as is wanted.
        if let Some(quick) = quick {
            return quick.map_err(|e| translate(e, op, call.return_type));
        }
    }
    each::<T, T>(left, right, call, |a, b| {
        let (a, b): (i128, i128) = (a.into(), b.into());
        let value = match op {
            Op::Add => Some(a + b),
            Op::Subtract => Some(a - b),
            Op::Multiply => a.checked_mul(b),
            Op::Divide | Op::Div if b != 0 => Some(a / b),
            Op::Remainder if b != 0 => Some(a % b),
            Op::Pmod if b != 0 => Some(pmod_of(a, b)),
            _ if lenient => return Ok(None),
            _ => return Err(by_zero(op).into()),
        };
        match value.and_then(|v| T::Native::try_from(v).ok()) {
            Some(value) => Ok(Some(value)),
            None if lenient => Ok(None),
            None => Err(translate(ArrowError::ArithmeticOverflow(String::new()), op, call.return_type)),
        }
    })
}

fn pmod_of(a: i128, b: i128) -> i128 {
    let r = a % b;
    if r < 0 { (r + b) % b } else { r }
}

fn floats<T: ArrowPrimitiveType>(
    left: &Operand,
    right: &Operand,
    op: Op,
    lenient: bool,
    call: &Call<'_>,
    wide: fn(T::Native) -> f64,
    narrow: fn(f64) -> T::Native,
) -> Result<ArrayRef> {
    let quick = match op {
        Op::Add => Some(numeric::add(left, right)),
        Op::Subtract => Some(numeric::sub(left, right)),
        Op::Multiply => Some(numeric::mul(left, right)),
        _ => None,
    };
    if let Some(quick) = quick {
        return Ok(quick?);
    }
    each::<T, T>(left, right, call, |a, b| {
        let (a, b) = (wide(a), wide(b));
        if b == 0.0 {
            return if lenient { Ok(None) } else { Err(by_zero(op).into()) };
        }
        Ok(Some(narrow(match op {
            Op::Remainder => a % b,
            Op::Pmod => {
                let r = a % b;
                if r < 0.0 { (r + b) % b } else { r }
            }
            _ => a / b,
        })))
    })
}

fn decimals(left: &Operand, right: &Operand, op: Op, lenient: bool, call: &Call<'_>) -> Result<ArrayRef> {
    let (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2)) = (left.array.data_type(), right.array.data_type())
    else {
        return types::refuse(call.name, right.array.data_type(), "DECIMAL");
    };
    let (s1, s2) = (i32::from(*s1), i32::from(*s2));
    let power = |n: i32| i256::from_i128(10).wrapping_pow(n.max(0) as u32);
    let common = s1.max(s2);
    let (up1, up2) = (power(common - s1), power(common - s2));
    let zero = i256::ZERO;
    if op == Op::Div {
        return each::<Decimal128Type, Int64Type>(left, right, call, |a, b| {
            let (a, b) = (i256::from_i128(a).wrapping_mul(up1), i256::from_i128(b).wrapping_mul(up2));
            if b == zero {
                return if lenient { Ok(None) } else { Err(by_zero(op).into()) };
            }
            match a.wrapping_div(b).to_i128().and_then(|v| i64::try_from(v).ok()) {
                Some(value) => Ok(Some(value)),
                None => Err(SparkError::overflow("long", "").into()),
            }
        });
    }
    let DataType::Decimal128(precision, scale) = *call.return_type else {
        return Err(DataFusionError::Internal("decimals give a decimal".into()));
    };
    let limit = power(i32::from(precision));
    each::<Decimal128Type, Decimal128Type>(left, right, call, |a, b| {
        let (a, b) = (i256::from_i128(a), i256::from_i128(b));
        if b == zero && matches!(op, Op::Divide | Op::Remainder | Op::Pmod) {
            return if lenient { Ok(None) } else { Err(by_zero(op).into()) };
        }
        // The exact result at some scale, then rounded half up to the scale of the type.
        let (value, at) = match op {
            Op::Add => (a.wrapping_mul(up1).wrapping_add(b.wrapping_mul(up2)), common),
            Op::Subtract => (a.wrapping_mul(up1).wrapping_sub(b.wrapping_mul(up2)), common),
            Op::Multiply => (a.wrapping_mul(b), s1 + s2),
            Op::Remainder => (a.wrapping_mul(up1).wrapping_rem(b.wrapping_mul(up2)), common),
            Op::Pmod => {
                let b = b.wrapping_mul(up2);
                let r = a.wrapping_mul(up1).wrapping_rem(b);
                (if r < zero { r.wrapping_add(b).wrapping_rem(b) } else { r }, common)
            }
            Op::Divide | Op::Div => {
                // One digit more than the type has, for the rounding.
                let shift = i32::from(scale) + 1 + s2 - s1;
                let (a, b) =
                    if shift >= 0 { (a.wrapping_mul(power(shift)), b) } else { (a, b.wrapping_mul(power(-shift))) };
                (a.wrapping_div(b), i32::from(scale) + 1)
            }
        };
        let drop = at - i32::from(scale);
        let rounded = if drop > 0 {
            let unit = power(drop);
            let (whole, rest) = (value.wrapping_div(unit), value.wrapping_rem(unit));
            let half = rest.wrapping_abs().wrapping_mul(i256::from_i128(2)) >= unit;
            match (half, value < zero) {
                (false, _) => whole,
                (true, false) => whole.wrapping_add(i256::ONE),
                (true, true) => whole.wrapping_sub(i256::ONE),
            }
        } else {
            value.wrapping_mul(power(-drop))
        };
        match rounded.to_i128() {
            Some(value) if rounded.wrapping_abs() < limit => Ok(Some(value)),
            _ if lenient => Ok(None),
            _ => Err(SparkError::new(
                SparkError::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("a result does not fit DECIMAL({precision},{scale}); cast the operands to smaller decimals"),
            )
            .into()),
        }
    })
}
