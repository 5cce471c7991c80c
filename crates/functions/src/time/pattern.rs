//! Spark's datetime patterns, compiled: the letters of Java's `DateTimeFormatter` that Spark allows.
//! Reference: <https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html>. Names are English.

use super::civil::Civil;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("datetime pattern '{pattern}': {reason}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A number that a pattern reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Year,
    Month,
    Day,
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 1 to 12.
    ClockHourAmPm,
    /// 0 to 11.
    HourAmPm,
    Minute,
    Second,
    Quarter,
    AlignedWeek,
}

/// How a time zone's offset is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OffsetStyle {
    /// `Z` stands for no offset.
    pub zulu: bool,
    pub colon: bool,
    /// Minutes may be left out when they are 0 (`X`, `x`).
    pub short: bool,
    /// Written as `GMT+8`.
    pub gmt: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// A number of `min` to `max` digits. `reserve` digits of a run belong to the fixed numbers that follow without a separator.
    Number {
        field: Field,
        min: usize,
        max: usize,
        reserve: usize,
    },
    /// Two digits of 2000 to 2099.
    ShortYear,
    /// `min` to `max` digits of the second.
    Fraction {
        min: usize,
        max: usize,
    },
    MonthText {
        full: bool,
    },
    WeekdayText {
        full: bool,
    },
    QuarterText {
        full: bool,
    },
    AmPm,
    Era {
        full: bool,
    },
    Offset(OffsetStyle),
    ZoneId,
    ZoneName,
    Literal(String),
    Optional(Vec<Item>),
}

/// One step over a text of fixed width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Year4,
    Year2,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Literal(u8),
}

/// A compiled pattern: [`Pattern::parse`] and [`Pattern::format`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    source: String,
    pub(super) items: Vec<Item>,
    /// Set where every part has one width, as in `yyyy-MM-dd HH:mm:ss`: the steps and the whole width.
    pub(super) fixed: Option<(Vec<Step>, usize)>,
}

impl Pattern {
    /// Compiles for reading: fractions of fewer digits than the pattern's are read too.
    pub fn for_parsing(pattern: &str) -> Result<Self, PatternError> {
        Self::compile(pattern, true)
    }

    /// Compiles for writing.
    pub fn for_formatting(pattern: &str) -> Result<Self, PatternError> {
        Self::compile(pattern, false)
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn compile(pattern: &str, parsing: bool) -> Result<Self, PatternError> {
        let mut compiler = Compiler { pattern, parsing, stack: vec![Vec::new()] };
        compiler.run()?;
        // As in Java, what is not closed ends with the pattern.
        while compiler.stack.len() > 1 {
            compiler.close();
        }
        let mut items = compiler.stack.pop().unwrap_or_default();
        reserve_adjacent(&mut items);
        let fixed = fixed_steps(&items);
        Ok(Self { source: pattern.to_owned(), items, fixed })
    }
}

struct Compiler<'a> {
    pattern: &'a str,
    parsing: bool,
    stack: Vec<Vec<Item>>,
}

fn error(pattern: &str, reason: impl Into<String>) -> PatternError {
    PatternError { pattern: pattern.to_owned(), reason: reason.into() }
}

