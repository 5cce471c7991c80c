//! The thread that syncs segments behind the writer, writes the checkpoint and so frees the journal.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::checkpoint::{Checkpoint, PartitionLine, RecoveryPoint};
use crate::files::FileHandle;
use crate::in_parallel::in_parallel;
use crate::journal::{EntryBody, Ring};
use crate::log::Shared;
use crate::meta::PartitionMeta;
use crate::partition::ProducersNews;
use crate::scan::{Depth, Scan};
use crate::{LogError, Partition};

/// What was written to a partition since its last sync.
#[derive(Debug)]
pub(crate) struct Dirty {
    pub(crate) partition: Arc<Partition>,
    /// Segments by base offset. Holding the file open, so that the sync hears of errors of the writes before it.
    pub(crate) segments: Vec<(i64, Arc<dyn FileHandle>)>,
    /// Names in the partition's folder changed.
    pub(crate) names: bool,
    /// The folder itself is new.
    pub(crate) created: bool,
    /// A sync failed: the page cache may hold pages for clean that are not on the disk.
    pub(crate) suspect: bool,
}

impl Dirty {
    pub(crate) fn new(partition: Arc<Partition>) -> Dirty {
        Dirty { partition, segments: Vec::new(), names: false, created: false, suspect: false }
    }

    /// Adds a segment that was written to. Gives the number of files that are held open for it: 0 if it was there.
    pub(crate) fn add(&mut self, base_offset: i64, file: &Arc<dyn FileHandle>) -> usize {
        if self.segments.iter().any(|(base, _)| *base == base_offset) {
            return 0;
        }
        self.segments.push((base_offset, file.clone()));
        1
    }
}

/// A checkpoint to be made.
#[derive(Debug)]
pub(crate) struct Job {
    /// All entries before this one are in the segments.
    pub(crate) next_entry: u64,
    pub(crate) items: Vec<Item>,
    /// Names in the folder of all partitions changed.
    pub(crate) topics: bool,
    /// Folders of deleted partitions.
    pub(crate) remove: Vec<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) dirty: Dirty,
    /// Where the partition ended when the job was given.
    pub(crate) end: RecoveryPoint,
    pub(crate) producers: ProducersNews,
}

/// How a job ended.
pub(crate) type Outcome = Result<u64, Box<(LogError, Job)>>;

#[derive(Debug, Default)]
struct Desk {
    job: Option<Job>,
    outcome: Option<Outcome>,
    close: bool,
}

/// Where writer and syncer meet. At most one job at a time.
#[derive(Debug, Default)]
pub(crate) struct Syncer {
    desk: Mutex<Desk>,
    changed: Condvar,
}

impl Syncer {
    pub(crate) fn give(&self, job: Job) {
        self.desk.lock().job = Some(job);
        self.changed.notify_all();
    }

    pub(crate) fn try_outcome(&self) -> Option<Outcome> {
        self.desk.lock().outcome.take()
    }

    /// Waits for the end of the job that was given.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut desk = self.desk.lock();
        loop {
            if let Some(outcome) = desk.outcome.take() {
                return outcome;
            }
            self.changed.wait(&mut desk);
        }
    }

    pub(crate) fn close(&self) {
        self.desk.lock().close = true;
        self.changed.notify_all();
    }

    /// The thread.
    pub(crate) fn run(&self, shared: &Shared) {
        let mut synced_to = shared.checkpoint_entry.load(Ordering::Acquire);
        loop {
            let mut job = {
                let mut desk = self.desk.lock();
                loop {
                    if let Some(job) = desk.job.take() {
                        break job;
                    }
                    if desk.close {
                        return;
                    }
                    self.changed.wait(&mut desk);
                }
            };
            let started = Instant::now();
            let outcome = match checkpoint(shared, &mut job, synced_to) {
                Ok(()) => {
                    tracing::debug!(partitions = job.items.len(), elapsed = ?started.elapsed(), "checkpoint");
                    synced_to = job.next_entry;
                    shared.checkpoint_entry.store(synced_to, Ordering::Release);
                    Ok(synced_to)
                }
                Err(error) => {
                    tracing::error!(%error, "segments cannot be synced; the journal keeps what they lack");
                    empty_deleted(shared, &job);
                    Err(Box::new((error, job)))
                }
            };
            self.desk.lock().outcome = Some(outcome);
            self.changed.notify_all();
            shared.context.queue.poke();
        }
    }
}

