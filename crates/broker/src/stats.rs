//! What went through a topic since the broker started: for people who look at a page, and for rates.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use millstream_log::LogError;
use parking_lot::Mutex;

/// A storage that refused is told of for so long, unless it takes records before: who was told may have stopped to send any that would show it.
const TOLD_FOR: Duration = Duration::from_secs(60);

/// The storage refused an append to a partition.
#[derive(Debug)]
struct Failure {
    why: String,
    at: Instant,
}

/// Counters of a topic. Loose: a reader may see one ahead of the other.
#[derive(Debug, Default)]
pub struct TopicCounters {
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    records_out: AtomicU64,
    refusing: AtomicBool,
    /// By partition, until it takes records again.
    failures: Mutex<BTreeMap<i32, Failure>>,
    /// There are some: spares every append the lock.
    has_failures: AtomicBool,
}

impl TopicCounters {
    pub(crate) fn add_in(&self, records: u64, bytes: u64) {
        self.records_in.fetch_add(records, Relaxed);
        self.bytes_in.fetch_add(bytes, Relaxed);
    }

    /// An append was refused, by a full disk for example. Is it the first since the last that was taken? A producer repeats many times a
    /// second, and a log should not.
    pub(crate) fn refuses(&self) -> bool {
        !self.refusing.swap(true, Relaxed)
    }

    /// An append was taken. Is it the first since others were refused?
    pub(crate) fn takes_again(&self) -> bool {
        self.refusing.load(Relaxed) && self.refusing.swap(false, Relaxed)
    }

    /// An append to this partition was refused. Only errors of the storage are kept: a wrong sequence is the client's affair.
    pub(crate) fn fails(&self, partition: i32, error: &LogError) {
        if !matches!(error, LogError::DiskFull { .. } | LogError::Io { .. } | LogError::Corrupt { .. }) {
            return;
        }
        let mut failures = self.failures.lock();
        failures.insert(partition, Failure { why: error.to_string(), at: Instant::now() });
        self.has_failures.store(true, Relaxed);
    }

    /// An append to this partition was taken.
    pub(crate) fn works(&self, partition: i32) {
        if !self.has_failures.load(Relaxed) {
            return;
        }
        let mut failures = self.failures.lock();
        failures.remove(&partition);
        self.has_failures.store(!failures.is_empty(), Relaxed);
    }

    /// The first partition whose storage refuses records, and why.
    pub(crate) fn refused(&self, now: Instant) -> Option<String> {
        if !self.has_failures.load(Relaxed) {
            return None;
        }
        let failures = self.failures.lock();
        let (partition, failure) =
            failures.iter().find(|(_, failure)| now.saturating_duration_since(failure.at) < TOLD_FOR)?;
        Some(format!("partition {partition} takes no records: {}", failure.why))
    }

    pub(crate) fn add_out(&self, records: u64, bytes: u64) {
        self.records_out.fetch_add(records, Relaxed);
        self.bytes_out.fetch_add(bytes, Relaxed);
    }
}

/// A topic as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicStats {
    /// Name.
    pub name: String,
    /// Hidden from clients.
    pub internal: bool,
    /// Number of partitions.
    pub partitions: i32,
    /// Records produced since the broker started, by clients and by this process.
    pub records_in: u64,
    /// Their bytes as stored.
    pub bytes_in: u64,
    /// Records fetched by clients since the broker started (whole batches: a little more than was asked for).
    pub records_out: u64,
    /// Their bytes as stored.
    pub bytes_out: u64,
    /// Records there are: offsets between log start and high watermark, over all partitions.
    pub records: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// `flush.messages` or `flush.ms` is set: a power cut can take what was acknowledged.
    pub relaxed: bool,
    /// Why the storage refuses records for it, if it does.
    pub refused: Option<String>,
}

impl TopicStats {
    pub(crate) fn with_counters(mut self, counters: &TopicCounters) -> Self {
        self.records_in = counters.records_in.load(Relaxed);
        self.bytes_in = counters.bytes_in.load(Relaxed);
        self.records_out = counters.records_out.load(Relaxed);
        self.bytes_out = counters.bytes_out.load(Relaxed);
        self.refused = counters.refused(Instant::now());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_that_refuses_is_told_of_until_it_takes_records_or_nobody_sends_any() {
        let counters = TopicCounters::default();
        counters.fails(0, &LogError::Closed);
        assert_eq!(counters.refused(Instant::now()), None, "that is no error of the storage");
        let full = LogError::DiskFull { path: "/data/journal".into() };
        counters.fails(0, &full);
        counters.fails(1, &full);
        counters.works(0);
        let why = counters.refused(Instant::now()).expect("one partition is left");
        assert!(why.starts_with("partition 1 takes no records: the disk is full at /data/journal"), "{why}");
        assert_eq!(counters.refused(Instant::now() + TOLD_FOR), None, "nobody has tried since");
        assert!(counters.refused(Instant::now()).is_some());
        counters.works(1);
        assert_eq!(counters.refused(Instant::now()), None);
    }
}
