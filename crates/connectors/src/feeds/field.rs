//! Fields of generated records: checked once, then evaluated record by record from chance, time and what they remember.

use std::collections::BTreeMap;

use super::lines::write_csv_field;
use super::pattern::TimePattern;
use super::spec::{ChoiceSpec, FieldSpec, OneOrMany, Scalar, Shape};
use super::tables::{Rows, Weights};
use super::yaml::nearest;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// A value of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64, u8),
    Text(String),
    /// A number as a table has it.
    Number(String),
    Object(Vec<(String, Value)>),
}

impl Value {
    fn of(scalar: &Scalar) -> Self {
        match scalar {
            Scalar::Bool(v) => Self::Bool(*v),
            Scalar::Int(v) => Self::Int(*v),
            Scalar::Float(v) => Self::Number(v.to_string()),
            Scalar::Text(v) if v.is_empty() => Self::Null,
            Scalar::Text(v) => Self::Text(v.clone()),
        }
    }

    /// As it stands in keys, templates and csv.
    pub fn text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(v) => v.to_string(),
            Self::Int(v) => v.to_string(),
            Self::Float(v, decimals) => format!("{v:.*}", usize::from(*decimals)),
            Self::Text(v) | Self::Number(v) => v.clone(),
            Self::Object(_) => {
                let mut out = Vec::new();
                self.write_json(&mut out);
                String::from_utf8_lossy(&out).into_owned()
            }
        }
    }

    /// Seconds, for `plus`.
    fn seconds(&self) -> f64 {
        match self {
            Self::Int(v) => *v as f64,
            Self::Float(v, _) => *v,
            Self::Text(v) | Self::Number(v) => v.parse().unwrap_or(0.0),
            _ => 0.0,
        }
    }

    /// Appends it as a csv field.
    pub fn write_csv(&self, out: &mut Vec<u8>) {
        write_csv_field(&self.text(), out);
    }

    /// Appends it as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Text(v) => out.extend_from_slice(serde_json::Value::from(v.as_str()).to_string().as_bytes()),
            Self::Object(fields) => write_object(fields.iter().map(|(n, v)| (n.as_str(), v)), out),
            other => out.extend_from_slice(other.text().as_bytes()),
        }
    }
}

/// Appends a JSON object; nulls are left out.
pub fn write_object<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in fields.filter(|(_, value)| **value != Value::Null) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
        out.push(b':');
        value.write_json(out);
    }
    out.push(b'}');
}

/// Text with names of fields in braces.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(String),
    Field(usize),
}

impl Template {
    /// `{name}` for a field; `names` in order.
    pub fn parse(text: &str, names: &[String]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("'{text}' has a {{ without }}"))?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(Piece::Field(index_of(name, names)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// A single field, or a template.
    pub fn key(text: &str, names: &[String]) -> Result<Self, String> {
        if text.contains('{') { Self::parse(text, names) } else { Ok(Self(vec![Piece::Field(index_of(text, names)?)])) }
    }

    /// Filled in.
    pub fn fill(&self, text_of: impl Fn(usize) -> String) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Field(at) => text_of(*at),
            })
            .collect()
    }
}

/// Position of a field's name; an error with the nearest name.
pub fn index_of(name: &str, names: &[String]) -> Result<usize, String> {
    names.iter().position(|n| n == name).ok_or_else(|| {
        let meant =
            nearest(name, names.iter().map(String::as_str)).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        format!("there is no field `{name}` before it{meant}")
    })
}

/// What fields are evaluated from.
pub struct Moment<'a> {
    pub rng: &'a mut fastrand::Rng,
    pub number: u64,
    /// Row that the record is about.
    pub row: usize,
    pub time_us: i64,
    /// Rows drawn for this record, by [`Compiler::picks`].
    pub picked: &'a mut Vec<Option<usize>>,
    pub memory: &'a mut [Memory],
    pub tables: &'a BTreeMap<String, Rows>,
    pub each: Option<&'a str>,
}

