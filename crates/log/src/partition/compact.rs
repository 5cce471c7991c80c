//! What compaction does to a partition: new segments in the place of old ones.
//!
//! A new segment is written and synced as `BASE.cleaned`, its index as `BASE.index.cleaned`. If it stands for one segment, a rename puts it in
//! that one's place. If it stands for several, it becomes `BASE-END.swap` first, from where on it holds: the segments with base offsets from
//! BASE to before END are removed, and it takes their place; recovery finishes that. If that fails on the way, readers find the new segment
//! by the name it has meanwhile, and it is tried again before anything else is compacted or removed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::{Partition, State};
use crate::LogError;
use crate::checkpoint::{read_file, replace};
use crate::compaction::Closed;
use crate::files::Files;
use crate::producers::LastBatch;
use crate::segment::Segment;

/// A swap of several segments that is decided but not finished.
#[derive(Debug, Clone)]
pub(super) struct Swap {
    pub(super) base: i64,
    end: i64,
    /// Of the segments it stands for.
    bases: Vec<i64>,
}

/// When a partition whose compaction failed is tried again.
#[derive(Debug, Default)]
pub(super) struct Pause {
    until_ms: i64,
    length_ms: i64,
}

impl Pause {
    /// Pause after the first failure in a row; each further one doubles it.
    const FIRST_MS: i64 = 60_000;
    const MOST_MS: i64 = 3_600_000;

    fn lengthen(&mut self, now_ms: i64) {
        self.length_ms = (self.length_ms * 2).clamp(Pause::FIRST_MS, Pause::MOST_MS);
        self.until_ms = now_ms.saturating_add(self.length_ms);
    }
}

impl Swap {
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(swap_name(self.base, self.end))
    }
}

/// The file that says up to which offset the partition is compacted: a decimal number.
const CLEAN_TO: &str = "compacted";

impl Partition {
    pub(crate) fn files(&self) -> &dyn Files {
        &*self.context.files
    }

    pub(crate) fn cleaned_path(&self, base_offset: i64) -> PathBuf {
        self.dir().join(format!("{base_offset:020}.cleaned"))
    }

    pub(crate) fn cleaned_index_path(&self, base_offset: i64) -> PathBuf {
        self.dir().join(cleaned_index_name(base_offset))
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

    pub(crate) fn last_batches(&self, now_ms: i64) -> Result<HashMap<i64, LastBatch>, LogError> {
        Ok(self.loaded(&mut self.writer.lock(), now_ms)?.producers.last_batches())
    }

    /// Whether its compaction failed so lately that it is not tried again at `now_ms`.
    pub(crate) fn compaction_pauses(&self, now_ms: i64) -> bool {
        now_ms < self.compaction_pause.lock().until_ms
    }

    /// Notes how a compaction at `now_ms` ended.
    pub(crate) fn note_compaction(&self, now_ms: i64, failed: bool) {
        let mut pause = self.compaction_pause.lock();
        if failed {
            pause.lengthen(now_ms);
        } else {
            *pause = Pause::default();
        }
    }

    /// Up to where the log was compacted. If that is not known, it is compacted from its beginning.
    pub(crate) fn clean_to(&self) -> i64 {
        let mut clean_to = self.clean_to.lock();
        *clean_to.get_or_insert_with(|| {
            let bytes = read_file(self.files(), &self.dir().join(CLEAN_TO)).ok().flatten();
            bytes.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.trim().parse().ok()).unwrap_or(0)
        })
    }

    pub(crate) fn set_clean_to(&self, offset: i64) -> Result<(), LogError> {
        let _layout = self.layout.read();
        if self.is_deleted() {
            return Ok(());
        }
        *self.clean_to.lock() = Some(offset);
        replace(self.files(), self.dir(), CLEAN_TO, format!("{offset}\n").as_bytes(), true)
    }

