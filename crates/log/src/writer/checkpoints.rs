//! When segments are to be synced, and what the syncer is told.

use std::mem;
use std::time::{Duration, Instant};

use super::{InFlight, Writer};
use crate::LogError;
use crate::checkpoint::RecoveryPoint;
use crate::partition::{ProducersNews, end_of};
use crate::syncer::{Dirty, Item, Job, Outcome};

/// Pause before a checkpoint that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn begin_checkpoint(&mut self) {
        if !self.checkpointing {
            self.due = None;
            self.start_checkpoint();
        }
    }

    pub(super) fn start_checkpoint(&mut self) {
        let now_ms = self.shared.context.now_ms();
        let items = mem::take(&mut self.dirty)
            .into_values()
            .map(|dirty| {
                let end = {
                    let state = dirty.partition.state().read();
                    let (segment, position) = end_of(&state);
                    RecoveryPoint { segment, position, next_offset: state.high_watermark, ..RecoveryPoint::default() }
                };
                let producers = dirty.partition.producers_news(now_ms);
                Item { dirty, end, producers }
            })
            .collect();
        let job = Job {
            next_entry: self.journal.next_entry(),
            items,
            topics: mem::take(&mut self.topics_dirty),
            remove: mem::take(&mut self.removals),
        };
        self.count_held();
        let named = job.items.iter().filter(|item| item.dirty.names);
        self.in_flight = InFlight {
            slots: job.items.iter().map(|item| item.dirty.partition.slot()).collect(),
            topics: job.topics,
            partitions: named.map(|item| (item.dirty.partition.slot(), item.dirty.created)).collect(),
            held: job.items.iter().map(|item| item.dirty.segments.len()).sum(),
            // Whoever asks from now on asks for a later one.
            waiters: mem::take(&mut self.waiters),
        };
        self.direct_bytes = 0;
        self.relaxed_records = 0;
        self.relaxed_bytes = 0;
        self.checkpointing = true;
        self.shared.syncer.give(job);
    }

    pub(super) fn end_checkpoint(&mut self, outcome: Outcome) {
        self.checkpointing = false;
        let waiters = mem::take(&mut self.in_flight).waiters;
        let result = match outcome {
            Ok(entry) => {
                self.journal.release(entry);
                Ok(())
            }
            Err(failed) => {
                let (error, job) = *failed;
                self.topics_dirty |= job.topics;
                self.removals.extend(job.remove);
                for item in job.items {
                    if matches!(item.producers, ProducersNews::Changed(_)) {
                        item.dirty.partition.touch_producers();
                    }
                    let partition = item.dirty.partition.clone();
                    if partition.is_deleted() {
                        continue;
                    }
                    let dirty = self.dirty.entry(partition.slot()).or_insert_with(|| Dirty::new(partition));
                    for (base, file) in &item.dirty.segments {
                        dirty.add(*base, file);
                    }
                    dirty.names |= item.dirty.names;
                    dirty.created |= item.dirty.created;
                    dirty.suspect |= item.dirty.suspect;
                }
                self.count_held();
                self.due = Some(Instant::now() + RETRY);
                Err(error)
            }
        };
        for waiter in waiters {
            let _ = waiter.send(result.clone());
        }
    }

    /// Waits for the end of the checkpoint under way.
    pub(super) fn finish_checkpoint(&mut self) -> Result<(), LogError> {
        let outcome = self.shared.syncer.outcome();
        let result = outcome.as_ref().map(|_| ()).map_err(|failed| failed.0.clone());
        self.end_checkpoint(outcome);
        result
    }

    /// Waits until segments are synced and a journal file is free.
    pub(super) fn make_room(&mut self) -> Result<(), LogError> {
        // The checkpoint under way may have begun before the entries that fill the ring; then one more is needed.
        for _ in 0..2 {
            if !self.checkpointing {
                self.due = None;
                self.start_checkpoint();
            }
            self.finish_checkpoint()?;
            if self.journal.has_room() {
                return Ok(());
            }
        }
        Err(LogError::DiskFull { path: self.shared.context.journal_dir() })
    }
}
