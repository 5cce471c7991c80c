//! The header of a record batch, read and patched in place.
//!
//! ```text
//!  0 base offset          i64   given by the log: not under the CRC
//!  8 batch length         i32   bytes after this field
//! 12 partition leader epoch i32 given by the log: not under the CRC
//! 16 magic                i8    2
//! 17 crc                  u32   CRC32C of everything from 21 on
//! 21 attributes           i16   bits 0-2 codec, 3 time stamp type, 4 transactional, 5 control, 6 delete horizon
//! 23 last offset delta    i32
//! 27 base time stamp      i64   ms
//! 35 max time stamp       i64   ms
//! 43 producer id          i64   -1 = none
//! 51 producer epoch       i16
//! 53 base sequence        i32
//! 57 number of records    i32
//! 61 records, compressed as one block
//! ```

use super::{BatchError, Codec};

/// Where the base offset stands.
pub const BASE_OFFSET_AT: usize = 0;
/// Where the batch length stands.
pub const LENGTH_AT: usize = 8;
/// Where the partition leader epoch stands.
pub const LEADER_EPOCH_AT: usize = 12;
/// Where the format's version stands.
pub const MAGIC_AT: usize = 16;
/// Where the check sum stands.
pub const CRC_AT: usize = 17;
/// Where the attributes stand, and the bytes under the check sum begin.
pub const ATTRIBUTES_AT: usize = 21;
/// Where the last offset delta stands.
pub const LAST_OFFSET_DELTA_AT: usize = 23;
/// Where the base time stamp stands.
pub const BASE_TIMESTAMP_AT: usize = 27;
/// Where the largest time stamp stands.
pub const MAX_TIMESTAMP_AT: usize = 35;
/// Where the producer id stands.
pub const PRODUCER_ID_AT: usize = 43;
/// Where the producer epoch stands.
pub const PRODUCER_EPOCH_AT: usize = 51;
/// Where the first sequence number stands.
pub const BASE_SEQUENCE_AT: usize = 53;
/// Where the number of records stands.
pub const RECORD_COUNT_AT: usize = 57;
/// Bytes of a header: where the records begin.
pub const HEADER_BYTES: usize = 61;
/// Bytes before those that the batch length counts.
pub const LENGTH_OVERHEAD_BYTES: usize = 12;

/// Attribute bits 0-2: the codec.
pub const CODEC_MASK: i16 = 0x07;
/// Attribute bit 3: the time stamps are the log's, not the producer's.
pub const LOG_APPEND_TIME_BIT: i16 = 0x08;
/// Attribute bit 4: part of a transaction.
pub const TRANSACTIONAL_BIT: i16 = 0x10;
/// Attribute bit 5: a transaction marker and the like.
pub const CONTROL_BIT: i16 = 0x20;
/// Attribute bit 6: the base time stamp is a delete horizon (compacted logs).
pub const DELETE_HORIZON_BIT: i16 = 0x40;

/// The header of a record batch. All fields as they stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the batch (its first record's, unless compaction took that away).
    pub base_offset: i64,
    /// Bytes after the length field; see [`BatchHeader::size`].
    pub length: i32,
    /// Leader epoch at the append; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// Format version, 2.
    pub magic: i8,
    /// CRC32C from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: i16,
    /// Offset of the last record minus the base offset.
    pub last_offset_delta: i32,
    /// Time stamp of the first record, ms.
    pub base_timestamp: i64,
    /// Largest time stamp, ms.
    pub max_timestamp: i64,
    /// Producer id, -1 = none.
    pub producer_id: i64,
    /// Producer epoch, -1 = none.
    pub producer_epoch: i16,
    /// Sequence number of the first record, -1 = none.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