impl Compiler<'_> {
    fn push(&mut self, item: Item) {
        let top = self.stack.last_mut().expect("the stack begins with one list and `]` never takes the last");
        match (top.last_mut(), item) {
            (Some(Item::Literal(text)), Item::Literal(more)) => text.push_str(&more),
            (_, item) => top.push(item),
        }
    }

    /// Ends the innermost `[`.
    fn close(&mut self) {
        let mut inner = self.stack.pop().unwrap_or_default();
        reserve_adjacent(&mut inner);
        self.push(Item::Optional(inner));
    }

    fn run(&mut self) -> Result<(), PatternError> {
        let pattern = self.pattern;
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            let c = chars[at];
            match c {
                'A'..='Z' | 'a'..='z' => {
                    let count = chars[at..].iter().take_while(|&&other| other == c).count();
                    let item = self.letter(c, count)?;
                    self.push(item);
                    at += count;
                    continue;
                }
                '\'' => {
                    let mut text = String::new();
                    at += 1;
                    if chars.get(at) == Some(&'\'') {
                        text.push('\'');
                    } else {
                        loop {
                            match chars.get(at) {
                                None => return Err(error(pattern, "a ' is not closed")),
                                Some('\'') if chars.get(at + 1) == Some(&'\'') => {
                                    text.push('\'');
                                    at += 2;
                                }
                                Some('\'') => break,
                                Some(other) => {
                                    text.push(*other);
                                    at += 1;
                                }
                            }
                        }
                    }
                    self.push(Item::Literal(text));
                }
                '[' => self.stack.push(Vec::new()),
                ']' => {
                    if self.stack.len() < 2 {
                        return Err(error(pattern, "a ']' has no '['"));
                    }
                    self.close();
                }
                '{' | '}' | '#' => return Err(error(pattern, format!("'{c}' is reserved; quote it: '{c}'"))),
                other => self.push(Item::Literal(other.to_string())),
            }
            at += 1;
        }
        Ok(())
    }

    fn letter(&self, c: char, count: usize) -> Result<Item, PatternError> {
        let number = |field, min, max| Ok(Item::Number { field, min, max, reserve: 0 });
        let too_many = || Err(error(self.pattern, format!("too many letters '{c}'")));
        let one_or_two = |field| match count {
            1 => number(field, 1, 19),
            2 => number(field, 2, 2),
            _ => too_many(),
        };
        if self.parsing && matches!(c, 'E' | 'F' | 'q' | 'Q') {
            return Err(error(self.pattern, format!("letter '{c}' can be written but not read; leave it out")));
        }
        match c {
            'y' if count > 6 => too_many(),
            'y' if count == 2 => Ok(Item::ShortYear),
            'y' => number(Field::Year, count, 19),
            'M' | 'L' if count <= 2 => one_or_two(Field::Month),
            'M' | 'L' if count <= 4 => Ok(Item::MonthText { full: count == 4 }),
            'd' => one_or_two(Field::Day),
            'D' => match count {
                1 => number(Field::DayOfYear, 1, 19),
                2 => number(Field::DayOfYear, 2, 3),
                3 => number(Field::DayOfYear, 3, 3),
                _ => too_many(),
            },
            'H' => one_or_two(Field::Hour),
            'k' => one_or_two(Field::ClockHour),
            'h' => one_or_two(Field::ClockHourAmPm),
            'K' => one_or_two(Field::HourAmPm),
            'm' => one_or_two(Field::Minute),
            's' => one_or_two(Field::Second),
            'S' if count <= 9 => Ok(Item::Fraction { min: if self.parsing { 1 } else { count }, max: count }),
            'a' if count == 1 => Ok(Item::AmPm),
            'E' if count <= 4 => Ok(Item::WeekdayText { full: count == 4 }),
            'F' if count == 1 => number(Field::AlignedWeek, 1, 19),
            'q' | 'Q' if count <= 2 => one_or_two(Field::Quarter),
            'q' | 'Q' if count <= 4 => Ok(Item::QuarterText { full: count == 4 }),
            'G' if count <= 4 => Ok(Item::Era { full: count == 4 }),
            'X' | 'x' => match count {
                1..=5 => Ok(Item::Offset(OffsetStyle {
                    zulu: c == 'X',
                    colon: count == 3 || count == 5,
                    short: count == 1,
                    gmt: false,
                })),
                _ => too_many(),
            },
            'Z' => match count {
                1..=3 => Ok(Item::Offset(OffsetStyle { zulu: false, colon: false, short: false, gmt: false })),
                4 => Ok(Item::Offset(OffsetStyle { zulu: false, colon: true, short: false, gmt: true })),
                5 => Ok(Item::Offset(OffsetStyle { zulu: true, colon: true, short: false, gmt: false })),
                _ => too_many(),
            },
            'O' if count == 1 || count == 4 => {
                Ok(Item::Offset(OffsetStyle { zulu: false, colon: true, short: count == 1, gmt: true }))
            }
            'V' if count == 2 => Ok(Item::ZoneId),
            'V' => Err(error(self.pattern, "letter 'V' is written twice: VV")),
            'z' if count <= 4 => Ok(Item::ZoneName),
            'Y' => Err(error(
                self.pattern,
                format!(
                    "'{0}' is a year of weeks, which Spark has not taken since 3.0; write {1}",
                    "Y".repeat(count),
                    "y".repeat(count)
                ),
            )),
            'W' | 'w' | 'u' | 'e' | 'c' => Err(error(
                self.pattern,
                format!(
                    "letter '{c}' counts weeks or their days, which Spark has not taken since 3.0; write weekofyear(x) or E"
                ),
            )),
            _ if matches!(c, 'M' | 'L' | 'S' | 'a' | 'E' | 'F' | 'q' | 'Q' | 'G' | 'O' | 'z') => too_many(),
            _ => Err(error(self.pattern, format!("letter '{c}' is unknown; quote text as '{c}'"))),
        }
    }
}

/// In a run of numbers without separators, a number of variable width leaves to the fixed ones behind it what they need.
fn reserve_adjacent(items: &mut [Item]) {
    for at in 0..items.len() {
        let following = items[at + 1..]
            .iter()
            .map_while(|item| match item {
                Item::Number { min, max, .. } if min == max => Some(*max),
                Item::ShortYear => Some(2),
                _ => None,
            })
            .sum();
        if let Item::Number { min, max, reserve, .. } = &mut items[at]
            && min != max
        {
            *reserve = following;
        }
    }
}

fn fixed_steps(items: &[Item]) -> Option<(Vec<Step>, usize)> {
    let mut steps = Vec::new();
    let mut width = 0;
    for item in items {
        let (step, len) = match item {
            Item::Number { field: Field::Year, min: 4, .. } => (Step::Year4, 4),
            Item::ShortYear => (Step::Year2, 2),
            Item::Number { field, min: 2, max: 2, .. } => (
                match field {
                    Field::Month => Step::Month,
                    Field::Day => Step::Day,
                    Field::Hour => Step::Hour,
                    Field::Minute => Step::Minute,
                    Field::Second => Step::Second,
                    _ => return None,
                },
                2,
            ),
            Item::Literal(text) if text.is_ascii() => {
                steps.extend(text.bytes().map(Step::Literal));
                width += text.len();
                continue;
            }
            _ => return None,
        };
        steps.push(step);
        width += len;
    }
    Some((steps, width))
}

/// English names, as Java's `Locale.US` has them.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Monday first.
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Fields of a moment while it is read; what is missing gets Spark's defaults (1970-01-01 00:00).
#[derive(Debug, Clone, Copy)]
pub(super) struct Parsed {
    pub civil: Civil,
    pub day_of_year: Option<u32>,
    /// 0 to 11, with `pm`.
    pub half_day_hour: Option<u32>,
    pub pm: bool,
    pub bc: bool,
    pub zone: Option<super::zone::Zone>,
}
