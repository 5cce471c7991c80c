//! Kafka's record batches as the rest of this crate uses them: built for an append, and visited one record at a time.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use millstream_protocol::records::{BatchBuilder, BatchError, Codec, Record, Scratch, batches, decode_batch};

/// Bytes of one batch before compression at most, about; as large as a fetch asks for by default.
const BATCH_BYTES: usize = 1 << 20;

/// Visits the records of whole batches in order, without control batches, until `visit` breaks.
pub fn visit<B>(
    bytes: &[u8],
    scratch: &mut Scratch,
    mut visit: impl FnMut(&Record<'_>) -> ControlFlow<B>,
) -> Result<Option<B>, BatchError> {
    for batch in batches(bytes) {
        let (header, batch) = batch?;
        if header.is_control() {
            continue;
        }
        for record in decode_batch(batch, scratch)? {
            if let ControlFlow::Break(found) = visit(&record?) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Collects records for one partition and gives them as batches of a bounded size.
#[derive(Debug)]
pub struct Payload {
    builder: BatchBuilder,
    records: usize,
    done: BytesMut,
}

impl Default for Payload {
    fn default() -> Self {
        Self { builder: BatchBuilder::new(Codec::None), records: 0, done: BytesMut::new() }
    }
}

impl Payload {
    /// Appends a record with time stamp `timestamp_ms`.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let size = BatchBuilder::record_size_max(key, value, headers);
        if !self.builder.is_empty() && self.builder.size() + size > BATCH_BYTES {
            self.cut();
        }
        self.builder.push(timestamp_ms, key, value, headers);
        self.records += 1;
    }

    /// Number of records so far.
    pub fn records(&self) -> usize {
        self.records
    }

    /// All batches, or nothing if there are no records.
    pub fn finish(mut self) -> Option<Bytes> {
        if self.done.is_empty() {
            return self.builder.finish();
        }
        self.cut();
        Some(self.done.freeze())
    }

    fn cut(&mut self) {
        if let Some(batch) = self.builder.finish() {
            self.done.extend_from_slice(&batch);
        }
    }
}
