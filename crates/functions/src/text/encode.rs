//! Values of a column as text, in three styles: what CAST AS STRING gives, JSON, and CSV before quoting.

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::error::{DataFusionError, Result};

use super::number::{write_decimal, write_decimal_plain, write_double, write_float};
use super::options::{DatePattern, TextOptions};
use crate::ddl::type_name;
use crate::time::{Zone, write_date, write_timestamp};

/// How values look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As CAST AS STRING gives them; nested values as `{1, [a, null]}`.
    Cast,
    /// JSON values; `true`: nulls are left out of objects.
    Json(bool),
    /// Bare values for a CSV field.
    Csv,
}

/// A style with its formats of times.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    style: Style,
    zone: Zone,
    timestamp: Option<DatePattern>,
    timestamp_ntz: Option<DatePattern>,
    date: Option<DatePattern>,
}

impl Format {
    pub(crate) fn cast(zone: Zone) -> Self {
        Self { style: Style::Cast, zone, timestamp: None, timestamp_ntz: None, date: None }
    }

    pub(crate) fn new(style: Style, options: &TextOptions, zone: Zone) -> Self {
        Self {
            style,
            zone: options.zone.unwrap_or(zone),
            timestamp: options.timestamp.clone(),
            timestamp_ntz: options.timestamp_ntz.clone(),
            date: options.date.clone(),
        }
    }
}

type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// Writes the values of one column.
pub(crate) struct Encoder<'a> {
    nulls: Option<&'a NullBuffer>,
    write: Write<'a>,
}

impl<'a> Encoder<'a> {
    /// An encoder of a column; an error where the style has no text for its type.
    pub(crate) fn new(array: &'a ArrayRef, format: &'a Format) -> Result<Self> {
        let array = array.as_ref();
        Ok(Self { nulls: array.nulls(), write: writer(array, format)? })
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value at `row`, which is not null.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        (self.write)(row, out);
    }
}