fn checkpoint(shared: &Shared, job: &mut Job, synced_to: u64) -> Result<(), LogError> {
    let files = &*shared.context.files;
    for item in &mut job.items {
        let partition = item.dirty.partition.clone();
        partition.flush_indexes();
        if let ProducersNews::Changed(Some(producers)) = &item.producers {
            let written = partition.flush_aborted().and_then(|names| {
                item.dirty.names |= names;
                partition.write_producers(item.end.next_offset, producers)
            });
            if let Err(error) = written {
                if !partition.is_deleted() {
                    tracing::warn!(partition = %partition.topic_partition(), %error, "the state of producers and transactions cannot be written; what was written before still holds");
                    partition.touch_producers();
                }
                // It can be read from the log again. What waits for the checkpoint may be what gives the disk its space back.
                item.producers = ProducersNews::NotRead;
            }
        }
    }
    let fresh = |(_, item): &(usize, &Item)| !item.dirty.suspect;
    let segments: Vec<_> = job
        .items
        .iter()
        .enumerate()
        .filter(fresh)
        .flat_map(|(number, item)| item.dirty.segments.iter().map(move |(base, file)| (number, *base, file.clone())))
        .collect();
    let results = in_parallel(&segments, |(_, _, file)| file.sync());
    for ((number, base, _), result) in segments.into_iter().zip(results) {
        if let Err(error) = result {
            let dirty = &mut job.items[number].dirty;
            let path = dirty.partition.log_path(base);
            tracing::error!(path = %path.display(), %error, "a sync failed; what it covered is written again");
            dirty.suspect = true;
        }
    }
    if job.items.iter().any(|item| item.dirty.suspect) {
        rewrite(shared, job, synced_to)?;
    }
    let named: Vec<&Item> = job.items.iter().filter(|item| item.dirty.names).collect();
    let results = in_parallel(&named, |item| {
        let dir = item.dirty.partition.dir();
        let sync = || {
            if item.dirty.created {
                files.open(&PartitionMeta::path(dir), false)?.sync()?;
            }
            files.sync_dir(dir)
        };
        sync().map_err(|error| LogError::io("sync", dir, &error)).or_else(|error| gone(&item.dirty, error))
    });
    results.into_iter().collect::<Result<(), LogError>>()?;
    if job.topics {
        let dir = shared.context.topics_dir();
        files.sync_dir(&dir).map_err(|error| LogError::io("sync", &dir, &error))?;
    }
    for item in &job.items {
        let before = item.dirty.partition.recovery();
        let next = item.end.next_offset;
        let (producers, producers_next) = match &item.producers {
            ProducersNews::NotRead => (before.producers, before.producers_next),
            ProducersNews::Same => (before.producers, next),
            ProducersNews::Changed(state) => (state.as_ref().map(|_| next), next),
        };
        item.dirty.partition.set_recovery(RecoveryPoint { producers, producers_next, ..item.end });
    }
    let length = snapshot(shared, job.next_entry).write(files, &shared.context.dir)?;
    let partitions: Vec<Arc<Partition>> = shared.partitions.read().values().cloned().collect();
    for partition in partitions {
        partition.settle();
        partition.remove_obsolete();
    }
    for item in &job.items {
        if matches!(item.producers, ProducersNews::Changed(_)) {
            item.dirty.partition.remove_old_producers();
        }
    }
    for dir in &job.remove {
        if let Err(error) = files.remove_dir_all(dir) {
            tracing::warn!(path = %dir.display(), %error, "cannot remove a deleted partition's folder; it goes at the next start");
        }
    }
    // Behind what gave space back, for the disk may be full.
    Checkpoint::reserve(files, &shared.context.dir, length);
    Ok(())
}

/// An error of a partition that was deleted meanwhile is none.
fn gone(dirty: &Dirty, error: LogError) -> Result<(), LogError> {
    if dirty.partition.is_deleted() { Ok(()) } else { Err(error) }
}

