//! Groups of the new consumer protocol (KIP-848): the coordinator assigns, members reconcile one partition at a time, and a heartbeat is all
//! that they send.
//!
//! [`group`] is the state machine, [`reconcile`] one member's way to its part of the target, [`assignor`] who computes the target.

pub mod assignor;
pub mod group;
pub mod reconcile;

#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// Partitions by topic id.
pub type Parts = BTreeMap<Uuid, BTreeSet<i32>>;

/// What a group knows of topics.
pub trait Catalog: Sync {
    /// Another number after every change.
    fn version(&self) -> u64;
    /// Id and number of partitions.
    fn topic(&self, name: &str) -> Option<(Uuid, i32)>;
    /// Names of all topics that a client may see.
    fn names(&self) -> Vec<String>;
}

/// Every partition of `parts`.
pub(crate) fn each(parts: &Parts) -> impl Iterator<Item = (Uuid, i32)> {
    parts.iter().flat_map(|(topic, numbers)| numbers.iter().map(move |number| (*topic, *number)))
}

pub(crate) fn contains(parts: &Parts, topic: Uuid, number: i32) -> bool {
    parts.get(&topic).is_some_and(|numbers| numbers.contains(&number))
}

pub(crate) fn collect(all: impl IntoIterator<Item = (Uuid, i32)>) -> Parts {
    let mut parts = Parts::new();
    for (topic, number) in all {
        parts.entry(topic).or_default().insert(number);
    }
    parts
}
