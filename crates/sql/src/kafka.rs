//! The relation `kafka`: columns and options of Spark's connector.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use millstream_functions::ddl;

use crate::error::{Diagnostic, Errors, Result, nearest};
use crate::source::Span;

/// Options of Spark's Kafka source, as Spark writes them. `kafka.*` goes to the client as it is.
const OPTIONS: &[&str] = &[
    "subscribe",
    "subscribePattern",
    "assign",
    "startingOffsets",
    "startingTimestamp",
    "startingOffsetsByTimestamp",
    "startingOffsetsByTimestampStrategy",
    "endingOffsets",
    "endingTimestamp",
    "endingOffsetsByTimestamp",
    "maxOffsetsPerTrigger",
    "minOffsetsPerTrigger",
    "maxTriggerDelay",
    "maxRecordsPerPartition",
    "minPartitions",
    "failOnDataLoss",
    "includeHeaders",
    "groupIdPrefix",
    "kafkaConsumer.pollTimeoutMs",
    "fetchOffset.numRetries",
    "fetchOffset.retryIntervalMs",
];

/// Is this topic not for users' records? Kafka's own are internal, Millstream's and the engine's (`__millstream.…`).
pub fn is_internal_topic(name: &str) -> bool {
    const INTERNAL: [&str; 5] =
        ["__cluster_metadata", "__consumer_offsets", "__metadata", "__share_group_state", "__transaction_state"];
    name.starts_with("__millstream.") || INTERNAL.contains(&name)
}

/// What is wrong with the name of a topic that is written to, if something is.
pub fn topic_fault(name: &str) -> Option<&'static str> {
    name_fault(name).or_else(|| is_internal_topic(name).then_some("it is an internal topic's"))
}

/// Kafka's rules (`Topic.validate`).
fn name_fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("'.' and '..' are not names"),
        _ if name.len() > 249 => Some("it is longer than 249 characters"),
        _ if !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c)) => {
            Some("only letters, digits, '.', '_' and '-' may stand in it")
        }
        _ => None,
    }
}

/// What a record of a topic looks like to a query.
pub(crate) fn schema(include_headers: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", ddl::timestamp(), true),
        Field::new("timestampType", DataType::Int32, true),
    ];
    if include_headers {
        let header =
            Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)]);
        let item = Field::new("item", DataType::Struct(header), true);
        fields.push(Field::new("headers", DataType::List(Arc::new(item)), true));
    }
    Arc::new(Schema::new(fields))
}

/// Checks options and gives them with keys in lower case.
pub(crate) fn options(written: &[(String, String, Span)], span: Span) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    let mut errors = Errors::default();
    let mut place = BTreeMap::new();
    for (key, value, at) in written {
        let lower = key.to_ascii_lowercase();
        if !lower.starts_with("kafka.") && !OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            let error = Diagnostic::at(*at, "UNKNOWN_OPTION", format!("kafka has no option `{key}`")).label("unknown");
            errors.append(match nearest(key, OPTIONS.iter().copied().chain(["kafka.bootstrap.servers"])) {
                Some(near) => error.help(format!("did you mean `{near}`?")).into(),
                None => error.help(format!("the options are {}, kafka.*", OPTIONS.join(", "))).into(),
            });
        }
        place.insert(lower.clone(), *at);
        options.insert(lower, value.trim().to_string());
    }
    let topics: Vec<&str> =
        ["subscribe", "subscribepattern", "assign"].into_iter().filter(|key| options.contains_key(*key)).collect();
    match topics.as_slice() {
        [_] => {}
        [] if errors.0.is_empty() => errors.append(
            Diagnostic::at(span, "MISSING_OPTION", "kafka is read without a topic")
                .label("which topic?")
                .help("WITH (subscribe = 'topic', startingOffsets = 'earliest')")
                .into(),
        ),
        [] => {}
        [first, .., last] => errors.append(
            Diagnostic::at(
                place[*last],
                "CONFLICTING_OPTIONS",
                format!("`{first}` and `{last}` both say which topics to read"),
            )
            .help("keep one of subscribe, subscribePattern and assign")
            .into(),
        ),
    }
    let topics = options.get("subscribe").map(|topics| {
        let names: Vec<&str> = topics.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() { vec![""] } else { names }
    });
    for topic in topics.into_iter().flatten() {
        // Kafka's own topics are read, but not written to.
        if let Some(fault) = name_fault(topic) {
            let error = Diagnostic::at(
                place["subscribe"],
                "INVALID_OPTION",
                format!("`subscribe` names no topic with '{topic}': {fault}"),
            );
            errors.append(error.help("subscribe = 'topic', or several with commas between").into());
        }
    }
    for key in ["maxoffsetspertrigger", "minoffsetspertrigger", "startingtimestamp", "minpartitions"] {
        if let Some(value) = options.get(key).filter(|value| value.parse::<u64>().is_err()) {
            let error = Diagnostic::at(place[key], "INVALID_OPTION", format!("`{value}` is no number"))
                .label("a whole number is wanted");
            errors.append(error.into());
        }
    }
    for key in ["failondataloss", "includeheaders"] {
        if let Some(value) =
            options.get(key).filter(|value| !["true", "false"].contains(&value.to_ascii_lowercase().as_str()))
        {
            errors.append(
                Diagnostic::at(place[key], "INVALID_OPTION", format!("`{value}` is neither true nor false")).into(),
            );
        }
    }
    if let Some(value) = options.get("startingoffsets")
        && !["earliest", "latest"].contains(&value.to_ascii_lowercase().as_str())
        && !serde_json::from_str::<BTreeMap<String, BTreeMap<String, i64>>>(value)
            .is_ok_and(|topics| !topics.is_empty())
    {
        let error = Diagnostic::at(place["startingoffsets"], "INVALID_OPTION", format!("`{value}` says no offsets"));
        errors.append(error.help(r#"earliest, latest, or JSON: {"topic": {"0": 23, "1": -2}}"#).into());
    }
    if errors.0.is_empty() { Ok(options) } else { Err(errors) }
}

/// A name for the relation: its topic where there is one.
pub(crate) fn relation_name(options: &BTreeMap<String, String>) -> String {
    let topics = options.get("subscribe").or(options.get("subscribepattern"));
    topics.cloned().unwrap_or_else(|| "kafka".to_string())
}
