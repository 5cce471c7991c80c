//! What is held against a batch before it is taken in, or after it was read.

use std::ops::Range;

use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, decode, header};

/// One batch of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRange {
    /// Where it stands in the payload.
    pub range: Range<usize>,
    /// Its header.
    pub header: BatchHeader,
}

/// Checks the batch at the front of `bytes`, wherever it comes from: whole, version 2, CRC, sane counts, a known codec. More bytes may
/// follow it. Fit for recovery: batches that compaction has thinned out or markers pass.
pub fn check(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::read(bytes)?;
    let batch = bytes.get(..header.size()).ok_or(BatchError::Truncated { needed: header.size(), left: bytes.len() })?;
    let computed = header::crc(batch);
    if computed != header.crc {
        return Err(BatchError::Crc { stated: header.crc, computed });
    }
    header.codec()?;
    if header.record_count < 0 || header.last_offset_delta < 0 || header.record_count - 1 > header.last_offset_delta {
        return Err(BatchError::Count { count: header.record_count, last_offset_delta: header.last_offset_delta });
    }
    Ok(header)
}

/// Checks a producer's payload, zero or more whole batches with nothing behind them: what [`check`] does, and what Kafka asks of
/// clients: at least one record, offset deltas without gaps, no control batch, producer fields that go together. The records of
/// uncompressed batches are walked; compressed ones stay closed. That there is exactly one batch (Produce 3 and up) is the caller's to ask.
pub fn validate(payload: &[u8]) -> Result<Vec<BatchRange>, BatchError> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let header = check(&payload[at..])?;
        let range = at..at + header.size();
        validate_one(&header, &payload[range.clone()])?;
        at = range.end;
        found.push(BatchRange { range, header });
    }
    Ok(found)
}

fn validate_one(header: &BatchHeader, batch: &[u8]) -> Result<(), BatchError> {
    if header.record_count == 0 || i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(BatchError::Count { count: header.record_count, last_offset_delta: header.last_offset_delta });
    }
    if header.is_control() {
        return Err(BatchError::Control);
    }
    let sane = if header.has_producer() {
        header.producer_epoch >= 0 && header.base_sequence >= 0
    } else {
        !header.is_transactional()
    };
    if !sane {
        return Err(BatchError::Producer {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        });
    }
    if header.codec()? == Codec::None {
        decode::check_records(header, &batch[HEADER_BYTES..])?;
    }
    Ok(())
}
