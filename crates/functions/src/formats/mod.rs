//! Rows as lines of text and back, as Spark's file sources and sinks write and read them.

mod csv_write;
mod json_write;
mod lines;
mod read;

pub use csv_write::CsvWriter;
pub use json_write::JsonWriter;
pub use lines::Lines;
pub use read::FileReader;

use datafusion::error::{DataFusionError, Result};

/// Where a line ends when it is written.
const LINE_END: u8 = b'\n';

/// Remembers the end of a row's bytes.
fn row_end(out: &[u8], ends: Option<&mut Vec<usize>>) {
    if let Some(ends) = ends {
        ends.push(out.len());
    }
}

fn schema_changed() -> DataFusionError {
    DataFusionError::Internal("the rows are not of the writer's schema".into())
}

/// Are these the columns that the writer was made for?
fn check_schema(expected: &arrow::datatypes::Schema, batch: &arrow::array::RecordBatch) -> Result<()> {
    let same = expected.fields().len() == batch.num_columns()
        && expected.fields().iter().zip(batch.columns()).all(|(field, column)| field.data_type() == column.data_type());
    if same { Ok(()) } else { Err(schema_changed()) }
}
