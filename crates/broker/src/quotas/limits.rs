//! Which limit holds for whom: the first in Kafka's order.
//!
//! ```text
//! user and client id · user and any client id · user · any user and client id · any user and any client id · any user · client id · any client id
//! ```

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::entity::{CLIENT_ID, Entity, IP, Quota, USER};

/// An entity's quotas.
pub(crate) type Values = BTreeMap<Quota, f64>;

/// Limits by client id.
#[derive(Debug, Default)]
struct ByClient {
    named: HashMap<String, f64>,
    default: Option<f64>,
    /// Whatever the client id.
    any: Option<f64>,
}

/// Limits of one quota.
#[derive(Debug, Default)]
struct ByUser {
    named: HashMap<String, ByClient>,
    default: ByClient,
    /// Whoever the user.
    any: ByClient,
}

/// A limit that holds for somebody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit {
    /// Per second.
    pub value: f64,
    /// Each user is counted for itself.
    pub by_user: bool,
    /// Each client id is counted for itself.
    pub by_client: bool,
}

/// All limits there are. Never changed in place.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    entities: BTreeMap<Entity, Values>,
    by_quota: HashMap<Quota, ByUser>,
    by_address: HashMap<IpAddr, f64>,
    of_any_address: Option<f64>,
}

impl Limits {
    pub fn new(entities: BTreeMap<Entity, Values>) -> Self {
        let mut limits = Limits { entities, ..Limits::default() };
        for (entity, values) in &limits.entities {
            for (quota, value) in values {
                if let Some(address) = entity.name(IP) {
                    let place = match address.and_then(|address| address.parse::<IpAddr>().ok()) {
                        Some(address) => limits.by_address.entry(address.to_canonical()).or_default(),
                        None => limits.of_any_address.get_or_insert_default(),
                    };
                    *place = *value;
                    continue;
                }
                let by_user = limits.by_quota.entry(*quota).or_default();
                let by_client = match entity.name(USER) {
                    Some(Some(user)) => by_user.named.entry(user.to_string()).or_default(),
                    Some(None) => &mut by_user.default,
                    None => &mut by_user.any,
                };
                let place = match entity.name(CLIENT_ID) {
                    Some(Some(client)) => by_client.named.entry(client.to_string()).or_default(),
                    Some(None) => by_client.default.get_or_insert_default(),
                    None => by_client.any.get_or_insert_default(),
                };
                *place = *value;
            }
        }
        limits
    }

    /// The entities that have quotas.
    pub fn entities(&self) -> &BTreeMap<Entity, Values> {
        &self.entities
    }

    /// Whether any user or client id is limited.
    pub fn are_any(&self) -> bool {
        !self.by_quota.is_empty()
    }

    /// The limit that holds for a client.
    pub fn find(&self, quota: Quota, user: &str, client_id: &str) -> Option<Limit> {
        let all = self.by_quota.get(&quota)?;
        let rows = [(all.named.get(user), true), (Some(&all.default), true), (Some(&all.any), false)];
        rows.into_iter().find_map(|(row, by_user)| {
            let row = row?;
            let of_client = row.named.get(client_id).copied().or(row.default);
            let of_client = of_client.map(|value| Limit { value, by_user, by_client: true });
            of_client.or(row.any.map(|value| Limit { value, by_user, by_client: false }))
        })
    }

    /// The limit that holds for connections from an address.
    pub fn of_address(&self, address: IpAddr) -> Option<f64> {
        self.by_address.get(&address.to_canonical()).copied().or(self.of_any_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and names that make up an entity.
    type Names<'a> = &'a [(&'a str, Option<&'a str>)];

    fn limits(all: &[(Names<'_>, Quota, f64)]) -> Limits {
        let mut entities: BTreeMap<Entity, Values> = BTreeMap::new();
        for (names, quota, value) in all {
            let names = names.iter().map(|(kind, name)| (kind.to_string(), name.map(str::to_string)));
            entities.entry(Entity::new(names).expect("an entity")).or_default().insert(*quota, *value);
        }
        Limits::new(entities)
    }

    #[test]
    fn the_most_precise_limit_holds() {
        // In Kafka's order: each is taken away in turn, and the next holds.
        let (u, c) = (Some("u"), Some("c"));
        let order: [Names<'_>; 8] = [
            &[(USER, u), (CLIENT_ID, c)],
            &[(USER, u), (CLIENT_ID, None)],
            &[(USER, u)],
            &[(USER, None), (CLIENT_ID, c)],
            &[(USER, None), (CLIENT_ID, None)],
            &[(USER, None)],
            &[(CLIENT_ID, c)],
            &[(CLIENT_ID, None)],
        ];
        for from in 0..order.len() {
            let all: Vec<_> = order
                .iter()
                .enumerate()
                .skip(from)
                .map(|(rank, names)| (*names, Quota::Produce, rank as f64))
                .collect();
            let limits = limits(&all);
            let by_client = order[from].iter().any(|(kind, _)| *kind == CLIENT_ID);
            let expected = Limit { value: from as f64, by_user: from < 6, by_client };
            assert_eq!(limits.find(Quota::Produce, "u", "c"), Some(expected));
            assert_eq!(limits.find(Quota::Fetch, "u", "c"), None, "each quota has an order of its own");
        }
        assert_eq!(limits(&[]).find(Quota::Produce, "u", "c"), None);
        let others = limits(&[(order[0], Quota::Produce, 1.0), (order[6], Quota::Produce, 2.0)]);
        assert_eq!(others.find(Quota::Produce, "u", "other"), None);
        assert_eq!(others.find(Quota::Produce, "other", "c").map(|limit| limit.value), Some(2.0));
    }

    #[test]
    fn an_address_is_found_in_any_way_of_writing() {
        let limits =
            limits(&[(&[(IP, Some("1.2.3.4"))], Quota::Connection, 5.0), (&[(IP, None)], Quota::Connection, 9.0)]);
        let of = |text: &str| limits.of_address(text.parse().expect("an address"));
        assert_eq!((of("1.2.3.4"), of("::ffff:1.2.3.4"), of("::1")), (Some(5.0), Some(5.0), Some(9.0)));
        assert!(!limits.are_any(), "requests are not looked at");
    }
}