fn take<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`. Checks the magic and that the length covers a header; nothing else, and not
    /// that the whole batch is there.
    pub fn read(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        // The magic stands at the same place in all versions, so an old batch is told by its name even when it is short.
        if let Some(magic) = bytes.get(MAGIC_AT)
            && *magic != 2
        {
            return Err(BatchError::Magic(*magic as i8));
        }
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Truncated { needed: HEADER_BYTES, left: bytes.len() });
        };
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(take(head, BASE_OFFSET_AT)),
            length: i32::from_be_bytes(take(head, LENGTH_AT)),
            partition_leader_epoch: i32::from_be_bytes(take(head, LEADER_EPOCH_AT)),
            magic: head[MAGIC_AT] as i8,
            crc: u32::from_be_bytes(take(head, CRC_AT)),
            attributes: i16::from_be_bytes(take(head, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(take(head, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(take(head, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(take(head, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(take(head, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(take(head, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(take(head, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(take(head, RECORD_COUNT_AT)),
        };
        if (header.length as i64) < (HEADER_BYTES - LENGTH_OVERHEAD_BYTES) as i64 {
            return Err(BatchError::Length(header.length));
        }
        Ok(header)
    }

    /// Writes all fields to the front of `bytes`.
    pub(super) fn write(&self, bytes: &mut [u8; HEADER_BYTES]) {
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(BASE_OFFSET_AT, &self.base_offset.to_be_bytes());
        put(LENGTH_AT, &self.length.to_be_bytes());
        put(LEADER_EPOCH_AT, &self.partition_leader_epoch.to_be_bytes());
        put(MAGIC_AT, &self.magic.to_be_bytes());
        put(CRC_AT, &self.crc.to_be_bytes());
        put(ATTRIBUTES_AT, &self.attributes.to_be_bytes());
        put(LAST_OFFSET_DELTA_AT, &self.last_offset_delta.to_be_bytes());
        put(BASE_TIMESTAMP_AT, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP_AT, &self.max_timestamp.to_be_bytes());
        put(PRODUCER_ID_AT, &self.producer_id.to_be_bytes());
        put(PRODUCER_EPOCH_AT, &self.producer_epoch.to_be_bytes());
        put(BASE_SEQUENCE_AT, &self.base_sequence.to_be_bytes());
        put(RECORD_COUNT_AT, &self.record_count.to_be_bytes());
    }

    /// The batch with none of its records: as compaction leaves it where only offsets and sequence numbers count.
    pub fn without_records(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let header = BatchHeader {
            length: (HEADER_BYTES - LENGTH_OVERHEAD_BYTES) as i32,
            attributes: self.attributes & !CODEC_MASK,
            record_count: 0,
            ..*self
        };
        header.write(&mut bytes);
        let crc = crc(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        // `read` held the length against the header's size, so it is not negative.
        self.length as usize + LENGTH_OVERHEAD_BYTES
    }

    /// The codec, if it is one that is known.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record: where the next batch begins.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence number of the last record; numbers wrap from `i32::MAX` to 0. -1 without a sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        (self.base_sequence as u32).wrapping_add(self.last_offset_delta as u32) as i32 & i32::MAX
    }

    /// Whether the records' time stamps are the log's.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch is a broker's marker and not data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// The time from which on the batch's tombstones may go, ms since 1970; only compaction sets it.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// Whether an idempotent (or transactional) producer wrote the batch.
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}

/// Gives the batch at the front of `batch` its offset. The CRC does not cover it.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], offset: i64) {
    batch[BASE_OFFSET_AT..BASE_OFFSET_AT + 8].copy_from_slice(&offset.to_be_bytes());
}

/// Gives the batch at the front of `batch` its leader epoch. The CRC does not cover it.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) {
    batch[LEADER_EPOCH_AT..LEADER_EPOCH_AT + 4].copy_from_slice(&epoch.to_be_bytes());
}

/// Marks the batch, which must be exactly one whole batch, as stamped by the log at `timestamp_ms`, and renews the CRC. Its records
/// are not touched: a reader takes the header's time for all of them.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_log_append_time(batch: &mut [u8], timestamp_ms: i64) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]) | LOG_APPEND_TIME_BIT;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&timestamp_ms.to_be_bytes());
    let crc = crc(batch);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

/// CRC32C of the part of a whole batch that it covers.
pub(super) fn crc(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[ATTRIBUTES_AT..])
}
