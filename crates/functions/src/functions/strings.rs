//! Functions of texts. Positions count characters, from 1.

use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use crate::error::SparkError;
use crate::udf::{ANY, Call, Function, Returns, types};

fn text(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn int(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Int32)
}

fn boolean(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Boolean)
}

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    vec![
        Function::new("upper", 1..=1, types::strings, text, |call| call.map_text(upper)).alias(&["ucase"]),
        Function::new("lower", 1..=1, types::strings, text, |call| call.map_text(lower)).alias(&["lcase"]),
        Function::new("initcap", 1..=1, types::strings, text, |call| call.map_text(initcap)),
        Function::new("length", 1..=1, types::any, int, length).alias(&["len", "char_length", "character_length"]),
        Function::new("octet_length", 1..=1, types::any, int, octet_length),
        Function::new("substring", 2..=3, types::string_then_ints, text, substring).alias(&["substr", "mid"]),
        Function::new("left", 2..=2, types::string_then_ints, text, left),
        Function::new("right", 2..=2, types::string_then_ints, text, right),
        Function::new("trim", 1..=2, types::strings, text, |call| trim(call, true, true)),
        Function::new("btrim", 1..=2, types::strings, text, |call| trim(call, true, true)),
        Function::new("ltrim", 1..=2, types::strings, text, |call| trim(call, true, false)),
        Function::new("rtrim", 1..=2, types::strings, text, |call| trim(call, false, true)),
        Function::new("lpad", 2..=3, pad_types, text, |call| pad(call, true)),
        Function::new("rpad", 2..=3, pad_types, text, |call| pad(call, false)),
        Function::new("instr", 2..=2, types::strings, int, |call| find(call, 0, 1, None)),
        Function::new("locate", 2..=3, locate_types, int, |call| find(call, 1, 0, Some(2))).alias(&["position"]),
        Function::new("replace", 2..=3, types::strings, text, replace),
        Function::new("translate", 3..=3, types::strings, text, translate),
        Function::new("startswith", 2..=2, types::strings, boolean, |call| compare(call, |a, b| a.starts_with(b))),
        Function::new("endswith", 2..=2, types::strings, boolean, |call| compare(call, |a, b| a.ends_with(b))),
        Function::new("contains", 2..=2, types::strings, boolean, |call| {
            compare(call, |a, b| memchr::memmem::find(a.as_bytes(), b.as_bytes()).is_some())
        }),
        Function::new("repeat", 2..=2, types::string_then_ints, text, repeat),
        Function::new("space", 1..=1, |n, t| Ok(vec![types::int(n, &t[0])?]), text, space),
        Function::new(
            "split_part",
            3..=3,
            |n, t| Ok(vec![types::string(n, &t[0])?, types::string(n, &t[1])?, types::int(n, &t[2])?]),
            text,
            split_part,
        ),
        Function::new(
            "substring_index",
            3..=3,
            |n, t| Ok(vec![types::string(n, &t[0])?, types::string(n, &t[1])?, types::int(n, &t[2])?]),
            text,
            substring_index,
        ),
        Function::new("ascii", 1..=1, types::strings, int, |call| {
            let texts = call.texts(0)?;
            call.build::<Int32Type>(|row| Ok(texts.get(row).map(|t| t.chars().next().map_or(0, |c| c as i32))))
        }),
        Function::new(
            "char",
            1..=1,
            |_, _| Ok(vec![DataType::Int64]),
            text,
            |call| {
                let codes = call.values::<arrow::datatypes::Int64Type>(0)?;
                call.build_texts(|row, out| {
                    let Some(code) = codes.get(row) else { return Ok(false) };
                    if code >= 0 {
                        push_char(char::from((code % 256) as u8), out);
                    }
                    Ok(true)
                })
            },
        )
        .alias(&["chr"]),
        Function::new("find_in_set", 2..=2, types::strings, int, |call| {
            let (wanted, list) = (call.texts(0)?, call.texts(1)?);
            call.build::<Int32Type>(|row| {
                let (Some(wanted), Some(list)) = (wanted.get(row), list.get(row)) else { return Ok(None) };
                if wanted.contains(',') {
                    return Ok(Some(0));
                }
                Ok(Some(list.split(',').position(|item| item == wanted).map_or(0, |at| at as i32 + 1)))
            })
        }),
        Function::new("overlay", 3..=4, overlay_types, text, overlay),
        Function::new(
            "elt",
            2..=ANY,
            |n, t| Ok([vec![types::int(n, &t[0])?], types::strings(n, &t[1..])?].concat()),
            text,
            elt,
        ),
        Function::new("mask", 1..=5, types::strings, text, mask),
        Function::new("concat_ws", 1..=ANY, concat_ws_types, text, concat_ws),
        Function::new("url_encode", 1..=1, types::strings, text, |call| call.map_text(url_encode)),
        Function::new("levenshtein", 2..=2, types::strings, int, |call| {
            let (a, b) = (call.texts(0)?, call.texts(1)?);
            call.build::<Int32Type>(|row| match (a.get(row), b.get(row)) {
                (Some(a), Some(b)) => Ok(Some(levenshtein(a, b))),
                _ => Ok(None),
            })
        }),
    ]
}

