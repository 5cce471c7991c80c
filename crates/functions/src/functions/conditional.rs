//! What Spark makes of different types that meet.

use arrow::datatypes::DataType;

/// The type that both fit in, as Spark widens them; nothing where there is none. In ANSI mode a text beside a number, a date or a boolean
/// becomes that number (BIGINT for whole ones, DOUBLE for others), date or boolean.
pub(crate) fn widen(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Boolean, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Null, Struct, Timestamp, Utf8,
    };
    if a == b || b == &Null {
        return Some(a.clone());
    }
    if a == &Null {
        return Some(b.clone());
    }
    let whole = |t: &DataType| match t {
        Int8 => Some((3u8, 0)),
        Int16 => Some((5, 1)),
        Int32 => Some((10, 2)),
        Int64 => Some((20, 3)),
        _ => None,
    };
    match (a, b) {
        (Utf8, other) | (other, Utf8) => match other {
            Int8 | Int16 | Int32 | Int64 => Some(Int64),
            Float32 | Float64 | Decimal128(..) => Some(Float64),
            Boolean | Date32 | Timestamp(..) => Some(other.clone()),
            DataType::Binary => Some(Utf8),
            _ => None,
        },
        (Date32, t @ Timestamp(..)) | (t @ Timestamp(..), Date32) => Some(t.clone()),
        (Timestamp(unit, x), Timestamp(_, y)) => Some(Timestamp(*unit, x.clone().or_else(|| y.clone()))),
        (Float64, t) | (t, Float64) if t.is_numeric() => Some(Float64),
        (Float32, t) | (t, Float32) if t.is_numeric() => Some(if whole(t).is_some() { Float32 } else { Float64 }),
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            let scale = *s1.max(s2);
            let digits = (*p1 as i8 - s1).max(*p2 as i8 - s2);
            Some(Decimal128((digits + scale).min(38) as u8, scale))
        }
        (Decimal128(..), t) | (t, Decimal128(..)) if whole(t).is_some() => {
            let (p, _) = whole(t)?;
            let decimal = if matches!(a, Decimal128(..)) { a } else { b };
            widen(decimal, &Decimal128(p, 0))
        }
        (DataType::List(x), DataType::List(y)) => widen(x.data_type(), y.data_type()).map(crate::ddl::list_of),
        (Struct(x), Struct(y)) if x.len() == y.len() => x
            .iter()
            .zip(y)
            .map(|(x, y)| {
                let merged = widen(x.data_type(), y.data_type())?;
                Some(x.as_ref().clone().with_data_type(merged).with_nullable(x.is_nullable() || y.is_nullable()))
            })
            .collect::<Option<Vec<_>>>()
            .map(|fields| Struct(fields.into())),
        _ => match (whole(a), whole(b)) {
            (Some((_, x)), Some((_, y))) => Some(if x >= y { a.clone() } else { b.clone() }),
            _ => None,
        },
    }
}
