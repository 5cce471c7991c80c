//! Functions of arrays, maps and structs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, MapArray, NullBufferBuilder, StructArray,
    UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{SortOptions, cast, interleave, sort_to_indices, take};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::ddl::{list_of, map_of};
use crate::error::SparkError;
use crate::udf::{ANY, Call, Function, Returns, types};

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    let int = |_: &Returns<'_>| Ok(DataType::Int32);
    let element = |r: &Returns<'_>| Ok(item_of(&r.types[0]));
    let same = |r: &Returns<'_>| Ok(r.types[0].clone());
    vec![
        Function::new(
            "array",
            0..=ANY,
            common_types,
            |r| Ok(list_of(r.types.first().cloned().unwrap_or(DataType::Null))),
            array,
        )
        .alias(&["make_array"]),
        Function::new("map", 0..=ANY, map_types, map_type, map).alias(&["make_map"]),
        Function::new("struct", 0..=ANY, types::any, struct_type, structure),
        Function::new("size", 1..=1, collection, int, size).alias(&["cardinality", "array_size"]),
        Function::new("get", 2..=2, list_and_int, element, |call| item(call, Indexing::FromZero, true)),
        Function::new("array_item", 2..=2, list_and_int, element, |call| item(call, Indexing::FromZero, false)),
        Function::new("element_at", 2..=2, element_at_types, value_type, |call| element_at(call, false)),
        Function::new("try_element_at", 2..=2, element_at_types, value_type, |call| element_at(call, true)),
        Function::new("map_contains_key", 2..=2, element_at_types, |_| Ok(DataType::Boolean), map_contains_key),
        Function::new(
            "map_keys",
            1..=1,
            map_argument,
            |r| Ok(list_of(map_parts(&r.types[0])?.0)),
            |call| map_side(call, 0),
        ),
        Function::new(
            "map_values",
            1..=1,
            map_argument,
            |r| Ok(list_of(map_parts(&r.types[0])?.1)),
            |call| map_side(call, 1),
        ),
        Function::new(
            "concat",
            0..=ANY,
            concat_types,
            |r| Ok(r.types.first().cloned().unwrap_or(DataType::Utf8)),
            concat_all,
        ),
        Function::new("reverse", 1..=1, list_or_text, same, reverse),
        Function::new("sort_array", 1..=2, sort_types, same, |call| {
            let ascending = !call.has(1) || call.array(1)?.as_boolean().value(0);
            sort_array(call, SortOptions { descending: !ascending, nulls_first: ascending })
        }),
        Function::new("array_sort", 1..=1, sort_types, same, |call| {
            sort_array(call, SortOptions { descending: false, nulls_first: false })
        }),
        Function::new("array_prepend", 2..=2, list_and_item, same, |call| extend(call, true)),
        Function::new("array_append", 2..=2, list_and_item, same, |call| extend(call, false)),
        Function::new("array_remove", 2..=2, list_and_item, same, array_remove),
        Function::new("array_position", 2..=2, list_and_item, |_| Ok(DataType::Int64), array_position),
        Function::new("sequence", 2..=3, sequence_types, |r| Ok(list_of(r.types[0].clone())), sequence),
    ]
}

pub(super) fn item_of(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => item.data_type().clone(),
        _ => DataType::Null,
    }
}

pub(super) fn map_parts(data_type: &DataType) -> Result<(DataType, DataType)> {
    match data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => Ok((pair[0].data_type().clone(), pair[1].data_type().clone())),
            _ => Err(DataFusionError::Internal("a map has keys and values".into())),
        },
        other => types::refuse("map", other, "MAP"),
    }
}

fn common_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let common = types::common(name, given)?;
    Ok(vec![common; given.len()])
}

fn map_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    if given.len() % 2 == 1 {
        return Err(DataFusionError::Plan("map takes keys and values in turn".into()));
    }
    let every = |start: usize| -> Vec<DataType> { given.iter().skip(start).step_by(2).cloned().collect() };
    let (key, value) = (types::common(name, &every(0))?, types::common(name, &every(1))?);
    Ok((0..given.len()).map(|i| if i % 2 == 0 { key.clone() } else { value.clone() }).collect())
}

fn map_type(returns: &Returns<'_>) -> Result<DataType> {
    let part = |i: usize| returns.types.get(i).cloned().unwrap_or(DataType::Utf8);
    Ok(map_of(part(0), part(1)))
}

