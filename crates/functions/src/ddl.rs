//! Spark's data types as text: `a INT, b STRUCT<c: ARRAY<STRING>>` to Arrow types and back.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

/// Spark's TIMESTAMP.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Spark's TIMESTAMP_NTZ.
pub fn timestamp_ntz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// Name of the elements of a list, and of key and value of a map, as everywhere in this crate.
pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

pub(crate) fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = DataType::Struct(Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// Why a text is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schema '{text}', character {at}: {reason}")]
pub struct DdlError {
    /// The whole text.
    pub text: String,
    /// 1-based character where reading stopped.
    pub at: usize,
    /// What was expected.
    pub reason: String,
}

/// Reads columns: `a INT, b STRING NOT NULL COMMENT 'x'`. `a: INT` and an enclosing `STRUCT<…>` are read too.
pub fn parse_fields(text: &str) -> Result<Fields, DdlError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    match parser.fields(None) {
        Ok(fields) => Ok(fields),
        Err(error) => match parse_type(text) {
            Ok(DataType::Struct(fields)) => Ok(fields),
            _ => Err(error),
        },
    }
}

/// Reads one type: `BIGINT`, `ARRAY<STRUCT<a: INT>>`.
pub fn parse_type(text: &str) -> Result<DataType, DdlError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let found = parser.data_type()?;
    parser.end()?;
    Ok(found)
}

/// Reads columns or, failing that, a type: what the schema argument of `from_json` may be.
pub fn parse_schema(text: &str) -> Result<DataType, DdlError> {
    match parse_fields(text) {
        Ok(fields) => Ok(DataType::Struct(fields)),
        Err(error) => parse_type(text).map_err(|_| error),
    }
}

/// The type as Spark writes it in messages and schemas (`BIGINT`, `STRUCT<a: INT>`).
pub fn type_name(data_type: &DataType) -> String {
    let field = |f: &FieldRef| format!("{}: {}", quoted(f.name()), type_name(f.data_type()));
    match data_type {
        DataType::Null => "VOID".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "STRING".into(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            "BINARY".into()
        }
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ".into(),
        DataType::Interval(IntervalUnit::YearMonth) => "INTERVAL YEAR TO MONTH".into(),
        DataType::Interval(_) => "INTERVAL".into(),
        DataType::Duration(_) => "INTERVAL DAY TO SECOND".into(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("ARRAY<{}>", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            format!("STRUCT<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", type_name(fields[0].data_type()), type_name(fields[1].data_type()))
            }
            other => format!("MAP<{other}>"),
        },
        other => other.to_string().to_uppercase(),
    }
}