/// The text of a number from 1.
fn elt(call: &Call<'_>) -> Result<ColumnarValue> {
    let numbers = call.values::<Int32Type>(0)?;
    let given = (1..call.args.len()).map(|i| call.texts(i)).collect::<Result<Vec<_>>>()?;
    call.build_texts(|row, out| {
        let Some(number) = numbers.get(row) else { return Ok(false) };
        let Some(texts) = usize::try_from(number).ok().and_then(|number| given.get(number.checked_sub(1)?)) else {
            let message =
                format!("The index {number} is out of bounds. elt has {} texts, counted from 1.", given.len());
            return Err(SparkError::new(SparkError::INVALID_ARRAY_INDEX, message).into());
        };
        let Some(text) = texts.get(row) else { return Ok(false) };
        out.extend_from_slice(text.as_bytes());
        Ok(true)
    })
}

/// Puts a letter in the place of each letter, digit and other sign; null keeps what is there.
fn mask(call: &Call<'_>) -> Result<ColumnarValue> {
    let texts = call.texts(0)?;
    let given = (1..call.args.len()).map(|i| call.texts(i)).collect::<Result<Vec<_>>>()?;
    call.build_texts(|row, out| {
        let Some(text) = texts.get(row) else { return Ok(false) };
        let mut instead = [Some('X'), Some('x'), Some('n'), None];
        for (place, given) in instead.iter_mut().zip(&given) {
            *place = given.get(row).and_then(|text| text.chars().next());
        }
        for c in text.chars() {
            let kind = if c.is_uppercase() {
                0
            } else if c.is_lowercase() {
                1
            } else if c.is_numeric() {
                2
            } else {
                3
            };
            push_char(instead[kind].unwrap_or(c), out);
        }
        Ok(true)
    })
}

fn push_char(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn upper(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        out.extend(text.bytes().map(|b| b.to_ascii_uppercase()));
    } else {
        out.extend_from_slice(text.to_uppercase().as_bytes());
    }
}

fn lower(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        out.extend(text.bytes().map(|b| b.to_ascii_lowercase()));
    } else {
        out.extend_from_slice(text.to_lowercase().as_bytes());
    }
}

/// Words are what blanks part.
fn initcap(text: &str, out: &mut Vec<u8>) {
    let mut start = true;
    for c in text.chars() {
        if start {
            c.to_uppercase().for_each(|c| push_char(c, out));
        } else {
            c.to_lowercase().for_each(|c| push_char(c, out));
        }
        start = c == ' ';
    }
}

fn length(call: &Call<'_>) -> Result<ColumnarValue> {
    if call.args[0].data_type() == DataType::Binary {
        return octet_length(call);
    }
    let texts = texts_of(call)?;
    call.build::<Int32Type>(|row| {
        Ok(texts.get(row).map(|t| if t.is_ascii() { t.len() } else { t.chars().count() } as i32))
    })
}

fn octet_length(call: &Call<'_>) -> Result<ColumnarValue> {
    if call.args[0].data_type() == DataType::Binary {
        let array = call.array(0)?;
        let bytes = arrow::array::AsArray::as_binary::<i32>(&array);
        return call.build::<Int32Type>(|row| {
            Ok((!arrow::array::Array::is_null(bytes, row)).then(|| bytes.value(row).len() as i32))
        });
    }
    let texts = texts_of(call)?;
    call.build::<Int32Type>(|row| Ok(texts.get(row).map(|t| t.len() as i32)))
}

/// Texts of an argument that may be another simple type.
fn texts_of(call: &Call<'_>) -> Result<super::kernel::Texts> {
    if matches!(call.args[0].data_type(), DataType::Utf8 | DataType::Null) {
        return call.texts(0);
    }
    let cast = crate::cast::cast_array(&call.array(0)?, &DataType::Utf8, crate::cast::CastMode::Ansi, call.session)?;
    let args = [ColumnarValue::Array(cast)];
    Call { args: &args, ..*call }.texts(0)
}

