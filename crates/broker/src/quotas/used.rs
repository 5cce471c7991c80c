//! What each was seen to use lately, in bounded memory: client ids and addresses come from outside, and nothing keeps anybody from new ones.

use std::collections::HashMap;
use std::hash::Hash;

/// So many are kept apart. All beyond them are counted together.
pub(crate) const USED_MAX: usize = 10_000;

/// States by key.
#[derive(Debug)]
pub(crate) struct Used<K, T> {
    by_key: HashMap<K, T>,
    swept_ms: u64,
}

impl<K, T> Default for Used<K, T> {
    fn default() -> Self {
        Used { by_key: HashMap::new(), swept_ms: 0 }
    }
}

impl<K: Hash + Eq, T> Used<K, T> {
    /// The state of `key`, or that of `others` if there is no room for one more. Idle ones make room, which is looked for every `sweep_ms`.
    pub fn of(
        &mut self,
        key: K,
        others: K,
        (now_ms, sweep_ms): (u64, u64),
        is_idle: impl Fn(&T) -> bool,
        new: impl FnOnce() -> T,
    ) -> &mut T {
        if self.by_key.len() >= USED_MAX && !self.by_key.contains_key(&key) {
            if now_ms.saturating_sub(self.swept_ms) >= sweep_ms {
                self.swept_ms = now_ms;
                self.by_key.retain(|_, state| !is_idle(state));
            }
            if self.by_key.len() >= USED_MAX {
                return self.by_key.entry(others).or_insert_with(new);
            }
        }
        self.by_key.entry(key).or_insert_with(new)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.by_key = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_beyond_the_bound_are_one_until_others_are_idle() {
        let mut used: Used<usize, u64> = Used::default();
        let mut at = |key: usize, now_ms: u64| {
            let state = used.of(key, usize::MAX, (now_ms, 10), |last| *last + 100 <= now_ms, || 0);
            let was = std::mem::replace(state, now_ms);
            (was, used.len())
        };
        for key in 0..USED_MAX {
            at(key, 1);
        }
        assert_eq!(at(7, 2), (1, USED_MAX), "who is known stays so");
        assert_eq!(at(USED_MAX, 50), (0, USED_MAX + 1));
        assert_eq!(at(USED_MAX + 1, 51), (50, USED_MAX + 1), "counted with the others");
        assert_eq!(at(USED_MAX + 2, 105), (0, 2), "all but one were idle");
    }
}
