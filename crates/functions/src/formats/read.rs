//! Files of CSV, JSON lines and text into record batches.

use std::io::BufRead;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};

use super::Lines;
use crate::ddl::type_name;
use crate::session::Session;
use crate::text::column::{Column, nullable};
use crate::text::csv::CsvDecoder;
use crate::text::json::JsonDecoder;
use crate::text::options::{CsvOptions, JsonOptions, ParseMode};

/// Rows of a batch, unless [`FileReader::with_batch_rows`] says otherwise.
const BATCH_ROWS: usize = 8192;
/// Bytes of text after which a batch is given out although it has fewer rows.
const BATCH_BYTES: usize = 16 << 20;

/// Reads a file's rows, batch by batch.
pub struct FileReader<R> {
    lines: Lines<R>,
    line: Vec<u8>,
    format: FormatReader,
    schema: SchemaRef,
    batch_rows: usize,
    malformed: u64,
    lines_read: u64,
}

enum FormatReader {
    Csv { decoder: Box<CsvDecoder>, options: Box<CsvOptions>, header_pending: bool },
    Json { decoder: Box<JsonDecoder>, drop_malformed: bool },
    Text { column: Option<Column>, rows: usize },
}

impl<R: BufRead> FileReader<R> {
    /// A CSV file of a schema: columns by their place, `header` skipping the first line. With `projection`, only those columns are read.
    pub fn csv(
        input: R,
        schema: &SchemaRef,
        projection: Option<&[usize]>,
        options: &CsvOptions,
        session: &Session,
    ) -> Result<Self> {
        let declared = nullable(schema.fields());
        let wanted: Vec<usize> = match projection {
            Some(places) => places.to_vec(),
            None => (0..declared.len()).collect(),
        };
        let decoder = Box::new(CsvDecoder::new(&declared, &wanted, options, session)?);
        let output =
            Arc::new(Schema::new(wanted.iter().map(|&place| Arc::clone(&declared[place])).collect::<Vec<_>>()));
        let format = FormatReader::Csv { decoder, options: Box::new(options.clone()), header_pending: options.header };
        Ok(Self::new(Lines::new(input, options.line_sep.as_deref()), format, output))
    }

    /// A file of JSON objects, one a line (or arrays of them).
    pub fn json(
        input: R,
        schema: &SchemaRef,
        projection: Option<&[usize]>,
        options: &JsonOptions,
        session: &Session,
    ) -> Result<Self> {
        let mut fields = nullable(schema.fields());
        if let Some(places) = projection {
            fields = places.iter().map(|&place| Arc::clone(&fields[place])).collect();
        }
        let decoder = Box::new(JsonDecoder::new(&DataType::Struct(fields.clone()), options, session)?);
        let drop_malformed = options.text.mode == ParseMode::DropMalformed;
        Ok(Self::new(
            Lines::new(input, None),
            FormatReader::Json { decoder, drop_malformed },
            Arc::new(Schema::new(fields)),
        ))
    }

    /// A text file: one column of STRING, a line a row.
    pub fn text(input: R, schema: &SchemaRef, projection: Option<&[usize]>, line_sep: Option<&str>) -> Result<Self> {
        let one_string = matches!(schema.fields().as_ref(), [field] if field.data_type() == &DataType::Utf8);
        if !one_string {
            let found = schema.fields().iter().map(|f| type_name(f.data_type())).collect::<Vec<_>>().join(", ");
            return Err(DataFusionError::Plan(format!("a text file has one column of type STRING, not ({found})")));
        }
        let wanted = projection.is_none_or(|places| !places.is_empty());
        let output = Arc::new(if wanted { Schema::new(nullable(schema.fields())) } else { Schema::empty() });
        let column = if wanted { Some(Column::new(&DataType::Utf8)?) } else { None };
        Ok(Self::new(Lines::new(input, line_sep), FormatReader::Text { column, rows: 0 }, output))
    }

    fn new(lines: Lines<R>, format: FormatReader, schema: SchemaRef) -> Self {
        Self { lines, line: Vec::new(), format, schema, batch_rows: BATCH_ROWS, malformed: 0, lines_read: 0 }
    }

    /// At most this many rows a batch.
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// Columns of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Malformed records so far.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Lines taken from the input so far, headers and blank ones too.
    pub fn lines_read(&self) -> u64 {
        self.lines_read
    }

