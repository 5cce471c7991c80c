//! Walking the batches of a segment's file.

use std::io;

use millstream_protocol::records::{self, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD_BYTES};

use crate::files::FileHandle;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// How far each batch is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Its header only.
    Header,
    /// All of it, with its CRC.
    Crc,
}

/// Why a walk stopped before the end.
#[derive(Debug)]
pub(crate) enum ScanError {
    /// There is no whole, sound batch at this position.
    Invalid {
        position: u64,
        reason: String,
    },
    Io(io::Error),
}

/// A walk over the batches between two positions of a file.
pub(crate) struct Scan<'a> {
    file: &'a dyn FileHandle,
    depth: Depth,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_position: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(file: &'a dyn FileHandle, from: u64, end: u64, depth: Depth) -> Scan<'a> {
        Scan { file, depth, position: from, end, buffer: Vec::new(), buffer_position: 0 }
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch with its position; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        let header = {
            let bytes = self.bytes(HEADER_BYTES).map_err(ScanError::Io)?;
            BatchHeader::read(bytes).map_err(|error| self.invalid(error.to_string()))?
        };
        let size = header.size() as u64;
        if header.last_offset_delta < 0 || header.base_offset < 0 {
            return Err(self.invalid("its offsets make no sense".to_owned()));
        }
        if size > self.end - position {
            return Err(self.invalid(format!("the batch has {size} bytes and {} are there", self.end - position)));
        }
        if self.depth == Depth::Crc {
            let bytes = self.bytes(size as usize).map_err(ScanError::Io)?;
            records::check(bytes).map_err(|error| self.invalid(error.to_string()))?;
        }
        self.position += size;
        Ok(Some((position, header)))
    }

    /// The bytes of the batch that [`Scan::next`] gave.
    pub(crate) fn batch(&mut self, position: u64, header: &BatchHeader) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.read_at(&mut bytes, header.length as usize + LENGTH_OVERHEAD_BYTES, position)?;
        Ok(bytes)
    }

    fn invalid(&self, reason: String) -> ScanError {
        ScanError::Invalid { position: self.position, reason }
    }

    /// Up to `length` bytes at the present position, fewer at the end.
    fn bytes(&mut self, length: usize) -> io::Result<&[u8]> {
        let length = length.min((self.end - self.position) as usize);
        let have = self.buffer_position..self.buffer_position + self.buffer.len() as u64;
        if self.position < have.start || self.position + length as u64 > have.end {
            let chunk = (CHUNK_BYTES as u64).min(self.end - self.position) as usize;
            self.buffer.clear();
            self.file.read_at(&mut self.buffer, length.max(chunk), self.position)?;
            self.buffer_position = self.position;
        }
        let at = (self.position - self.buffer_position) as usize;
        let available = self.buffer.len() - at;
        Ok(&self.buffer[at..at + length.min(available)])
    }
}
