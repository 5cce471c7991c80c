//! What a broker is told when it opens.

use std::collections::BTreeMap;
use std::fmt;

use millstream_log::Clock;

/// Options of a broker. [`BrokerConfig::default`] is Kafka's defaults, with one partition and durable appends.
#[derive(Clone)]
pub struct BrokerConfig {
    /// `node.id`: the only node's number.
    pub node_id: i32,
    /// `advertised.listeners`: host and port that clients are told to connect to. `None`: where they connected to, or `localhost` if that is
    /// a loopback address.
    pub advertised: Option<(String, u16)>,
    /// `auto.create.topics.enable`: a topic that a client asks for is made.
    pub auto_create_topics: bool,
    /// `num.partitions`: of topics for which nothing else is said.
    pub num_partitions: i32,
    /// Defaults for all topics, under the topics' own names (`retention.ms`, …).
    pub topic_defaults: BTreeMap<String, String>,
    /// `socket.request.max.bytes`: largest request that is read.
    pub request_bytes_max: usize,
    /// `connections.max.idle.ms`: a connection on which nothing happens for so long is closed.
    pub connections_idle_ms_max: u64,
    /// `fetch.max.bytes`: largest answer to a fetch; a single larger batch is still given.
    pub fetch_bytes_max: usize,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout_ms: i32,
    /// `group.max.size`: most members of a group.
    pub group_max_size: usize,
    /// `offset.metadata.max.bytes`: longest note of a committed offset.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds: how long offsets of a group without members are kept.
    pub offsets_retention_ms: i64,
    /// `log.retention.check.interval.ms`: how often retention and expiry look.
    pub retention_check_interval_ms: u64,
    /// Size from which on an internal log (topics, offsets) is written anew and its past forgotten.
    pub internal_log_bytes_max: u64,
    /// The time in milliseconds since 1970.
    pub clock: Clock,
    /// Where chance comes from (member ids); a test gives a fixed one.
    pub seed: u64,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            node_id: 1,
            advertised: None,
            auto_create_topics: true,
            num_partitions: 1,
            topic_defaults: BTreeMap::new(),
            request_bytes_max: 100 << 20,
            connections_idle_ms_max: 600_000,
            fetch_bytes_max: 55 << 20,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_max_size: i32::MAX as usize,
            offset_metadata_bytes_max: 4096,
            offsets_retention_ms: 7 * 86_400_000,
            retention_check_interval_ms: 60_000,
            internal_log_bytes_max: 16 << 20,
            clock: Clock::system(),
            seed: fastrand::u64(..),
        }
    }
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("node_id", &self.node_id)
            .field("advertised", &self.advertised)
            .field("num_partitions", &self.num_partitions)
            .field("topic_defaults", &self.topic_defaults)
            .finish_non_exhaustive()
    }
}
