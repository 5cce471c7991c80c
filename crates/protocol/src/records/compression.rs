//! The four codecs of record batches, in both directions. Output of a decompression is bounded before it is made.
//!
//! The batch's CRC covers the compressed bytes, so the check sums inside lz4 frames are not computed a second time.

mod lz4;
mod pieces;
mod snappy;

use std::io::Read;
use std::{fmt, str::FromStr};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use super::{BatchError, header};
pub(super) use pieces::PieceCompressor;

/// Bytes a batch may have after decompression where nothing else is said: 128 MiB.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// snappy, written in the framing of the Java clients; both forms are read.
    Snappy,
    /// An lz4 frame of independent 64 KiB blocks.
    Lz4,
    /// zstd.
    Zstd,
}

impl Codec {
    /// All codecs.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec in a batch's attributes.
    pub fn from_attributes(attributes: i16) -> Result<Codec, BatchError> {
        match attributes & header::CODEC_MASK {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            other => Err(BatchError::Codec(other)),
        }
    }

    /// The attribute bits.
    pub fn bits(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(name: &str) -> Result<Codec, String> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .or((name == "uncompressed").then_some(Codec::None))
            .ok_or_else(|| format!("compression type {name:?} is not known: none, gzip, snappy, lz4 or zstd"))
    }
}

/// Memory and codec state that decoding keeps from batch to batch, so that a reader of many allocates once.
pub struct Scratch {
    buffer: Vec<u8>,
    decompressed_bytes_max: usize,
    snappy: snap::raw::Decoder,
    zstd: Option<ZstdDecoder<'static>>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new(DECOMPRESSED_BYTES_MAX)
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch")
            .field("buffer_bytes", &self.buffer.len())
            .field("decompressed_bytes_max", &self.decompressed_bytes_max)
            .finish_non_exhaustive()
    }
}

impl Scratch {
    /// Scratch memory that refuses batches of more than `decompressed_bytes_max` bytes after decompression.
    pub fn new(decompressed_bytes_max: usize) -> Scratch {
        Scratch { buffer: Vec::new(), decompressed_bytes_max, snappy: snap::raw::Decoder::new(), zstd: None }
    }

    /// Bytes of memory held for the next batch.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the memory back, after an unusually large batch for instance.
    pub fn release(&mut self) {
        self.buffer = Vec::new();
        self.zstd = None;
    }

    /// Decompresses `input`. Memory grows with what really comes out, never with what the input states.
    pub fn decompress(&mut self, codec: Codec, input: &[u8]) -> Result<&[u8], BatchError> {
        let limit = self.decompressed_bytes_max;
        let mut out = Output { buffer: &mut self.buffer, filled: 0, limit };
        match codec {
            Codec::None => out.append(input),
            Codec::Gzip => gunzip(input, &mut out),
            Codec::Snappy => snappy::decompress(&mut self.snappy, input, &mut out),
            Codec::Lz4 => lz4::decompress(input, &mut out),
            Codec::Zstd => unzstd(&mut self.zstd, input, &mut out),
        }
        .map_err(|failure| match failure {
            Failure::TooLarge => BatchError::TooLarge { limit },
            Failure::Invalid(reason) => BatchError::Decompress { codec, reason },
        })?;
        let filled = out.filled;
        Ok(&self.buffer[..filled])
    }
}

/// Why a decompression stopped.
enum Failure {
    TooLarge,
    Invalid(String),
}

fn invalid(reason: impl ToString) -> Failure {
    Failure::Invalid(reason.to_string())
}

/// Where decompressed bytes go. The buffer stays as large as it once was, so that it is zeroed once and not per batch.
struct Output<'a> {
    buffer: &'a mut Vec<u8>,
    filled: usize,
    limit: usize,
}

