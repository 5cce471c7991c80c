//! `explode`, `inline`: a row for each element of a list, a column for each field of a struct.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Unnest;

use super::Rows;
use crate::error::EngineError;

/// Makes rows of lists and columns of structs. Lists of one row are walked side by side; the shorter ones end in nulls.
#[derive(Debug)]
pub(crate) struct UnnestOp {
    /// Where each column of the output comes from.
    columns: Vec<From>,
    lists: Vec<usize>,
    /// Does a null list count as a list of one null?
    preserve_nulls: bool,
    schema: SchemaRef,
}

#[derive(Debug, Clone, Copy)]
enum From {
    /// A column of the input, repeated.
    Column(usize),
    /// Elements of a list.
    List(usize),
    /// A field of a struct, repeated.
    Field(usize, usize),
}

impl UnnestOp {
    pub fn new(unnest: &Unnest, schema: SchemaRef) -> Result<Self, EngineError> {
        if unnest.list_type_columns.iter().any(|(_, list)| list.depth != 1) {
            return Err(EngineError::unsupported("a list of lists in explode", "explode twice, one after the other"));
        }
        let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(index, _)| *index).collect();
        let mut fields_seen = std::collections::BTreeMap::new();
        let columns = unnest.dependency_indices.iter().map(|index| {
            if lists.contains(index) {
                From::List(*index)
            } else if unnest.struct_type_columns.contains(index) {
                let seen = fields_seen.entry(*index).or_insert(0);
                *seen += 1;
                From::Field(*index, *seen - 1)
            } else {
                From::Column(*index)
            }
        });
        Ok(Self { columns: columns.collect(), lists, preserve_nulls: unnest.options.preserve_nulls(), schema })
    }

    pub fn apply(&self, rows: Rows) -> Result<Rows, DataFusionError> {
        let count = rows.batch.num_rows();
        let mut lists: Vec<(usize, ArrayRef)> = Vec::with_capacity(self.lists.len());
        for index in &self.lists {
            lists.push((*index, as_list(rows.batch.column(*index))?));
        }
        let length = |list: &ArrayRef, row: usize| match list.is_null(row) {
            true => usize::from(self.preserve_nulls),
            false => list.as_list::<i32>().value_length(row) as usize,
        };
        let mut repeats = Vec::with_capacity(count);
        let mut elements: Vec<Vec<Option<u32>>> = vec![Vec::with_capacity(count); lists.len()];
        for row in 0..count {
            let longest = lists.iter().map(|(_, list)| length(list, row)).max().unwrap_or(1);
            repeats.resize(repeats.len() + longest, row as u32);
            for ((_, list), elements) in lists.iter().zip(&mut elements) {
                let list = list.as_list::<i32>();
                let there = if list.is_null(row) { 0 } else { list.value_length(row) as usize };
                let first = list.value_offsets()[row] as usize;
                elements.extend((0..longest).map(|at| (at < there).then_some((first + at) as u32)));
            }
        }
        let repeats = UInt32Array::from(repeats);
        let mut unnested = Vec::with_capacity(lists.len());
        for ((index, list), elements) in lists.iter().zip(elements) {
            unnested.push((*index, take(list.as_list::<i32>().values(), &UInt32Array::from(elements), None)?));
        }
        let columns = self.columns.iter().map(|from| -> Result<ArrayRef, DataFusionError> {
            Ok(match from {
                From::Column(index) => take(rows.batch.column(*index), &repeats, None)?,
                From::Field(index, field) => {
                    let structs = rows.batch.column(*index).as_struct();
                    let field = structs.column(*field);
                    let nulls = arrow::compute::is_null(structs)?;
                    take(&arrow::compute::nullif(field, &nulls)?, &repeats, None)?
                }
                From::List(index) => {
                    let found = unnested.iter().find(|(list, _)| list == index);
                    Arc::clone(&found.expect("every list was unnested").1)
                }
            })
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(repeats.len()));
        let origin = match rows.origin {
            Some(origin) => Some(take(&origin, &repeats, None)?.as_primitive().clone()),
            None => None,
        };
        Ok(Rows { batch: RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?, origin })
    }
}

/// Any kind of list as `List`.
fn as_list(column: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
    match column.data_type() {
        DataType::List(_) => Ok(Arc::clone(column)),
        DataType::LargeList(field) | DataType::FixedSizeList(field, _) | DataType::ListView(field) => {
            Ok(cast(column, &DataType::List(Arc::clone(field)))?)
        }
        other => Err(DataFusionError::Internal(format!("{other} is no list"))),
    }
}
