//! The broker's configuration as clients see it: read only for now.

use super::{Kind, topic};
use crate::BrokerConfig;

/// An entry: name, kind, value, what it means.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Kafka's name.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// The value that holds.
    pub value: String,
    /// Whether it is what holds if nothing is said.
    pub is_default: bool,
    /// What it does here.
    pub doc: &'static str,
}

/// Everything that can be said of the broker, in order of names. `listener` is host and port as clients are told, `dir` the data folder.
pub fn entries(config: &BrokerConfig, listener: (&str, u16), dir: &str) -> Vec<Entry> {
    let default = BrokerConfig::default();
    let mut out = Vec::new();
    let mut put = |name, kind, value: String, is_default: bool, doc| {
        out.push(Entry { name, kind, value, is_default, doc });
    };
    let address = format!("PLAINTEXT://{}:{}", listener.0, listener.1);
    put(
        "advertised.listeners",
        Kind::String,
        address.clone(),
        config.advertised.is_none(),
        "Where clients connect to.",
    );
    put(
        "auto.create.topics.enable",
        Kind::Boolean,
        config.auto_create_topics.to_string(),
        config.auto_create_topics,
        "A topic that a client asks for is made.",
    );
    put("broker.id", Kind::Int(-1), config.node_id.to_string(), false, "The node's number.");
    put(
        "connections.max.idle.ms",
        Kind::Long(1),
        config.connections_idle_ms_max.to_string(),
        config.connections_idle_ms_max == default.connections_idle_ms_max,
        "A connection on which nothing happens for so long is closed.",
    );
    put("default.replication.factor", Kind::Int(1), "1".into(), true, "A single node keeps one copy.");
    put("delete.topic.enable", Kind::Boolean, "true".into(), true, "Topics may be deleted.");
    put(
        "fetch.max.bytes",
        Kind::Int(1024),
        config.fetch_bytes_max.to_string(),
        config.fetch_bytes_max == default.fetch_bytes_max,
        "Largest answer to a fetch.",
    );
    put("group.initial.rebalance.delay.ms", Kind::Int(0), "0".into(), true, "A new group starts at once.");
    put(
        "group.max.session.timeout.ms",
        Kind::Int(0),
        config.group_max_session_timeout_ms.to_string(),
        config.group_max_session_timeout_ms == default.group_max_session_timeout_ms,
        "Longest session time-out.",
    );
    put(
        "group.max.size",
        Kind::Int(1),
        config.group_max_size.to_string(),
        config.group_max_size == default.group_max_size,
        "Most members of a group.",
    );
    put(
        "group.min.session.timeout.ms",
        Kind::Int(0),
        config.group_min_session_timeout_ms.to_string(),
        config.group_min_session_timeout_ms == default.group_min_session_timeout_ms,
        "Shortest session time-out.",
    );
    put("listeners", Kind::String, address, false, "Where the broker listens.");
    put("log.dirs", Kind::String, dir.to_string(), false, "The data folder.");
    put(
        "log.retention.check.interval.ms",
        Kind::Long(1),
        config.retention_check_interval_ms.to_string(),
        config.retention_check_interval_ms == default.retention_check_interval_ms,
        "How often retention looks.",
    );
    put("node.id", Kind::Int(0), config.node_id.to_string(), false, "The node's number.");
    put(
        "num.partitions",
        Kind::Int(1),
        config.num_partitions.to_string(),
        config.num_partitions == default.num_partitions,
        "Partitions of topics for which nothing else is said.",
    );
    put(
        "offset.metadata.max.bytes",
        Kind::Int(0),
        config.offset_metadata_bytes_max.to_string(),
        config.offset_metadata_bytes_max == default.offset_metadata_bytes_max,
        "Longest note of a committed offset.",
    );
    put(
        "offsets.retention.minutes",
        Kind::Int(1),
        (config.offsets_retention_ms / 60_000).to_string(),
        config.offsets_retention_ms == default.offsets_retention_ms,
        "How long offsets of a group without members are kept.",
    );
    put("process.roles", Kind::List(&[]), "broker,controller".into(), true, "One process is all.");
    put(
        "socket.request.max.bytes",
        Kind::Int(1),
        config.request_bytes_max.to_string(),
        config.request_bytes_max == default.request_bytes_max,
        "Largest request that is read.",
    );
    for key in topic::KEYS.iter().filter(|key| !key.broker_name.is_empty()) {
        let own = config.topic_defaults.get(key.name);
        put(key.broker_name, key.kind, own.map_or(key.default, String::as_str).to_string(), own.is_none(), key.doc);
    }
    out.sort_by_key(|entry| entry.name);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_once_and_values_are_of_their_kind() {
        let all = entries(&BrokerConfig::default(), ("localhost", 9092), "/data");
        assert!(all.windows(2).all(|pair| pair[0].name < pair[1].name));
        for entry in all {
            assert_eq!(entry.kind.check(&entry.value), Ok(()), "{}", entry.name);
        }
    }
}
