//! The newest offset of each key, in bounded memory: keys are known by 128 bits of keyed hash, so that nobody can choose two that clash.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

#[derive(Debug)]
pub(super) struct Keys {
    newest: HashMap<(u64, u64), i64>,
    hashers: [RandomState; 2],
    most: usize,
}

impl Keys {
    /// For about `most` keys.
    pub(super) fn new(most: usize) -> Keys {
        Keys { newest: HashMap::new(), hashers: [RandomState::new(), RandomState::new()], most }
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.hashers[0].hash_one(key), self.hashers[1].hash_one(key))
    }

    /// Notes a record; of one key in the order of offsets.
    pub(super) fn note(&mut self, key: &[u8], offset: i64) {
        self.newest.insert(self.hash(key), offset);
    }

    /// Whether no more keys are to be noted.
    pub(super) fn is_full(&self) -> bool {
        self.newest.len() >= self.most
    }

    /// Whether a newer record of the key was noted than the one at `offset`.
    pub(super) fn supersede(&self, key: &[u8], offset: i64) -> bool {
        self.newest.get(&self.hash(key)).is_some_and(|newest| *newest > offset)
    }
}
