//! Records made up from declared fields.
//!
//! Record number n is a function of the settings, the seed and the records before it. What it depends on (chance, and what counters and
//! walks remember) is the state; with it a generator goes on anywhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::cursor::{Cursor, FeedRecord};
use super::field::{Compiler, Field, Memory, Moment, Template, Value, index_of, share, write_object};
use super::lines::csv_ranges;
use super::pattern::parse_time;
use super::spec::{FeedFormat, FeedSpec, GenerateSpec};
use super::tables::{Rows, Weights};

/// A generator of one feed.
pub struct Generator {
    format: FeedFormat,
    tables: BTreeMap<String, Rows>,
    each: Option<String>,
    picks: usize,
    fields: Vec<Field>,
    layouts: Vec<(Vec<usize>, String)>,
    layout_weights: Weights,
    key: Option<Template>,
    schedule: Schedule,
    jitter_us: i64,
    start_us: i64,
    speed: f64,
    late: Option<(f64, i64)>,
    duplicates: f64,
    bad: f64,
    limit: Option<u64>,
    // What changes.
    number: u64,
    rng: fastrand::Rng,
    memory: Vec<Memory>,
}

/// When records come, and of which row.
enum Schedule {
    /// So many a second; rows by weight.
    Rate { rate: f64, rows: Weights },
    /// Every row once in a period, in this order, at these moments of it (µs).
    Every { every_us: i64, order: Vec<(i64, usize)> },
}

impl Generator {
    /// Checks everything. Files are below `base`. `now_us` is where `start: now` begins.
    pub fn new(spec: &FeedSpec, base: &Path, now_us: i64) -> Result<Self, String> {
        let generate = spec.generate.as_ref().ok_or("generate is not there")?;
        let tables = generate
            .tables
            .iter()
            .map(|(name, table)| Ok((name.clone(), Rows::load(name, table, base)?)))
            .collect::<Result<BTreeMap<_, _>, String>>()?;
        let each = generate.each.as_ref().map(|each| each.table.clone());
        let mut compiler = Compiler {
            tables: &tables,
            each: each.as_deref(),
            seed: generate.seed,
            names: Vec::new(),
            picks: Vec::new(),
            memory: Vec::new(),
        };
        let mut fields = Vec::new();
        for (name, field) in &generate.fields.0 {
            fields.push(compiler.field(name, field)?);
            compiler.names.push(name.clone());
        }
        if fields.is_empty() {
            return Err("fields is empty".into());
        }
        let key = spec.key.as_ref().map(|key| Template::key(key, &compiler.names)).transpose();
        let key = key.map_err(|e| format!("key: {e}"))?;
        let (layouts, layout_weights) = layouts(generate, &compiler.names)?;
        let schedule = schedule(generate, &tables)?;
        if generate.format == FeedFormat::Text {
            return Err("format text is for replay; generate writes csv or json".into());
        }
        let speed = generate.clock.speed;
        if !(speed.is_finite() && speed > 0.0) {
            return Err(format!("clock.speed: {speed} is not above 0"));
        }
        let start = generate.clock.start.trim();
        let start_us = if start.eq_ignore_ascii_case("now") {
            now_us
        } else {
            parse_time(start).ok_or_else(|| format!("clock.start: '{start}' is neither now nor a time"))?
        };
        share("duplicates", generate.duplicates)?;
        share("bad", generate.bad)?;
        if let Some(late) = &generate.late {
            share("late.share", late.share)?;
        }
        let (memory, picks) = (compiler.memory, compiler.picks.len());
        Ok(Self {
            format: generate.format,
            picks,
            fields,
            layouts,
            layout_weights,
            key,
            schedule,
            jitter_us: generate.each.as_ref().map_or(0, |e| e.jitter.0),
            start_us,
            speed,
            late: generate.late.as_ref().map(|l| (l.share, l.by.0)),
            duplicates: generate.duplicates,
            bad: generate.bad,
            limit: generate.limit,
            number: 0,
            rng: fastrand::Rng::with_seed(generate.seed),
            memory,
            tables,
            each,
        })
    }

