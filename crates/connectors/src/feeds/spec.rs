//! What stands under `topics:` and `feeds:` in `millstream.yml`. An example with everything is in the module above.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use millstream_functions::interval::parse_interval;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::embedded::TopicSpec;

/// A feed that cannot run, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("feed {feed}: {problem}")]
pub struct FeedError {
    /// The feed's name.
    pub feed: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// A topic under `topics:`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Number of partitions; the broker's default without it.
    #[serde(default)]
    pub partitions: i32,
    /// Kafka's topic configurations.
    #[serde(default)]
    pub configs: BTreeMap<String, Scalar>,
}

impl TopicConfig {
    /// As the log takes it.
    pub fn spec(&self) -> TopicSpec {
        let configs = self.configs.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        TopicSpec { partitions: self.partitions, configs }
    }
}

/// A number, a truth value or a text. Told by how it is written and not by YAML's own rules, to which `n`, `No` and `on` are truth values.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Anything else.
    Text(String),
}

impl Scalar {
    /// By its text. A number that would be written differently (`007`, `1.50`) stays a text.
    pub fn of(text: String) -> Self {
        match text.as_str() {
            "true" => return Self::Bool(true),
            "false" => return Self::Bool(false),
            _ => {}
        }
        let scalar = match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(int), _) => Self::Int(int),
            (_, Ok(float)) if float.is_finite() => Self::Float(float),
            _ => return Self::Text(text),
        };
        if scalar.to_string() == text { scalar } else { Self::Text(text) }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::of)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            Self::Float(v) => v.fmt(f),
            Self::Text(v) => v.fmt(f),
        }
    }
}

/// A feed under `feeds:`; exactly one of `replay` and `generate`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSpec {
    /// Where the records go.
    pub topic: String,
    /// A field or column, or a template with several: `"{UNIT}/{SCP}"`.
    pub key: Option<String>,
    /// Play a file.
    pub replay: Option<ReplaySpec>,
    /// Make records up.
    pub generate: Option<GenerateSpec>,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many seconds of the data in one.
    Times(f64),
    /// As fast as they are taken.
    Max,
}

impl Default for Speed {
    fn default() -> Self {
        Self::Times(1.0)
    }
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        match text.trim_end_matches(['x', 'X']).parse::<f64>() {
            Ok(times) if times > 0.0 && times.is_finite() => Ok(Self::Times(times)),
            _ => Err(format!("speed '{text}': a number above 0 (600 plays ten minutes in a second), or max")),
        }
    }
}

impl<'de> Deserialize<'de> for Speed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Scalar::deserialize(deserializer)?.to_string().parse().map_err(D::Error::custom)
    }
}

/// A time that passes: `4 hours`, `90 seconds`, or a number of seconds. In µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span(pub i64);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Scalar::deserialize(deserializer)? {
            Scalar::Int(seconds) => format!("{seconds} seconds"),
            Scalar::Float(seconds) if seconds >= 0.0 => return Ok(Self((seconds * 1e6) as i64)),
            other => other.to_string(),
        };
        let us = parse_interval(&text).and_then(|interval| interval.fixed_us());
        match us {
            Ok(us) if us >= 0 => Ok(Self(us)),
            _ => Err(D::Error::custom(format!("'{text}' is not a duration; write it as '4 hours' or '90 seconds'"))),
        }
    }
}

/// Play a file into a topic.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaySpec {
    /// Path below the project; `.gz` is read.
    pub file: String,
    /// csv, json or text; by the file's name without it.
    pub format: Option<FeedFormat>,
    /// csv: does the first line name the columns? Yes without it.
    pub header: Option<bool>,
    /// Where the time stands; without it `rate` says how fast lines go.
    pub time: Option<OneOrMany<TimeColumn>>,
    /// Seconds of the data in one.
    #[serde(default)]
    pub speed: Speed,
    /// Lines a second, whatever their time.
    pub rate: Option<f64>,
    /// Begin anew at the end, with time stamps shifted by the file's span.
    #[serde(default, rename = "loop")]
    pub looping: bool,
    /// By how much a round shifts; without it the time from first to last, made up to whole days.
    pub span: Option<Span>,
    /// Put the lines in the order of their times first (held in memory).
    #[serde(default)]
    pub sort: bool,
}