pub(super) fn list_type(name: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Ok(list_of(types::plain(item.data_type())))
        }
        DataType::Null => Ok(list_of(DataType::Null)),
        other => types::refuse(name, other, "ARRAY"),
    }
}

fn collection(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![match &given[0] {
        map @ DataType::Map(..) => map.clone(),
        other => list_type(name, other)?,
    }])
}

fn list_and_int(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![list_type(name, &given[0])?, types::int(name, &given[1])?])
}

fn list_and_item(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let list = list_type(name, &given[0])?;
    let item = types::common(name, &[item_of(&list), given[1].clone()])?;
    Ok(vec![list_of(item.clone()), item])
}

fn map_argument(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match &given[0] {
        map @ DataType::Map(..) => Ok(vec![map.clone()]),
        other => types::refuse(name, other, "MAP"),
    }
}

fn element_at_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match &given[0] {
        map @ DataType::Map(..) => Ok(vec![map.clone(), map_parts(map)?.0]),
        _ => list_and_int(name, given),
    }
}

fn value_type(returns: &Returns<'_>) -> Result<DataType> {
    match &returns.types[0] {
        map @ DataType::Map(..) => Ok(map_parts(map)?.1),
        list => Ok(item_of(list)),
    }
}

fn concat_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    if given.iter().any(|t| matches!(t, DataType::List(_) | DataType::LargeList(_))) {
        let lists = given.iter().map(|t| list_type(name, t)).collect::<Result<Vec<_>>>()?;
        let items: Vec<DataType> = lists.iter().map(item_of).collect();
        return Ok(vec![list_of(types::common(name, &items)?); given.len()]);
    }
    types::strings(name, given)
}

fn list_or_text(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match &given[0] {
        list @ DataType::List(_) => Ok(vec![list_type(name, list)?]),
        other => Ok(vec![types::string(name, other)?]),
    }
}

fn sort_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![list_type(name, &given[0])?];
    out.extend(given[1..].iter().map(|_| DataType::Boolean));
    Ok(out)
}

fn sequence_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match types::common(name, given)? {
        t @ (DataType::Int32 | DataType::Int64) => Ok(vec![t; given.len()]),
        DataType::Int8 | DataType::Int16 => Ok(vec![DataType::Int32; given.len()]),
        other => types::refuse(name, &other, "INT or BIGINT (steps of dates are not supported yet)"),
    }
}

fn struct_type(returns: &Returns<'_>) -> Result<DataType> {
    let field = |(i, f): (usize, &arrow::datatypes::FieldRef)| {
        Field::new(format!("col{}", i + 1), f.data_type().clone(), f.is_nullable())
    };
    Ok(DataType::Struct(returns.fields.iter().enumerate().map(field).collect::<Vec<_>>().into()))
}

fn structure(call: &Call<'_>) -> Result<ColumnarValue> {
    let DataType::Struct(fields) = call.return_type else {
        return Err(DataFusionError::Internal("struct gives a struct".into()));
    };
    let columns = (0..call.args.len()).map(|i| call.array(i)).collect::<Result<Vec<_>>>()?;
    Ok(ColumnarValue::Array(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, call.rows)?)))
}

/// Columns side by side as one long column, row by row.
fn zip_columns(columns: &[ArrayRef], rows: usize, data_type: &DataType) -> Result<ArrayRef> {
    if columns.is_empty() || rows == 0 {
        return Ok(arrow::array::new_empty_array(data_type));
    }
    if data_type == &DataType::Null {
        return Ok(new_null_array(data_type, rows * columns.len()));
    }
    let arrays: Vec<&dyn Array> = columns.iter().map(|c| c.as_ref()).collect();
    let places: Vec<(usize, usize)> = (0..rows).flat_map(|row| (0..columns.len()).map(move |i| (i, row))).collect();
    Ok(interleave(&arrays, &places)?)
}

fn even_offsets(rows: usize, width: usize) -> Result<OffsetBuffer<i32>> {
    if i32::try_from(rows.saturating_mul(width)).is_err() {
        return Err(DataFusionError::Execution("the arrays of a batch have too many elements".into()));
    }
    Ok(OffsetBuffer::from_repeated_length(width, rows))
}

fn array(call: &Call<'_>) -> Result<ColumnarValue> {
    let DataType::List(field) = call.return_type else {
        return Err(DataFusionError::Internal("array gives a list".into()));
    };
    let columns = (0..call.args.len()).map(|i| call.array_as(i, field.data_type())).collect::<Result<Vec<_>>>()?;
    let values = zip_columns(&columns, call.rows, field.data_type())?;
    let offsets = even_offsets(call.rows, columns.len())?;
    Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, None)?)))
}

