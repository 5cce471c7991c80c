//! What can be said about a topic, and what holds if nothing is said.

use std::collections::BTreeMap;

use millstream_protocol::records::Codec;
use std::sync::Arc;

use super::{Kind, VALUE_BYTES_MAX, broker, nearest};

/// An entry of the table.
#[derive(Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// The broker's name for the same, which sets the default of all topics; empty if there is none.
    pub broker_name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// The default.
    pub default: &'static str,
    /// What it does here.
    pub doc: &'static str,
}

const fn key(
    name: &'static str,
    broker_name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, broker_name, kind, default, doc }
}

const FOREVER: &str = "9223372036854775807";
const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// Every topic configuration, by name.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("cleanup.policy", "log.cleanup.policy", Kind::List(&["delete", "compact"]), "delete",
        "delete: old segments are removed by time and size; compact: of each key the newest record is kept."),
    key("compression.gzip.level", "compression.gzip.level", Kind::Int(-1), "-1", "Kept for clients; the level is the library's default."),
    key("compression.lz4.level", "compression.lz4.level", Kind::Int(1), "9", "Kept for clients; the level is the library's default."),
    key("compression.type", "compression.type", Kind::Choice(CODECS), "producer",
        "The codec that batches are stored with; producer: as they were sent."),
    key("compression.zstd.level", "compression.zstd.level", Kind::Int(-131072), "3", "Kept for clients; the level is the library's default."),
    key("delete.retention.ms", "log.cleaner.delete.retention.ms", Kind::Long(0), "86400000", "How long tombstones of a compacted topic are kept."),
    key("file.delete.delay.ms", "log.segment.delete.delay.ms", Kind::Long(0), "60000", "Kept for clients; removed segments go at once."),
    key("flush.messages", "log.flush.interval.messages", Kind::Long(1), "1",
        "1: every append is synced to disk before it is visible or acknowledged."),
    key("flush.ms", "log.flush.interval.ms", Kind::Long(0), "0", "0: every append is synced to disk before it is visible or acknowledged."),
    key("follower.replication.throttled.replicas", "", Kind::List(&[]), "", "Kept for clients; there are no followers on a single node."),
    key("index.interval.bytes", "log.index.interval.bytes", Kind::Int(0), "4096", "Bytes of log between two entries of the offset index."),
    key("leader.replication.throttled.replicas", "", Kind::List(&[]), "", "Kept for clients; there are no followers on a single node."),
    key("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", Kind::Long(1), FOREVER, "Longest time a record stays uncompacted."),
    key("max.message.bytes", "message.max.bytes", Kind::Int(0), "1048588", "Largest record batch that is taken, in bytes, as it was sent (compressed)."),
    key("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", Kind::Long(0), "3600000",
        "How far a record's time stamp may lie in the future."),
    key("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", Kind::Long(0), FOREVER,
        "How far a record's time stamp may lie in the past."),
    key("message.timestamp.type", "log.message.timestamp.type", Kind::Choice(&["CreateTime", "LogAppendTime"]), "CreateTime",
        "Whether records carry the producer's time or the broker's."),
    key("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", Kind::Ratio, "0.5", "Share of a log that is to be dirty before it is compacted."),
    key("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", Kind::Long(0), "0", "Shortest time a record stays uncompacted."),
    key("min.insync.replicas", "min.insync.replicas", Kind::Int(1), "1", "Kept for clients; a single node is its only replica."),
    key("preallocate", "log.preallocate", Kind::Boolean, "false", "Kept for clients."),
    key("retention.bytes", "log.retention.bytes", Kind::Long(-1), "-1", "Size of a partition beyond which its oldest segments are removed; -1: no bound."),
    key("retention.ms", "log.retention.ms", Kind::Long(-1), "604800000", "Age beyond which segments are removed; -1: no bound."),
    key("segment.bytes", "log.segment.bytes", Kind::Int(1048576), "1073741824", "Size of a segment; retention removes whole segments."),
    key("segment.index.bytes", "log.index.size.max.bytes", Kind::Int(4), "10485760", "Kept for clients; indexes grow as they are needed."),
    key("segment.jitter.ms", "log.roll.jitter.ms", Kind::Long(0), "0", "Kept for clients."),
    key("segment.ms", "log.roll.ms", Kind::Long(1), "604800000", "Age after which a new segment is begun."),
    key("unclean.leader.election.enable", "unclean.leader.election.enable", Kind::Boolean, "false", "Kept for clients; there is one replica."),
];

