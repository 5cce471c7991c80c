//! Reading by offset.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Partition, State};
use crate::LogError;
use crate::files::FileHandle;
use crate::index::{self, IndexEntry};
use crate::scan::{Depth, Scan, ScanError};
use crate::segment;
use crate::tail::wanted;

/// Read beyond what was asked for: from the index entry to the batch that is looked for.
const SLACK_BYTES: usize = 16 << 10;

/// How often what was appended meanwhile is gone after before an index is put in place.
const CATCH_UP_ATTEMPTS: u32 = 3;

/// A segment at the moment of reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) base_offset: i64,
    pub(super) size: u64,
}

impl Partition {
    pub(super) fn read_with(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Bytes, LogError> {
        let _layout = self.layout.read();
        self.read_in_layout(offset, max_bytes, at_least_one)
    }

    /// As [`Partition::read_with`], for who holds `layout`.
    pub(super) fn read_in_layout(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Bytes, LogError> {
        {
            let state = self.state.read();
            if offset < state.log_start || offset > state.high_watermark {
                return Err(self.out_of_range(offset, &state));
            }
            if offset == state.high_watermark {
                return Ok(Bytes::new());
            }
        }
        if let Some(bytes) = self.tail.lock().read(offset, max_bytes, at_least_one) {
            return Ok(bytes);
        }
        let mut after = None;
        while let Some(view) = self.view(offset, after) {
            match self.read_segment(view, offset, max_bytes, at_least_one) {
                Ok(Some(bytes)) => return Ok(bytes),
                // The offset is in a gap at the segment's end: the next segment has what follows.
                Ok(None) => after = Some(view.base_offset),
                Err(error) => {
                    // Retention may have taken the segment away under the reader.
                    let state = self.state.read();
                    return Err(if offset < state.log_start { self.out_of_range(offset, &state) } else { error });
                }
            }
        }
        Ok(Bytes::new())
    }

    /// The segment that holds `offset`, or the first one after `after`.
    fn view(&self, offset: i64, after: Option<i64>) -> Option<View> {
        let state = self.state.read();
        let number = match after {
            None => state.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1),
            Some(after) => state.segments.partition_point(|segment| segment.base_offset <= after),
        };
        state.segments.get(number).map(|segment| View { base_offset: segment.base_offset, size: segment.size })
    }

    fn read_segment(
        &self,
        view: View,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Option<Bytes>, LogError> {
        let failed = |error: &io::Error| LogError::io("read", &self.log_path(view.base_offset), error);
        let (file, start) = self.seek(view, offset)?;
        let left = (view.size - start) as usize;
        let mut bytes = Vec::new();
        file.read_at(&mut bytes, left.min(max_bytes.saturating_add(SLACK_BYTES)), start)
            .map_err(|error| failed(&error))?;
        let (from, to) = wanted(&bytes, offset, max_bytes, at_least_one);
        if to > from {
            return Ok(Some(Bytes::from(bytes).slice(from..to)));
        }
        // The batch is farther away than the slack, or larger than what was read.
        let mut scan = Scan::new(&*file, start, view.size, Depth::Header);
        loop {
            match scan.next().map_err(|error| self.scan_error(view.base_offset, error))? {
                None => return Ok(None),
                Some((_, header)) if header.next_offset() <= offset => {}
                Some((_, header)) if header.size() > max_bytes && !at_least_one => return Ok(Some(Bytes::new())),
                Some((position, header)) => {
                    let length = header.size().max(max_bytes).min((view.size - position) as usize);
                    let mut bytes = Vec::new();
                    file.read_at(&mut bytes, length, position).map_err(|error| failed(&error))?;
                    let (from, to) = wanted(&bytes, offset, max_bytes, true);
                    return Ok(Some(Bytes::from(bytes).slice(from..to)));
                }
            }
        }
    }

    /// The segment's file and a position at or before the batch that holds `offset`.
    pub(super) fn seek(&self, view: View, offset: i64) -> Result<(Arc<dyn FileHandle>, u64), LogError> {
        // Before the segment's first offset: compaction leaves gaps.
        let relative = u32::try_from((offset - view.base_offset).max(0)).unwrap_or(u32::MAX);
        self.seek_entry(view, |entry| entry.relative_offset <= relative)
    }

    /// The segment's file and the position of the last index entry for which `holds`. The entry is held against the file: an index that
    /// is wrong is made anew.
    pub(super) fn seek_entry(
        &self,
        view: View,
        holds: impl Fn(&IndexEntry) -> bool,
    ) -> Result<(Arc<dyn FileHandle>, u64), LogError> {
        let file = self.log_file(view.base_offset, false)?;
        for _ in 0..2 {
            self.ensure_derived(view.base_offset)?;
            let Some(entry) = self.find_entry(view.base_offset, &holds)? else { return Ok((file, 0)) };
            let position = u64::from(entry.position);
            let at_entry = Scan::new(&*file, position, view.size, Depth::Header).next();
            match at_entry {
                Ok(Some((_, header))) if header.base_offset - view.base_offset == i64::from(entry.relative_offset) => {
                    return Ok((file, position));
                }
                Ok(None) if position >= view.size => return Ok((file, 0)),
                Err(ScanError::Io(error)) => {
                    return Err(LogError::io("read", &self.log_path(view.base_offset), &error));
                }
                _ => self.forget_index(view.base_offset)?,
            }
        }
        Ok((file, 0))
    }

    fn find_entry(
        &self,
        base_offset: i64,
        holds: impl Fn(&IndexEntry) -> bool,
    ) -> Result<Option<IndexEntry>, LogError> {
        let flushed = {
            let state = self.state.read();
            let Some(derived) = state.segment(base_offset).and_then(|segment| segment.derived.as_ref()) else {
                return Ok(None);
            };
            let count = derived.pending.partition_point(&holds);
            if count > 0 {
                return Ok(Some(derived.pending[count - 1]));
            }
            derived.flushed
        };
        if flushed == 0 {
            return Ok(None);
        }
        let file = self.index_file(base_offset)?;
        index::search(flushed, |number| index::read_entry(&*file, number), holds)
            .map_err(|error| LogError::io("read", &self.index_path(base_offset), &error))
    }

    fn forget_index(&self, base_offset: i64) -> Result<(), LogError> {
        tracing::warn!(partition = %self.name, segment = base_offset, "the index does not agree with its segment and is made anew");
        let _one = self.deriving.lock();
        let mut state = self.state.write();
        self.index_file(base_offset)?
            .set_length(0)
            .map_err(|error| LogError::io("truncate", &self.index_path(base_offset), &error))?;
        if let Some(segment) = state.segment_mut(base_offset) {
            segment.derived = None;
        }
        Ok(())
    }

    /// Derives what is known of a segment, unless it is there. Whoever writes goes on meanwhile.
    pub(super) fn ensure_derived(&self, base_offset: i64) -> Result<(), LogError> {
        let missing = |state: &State| {
            state.segment(base_offset).filter(|segment| segment.derived.is_none()).map(|segment| segment.size)
        };
        if missing(&self.state.read()).is_none() {
            return Ok(());
        }
        let _one = self.deriving.lock();
        let Some(mut size) = missing(&self.state.read()) else { return Ok(()) };
        let failed = |error| self.scan_error(base_offset, error);
        let file = self.log_file(base_offset, false)?;
        let index_file = self.index_file(base_offset)?;
        let interval = self.config().index_interval_bytes;
        let mut derived = segment::derive(&*file, &*index_file, base_offset, size, interval).map_err(failed)?;
        for _ in 0..CATCH_UP_ATTEMPTS {
            let Some(grown) = missing(&self.state.read()).filter(|grown| *grown != size) else { break };
            segment::derive_on(&mut derived, &*file, base_offset, size..grown, interval).map_err(failed)?;
            size = grown;
        }
        // What is appended faster than it is read is little by now: the writer waits for that.
        let mut state = self.state.write();
        if let Some(segment) = state.segment_mut(base_offset) {
            segment::derive_on(&mut derived, &*file, base_offset, size..segment.size, interval).map_err(failed)?;
            segment.derived = Some(derived);
        }
        Ok(())
    }

    pub(crate) fn scan_error(&self, base_offset: i64, error: ScanError) -> LogError {
        let path = self.log_path(base_offset);
        match error {
            ScanError::Invalid { position, reason } => LogError::Corrupt { path, position, reason },
            ScanError::Io(error) => LogError::io("read", &path, &error),
        }
    }
}
