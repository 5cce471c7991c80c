//! JSON records as Spark (Jackson) reads them by a schema: tokens into columns.

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::column::{Column, StructColumn, TimeFormats};
use super::encode::push_json_string;
use super::json_tape::{Kind, Tape, Token, unescape};
use super::number::{parse_decimal, parse_long, rescale, write_double};
use super::options::{JsonOptions, ParseMode};
use crate::ddl::type_name;
use crate::error::{SparkError, excerpt};
use crate::session::Session;

/// How well a value fitted its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Entirely.
    Good,
    /// A field somewhere inside is null because it did not fit.
    Partial,
    /// Not at all; the column received nothing or null.
    Bad,
}

/// JSON texts into one column of the schema's type.
pub(crate) struct JsonDecoder {
    tape: Tape,
    column: Column,
    data_type: DataType,
    /// For a struct: the field that receives the text of a malformed record.
    corrupt: Option<usize>,
    context: Context,
    mode: ParseMode,
    rows: usize,
    malformed: u64,
}

struct Context {
    times: TimeFormats,
    scratch: String,
    /// Name of the field that did not fit, for the reason.
    bad: Option<(String, String)>,
    explain: bool,
}

impl JsonDecoder {
    /// `data_type` is a struct, a list or a map, every field nullable.
    pub(crate) fn new(data_type: &DataType, options: &JsonOptions, session: &Session) -> Result<Self> {
        let corrupt = match data_type {
            DataType::Struct(fields) => {
                fields.iter().position(|f| f.name() == &options.text.corrupt_column && f.data_type() == &DataType::Utf8)
            }
            _ => None,
        };
        Ok(Self {
            tape: Tape::new(options.allow_single_quotes, options.allow_non_numeric),
            column: Column::new(data_type)?,
            data_type: data_type.clone(),
            corrupt,
            context: Context {
                times: TimeFormats::new(&options.text, session)?,
                scratch: String::new(),
                bad: None,
                explain: false,
            },
            mode: options.text.mode,
            rows: 0,
            malformed: 0,
        })
    }

    pub(crate) fn append_null(&mut self) {
        self.column.append_null();
        self.rows += 1;
    }

    /// The rows of a line of a file: an object is one, an array of objects as many as it has. Gives how many.
    pub(crate) fn append_rows(&mut self, text: &str, drop_malformed: bool) -> Result<usize> {
        let read = self.tape.read(text);
        let tokens = &self.tape.tokens;
        if read.is_ok() && tokens.first().is_some_and(|t| t.kind == Kind::Array) && tokens.len() > 1 {
            let mut elements = Vec::new();
            let mut at = 1;
            while at < tokens.len() {
                if tokens[at].kind != Kind::Object {
                    elements.clear();
                    break;
                }
                elements.push(tokens[at].start as usize..tokens[at].end as usize);
                at = tokens[at].next as usize;
            }
            if !elements.is_empty() {
                let mut rows = 0;
                for range in elements {
                    rows += self.append_rows(&text[range], drop_malformed)?;
                }
                return Ok(rows);
            }
        }
        if drop_malformed && !self.is_well_formed(read, text) {
            self.malformed += 1;
            return Ok(0);
        }
        self.append(text)?;
        Ok(1)
    }

    /// Looks at a record, which was read into the tape, without keeping it.
    fn is_well_formed(&mut self, read: std::result::Result<usize, usize>, text: &str) -> bool {
        if read.is_err() || self.tape.tokens.first().is_none_or(|t| t.kind != Kind::Object) {
            return false;
        }
        let Ok(mut probe) = Column::new(&self.data_type) else { return false };
        let Column::Struct(root) = &mut probe else { return false };
        append_struct(root, &self.tape.tokens, 0, text, &mut self.context, self.corrupt) == Fit::Good
    }

