//! A batch with some of its records, as compaction leaves it: offsets, sequence numbers and codec stay. A batch that keeps a tombstone gets
//! a delete horizon (KIP-534): the time from which on the tombstone may go, too.

use bytes::Bytes;

use super::compression::PieceCompressor;
use super::header::{CODEC_MASK, CRC_AT, DELETE_HORIZON_BIT};
use super::{BatchError, BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, Record, Scratch, decode_checked};
use super::{header, varint};

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retained {
    /// All of it, as it was.
    Same,
    /// Some of it, or all with a delete horizon.
    Changed(Bytes),
    /// No record.
    Nothing,
}

/// The records of the whole batch in `batch` for which `keep` holds. If a tombstone is among them, or a transaction marker, and the batch has
/// no delete horizon yet, it gets `delete_horizon_ms`.
///
/// In memory are the batch as it was sent, what it is decompressed, what becomes of it, and a bit per record.
///
/// # Errors
/// What is wrong with the batch.
pub fn retain(
    batch: &[u8],
    scratch: &mut Scratch,
    delete_horizon_ms: i64,
    mut keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Retained, BatchError> {
    let head = super::check(batch)?;
    let codec = head.codec()?;
    let records = decode_checked(&head, batch, scratch)?;
    // Which records stay, a bit each.
    let mut kept: Vec<u64> = Vec::new();
    let (mut count, mut kept_count, mut tombstones, mut max_timestamp) = (0, 0, false, None);
    for record in records.clone() {
        let record = record?;
        let keeps = keep(&record);
        if count % 64 == 0 {
            kept.push(0);
        }
        if keeps && let Some(bits) = kept.last_mut() {
            *bits |= 1 << (count % 64);
            kept_count += 1;
            tombstones |= record.value.is_none();
            max_timestamp = max_timestamp.max(Some(record.timestamp));
        }
        count += 1;
    }
    if kept_count == 0 {
        return Ok(Retained::Nothing);
    }
    let gets_horizon = (head.is_control() || tombstones) && head.delete_horizon_ms().is_none();
    if kept_count == count && !gets_horizon {
        return Ok(Retained::Same);
    }
    let mut changed = BatchHeader { record_count: kept_count, ..head };
    if gets_horizon {
        changed.attributes |= DELETE_HORIZON_BIT;
        changed.base_timestamp = delete_horizon_ms;
    }
    if !head.is_log_append_time() {
        changed.max_timestamp = max_timestamp.unwrap_or(head.max_timestamp);
    }
    let mut pieces = PieceCompressor::new(codec, vec![0; HEADER_BYTES]);
    let mut fields = Vec::new();
    for (number, record) in records.enumerate() {
        let record = record?;
        if kept[number / 64] & 1 << (number % 64) != 0 {
            write(&mut pieces, &mut fields, &record, &changed);
        }
    }
    let mut out = pieces.finish();
    let limit = i32::MAX as usize;
    changed.length = i32::try_from(out.len() - LENGTH_OVERHEAD_BYTES).map_err(|_| BatchError::TooLarge { limit })?;
    changed.attributes = changed.attributes & !CODEC_MASK | codec.bits();
    let mut bytes = [0; HEADER_BYTES];
    changed.write(&mut bytes);
    out[..HEADER_BYTES].copy_from_slice(&bytes);
    let crc = header::crc(&out);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    Ok(Retained::Changed(out.into()))
}

/// Writes a record; `fields` is memory for the numbers between what it holds.
fn write(out: &mut PieceCompressor, fields: &mut Vec<u8>, record: &Record<'_>, head: &BatchHeader) {
    let timestamp_delta = record.timestamp.wrapping_sub(head.base_timestamp);
    let offset_delta = record.offset - head.base_offset;
    let headers = record.headers.bytes();
    let slice = |slice: Option<&[u8]>| slice.map_or(1, |slice| varint::size(slice.len() as i64) + slice.len());
    let size = 1
        + varint::size(timestamp_delta)
        + varint::size(offset_delta)
        + slice(record.key)
        + slice(record.value)
        + varint::size(record.headers.count() as i64)
        + headers.len();
    fields.clear();
    varint::write(fields, size as i64);
    fields.push(0);
    varint::write(fields, timestamp_delta);
    varint::write(fields, offset_delta);
    for slice in [record.key, record.value] {
        varint::write(fields, slice.map_or(-1, |slice| slice.len() as i64));
        out.push(fields);
        fields.clear();
        out.push(slice.unwrap_or_default());
    }
    varint::write(fields, record.headers.count() as i64);
    out.push(fields);
    out.push(headers);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, Codec, EndMarker, ProducerStamp, decode_batch};

    fn batch(codec: Codec) -> Bytes {
        let mut builder = BatchBuilder::new(codec).transactional(true);
        for i in 0..20 {
            let key = format!("k{i}");
            builder.push(
                1000 + i,
                Some(key.as_bytes()),
                (i != 7).then_some(b"value"),
                &[("name", Some(b"x")), ("n", None)],
            );
        }
        builder.set_producer(ProducerStamp { producer_id: 7, producer_epoch: 2, base_sequence: 9 });
        let mut batch = builder.finish().expect("there are records").to_vec();
        header::set_base_offset(&mut batch, 500);
        batch.into()
    }

    fn described(batch: &[u8], keep: impl Fn(i64) -> bool) -> Vec<String> {
        let mut scratch = Scratch::default();
        let records = decode_batch(batch, &mut scratch).expect("a good batch").map(|record| record.expect("a record"));
        let describe = |record: Record<'_>| format!("{record:?} {:?}", record.headers.collect::<Vec<_>>());
        records.filter(|record| keep(record.offset)).map(describe).collect()
    }

    #[test]
    fn what_is_kept_is_as_it_was_under_every_codec() {
        for codec in Codec::ALL {
            let batch = batch(codec);
            let keep = |offset: i64| offset % 3 == 0 || offset == 507;
            let retained = retain(&batch, &mut Scratch::default(), 99_000, |record| keep(record.offset));
            let Ok(Retained::Changed(changed)) = retained else { panic!("{retained:?}") };
            assert_eq!(described(&changed, |_| true), described(&batch, keep), "{codec:?}");
            let (before, after) =
                (BatchHeader::read(&batch).expect("a good batch"), BatchHeader::read(&changed).expect("a good batch"));
            assert_eq!(after.delete_horizon_ms(), Some(99_000), "it has a tombstone");
            let offsets = |head: &BatchHeader| (head.base_offset, head.next_offset(), head.last_sequence());
            assert_eq!(offsets(&before), offsets(&after));
            assert_eq!((after.codec(), after.producer_id, after.max_timestamp), (Ok(codec), 7, 1019));
            // Once it has a horizon, that stays.
            let again = retain(&changed, &mut Scratch::default(), 1, |_| true);
            assert_eq!(again, Ok(Retained::Same));
        }
    }

    #[test]
    fn a_large_batch_is_written_piece_by_piece() {
        for codec in Codec::ALL {
            let mut builder = BatchBuilder::new(codec);
            for i in 0..5000 {
                let value = format!("{i}").repeat(if i == 2500 { 60_000 } else { 20 });
                builder.push(i, Some(&i.to_le_bytes()), (i % 5 != 0).then_some(value.as_bytes()), &[("h", None)]);
            }
            let batch = builder.finish().expect("there are records");
            let keep = |offset: i64| offset % 2 == 0;
            let retained = retain(&batch, &mut Scratch::default(), 1 << 40, |record| keep(record.offset));
            let Ok(Retained::Changed(changed)) = retained else { panic!("{codec}") };
            assert_eq!(described(&changed, |_| true), described(&batch, keep), "{codec}");
        }
    }

    #[test]
    fn all_nothing_and_a_marker() {
        let batch = batch(Codec::None);
        assert_eq!(retain(&batch, &mut Scratch::default(), 1, |_| false), Ok(Retained::Nothing));
        let some = retain(&batch, &mut Scratch::default(), 1, |record| record.value.is_some());
        let Ok(Retained::Changed(some)) = some else { panic!("{some:?}") };
        assert_eq!(BatchHeader::read(&some).expect("a good batch").delete_horizon_ms(), None);
        assert_eq!(retain(&some, &mut Scratch::default(), 1, |_| true), Ok(Retained::Same));
        let marker = EndMarker { producer_id: 1, producer_epoch: 0, committed: false, coordinator_epoch: 3 };
        let Ok(Retained::Changed(changed)) = retain(&marker.batch(50), &mut Scratch::default(), 70, |_| true) else {
            panic!("it gets a horizon")
        };
        assert_eq!(EndMarker::read(&changed), Ok(Some(marker)));
        assert_eq!(BatchHeader::read(&changed).expect("a good batch").delete_horizon_ms(), Some(70));
    }
}
