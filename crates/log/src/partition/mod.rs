//! A partition: what is committed, and how it is read.

mod aborted;
mod compact;
mod holds;
mod read;
mod stage;
mod time;
mod transactions;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use uuid::Uuid;

use crate::checkpoint::{RecoveryPoint, replace};
use crate::context::Context;
use crate::handles::Kind;
use crate::queue::Command;
use crate::segment::{self, Segment};
use crate::tail::Tail;
use crate::{LogError, PartitionConfig, TopicPartition};

pub(crate) use compact::{finish_swap, parse_swap_name};
pub(crate) use stage::{OpenSegment, Payload, ProducersNews, Staged, Way, Written};
pub use transactions::Committed;

/// An offset found by its time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's offset.
    pub offset: i64,
    /// The record's time stamp in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Leader epoch of its batch.
    pub leader_epoch: i32,
}

/// A partition's log: whole record batches by offset. Reading blocks for as long as the file system does; at the end of the
/// log it is served from memory.
#[derive(Debug)]
pub struct Partition {
    name: TopicPartition,
    topic_id: Uuid,
    /// Number of the partition in the journal; never used twice.
    slot: u32,
    dir: PathBuf,
    /// Where its files are once it is deleted: the folder's own name may be another partition's by then.
    deleted_dir: OnceLock<PathBuf>,
    context: Arc<Context>,
    config: RwLock<Arc<PartitionConfig>>,
    state: RwLock<State>,
    high_watermark: watch::Sender<i64>,
    last_stable: watch::Sender<i64>,
    log_end: AtomicI64,
    deleted: AtomicBool,
    /// What the writer thread has staged. Loaded when first written to.
    writer: Mutex<Option<Box<stage::Writer>>>,
    tail: Mutex<Tail>,
    recovery: Mutex<RecoveryPoint>,
    holds: Mutex<holds::Holds>,
    /// Held while records are read, and exclusively while compaction puts others in their place. Taken before `tail` and `state`, behind
    /// `writer`.
    layout: RwLock<()>,
    /// Base offset of the segment in which recovery would begin, by the checkpoint that is on disk. Those before it only compaction changes.
    settled: AtomicI64,
    /// One that an error has cut short.
    swap: Mutex<Option<compact::Swap>>,
    /// Held while an index is derived or forgotten, so that it is done once. Taken behind `layout` and before `state`.
    deriving: Mutex<()>,
    /// Held while aborted transactions go to their files, so that each goes once. Taken behind `layout` and before `state`.
    flushing: Mutex<()>,
    compaction_pause: Mutex<compact::Pause>,
    /// Up to where the log is compacted; not there before somebody asks.
    clean_to: Mutex<Option<i64>>,
}

/// What is committed.
#[derive(Debug)]
pub(crate) struct State {
    /// In order of their base offsets. The last one is written to.
    pub(crate) segments: Vec<Segment>,
    pub(crate) log_start: i64,
    pub(crate) high_watermark: i64,
    /// Appends are not journaled, and are visible before their sync.
    pub(crate) relaxed: bool,
    /// Not there before somebody writes or asks.
    pub(crate) transactions: Option<transactions::Transactions>,
}

impl State {
    fn segment_mut(&mut self, base_offset: i64) -> Option<&mut Segment> {
        self.segments.iter_mut().rev().find(|segment| segment.base_offset == base_offset)
    }

    fn segment(&self, base_offset: i64) -> Option<&Segment> {
        self.segments.iter().rev().find(|segment| segment.base_offset == base_offset)
    }
}

/// Where a partition's committed bytes end.
pub(crate) fn end_of(state: &State) -> (i64, u64) {
    state.segments.last().map_or((state.high_watermark, 0), |last| (last.base_offset, last.size))
}