fn writer<'a>(array: &'a dyn Array, format: &'a Format) -> Result<Write<'a>> {
    let json = matches!(format.style, Style::Json(_));
    macro_rules! integers {
        ($type:ty) => {{
            let values = array.as_primitive::<$type>().values();
            Box::new(move |row: usize, out: &mut Vec<u8>| {
                out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes());
            })
        }};
    }
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, out| out.extend_from_slice(b"null")),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, out| out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Box::new(move |row, out| {
                special_quoted(json, values[row].is_finite(), out, |out| write_float(out, values[row]))
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Box::new(move |row, out| {
                special_quoted(json, values[row].is_finite(), out, |out| write_double(out, values[row]))
            })
        }
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            let scale = *scale;
            if format.style == Style::Cast {
                Box::new(move |row, out| write_decimal_plain(out, values[row], scale))
            } else {
                Box::new(move |row, out| write_decimal(out, values[row], scale))
            }
        }
        DataType::Utf8 => text_writer(array.as_string::<i32>(), json),
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            Box::new(move |row, out| text(json, values.value(row), out))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row, out| text(json, values.value(row), out))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            if json {
                Box::new(move |row, out| {
                    out.push(b'"');
                    base64_encode(values.value(row), out);
                    out.push(b'"');
                })
            } else if format.style == Style::Csv {
                Box::new(move |row, out| {
                    out.push(b'[');
                    for (at, byte) in values.value(row).iter().enumerate() {
                        if at > 0 {
                            out.push(b' ');
                        }
                        out.extend_from_slice(format!("{byte:02X}").as_bytes());
                    }
                    out.push(b']');
                })
            } else {
                Box::new(move |row, out| out.extend_from_slice(String::from_utf8_lossy(values.value(row)).as_bytes()))
            }
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            let quote = json;
            match &format.date {
                Some(pattern) => Box::new(move |row, out| {
                    let us = i64::from(values[row]) * crate::interval::MICROS_PER_DAY;
                    quoted(quote, out, |out| pattern.write.format(us, Zone::Utc, out));
                }),
                None => Box::new(move |row, out| quoted(quote, out, |out| write_date(out, values[row]))),
            }
        }
        DataType::Timestamp(TimeUnit::Microsecond, zoned) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            let zoned = zoned.is_some();
            let zone = if zoned { format.zone } else { Zone::Utc };
            let pattern = if zoned { &format.timestamp } else { &format.timestamp_ntz };
            match (pattern, format.style) {
                (Some(pattern), _) => Box::new(move |row, out| {
                    quoted(json, out, |out| pattern.write.format(values[row], zone, out));
                }),
                (None, Style::Cast) => Box::new(move |row, out| write_timestamp(out, zone.to_local(values[row]))),
                (None, _) => Box::new(move |row, out| {
                    quoted(json, out, |out| write_iso(out, values[row], zone, zoned));
                }),
            }
        }
        DataType::List(_) if format.style != Style::Csv => {
            let list = array.as_list::<i32>();
            let items = Encoder::new(list.values(), format)?;
            let offsets = list.value_offsets();
            let separator: &[u8] = if json { b"," } else { b", " };
            Box::new(move |row, out| {
                out.push(b'[');
                for at in offsets[row] as usize..offsets[row + 1] as usize {
                    if at > offsets[row] as usize {
                        out.extend_from_slice(separator);
                    }
                    value_or_null(&items, at, out);
                }
                out.push(b']');
            })
        }
        DataType::Struct(_) if format.style != Style::Csv => struct_writer(array.as_struct(), format)?,
        DataType::Map(..) if format.style != Style::Csv => {
            let map = array.as_map();
            let key_format: &'a Format = format;
            let keys = match (json, map.keys().data_type()) {
                // As a name of JSON, Spark writes the number behind a date or a time.
                (true, DataType::Date32) => {
                    let days = map.keys().as_primitive::<Date32Type>().values();
                    Encoder {
                        nulls: None,
                        write: Box::new(move |row, out| out.extend_from_slice(days[row].to_string().as_bytes())),
                    }
                }
                (true, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                    let us = map.keys().as_primitive::<TimestampMicrosecondType>().values();
                    Encoder {
                        nulls: None,
                        write: Box::new(move |row, out| out.extend_from_slice(us[row].to_string().as_bytes())),
                    }
                }
                _ => Encoder::new(map.keys(), key_format)?,
            };
            let values = Encoder::new(map.values(), format)?;
            let offsets = map.value_offsets();
            let bare_key = json && !matches!(map.keys().data_type(), DataType::Utf8 | DataType::Utf8View);
            Box::new(move |row, out| {
                out.push(b'{');
                let mut first = true;
                for at in offsets[row] as usize..offsets[row + 1] as usize {
                    if !std::mem::take(&mut first) {
                        out.extend_from_slice(if json { b"," } else { b", " });
                    }
                    quoted(bare_key, out, |out| keys.write(at, out));
                    out.extend_from_slice(if json { b":" } else { b" -> " });
                    value_or_null(&values, at, out);
                }
                out.push(b'}');
            })
        }
        DataType::Dictionary(..) => {
            return Err(DataFusionError::Internal("a dictionary column is unpacked before it is written".into()));
        }
        other if format.style == Style::Csv => {
            return Err(DataFusionError::Plan(format!(
                "The CSV datasource doesn't support the type {}; write it as text with to_json(), or use json or parquet",
                type_name(other)
            )));
        }
        other => return Err(DataFusionError::Plan(format!("{} has no text form", type_name(other)))),
    })
}

fn text_writer(values: &arrow::array::StringArray, json: bool) -> Write<'_> {
    if json {
        Box::new(move |row, out| push_json_string(out, values.value(row)))
    } else {
        Box::new(move |row, out| out.extend_from_slice(values.value(row).as_bytes()))
    }
}

fn text(json: bool, value: &str, out: &mut Vec<u8>) {
    if json { push_json_string(out, value) } else { out.extend_from_slice(value.as_bytes()) }
}

#[inline]
fn quoted(quote: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if quote {
        out.push(b'"');
    }
    write(out);
    if quote {
        out.push(b'"');
    }
}

