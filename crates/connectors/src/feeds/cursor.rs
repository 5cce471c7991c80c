//! What the two kinds of feeds have in common: records in order, each with its moment, and a state to go on from.

use serde_json::Value;

/// A record of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRecord {
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Vec<u8>,
}

/// A feed's records in order. The same settings and the same state give the same records.
pub trait Cursor: Send {
    /// When the next records are due, in µs of wall time since the feed's first of all, never falling; 0 throughout: as fast as possible.
    /// None if the feed is over.
    fn due_us(&mut self) -> Result<Option<i64>, String>;
    /// The next records: one, or two if one comes twice. None if the feed is over.
    fn next(&mut self) -> Result<Option<Vec<FeedRecord>>, String>;
    /// Counts what [`Cursor::next`] gave, from 0: where the feed is.
    fn position(&self) -> u64;
    /// What is needed to go on here without beginning at the first record. May be large; written from time to time.
    fn state(&self) -> Value;
}
