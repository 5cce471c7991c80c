//! What compaction does to a partition: new segments in the place of old ones.
//!
//! A new segment is written and synced as `BASE.cleaned`. If it stands for one segment, a rename puts it in that one's place. If it stands
//! for several, it becomes `BASE-END.swap` first, from where on it holds: the segments with base offsets from BASE to before END are
//! removed, and it takes their place; recovery finishes that.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Partition, State};
use crate::checkpoint::{read_file, replace};
use crate::compaction::Closed;
use crate::files::Files;
use crate::producers::LastBatch;
use crate::queue::Command;
use crate::segment::Segment;
use crate::{AbortedTransaction, LogError};

/// The file that says up to which offset the partition is compacted: a decimal number.
const CLEAN_TO: &str = "compacted";

impl Partition {
    pub(crate) fn files(&self) -> &dyn Files {
        &*self.context.files
    }

    pub(crate) fn cleaned_path(&self, base_offset: i64) -> PathBuf {
        self.dir.join(format!("{base_offset:020}.cleaned"))
    }

    /// The segments that are closed; only those that are synced and that recovery does not look at, if `settled`.
    pub(crate) fn closed_segments(&self, settled: bool) -> Result<Vec<Closed>, LogError> {
        let _layout = self.layout.read();
        let most = if settled { self.settled.load(Ordering::Acquire) } else { i64::MAX };
        let closed = |state: &State| -> Vec<Closed> {
            let ends = state.segments.iter().skip(1).map(|next| next.base_offset);
            let all = state.segments.iter().zip(ends).filter(|(_, end)| *end > state.log_start && *end <= most);
            all.map(|(segment, next_offset)| {
                let stamps = segment.derived.as_ref().map(|derived| derived.stamps).unwrap_or_default();
                Closed {
                    base_offset: segment.base_offset,
                    next_offset,
                    bytes: segment.size,
                    max_timestamp_ms: stamps.max_timestamp,
                    first_timestamp_ms: stamps.first_timestamp,
                }
            })
            .collect()
        };
        let clean_to = self.clean_to();
        let bases = closed(&self.state.read());
        for segment in bases.iter().filter(|segment| segment.next_offset > clean_to) {
            self.ensure_derived(segment.base_offset)?;
        }
        Ok(closed(&self.state.read()))
    }

    pub(crate) fn aborted(&self) -> Vec<AbortedTransaction> {
        self.state.read().transactions.as_ref().map_or_else(Vec::new, |transactions| transactions.aborted.clone())
    }

    pub(crate) fn last_batches(&self, now_ms: i64) -> Result<HashMap<i64, LastBatch>, LogError> {
        Ok(self.loaded(&mut self.writer.lock(), now_ms)?.producers.last_batches())
    }

    /// Tells readers no more of the aborted transactions that end at these markers; durably after the next checkpoint.
    pub(crate) fn forget_aborted(self: &Arc<Self>, markers: &[i64]) -> Result<(), LogError> {
        if markers.is_empty() {
            return Ok(());
        }
        let _layout = self.layout.write();
        if let Some(transactions) = self.state.write().transactions.as_mut() {
            transactions.aborted.retain(|one| !markers.contains(&one.last_offset));
        }
        self.context.queue.push(Command::Producers(self.clone())).map_err(|_| LogError::Closed)
    }

