//! The data folder as its users see it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use crate::checkpoint::{Checkpoint, RecoveryPoint};
use crate::compaction;
use crate::context::Context;
use crate::files::{Files, SystemFiles};
use crate::meta::{self, Lock, PartitionMeta};
use crate::partition::State;
use crate::queue::{Command, Pending};
use crate::recovery::{self, Recovered};
use crate::retention::{SegmentSummary, segments_to_delete};
use crate::syncer::Syncer;
use crate::writer::Writer;
use crate::{
    Ack, Append, Appended, CompactionReport, LogError, LogOptions, Partition, PartitionConfig, RecoveryReport,
    RetentionReport, TopicPartition,
};

/// What the log's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) partitions: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
    pub(crate) next_slot: AtomicU32,
    /// The first journal entry that is still needed, as the checkpoint on disk has it.
    pub(crate) checkpoint_entry: AtomicU64,
    pub(crate) syncer: Syncer,
}

/// An open data folder. A clone is another handle on the same; the last one's drop closes it.
#[derive(Debug, Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    cluster_id: String,
    /// Held while segments are compacted.
    compaction: Mutex<()>,
    compaction_keys_max: AtomicUsize,
    /// Set when compaction is to end.
    closing: AtomicBool,
    /// Held while partitions are created and deleted, so that folders and names change together.
    names: Mutex<()>,
    running: Mutex<Option<Running>>,
}

struct Running {
    writer: JoinHandle<()>,
    syncer: JoinHandle<()>,
    _lock: Lock,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

impl Log {
    /// Opens the folder `dir`, or makes it: locks it, replays the journal onto the segments, cuts off torn tails.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process has it, [`LogError::Format`] if a newer version wrote it, or the file system's.
    pub fn open(dir: &Path, options: LogOptions) -> Result<(Log, RecoveryReport), LogError> {
        Log::open_with(dir, options, Arc::new(SystemFiles))
    }

