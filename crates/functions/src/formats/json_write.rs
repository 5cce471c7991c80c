//! JSON lines as Spark's `json` sink and `to_json(struct(*))` write them.

use arrow::array::{RecordBatch, new_empty_array};
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;

use super::{encoders, row_end};
use crate::session::Session;
use crate::text::encode::{Encoder, Format, Style, json_name, write_object};
use crate::text::options::JsonOptions;

/// Writes rows of one schema as JSON objects. Nulls are left out unless the options say otherwise.
#[derive(Debug, Clone)]
pub struct JsonWriter {
    schema: SchemaRef,
    format: Format,
    names: Vec<Vec<u8>>,
    leave_out_nulls: bool,
}

impl JsonWriter {
    /// A writer; an error where the schema has a type that JSON cannot hold.
    pub fn new(schema: &SchemaRef, options: &JsonOptions, session: &Session) -> Result<Self> {
        let format = Format::new(Style::Json(options.ignore_null_fields), &options.text, session.zone);
        for field in schema.fields() {
            Encoder::new(&new_empty_array(field.data_type()), &format)
                .map_err(|e| e.context(format!("column {}", field.name())))?;
        }
        Ok(Self {
            names: schema.fields().iter().map(|field| json_name(field.name())).collect(),
            schema: SchemaRef::clone(schema),
            format,
            leave_out_nulls: options.ignore_null_fields,
        })
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
        for row in 0..batch.num_rows() {
            write_object(&self.names, &encoders, row, self.leave_out_nulls, out);
            row_end(out, ends.as_deref_mut());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddl::timestamp;
    use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn rows_are_written_as_spark_writes_them() {
        let times =
            TimestampMicrosecondArray::from(vec![Some(1_704_499_200_123_456), None]).with_data_type(timestamp());
        let columns: [(&str, ArrayRef, bool); 3] = [
            ("t", Arc::new(times), true),
            ("a \"b\"", Arc::new(StringArray::from(vec![Some("x\ny"), Some("é")])), true),
            ("d", Arc::new(Float64Array::from(vec![1e10, f64::NAN])), true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let writer = JsonWriter::new(&batch.schema(), &JsonOptions::default(), &Session::default()).unwrap();
        let mut out = Vec::new();
        writer.write(&batch, &mut out).unwrap();
        let expected = "{\"t\":\"2024-01-06T00:00:00.123Z\",\"a \\\"b\\\"\":\"x\\ny\",\"d\":1.0E10}\n{\"a \\\"b\\\"\":\"é\",\"d\":\"NaN\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