    /// The next rows; nothing at the end.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let (mut rows, mut bytes) = (0, 0);
        while rows < self.batch_rows && bytes < BATCH_BYTES {
            if !self.lines.next_line(&mut self.line)? {
                break;
            }
            self.lines_read += 1;
            self.complete_quoted()?;
            bytes += self.line.len();
            rows += self.decode()?;
        }
        if rows == 0 {
            return Ok(None);
        }
        let (columns, malformed) = self.finish()?;
        self.malformed += malformed;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?))
    }

    /// With `multiLine`, a record goes on while a quote is open.
    fn complete_quoted(&mut self) -> Result<()> {
        let FormatReader::Csv { options, .. } = &self.format else { return Ok(()) };
        let (true, Some(quote)) = (options.multi_line, options.quote) else { return Ok(()) };
        let escape = options.escape;
        let open = |line: &[u8]| {
            let (mut open, mut at) = (false, 0);
            while at < line.len() {
                if open && escape == Some(line[at]) && escape != Some(quote) {
                    at += 1;
                } else if line[at] == quote {
                    open = !open;
                }
                at += 1;
            }
            open
        };
        let mut next = Vec::new();
        while open(&self.line) && self.lines.next_line(&mut next)? {
            self.lines_read += 1;
            self.line.push(b'\n');
            self.line.extend_from_slice(&next);
            if self.line.len() > BATCH_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// How many rows the line gave.
    fn decode(&mut self) -> Result<usize> {
        let line = String::from_utf8_lossy(&self.line);
        match &mut self.format {
            FormatReader::Csv { decoder, options, header_pending } => {
                let blank = line.bytes().all(|b| b <= b' ');
                let comment = options.comment.is_some_and(|c| line.as_bytes().first() == Some(&c));
                if blank || comment || std::mem::take(header_pending) {
                    return Ok(0);
                }
                decoder.append_row(&line)
            }
            FormatReader::Json { decoder, drop_malformed } => {
                if line.bytes().all(|b| b <= b' ') {
                    return Ok(0);
                }
                decoder.append_rows(&line, *drop_malformed)
            }
            FormatReader::Text { column, rows } => {
                if let Some(Column::Utf8(builder)) = column {
                    builder.append_value(&line);
                }
                *rows += 1;
                Ok(1)
            }
        }
    }

    fn finish(&mut self) -> Result<(Vec<ArrayRef>, u64)> {
        match &mut self.format {
            FormatReader::Csv { decoder, .. } => {
                let (columns, _, malformed) = decoder.finish()?;
                Ok((columns, malformed))
            }
            FormatReader::Json { decoder, .. } => {
                let (rows, _, malformed) = decoder.finish()?;
                Ok((rows.as_struct().columns().to_vec(), malformed))
            }
            FormatReader::Text { column, rows } => {
                *rows = 0;
                Ok((column.iter_mut().map(Column::finish).collect::<Result<_>>()?, 0))
            }
        }
    }
}

impl<R: BufRead> Iterator for FileReader<R> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddl::parse_fields;
    use crate::formats::JsonWriter;

    fn schema(ddl: &str) -> SchemaRef {
        Arc::new(Schema::new(parse_fields(ddl).unwrap()))
    }

    fn show(mut reader: FileReader<&[u8]>) -> String {
        let options = JsonOptions::parse([("ignoreNullFields", "false")]).unwrap();
        let writer = JsonWriter::new(&reader.schema(), &options, &Session::default()).unwrap();
        let mut out = Vec::new();
        while let Some(batch) = reader.next_batch().unwrap() {
            writer.write(&batch, &mut out).unwrap();
        }
        String::from_utf8(out).unwrap().replace("\"_corrupt_record\"", "\"_\"").replace('\n', " ").trim_end().to_owned()
    }

    fn csv(text: &str, ddl: &str, options: &[(&str, &str)]) -> String {
        let options = CsvOptions::parse(options.iter().copied()).unwrap();
        show(
            FileReader::csv(text.as_bytes(), &schema(ddl), None, &options, &Session::default())
                .unwrap()
                .with_batch_rows(1),
        )
    }

    /// Inputs that Spark 4.3 read, and what it made of them.
    #[test]
    fn csv_files_read_as_in_spark() {
        let (abc, with_corrupt) = ("a STRING, b INT, c STRING", "a STRING, b INT, c STRING, _corrupt_record STRING");
        let both = r#"{"a":"x","b":1,"c":"y"} {"a":"z","b":2,"c":"w"}"#;
        assert_eq!(csv("x,1,y\nz,2,w\n", abc, &[]), both);
        assert_eq!(csv("x,1,y\r\nz,2,w", abc, &[]), both);
        assert_eq!(csv("x,1,y\rz,2,w\r", abc, &[]), both);
        assert_eq!(
            csv("\n\nx,1,y\n   \n\nz,2\n", with_corrupt, &[]),
            r#"{"a":"x","b":1,"c":"y","_":null} {"a":"z","b":2,"c":null,"_":"z,2"}"#
        );
        let first = r#"{"a":"x","b":1,"c":"y"}"#;
        assert_eq!(csv("c,b,a\nx,1,y\n", abc, &[("header", "true")]), first);
        assert_eq!(csv("#x,1,y\nx,1,y\n", abc, &[("comment", "#")]), first);
        assert_eq!(csv("x,q,y\nx,1,y\nx,1\n", abc, &[("mode", "DROPMALFORMED")]), first);
        assert_eq!(
            csv("\"x\ny\",1,z\n", with_corrupt, &[("multiLine", "true")]),
            r#"{"a":"x\ny","b":1,"c":"z","_":null}"#
        );
        assert_eq!(
            csv("\"x\ny\",1,z\n", with_corrupt, &[]),
            r#"{"a":"x","b":null,"c":null,"_":"\"x"} {"a":"y\"","b":1,"c":"z","_":null}"#
        );
        assert_eq!(
            csv("  x , 1 ,y \n", abc, &[("ignoreLeadingWhiteSpace", "true")]),
            r#"{"a":"x ","b":null,"c":"y "}"#
        );
        let options = CsvOptions::parse([("mode", "FAILFAST")]).unwrap();
        let mut strict =
            FileReader::csv(b"x,q,y\n".as_slice(), &schema(abc), None, &options, &Session::default()).unwrap();
        assert!(strict.next_batch().is_err());
    }

    #[test]
    fn only_wanted_columns_are_read() {
        let reader = FileReader::csv(
            b"x,1,y\nz,q,w\n".as_slice(),
            &schema("a STRING, b INT, c STRING"),
            Some(&[2, 0]),
            &CsvOptions::default(),
            &Session::default(),
        );
        assert_eq!(show(reader.unwrap()), r#"{"c":"y","a":"x"} {"c":"w","a":"z"}"#);
    }

    #[test]
    fn json_files_read_as_in_spark() {
        let json = |text: &str, options: &[(&str, &str)]| {
            let options = JsonOptions::parse(options.iter().copied()).unwrap();
            let schema = schema("a STRING, b INT, _corrupt_record STRING");
            show(FileReader::json(text.as_bytes(), &schema, None, &options, &Session::default()).unwrap())
        };
        assert_eq!(
            json("{\"a\":\"x\",\"b\":1}\n\n{\"a\":\n[{\"a\":\"1\"},{\"a\":\"2\"}]\n  \n5\nnull\n", &[]),
            "{\"a\":\"x\",\"b\":1,\"_\":null} {\"a\":null,\"b\":null,\"_\":\"{\\\"a\\\":\"} {\"a\":\"1\",\"b\":null,\"_\":null} \
             {\"a\":\"2\",\"b\":null,\"_\":null} {\"a\":null,\"b\":null,\"_\":\"5\"} {\"a\":null,\"b\":null,\"_\":\"null\"}"
        );
        assert_eq!(json("x\n{\"a\":\"q\"}\n", &[("mode", "DROPMALFORMED")]), r#"{"a":"q","b":null,"_":null}"#);
    }

    #[test]
    fn text_files_read_as_in_spark() {
        let reader = FileReader::text(b"a\r\nb\n\nc".as_slice(), &schema("value STRING"), None, None);
        assert_eq!(show(reader.unwrap()), r#"{"value":"a"} {"value":"b"} {"value":""} {"value":"c"}"#);
    }
}