fn map(call: &Call<'_>) -> Result<ColumnarValue> {
    let DataType::Map(entries, sorted) = call.return_type else {
        return Err(DataFusionError::Internal("map gives a map".into()));
    };
    let DataType::Struct(pair) = entries.data_type() else {
        return Err(DataFusionError::Internal("a map's entries are structs".into()));
    };
    let side = |start: usize, data_type: &DataType| -> Result<ArrayRef> {
        let columns =
            (start..call.args.len()).step_by(2).map(|i| call.array_as(i, data_type)).collect::<Result<Vec<_>>>()?;
        zip_columns(&columns, call.rows, data_type)
    };
    let (keys, values) = (side(0, pair[0].data_type())?, side(1, pair[1].data_type())?);
    if keys.null_count() > 0 {
        return Err(SparkError::new("NULL_MAP_KEY", "map: a key is null").into());
    }
    let entry =
        StructArray::try_new_with_length(pair.clone(), vec![keys, values], None, call.rows * (call.args.len() / 2))?;
    let offsets = even_offsets(call.rows, call.args.len() / 2)?;
    Ok(ColumnarValue::Array(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, entry, None, *sorted)?)))
}

fn size(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let (offsets, nulls) = match array.data_type() {
        DataType::Map(..) => (array.as_map().offsets().clone(), array.nulls()),
        _ => (array.as_list::<i32>().offsets().clone(), array.nulls()),
    };
    call.build::<Int32Type>(|row| {
        Ok(nulls.is_none_or(|nulls| nulls.is_valid(row)).then(|| offsets[row + 1] - offsets[row]))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Indexing {
    FromZero,
    /// Negative from the end.
    FromOne,
}

/// One element of each list; `lenient` gives null outside.
fn item(call: &Call<'_>, indexing: Indexing, lenient: bool) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let list = array.as_list::<i32>();
    let indexes = call.values::<Int32Type>(1)?;
    let offsets = list.offsets();
    let mut places = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let index = if list.is_null(row) { None } else { indexes.get(row) };
        let Some(index) = index else {
            places.push(None);
            continue;
        };
        let len = offsets[row + 1] - offsets[row];
        let place = match indexing {
            Indexing::FromZero => (0..len).contains(&index).then_some(index),
            Indexing::FromOne if index == 0 => {
                return Err(SparkError::new(
                    SparkError::INVALID_INDEX_OF_ZERO,
                    format!("{}: elements count from 1 (or from -1 at the end)", call.name),
                )
                .into());
            }
            Indexing::FromOne if index > 0 => (index <= len).then(|| index - 1),
            Indexing::FromOne => (-index <= len).then(|| len + index),
        };
        if place.is_none() && !lenient {
            let (class, instead) = match indexing {
                Indexing::FromZero => (SparkError::INVALID_ARRAY_INDEX, "get(array, index)"),
                Indexing::FromOne => (SparkError::INVALID_ARRAY_INDEX_IN_ELEMENT_AT, "try_element_at"),
            };
            return Err(SparkError::new(
                class,
                format!("The index {index} is out of bounds. The array has {len} elements. Use {instead} to get null instead."),
            )
            .into());
        }
        places.push(place.map(|place| (offsets[row] + place) as u32));
    }
    Ok(ColumnarValue::Array(take(list.values(), &UInt32Array::from(places), None)?))
}

/// For each row the place of the key's value among the entries.
fn find_keys(call: &Call<'_>) -> Result<Vec<Option<u32>>> {
    let array = call.array(0)?;
    let map = array.as_map();
    let keys = call.array(1)?;
    let keys = if keys.data_type() == map.keys().data_type() { keys } else { cast(&keys, map.keys().data_type())? };
    // Rows of arrow compare values of any type byte by byte.
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let (own, asked) =
        (converter.convert_columns(&[Arc::clone(map.keys())])?, converter.convert_columns(&[Arc::clone(&keys)])?);
    let offsets = map.offsets();
    Ok((0..call.rows)
        .map(|row| {
            if map.is_null(row) || keys.is_null(row) {
                return None;
            }
            (offsets[row] as usize..offsets[row + 1] as usize)
                .find(|&at| own.row(at) == asked.row(row))
                .map(|at| at as u32)
        })
        .collect())
}

fn element_at(call: &Call<'_>, lenient: bool) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    if !matches!(array.data_type(), DataType::Map(..)) {
        return item(call, Indexing::FromOne, lenient);
    }
    let places = UInt32Array::from(find_keys(call)?);
    Ok(ColumnarValue::Array(take(array.as_map().values(), &places, None)?))
}

fn map_contains_key(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    if !matches!(array.data_type(), DataType::Map(..)) {
        return types::refuse(call.name, array.data_type(), "MAP");
    }
    let found = find_keys(call)?;
    let values: BooleanArray =
        found.iter().enumerate().map(|(row, place)| (!array.is_null(row)).then_some(place.is_some())).collect();
    Ok(ColumnarValue::Array(Arc::new(values)))
}

fn map_side(call: &Call<'_>, side: usize) -> Result<ColumnarValue> {
    let DataType::List(field) = call.return_type else {
        return Err(DataFusionError::Internal("a list of keys or values".into()));
    };
    let array = call.array(0)?;
    let map = array.as_map();
    let values = Arc::clone(map.entries().column(side));
    Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(
        Arc::clone(field),
        map.offsets().clone(),
        values,
        map.nulls().cloned(),
    )?)))
}

