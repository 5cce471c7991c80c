//! CSV records as Spark (univocity) reads them: a line split into tokens, tokens into columns.

use std::ops::Range;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Fields};
use datafusion::error::{DataFusionError, Result};
use memchr::memmem::Finder;

use super::column::{Column, TimeFormats};
use super::options::{CsvOptions, ParseMode};
use crate::ddl::type_name;
use crate::error::{SparkError, excerpt};
use crate::session::Session;

/// One value of a line: where it stands, in the line or (unescaped) in the splitter's scratch text.
#[derive(Debug, Clone)]
struct Token {
    range: Range<usize>,
    scratch: bool,
    quoted: bool,
}

/// Splits lines into tokens.
pub(crate) struct Splitter {
    sep: u8,
    /// Set where the separator has more than one byte.
    long_sep: Option<Finder<'static>>,
    sep_len: usize,
    quote: Option<u8>,
    escape: Option<u8>,
    trim_leading: bool,
    trim_trailing: bool,
    tokens: Vec<Token>,
    scratch: String,
}

impl Splitter {
    fn new(options: &CsvOptions) -> Self {
        let sep = options.sep.as_bytes();
        Self {
            sep: sep[0],
            long_sep: (sep.len() > 1).then(|| Finder::new(sep).into_owned()),
            sep_len: sep.len(),
            quote: options.quote,
            escape: options.escape,
            trim_leading: options.ignore_leading.unwrap_or(false),
            trim_trailing: options.ignore_trailing.unwrap_or(false),
            tokens: Vec::new(),
            scratch: String::new(),
        }
    }

    fn find_sep(&self, line: &[u8], from: usize) -> Option<usize> {
        match &self.long_sep {
            None => memchr::memchr(self.sep, &line[from..]).map(|at| from + at),
            Some(finder) => finder.find(&line[from..]).map(|at| from + at),
        }
    }

    fn at_sep(&self, line: &[u8], at: usize) -> bool {
        match &self.long_sep {
            None => line.get(at) == Some(&self.sep),
            Some(finder) => line[at..].starts_with(finder.needle()),
        }
    }

    /// Tokens of a line, in `self.tokens`.
    #[inline]
    fn split(&mut self, line: &str) {
        self.tokens.clear();
        self.scratch.clear();
        let bytes = line.as_bytes();
        let has_quotes = self.quote.is_some_and(|quote| memchr::memchr(quote, bytes).is_some());
        if !has_quotes && self.long_sep.is_none() {
            let mut from = 0;
            for at in memchr::memchr_iter(self.sep, bytes) {
                self.tokens.push(Token { range: self.trim(bytes, from, at), scratch: false, quoted: false });
                from = at + 1;
            }
            self.tokens.push(Token { range: self.trim(bytes, from, bytes.len()), scratch: false, quoted: false });
            return;
        }
        let mut from = 0;
        loop {
            let mut start = from;
            if self.trim_leading {
                while bytes.get(start).is_some_and(|b| *b <= b' ') && !self.at_sep(bytes, start) {
                    start += 1;
                }
            }
            let next = if self.quote.is_some() && bytes.get(start).copied() == self.quote {
                self.quoted(line, start)
            } else {
                let end = self.find_sep(bytes, from);
                let stop = end.unwrap_or(bytes.len());
                self.tokens.push(Token { range: self.trim(bytes, from, stop), scratch: false, quoted: false });
                end
            };
            match next {
                Some(sep) => from = sep + self.sep_len,
                None => return,
            }
        }
    }

    fn trim(&self, bytes: &[u8], mut from: usize, mut to: usize) -> Range<usize> {
        if self.trim_leading {
            while from < to && bytes[from] <= b' ' {
                from += 1;
            }
        }
        if self.trim_trailing {
            while from < to && bytes[to - 1] <= b' ' {
                to -= 1;
            }
        }
        from..to
    }

