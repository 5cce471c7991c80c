use proptest::prelude::*;

use super::header::{ATTRIBUTES_AT, CRC_AT, LAST_OFFSET_DELTA_AT, RECORD_COUNT_AT};
use super::*;

type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn build(codec: Codec, records: &[Owned]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    push_all(&mut builder, records);
    builder.finish().expect("records").to_vec()
}

fn push_all(builder: &mut BatchBuilder, records: &[Owned]) {
    for (timestamp, key, value, headers) in records {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let before = builder.size();
        builder.push(*timestamp, key.as_deref(), value.as_deref(), &headers);
        assert!(
            builder.size() - before <= BatchBuilder::record_size_max(key.as_deref(), value.as_deref(), &headers),
            "the stated bound holds"
        );
    }
}

fn read(batch: &[u8]) -> Vec<Owned> {
    let mut scratch = Scratch::default();
    decode_batch(batch, &mut scratch)
        .expect("a valid batch")
        .map(|record| record.expect("a valid record"))
        .map(|record| {
            let headers = record.headers.map(|header| header.expect("a valid header"));
            (
                record.timestamp,
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
            )
        })
        .collect()
}

/// Makes the CRC right again, as a hostile client would.
fn seal(batch: &mut [u8]) {
    let crc = header::crc(batch);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

fn bytes(max: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..max))
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let headers = proptest::collection::vec(("[a-zé]{0,9}", bytes(20)), 0..4);
    proptest::collection::vec((any::<i64>(), bytes(40), bytes(300), headers), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_built_is_read_and_valid(records in records(), codec in 0usize..5) {
        let batch = build(Codec::ALL[codec], &records);
        let ranges = validate(&batch).expect("valid");
        prop_assert_eq!(ranges.len(), 1);
        prop_assert_eq!(ranges[0].range.clone(), 0..batch.len());
        prop_assert_eq!(ranges[0].header.record_count as usize, records.len());
        prop_assert_eq!(ranges[0].header.max_timestamp, records.iter().map(|r| r.0).max().expect("one"));
        prop_assert_eq!(read(&batch), records);
    }

    #[test]
    fn damaged_bytes_never_panic(records in records(), codec in 0usize..5, at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut batch = build(Codec::ALL[codec], &records);
        let at = at.index(batch.len());
        batch[at] = batch[at].wrapping_add(with);
        seal(&mut batch);
        let cut = cut.index(batch.len() + 1);
        for bytes in [&batch[..], &batch[..cut]] {
            let _ = validate(bytes);
            let mut scratch = Scratch::new(1 << 20);
            if let Ok(records) = decode_batch(bytes, &mut scratch) {
                for record in records.flatten() {
                    let _ = record.headers.count();
                }
            }
        }
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = validate(&noise);
        let _ = batches(&noise).count();
        let mut framed = noise.clone();
        if framed.len() >= HEADER_BYTES {
            framed[16] = 2;
            let length = (framed.len() - LENGTH_OVERHEAD_BYTES) as i32;
            framed[8..12].copy_from_slice(&length.to_be_bytes());
            seal(&mut framed);
            let _ = validate(&framed);
            let mut scratch = Scratch::new(1 << 20);
            if let Ok(records) = decode_batch(&framed, &mut scratch) {
                prop_assert!(records.size_hint().0 <= 1 << 20);
                let _ = records.count();
            }
        }
    }
}

fn sample(codec: Codec) -> Vec<u8> {
    let record = |n: i64| (1000 + n, Some(vec![b'k'; 3]), Some(vec![b'v'; 10]), vec![]);
    build(codec, &(0..5).map(record).collect::<Vec<_>>())
}

#[test]
fn the_bytes_are_kafkas() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.set_producer(ProducerStamp { producer_id: 1, producer_epoch: 2, base_sequence: 3 });
    builder.push(1_600_000_000_000, Some(b"k"), Some(b"hello"), &[("h", Some(b"x"))]);
    builder.push(1_600_000_000_005, None, None, &[]);
    let batch = builder.finish().expect("records");
    let hex: String = batch.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written by org.apache.kafka.common.record.MemoryRecordsBuilder 4.3.1 for the same records.
    assert_eq!(hex, include_str!("golden/two_records.hex").trim());
}

