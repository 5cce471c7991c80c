//! A journal entry: one atomic append, or changes to partitions themselves.
//!
//! ```text
//!  0 length  u32   bytes behind the header
//!  4 crc     u32   CRC32C of all behind this field
//!  8 number  u64   of the entry
//! 16 kind    u32   1 = append, 2 = meta
//! 20 parts   u32   number of parts of an append; 0 for meta
//! 24 body
//! ```
//! The body of meta is JSON, an array of [`MetaRecord`]. The body of an append is, per part:
//!
//! ```text
//!  0 slot        u32   of the partition
//!  4 stored      u32   where the batches are: 0 = here, 1 = in the segment, synced, 2 = there, but their head is here
//!  8 segment     i64   base offset of the segment
//! 16 position    u64   in the segment's file
//! 24 base offset i64   of the first record
//! 32 next offset i64   after the last record
//! 40 length      u64   bytes of the batches
//! 48 the batches, or the first 61 bytes of them, or nothing
//! ```
//! All little endian.

use bytes::{Bytes, BytesMut};
use millstream_protocol::records;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) const ENTRY_HEADER_BYTES: usize = 24;
pub(crate) const PART_HEADER_BYTES: usize = 48;
const KIND_APPEND: u32 = 1;
const KIND_META: u32 = 2;

/// The head of a part's batches: the header of the first one, without which nothing of them is sound.
pub(crate) const HEAD_BYTES: usize = records::HEADER_BYTES;

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

/// Where the batches of a part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// In the entry.
    Here,
    /// In the segment, which is synced before the entry is.
    Segment,
    /// In the segment, synced, but for their first [`HEAD_BYTES`]: those are in the entry, and in the segment not before the entry is
    /// synced. So who walks a relaxed topic's segment finds nothing of an append that the journal does not have.
    SegmentButHead,
}

impl Stored {
    fn encode(self) -> u32 {
        match self {
            Stored::Here => 0,
            Stored::Segment => 1,
            Stored::SegmentButHead => 2,
        }
    }

    fn decode(stored: u32) -> Option<Stored> {
        [Stored::Here, Stored::Segment, Stored::SegmentButHead].into_iter().find(|one| one.encode() == stored)
    }
}

/// Where a part of an append stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartHeader {
    pub(crate) slot: u32,
    pub(crate) stored: Stored,
    pub(crate) segment: i64,
    pub(crate) position: u64,
    pub(crate) base_offset: i64,
    pub(crate) next_offset: i64,
    pub(crate) length: u64,
}

impl PartHeader {
    fn encode(&self, bytes: &mut [u8]) {
        bytes[0..4].copy_from_slice(&self.slot.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.stored.encode().to_le_bytes());
        bytes[8..16].copy_from_slice(&self.segment.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base_offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.next_offset.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.length.to_le_bytes());
    }

    fn decode(bytes: &[u8; PART_HEADER_BYTES]) -> Option<PartHeader> {
        Some(PartHeader {
            slot: u32_at(bytes, 0),
            stored: Stored::decode(u32_at(bytes, 4))?,
            segment: u64_at(bytes, 8) as i64,
            position: u64_at(bytes, 16),
            base_offset: u64_at(bytes, 24) as i64,
            next_offset: u64_at(bytes, 32) as i64,
            length: u64_at(bytes, 40),
        })
    }
}

/// A change to a partition itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetaRecord {
    Create {
        slot: u32,
        topic: String,
        partition: i32,
        topic_id: Uuid,
    },
    Delete {
        slot: u32,
    },
    LogStart {
        slot: u32,
        offset: i64,
    },
    /// Whether appends are journaled from here on (`relaxed: false`). All before `next_offset` is synced in the segment.
    Mode {
        slot: u32,
        relaxed: bool,
        segment: i64,
        position: u64,
        next_offset: i64,
    },
}

/// An entry in the making. Batches are copied into it once and patched there; segment and memory are fed from the same bytes.
#[derive(Debug)]
pub(crate) struct EntryBuilder {
    bytes: BytesMut,
    kind: u32,
    parts: u32,
}

