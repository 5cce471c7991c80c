//! Opening a folder: from the checkpoint, through the journal, to where every partition ends.
//!
//! What is before the checkpoint is synced and not looked at, so the time it takes does not grow with the data. Behind it, the
//! journal says what was committed, and is replayed onto the segments by offset; what a segment has beyond that was never acknowledged and
//! is cut off. Relaxed topics are not in the journal: their ends are walked, and cut at the first batch that is not whole. A batch that
//! belongs to an append over durable topics, too, is not whole before the journal gives it its head.

mod found;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, PartitionLine, RecoveryPoint};
use crate::context::Context;
use crate::in_parallel::in_parallel;
use crate::journal::{EntryBody, Journal, MetaRecord, Ring};
use crate::meta::PartitionMeta;
use crate::syncer::Dirty;
use crate::{LogError, Partition, RecoveryReport, TopicPartition};

use found::Found;

/// An open folder's content.
pub(crate) struct Recovered {
    pub(crate) partitions: HashMap<TopicPartition, Arc<Partition>>,
    pub(crate) journal: Journal,
    pub(crate) dirty: HashMap<u32, Dirty>,
    pub(crate) removals: Vec<PathBuf>,
    pub(crate) next_slot: u32,
    pub(crate) checkpoint_entry: u64,
    pub(crate) report: RecoveryReport,
}

/// The name a partition's folder gets when it is deleted. No partition's own folder ends so.
pub(crate) fn deleted_folder(context: &Context, name: &TopicPartition, slot: u32) -> PathBuf {
    context.topics_dir().join(format!("{name}.{slot}.deleted"))
}

struct Recovery<'a> {
    context: &'a Arc<Context>,
    /// By slot.
    found: BTreeMap<u32, Found>,
    /// Names in the folder of all partitions.
    folders: HashSet<String>,
    removals: Vec<PathBuf>,
    next_slot: u32,
    /// Files that `found` holds open, at most.
    held: usize,
    report: RecoveryReport,
}

pub(crate) fn recover(context: &Arc<Context>) -> Result<Recovered, LogError> {
    let files = &*context.files;
    let topics = context.topics_dir();
    let names = files.list(&topics).map_err(|error| LogError::io("list", &topics, &error))?;
    let mut recovery = Recovery {
        context,
        found: BTreeMap::new(),
        folders: names.into_iter().collect(),
        removals: Vec::new(),
        next_slot: 0,
        held: 0,
        report: RecoveryReport::default(),
    };
    let read = Checkpoint::read(files, &context.dir)?;
    let checkpoint = match read {
        Some(Some(checkpoint)) => {
            recovery.begin(&checkpoint)?;
            checkpoint
        }
        other => {
            recovery.begin_without_checkpoint(other.is_some())?;
            Checkpoint::default()
        }
    };
    let journal = recovery.replay(checkpoint.next_entry)?;
    recovery.finish(checkpoint.next_entry, journal)
}

