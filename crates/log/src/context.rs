//! What every part of an open log needs: files, options, the way to the writer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::LogOptions;
use crate::files::Files;
use crate::handles::Handles;
use crate::queue::Queue;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) dir: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) handles: Handles,
    pub(crate) queue: Queue,
    /// Bytes of all partitions' tails.
    pub(crate) tail_bytes: Arc<AtomicUsize>,
}

impl Context {
    pub(crate) fn new(files: Arc<dyn Files>, dir: PathBuf, options: LogOptions) -> Arc<Context> {
        let handles = Handles::new(files.clone(), options.open_files_max);
        Arc::new(Context { files, dir, options, handles, queue: Queue::default(), tail_bytes: Arc::default() })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    pub(crate) fn topics_dir(&self) -> PathBuf {
        self.dir.join("topics")
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }
}