    /// A token that begins with a quote at `start`; gives the place of the separator after it.
    fn quoted(&mut self, line: &str, start: usize) -> Option<usize> {
        let bytes = line.as_bytes();
        let quote = self.quote.unwrap_or(b'"');
        let begin = self.scratch.len();
        let mut copied = start + 1;
        let mut at = start + 1;
        let mut touched = false;
        while at < bytes.len() {
            let b = bytes[at];
            if self.escape == Some(b) && b != quote && bytes.get(at + 1) == Some(&quote) {
                self.scratch.push_str(&line[copied..at]);
                self.scratch.push(char::from(quote));
                touched = true;
                at += 2;
                copied = at;
            } else if self.escape == Some(b) && b != quote && bytes.get(at + 1) == Some(&b) {
                self.scratch.push_str(&line[copied..=at]);
                touched = true;
                at += 2;
                copied = at;
            } else if b == quote {
                if self.escape == Some(quote) && bytes.get(at + 1) == Some(&quote) {
                    self.scratch.push_str(&line[copied..=at]);
                    touched = true;
                    at += 2;
                    copied = at;
                    continue;
                }
                // The last of a run of quotes closes, if the value ends there.
                while bytes.get(at + 1) == Some(&quote) {
                    at += 1;
                }
                let mut after = at + 1;
                while bytes.get(after).is_some_and(|b| *b <= b' ') && !self.at_sep(bytes, after) {
                    after += 1;
                }
                let closed = after == bytes.len() || self.at_sep(bytes, after);
                let next = if closed { (after < bytes.len()).then_some(after) } else { self.find_sep(bytes, at) };
                let token = match (closed, touched) {
                    (true, false) => Token { range: copied..at, scratch: false, quoted: true },
                    (true, true) => {
                        self.scratch.push_str(&line[copied..at]);
                        Token { range: begin..self.scratch.len(), scratch: true, quoted: true }
                    }
                    // A quote inside that is not escaped: the value is all that stands up to the separator (STOP_AT_DELIMITER).
                    (false, false) => Token { range: start..next.unwrap_or(line.len()), scratch: false, quoted: false },
                    (false, true) => {
                        self.scratch.insert(begin, char::from(quote));
                        self.scratch.push_str(&line[copied..next.unwrap_or(line.len())]);
                        Token { range: begin..self.scratch.len(), scratch: true, quoted: false }
                    }
                };
                self.tokens.push(token);
                return next;
            } else {
                at += 1;
            }
        }
        // Never closed: all the rest; a lone escape at the end falls away.
        let end = if self.escape.is_some() && bytes.len() > copied && bytes.last().copied() == self.escape {
            line.len() - 1
        } else {
            line.len()
        };
        self.scratch.push_str(&line[copied..end]);
        self.tokens.push(Token { range: begin..self.scratch.len(), scratch: true, quoted: true });
        None
    }
}

/// Lines into columns, by a schema.
pub(crate) struct CsvDecoder {
    splitter: Splitter,
    /// For each wanted column the place of its token; none for the corrupt record.
    tokens: Vec<Option<usize>>,
    columns: Vec<Column>,
    expected: usize,
    null_value: String,
    empty_value: String,
    special: [String; 3],
    times: TimeFormats,
    mode: ParseMode,
    rows: usize,
    malformed: u64,
}

impl CsvDecoder {
    /// Columns `wanted` (places in `fields`) of lines that have `fields`.
    pub(crate) fn new(fields: &Fields, wanted: &[usize], options: &CsvOptions, session: &Session) -> Result<Self> {
        for field in fields {
            if Column::is_nested(field.data_type()) {
                return Err(DataFusionError::Plan(format!(
                    "CSV has no values of type {} (column {}); read it as STRING and use from_json",
                    type_name(field.data_type()),
                    field.name()
                )));
            }
        }
        let is_corrupt = |place: usize| {
            fields[place].name() == &options.text.corrupt_column && fields[place].data_type() == &DataType::Utf8
        };
        let tokens = wanted
            .iter()
            .map(|&place| (!is_corrupt(place)).then(|| place - (0..place).filter(|&other| is_corrupt(other)).count()))
            .collect();
        Ok(Self {
            splitter: Splitter::new(options),
            tokens,
            columns: wanted.iter().map(|&place| Column::new(fields[place].data_type())).collect::<Result<_>>()?,
            expected: (0..fields.len()).filter(|&place| !is_corrupt(place)).count(),
            null_value: options.null_value.clone(),
            empty_value: options.empty_value.clone().unwrap_or_default(),
            special: options.special.clone(),
            times: TimeFormats::new(&options.text, session)?,
            mode: options.text.mode,
            rows: 0,
            malformed: 0,
        })
    }

