//! Rows as lines of text and back, as Spark's file sources and sinks write and read them.

mod csv_write;
mod json_write;
mod lines;
mod read;

pub use csv_write::CsvWriter;
pub use json_write::JsonWriter;
pub use lines::Lines;
pub use read::FileReader;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::error::{DataFusionError, Result};

use crate::text::encode::{Encoder, Format};

/// Where a line ends when it is written.
const LINE_END: u8 = b'\n';

/// Ends a row: with a line end, or by noting where its bytes end.
fn row_end(out: &mut Vec<u8>, ends: Option<&mut Vec<usize>>) {
    match ends {
        Some(ends) => ends.push(out.len()),
        None => out.push(LINE_END),
    }
}

/// What writes the values of each column, if they are the columns that the writer was made for.
fn encoders<'a>(schema: &Schema, batch: &'a RecordBatch, format: &'a Format) -> Result<Vec<Encoder<'a>>> {
    check_schema(schema, batch)?;
    batch.columns().iter().map(|column| Encoder::new(column, format)).collect()
}

fn schema_changed() -> DataFusionError {
    DataFusionError::Internal("the rows are not of the writer's schema".into())
}

/// Are these the columns that the writer was made for?
fn check_schema(expected: &Schema, batch: &RecordBatch) -> Result<()> {
    let same = expected.fields().len() == batch.num_columns()
        && expected.fields().iter().zip(batch.columns()).all(|(field, column)| field.data_type() == column.data_type());
    if same { Ok(()) } else { Err(schema_changed()) }
}