impl Partition {
    pub(crate) fn new(
        context: Arc<Context>,
        name: TopicPartition,
        topic_id: Uuid,
        slot: u32,
        config: PartitionConfig,
        state: State,
        recovery: RecoveryPoint,
    ) -> Partition {
        let end = state.high_watermark;
        Partition {
            dir: context.topics_dir().join(name.to_string()),
            deleted_dir: OnceLock::new(),
            name,
            topic_id,
            slot,
            config: RwLock::new(Arc::new(config)),
            state: RwLock::new(state),
            high_watermark: watch::Sender::new(end),
            last_stable: watch::Sender::new(end),
            log_end: AtomicI64::new(end),
            deleted: AtomicBool::new(false),
            writer: Mutex::new(None),
            tail: Mutex::new(Tail::new(context.tail_bytes.clone())),
            recovery: Mutex::new(recovery),
            holds: Mutex::default(),
            layout: RwLock::default(),
            settled: AtomicI64::new(recovery.segment),
            swap: Mutex::default(),
            deriving: Mutex::default(),
            flushing: Mutex::default(),
            compaction_pause: Mutex::default(),
            clean_to: Mutex::default(),
            context,
        }
    }

    /// Its name.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.name
    }

    /// Id of its topic.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// Its configuration as it is now.
    pub fn config(&self) -> Arc<PartitionConfig> {
        self.config.read().clone()
    }

    /// Replaces its configuration; holds for the next append and the next round of retention. Not kept on disk: whoever keeps the
    /// topic's configuration gives it again after opening. A change between durable and relaxed blocks for a sync.
    ///
    /// # Errors
    /// The file system's, if the sync failed; the configuration is then as it was.
    pub fn set_config(self: &Arc<Self>, config: PartitionConfig) -> Result<(), LogError> {
        let relaxed = config.is_relaxed();
        if relaxed != self.state.read().relaxed {
            self.context.queue.call(|reply| Command::Mode(self.clone(), relaxed, reply))?;
        }
        *self.config.write() = Arc::new(config);
        Ok(())
    }

    /// First offset that is still there.
    pub fn log_start_offset(&self) -> i64 {
        self.state.read().log_start
    }

    /// Offset after the last durable, visible record.
    pub fn high_watermark(&self) -> i64 {
        *self.high_watermark.borrow()
    }

    /// Offset that the next record gets. At or after the high watermark.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end.load(Ordering::Acquire)
    }

    /// Bytes of its segments.
    pub fn size_bytes(&self) -> u64 {
        self.state.read().segments.iter().map(|segment| segment.size).sum()
    }

    /// Whole batches from the one that holds `offset` (it may begin before), about `max_bytes` but at least one batch, never
    /// past the high watermark. Empty at the high watermark.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] before the log's start or after the high watermark.
    pub fn read(&self, offset: i64, max_bytes: usize) -> Result<Bytes, LogError> {
        self.read_with(offset, max_bytes, true)
    }

    /// As [`Partition::read`], but empty if the first batch is larger than `max_bytes`.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub fn read_within(&self, offset: i64, max_bytes: usize) -> Result<Bytes, LogError> {
        self.read_with(offset, max_bytes, false)
    }

    /// The high watermark as it moves. A change to the value it had says that the partition was deleted.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.high_watermark.subscribe()
    }

    /// Whether the partition was deleted. Whoever still holds it can read as long as the files are there.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Forgets the records before `before` (-1: before the high watermark) and gives the new log start offset. Durable when it
    /// returns; blocks meanwhile.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] if `before` is after the high watermark, [`LogError::UnknownPartition`] if the partition was deleted.
    pub fn delete_records(self: &Arc<Self>, before: i64) -> Result<i64, LogError> {
        let before = {
            let state = self.state.read();
            let before = if before == -1 { state.high_watermark } else { before };
            if before < 0 || before > state.high_watermark {
                return Err(self.out_of_range(before, &state));
            }
            if before <= state.log_start {
                return Ok(state.log_start);
            }
            before
        };
        self.context.queue.call(|reply| Command::LogStart(vec![(self.clone(), before)], reply))?;
        if self.is_deleted() {
            return Err(LogError::UnknownPartition(self.name.clone()));
        }
        Ok(self.log_start_offset())
    }

    fn out_of_range(&self, offset: i64, state: &State) -> LogError {
        LogError::OffsetOutOfRange {
            partition: self.name.clone(),
            offset,
            log_start: state.log_start,
            high_watermark: state.high_watermark,
        }
    }
}

