//! From a row that failed to a dead letter: the original value and the record, read once more from the source.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::json::LineDelimitedWriter;
use futures::StreamExt;
use millstream_sql::{FileFormat, Relation, RelationKind};

use crate::fault::RowFault;
use crate::flow_log::DeadLetter;
use crate::source::{Position, Source};

/// Dead letters for rows of `partition` in `from..to` (their faults ordered by row). A source gives the same rows twice, so they are read again, with
/// the columns that the query does not use; if that fails now, the letter goes without the value.
pub(crate) async fn letters(
    source: &Arc<dyn Source>,
    relation: &Relation,
    partition: &str,
    range: (Option<i64>, i64),
    faults: &[RowFault],
) -> Vec<DeadLetter> {
    let (from, to) = range;
    let mut letters: Vec<DeadLetter> = faults.iter().map(|fault| letter(fault, Vec::new())).collect();
    let start: Position = from.map(|from| (partition.to_owned(), from)).into_iter().collect();
    let mut stream = source.read(start, Position::from([(partition.to_owned(), to)]), None);
    let mut first = 0;
    while let Some(Ok(batch)) = stream.next().await {
        let rows = &batch.rows;
        for (fault, letter) in faults.iter().zip(&mut letters) {
            let Some(row) = (fault.row as usize).checked_sub(first).filter(|row| *row < rows.num_rows()) else {
                continue;
            };
            letter.value = original(relation, rows, row);
            letter.key = key(relation, rows, row);
            let offset = offset(rows, row).or_else(|| from.map(|from| from + i64::from(fault.row)));
            letter.record = offset.and_then(|offset| source.record_of(partition, offset));
        }
        first += rows.num_rows();
    }
    letters
}

/// A dead letter for a row that is no record's: one that an aggregate made.
pub(crate) fn letter_of_row(fault: &RowFault, batch: &RecordBatch) -> DeadLetter {
    letter(fault, row_json(batch, fault.row as usize))
}

fn letter(fault: &RowFault, value: Vec<u8>) -> DeadLetter {
    DeadLetter {
        value,
        key: None,
        error_class: fault.class.clone(),
        message: fault.message.clone(),
        record: None,
        kept: fault.kept,
    }
}

/// The bytes that came from outside where the source still has them, or the row as JSON.
fn original(relation: &Relation, rows: &RecordBatch, row: usize) -> Vec<u8> {
    let whole = matches!(&relation.kind, RelationKind::Kafka(_) | RelationKind::Files { format: FileFormat::Text, .. });
    match rows.column_by_name("value").filter(|_| whole) {
        Some(column) if column.is_null(row) => Vec::new(),
        Some(column) => bytes(column, row).unwrap_or_else(|| row_json(rows, row)),
        None => row_json(rows, row),
    }
}

/// The key of a topic's record.
fn key(relation: &Relation, rows: &RecordBatch, row: usize) -> Option<Vec<u8>> {
    let column = rows.column_by_name("key").filter(|_| matches!(relation.kind, RelationKind::Kafka(_)))?;
    column.is_valid(row).then(|| bytes(column, row)).flatten()
}

fn bytes(column: &ArrayRef, row: usize) -> Option<Vec<u8>> {
    Some(match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().value(row).to_vec(),
        DataType::LargeBinary => column.as_binary::<i64>().value(row).to_vec(),
        DataType::BinaryView => column.as_binary_view().value(row).to_vec(),
        DataType::Utf8 => column.as_string::<i32>().value(row).as_bytes().to_vec(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).as_bytes().to_vec(),
        DataType::Utf8View => column.as_string_view().value(row).as_bytes().to_vec(),
        _ => return None,
    })
}

fn offset(rows: &RecordBatch, row: usize) -> Option<i64> {
    let column = rows.column_by_name("offset")?;
    (column.data_type() == &DataType::Int64 && column.is_valid(row))
        .then(|| column.as_primitive::<Int64Type>().value(row))
}

fn row_json(rows: &RecordBatch, row: usize) -> Vec<u8> {
    let mut json = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut json);
    let written = writer.write(&rows.slice(row, 1)).and_then(|()| writer.finish());
    drop(writer);
    match written {
        Ok(()) => json.trim_ascii_end().to_vec(),
        Err(error) => error.to_string().into_bytes(),
    }
}
