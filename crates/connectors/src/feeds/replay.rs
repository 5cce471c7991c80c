//! A file played into a topic by its own time stamps.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::cursor::{Cursor, FeedRecord};
use super::field::{Template, index_of};
use super::lines::{Lines, csv_ranges, open_lines, unquote};
use super::pattern::TimePattern;
use super::spec::{FeedFormat, FeedSpec, Scalar, Speed, TimeColumn};

const DAY_US: i64 = 86_400_000_000;
/// Bytes of lines that `sort` holds at most.
const SORT_BYTES_MAX: usize = 1 << 30;

/// A replay of one file.
pub struct Replay {
    path: PathBuf,
    format: FeedFormat,
    header: bool,
    columns: Vec<String>,
    times: Vec<Column>,
    key: Option<Template>,
    pace: Pace,
    looping: bool,
    given_span_us: Option<i64>,
    sort: bool,
    // What changes.
    input: Input,
    /// The next line, read ahead to know its time.
    peeked: Option<Vec<u8>>,
    number: u64,
    round: u64,
    /// Lines given in this round, without the header.
    line: u64,
    /// Times of the file as far as it was read in the first round.
    first_us: Option<i64>,
    last_us: Option<i64>,
    due_us: i64,
}

enum Pace {
    Time(Speed),
    Rate(f64),
}

#[derive(Debug, Clone)]
struct Column {
    place: Place,
    pattern: TimePattern,
}

#[derive(Debug, Clone)]
enum Place {
    Field(usize),
    Path(Vec<String>),
}

enum Input {
    Closed,
    Lines(Lines),
    Sorted(std::vec::IntoIter<Vec<u8>>),
}

impl Replay {
    /// Checks everything and opens the file, which is below `base`.
    pub fn new(spec: &FeedSpec, base: &Path) -> Result<Self, String> {
        let replay = spec.replay.as_ref().ok_or("replay is not there")?;
        let path = base.join(&replay.file);
        let format = replay.format.unwrap_or_else(|| format_of(&replay.file));
        let header = format == FeedFormat::Csv && replay.header.unwrap_or(true);
        let pace = match (&replay.time, replay.rate) {
            (_, Some(rate)) if rate.is_finite() && rate > 0.0 => Pace::Rate(rate),
            (_, Some(rate)) => return Err(format!("rate: {rate} is not above 0")),
            (Some(_), None) => Pace::Time(replay.speed),
            (None, None) if replay.speed == Speed::Max => Pace::Time(Speed::Max),
            (None, None) => {
                return Err(
                    "say how fast: time with a column (and speed), or rate (lines a second), or speed: max".into()
                );
            }
        };
        if replay.sort && replay.time.is_none() {
            return Err("sort needs time".into());
        }
        let mut out = Self {
            path,
            format,
            header,
            columns: Vec::new(),
            times: Vec::new(),
            key: None,
            pace,
            looping: replay.looping,
            given_span_us: replay.span.map(|s| s.0),
            sort: replay.sort,
            input: Input::Closed,
            peeked: None,
            number: 0,
            round: 0,
            line: 0,
            first_us: None,
            last_us: None,
            due_us: 0,
        };
        out.columns = out.read_columns()?;
        if let Some(times) = &replay.time {
            out.times = times.as_slice().iter().map(|t| out.column(t)).collect::<Result<_, _>>()?;
        }
        if let Some(key) = &spec.key {
            let names = if format == FeedFormat::Csv { out.columns.clone() } else { names_in(key) };
            out.key = Some(Template::key(key, &names).map_err(|e| format!("key: {e}"))?);
            if format == FeedFormat::Json {
                out.columns = names;
            }
        }
        if format == FeedFormat::Text && (out.key.is_some() || !out.times.is_empty()) {
            return Err("lines of text have no columns for key and time; use format csv or json".into());
        }
        Ok(out)
    }

