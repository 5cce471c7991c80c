//! Kafka's record batches to Arrow's: the only place where the two meet.
//!
//! Records are appended to one buffer a column; only projected columns are built. A [`Decoder`] is for one partition and keeps its memory
//! from batch to batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, StringViewBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use millstream_engine::SourceBatch;
use millstream_protocol::records::{BatchError, BatchHeader, Record, Scratch, batches, decode_batch};

use crate::kafka::offsets::partition_name;

/// Rows of an Arrow batch, about.
pub const BATCH_ROWS: usize = 8192;
/// Bytes of keys and values after which a batch is given out although it has fewer rows.
const BATCH_BYTES: usize = 8 << 20;

/// Why a topic's bytes do not become rows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A schema that asks for what a topic does not have.
    #[error(
        "column {0} of type {1} is not one of a kafka source: key, value, topic, partition, offset, timestamp, timestampType, headers"
    )]
    Column(String, DataType),
    /// Damaged or malformed bytes.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Columns that do not fit together: a defect of this module.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// One of Spark's Kafka columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Value,
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    Headers,
}

/// The columns to build, checked.
#[derive(Debug, Clone)]
pub struct Columns {
    schema: SchemaRef,
    kinds: Arc<[Kind]>,
}

impl Columns {
    /// Those of `schema` that `projection` names, or all.
    pub fn new(schema: &SchemaRef, projection: Option<&[usize]>) -> Result<Self, DecodeError> {
        let schema = match projection {
            Some(columns) => Arc::new(schema.project(columns)?),
            None => Arc::clone(schema),
        };
        let kinds = schema.fields().iter().map(kind_of).collect::<Result<_, _>>()?;
        Ok(Self { schema, kinds })
    }

    fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

fn kind_of(field: &FieldRef) -> Result<Kind, DecodeError> {
    use DataType::{Binary, BinaryView, Int32, Int64, LargeBinary, List, Timestamp, Utf8, Utf8View};
    let kind = match (field.name().to_ascii_lowercase().as_str(), field.data_type()) {
        ("key", Binary | BinaryView | LargeBinary) => Kind::Key,
        ("value", Binary | BinaryView | LargeBinary) => Kind::Value,
        ("topic", Utf8 | Utf8View) => Kind::Topic,
        ("partition", Int32) => Kind::Partition,
        ("offset", Int64) => Kind::Offset,
        ("timestamp", Timestamp(TimeUnit::Microsecond, _)) => Kind::Timestamp,
        ("timestamptype", Int32) => Kind::TimestampType,
        ("headers", List(item)) if matches!(item.data_type(), DataType::Struct(fields) if fields.len() == 2) => {
            Kind::Headers
        }
        _ => return Err(DecodeError::Column(field.name().clone(), field.data_type().clone())),
    };
    Ok(kind)
}

/// Turns one partition's batches into rows.
#[derive(Debug)]
pub struct Decoder {
    columns: Columns,
    topic: String,
    partition: i32,
    name: String,
    scratch: Scratch,
    rows: usize,
    next_offset: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    offsets: Option<Vec<i64>>,
    timestamps_us: Option<Vec<i64>>,
    timestamp_types: Option<Vec<i32>>,
    headers: Option<HeaderColumn>,
}

impl Decoder {
    /// A decoder for one partition.
    pub fn new(columns: &Columns, topic: &str, partition: i32) -> Self {
        Self {
            topic: topic.to_owned(),
            partition,
            name: partition_name(topic, partition),
            scratch: Scratch::default(),
            rows: 0,
            next_offset: 0,
            key: columns.has(Kind::Key).then(Bytes::default),
            value: columns.has(Kind::Value).then(Bytes::default),
            offsets: columns.has(Kind::Offset).then(Vec::new),
            timestamps_us: columns.has(Kind::Timestamp).then(Vec::new),
            timestamp_types: columns.has(Kind::TimestampType).then(Vec::new),
            headers: columns.has(Kind::Headers).then(HeaderColumn::default),
            columns: columns.clone(),
        }
    }

    /// Decodes whole batches, of which records from `from` to before `to` count. Full Arrow batches are added to `out`; what is left stays
    /// for the next call or for [`Decoder::flush`]. Gives the offset after the last batch, or `to` if that is less.
    pub fn push(&mut self, bytes: &[u8], from: i64, to: i64, out: &mut Vec<SourceBatch>) -> Result<i64, DecodeError> {
        let mut next = from;
        let mut scratch = std::mem::take(&mut self.scratch);
        for batch in batches(bytes) {
            let (header, batch) = batch?;
            if header.base_offset >= to {
                next = to;
                break;
            }
            next = next.max(last_offset(&header) + 1);
            if header.is_control() || next <= from {
                continue;
            }
            let timestamp_type = i32::from(header.is_log_append_time());
            for record in decode_batch(batch, &mut scratch)? {
                let record = record?;
                if record.offset < from {
                    continue;
                }
                if record.offset >= to {
                    break;
                }
                self.record(&record, timestamp_type)?;
                if self.rows >= BATCH_ROWS || self.bytes() >= BATCH_BYTES {
                    self.flush(out)?;
                }
            }
        }
        self.scratch = scratch;
        Ok(next.min(to))
    }

