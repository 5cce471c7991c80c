//! Writing record batches.

use std::fmt;

use bytes::Bytes;

use super::compression::Compressor;
use super::{BatchHeader, Codec, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, header, varint};

/// Producer id, epoch and sequence number of a batch by an idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Producer id, from InitProducerId.
    pub producer_id: i64,
    /// Producer epoch.
    pub producer_epoch: i16,
    /// Sequence number of the batch's first record.
    pub base_sequence: i32,
}

/// Collects records and gives them as one batch. After [`finish`](BatchBuilder::finish) it is empty and can be used again; codec state is
/// kept.
pub struct BatchBuilder {
    codec: Codec,
    flags: i16,
    stamp: Option<ProducerStamp>,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    compressor: Compressor,
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("codec", &self.codec)
            .field("count", &self.count)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl BatchBuilder {
    /// A builder of batches compressed with `codec`.
    pub fn new(codec: Codec) -> BatchBuilder {
        BatchBuilder {
            codec,
            flags: 0,
            stamp: None,
            bytes: Vec::new(),
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            compressor: Compressor::default(),
        }
    }

    /// Marks the batches as part of a transaction.
    pub fn transactional(mut self, yes: bool) -> Self {
        self.set_flag(header::TRANSACTIONAL_BIT, yes);
        self
    }

    /// Marks the batches as control batches (a broker's markers).
    pub fn control(mut self, yes: bool) -> Self {
        self.set_flag(header::CONTROL_BIT, yes);
        self
    }

    /// Makes room for `bytes` of records in advance.
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        self.bytes.reserve(HEADER_BYTES + bytes);
        self
    }

    fn set_flag(&mut self, bit: i16, yes: bool) {
        if yes {
            self.flags |= bit;
        } else {
            self.flags &= !bit;
        }
    }

    /// Stamps the batch that is being built, until its [`finish`](BatchBuilder::finish), as an idempotent producer's.
    pub fn set_producer(&mut self, stamp: ProducerStamp) {
        self.stamp = Some(stamp);
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn size(&self) -> usize {
        self.bytes.len().max(HEADER_BYTES)
    }

    /// Bytes at most that such a record adds.
    pub fn record_size_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> usize {
        // Two varints of ten and nine of five bytes are more than the fixed fields ever take.
        let headers: usize = headers.iter().map(|(name, value)| 10 + name.len() + value.map_or(0, <[u8]>::len)).sum();
        40 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers
    }

    /// Appends a record with time stamp `timestamp` (ms since 1970).
    ///
    /// # Panics
    /// If a batch would have more than `i32::MAX` records or a record more than `i32::MAX` bytes: the caller bounds batches far below.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.bytes.resize(HEADER_BYTES, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.count);
        let mut size = 1 + varint::size(timestamp_delta) + varint::size(offset_delta);
        size += slice_size(key) + slice_size(value) + varint::size(headers.len() as i64);
        for (name, value) in headers {
            size += slice_size(Some(name.as_bytes())) + slice_size(*value);
        }
        assert!(size <= i32::MAX as usize, "a record of {size} bytes");
        let out = &mut self.bytes;
        out.reserve(size + 5);
        varint::write(out, size as i64);
        out.push(0);
        varint::write(out, timestamp_delta);
        varint::write(out, offset_delta);
        write_slice(out, key);
        write_slice(out, value);
        varint::write(out, headers.len() as i64);
        for (name, value) in headers {
            write_slice(out, Some(name.as_bytes()));
            write_slice(out, *value);
        }
        self.count = self.count.checked_add(1).expect("a batch holds fewer than i32::MAX records");
    }

    /// The batch, with base offset 0 and leader epoch -1 as a producer sends it; `None` without a record.
    pub fn finish(&mut self) -> Option<Bytes> {
        if self.count == 0 {
            self.stamp = None;
            return None;
        }
        let mut batch = match self.codec {
            Codec::None => std::mem::take(&mut self.bytes),
            codec => {
                let mut batch = Vec::with_capacity(HEADER_BYTES + self.bytes.len() / 2);
                batch.resize(HEADER_BYTES, 0);
                self.compressor.compress(codec, &self.bytes[HEADER_BYTES..], &mut batch);
                self.bytes.clear();
                batch
            }
        };
        let stamp =
            self.stamp.take().unwrap_or(ProducerStamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 });
        let mut head = BatchHeader {
            base_offset: 0,
            length: i32::try_from(batch.len() - LENGTH_OVERHEAD_BYTES).expect("a batch is smaller than 2 GiB"),
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: self.codec.bits() | self.flags,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            record_count: self.count,
        };
        let mut bytes = [0; HEADER_BYTES];
        head.write(&mut bytes);
        batch[..HEADER_BYTES].copy_from_slice(&bytes);
        head.crc = header::crc(&batch);
        batch[header::CRC_AT..header::CRC_AT + 4].copy_from_slice(&head.crc.to_be_bytes());
        self.count = 0;
        Some(batch.into())
    }
}

fn slice_size(slice: Option<&[u8]>) -> usize {
    match slice {
        Some(slice) => varint::size(slice.len() as i64) + slice.len(),
        None => 1,
    }
}

fn write_slice(out: &mut Vec<u8>, slice: Option<&[u8]>) {
    match slice {
        Some(slice) => {
            varint::write(out, slice.len() as i64);
            out.extend_from_slice(slice);
        }
        None => varint::write(out, -1),
    }
}
