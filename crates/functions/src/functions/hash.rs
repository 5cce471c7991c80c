//! `hash`: Spark's Murmur3, seed 42; `md5`; `encode` and `decode`; `isnull` and `isnotnull`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use super::md5;
use crate::ddl::type_name;
use crate::udf::{ANY, Call, Function, types};

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    vec![
        Function::new("hash", 1..=ANY, types::any, |_| Ok(DataType::Int32), hash).never_null(),
        Function::new(
            "md5",
            1..=1,
            |_, given| Ok(vec![if given[0].is_binary() { DataType::Binary } else { DataType::Utf8 }]),
            |_| Ok(DataType::Utf8),
            |call| {
                let array = call.array_as(0, &DataType::Binary)?;
                let bytes: &BinaryArray = array.as_binary();
                call.build_texts(|row, out| {
                    if bytes.is_null(row) {
                        return Ok(false);
                    }
                    for byte in md5::digest(bytes.value(row)) {
                        out.extend_from_slice(format!("{byte:02x}").as_bytes());
                    }
                    Ok(true)
                })
            },
        ),
        Function::new(
            "encode",
            2..=2,
            types::strings,
            |_| Ok(DataType::Binary),
            |call| {
                charset(call)?;
                let texts = call.strings(0)?;
                let bytes = arrow::compute::cast(&(Arc::new(texts) as ArrayRef), &DataType::Binary)?;
                Ok(ColumnarValue::Array(bytes))
            },
        ),
        Function::new(
            "decode",
            2..=2,
            |_, _| Ok(vec![DataType::Binary, DataType::Utf8]),
            |_| Ok(DataType::Utf8),
            |call| {
                charset(call)?;
                let array = call.array(0)?;
                let bytes: &BinaryArray = array.as_binary();
                call.build_texts(|row, out| {
                    if bytes.is_null(row) {
                        return Ok(false);
                    }
                    out.extend_from_slice(String::from_utf8_lossy(bytes.value(row)).as_bytes());
                    Ok(true)
                })
            },
        ),
        Function::new(
            "isnull",
            1..=1,
            types::any,
            |_| Ok(DataType::Boolean),
            |call| Ok(ColumnarValue::Array(Arc::new(arrow::compute::is_null(&call.array(0)?)?))),
        )
        .never_null(),
        Function::new(
            "isnotnull",
            1..=1,
            types::any,
            |_| Ok(DataType::Boolean),
            |call| Ok(ColumnarValue::Array(Arc::new(arrow::compute::is_not_null(&call.array(0)?)?))),
        )
        .never_null(),
    ]
}

fn charset(call: &Call<'_>) -> Result<()> {
    match call.constant(1).flatten() {
        Some(name) if name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8") => Ok(()),
        _ => Err(DataFusionError::Plan(format!(
            "{}: the character set should be written out, and be 'UTF-8'",
            call.name
        ))),
    }
}

fn mix_key(mut k: u32) -> u32 {
    k = k.wrapping_mul(0xcc9e_2d51).rotate_left(15);
    k.wrapping_mul(0x1b87_3593)
}

fn mix(h: u32, k: u32) -> u32 {
    (h ^ mix_key(k)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn finish(mut h: u32, len: u32) -> u32 {
    h ^= len;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

fn hash_int(value: i32, seed: u32) -> u32 {
    finish(mix(seed, value as u32), 4)
}

fn hash_long(value: i64, seed: u32) -> u32 {
    finish(mix(mix(seed, value as u32), (value >> 32) as u32), 8)
}

/// Words of four bytes, then each byte that is left as a number of its own, with its sign.
fn hash_bytes(bytes: &[u8], seed: u32) -> u32 {
    let mut h = seed;
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        h = mix(h, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    for &b in rest {
        h = mix(h, i32::from(b as i8) as u32);
    }
    finish(h, bytes.len() as u32)
}

fn hash(call: &Call<'_>) -> Result<ColumnarValue> {
    let mut hashes = vec![42u32; call.rows];
    for i in 0..call.args.len() {
        add_column(&call.array(i)?, &mut hashes)?;
    }
    call.build::<Int32Type>(|row| Ok(Some(hashes[row] as i32)))
}

fn add_column(array: &ArrayRef, hashes: &mut [u32]) -> Result<()> {
    macro_rules! each {
        ($values:expr, $hash:expr) => {{
            let values = $values;
            for (row, h) in hashes.iter_mut().enumerate() {
                if !values.is_null(row) {
                    *h = $hash(values.value(row), *h);
                }
            }
        }};
    }
    match array.data_type() {
        DataType::Null => {}
        DataType::Boolean => each!(array.as_boolean(), |v: bool, h| hash_int(i32::from(v), h)),
        DataType::Int8 => each!(array.as_primitive::<Int8Type>(), |v: i8, h| hash_int(i32::from(v), h)),
        DataType::Int16 => each!(array.as_primitive::<Int16Type>(), |v: i16, h| hash_int(i32::from(v), h)),
        DataType::Int32 => each!(array.as_primitive::<Int32Type>(), hash_int),
        DataType::Int64 => each!(array.as_primitive::<Int64Type>(), hash_long),
        DataType::Date32 => each!(array.as_primitive::<Date32Type>(), hash_int),
        DataType::Timestamp(..) => each!(array.as_primitive::<TimestampMicrosecondType>(), hash_long),
        DataType::Float32 => each!(array.as_primitive::<Float32Type>(), |v: f32, h| {
            hash_int(if v == 0.0 { 0 } else { v.to_bits() as i32 }, h)
        }),
        DataType::Float64 => each!(array.as_primitive::<Float64Type>(), |v: f64, h| {
            hash_long(if v == 0.0 { 0 } else { v.to_bits() as i64 }, h)
        }),
        DataType::Decimal128(precision, _) if *precision <= 18 => {
            each!(array.as_primitive::<Decimal128Type>(), |v: i128, h| hash_long(v as i64, h));
        }
        DataType::Utf8 => each!(array.as_string::<i32>(), |v: &str, h| hash_bytes(v.as_bytes(), h)),
        DataType::Binary => each!(array.as_binary::<i32>(), |v: &[u8], h| hash_bytes(v, h)),
        other => {
            return Err(DataFusionError::Plan(format!("hash: values of type {} are not supported", type_name(other))));
        }
    }
    Ok(())
}
