//! What opening and retention did, for people and for tests.

use std::path::PathBuf;

use crate::TopicPartition;

/// What [`crate::Log::open`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The folder was empty and has been made.
    pub created: bool,
    /// The folder was closed cleanly, so there was nothing to do.
    pub clean: bool,
    /// Partitions found.
    pub partitions: usize,
    /// Journal entries replayed onto the segments.
    pub journal_entries: u64,
    /// Bytes replayed onto the segments.
    pub journal_bytes: u64,
    /// Ends of segments that were cut off: bytes that were never acknowledged.
    pub truncations: Vec<Truncation>,
    /// Damage that a crash does not explain, in words. Acknowledged records may be missing; nothing else was touched.
    pub damage: Vec<String>,
}

/// An unacknowledged end of a segment that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// Which partition.
    pub partition: TopicPartition,
    /// Its segment.
    pub path: PathBuf,
    /// Length it has now.
    pub length: u64,
    /// Bytes cut off.
    pub bytes: u64,
}

/// What one round of compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Partitions that were compacted.
    pub partitions: usize,
    /// Times that a partition's log was gone through: several if it has more keys than may be held in memory.
    pub passes: usize,
    /// Partitions whose compaction failed. They are passed over for a time.
    pub failed: usize,
    /// Bytes of the segments that were written anew.
    pub bytes_before: u64,
    /// Bytes of those that took their place.
    pub bytes_after: u64,
}

/// What one round of retention deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Number of segments deleted.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Partitions whose start moved, with their new log start offset.
    pub moved: Vec<(TopicPartition, i64)>,
}
