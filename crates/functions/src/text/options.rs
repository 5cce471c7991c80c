//! Options of Spark's text formats, as `from_csv`, `from_json`, sources and sinks take them.

use datafusion::error::{DataFusionError, Result};

use crate::time::Pattern;

/// What happens to a record that does not fit its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ParseMode {
    /// Its bad fields are null.
    #[default]
    Permissive,
    /// It is left out (files only).
    DropMalformed,
    /// It is an error.
    FailFast,
}

/// Options that CSV and JSON share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TextOptions {
    /// `mode`.
    pub mode: ParseMode,
    /// `columnNameOfCorruptRecord`: the column, if the schema has it, that receives the text of a malformed record.
    pub corrupt_column: String,
    /// `timestampFormat`, for reading and for writing.
    pub timestamp: Option<DatePattern>,
    /// `timestampNTZFormat`.
    pub timestamp_ntz: Option<DatePattern>,
    /// `dateFormat`.
    pub date: Option<DatePattern>,
    /// `timeZone`, where it differs from the session's.
    pub zone: Option<crate::time::Zone>,
}

/// One pattern, compiled for both directions as far as it has both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DatePattern {
    /// For writing.
    pub write: Pattern,
    /// For reading; absent where a letter can only be written.
    pub read: Option<Pattern>,
}

impl DatePattern {
    fn new(pattern: &str) -> Result<Self> {
        let write = Pattern::for_formatting(pattern).map_err(|e| DataFusionError::Plan(e.to_string()))?;
        Ok(Self { write, read: Pattern::for_parsing(pattern).ok() })
    }
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            mode: ParseMode::Permissive,
            corrupt_column: "_corrupt_record".to_owned(),
            timestamp: None,
            timestamp_ntz: None,
            date: None,
            zone: None,
        }
    }
}

impl TextOptions {
    /// Takes the option if it is one of the shared ones; `key` in lower case.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "mode" => {
                self.mode = match value.to_ascii_uppercase().as_str() {
                    "DROPMALFORMED" => ParseMode::DropMalformed,
                    "FAILFAST" => ParseMode::FailFast,
                    _ => ParseMode::Permissive,
                }
            }
            "columnnameofcorruptrecord" => self.corrupt_column = value.to_owned(),
            "timestampformat" => self.timestamp = Some(DatePattern::new(value)?),
            "timestampntzformat" => self.timestamp_ntz = Some(DatePattern::new(value)?),
            "dateformat" => self.date = Some(DatePattern::new(value)?),
            "timezone" => {
                let zone = crate::time::Zone::parse(value)
                    .ok_or_else(|| DataFusionError::Plan(format!("option timeZone: '{value}' is no time zone")))?;
                self.zone = Some(zone);
            }
            "encoding" | "charset" if !value.eq_ignore_ascii_case("utf-8") && !value.eq_ignore_ascii_case("utf8") => {
                return Err(DataFusionError::Plan(format!(
                    "option {key}: '{value}' is not supported; texts are UTF-8"
                )));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Options of CSV, for reading and writing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CsvOptions {
    /// What CSV and JSON share.
    pub text: TextOptions,
    /// `sep` or `delimiter`.
    pub sep: String,
    /// `quote`; none switches quoting off.
    pub quote: Option<u8>,
    /// `escape`.
    pub escape: Option<u8>,
    /// `comment`: lines that begin with it are left out.
    pub comment: Option<u8>,
    /// `header`: reading skips the first line of each file, writing begins each file with the names.
    pub header: bool,
    /// `nullValue`.
    pub null_value: String,
    /// `emptyValue`, where it is set: by default `""` is written and the empty text is read.
    pub empty_value: Option<String>,
    /// `quoteAll` (writing).
    pub quote_all: bool,
    /// `escapeQuotes` (writing).
    pub escape_quotes: bool,
    /// `ignoreLeadingWhiteSpace`, where it is set: by default no for reading, yes for writing.
    pub ignore_leading: Option<bool>,
    /// `ignoreTrailingWhiteSpace`, likewise.
    pub ignore_trailing: Option<bool>,
    /// `nanValue`, `positiveInf`, `negativeInf`.
    pub special: [String; 3],
    /// `multiLine`: a quoted value may hold line ends.
    pub multi_line: bool,
    /// `lineSep`.
    pub line_sep: Option<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            text: TextOptions::default(),
            sep: ",".to_owned(),
            quote: Some(b'"'),
            escape: Some(b'\\'),
            comment: None,
            header: false,
            null_value: String::new(),
            empty_value: None,
            quote_all: false,
            escape_quotes: true,
            ignore_leading: None,
            ignore_trailing: None,
            special: ["NaN".to_owned(), "Inf".to_owned(), "-Inf".to_owned()],
            multi_line: false,
            line_sep: None,
        }
    }
}

