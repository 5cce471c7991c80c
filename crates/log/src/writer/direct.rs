//! Large parts of appends: their segments are synced before the journal names them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use super::Writer;
use super::group::{StagedAppend, take_back_all};
use crate::files::{FileHandle, Files};
use crate::meta::PartitionMeta;
use crate::queue::Pending;
use crate::sync_many::sync_many;
use crate::syncer::Dirty;
use crate::{LogError, Partition};

/// What makes one large part durable.
struct Sync {
    partition: Arc<Partition>,
    segment: i64,
    file: Arc<dyn FileHandle>,
    /// Says whose the folder is; recovery would else take it for a deleted partition's.
    meta: Option<PathBuf>,
    names: bool,
}

impl Sync {
    fn run(&self, files: &dyn Files) -> io::Result<()> {
        self.file.sync()?;
        if let Some(meta) = &self.meta {
            files.open(meta, false)?.sync()?;
        }
        if self.names { files.sync_dir(self.partition.dir()) } else { Ok(()) }
    }
}

impl Writer {
    /// Syncs the segments of large parts. If some fail, everything is taken back, the appends concerned are answered, and the others
    /// given back to be staged anew.
    pub(super) fn sync_direct(&mut self, staged: &mut Vec<StagedAppend>) -> Option<Vec<Pending>> {
        let syncs = self.direct_syncs(staged);
        if syncs.is_empty() {
            return None;
        }
        let files = &*self.shared.context.files;
        let topics = self.shared.context.topics_dir();
        let named = !(self.topics_dirty || self.in_flight.topics);
        let named = if named { Ok(()) } else { files.sync_dir(&topics) };
        let results = sync_many(&syncs, |sync| match &named {
            Ok(()) => sync.run(files),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        });
        let mut failed: HashMap<u32, LogError> = HashMap::new();
        for (sync, result) in syncs.into_iter().zip(results) {
            let Err(error) = result else { continue };
            let path = sync.partition.log_path(sync.segment);
            tracing::error!(path = %path.display(), %error, "a sync failed; the appends it was for are refused");
            let slot = sync.partition.slot();
            failed.insert(slot, LogError::io("sync", &path, &error));
            let dirty = self.dirty.entry(slot).or_insert_with(|| Dirty::new(sync.partition));
            dirty.add(sync.segment, &sync.file);
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
        // The segment of a roll that was taken back is gone.
        for dirty in self.dirty.values_mut() {
            let state = dirty.partition.state().read();
            dirty.segments.retain(|(base, _)| state.segments.iter().any(|segment| segment.base_offset == *base));
        }
        Some(again)
    }

    fn direct_syncs(&mut self, staged: &[StagedAppend]) -> Vec<Sync> {
        let written =
            || staged.iter().flat_map(|append| &append.parts).filter_map(|part| Some((part, part.written.as_ref()?)));
        // Any part of the group may have begun the segment that a large one continues.
        let new_names: HashSet<u32> =
            written().filter(|(_, written)| written.first_in_file).map(|(part, _)| part.partition.slot()).collect();
        let mut seen = HashSet::new();
        let mut syncs = Vec::new();
        for (part, written) in written().filter(|(_, written)| written.direct) {
            let slot = part.partition.slot();
            self.direct_bytes += written.bytes;
            if !seen.insert((slot, written.segment)) {
                continue;
            }
            let (dirty, in_flight) = (self.dirty.get(&slot), self.in_flight.partitions.get(&slot));
            let created = dirty.is_some_and(|dirty| dirty.created) || in_flight == Some(&true);
            syncs.push(Sync {
                partition: part.partition.clone(),
                segment: written.segment,
                file: written.file.clone(),
                meta: created.then(|| PartitionMeta::path(part.partition.dir())),
                names: new_names.contains(&slot) || dirty.is_some_and(|dirty| dirty.names) || in_flight.is_some(),
            });
        }
        syncs
    }
}
