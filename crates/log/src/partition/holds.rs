//! Holds: an embedded reader keeps retention from deleting what it has not read yet.

use std::collections::HashMap;

use super::Partition;

/// Holds by owner: the first offset still needed, and until when in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Holds(HashMap<String, (i64, i64)>);

impl Holds {
    /// The first offset that somebody needs at `now_ms`. Forgets what is over.
    fn first_held(&mut self, now_ms: i64) -> Option<i64> {
        self.0.retain(|_, (_, until_ms)| *until_ms > now_ms);
        self.0.values().map(|(offset, _)| *offset).min()
    }
}

impl Partition {
    /// Keeps retention from deleting records from `offset` on until `until_ms` (milliseconds since 1970 by the log's clock), so that an
    /// owner that is gone cannot fill the disk. Replaces the owner's earlier hold; say it again with the next offset while reading on.
    /// Not kept on disk. [`Partition::delete_records`] and a topic's deletion do not ask.
    pub fn hold(&self, owner: &str, offset: i64, until_ms: i64) {
        self.holds.lock().0.insert(owner.to_owned(), (offset, until_ms));
    }

    /// Ends the owner's hold.
    pub fn release(&self, owner: &str) {
        self.holds.lock().0.remove(owner);
    }

    pub(crate) fn first_held(&self, now_ms: i64) -> Option<i64> {
        self.holds.lock().first_held(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_offset_of_those_that_are_not_over_is_held() {
        let mut holds = Holds::default();
        assert_eq!(holds.first_held(0), None);
        holds.0.insert("slow".to_owned(), (5, 100));
        holds.0.insert("fast".to_owned(), (50, 200));
        assert_eq!(holds.first_held(99), Some(5));
        assert_eq!(holds.first_held(100), Some(50));
        assert_eq!(holds.first_held(200), None);
        assert!(holds.0.is_empty());
    }
}
