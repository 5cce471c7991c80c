//! What a broker is told when it opens.

use std::collections::BTreeMap;
use std::fmt;

use millstream_log::Clock;

use crate::BrokerError;
use crate::configs::broker;
use crate::configs::listener::Listener;
use crate::configs::properties::Setting;
use crate::groups::consumer::assignor::Assignor;

/// Options of a broker. [`BrokerConfig::default`] is Kafka's defaults, with one partition and durable appends.
#[derive(Clone)]
pub struct BrokerConfig {
    /// `node.id`: the only node's number.
    pub node_id: i32,
    /// What was set when the broker was opened, under Kafka's names; [`BrokerConfig::from_settings`] fills the other fields from it.
    pub settings: BTreeMap<String, String>,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `auto.create.topics.enable`: a topic that a client asks for is made.
    pub auto_create_topics: bool,
    /// `num.partitions`: of topics for which nothing else is said.
    pub num_partitions: i32,
    /// `socket.request.max.bytes`: largest request that is read.
    pub request_bytes_max: usize,
    /// `queued.max.request.bytes`: memory for large requests that are received or answered, over all connections; -1: no bound.
    pub queued_request_bytes_max: i64,
    /// `connections.max.idle.ms`: a connection on which nothing happens for so long is closed.
    pub connections_idle_ms_max: u64,
    /// `fetch.max.bytes`: largest answer to a fetch; a single larger batch is still given.
    pub fetch_bytes_max: usize,
    /// `max.incremental.fetch.session.cache.slots`: most fetch sessions at a time.
    pub fetch_sessions_max: usize,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout_ms: i32,
    /// `group.max.size`: most members of a group.
    pub group_max_size: usize,
    /// `group.initial.rebalance.delay.ms`: how long a group in which nobody was waits for more members before its first assignment.
    pub group_initial_rebalance_delay_ms: i32,
    /// `group.consumer.session.timeout.ms`: silence after which a member of a group of the new protocol is removed.
    pub group_consumer_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`: how often such members are told to show themselves.
    pub group_consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.min.session.timeout.ms`: shortest session time-out that a group may be given.
    pub group_consumer_min_session_timeout_ms: i32,
    /// `group.consumer.max.session.timeout.ms`: the longest.
    pub group_consumer_max_session_timeout_ms: i32,
    /// `group.consumer.min.heartbeat.interval.ms`: shortest interval of heartbeats that a group may be given.
    pub group_consumer_min_heartbeat_interval_ms: i32,
    /// `group.consumer.max.heartbeat.interval.ms`: the longest.
    pub group_consumer_max_heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`: most members of such a group.
    pub group_consumer_max_size: usize,
    /// `group.consumer.assignors`: the default first.
    pub group_consumer_assignors: Vec<Assignor>,
    /// `offset.metadata.max.bytes`: longest note of a committed offset.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds: how long offsets are kept that nobody needs.
    pub offsets_retention_ms: i64,
    /// `transaction.max.timeout.ms`: longest time-out that a transactional producer may ask for.
    pub transaction_max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`: a transactional id that is not used for so long is forgotten.
    pub transactional_id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`: how often transactions are looked at whose time is up.
    pub transaction_abort_check_interval_ms: u64,
    /// `log.retention.check.interval.ms`: how often retention and expiry look.
    pub retention_check_interval_ms: u64,
    /// Size from which on an internal log (topics, offsets) is written anew and its past forgotten.
    pub internal_log_bytes_max: u64,
    /// `connections.max.reauth.ms`: how long a log-in holds before the client has to log in once more (KIP-368); 0: for ever.
    pub connections_max_reauth_ms: i64,
    /// `connection.failed.authentication.delay.ms`: how long the answer to a failed log-in is held back at least.
    pub failed_authentication_delay_ms: u64,
    /// `quota.window.num`: samples over which a rate is taken that a quota limits.
    pub quota_window_num: u32,
    /// `quota.window.size.seconds`: the length of such a sample.
    pub quota_window_size_seconds: u32,
    /// `controller.quota.window.num`: as `quota.window.num`, for changes of topics.
    pub controller_quota_window_num: u32,
    /// `controller.quota.window.size.seconds`.
    pub controller_quota_window_size_seconds: u32,
    /// The time in milliseconds since 1970.
    pub clock: Clock,
    /// What groups count their time-outs by: a clock that only goes on.
    pub steady_clock: Clock,
    /// Where chance comes from (member ids); a test gives a fixed one.
    pub seed: u64,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            node_id: 1,
            settings: BTreeMap::new(),
            delete_topics: true,
            auto_create_topics: true,
            num_partitions: 1,
            request_bytes_max: 100 << 20,
            queued_request_bytes_max: 256 << 20,
            connections_idle_ms_max: 600_000,
            fetch_bytes_max: 55 << 20,
            fetch_sessions_max: 1000,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_max_size: i32::MAX as usize,
            group_initial_rebalance_delay_ms: 0,
            group_consumer_session_timeout_ms: 45_000,
            group_consumer_heartbeat_interval_ms: 5_000,
            group_consumer_min_session_timeout_ms: 45_000,
            group_consumer_max_session_timeout_ms: 60_000,
            group_consumer_min_heartbeat_interval_ms: 5_000,
            group_consumer_max_heartbeat_interval_ms: 15_000,
            group_consumer_max_size: i32::MAX as usize,
            group_consumer_assignors: vec![Assignor::Uniform, Assignor::Range],
            offset_metadata_bytes_max: 4096,
            offsets_retention_ms: 7 * 86_400_000,
            transaction_max_timeout_ms: 900_000,
            transactional_id_expiration_ms: 7 * 86_400_000,
            transaction_abort_check_interval_ms: 10_000,
            retention_check_interval_ms: 60_000,
            internal_log_bytes_max: 16 << 20,
            connections_max_reauth_ms: 0,
            failed_authentication_delay_ms: 100,
            quota_window_num: 11,
            quota_window_size_seconds: 1,
            controller_quota_window_num: 11,
            controller_quota_window_size_seconds: 1,
            clock: Clock::system(),
            steady_clock: Clock::steady(),
            seed: fastrand::u64(..),
        }
    }
}

impl BrokerConfig {
    /// A configuration under Kafka's names; of a name that stands there twice the later holds.
    ///
    /// # Errors
    /// Every name that is not known and every value that is not taken, a line each, with its place and the nearest right name.
    pub fn from_settings(settings: impl IntoIterator<Item = Setting>) -> Result<Self, BrokerError> {
        let mut config = BrokerConfig::default();
        let mut wrong = Vec::new();
        let mut places = BTreeMap::new();
        let mut without_effect: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for Setting { name, value, place } in settings {
            let taken = broker::check(&name, &value).and_then(|(found, value)| {
                let has_no_effect = matches!(found.usage, broker::Use::NoEffect { .. });
                if has_no_effect && found.default != Some(value.as_str()) {
                    without_effect.entry(found.doc).or_default().push(format!("{name} ({place})"));
                }
                broker::apply(&mut config, &found, &value).map(|()| value)
            });
            match taken {
                Ok(value) => drop(config.settings.insert(name.clone(), value)),
                Err(why) => wrong.push(format!("{place}: {why}")),
            }
            places.insert(name, place);
        }
        for (why, names) in without_effect {
            tracing::warn!("without effect: {}. {why}", names.join(", "));
        }
        if let Some(dir) = config.settings.get("log.dir").cloned() {
            config.settings.entry("log.dirs".to_string()).or_insert(dir);
        }
        if let Err(why) = config.listeners() {
            let setting = why.split(':').next().unwrap_or_default();
            let place = places.get(setting).or_else(|| places.get("listeners"));
            wrong.push(format!("{}: {why}", place.map_or("default", String::as_str)));
        }
        match wrong.is_empty() {
            true => Ok(config),
            false => Err(BrokerError::InvalidConfig(wrong.join("\n"))),
        }
    }

    /// `broker.rack`: where the node stands, as clients are told.
    pub fn rack(&self) -> Option<String> {
        self.settings.get("broker.rack").filter(|rack| !rack.is_empty()).cloned()
    }

    /// `listeners`, each with what `advertised.listeners` has for it.
    ///
    /// # Errors
    /// What is wrong with them; none for a configuration of [`BrokerConfig::from_settings`].
    pub fn listeners(&self) -> Result<Vec<Listener>, String> {
        let get = |name| {
            let set = self.settings.get(name).map(String::as_str);
            set.or_else(|| broker::find(name).and_then(|found| found.default)).unwrap_or_default()
        };
        let names =
            ["listeners", "advertised.listeners", "listener.security.protocol.map", "controller.listener.names"];
        let [listeners, advertised, protocols, controllers] = names.map(get);
        Listener::parse_all(listeners, advertised, protocols, controllers)
    }
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("node_id", &self.node_id)
            .field("num_partitions", &self.num_partitions)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::properties;

    #[test]
    fn kafkas_own_example_file_is_taken() {
        let text = "process.roles=broker,controller\nnode.id=7\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
            listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
            advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
            controller.listener.names=CONTROLLER\n\
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
            num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n\
            socket.request.max.bytes=104857600\nlog.dirs=/tmp/kraft-combined-logs\nnum.partitions=3\n\
            num.recovery.threads.per.data.dir=2\noffsets.topic.replication.factor=1\n\
            transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
            share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\nlog.retention.hours=168\n\
            log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";
        let settings = properties::parse(text, "server.properties").expect("a good file");
        let config = BrokerConfig::from_settings(settings).expect("a good configuration");
        assert_eq!((config.node_id, config.num_partitions, config.retention_check_interval_ms), (7, 3, 300_000));
        assert_eq!(config.listeners().expect("good listeners").len(), 1);
    }

    #[test]
    fn a_node_of_a_larger_cluster_starts_alone_and_what_cannot_be_served_says_what_to_do() {
        let of = |text: &str| BrokerConfig::from_settings(properties::parse(text, "f").expect("a good file"));
        let config = of(
            "process.roles=broker\nnode.id=2\nbroker.rack=r\ndefault.replication.factor=3\nmin.insync.replicas=2\n\
            replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector\nlog.dir=/d\ngroup.share.max.size=3\n",
        );
        let config = config.expect("a good configuration");
        assert_eq!((config.rack().as_deref(), config.settings["log.dirs"].as_str()), (Some("r"), "/d"));
        for (line, words) in [
            ("process.roles=controller", "broker,controller"),
            ("log.dirs=/a,/b", "name one"),
            ("remote.log.storage.system.enable=true", "Tiered storage is not there."),
            ("ssl.keystore.password=x", "PEM"),
            ("sasl.jaas.config=x", "millstream users add"),
            ("listener.name.sasl_ssl.plain.sasl.jaas.config=x", "without listener.name.NAME"),
            ("group.consumer.migration.policy=bidirectional", "stop all its members first"),
            ("zookeeper.connect=localhost:2181", "ZooKeeper"),
        ] {
            let error = of(line).expect_err("it cannot be served").to_string();
            assert!(error.starts_with("f:1: ") && error.contains(words), "{error}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_place() {
        let text = "num.partition=3\n\nnum.io.threads=0\nlisteners=OTHER://:1\n";
        let settings = properties::parse(text, "f").expect("a file");
        let error = BrokerConfig::from_settings(settings).expect_err("it is wrong").to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 3, "{error}");
        assert!(lines[0].starts_with("f:1: ") && lines[0].contains(r#"is "num.partitions" meant?"#), "{error}");
        assert!(lines[1].starts_with("f:3: num.io.threads"), "{error}");
        assert!(lines[2].starts_with("f:4: listeners"), "{error}");
    }
}
