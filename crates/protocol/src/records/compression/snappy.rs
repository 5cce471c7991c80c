//! snappy in both forms that producers write: one raw block, and the blocks of snappy-java.
//!
//! ```text
//! 0x82 "SNAPPY" 0 | version i32 | compatible version i32 | { length i32 | raw block }*
//! ```

use super::{Failure, Output, invalid};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_BYTES: usize = 16;
const BLOCK_BYTES: usize = 32 << 10;
/// The best a snappy copy element does is 64 bytes out of 3, so a block that states more is a lie.
const EXPANSION_MAX: usize = 22;

pub(super) fn decompress(decoder: &mut snap::raw::Decoder, input: &[u8], out: &mut Output<'_>) -> Result<(), Failure> {
    if !input.starts_with(&MAGIC) {
        return block(decoder, input, out);
    }
    let mut rest = input;
    loop {
        // Streams may stand one after another, each with its header.
        while rest.starts_with(&MAGIC) {
            rest = rest.get(HEADER_BYTES..).ok_or_else(|| invalid("the header is cut"))?;
        }
        let Some((length, behind)) = rest.split_first_chunk::<4>() else {
            return if rest.is_empty() { Ok(()) } else { Err(invalid("a block's length is cut")) };
        };
        let length = u32::from_be_bytes(*length) as usize;
        let (packed, behind) =
            behind.split_at_checked(length).ok_or_else(|| invalid("a block is longer than the data"))?;
        block(decoder, packed, out)?;
        rest = behind;
    }
}

fn block(decoder: &mut snap::raw::Decoder, packed: &[u8], out: &mut Output<'_>) -> Result<(), Failure> {
    let stated = snap::raw::decompress_len(packed).map_err(invalid)?;
    if stated > packed.len().saturating_mul(EXPANSION_MAX) {
        return Err(invalid("a block states more bytes than it can hold"));
    }
    let room = out.room(stated)?;
    let written = decoder.decompress(packed, &mut room[..stated]).map_err(invalid)?;
    out.filled += written;
    Ok(())
}

pub(super) fn compress(encoder: &mut snap::raw::Encoder, input: &[u8], out: &mut Vec<u8>) {
    begin(out);
    blocks(encoder, input, out);
}

pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
}

/// Blocks behind [`begin`].
pub(super) fn blocks(encoder: &mut snap::raw::Encoder, input: &[u8], out: &mut Vec<u8>) {
    for chunk in input.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.resize(start + 4 + snap::raw::max_compress_len(chunk.len()), 0);
        let written =
            encoder.compress(chunk, &mut out[start + 4..]).expect("the buffer has the size that snappy asks for");
        out[start..start + 4].copy_from_slice(&(written as u32).to_be_bytes());
        out.truncate(start + 4 + written);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, Scratch};

    #[test]
    fn a_raw_block_is_read() {
        let packed = snap::raw::Encoder::new().compress_vec(b"raw raw raw raw").expect("compresses");
        assert_eq!(Scratch::default().decompress(Codec::Snappy, &packed), Ok(&b"raw raw raw raw"[..]));
    }

    #[test]
    fn two_streams_in_a_row_are_read() {
        let mut packed = Vec::new();
        super::compress(&mut snap::raw::Encoder::new(), b"one,", &mut packed);
        super::compress(&mut snap::raw::Encoder::new(), b"two", &mut packed);
        assert_eq!(Scratch::default().decompress(Codec::Snappy, &packed), Ok(&b"one,two"[..]));
    }

    #[test]
    fn a_stated_size_alone_reserves_nothing() {
        // 4 GiB - 1 stated by six bytes.
        let mut scratch = Scratch::new(usize::MAX);
        assert!(scratch.decompress(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).is_err());
        assert_eq!(scratch.buffer_bytes(), 0);
    }
}
