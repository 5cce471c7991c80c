//! A batch with its records under another codec, for topics that ask for one (`compression.type`).

use bytes::Bytes;

use super::compression::Compressor;
use super::header::{CODEC_MASK, CRC_AT};
use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, Scratch, decode, header};

/// The whole batch in `batch`, compressed with `codec`. All else stays: offsets, time stamps, producer. The records are opened, so each is held
/// against the header. `scratch` says how much it may unpack to.
///
/// # Errors
/// What is wrong with the batch.
pub fn recompress(batch: &[u8], codec: Codec, scratch: &mut Scratch) -> Result<Bytes, BatchError> {
    let header = super::check(batch)?;
    let body = &batch[HEADER_BYTES..header.size()];
    let body = match header.codec()? {
        Codec::None => body,
        from => scratch.decompress(from, body)?,
    };
    decode::check_records(&header, body)?;
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.resize(HEADER_BYTES, 0);
    match codec {
        Codec::None => out.extend_from_slice(body),
        codec => Compressor::default().compress(codec, body, &mut out),
    }
    let limit = i32::MAX as usize;
    let changed = BatchHeader {
        length: i32::try_from(out.len() - LENGTH_OVERHEAD_BYTES).map_err(|_| BatchError::TooLarge { limit })?,
        attributes: header.attributes & !CODEC_MASK | codec.bits(),
        ..header
    };
    let mut bytes = [0; HEADER_BYTES];
    changed.write(&mut bytes);
    out[..HEADER_BYTES].copy_from_slice(&bytes);
    let crc = header::crc(&out);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, ProducerStamp, decode_batch};

    #[test]
    fn records_are_the_same_under_every_codec() {
        for from in Codec::ALL {
            let mut builder = BatchBuilder::new(from).transactional(true);
            for i in 0..50 {
                builder.push(1000 + i, Some(b"key"), (i % 3 > 0).then_some(b"value"), &[("name", Some(b"x"))]);
            }
            builder.set_producer(ProducerStamp { producer_id: 7, producer_epoch: 2, base_sequence: 9 });
            let batch = builder.finish().expect("there are records");
            for to in Codec::ALL {
                let changed = recompress(&batch, to, &mut Scratch::default()).expect("a good batch");
                let (before, after) = (
                    BatchHeader::read(&batch).expect("a good batch"),
                    BatchHeader::read(&changed).expect("a good batch"),
                );
                assert_eq!(after.codec(), Ok(to));
                assert_eq!((before.producer_id, before.base_sequence), (after.producer_id, after.base_sequence));
                assert!(after.is_transactional());
                let (mut one, mut other) = (Scratch::default(), Scratch::default());
                let one = decode_batch(&batch, &mut one).expect("a good batch").map(|record| format!("{record:?}"));
                let other =
                    decode_batch(&changed, &mut other).expect("a good batch").map(|record| format!("{record:?}"));
                assert!(one.eq(other), "{from:?} to {to:?}");
            }
        }
    }
}
