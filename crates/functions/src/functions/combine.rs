//! Functions that make one collection of several, or something else of all the items of one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, MapArray, StructArray, new_empty_array};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Int32Type};
use arrow::row::{RowConverter, SortField};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use super::arrays::{gather_lists, item_of, list_type, map_parts};
use crate::ddl::{list_of, map_of};
use crate::error::SparkError;
use crate::udf::{ANY, Call, Function, Returns, types};

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    vec![
        Function::new("array_join", 2..=3, join_types, |_| Ok(DataType::Utf8), array_join),
        Function::new("array_insert", 3..=3, insert_types, |r| Ok(r.types[0].clone()), array_insert),
        Function::new("arrays_overlap", 2..=2, same_lists, |_| Ok(DataType::Boolean), arrays_overlap),
        Function::new("flatten", 1..=1, nested_list, |r| Ok(item_of(&r.types[0])), flatten),
        Function::new("map_concat", 1..=ANY, same_maps, |r| Ok(r.types[0].clone()), map_concat),
        Function::new("spark_positions", 1..=1, types::any, positions_type, positions),
    ]
}

fn join_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let list = list_type(name, &given[0])?;
    types::string(name, &item_of(&list))?;
    Ok(std::iter::once(list_of(DataType::Utf8)).chain(given[1..].iter().map(|_| DataType::Utf8)).collect())
}

/// The texts of a list with something between them; nulls are left out unless a text stands for them.
fn array_join(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array_as(0, &list_of(DataType::Utf8))?;
    let list = array.as_list::<i32>();
    let (items, separators) = (list.values().as_string::<i32>(), call.texts(1)?);
    let instead = if call.has(2) { Some(call.texts(2)?) } else { None };
    call.build_texts(|row, out| {
        let Some(separator) = separators.get(row).filter(|_| list.is_valid(row)) else { return Ok(false) };
        let null = match &instead {
            None => None,
            Some(instead) => match instead.get(row) {
                Some(text) => Some(text),
                None => return Ok(false),
            },
        };
        let places = list.offsets()[row] as usize..list.offsets()[row + 1] as usize;
        let texts = places.filter_map(|at| if items.is_null(at) { null } else { Some(items.value(at)) });
        for (i, text) in texts.enumerate() {
            if i > 0 {
                out.extend_from_slice(separator.as_bytes());
            }
            out.extend_from_slice(text.as_bytes());
        }
        Ok(true)
    })
}

fn insert_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let list = list_type(name, &given[0])?;
    let item = types::common(name, &[item_of(&list), given[2].clone()])?;
    Ok(vec![list_of(item.clone()), types::int(name, &given[1])?, item])
}

/// Puts an item where it will be the `position`-th, from 1, or from the end with -1 for the last; nulls fill what is between.
fn array_insert(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array_as(0, call.return_type)?;
    let list = array.as_list::<i32>();
    let item = call.array_as(2, &item_of(call.return_type))?;
    let null = arrow::array::new_null_array(item.data_type(), 1);
    let positions = call.values::<Int32Type>(1)?;
    let mut valid = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let position = positions.get(row);
        if position == Some(0) && list.is_valid(row) {
            let message = format!("{}: elements count from 1 (or from -1 at the end)", call.name);
            return Err(SparkError::new(SparkError::INVALID_INDEX_OF_ZERO, message).into());
        }
        valid.push(position.is_some() && list.is_valid(row));
    }
    let offsets = list.offsets();
    let columns: [&dyn Array; 3] = [list.values().as_ref(), item.as_ref(), null.as_ref()];
    gather_lists(call, &columns, Some(NullBuffer::from(valid)), |row, places| {
        let own: Vec<(usize, usize)> = (offsets[row] as usize..offsets[row + 1] as usize).map(|at| (0, at)).collect();
        let position = positions.get(row).unwrap_or(1);
        let wanted = position.unsigned_abs() as usize;
        let missing = wanted.saturating_sub(own.len() + 1);
        let fill = std::iter::repeat_n((2, 0), missing);
        if position > 0 {
            let before = (wanted - 1).min(own.len());
            places.extend_from_slice(&own[..before]);
            places.extend(fill);
            places.push((1, row));
            places.extend_from_slice(&own[before..]);
        } else {
            let before = (own.len() + 1).saturating_sub(wanted);
            places.extend_from_slice(&own[..before]);
            places.push((1, row));
            places.extend(fill);
            places.extend_from_slice(&own[before..]);
        }
    })
}