/// Byte range of characters `start` (from 0) up to `end`.
fn char_range(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    if text.is_ascii() {
        return start.min(text.len())..end.min(text.len()).max(start.min(text.len()));
    }
    let mut places = text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len()));
    let from = places.by_ref().nth(start).unwrap_or(text.len());
    let to = if end <= start { from } else { places.nth(end - start - 1).unwrap_or(text.len()) };
    from..to
}

/// Spark's rule: 0 counts as 1, negative from the end; a start before the text takes away from the length.
fn slice(text: &str, position: i32, length: i64) -> &str {
    let count = if text.is_ascii() { text.len() } else { text.chars().count() } as i64;
    let start = match i64::from(position) {
        p if p > 0 => p - 1,
        p if p < 0 => count + p,
        _ => 0,
    };
    let end = (start.saturating_add(length)).min(count);
    if end <= start.max(0) || start >= count {
        return "";
    }
    &text[char_range(text, start.max(0) as usize, end as usize)]
}

fn substring(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, starts) = (call.texts(0)?, call.values::<Int32Type>(1)?);
    let lengths = if call.has(2) { Some(call.values::<Int32Type>(2)?) } else { None };
    call.build_texts(|row, out| {
        let (Some(text), Some(start)) = (texts.get(row), starts.get(row)) else { return Ok(false) };
        let length = match &lengths {
            None => i64::from(i32::MAX),
            Some(lengths) => match lengths.get(row) {
                Some(length) => i64::from(length),
                None => return Ok(false),
            },
        };
        out.extend_from_slice(slice(text, start, length).as_bytes());
        Ok(true)
    })
}

fn left(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, lengths) = (call.texts(0)?, call.values::<Int32Type>(1)?);
    call.build_texts(|row, out| {
        let (Some(text), Some(length)) = (texts.get(row), lengths.get(row)) else { return Ok(false) };
        out.extend_from_slice(slice(text, 1, i64::from(length)).as_bytes());
        Ok(true)
    })
}

fn right(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, lengths) = (call.texts(0)?, call.values::<Int32Type>(1)?);
    call.build_texts(|row, out| {
        let (Some(text), Some(length)) = (texts.get(row), lengths.get(row)) else { return Ok(false) };
        if length > 0 {
            out.extend_from_slice(slice(text, -length, i64::from(length)).as_bytes());
        }
        Ok(true)
    })
}

/// `trim(text[, characters])`: the sql of `TRIM(characters FROM text)` hands the text first, as does `btrim`; `trim('x', 'text')` with the
/// characters first is what Spark's function form means.
fn trim(call: &Call<'_>, leading: bool, trailing: bool) -> Result<ColumnarValue> {
    let two = call.has(1);
    // Of ltrim, rtrim and trim with two arguments the first is what to trim; of btrim it is the text.
    let (text_at, what_at) = if two && call.name != "btrim" { (1, 0) } else { (0, 1) };
    let texts = call.texts(text_at)?;
    let what = if two { Some(call.texts(what_at)?) } else { None };
    call.build_texts(|row, out| {
        let Some(text) = texts.get(row) else { return Ok(false) };
        let what = match &what {
            None => " ",
            Some(what) => match what.get(row) {
                Some(what) => what,
                None => return Ok(false),
            },
        };
        let mut text = text;
        if leading {
            text = text.trim_start_matches(|c| what.contains(c));
        }
        if trailing {
            text = text.trim_end_matches(|c| what.contains(c));
        }
        out.extend_from_slice(text.as_bytes());
        Ok(true)
    })
}

fn pad_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![types::string(name, &given[0])?, types::int(name, &given[1])?];
    out.extend(given[2..].iter().map(|_| DataType::Utf8));
    Ok(out)
}

/// A pad beyond this is a mistake, not a wish.
const PAD_MAX: i64 = 16 << 20;

fn pad(call: &Call<'_>, before: bool) -> Result<ColumnarValue> {
    let (texts, lengths) = (call.texts(0)?, call.values::<Int32Type>(1)?);
    let fill = if call.has(2) { Some(call.texts(2)?) } else { None };
    call.build_texts(|row, out| {
        let (Some(text), Some(length)) = (texts.get(row), lengths.get(row)) else { return Ok(false) };
        let fill = match &fill {
            None => " ",
            Some(fill) => match fill.get(row) {
                Some(fill) => fill,
                None => return Ok(false),
            },
        };
        let length = i64::from(length).clamp(0, PAD_MAX) as usize;
        let count = text.chars().count();
        if count >= length || fill.is_empty() {
            out.extend_from_slice(text[char_range(text, 0, length)].as_bytes());
            return Ok(true);
        }
        let padding = fill.chars().cycle().take(length - count);
        if before {
            padding.for_each(|c| push_char(c, out));
            out.extend_from_slice(text.as_bytes());
        } else {
            out.extend_from_slice(text.as_bytes());
            padding.for_each(|c| push_char(c, out));
        }
        Ok(true)
    })
}

