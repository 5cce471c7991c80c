//! What went through a topic since the broker started: for people who look at a page, and for rates.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Counters of a topic. Loose: a reader may see one ahead of the other.
#[derive(Debug, Default)]
pub struct TopicCounters {
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    records_out: AtomicU64,
    refusing: AtomicBool,
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
}

impl TopicStats {
    pub(crate) fn with_counters(mut self, counters: &TopicCounters) -> Self {
        self.records_in = counters.records_in.load(Relaxed);
        self.bytes_in = counters.bytes_in.load(Relaxed);
        self.records_out = counters.records_out.load(Relaxed);
        self.bytes_out = counters.bytes_out.load(Relaxed);
        self
    }
}