/// Texts one behind the other, or lists; null if one of them is.
fn concat_all(call: &Call<'_>) -> Result<ColumnarValue> {
    if !matches!(call.return_type, DataType::List(_)) {
        let texts = (0..call.args.len()).map(|i| call.texts(i)).collect::<Result<Vec<_>>>()?;
        return call.build_texts(|row, out| {
            for text in &texts {
                let Some(text) = text.get(row) else { return Ok(false) };
                out.extend_from_slice(text.as_bytes());
            }
            Ok(true)
        });
    }
    let columns = (0..call.args.len()).map(|i| call.array_as(i, call.return_type)).collect::<Result<Vec<_>>>()?;
    let lists: Vec<&ListArray> = columns.iter().map(|c| c.as_list::<i32>()).collect();
    let nulls = lists.iter().fold(None, |nulls, list| NullBuffer::union(nulls.as_ref(), list.nulls()));
    gather_lists(call, &lists.iter().map(|l| l.values().as_ref()).collect::<Vec<_>>(), nulls, |row, places| {
        for (i, list) in lists.iter().enumerate() {
            let offsets = list.offsets();
            places.extend((offsets[row] as usize..offsets[row + 1] as usize).map(|at| (i, at)));
        }
    })
}

/// Lists whose elements are picked from columns: `pick` appends (column, place) for a row that is not null.
pub(super) fn gather_lists(
    call: &Call<'_>,
    columns: &[&dyn Array],
    nulls: Option<NullBuffer>,
    pick: impl Fn(usize, &mut Vec<(usize, usize)>),
) -> Result<ColumnarValue> {
    let DataType::List(field) = call.return_type else {
        return Err(DataFusionError::Internal("a list was expected".into()));
    };
    let mut places = Vec::new();
    let mut offsets = vec![0i32];
    for row in 0..call.rows {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            pick(row, &mut places);
        }
        offsets.push(
            i32::try_from(places.len())
                .map_err(|_| DataFusionError::Execution("the arrays of a batch have too many elements".into()))?,
        );
    }
    let values = if field.data_type() == &DataType::Null {
        new_null_array(&DataType::Null, places.len())
    } else if places.is_empty() {
        arrow::array::new_empty_array(field.data_type())
    } else {
        interleave(columns, &places)?
    };
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?)))
}

fn reverse(call: &Call<'_>) -> Result<ColumnarValue> {
    if matches!(call.return_type, DataType::Utf8) {
        return call.map_text(|text, out| {
            for c in text.chars().rev() {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        });
    }
    let array = call.array(0)?;
    let list = array.as_list::<i32>();
    let offsets = list.offsets();
    gather_lists(call, &[list.values().as_ref()], list.nulls().cloned(), |row, places| {
        places.extend((offsets[row] as usize..offsets[row + 1] as usize).rev().map(|at| (0, at)));
    })
}

fn sort_array(call: &Call<'_>, options: SortOptions) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let list = array.as_list::<i32>();
    let offsets = list.offsets();
    let mut orders = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let len = (offsets[row + 1] - offsets[row]) as usize;
        orders.push(sort_to_indices(&list.values().slice(offsets[row] as usize, len), Some(options), None)?);
    }
    gather_lists(call, &[list.values().as_ref()], list.nulls().cloned(), |row, places| {
        places.extend(orders[row].values().iter().map(|&at| (0, offsets[row] as usize + at as usize)));
    })
}

