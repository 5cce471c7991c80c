//! Parts of appends whose segments are synced before the journal names them: large ones, and those of relaxed topics in an append that
//! has parts of durable ones, too.

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use super::Writer;
use super::group::{StagedAppend, take_back_all};
use crate::files::{FileHandle, Files};
use crate::in_parallel::in_parallel;
use crate::meta::PartitionMeta;
use crate::partition::{OpenSegment, Staged, Way, Written};
use crate::queue::Pending;
use crate::syncer::Dirty;
use crate::{LogError, Partition};

/// What makes one partition's parts durable.
struct Sync {
    partition: Arc<Partition>,
    segments: Vec<OpenSegment>,
    /// Says whose the folder is; recovery would else take it for a deleted partition's.
    meta: Option<PathBuf>,
    names: bool,
}

impl Sync {
    fn run(&self, files: &dyn Files) -> io::Result<()> {
        self.segments.iter().try_for_each(|(_, file)| file.sync())?;
        if let Some(meta) = &self.meta {
            files.open(meta, false)?.sync()?;
        }
        if self.names { files.sync_dir(self.partition.dir()) } else { Ok(()) }
    }
}

impl Writer {
    /// Syncs the segments of large and headless parts. If some fail, everything is taken back, the appends concerned are answered, and
    /// the others given back to be staged anew.
    pub(super) fn sync_direct(&mut self, staged: &mut Vec<StagedAppend>) -> Option<Vec<Pending>> {
        let syncs = self.direct_syncs(staged);
        if syncs.is_empty() {
            return None;
        }
        let files = &*self.shared.context.files;
        let topics = self.shared.context.topics_dir();
        let named = !(self.topics_dirty || self.in_flight.topics);
        let named = if named { Ok(()) } else { files.sync_dir(&topics) };
        let results = in_parallel(&syncs, |sync| match &named {
            Ok(()) => sync.run(files),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        });
        let mut failed: HashMap<u32, LogError> = HashMap::new();
        for (sync, result) in syncs.into_iter().zip(results) {
            let Err(error) = result else { continue };
            let segment = sync.segments.first().map(|(base, _)| sync.partition.log_path(*base));
            let path = segment.unwrap_or_else(|| sync.partition.dir().clone());
            tracing::error!(path = %path.display(), %error, "a sync failed; the appends it was for are refused");
            let slot = sync.partition.slot();
            failed.insert(slot, LogError::io("sync", &path, &error));
            let dirty = self.dirty.entry(slot).or_insert_with(|| Dirty::new(sync.partition));
            for (base, file) in &sync.segments {
                dirty.add(*base, file);
            }
            dirty.suspect = true;
        }
        if failed.is_empty() {
            return None;
        }
        let mut again = take_back_all(mem::take(staged));
        again.retain_mut(|pending| {
            let error = pending.parts.iter().find_map(|(partition, _)| failed.get(&partition.slot()));
            if let Some(error) = error.cloned() {
                pending.answer(Err(error));
                return false;
            }
            true
        });
        self.forget_taken_back();
        Some(again)
    }

    /// What a headless part follows must be durable, also what a checkpoint has taken on, or what a failed sync has left in doubt: that is
    /// settled before anything is staged. If it cannot be, the appends concerned are answered and leave the group.
    pub(super) fn settle_headless(&mut self, group: &mut Vec<Pending>) {
        let headless: HashSet<u32> = group
            .iter()
            .flat_map(|pending| pending.parts.iter().filter(|(partition, _)| is_headless(pending, partition)))
            .map(|(partition, _)| partition.slot())
            .collect();
        let mut failed = None;
        if self.checkpointing && !headless.is_disjoint(&self.in_flight.slots) {
            failed = self.finish_checkpoint().err();
        }
        if headless.iter().any(|slot| self.dirty.get(slot).is_some_and(|dirty| dirty.suspect)) {
            failed = self.make_room().err();
        }
        let Some(error) = failed else { return };
        group.retain_mut(|pending| {
            let concerned = pending.parts.iter().any(|(partition, _)| is_headless(pending, partition));
            if concerned {
                pending.answer(Err(error.clone()));
            }
            !concerned
        });
    }

    fn direct_syncs(&mut self, staged: &[StagedAppend]) -> Vec<Sync> {
        // Any part of the group may have begun the segment that a large one continues.
        let new_names: HashSet<u32> = written(staged)
            .filter(|(_, written)| written.first_in_file)
            .map(|(part, _)| part.partition.slot())
            .collect();
        let mut syncs: HashMap<u32, Sync> = HashMap::new();
        for (part, one) in written(staged).filter(|(_, one)| matches!(one.way, Way::Segment | Way::Headless)) {
            let slot = part.partition.slot();
            if one.way == Way::Segment {
                self.direct_bytes += one.bytes;
            }
            let (dirty, in_flight) = (self.dirty.get(&slot), self.in_flight.partitions.get(&slot));
            let created = dirty.is_some_and(|dirty| dirty.created) || in_flight == Some(&true);
            let sync = syncs.entry(slot).or_insert_with(|| Sync {
                partition: part.partition.clone(),
                segments: Vec::new(),
                meta: created.then(|| PartitionMeta::path(part.partition.dir())),
                names: new_names.contains(&slot) || dirty.is_some_and(|dirty| dirty.names) || in_flight.is_some(),
            });
            one.file.iter().for_each(|file| sync.add(one.segment, file));
            if one.way == Way::Headless {
                dirty.into_iter().flat_map(|dirty| &dirty.segments).for_each(|(base, file)| sync.add(*base, file));
            }
        }
        // What relaxed appends of the same group have written stands before or behind the headless part.
        for (part, one) in written(staged).filter(|(_, one)| matches!(one.way, Way::Checkpoint | Way::Headless)) {
            let Some(sync) = syncs.get_mut(&part.partition.slot()) else { continue };
            one.files().for_each(|(base, file)| sync.add(base, file));
        }
        syncs.into_values().collect()
    }
}

impl Sync {
    fn add(&mut self, base_offset: i64, file: &Arc<dyn FileHandle>) {
        if !self.segments.iter().any(|(base, _)| *base == base_offset) {
            self.segments.push((base_offset, file.clone()));
        }
    }
}

/// Whether `partition` is relaxed, and its part of the append is to be as durable as the others.
pub(super) fn is_headless(pending: &Pending, partition: &Partition) -> bool {
    let relaxed = |partition: &Partition| partition.state().read().relaxed;
    relaxed(partition) && pending.parts.iter().any(|(other, _)| !relaxed(other))
}

/// The staged parts that are no duplicates.
fn written(staged: &[StagedAppend]) -> impl Iterator<Item = (&Staged, &Written)> {
    staged.iter().flat_map(|append| &append.parts).filter_map(|part| Some((part, part.written.as_ref()?)))
}
