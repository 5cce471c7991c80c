//! Functions of regular expressions. Patterns are Java's as far as Rust's `regex` has them; look-around and back-references are an error
//! when the query is planned.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use arrow::array::{ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use regex::Regex;

use super::kernel::Texts;
use crate::ddl::list_of;
use crate::error::SparkError;
use crate::udf::{Call, Function, Returns, types};

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    let text = |_: &Returns<'_>| Ok(DataType::Utf8);
    let int = |_: &Returns<'_>| Ok(DataType::Int32);
    let boolean = |_: &Returns<'_>| Ok(DataType::Boolean);
    let list = |_: &Returns<'_>| Ok(list_of(DataType::Utf8));
    let functions = vec![
        Function::new("split", 2..=3, two_texts_then_int, list, split),
        Function::new("regexp_replace", 3..=4, three_texts_then_int, text, replace),
        Function::new("regexp_extract", 2..=3, two_texts_then_int, text, extract),
        Function::new("regexp_extract_all", 2..=3, two_texts_then_int, list, extract_all),
        Function::new("regexp_like", 2..=2, types::strings, boolean, |call| {
            let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call, 1)?);
            call.build_booleans(|row| Ok(texts.get(row).zip(patterns.get(row)?).map(|(t, p)| p.is_match(t))))
        })
        .alias(&["rlike", "regexp"]),
        Function::new("regexp_count", 2..=2, types::strings, int, |call| {
            let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call, 1)?);
            call.build::<Int32Type>(|row| {
                Ok(texts.get(row).zip(patterns.get(row)?).map(|(t, p)| p.find_iter(t).count() as i32))
            })
        }),
        Function::new("regexp_instr", 2..=2, types::strings, int, |call| {
            let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call, 1)?);
            call.build::<Int32Type>(|row| {
                let found = texts.get(row).zip(patterns.get(row)?);
                Ok(found.map(|(t, p)| p.find(t).map_or(0, |m| t[..m.start()].chars().count() as i32 + 1)))
            })
        }),
        Function::new("regexp_substr", 2..=2, types::strings, text, |call| {
            let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call, 1)?);
            call.build_texts(|row, out| {
                let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)?) else { return Ok(false) };
                let Some(found) = pattern.find(text) else { return Ok(false) };
                out.extend_from_slice(found.as_str().as_bytes());
                Ok(true)
            })
        }),
    ];
    functions.into_iter().map(|function| function.constants(&[(1, |pattern, _| compile(pattern).map(drop))])).collect()
}

/// Patterns that were compiled, by their text; a few, as patterns are written by people.
const CACHED_MAX: usize = 256;

/// The regular expression of a pattern of Java.
pub(crate) fn compile(pattern: &str) -> Result<Arc<Regex>> {
    static CACHE: OnceLock<Mutex<HashMap<String, Arc<Regex>>>> = OnceLock::new();
    let cache = CACHE.get_or_init(Mutex::default);
    let mut cache = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(found) = cache.get(pattern) {
        return Ok(Arc::clone(found));
    }
    let compiled = Regex::new(&java_to_rust(pattern)).map_err(|error| {
        let reason = if pattern.contains("(?=") || pattern.contains("(?!") || pattern.contains("(?<=") || pattern.contains("(?<!") {
            "look-around, (?=…), (?!…), (?<=…), (?<!…), is not supported; match more and take a group with regexp_extract".to_owned()
        } else if has_back_reference(pattern) {
            "back-references (\\1) are not supported".to_owned()
        } else {
            error.to_string()
        };
        DataFusionError::from(SparkError::new(
            SparkError::INVALID_PARAMETER_VALUE,
            format!("the regular expression '{pattern}' cannot be used: {reason}"),
        ))
    })?;
    if cache.len() >= CACHED_MAX {
        cache.clear();
    }
    let compiled = Arc::new(compiled);
    cache.insert(pattern.to_owned(), Arc::clone(&compiled));
    Ok(compiled)
}

fn has_back_reference(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] == b'\\' {
            if (b'1'..=b'9').contains(&bytes[at + 1]) {
                return true;
            }
            at += 1;
        }
        at += 1;
    }
    false
}

