//! `PARTITIONED BY`: rows to folders `column=value/…`, named as Hive and Spark name them.

use std::collections::HashMap;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use millstream_functions::Session;

use crate::text::as_text;

/// What stands for null and for the empty string.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Splits a batch by its partition columns: the folder below the table's, and the rows with `file_columns` only, in their order.
pub fn split(
    batch: &RecordBatch,
    partitioned_by: &[usize],
    file_columns: &[usize],
    session: &Session,
) -> Result<Vec<(PathBuf, RecordBatch)>, ArrowError> {
    let rows = batch.project(file_columns)?;
    if partitioned_by.is_empty() {
        return Ok(vec![(PathBuf::new(), rows)]);
    }
    let columns = partitioned_by
        .iter()
        .map(|c| Ok((batch.schema_ref().field(*c).name().clone(), text(batch.column(*c), session)?)))
        .collect::<Result<Vec<(String, StringArray)>, ArrowError>>()?;
    let mut order: Vec<Vec<u32>> = Vec::new();
    let mut groups: HashMap<Vec<Option<&str>>, usize> = HashMap::new();
    for row in 0..batch.num_rows() {
        let key: Vec<Option<&str>> = columns.iter().map(|(_, c)| c.is_valid(row).then(|| c.value(row))).collect();
        let group = *groups.entry(key).or_insert_with(|| {
            order.push(Vec::new());
            order.len() - 1
        });
        order[group].push(u32::try_from(row).expect("a batch has fewer than 2^32 rows"));
    }
    let mut folders = vec![PathBuf::new(); order.len()];
    for (key, group) in groups {
        for ((name, _), value) in columns.iter().zip(key) {
            folders[group].push(format!(
                "{}={}",
                escape(name),
                value.filter(|v| !v.is_empty()).map_or(NULL.to_owned(), escape)
            ));
        }
    }
    let split = |(folder, indices)| Ok((folder, take_record_batch(&rows, &UInt32Array::from(indices))?));
    folders.into_iter().zip(order).map(split).collect()
}

fn text(column: &ArrayRef, session: &Session) -> Result<StringArray, ArrowError> {
    Ok(as_text(column, session)?.as_string::<i32>().clone())
}

/// As Spark's `ExternalCatalogUtils.escapePathName`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{1}'..='\u{1f}'
            | '\u{7f}'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^' => {
                out.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn rows_go_to_the_folder_of_their_values() {
        let division: ArrayRef =
            Arc::new(StringArray::from(vec![Some("IRT"), None, Some("a/b"), Some("IRT"), Some("")]));
        let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
        let batch = RecordBatch::try_from_iter_with_nullable([("division", division, true), ("n", n, true)]).unwrap();
        let parts = split(&batch, &[0], &[1], &Session::default()).unwrap();
        let found: Vec<(String, usize)> =
            parts.iter().map(|(p, b)| (p.to_string_lossy().into_owned(), b.num_rows())).collect();
        assert_eq!(
            found,
            [
                ("division=IRT".to_owned(), 2),
                ("division=__HIVE_DEFAULT_PARTITION__".to_owned(), 1),
                ("division=a%2Fb".to_owned(), 1),
                ("division=__HIVE_DEFAULT_PARTITION__".to_owned(), 1),
            ]
        );
        assert_eq!(parts[0].1.num_columns(), 1);
    }
}
