//! Bytes to records: lines, JSON, CSV.

use std::cell::RefCell;
use std::io::{BufRead, Read};

use bytes::Bytes;
use millstream_client::ProducerRecord;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Format;
use crate::record;
use crate::when::time_ms;

/// How input is read.
#[derive(Debug, Clone)]
pub struct How {
    pub format: Format,
    pub key_separator: Option<Vec<u8>>,
    pub key_column: Option<String>,
    pub tombstones: bool,
    pub whole: bool,
    /// A line, or a file that is one record, is refused beyond this.
    pub line_bytes_max: usize,
    /// For times like "10m".
    pub now_ms: i64,
}

/// What is wrong with the input, and in which line (0 = in all of it).
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub line: u64,
    pub what: String,
}

/// Fields of a record in a CSV file, as `consume` prints them.
const RECORD_COLUMNS: [&str; 7] = ["topic", "partition", "offset", "timestamp", "key", "value", "headers"];

/// Gives `each` every record with its line, until it says no.
pub fn parse(
    reader: &mut dyn BufRead,
    how: &How,
    each: &mut dyn FnMut(u64, ProducerRecord) -> bool,
) -> Result<(), Wrong> {
    if how.whole {
        let mut value = Vec::new();
        let limit = how.line_bytes_max as u64;
        reader.take(limit + 1).read_to_end(&mut value).map_err(|error| wrong(0, error))?;
        if value.len() as u64 > limit {
            return Err(wrong(0, "larger than any batch: raise --batch-bytes, and max.message.bytes of the topic"));
        }
        each(0, ProducerRecord { value: value_of(value, how), ..ProducerRecord::default() });
        return Ok(());
    }
    match how.format {
        Format::Raw => lines(reader, how, &mut |line, bytes| Ok(each(line, of_line(bytes, how)))),
        Format::Json => lines(reader, how, &mut |line, bytes| {
            if bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
            let text = std::str::from_utf8(bytes).map_err(|_| wrong(line, "not UTF-8"))?;
            Ok(each(line, record::from_json(text, how.now_ms).map_err(|what| wrong(line, what))?))
        }),
        Format::Csv => csv(reader, how, each),
    }
}

fn wrong(line: u64, what: impl ToString) -> Wrong {
    Wrong { line, what: what.to_string() }
}

/// Takes a line and its number; says whether more are wanted.
type EachLine<'a> = dyn FnMut(u64, &[u8]) -> Result<bool, Wrong> + 'a;

/// Lines without their ends, `\n` or `\r\n`.
fn lines(reader: &mut dyn BufRead, how: &How, each: &mut EachLine<'_>) -> Result<(), Wrong> {
    let mut buffer = Vec::new();
    for line in 1.. {
        buffer.clear();
        let limit = how.line_bytes_max as u64 + 2;
        if reader.take(limit).read_until(b'\n', &mut buffer).map_err(|error| wrong(line, error))? == 0 {
            break;
        }
        let whole = buffer.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest)).unwrap_or(&buffer);
        if whole.len() > how.line_bytes_max {
            return Err(wrong(
                line,
                "longer than any batch: raise --batch-bytes, or is it a file to be sent with --whole?",
            ));
        }
        if !each(line, whole)? {
            break;
        }
    }
    Ok(())
}

fn of_line(line: &[u8], how: &How) -> ProducerRecord {
    let cut = how.key_separator.as_deref().filter(|separator| !separator.is_empty()).and_then(|separator| {
        let at = line.windows(separator.len()).position(|window| window == separator)?;
        Some((&line[..at], &line[at + separator.len()..]))
    });
    let (key, value) = cut.map_or((None, line), |(key, value)| (Some(Bytes::copy_from_slice(key)), value));
    ProducerRecord { key, value: value_of(value.to_vec(), how), ..ProducerRecord::default() }
}

fn value_of(bytes: Vec<u8>, how: &How) -> Option<Bytes> {
    (!(bytes.is_empty() && how.tombstones)).then(|| bytes.into())
}

