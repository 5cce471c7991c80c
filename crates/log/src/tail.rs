//! The newest appends of a partition, kept in memory: a reader at the end of the log needs no file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use millstream_protocol::records;

#[derive(Debug, Clone)]
struct Chunk {
    base_offset: i64,
    next_offset: i64,
    bytes: Bytes,
}

/// One partition's newest appends, without a gap between them.
#[derive(Debug)]
pub(crate) struct Tail {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Bytes of all partitions' tails.
    total: Arc<AtomicUsize>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Tail {
    pub(crate) fn new(total: Arc<AtomicUsize>) -> Tail {
        Tail { chunks: VecDeque::new(), bytes: 0, total }
    }

    /// Adds what was appended from `base_offset` to before `next_offset`; keeps at most `bytes_max`.
    pub(crate) fn push(&mut self, base_offset: i64, next_offset: i64, bytes: Bytes, bytes_max: usize) {
        if self.chunks.back().is_some_and(|last| last.next_offset != base_offset) || bytes.len() > bytes_max {
            self.clear();
        }
        if bytes.len() > bytes_max {
            return;
        }
        while self.bytes + bytes.len() > bytes_max {
            self.pop();
        }
        self.bytes += bytes.len();
        self.total.fetch_add(bytes.len(), Ordering::Relaxed);
        self.chunks.push_back(Chunk { base_offset, next_offset, bytes });
    }

    /// Drops the oldest chunk.
    pub(crate) fn pop(&mut self) {
        let Some(chunk) = self.chunks.pop_front() else { return };
        self.bytes -= chunk.bytes.len();
        self.total.fetch_sub(chunk.bytes.len(), Ordering::Relaxed);
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.total.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    /// Offset of the oldest record kept.
    pub(crate) fn base_offset(&self) -> Option<i64> {
        self.chunks.front().map(|chunk| chunk.base_offset)
    }

    /// Whole batches from the one that holds `offset`; `None` if that is not kept. At least one batch if `at_least_one`.
    pub(crate) fn read(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Option<Bytes> {
        if self.chunks.front()?.base_offset > offset {
            return None;
        }
        let first = self.chunks.partition_point(|chunk| chunk.next_offset <= offset);
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut left = max_bytes;
        for chunk in self.chunks.range(first..) {
            let (start, end) = wanted(&chunk.bytes, offset, left, at_least_one && pieces.is_empty());
            if end > start {
                left = left.saturating_sub(end - start);
                pieces.push(chunk.bytes.slice(start..end));
            }
            if end < chunk.bytes.len() {
                break;
            }
        }
        match pieces.len() {
            0 => (first < self.chunks.len()).then(Bytes::new),
            1 => pieces.pop(),
            _ => {
                let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
                pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
                Some(joined.freeze())
            }
        }
    }
}

/// The part of `bytes` (batches behind each other, the last one perhaps cut off) with the whole batches from the one that holds
/// `offset` that fit `max_bytes`; the first one even if it does not fit, if `at_least_one`.
pub(crate) fn wanted(bytes: &[u8], offset: i64, max_bytes: usize, at_least_one: bool) -> (usize, usize) {
    let mut walk = records::batches(bytes);
    let mut range: Option<(usize, usize)> = None;
    loop {
        let from = walk.position();
        let Some(Ok((header, _))) = walk.next() else { break };
        let to = walk.position();
        match &mut range {
            None if header.next_offset() <= offset => {}
            None if to - from <= max_bytes || at_least_one => range = Some((from, to)),
            None => return (from, from),
            Some((start, end)) if to - *start <= max_bytes => *end = to,
            Some(_) => break,
        }
    }
    range.unwrap_or((walk.position(), walk.position()))
}
