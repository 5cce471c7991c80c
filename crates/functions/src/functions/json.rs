//! `to_json`, `to_csv`, `get_json_object` and the like.

use std::sync::Arc;

use arrow::array::{Array, AsArray, ListBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::ddl::list_of;
use crate::formats::CsvWriter;
use crate::text::encode::{Encoder, Format, Style};
use crate::text::json::compact;
use crate::text::json_tape::{Kind, Tape, Token, unescape};
use crate::text::options::{CsvOptions, JsonOptions};
use crate::udf::{Call, Function, Returns, types};

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    let text = |_: &Returns<'_>| Ok(DataType::Utf8);
    vec![
        Function::new("to_json", 1..=2, nested_then_map, text, to_json),
        Function::new("to_csv", 1..=2, struct_then_map, text, to_csv),
        Function::new("get_json_object", 2..=2, types::strings, text, get_json_object),
        Function::new(
            "json_array_length",
            1..=1,
            types::strings,
            |_| Ok(DataType::Int32),
            |call| {
                let texts = call.texts(0)?;
                let mut tape = Tape::new(true, true);
                call.build::<Int32Type>(|row| {
                    Ok(texts.get(row).and_then(|text| {
                        tape.read(text).ok()?;
                        (tape.tokens.first()?.kind == Kind::Array).then(|| children(&tape.tokens, 0).count() as i32)
                    }))
                })
            },
        ),
        Function::new("json_object_keys", 1..=1, types::strings, |_| Ok(list_of(DataType::Utf8)), object_keys),
    ]
}

fn nested_then_map(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match &given[0] {
        DataType::Struct(_) | DataType::Map(..) | DataType::List(_) => Ok(given.to_vec()),
        other => types::refuse(name, other, "a STRUCT, MAP or ARRAY"),
    }
}

fn struct_then_map(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match &given[0] {
        DataType::Struct(_) => Ok(given.to_vec()),
        other => types::refuse(name, other, "a STRUCT"),
    }
}

/// The map of options in argument `i`, if there is one.
fn options(call: &Call<'_>, i: usize) -> Result<Vec<(String, String)>> {
    if !call.has(i) {
        return Ok(Vec::new());
    }
    let array = call.args[i].to_array(1)?;
    let (Some(map), ColumnarValue::Scalar(_)) = (array.as_map_opt(), &call.args[i]) else {
        return Err(DataFusionError::Plan(format!("{}: the options should be written as a map of texts", call.name)));
    };
    let entry = map.value(0);
    let (keys, values) = (crate::udf::as_strings(entry.column(0))?, crate::udf::as_strings(entry.column(1))?);
    let (keys, values) = (keys.as_string::<i32>(), values.as_string::<i32>());
    Ok((0..keys.len()).map(|i| (keys.value(i).to_owned(), values.value(i).to_owned())).collect())
}

fn to_json(call: &Call<'_>) -> Result<ColumnarValue> {
    let options = options(call, 1)?;
    let options = JsonOptions::parse(options.iter().map(|(k, v)| (k.as_str(), v.as_str())))?;
    let format = Format::new(Style::Json(options.ignore_null_fields), &options.text, call.session.zone);
    let array = call.array(0)?;
    let encoder = Encoder::new(&array, &format)?;
    call.build_texts(|row, out| {
        let valid = !encoder.is_null(row);
        if valid {
            encoder.write(row, out);
        }
        Ok(valid)
    })
}

fn to_csv(call: &Call<'_>) -> Result<ColumnarValue> {
    let options = options(call, 1)?;
    let options = CsvOptions::parse(options.iter().map(|(k, v)| (k.as_str(), v.as_str())))?;
    let array = call.array(0)?;
    let rows = array.as_struct();
    let schema = Arc::new(Schema::new(rows.fields().clone()));
    let writer = CsvWriter::new(&schema, &options, call.session)?;
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let batch = RecordBatch::try_new_with_options(
        schema,
        rows.columns().to_vec(),
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len())),
    )?;
    writer.write_rows(&batch, &mut bytes, &mut ends)?;
    call.build_texts(|row, out| {
        if rows.is_null(row) {
            return Ok(false);
        }
        let start = if row == 0 { 0 } else { ends[row - 1] };
        out.extend_from_slice(&bytes[start..ends[row]]);
        Ok(true)
    })
}

fn object_keys(call: &Call<'_>) -> Result<ColumnarValue> {
    let texts = call.texts(0)?;
    let mut tape = Tape::new(true, true);
    let mut out = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, true));
    for row in 0..call.rows {
        let read = texts.get(row).filter(|text| tape.read(text).is_ok());
        let Some(text) = read.filter(|_| tape.tokens.first().is_some_and(|t| t.kind == Kind::Object)) else {
            out.append(false);
            continue;
        };
        for (key, _) in members(&tape.tokens, 0) {
            out.values().append_value(name_of(&tape.tokens[key], text));
        }
        out.append(true);
    }
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

