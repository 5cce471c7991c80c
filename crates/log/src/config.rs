//! Options of the log as a whole and of each partition.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::LogError;

/// Options of a data folder. [`LogOptions::default`] is the safe choice.
#[derive(Clone)]
pub struct LogOptions {
    /// Size of one journal file in bytes.
    pub journal_file_bytes: u64,
    /// Number of journal files in the ring; at least 2.
    pub journal_files: usize,
    /// A partition's part of an append from this size on is synced in its segment and not copied into the journal.
    pub direct_bytes_min: usize,
    /// Longest time in milliseconds that a written segment waits for its sync. (The journal protects it meanwhile.)
    pub checkpoint_interval_ms: u64,
    /// Recent appends kept in memory for readers at the end: bytes over all partitions.
    pub tail_cache_bytes: usize,
    /// Recent appends kept in memory for one partition, in bytes.
    pub tail_cache_partition_bytes: usize,
    /// Most files held open at a time (segments and indexes); at most half of what the process may have open.
    pub open_files_max: usize,
    /// Keys that one pass of compaction holds in memory, at about 30 bytes each; a log with more of them takes several passes.
    pub compaction_keys_max: usize,
    /// A producer that is silent for so long is forgotten (Kafka's producer.id.expiration.ms).
    pub producer_expiration_ms: i64,
    /// Milliseconds since 1970.
    pub clock: Clock,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            journal_file_bytes: 16 << 20,
            journal_files: 4,
            direct_bytes_min: 256 << 10,
            checkpoint_interval_ms: 30_000,
            tail_cache_bytes: 16 << 20,
            tail_cache_partition_bytes: 1 << 20,
            open_files_max: 32 << 10,
            compaction_keys_max: 450_000,
            producer_expiration_ms: 86_400_000,
            clock: Clock::system(),
        }
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("journal_file_bytes", &self.journal_file_bytes)
            .field("journal_files", &self.journal_files)
            .field("direct_bytes_min", &self.direct_bytes_min)
            .field("checkpoint_interval_ms", &self.checkpoint_interval_ms)
            .finish_non_exhaustive()
    }
}

/// Where the time comes from: the system's clocks, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }

    /// A clock that only goes on, whatever is done to the system's; counts from now.
    pub fn steady() -> Clock {
        let began = Instant::now();
        Clock::new(move || began.elapsed().as_millis() as i64)
    }

    /// A clock of one's own; gives milliseconds since 1970.
    pub fn new(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now_ms))
    }

    /// Milliseconds since 1970, or since a steady clock began.
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

/// What a partition's log does by itself, under Kafka's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionConfig {
    /// `segment.bytes`: a segment is closed when a batch would make it larger than this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed when its first batch is older than this.
    pub segment_ms: i64,
    /// `retention.ms`: segments whose newest record is older are deleted; `None` (Kafka's -1) keeps them.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`: oldest segments beyond this size are deleted; `None` (Kafka's -1) keeps them.
    pub retention_bytes: Option<u64>,
    /// `flush.messages`: sync after so many records instead of before each answer. `None` and 1 are durable mode.
    pub flush_messages: Option<u64>,
    /// `flush.ms`: sync at most so long after an append instead of before its answer. `None` and 0 are durable mode.
    pub flush_ms: Option<u64>,
    /// `cleanup.policy` names `compact`: of each key the newest record stays.
    pub compact: bool,
    /// `delete.retention.ms`: how long a tombstone stays after its first compaction.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: a record is not compacted before it is so old.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a record that is older is compacted whatever the dirty share.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`, in millionths: a log is compacted when a larger share of its bytes is dirty.
    pub min_cleanable_dirty_millionths: u32,
    /// `index.interval.bytes`: one index entry for at least so many bytes of log.
    pub index_interval_bytes: u32,
}

impl Default for PartitionConfig {
    fn default() -> PartitionConfig {
        PartitionConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 86_400_000,
            retention_ms: Some(7 * 86_400_000),
            retention_bytes: None,
            flush_messages: None,
            flush_ms: None,
            compact: false,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_millionths: 500_000,
            index_interval_bytes: 4096,
        }
    }
}

