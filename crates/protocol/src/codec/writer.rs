//! A writer of frames. Large byte fields are not copied: the frame is a list of pieces that share their memory.

use bytes::{BufMut, Bytes, BytesMut};

use super::TEXT_BYTES_MAX;

/// Byte fields from here on become pieces of their own; below, a copy is cheaper.
const PIECE_BYTES_MIN: usize = 2048;

/// Bytes to be sent one piece after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    pieces: Vec<Bytes>,
    size: usize,
}

impl Frame {
    /// The pieces, in order, none of them empty; good for a vectored write.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// As [`Frame::pieces`], owned.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// Bytes of all pieces.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All in one buffer: a copy if there is more than one piece.
    pub fn into_bytes(self) -> Bytes {
        match <[Bytes; 1]>::try_from(self.pieces) {
            Ok([only]) => only,
            Err(pieces) => {
                let mut all = BytesMut::with_capacity(self.size);
                pieces.iter().for_each(|piece| all.extend_from_slice(piece));
                all.freeze()
            }
        }
    }
}

/// Writes the fields of a message.
#[derive(Debug, Default)]
pub struct Writer {
    /// What is written behind the last piece.
    tail: BytesMut,
    pieces: Vec<Bytes>,
    pieces_bytes: usize,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Bytes written so far.
    pub fn size(&self) -> usize {
        self.pieces_bytes + self.tail.len()
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.pieces_bytes += piece.len();
            self.pieces.push(piece);
        }
    }

    /// The frame, without a length prefix.
    pub fn finish(mut self) -> Frame {
        self.cut();
        Frame { size: self.pieces_bytes, pieces: self.pieces }
    }

    /// The frame with its length in front, as it goes onto a connection.
    pub fn finish_framed(mut self) -> Frame {
        self.cut();
        let length = u32::try_from(self.pieces_bytes).expect("a frame is smaller than 4 GiB");
        // The first piece is the header and the small fields before any records.
        let mut first = BytesMut::with_capacity(4 + self.pieces.first().map_or(0, Bytes::len));
        first.put_u32(length);
        match self.pieces.first_mut() {
            Some(piece) => {
                first.extend_from_slice(piece);
                *piece = first.freeze();
            }
            None => self.pieces.push(first.freeze()),
        }
        Frame { size: self.pieces_bytes + 4, pieces: self.pieces }
    }

    /// Writes a byte.
    pub fn i8(&mut self, value: i8) {
        self.tail.put_i8(value);
    }

    /// Writes a big-endian number.
    pub fn i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    /// Writes a big-endian number.
    pub fn i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    /// Writes a big-endian number.
    pub fn i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    /// Writes an unsigned varint.
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.tail.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.tail.put_u8(value as u8);
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    /// Writes bytes as they are, without a copy if they are many.
    pub fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() < PIECE_BYTES_MIN {
            return self.raw(bytes);
        }
        self.cut();
        self.pieces_bytes += bytes.len();
        self.pieces.push(bytes.clone());
    }

    /// Appends a finished frame.
    pub fn frame(&mut self, frame: Frame) {
        frame.pieces.iter().for_each(|piece| self.shared(piece));
    }

    /// Writes a string. A text longer than [`TEXT_BYTES_MAX`] is cut there: only our own messages to people can be, as no text that is read
    /// is longer.
    pub fn string(&mut self, value: Option<&str>, flexible: bool) {
        let value = value.map(|text| &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
        match (value, flexible) {
            (None, true) => self.uvarint(0),
            (None, false) => self.i16(-1),
            (Some(text), true) => self.uvarint(compact(text.len())),
            (Some(text), false) => self.i16(text.len() as i16),
        }
        self.raw(value.unwrap_or_default().as_bytes());
    }

    /// Writes a byte field.
    pub fn bytes(&mut self, value: Option<&Bytes>, flexible: bool) {
        self.count(value.map(Bytes::len), flexible);
        if let Some(bytes) = value {
            self.shared(bytes);
        }
    }

    /// Writes the number of an array's elements (or a byte field's length).
    pub fn count(&mut self, count: Option<usize>, flexible: bool) {
        match (count, flexible) {
            (None, true) => self.uvarint(0),
            (None, false) => self.i32(-1),
            (Some(count), true) => self.uvarint(compact(count)),
            (Some(count), false) => self.i32(i32::try_from(count).expect("fewer than 2 GiB")),
        }
    }

    /// Writes one tagged field: its tag, size and bytes.
    pub fn tagged_field(&mut self, tag: u32, value: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::new();
        value(&mut inner);
        self.uvarint(tag);
        self.uvarint(u32::try_from(inner.size()).expect("fewer than 4 GiB"));
        self.frame(inner.finish());
    }
}

/// The compact form of a length: one more, as 0 is null.
fn compact(length: usize) -> u32 {
    u32::try_from(length + 1).expect("fewer than 4 GiB")
}