fn snapshot(shared: &Shared, next_entry: u64) -> Checkpoint {
    let partitions = shared.partitions.read();
    let mut lines: Vec<PartitionLine> = partitions
        .values()
        .map(|partition| {
            let state = partition.state().read();
            PartitionLine {
                slot: partition.slot(),
                partition: partition.topic_partition().clone(),
                topic_id: partition.topic_id(),
                relaxed: state.relaxed,
                log_start: state.log_start,
                point: partition.recovery(),
            }
        })
        .collect();
    lines.sort_by_key(|line| line.slot);
    Checkpoint { next_entry, next_slot: shared.next_slot.load(Ordering::Acquire), partitions: lines }
}

/// Writes again what a failed sync may have lost, and syncs that: from the journal, which is durable, and what is not in it from the page
/// cache.
///
/// # Errors
/// The file system's; [`LogError::Corrupt`] if there is not all that was committed.
fn rewrite(shared: &Shared, job: &mut Job, synced_to: u64) -> Result<(), LogError> {
    let context = &*shared.context;
    let mut suspects: HashMap<u32, &mut Item> = job
        .items
        .iter_mut()
        .filter(|item| item.dirty.suspect && !item.dirty.partition.is_deleted())
        .map(|item| (item.dirty.partition.slot(), item))
        .collect();
    let failed =
        |partition: &Partition, base, error: &std::io::Error| LogError::io("write", &partition.log_path(base), error);
    let dir = context.journal_dir();
    let ring = Ring::read(&*context.files, &dir)?;
    for (_, reader) in ring.readers() {
        let mut reader = reader.map_err(|error| LogError::io("read", &dir, &error))?;
        while let Some((number, body)) = reader.next().map_err(|error| LogError::io("read", &dir, &error))? {
            let EntryBody::Append(parts) = body else { continue };
            for (part, bytes) in parts {
                // Later entries may be of appends that are not decided yet.
                let wanted = (synced_to..job.next_entry).contains(&number) && !bytes.is_empty();
                let Some(item) = suspects.get(&part.slot).filter(|_| wanted) else { continue };
                if let Some((base, file)) = item.dirty.segments.iter().find(|(base, _)| *base == part.segment) {
                    file.write_at(&[bytes], part.position)
                        .map_err(|error| failed(&item.dirty.partition, *base, &error))?;
                }
            }
        }
    }
    // What neither the journal nor the page cache has any more is lost, and may not be called synced: a start cuts it off, and says so.
    for item in suspects.values() {
        let partition = &item.dirty.partition;
        let from = partition.recovery();
        for (base, file) in &item.dirty.segments {
            let start = if *base == from.segment { from.position } else { 0 };
            let size = partition.state().read().segments.iter().find(|s| s.base_offset == *base).map_or(0, |s| s.size);
            let mut scan = Scan::new(&**file, start, size, Depth::Crc);
            while let Some((position, header)) = scan.next().map_err(|error| partition.scan_error(*base, error))? {
                let batch = scan.batch(position, &header).map_err(|error| failed(partition, *base, &error))?;
                file.write_at(&[&batch], position).map_err(|error| failed(partition, *base, &error))?;
            }
        }
    }
    for item in suspects.values_mut() {
        for (base, file) in &item.dirty.segments {
            let path = item.dirty.partition.log_path(*base);
            file.sync()
                .map_err(|error| LogError::io("sync", &path, &error))
                .or_else(|error| gone(&item.dirty, error))?;
        }
        item.dirty.suspect = false;
    }
    Ok(())
}

/// Gives the space of deleted partitions back before the checkpoint that forgets them: the disk may be too full for that. Their folders stay until
/// then, for a start takes a partition whose folder is called deleted for that, and one whose folder is not there for damaged.
fn empty_deleted(shared: &Shared, job: &Job) {
    let files = &*shared.context.files;
    if job.remove.is_empty() || files.sync_dir(&shared.context.topics_dir()).is_err() {
        return;
    }
    for dir in &job.remove {
        for name in files.list(dir).unwrap_or_default() {
            let _ = files.remove_file(&dir.join(name));
        }
    }
}
