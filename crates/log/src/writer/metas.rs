//! Changes to partitions themselves: they go through the journal in the order in which they were asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Writer;
use crate::journal::{CommitError, EntryBuilder, MetaRecord};
use crate::partition::end_of;
use crate::syncer::Dirty;
use crate::{LogError, Partition};

/// How long deleted partitions wait for others to be removed with them.
const DELETE_DELAY_MS: u64 = 1000;

impl Writer {
    pub(super) fn note_created(&mut self, partition: Arc<Partition>) {
        let name = partition.topic_partition();
        self.metas.push(MetaRecord::Create {
            slot: partition.slot(),
            topic: name.topic.to_string(),
            partition: name.partition,
            topic_id: partition.topic_id(),
        });
        let dirty = self.dirty.entry(partition.slot()).or_insert_with(|| Dirty::new(partition));
        dirty.names = true;
        dirty.created = true;
        self.topics_dirty = true;
        self.due_in_ms(self.shared.context.options.checkpoint_interval_ms);
    }

    pub(super) fn note_deleted(&mut self, slot: u32, folder: PathBuf) {
        self.metas.push(MetaRecord::Delete { slot });
        self.held -= self.dirty.remove(&slot).map_or(0, |dirty| dirty.segments.len());
        self.removals.push(folder);
        self.topics_dirty = true;
        // The folder goes with the next checkpoint; somebody may wait for its space.
        self.due_in_ms(DELETE_DELAY_MS.min(self.shared.context.options.checkpoint_interval_ms));
    }

    pub(super) fn move_log_starts(&mut self, mut moves: Vec<(Arc<Partition>, i64)>) -> Result<(), LogError> {
        // Nothing that is deleted becomes dirty again: its folder is on its way out.
        moves.retain(|(partition, _)| !partition.is_deleted());
        if moves.is_empty() {
            return Ok(());
        }
        let records =
            moves.iter().map(|(partition, offset)| MetaRecord::LogStart { slot: partition.slot(), offset: *offset });
        self.commit_metas(records.collect())?;
        let now_ms = self.shared.context.now_ms();
        // All of them stand in the journal, so an error of one partition must not keep the others' space from being given back.
        let mut result = Ok(());
        for (partition, offset) in moves {
            let empty = {
                let mut state = partition.state().write();
                let offset = offset.min(state.high_watermark);
                state.log_start = state.log_start.max(offset);
                state.log_start == state.high_watermark
            };
            let dirty = self.dirty.entry(partition.slot()).or_insert_with(|| Dirty::new(partition.clone()));
            match if empty { partition.roll(now_ms) } else { Ok(None) } {
                Ok(Some(files)) => {
                    self.held += files.iter().map(|(base, file)| dirty.add(*base, file)).sum::<usize>();
                    dirty.names = true;
                }
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
            if self.held > self.shared.context.held_files_max {
                result = result.and(self.sync_held());
            }
        }
        self.due = Some(Instant::now());
        result
    }

    pub(super) fn change_mode(&mut self, partition: &Arc<Partition>, relaxed: bool) -> Result<(), LogError> {
        if partition.state().read().relaxed == relaxed {
            return Ok(());
        }
        // From here on the journal continues what the segment has, so that must be durable, also what a checkpoint has taken on.
        if self.checkpointing {
            self.finish_checkpoint()?;
        }
        let is_empty = partition.state().read().segments.is_empty();
        // What a failed sync may have lost is to be written again, and the folder of a new partition is not durable with its files alone.
        if self.dirty.get(&partition.slot()).is_some_and(|dirty| dirty.suspect || dirty.created && !is_empty) {
            self.start_checkpoint();
            self.finish_checkpoint()?;
        }
        if let Some(dirty) = self.dirty.get_mut(&partition.slot()) {
            for (base, file) in &dirty.segments {
                file.sync().map_err(|error| {
                    dirty.suspect = true;
                    LogError::io("sync", &partition.log_path(*base), &error)
                })?;
            }
            let dir = partition.dir();
            self.shared.context.files.sync_dir(dir).map_err(|error| LogError::io("sync", dir, &error))?;
        }
        let (segment, position, next_offset) = {
            let state = partition.state().read();
            let (segment, position) = end_of(&state);
            (segment, position, state.high_watermark)
        };
        self.commit_metas(vec![MetaRecord::Mode { slot: partition.slot(), relaxed, segment, position, next_offset }])?;
        partition.state().write().relaxed = relaxed;
        Ok(())
    }

    /// Puts what waits and `records` into the journal. After an error `records` are not in it.
    fn commit_metas(&mut self, records: Vec<MetaRecord>) -> Result<(), LogError> {
        let before = self.metas.len();
        self.metas.extend(records);
        let mut entries = self.meta_entries();
        let mut result = self.write_journal(&mut entries, || {});
        if let Err(CommitError::Full) = result {
            result = match self.make_room() {
                Ok(()) => self.write_journal(&mut entries, || {}),
                Err(error) => Err(CommitError::Failed(error)),
            };
        }
        match result {
            Ok(()) => {
                self.metas.clear();
                Ok(())
            }
            Err(error) => {
                self.metas.truncate(before);
                Err(match error {
                    CommitError::Failed(error) => error,
                    CommitError::Full => LogError::DiskFull { path: self.shared.context.journal_dir() },
                })
            }
        }
    }

    pub(super) fn meta_entries(&self) -> Vec<EntryBuilder> {
        self.metas.chunks(256).map(EntryBuilder::meta).collect()
    }
}
