//! Lines of the log that whoever is outside can ask for as often as they like: each is told once in a while, and what was left out is counted.

use std::collections::HashSet;
use std::hash::Hash;

/// How long a line that was told is not told again.
const PERIOD_MS: i64 = 60_000;
/// Most different lines of a period.
const LINES_MAX: usize = 1_000;

/// How much of a name from outside the log has, in characters: the longest that a topic can have.
const NAME_CHARS_MAX: usize = 249;

/// A name from outside as the log has it. Names of things that are not there can be of any length.
pub(crate) fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// Decides, without a clock, which line is told. `K` is what makes two lines the same.
#[derive(Debug)]
pub(crate) struct Seldom<K> {
    begun_ms: i64,
    told: HashSet<K>,
    left_out: u64,
}

impl<K> Default for Seldom<K> {
    fn default() -> Self {
        Seldom { begun_ms: 0, told: HashSet::new(), left_out: 0 }
    }
}

impl<K: Eq + Hash> Seldom<K> {
    /// Whether the line is to be told now, and then how many lines, of any kind, were left out since the last one that was. The clock only goes on.
    pub fn due(&mut self, now_ms: i64, key: K) -> Option<u64> {
        if now_ms.saturating_sub(self.begun_ms) >= PERIOD_MS {
            self.begun_ms = now_ms;
            self.told.clear();
        }
        if self.told.len() >= LINES_MAX || !self.told.insert(key) {
            self.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_once_a_period_and_what_was_left_out_is_counted() {
        let mut seldom = Seldom::default();
        assert_eq!(seldom.due(10, "a"), Some(0));
        assert_eq!(seldom.due(20, "a"), None);
        assert_eq!(seldom.due(30, "a"), None);
        assert_eq!(seldom.due(40, "b"), Some(2), "another line tells of them");
        assert_eq!(seldom.due(PERIOD_MS, "a"), Some(0), "another period");
    }

    #[test]
    fn lines_and_memory_are_bounded() {
        let mut seldom = Seldom::default();
        let told = (0..5 * LINES_MAX).filter(|number| seldom.due(1, *number).is_some()).count();
        assert_eq!((told, seldom.told.len()), (LINES_MAX, LINES_MAX));
        assert_eq!(seldom.due(1 + PERIOD_MS, 0), Some(4 * LINES_MAX as u64));
        assert_eq!(seldom.told.len(), 1);
    }
}
