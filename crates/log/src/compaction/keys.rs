//! The newest offset of each key, in bounded memory: keys are known by 128 bits of keyed hash, so that nobody can choose two that clash.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Bytes of memory that the table takes for a key: two halves of the hash, the offset, a byte of the table's own.
const KEY_BYTES: u64 = 25;

/// How many keys are held in `bytes`. The table has a power of two of places, of which seven in eight may be taken.
pub(crate) fn keys_in(bytes: u64) -> usize {
    let places = (bytes / KEY_BYTES).max(16);
    let places = 1u64 << places.ilog2();
    usize::try_from(places / 8 * 7).unwrap_or(usize::MAX)
}

#[derive(Debug)]
pub(super) struct Keys {
    newest: HashMap<(u64, u64), i64>,
    hashers: [RandomState; 2],
    most: usize,
}

impl Keys {
    /// For about `most` keys.
    pub(super) fn new(most: usize) -> Keys {
        // At once, for a table that grows is there twice meanwhile. What is not used of it is not touched, so it takes no memory.
        Keys { newest: HashMap::with_capacity(most), hashers: [RandomState::new(), RandomState::new()], most }
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.hashers[0].hash_one(key), self.hashers[1].hash_one(key))
    }

    /// Notes a record; of one key in the order of offsets.
    pub(super) fn note(&mut self, key: &[u8], offset: i64) {
        self.newest.insert(self.hash(key), offset);
    }

    /// Whether a batch of so many records may be noted. One always may: else nothing would ever be compacted.
    pub(super) fn has_room(&self, records: i32) -> bool {
        let records = usize::try_from(records).unwrap_or(0);
        self.newest.is_empty() || self.newest.len().saturating_add(records) <= self.most
    }

    /// Whether a newer record of the key was noted than the one at `offset`.
    pub(super) fn supersede(&self, key: &[u8], offset: i64) -> bool {
        self.newest.get(&self.hash(key)).is_some_and(|newest| *newest > offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stays_within_its_bytes() {
        for bytes in [0, 1, 1000, 1 << 20, 128 << 20, 134_217_727, u64::from(u32::MAX)] {
            let most = keys_in(bytes);
            let places = (most as u64 * 8).div_ceil(7).next_power_of_two();
            assert!(places * KEY_BYTES <= bytes.max(16 * KEY_BYTES), "{bytes}: {most} keys");
            assert!(places * KEY_BYTES * 2 > bytes, "{bytes}: {most} keys use it");
        }
        let keys = Keys::new(keys_in(1 << 20));
        assert!(keys.newest.capacity() as u64 * KEY_BYTES <= 1 << 20, "no more is reserved");
    }
}