/// What a field remembers of each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Memory {
    Walk(Vec<f64>),
    Counter { values: Vec<i64>, backwards: Vec<bool> },
}

/// A field, checked.
#[derive(Debug, Clone)]
pub struct Field {
    name: String,
    kind: Kind,
    factor: Option<Factor>,
    blank: f64,
    only_if: Vec<(usize, String)>,
    otherwise: Value,
}

#[derive(Debug, Clone)]
enum Kind {
    Const(Value),
    Column { column: usize, numeric: bool },
    Pick { slot: usize, table: String, column: usize, numeric: bool, weights: Weights },
    Choice { values: Vec<Value>, weights: Weights },
    Sequence { start: i64, step: i64 },
    Number { min: f64, max: f64, decimals: u8, shape: Shape },
    Walk { memory: usize, step: f64, min: f64, max: f64, decimals: u8 },
    Counter { memory: usize, start: (i64, i64), step: (i64, i64), reset: f64 },
    Wave { min: f64, max: f64, period_us: i64, peak_us: i64, noise: f64, decimals: u8 },
    Time { pattern: TimePattern, plus: Option<usize> },
    Template(Template),
    Opening { from_us: i64, to_us: i64, down: f64, open: Value, closed: Value },
    Object(Vec<Field>),
}

/// Makes a number larger or smaller by the hour and by the row.
#[derive(Debug, Clone)]
struct Factor {
    by_hour: Option<Vec<f64>>,
    by_row: Option<Vec<f64>>,
}

impl Factor {
    fn at(&self, time_us: i64, row: usize) -> f64 {
        let hour = self.by_hour.as_ref().map_or(1.0, |hours| {
            let at = time_us.rem_euclid(DAY_US) as f64 / HOUR_US as f64;
            let (from, part) = (at as usize % 24, at.fract());
            hours[from] * (1.0 - part) + hours[(from + 1) % 24] * part
        });
        hour * self.by_row.as_ref().map_or(1.0, |rows| rows[row])
    }
}

/// Checks fields and gives them their places.
pub struct Compiler<'a> {
    pub tables: &'a BTreeMap<String, Rows>,
    pub each: Option<&'a str>,
    pub seed: u64,
    /// Names of the fields that are done.
    pub names: Vec<String>,
    /// Draws, each with its table.
    pub picks: Vec<(String, String)>,
    pub memory: Vec<Memory>,
}

