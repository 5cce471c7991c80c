//! A bounded reader over one frame.

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind, TEXT_BYTES_MAX};

/// Memory a frame may take when decoded: this many times its bytes …
const MEMORY_FACTOR: usize = 32;
/// … plus this many bytes.
const MEMORY_BASE: usize = 64 << 10;

/// Reads the fields of a frame, front to back. Byte fields come out as slices that share the frame's memory.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
    memory_left: usize,
}

impl<'a> Reader<'a> {
    /// Reads `frame`, which is without its length prefix.
    pub fn new(frame: &'a Bytes) -> Reader<'a> {
        Reader {
            frame,
            rest: frame,
            memory_left: frame.len().saturating_mul(MEMORY_FACTOR).saturating_add(MEMORY_BASE),
        }
    }

    /// Bytes not yet read.
    pub fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    /// An error at this place.
    #[cold]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, bytes_left: self.rest.len(), field: None }
    }

    /// Fails if bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::Trailing(self.rest.len()))) }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(bytes) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.error(DecodeErrorKind::Truncated { needed: bytes, left: self.rest.len() })),
        }
    }

    /// Reads `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.error(DecodeErrorKind::Truncated { needed: N, left: self.rest.len() })),
        }
    }

    /// Reads a byte.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    /// Reads a big-endian number.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Reads a big-endian number.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads a big-endian number.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Reads an unsigned varint of 32 bits.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::Varint))
    }

    /// Reads a length in the compact form (one more than it is, 0 = null) or as given by `plain` (-1 = null), and holds it against the
    /// bytes left: nothing that is counted takes less than a byte.
    fn length(
        &mut self,
        flexible: bool,
        plain: impl FnOnce(&mut Self) -> Result<i64, DecodeError>,
    ) -> Result<Option<usize>, DecodeError> {
        let stated = if flexible { i64::from(self.uvarint()?) - 1 } else { plain(self)? };
        match usize::try_from(stated) {
            Ok(length) if length <= self.rest.len() => Ok(Some(length)),
            Err(_) if stated == -1 => Ok(None),
            _ => Err(self.error(DecodeErrorKind::Length { stated, left: self.rest.len() })),
        }
    }

    /// Reads a string; `None` is null.
    pub fn string(&mut self, flexible: bool) -> Result<Option<&'a str>, DecodeError> {
        let Some(length) = self.length(flexible, |reader| reader.i16().map(i64::from))? else {
            return Ok(None);
        };
        // Kafka holds compact texts to the plain form's limit too, so that what one version brings every version can carry.
        if length > TEXT_BYTES_MAX {
            return Err(self.error(DecodeErrorKind::Length { stated: length as i64, left: self.rest.len() }));
        }
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error(DecodeErrorKind::Utf8)),
        }
    }

    /// Reads bytes, sharing the frame's memory; `None` is null.
    pub fn bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.length(flexible, |reader| reader.i32().map(i64::from))? else {
            return Ok(None);
        };
        let bytes = self.take(length)?;
        Ok(Some(self.frame.slice_ref(bytes)))
    }

    /// Reads how many elements an array has, each of `element_bytes` in memory; `None` is null. Many tiny elements that would blow up in
    /// memory are refused.
    pub fn count(&mut self, flexible: bool, element_bytes: usize) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.length(flexible, |reader| reader.i32().map(i64::from))? else {
            return Ok(None);
        };
        match self.memory_left.checked_sub(count.saturating_mul(element_bytes)) {
            Some(left) => {
                self.memory_left = left;
                Ok(Some(count))
            }
            None => Err(self.error(DecodeErrorKind::Amplification)),
        }
    }

    /// Reads a block of tagged fields. `field` gets each tag with a reader of its bytes and says whether it knows it; the unknown are
    /// passed over.
    pub fn tagged_fields(
        &mut self,
        mut field: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let bytes = self.take(size)?;
            let mut inner = Reader { frame: self.frame, rest: bytes, memory_left: self.memory_left };
            if field(tag, &mut inner)? {
                inner.finish()?;
                self.memory_left = inner.memory_left;
            }
        }
        Ok(())
    }
}