    /// As [`Log::open`], on other files than the system's.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_with(
        dir: &Path,
        options: LogOptions,
        files: Arc<dyn Files>,
    ) -> Result<(Log, RecoveryReport), LogError> {
        let context = Context::new(files.clone(), dir.to_owned(), options);
        for dir in [dir, &context.journal_dir(), &context.topics_dir()] {
            files.create_dir_all(dir).map_err(|error| LogError::io("make", dir, &error))?;
        }
        let lock = meta::lock(&*files, dir)?;
        // Before meta.json, so that a folder which has that and no checkpoint has lost it.
        if !meta::is_there(&*files, dir)? && Checkpoint::read(&*files, dir)?.is_none() {
            Checkpoint::default().write(&*files, dir)?;
        }
        let (cluster_id, created) = meta::cluster_id(&*files, dir)?;
        files.sync_dir(dir).map_err(|error| LogError::io("sync", dir, &error))?;
        if created {
            // The folder's own name must last, too. One that may not be read here is not one that was made here.
            for above in dir.ancestors().skip(1) {
                // What a relative name begins in has no name in it.
                let here = above.as_os_str().is_empty();
                let _ = files.sync_dir(if here { Path::new(".") } else { above });
            }
        }
        let Recovered { partitions, journal, dirty, removals, next_slot, checkpoint_entry, mut report } =
            recovery::recover(&context)?;
        report.created = created;
        let compaction_keys_max = AtomicUsize::new(context.options.compaction_keys_max);
        let shared = Arc::new(Shared {
            context,
            partitions: RwLock::new(partitions),
            next_slot: AtomicU32::new(next_slot),
            checkpoint_entry: AtomicU64::new(checkpoint_entry),
            syncer: Syncer::default(),
        });
        let spawn = |name: &'static str, run: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || run_or_abort(name, run));
            spawned.map_err(|error| LogError::io("start a thread for", dir, &error))
        };
        let syncing = shared.clone();
        let syncer = spawn("log-syncer", Box::new(move || syncing.syncer.run(&syncing)))?;
        let writing = Writer::new(shared.clone(), journal, dirty, removals);
        let writer = spawn("log-writer", Box::new(move || writing.run()))?;
        let running = Mutex::new(Some(Running { writer, syncer, _lock: lock }));
        Ok((
            Log {
                inner: Arc::new(Inner {
                    shared,
                    cluster_id,
                    compaction: Mutex::default(),
                    compaction_keys_max,
                    closing: AtomicBool::new(false),
                    names: Mutex::default(),
                    running,
                }),
            },
            report,
        ))
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.shared().context.dir
    }

    /// The cluster's id: 22 characters as Kafka writes it, made with the folder and kept.
    pub fn cluster_id(&self) -> &str {
        &self.inner.cluster_id
    }

    /// Makes an empty partition. It is as durable as the next durable append.
    ///
    /// # Errors
    /// [`LogError::PartitionExists`], [`LogError::InvalidName`], [`LogError::Closed`], or the file system's.
    pub fn create_partition(
        &self,
        name: &TopicPartition,
        topic_id: Uuid,
        config: PartitionConfig,
    ) -> Result<Arc<Partition>, LogError> {
        name.check()?;
        let shared = self.shared();
        let context = &shared.context;
        let names = self.inner.names.lock();
        if shared.partitions.read().contains_key(name) {
            return Err(LogError::PartitionExists(name.clone()));
        }
        let slot = shared.next_slot.load(Ordering::Acquire);
        let state = State { segments: Vec::new(), log_start: 0, high_watermark: 0, relaxed: false, transactions: None };
        let relaxed = config.is_relaxed();
        let partition = Arc::new(Partition::new(
            context.clone(),
            name.clone(),
            topic_id,
            slot,
            config,
            state,
            RecoveryPoint::default(),
        ));
        let meta = PartitionMeta { topic: name.topic.to_string(), partition: name.partition, topic_id, slot };
        let dir = partition.dir();
        // A folder of this name that no partition has is left from a creation that was not finished.
        match context.files.list(dir) {
            Ok(_) => context.files.remove_dir_all(dir).map_err(|error| LogError::io("remove", dir, &error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::io("list", dir, &error)),
        }
        context.files.create_dir_all(dir).map_err(|error| LogError::io("make", dir, &error))?;
        meta.write(&*context.files, dir)?;
        {
            // Together, so that no append comes before the creation and no checkpoint falls between.
            let mut partitions = shared.partitions.write();
            context.queue.push(Command::Create(partition.clone())).map_err(|_| LogError::Closed)?;
            partitions.insert(name.clone(), partition.clone());
            shared.next_slot.store(slot + 1, Ordering::Release);
        }
        if relaxed && let Err(error) = context.queue.call(|reply| Command::Mode(partition.clone(), true, reply)) {
            drop(names);
            self.delete_partition(name)?;
            return Err(error);
        }
        Ok(partition)
    }

    /// Deletes a partition and all of its records; as durable as the next durable append. Whoever still holds it gets
    /// [`LogError::UnknownPartition`] from an append.
    ///
    /// # Errors
    /// [`LogError::UnknownPartition`], [`LogError::Closed`], or the file system's.
    pub fn delete_partition(&self, name: &TopicPartition) -> Result<(), LogError> {
        let shared = self.shared();
        let _names = self.inner.names.lock();
        let partition = self.partition(name).ok_or_else(|| LogError::UnknownPartition(name.clone()))?;
        let folder = recovery::deleted_folder(&shared.context, name, partition.slot());
        partition.delete(folder.clone())?;
        let mut partitions = shared.partitions.write();
        partitions.remove(name);
        shared.context.queue.push(Command::Delete { slot: partition.slot(), folder }).map_err(|_| LogError::Closed)
    }

    /// All partitions, in order of their names.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        let mut partitions: Vec<Arc<Partition>> = self.shared().partitions.read().values().cloned().collect();
        partitions.sort_by(|a, b| a.topic_partition().cmp(b.topic_partition()));
        partitions
    }

    /// A partition by its name.
    pub fn partition(&self, name: &TopicPartition) -> Option<Arc<Partition>> {
        self.shared().partitions.read().get(name).cloned()
    }

    /// Appends: all parts become durable and visible together or not at all. Order of calls is order of offsets.
    pub fn append(&self, parts: Vec<Append>) -> Appended {
        self.append_with(parts, Ack::Durable)
    }

    /// As [`Log::append`], choosing when it answers.
    pub fn append_with(&self, parts: Vec<Append>, ack: Ack) -> Appended {
        let (reply, appended) = Appended::channel();
        let mut pending = Pending { parts: Vec::with_capacity(parts.len()), ack, reply: Some(reply) };
        {
            let partitions = self.shared().partitions.read();
            for append in parts {
                match partitions.get(&append.partition) {
                    Some(partition) => pending.parts.push((partition.clone(), append)),
                    None => {
                        pending.answer(Err(LogError::UnknownPartition(append.partition)));
                        return appended;
                    }
                }
            }
        }
        if pending.parts.is_empty() {
            pending.answer(Ok(Vec::new()));
            return appended;
        }
        if let Err(command) = self.shared().context.queue.push(Command::Append(pending))
            && let Command::Append(mut pending) = *command
        {
            pending.answer(Err(LogError::Closed));
        }
        appended
    }

    /// Deletes what the partitions' retention no longer keeps at `now_ms`. To be called now and then, where blocking is allowed.
    /// The files go with the checkpoint that follows at once.
    ///
    /// # Errors
    /// The file system's; [`LogError::Closed`].
    pub fn enforce_retention(&self, now_ms: i64) -> Result<RetentionReport, LogError> {
        let mut report = RetentionReport::default();
        let mut moves = Vec::new();
        for partition in self.partitions() {
            let config = partition.config();
            if config.retention_ms.is_none() && config.retention_bytes.is_none() {
                continue;
            }
            let segments = match summaries(&partition, &config) {
                Ok(segments) => segments,
                // One damaged partition must not keep the others from being tidied.
                Err(error) => {
                    tracing::error!(partition = %partition.topic_partition(), %error, "retention passes over a partition");
                    continue;
                }
            };
            let count = segments_to_delete(now_ms, &config, &segments, partition.first_held(now_ms));
            if let Some(last) = count.checked_sub(1).map(|last| segments[last]) {
                report.segments += count;
                report.bytes += segments[..count].iter().map(|segment| segment.bytes).sum::<u64>();
                report.moved.push((partition.topic_partition().clone(), last.next_offset));
                moves.push((partition, last.next_offset));
            }
        }
        if !moves.is_empty() {
            self.shared().context.queue.call(|reply| Command::LogStart(moves, reply))?;
        }
        Ok(report)
    }

    /// Compacts the partitions that ask for it, as far as it is worth it at `now_ms`. To be called now and then, where blocking is allowed:
    /// it reads and writes what is compacted. [`Log::close`] ends it.
    ///
    /// # Errors
    /// The file system's; [`LogError::Closed`].
    pub fn compact(&self, now_ms: i64) -> Result<CompactionReport, LogError> {
        let mut report = CompactionReport::default();
        let _one = self.inner.compaction.lock();
        // One damaged partition must not keep the others from being tidied.
        let note = |partition: &Partition, result: Result<(), LogError>, report: &mut CompactionReport| {
            partition.note_compaction(now_ms, result.is_err());
            if let Err(error) = result.as_ref()
                && !partition.is_deleted()
            {
                report.failed += 1;
                tracing::error!(partition = %partition.topic_partition(), %error, "compaction passes over a partition for a time");
            }
        };
        let mut wanted = Vec::new();
        for partition in self.partitions() {
            if !partition.config().compact || partition.compaction_pauses(now_ms) {
                continue;
            }
            match compaction::is_wanted(&partition, now_ms) {
                Ok(true) => wanted.push(partition),
                Ok(false) => {}
                Err(error) => note(&partition, Err(error), &mut report),
            }
        }
        if wanted.is_empty() {
            return Ok(report);
        }
        // All closed segments are synced then.
        self.checkpoint()?;
        let keys_max = self.inner.compaction_keys_max.load(Ordering::Relaxed);
        for partition in wanted {
            let compacted = compaction::compact(&partition, now_ms, keys_max, &self.inner.closing, &mut report);
            note(&partition, compacted, &mut report);
        }
        Ok(report)
    }

    /// Bounds the memory of a pass of compaction to about `bytes`: Kafka's `log.cleaner.dedupe.buffer.size`. A log with more keys takes several.
    /// Replaces [`LogOptions::compaction_keys_max`] from the next compaction on.
    pub fn set_compaction_bytes_max(&self, bytes: u64) {
        self.inner.compaction_keys_max.store(compaction::keys_in(bytes), Ordering::Relaxed);
    }

    /// How long a silent producer is remembered: Kafka's `producer.id.expiration.ms`. Replaces [`LogOptions::producer_expiration_ms`] from the
    /// next time on that producers are noted or read.
    pub fn set_producer_expiration_ms(&self, ms: i64) {
        self.shared().context.producer_expiration_ms.store(ms, Ordering::Relaxed);
    }

    /// Syncs all segments now and frees the journal. Durability does not need it: it makes the next start shorter.
    ///
    /// # Errors
    /// The file system's; [`LogError::Closed`].
    pub fn checkpoint(&self) -> Result<(), LogError> {
        self.shared().context.queue.call(Command::Checkpoint)
    }

    /// Finishes what is queued, syncs everything and unlocks the folder. Later appends answer [`LogError::Closed`].
    ///
    /// # Errors
    /// The file system's: the folder is closed then all the same, and the next start replays the journal.
    pub fn close(&self) -> Result<(), LogError> {
        self.inner.close()
    }
}

