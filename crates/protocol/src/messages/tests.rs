//! Every message in every version against bytes that Kafka's own Java classes (kafka-clients 4.3.1) wrote from random values
//! (`tests/golden/Golden.java` makes more of them), and against damage done to them.

use std::collections::HashMap;

use bytes::Bytes;

use super::*;
use crate::codec::sample::{Noise, Sample};
use crate::codec::{Field, Reader, Writer};

/// Name of the message, version, bytes.
type Golden = HashMap<(String, i16), Vec<Bytes>>;

fn golden() -> Golden {
    let mut found = Golden::new();
    for line in include_str!("../../tests/golden/messages.txt").lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("name, version, bytes");
        let key = (word().to_owned(), word().parse().expect("a version"));
        let hex = word();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
        found.entry(key).or_default().push(bytes.into());
    }
    found
}

fn write<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.write(&mut writer, version);
    let size = writer.size();
    let bytes = writer.finish().into_bytes();
    assert_eq!(bytes.len(), size);
    bytes
}

fn read<M: Message>(bytes: &Bytes, version: i16) -> Result<M, crate::codec::DecodeError> {
    M::read(&mut Reader::new(bytes), version)
}

fn agrees_with_java<M: Message>(golden: &Golden) {
    for version in M::VERSIONS {
        let all = golden
            .get(&(M::NAME.to_owned(), version))
            .unwrap_or_else(|| panic!("no golden bytes of {} version {version}", M::NAME));
        for bytes in all {
            let message: M = read(bytes, version).unwrap_or_else(|error| panic!("{} {version}: {error}", M::NAME));
            assert_eq!(write(&message, version), bytes, "{} {version}: {message:#?}", M::NAME);
        }
    }
    for outside in [M::VERSIONS.start() - 1, M::VERSIONS.end() + 1] {
        assert!(read::<M>(&Bytes::from_static(&[0; 64]), outside).is_err());
    }
}

#[test]
fn every_version_of_every_message_is_read_and_written_as_kafka_does() {
    let golden = golden();
    macro_rules! both {
        ($request:ty, $response:ty) => {
            agrees_with_java::<$request>(&golden);
            agrees_with_java::<$response>(&golden);
        };
    }
    for_each_api!(both);
}

#[test]
fn the_default_of_every_message_comes_back() {
    fn one<M: Message>() {
        for version in M::VERSIONS {
            let bytes = write(&M::default(), version);
            let back: M = read(&bytes, version).unwrap_or_else(|error| panic!("{} {version}: {error}", M::NAME));
            assert_eq!(write(&back, version), bytes, "{} {version}", M::NAME);
        }
    }
    macro_rules! both {
        ($request:ty, $response:ty) => {
            one::<$request>();
            one::<$response>();
        };
    }
    for_each_api!(both);
}

#[test]
fn what_is_written_is_read_as_it_was() {
    fn one<M: Message + Sample>(noise: &mut Noise) {
        for version in M::VERSIONS {
            let field = Field { version, flexible: version >= M::FLEXIBLE_SINCE, nullable: false };
            for _ in 0..20 {
                let message = M::sample(noise, field);
                let bytes = write(&message, version);
                let back: M = read(&bytes, version).unwrap_or_else(|error| panic!("{} {version}: {error}", M::NAME));
                assert_eq!(back, message, "{} {version}", M::NAME);
            }
        }
    }
    let mut noise = Noise(7);
    macro_rules! both {
        ($request:ty, $response:ty) => {
            one::<$request>(&mut noise);
            one::<$response>(&mut noise);
        };
    }
    for_each_api!(both);
}

