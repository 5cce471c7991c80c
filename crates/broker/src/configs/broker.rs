//! What can be said about the broker, under Kafka's names. To add one: a line in [`KEYS`].

use std::collections::BTreeMap;

use super::{Kind, VALUE_BYTES_MAX, nearest, topic, without_effect};
use crate::BrokerConfig;
use crate::groups::consumer::assignor::Assignor;
use crate::limits::overrides;

/// Where a key's value stands in [`BrokerConfig`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Writes the value that holds.
    get: fn(&BrokerConfig) -> String,
    /// Takes a value that was checked; false: it does not fit after all.
    set: fn(&mut BrokerConfig, &str) -> bool,
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy)]
pub enum Use {
    /// A field of [`BrokerConfig`], set when the broker opens.
    Field(Field),
    /// Read from [`super::Dynamic`] where it is needed: may change while the broker runs.
    Dynamic,
    /// Read from [`BrokerConfig::settings`] when the broker opens.
    Start,
    /// Taken, so that a file made for Kafka works, and without effect ([`super::without_effect`]).
    NoEffect {
        /// May be changed while the broker runs.
        is_dynamic: bool,
    },
}

/// An entry of the table.
#[derive(Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// The default; `None`: there is no value.
    pub default: Option<&'static str>,
    /// What becomes of it.
    pub usage: Use,
    /// What it does here.
    pub doc: &'static str,
}

macro_rules! field {
    ($field:ident) => {
        Use::Field(Field {
            get: |config| config.$field.to_string(),
            set: |config, value| value.trim().parse().map(|value| config.$field = value).is_ok(),
        })
    };
}

pub(super) const fn key(name: &'static str, kind: Kind, default: &'static str, usage: Use, doc: &'static str) -> Key {
    Key { name, kind, default: Some(default), usage, doc }
}

pub(super) const fn without(name: &'static str, kind: Kind, usage: Use, doc: &'static str) -> Key {
    Key { name, kind, default: None, usage, doc }
}