    /// Puts the cleaned segment `new` in the place of those of `group`. Gives false, and removes it, if they are not there any more as they were.
    ///
    /// # Errors
    /// The file system's. Either nothing has changed then, or the new segment holds.
    pub(crate) fn swap_segments(&self, group: &[Closed], mut new: Segment) -> Result<bool, LogError> {
        let base = new.base_offset;
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
        let Some(first) = place.filter(|_| !self.is_deleted() && !self.swap_is_unfinished()) else {
            self.remove_cleaned(base);
            return Ok(false);
        };
        let end = group[group.len() - 1].next_offset;
        let bases: Vec<i64> = group.iter().map(|one| one.base_offset).collect();
        let swap = Swap { base, end, bases };
        let is_one = group.len() == 1;
        let aborted = if is_one { Ok(Vec::new()) } else { self.merge_aborted(group) };
        let aborted = aborted.inspect_err(|_| self.remove_cleaned(base))?;
        let decided = if is_one { self.replace_one(base) } else { self.decide(&swap).map(|()| true) };
        match decided {
            Ok(has_index) => new.derived = new.derived.filter(|_| has_index),
            Err(error) => {
                self.remove_cleaned(base);
                return Err(LogError::io("swap", &self.log_path(base), &error));
            }
        }
        // From here on the new segment holds, whatever comes of the rest.
        for one in group {
            self.context.handles.forget(self.slot, one.base_offset);
        }
        {
            let mut tail = self.tail.lock();
            while tail.base_offset().is_some_and(|offset| offset < end) {
                tail.pop();
            }
        }
        self.state.write().segments.splice(first..first + group.len(), [new]);
        if !is_one {
            self.note_merged(group, &aborted);
            *self.swap.lock() = Some(swap);
            self.finish_swap_in_layout()?;
        }
        files.sync_dir(self.dir()).map_err(|error| LogError::io("swap", &self.log_path(base), &error))?;
        Ok(true)
    }

    /// Puts a cleaned segment in the place of the one with its base offset. Gives whether its index is there, too.
    fn replace_one(&self, base: i64) -> std::io::Result<bool> {
        let files = self.files();
        // An old index must not stand beside the new segment: it would be found out, but at the cost of a walk.
        self.remove_index(base);
        files.rename(&self.cleaned_path(base), &self.log_path(base)).inspect_err(|_| {
            if let Some(segment) = self.state.write().segment_mut(base) {
                segment.derived = None;
            }
        })?;
        Ok(files.rename(&self.cleaned_index_path(base), &self.index_path(base)).is_ok())
    }

    /// Lets the cleaned segment hold for several, durably. After an error it does not.
    fn decide(&self, swap: &Swap) -> std::io::Result<()> {
        let (files, path) = (self.files(), swap.path(self.dir()));
        files.rename(&self.cleaned_path(swap.base), &path)?;
        files.sync_dir(self.dir()).or_else(|error| {
            // If it comes back with a power cut, it is finished then: the segments that it stands for are all there.
            match files.remove_file(&path) {
                Ok(()) => Err(error),
                // It cannot be taken back, so it is gone on with.
                Err(_) => Ok(()),
            }
        })
    }

    /// Finishes a swap that an error cut short.
    pub(crate) fn finish_swap(&self) -> Result<(), LogError> {
        if !self.swap_is_unfinished() {
            return Ok(());
        }
        let _layout = self.layout.write();
        self.finish_swap_in_layout()
    }

    pub(super) fn finish_swap_in_layout(&self) -> Result<(), LogError> {
        let Some(swap) = self.swap.lock().clone().filter(|_| !self.is_deleted()) else { return Ok(()) };
        let failed = |error: std::io::Error| LogError::io("swap", &swap.path(self.dir()), &error);
        // The decision itself may be what could not be synced.
        self.files().sync_dir(self.dir()).map_err(failed)?;
        finish_swap(self.files(), self.dir(), swap.base, swap.end, &swap.bases).map_err(failed)?;
        *self.swap.lock() = None;
        let index = self.cleaned_index_path(swap.base);
        if self.files().rename(&index, &self.index_path(swap.base)).is_err()
            && let Some(segment) = self.state.write().segment_mut(swap.base)
        {
            segment.derived = None;
        }
        self.context.handles.forget(self.slot, swap.base);
        Ok(())
    }

    /// Whether a new segment could not take the place of the old ones.
    pub(crate) fn swap_is_unfinished(&self) -> bool {
        self.swap.lock().is_some()
    }

    fn remove_cleaned(&self, base_offset: i64) {
        // What stays behind goes at the next start.
        let _ = self.files().remove_file(&self.cleaned_path(base_offset));
        let _ = self.files().remove_file(&self.cleaned_index_path(base_offset));
    }

    fn remove_index(&self, base_offset: i64) {
        self.context.handles.forget(self.slot, base_offset);
        // One that stays is found out when it is used.
        let _ = self.files().remove_file(&self.index_path(base_offset));
    }
}

fn cleaned_index_name(base: i64) -> String {
    format!("{base:020}.index.cleaned")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let mut pause = Pause::default();
        for expected in [60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000] {
            pause.lengthen(5);
            assert_eq!(pause.until_ms, 5 + expected);
        }
    }
}
