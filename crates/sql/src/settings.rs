//! Names of Millstream's own settings, so that a misspelt one is told of. Spark keeps any key, so all others pass.

use crate::error::{Diagnostic, Result, nearest};
use crate::source::Span;

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
    check(key, span, "setting", CONFIGURATION, PROPERTIES, "a property of a table: TBLPROPERTIES")
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