/// Every broker configuration that does something, but for those that are defaults of topics ([`topic::KEYS`] has their names), by name.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("advertised.listeners", Kind::List(&[]), "", Use::Start, "Where clients connect to, for each listener; what is not named: where they came in."),
    key("allow.everyone.if.no.acl.found", Kind::Boolean, "false", Use::Start, "With an authorizer: what no rule speaks of is open to everybody."),
    key("authorizer.class.name", Kind::Choice(&["", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"]), "", Use::Start, "Switches the authorizer on: then nobody may do what no rule (ACL) allows."),
    key("auto.create.topics.enable", Kind::Boolean, "true", field!(auto_create_topics), "A topic that a client asks for is made."),
    key("broker.id", Kind::Int(0), "1", field!(node_id), "The node's number; node.id is its other name."),
    without("broker.rack", Kind::String, Use::Start, "Where the node stands, as clients are told."),
    key("connection.failed.authentication.delay.ms", Kind::Int(0), "100", field!(failed_authentication_delay_ms), "How long the answer to a failed log-in is held back at least, which grows with each, and the end of a connection whose TLS handshake failed."),
    key("connections.max.idle.ms", Kind::Long(1), "600000", field!(connections_idle_ms_max), "A connection on which nothing happens for so long is closed."),
    key("connections.max.reauth.ms", Kind::Long(0), "0", field!(connections_max_reauth_ms), "How long a log-in holds before the client has to log in once more; 0: for ever."),
    key("controller.listener.names", Kind::List(&[]), "", Use::Start, "These listeners are passed over: there is no other node."),
    key("controller.quota.window.num", Kind::Int(1), "11", field!(controller_quota_window_num), "As quota.window.num, for changes of topics: what is not used may be used at once."),
    key("controller.quota.window.size.seconds", Kind::Int(1), "1", field!(controller_quota_window_size_seconds), "As quota.window.size.seconds, for changes of topics."),
    key("delete.topic.enable", Kind::Boolean, "true", field!(delete_topics), "Topics may be deleted."),
    key("fetch.max.bytes", Kind::Int(1024), "57671680", field!(fetch_bytes_max), "Largest answer to a fetch; a single larger batch is still given."),
    key("group.consumer.assignors", Kind::List(&["uniform", "range"]), "uniform,range", Use::Field(Field {
        get: |config| config.group_consumer_assignors.iter().map(|assignor| assignor.name()).collect::<Vec<_>>().join(","),
        set: |config, value| {
            let all: Option<Vec<_>> = value.split(',').map(|name| Assignor::from_name(name.trim())).collect();
            all.map(|all| config.group_consumer_assignors = all).is_some()
        },
    }), "Assignors of groups of the new protocol (KIP-848), the default first."),
    key("group.consumer.heartbeat.interval.ms", Kind::Int(1), "5000", field!(group_consumer_heartbeat_interval_ms), "How often members of groups of the new protocol are told to show themselves."),
    key("group.consumer.max.heartbeat.interval.ms", Kind::Int(1), "15000", field!(group_consumer_max_heartbeat_interval_ms), "Longest consumer.heartbeat.interval.ms of a group."),
    key("group.consumer.max.session.timeout.ms", Kind::Int(1), "60000", field!(group_consumer_max_session_timeout_ms), "Longest consumer.session.timeout.ms of a group."),
    key("group.consumer.max.size", Kind::Int(1), "2147483647", field!(group_consumer_max_size), "Most members of a group of the new protocol."),
    key("group.consumer.min.heartbeat.interval.ms", Kind::Int(1), "5000", field!(group_consumer_min_heartbeat_interval_ms), "Shortest consumer.heartbeat.interval.ms of a group."),
    key("group.consumer.min.session.timeout.ms", Kind::Int(1), "45000", field!(group_consumer_min_session_timeout_ms), "Shortest consumer.session.timeout.ms of a group."),
    key("group.consumer.session.timeout.ms", Kind::Int(1), "45000", field!(group_consumer_session_timeout_ms), "Silence after which a member of a group of the new protocol is removed."),
    key("group.initial.rebalance.delay.ms", Kind::Int(0), "0", field!(group_initial_rebalance_delay_ms), "How long a classic group in which nobody was waits for more members, anew with each that comes, before its first assignment. 0, as in Kafka's quick start: on one machine the wait is felt, a second assignment is not."),
    key("group.max.session.timeout.ms", Kind::Int(0), "1800000", field!(group_max_session_timeout_ms), "Longest session time-out."),
    key("group.max.size", Kind::Int(1), "2147483647", field!(group_max_size), "Most members of a group."),
    key("group.min.session.timeout.ms", Kind::Int(0), "6000", field!(group_min_session_timeout_ms), "Shortest session time-out."),
    key("listener.security.protocol.map", Kind::List(&[]), "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Use::Start, "What is spoken on each listener."),
    key("listeners", Kind::List(&[]), "PLAINTEXT://:9092", Use::Start, "Where the broker listens, each NAME://HOST:PORT; without a host: everywhere, on IPv4 and IPv6."),
    key("log.cleaner.backoff.ms", Kind::Long(0), "15000", Use::Dynamic, "Pause between two looks for topics to be compacted."),
    key("log.cleaner.dedupe.buffer.size", Kind::Long(1), "134217728", Use::Dynamic, "Most memory for the keys of a topic that is compacted, in bytes; more keys take several passes."),
    without("log.dir", Kind::String, Use::Start, "The data folder, unless log.dirs is set."),
    without("log.dirs", Kind::String, Use::Start, "The data folder; one."),
    key("log.retention.check.interval.ms", Kind::Long(1), "60000", field!(retention_check_interval_ms), "How often retention and expiry look."),
    key("log.retention.hours", Kind::Int(-1), "168", Use::Start, "Age beyond which segments are removed, unless log.retention.minutes or log.retention.ms is set."),
    without("log.retention.minutes", Kind::Int(-1), Use::Start, "Age beyond which segments are removed, unless log.retention.ms is set."),
    key("log.roll.hours", Kind::Int(1), "168", Use::Start, "Age after which a new segment is begun, unless log.roll.ms is set."),
    key("log.roll.jitter.hours", Kind::Int(0), "0", Use::Start, "As log.roll.jitter.ms, in hours."),
    key("max.connections", Kind::Int(0), "2147483647", Use::Dynamic, "Most connections; beyond, new ones wait until one ends."),
    key("max.connections.per.ip", Kind::Int(0), "2147483647", Use::Dynamic, "Most connections from one address; beyond, new ones are closed at once."),
    key("max.connections.per.ip.overrides", Kind::List(&[]), "", Use::Dynamic, "Bounds of single addresses: ADDRESS:COUNT, with commas between."),
    key("max.incremental.fetch.session.cache.slots", Kind::Int(0), "1000", field!(fetch_sessions_max), "Most incremental fetch sessions at a time (KIP-227)."),
    key("node.id", Kind::Int(0), "1", field!(node_id), "The node's number."),
    key("num.partitions", Kind::Int(1), "1", field!(num_partitions), "Partitions of topics for which nothing else is said."),
    key("offset.metadata.max.bytes", Kind::Int(0), "4096", field!(offset_metadata_bytes_max), "Longest note of a committed offset."),
    key("offsets.retention.minutes", Kind::Int(1), "10080", Use::Field(Field {
        get: |config| (config.offsets_retention_ms / 60_000).to_string(),
        set: |config, value| value.trim().parse::<i64>().map(|minutes| config.offsets_retention_ms = minutes * 60_000).is_ok(),
    }), "How long offsets are kept that nobody needs: those of a group without members, and of topics that no member is subscribed to."),
    key("producer.id.expiration.ms", Kind::Int(1), "86400000", Use::Dynamic, "A producer that is silent for so long is forgotten."),
    key("queued.max.request.bytes", Kind::Long(-1), "268435456", field!(queued_request_bytes_max), "Memory for large requests that are received or answered, over all connections; -1: no bound."),
    key("quota.window.num", Kind::Int(1), "11", field!(quota_window_num), "Samples over which a rate is taken that a quota limits."),
    key("quota.window.size.seconds", Kind::Int(1), "1", field!(quota_window_size_seconds), "The length of such a sample."),
    key("sasl.enabled.mechanisms", Kind::List(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]), "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", Use::Start, "Ways to log in on listeners with SASL."),
    key("socket.request.max.bytes", Kind::Int(1), "104857600", field!(request_bytes_max), "Largest request that is read."),
    key("ssl.client.auth", Kind::Choice(&["none", "requested", "required"]), "none", Use::Start, "Whether clients of SSL listeners show a certificate; its subject is who they are. On SASL_SSL listeners none is asked for (KIP-684): there the log-in says who they are."),
    without("ssl.keystore.location", Kind::String, Use::Start, "The broker's private key and certificates in a PEM file; read again when it changes, and at once when it is set to the same name."),
    without("ssl.truststore.location", Kind::String, Use::Start, "Authorities of clients' certificates in a PEM file; read again when it changes, and at once when it is set to the same name."),
    key("super.users", Kind::String, "", Use::Start, "Who may do everything: User:NAME, semicolons between."),
    key("transaction.abort.timed.out.transaction.cleanup.interval.ms", Kind::Int(1), "10000", field!(transaction_abort_check_interval_ms), "How often transactions are looked at whose time is up."),
    key("transaction.max.timeout.ms", Kind::Int(1), "900000", field!(transaction_max_timeout_ms), "Longest time-out that a transactional producer may ask for."),
    key("transactional.id.expiration.ms", Kind::Int(1), "604800000", field!(transactional_id_expiration_ms), "A transactional id that is not used for so long is forgotten."),
];

/// Names of Kafka that cannot be taken: who sets them must know. With a dot at the end, all that begin so.
pub(crate) const UNUSABLE: &[(&str, &str)] = &[
    ("alter.config.policy.class.name", "classes of Java cannot be loaded: take it out"),
    ("broker.id.generation.enable", "Kafka 4 has it no more: set node.id"),
    ("client.quota.callback.class", "classes of Java cannot be loaded: take it out"),
    ("create.topic.policy.class.name", "classes of Java cannot be loaded: take it out"),
    ("delegation.token.", "delegation tokens are not there: take it out"),
    ("inter.broker.protocol.version", "Kafka 4 has it no more: take it out"),
    (
        "listener.name.",
        "listeners have no configurations of their own: set it without listener.name.NAME, for all of them",
    ),
    ("log.message.format.version", "Kafka 4 has it no more: take it out"),
    ("port", "write listeners=PLAINTEXT://:PORT"),
    ("reserved.broker.max.id", "Kafka 4 has it no more: take it out"),
    ("sasl.jaas.config", "users are not kept in the file: take it out, and make them with `millstream users add NAME`"),
    ("sasl.oauthbearer.", "OAUTHBEARER is not there; sasl.enabled.mechanisms says how to log in: take it out"),
    ("sasl.server.callback.handler.class", "classes of Java cannot be loaded: take it out"),
    ("ssl.engine.factory.class", "classes of Java cannot be loaded: take it out"),
    (
        "ssl.key.password",
        "private keys with a password cannot be read: take it out, and name a PEM file without one in ssl.keystore.location",
    ),
    (
        "ssl.keystore.certificate.chain",
        "write key and certificates to a PEM file, and name it in ssl.keystore.location",
    ),
    ("ssl.keystore.key", "write key and certificates to a PEM file, and name it in ssl.keystore.location"),
    (
        "ssl.keystore.password",
        "stores with a password cannot be read: take it out, and name a PEM file in ssl.keystore.location",
    ),
    ("ssl.truststore.certificates", "write the certificates to a PEM file, and name it in ssl.truststore.location"),
    (
        "ssl.truststore.password",
        "stores with a password cannot be read: take it out, and name a PEM file in ssl.truststore.location",
    ),
    ("zookeeper.", "there is no ZooKeeper: take it out"),
];

/// Topic settings whose broker's name has no value unless it is set: another unit has the default.
const IN_OTHER_UNITS: &[(&str, &[(&str, i64)])] = &[
    ("retention.ms", &[("log.retention.minutes", 60_000), ("log.retention.hours", 3_600_000)]),
    ("segment.ms", &[("log.roll.hours", 3_600_000)]),
    ("segment.jitter.ms", &[("log.roll.jitter.hours", 3_600_000)]),
];

/// A broker configuration, also one that is a default of topics.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Kafka's name.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// The default.
    pub default: Option<&'static str>,
    /// What becomes of it.
    pub usage: Use,
    /// What it does here.
    pub doc: &'static str,
}

impl Found {
    fn of_topic(key: &'static topic::Key) -> Self {
        let named_elsewhere = IN_OTHER_UNITS.iter().any(|(name, _)| *name == key.name);
        Found {
            name: key.broker_name,
            kind: key.kind,
            default: (!named_elsewhere).then_some(key.default),
            usage: Use::Dynamic,
            doc: key.doc,
        }
    }

    /// Whether it may change while the broker runs.
    pub fn is_dynamic(&self) -> bool {
        matches!(self.usage, Use::Dynamic | Use::NoEffect { is_dynamic: true })
    }

    /// The value with which the broker was opened, and whether somebody set it.
    pub fn at_start(&self, config: &BrokerConfig) -> (Option<String>, bool) {
        let stated = config.settings.get(self.name);
        match self.usage {
            Use::Field(field) => {
                let value = (field.get)(config);
                let is_set = stated.is_some() || self.default != Some(value.as_str());
                (Some(value), is_set)
            }
            _ => (stated.cloned().or_else(|| self.default.map(str::to_string)), stated.is_some()),
        }
    }
}

/// Every broker configuration, in order of names.
pub fn all() -> Vec<Found> {
    let own = KEYS.iter().chain(without_effect::KEYS).map(|key| Found {
        name: key.name,
        kind: key.kind,
        default: key.default,
        usage: key.usage,
        doc: key.doc,
    });
    let of_topics = topic::KEYS.iter().filter(|key| !key.broker_name.is_empty()).map(Found::of_topic);
    let mut all: Vec<Found> = own.chain(of_topics).collect();
    all.sort_by_key(|found| found.name);
    all
}

/// The configuration with this name.
pub fn find(name: &str) -> Option<Found> {
    all().into_iter().find(|found| found.name == name)
}

/// The configuration and the value as it is kept, if the broker may be given it; the error says what is wrong and what is near.
pub fn check(name: &str, value: &str) -> Result<(Found, String), String> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("the value of {name} has {} bytes: at most {VALUE_BYTES_MAX}", value.len()));
    }
    let Some(found) = find(name) else {
        if let Some((_, why)) =
            UNUSABLE.iter().find(|(start, _)| name == *start || (start.ends_with('.') && name.starts_with(start)))
        {
            return Err(format!("{name}: {why}"));
        }
        return Err(match nearest(name, all().iter().map(|found| found.name)) {
            Some(near) => format!("there is no broker configuration {name:?}; is {near:?} meant?"),
            None => format!("there is no broker configuration {name:?}"),
        });
    };
    let kept = found.kind.check(value).map_err(|why| match (found.usage, found.kind) {
        // The table says why there is no choice.
        (Use::NoEffect { .. }, Kind::Exactly(word)) => {
            format!("{name}={value:?}: {} Only {word:?} is taken.", found.doc)
        }
        _ => format!("{name}={value:?}: {why}"),
    })?;
    if matches!(name, "log.dir" | "log.dirs") && value.contains(',') {
        return Err(format!("{name}={value:?}: one data folder holds everything; name one"));
    }
    if name == "max.connections.per.ip.overrides"
        && let Some(why) = overrides(&kept).find_map(Result::err)
    {
        return Err(format!("{name}: {why}"));
    }
    Ok((found, kept))
}

