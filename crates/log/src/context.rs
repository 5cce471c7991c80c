//! What every part of an open log needs: files, options, the way to the writer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use crate::LogOptions;
use crate::files::Files;
use crate::handles::Handles;
use crate::queue::Queue;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    /// As the options have it at first; may change while the log is open.
    pub(crate) producer_expiration_ms: AtomicI64,
    /// Files that hold what is not synced yet, at most. They may not be closed before.
    pub(crate) held_files_max: usize,
    /// The others, closed when they were not used for long.
    pub(crate) handles: Handles,
    pub(crate) queue: Queue,
    /// Bytes of all partitions' tails.
    pub(crate) tail_bytes: Arc<AtomicUsize>,
}

impl Context {
    pub(crate) fn new(files: Arc<dyn Files>, dir: PathBuf, options: LogOptions) -> Arc<Context> {
        let open_files_max = options.open_files_max.min(open_files_allowed() / 2).max(16);
        let cached_files_max = open_files_max / 4;
        let handles = Handles::new(files.clone(), cached_files_max);
        let producer_expiration_ms = AtomicI64::new(options.producer_expiration_ms);
        Arc::new(Context {
            files,
            dir,
            options,
            producer_expiration_ms,
            held_files_max: open_files_max - cached_files_max,
            handles,
            queue: Queue::default(),
            tail_bytes: Arc::default(),
        })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    /// Producers that have been silent since before then are forgotten.
    pub(crate) fn producers_expire_before(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.producer_expiration_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn topics_dir(&self) -> PathBuf {
        self.dir.join("topics")
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }
}

/// How many files the process may have open.
fn open_files_allowed() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