    /// Appends a record; gives whether it is well-formed. A blank text is null, a malformed one a struct of nulls.
    pub(crate) fn append(&mut self, text: &str) -> Result<bool> {
        self.rows += 1;
        let read = self.tape.read(text);
        if read.is_ok() && self.tape.tokens.is_empty() {
            self.column.append_null();
            return Ok(true);
        }
        let fit = match read {
            Err(_) => Fit::Bad,
            Ok(_) => match (&mut self.column, self.tape.tokens[0].kind) {
                (Column::Struct(root), Kind::Object) => {
                    append_struct(root, &self.tape.tokens, 0, text, &mut self.context, self.corrupt)
                }
                (Column::Struct(_), _) => Fit::Bad,
                (Column::List(list), Kind::Object) if matches!(list.items, Column::Struct(_)) => {
                    let fit = append_value(&mut list.items, &self.tape.tokens, 0, text, &mut self.context);
                    let end = list.items.len();
                    list.close(true, end);
                    fit
                }
                (column, _) => append_value(column, &self.tape.tokens, 0, text, &mut self.context),
            },
        };
        if fit == Fit::Bad {
            match &mut self.column {
                // What was appended for this record, if anything, has been null.
                Column::Struct(root) => {
                    for (at, column) in root.columns.iter_mut().enumerate() {
                        match column {
                            Column::Utf8(builder) if self.corrupt == Some(at) => builder.append_value(text),
                            other => other.append_null(),
                        }
                    }
                    root.close(true);
                }
                other => other.append_null(),
            }
        } else if let (Some(corrupt), Column::Struct(root)) = (self.corrupt, &mut self.column)
            && let Column::Utf8(builder) = &mut root.columns[corrupt]
        {
            builder.append_option((fit == Fit::Partial).then_some(text));
        }
        if fit == Fit::Good {
            return Ok(true);
        }
        self.malformed += 1;
        if self.mode == ParseMode::FailFast {
            return Err(SparkError::new(
                SparkError::MALFORMED_RECORD,
                format!(
                    "Malformed record in JSON: '{}'. Use mode PERMISSIVE to get null for what cannot be read.",
                    excerpt(text)
                ),
            )
            .into());
        }
        Ok(false)
    }

    /// Why a record is malformed; null where it is fine.
    pub(crate) fn reason(&mut self, text: &str, reasons: &mut StringBuilder) -> Result<()> {
        let before = self.malformed;
        let mode = std::mem::replace(&mut self.mode, ParseMode::Permissive);
        self.context.explain = true;
        self.context.bad = None;
        let good = self.append(text)?;
        self.mode = mode;
        self.context.explain = false;
        self.malformed = before;
        if good {
            reasons.append_null();
            return Ok(());
        }
        reasons.append_value(match (self.tape.read(text), self.context.bad.take()) {
            (Err(at), _) => format!("no JSON at byte {at}"),
            (Ok(_), Some((name, wanted))) => format!("field {name} does not read as {wanted}"),
            (Ok(_), None) => "the value is not what the schema says".to_owned(),
        });
        Ok(())
    }

    /// The rows so far, and how many of them were malformed.
    pub(crate) fn finish(&mut self) -> Result<(ArrayRef, usize, u64)> {
        let column = self.column.finish()?;
        Ok((column, std::mem::take(&mut self.rows), std::mem::take(&mut self.malformed)))
    }
}

fn text_of<'a>(token: &Token, text: &'a str) -> &'a str {
    &text[token.start as usize..token.end as usize]
}