impl Recovery<'_> {
    /// Takes over what the checkpoint says.
    fn begin(&mut self, checkpoint: &Checkpoint) -> Result<(), LogError> {
        self.next_slot = checkpoint.next_slot;
        let mut there = Vec::with_capacity(checkpoint.partitions.len());
        let unsettled = self.unsettled(checkpoint)?;
        for line in &checkpoint.partitions {
            self.next_slot = self.next_slot.max(line.slot + 1);
            let folder = deleted_folder(self.context, &line.partition, line.slot);
            if folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| self.folders.contains(name)) {
                continue;
            }
            let mut found = Found::new(self.context, line.clone());
            if let Some(meta) = unsettled.get(&line.slot) {
                found.created = true;
                if meta.is_some() {
                    self.discard_folder(&line.partition)?;
                }
            }
            if self.folders.contains(&line.partition.to_string()) {
                there.push(line.slot);
            } else if line.point.next_offset > 0 {
                self.report.damage.push(format!("the folder of {} is gone, with its records", line.partition));
            }
            self.found.insert(line.slot, found);
        }
        let files = in_parallel(&there, |slot| self.found[slot].list(self.context));
        for (slot, files) in there.iter().zip(files) {
            self.found.get_mut(slot).expect("it was inserted just now").set_files(files?);
        }
        Ok(())
    }

    /// The partitions of the checkpoint whose folders do not say that they are theirs, with what these say. A checkpoint names those that were
    /// made while it was written, too; their folders may not have been synced, and one of the name may be that of a partition deleted before.
    fn unsettled(&self, checkpoint: &Checkpoint) -> Result<HashMap<u32, Option<PartitionMeta>>, LogError> {
        let is_new = |line: &&PartitionLine| {
            line.point == RecoveryPoint::default() && self.folders.contains(&line.partition.to_string())
        };
        let new: Vec<&PartitionLine> = checkpoint.partitions.iter().filter(is_new).collect();
        let metas = in_parallel(&new, |line| {
            PartitionMeta::read(&*self.context.files, &self.context.topics_dir().join(line.partition.to_string()))
        });
        let mut unsettled = HashMap::new();
        for (line, meta) in new.into_iter().zip(metas) {
            let meta = meta?;
            if meta.as_ref().is_none_or(|meta| meta.slot != line.slot) {
                unsettled.insert(line.slot, meta);
            }
        }
        Ok(unsettled)
    }

    /// Syncs what was replayed and lets go of the files, if too many are open.
    fn bound_held(&mut self) -> Result<(), LogError> {
        self.held = self.found.values().map(|found| found.held().count()).sum();
        if self.held <= self.context.held_files_max / 2 {
            return Ok(());
        }
        let held: Vec<_> = self.found.values().flat_map(|found| found.held().map(move |one| (found, one))).collect();
        let results = in_parallel(&held, |(found, (base, file))| {
            file.sync().map_err(|error| LogError::io("sync", &found.path(*base), &error))
        });
        results.into_iter().collect::<Result<(), LogError>>()?;
        self.found.values_mut().for_each(Found::let_go);
        self.held = 0;
        Ok(())
    }

    /// Without a checkpoint the folders themselves must say what they are, and every last segment is walked from its beginning.
    fn begin_without_checkpoint(&mut self, damaged: bool) -> Result<(), LogError> {
        let what = if damaged { "is damaged" } else { "is missing" };
        self.report
            .damage
            .push(format!("the file checkpoint {what}: ends of all partitions were read from their segments"));
        let mut folders: Vec<String> =
            self.folders.iter().filter(|name| !name.ends_with(".deleted")).cloned().collect();
        folders.sort();
        for folder in folders {
            let dir = self.context.topics_dir().join(&folder);
            let Some(meta) =
                PartitionMeta::read(&*self.context.files, &dir)?.filter(|meta| meta.name().to_string() == folder)
            else {
                self.report.damage.push(format!("{} is no partition's folder and was left alone", dir.display()));
                continue;
            };
            self.next_slot = self.next_slot.max(meta.slot + 1);
            let line = PartitionLine {
                slot: meta.slot,
                partition: meta.name(),
                topic_id: meta.topic_id,
                relaxed: false,
                log_start: 0,
                point: RecoveryPoint::default(),
            };
            let mut found = Found::new(self.context, line);
            found.set_files(found.list(self.context)?);
            found.walk_all(self.context, &mut self.report)?;
            self.found.insert(meta.slot, found);
            self.bound_held()?;
        }
        Ok(())
    }

    /// Replays the journal from entry `from` on, and gives it ready to be written to.
    fn replay(&mut self, from: u64) -> Result<Journal, LogError> {
        let dir = self.context.journal_dir();
        let failed = |error: std::io::Error| LogError::io("read", &dir, &error);
        let ring = Ring::read(&*self.context.files, &dir)?;
        // A process that was killed may have made a file and not have come to this.
        self.context.files.sync_dir(&dir).map_err(|error| LogError::io("sync", &dir, &error))?;
        let mut ends = Vec::with_capacity(ring.files.len());
        let mut next: Option<u64> = None;
        for (file, reader) in ring.readers() {
            let mut reader = reader.map_err(failed)?;
            let first = reader.next_entry();
            if first > from && next.is_none_or(|next| next < first) {
                let next = next.unwrap_or(from).max(from);
                self.report.damage.push(format!("entries {next} to {} of the journal cannot be read", first - 1));
            }
            let mut replayed = false;
            while let Some((number, body)) = reader.next().map_err(failed)? {
                if number < from {
                    continue;
                }
                replayed = true;
                self.report.journal_entries += 1;
                match body {
                    EntryBody::Meta(records) => records.into_iter().try_for_each(|record| self.apply_meta(record))?,
                    EntryBody::Append(parts) => {
                        for (part, bytes) in parts {
                            let Some(found) = self.found.get_mut(&part.slot) else { continue };
                            let before = found.held().count();
                            found.apply(self.context, &part, bytes, &mut self.report)?;
                            // Counted anew where it matters: segments that are removed again are not taken off here.
                            self.held += found.held().count().saturating_sub(before);
                            if self.held > self.context.held_files_max / 2 {
                                self.bound_held()?;
                            }
                        }
                    }
                }
            }
            if replayed {
                // Its last entries may only be in the page cache, and nobody may read what a power cut can take back.
                file.file.sync().map_err(|error| LogError::io("sync", &dir, &error))?;
            }
            ends.push(reader.next_entry());
            next = Some(reader.next_entry());
        }
        let next_entry = next.unwrap_or(0).max(from);
        let options = &self.context.options;
        let files = self.context.files.clone();
        let mut journal =
            Journal::new(files, &dir, options.journal_file_bytes, options.journal_files, &ring, &ends, next_entry);
        journal.release(from);
        Ok(journal)
    }

    fn apply_meta(&mut self, record: MetaRecord) -> Result<(), LogError> {
        match record {
            MetaRecord::Create { slot, topic, partition, topic_id } => {
                // The checkpoint knows all slots before its own next one, also those that are deleted.
                if slot < self.next_slot {
                    return Ok(());
                }
                self.next_slot = slot + 1;
                let name = TopicPartition::new(topic, partition);
                let line = PartitionLine {
                    slot,
                    partition: name.clone(),
                    topic_id,
                    relaxed: false,
                    log_start: 0,
                    point: RecoveryPoint::default(),
                };
                let mut found = Found::new(self.context, line);
                let deleted = deleted_folder(self.context, &name, slot);
                if deleted.file_name().and_then(|name| name.to_str()).is_some_and(|name| self.folders.contains(name)) {
                    return Ok(());
                }
                if self.folders.contains(&name.to_string()) {
                    let meta = PartitionMeta::read(&*self.context.files, &found.dir)?;
                    if meta.is_some_and(|meta| meta.slot == slot) {
                        found.set_files(found.list(self.context)?);
                    } else {
                        self.discard_folder(&name)?;
                    }
                }
                found.created = true;
                self.found.insert(slot, found);
            }
            MetaRecord::Delete { slot } => {
                if let Some(found) = self.found.remove(&slot) {
                    let name = found.line.partition.clone();
                    let meta = PartitionMeta::read(&*self.context.files, &found.dir)?;
                    if self.folders.contains(&name.to_string()) && meta.is_none_or(|meta| meta.slot == slot) {
                        self.discard_folder(&name)?;
                    }
                }
            }
            MetaRecord::LogStart { slot, offset } => {
                if let Some(found) = self.found.get_mut(&slot) {
                    found.line.log_start = found.line.log_start.max(offset);
                }
            }
            MetaRecord::Mode { slot, relaxed, segment, position, next_offset } => {
                if let Some(found) = self.found.get_mut(&slot) {
                    found.set_mode(self.context, relaxed, (segment, position, next_offset))?;
                }
            }
        }
        Ok(())
    }

    /// Takes a folder that belongs to no partition out of the way.
    fn discard_folder(&mut self, name: &TopicPartition) -> Result<(), LogError> {
        let dir = self.context.topics_dir().join(name.to_string());
        self.context.handles.forget_all(u32::MAX);
        self.context.files.remove_dir_all(&dir).map_err(|error| LogError::io("remove", &dir, &error))?;
        self.folders.remove(&name.to_string());
        Ok(())
    }

    fn finish(mut self, checkpoint_entry: u64, journal: Journal) -> Result<Recovered, LogError> {
        let mut partitions = HashMap::with_capacity(self.found.len());
        let (mut dirty, mut held) = (HashMap::new(), 0);
        for found in std::mem::take(&mut self.found).into_values() {
            let name = found.line.partition.clone();
            self.folders.remove(&name.to_string());
            let (partition, changed) = found.finish(self.context, &mut self.report)?;
            if let Some(changed) = changed {
                held += changed.segments.len();
                dirty.insert(partition.slot(), changed);
            }
            if held > self.context.held_files_max / 2 {
                let_go(&mut dirty)?;
                held = 0;
            }
            partitions.insert(name, partition);
        }
        let files = &*self.context.files;
        let topics = self.context.topics_dir();
        for folder in &self.folders {
            let path = topics.join(folder);
            if folder.ends_with(".deleted") {
                self.removals.push(path);
            } else if self.is_unfinished(&path)? {
                // Its creation never became durable, so nothing in it was acknowledged. At once, for the name may be wanted.
                files.remove_dir_all(&path).map_err(|error| LogError::io("remove", &path, &error))?;
            }
        }
        self.report.partitions = partitions.len();
        let report = &mut self.report;
        report.clean = report.journal_entries == 0 && report.truncations.is_empty() && report.damage.is_empty();
        Ok(Recovered {
            partitions,
            journal,
            dirty,
            removals: self.removals,
            next_slot: self.next_slot,
            checkpoint_entry,
            report: self.report,
        })
    }

    /// Whether a folder that nothing knows of is a partition whose creation was cut short. Anything else is left alone.
    fn is_unfinished(&self, path: &std::path::Path) -> Result<bool, LogError> {
        let Ok(names) = self.context.files.list(path) else { return Ok(false) };
        if let Some(meta) = PartitionMeta::read(&*self.context.files, path)? {
            return Ok(meta.slot >= self.next_slot);
        }
        Ok(names.is_empty() || names == ["partition.json"])
    }
}

/// Syncs what is `dirty`, and lets go of the files.
fn let_go(dirty: &mut HashMap<u32, Dirty>) -> Result<(), LogError> {
    let held: Vec<_> = dirty.values().flat_map(|one| one.segments.iter().map(move |segment| (one, segment))).collect();
    let results = in_parallel(&held, |(one, (base, file))| {
        file.sync().map_err(|error| LogError::io("sync", &one.partition.log_path(*base), &error))
    });
    results.into_iter().collect::<Result<(), LogError>>()?;
    dirty.values_mut().for_each(|one| one.segments.clear());
    Ok(())
}
