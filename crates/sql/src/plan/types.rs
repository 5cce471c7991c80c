//! Spark's types: which type two values have in common, and how a value becomes of another type.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};

/// Digits before and behind the point that hold every value of an integer type.
fn integer_digits(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        DataType::Int64 => 20,
        _ => return None,
    })
}

/// Is this one of Spark's numeric types?
pub(crate) fn is_numeric(data_type: &DataType) -> bool {
    integer_digits(data_type).is_some()
        || matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Decimal128(..))
}

/// Is this one of Spark's integer types?
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    integer_digits(data_type).is_some()
}

/// The decimal type of an integer type.
pub(crate) fn integer_as_decimal(data_type: &DataType) -> Option<DataType> {
    integer_digits(data_type).map(|digits| DataType::Decimal128(digits, 0))
}

/// The type that holds the values of both number types.
pub(crate) fn common_numeric(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Float32, Float64};
    Some(match (left, right) {
        (left, right) if left == right => left.clone(),
        (Float64, other) | (other, Float64) if is_numeric(other) => Float64,
        (Float32, Decimal128(..)) | (Decimal128(..), Float32) => Float64,
        // A float holds no large integer exactly; in ANSI mode both become doubles.
        (Float32, other) | (other, Float32) if is_integer(other) => Float64,
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            let scale = (*s1).max(*s2);
            let whole = (i16::from(*p1) - i16::from(*s1)).max(i16::from(*p2) - i16::from(*s2));
            Decimal128((whole + i16::from(scale)).clamp(1, 38) as u8, scale)
        }
        (Decimal128(..), other) => common_numeric(left, &integer_as_decimal(other)?)?,
        (other, Decimal128(..)) => common_numeric(&integer_as_decimal(other)?, right)?,
        (left, right) => match (integer_digits(left)?, integer_digits(right)?) {
            (l, r) if l >= r => left.clone(),
            _ => right.clone(),
        },
    })
}

/// The type of a column that holds the values of both (`CASE`, `coalesce`, `UNION`, `IN`): Spark's least common type in ANSI mode.
pub(crate) fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Boolean, Date32, Float64, Int64, List, Map, Null, Struct, Timestamp, Utf8};
    Some(match (left, right) {
        (left, right) if left == right => left.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (left, right) if is_numeric(left) && is_numeric(right) => common_numeric(left, right)?,
        (Utf8, other) | (other, Utf8) => match other {
            other if is_integer(other) => Int64,
            other if is_numeric(other) => Float64,
            Boolean | Date32 | Timestamp(..) | DataType::Binary => other.clone(),
            _ => return None,
        },
        (Date32, Timestamp(..)) => right.clone(),
        (Timestamp(..), Date32) => left.clone(),
        (Timestamp(unit, Some(zone)), Timestamp(_, None)) | (Timestamp(unit, None), Timestamp(_, Some(zone))) => {
            Timestamp(*unit, Some(Arc::clone(zone)))
        }
        (List(a), List(b)) => List(Arc::new(common_field(a, b)?)),
        (Struct(a), Struct(b)) if a.len() == b.len() => {
            Struct(a.iter().zip(b).map(|(a, b)| common_field(a, b)).collect::<Option<Fields>>()?)
        }
        (Map(a, sorted), Map(b, _)) => Map(Arc::new(common_field(a, b)?), *sorted),
        _ => return None,
    })
}

fn common_field(a: &Field, b: &Field) -> Option<Field> {
    Some(Field::new(a.name(), common(a.data_type(), b.data_type())?, a.is_nullable() || b.is_nullable()))
}

/// Do two values of these types compare, and as which type? A text that meets a number is read as a number.
pub(crate) fn comparable(left: &DataType, right: &DataType) -> Option<DataType> {
    common(left, right)
}

/// May a value be put into a column of this type without a word (Spark's ANSI store assignment)?
pub(crate) fn can_store(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, List, Map, Null, Struct, Timestamp, Utf8};
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) => true,
        (from, to) if is_numeric(from) && is_numeric(to) => true,
        (Struct(_) | List(_) | Map(..), Utf8) => false,
        (_, Utf8) => true,
        (Date32, Timestamp(..)) | (Timestamp(..), Date32 | Timestamp(..)) => true,
        (List(a), List(b)) => can_store(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| can_store(a.data_type(), b.data_type()))
        }
        (Map(a, _), Map(b, _)) => can_store(a.data_type(), b.data_type()),
        (Boolean, _) | (_, Boolean) => false,
        _ => false,
    }
}

/// Is every value of one type exactly a value of the other, so that a plain conversion of columns is Spark's cast too?
pub(crate) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float32, Float64, Null};
    match (from, to) {
        (Null, _) => true,
        (from, to) if is_integer(from) && is_integer(to) => integer_digits(from) <= integer_digits(to),
        (from, Float64) => is_integer(from) || *from == Float32,
        (DataType::Int8 | DataType::Int16, Float32) => true,
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (from, DataType::Decimal128(p, s)) => {
            integer_digits(from).is_some_and(|digits| i16::from(*p) - i16::from(*s) >= i16::from(digits))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{Decimal128, Float32, Float64, Int32, Int64, Utf8};

    #[test]
    fn common_types_are_sparks_in_ansi_mode() {
        assert_eq!(common(&Int32, &Int64), Some(Int64));
        assert_eq!(common(&Int64, &Float32), Some(Float64));
        assert_eq!(common(&Utf8, &Int32), Some(Int64));
        assert_eq!(common(&Utf8, &Decimal128(10, 2)), Some(Float64));
        assert_eq!(common(&Decimal128(3, 1), &Decimal128(5, 4)), Some(Decimal128(6, 4)));
        assert_eq!(common(&Int32, &Decimal128(3, 1)), Some(Decimal128(11, 1)));
        assert_eq!(common(&DataType::Boolean, &Int32), None);
    }
}