/// Fills the struct's columns from the object at `at`; a field `skip` is left to the caller. Never `Bad`.
fn append_struct(
    target: &mut StructColumn,
    tokens: &[Token],
    at: usize,
    text: &str,
    context: &mut Context,
    skip: Option<usize>,
) -> Fit {
    let end = tokens[at].next as usize;
    let mut fit = Fit::Good;
    // Values are put in by column; where each column's value stands on the tape. A later name wins.
    const INLINE: usize = 64;
    let mut inline = [0u32; INLINE];
    let mut spilled = Vec::new();
    let places: &mut [u32] = if target.fields.len() <= INLINE {
        &mut inline[..target.fields.len()]
    } else {
        spilled.resize(target.fields.len(), 0);
        &mut spilled
    };
    let mut key_at = at + 1;
    let mut expected = 0;
    while key_at < end {
        let key = &tokens[key_at];
        let value_at = key.next as usize;
        let raw = text_of(key, text);
        let found = if key.escaped {
            let mut name = String::new();
            unescape(raw, &mut name);
            target.fields.iter().position(|f| f.name() == &name)
        } else if target.fields.get(expected).is_some_and(|f| f.name() == raw) {
            Some(expected)
        } else {
            target.fields.iter().position(|f| f.name() == raw)
        };
        if let Some(found) = found {
            places[found] = value_at as u32;
            expected = found + 1;
        }
        key_at = tokens[value_at].next as usize;
    }
    for (index, column) in target.columns.iter_mut().enumerate() {
        if skip == Some(index) {
            continue;
        }
        if places[index] == 0 {
            column.append_null();
            continue;
        }
        match append_value(column, tokens, places[index] as usize, text, context) {
            Fit::Good => {}
            Fit::Partial => fit = Fit::Partial,
            Fit::Bad => {
                column.append_null();
                fit = Fit::Partial;
                if context.explain && context.bad.is_none() {
                    let field = &target.fields[index];
                    context.bad = Some((field.name().clone(), type_name(field.data_type())));
                }
            }
        }
    }
    target.close(true);
    fit
}

/// Appends one value, or nothing at all if it is `Bad`.
fn append_value(column: &mut Column, tokens: &[Token], at: usize, text: &str, context: &mut Context) -> Fit {
    let token = &tokens[at];
    if token.kind == Kind::Null {
        column.append_null();
        return Fit::Good;
    }
    let raw = text_of(token, text);
    macro_rules! number {
        ($builder:expr, $type:ty) => {
            match (token.kind == Kind::Integer).then(|| parse_long(raw)).flatten().map(<$type>::try_from) {
                Some(Ok(value)) => $builder.append_value(value),
                _ => return Fit::Bad,
            }
        };
    }
    match column {
        Column::Utf8(builder) => match token.kind {
            Kind::String if !token.escaped => builder.append_value(raw),
            Kind::String => {
                context.scratch.clear();
                unescape(raw, &mut context.scratch);
                builder.append_value(&context.scratch);
            }
            Kind::Integer | Kind::True | Kind::False => builder.append_value(raw),
            _ => {
                let mut out = Vec::new();
                compact(tokens, at, text, &mut out);
                builder.append_value(String::from_utf8_lossy(&out));
            }
        },
        Column::Int32(builder) => number!(builder, i32),
        Column::Int64(builder) => number!(builder, i64),
        Column::Int16(builder) => number!(builder, i16),
        Column::Int8(builder) => number!(builder, i8),
        Column::Float64(builder) => match double(token, raw) {
            Some(value) => builder.append_value(value),
            None => return Fit::Bad,
        },
        Column::Float32(builder) => match double(token, raw) {
            Some(value) if matches!(token.kind, Kind::Integer | Kind::Float) => {
                builder.append_value(raw.parse().unwrap_or(value as f32));
            }
            Some(value) => builder.append_value(value as f32),
            None => return Fit::Bad,
        },
        Column::Boolean(builder) => match token.kind {
            Kind::True => builder.append_value(true),
            Kind::False => builder.append_value(false),
            _ => return Fit::Bad,
        },
        Column::Decimal(builder, precision, scale) => {
            let value = matches!(token.kind, Kind::Integer | Kind::Float | Kind::String)
                .then(|| if raw.contains(',') { parse_decimal(&raw.replace(',', "")) } else { parse_decimal(raw) })
                .flatten()
                .and_then(|(value, from)| rescale(value, from, *precision, *scale));
            match value {
                Some(value) => builder.append_value(value),
                None => return Fit::Bad,
            }
        }
        Column::Timestamp(builder, zoned) => {
            let value = match token.kind {
                Kind::String if !raw.is_empty() => context.times.read_timestamp(raw, *zoned),
                Kind::Integer if *zoned => parse_long(raw).and_then(|seconds| seconds.checked_mul(1_000_000)),
                _ => None,
            };
            match value {
                Some(value) => builder.append_value(value),
                None => return Fit::Bad,
            }
        }
        Column::Date(builder) => match (token.kind == Kind::String).then(|| context.times.read_date(raw)).flatten() {
            Some(value) => builder.append_value(value),
            None => return Fit::Bad,
        },
        Column::Binary(builder) => {
            match (token.kind == Kind::String).then(|| super::encode::base64_decode(raw)).flatten() {
                Some(bytes) => builder.append_value(bytes),
                None => return Fit::Bad,
            }
        }
        Column::Null(_) => return Fit::Bad,
        Column::Struct(target) => {
            if token.kind != Kind::Object {
                return Fit::Bad;
            }
            return append_struct(target, tokens, at, text, context, None);
        }
        Column::List(list) => {
            if token.kind != Kind::Array {
                return Fit::Bad;
            }
            let end = token.next as usize;
            let mut item = at + 1;
            let mut fit = Fit::Good;
            while item < end {
                match append_value(&mut list.items, tokens, item, text, context) {
                    Fit::Good => {}
                    Fit::Partial => fit = Fit::Partial,
                    // One element of another type makes the whole list null; what was appended lies under the null.
                    Fit::Bad => return Fit::Bad,
                }
                item = tokens[item].next as usize;
            }
            let len = list.items.len();
            list.close(true, len);
            return fit;
        }
        Column::Map(map) => {
            if token.kind != Kind::Object {
                return Fit::Bad;
            }
            let end = token.next as usize;
            let mut key_at = at + 1;
            let mut fit = Fit::Good;
            while key_at < end {
                let key = &tokens[key_at];
                let value_at = key.next as usize;
                match append_value(&mut map.items.1, tokens, value_at, text, context) {
                    Fit::Good => {}
                    Fit::Partial => fit = Fit::Partial,
                    Fit::Bad => return Fit::Bad,
                }
                if key.escaped {
                    context.scratch.clear();
                    unescape(text_of(key, text), &mut context.scratch);
                    map.items.0.append_value(&context.scratch);
                } else {
                    map.items.0.append_value(text_of(key, text));
                }
                key_at = tokens[value_at].next as usize;
            }
            let len = map.items.1.len();
            map.close(true, len);
            return fit;
        }
    }
    Fit::Good
}