fn extend(call: &Call<'_>, before: bool) -> Result<ColumnarValue> {
    let array = call.array_as(0, call.return_type)?;
    let list = array.as_list::<i32>();
    let item = call.array_as(1, &item_of(call.return_type))?;
    let offsets = list.offsets();
    gather_lists(call, &[list.values().as_ref(), item.as_ref()], list.nulls().cloned(), |row, places| {
        if before {
            places.push((1, row));
        }
        places.extend((offsets[row] as usize..offsets[row + 1] as usize).map(|at| (0, at)));
        if !before {
            places.push((1, row));
        }
    })
}

/// Which elements of the lists in argument 0 equal the item in argument 1: a test of (place, row).
fn equal_items(call: &Call<'_>, list: &ListArray) -> Result<impl Fn(usize, usize) -> bool> {
    let item = call.array_as(1, list.values().data_type())?;
    let converter = RowConverter::new(vec![SortField::new(item.data_type().clone())])?;
    let values = list.values();
    let (own, asked) =
        (converter.convert_columns(&[Arc::clone(values)])?, converter.convert_columns(&[Arc::clone(&item)])?);
    let valid = values.nulls().cloned();
    Ok(move |at: usize, row: usize| valid.as_ref().is_none_or(|v| v.is_valid(at)) && own.row(at) == asked.row(row))
}

fn array_remove(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array_as(0, call.return_type)?;
    let list = array.as_list::<i32>();
    let equal = equal_items(call, list)?;
    let item = call.array(1)?;
    let nulls = NullBuffer::union(list.nulls(), item.logical_nulls().as_ref());
    let offsets = list.offsets();
    gather_lists(call, &[list.values().as_ref()], nulls, |row, places| {
        places
            .extend((offsets[row] as usize..offsets[row + 1] as usize).filter(|&at| !equal(at, row)).map(|at| (0, at)));
    })
}

fn array_position(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let list = array.as_list::<i32>();
    let equal = equal_items(call, list)?;
    let item = call.array(1)?;
    let offsets = list.offsets();
    call.build::<Int64Type>(|row| {
        if list.is_null(row) || item.is_null(row) {
            return Ok(None);
        }
        let start = offsets[row] as usize;
        Ok(Some((start..offsets[row + 1] as usize).find(|&at| equal(at, row)).map_or(0, |at| (at - start) as i64 + 1)))
    })
}

/// Longer sequences are a mistake.
const SEQUENCE_MAX: i64 = 10_000_000;

fn sequence(call: &Call<'_>) -> Result<ColumnarValue> {
    let DataType::List(field) = call.return_type else {
        return Err(DataFusionError::Internal("sequence gives a list".into()));
    };
    let numbers = |i: usize| -> Result<Int64Array> {
        Ok(call.array_as(i, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    };
    let (starts, stops) = (numbers(0)?, numbers(1)?);
    let steps = if call.has(2) { Some(numbers(2)?) } else { None };
    let (mut values, mut offsets, mut nulls) = (Vec::new(), vec![0i32], NullBufferBuilder::new(call.rows));
    for row in 0..call.rows {
        if starts.is_null(row) || stops.is_null(row) || steps.as_ref().is_some_and(|s| s.is_null(row)) {
            nulls.append_null();
            offsets.push(values.len() as i32);
            continue;
        }
        let (start, stop) = (starts.value(row), stops.value(row));
        let step = steps.as_ref().map_or(if stop >= start { 1 } else { -1 }, |s| s.value(row));
        let bad = step == 0 && start != stop || (stop > start && step < 0) || (stop < start && step > 0);
        let count = if step == 0 { 1 } else { (i128::from(stop) - i128::from(start)) / i128::from(step) + 1 };
        if bad || count + values.len() as i128 > i128::from(SEQUENCE_MAX) {
            let what = format!("sequence: from {start} to {stop} by {step} is not possible or too long");
            return Err(SparkError::new("ILLEGAL_SEQUENCE_BOUNDARIES", what).into());
        }
        values.extend((0..count as i64).map(|i| start + i * step));
        nulls.append_non_null();
        offsets.push(values.len() as i32);
    }
    let values = cast(&(Arc::new(Int64Array::from(values)) as ArrayRef), field.data_type())?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls.finish())?)))
}