    /// Gives out the rows that are left.
    pub fn flush(&mut self, out: &mut Vec<SourceBatch>) -> Result<(), DecodeError> {
        if self.rows > 0 {
            let rows = self.finish()?;
            out.push(SourceBatch { partition: self.name.clone(), next_offset: self.next_offset, rows });
        }
        Ok(())
    }

    /// Appends one record, from whichever client it comes.
    pub(crate) fn add(&mut self, record: &Loose<'_>, out: &mut Vec<SourceBatch>) -> Result<(), DecodeError> {
        self.plain(record.offset, record.timestamp_ms, record.timestamp_type, record.key, record.value);
        if let Some(headers) = &mut self.headers {
            for (name, value) in record.headers {
                headers.one(name, *value);
            }
            headers.end(!record.headers.is_empty());
        }
        if self.rows >= BATCH_ROWS || self.bytes() >= BATCH_BYTES {
            self.flush(out)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, |c| c.data.len()) + self.value.as_ref().map_or(0, |c| c.data.len())
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>, timestamp_type: i32) -> Result<(), DecodeError> {
        self.plain(record.offset, record.timestamp, timestamp_type, record.key, record.value);
        if let Some(headers) = &mut self.headers {
            for header in record.headers {
                let (name, value) = header?;
                headers.one(name, value);
            }
            headers.end(!record.headers.is_empty());
        }
        Ok(())
    }

    #[inline]
    fn plain(&mut self, offset: i64, timestamp_ms: i64, timestamp_type: i32, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.rows += 1;
        self.next_offset = offset + 1;
        if let Some(column) = &mut self.value {
            column.push(value);
        }
        if let Some(column) = &mut self.key {
            column.push(key);
        }
        if let Some(column) = &mut self.offsets {
            column.push(offset);
        }
        if let Some(column) = &mut self.timestamps_us {
            column.push(timestamp_ms.saturating_mul(1000));
        }
        if let Some(column) = &mut self.timestamp_types {
            column.push(timestamp_type);
        }
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        let rows = std::mem::take(&mut self.rows);
        let schema = Arc::clone(&self.columns.schema);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (field, kind) in schema.fields().iter().zip(self.columns.kinds.iter()) {
            let taken = || "the builder of a projected column is there";
            let array: ArrayRef = match kind {
                Kind::Key => self.key.as_mut().unwrap_or_else(|| panic!("{}", taken())).finish(field.data_type())?,
                Kind::Value => {
                    self.value.as_mut().unwrap_or_else(|| panic!("{}", taken())).finish(field.data_type())?
                }
                Kind::Topic => repeat(&self.topic, rows, field.data_type()),
                Kind::Partition => Arc::new(Int32Array::from_value(self.partition, rows)),
                Kind::Offset => {
                    Arc::new(Int64Array::from(drain(self.offsets.as_mut().unwrap_or_else(|| panic!("{}", taken())))))
                }
                Kind::Timestamp => {
                    let values = drain(self.timestamps_us.as_mut().unwrap_or_else(|| panic!("{}", taken())));
                    Arc::new(TimestampMicrosecondArray::from(values).with_data_type(field.data_type().clone()))
                }
                Kind::TimestampType => Arc::new(Int32Array::from(drain(
                    self.timestamp_types.as_mut().unwrap_or_else(|| panic!("{}", taken())),
                ))),
                Kind::Headers => {
                    self.headers.as_mut().unwrap_or_else(|| panic!("{}", taken())).finish(field.data_type())?
                }
            };
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }
}

/// A record of a client library.
pub(crate) struct Loose<'a> {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub timestamp_type: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

fn last_offset(header: &BatchHeader) -> i64 {
    header.base_offset + i64::from(header.last_offset_delta)
}

/// The values, and room for as many again.
fn drain<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    std::mem::replace(values, Vec::with_capacity(room))
}

fn repeat(text: &str, rows: usize, to: &DataType) -> ArrayRef {
    if to == &DataType::Utf8View {
        let mut builder = StringViewBuilder::with_capacity(rows).with_deduplicate_strings();
        (0..rows).for_each(|_| builder.append_value(text));
        Arc::new(builder.finish())
    } else {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
    }
}

/// Byte strings behind each other. Nulls are noted only once there is one.
#[derive(Debug)]
struct Bytes {
    data: Vec<u8>,
    ends: Vec<i32>,
    valid: Option<Vec<bool>>,
}

impl Default for Bytes {
    fn default() -> Self {
        Self { data: Vec::new(), ends: vec![0], valid: None }
    }
}

impl Bytes {
    #[inline]
    fn push(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.data.extend_from_slice(value),
            None => {
                let before = self.ends.len() - 1;
                self.valid.get_or_insert_with(|| vec![true; before]);
            }
        }
        if let Some(valid) = &mut self.valid {
            valid.push(value.is_some());
        }
        // Batches are cut at a size far below 2 GiB, and so is every record.
        self.ends.push(self.data.len() as i32);
    }

