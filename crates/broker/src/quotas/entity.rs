//! Whom a quota is about, and which quotas there are, in Kafka's words (KIP-257, KIP-546, KIP-599, KIP-612).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::BrokerError;

/// The entities' types.
pub(crate) const USER: &str = "user";
pub(crate) const CLIENT_ID: &str = "client-id";
pub(crate) const IP: &str = "ip";
pub(crate) const TYPES: [&str; 3] = [USER, CLIENT_ID, IP];

/// Longest name of an entity, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Quota {
    /// Bytes of Produce requests a second.
    Produce,
    /// Bytes of Fetch answers a second.
    Fetch,
    /// Time that requests take, in percent of one thread.
    Request,
    /// Partitions made and deleted a second.
    Mutation,
    /// Connections from an address a second.
    Connection,
}

impl Quota {
    /// All there are.
    pub const ALL: [Quota; 5] = [Quota::Produce, Quota::Fetch, Quota::Request, Quota::Mutation, Quota::Connection];

    /// Kafka's name.
    pub fn key(self) -> &'static str {
        match self {
            Quota::Produce => "producer_byte_rate",
            Quota::Fetch => "consumer_byte_rate",
            Quota::Request => "request_percentage",
            Quota::Mutation => "controller_mutation_rate",
            Quota::Connection => "connection_creation_rate",
        }
    }

    /// The quota of this name that can be set for `entity`, if the value is one that it takes.
    pub fn check(entity: &Entity, key: &str, value: Option<f64>) -> Result<Quota, BrokerError> {
        let wrong = |why: String| Err(BrokerError::InvalidRequest(why));
        let found = Quota::ALL.into_iter().find(|quota| quota.key() == key);
        let Some(quota) = found.filter(|quota| entity.0.contains_key(IP) == (*quota == Quota::Connection)) else {
            let all = Quota::ALL.into_iter().filter(|quota| entity.0.contains_key(IP) == (*quota == Quota::Connection));
            let all: Vec<&str> = all.map(Quota::key).collect();
            return wrong(format!("Invalid configuration key {key}: there is {}", all.join(", ")));
        };
        let Some(value) = value else { return Ok(quota) };
        let largest = match quota {
            Quota::Produce | Quota::Fetch => i64::MAX as f64,
            Quota::Connection => f64::from(i32::MAX),
            Quota::Request | Quota::Mutation => f64::MAX,
        };
        let is_whole = !matches!(quota, Quota::Request | Quota::Mutation);
        if value.is_nan() || value <= 0.0 {
            return wrong(format!("Quota {key} must be greater than 0"));
        }
        if value > largest {
            return wrong(format!("Proposed value for {key} is too large: at most {largest}"));
        }
        match is_whole && value.fract() != 0.0 {
            true => wrong(format!("{key} cannot be a fractional value.")),
            false => Ok(quota),
        }
    }
}

/// Names by type; no name: the default of the type, which holds for those without a quota of their own. A user, a client id, both, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Entity(BTreeMap<String, Option<String>>);

impl Entity {
    /// The entity of these names.
    ///
    /// # Errors
    /// Types that are not known or do not go together, names that cannot be.
    pub fn new(names: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Entity, BrokerError> {
        let wrong = |why: String| Err(BrokerError::InvalidRequest(why));
        let mut entity = BTreeMap::new();
        for (kind, name) in names {
            if !TYPES.contains(&kind.as_str()) {
                return wrong(format!("Unhandled client quota entity type: {kind}"));
            }
            if let Some(name) = &name {
                if name.is_empty() {
                    return wrong(format!("Empty {kind} not supported"));
                }
                if name.len() > NAME_BYTES_MAX {
                    return wrong(format!("a {kind} of {} bytes: a quota's has {NAME_BYTES_MAX} at most", name.len()));
                }
                if kind == IP && name.parse::<IpAddr>().is_err() {
                    return wrong(format!("{name} is not a valid IP: names of hosts are not looked up"));
                }
            }
            if entity.contains_key(&kind) {
                return wrong(format!("entity type {kind} stands more than once"));
            }
            entity.insert(kind, name);
        }
        if entity.is_empty() {
            return wrong("Invalid empty client quota entity".to_string());
        }
        if entity.contains_key(IP) && entity.len() > 1 {
            return wrong("Invalid quota entity combination: ip goes with neither user nor client-id".to_string());
        }
        Ok(Entity(entity))
    }

    /// The names by type.
    pub fn names(&self) -> &BTreeMap<String, Option<String>> {
        &self.0
    }

    /// The name of this type: `None`, it is not about that; `Some(None)`, the default.
    pub fn name(&self, kind: &str) -> Option<Option<&str>> {
        self.0.get(kind).map(Option::as_deref)
    }

    /// As it stands in a record's key.
    pub fn to_key(&self) -> String {
        serde_json::to_string(&self.0).expect("names are plain data")
    }

    /// The entity of a record's key.
    pub fn from_key(text: &str) -> Option<Entity> {
        let names: BTreeMap<String, Option<String>> = serde_json::from_str(text).ok()?;
        Entity::new(names).ok()
    }
}

/// One part of a question for entities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The one of this name.
    Exactly(String),
    /// The default.
    Default,
    /// Any, the default too.
    Any,
}