    /// Goes on from `state`.
    pub fn restore(&mut self, state: &Json) -> Result<(), String> {
        let gone = || "its state does not fit its settings any more".to_owned();
        let number = |name: &str| state[name].as_u64().ok_or_else(gone);
        (self.number, self.round) = (number("number")?, number("round")?);
        let line = number("line")?;
        self.first_us = state["first_us"].as_i64();
        self.last_us = state["last_us"].as_i64();
        self.due_us = state["due_us"].as_i64().ok_or_else(gone)?;
        self.open().map_err(|e| self.failed(&e))?;
        self.peeked = None;
        self.line = 0;
        while self.line < line && self.next_line().map_err(|e| self.failed(&e))?.is_some() {
            self.line += 1;
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    fn read_columns(&self) -> Result<Vec<String>, String> {
        if self.format != FeedFormat::Csv {
            // Opened once, so that a wrong path is told at once.
            open_lines(&self.path).map_err(|e| self.failed(&e))?;
            return Ok(Vec::new());
        }
        let mut lines = open_lines(&self.path).map_err(|e| self.failed(&e))?;
        let first = lines.next().map_err(|e| self.failed(&e))?.unwrap_or_default();
        let ranges = csv_ranges(first);
        Ok(ranges
            .into_iter()
            .enumerate()
            .map(|(at, range)| if self.header { unquote(&first[range]) } else { (at + 1).to_string() })
            .collect())
    }

    fn column(&self, spec: &TimeColumn) -> Result<Column, String> {
        let name = spec.column.to_string();
        let place = match (self.format, &spec.column) {
            (FeedFormat::Json, _) => Place::Path(name.split('.').map(str::to_owned).collect()),
            (_, Scalar::Int(at)) if !self.columns.contains(&name) => {
                let at = usize::try_from(*at).ok().filter(|at| (1..=self.columns.len()).contains(at));
                Place::Field(
                    at.ok_or_else(|| format!("time: the file has {} columns, counted from 1", self.columns.len()))? - 1,
                )
            }
            _ => Place::Field(index_of(&name, &self.columns).map_err(|e| format!("time: {e}"))?),
        };
        let pattern = TimePattern::parse(spec.pattern.as_deref().unwrap_or(TimePattern::DEFAULT))?;
        Ok(Column { place, pattern })
    }

    fn open(&mut self) -> io::Result<()> {
        self.input = Input::Closed;
        let mut lines = open_lines(&self.path)?;
        if self.header {
            lines.next()?;
        }
        if !self.sort {
            self.input = Input::Lines(lines);
            return Ok(());
        }
        let mut sorted: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        let mut before = i64::MIN;
        while let Some(line) = lines.next()? {
            bytes += line.len() + 32;
            if bytes > SORT_BYTES_MAX {
                return Err(io::Error::other(format!(
                    "sort holds at most {SORT_BYTES_MAX} bytes; sort the file itself"
                )));
            }
            // A line without a time stays behind the one before it.
            before = self.time_of(line).unwrap_or(before);
            sorted.push((before, line.to_vec()));
        }
        sorted.sort_by_key(|(time, _)| *time);
        let lines: Vec<Vec<u8>> = sorted.into_iter().map(|(_, line)| line).collect();
        self.input = Input::Sorted(lines.into_iter());
        Ok(())
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(match &mut self.input {
            Input::Closed => None,
            Input::Lines(lines) => lines.next()?.map(<[u8]>::to_vec),
            Input::Sorted(lines) => lines.next(),
        })
    }

    /// Time of a line, of all its time columns together.
    fn time_of(&self, line: &[u8]) -> Option<i64> {
        let texts = self.texts(line);
        let mut total = 0_i64;
        for (column, text) in self.times.iter().zip(texts) {
            total = total.checked_add(column.pattern.read(&text?)?)?;
        }
        (!self.times.is_empty()).then_some(total)
    }

    fn texts(&self, line: &[u8]) -> Vec<Option<String>> {
        if self.format == FeedFormat::Json {
            let object: Option<Json> = serde_json::from_slice(line).ok();
            let at = |path: &[String]| {
                let mut value = object.as_ref()?;
                for name in path {
                    value = value.get(name)?;
                }
                Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            };
            return self.times.iter().map(|c| if let Place::Path(path) = &c.place { at(path) } else { None }).collect();
        }
        let ranges = csv_ranges(line);
        let field = |at: usize| ranges.get(at).map(|range: &Range<usize>| unquote(&line[range.clone()]));
        self.times.iter().map(|c| if let Place::Field(at) = c.place { field(at) } else { None }).collect()
    }

    /// The line with its times later by `by_us`; as it is if it has no time.
    fn shifted(&self, line: Vec<u8>, by_us: i64) -> Vec<u8> {
        if by_us == 0 {
            return line;
        }
        let Some(time_us) = self.time_of(&line) else { return line };
        let text_of = |column: &Column| {
            let mut out = Vec::new();
            column.pattern.write(time_us.saturating_add(by_us), &mut out);
            out
        };
        if self.format == FeedFormat::Json {
            let Ok(mut object) = serde_json::from_slice::<Json>(&line) else { return line };
            for column in &self.times {
                let Place::Path(path) = &column.place else { continue };
                let mut value = Some(&mut object);
                for name in path {
                    value = value.and_then(|v| v.get_mut(name));
                }
                if let Some(value) = value {
                    let text = String::from_utf8_lossy(&text_of(column)).into_owned();
                    *value = if value.is_number() {
                        text.parse::<i64>().map_or(Json::Null, Json::from)
                    } else {
                        text.into()
                    };
                }
            }
            return object.to_string().into_bytes();
        }
        let ranges = csv_ranges(&line);
        let mut places: Vec<(Range<usize>, Vec<u8>)> = self
            .times
            .iter()
            .filter_map(|column| match &column.place {
                Place::Field(at) => Some((ranges.get(*at)?.clone(), text_of(column))),
                Place::Path(_) => None,
            })
            .collect();
        places.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut line = line;
        for (range, text) in places {
            let quoted = line[range.clone()].starts_with(b"\"");
            let text = if quoted { [b"\"".as_slice(), &text, b"\""].concat() } else { text };
            line.splice(range, text);
        }
        line
    }

    /// By how much a round is later than the one before.
    fn span_us(&self) -> i64 {
        if let Some(span) = self.given_span_us {
            return span;
        }
        let length = self.last_us.unwrap_or(0) - self.first_us.unwrap_or(0);
        // Whole days, so that the time of day stays; one at least.
        (length / DAY_US + 1) * DAY_US
    }

    fn key_of(&self, line: &[u8]) -> Option<Vec<u8>> {
        let key = self.key.as_ref()?;
        if self.format == FeedFormat::Json {
            let object: Json = serde_json::from_slice(line).ok()?;
            let at = |column: usize| {
                let mut value = &object;
                for name in self.columns[column].split('.') {
                    value = &value[name];
                }
                value
                    .as_str()
                    .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
            };
            return Some(key.fill(at).into_bytes());
        }
        let ranges = csv_ranges(line);
        Some(key.fill(|at| ranges.get(at).map_or(String::new(), |range| unquote(&line[range.clone()]))).into_bytes())
    }
}

fn format_of(file: &str) -> FeedFormat {
    let name = file.strip_suffix(".gz").unwrap_or(file).to_ascii_lowercase();
    match name.rsplit('.').next() {
        Some("json" | "ndjson" | "jsonl") => FeedFormat::Json,
        Some("csv") => FeedFormat::Csv,
        _ => FeedFormat::Text,
    }
}

/// Names in a key of JSON lines: all that stand in braces, or the whole.
fn names_in(key: &str) -> Vec<String> {
    if !key.contains('{') {
        return vec![key.to_owned()];
    }
    key.split('{').skip(1).filter_map(|piece| piece.split_once('}')).map(|(name, _)| name.to_owned()).collect()
}

impl Replay {
    /// Reads the next line if it is not there yet; begins the next round at the file's end.
    fn peek(&mut self) -> io::Result<()> {
        if self.peeked.is_some() {
            return Ok(());
        }
        if matches!(self.input, Input::Closed) {
            self.open()?;
        }
        self.peeked = self.next_line()?;
        if self.peeked.is_none() && self.looping && self.line > 0 {
            self.round += 1;
            self.line = 0;
            self.open()?;
            self.peeked = self.next_line()?;
        }
        Ok(())
    }

    fn shift_us(&self) -> i64 {
        if self.round == 0 { 0 } else { self.span_us().saturating_mul(i64::try_from(self.round).unwrap_or(i64::MAX)) }
    }

    /// When a line is due, by its time or its number.
    fn due_of(&self, time_us: Option<i64>) -> i64 {
        match &self.pace {
            Pace::Rate(rate) => (self.number as f64 / rate * 1e6) as i64,
            Pace::Time(Speed::Max) => 0,
            Pace::Time(Speed::Times(times)) => match (time_us, self.first_us.or(time_us)) {
                (Some(time), Some(first)) => {
                    self.due_us.max(((time.saturating_add(self.shift_us()) - first) as f64 / times) as i64)
                }
                _ => self.due_us,
            },
        }
    }
}

impl Cursor for Replay {
    fn due_us(&mut self) -> Result<Option<i64>, String> {
        self.peek().map_err(|e| self.failed(&e))?;
        Ok(self.peeked.as_ref().map(|line| self.due_of(self.time_of(line))))
    }

    fn next(&mut self) -> Result<Option<Vec<FeedRecord>>, String> {
        self.peek().map_err(|e| self.failed(&e))?;
        let Some(line) = self.peeked.take() else { return Ok(None) };
        let time_us = self.time_of(&line);
        self.due_us = self.due_of(time_us);
        if self.round == 0
            && let Some(time_us) = time_us
        {
            self.first_us = Some(self.first_us.map_or(time_us, |first| first.min(time_us)));
            self.last_us = Some(self.last_us.map_or(time_us, |last| last.max(time_us)));
        }
        let key = self.key_of(&line);
        let value = self.shifted(line, self.shift_us());
        self.number += 1;
        self.line += 1;
        Ok(Some(vec![FeedRecord { key, value }]))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn state(&self) -> Json {
        json!({
            "number": self.number, "round": self.round, "line": self.line,
            "first_us": self.first_us, "last_us": self.last_us, "due_us": self.due_us,
        })
    }
}
