//! Rows of a table as the value of a record: one Arrow IPC stream each, self-contained, so that any record can be read by itself.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::hub::compact;

/// Rows of one record at most.
const CHUNK_ROWS: usize = 16 * 1024;
/// Bytes of one record, about. A single row may be larger.
const CHUNK_BYTES: usize = 1 << 20;

/// The rows as record values, each of about 1 MiB at most, in order.
pub fn encode(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<Vec<u8>>, ArrowError> {
    let mut values = Vec::new();
    for batch in batches.iter().filter(|b| b.num_rows() > 0) {
        let rows = batch.num_rows();
        // A slice of a large batch must not carry the large one's buffers.
        let batch =
            &if batch.columns().iter().any(|c| is_view(c.data_type())) { compact(batch)? } else { batch.clone() };
        let bytes: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        let step = (CHUNK_BYTES / (bytes / rows).max(1)).clamp(1, CHUNK_ROWS);
        for from in (0..rows).step_by(step) {
            let chunk = batch.slice(from, step.min(rows - from));
            let mut writer = StreamWriter::try_new(Vec::with_capacity(1024), schema)?;
            writer.write(&chunk)?;
            writer.finish()?;
            values.push(writer.into_inner()?);
        }
    }
    Ok(values)
}

fn is_view(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8View | DataType::BinaryView) || data_type.is_nested()
}

/// The rows of one record's value.
pub fn decode(value: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    StreamReader::try_new(Cursor::new(value), None)?.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::compute::concat_batches;

    use super::*;

    #[test]
    fn rows_come_back_in_chunks() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40_000));
        let names: ArrayRef =
            Arc::new(StringArray::from_iter((0..40_000).map(|n| (n % 3 > 0).then(|| "x".repeat(n % 90)))));
        let batch = RecordBatch::try_from_iter_with_nullable([("n", numbers, false), ("s", names, true)]).unwrap();
        let values = encode(&batch.schema(), &[batch.slice(0, 0), batch.clone()]).unwrap();
        assert!(values.len() > 2 && values.iter().all(|v| v.len() < 2 * CHUNK_BYTES));
        let back: Vec<RecordBatch> = values.iter().flat_map(|v| decode(v).unwrap()).collect();
        assert_eq!(concat_batches(&batch.schema(), &back).unwrap(), batch);
    }

    #[test]
    fn other_bytes_are_an_error() {
        assert!(decode(b"not arrow").is_err());
        assert!(decode(&[0xff; 64]).is_err());
    }
}