fn same_lists(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let lists = given.iter().map(|t| list_type(name, t)).collect::<Result<Vec<_>>>()?;
    let items: Vec<DataType> = lists.iter().map(item_of).collect();
    Ok(vec![list_of(types::common(name, &items)?); given.len()])
}

/// Do two lists have an item in common? Where they have none, a null among the items may be one.
fn arrays_overlap(call: &Call<'_>) -> Result<ColumnarValue> {
    let arrays = [call.array(0)?, call.array(1)?];
    let lists = [arrays[0].as_list::<i32>(), arrays[1].as_list::<i32>()];
    let converter = RowConverter::new(vec![SortField::new(lists[0].values().data_type().clone())])?;
    let rows = [
        converter.convert_columns(&[Arc::clone(lists[0].values())])?,
        converter.convert_columns(&[Arc::clone(lists[1].values())])?,
    ];
    let nulls = lists.map(|list| list.values().logical_nulls());
    let places = |side: usize, row: usize| {
        let offsets = lists[side].offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    };
    let is_null = |side: usize, at: usize| nulls[side].as_ref().is_some_and(|nulls| nulls.is_null(at));
    call.build_booleans(|row| {
        if lists.iter().any(|list| list.is_null(row)) {
            return Ok(None);
        }
        let common = |at: usize| {
            let mut others = places(1, row);
            !is_null(0, at) && others.any(|other| !is_null(1, other) && rows[0].row(at) == rows[1].row(other))
        };
        if places(0, row).any(common) {
            return Ok(Some(true));
        }
        let empty = places(0, row).is_empty() || places(1, row).is_empty();
        let unknown = (0..2).any(|side| places(side, row).any(|at| is_null(side, at)));
        Ok(if unknown && !empty { None } else { Some(false) })
    })
}

fn nested_list(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let list = list_type(name, &given[0])?;
    match item_of(&list) {
        inner @ DataType::List(_) => Ok(vec![list_of(list_type(name, &inner)?)]),
        _ => types::refuse(name, &list, "ARRAY of ARRAY"),
    }
}

/// The items of all lists of a list; null if one of them is.
fn flatten(call: &Call<'_>) -> Result<ColumnarValue> {
    let array = call.array(0)?;
    let outer = array.as_list::<i32>();
    let inner = outer.values().as_list::<i32>();
    let lists = |row: usize| outer.offsets()[row] as usize..outer.offsets()[row + 1] as usize;
    let valid = |row: usize| outer.is_valid(row) && lists(row).all(|at| inner.is_valid(at));
    let nulls: NullBuffer = (0..call.rows).map(valid).collect::<Vec<bool>>().into();
    gather_lists(call, &[inner.values().as_ref()], Some(nulls), |row, places| {
        for list in lists(row) {
            places.extend((inner.offsets()[list] as usize..inner.offsets()[list + 1] as usize).map(|at| (0, at)));
        }
    })
}

fn same_maps(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let parts = given.iter().map(|t| match t {
        DataType::Map(..) => map_parts(t),
        other => types::refuse(name, other, "MAP"),
    });
    let (keys, values): (Vec<DataType>, Vec<DataType>) = parts.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    Ok(vec![map_of(types::common(name, &keys)?, types::common(name, &values)?); given.len()])
}