fn csv(reader: &mut dyn BufRead, how: &How, each: &mut dyn FnMut(u64, ProducerRecord) -> bool) -> Result<(), Wrong> {
    let seen = RefCell::new(Seen::default());
    let mut reader = csv::ReaderBuilder::new().from_reader(Tee { inner: reader, seen: &seen });
    let columns: Vec<String> =
        reader.headers().map_err(|error| csv_wrong(&error))?.iter().map(|name| name.trim().to_owned()).collect();
    let key_column = match &how.key_column {
        Some(name) => Some(
            columns
                .iter()
                .position(|column| column == name)
                .ok_or_else(|| wrong(1, format!("there is no column '{name}'; there are {}", columns.join(", "))))?,
        ),
        None => None,
    };
    let is_record =
        columns.iter().any(|c| c == "value") && columns.iter().all(|c| RECORD_COLUMNS.contains(&c.as_str()));
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(|error| csv_wrong(&error))? {
        let line = row.position().map_or(0, csv::Position::line);
        let from = row.position().map_or(0, csv::Position::byte);
        let raw = seen.borrow_mut().take(from, reader.position().byte());
        let mut record = match is_record {
            true => of_columns(&columns, &row, &raw, how).map_err(|what| wrong(line, what))?,
            false => {
                let fields = columns.iter().zip(&row).map(|(name, text)| (name.clone(), Value::from(text)));
                let value = Value::Object(fields.collect::<Map<_, _>>()).to_string();
                ProducerRecord { value: Some(value.into()), ..ProducerRecord::default() }
            }
        };
        if let Some(key) = key_column.and_then(|index| row.get(index)) {
            record.key = Some(Bytes::copy_from_slice(key.as_bytes()));
        }
        if !each(line, record) {
            break;
        }
    }
    Ok(())
}

fn csv_wrong(error: &csv::Error) -> Wrong {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            wrong(line, format!("{len} fields, where the header line has {expected_len}"))
        }
        csv::ErrorKind::Utf8 { .. } => wrong(line, "not UTF-8"),
        _ => wrong(line, error),
    }
}

/// Bytes of the input that are not yet told apart, from `begin` on: what was quoted is not in what the reader gives.
#[derive(Default)]
struct Seen {
    begin: u64,
    bytes: Vec<u8>,
}

impl Seen {
    /// The bytes of a row; those before `to` are forgotten.
    fn take(&mut self, from: u64, to: u64) -> Vec<u8> {
        let rest = self.bytes.split_off((to - self.begin) as usize);
        let mut taken = std::mem::replace(&mut self.bytes, rest);
        taken.drain(..(from - self.begin) as usize);
        self.begin = to;
        taken
    }
}

struct Tee<'a, R> {
    inner: R,
    seen: &'a RefCell<Seen>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.seen.borrow_mut().bytes.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

/// Whether a field of a row is in quotes.
fn is_quoted(row: &[u8], index: usize) -> bool {
    let row = row.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n'));
    let (mut field, mut at_start, mut quoted, mut inside) = (0, true, false, false);
    for byte in row {
        if std::mem::take(&mut at_start) {
            quoted = *byte == b'"';
            inside = quoted;
            if field == index {
                return quoted;
            }
            if quoted {
                continue;
            }
        }
        match byte {
            // A doubled one leaves and comes back.
            b'"' if quoted => inside = !inside,
            b',' if !inside => {
                field += 1;
                at_start = true;
            }
            _ => {}
        }
    }
    false
}