/// NaN and the infinities stand in quotes in JSON.
fn special_quoted(json: bool, finite: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    quoted(json && !finite, out, write);
}

fn value_or_null(encoder: &Encoder<'_>, at: usize, out: &mut Vec<u8>) {
    if encoder.is_null(at) { out.extend_from_slice(b"null") } else { encoder.write(at, out) }
}

fn struct_writer<'a>(array: &'a StructArray, format: &'a Format) -> Result<Write<'a>> {
    let columns: Vec<Encoder<'a>> =
        array.columns().iter().map(|column| Encoder::new(column, format)).collect::<Result<_>>()?;
    let Style::Json(leave_out_nulls) = format.style else {
        return Ok(Box::new(move |row, out| {
            out.push(b'{');
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                value_or_null(column, row, out);
            }
            out.push(b'}');
        }));
    };
    let names: Vec<Vec<u8>> = array.fields().iter().map(|field| json_name(field.name())).collect();
    Ok(Box::new(move |row, out| write_object(&names, &columns, row, leave_out_nulls, out)))
}

/// `"name":`, ready to be copied.
pub(crate) fn json_name(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 3);
    push_json_string(&mut out, name);
    out.push(b':');
    out
}

pub(crate) fn write_object(
    names: &[Vec<u8>],
    columns: &[Encoder<'_>],
    row: usize,
    leave_out_nulls: bool,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    let mut first = true;
    for (name, column) in names.iter().zip(columns) {
        let null = column.is_null(row);
        if null && leave_out_nulls {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(name);
        if null {
            out.extend_from_slice(b"null");
        } else {
            column.write(row, out);
        }
    }
    out.push(b'}');
}

/// `2024-01-06T00:00:00.000Z`, Spark's form in text files; without the zone for TIMESTAMP_NTZ.
pub(crate) fn write_iso(out: &mut Vec<u8>, us: i64, zone: Zone, zoned: bool) {
    let local = zone.to_local(us);
    let (days, of_day) = crate::time::split_micros(local);
    write_date(out, days);
    out.push(b'T');
    crate::time::write_time(out, of_day);
    let millis = (of_day / 1000 % 1000) as u32;
    out.extend_from_slice(&[b'.', b'0' + (millis / 100) as u8]);
    crate::time::push_two(out, millis % 100);
    if !zoned {
        return;
    }
    match zone.offset_s(us) {
        0 => out.push(b'Z'),
        offset => {
            out.push(if offset < 0 { b'-' } else { b'+' });
            crate::time::push_two(out, offset.unsigned_abs() / 3600);
            out.push(b':');
            crate::time::push_two(out, offset.unsigned_abs() / 60 % 60);
        }
    }
}

/// Appends a text in quotes, escaped as Jackson does it.
#[inline]
pub(crate) fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &b) in bytes.iter().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        let short = match b {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            other => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding.
pub(crate) fn base64_encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            out.push(if place <= chunk.len() { BASE64[(n >> (18 - 6 * place) & 63) as usize] } else { b'=' });
        }
    }
}

/// The bytes of a standard base64 text, padding optional.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    if text.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.chunks(4) {
        let mut n = 0u32;
        for b in chunk {
            n = n << 6 | BASE64.iter().position(|c| c == b)? as u32;
        }
        n <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&n.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_there_and_back() {
        for bytes in [b"".as_slice(), b"a", b"ab", b"abc", b"abcd", &[255, 0, 128]] {
            let mut out = Vec::new();
            base64_encode(bytes, &mut out);
            assert_eq!(base64_decode(std::str::from_utf8(&out).unwrap()).as_deref(), Some(bytes));
        }
        assert_eq!(base64_decode("a"), None);
    }

    #[test]
    fn json_strings_are_escaped_as_jackson_does() {
        let mut out = Vec::new();
        push_json_string(&mut out, "a\"b\\\n\u{1}\u{1f}é/");
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"b\\\\\\n\\u0001\\u001Fé/\"");
    }
}