impl Compiler<'_> {
    fn table(&self, name: &str) -> Result<&Rows, String> {
        self.tables.get(name).ok_or_else(|| {
            let meant = nearest(name, self.tables.keys().map(String::as_str))
                .map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            format!("there is no table `{name}` under tables{meant}")
        })
    }

    fn rows(&self) -> Result<usize, String> {
        self.each.map_or(Ok(1), |name| self.table(name).map(Rows::len))
    }

    /// Checks one field.
    pub fn field(&mut self, name: &str, spec: &FieldSpec) -> Result<Field, String> {
        let fail = |problem: String| format!("field {name}: {problem}");
        let kind = self.kind(spec).map_err(fail)?;
        let factor = match (&spec.by_hour, &spec.times) {
            (None, None) => None,
            (hours, times) => {
                if !matches!(kind, Kind::Number { .. } | Kind::Counter { .. } | Kind::Wave { .. }) {
                    return Err(fail("by_hour and times go with number, counter and wave".into()));
                }
                let by_hour = hours.as_ref().map(|hours| relative(hours)).transpose().map_err(fail)?;
                let by_row = times
                    .as_ref()
                    .map(|column| {
                        let each =
                            self.each.ok_or("times names a column of the table of `each`, which is not there")?;
                        self.table(each)?.numbers(each, column)
                    })
                    .transpose()
                    .map_err(fail)?;
                Some(Factor { by_hour, by_row })
            }
        };
        if spec.plus.is_some() && spec.time.is_none() {
            return Err(fail("plus goes with time".into()));
        }
        let only_if = spec.only_if.iter().flatten().map(|(n, v)| Ok((index_of(n, &self.names)?, v.to_string())));
        let only_if = only_if.collect::<Result<Vec<_>, String>>().map_err(fail)?;
        share("blank", spec.blank).map_err(fail)?;
        let otherwise = spec.otherwise.as_ref().map_or(Value::Null, Value::of);
        Ok(Field { name: name.to_owned(), kind, factor, blank: spec.blank, only_if, otherwise })
    }

    fn kind(&mut self, spec: &FieldSpec) -> Result<Kind, String> {
        let mut kinds = Vec::new();
        if let Some(value) = &spec.constant {
            kinds.push(Kind::Const(Value::of(value)));
        }
        if let Some(name) = &spec.column {
            let each = self.each.ok_or("column names a column of the table of `each`, which is not there; use pick")?;
            let table = self.table(each)?;
            let column = table.column(each, name)?;
            kinds.push(Kind::Column { column, numeric: table.is_numeric(column) });
        }
        if let Some(pick) = &spec.pick {
            let table = self.table(&pick.table)?;
            let column = table.column(&pick.table, &pick.column)?;
            let numeric = table.is_numeric(column);
            let weights = match &pick.weight {
                Some(weight) => Weights::of(table.numbers(&pick.table, weight)?)
                    .ok_or_else(|| format!("column {weight} of table {} has no weight above 0", pick.table))?,
                None => Weights::even(table.len()),
            };
            let draw = (pick.name.clone().unwrap_or_else(|| pick.table.clone()), pick.table.clone());
            let slot = match self.picks.iter().position(|(name, _)| *name == draw.0) {
                Some(slot) if self.picks[slot].1 == draw.1 => slot,
                Some(_) => return Err(format!("`as: {}` is already a row of another table", draw.0)),
                None => {
                    self.picks.push(draw);
                    self.picks.len() - 1
                }
            };
            kinds.push(Kind::Pick { slot, table: pick.table.clone(), column, numeric, weights });
        }
        if let Some(choice) = &spec.choice {
            let (values, weights) = match choice {
                ChoiceSpec::List(list) => (list.iter().map(Value::of).collect::<Vec<_>>(), Weights::even(list.len())),
                ChoiceSpec::Weighted(map) => {
                    let values = map.0.iter().map(|(value, _)| Value::of(&Scalar::of(value.clone()))).collect();
                    let weights = Weights::of(map.0.iter().map(|(_, w)| *w)).ok_or("no weight is above 0")?;
                    (values, weights)
                }
            };
            if values.is_empty() {
                return Err("choice is empty".into());
            }
            kinds.push(Kind::Choice { values, weights });
        }
        if let Some(s) = &spec.sequence {
            kinds.push(Kind::Sequence { start: s.start, step: s.step });
        }
        if let Some(n) = &spec.number {
            ordered(n.min, n.max)?;
            kinds.push(Kind::Number { min: n.min, max: n.max, decimals: n.decimals.min(15), shape: n.shape });
        }
        if let Some(w) = &spec.walk {
            ordered(w.min, w.max)?;
            let (low, high) = range(&w.start)?;
            let mut rng = self.chance();
            let values = (0..self.rows()?).map(|_| (low + rng.f64() * (high - low)).clamp(w.min, w.max)).collect();
            self.memory.push(Memory::Walk(values));
            let memory = self.memory.len() - 1;
            kinds.push(Kind::Walk { memory, step: w.step, min: w.min, max: w.max, decimals: w.decimals.min(15) });
        }
        if let Some(c) = &spec.counter {
            let (start, step) = (range(&c.start)?, range(&c.step)?);
            share("reset", c.reset)?;
            share("backwards", c.backwards)?;
            let mut rng = self.chance();
            let rows = self.rows()?;
            let values = (0..rows).map(|_| rng.i64(start.0..=start.1)).collect();
            let backwards = (0..rows).map(|_| rng.f64() < c.backwards).collect();
            self.memory.push(Memory::Counter { values, backwards });
            kinds.push(Kind::Counter { memory: self.memory.len() - 1, start, step, reset: c.reset });
        }
        if let Some(w) = &spec.wave {
            ordered(w.min, w.max)?;
            if w.period.0 == 0 {
                return Err("period is 0".into());
            }
            kinds.push(Kind::Wave {
                min: w.min,
                max: w.max,
                period_us: w.period.0,
                peak_us: w.peak.0,
                noise: w.noise,
                decimals: w.decimals.min(15),
            });
        }
        if let Some(pattern) = &spec.time {
            let plus = spec.plus.as_ref().map(|name| index_of(name, &self.names)).transpose()?;
            kinds.push(Kind::Time { pattern: TimePattern::parse(pattern)?, plus });
        }
        if let Some(text) = &spec.template {
            kinds.push(Kind::Template(Template::parse(text, &self.names)?));
        }
        if let Some(o) = &spec.opening {
            share("down", o.down)?;
            kinds.push(Kind::Opening {
                from_us: o.from.0,
                to_us: o.to.0,
                down: o.down,
                open: Value::of(&o.open),
                closed: Value::of(&o.closed),
            });
        }
        if let Some(fields) = &spec.object {
            let fields = fields.0.iter().map(|(name, spec)| self.field(name, spec)).collect::<Result<_, _>>()?;
            kinds.push(Kind::Object(fields));
        }
        match kinds.len() {
            1 => Ok(kinds.swap_remove(0)),
            found => Err(format!(
                "{found} of const, column, pick, choice, sequence, number, walk, counter, wave, time, template, opening and object \
                 are there; exactly one is needed"
            )),
        }
    }

    /// Chance for the beginning of a field, apart from that of the records.
    fn chance(&self) -> fastrand::Rng {
        let own = (self.memory.len() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        fastrand::Rng::with_seed(self.seed ^ own)
    }
}