/// A row whose columns are a record's fields. Nothing between its commas is no key, value, partition, time stamp or headers; `""` is an
/// empty key or value.
fn of_columns(columns: &[String], row: &csv::StringRecord, raw: &[u8], how: &How) -> Result<ProducerRecord, String> {
    let mut record = ProducerRecord::default();
    for (index, (name, text)) in columns.iter().zip(row).enumerate() {
        if text.is_empty() && !(matches!(name.as_str(), "key" | "value") && is_quoted(raw, index)) {
            continue;
        }
        match name.as_str() {
            "key" => record.key = Some(Bytes::copy_from_slice(text.as_bytes())),
            "value" => record.value = value_of(text.as_bytes().to_vec(), how),
            "timestamp" => record.timestamp = Some(time_ms(text, how.now_ms)?),
            "partition" => {
                record.partition = Some(text.parse().map_err(|_| format!("'{text}' is no partition"))?);
            }
            "headers" => {
                let raw: &RawValue = serde_json::from_str(text).map_err(|error| format!("headers: {error}"))?;
                record.headers = record::headers(raw)?;
            }
            _ => {}
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(format: Format) -> How {
        How {
            format,
            key_separator: None,
            key_column: None,
            tombstones: false,
            whole: false,
            line_bytes_max: 100,
            now_ms: 0,
        }
    }

    type Pair = (Option<String>, Option<String>);

    /// Key and value of each record; or what is wrong, and where.
    fn all(input: &str, how: &How) -> Result<Vec<Pair>, (u64, String)> {
        let text = |bytes: &Option<Bytes>| bytes.as_ref().map(|b| String::from_utf8_lossy(b).into_owned());
        let mut records = Vec::new();
        let done = parse(&mut input.as_bytes(), how, &mut |_, record| {
            records.push((text(&record.key), text(&record.value)));
            true
        });
        done.map(|()| records).map_err(|wrong| (wrong.line, wrong.what))
    }

    fn pair(key: Option<&str>, value: Option<&str>) -> Pair {
        (key.map(str::to_owned), value.map(str::to_owned))
    }

    #[test]
    fn lines_are_values_with_or_without_a_key() {
        let plain = how(Format::Raw);
        assert_eq!(
            all("a:1\r\n\nb", &plain),
            Ok(vec![pair(None, Some("a:1")), pair(None, Some("")), pair(None, Some("b"))])
        );
        let keyed = How { key_separator: Some(b"::".to_vec()), tombstones: true, ..plain.clone() };
        assert_eq!(
            all("a::1::2\nb::\nc\n", &keyed),
            Ok(vec![pair(Some("a"), Some("1::2")), pair(Some("b"), None), pair(None, Some("c"))])
        );
        assert_eq!(all(&"x".repeat(101), &plain).expect_err("too long").0, 1);
        assert_eq!(all("", &plain), Ok(vec![]));
        let whole = How { whole: true, ..plain };
        assert_eq!(all("a\nb\n", &whole), Ok(vec![pair(None, Some("a\nb\n"))]));
    }

    #[test]
    fn json_lines_are_records() {
        let json = how(Format::Json);
        assert_eq!(
            all("{\"key\":\"k\",\"value\":{\"a\": 1}}\n\n{\"value\":null}\n", &json),
            Ok(vec![pair(Some("k"), Some("{\"a\": 1}")), pair(None, None)])
        );
        assert_eq!(all("{}\n{\"value\":\n", &json).expect_err("cut").0, 2);
    }

    #[test]
    fn csv_rows_are_records_or_objects() {
        let csv = how(Format::Csv);
        assert_eq!(
            all("key,value,timestamp\nk,\"a,b\",2024-01-01\n,,\n", &csv),
            Ok(vec![pair(Some("k"), Some("a,b")), pair(None, None)])
        );
        assert_eq!(
            all("value,key\r\n\"\",\"\"\r\n\"a\"\"\n,b\",\r\n,\"\"", &csv),
            Ok(vec![pair(Some(""), Some("")), pair(None, Some("a\"\n,b")), pair(Some(""), None)])
        );
        let keyed = How { key_column: Some("id".to_owned()), ..csv.clone() };
        assert_eq!(
            all("id,name\n7,\"Ann \"\"A\"\"\"\n", &keyed),
            Ok(vec![pair(Some("7"), Some(r#"{"id":"7","name":"Ann \"A\""}"#))])
        );
        assert_eq!(
            all("id,name\n7\n", &csv).expect_err("short"),
            (2, "1 fields, where the header line has 2".to_owned())
        );
        assert!(all("a\n1\n", &keyed).expect_err("no column").1.contains("there are a"));
        assert_eq!(all("value,partition\nx,y\n", &csv).expect_err("no number").0, 2);
    }
}