fn quoted(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

/// Deeper nesting is refused, so that a hostile schema cannot exhaust the stack.
const DEPTH_MAX: usize = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, reason: impl Into<String>) -> DdlError {
        let at = self.text[..self.at].chars().count() + 1;
        DdlError { text: crate::error::excerpt(self.text), at, reason: reason.into() }
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), DdlError> {
        if self.eat(c) { Ok(()) } else { Err(self.error(format!("'{c}' expected"))) }
    }

    fn end(&mut self) -> Result<(), DdlError> {
        if self.peek().is_some() { Err(self.error("the end expected")) } else { Ok(()) }
    }

    fn word(&mut self) -> Option<String> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if len == 0 {
            return None;
        }
        self.at += len;
        Some(rest[..len].to_owned())
    }

    fn eat_word(&mut self, expected: &str) -> bool {
        let before = self.at;
        if self.word().is_some_and(|word| word.eq_ignore_ascii_case(expected)) {
            return true;
        }
        self.at = before;
        false
    }

    fn name(&mut self) -> Result<String, DdlError> {
        if self.eat('`') {
            let mut name = String::new();
            loop {
                let rest = &self.text[self.at..];
                let Some(len) = rest.find('`') else { return Err(self.error("a closing ` expected")) };
                name.push_str(&rest[..len]);
                self.at += len + 1;
                if self.text[self.at..].starts_with('`') {
                    name.push('`');
                    self.at += 1;
                } else {
                    return Ok(name);
                }
            }
        }
        self.word().ok_or_else(|| self.error("a column name expected (names with other signs stand in ``)"))
    }

    fn string(&mut self) -> Result<String, DdlError> {
        let Some(quote @ ('\'' | '"')) = self.peek() else { return Err(self.error("a text in quotes expected")) };
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '\\' => {
                    if let Some((_, escaped)) = chars.next() {
                        text.push(escaped);
                    }
                }
                c if c == quote => {
                    self.at += offset + 1;
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.error("a closing quote expected"))
    }

    fn fields(&mut self, close: Option<char>) -> Result<Fields, DdlError> {
        let mut fields = Vec::new();
        if let Some(close) = close
            && self.eat(close)
        {
            return Ok(Fields::empty());
        }
        loop {
            let name = self.name()?;
            self.eat(':');
            let data_type = self.data_type()?;
            let mut nullable = true;
            let mut comment = None;
            loop {
                if self.eat_word("not") {
                    if !self.eat_word("null") {
                        return Err(self.error("NULL expected after NOT"));
                    }
                    nullable = false;
                } else if self.eat_word("comment") {
                    comment = Some(self.string()?);
                } else {
                    break;
                }
            }
            let mut field = Field::new(name, data_type, nullable);
            if let Some(comment) = comment {
                field = field.with_metadata([("comment".to_owned(), comment)].into());
            }
            fields.push(field);
            if self.eat(',') {
                continue;
            }
            match close {
                Some(close) => self.expect(close)?,
                None => self.end()?,
            }
            return Ok(Fields::from(fields));
        }
    }

    fn number(&mut self) -> Result<i64, DdlError> {
        let negative = self.eat('-');
        let word =
            self.word().and_then(|word| word.parse::<i64>().ok()).ok_or_else(|| self.error("a number expected"))?;
        Ok(if negative { -word } else { word })
    }

    fn data_type(&mut self) -> Result<DataType, DdlError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("the schema is nested too deeply"));
        }
        let before = self.at;
        let word = self.word().ok_or_else(|| self.error("a type expected"))?;
        let found = match word.to_ascii_lowercase().as_str() {
            "boolean" => DataType::Boolean,
            "tinyint" | "byte" => DataType::Int8,
            "smallint" | "short" => DataType::Int16,
            "int" | "integer" => DataType::Int32,
            "bigint" | "long" => DataType::Int64,
            "float" | "real" => DataType::Float32,
            "double" => DataType::Float64,
            "decimal" | "dec" | "numeric" => {
                let (mut precision, mut scale) = (10, 0);
                if self.eat('(') {
                    precision = self.number()?;
                    if self.eat(',') {
                        scale = self.number()?;
                    }
                    self.expect(')')?;
                }
                if !(1..=38).contains(&precision) || !(0..=precision).contains(&scale) {
                    return Err(self.error("DECIMAL takes a precision of 1 to 38 and a scale of 0 up to the precision"));
                }
                DataType::Decimal128(precision as u8, scale as i8)
            }
            "string" => DataType::Utf8,
            "varchar" | "char" | "character" => {
                self.expect('(')?;
                self.number()?;
                self.expect(')')?;
                DataType::Utf8
            }
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" | "timestamp_ltz" => timestamp(),
            "timestamp_ntz" => timestamp_ntz(),
            "void" => DataType::Null,
            "array" => {
                self.expect('<')?;
                let item = self.data_type()?;
                self.expect('>')?;
                list_of(item)
            }
            "map" => {
                self.expect('<')?;
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.expect('>')?;
                map_of(key, value)
            }
            "struct" => {
                self.expect('<')?;
                DataType::Struct(self.fields(Some('>'))?)
            }
            _ => {
                self.at = before;
                self.skip_blanks();
                return Err(self.error(format!("the type '{word}' is unknown")));
            }
        };
        self.depth -= 1;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_read_as_in_spark() {
        let fields =
            parse_fields("`C/A` STRING, unit string NOT NULL COMMENT 'x', n: BIGINT, p DECIMAL(10, 2)").unwrap();
        assert_eq!(fields[0].name(), "C/A");
        assert!(!fields[1].is_nullable());
        assert_eq!(fields[2].data_type(), &DataType::Int64);
        assert_eq!(fields[3].data_type(), &DataType::Decimal128(10, 2));
        let nested =
            "STRUCT<id: STRING, loc: STRUCT<lat: DOUBLE, lon: DOUBLE>, tags: ARRAY<STRING>, m: MAP<STRING, INT>>";
        assert_eq!(type_name(&parse_type(nested).unwrap()), nested);
        assert_eq!(parse_fields(nested).unwrap().len(), 4);
        assert_eq!(parse_schema("array<int>").unwrap(), list_of(DataType::Int32));
        for bad in ["", "a", "a FOO", "a INT b", "a DECIMAL(99)", "a STRUCT<b: INT", "a b c"] {
            assert!(parse_fields(bad).is_err(), "{bad}");
        }
        assert!(parse_fields(&format!("a {}INT", "ARRAY<".repeat(1000))).is_err());
    }
}