    fn finish(&mut self, to: &DataType) -> Result<ArrayRef, ArrowError> {
        let room = self.data.len() + self.data.len() / 8;
        let rows = self.ends.len();
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(room));
        let ends = std::mem::replace(&mut self.ends, Vec::with_capacity(rows));
        self.ends.push(0);
        let nulls = self.valid.take().map(NullBuffer::from);
        let array = BinaryArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(data), nulls)?;
        let array: ArrayRef = Arc::new(array);
        // To views: no byte is copied.
        if to == &DataType::Binary { Ok(array) } else { cast(&array, to) }
    }
}

/// `array<struct<key: string, value: binary>>`; null without headers, as Spark has it.
#[derive(Debug, Default)]
struct HeaderColumn {
    names: StringBuilder,
    values: BinaryBuilder,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl HeaderColumn {
    fn one(&mut self, name: &str, value: Option<&[u8]>) {
        self.names.append_value(name);
        self.values.append_option(value);
    }

    fn end(&mut self, any: bool) {
        self.ends.push(i32::try_from(arrow::array::ArrayBuilder::len(&self.names)).unwrap_or(i32::MAX));
        self.valid.push(any);
    }

    fn finish(&mut self, to: &DataType) -> Result<ArrayRef, ArrowError> {
        let DataType::List(item) = to else { return Err(ArrowError::SchemaError("headers is a list".into())) };
        let DataType::Struct(fields) = item.data_type() else {
            return Err(ArrowError::SchemaError("headers is a list of structs".into()));
        };
        let ends = std::mem::take(&mut self.ends);
        let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(std::iter::once(0).chain(ends)));
        let names: ArrayRef = Arc::new(self.names.finish());
        let values: ArrayRef = Arc::new(self.values.finish());
        let columns = vec![cast(&names, fields[0].data_type())?, cast(&values, fields[1].data_type())?];
        let structs = StructArray::try_new(fields.clone(), columns, None)?;
        let nulls = NullBuffer::from(std::mem::take(&mut self.valid));
        Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, Arc::new(structs), Some(nulls))?))
    }
}