/// Java's classes are of ASCII where Rust's are of Unicode; possessive quantifiers match what greedy ones do unless they fail.
fn java_to_rust(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains('\\') {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    let mut in_class = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '[' => {
                in_class += 1;
                out.push(c);
            }
            ']' => {
                in_class = in_class.saturating_sub(1);
                out.push(c);
            }
            '\\' => {
                let bracketed = |inner: &str, out: &mut String| {
                    if in_class > 0 { out.push_str(inner) } else { out.push_str(&format!("[{inner}]")) }
                };
                match chars.next() {
                    Some('d') => bracketed("0-9", &mut out),
                    Some('w') => bracketed("a-zA-Z_0-9", &mut out),
                    Some('s') => bracketed(r" \t\n\x0B\x0C\r", &mut out),
                    Some('D') => out.push_str("[^0-9]"),
                    Some('W') => out.push_str("[^a-zA-Z_0-9]"),
                    Some('S') => out.push_str(r"[^ \t\n\x0B\x0C\r]"),
                    Some('b') => out.push_str(r"(?-u:\b)"),
                    Some('Z') => out.push_str(r"(?:\n?\z)"),
                    Some('h') => bracketed(r" \t\x{A0}", &mut out),
                    Some('R') => out.push_str(r"(?:\r\n|[\n\r])"),
                    Some('Q') => {
                        let rest = chars.as_str();
                        let (text, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                        out.push_str(&regex::escape(text));
                        chars = after.chars();
                    }
                    Some(other) if other.is_ascii_punctuation() => {
                        out.push('\\');
                        out.push(other);
                    }
                    Some(other) if !other.is_ascii_alphanumeric() => out.push(other),
                    Some(other) => {
                        out.push('\\');
                        out.push(other);
                    }
                    None => out.push('\\'),
                }
            }
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// An argument of patterns, compiled once where it is one value.
struct Patterns {
    texts: Texts,
    constant: Option<Option<Arc<Regex>>>,
    last: Option<(String, Arc<Regex>)>,
}

impl Patterns {
    fn new(call: &Call<'_>, i: usize) -> Result<Self> {
        let texts = call.texts(i)?;
        let constant = match texts.constant() {
            Some(pattern) => Some(pattern.map(compile).transpose()?),
            None => None,
        };
        Ok(Self { texts, constant, last: None })
    }

    fn get(&mut self, row: usize) -> Result<Option<Arc<Regex>>> {
        if let Some(constant) = &self.constant {
            return Ok(constant.clone());
        }
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if let Some((known, regex)) = &self.last
            && known == text
        {
            return Ok(Some(Arc::clone(regex)));
        }
        let regex = compile(text)?;
        self.last = Some((text.to_owned(), Arc::clone(&regex)));
        Ok(Some(regex))
    }
}

fn two_texts_then_int(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![types::string(name, &given[0])?, types::string(name, &given[1])?];
    for t in &given[2..] {
        out.push(types::int(name, t)?);
    }
    Ok(out)
}

fn three_texts_then_int(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = types::strings(name, &given[..3])?;
    for t in &given[3..] {
        out.push(types::int(name, t)?);
    }
    Ok(out)
}

fn list_builder() -> ListBuilder<StringBuilder> {
    ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, true))
}

/// A pattern that stands for itself needs no regular expression.
fn literal(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) if c.is_ascii_punctuation() => out.push(c),
                _ => return None,
            },
            '.' | '[' | ']' | '(' | ')' | '{' | '}' | '^' | '$' | '|' | '?' | '*' | '+' => return None,
            c => out.push(c),
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Java's `String.split(regex, limit)`; a limit of 0 counts as -1 (empty ends are kept).
fn split(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call, 1)?);
    let limits = if call.has(2) { Some(call.values::<Int32Type>(2)?) } else { None };
    let plain = patterns.texts.constant().flatten().and_then(literal);
    let mut out = list_builder();
    for row in 0..call.rows {
        let limit = match &limits {
            None => Some(-1),
            Some(limits) => limits.get(row),
        };
        let (Some(text), Some(limit)) = (texts.get(row), limit) else {
            out.append(false);
            continue;
        };
        let most = if limit > 0 { limit as usize } else { usize::MAX };
        if let Some(plain) = &plain {
            text.splitn(most, plain.as_str()).for_each(|part| out.values().append_value(part));
            out.append(true);
            continue;
        }
        let Some(pattern) = patterns.get(row)? else {
            out.append(false);
            continue;
        };
        let (mut from, mut parts) = (0, 1);
        for found in pattern.find_iter(text) {
            if parts >= most {
                break;
            }
            // An empty match gives no empty text at either end.
            if found.end() == 0 || (found.is_empty() && found.start() == text.len()) {
                continue;
            }
            out.values().append_value(&text[from..found.start()]);
            from = found.end();
            parts += 1;
        }
        out.values().append_value(&text[from..]);
        out.append(true);
    }
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

