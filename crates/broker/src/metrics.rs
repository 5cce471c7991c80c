//! Metrics in Prometheus' text format. Names are stable; how many series there are is bounded, whatever clients do.
//!
//! | name | kind | what |
//! | --- | --- | --- |
//! | `millstream_requests_total{api}` | counter | requests of clients |
//! | `millstream_connections` | gauge | open connections |
//! | `millstream_request_memory_bytes` | gauge | memory of large requests in flight, of `queued.max.request.bytes` |
//! | `millstream_fetch_sessions`, `millstream_fetch_session_partitions` | gauge | incremental fetch sessions |
//! | `millstream_groups{kind,state}` | gauge | groups |
//! | `millstream_throttled_total{quota}`, `millstream_throttled_ms_total{quota}` | counter | how often clients were made to wait by a quota, and how long |
//! | `millstream_muted_connections` | gauge | connections that wait |
//! | `millstream_quota_clients` | gauge | users, client ids and addresses that are counted for quotas |
//! | `millstream_failed_logins_total` | counter | log-ins by SASL that failed |
//! | `millstream_acl_denials_total` | counter | what clients asked for and may not do |
//! | `millstream_topics`, `millstream_partitions` | gauge | what there is, internal topics too |
//! | `millstream_topics_refusing` | gauge | topics for which the storage refuses records |
//! | `millstream_topic_records_in_total{topic}`, `…_bytes_in_total`, `…_records_out_total`, `…_bytes_out_total` | counter | what went through a topic |
//! | `millstream_topic_records{topic}`, `millstream_topic_size_bytes{topic}` | gauge | what is in a topic |

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millstream_protocol::ApiKey;

use crate::Broker;
use crate::quotas::ThrottledStats;
use crate::stats::TopicStats;

/// Topics with series of their own; all others are one series, `topic=""`.
const TOPICS_MAX: usize = 1000;

/// Requests by API.
#[derive(Debug)]
pub(crate) struct Requests(Vec<AtomicU64>);

impl Default for Requests {
    fn default() -> Self {
        let last = ApiKey::ALL.iter().map(|key| key.code() as usize).max().unwrap_or(0);
        Requests((0..=last).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Requests {
    /// One more; a key that nobody knows is not counted.
    pub fn count(&self, api_key: i16) {
        if let Some(counter) = usize::try_from(api_key).ok().and_then(|index| self.0.get(index)) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

impl Broker {
    /// All metrics of the broker, in Prometheus' text format (version 0.0.4).
    pub fn metrics_text(&self) -> String {
        let mut out = Text::default();
        let requests = ApiKey::ALL.iter().filter_map(|key| {
            let count = self.requests.0[key.code() as usize].load(Relaxed);
            (count > 0).then(|| (labels(&[("api", key.name())]), count))
        });
        out.family("requests_total", "counter", "Requests of clients.", requests);
        out.one("connections", "Open connections.", self.connections.len() as u64);
        let memory = self.request_memory.used().max(0) as u64;
        out.one("request_memory_bytes", "Memory of large requests in flight.", memory);
        let (sessions, partitions) = self.fetch_sessions.len();
        out.one("fetch_sessions", "Incremental fetch sessions.", sessions as u64);
        out.one("fetch_session_partitions", "Partitions of fetch sessions.", partitions as u64);
        let mut groups: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for group in self.groups.list() {
            *groups.entry((group.kind.name(), group.state)).or_default() += 1;
        }
        let groups =
            groups.into_iter().map(|((kind, state), count)| (labels(&[("kind", kind), ("state", state)]), count));
        out.family("groups", "gauge", "Groups.", groups);
        let throttled = self.quotas.stats();
        let of_each = |figure: fn(&ThrottledStats) -> u64| {
            let series = throttled.iter().filter(|one| one.1 > 0);
            series.map(move |one| (labels(&[("quota", one.0)]), figure(one))).collect::<Vec<_>>()
        };
        out.family(
            "throttled_total",
            "counter",
            "How often clients were made to wait by a quota.",
            of_each(|one| one.1),
        );
        out.family("throttled_ms_total", "counter", "Milliseconds that they were made to wait.", of_each(|one| one.2));
        let (muted, counted) = self.quotas.len();
        out.one("muted_connections", "Connections that wait because of a quota.", muted as u64);
        out.one("quota_clients", "Users, client ids and addresses that are counted for quotas.", counted as u64);
        let counts = &self.security.counts;
        out.total("failed_logins_total", "Log-ins by SASL that failed.", counts.failed_logins.load(Relaxed));
        out.total("acl_denials_total", "What clients asked for and may not do.", counts.denials.load(Relaxed));
        let topics = self.topic_stats();
        out.one("topics", "Topics, internal ones too.", topics.len() as u64);
        let partitions = topics.iter().map(|topic| u64::from(topic.partitions.unsigned_abs())).sum();
        out.one("partitions", "Partitions, of internal topics too.", partitions);
        let refusing = topics.iter().filter(|topic| topic.refused.is_some()).count();
        out.one("topics_refusing", "Topics for which the storage refuses records.", refusing as u64);
        out.topics(&topics);
        out.0
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str, series: impl IntoIterator<Item = (String, u64)>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP millstream_{name} {help}\n# TYPE millstream_{name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(self.0, "millstream_{name}{labels} {value}");
        }
    }

    fn one(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help, [(String::new(), value)]);
    }

    fn total(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, [(String::new(), value)]);
    }

    fn topics(&mut self, topics: &[TopicStats]) {
        type Of = fn(&TopicStats) -> u64;
        let families: [(&str, &str, &str, Of); 6] = [
            ("topic_records_in_total", "counter", "Records produced.", |topic| topic.records_in),
            ("topic_bytes_in_total", "counter", "Bytes produced.", |topic| topic.bytes_in),
            ("topic_records_out_total", "counter", "Records fetched.", |topic| topic.records_out),
            ("topic_bytes_out_total", "counter", "Bytes fetched.", |topic| topic.bytes_out),
            ("topic_records", "gauge", "Records there are.", |topic| topic.records),
            ("topic_size_bytes", "gauge", "Bytes on disk.", |topic| topic.size_bytes),
        ];
        let (named, others) = topics.split_at(topics.len().min(TOPICS_MAX));
        for (name, kind, help, of) in families {
            let each = named.iter().map(|topic| (labels(&[("topic", &topic.name)]), of(topic)));
            let rest = (!others.is_empty()).then(|| (labels(&[("topic", "")]), others.iter().map(of).sum()));
            self.family(name, kind, help, each.chain(rest));
        }
    }
}

fn labels(all: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = all.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded_and_labels_escaped() {
        assert_eq!(labels(&[("a", "x\"y"), ("b", "z")]), r#"{a="x\"y",b="z"}"#);
        let topic = |number: usize| TopicStats {
            name: format!("t{number}"),
            internal: false,
            partitions: 1,
            records_in: 1,
            bytes_in: 0,
            records_out: 0,
            bytes_out: 0,
            records: 0,
            size_bytes: 0,
            relaxed: false,
            refused: None,
        };
        let topics: Vec<TopicStats> = (0..TOPICS_MAX + 5).map(topic).collect();
        let mut out = Text::default();
        out.topics(&topics);
        assert_eq!(
            out.0.lines().filter(|line| line.starts_with("millstream_topic_records_in_total")).count(),
            TOPICS_MAX + 1
        );
        assert!(out.0.contains("millstream_topic_records_in_total{topic=\"\"} 5\n"));
    }
}
