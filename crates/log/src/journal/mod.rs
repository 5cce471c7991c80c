//! The journal: a ring of preallocated files that small appends of all partitions go into, so that one sync serves them all.
//!
//! A file is 512 bytes of header and then entries, one behind the other. Files are begun in order of their sequence and only after
//! everything in the file before was synced; a file whose entries are no longer needed is begun anew under a new sequence. Numbers
//! of entries grow by one from entry to entry over all files, so what an earlier use left behind is told from what is new. If a file
//! fails, its unsynced entries are written again to the next file under the same numbers: a file's entries count only up to the first
//! of the next file.

mod entry;
mod read;
mod ring;

pub(crate) use entry::{EntryBody, EntryBuilder, HEAD_BYTES, MetaRecord, PART_HEADER_BYTES, PartHeader, Stored};
pub(crate) use read::Ring;
pub(crate) use ring::{CommitError, Journal};

/// Where a file's entries begin: behind a whole sector for the header, which therefore never tears.
pub(crate) const ENTRIES_AT: u64 = 512;
const FILE_MAGIC: &[u8; 8] = b"MSJOURNL";
/// Version 2 knows parts that are in the segment but for their head.
const FILE_VERSION: u32 = 2;

/// The header of a journal file.
///
/// ```text
/// 0 magic "MSJOURNL", 8 version u32 = 2 (1 is read), 12 sequence u64, 20 first entry u64, 28 CRC32C of the bytes before u32; little endian
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) sequence: u64,
    pub(crate) first_entry: u64,
}

impl FileHeader {
    fn encode(&self) -> [u8; ENTRIES_AT as usize] {
        let mut bytes = [0; ENTRIES_AT as usize];
        bytes[0..8].copy_from_slice(FILE_MAGIC);
        bytes[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.first_entry.to_le_bytes());
        let crc = crc_fast::crc32_iscsi(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<FileHeader> {
        let bytes: &[u8; 32] = bytes.first_chunk()?;
        let crc = crc_fast::crc32_iscsi(&bytes[..28]);
        let sound = bytes.starts_with(FILE_MAGIC)
            && (1..=FILE_VERSION).contains(&entry::u32_at(bytes, 8))
            && bytes[28..] == crc.to_le_bytes();
        sound.then(|| FileHeader { sequence: entry::u64_at(bytes, 12), first_entry: entry::u64_at(bytes, 20) })
    }
}

fn file_name(number: u32) -> String {
    format!("{number:04}.journal")
}