/// A replacement of Java (`$1`, `${name}`, `\$`) for Rust (`${1}`, `$$`).
fn java_replacement(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            '$' => match chars.peek() {
                Some(digit) if digit.is_ascii_digit() => {
                    out.push_str(&format!("${{{digit}}}"));
                    chars.next();
                }
                Some('{') => out.push('$'),
                _ => out.push_str("$$"),
            },
            other => out.push(other),
        }
    }
    out
}

fn replace(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, mut patterns, with) = (call.texts(0)?, Patterns::new(call, 1)?, call.texts(2)?);
    let positions = if call.has(3) { Some(call.values::<Int32Type>(3)?) } else { None };
    let constant = with.constant().map(|text| text.map(java_replacement));
    call.build_texts(|row, out| {
        let (Some(text), Some(pattern), Some(with)) = (texts.get(row), patterns.get(row)?, with.get(row)) else {
            return Ok(false);
        };
        let position = match &positions {
            None => 1,
            Some(positions) => match positions.get(row) {
                Some(position) => position,
                None => return Ok(false),
            },
        };
        let own;
        let with = match &constant {
            Some(Some(constant)) => constant,
            _ => {
                own = java_replacement(with);
                &own
            }
        };
        let skip = text.char_indices().nth(position.max(1) as usize - 1).map_or(text.len(), |(at, _)| at);
        out.extend_from_slice(&text.as_bytes()[..skip]);
        out.extend_from_slice(pattern.replace_all(&text[skip..], with.as_str()).as_bytes());
        Ok(true)
    })
}

fn group(call: &Call<'_>, index: i32, pattern: &Regex) -> Result<usize> {
    match usize::try_from(index) {
        Ok(group) if group < pattern.captures_len() => Ok(group),
        _ => Err(SparkError::new(
            SparkError::INVALID_PARAMETER_VALUE,
            format!("{}: the pattern has {} group(s), not {index}", call.name, pattern.captures_len() - 1),
        )
        .into()),
    }
}

fn extract(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call, 1)?);
    let groups = if call.has(2) { Some(call.values::<Int32Type>(2)?) } else { None };
    call.build_texts(|row, out| {
        let index = groups.as_ref().map_or(Some(1), |groups| groups.get(row));
        let (Some(text), Some(pattern), Some(index)) = (texts.get(row), patterns.get(row)?, index) else {
            return Ok(false);
        };
        if let Some(found) = pattern.captures(text)
            && let Some(part) = found.get(group(call, index, &pattern)?)
        {
            out.extend_from_slice(part.as_str().as_bytes());
        }
        Ok(true)
    })
}

fn extract_all(call: &Call<'_>) -> Result<ColumnarValue> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call, 1)?);
    let groups = if call.has(2) { Some(call.values::<Int32Type>(2)?) } else { None };
    let mut out = list_builder();
    for row in 0..call.rows {
        let index = groups.as_ref().map_or(Some(1), |groups| groups.get(row));
        let (Some(text), Some(pattern), Some(index)) = (texts.get(row), patterns.get(row)?, index) else {
            out.append(false);
            continue;
        };
        for found in pattern.captures_iter(text) {
            out.values().append_value(found.get(group(call, index, &pattern)?).map_or("", |part| part.as_str()));
        }
        out.append(true);
    }
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_rust_lacks_are_refused_in_words() {
        assert!(compile("a(?=b)").unwrap_err().to_string().contains("look-around"));
        assert!(compile(r"(a)\1").unwrap_err().to_string().contains("back-references"));
        assert!(compile(r"[\w.]+@\d{2}\Q.*\E").unwrap().is_match("a.b@12.*"));
        assert!(!compile(r"^\d$").unwrap().is_match("٣"));
    }
}
