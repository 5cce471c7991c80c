//! Rows as text for files and topics.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

/// Writes rows as CSV or JSON.
pub struct RowWriter {
    schema: SchemaRef,
    csv: bool,
}

impl RowWriter {
    /// CSV.
    pub fn csv(schema: &SchemaRef) -> Self {
        Self { schema: SchemaRef::clone(schema), csv: true }
    }

    /// JSON, nulls left out.
    pub fn json(schema: &SchemaRef) -> Self {
        Self { schema: SchemaRef::clone(schema), csv: false }
    }

    /// Appends the line of names.
    pub fn header(&self, out: &mut Vec<u8>) {
        let names: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        out.extend_from_slice(names.join(",").as_bytes());
        out.push(b'\n');
    }

    /// Appends rows as lines.
    pub fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.csv {
            arrow::csv::WriterBuilder::new().with_header(false).build(out).write(batch)
        } else {
            let mut writer = arrow::json::LineDelimitedWriter::new(out);
            writer.write(batch)?;
            writer.finish()
        }
    }

    /// Appends rows without line ends, and to `ends` where each ends.
    pub fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<(), ArrowError> {
        for row in 0..batch.num_rows() {
            self.write(&batch.slice(row, 1), out)?;
            out.pop();
            ends.push(out.len());
        }
        Ok(())
    }
}

/// The column as CAST AS STRING gives it.
pub fn as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(column, &DataType::Utf8)
}

/// Time stamps as CAST AS STRING gives them.
pub fn timestamps_as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    cast(column, &DataType::Utf8)
}
