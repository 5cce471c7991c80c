//! Columns under construction, filled value by value from text.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, ListArray, MapArray, NullArray,
    StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::error::{DataFusionError, Result};

use super::number::{parse_decimal, parse_double, parse_float, parse_long, rescale};
use super::options::{DatePattern, TextOptions};
use crate::ddl::type_name;
use crate::session::Session;
use crate::time::{Zone, parse_date, parse_timestamp, parse_timestamp_ntz};

/// How dates and times in a text are read.
#[derive(Debug, Clone)]
pub(crate) struct TimeFormats {
    timestamp: Option<DatePattern>,
    timestamp_ntz: Option<DatePattern>,
    date: Option<DatePattern>,
    zone: Zone,
    session: Session,
}

impl TimeFormats {
    pub(crate) fn new(options: &TextOptions, session: &Session) -> Result<Self> {
        for pattern in [&options.timestamp, &options.timestamp_ntz, &options.date].into_iter().flatten() {
            if pattern.read.is_none() {
                crate::time::Pattern::for_parsing(pattern.write.source())
                    .map_err(|e| DataFusionError::Plan(e.to_string()))?;
            }
        }
        Ok(Self {
            timestamp: options.timestamp.clone(),
            timestamp_ntz: options.timestamp_ntz.clone(),
            date: options.date.clone(),
            zone: options.zone.unwrap_or(session.zone),
            session: session.clone(),
        })
    }

    #[inline]
    fn timestamp(&self, text: &str) -> Option<i64> {
        match self.timestamp.as_ref().and_then(|p| p.read.as_ref()) {
            Some(pattern) => pattern.parse(text, self.zone),
            None => parse_timestamp(text, self.zone, || self.session.now_us()),
        }
    }

    /// TIMESTAMP (`zoned`) or TIMESTAMP_NTZ.
    pub(crate) fn read_timestamp(&self, text: &str, zoned: bool) -> Option<i64> {
        if zoned { self.timestamp(text) } else { self.timestamp_ntz(text) }
    }

    fn timestamp_ntz(&self, text: &str) -> Option<i64> {
        match self.timestamp_ntz.as_ref().and_then(|p| p.read.as_ref()) {
            Some(pattern) => pattern.parse_local(text),
            // Unlike a cast, Spark's readers refuse a zone here.
            None => parse_timestamp_ntz(text, false),
        }
    }

    pub(crate) fn read_date(&self, text: &str) -> Option<i32> {
        match self.date.as_ref().and_then(|p| p.read.as_ref()) {
            Some(pattern) => pattern.parse_local(text).map(|us| crate::time::split_micros(us).0),
            None => parse_date(text),
        }
    }
}

/// A column under construction.
pub(crate) enum Column {
    Null(usize),
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    /// With a zone (TIMESTAMP) or not.
    Timestamp(TimestampMicrosecondBuilder, bool),
    Utf8(StringBuilder),
    Binary(BinaryBuilder),
    List(Box<Nested<Column>>),
    Struct(Box<StructColumn>),
    Map(Box<Nested<(StringBuilder, Column)>>),
}

/// A column of lists or maps: where each row's elements end, and the elements.
pub(crate) struct Nested<T> {
    field: FieldRef,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    pub(crate) items: T,
}

/// A column of structs.
pub(crate) struct StructColumn {
    pub(crate) fields: Fields,
    valid: Vec<bool>,
    pub(crate) columns: Vec<Column>,
}

