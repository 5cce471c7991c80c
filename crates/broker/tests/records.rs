//! Produce, Fetch and ListOffsets over a socket.

mod common;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use common::*;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_protocol::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use millstream_protocol::messages::*;
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp, batches};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_produced_is_fetched_with_every_acks() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    for (acks, base_offset) in [(-1, 0), (1, 2)] {
        let answer = client.produce("t", acks, batch(&["a", "b"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::None, base_offset));
    }
    // Nobody waits for an answer to acks=0; the next answer is the fetch's.
    client.send(9, &produce_request("t", 0, batch(&["c"]))).await;
    let mut seen = client.fetch("t", 0, 1000).await.expect("there are records");
    while seen.len() < 5 {
        seen = client.fetch("t", 0, 1000).await.expect("there are records");
    }
    let expected =
        [(0, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "c")].map(|(offset, value)| (offset, value.to_string()));
    assert_eq!(seen, expected);
    let stats = &server.broker.topic_stats()[0];
    assert_eq!((stats.name.as_str(), stats.records_in, stats.records), ("t", 5, 5));
    assert!(stats.records_out >= 5 && stats.bytes_out > 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_wrong_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[("max.message.bytes", "200")]).await;
    let mut damaged = BytesMut::from(batch(&["a"]));
    *damaged.last_mut().expect("it has bytes") ^= 1;
    let two = [batch(&["a"]), batch(&["b"])].concat();
    let long = "x".repeat(300);
    for (what, topic, acks, bytes, code) in [
        ("a wrong CRC", "t", -1, damaged.freeze(), ErrorCode::CorruptMessage),
        ("two batches", "t", -1, two.into(), ErrorCode::InvalidRecord),
        ("nothing", "t", -1, Bytes::new(), ErrorCode::InvalidRecord),
        ("too large", "t", -1, batch(&[&long]), ErrorCode::MessageTooLarge),
        ("cut off", "t", -1, batch(&["a"]).slice(..60), ErrorCode::CorruptMessage),
        ("unknown acks", "t", 7, batch(&["a"]), ErrorCode::InvalidRequiredAcks),
        ("unknown topic", "nowhere", -1, batch(&["a"]), ErrorCode::UnknownTopicOrPartition),
        ("internal topic", "__metadata", -1, batch(&["a"]), ErrorCode::InvalidTopic),
    ] {
        let answer = client.produce(topic, acks, bytes).await;
        assert_eq!((answer.error_code, answer.base_offset), (code, -1), "{what}");
        assert!(answer.error_message.is_some(), "{what}");
    }
    assert_eq!(client.fetch("t", 0, 0).await, Ok(vec![]), "nothing of it is there");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_producers_repeats_are_told_from_its_gaps() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    let producer_id = client.call(4, InitProducerIdRequest::default()).await.producer_id;
    let other = client.call(4, InitProducerIdRequest::default()).await.producer_id;
    assert_ne!(producer_id, other);
    let of = |base_sequence, producer_epoch| {
        stamped(&["a", "b"], Some(ProducerStamp { producer_id, producer_epoch, base_sequence }))
    };
    for (batch, code, base_offset) in [
        (of(0, 0), ErrorCode::None, 0),
        (of(2, 0), ErrorCode::None, 2),
        (of(0, 0), ErrorCode::None, 0),
        (of(2, 0), ErrorCode::None, 2),
        (of(7, 0), ErrorCode::OutOfOrderSequenceNumber, -1),
        (of(0, 1), ErrorCode::None, 4),
        (of(4, 0), ErrorCode::InvalidProducerEpoch, -1),
    ] {
        let answer = client.produce("t", -1, batch).await;
        assert_eq!((answer.error_code, answer.base_offset), (code, base_offset));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_produces_are_answered_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    let mut sent = Vec::new();
    for index in 0..200 {
        sent.push(client.send(9, &produce_request("t", -1, batch(&[&index.to_string()]))).await);
    }
    for (index, id) in sent.into_iter().enumerate() {
        let (of, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(of, id);
        assert_eq!(response.responses[0].partition_responses[0].base_offset, index as i64);
    }
    let seen = client.fetch("t", 0, 0).await.expect("there are records");
    assert!(seen.iter().enumerate().all(|(index, (_, value))| *value == index.to_string()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_waits_for_records_and_no_longer() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let (mut reader, mut writer) = (server.connect().await, server.connect().await);
    reader.metadata(Some(&["t"])).await;
    let began = Instant::now();
    assert_eq!(reader.fetch("t", 0, 150).await, Ok(vec![]));
    assert!(began.elapsed() >= Duration::from_millis(140));
    let began = Instant::now();
    reader.send(11, &fetch_request("t", 0, 20_000)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    writer.produce("t", -1, batch(&["a"])).await;
    let (_, response) = reader.receive::<FetchRequest>(11).await;
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
    assert!(began.elapsed() < Duration::from_secs(5));
    // A fetch that waits does not hold up the end of the broker.
    reader.send(11, &fetch_request("t", 1, 20_000)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_gives_a_large_batch_whole_and_bounds_the_rest() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    let large = "x".repeat(10_000);
    for _ in 0..3 {
        client.produce("t", -1, batch(&[&large])).await;
    }
    let mut request = fetch_request("t", 0, 0);
    request.max_bytes = 100;
    let response = client.call(11, request.clone()).await;
    let records = response.responses[0].partitions[0].records.clone().expect("records");
    assert_eq!(values(&records).len(), 1, "one batch, though larger than asked for");
    request.max_bytes = 25_000;
    let response = client.call(11, request).await;
    let records = response.responses[0].partitions[0].records.clone().expect("records");
    assert_eq!(values(&records).len(), 2);
    assert_eq!(client.fetch("t", 4, 0).await, Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(client.fetch("t", -1, 0).await, Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(client.fetch("nowhere", 0, 0).await, Err(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(client.fetch("__consumer_offsets", 0, 0).await, Err(ErrorCode::UnknownTopicOrPartition));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_ids_work_where_versions_have_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    let id = client.metadata(Some(&["t"])).await.topics[0].topic_id;
    assert!(!id.is_nil());
    let mut produce = produce_request("", -1, batch(&["a"]));
    produce.topic_data[0].topic_id = id;
    let response = client.call(13, produce.clone()).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::None);
    let mut fetch = fetch_request("", 0, 0);
    fetch.topics[0].topic_id = id;
    let response = client.call(18, fetch.clone()).await;
    assert_eq!(response.responses[0].topic_id, id);
    assert_eq!(values(response.responses[0].partitions[0].records.as_ref().expect("records")).len(), 1);
    let unknown = uuid::Uuid::from_u128(7);
    produce.topic_data[0].topic_id = unknown;
    fetch.topics[0].topic_id = unknown;
    let response = client.call(13, produce).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::UnknownTopicId);
    let response = client.call(18, fetch).await;
    assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time_and_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    client.produce("t", -1, batch(&["a", "b", "c"])).await;
    for (timestamp, code, offset) in [
        (-1, ErrorCode::None, 3),
        (-2, ErrorCode::None, 0),
        (-3, ErrorCode::None, 2),
        (-4, ErrorCode::None, 0),
        (-5, ErrorCode::None, -1),
        (0, ErrorCode::None, 0),
        (1_001, ErrorCode::None, 1),
        (2_000, ErrorCode::None, -1),
        (-77, ErrorCode::UnsupportedVersion, -1),
    ] {
        let partitions = vec![ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() }];
        let topics = vec![ListOffsetsTopic { name: "t".into(), partitions }];
        let response = client.call(9, ListOffsetsRequest { topics, ..ListOffsetsRequest::default() }).await;
        let found = &response.topics[0].partitions[0];
        assert_eq!((found.error_code, found.offset), (code, offset), "{timestamp}");
    }
    let partitions = vec![OffsetForLeaderPartition::default()];
    let topics = vec![OffsetForLeaderTopic { topic: "t".into(), partitions }];
    let request = OffsetForLeaderEpochRequest { topics, ..OffsetForLeaderEpochRequest::default() };
    let response = client.call(4, request).await;
    assert_eq!(response.topics[0].partitions[0].end_offset, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_stores_batches_with_the_codec_it_asks_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    let codecs = ["uncompressed", "gzip", "snappy", "lz4", "zstd"];
    for (name, codec) in codecs.into_iter().zip(Codec::ALL) {
        client.create(name, 1, &[("compression.type", name)]).await;
        for sent in Codec::ALL {
            let mut builder = BatchBuilder::new(sent);
            (0..3).for_each(|i| builder.push(1_700_000_000_000 + i, None, Some(b"value"), &[]));
            let batch = builder.finish().expect("there are records");
            assert_eq!(client.produce(name, -1, batch).await.error_code, ErrorCode::None);
        }
        let bytes = server.broker.read(name, 0, 0, 1 << 20).await.expect("it reads");
        assert!(batches(&bytes).all(|batch| batch.expect("whole batches").0.codec() == Ok(codec)), "{name}");
        assert_eq!(values(&bytes).len(), 15);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_append_time_stamps_batches() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let answer = client.produce("t", -1, batch(&["a"])).await;
    assert!(answer.log_append_time_ms > 1_600_000_000_000);
    let at_ms = answer.log_append_time_ms;
    assert_eq!(server.broker.offset_for_timestamp("t", 0, at_ms).await.expect("found"), Some(0));
    assert_eq!(server.broker.offset_for_timestamp("t", 0, at_ms + 1).await.expect("asked"), None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_hears_that_its_topic_went_and_of_the_one_that_took_its_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let (mut reader, mut other) = (server.connect().await, server.connect().await);
    reader.metadata(Some(&["t"])).await;
    reader.send(11, &fetch_request("t", 0, 20_000)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.broker.remove_topic("t").await.expect("deleted");
    let (_, response) = reader.receive::<FetchRequest>(11).await;
    assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicOrPartition);
    other.metadata(Some(&["t"])).await;
    reader.send(11, &fetch_request("t", 0, 20_000)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(other.produce("t", -1, batch(&["new"])).await.error_code, ErrorCode::None);
    let (_, response) = reader.receive::<FetchRequest>(11).await;
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_wants_keys_and_keeps_the_newest_record_of_each() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["log.cleaner.backoff.ms=3600000"])).await;
    let mut client = server.connect().await;
    // A record that is so much younger begins a new segment.
    let configs = [("cleanup.policy", "compact"), ("segment.ms", "1000"), ("min.cleanable.dirty.ratio", "0")];
    assert_eq!(client.create("c", 1, &configs).await, ErrorCode::None);
    assert_eq!(client.produce("c", -1, batch(&["x"])).await.error_code, ErrorCode::InvalidRecord);
    for (timestamp, key, value) in [(0, "a", "1"), (1, "b", "1"), (2000, "a", "2"), (4000, "c", "1"), (6000, "b", "2")]
    {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(timestamp, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        let batch = builder.finish().expect("one record");
        assert_eq!(client.produce("c", -1, batch).await.error_code, ErrorCode::None);
    }
    // The pause may be made shorter while it lasts.
    let change = incremental_alter_configs::AlterableConfig {
        name: "log.cleaner.backoff.ms".into(),
        config_operation: 0,
        value: Some("20".into()),
    };
    let resource = incremental_alter_configs::AlterConfigsResource {
        resource_type: 4,
        resource_name: "1".into(),
        configs: vec![change],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(client.call(1, request).await.responses[0].error_code, ErrorCode::None);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let mut found: Vec<i64> = Vec::new();
        while found.last() != Some(&4) {
            let next = found.last().map_or(0, |last| last + 1);
            let records = client.fetch("c", next, 0).await.expect("records");
            found.extend(records.into_iter().map(|(offset, _)| offset));
        }
        if found == [1, 2, 3, 4] {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop().await;
}

/// Time stamp and whether there is a key, for each record.
fn marked(codec: Codec, records: &[(i64, bool)]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for (timestamp, keyed) in records {
        builder.push(*timestamp, keyed.then_some(&b"key"[..]), Some(b"value"), &[]);
    }
    builder.finish().expect("there are records")
}

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_key_are_named_to_who_produces_to_a_compacted_topic() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("c", 1, &[("cleanup.policy", "compact")]).await;
    client.create("z", 1, &[("cleanup.policy", "compact"), ("compression.type", "zstd")]).await;
    for (topic, codec) in [("c", Codec::None), ("c", Codec::Lz4), ("z", Codec::None)] {
        let why = format!("Compacted topic cannot accept message without key in topic partition {topic}-0");
        let batch = marked(codec, &[(1, true), (1, false), (1, true), (1, false)]);
        let answer = client.produce(topic, -1, batch).await;
        assert_eq!((answer.error_code, answer.base_offset, answer.log_start_offset), (ErrorCode::InvalidRecord, -1, 0));
        let named: Vec<(i32, Option<&str>)> = answer
            .record_errors
            .iter()
            .map(|one| (one.batch_index, one.batch_index_error_message.as_deref()))
            .collect();
        assert_eq!(named, [(1, Some(&*why)), (3, Some(&*why))]);
        let words = format!(
            "One or more records have been rejected due to 2 record errors in total, and only showing the first three errors at most: \
             [RecordError(batchIndex=1, message='{why}'), RecordError(batchIndex=3, message='{why}')]"
        );
        assert_eq!(answer.error_message, Some(words));
    }
    // However small a batch is, its answer is bounded: the rest is counted.
    let many = marked(Codec::Zstd, &vec![(1, false); 50_000]);
    assert!(many.len() < 100_000);
    let answer = client.produce("c", -1, many).await;
    assert_eq!(answer.record_errors.len(), 10_000);
    assert!(answer.error_message.is_some_and(|words| words.contains("50000 record errors")));
    assert_eq!(client.produce("c", -1, marked(Codec::Lz4, &[(1, true)])).await.base_offset, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_records_time_stamp_is_held_against_its_topics_bounds() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    let bounds = [("message.timestamp.before.max.ms", "10000"), ("message.timestamp.after.max.ms", "20000")];
    client.create("t", 1, &bounds).await;
    client.create("both", 1, &[&bounds[..], &[("cleanup.policy", "compact")]].concat()).await;
    client.create("stamped", 1, &[&bounds[..], &[("message.timestamp.type", "LogAppendTime")]].concat()).await;
    client.create("past", 1, &[bounds[0], ("message.timestamp.after.max.ms", "9223372036854775807")]).await;
    client.create("plain", 1, &[]).await;
    let now = now_ms();
    let (good, old, future, none) = ((now, true), (now - 60_000, true), (now + 60_000, true), (-1, true));
    type Case<'a> = (&'a str, &'a [(i64, bool)], &'a [i32]);
    let cases: &[Case<'_>] = &[
        ("t", &[good, good], &[]),
        ("t", &[old, good], &[0]),
        ("t", &[good, old, old], &[1, 2]),
        ("t", &[good, future], &[1]),
        ("t", &[future, old, good], &[0, 1]),
        ("t", &[none], &[]),
        ("past", &[good, future], &[]),
        ("past", &[future, old], &[1]),
        ("plain", &[(0, true), future], &[]),
        ("plain", &[good, (now + 2 * 60 * 60 * 1000, true)], &[1]),
        ("stamped", &[old, future], &[]),
        ("both", &[(now, false), future, good], &[0, 1]),
    ];
    for codec in [Codec::None, Codec::Gzip] {
        for (topic, records, bad) in cases {
            let what = format!("{codec:?} {topic} {bad:?}");
            let answer = client.produce(topic, -1, marked(codec, records)).await;
            let named: Vec<i32> = answer.record_errors.iter().map(|one| one.batch_index).collect();
            assert_eq!(named, *bad, "{what}");
            let words = "One or more records have been rejected due to invalid timestamp";
            let (code, words) = match bad.is_empty() {
                true => (ErrorCode::None, None),
                false => (ErrorCode::InvalidTimestamp, Some(words)),
            };
            assert_eq!((answer.error_code, answer.error_message.as_deref()), (code, words), "{what}");
            if let Some(one) = answer.record_errors.last().and_then(|one| one.batch_index_error_message.as_deref()) {
                let (number, (timestamp, _)) = (named[named.len() - 1], records[named[named.len() - 1] as usize]);
                let begin = format!(
                    "Timestamp {timestamp} of message with offset {number} is out of range. The timestamp should be within ["
                );
                assert!(one.starts_with(&begin) && one.ends_with(']'), "{one}");
            }
        }
    }
    server.stop().await;
}