/// All entries of several maps; no key may come twice.
fn map_concat(call: &Call<'_>) -> Result<ColumnarValue> {
    let DataType::Map(entries, sorted) = call.return_type else {
        return Err(DataFusionError::Internal("map_concat gives a map".into()));
    };
    let DataType::Struct(pair) = entries.data_type() else {
        return Err(DataFusionError::Internal("a map's entries are structs".into()));
    };
    let columns = (0..call.args.len()).map(|i| call.array_as(i, call.return_type)).collect::<Result<Vec<_>>>()?;
    let maps: Vec<&MapArray> = columns.iter().map(|column| column.as_map()).collect();
    let nulls = maps.iter().fold(None, |nulls, map| NullBuffer::union(nulls.as_ref(), map.nulls()));
    let (mut places, mut offsets) = (Vec::new(), vec![0i32]);
    for row in 0..call.rows {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            for (i, map) in maps.iter().enumerate() {
                let own = map.offsets()[row] as usize..map.offsets()[row + 1] as usize;
                places.extend(own.map(|at| (i, at)));
            }
        }
        offsets.push(
            i32::try_from(places.len())
                .map_err(|_| DataFusionError::Execution("the maps of a batch have too many entries".into()))?,
        );
    }
    let side = |side: usize| -> Result<ArrayRef> {
        let columns: Vec<&dyn Array> = maps.iter().map(|map| map.entries().column(side).as_ref()).collect();
        Ok(if places.is_empty() { new_empty_array(pair[side].data_type()) } else { interleave(&columns, &places)? })
    };
    let (keys, values) = (side(0)?, side(1)?);
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(&keys)])?;
    for bounds in offsets.windows(2) {
        let mut seen = std::collections::HashSet::new();
        if !(bounds[0] as usize..bounds[1] as usize).all(|at| seen.insert(rows.row(at))) {
            return Err(
                SparkError::new("DUPLICATED_MAP_KEY", "map_concat: a key is in more than one of the maps").into()
            );
        }
    }
    let entry = StructArray::try_new_with_length(pair.clone(), vec![keys, values], None, places.len())?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(ColumnarValue::Array(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, entry, nulls, *sorted)?)))
}

/// `posexplode`'s columns as a struct for each item: its position from 0, then the item, or a map's key and value.
fn positions_type(returns: &Returns<'_>) -> Result<DataType> {
    let mut fields = vec![Field::new("pos", DataType::Int32, false)];
    match &returns.types[0] {
        map @ DataType::Map(..) => {
            let (key, value) = map_parts(map)?;
            fields.extend([Field::new("key", key, false), Field::new("value", value, true)]);
        }
        DataType::List(item) => fields.push(Field::new("col", item.data_type().clone(), true)),
        other => return types::refuse("posexplode", other, "ARRAY or MAP"),
    }
    Ok(list_of(DataType::Struct(fields.into())))
}

fn positions(call: &Call<'_>) -> Result<ColumnarValue> {
    let DataType::List(field) = call.return_type else {
        return Err(DataFusionError::Internal("a list of structs".into()));
    };
    let DataType::Struct(fields) = field.data_type() else {
        return Err(DataFusionError::Internal("a list of structs".into()));
    };
    let array = call.array(0)?;
    let (offsets, items, nulls) = match array.data_type() {
        DataType::Map(..) => {
            let map = array.as_map();
            (map.offsets(), map.entries().columns().to_vec(), map.nulls())
        }
        _ => {
            let list = array.as_list::<i32>();
            (list.offsets(), vec![Arc::clone(list.values())], list.nulls())
        }
    };
    // Items outside of all lists (of nulls, or of a slice) have a place too.
    let length = items[0].len();
    let mut places = vec![0i32; length];
    for bounds in offsets.windows(2) {
        for (place, at) in (bounds[0] as usize..bounds[1] as usize).enumerate() {
            places[at] = place as i32;
        }
    }
    let columns: Vec<ArrayRef> = std::iter::once(Arc::new(Int32Array::from(places)) as ArrayRef).chain(items).collect();
    let structs = StructArray::try_new_with_length(fields.clone(), columns, None, length)?;
    let list = ListArray::try_new(Arc::clone(field), offsets.clone(), Arc::new(structs), nulls.cloned())?;
    Ok(ColumnarValue::Array(Arc::new(list)))
}