    /// Appends a record; gives whether it is well-formed. In DROPMALFORMED mode a malformed one is not appended.
    #[inline]
    pub(crate) fn append(&mut self, line: &str) -> Result<bool> {
        if line.is_empty() {
            self.append_nulls(None);
            self.rows += 1;
            return Ok(true);
        }
        self.splitter.split(line);
        let tokens = &self.splitter.tokens;
        let mut good = tokens.len() == self.expected;
        for (column, place) in self.columns.iter_mut().zip(&self.tokens) {
            let Some(place) = place else { continue };
            let Some(token) = tokens.get(*place) else {
                column.append_null();
                continue;
            };
            let range = token.range.clone();
            let text = if range.is_empty() {
                if !token.quoted {
                    column.append_null();
                    continue;
                }
                self.empty_value.as_str()
            } else if token.scratch {
                &self.splitter.scratch[range]
            } else {
                &line[range]
            };
            if text == self.null_value {
                column.append_null();
            } else {
                good &= column.append_text(text, &self.times, &self.special);
            }
        }
        for (column, place) in self.columns.iter_mut().zip(&self.tokens) {
            if place.is_none()
                && let Column::Utf8(builder) = column
            {
                builder.append_option((!good).then_some(line));
            }
        }
        self.rows += 1;
        if !good {
            self.malformed += 1;
            self.refused(line)?;
        }
        Ok(good)
    }

    /// The same for a line of a file: how many rows it gave, which in DROPMALFORMED mode may be none.
    pub(crate) fn append_row(&mut self, line: &str) -> Result<usize> {
        if self.mode == ParseMode::DropMalformed && !self.is_well_formed(line)? {
            self.malformed += 1;
            return Ok(0);
        }
        self.append(line)?;
        Ok(1)
    }

    /// Looks at a line without keeping it.
    fn is_well_formed(&mut self, line: &str) -> Result<bool> {
        self.splitter.split(line);
        if self.splitter.tokens.len() != self.expected {
            return Ok(false);
        }
        for (column, place) in self.columns.iter().zip(&self.tokens) {
            let Some(token) = place.and_then(|place| self.splitter.tokens.get(place)) else { continue };
            let text =
                if token.scratch { &self.splitter.scratch[token.range.clone()] } else { &line[token.range.clone()] };
            if !text.is_empty()
                && text != self.null_value
                && !column.empty_like()?.append_text(text, &self.times, &self.special)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn refused(&self, line: &str) -> Result<()> {
        if self.mode == ParseMode::FailFast {
            return Err(SparkError::new(
                SparkError::MALFORMED_RECORD,
                format!(
                    "Malformed record in CSV: '{}'. Use mode PERMISSIVE to get null for what cannot be read.",
                    excerpt(line)
                ),
            )
            .into());
        }
        Ok(())
    }

    /// Appends a row of nulls; `record` goes to the column of corrupt records.
    pub(crate) fn append_nulls(&mut self, record: Option<&str>) {
        for (column, place) in self.columns.iter_mut().zip(&self.tokens) {
            match (column, place) {
                (Column::Utf8(builder), None) => builder.append_option(record),
                (column, _) => column.append_null(),
            }
        }
    }

    /// Would the record be malformed? Nothing where it is fine, else why.
    pub(crate) fn reason(&mut self, line: &str, fields: &Fields, reasons: &mut StringBuilder) -> Result<()> {
        let before = self.malformed;
        let mode = std::mem::replace(&mut self.mode, ParseMode::Permissive);
        let good = self.append(line)?;
        self.mode = mode;
        self.malformed = before;
        if good {
            reasons.append_null();
            return Ok(());
        }
        let found = self.splitter.tokens.len();
        let reason = if found != self.expected {
            format!("{found} values where the schema has {}", self.expected)
        } else {
            let bad = (0..self.columns.len()).find(|&at| {
                let token = self.tokens[at].and_then(|place| self.splitter.tokens.get(place));
                token.is_some_and(|token| {
                    let text = if token.scratch {
                        &self.splitter.scratch[token.range.clone()]
                    } else {
                        &line[token.range.clone()]
                    };
                    let mut probe = Column::new(fields[at].data_type());
                    !text.is_empty()
                        && text != self.null_value
                        && probe.as_mut().is_ok_and(|probe| !probe.append_text(text, &self.times, &self.special))
                })
            });
            match bad {
                Some(at) => {
                    format!("column {} does not read as {}", fields[at].name(), type_name(fields[at].data_type()))
                }
                None => "a value does not read as its type".to_owned(),
            }
        };
        reasons.append_value(reason);
        Ok(())
    }

    /// The rows so far, and how many of them were malformed.
    pub(crate) fn finish(&mut self) -> Result<(Vec<ArrayRef>, usize, u64)> {
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<_>>()?;
        Ok((columns, std::mem::take(&mut self.rows), std::mem::take(&mut self.malformed)))
    }
}
