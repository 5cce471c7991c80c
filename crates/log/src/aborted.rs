//! A segment's transaction index: the aborted transactions whose markers are in the segment, for readers of committed records.
//!
//! ```text
//! 0 magic "MSABORT1"; then per transaction, in order of the markers, 40 bytes:
//!  0 producer id        i64
//!  8 first offset       i64
//! 16 offset of marker   i64
//! 24 last stable offset i64   behind the marker: no transaction that is decided later begins before it
//! 32 CRC32C             u32   of the 32 bytes before
//! 36 zero               u32
//! ```
//! Little endian. The file is derived from the log. It is synced before a checkpoint says so; entries from the checkpoint's offset on, and
//! those that are not of the segment any more, do not count.

use std::io;

use crate::AbortedTransaction;
use crate::files::FileHandle;

const MAGIC: &[u8; 8] = b"MSABORT1";
const ENTRY_BYTES: usize = 40;
const CRC_AT: usize = 32;
/// Entries read at a time.
const CHUNK: u32 = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) transaction: AbortedTransaction,
    /// The last stable offset behind the marker.
    pub(crate) stable: i64,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..8].copy_from_slice(&self.transaction.producer_id.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.transaction.first_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.transaction.last_offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.stable.to_le_bytes());
        let crc = crc_fast::crc32_iscsi(&bytes[..CRC_AT]) as u32;
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
        let number = |at: usize| -> Option<i64> { Some(i64::from_le_bytes(*bytes[at..].first_chunk()?)) };
        let crc = u32::from_le_bytes(*bytes[CRC_AT..].first_chunk()?);
        if crc_fast::crc32_iscsi(&bytes[..CRC_AT]) as u32 != crc {
            return None;
        }
        let transaction =
            AbortedTransaction { producer_id: number(0)?, first_offset: number(8)?, last_offset: number(16)? };
        Some(Entry { transaction, stable: number(24)? })
    }
}

fn position(entry: u32) -> u64 {
    MAGIC.len() as u64 + u64::from(entry) * ENTRY_BYTES as u64
}

/// A whole file.
pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    MAGIC.iter().copied().chain(entries.iter().flat_map(Entry::encode)).collect()
}

/// Cuts off what stands behind the first `count` entries.
pub(crate) fn cut(file: &dyn FileHandle, count: u32) -> io::Result<()> {
    if file.length()? == position(count) { Ok(()) } else { write(file, count, &[]) }
}

/// Writes entries behind the first `count`; what else the file has goes.
pub(crate) fn write(file: &dyn FileHandle, count: u32, entries: &[Entry]) -> io::Result<()> {
    file.set_length(if count == 0 { 0 } else { position(count) })?;
    let bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
    match count {
        0 => file.write_at(&[MAGIC, &bytes], 0),
        _ => file.write_at(&[&bytes], position(count)),
    }
}

/// Reads entries from number `from` to before `to`; an error of kind `InvalidData` if they are not sound.
pub(crate) fn read(file: &dyn FileHandle, from: u32, to: u32) -> io::Result<Vec<Entry>> {
    let length = (to - from) as usize * ENTRY_BYTES;
    let mut bytes = Vec::new();
    file.read_at(&mut bytes, length, position(from))?;
    let (chunks, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    let entries: Vec<Entry> = chunks.iter().map_while(Entry::decode).collect();
    if !rest.is_empty() || entries.len() != (to - from) as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the transaction index is damaged"));
    }
    Ok(entries)
}

/// Reads a whole file piece by piece. Gives how many of its entries `count`, which holds for a first part of them; and the last of those.
/// An error of kind `InvalidData` if it is not sound.
pub(crate) fn check(file: &dyn FileHandle, counts: impl Fn(&Entry) -> bool) -> io::Result<(u32, Option<Entry>)> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the transaction index is damaged");
    let length = file.length()?;
    let mut magic = Vec::new();
    file.read_at(&mut magic, MAGIC.len(), 0)?;
    let entries = length.saturating_sub(MAGIC.len() as u64) / ENTRY_BYTES as u64;
    let entries = u32::try_from(entries).map_err(|_| damaged())?;
    if magic != MAGIC || length != position(entries) {
        return Err(damaged());
    }
    let (mut number, mut last) = (0, None);
    while number < entries {
        let chunk = read(file, number, entries.min(number + CHUNK))?;
        for entry in chunk {
            if !counts(&entry) {
                return Ok((number, last));
            }
            number += 1;
            last = Some(entry);
        }
    }
    Ok((number, last))
}

/// Of the first `count` entries of a file those that a reader of the offsets from `offset` to before `next_offset` has to know.
pub(crate) fn touching(
    file: &dyn FileHandle,
    count: u32,
    offset: i64,
    next_offset: i64,
    out: &mut Vec<AbortedTransaction>,
) -> io::Result<()> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        let is_before = read(file, middle, middle + 1)?.iter().all(|entry| entry.transaction.last_offset < offset);
        if is_before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    while low < count {
        let next = count.min(low + CHUNK);
        for entry in read(file, low, next)? {
            if entry.transaction.first_offset < next_offset {
                out.push(entry.transaction);
            }
            if entry.stable >= next_offset {
                return Ok(());
            }
        }
        low = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Files, SystemFiles};

    fn entries(count: i64) -> Vec<Entry> {
        let entry = |n: i64| Entry {
            transaction: AbortedTransaction {
                producer_id: n % 7,
                first_offset: n * 10 - n % 3 * 40,
                last_offset: n * 10 + 5,
            },
            stable: n * 10 - 80,
        };
        (10..10 + count).map(entry).collect()
    }

    #[test]
    fn what_is_found_is_what_a_walk_over_all_finds() {
        let dir = tempfile::tempdir().unwrap();
        let file = SystemFiles.open(&dir.path().join("a"), true).unwrap();
        let all = entries(3000);
        write(&*file, 0, &all[..1]).unwrap();
        write(&*file, 1, &all[1..2000]).unwrap();
        write(&*file, 1500, &all[1500..]).unwrap();
        assert_eq!(encode(&all).len() as u64, file.length().unwrap());
        assert_eq!(check(&*file, |_| true).unwrap(), (3000, all.last().copied()));
        assert_eq!(check(&*file, |entry| entry.transaction.last_offset < 15_005).unwrap(), (1490, Some(all[1489])));
        for offset in (0..31_000).step_by(97) {
            for length in [1, 10, 100, 5000] {
                let mut found = Vec::new();
                touching(&*file, 3000, offset, offset + length, &mut found).unwrap();
                let touches =
                    |one: &AbortedTransaction| one.last_offset >= offset && one.first_offset < offset + length;
                let expected: Vec<_> = all.iter().map(|entry| entry.transaction).filter(touches).collect();
                assert_eq!(found, expected, "{offset} and {length} more");
            }
        }
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let bytes = encode(&entries(5));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let checked = check(&*SystemFiles.open(&path, false).unwrap(), |_| true);
            // Nobody reads the last four bytes of an entry.
            let unused = at >= MAGIC.len() && (at - MAGIC.len()) % ENTRY_BYTES >= CRC_AT + 4;
            assert_eq!(checked.is_err(), !unused, "byte {at}");
            std::fs::write(&path, &bytes[..at]).unwrap();
            let cut = check(&*SystemFiles.open(&path, false).unwrap(), |_| true);
            let whole = at >= MAGIC.len() && (at - MAGIC.len()).is_multiple_of(ENTRY_BYTES);
            assert_eq!(cut.is_ok(), whole, "cut at {at}");
        }
    }
}