impl Column {
    /// An empty column; an error where no text can give the type.
    pub(crate) fn new(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Null => Column::Null(0),
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Column::Int8(Int8Builder::new()),
            DataType::Int16 => Column::Int16(Int16Builder::new()),
            DataType::Int32 => Column::Int32(Int32Builder::new()),
            DataType::Int64 => Column::Int64(Int64Builder::new()),
            DataType::Float32 => Column::Float32(Float32Builder::new()),
            DataType::Float64 => Column::Float64(Float64Builder::new()),
            DataType::Decimal128(p, s) => {
                Column::Decimal(Decimal128Builder::new().with_data_type(data_type.clone()), *p, *s)
            }
            DataType::Date32 => Column::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Column::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()), zone.is_some())
            }
            DataType::Utf8 => Column::Utf8(StringBuilder::new()),
            DataType::Binary => Column::Binary(BinaryBuilder::new()),
            DataType::List(item) => Column::List(Box::new(Nested {
                items: Column::new(item.data_type())?,
                field: Arc::clone(item),
                offsets: vec![0],
                valid: Vec::new(),
            })),
            DataType::Struct(fields) => Column::Struct(Box::new(StructColumn {
                columns: fields.iter().map(|f| Column::new(f.data_type())).collect::<Result<_>>()?,
                fields: fields.clone(),
                valid: Vec::new(),
            })),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 => {
                    Column::Map(Box::new(Nested {
                        items: (StringBuilder::new(), Column::new(pair[1].data_type())?),
                        field: Arc::clone(entries),
                        offsets: vec![0],
                        valid: Vec::new(),
                    }))
                }
                _ => return Err(DataFusionError::Plan("a map read from text has keys of type STRING".into())),
            },
            other => return Err(DataFusionError::Plan(format!("text cannot be read as {}", type_name(other)))),
        })
    }

    /// An empty column of the same simple type.
    pub(crate) fn empty_like(&self) -> Result<Self> {
        Column::new(&match self {
            Column::Boolean(_) => DataType::Boolean,
            Column::Int8(_) => DataType::Int8,
            Column::Int16(_) => DataType::Int16,
            Column::Int32(_) => DataType::Int32,
            Column::Int64(_) => DataType::Int64,
            Column::Float32(_) => DataType::Float32,
            Column::Float64(_) => DataType::Float64,
            Column::Decimal(_, precision, scale) => DataType::Decimal128(*precision, *scale),
            Column::Date(_) => DataType::Date32,
            Column::Timestamp(_, zoned) => {
                if *zoned {
                    crate::ddl::timestamp()
                } else {
                    crate::ddl::timestamp_ntz()
                }
            }
            Column::Utf8(_) => DataType::Utf8,
            Column::Binary(_) => DataType::Binary,
            Column::Null(_) | Column::List(_) | Column::Struct(_) | Column::Map(_) => DataType::Null,
        })
    }

    pub(crate) fn is_nested(data_type: &DataType) -> bool {
        matches!(data_type, DataType::List(_) | DataType::Struct(_) | DataType::Map(..))
    }

    pub(crate) fn append_null(&mut self) {
        match self {
            Column::Null(n) => *n += 1,
            Column::Boolean(b) => b.append_null(),
            Column::Int8(b) => b.append_null(),
            Column::Int16(b) => b.append_null(),
            Column::Int32(b) => b.append_null(),
            Column::Int64(b) => b.append_null(),
            Column::Float32(b) => b.append_null(),
            Column::Float64(b) => b.append_null(),
            Column::Decimal(b, ..) => b.append_null(),
            Column::Date(b) => b.append_null(),
            Column::Timestamp(b, _) => b.append_null(),
            Column::Utf8(b) => b.append_null(),
            Column::Binary(b) => b.append_null(),
            Column::List(list) => list.close(false, list.items.len()),
            Column::Struct(s) => {
                s.columns.iter_mut().for_each(Column::append_null);
                s.valid.push(false);
            }
            Column::Map(map) => map.close(false, map.items.1.len()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Null(n) => *n,
            Column::Boolean(b) => b.len(),
            Column::Int8(b) => b.len(),
            Column::Int16(b) => b.len(),
            Column::Int32(b) => b.len(),
            Column::Int64(b) => b.len(),
            Column::Float32(b) => b.len(),
            Column::Float64(b) => b.len(),
            Column::Decimal(b, ..) => b.len(),
            Column::Date(b) => b.len(),
            Column::Timestamp(b, _) => b.len(),
            Column::Utf8(b) => b.len(),
            Column::Binary(b) => b.len(),
            Column::List(list) => list.valid.len(),
            Column::Struct(s) => s.valid.len(),
            Column::Map(map) => map.valid.len(),
        }
    }

    /// Appends what a text says, as CSV has it; `false` (and null) where it does not read as the column's type.
    /// Nested columns take none. `special` are the names of NaN and the infinities.
    #[inline]
    pub(crate) fn append_text(&mut self, text: &str, times: &TimeFormats, special: &[String; 3]) -> bool {
        macro_rules! append {
            ($builder:expr, $value:expr) => {{
                let value = $value;
                $builder.append_option(value);
                value.is_some()
            }};
        }
        match self {
            Column::Utf8(b) => {
                b.append_value(text);
                true
            }
            Column::Int32(b) => append!(b, parse_long(text).and_then(|v| i32::try_from(v).ok())),
            Column::Int64(b) => append!(b, parse_long(text)),
            Column::Float64(b) => append!(b, parse_double(text).or_else(|| named(text, special))),
            Column::Timestamp(b, true) => append!(b, times.timestamp(text)),
            Column::Timestamp(b, false) => append!(b, times.timestamp_ntz(text)),
            Column::Date(b) => append!(b, times.read_date(text)),
            Column::Boolean(b) => append!(b, parse_true_false(text)),
            Column::Int8(b) => append!(b, parse_long(text).and_then(|v| i8::try_from(v).ok())),
            Column::Int16(b) => append!(b, parse_long(text).and_then(|v| i16::try_from(v).ok())),
            Column::Float32(b) => {
                append!(b, parse_float(text).or_else(|| named(text, special).map(|v| v as f32)))
            }
            Column::Decimal(b, p, s) => append!(b, text_decimal(text, *p, *s)),
            Column::Binary(b) => {
                b.append_value(text.as_bytes());
                true
            }
            Column::Null(n) => {
                *n += 1;
                false
            }
            Column::List(_) | Column::Struct(_) | Column::Map(_) => {
                self.append_null();
                false
            }
        }
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Null(n) => Arc::new(NullArray::new(std::mem::take(n))),
            Column::Boolean(b) => Arc::new(b.finish()),
            Column::Int8(b) => Arc::new(b.finish()),
            Column::Int16(b) => Arc::new(b.finish()),
            Column::Int32(b) => Arc::new(b.finish()),
            Column::Int64(b) => Arc::new(b.finish()),
            Column::Float32(b) => Arc::new(b.finish()),
            Column::Float64(b) => Arc::new(b.finish()),
            Column::Decimal(b, ..) => Arc::new(b.finish()),
            Column::Date(b) => Arc::new(b.finish()),
            Column::Timestamp(b, _) => Arc::new(b.finish()),
            Column::Utf8(b) => Arc::new(b.finish()),
            Column::Binary(b) => Arc::new(b.finish()),
            Column::List(list) => {
                let (offsets, nulls) = list.finish_rows();
                Arc::new(ListArray::try_new(Arc::clone(&list.field), offsets, list.items.finish()?, nulls)?)
            }
            Column::Struct(s) => {
                let valid = std::mem::take(&mut s.valid);
                let columns = s.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
                let nulls = null_buffer(&valid);
                Arc::new(StructArray::try_new_with_length(s.fields.clone(), columns, nulls, valid.len())?)
            }
            Column::Map(map) => {
                let (offsets, nulls) = map.finish_rows();
                let DataType::Struct(pair) = map.field.data_type() else {
                    return Err(DataFusionError::Internal("a map's entries are structs".into()));
                };
                let columns: Vec<ArrayRef> = vec![Arc::new(map.items.0.finish()), map.items.1.finish()?];
                let entries = StructArray::try_new(pair.clone(), columns, None)?;
                Arc::new(MapArray::try_new(Arc::clone(&map.field), offsets, entries, nulls, false)?)
            }
        })
    }
}