/// A column with a time or a part of one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeColumn {
    /// Name, or position from 1 in a file without names; json: a path with dots.
    pub column: Scalar,
    /// Spark's pattern, strftime's (with %), `epoch_s` or `epoch_ms`. `yyyy-MM-dd HH:mm:ss` without it.
    pub pattern: Option<String>,
}

/// One, or a list.
#[derive(Debug, Clone, PartialEq)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one, or a list")
            }

            fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
                T::deserialize(v.into_deserializer()).map(OneOrMany::One)
            }

            fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
                T::deserialize(v.into_deserializer()).map(OneOrMany::One)
            }

            fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
                T::deserialize(v.into_deserializer()).map(OneOrMany::One)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMany::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMany::Many)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// How a record is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedFormat {
    /// Comma separated values.
    #[default]
    Csv,
    /// A JSON object.
    Json,
    /// A line as it is (replay only).
    Text,
}

/// Make records up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateSpec {
    /// Begins the chance: the same seed, the same records.
    #[serde(default)]
    pub seed: u64,
    /// csv or json.
    #[serde(default)]
    pub format: FeedFormat,
    /// Time in the records.
    #[serde(default)]
    pub clock: ClockSpec,
    /// Records a second, of wall time. Exactly one of `rate` and `each.every`.
    pub rate: Option<f64>,
    /// What the records are about.
    pub each: Option<EachSpec>,
    /// Tables that fields take values from.
    #[serde(default)]
    pub tables: BTreeMap<String, TableSpec>,
    /// The fields, in order.
    pub fields: Ordered<FieldSpec>,
    /// Layouts that take turns; without them every field is written, in order.
    #[serde(default)]
    pub layouts: Vec<LayoutSpec>,
    /// Records that are older than they should be.
    pub late: Option<LateSpec>,
    /// Share of records that come twice.
    #[serde(default)]
    pub duplicates: f64,
    /// Share of records that are damaged: cut off, or with a value that is none.
    #[serde(default)]
    pub bad: f64,
    /// End after so many records.
    pub limit: Option<u64>,
}

/// Time in generated records.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSpec {
    /// `now`, or a time; `now` goes on with the wall clock after a restart.
    #[serde(default = "now")]
    pub start: String,
    /// Seconds of it in a second.
    #[serde(default = "one")]
    pub speed: f64,
}

fn now() -> String {
    "now".to_owned()
}

fn one() -> f64 {
    1.0
}

impl Default for ClockSpec {
    fn default() -> Self {
        Self { start: now(), speed: one() }
    }
}

/// What the records are about: each is of one row of a table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EachSpec {
    /// The table.
    pub table: String,
    /// Every row has a record this often, in the records' time. Without it rows are drawn at random at `rate`.
    pub every: Option<Span>,
    /// Rows begin at different moments, within this time.
    #[serde(default)]
    pub spread: Span,
    /// A record's time differs from its moment by up to this, either way.
    #[serde(default)]
    pub jitter: Span,
    /// Column with a weight for drawing at random.
    pub weight: Option<String>,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// A csv file with a first line of names, below the project.
    pub file: Option<String>,
    /// The same inline.
    pub csv: Option<String>,
    /// So many rows with one column, `id`, from 1.
    pub count: Option<usize>,
}

/// Older than it should be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateSpec {
    /// Share of records.
    pub share: f64,
    /// By up to this.
    pub by: Span,
}

/// One way to write a record.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutSpec {
    /// Names of fields, in order.
    pub fields: Vec<String>,
    /// How often, against the others.
    #[serde(default = "one")]
    pub weight: f64,
    /// After the last field, `"\r"` for instance.
    #[serde(default)]
    pub suffix: String,
}