/// Places of an array's elements.
fn children(tokens: &[Token], at: usize) -> impl Iterator<Item = usize> {
    let end = tokens[at].next as usize;
    let within = move |place: usize| (place < end).then_some(place);
    std::iter::successors(within(at + 1), move |&item| within(tokens[item].next as usize))
}

/// Places of an object's names and values.
fn members(tokens: &[Token], at: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = tokens[at].next as usize;
    let within = move |key: usize| (key < end).then(|| (key, tokens[key].next as usize));
    std::iter::successors(within(at + 1), move |&(_, value)| within(tokens[value].next as usize))
}

fn name_of<'a>(token: &Token, text: &'a str) -> std::borrow::Cow<'a, str> {
    let raw = &text[token.start as usize..token.end as usize];
    if !token.escaped {
        return raw.into();
    }
    let mut out = String::new();
    unescape(raw, &mut out);
    out.into()
}

/// A step of a JSON path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    /// `[*]` or `.*`.
    All,
}

/// `$.a['b c'][0].*`; nothing where the text is no path.
fn parse_path(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (name, tail) = tail.split_at(end);
            if name.is_empty() {
                return None;
            }
            steps.push(if name == "*" { Step::All } else { Step::Name(name.to_owned()) });
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix("['") {
            let (name, tail) = tail.split_once("']")?;
            steps.push(if name == "*" { Step::All } else { Step::Name(name.to_owned()) });
            rest = tail;
        } else {
            let (inside, tail) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(if inside == "*" { Step::All } else { Step::Index(inside.trim().parse().ok()?) });
            rest = tail;
        }
    }
    Some(steps)
}

fn walk(tokens: &[Token], text: &str, at: usize, steps: &[Step], found: &mut Vec<usize>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(at);
        return;
    };
    match (step, tokens[at].kind) {
        (Step::Name(name), Kind::Object) => {
            if let Some((_, value)) = members(tokens, at).find(|(key, _)| name_of(&tokens[*key], text) == name.as_str())
            {
                walk(tokens, text, value, rest, found);
            }
        }
        // A name on an array is asked of each of its objects.
        (Step::Name(_), Kind::Array) => children(tokens, at).for_each(|item| walk(tokens, text, item, steps, found)),
        (Step::Index(index), Kind::Array) => {
            if let Some(item) = children(tokens, at).nth(*index) {
                walk(tokens, text, item, rest, found);
            }
        }
        (Step::All, Kind::Array) => children(tokens, at).for_each(|item| walk(tokens, text, item, rest, found)),
        (Step::All, Kind::Object) => members(tokens, at).for_each(|(_, value)| walk(tokens, text, value, rest, found)),
        _ => {}
    }
}

fn get_json_object(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, paths) = (call.texts(0)?, call.texts(1)?);
    let constant = paths.constant().map(|path| path.and_then(parse_path));
    let mut tape = Tape::new(true, true);
    let mut found = Vec::new();
    call.build_texts(|row, out| {
        let own;
        let steps = match &constant {
            Some(steps) => steps,
            None => {
                own = paths.get(row).and_then(parse_path);
                &own
            }
        };
        let (Some(text), Some(steps)) = (texts.get(row), steps) else { return Ok(false) };
        if tape.read(text).is_err() || tape.tokens.is_empty() {
            return Ok(false);
        }
        found.clear();
        walk(&tape.tokens, text, 0, steps, &mut found);
        found.retain(|&at| found_is_value(&tape.tokens[at]));
        let wild = steps.contains(&Step::All);
        match (found.as_slice(), wild) {
            ([], _) => Ok(false),
            ([one], false) => {
                let token = &tape.tokens[*one];
                if token.kind == Kind::String {
                    out.extend_from_slice(name_of(token, text).as_bytes());
                } else {
                    compact(&tape.tokens, *one, text, out);
                }
                Ok(true)
            }
            ([one], true) => {
                compact(&tape.tokens, *one, text, out);
                Ok(true)
            }
            (many, _) => {
                out.push(b'[');
                for (i, &at) in many.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    compact(&tape.tokens, at, text, out);
                }
                out.push(b']');
                Ok(true)
            }
        }
    })
}

fn found_is_value(token: &Token) -> bool {
    token.kind != Kind::Null
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let steps = parse_path("$.a['b c'][0].*[*]").unwrap();
        assert_eq!(steps, [Step::Name("a".into()), Step::Name("b c".into()), Step::Index(0), Step::All, Step::All]);
        assert_eq!(parse_path("$"), Some(vec![]));
        for bad in ["a", "$.", "$[x]", "$['a"] {
            assert_eq!(parse_path(bad), None, "{bad}");
        }
    }
}