impl<T> Nested<T> {
    /// Ends a row whose elements are those up to `end`.
    pub(crate) fn close(&mut self, valid: bool, end: usize) {
        self.offsets.push(i32::try_from(end).expect("a batch has fewer than 2^31 elements, as its text is smaller"));
        self.valid.push(valid);
    }

    fn finish_rows(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let valid = std::mem::take(&mut self.valid);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), null_buffer(&valid))
    }
}

impl StructColumn {
    pub(crate) fn close(&mut self, valid: bool) {
        self.valid.push(valid);
    }
}

fn null_buffer(valid: &[bool]) -> Option<NullBuffer> {
    valid.contains(&false).then(|| NullBuffer::from(valid))
}

/// A column of nulls, for what a schema asks and a text cannot give.
pub(crate) fn nullable(fields: &Fields) -> Fields {
    fields.iter().map(|f| Arc::new(nullable_field(f))).collect()
}

fn nullable_field(field: &Field) -> Field {
    field.clone().with_data_type(nullable_type(field.data_type())).with_nullable(true)
}

/// The type with every field below it nullable, as `from_csv` and `from_json` give it.
pub(crate) fn nullable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(nullable(fields)),
        DataType::List(item) => DataType::List(Arc::new(nullable_field(item))),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let key = pair[0].as_ref().clone();
                let pair = Fields::from(vec![key, nullable_field(&pair[1])]);
                DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(DataType::Struct(pair))), *sorted)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}

fn named(text: &str, special: &[String; 3]) -> Option<f64> {
    match text {
        _ if text == special[0] => Some(f64::NAN),
        _ if text == special[1] => Some(f64::INFINITY),
        _ if text == special[2] => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn parse_true_false(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Commas group digits, as in Java's US locale.
fn text_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (value, from) = if text.contains(',') { parse_decimal(&text.replace(',', ""))? } else { parse_decimal(text)? };
    rescale(value, from, precision, scale)
}