impl CsvOptions {
    /// Options by Spark's names, in any case; names that are not CSV's are left alone, as Spark does.
    pub fn parse<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut out = Self::default();
        for (key, value) in options {
            let key = key.to_ascii_lowercase();
            match key.as_str() {
                "sep" | "delimiter" => {
                    out.sep = unescape(value);
                    if out.sep.is_empty() || out.sep.contains(['\n', '\r']) {
                        return Err(DataFusionError::Plan(format!("option {key}: a separator cannot be '{value}'")));
                    }
                }
                "quote" => out.quote = ascii_char(&key, value)?,
                "escape" => out.escape = ascii_char(&key, value)?,
                "comment" => out.comment = ascii_char(&key, value)?,
                "header" => out.header = flag(&key, value)?,
                "nullvalue" => out.null_value = value.to_owned(),
                "emptyvalue" => out.empty_value = Some(value.to_owned()),
                "quoteall" => out.quote_all = flag(&key, value)?,
                "escapequotes" => out.escape_quotes = flag(&key, value)?,
                "ignoreleadingwhitespace" => out.ignore_leading = Some(flag(&key, value)?),
                "ignoretrailingwhitespace" => out.ignore_trailing = Some(flag(&key, value)?),
                "nanvalue" => out.special[0] = value.to_owned(),
                "positiveinf" => out.special[1] = value.to_owned(),
                "negativeinf" => out.special[2] = value.to_owned(),
                "multiline" => out.multi_line = flag(&key, value)?,
                "linesep" => out.line_sep = Some(value.to_owned()),
                other => out.text.set(other, value)?,
            }
        }
        Ok(out)
    }
}

/// Options of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonOptions {
    /// What CSV and JSON share.
    pub text: TextOptions,
    /// `ignoreNullFields` (writing): nulls are left out.
    pub ignore_null_fields: bool,
    /// `primitivesAsString` and `allowUnquotedFieldNames` and the like are not supported; this one is: `'a'` for `"a"`.
    pub allow_single_quotes: bool,
    /// `allowNonNumericNumbers`: NaN, Infinity.
    pub allow_non_numeric: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            text: TextOptions::default(),
            ignore_null_fields: true,
            allow_single_quotes: true,
            allow_non_numeric: true,
        }
    }
}

impl JsonOptions {
    /// Options by Spark's names, in any case.
    pub fn parse<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut out = Self::default();
        for (key, value) in options {
            let key = key.to_ascii_lowercase();
            match key.as_str() {
                "ignorenullfields" => out.ignore_null_fields = flag(&key, value)?,
                "allowsinglequotes" => out.allow_single_quotes = flag(&key, value)?,
                "allownonnumericnumbers" => out.allow_non_numeric = flag(&key, value)?,
                "allowcomments"
                | "allowunquotedfieldnames"
                | "allownumericleadingzeros"
                | "allowbackslashescapinganycharacter"
                | "allowunquotedcontrolchars"
                | "primitivesasstring"
                | "multiline"
                    if flag(&key, value)? =>
                {
                    return Err(DataFusionError::Plan(format!("option {key} is not supported for JSON yet")));
                }
                other => out.text.set(other, value)?,
            }
        }
        Ok(out)
    }
}

fn flag(key: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(DataFusionError::Plan(format!("option {key}: '{value}' should be true or false"))),
    }
}

/// One ASCII character; the empty text and NUL stand for none.
fn ascii_char(key: &str, value: &str) -> Result<Option<u8>> {
    let text = unescape(value);
    match text.as_bytes() {
        [] | [0] => Ok(None),
        [one] if one.is_ascii() => Ok(Some(*one)),
        _ => Err(DataFusionError::Plan(format!("option {key}: '{value}' should be one ASCII character"))),
    }
}

/// `\t` and its like, written with two characters.
fn unescape(value: &str) -> String {
    match value {
        "\\t" => "\t".to_owned(),
        "\\\\" => "\\".to_owned(),
        "\\n" => "\n".to_owned(),
        "\\r" => "\r".to_owned(),
        "\\u0000" => "\0".to_owned(),
        "\\\"" => "\"".to_owned(),
        "\\'" => "'".to_owned(),
        other => other.to_owned(),
    }
}
