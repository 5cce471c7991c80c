//! The options of Spark's Kafka connector, as a pipeline writes them after `WITH`.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

/// What a Kafka relation asks for.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Which topics.
    pub topics: Topics,
    /// Where a flow without progress begins.
    pub starting: Starting,
    /// At most this many records an epoch, over all partitions.
    pub max_offsets_per_trigger: Option<u64>,
    /// Stop when records that were not read are gone; otherwise go on with what is there.
    pub fail_on_data_loss: bool,
    /// `kafka.bootstrap.servers`.
    pub bootstrap: Option<String>,
    /// Every other `kafka.*` option, without the prefix: the client's own.
    pub client: BTreeMap<String, String>,
}

/// Which topics and partitions.
#[derive(Debug, Clone)]
pub enum Topics {
    /// `subscribe`: these topics.
    Names(Vec<String>),
    /// `subscribePattern`: every topic whose whole name matches.
    Pattern(Regex),
    /// `assign`: these partitions.
    Partitions(BTreeSet<(String, i32)>),
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starting {
    /// The first offset that is there.
    Earliest,
    /// After the last.
    Latest,
    /// By partition; −2 is earliest and −1 latest.
    Offsets(BTreeMap<(String, i32), i64>),
    /// The first record at or after a time (ms since 1970), one for all partitions.
    Timestamp {
        /// Milliseconds since 1970.
        timestamp_ms: i64,
        /// Where no record is that young: begin at the end, instead of an error.
        otherwise_latest: bool,
    },
    /// The same by partition.
    Timestamps {
        /// Milliseconds since 1970 by partition.
        timestamps_ms: BTreeMap<(String, i32), i64>,
        /// As above.
        otherwise_latest: bool,
    },
}

/// An option that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// None or more than one of the three ways to name topics.
    #[error("a kafka source needs exactly one of subscribe, subscribePattern and assign; {0} are given")]
    Topics(usize),
    /// A value that does not parse.
    #[error("option {option} = '{value}' of the kafka source is not understood: {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// What stands there.
        value: String,
        /// What should.
        expected: String,
    },
    /// An option that Spark has for batch queries or that we do not have.
    #[error("option {option} of the kafka source is not supported: {remedy}")]
    Unsupported {
        /// The option.
        option: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// Options that may stand there and change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "includeheaders",
    "minpartitions",
    "maxrecordsperpartition",
    "kafkaconsumer.polltimeoutms",
    "fetchoffset.numretries",
    "fetchoffset.retryintervalms",
    "groupidprefix",
    "minoffsetspertrigger",
    "maxtriggerdelay",
    "endingoffsets",
    "endingtimestamp",
    "endingoffsetsbytimestamp",
];

impl KafkaOptions {
    /// Reads options whose names are in lower case.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionsError> {
        let text = |name: &str| options.get(name).map(|v| v.trim());
        let given: Vec<&str> =
            ["subscribe", "subscribepattern", "assign"].into_iter().filter(|n| options.contains_key(*n)).collect();
        let topics = match given[..] {
            ["subscribe"] => names(text("subscribe").unwrap_or_default())?,
            ["subscribepattern"] => pattern(text("subscribepattern").unwrap_or_default())?,
            ["assign"] => assign(text("assign").unwrap_or_default())?,
            _ => return Err(OptionsError::Topics(given.len())),
        };
        let strategy = "startingOffsetsByTimestampStrategy";
        let otherwise_latest = match text("startingoffsetsbytimestampstrategy").unwrap_or("error") {
            s if s.eq_ignore_ascii_case("error") => false,
            s if s.eq_ignore_ascii_case("latest") => true,
            s => return Err(wrong(strategy, s, "error or latest")),
        };
        let starting = if let Some(ms) = text("startingtimestamp") {
            let timestamp_ms =
                ms.parse().map_err(|_| wrong("startingTimestamp", ms, "a number of milliseconds since 1970"))?;
            Starting::Timestamp { timestamp_ms, otherwise_latest }
        } else if let Some(json) = text("startingoffsetsbytimestamp") {
            let timestamps_ms = by_partition("startingOffsetsByTimestamp", json)?;
            Starting::Timestamps { timestamps_ms, otherwise_latest }
        } else {
            match text("startingoffsets").unwrap_or("latest") {
                s if s.eq_ignore_ascii_case("earliest") => Starting::Earliest,
                s if s.eq_ignore_ascii_case("latest") => Starting::Latest,
                json => Starting::Offsets(by_partition("startingOffsets", json)?),
            }
        };
        let max_offsets_per_trigger = text("maxoffsetspertrigger")
            .map(|n| match n.parse::<u64>() {
                Ok(n) if n > 0 => Ok(n),
                _ => Err(wrong("maxOffsetsPerTrigger", n, "a number above 0")),
            })
            .transpose()?;
        let fail_on_data_loss = match text("failondataloss") {
            None => true,
            Some(s) if s.eq_ignore_ascii_case("true") => true,
            Some(s) if s.eq_ignore_ascii_case("false") => false,
            Some(s) => return Err(wrong("failOnDataLoss", s, "true or false")),
        };
        let mut client = BTreeMap::new();
        for (name, value) in options {
            if let Some(name) = name.strip_prefix("kafka.") {
                client.insert(name.to_owned(), value.clone());
            } else if !KNOWN.contains(&name.as_str()) && !WITHOUT_EFFECT.contains(&name.as_str()) {
                let remedy = "see the options of Spark's Kafka connector; those of the client begin with kafka.";
                return Err(OptionsError::Unsupported { option: name.clone(), remedy });
            }
        }
        let bootstrap = client.remove("bootstrap.servers");
        Ok(Self { topics, starting, max_offsets_per_trigger, fail_on_data_loss, bootstrap, client })
    }
}