#[test]
fn offsets_and_leader_epoch_are_patched_outside_the_crc() {
    let mut batch = sample(Codec::Lz4);
    set_base_offset(&mut batch, 77);
    set_partition_leader_epoch(&mut batch, 5);
    let header = check(&batch).expect("still valid");
    assert_eq!((header.base_offset, header.partition_leader_epoch, header.next_offset()), (77, 5, 82));
    let mut scratch = Scratch::default();
    let offsets: Vec<_> =
        decode_batch(&batch, &mut scratch).expect("valid").map(|r| r.expect("valid").offset).collect();
    assert_eq!(offsets, [77, 78, 79, 80, 81]);
}

#[test]
fn the_logs_time_stamp_counts_for_every_record() {
    let mut batch = sample(Codec::Zstd);
    set_log_append_time(&mut batch, 123_456);
    assert!(check(&batch).expect("the CRC is renewed").is_log_append_time());
    assert!(read(&batch).iter().all(|record| record.0 == 123_456));
}

#[test]
fn several_batches_are_walked_and_a_cut_one_is_told() {
    let mut payload = sample(Codec::None);
    let first = payload.len();
    payload.extend(sample(Codec::Gzip));
    let ranges = validate(&payload).expect("valid");
    assert_eq!(ranges.iter().map(|batch| batch.range.clone()).collect::<Vec<_>>(), [0..first, first..payload.len()]);
    payload.pop();
    let mut walk = batches(&payload);
    assert!(walk.next().expect("a batch").is_ok());
    assert!(matches!(walk.next(), Some(Err(BatchError::Truncated { .. }))));
    assert_eq!(walk.position(), first);
    assert!(walk.next().is_none());
}

#[test]
fn nothing_is_a_payload_of_no_batches() {
    assert_eq!(validate(&[]), Ok(vec![]));
}

#[test]
fn each_lie_is_told_by_its_name() {
    let lie = |at: usize, bytes: &[u8]| {
        let mut batch = sample(Codec::None);
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut batch);
        validate(&batch).expect_err("a lie")
    };
    assert!(matches!(lie(16, &[1]), BatchError::Magic(1)));
    assert!(matches!(lie(8, &10i32.to_be_bytes()), BatchError::Length(10)));
    assert!(matches!(lie(8, &(-5i32).to_be_bytes()), BatchError::Length(-5)));
    assert!(matches!(lie(8, &i32::MAX.to_be_bytes()), BatchError::Truncated { .. }));
    assert!(matches!(lie(RECORD_COUNT_AT, &6i32.to_be_bytes()), BatchError::Count { .. }));
    assert!(matches!(lie(LAST_OFFSET_DELTA_AT, &9i32.to_be_bytes()), BatchError::Count { .. }));
    assert!(matches!(lie(ATTRIBUTES_AT, &7i16.to_be_bytes()), BatchError::Codec(7)));
    assert!(matches!(lie(ATTRIBUTES_AT, &0x20i16.to_be_bytes()), BatchError::Control));
    assert!(matches!(lie(ATTRIBUTES_AT, &0x10i16.to_be_bytes()), BatchError::Producer { .. }));
    assert!(matches!(lie(43, &5i64.to_be_bytes()), BatchError::Producer { .. }));
    // The second record's offset delta.
    assert!(matches!(lie(HEADER_BYTES + 21 + 3, &[8]), BatchError::Record { index: 1, .. }));
    let mut torn = sample(Codec::None);
    torn[70] ^= 1;
    assert!(matches!(validate(&torn), Err(BatchError::Crc { .. })));
}

#[test]
fn sequence_numbers_wrap_to_zero() {
    let mut header = check(&sample(Codec::None)).expect("valid");
    header.base_sequence = i32::MAX - 1;
    assert_eq!(header.last_sequence(), 2);
    header.base_sequence = 10;
    assert_eq!(header.last_sequence(), 14);
}

#[test]
fn a_builder_is_empty_after_its_batch() {
    let mut builder = BatchBuilder::new(Codec::Snappy);
    for round in 0..3 {
        assert!(builder.finish().is_none());
        builder.push(round, None, Some(b"x"), &[]);
        let batch = builder.finish().expect("one record");
        assert_eq!(read(&batch), [(round, None, Some(b"x".to_vec()), vec![])]);
        assert_eq!(check(&batch).expect("valid").producer_id, -1);
    }
}
