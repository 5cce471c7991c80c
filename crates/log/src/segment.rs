//! A segment as it is committed, and what is derived from it.

use std::io;
use std::ops::Range;

use crate::files::FileHandle;
use crate::index::{self, ENTRY_BYTES, IndexEntry};
use crate::scan::{Depth, Scan, ScanError};

/// A segment of a partition. Its bytes up to `size` are committed: durable (or of a relaxed topic) and visible.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    pub(crate) size: u64,
    /// Not there before somebody needs it.
    pub(crate) derived: Option<Derived>,
}

impl Segment {
    pub(crate) fn new(base_offset: i64, size: u64) -> Segment {
        let derived = (size == 0).then(Derived::default);
        Segment { base_offset, size, derived }
    }
}

/// What is known of a segment's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Derived {
    /// Entries in the index file.
    pub(crate) flushed: u32,
    /// Entries that follow those in the file.
    pub(crate) pending: Vec<IndexEntry>,
    pub(crate) stamps: Stamps,
}

/// What is carried along from batch to batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// Largest time stamp; -1 = none.
    pub(crate) max_timestamp: i64,
    /// Largest time stamp of the first batch; -1 = none.
    pub(crate) first_timestamp: i64,
    /// Bytes since the last index entry.
    pub(crate) since_entry: u64,
}

impl Default for Stamps {
    fn default() -> Stamps {
        Stamps { max_timestamp: -1, first_timestamp: -1, since_entry: 0 }
    }
}

impl Stamps {
    /// Takes in a batch at `position`; gives its index entry if it is time for one.
    pub(crate) fn add(
        &mut self,
        relative_offset: u32,
        position: u64,
        size: u64,
        max_timestamp: i64,
        interval_bytes: u32,
    ) -> Option<IndexEntry> {
        let due = position > 0 && self.since_entry >= u64::from(interval_bytes);
        let entry = due.then_some(IndexEntry {
            relative_offset,
            position: position as u32,
            max_timestamp_before: self.max_timestamp,
        });
        self.since_entry = if due { size } else { self.since_entry + size };
        if position == 0 {
            self.first_timestamp = max_timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
        entry
    }
}

/// Derives what is known of a segment from its index file, as far as that is sound, and from the batches behind its last entry.
pub(crate) fn derive(
    log: &dyn FileHandle,
    index_file: &dyn FileHandle,
    base_offset: i64,
    size: u64,
    interval_bytes: u32,
) -> Result<Derived, ScanError> {
    let (flushed, last) = index::sound_entries(index_file, size).map_err(ScanError::Io)?;
    let walked = match last {
        Some(last) => walk(log, base_offset, size, interval_bytes, flushed, Some(last)),
        None => walk(log, base_offset, size, interval_bytes, 0, None),
    };
    let derived = match walked {
        // The index leads astray: only the segment itself counts.
        Err(ScanError::Invalid { .. }) if last.is_some() => walk(log, base_offset, size, interval_bytes, 0, None)?,
        walked => walked?,
    };
    let length = u64::from(derived.flushed) * ENTRY_BYTES as u64;
    if index_file.length().map_err(ScanError::Io)? != length {
        index_file.set_length(length).map_err(ScanError::Io)?;
    }
    Ok(derived)
}

fn walk(
    log: &dyn FileHandle,
    base_offset: i64,
    size: u64,
    interval_bytes: u32,
    flushed: u32,
    last: Option<IndexEntry>,
) -> Result<Derived, ScanError> {
    let mut derived = Derived { flushed, ..Derived::default() };
    let from = last.map_or(0, |last| u64::from(last.position));
    let mut scan = Scan::new(log, from, size, Depth::Header);
    if let Some(last) = last {
        if let Some((_, first)) = Scan::new(log, 0, size, Depth::Header).next()? {
            derived.stamps.first_timestamp = first.max_timestamp;
        }
        derived.stamps.max_timestamp = last.max_timestamp_before;
    }
    walk_on(&mut derived, &mut scan, base_offset, interval_bytes, last)?;
    Ok(derived)
}

/// Goes on with what was derived up to the beginning of `range`.
pub(crate) fn derive_on(
    derived: &mut Derived,
    log: &dyn FileHandle,
    base_offset: i64,
    range: Range<u64>,
    interval_bytes: u32,
) -> Result<(), ScanError> {
    walk_on(derived, &mut Scan::new(log, range.start, range.end, Depth::Header), base_offset, interval_bytes, None)
}

fn walk_on(
    derived: &mut Derived,
    scan: &mut Scan<'_>,
    base_offset: i64,
    interval_bytes: u32,
    last: Option<IndexEntry>,
) -> Result<(), ScanError> {
    while let Some((position, header)) = scan.next()? {
        let relative = u32::try_from(header.base_offset - base_offset).map_err(|_| ScanError::Invalid {
            position,
            reason: "the batch's offset is not of this segment".to_owned(),
        })?;
        if last.is_some_and(|last| u64::from(last.position) == position && last.relative_offset != relative) {
            return Err(ScanError::Invalid { position, reason: "the index names another offset".to_owned() });
        }
        let size = header.size() as u64;
        derived.pending.extend(derived.stamps.add(relative, position, size, header.max_timestamp, interval_bytes));
    }
    Ok(())
}

/// Writes entries behind those in the index file.
pub(crate) fn write_entries(index_file: &dyn FileHandle, flushed: u32, entries: &[IndexEntry]) -> io::Result<()> {
    let bytes: Vec<u8> = entries.iter().flat_map(IndexEntry::encode).collect();
    index_file.write_at(&[&bytes], u64::from(flushed) * ENTRY_BYTES as u64)
}