const KNOWN: &[&str] = &[
    "subscribe",
    "subscribepattern",
    "assign",
    "startingoffsets",
    "startingtimestamp",
    "startingoffsetsbytimestamp",
    "startingoffsetsbytimestampstrategy",
    "maxoffsetspertrigger",
    "failondataloss",
];

fn wrong(option: &'static str, value: &str, expected: &str) -> OptionsError {
    OptionsError::Value { option, value: value.to_owned(), expected: format!("expected {expected}") }
}

fn names(value: &str) -> Result<Topics, OptionsError> {
    let mut names: Vec<String> = value.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        Err(wrong("subscribe", value, "a topic's name, or several with commas"))
    } else {
        Ok(Topics::Names(names))
    }
}

fn pattern(value: &str) -> Result<Topics, OptionsError> {
    let whole = format!("^(?:{value})$");
    Regex::new(&whole).map(Topics::Pattern).map_err(|e| wrong("subscribePattern", value, &format!("a pattern ({e})")))
}

fn assign(value: &str) -> Result<Topics, OptionsError> {
    let expected = r#"{"topic":[0,1]}"#;
    let parsed: BTreeMap<String, Vec<i32>> =
        serde_json::from_str(value).map_err(|_| wrong("assign", value, expected))?;
    let partitions: BTreeSet<(String, i32)> =
        parsed.into_iter().flat_map(|(topic, parts)| parts.into_iter().map(move |p| (topic.clone(), p))).collect();
    if partitions.is_empty() { Err(wrong("assign", value, expected)) } else { Ok(Topics::Partitions(partitions)) }
}

fn by_partition(option: &'static str, json: &str) -> Result<BTreeMap<(String, i32), i64>, OptionsError> {
    let expected = r#"earliest, latest or {"topic":{"0":23,"1":-2}}"#;
    let parsed: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(json).map_err(|_| wrong(option, json, expected))?;
    let mut out = BTreeMap::new();
    for (topic, parts) in parsed {
        for (partition, offset) in parts {
            let partition: i32 = partition.parse().map_err(|_| wrong(option, json, expected))?;
            let offset = offset.as_i64().ok_or_else(|| wrong(option, json, expected))?;
            out.insert((topic.clone(), partition), offset);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn reads_what_spark_reads() {
        let parsed = KafkaOptions::parse(&options(&[
            ("kafka.bootstrap.servers", "localhost:9092"),
            ("kafka.security.protocol", "SSL"),
            ("subscribe", "b, a,b"),
            ("startingoffsets", r#"{"a":{"0":23,"1":-2}}"#),
            ("maxoffsetspertrigger", "100"),
            ("failondataloss", "False"),
            ("includeheaders", "true"),
        ]))
        .unwrap();
        assert!(matches!(&parsed.topics, Topics::Names(n) if n == &["a", "b"]));
        assert_eq!(
            parsed.starting,
            Starting::Offsets([(("a".to_owned(), 0), 23), (("a".to_owned(), 1), -2)].into_iter().collect())
        );
        assert_eq!(parsed.max_offsets_per_trigger, Some(100));
        assert!(!parsed.fail_on_data_loss);
        assert_eq!(parsed.bootstrap.as_deref(), Some("localhost:9092"));
        assert_eq!(parsed.client.get("security.protocol").map(String::as_str), Some("SSL"));
    }

    #[test]
    fn a_stream_begins_at_the_end_unless_told() {
        assert_eq!(KafkaOptions::parse(&options(&[("subscribe", "a")])).unwrap().starting, Starting::Latest);
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        for wrong in [
            options(&[]),
            options(&[("subscribe", "a"), ("assign", r#"{"a":[0]}"#)]),
            options(&[("subscribe", " ")]),
            options(&[("assign", "a")]),
            options(&[("subscribepattern", "(")]),
            options(&[("subscribe", "a"), ("startingoffsets", "soon")]),
            options(&[("subscribe", "a"), ("maxoffsetspertrigger", "0")]),
            options(&[("subscribe", "a"), ("failondataloss", "maybe")]),
            options(&[("subscribe", "a"), ("subscrbe", "a")]),
        ] {
            assert!(KafkaOptions::parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let parsed = KafkaOptions::parse(&options(&[("subscribepattern", "mta.*")])).unwrap();
        let Topics::Pattern(pattern) = parsed.topics else { panic!() };
        assert!(pattern.is_match("mta-turnstile") && !pattern.is_match("x-mta"));
    }
}
