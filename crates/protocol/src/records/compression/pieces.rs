//! Compression of what comes piece by piece, so that it need not be in memory as a whole before: one stream or frame, as [`Compressor`] writes.
//!
//! [`Compressor`]: super::Compressor

use std::io::Write;

use flate2::write::GzEncoder;

use super::{Codec, lz4, snappy};

/// Bytes that are compressed at a time.
const BLOCK_BYTES: usize = 64 << 10;

/// Compresses pieces behind what a buffer holds.
pub(crate) struct PieceCompressor {
    block: Vec<u8>,
    sink: Sink,
}

enum Sink {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Snappy(Box<snap::raw::Encoder>, Vec<u8>),
    Lz4(Vec<u8>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl PieceCompressor {
    /// Appends to `out`.
    pub(crate) fn new(codec: Codec, mut out: Vec<u8>) -> PieceCompressor {
        let sink = match codec {
            Codec::None => Sink::Plain(out),
            Codec::Gzip => Sink::Gzip(GzEncoder::new(out, flate2::Compression::default())),
            Codec::Snappy => {
                snappy::begin(&mut out);
                Sink::Snappy(Box::new(snap::raw::Encoder::new()), out)
            }
            Codec::Lz4 => {
                lz4::begin(&mut out);
                Sink::Lz4(out)
            }
            Codec::Zstd => Sink::Zstd(
                zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)
                    .expect("the default level exists"),
            ),
        };
        PieceCompressor { block: Vec::new(), sink }
    }

    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        if let Sink::Plain(out) = &mut self.sink {
            out.extend_from_slice(piece);
            return;
        }
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            piece = later;
            if self.block.len() == BLOCK_BYTES {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        const MEMORY: &str = "writing to memory does not fail";
        match &mut self.sink {
            Sink::Plain(out) => out.extend_from_slice(&self.block),
            Sink::Gzip(encoder) => encoder.write_all(&self.block).expect(MEMORY),
            Sink::Snappy(encoder, out) => snappy::blocks(encoder, &self.block, out),
            Sink::Lz4(out) => lz4::blocks(&self.block, out),
            Sink::Zstd(encoder) => encoder.write_all(&self.block).expect(MEMORY),
        }
        self.block.clear();
    }

    /// Everything, compressed.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.flush();
        const MEMORY: &str = "writing to memory does not fail";
        match self.sink {
            Sink::Plain(out) | Sink::Snappy(_, out) => out,
            Sink::Gzip(encoder) => encoder.finish().expect(MEMORY),
            Sink::Lz4(mut out) => {
                lz4::end(&mut out);
                out
            }
            Sink::Zstd(encoder) => encoder.finish().expect(MEMORY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scratch;
    use super::*;

    #[test]
    fn pieces_of_any_size_come_back_as_one() {
        for codec in Codec::ALL {
            for piece_bytes in [1, 1000, 32 << 10, 64 << 10, 70_000] {
                for bytes in [0, 1, 64 << 10, 200_000] {
                    let data: Vec<u8> = (0..bytes).map(|at: usize| (at % 251) as u8 ^ (at / 7000) as u8).collect();
                    let mut pieces = PieceCompressor::new(codec, vec![9, 9]);
                    data.chunks(piece_bytes).for_each(|piece| pieces.push(piece));
                    let packed = pieces.finish();
                    assert_eq!(packed[..2], [9, 9]);
                    let back = Scratch::default().decompress(codec, &packed[2..]).expect("valid").to_vec();
                    assert!(back == data, "{codec} {piece_bytes} {bytes}");
                }
            }
        }
    }
}
