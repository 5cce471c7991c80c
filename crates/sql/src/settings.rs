//! Names of Millstream's own settings, so that a misspelt one is told of. Spark keeps any key, so all others pass.

use crate::error::{Diagnostic, Result, edits, nearest};
use crate::source::Span;

/// Spark's key for the time zone of texts.
pub(crate) const TIME_ZONE: &str = "spark.sql.session.timeZone";

/// Keys of Spark's that mean something here, in `configuration`, SET and, but for the time zone, TBLPROPERTIES.
const SPARKS: &[&str] = &[
    TIME_ZONE,
    "mapreduce.output.fileoutputformat.compress",
    "mapreduce.output.fileoutputformat.compress.codec",
    "spark.sql.parquet.compression.codec",
];

/// Keys of `configuration` and of SET, without the prefix.
const CONFIGURATION: &[&str] = &["csv.header", "dead.letters", "idle", "lake", "on.error", "trigger"];

/// Keys of TBLPROPERTIES, without the prefix.
const PROPERTIES: &[&str] =
    &["csv.header", "late.topic", "topic", "topic.bootstrap", "topic.format", "topic.key", "trigger"];

/// Properties that are not built yet, and what does the same until then.
const PLANNED: &[(&str, &str)] = &[
    ("alert.webhook", "send the rows to a topic ('millstream.topic' = 'name') and let a consumer of it call"),
    ("alert.email", "send the rows to a topic ('millstream.topic' = 'name') and let a consumer of it write"),
    ("alert.every", "group by window(…): a notice per key and window"),
    ("postgres", "send the rows to a topic ('millstream.topic' = 'name') and let a consumer of it insert"),
    ("postgres.key", "send the rows to a topic, keyed by 'millstream.topic.key'"),
    ("output", "rows come out once they are final; a materialized view is always current"),
];

/// What a key of `configuration` or SET has to be, if it begins as ours do.
pub(crate) fn check_configuration(key: &str, span: Span) -> Result<()> {
    check(key, span, "setting", CONFIGURATION, PROPERTIES, "a property of a table: TBLPROPERTIES")?;
    match misspelt(key, CONFIGURATION) {
        Some(meant) => Err(Diagnostic::at(span, "UNKNOWN_SETTING", format!("the setting `{key}` does nothing"))
            .warning()
            .label("kept, as Spark does")
            .help(format!("did you mean `{meant}`?"))
            .into()),
        None => Ok(()),
    }
}

/// A property of a table that means nothing, although it looks as if: Spark and people keep notes there, which pass.
pub(crate) fn doubtful_property(key: &str, span: Span) -> Option<Diagnostic> {
    let as_option = |known: &&&str| known.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(key));
    let meant = misspelt(key, PROPERTIES).or_else(|| PROPERTIES.iter().find(as_option).map(|name| ours(name)))?;
    if meant == TIME_ZONE {
        return None;
    }
    let warning = Diagnostic::at(span, "UNKNOWN_PROPERTY", format!("the property `{key}` does nothing")).warning();
    Some(warning.label("kept as a note").help(format!("did you mean '{meant}'?")))
}

fn ours(name: &str) -> String {
    format!("millstream.{name}")
}

/// The key that differs from this one by its case or a slip of the pen.
fn misspelt(key: &str, names: &[&str]) -> Option<String> {
    let known: Vec<String> =
        names.iter().map(|name| ours(name)).chain(SPARKS.iter().map(|key| key.to_string())).collect();
    if known.iter().any(|known| known == key) {
        return None;
    }
    let lower = key.to_lowercase();
    known.into_iter().find(|known| edits(&lower, &known.to_lowercase()) <= 2)
}

/// What a key of TBLPROPERTIES has to be, if it begins as ours do.
pub(crate) fn check_property(key: &str, span: Span) -> Result<()> {
    check(
        key,
        span,
        "property",
        PROPERTIES,
        CONFIGURATION,
        "a setting of the whole pipeline: `configuration` in spark-pipeline.yml, or SET",
    )
}

/// What a key of OPTIONS has to be: Spark's.
pub(crate) fn check_option(key: &str, span: Span) -> Result<()> {
    check(key, span, "option", &[], &[], "")
}

fn check(key: &str, span: Span, what: &str, known: &[&str], elsewhere: &[&str], where_else: &str) -> Result<()> {
    let Some(ours) = key.strip_prefix("millstream.") else { return Ok(()) };
    if known.contains(&ours) {
        return Ok(());
    }
    if let Some((_, instead)) = PLANNED.iter().find(|(name, _)| *name == ours) {
        let error = Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("`{key}` is not supported yet"));
        return Err(error.label("not yet").help(*instead).into());
    }
    let error = Diagnostic::at(span, "UNKNOWN_PROPERTY", format!("there is no {what} `{key}`")).label("unknown");
    let help = match nearest(ours, known.iter().copied()) {
        _ if elsewhere.contains(&ours) => format!("it is {where_else}"),
        Some(near) => format!("did you mean `millstream.{near}`?"),
        None if known.is_empty() => "OPTIONS are Spark's; ours stand in TBLPROPERTIES and configuration".to_string(),
        None => format!("there are millstream.{}", known.join(", millstream.")),
    };
    Err(error.help(help).into())
}