/// Takes a value that was checked into the field that it belongs to.
pub(crate) fn apply(config: &mut BrokerConfig, found: &Found, value: &str) -> Result<(), String> {
    match found.usage {
        Use::Field(field) if !(field.set)(config, value) => Err(format!("{}={value:?} is too large", found.name)),
        _ => Ok(()),
    }
}

/// What settings of the broker say of all topics, under the topics' names.
pub(crate) fn topic_defaults(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for key in topic::KEYS.iter().filter(|key| !key.broker_name.is_empty()) {
        if let Some(value) = settings.get(key.broker_name) {
            out.insert(key.name.to_string(), value.clone());
            continue;
        }
        let units = IN_OTHER_UNITS.iter().find(|(name, _)| *name == key.name).map_or(&[][..], |(_, units)| units);
        let stated = units.iter().find_map(|(name, ms)| Some((settings.get(*name)?.trim().parse::<i64>().ok()?, ms)));
        if let Some((value, ms)) = stated {
            let ms = if value < 0 { -1 } else { value.saturating_mul(*ms) };
            out.insert(key.name.to_string(), ms.to_string());
        }
    }
    out
}

/// The name under which a topic's default stands if nobody set it: `log.retention.hours` for `retention.ms`, otherwise the broker's name for it.
pub(crate) fn default_name(key: &topic::Key) -> (&'static str, Option<&'static str>) {
    let units = IN_OTHER_UNITS.iter().find(|(name, _)| *name == key.name);
    match units.and_then(|(_, units)| units.last()) {
        Some((name, _)) => (name, find(name).and_then(|found| found.default)),
        None => (key.broker_name, Some(key.default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_once_and_values_are_of_their_kind() {
        for table in [KEYS, without_effect::KEYS] {
            assert!(table.windows(2).all(|pair| pair[0].name < pair[1].name), "the table is sorted");
        }
        let all = all();
        assert!(all.windows(2).all(|pair| pair[0].name < pair[1].name));
        let config = BrokerConfig::default();
        for found in all {
            let (value, is_set) = found.at_start(&config);
            assert!(!is_set, "{}: {value:?} is not the default {:?}", found.name, found.default);
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                assert!(found.kind.check(&value).is_ok(), "{}", found.name);
            }
        }
    }

    #[test]
    fn a_wrong_name_is_explained() {
        assert_eq!(
            check("log.retention.hour", "1").expect_err("it is wrong"),
            r#"there is no broker configuration "log.retention.hour"; is "log.retention.hours" meant?"#
        );
        assert!(check("zookeeper.connect", "a:1").expect_err("it is wrong").contains("ZooKeeper"));
        let why = check("max.connections.per.ip.overrides", "1.2.3.4:7, db:5").expect_err("hosts are not looked up");
        assert!(why.contains("\"db:5\""), "{why}");
        assert!(check("max.connections.per.ip.overrides", "1.2.3.4:7,[::1]:5").is_ok());
        assert!(check("ssl.enabled.protocols", "TLSv1.3").expect_err("it is wrong").contains("both"));
    }

    #[test]
    fn a_finer_unit_wins() {
        let of = |settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            topic_defaults(&settings).get("retention.ms").cloned()
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("log.retention.hours", "2")]).as_deref(), Some("7200000"));
        assert_eq!(of(&[("log.retention.hours", "2"), ("log.retention.minutes", "1")]).as_deref(), Some("60000"));
        assert_eq!(of(&[("log.retention.hours", "-1")]).as_deref(), Some("-1"));
        assert_eq!(of(&[("log.retention.hours", "2"), ("log.retention.ms", "5")]).as_deref(), Some("5"));
    }
}
