//! `millstream.topic`: each row of a table also as a record of a topic.
//!
//! A table with a column `value` of text or bytes has its columns value, key, topic, partition and headers written as they are, as Spark's
//! Kafka sink does; any other is written as JSON or CSV, keyed by a column if `millstream.topic.key` names one.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use millstream_functions::Session;
use millstream_protocol::partition_for_key;

use crate::records::Payload;
use crate::text::RowWriter;

/// Bytes after which records without a key go to the next partition.
const STICKY_BYTES: usize = 16 << 10;

/// What is wrong with a table's delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// A key that is no column.
    #[error("millstream.topic.key = '{column}' is not a column of table {table}; it has {columns}")]
    Key {
        /// Table.
        table: String,
        /// Named.
        column: String,
        /// There.
        columns: String,
    },
    /// An unknown format.
    #[error("millstream.topic.format = '{format}' of table {table} is not known; use json or csv")]
    Format {
        /// Table.
        table: String,
        /// Named.
        format: String,
    },
}

/// How rows become records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    topic: String,
    key: Option<usize>,
    body: Body,
    session: Session,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Json,
    Csv,
    /// Columns written as they are.
    Raw {
        value: usize,
        topic: Option<usize>,
        partition: Option<usize>,
        headers: Option<usize>,
    },
}