/// What the log's other parts do with a partition.
impl Partition {
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// The folder that its files are in. For who opens, makes or removes some there: under `layout` or `writer`, for a deletion renames the
    /// folder, and the next partition of the name gets one of the old name.
    pub(crate) fn dir(&self) -> &PathBuf {
        self.deleted_dir.get().unwrap_or(&self.dir)
    }

    pub(crate) fn state(&self) -> &RwLock<State> {
        &self.state
    }

    pub(crate) fn recovery(&self) -> RecoveryPoint {
        *self.recovery.lock()
    }

    /// Notes that a checkpoint with the recovery point is on disk.
    pub(crate) fn settle(&self) {
        self.settled.store(self.recovery().segment, Ordering::Release);
    }

    /// Has the partition be deleted, with its folder from now on at `folder`.
    ///
    /// # Errors
    /// The file system's; it is not deleted then.
    pub(crate) fn delete(&self, folder: PathBuf) -> Result<(), LogError> {
        // Whoever writes or reads goes by the one name or by the other.
        let _writer = self.writer.lock();
        let _layout = self.layout.write();
        // Marked first: a checkpoint that misses the folder must know why.
        self.mark_deleted(true);
        if let Err(error) = self.context.files.rename(&self.dir, &folder) {
            self.mark_deleted(false);
            return Err(LogError::io("rename", &self.dir, &error));
        }
        self.deleted_dir.set(folder).expect("nothing is deleted twice");
        self.context.handles.forget_all(self.slot);
        Ok(())
    }

    pub(crate) fn set_recovery(&self, point: RecoveryPoint) {
        *self.recovery.lock() = point;
    }

    pub(crate) fn log_path(&self, base_offset: i64) -> PathBuf {
        match &*self.swap.lock() {
            Some(swap) if swap.base == base_offset => swap.path(self.dir()),
            _ => self.dir().join(format!("{base_offset:020}.log")),
        }
    }

    pub(crate) fn index_path(&self, base_offset: i64) -> PathBuf {
        match &*self.swap.lock() {
            Some(swap) if swap.base == base_offset => self.cleaned_index_path(base_offset),
            _ => self.dir().join(format!("{base_offset:020}.index")),
        }
    }

    pub(crate) fn producers_name(offset: i64) -> String {
        format!("{offset:020}.producers")
    }

    pub(crate) fn log_file(
        &self,
        base_offset: i64,
        create: bool,
    ) -> Result<Arc<dyn crate::files::FileHandle>, LogError> {
        let key = (self.slot, base_offset, Kind::Log);
        let open = self.context.handles.get(key, || self.log_path(base_offset), create);
        open.map_err(|error| LogError::io("open", &self.log_path(base_offset), &error))
    }

    pub(crate) fn index_file(&self, base_offset: i64) -> Result<Arc<dyn crate::files::FileHandle>, LogError> {
        let key = (self.slot, base_offset, Kind::Index);
        let open = self.context.handles.get(key, || self.index_path(base_offset), true);
        open.map_err(|error| LogError::io("open", &self.index_path(base_offset), &error))
    }

    pub(crate) fn tail(&self) -> &Mutex<Tail> {
        &self.tail
    }

    /// Moves what watchers see to what is committed.
    pub(crate) fn publish(&self) {
        let (committed, stable) = {
            let state = self.state.read();
            (state.high_watermark, transactions::last_stable(&state))
        };
        self.high_watermark.send_if_modified(|seen| std::mem::replace(seen, committed) != committed);
        self.last_stable.send_if_modified(|seen| std::mem::replace(seen, stable) != stable);
    }

    fn mark_deleted(&self, deleted: bool) {
        self.deleted.store(deleted, Ordering::Release);
        self.high_watermark.send_modify(|_| ());
        self.last_stable.send_modify(|_| ());
        self.tail.lock().clear();
    }

