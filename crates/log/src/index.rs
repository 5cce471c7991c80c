//! A segment's sparse index: from offset and from time stamp to a position in its file.
//!
//! ```text
//! 0  relative offset u32   base offset of a batch, minus the segment's
//! 4  position        u32   where that batch begins
//! 8  max time stamp  i64   largest of all batches before it; -1 = none
//! ```
//! Little endian, 16 bytes an entry, nothing else in the file. All three only grow, so one file serves both searches. It is derived
//! from the segment: a reader holds what it finds against the segment, and builds it anew when they do not agree.

use std::io;

use crate::files::FileHandle;

pub(crate) const ENTRY_BYTES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IndexEntry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
    pub(crate) max_timestamp_before: i64,
}

impl IndexEntry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..4].copy_from_slice(&self.relative_offset.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.position.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.max_timestamp_before.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> IndexEntry {
        let [a, b, c, d, e, f, g, h, time @ ..] = *bytes;
        IndexEntry {
            relative_offset: u32::from_le_bytes([a, b, c, d]),
            position: u32::from_le_bytes([e, f, g, h]),
            max_timestamp_before: i64::from_le_bytes(time),
        }
    }

    /// Whether `self` can follow `before`.
    fn follows(&self, before: &IndexEntry) -> bool {
        self.relative_offset > before.relative_offset
            && self.position > before.position
            && self.max_timestamp_before >= before.max_timestamp_before
    }
}

/// Entry `number` of an index file.
pub(crate) fn read_entry(file: &dyn FileHandle, number: u32) -> io::Result<IndexEntry> {
    let mut bytes = Vec::with_capacity(ENTRY_BYTES);
    file.read_at(&mut bytes, ENTRY_BYTES, u64::from(number) * ENTRY_BYTES as u64)?;
    match bytes.first_chunk() {
        Some(bytes) => Ok(IndexEntry::decode(bytes)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Number of entries of the file that can be right for a segment of `segment_size` bytes, and the last of them.
pub(crate) fn sound_entries(file: &dyn FileHandle, segment_size: u64) -> io::Result<(u32, Option<IndexEntry>)> {
    let mut count = u32::try_from(file.length()? / ENTRY_BYTES as u64).unwrap_or(0);
    while count > 0 {
        let last = read_entry(file, count - 1)?;
        let before = if count > 1 {
            read_entry(file, count - 2)?
        } else {
            IndexEntry { max_timestamp_before: -1, ..IndexEntry::default() }
        };
        if u64::from(last.position) < segment_size && last.follows(&before) {
            return Ok((count, Some(last)));
        }
        count -= 1;
    }
    Ok((0, None))
}

/// The last of `count` entries for which `holds`, which must hold for a first part of them and for none behind it.
pub(crate) fn search(
    count: u32,
    mut entry: impl FnMut(u32) -> io::Result<IndexEntry>,
    holds: impl Fn(&IndexEntry) -> bool,
) -> io::Result<Option<IndexEntry>> {
    let (mut low, mut high) = (0, count);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let candidate = entry(middle)?;
        if holds(&candidate) {
            found = Some(candidate);
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_finds_the_last_entry_that_holds() {
        let entries: Vec<IndexEntry> = (1..=9)
            .map(|i| IndexEntry { relative_offset: i * 10, position: i * 100, max_timestamp_before: i64::from(i) })
            .collect();
        for target in 0..110 {
            let found = search(9, |i| Ok(entries[i as usize]), |e| e.relative_offset <= target).unwrap();
            let expected = entries.iter().rev().find(|e| e.relative_offset <= target).copied();
            assert_eq!(found, expected, "offset {target}");
        }
    }

    #[test]
    fn an_entry_survives_its_encoding() {
        let entry = IndexEntry { relative_offset: 7, position: u32::MAX, max_timestamp_before: -1 };
        assert_eq!(IndexEntry::decode(&entry.encode()), entry);
    }
}
