//! Which names a topic may have.

use super::{METADATA_TOPIC, OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::BrokerError;

/// Longest name, as in Kafka.
const LENGTH_MAX: usize = 249;

/// Names that begin so are the engine's own.
const INTERNAL_PREFIX: &str = "__millstream.";
/// The broker's own, and Kafka's, which here are none of a user's either. All other names are users': Debezium's heartbeats begin with `__`, too.
const INTERNAL: [&str; 5] =
    ["__cluster_metadata", METADATA_TOPIC, OFFSETS_TOPIC, "__share_group_state", TRANSACTIONS_TOPIC];

/// Whether the topic is hidden from clients.
pub fn is_internal(name: &str) -> bool {
    name.starts_with(INTERNAL_PREFIX) || INTERNAL.contains(&name)
}

/// Holds a name against Kafka's rules.
pub fn check(name: &str) -> Result<(), BrokerError> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let reason = if name.is_empty() {
        "it is empty"
    } else if name == "." || name == ".." {
        "'.' and '..' are not names"
    } else if name.len() > LENGTH_MAX {
        "it is longer than 249 characters"
    } else if !name.bytes().all(legal) {
        "only ASCII letters, digits, '.', '_' and '-' may stand in it"
    } else {
        return Ok(());
    };
    Err(BrokerError::InvalidTopic { name: name.chars().take(LENGTH_MAX).collect(), reason })
}

/// As [`check`], for a name that comes from a client.
pub fn check_from_client(name: &str) -> Result<(), BrokerError> {
    check(name)?;
    if is_internal(name) {
        let reason = "it is an internal topic's";
        return Err(BrokerError::InvalidTopic { name: name.to_string(), reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        for good in ["a", "turnstiles", "a.b_c-D9", "__heartbeat.server", &"x".repeat(249)] {
            assert!(check_from_client(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250), "__consumer_offsets", "__millstream.mine"] {
            assert!(check_from_client(bad).is_err(), "{bad}");
        }
        assert!(check("__millstream.table.rides").is_ok());
    }
}
