//! The one thread that writes. It takes everything that waits, stages it, makes it durable with one sync of the journal, and then moves
//! the high watermarks: group commit. A single append at idle is synced at once; what comes meanwhile shares the next sync.

mod checkpoints;
mod direct;
mod group;
mod held;
mod metas;

use std::collections::{HashMap, HashSet};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::LogError;
use crate::journal::{Journal, MetaRecord};
use crate::log::Shared;
use crate::queue::{Command, Reply};
use crate::syncer::Dirty;
use crate::tail_cache::TailCache;

/// Most bytes of appends in one group: they are all in memory once more.
const GROUP_BYTES_MAX: usize = 64 << 20;
pub(crate) struct Writer {
    shared: Arc<Shared>,
    journal: Journal,
    /// Not in the journal yet. They go with the next entry: nothing depends on them before.
    metas: Vec<MetaRecord>,
    dirty: HashMap<u32, Dirty>,
    /// Files that `dirty` holds open.
    held: usize,
    topics_dirty: bool,
    removals: Vec<PathBuf>,
    direct_bytes: u64,
    relaxed_records: u64,
    relaxed_bytes: u64,
    /// When the next checkpoint is due.
    due: Option<Instant>,
    checkpointing: bool,
    /// What the checkpoint under way has taken on: names are not durable before it is done.
    in_flight: InFlight,
    /// Who waits for the next checkpoint.
    waiters: Vec<Reply<()>>,
    tails: TailCache,
}

/// What the checkpoint under way makes durable.
#[derive(Default)]
struct InFlight {
    /// Partitions with segments in it.
    slots: HashSet<u32>,
    topics: bool,
    /// By slot: whether the folder itself is new.
    partitions: HashMap<u32, bool>,
    /// Files that it holds open.
    held: usize,
    /// Who waits for it.
    waiters: Vec<Reply<()>>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        journal: Journal,
        dirty: HashMap<u32, Dirty>,
        removals: Vec<PathBuf>,
    ) -> Writer {
        let tails = TailCache::new(&shared.context);
        let mut writer = Writer {
            shared,
            journal,
            metas: Vec::new(),
            dirty,
            held: 0,
            topics_dirty: true,
            removals,
            direct_bytes: 0,
            relaxed_records: 0,
            relaxed_bytes: 0,
            due: None,
            checkpointing: false,
            in_flight: InFlight::default(),
            waiters: Vec::new(),
            tails,
        };
        writer.count_held();
        if !writer.dirty.is_empty() || !writer.removals.is_empty() {
            // A process that is killed again and again must not leave one more journal file each time.
            let options = &writer.shared.context.options;
            let is_full = writer.journal.live_files() >= options.journal_files;
            writer.due_in_ms(if is_full { 0 } else { options.checkpoint_interval_ms });
        }
        writer
    }

    /// The thread.
    pub(crate) fn run(mut self) {
        let mut commands = Vec::new();
        loop {
            self.shared.context.queue.take(self.due.filter(|_| !self.checkpointing), &mut commands);
            if let Some(outcome) = self.shared.syncer.try_outcome() {
                self.end_checkpoint(outcome);
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.begin_checkpoint();
            }
            let mut group = Vec::new();
            let mut group_bytes = 0;
            for command in commands.drain(..) {
                match command {
                    Command::Append(pending) => {
                        let bytes: usize = pending.parts.iter().map(|(_, append)| append.batches.len()).sum();
                        if group_bytes + bytes > GROUP_BYTES_MAX && !group.is_empty() {
                            self.commit(mem::take(&mut group));
                            group_bytes = 0;
                        }
                        group_bytes += bytes;
                        group.push(pending);
                    }
                    Command::Create(partition) => self.note_created(partition),
                    Command::Delete { slot, folder } => self.note_deleted(slot, folder),
                    Command::LogStart(moves, reply) => {
                        self.commit(mem::take(&mut group));
                        let _ = reply.send(self.move_log_starts(moves));
                    }
                    Command::Mode(partition, relaxed, reply) => {
                        self.commit(mem::take(&mut group));
                        let _ = reply.send(self.change_mode(&partition, relaxed));
                    }
                    Command::Checkpoint(reply) => {
                        self.commit(mem::take(&mut group));
                        self.waiters.push(reply);
                        self.due = Some(Instant::now());
                    }
                    Command::Close(reply) => {
                        self.commit(mem::take(&mut group));
                        self.finish(reply);
                        return;
                    }
                }
            }
            self.commit(group);
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.begin_checkpoint();
            }
        }
    }

    fn due_in_ms(&mut self, ms: u64) {
        let at = Instant::now() + Duration::from_millis(ms);
        if self.due.is_none_or(|due| due > at) {
            self.due = Some(at);
        }
    }

    /// Ends everything: the last checkpoint, so that the next start has nothing to do.
    fn finish(&mut self, reply: Reply<()>) {
        for command in self.shared.context.queue.close() {
            if let Command::Append(mut pending) = command {
                pending.answer(Err(LogError::Closed));
            }
        }
        if self.checkpointing {
            // The one that follows has what it did not do.
            let _ = self.finish_checkpoint();
        }
        self.start_checkpoint();
        let result = self.finish_checkpoint();
        self.shared.syncer.close();
        let _ = reply.send(result);
    }
}