    /// Up to where the log was compacted. If that is not known, it is compacted from its beginning.
    pub(crate) fn clean_to(&self) -> i64 {
        let mut clean_to = self.clean_to.lock();
        *clean_to.get_or_insert_with(|| {
            let bytes = read_file(self.files(), &self.dir.join(CLEAN_TO)).ok().flatten();
            bytes.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.trim().parse().ok()).unwrap_or(0)
        })
    }

    pub(crate) fn set_clean_to(&self, offset: i64) -> Result<(), LogError> {
        let _layout = self.layout.read();
        if self.is_deleted() {
            return Ok(());
        }
        *self.clean_to.lock() = Some(offset);
        replace(self.files(), &self.dir, CLEAN_TO, format!("{offset}\n").as_bytes(), true)
    }

    /// Puts the cleaned segment of `size` bytes in the place of those of `group`. Gives false, and removes it, if they are not there any more
    /// as they were.
    pub(crate) fn swap_segments(&self, group: &[Closed], size: u64) -> Result<bool, LogError> {
        let base = group[0].base_offset;
        let cleaned = self.cleaned_path(base);
        let files = self.files();
        // Readers that are under way finish with the old files.
        let _layout = self.layout.write();
        let place = {
            let state = self.state.read();
            let first = state.segments.iter().position(|segment| segment.base_offset == base);
            first.filter(|first| {
                let there = state.segments[*first..].iter().map(|segment| (segment.base_offset, segment.size));
                let same = there.take(group.len()).eq(group.iter().map(|one| (one.base_offset, one.bytes)));
                same && *first + group.len() < state.segments.len()
            })
        };
        let Some(first) = place.filter(|_| !self.is_deleted()) else {
            let _ = files.remove_file(&cleaned);
            return Ok(false);
        };
        let failed = |error: std::io::Error| LogError::io("swap", &self.log_path(base), &error);
        let end = group[group.len() - 1].next_offset;
        if let [_] = group {
            self.remove_index(base);
            files.rename(&cleaned, &self.log_path(base)).map_err(failed)?;
        } else {
            let swap = self.dir.join(swap_name(base, end));
            files.rename(&cleaned, &swap).map_err(failed)?;
            // Whatever fails from here on is finished by the next start, and nothing else is to be compacted before.
            self.swap_unfinished.store(true, Ordering::Release);
            files.sync_dir(&self.dir).map_err(failed)?;
            let bases: Vec<i64> = group.iter().map(|one| one.base_offset).collect();
            finish_swap(files, &self.dir, base, end, &bases).map_err(failed)?;
            self.swap_unfinished.store(false, Ordering::Release);
        }
        for one in group {
            self.context.handles.forget(self.slot, one.base_offset);
        }
        {
            let mut tail = self.tail.lock();
            while tail.base_offset().is_some_and(|offset| offset < end) {
                tail.pop();
            }
        }
        // In memory whatever comes of the sync: this is what is in the folder.
        self.state.write().segments.splice(first..first + group.len(), [Segment::new(base, size)]);
        files.sync_dir(&self.dir).map_err(failed)?;
        Ok(true)
    }

    /// Whether new segments could not take the place of the old ones.
    pub(crate) fn swap_is_unfinished(&self) -> bool {
        self.swap_unfinished.load(Ordering::Acquire)
    }

    fn remove_index(&self, base_offset: i64) {
        self.context.handles.forget(self.slot, base_offset);
        // One that stays is found out when it is used.
        let _ = self.files().remove_file(&self.index_path(base_offset));
    }
}

fn swap_name(base: i64, end: i64) -> String {
    format!("{base:020}-{end:020}.swap")
}

/// The base offset and the end of a `.swap` file.
pub(crate) fn parse_swap_name(name: &str) -> Option<(i64, i64)> {
    let (base, end) = name.strip_suffix(".swap")?.split_once('-')?;
    Some((base.parse().ok()?, end.parse().ok()?))
}

/// Puts a `.swap` file in the place of the segments it stands for, as far as they (`bases`) are still there.
pub(crate) fn finish_swap(
    files: &dyn Files,
    dir: &std::path::Path,
    base: i64,
    end: i64,
    bases: &[i64],
) -> std::io::Result<()> {
    let remove = |name: String| match files.remove_file(&dir.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for old in bases.iter().filter(|old| (base..end).contains(old)) {
        remove(format!("{old:020}.index"))?;
        if *old != base {
            remove(format!("{old:020}.log"))?;
        }
    }
    // Not before they are gone for good: else they could come back beside the new one.
    files.sync_dir(dir)?;
    files.rename(&dir.join(swap_name(base, end)), &dir.join(format!("{base:020}.log")))
}