/// The entry with this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The value as it is kept, if the topic may be given it; the error says what is wrong and what is near.
pub fn check(name: &str, value: &str) -> Result<String, String> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("the value of {name:?} has {} bytes: at most {VALUE_BYTES_MAX}", value.len()));
    }
    match find(name) {
        Some(key) => key.kind.check(value).map_err(|why| format!("{name}={value:?}: {why}")),
        None => match nearest(name, KEYS.iter().map(|key| key.name)) {
            Some(near) => Err(format!("there is no topic configuration {name:?}; is {near:?} meant?")),
            None => Err(format!("there is no topic configuration {name:?}")),
        },
    }
}

/// All of a topic's own settings as they are kept, if each may be given and they go together.
pub fn check_all(settings: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let kept = settings.iter().map(|(name, value)| Ok((name.clone(), check(name, value)?)));
    let kept: BTreeMap<String, String> = kept.collect::<Result<_, String>>()?;
    let lag = |name: &str| kept.get(name).and_then(|value| value.parse::<i64>().ok());
    match (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms")) {
        (Some(min), Some(max)) if min > max => {
            Err(format!("min.compaction.lag.ms={min} is more than max.compaction.lag.ms={max}"))
        }
        _ => Ok(kept),
    }
}

/// Where a value comes from, as DescribeConfigs tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The topic's own.
    Topic,
    /// This broker's, changed while it ran.
    DynamicBroker,
    /// All brokers', changed while they ran.
    DynamicDefault,
    /// The broker's, from when it was opened.
    Broker,
    /// The table's.
    Default,
    /// The group's own.
    Group,
}

impl Source {
    /// Its number on the wire.
    pub fn code(self) -> i8 {
        match self {
            Source::Topic => 1,
            Source::DynamicBroker => 2,
            Source::DynamicDefault => 3,
            Source::Broker => 4,
            Source::Default => 5,
            Source::Group => 8,
        }
    }
}

/// What the broker says of all topics, under the topics' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicDefaults {
    layers: Vec<(Source, BTreeMap<String, String>)>,
}

impl TopicDefaults {
    /// The first layer that has a name wins.
    pub fn new(layers: Vec<(Source, BTreeMap<String, String>)>) -> Self {
        TopicDefaults { layers }
    }
}

/// What holds for one topic: its own settings before the broker's defaults before the table's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicConfig {
    overrides: BTreeMap<String, String>,
    defaults: Arc<TopicDefaults>,
}

/// A value that there is for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer<'a> {
    /// The name that has it: the topic's or the broker's.
    pub name: &'static str,
    /// The value.
    pub value: &'a str,
    /// Where it comes from.
    pub source: Source,
}

impl TopicConfig {
    /// `overrides` are the topic's own, `defaults` the broker's.
    pub fn new(overrides: BTreeMap<String, String>, defaults: Arc<TopicDefaults>) -> Self {
        TopicConfig { overrides, defaults }
    }

    /// The value that holds; every name of the table has one.
    pub fn get(&self, name: &str) -> &str {
        self.set(name).map(|(value, _)| value).or_else(|| find(name).map(|key| key.default)).unwrap_or_default()
    }

    /// The value that somebody set.
    fn set(&self, name: &str) -> Option<(&str, Source)> {
        let own = self.overrides.get(name).map(|value| (value.as_str(), Source::Topic));
        own.or_else(|| {
            let mut layers = self.defaults.layers.iter();
            layers.find_map(|(source, settings)| settings.get(name).map(|value| (value.as_str(), *source)))
        })
    }