impl EntryBuilder {
    /// An append's entry, with room for `capacity` bytes of parts.
    pub(crate) fn append(capacity: usize) -> EntryBuilder {
        let mut bytes = BytesMut::with_capacity(ENTRY_HEADER_BYTES + capacity);
        bytes.resize(ENTRY_HEADER_BYTES, 0);
        EntryBuilder { bytes, kind: KIND_APPEND, parts: 0 }
    }

    pub(crate) fn meta(records: &[MetaRecord]) -> EntryBuilder {
        let json = serde_json::to_vec(records).expect("plain data becomes JSON");
        let mut entry = EntryBuilder::append(json.len());
        entry.bytes.extend_from_slice(&json);
        entry.kind = KIND_META;
        entry
    }

    /// Adds a part with its batches; gives where they stand in the entry.
    pub(crate) fn push_inline(&mut self, batches: &[u8]) -> std::ops::Range<usize> {
        self.parts += 1;
        self.bytes.resize(self.bytes.len() + PART_HEADER_BYTES, 0);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(batches);
        start..self.bytes.len()
    }

    /// Fills the header of the part whose batches stand at `range`.
    pub(crate) fn set_header(&mut self, range: &std::ops::Range<usize>, header: &PartHeader) {
        header.encode(&mut self.bytes[range.start - PART_HEADER_BYTES..range.start]);
    }

    /// Adds a part whose batches are in their segment, with their head if that is not.
    pub(crate) fn push_reference(&mut self, header: &PartHeader, head: &[u8]) {
        let range = self.push_inline(head);
        self.set_header(&range, header);
    }

    /// Takes back what was pushed since the entry had `length` bytes and `parts` parts.
    pub(crate) fn truncate(&mut self, mark: (usize, u32)) {
        self.bytes.truncate(mark.0);
        self.parts = mark.1;
    }

    pub(crate) fn mark(&self) -> (usize, u32) {
        (self.bytes.len(), self.parts)
    }

    pub(crate) fn bytes_mut(&mut self, range: std::ops::Range<usize>) -> &mut [u8] {
        &mut self.bytes[range]
    }

