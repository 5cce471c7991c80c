//! Features whose level all brokers of a cluster have to agree on (KIP-584). A single node agrees with itself: what is here holds from the
//! first start on.

/// A feature.
#[derive(Debug)]
pub(crate) struct Feature {
    /// Kafka's name.
    pub name: &'static str,
    /// Levels from 0 (without) to this one are known.
    pub level_max: i16,
    /// The level that holds.
    pub level: i16,
}

/// Number of times that levels changed, as clients want one.
pub(crate) const EPOCH: i64 = 1;

/// Every feature, by name.
pub(crate) static FEATURES: &[Feature] = &[
    // 1: groups of the new consumer protocol (KIP-848).
    Feature { name: "group.version", level_max: 1, level: 1 },
    // 1: flexible records of the coordinator. 2: each transaction has an epoch of its own (KIP-890).
    Feature { name: "transaction.version", level_max: 2, level: 2 },
];