fn double(token: &Token, raw: &str) -> Option<f64> {
    match token.kind {
        Kind::Integer | Kind::Float => raw.parse().ok(),
        Kind::Special => match raw {
            "NaN" => Some(f64::NAN),
            _ => Some(if raw.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        },
        Kind::String => match raw {
            "NaN" => Some(f64::NAN),
            "Infinity" | "+Infinity" | "+INF" => Some(f64::INFINITY),
            "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// The value written anew without blanks, as a STRING field receives an object, a list or a number.
pub(crate) fn compact(tokens: &[Token], at: usize, text: &str, out: &mut Vec<u8>) {
    let token = &tokens[at];
    let raw = text_of(token, text);
    match token.kind {
        Kind::Object | Kind::Array => {
            let object = token.kind == Kind::Object;
            out.push(if object { b'{' } else { b'[' });
            let mut item = at + 1;
            while item < token.next as usize {
                if item > at + 1 {
                    out.push(b',');
                }
                if object {
                    compact(tokens, item, text, out);
                    out.push(b':');
                    item = tokens[item].next as usize;
                }
                compact(tokens, item, text, out);
                item = tokens[item].next as usize;
            }
            out.push(if object { b'}' } else { b']' });
        }
        Kind::Key | Kind::String => {
            if token.escaped {
                let mut plain = String::new();
                unescape(raw, &mut plain);
                push_json_string(out, &plain);
            } else {
                push_json_string(out, raw);
            }
        }
        Kind::Float => match raw.parse() {
            Ok(value) => write_double(out, value),
            Err(_) => out.extend_from_slice(raw.as_bytes()),
        },
        Kind::Special => push_json_string(out, raw),
        Kind::Integer | Kind::True | Kind::False | Kind::Null => out.extend_from_slice(raw.as_bytes()),
    }
}