impl Output<'_> {
    /// At least `wanted` writable bytes behind what is filled, or `TooLarge`.
    fn room(&mut self, wanted: usize) -> Result<&mut [u8], Failure> {
        let needed = self.filled.checked_add(wanted).ok_or(Failure::TooLarge)?;
        if needed > self.limit {
            return Err(Failure::TooLarge);
        }
        if needed > self.buffer.len() {
            let grown = needed.max(self.buffer.len() * 2).min(self.limit).max(needed);
            self.buffer.resize(grown, 0);
        }
        Ok(&mut self.buffer[self.filled..])
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.room(bytes.len())?[..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    /// Runs a codec that writes what fits and says how much, until it writes nothing into a room that was not empty.
    fn fill(
        &mut self,
        input_bytes: usize,
        mut step: impl FnMut(&mut [u8]) -> Result<usize, Failure>,
    ) -> Result<(), Failure> {
        let first_guess = (input_bytes * 4).clamp(4096, 1 << 20);
        loop {
            let wanted = if self.filled == 0 { first_guess } else { 4096 };
            let space = self.limit - self.filled;
            let written = if space == 0 {
                // Exactly full: one more byte tells whether this was the end.
                if step(&mut [0])? > 0 {
                    return Err(Failure::TooLarge);
                }
                0
            } else {
                let limit_left = space;
                let room = self.room(wanted.min(space))?;
                let end = room.len().min(limit_left);
                step(&mut room[..end])?
            };
            if written == 0 {
                return Ok(());
            }
            self.filled += written;
        }
    }
}

fn gunzip(input: &[u8], out: &mut Output<'_>) -> Result<(), Failure> {
    let mut reader = MultiGzDecoder::new(input);
    out.fill(input.len(), |room| reader.read(room).map_err(invalid))
}

fn unzstd(decoder: &mut Option<ZstdDecoder<'static>>, input: &[u8], out: &mut Output<'_>) -> Result<(), Failure> {
    let decoder = match decoder {
        Some(decoder) => decoder,
        none => none.insert(ZstdDecoder::new().map_err(invalid)?),
    };
    decoder.reinit().map_err(invalid)?;
    let mut source = InBuffer::around(input);
    let mut hint = 1;
    out.fill(input.len(), |room| {
        let mut sink = OutBuffer::around(room);
        loop {
            if hint == 0 && source.pos() == input.len() {
                return Ok(sink.pos());
            }
            let read_before = source.pos();
            hint = decoder.run(&mut source, &mut sink).map_err(invalid)?;
            if sink.pos() == sink.capacity() {
                return Ok(sink.pos());
            }
            if hint != 0 && source.pos() == input.len() && source.pos() == read_before {
                return if sink.pos() > 0 { Ok(sink.pos()) } else { Err(invalid("the data ends early")) };
            }
        }
    })
}

/// Compression state kept from batch to batch.
#[derive(Default)]
pub(super) struct Compressor {
    snappy: Option<snap::raw::Encoder>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    /// Appends `input`, compressed, to `out`.
    pub(super) fn compress(&mut self, codec: Codec, input: &[u8], out: &mut Vec<u8>) {
        match codec {
            Codec::None => out.extend_from_slice(input),
            Codec::Gzip => {
                let mut encoder = GzEncoder::new(std::mem::take(out), flate2::Compression::default());
                std::io::Write::write_all(&mut encoder, input).expect("writing to memory does not fail");
                *out = encoder.finish().expect("writing to memory does not fail");
            }
            Codec::Snappy => snappy::compress(self.snappy.get_or_insert_with(snap::raw::Encoder::new), input, out),
            Codec::Lz4 => lz4::compress(input, out),
            Codec::Zstd => {
                let compressor = self.zstd.get_or_insert_with(|| {
                    zstd::bulk::Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL).expect("the default level exists")
                });
                let start = out.len();
                out.resize(start + zstd::zstd_safe::compress_bound(input.len()), 0);
                let written = compressor
                    .compress_to_buffer(input, &mut out[start..])
                    .expect("the buffer has the size that zstd asks for");
                out.truncate(start + written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bytes: usize) -> Vec<u8> {
        let mut state = 7u32;
        (0..bytes)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at % 7 < 4 { b'a' + (at / 100 % 20) as u8 } else { (state >> 24) as u8 }
            })
            .collect()
    }

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        let mut scratch = Scratch::default();
        let mut compressor = Compressor::default();
        for size in [0, 1, 100, 65_535, 65_536, 65_537, 1_000_000] {
            let data = sample(size);
            for codec in Codec::ALL {
                let mut packed = vec![9, 9];
                compressor.compress(codec, &data, &mut packed);
                assert_eq!(scratch.decompress(codec, &packed[2..]).expect("valid"), data, "{codec} {size}");
            }
        }
    }

    #[test]
    fn output_is_bounded_to_the_byte() {
        let data = vec![0; 100_000];
        for codec in Codec::ALL {
            let mut packed = Vec::new();
            Compressor::default().compress(codec, &data, &mut packed);
            assert_eq!(Scratch::new(100_000).decompress(codec, &packed).expect("fits").len(), 100_000, "{codec}");
            assert_eq!(
                Scratch::new(99_999).decompress(codec, &packed),
                Err(BatchError::TooLarge { limit: 99_999 }),
                "{codec}"
            );
        }
    }

    #[test]
    fn cut_data_is_an_error_or_shorter_and_never_a_panic() {
        let data = sample(200_000);
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut packed = Vec::new();
            Compressor::default().compress(codec, &data, &mut packed);
            let mut scratch = Scratch::default();
            for cut in (0..packed.len()).step_by(packed.len() / 50) {
                if let Ok(out) = scratch.decompress(codec, &packed[..cut]) {
                    assert!(out.len() < data.len(), "{codec} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn noise_is_no_panic() {
        let mut scratch = Scratch::new(1 << 20);
        for seed in 0..300 {
            let noise = sample(seed * 3 + 1);
            let noise = &noise[seed..];
            for codec in Codec::ALL {
                let mut bytes = match codec {
                    Codec::Gzip => vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
                    Codec::Lz4 => vec![0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0],
                    Codec::Zstd => vec![0x28, 0xb5, 0x2f, 0xfd],
                    _ => vec![],
                };
                bytes.extend_from_slice(noise);
                let _ = scratch.decompress(codec, &bytes);
            }
        }
    }
}