fn survives_damage<M: Message>(golden: &Golden, noise: &mut Noise) {
    for version in M::VERSIONS {
        for bytes in &golden[&(M::NAME.to_owned(), version)] {
            for cut in 0..bytes.len() {
                // A cut message is never a message: nothing follows the last field.
                assert!(read::<M>(&bytes.slice(..cut), version).is_err(), "{} {version} cut at {cut}", M::NAME);
            }
            for _ in 0..40 {
                let mut damaged = bytes.to_vec();
                for _ in 0..=noise.below(3) {
                    if damaged.is_empty() {
                        break;
                    }
                    let at = noise.below(damaged.len());
                    damaged[at] = [0, 1, 0x7f, 0x80, 0xff, noise.next() as u8][noise.below(6)];
                }
                // What is still a message is written and read back the same.
                if let Ok(message) = read::<M>(&damaged.into(), version) {
                    let once = write(&message, version);
                    let again: M = read(&once, version).expect("our own bytes");
                    assert_eq!(write(&again, version), once);
                }
            }
        }
        for length in 0..40 {
            let bytes: Bytes = (0..length * 3).map(|_| [0, 1, 2, 0xff, noise.next() as u8][noise.below(5)]).collect();
            let _ = read::<M>(&bytes, version);
        }
    }
}

#[test]
fn damaged_messages_are_errors_and_never_panics() {
    let golden = golden();
    let mut noise = Noise(1);
    macro_rules! both {
        ($request:ty, $response:ty) => {
            survives_damage::<$request>(&golden, &mut noise);
            survives_damage::<$response>(&golden, &mut noise);
        };
    }
    for_each_api!(both);
}

#[test]
fn a_count_is_held_against_the_bytes_and_the_memory_it_would_take() {
    // Two billion topics stated by five bytes.
    let huge = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0]);
    assert!(matches!(
        read::<MetadataRequest>(&huge, 12).expect_err("a lie").kind,
        crate::codec::DecodeErrorKind::Length { .. }
    ));
    // A megabyte of empty groups, a hundred bytes and more each in memory.
    let mut many = vec![0x80, 0x80, 0x40];
    many.resize(1 << 20 | 16, 0);
    let error = read::<DescribeGroupsResponse>(&many.into(), 5).expect_err("refused");
    assert!(!error.to_string().is_empty());
}

#[test]
fn texts_stay_within_what_every_version_can_carry() {
    let long = ApiVersionsRequest { client_software_name: "é".repeat(40_000), ..Default::default() };
    let back: ApiVersionsRequest = read(&write(&long, 3), 3).expect("cut where a character ends");
    assert_eq!(back.client_software_name.len(), 32_766);
    // A compact length of 40,000 with that many bytes behind it.
    let mut bytes = vec![0xc1, 0xb8, 0x02];
    bytes.resize(50_000, b'x');
    assert!(read::<ApiVersionsRequest>(&bytes.into(), 3).is_err());
}

#[test]
fn an_error_names_its_field() {
    let error = read::<MetadataRequest>(&Bytes::from_static(&[0, 0, 0, 1, 0, 9, b'x']), 4).expect_err("cut");
    assert_eq!(error.field, Some(("MetadataRequestTopic", "name")));
}

#[test]
fn the_table_is_in_order_and_agrees_with_the_keys() {
    assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
    for api in APIS {
        assert_eq!(api_info(api.key), Some(api));
        assert_eq!(ApiKey::from_code(api.key.code()), Some(api.key));
    }
    assert_eq!(api_info(ApiKey::Vote), None);
}

#[test]
fn records_share_the_frames_memory_in_both_directions() {
    let records = Bytes::from(vec![7; 10_000]);
    let request = ProduceRequest {
        topic_data: vec![produce::TopicProduceData {
            name: "t".into(),
            partition_data: vec![produce::PartitionProduceData { index: 0, records: Some(records.clone()) }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut writer = Writer::new();
    request.write(&mut writer, 9);
    let frame = writer.finish();
    assert!(frame.pieces().iter().any(|piece| piece.as_ptr() == records.as_ptr()));
    let bytes = frame.into_bytes();
    let back: ProduceRequest = read(&bytes, 9).expect("our own bytes");
    let inside = back.topic_data[0].partition_data[0].records.clone().expect("records");
    assert_eq!(inside, records);
    assert!(bytes.as_ptr_range().contains(&inside.as_ptr()));
}