    /// Goes on from `state`. `start: now` begins so that the next record is of `now_us`.
    pub fn restore(&mut self, state: &Json, now_us: Option<i64>) -> Result<(), String> {
        let gone = || "its state does not fit its settings any more".to_owned();
        let memory = state["memory"].as_array().ok_or_else(gone)?;
        if memory.len() != self.memory.len() {
            return Err(gone());
        }
        for (own, saved) in self.memory.iter_mut().zip(memory) {
            let fits = match own {
                Memory::Walk(values) => restore(values, saved, Json::as_f64),
                Memory::Counter { values, .. } => restore(values, saved, Json::as_i64),
            };
            fits.ok_or_else(gone)?;
        }
        self.rng = fastrand::Rng::with_seed(state["rng"].as_u64().ok_or_else(gone)?);
        self.number = state["number"].as_u64().ok_or_else(gone)?;
        if let Some(now_us) = now_us {
            let (moment_us, _) = self.moment();
            self.start_us = now_us - moment_us;
        }
        Ok(())
    }

    /// Time of the next record since the start, in the records' time, and its row; of chance only by rate.
    fn moment(&self) -> (i64, Option<usize>) {
        match &self.schedule {
            Schedule::Rate { rate, .. } => ((self.number as f64 / rate * self.speed * 1e6) as i64, None),
            Schedule::Every { every_us, order } => {
                let count = order.len() as u64;
                let (offset_us, row) = order[(self.number % count) as usize];
                let round = i64::try_from(self.number / count).unwrap_or(i64::MAX);
                (round.saturating_mul(*every_us).saturating_add(offset_us), Some(row))
            }
        }
    }

    fn write(&self, values: &[Value], layout: usize) -> Vec<u8> {
        let (fields, suffix) = &self.layouts[layout];
        let mut out = Vec::with_capacity(128);
        if self.format == FeedFormat::Json {
            write_object(fields.iter().map(|at| (self.fields[*at].name(), &values[*at])), &mut out);
        } else {
            for (column, at) in fields.iter().enumerate() {
                if column > 0 {
                    out.push(b',');
                }
                values[*at].write_csv(&mut out);
            }
        }
        out.extend_from_slice(suffix.as_bytes());
        out
    }
}

fn restore<T>(values: &mut [T], saved: &Json, read: impl Fn(&Json) -> Option<T>) -> Option<()> {
    let saved = saved.as_array().filter(|saved| saved.len() == values.len())?;
    for (value, saved) in values.iter_mut().zip(saved) {
        *value = read(saved)?;
    }
    Some(())
}

/// Fields of a layout by their positions, and what stands after the last.
type Layout = (Vec<usize>, String);

fn layouts(spec: &GenerateSpec, names: &[String]) -> Result<(Vec<Layout>, Weights), String> {
    if spec.layouts.is_empty() {
        return Ok((vec![((0..names.len()).collect(), String::new())], Weights::even(1)));
    }
    let one = |layout: &super::spec::LayoutSpec| {
        let fields = layout.fields.iter().map(|name| index_of(name, names)).collect::<Result<Vec<_>, _>>();
        Ok((fields.map_err(|e| format!("layouts: {e}"))?, layout.suffix.clone()))
    };
    let layouts = spec.layouts.iter().map(one).collect::<Result<Vec<_>, String>>()?;
    let weights = Weights::of(spec.layouts.iter().map(|l| l.weight)).ok_or("layouts: no weight is above 0")?;
    Ok((layouts, weights))
}

