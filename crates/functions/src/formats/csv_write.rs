//! CSV as Spark (univocity) writes it.

use arrow::array::{RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;

use super::{LINE_END, encoders, row_end};
use crate::session::Session;
use crate::text::encode::{Encoder, Format, Style};
use crate::text::options::CsvOptions;

/// Writes rows of one schema as CSV lines.
///
/// A value is quoted if it has a separator, a quote or a line end in it, or if it begins the line with the comment sign; then quotes and
/// escapes in it are escaped. Blanks around a value fall away. Null is `nullValue` (nothing), the empty text is `""`.
#[derive(Debug, Clone)]
pub struct CsvWriter {
    schema: SchemaRef,
    format: Format,
    sep: Vec<u8>,
    quote: u8,
    escape: u8,
    comment: u8,
    null: Vec<u8>,
    empty: Vec<u8>,
    quote_all: bool,
    escape_quotes: bool,
    trim_leading: bool,
    trim_trailing: bool,
    /// Columns whose values never need quotes.
    bare: Vec<bool>,
    /// Bytes that make quotes necessary.
    trigger: Box<[bool; 256]>,
}

impl CsvWriter {
    /// A writer; an error where the schema has a type that CSV cannot hold.
    pub fn new(schema: &SchemaRef, options: &CsvOptions, session: &Session) -> Result<Self> {
        let format = Format::new(Style::Csv, &options.text, session.zone);
        for field in schema.fields() {
            Encoder::new(&new_empty_array(field.data_type()), &format)
                .map_err(|e| e.context(format!("column {}", field.name())))?;
        }
        // A quote that is switched off is NUL, as in Spark.
        let quote = options.quote.unwrap_or(0);
        let mut trigger = Box::new([false; 256]);
        trigger[usize::from(b'\n')] = true;
        trigger[usize::from(b'\r')] = true;
        trigger[usize::from(options.sep.as_bytes()[0])] = true;
        if options.escape_quotes {
            trigger[usize::from(quote)] = true;
        }
        // Numbers, dates and booleans are made of these; with another separator they need no look.
        let sep_is_apart = !options.sep.bytes().any(|b| b.is_ascii_alphanumeric() || b"+-.: ".contains(&b));
        let custom =
            options.text.timestamp.is_some() || options.text.date.is_some() || options.text.timestamp_ntz.is_some();
        let bare = |data_type: &DataType| {
            let text = matches!(
                data_type,
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Binary | DataType::BinaryView
            );
            let formatted = custom && data_type.is_temporal();
            sep_is_apart && !(text || formatted || options.quote_all)
        };
        Ok(Self {
            bare: schema.fields().iter().map(|f| bare(f.data_type())).collect(),
            schema: SchemaRef::clone(schema),
            format,
            sep: options.sep.clone().into_bytes(),
            quote,
            escape: options.escape.unwrap_or(0),
            comment: options.comment.unwrap_or(b'#'),
            null: options.null_value.clone().into_bytes(),
            empty: options.empty_value.clone().unwrap_or_else(|| "\"\"".to_owned()).into_bytes(),
            quote_all: options.quote_all,
            escape_quotes: options.escape_quotes,
            trim_leading: options.ignore_leading.unwrap_or(true),
            trim_trailing: options.ignore_trailing.unwrap_or(true),
            trigger,
        })
    }

    /// Appends the line of column names.
    pub fn header(&self, out: &mut Vec<u8>) {
        for (index, field) in self.schema.fields().iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(&self.sep);
            }
            self.value(index, field.name().as_bytes(), out);
        }
        out.push(LINE_END);
    }

    /// Appends a line per row.
    pub fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.rows(batch, out, None)
    }

    /// Appends the rows without line ends, and to `ends` where each ends in `out`.
    pub fn write_rows(&self, batch: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        self.rows(batch, out, Some(ends))
    }

    fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>, mut ends: Option<&mut Vec<usize>>) -> Result<()> {
        let encoders = encoders(&self.schema, batch, &self.format)?;
        let mut scratch = Vec::new();
        for row in 0..batch.num_rows() {
            for (index, encoder) in encoders.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(&self.sep);
                }
                if encoder.is_null(row) {
                    self.filler(&self.null, out);
                } else if self.bare[index] {
                    encoder.write(row, out);
                } else {
                    scratch.clear();
                    encoder.write(row, &mut scratch);
                    self.value(index, &scratch, out);
                }
            }
            row_end(out, ends.as_deref_mut());
        }
        Ok(())
    }

    /// What stands for null or for the empty text.
    fn filler(&self, text: &[u8], out: &mut Vec<u8>) {
        let quoted_already = text.len() >= 2 && text.first() == Some(&self.quote) && text.last() == Some(&self.quote);
        if self.quote_all && !quoted_already {
            self.quoted(text, out);
        } else {
            out.extend_from_slice(text);
        }
    }

    #[inline]
    fn value(&self, index: usize, text: &[u8], out: &mut Vec<u8>) {
        let mut text = text;
        if self.trim_leading {
            text = &text[text.iter().position(|b| *b > b' ').unwrap_or(text.len())..];
        }
        if self.trim_trailing {
            text = &text[..text.iter().rposition(|b| *b > b' ').map_or(0, |last| last + 1)];
        }
        let Some(&first) = text.first() else {
            return self.filler(&self.empty, out);
        };
        let quoted = self.quote_all
            || first == self.quote
            || (index == 0 && first == self.comment)
            || (text.iter().any(|b| self.trigger[usize::from(*b)]) && self.is_triggered(text));
        if quoted { self.quoted(text, out) } else { out.extend_from_slice(text) }
    }

    /// A separator of several bytes triggers as a whole only.
    fn is_triggered(&self, text: &[u8]) -> bool {
        self.sep.len() == 1
            || memchr::memmem::find(text, &self.sep).is_some()
            || text.iter().any(|b| matches!(b, b'\n' | b'\r') || (self.escape_quotes && *b == self.quote))
    }

    fn quoted(&self, text: &[u8], out: &mut Vec<u8>) {
        out.push(self.quote);
        for &b in text {
            if b == self.quote || (b == self.escape && self.escape != self.quote) {
                out.push(self.escape);
            }
            out.push(b);
        }
        out.push(self.quote);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array, StringArray};
    use std::sync::Arc;

    fn written(options: &[(&str, &str)], values: &[Option<&str>]) -> Vec<String> {
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..values.len() as i32));
        let texts: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let batch = RecordBatch::try_from_iter_with_nullable([("i", numbers, true), ("v", texts, true)]).unwrap();
        let options = CsvOptions::parse(options.iter().copied()).unwrap();
        let writer = CsvWriter::new(&batch.schema(), &options, &Session::default()).unwrap();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        writer.write_rows(&batch, &mut out, &mut ends).unwrap();
        let text = String::from_utf8(out).unwrap();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(&ends).map(|(from, &to)| text[from..to].split_once([',', '|']).unwrap().1.to_owned()).collect()
    }

    /// What Spark 4.3 wrote for the same values.
    #[test]
    fn values_are_quoted_as_spark_quotes_them() {
        let values = [
            "a", "", " ", " a ", "a,b", "a\"b", "\"a\"", "a\\b", "a\\\"b", "a\nb", "a\rb", "#a", "a\\,b", "\u{a0}x",
            "\u{1}a",
        ];
        let values: Vec<Option<&str>> = values.into_iter().map(Some).chain([None]).collect();
        let default = [
            "a",
            "\"\"",
            "\"\"",
            "a",
            "\"a,b\"",
            r#""a\"b""#,
            r#""\"a\"""#,
            r"a\b",
            r#""a\\\"b""#,
            "\"a\nb\"",
            "\"a\rb\"",
            "#a",
            r#""a\\,b""#,
            "\u{a0}x",
            "a",
            "",
        ];
        assert_eq!(written(&[], &values), default);
        let doubled = [
            "a",
            "\"\"",
            "\"\"",
            "a",
            "\"a,b\"",
            r#""a""b""#,
            r#""""a""""#,
            r"a\b",
            r#""a\""b""#,
            "\"a\nb\"",
            "\"a\rb\"",
            "#a",
            r#""a\,b""#,
            "\u{a0}x",
            "a",
            "",
        ];
        assert_eq!(written(&[("escape", "\"")], &values), doubled);
        assert_eq!(
            written(&[("sep", "|"), ("nullValue", "NULL")], &[Some("a,b"), Some("a|b"), None]),
            ["a,b", "\"a|b\"", "NULL"]
        );
        assert_eq!(written(&[("quoteAll", "true")], &[Some("a\\b"), Some(""), None]), [r#""a\\b""#, "\"\"", "\"\""]);
        assert_eq!(written(&[("escapeQuotes", "false")], &[Some("a\"b"), Some("\"a")]), ["a\"b", r#""\"a""#]);
        assert_eq!(written(&[("emptyValue", "")], &[Some("")]), [""]);
    }
}