/// A field: exactly one of the first group, and any of the second.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// Always this.
    #[serde(rename = "const")]
    pub constant: Option<Scalar>,
    /// The column of the row that the record is about.
    pub column: Option<String>,
    /// A column of a row drawn from a table; fields with the same `as` take it from the same row.
    pub pick: Option<PickSpec>,
    /// One of these, by weights if they have some.
    pub choice: Option<ChoiceSpec>,
    /// Counts records.
    pub sequence: Option<SequenceSpec>,
    /// A random number.
    pub number: Option<NumberSpec>,
    /// A number that wanders, for each row by itself.
    pub walk: Option<WalkSpec>,
    /// A number that grows, for each row by itself, and sometimes does not.
    pub counter: Option<CounterSpec>,
    /// A number that swings with the time.
    pub wave: Option<WaveSpec>,
    /// The record's time in this pattern.
    pub time: Option<String>,
    /// Text with `{field}` in it.
    pub template: Option<String>,
    /// Open or closed by the time of day.
    pub opening: Option<OpeningSpec>,
    /// Fields within this one (json).
    pub object: Option<Ordered<FieldSpec>>,

    /// With `time`: later by this field's number of seconds.
    pub plus: Option<String>,
    /// With `number`, `counter`: a factor for each hour of the day, relative to the largest.
    pub by_hour: Option<Vec<f64>>,
    /// With `number`, `counter`, `wave`: times this column of the row.
    pub times: Option<String>,
    /// Share of records in which it is blank.
    #[serde(default)]
    pub blank: f64,
    /// Only where these fields have these values; `otherwise` where not.
    pub only_if: Option<BTreeMap<String, Scalar>>,
    /// With `only_if`; blank without it.
    pub otherwise: Option<Scalar>,
}

/// A row of a table, drawn at random.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PickSpec {
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
    /// Name of the draw; the table's without it.
    #[serde(rename = "as")]
    pub name: Option<String>,
    /// Column with weights.
    pub weight: Option<String>,
}

/// Values to choose from.
#[derive(Debug, Clone, PartialEq)]
pub enum ChoiceSpec {
    /// All alike.
    List(Vec<Scalar>),
    /// By weight.
    Weighted(Ordered<f64>),
}

impl<'de> Deserialize<'de> for ChoiceSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ChoiceSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, or values with weights")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Ordered::deserialize(MapAccessDeserializer::new(map)).map(ChoiceSpec::Weighted)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(ChoiceSpec::List)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Counts records.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceSpec {
    /// First.
    #[serde(default)]
    pub start: i64,
    /// Difference.
    #[serde(default = "one_int")]
    pub step: i64,
}

fn one_int() -> i64 {
    1
}

/// A random number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberSpec {
    /// Least.
    pub min: f64,
    /// Most.
    pub max: f64,
    /// Digits after the point.
    #[serde(default)]
    pub decimals: u8,
    /// How values lie between.
    #[serde(default)]
    pub shape: Shape,
}

/// How random numbers lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// All alike.
    #[default]
    Uniform,
    /// Around the middle.
    Normal,
    /// Most near the least, few far above.
    Skewed,
}

/// A number that wanders.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkSpec {
    /// Where it begins, or from where to where.
    pub start: OneOrMany<f64>,
    /// Largest step, either way.
    pub step: f64,
    /// Least.
    pub min: f64,
    /// Most.
    pub max: f64,
    /// Digits after the point.
    #[serde(default)]
    pub decimals: u8,
}

/// A number that grows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterSpec {
    /// From where to where it may begin.
    pub start: OneOrMany<i64>,
    /// From how much to how much it grows.
    pub step: OneOrMany<i64>,
    /// Share of records at which it begins anew near 0.
    #[serde(default)]
    pub reset: f64,
    /// Share of rows that count backwards all the time.
    #[serde(default)]
    pub backwards: f64,
}

/// A number that swings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveSpec {
    /// Least.
    pub min: f64,
    /// Most.
    pub max: f64,
    /// From peak to peak.
    pub period: Span,
    /// The first peak, after midnight of 1 January 1970 (the month and day for a year's period, the hour for a day's).
    #[serde(default)]
    pub peak: Span,
    /// Random difference, either way.
    #[serde(default)]
    pub noise: f64,
    /// Digits after the point.
    #[serde(default)]
    pub decimals: u8,
}

/// Open or closed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningSpec {
    /// Opens after midnight: `9 hours`.
    pub from: Span,
    /// Closes after midnight.
    pub to: Span,
    /// Share of records within that are closed all the same.
    #[serde(default)]
    pub down: f64,
    /// What open looks like.
    #[serde(default = "yes")]
    pub open: Scalar,
    /// What closed looks like.
    #[serde(default = "no")]
    pub closed: Scalar,
}

fn yes() -> Scalar {
    Scalar::Bool(true)
}

fn no() -> Scalar {
    Scalar::Bool(false)
}

/// A map that keeps its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if entries.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("`{name}` stands there twice")));
                    }
                    entries.push((name, value));
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}