    /// Whether there is nothing to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == ENTRY_HEADER_BYTES
    }

    /// Bytes of the whole entry.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Numbers the entry and closes it with its check sum. May be done again with another number.
    pub(crate) fn seal(&mut self, number: u64) -> &[u8] {
        let length = (self.bytes.len() - ENTRY_HEADER_BYTES) as u32;
        self.bytes[0..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&number.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&self.kind.to_le_bytes());
        self.bytes[20..24].copy_from_slice(&self.parts.to_le_bytes());
        let crc = crc_fast::crc32_iscsi(&self.bytes[8..]);
        self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }

    pub(crate) fn freeze(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// The header of an entry as read: the length of what follows it, not yet believed.
pub(super) fn entry_length(header: &[u8; ENTRY_HEADER_BYTES]) -> usize {
    ENTRY_HEADER_BYTES + u32_at(header, 0) as usize
}

/// What an entry says.
#[derive(Debug)]
pub(crate) enum EntryBody<'a> {
    Append(Vec<(PartHeader, &'a [u8])>),
    Meta(Vec<MetaRecord>),
}

/// Reads a whole entry. `None` if it is torn, damaged, or left from an earlier use of the file, hence has another number.
pub(super) fn decode(bytes: &[u8], number: u64) -> Option<EntryBody<'_>> {
    let header: &[u8; ENTRY_HEADER_BYTES] = bytes.first_chunk()?;
    if u64_at(header, 8) != number || crc_fast::crc32_iscsi(&bytes[8..]) != u32_at(header, 4) {
        return None;
    }
    let mut body = &bytes[ENTRY_HEADER_BYTES..];
    match u32_at(header, 16) {
        KIND_META => serde_json::from_slice(body).ok().map(EntryBody::Meta),
        KIND_APPEND => {
            let mut parts = Vec::new();
            for _ in 0..u32_at(header, 20) {
                let (part, rest) = body.split_first_chunk::<PART_HEADER_BYTES>()?;
                let part = PartHeader::decode(part)?;
                let inline = match part.stored {
                    Stored::Here => usize::try_from(part.length).ok()?,
                    Stored::Segment => 0,
                    Stored::SegmentButHead => HEAD_BYTES,
                };
                let (batches, rest) = rest.split_at_checked(inline)?;
                parts.push((part, batches));
                body = rest;
            }
            Some(EntryBody::Append(parts))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = (PartHeader, Vec<u8>)> {
        let stored = prop_oneof![Just(Stored::Here), Just(Stored::Segment), Just(Stored::SegmentButHead)];
        let numbers = (any::<u32>(), stored, any::<i64>(), any::<u64>(), any::<i64>(), any::<i64>());
        (numbers, proptest::collection::vec(any::<u8>(), HEAD_BYTES..200)).prop_map(|(numbers, bytes)| {
            let (slot, stored, segment, position, base_offset, next_offset) = numbers;
            let length = bytes.len() as u64;
            (PartHeader { slot, stored, segment, position, base_offset, next_offset, length }, bytes)
        })
    }

    fn inline<'a>(header: &PartHeader, bytes: &'a [u8]) -> &'a [u8] {
        match header.stored {
            Stored::Here => bytes,
            Stored::Segment => &[],
            Stored::SegmentButHead => &bytes[..HEAD_BYTES],
        }
    }

    fn build(parts: &[(PartHeader, Vec<u8>)], number: u64) -> Vec<u8> {
        let mut entry = EntryBuilder::append(0);
        for (header, bytes) in parts {
            let range = entry.push_inline(inline(header, bytes));
            entry.set_header(&range, header);
        }
        entry.seal(number).to_vec()
    }

    proptest! {
        #[test]
        fn an_append_survives_its_entry(parts in proptest::collection::vec(part(), 1..6), number: u64) {
            let bytes = build(&parts, number);
            prop_assert_eq!(entry_length(bytes.first_chunk().unwrap()), bytes.len());
            let Some(EntryBody::Append(read)) = decode(&bytes, number) else { panic!("not read") };
            prop_assert_eq!(read.len(), parts.len());
            for ((header, bytes), (read_header, read_bytes)) in parts.iter().zip(read) {
                prop_assert_eq!(*header, read_header);
                prop_assert_eq!(inline(header, bytes), read_bytes);
            }
        }

        #[test]
        fn another_number_a_cut_or_a_changed_bit_is_refused(parts in proptest::collection::vec(part(), 1..4), at: usize, bit in 0..8) {
            let mut bytes = build(&parts, 7);
            prop_assert!(decode(&bytes, 8).is_none());
            prop_assert!(decode(&bytes[..at % bytes.len()], 7).is_none());
            // The length is not under the check sum: it decides which bytes are looked at.
            let at = 4 + at % (bytes.len() - 4);
            bytes[at] ^= 1u8 << bit;
            prop_assert!(decode(&bytes, 7).is_none());
        }

        #[test]
        fn sealed_nonsense_is_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..300), parts: u32, kind in 0..4u32) {
            let mut entry = EntryBuilder::append(0);
            entry.bytes.extend_from_slice(&body);
            (entry.kind, entry.parts) = (kind, parts);
            let bytes = entry.seal(1).to_vec();
            let _ = decode(&bytes, 1);
        }
    }

    #[test]
    fn changes_to_partitions_survive_their_entry() {
        let records = vec![
            MetaRecord::Create { slot: 1, topic: "t".to_owned(), partition: 3, topic_id: Uuid::from_u128(9) },
            MetaRecord::Delete { slot: 1 },
            MetaRecord::LogStart { slot: 2, offset: i64::MAX },
            MetaRecord::Mode { slot: 2, relaxed: true, segment: 5, position: u64::MAX, next_offset: 6 },
        ];
        let mut entry = EntryBuilder::meta(&records);
        let bytes = entry.seal(3).to_vec();
        assert!(matches!(decode(&bytes, 3), Some(EntryBody::Meta(read)) if read == records));
    }
}