fn ordered(min: f64, max: f64) -> Result<(), String> {
    if min.is_finite() && max.is_finite() && min <= max { Ok(()) } else { Err(format!("min {min} is above max {max}")) }
}

/// A share is between 0 and 1.
pub fn share(name: &str, share: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&share) {
        Ok(())
    } else {
        Err(format!("{name}: {share} is not a share; write a number from 0 to 1"))
    }
}

fn range<T: Copy + PartialOrd + std::fmt::Display>(range: &OneOrMany<T>) -> Result<(T, T), String> {
    match range.as_slice() {
        [one] => Ok((*one, *one)),
        [low, high] if low <= high => Ok((*low, *high)),
        _ => Err("a range is written [from, to]".into()),
    }
}

fn relative(hours: &[f64]) -> Result<Vec<f64>, String> {
    let most = hours.iter().copied().fold(0.0, f64::max);
    if hours.len() != 24 || most <= 0.0 || hours.iter().any(|h| !h.is_finite() || *h < 0.0) {
        return Err("by_hour has 24 numbers from 0 on, one above 0".into());
    }
    Ok(hours.iter().map(|h| h / most).collect())
}

fn cell(rows: &Rows, row: usize, column: usize, numeric: bool) -> Value {
    match rows.get(row, column) {
        "" => Value::Null,
        text if numeric => Value::Number(text.to_owned()),
        text => Value::Text(text.to_owned()),
    }
}

fn rounded(value: f64, decimals: u8) -> Value {
    if decimals == 0 { Value::Int(value.round() as i64) } else { Value::Float(value, decimals) }
}

impl Field {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, given those of the fields before.
    pub fn value(&self, at: &mut Moment<'_>, before: &[Value]) -> Value {
        // Chance is drawn in any case, so that a condition does not change the records after.
        let value = self.plain(at, before);
        if !self.only_if.iter().all(|(field, text)| before[*field].text() == *text) {
            return self.otherwise.clone();
        }
        if self.blank > 0.0 && at.rng.f64() < self.blank {
            return Value::Null;
        }
        value
    }