impl PartitionConfig {
    /// Whether an append answers and is visible before its sync.
    pub fn is_relaxed(&self) -> bool {
        self.flush_messages.is_some_and(|n| n > 1) || self.flush_ms.is_some_and(|ms| ms > 0)
    }

    /// The age from which on a segment is closed: one that is compacted must not stay open for longer than its records may wait.
    pub(crate) fn segment_ms_max(&self) -> i64 {
        if self.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// Sets one of Kafka's topic configurations. Gives false if the log has no use for that name.
    ///
    /// # Errors
    /// [`LogError::InvalidConfig`] if the value is no number or outside of Kafka's range.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, LogError> {
        let invalid = |reason| LogError::InvalidConfig { name: name.to_owned(), value: value.to_owned(), reason };
        let number = |least: i64, most: i64, reason| match value.trim().parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(invalid(reason)),
        };
        const AT_LEAST_MINUS_1: &str = "a whole number, -1 for no limit";
        match name {
            "segment.bytes" => {
                self.segment_bytes = number(14, i64::from(i32::MAX), "a number of bytes from 14 to 2147483647")? as u64;
            }
            "segment.ms" => self.segment_ms = number(1, i64::MAX, "a number of milliseconds from 1")?,
            "retention.ms" => self.retention_ms = Some(number(-1, i64::MAX, AT_LEAST_MINUS_1)?).filter(|ms| *ms >= 0),
            "retention.bytes" => {
                self.retention_bytes = u64::try_from(number(-1, i64::MAX, AT_LEAST_MINUS_1)?).ok();
            }
            // Kafka's default for both is the largest number, which there means: never. Here it means: no relaxation asked for, as the
            // least does. Neither may hasten the syncs that the other one asks for.
            "flush.messages" => {
                let messages = number(1, i64::MAX, "a number of records from 1")?;
                self.flush_messages = Some(messages as u64).filter(|_| messages > 1 && messages != i64::MAX);
            }
            "flush.ms" => {
                let ms = number(0, i64::MAX, "a number of milliseconds from 0")?;
                self.flush_ms = Some(ms as u64).filter(|_| ms > 0 && ms != i64::MAX);
            }
            "cleanup.policy" => self.compact = value.split(',').any(|policy| policy.trim() == "compact"),
            "delete.retention.ms" => self.delete_retention_ms = number(0, i64::MAX, "a number of milliseconds from 0")?,
            "min.compaction.lag.ms" => {
                self.min_compaction_lag_ms = number(0, i64::MAX, "a number of milliseconds from 0")?;
            }
            "max.compaction.lag.ms" => {
                self.max_compaction_lag_ms = number(1, i64::MAX, "a number of milliseconds from 1")?;
            }
            "min.cleanable.dirty.ratio" => {
                let ratio = value.trim().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                let ratio = ratio.ok_or_else(|| invalid("a number from 0 to 1"))?;
                self.min_cleanable_dirty_millionths = (ratio * 1e6) as u32;
            }
            "index.interval.bytes" => {
                self.index_interval_bytes = number(0, i64::from(i32::MAX), "a number of bytes")? as u32;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_relaxation_is_not_undone_by_the_default_of_the_other() {
        let mut config = PartitionConfig::default();
        for (name, value) in [("flush.messages", "1000"), ("flush.ms", "0")] {
            assert!(config.set(name, value).expect("a legal value"));
        }
        assert_eq!((config.flush_messages, config.flush_ms, config.is_relaxed()), (Some(1000), None, true));
        for (name, value) in [("flush.messages", "1"), ("flush.ms", "500")] {
            assert!(config.set(name, value).expect("a legal value"));
        }
        assert_eq!((config.flush_messages, config.flush_ms, config.is_relaxed()), (None, Some(500), true));
        assert!(config.set("flush.ms", &i64::MAX.to_string()).expect("a legal value"));
        assert!(!config.is_relaxed());
    }
}