    /// Writes the index entries that are only in memory to their files. Not synced: they can be derived again.
    pub(crate) fn flush_indexes(&self) {
        let _layout = self.layout.read();
        let bases: Vec<i64> = {
            let state = self.state.read();
            let unwritten =
                |segment: &&Segment| segment.derived.as_ref().is_some_and(|derived| !derived.pending.is_empty());
            state.segments.iter().filter(unwritten).map(|segment| segment.base_offset).collect()
        };
        for base in bases {
            let Ok(file) = self.index_file(base) else { continue };
            let mut state = self.state.write();
            let Some(derived) = state.segment_mut(base).and_then(|segment| segment.derived.as_mut()) else { continue };
            // An index of an earlier segment of the same offset may be there.
            let emptied = if derived.flushed == 0 { file.set_length(0) } else { Ok(()) };
            match emptied.and_then(|()| segment::write_entries(&*file, derived.flushed, &derived.pending)) {
                Ok(()) => {
                    derived.flushed += derived.pending.len() as u32;
                    derived.pending = Vec::new();
                }
                Err(error) => {
                    tracing::warn!(partition = %self.name, %error, "cannot write an index; it stays in memory")
                }
            }
        }
    }

    /// Writes the file of the producers' state at `offset`. Not synced: if it is lost, it is read from the log again.
    pub(crate) fn write_producers(&self, offset: i64, state: &[u8]) -> Result<(), LogError> {
        let _layout = self.layout.read();
        let (files, name) = (&*self.context.files, Partition::producers_name(offset));
        replace(files, self.dir(), &name, state, false).inspect_err(|_| {
            let _ = files.remove_file(&self.dir().join(format!("{name}.new")));
        })
    }

    /// Removes the files of producers' states that the checkpoint does not name.
    pub(crate) fn remove_old_producers(&self) {
        let _layout = self.layout.read();
        let Ok(names) = self.context.files.list(self.dir()) else { return };
        let kept = self.recovery().producers.map(Partition::producers_name);
        for name in names.iter().filter(|name| name.ends_with(".producers") && Some(*name) != kept.as_ref()) {
            let _ = self.context.files.remove_file(&self.dir().join(name));
        }
    }

    /// Removes the segments that are wholly before the log's start. Only what the checkpoint on disk no longer needs may go.
    /// Gives the number of segments and their bytes.
    pub(crate) fn remove_obsolete(&self) -> (usize, u64) {
        let point = self.recovery();
        let _layout = self.layout.write();
        if let Err(error) = self.finish_swap_in_layout() {
            tracing::warn!(partition = %self.name, %error, "compacted segments cannot take their place; nothing is removed before they do");
            return (0, 0);
        }
        let indexed: Vec<i64>;
        let obsolete: Vec<Segment> = {
            let mut state = self.state.write();
            let log_start = state.log_start;
            let ends = state.segments.iter().skip(1).map(|next| next.base_offset);
            let count = ends.take_while(|end| *end <= log_start && *end <= point.segment).count();
            let obsolete: Vec<Segment> = state.segments.drain(..count).collect();
            let is_obsolete = |base: i64| obsolete.iter().any(|segment| segment.base_offset == base);
            indexed = state
                .transactions
                .as_mut()
                .map_or_else(Vec::new, |transactions| transactions.aborted.forget_segments(is_obsolete));
            obsolete
        };
        for segment in indexed {
            if let Err(error) = self.remove_aborted(segment) {
                tracing::warn!(partition = %self.name, %error, "what is left of an old segment goes when the log is opened again");
            }
        }
        for segment in &obsolete {
            self.context.handles.forget(self.slot, segment.base_offset);
            for path in [self.log_path(segment.base_offset), self.index_path(segment.base_offset)] {
                match self.context.files.remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %error, "cannot remove an old segment; it goes at the next start");
                    }
                    _ => {}
                }
            }
        }
        (obsolete.len(), obsolete.iter().map(|segment| segment.size).sum())
    }
}