    /// Every entry of the table with the value that holds and where it comes from.
    pub fn sources(&self) -> impl Iterator<Item = (&'static Key, &str, Source)> {
        KEYS.iter().map(|key| {
            let (value, source) = self.set(key.name).unwrap_or((key.default, Source::Default));
            (key, value, source)
        })
    }

    /// The values there are for an entry under the names that have them, the one that holds first.
    pub fn layers(&self, key: &'static Key) -> Vec<Layer<'_>> {
        let own = self.overrides.get(key.name);
        let own = own.map(|value| Layer { name: key.name, value, source: Source::Topic });
        if key.broker_name.is_empty() {
            return own.into_iter().collect();
        }
        let brokers = self.defaults.layers.iter().filter_map(|(source, settings)| {
            settings.get(key.name).map(|value| Layer { name: key.broker_name, value, source: *source })
        });
        let (name, default) = broker::default_name(key);
        let default = default.map(|value| Layer { name, value, source: Source::Default });
        own.into_iter().chain(brokers).chain(default).collect()
    }

    /// A number; values were checked when they were set.
    pub fn number(&self, name: &str) -> i64 {
        self.get(name).trim().parse().unwrap_or(-1)
    }

    /// Whether old segments are to be removed by time and size.
    pub fn deletes(&self) -> bool {
        self.get("cleanup.policy").split(',').any(|policy| policy.trim() == "delete")
    }

    /// Whether of each key the newest record is kept.
    pub fn compacts(&self) -> bool {
        self.get("cleanup.policy").split(',').any(|policy| policy.trim() == "compact")
    }

    /// The codec that batches are stored with; `None`: the one they came with.
    pub fn codec(&self) -> Option<Codec> {
        match self.get("compression.type") {
            "uncompressed" => Some(Codec::None),
            "gzip" => Some(Codec::Gzip),
            "snappy" => Some(Codec::Snappy),
            "lz4" => Some(Codec::Lz4),
            "zstd" => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Whether records carry the time of their append.
    pub fn log_append_time(&self) -> bool {
        self.get("message.timestamp.type") == "LogAppendTime"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in KEYS {
            assert_eq!(key.kind.check(key.default).as_deref(), Ok(key.default), "{}", key.name);
        }
        assert!(KEYS.windows(2).all(|pair| pair[0].name < pair[1].name), "the table is sorted");
    }

    #[test]
    fn a_wrong_setting_is_explained() {
        assert_eq!(
            check("retension.ms", "1").expect_err("it is wrong"),
            r#"there is no topic configuration "retension.ms"; is "retention.ms" meant?"#
        );
        assert_eq!(
            check("retention.ms", "soon").expect_err("it is wrong"),
            r#"retention.ms="soon": must be a whole number"#
        );
    }

    #[test]
    fn lags_go_together() {
        let of = |min: &str, max: &str| {
            let settings = [("min.compaction.lag.ms", min), ("max.compaction.lag.ms", max)];
            check_all(&settings.map(|(name, value)| (name.to_string(), value.to_string())).into())
        };
        assert!(of("5", "5").is_ok());
        assert!(of("6", "5").expect_err("it is wrong").contains("more than max.compaction.lag.ms=5"));
    }

    #[test]
    fn a_topics_own_setting_wins() {
        let one = |value: &str| BTreeMap::from([("retention.ms".to_string(), value.to_string())]);
        let defaults = |value| Arc::new(TopicDefaults::new(vec![(Source::Broker, one(value))]));
        assert_eq!(TopicConfig::new(one("5"), defaults("6")).number("retention.ms"), 5);
        let second = TopicConfig::new(BTreeMap::new(), defaults("6"));
        assert_eq!(second.number("retention.ms"), 6);
        let key = find("retention.ms").expect("it is there");
        let names: Vec<(&str, &str)> = second.layers(key).iter().map(|layer| (layer.name, layer.value)).collect();
        assert_eq!(names, [("log.retention.ms", "6"), ("log.retention.hours", "168")]);
        assert_eq!(TopicConfig::default().number("retention.ms"), 604_800_000);
    }
}