impl Inner {
    fn close(&self) -> Result<(), LogError> {
        let Some(Running { writer, syncer, _lock }) = self.running.lock().take() else { return Ok(()) };
        self.closing.store(true, Ordering::Release);
        let _compaction = self.compaction.lock();
        let result = self.shared.context.queue.call(Command::Close);
        // If the writer is gone without closing, nobody else tells the syncer.
        self.shared.syncer.close();
        let joined = writer.join().and(syncer.join());
        joined.map_err(|_| LogError::Closed).and(result)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log could not be closed cleanly; the next start recovers it");
        }
    }
}

/// Runs a thread without which nothing becomes durable any more. If it panics, the process ends: else whoever waits for an append would wait
/// for ever. What was acknowledged is on the disk, so a start finds it as after a kill.
fn run_or_abort(name: &str, run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        tracing::error!(
            thread = name,
            "a thread of the log has panicked: the process ends, and the next start recovers the log"
        );
        std::process::abort();
    }
}

/// A partition's segments with records at or after its start.
fn summaries(partition: &Partition, config: &PartitionConfig) -> Result<Vec<SegmentSummary>, LogError> {
    let mut segments: Vec<SegmentSummary> = {
        let state = partition.state().read();
        let ends = state.segments.iter().skip(1).map(|next| next.base_offset).chain([state.high_watermark]);
        let all = state.segments.iter().zip(ends);
        all.filter(|(segment, end)| *end > state.log_start && segment.size > 0)
            .map(|(segment, next_offset)| SegmentSummary {
                base_offset: segment.base_offset,
                next_offset,
                bytes: segment.size,
                newest_ms: -1,
            })
            .collect()
    };
    if config.retention_ms.is_some() {
        for segment in &mut segments {
            segment.newest_ms = partition.newest_ms(segment.base_offset)?;
        }
    }
    Ok(segments)
}