/// Spark's Kafka columns, for tests and tools that have no pipeline.
pub fn kafka_schema(headers: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("timestampType", DataType::Int32, true),
    ];
    if headers {
        let header =
            Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)]);
        fields.push(Field::new(
            "headers",
            DataType::List(Arc::new(Field::new("item", DataType::Struct(header), true))),
            true,
        ));
    }
    Arc::new(arrow::datatypes::Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use millstream_protocol::records::{BatchBuilder, Codec, set_base_offset};
    use proptest::prelude::*;

    use super::*;

    type Row = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

    fn batch(codec: Codec, base: i64, rows: &[Row]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec);
        for (timestamp, key, value, headers) in rows {
            let headers: Vec<(&str, Option<&[u8]>)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
            builder.push(*timestamp, key.as_deref(), value.as_deref(), &headers);
        }
        let mut bytes = builder.finish().unwrap().to_vec();
        set_base_offset(&mut bytes, base);
        bytes
    }

    fn rows(from: i64, count: i64) -> Vec<Row> {
        (from..from + count)
            .map(|n| {
                let headers = if n % 3 == 0 {
                    vec![("h".to_owned(), Some(vec![n as u8])), ("e".to_owned(), None)]
                } else {
                    vec![]
                };
                let key = (n % 4 != 0).then(|| format!("k{n}").into_bytes());
                (1_700_000_000_000 + n, key, (n % 5 != 0).then(|| format!("value {n}").into_bytes()), headers)
            })
            .collect()
    }

    fn decode(columns: &Columns, bytes: &[u8], from: i64, to: i64) -> (i64, Vec<SourceBatch>) {
        let mut decoder = Decoder::new(columns, "t", 3);
        let mut out = Vec::new();
        let next = decoder.push(bytes, from, to, &mut out).unwrap();
        decoder.flush(&mut out).unwrap();
        (next, out)
    }

    #[test]
    fn every_codec_gives_the_same_rows() {
        let columns = Columns::new(&kafka_schema(true), None).unwrap();
        let expected = decode(&columns, &batch(Codec::None, 10, &rows(10, 100)), 10, 110).1;
        let one = &expected[0].rows;
        assert_eq!((expected.len(), one.num_rows(), expected[0].next_offset), (1, 100, 110));
        assert_eq!(expected[0].partition, "t-3");
        assert_eq!(one.column(1).as_binary::<i32>().value(1), b"value 11");
        assert!(one.column(1).is_null(0) && one.column(0).is_null(2));
        assert_eq!(one.column(4).as_primitive::<Int64Type>().value(7), 17);
        assert_eq!(one.column(5).as_primitive::<TimestampMicrosecondType>().value(0), 1_700_000_000_010_000);
        let headers = one.column(7).as_list::<i32>();
        assert!(headers.is_null(0));
        assert_eq!(headers.value(2).as_struct().column(0).as_string::<i32>().value(0), "h");
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let got = decode(&columns, &batch(codec, 10, &rows(10, 100)), 10, 110).1;
            assert_eq!(got[0].rows, *one, "{codec:?}");
        }
    }

    #[test]
    fn only_projected_columns_are_built_and_only_the_range() {
        let columns = Columns::new(&kafka_schema(false), Some(&[4, 1])).unwrap();
        let mut bytes = batch(Codec::Lz4, 0, &rows(0, 10));
        bytes.extend(batch(Codec::None, 10, &rows(10, 10)));
        let (next, out) = decode(&columns, &bytes, 5, 12);
        assert_eq!((next, out.len()), (12, 1));
        assert_eq!(out[0].rows.num_columns(), 2);
        let offsets: Vec<i64> = out[0].rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(offsets, (5..12).collect::<Vec<_>>());
        let none = Columns::new(&kafka_schema(false), Some(&[])).unwrap();
        assert_eq!(decode(&none, &bytes, 5, 12).1[0].rows.num_rows(), 7);
    }

    #[test]
    fn views_are_built_where_the_schema_has_them() {
        let fields =
            vec![Field::new("value", DataType::BinaryView, true), Field::new("topic", DataType::Utf8View, true)];
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let (_, out) = decode(&Columns::new(&schema, None).unwrap(), &batch(Codec::Zstd, 0, &rows(0, 3)), 0, 3);
        assert_eq!(out[0].rows.column(0).as_binary_view().value(1), b"value 1");
        assert_eq!(out[0].rows.column(1).as_string_view().value(2), "t");
    }

    #[test]
    fn large_batches_are_cut() {
        let columns = Columns::new(&kafka_schema(false), None).unwrap();
        let all = rows(0, 20_000);
        let (next, out) = decode(&columns, &batch(Codec::Snappy, 0, &all), 0, 20_000);
        assert_eq!(next, 20_000);
        assert_eq!(out.iter().map(|b| b.next_offset).collect::<Vec<_>>(), [8192, 16384, 20_000]);
        let whole = concat_batches(&columns.schema, out.iter().map(|b| &b.rows)).unwrap();
        assert_eq!(whole.num_rows(), 20_000);
    }

    #[test]
    fn damage_is_an_error() {
        let columns = Columns::new(&kafka_schema(false), None).unwrap();
        let mut bytes = batch(Codec::None, 0, &rows(0, 3));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(Decoder::new(&columns, "t", 0).push(&bytes, 0, 3, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_foreign_column_is_refused() {
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
        assert!(Columns::new(&schema, None).is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            values in prop::collection::vec((any::<i32>(), any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>()), 1..50),
            codec in prop::sample::select(vec![Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]),
        ) {
            let columns = Columns::new(&kafka_schema(false), Some(&[0, 1, 5])).unwrap();
            let rows: Vec<Row> = values.into_iter().map(|(t, k, v)| (i64::from(t), k, v, vec![])).collect();
            let (_, out) = decode(&columns, &batch(codec, 0, &rows), 0, rows.len() as i64);
            let got = &out[0].rows;
            for (at, (timestamp, key, value, _)) in rows.iter().enumerate() {
                let key_column = got.column(0).as_binary::<i32>();
                let value_column = got.column(1).as_binary::<i32>();
                prop_assert_eq!(key_column.is_valid(at).then(|| key_column.value(at)), key.as_deref());
                prop_assert_eq!(value_column.is_valid(at).then(|| value_column.value(at)), value.as_deref());
                prop_assert_eq!(got.column(2).as_primitive::<TimestampMicrosecondType>().value(at), timestamp * 1000);
            }
        }
    }
}
