//! lz4 frames over raw blocks, straight into the output buffer.
//!
//! ```text
//! 04 22 4d 18 | FLG | BD | content size u64? | header check u8 | { size u32, top bit = stored | bytes | check u32? }* | 0 u32 | check u32?
//! ```

use lz4_flex::block;

use super::{Failure, Output, invalid};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, independent blocks, 64 KiB a block, and the header check that belongs to it: what the Java clients write and insist on.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK_BYTES: usize = 64 << 10;
const STORED: u32 = 1 << 31;
/// How far back a linked block may refer.
const WINDOW_BYTES: usize = 64 << 10;
/// An lz4 length byte adds at most 255.
const EXPANSION_MAX: usize = 256;

pub(super) fn decompress(input: &[u8], out: &mut Output<'_>) -> Result<(), Failure> {
    let mut rest = input;
    while !rest.is_empty() {
        rest = frame(rest, out)?;
    }
    Ok(())
}

fn take(rest: &[u8], bytes: usize) -> Result<(&[u8], &[u8]), Failure> {
    rest.split_at_checked(bytes).ok_or_else(|| invalid("the frame is cut"))
}

fn number(rest: &[u8]) -> Result<(u32, &[u8]), Failure> {
    let (number, rest) = rest.split_first_chunk::<4>().ok_or_else(|| invalid("the frame is cut"))?;
    Ok((u32::from_le_bytes(*number), rest))
}

/// Reads one frame and gives what stands behind it.
fn frame<'a>(input: &'a [u8], out: &mut Output<'_>) -> Result<&'a [u8], Failure> {
    let (head, rest) = take(input, 6)?;
    if head[..4] != MAGIC {
        return Err(invalid("no lz4 frame"));
    }
    let (flags, descriptor) = (head[4], head[5]);
    if flags >> 6 != 1 {
        return Err(invalid("unknown version of the frame format"));
    }
    if flags & 1 != 0 {
        return Err(invalid("a dictionary is asked for"));
    }
    let linked = flags & 0x20 == 0;
    let block_check = flags & 0x10 != 0;
    let content_size = flags & 0x08 != 0;
    let content_check = flags & 0x04 != 0;
    let block_bytes_max = match descriptor >> 4 & 7 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(invalid("unknown block size")),
    };
    let (_, mut rest) = take(rest, if content_size { 9 } else { 1 })?;
    let frame_start = out.filled;
    loop {
        let (size, behind) = number(rest)?;
        if size == 0 {
            return if content_check { Ok(number(behind)?.1) } else { Ok(behind) };
        }
        let packed_bytes = (size & !STORED) as usize;
        if packed_bytes > block_bytes_max {
            return Err(invalid("a block is larger than its frame allows"));
        }
        let (packed, behind) = take(behind, packed_bytes)?;
        if size & STORED != 0 {
            out.append(packed)?;
        } else {
            unpack(packed, out, block_bytes_max, if linked { Some(frame_start) } else { None })?;
        }
        rest = if block_check { number(behind)?.1 } else { behind };
    }
}

fn unpack(packed: &[u8], out: &mut Output<'_>, block_bytes_max: usize, linked: Option<usize>) -> Result<(), Failure> {
    let most = block_bytes_max.min(packed.len() * EXPANSION_MAX);
    // Near the limit the block gets what is left, and is too large if that does not do.
    let space = out.limit - out.filled;
    let room_bytes = most.min(space);
    out.room(room_bytes)?;
    let (before, room) = out.buffer.split_at_mut(out.filled);
    let room = &mut room[..room_bytes];
    let written = match linked {
        Some(frame_start) => {
            let window = &before[frame_start.max(before.len().saturating_sub(WINDOW_BYTES))..];
            block::decompress_into_with_dict(packed, room, window)
        }
        None => block::decompress_into(packed, room),
    };
    match written {
        Ok(written) => {
            out.filled += written;
            Ok(())
        }
        Err(block::DecompressError::OutputTooSmall { .. }) if room_bytes < most => Err(Failure::TooLarge),
        Err(other) => Err(invalid(other)),
    }
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) {
    begin(out);
    blocks(input, out);
    end(out);
}

pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&HEADER);
}

pub(super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

/// Blocks between [`begin`] and [`end`].
pub(super) fn blocks(input: &[u8], out: &mut Vec<u8>) {
    for chunk in input.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.resize(start + 4 + block::get_maximum_output_size(chunk.len()), 0);
        let written =
            block::compress_into(chunk, &mut out[start + 4..]).expect("the buffer has the size that lz4 asks for");
        let (size, bytes) = if written < chunk.len() {
            (written as u32, written)
        } else {
            out[start + 4..start + 4 + chunk.len()].copy_from_slice(chunk);
            (chunk.len() as u32 | STORED, chunk.len())
        };
        out[start..start + 4].copy_from_slice(&size.to_le_bytes());
        out.truncate(start + 4 + bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

    use super::super::{Codec, Scratch};

    fn text() -> Vec<u8> {
        (0..40_000).flat_map(|n: u32| format!("line {n} of {};", n % 77).into_bytes()).collect()
    }

    #[test]
    fn frames_of_other_writers_are_read() {
        let text = text();
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB] {
                for checks in [false, true] {
                    let info = FrameInfo::new()
                        .block_mode(mode)
                        .block_size(size)
                        .block_checksums(checks)
                        .content_checksum(checks)
                        .content_size(checks.then_some(text.len() as u64));
                    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                    encoder.write_all(&text).expect("memory");
                    let packed = encoder.finish().expect("memory");
                    assert_eq!(Scratch::default().decompress(Codec::Lz4, &packed), Ok(&text[..]));
                }
            }
        }
    }

    #[test]
    fn our_frames_are_read_by_others() {
        let mut packed = Vec::new();
        super::compress(&text(), &mut packed);
        let mut back = Vec::new();
        FrameDecoder::new(&packed[..]).read_to_end(&mut back).expect("a valid frame");
        assert_eq!(back, text());
    }
}