    fn plain(&self, at: &mut Moment<'_>, before: &[Value]) -> Value {
        let factor = self.factor.as_ref().map_or(1.0, |f| f.at(at.time_us, at.row));
        match &self.kind {
            Kind::Const(value) => value.clone(),
            Kind::Column { column, numeric } => match at.each.and_then(|each| at.tables.get(each)) {
                Some(rows) => cell(rows, at.row, *column, *numeric),
                None => Value::Null,
            },
            Kind::Pick { slot, table, column, numeric, weights } => {
                let row = match at.picked[*slot] {
                    Some(row) => row,
                    None => {
                        let row = weights.draw(at.rng);
                        at.picked[*slot] = Some(row);
                        row
                    }
                };
                at.tables.get(table).map_or(Value::Null, |rows| cell(rows, row, *column, *numeric))
            }
            Kind::Choice { values, weights } => values[weights.draw(at.rng)].clone(),
            Kind::Sequence { start, step } => Value::Int(start.wrapping_add(step.wrapping_mul(at.number as i64))),
            Kind::Number { min, max, decimals, shape } => {
                let part = match shape {
                    Shape::Uniform => at.rng.f64(),
                    Shape::Normal => (0..6).map(|_| at.rng.f64()).sum::<f64>() / 6.0,
                    Shape::Skewed => at.rng.f64().powi(4),
                };
                rounded((min + part * (max - min)) * factor, *decimals)
            }
            Kind::Walk { memory, step, min, max, decimals } => {
                let change = (at.rng.f64() * 2.0 - 1.0) * step;
                let Memory::Walk(values) = &mut at.memory[*memory] else { return Value::Null };
                let value = (values[at.row] + change).clamp(*min, *max);
                values[at.row] = value;
                rounded(value, *decimals)
            }
            Kind::Counter { memory, start, step, reset } => {
                let (change, begins) = (at.rng.i64(step.0..=step.1), at.rng.f64() < *reset);
                let anew = at.rng.i64(0..=(start.0.abs().min(1000)));
                let change = (change as f64 * factor).round() as i64;
                let Memory::Counter { values, backwards } = &mut at.memory[*memory] else { return Value::Null };
                let value = &mut values[at.row];
                *value = match (begins, backwards[at.row]) {
                    (true, _) => anew,
                    (_, true) => value.saturating_sub(change).max(0),
                    _ => value.saturating_add(change),
                };
                Value::Int(*value)
            }
            Kind::Wave { min, max, period_us, peak_us, noise, decimals } => {
                let phase = (at.time_us - peak_us).rem_euclid(*period_us) as f64 / *period_us as f64;
                let swing = (1.0 + (phase * std::f64::consts::TAU).cos()) / 2.0;
                let off = (at.rng.f64() * 2.0 - 1.0) * noise;
                rounded((min + swing * (max - min)) * factor + off, *decimals)
            }
            Kind::Time { pattern, plus } => {
                let later = plus.map_or(0.0, |field| before[field].seconds());
                let mut out = Vec::new();
                pattern.write(at.time_us.saturating_add((later * 1e6) as i64), &mut out);
                let text = String::from_utf8_lossy(&out).into_owned();
                if matches!(pattern, TimePattern::Epoch(_)) { Value::Number(text) } else { Value::Text(text) }
            }
            Kind::Template(template) => Value::Text(template.fill(|field| before[field].text())),
            Kind::Opening { from_us, to_us, down, open, closed } => {
                let time = at.time_us.rem_euclid(DAY_US);
                let within = if from_us <= to_us {
                    (*from_us..*to_us).contains(&time)
                } else {
                    time >= *from_us || time < *to_us
                };
                let down = at.rng.f64() < *down;
                if within && !down { open.clone() } else { closed.clone() }
            }
            Kind::Object(fields) => {
                Value::Object(fields.iter().map(|field| (field.name.clone(), field.value(at, before))).collect())
            }
        }
    }
}