impl Delivery {
    /// By a table's properties; none if it has no `millstream.topic`.
    pub fn of(
        table: &str,
        schema: &SchemaRef,
        properties: &BTreeMap<String, String>,
        session: &Session,
    ) -> Result<Option<Self>, DeliveryError> {
        let Some(topic) = properties.get("millstream.topic").map(|t| t.trim().to_owned()) else { return Ok(None) };
        let column = |name: &str, good: fn(&DataType) -> bool| {
            schema.column_with_name(name).filter(|(_, field)| good(field.data_type())).map(|(at, _)| at)
        };
        let raw = column("value", is_bytes).map(|value| Body::Raw {
            value,
            topic: column("topic", is_text),
            partition: column("partition", |t| t == &DataType::Int32),
            headers: column("headers", |t| matches!(t, DataType::List(_))),
        });
        let key = match properties.get("millstream.topic.key") {
            None if raw.is_some() => column("key", is_bytes),
            None => None,
            Some(name) => Some(schema.index_of(name.trim()).map_err(|_| DeliveryError::Key {
                table: table.to_owned(),
                column: name.clone(),
                columns: schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", "),
            })?),
        };
        let format = properties.get("millstream.topic.format").map(|f| f.trim().to_ascii_lowercase());
        let body = match (raw, format.as_deref()) {
            (Some(raw), None) => raw,
            (_, None | Some("json")) => Body::Json,
            (_, Some("csv")) => Body::Csv,
            (_, Some(other)) => {
                return Err(DeliveryError::Format { table: table.to_owned(), format: other.to_owned() });
            }
        };
        Ok(Some(Self { topic, key, body, session: session.clone() }))
    }

    /// Rows as JSON to `topic`, without a key: what late rows are.
    pub fn json(topic: &str, session: &Session) -> Self {
        Self { topic: topic.to_owned(), key: None, body: Body::Json, session: session.clone() }
    }

    /// The topic; rows of a table with a column `topic` may go to others.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Topics that rows of this batch name themselves.
    pub fn topics(&self, batch: &RecordBatch) -> Result<BTreeSet<String>, ArrowError> {
        let Body::Raw { topic: Some(at), .. } = &self.body else { return Ok(BTreeSet::new()) };
        let topics = cast(batch.column(*at), &DataType::Utf8)?;
        Ok(topics.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
    }

    /// Hands each row to `put` as (topic, given partition, key, value, headers).
    pub fn records<E: From<ArrowError>>(
        &self,
        batch: &RecordBatch,
        mut put: impl FnMut(Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let keys = self.key.map(|at| bytes(batch.column(at), &self.session)).transpose()?;
        let key_at =
            |row: usize| keys.as_ref().and_then(|keys| keys.is_valid(row).then(|| keys.as_binary::<i32>().value(row)));
        match &self.body {
            Body::Json | Body::Csv => {
                let schema = batch.schema();
                let writer = if self.body == Body::Csv {
                    RowWriter::csv(&schema, &self.session)?
                } else {
                    RowWriter::json(&schema, &self.session)?
                };
                let mut text = Vec::new();
                let mut ends = Vec::with_capacity(batch.num_rows());
                writer.rows(batch, &mut text, &mut ends)?;
                let mut from = 0;
                for (row, end) in ends.into_iter().enumerate() {
                    put(Outgoing {
                        topic: &self.topic,
                        partition: None,
                        key: key_at(row),
                        value: Some(&text[from..end]),
                        headers: &[],
                    })?;
                    from = end;
                }
            }
            Body::Raw { value, topic, partition, headers } => {
                let values = bytes(batch.column(*value), &self.session)?;
                let values = values.as_binary::<i32>();
                let topics = topic.map(|at| cast(batch.column(at), &DataType::Utf8)).transpose()?;
                for row in 0..batch.num_rows() {
                    let named = topics.as_ref().filter(|t| t.is_valid(row)).map(|t| t.as_string::<i32>().value(row));
                    let given = partition.map(|at| batch.column(at)).filter(|p| p.is_valid(row));
                    let list = headers
                        .map(|at| headers_at(batch.column(at), row, &self.session))
                        .transpose()?
                        .unwrap_or_default();
                    let list: Vec<(&str, Option<&[u8]>)> =
                        list.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
                    put(Outgoing {
                        topic: named.unwrap_or(&self.topic),
                        partition: given.map(|p| p.as_primitive::<Int32Type>().value(row)),
                        key: key_at(row),
                        value: values.is_valid(row).then(|| values.value(row)),
                        headers: &list,
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// A row on its way to a topic.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition that the row itself names.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_bytes(data_type: &DataType) -> bool {
    is_text(data_type) || matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// The column's values as bytes: bytes as they are, all else as text.
fn bytes(column: &ArrayRef, session: &Session) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Binary => Ok(ArrayRef::clone(column)),
        t if is_bytes(t) => cast(column, &DataType::Binary),
        _ => cast(&crate::text::as_text(column, session)?, &DataType::Binary),
    }
}

type OwnedHeaders = Vec<(String, Option<Vec<u8>>)>;

fn headers_at(column: &ArrayRef, row: usize, session: &Session) -> Result<OwnedHeaders, ArrowError> {
    let list = column.as_list::<i32>();
    if list.is_null(row) {
        return Ok(Vec::new());
    }
    let items = list.value(row);
    let Some(structs) = items.as_struct_opt().filter(|s| s.num_columns() == 2) else { return Ok(Vec::new()) };
    let names = cast(structs.column(0), &DataType::Utf8)?;
    let values = bytes(structs.column(1), session)?;
    Ok((0..structs.len())
        .map(|at| {
            let value = values.is_valid(at).then(|| values.as_binary::<i32>().value(at).to_vec());
            (names.as_string::<i32>().value(at).to_owned(), value)
        })
        .collect())
}

/// Gathers records by partition for one atomic append. Keys go by murmur2, as every Kafka client's; records without one stay with a
/// partition for a while and then go to the next.
#[derive(Debug, Default)]
pub struct Gather {
    parts: BTreeMap<(String, i32), Payload>,
}

/// Where records without a key go next, by topic: the partition, and the bytes it has got.
#[derive(Debug, Default)]
pub struct Sticky(BTreeMap<String, (i32, usize)>);

impl Sticky {
    fn next(&mut self, topic: &str, partitions: i32, bytes: usize) -> i32 {
        let slot = match self.0.get_mut(topic) {
            Some(slot) => slot,
            None => self.0.entry(topic.to_owned()).or_default(),
        };
        let partition = slot.0 % partitions.max(1);
        slot.1 += bytes;
        if slot.1 >= STICKY_BYTES {
            *slot = (partition.wrapping_add(1) % partitions.max(1), 0);
        }
        partition
    }

    /// The commit is over: the next one goes to another partition.
    pub fn turn(&mut self) {
        for slot in self.0.values_mut().filter(|slot| slot.1 > 0) {
            *slot = ((slot.0 + 1) & i32::MAX, 0);
        }
    }
}

impl Gather {
    /// Adds a record to the partition it belongs to.
    pub fn put(&mut self, record: &Outgoing<'_>, partitions: i32, sticky: &mut Sticky, timestamp_ms: i64) {
        let size = record.value.map_or(0, <[u8]>::len);
        let partition = match (record.partition, record.key) {
            (Some(given), _) if (0..partitions).contains(&given) => given,
            (_, Some(key)) => partition_for_key(key, partitions),
            (_, None) => sticky.next(record.topic, partitions, size),
        };
        self.push(record.topic, partition, timestamp_ms, record.key, record.value, record.headers);
    }

    /// Adds a record to this partition.
    pub fn push(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        self.parts.entry((topic.to_owned(), partition)).or_default().push(timestamp_ms, key, value, headers);
    }

    /// All of it.
    pub fn finish(self) -> Vec<crate::embedded::Append> {
        let whole = |((topic, partition), payload): ((String, i32), Payload)| {
            payload.finish().map(|batches| crate::embedded::Append { topic, partition, batches })
        };
        self.parts.into_iter().filter_map(whole).collect()
    }
}