fn locate_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![types::string(name, &given[0])?, types::string(name, &given[1])?];
    for t in &given[2..] {
        out.push(types::int(name, t)?);
    }
    Ok(out)
}

fn find(call: &Call<'_>, text_at: usize, part_at: usize, start_at: Option<usize>) -> Result<ColumnarValue> {
    let (texts, parts) = (call.texts(text_at)?, call.texts(part_at)?);
    let starts = match start_at {
        Some(at) if call.has(at) => Some(call.values::<Int32Type>(at)?),
        _ => None,
    };
    call.build::<Int32Type>(|row| {
        let (Some(text), Some(part)) = (texts.get(row), parts.get(row)) else { return Ok(None) };
        let start = match &starts {
            None => 1,
            Some(starts) => match starts.get(row) {
                Some(start) => start,
                None => return Ok(Some(0)),
            },
        };
        if start < 1 {
            return Ok(Some(0));
        }
        let from = char_range(text, start as usize - 1, start as usize - 1).start;
        let found = memchr::memmem::find(&text.as_bytes()[from..], part.as_bytes());
        Ok(Some(found.map_or(0, |at| text[..from + at].chars().count() as i32 + 1)))
    })
}

fn replace(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, search) = (call.texts(0)?, call.texts(1)?);
    let with = if call.has(2) { Some(call.texts(2)?) } else { None };
    call.build_texts(|row, out| {
        let (Some(text), Some(search)) = (texts.get(row), search.get(row)) else { return Ok(false) };
        let with = match &with {
            None => "",
            Some(with) => match with.get(row) {
                Some(with) => with,
                None => return Ok(false),
            },
        };
        if search.is_empty() {
            out.extend_from_slice(text.as_bytes());
        } else {
            out.extend_from_slice(text.replace(search, with).as_bytes());
        }
        Ok(true)
    })
}

fn translate(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, from, to) = (call.texts(0)?, call.texts(1)?, call.texts(2)?);
    call.build_texts(|row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
            return Ok(false);
        };
        for c in text.chars() {
            match from.chars().position(|f| f == c) {
                None => push_char(c, out),
                Some(at) => {
                    if let Some(c) = to.chars().nth(at) {
                        push_char(c, out);
                    }
                }
            }
        }
        Ok(true)
    })
}

fn compare(call: &Call<'_>, test: impl Fn(&str, &str) -> bool) -> Result<ColumnarValue> {
    let (a, b) = (call.texts(0)?, call.texts(1)?);
    call.build_booleans(|row| Ok(a.get(row).zip(b.get(row)).map(|(a, b)| test(a, b))))
}

fn repeat(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, counts) = (call.texts(0)?, call.values::<Int32Type>(1)?);
    call.build_texts(|row, out| {
        let (Some(text), Some(count)) = (texts.get(row), counts.get(row)) else { return Ok(false) };
        let count = count.max(0) as usize;
        if text.len().saturating_mul(count) > PAD_MAX as usize {
            return Err(
                SparkError::new(SparkError::INVALID_PARAMETER_VALUE, "repeat: the text would exceed 16 MiB").into()
            );
        }
        for _ in 0..count {
            out.extend_from_slice(text.as_bytes());
        }
        Ok(true)
    })
}

fn space(call: &Call<'_>) -> Result<ColumnarValue> {
    let counts = call.values::<Int32Type>(0)?;
    call.build_texts(|row, out| {
        let Some(count) = counts.get(row) else { return Ok(false) };
        out.extend(std::iter::repeat_n(b' ', i64::from(count).clamp(0, PAD_MAX) as usize));
        Ok(true)
    })
}