/// Which entities are asked for, by type. `strict`: only those of exactly these types.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub parts: BTreeMap<String, Asked>,
    pub strict: bool,
}

impl Filter {
    /// Whether it is asked for.
    pub fn fits(&self, entity: &Entity) -> bool {
        let fits = |(kind, asked): (&String, &Asked)| match (asked, entity.name(kind)) {
            (_, None) => false,
            (Asked::Any, Some(_)) => true,
            (Asked::Default, Some(name)) => name.is_none(),
            (Asked::Exactly(asked), Some(name)) => name == Some(asked.as_str()),
        };
        self.parts.iter().all(fits) && (!self.strict || self.parts.len() == entity.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(names: &[(&str, Option<&str>)]) -> Result<Entity, BrokerError> {
        Entity::new(names.iter().map(|(kind, name)| (kind.to_string(), name.map(str::to_string))))
    }

    #[test]
    fn only_what_kafka_knows_is_an_entity() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for good in [
            &[(USER, Some("a"))][..],
            &[(USER, None), (CLIENT_ID, Some("b/%é"))],
            &[(CLIENT_ID, None)],
            &[(IP, Some("::1"))],
            &[(IP, None)],
        ] {
            let made = entity(good).expect("it is one");
            assert_eq!(Entity::from_key(&made.to_key()), Some(made));
        }
        for wrong in [
            &[][..],
            &[(USER, Some(""))],
            &[("nope", Some("x"))],
            &[(USER, Some("a")), (USER, Some("b"))],
            &[(USER, Some("a")), (IP, Some("1.2.3.4"))],
            &[(IP, Some("localhost"))],
            &[(CLIENT_ID, Some(long.as_str()))],
        ] {
            assert!(entity(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(Entity::from_key("user/x"), None);
    }

    #[test]
    fn keys_and_values_are_held_against_the_entity() {
        let user = entity(&[(USER, Some("u"))]).expect("it is one");
        let ip = entity(&[(IP, None)]).expect("it is one");
        for (key, value, is_good) in [
            ("producer_byte_rate", 1.0, true),
            ("producer_byte_rate", 0.5, false),
            ("producer_byte_rate", 0.0, false),
            ("producer_byte_rate", 9.3e18, false),
            ("producer_byte_rate", f64::NAN, false),
            ("consumer_byte_rate", f64::INFINITY, false),
            ("request_percentage", 0.5, true),
            ("request_percentage", -3.0, false),
            ("controller_mutation_rate", 0.25, true),
            ("connection_creation_rate", 5.0, false),
            ("nope", 5.0, false),
        ] {
            assert_eq!(Quota::check(&user, key, Some(value)).is_ok(), is_good, "{key}={value}");
        }
        for (key, value, is_good) in [
            ("connection_creation_rate", 5.0, true),
            ("connection_creation_rate", 3e9, false),
            ("connection_creation_rate", 0.5, false),
            ("producer_byte_rate", 5.0, false),
        ] {
            assert_eq!(Quota::check(&ip, key, Some(value)).is_ok(), is_good, "{key}={value}");
        }
        assert!(Quota::check(&user, "producer_byte_rate", None).is_ok() && Quota::check(&user, "nope", None).is_err());
    }
}
