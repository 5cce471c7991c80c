//! Rows as text for files, topics and keys, as Spark writes them: thin names for what [`millstream_functions`] does, in UTC unless a
//! session says otherwise.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use millstream_functions::formats::{CsvWriter, JsonWriter};
use millstream_functions::time::Zone;
use millstream_functions::{CastMode, CsvOptions, JsonOptions, Session, cast_array};

/// Writes rows as CSV or JSON.
pub enum RowWriter {
    /// Comma separated values.
    Csv(CsvWriter),
    /// Objects without their nulls, as `to_json(struct(*))`.
    Json(JsonWriter),
}

fn arrow_error(error: DataFusionError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

impl RowWriter {
    /// CSV with Spark's defaults; an error where a column cannot be written.
    pub fn csv(schema: &SchemaRef, session: &Session) -> Result<Self, ArrowError> {
        CsvWriter::new(schema, &CsvOptions::default(), session).map(Self::Csv).map_err(arrow_error)
    }

    /// JSON with Spark's defaults; an error where a column cannot be written.
    pub fn json(schema: &SchemaRef, session: &Session) -> Result<Self, ArrowError> {
        JsonWriter::new(schema, &JsonOptions::default(), session).map(Self::Json).map_err(arrow_error)
    }

    /// Appends the line of column names; JSON has none.
    pub fn header(&self, out: &mut Vec<u8>) {
        if let Self::Csv(writer) = self {
            writer.header(out);
        }
    }

    /// Appends a line per row.
    pub fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let written = match self {
            Self::Csv(writer) => writer.write(batch, out),
            Self::Json(writer) => writer.write(batch, out),
        };
        written.map_err(arrow_error)
    }

    /// Appends the rows without line ends, and to `ends` where each ends in `out`.
    pub fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<(), ArrowError> {
        let written = match self {
            Self::Csv(writer) => writer.write_rows(batch, out, ends),
            Self::Json(writer) => writer.write_rows(batch, out, ends),
        };
        written.map_err(arrow_error)
    }
}

/// The session of a pipeline: `spark.sql.session.timeZone`, UTC without it; an error names a zone that is none.
pub fn session_of(configuration: &BTreeMap<String, String>) -> Result<Session, String> {
    match configuration.get("spark.sql.session.timeZone") {
        None => Ok(Session::new(Zone::Utc)),
        Some(name) => Zone::parse(name.trim())
            .map(Session::new)
            .ok_or_else(|| format!("spark.sql.session.timeZone = '{name}' is no time zone; write UTC or Europe/Paris")),
    }
}

/// The column as CAST AS STRING gives it.
pub fn as_text(column: &ArrayRef, session: &Session) -> Result<ArrayRef, ArrowError> {
    cast_array(column, &DataType::Utf8, CastMode::Try, session).map_err(arrow_error)
}