fn split_part(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, seps, parts) = (call.texts(0)?, call.texts(1)?, call.values::<Int32Type>(2)?);
    call.build_texts(|row, out| {
        let (Some(text), Some(sep), Some(part)) = (texts.get(row), seps.get(row), parts.get(row)) else {
            return Ok(false);
        };
        if part == 0 {
            return Err(SparkError::new(
                SparkError::INVALID_INDEX_OF_ZERO,
                "split_part: parts count from 1 (or from -1 at the end)",
            )
            .into());
        }
        let at = part.unsigned_abs() as usize - 1;
        let found = match (sep.is_empty(), part > 0) {
            (true, _) => (at == 0).then_some(text),
            (false, true) => text.split(sep).nth(at),
            (false, false) => text.rsplit(sep).nth(at),
        };
        out.extend_from_slice(found.unwrap_or_default().as_bytes());
        Ok(true)
    })
}

fn substring_index(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, seps, counts) = (call.texts(0)?, call.texts(1)?, call.values::<Int32Type>(2)?);
    call.build_texts(|row, out| {
        let (Some(text), Some(sep), Some(count)) = (texts.get(row), seps.get(row), counts.get(row)) else {
            return Ok(false);
        };
        if sep.is_empty() || count == 0 {
            return Ok(true);
        }
        let nth = count.unsigned_abs() as usize - 1;
        let found = if count > 0 {
            text.match_indices(sep).nth(nth).map_or(text, |(at, _)| &text[..at])
        } else {
            text.rmatch_indices(sep).nth(nth).map_or(text, |(at, _)| &text[at + sep.len()..])
        };
        out.extend_from_slice(found.as_bytes());
        Ok(true)
    })
}

fn overlay_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![types::string(name, &given[0])?, types::string(name, &given[1])?];
    for t in &given[2..] {
        out.push(types::int(name, t)?);
    }
    Ok(out)
}

fn overlay(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, with, starts) = (call.texts(0)?, call.texts(1)?, call.values::<Int32Type>(2)?);
    let lengths = if call.has(3) { Some(call.values::<Int32Type>(3)?) } else { None };
    call.build_texts(|row, out| {
        let (Some(text), Some(with), Some(start)) = (texts.get(row), with.get(row), starts.get(row)) else {
            return Ok(false);
        };
        let length = match &lengths {
            None => -1,
            Some(lengths) => match lengths.get(row) {
                Some(length) => length,
                None => return Ok(false),
            },
        };
        let length = if length >= 0 { i64::from(length) } else { with.chars().count() as i64 };
        out.extend_from_slice(slice(text, 1, i64::from(start) - 1).as_bytes());
        out.extend_from_slice(with.as_bytes());
        let rest = i32::try_from(i64::from(start) + length).unwrap_or(i32::MAX);
        out.extend_from_slice(slice(text, rest, i64::from(i32::MAX)).as_bytes());
        Ok(true)
    })
}

fn concat_ws_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    given
        .iter()
        .enumerate()
        .map(|(i, t)| match t {
            DataType::List(_) if i > 0 => Ok(crate::ddl::list_of(DataType::Utf8)),
            other => types::string(name, other),
        })
        .collect()
}

/// Nulls are left out, also in lists; a null separator gives null.
fn concat_ws(call: &Call<'_>) -> Result<ColumnarValue> {
    use arrow::array::{Array, AsArray, StringArray};
    enum Part {
        Texts(super::kernel::Texts),
        List(arrow::array::ListArray, StringArray),
    }
    let sep = call.texts(0)?;
    let mut parts = Vec::new();
    for i in 1..call.args.len() {
        parts.push(match call.args[i].data_type() {
            DataType::List(_) => {
                let array = call.array(i)?;
                let list = array.as_list::<i32>().clone();
                let values = crate::udf::as_strings(list.values())?.as_string::<i32>().clone();
                Part::List(list, values)
            }
            _ => Part::Texts(call.texts(i)?),
        });
    }
    call.build_texts(|row, out| {
        let Some(sep) = sep.get(row) else { return Ok(false) };
        let mut first = true;
        let mut push = |text: &str, out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.extend_from_slice(sep.as_bytes());
            }
            out.extend_from_slice(text.as_bytes());
        };
        for part in &parts {
            match part {
                Part::Texts(texts) => {
                    if let Some(text) = texts.get(row) {
                        push(text, out);
                    }
                }
                Part::List(list, values) if !list.is_null(row) => {
                    let offsets = list.value_offsets();
                    for at in offsets[row] as usize..offsets[row + 1] as usize {
                        if !values.is_null(at) {
                            push(values.value(at), out);
                        }
                    }
                }
                Part::List(..) => {}
            }
        }
        Ok(true)
    })
}

fn url_encode(text: &str, out: &mut Vec<u8>) {
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(b),
            b' ' => out.push(b'+'),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
}

fn levenshtein(a: &str, b: &str) -> i32 {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<i32> = (0..=b.len() as i32).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i as i32 + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + i32::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}
