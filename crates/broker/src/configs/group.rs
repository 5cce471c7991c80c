//! What can be said about a group of the new protocol (KIP-848): a value of its own instead of the broker's. What Kafka has for share and
//! streams groups is not there, since they are not.

use super::{Kind, Settings, VALUE_BYTES_MAX, nearest};
use crate::BrokerConfig;

/// An entry of the table.
#[derive(Debug)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// The broker's name for the same, whose value holds for groups that say nothing.
    pub broker_name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// What it does here.
    pub doc: &'static str,
}

/// How often members are told to show themselves, ms.
pub const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
/// Silence after which a member is removed, ms.
pub const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";

/// Every configuration of groups, by name.
pub const KEYS: &[Key] = &[
    Key {
        name: "consumer.assignment.interval.ms",
        broker_name: "group.consumer.assignment.interval.ms",
        kind: Kind::Int(0),
        doc: "Kept for clients; an assignment is made as soon as there is reason.",
    },
    Key {
        name: HEARTBEAT_INTERVAL,
        broker_name: "group.consumer.heartbeat.interval.ms",
        kind: Kind::Int(1),
        doc: "How often members of the group are told to show themselves.",
    },
    Key {
        name: SESSION_TIMEOUT,
        broker_name: "group.consumer.session.timeout.ms",
        kind: Kind::Int(1),
        doc: "Silence after which a member of the group is removed.",
    },
];

/// The entry with this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The value as it is kept, if a group may be given it; the error says what is wrong and what is near.
pub fn check(config: &BrokerConfig, name: &str, value: &str) -> Result<String, String> {
    let Some(key) = find(name) else { return Err(unknown(name)) };
    if value.len() > VALUE_BYTES_MAX {
        return Err(format!("the value of {name} has {} bytes: at most {VALUE_BYTES_MAX}", value.len()));
    }
    let kept = key.kind.check(value).map_err(|why| format!("{name}={value:?}: {why}"))?;
    let (value, (least, most)) = (kept.parse::<i32>().unwrap_or(-1), bounds(config, name));
    let of_broker = |which| key.broker_name.replacen("consumer.", which, 1);
    if value < least {
        return Err(format!("{name} must be greater than or equal to {}={least}", of_broker("consumer.min.")));
    }
    if value > most {
        return Err(format!("{name} must be less than or equal to {}={most}", of_broker("consumer.max.")));
    }
    Ok(kept)
}

/// Why there is no such configuration.
pub fn unknown(name: &str) -> String {
    match nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("there is no group configuration {name:?}; is {near:?} meant?"),
        None if name.starts_with("share.") => format!("{name}: share groups are not there"),
        None if name.starts_with("streams.") => format!("{name}: streams groups are not there"),
        None => format!("there is no group configuration {name:?}"),
    }
}

/// A group's own number, if it has one; within what the broker allows now.
pub fn number(config: &BrokerConfig, settings: &Settings, name: &str) -> Option<i32> {
    let (least, most) = bounds(config, name);
    let value: i32 = settings.get(name)?.trim().parse().ok()?;
    Some(value.min(most).max(least))
}

fn bounds(config: &BrokerConfig, name: &str) -> (i32, i32) {
    match name {
        HEARTBEAT_INTERVAL => {
            (config.group_consumer_min_heartbeat_interval_ms, config.group_consumer_max_heartbeat_interval_ms)
        }
        SESSION_TIMEOUT => (config.group_consumer_min_session_timeout_ms, config.group_consumer_max_session_timeout_ms),
        _ => (0, 15_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::broker;

    #[test]
    fn every_key_has_a_number_of_the_broker_behind_it() {
        for key in KEYS {
            let found = broker::find(key.broker_name).expect("it is there");
            let default = found.default.expect("a default");
            assert_eq!(check(&BrokerConfig::default(), key.name, default).as_deref(), Ok(default));
        }
        assert!(KEYS.windows(2).all(|pair| pair[0].name < pair[1].name), "the table is sorted");
    }

    #[test]
    fn what_is_wrong_is_said_with_the_bound_or_the_right_name() {
        let wrong = |name, value| check(&BrokerConfig::default(), name, value).expect_err("it is wrong");
        assert_eq!(
            wrong(SESSION_TIMEOUT, "44999"),
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms=45000"
        );
        assert!(wrong(HEARTBEAT_INTERVAL, "15001").contains("group.consumer.max.heartbeat.interval.ms=15000"));
        assert!(wrong("consumer.session.timeout", "1").contains(r#"is "consumer.session.timeout.ms" meant?"#));
        assert!(wrong("share.auto.offset.reset", "latest").contains("share groups"));
        assert!(wrong(SESSION_TIMEOUT, "soon").contains("whole number"));
    }
}
