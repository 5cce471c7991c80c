//! The bound on the files that are held open because what was written to them is not synced. The handle that wrote is sure to hear of an
//! error; one that is opened later may not be. So a file is let go only after a sync, however many partitions are written to.

use std::sync::Arc;

use super::Writer;
use crate::files::FileHandle;
use crate::in_parallel::in_parallel;
use crate::partition::Staged;
use crate::syncer::Dirty;
use crate::{LogError, Partition};

impl Writer {
    /// Most files that one round of appends may hold.
    pub(super) fn round_files_max(&self) -> usize {
        self.shared.context.held_files_max / 4
    }

    pub(super) fn count_held(&mut self) {
        self.held = self.dirty.values().map(|dirty| dirty.segments.len()).sum();
    }

    /// Makes room for another round: waits for the checkpoint under way, and syncs what is held.
    ///
    /// # Errors
    /// A sync failed, and what cannot be let go is too much.
    pub(super) fn bound_held(&mut self) -> Result<(), LogError> {
        let most = self.shared.context.held_files_max - self.round_files_max();
        if self.held + self.in_flight.held > most && self.checkpointing {
            // What it did not do is held again.
            let _ = self.finish_checkpoint();
        }
        if self.held > most { self.sync_held() } else { Ok(()) }
    }

    /// Syncs what is held and lets it go, but for what a failed sync has left in doubt.
    pub(super) fn sync_held(&mut self) -> Result<(), LogError> {
        let held: Vec<(u32, i64, Arc<dyn FileHandle>)> = self
            .dirty
            .iter()
            .filter(|(_, dirty)| !dirty.suspect)
            .flat_map(|(slot, dirty)| dirty.segments.iter().map(|(base, file)| (*slot, *base, file.clone())))
            .collect();
        let results = in_parallel(&held, |(_, _, file)| file.sync());
        let mut failed = None;
        for ((slot, base, _), result) in held.into_iter().zip(results) {
            if let (Err(error), Some(dirty)) = (result, self.dirty.get_mut(&slot)) {
                let path = dirty.partition.log_path(base);
                tracing::error!(path = %path.display(), %error, "a sync failed; what it covered is written again");
                dirty.suspect = true;
                failed = Some(LogError::io("sync", &path, &error));
            }
        }
        self.dirty.values_mut().filter(|dirty| !dirty.suspect).for_each(|dirty| dirty.segments.clear());
        self.count_held();
        match failed {
            Some(error) if self.held > self.round_files_max() => {
                self.due_in_ms(0);
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Syncs what `parts` of one append have written and lets go of the files: it has more parts than there may be files open.
    pub(super) fn let_go(&mut self, parts: &mut [Staged]) -> Result<(), LogError> {
        let files: Vec<(Arc<Partition>, i64, Arc<dyn FileHandle>)> = parts
            .iter()
            .filter_map(|part| Some((part, part.written.as_ref()?)))
            .flat_map(|(part, written)| {
                written.files().map(move |(base, file)| (part.partition.clone(), base, file.clone()))
            })
            .collect();
        let results = in_parallel(&files, |(_, _, file)| file.sync());
        let mut failed = None;
        for ((partition, base, file), result) in files.into_iter().zip(results) {
            let Err(error) = result else { continue };
            let path = partition.log_path(base);
            tracing::error!(path = %path.display(), %error, "a sync failed; the append it was for is refused");
            failed = Some(LogError::io("sync", &path, &error));
            let dirty = self.dirty.entry(partition.slot()).or_insert_with(|| Dirty::new(partition));
            self.held += dirty.add(base, &file);
            dirty.suspect = true;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        parts.iter_mut().filter_map(|part| part.written.as_mut()).for_each(crate::partition::Written::let_go);
        Ok(())
    }

    /// Forgets the segments of rolls that were taken back: they are gone.
    pub(super) fn forget_taken_back(&mut self) {
        for dirty in self.dirty.values_mut().filter(|dirty| dirty.suspect) {
            let state = dirty.partition.state().read();
            dirty.segments.retain(|(base, _)| state.segments.iter().any(|segment| segment.base_offset == *base));
        }
        self.count_held();
    }
}