fn schedule(spec: &GenerateSpec, tables: &BTreeMap<String, Rows>) -> Result<Schedule, String> {
    let rows = match &spec.each {
        Some(each) => Some(
            tables.get(&each.table).ok_or_else(|| format!("each: there is no table `{}` under tables", each.table))?,
        ),
        None => None,
    };
    match (spec.rate, spec.each.as_ref().and_then(|each| each.every.map(|every| (each, every.0)))) {
        (Some(rate), None) => {
            if !(rate.is_finite() && rate > 0.0) {
                return Err(format!("rate: {rate} is not above 0"));
            }
            let weight = spec.each.as_ref().and_then(|each| Some((&each.table, each.weight.as_ref()?)));
            let weights = match (rows, weight) {
                (Some(rows), Some((table, column))) => Weights::of(rows.numbers(table, column)?)
                    .ok_or_else(|| format!("each.weight: no value of {column} is above 0"))?,
                (Some(rows), None) => Weights::even(rows.len()),
                (None, _) => Weights::even(1),
            };
            Ok(Schedule::Rate { rate, rows: weights })
        }
        (None, Some((each, every_us))) => {
            if every_us == 0 {
                return Err("each.every is 0".into());
            }
            if each.spread.0 > every_us {
                return Err("each.spread is longer than each.every".into());
            }
            let count = rows.map_or(1, Rows::len);
            let mut rng = fastrand::Rng::with_seed(!spec.seed);
            let mut order: Vec<(i64, usize)> =
                (0..count).map(|row| (if each.spread.0 > 0 { rng.i64(0..each.spread.0) } else { 0 }, row)).collect();
            order.sort_unstable();
            Ok(Schedule::Every { every_us, order })
        }
        _ => Err("say how often records come: either rate (a second), or each with a table and every".into()),
    }
}

impl Cursor for Generator {
    fn due_us(&mut self) -> Result<Option<i64>, String> {
        let over = self.limit.is_some_and(|limit| self.number >= limit);
        Ok((!over).then(|| (self.moment().0 as f64 / self.speed) as i64))
    }

    fn next(&mut self) -> Result<Option<Vec<FeedRecord>>, String> {
        if self.limit.is_some_and(|limit| self.number >= limit) {
            return Ok(None);
        }
        let (moment_us, row) = self.moment();
        let row = match (&self.schedule, row) {
            (_, Some(row)) => row,
            (Schedule::Rate { rows, .. }, None) => rows.draw(&mut self.rng),
            (Schedule::Every { .. }, None) => 0,
        };
        let mut time_us = self.start_us.saturating_add(moment_us);
        if self.jitter_us > 0 {
            time_us += self.rng.i64(-self.jitter_us..=self.jitter_us);
        }
        if let Some((share, by_us)) = self.late
            && self.rng.f64() < share
            && by_us > 0
        {
            time_us -= self.rng.i64(0..by_us);
        }
        let mut picked = vec![None; self.picks];
        let mut values: Vec<Value> = Vec::with_capacity(self.fields.len());
        let mut at = Moment {
            rng: &mut self.rng,
            number: self.number,
            row,
            time_us,
            picked: &mut picked,
            memory: &mut self.memory,
            tables: &self.tables,
            each: self.each.as_deref(),
        };
        for field in &self.fields {
            let value = field.value(&mut at, &values);
            values.push(value);
        }
        let layout = self.layout_weights.draw(&mut self.rng);
        let mut value = self.write(&values, layout);
        let key = self.key.as_ref().map(|key| key.fill(|field| values[field].text()).into_bytes());
        if self.bad > 0.0 && self.rng.f64() < self.bad {
            damage(&mut value, self.format, &mut self.rng);
        }
        let record = FeedRecord { key, value };
        let twice = self.duplicates > 0.0 && self.rng.f64() < self.duplicates;
        let records = if twice { vec![record.clone(), record] } else { vec![record] };
        self.number += 1;
        Ok(Some(records))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn state(&self) -> Json {
        let memory: Vec<Json> = self
            .memory
            .iter()
            .map(|memory| match memory {
                Memory::Walk(values) => json!(values),
                Memory::Counter { values, .. } => json!(values),
            })
            .collect();
        json!({ "number": self.number, "rng": self.rng.get_seed(), "memory": memory })
    }
}

/// Cuts a record off, or puts something else in place of a field.
fn damage(value: &mut Vec<u8>, format: FeedFormat, rng: &mut fastrand::Rng) {
    if format == FeedFormat::Csv && rng.bool() {
        let fields = csv_ranges(value);
        let field = fields[rng.usize(0..fields.len())].clone();
        value.splice(field, *b"#N/A");
    } else {
        let text = String::from_utf8_lossy(value).into_owned();
        let mut end = rng.usize(0..text.len().max(1));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
    }
}
