//! Records: produced, fetched, looked for.

use bytes::{Bytes, BytesMut};
use millstream_protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use millstream_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_protocol::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use millstream_protocol::messages::{
    FetchRequest, FetchResponse, InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use millstream_protocol::records::{BatchBuilder, Codec, Scratch, batches, decode_checked};

use super::{Plain, T0, THREE, TestTopic, batch, idempotent, nowhere, produce_request, stamped, topic};
use crate::side::Side;

pub async fn run(side: &mut Side) {
    produce(side).await;
    sequences(side).await;
    fetch(side).await;
    sessions(side).await;
    list_offsets(side).await;
    leader_epochs(side).await;
}

async fn produce(side: &mut Side) {
    let unknown = nowhere(side);
    for version in side.versions::<ProduceRequest>() {
        let plain = topic(side, "plain", version, 2, &[]).await;
        let compacted = topic(side, "compacted", version, 1, &[("cleanup.policy", "compact")]).await;
        let stamping = topic(side, "stamping", version, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
        let small = topic(side, "small", version, 1, &[("max.message.bytes", "200")]).await;
        let bounds = [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "1000")];
        let bounded = topic(side, "bounded", version, 1, &bounds).await;
        let zipping = topic(side, "zipping", version, 1, &[("compression.type", "gzip")]).await;
        // What may be taken by one and refused by the other, each in a partition of its own.
        let odd = topic(side, "odd", version, 6, &[]).await;
        let now = side.now_ms();
        let three = batch(THREE);
        let keyless: &[Plain<'_>] = &[(T0, Some("k"), Some("v")), (T0, None, Some("v")), (T0, None, None)];
        let long = "x".repeat(300);
        let to = |topic: &TestTopic, bytes: Bytes| produce_request(topic, 0, Some(bytes));
        let steps: Vec<(&str, ProduceRequest)> = vec![
            ("three records", to(&plain, three.clone())),
            ("acks 1", ProduceRequest { acks: 1, ..to(&plain, three.clone()) }),
            ("acks 2", ProduceRequest { acks: 2, ..to(&plain, three.clone()) }),
            ("acks -2", ProduceRequest { acks: -2, ..to(&plain, three.clone()) }),
            ("unknown topic", to(&unknown, three.clone())),
            ("partition 7", produce_request(&plain, 7, Some(three.clone()))),
            ("partition -1", produce_request(&plain, -1, Some(three.clone()))),
            ("no bytes", to(&plain, Bytes::new())),
            ("three bytes", to(&plain, Bytes::from_static(b"abc"))),
            ("two batches", to(&plain, [&three[..], &three[..]].concat().into())),
            ("a batch cut off", to(&plain, three.slice(..three.len() - 3))),
            ("bytes behind a batch", produce_request(&odd, 0, Some([&three[..], b"abc"].concat().into()))),
            ("a wrong checksum", to(&plain, changed(&three, three.len() - 1))),
            ("magic 1", to(&plain, changed_to(&three, 16, 1))),
            ("magic 9", to(&plain, changed_to(&three, 16, 9))),
            ("a base offset", produce_request(&odd, 1, Some(changed_to(&three, 7, 5)))),
            ("a leader epoch", to(&plain, changed_to(&three, 15, 5))),
            ("gzip", to(&plain, stamped(BatchBuilder::new(Codec::Gzip), None, THREE))),
            ("snappy", to(&plain, stamped(BatchBuilder::new(Codec::Snappy), None, THREE))),
            ("lz4", to(&plain, stamped(BatchBuilder::new(Codec::Lz4), None, THREE))),
            ("zstd", to(&plain, stamped(BatchBuilder::new(Codec::Zstd), None, THREE))),
            ("a codec 5", to(&plain, with_attributes(&three, 5))),
            ("log append time by the producer", produce_request(&odd, 2, Some(with_attributes(&three, 8)))),
            ("a marker", to(&plain, stamped(BatchBuilder::new(Codec::None).control(true), None, THREE))),
            (
                "a transaction of nobody",
                to(&plain, stamped(BatchBuilder::new(Codec::None).transactional(true), None, THREE)),
            ),
            ("time stamp -1", to(&plain, batch(&[(-1, None, Some("v"))]))),
            ("time stamp -5", produce_request(&odd, 4, Some(batch(&[(-5, None, Some("v"))])))),
            ("a time to come", produce_request(&odd, 3, Some(batch(&[(now + 7_200_000, None, Some("v"))])))),
            ("without keys", to(&compacted, batch(keyless))),
            ("with keys", to(&compacted, three.clone())),
            ("stamped by the broker", to(&stamping, three.clone())),
            ("too long", to(&small, batch(&[(T0, None, Some(long.as_str()))]))),
            ("too old", to(&bounded, three.clone())),
            ("too new", to(&bounded, batch(&[(now, None, Some("v")), (now + 1_000_000, None, Some("v"))]))),
            ("into gzip", to(&zipping, three.clone())),
            ("zstd into gzip", to(&zipping, stamped(BatchBuilder::new(Codec::Zstd), None, THREE))),
            ("no topics", ProduceRequest { acks: -1, timeout_ms: 5000, ..Default::default() }),
            ("no time", ProduceRequest { timeout_ms: 0, ..to(&plain, three.clone()) }),
            (
                "a transactional id of nobody",
                ProduceRequest { transactional_id: Some("nobody".to_owned()), ..to(&plain, three.clone()) },
            ),
        ];
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
        let mut mixed = produce_request(&plain, 1, Some(three.clone()));
        mixed.topic_data.extend(to(&unknown, three.clone()).topic_data);
        mixed.topic_data.extend(to(&compacted, three.clone()).topic_data);
        side.call("three topics, one unknown", version, &mixed).await;
        let mut twice = produce_request(&plain, 1, Some(three.clone()));
        let again = twice.topic_data[0].partition_data.clone();
        twice.topic_data[0].partition_data.extend(again);
        side.call("a partition twice", version, &twice).await;
        for (label, topic) in
            [("plain", &plain), ("stamping", &stamping), ("zipping", &zipping), ("compacted", &compacted)]
        {
            show(side, &format!("what is in {label} after version {version}"), topic).await;
        }
    }
}

fn changed(bytes: &Bytes, at: usize) -> Bytes {
    changed_to(bytes, at, bytes[at] ^ 1)
}

fn changed_to(bytes: &Bytes, at: usize, to: u8) -> Bytes {
    let mut bytes = BytesMut::from(&bytes[..]);
    bytes[at] = to;
    bytes.freeze()
}

/// A batch with other attributes and a checksum that is right.
fn with_attributes(batch: &Bytes, attributes: u8) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    bytes[22] = attributes;
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// CRC-32C (Castagnoli), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// Sequence numbers of idempotent producers.
async fn sequences(side: &mut Side) {
    side.settle_coordinators().await;
    for version in side.versions::<ProduceRequest>() {
        let topic = topic(side, "sequenced", version, 2, &[]).await;
        let init = InitProducerIdRequest { transaction_timeout_ms: 1000, ..Default::default() };
        let Some(producer) = side.newest("an id", &init).await else { return };
        let id = producer.producer_id;
        side.label(&id.to_string(), &format!("producer {version}"));
        let to = |partition, epoch, sequence| {
            produce_request(&topic, partition, Some(idempotent(id, epoch, sequence, THREE)))
        };
        let steps: Vec<(&str, ProduceRequest)> = vec![
            ("first", to(0, 0, 0)),
            ("second", to(0, 0, 3)),
            ("first again", to(0, 0, 0)),
            ("a gap", to(0, 0, 10)),
            ("an overlap", to(0, 0, 5)),
            ("third", to(0, 0, 6)),
            ("another partition from 5", to(1, 0, 5)),
            ("another partition from 0", to(1, 0, 0)),
            ("next epoch, not from 0", to(0, 1, 9)),
            ("next epoch", to(0, 1, 0)),
            ("old epoch", to(0, 0, 9)),
            ("acks 1", ProduceRequest { acks: 1, ..to(0, 1, 3) }),
            ("two batches of one producer", {
                let two = [idempotent(id, 1, 6, THREE), idempotent(id, 1, 9, THREE)].concat();
                produce_request(&topic, 0, Some(two.into()))
            }),
            ("a sequence without a producer", { produce_request(&topic, 0, Some(idempotent(-1, -1, 4, THREE))) }),
            ("a producer without a sequence", { produce_request(&topic, 0, Some(idempotent(id, 1, -1, THREE))) }),
            ("negative epoch", to(0, -1, 0)),
            ("an id that nobody has", { produce_request(&topic, 0, Some(idempotent(987_654_321, 0, 0, THREE))) }),
        ];
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
        show(side, &format!("what is there after version {version}"), &topic).await;
    }
}

/// A partition of a fetch's answer, its batches opened.
#[derive(Debug)]
#[allow(dead_code, reason = "fields are compared by what Debug prints")]
struct Opened {
    answer: FetchResponse,
    batches: Vec<Batches>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "fields are compared by what Debug prints")]
struct Batches {
    partition_index: i32,
    batches: Vec<Batch>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "fields are compared by what Debug prints")]
struct Batch {
    base_offset: i64,
    partition_leader_epoch: i32,
    attributes: i16,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    records: Vec<Opaque>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "fields are compared by what Debug prints")]
struct Opaque {
    offset: i64,
    timestamp: i64,
    record: String,
}

/// The answer with its records opened.
fn open(answer: &FetchResponse) -> impl std::fmt::Debug + use<> {
    let mut answer = answer.clone();
    let mut found = Vec::new();
    for partition in answer.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let bytes = partition.records.take().unwrap_or_default();
        found.push(Batches { partition_index: partition.partition_index, batches: open_batches(&bytes) });
    }
    Opened { answer, batches: found }
}

fn open_batches(bytes: &Bytes) -> Vec<Batch> {
    let mut scratch = Scratch::default();
    // The last one may be cut off.
    let whole = batches(bytes).map_while(Result::ok);
    let each = whole.map(|(header, bytes)| {
        let records = decode_checked(&header, bytes, &mut scratch).map(|records| records.map_while(Result::ok));
        let show = |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), |bytes| bytes.escape_ascii().to_string());
        let records = records.into_iter().flatten().map(|record| Opaque {
            offset: record.offset,
            timestamp: record.timestamp,
            record: format!("{} = {}", show(record.key), show(record.value)),
        });
        Batch {
            base_offset: header.base_offset,
            partition_leader_epoch: header.partition_leader_epoch,
            attributes: header.attributes,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            records: records.collect(),
        }
    });
    each.collect()
}

fn fetch_request(version: i16, topic: &TestTopic, partition: i32, offset: i64) -> FetchRequest {
    let partition =
        FetchPartition { partition, fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: topic.name.clone(), topic_id: topic.id, partitions: vec![partition] };
    let replica_id = if version <= 14 { -1 } else { Default::default() };
    FetchRequest {
        replica_id,
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 1 << 20,
        topics: vec![topic],
        ..Default::default()
    }
}

/// Reads partition 0 from its start on.
pub async fn show(side: &mut Side, step: &str, topic: &TestTopic) {
    let Some(version) = side.versions::<FetchRequest>().last().copied() else { return };
    side.call_as(step, version, &fetch_request(version, topic, 0, 0), open).await;
}

async fn fetch(side: &mut Side) {
    let topic = topic(side, "read", 0, 2, &[]).await;
    let unknown = nowhere(side);
    for _ in 0..4 {
        side.newest("three records", &produce_request(&topic, 0, Some(batch(THREE)))).await;
    }
    for version in side.versions::<FetchRequest>() {
        let at = |partition, offset| fetch_request(version, &topic, partition, offset);
        let with = |change: &dyn Fn(&mut FetchPartition)| {
            let mut request = at(0, 0);
            change(&mut request.topics[0].partitions[0]);
            request
        };
        let mut steps: Vec<(&str, FetchRequest)> = vec![
            ("from 0", at(0, 0)),
            ("from the middle of a batch", at(0, 4)),
            ("from the end", at(0, 12)),
            ("beyond the end", at(0, 13)),
            ("from -1", at(0, -1)),
            ("an empty partition", at(1, 0)),
            ("partition 7", at(7, 0)),
            ("partition -1", at(-1, 0)),
            ("unknown topic", fetch_request(version, &unknown, 0, 0)),
            ("no topics", FetchRequest { topics: Vec::new(), ..at(0, 0) }),
            ("a byte at most", FetchRequest { max_bytes: 1, ..at(0, 0) }),
            ("no bytes at most", FetchRequest { max_bytes: 0, ..at(0, 0) }),
            ("-1 bytes at most", FetchRequest { max_bytes: -1, ..at(0, 0) }),
            ("a byte a partition at most", with(&|one| one.partition_max_bytes = 1)),
            ("no bytes a partition at most", with(&|one| one.partition_max_bytes = 0)),
            ("120 bytes a partition at most", with(&|one| one.partition_max_bytes = 120)),
            ("committed", FetchRequest { isolation_level: 1, ..at(0, 0) }),
            ("isolation 7", FetchRequest { isolation_level: 7, ..at(0, 0) }),
            ("waiting for more", FetchRequest { max_wait_ms: 20, min_bytes: 1 << 20, ..at(0, 0) }),
            ("waiting -1", FetchRequest { max_wait_ms: -1, min_bytes: 1, ..at(0, 12) }),
        ];
        if version >= 9 {
            steps.push(("epoch 0", with(&|one| one.current_leader_epoch = 0)));
            steps.push(("epoch 5", with(&|one| one.current_leader_epoch = 5)));
            steps.push(("epoch -5", with(&|one| one.current_leader_epoch = -5)));
        }
        if version >= 12 {
            steps.push(("fetched epoch 0", with(&|one| one.last_fetched_epoch = 0)));
            steps.push(("fetched epoch 5", with(&|one| one.last_fetched_epoch = 5)));
            steps.push(("a cluster's id", FetchRequest { cluster_id: Some("another".to_owned()), ..at(0, 0) }));
        }
        if version >= 7 {
            steps.push((
                "a session that is not there",
                FetchRequest { session_id: 12345, session_epoch: 1, ..at(0, 0) },
            ));
            steps.push(("a session with epoch 0", FetchRequest { session_id: 12345, session_epoch: 0, ..at(0, 0) }));
            steps.push(("no session, epoch 5", FetchRequest { session_id: 0, session_epoch: 5, ..at(0, 0) }));
        }
        let mut two = at(0, 3);
        two.topics[0].partitions.extend(at(1, 0).topics[0].partitions.clone());
        steps.push(("two partitions", two));
        let mut twice = at(0, 3);
        twice.topics[0].partitions.extend(at(0, 6).topics[0].partitions.clone());
        steps.push(("a partition twice", twice));
        for (step, request) in &steps {
            side.call_as(step, version, request, open).await;
        }
    }
}

async fn sessions(side: &mut Side) {
    let unknown = nowhere(side);
    for version in side.versions::<FetchRequest>().into_iter().filter(|version| *version >= 7) {
        let topic = topic(side, "session", version, 2, &[]).await;
        let (full, other) = (fetch_request(version, &topic, 0, 0), fetch_request(version, &topic, 1, 0));
        side.newest("three records", &produce_request(&topic, 0, Some(batch(THREE)))).await;
        let mut first = FetchRequest { session_epoch: 0, ..full.clone() };
        first.topics[0].partitions.extend(other.topics[0].partitions.clone());
        let Some(answer) = side.call_as("a new session", version, &first, open).await else { continue };
        let session_id = answer.session_id;
        let next = |epoch| FetchRequest { session_id, session_epoch: epoch, topics: Vec::new(), ..full.clone() };
        side.call_as("nothing new", version, &next(1), open).await;
        side.newest("three records", &produce_request(&topic, 1, Some(batch(THREE)))).await;
        side.call_as("news in the other partition", version, &next(2), open).await;
        let forgotten = ForgottenTopic { topic: topic.name.clone(), topic_id: topic.id, partitions: vec![0] };
        let forget = FetchRequest { forgotten_topics_data: vec![forgotten], ..next(3) };
        side.call_as("one forgotten", version, &forget, open).await;
        side.call_as("an old epoch", version, &next(1), open).await;
        side.call_as("an epoch to come", version, &next(9), open).await;
        let moved = FetchRequest { topics: fetch_request(version, &topic, 1, 3).topics, ..next(4) };
        side.call_as("at the end", version, &moved, open).await;
        let added = FetchRequest { topics: fetch_request(version, &unknown, 0, 0).topics, ..next(5) };
        side.call_as("an unknown topic added", version, &added, open).await;
        let again = FetchRequest { session_id, session_epoch: 0, ..full.clone() };
        side.call_as("in the place of the old one", version, &again, open).await;
        side.call_as("of the old one", version, &next(6), open).await;
        let close = FetchRequest { session_epoch: -1, ..next(0) };
        side.call_as("closed", version, &close, open).await;
    }
}

async fn list_offsets(side: &mut Side) {
    let topic = topic(side, "looked-through", 0, 2, &[]).await;
    for shift in [0, 100, 50] {
        let records: Vec<Plain<'_>> = THREE.iter().map(|(time, key, value)| (time + shift, *key, *value)).collect();
        side.newest("three records", &produce_request(&topic, 0, Some(batch(&records)))).await;
    }
    let unknown = nowhere(side);
    let ask = |version: i16, topic: &str, partition_index, timestamp, current_leader_epoch, isolation_level| {
        let partition = ListOffsetsPartition { partition_index, current_leader_epoch, timestamp };
        let topic = ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition] };
        let timeout_ms = if version >= 10 { 1000 } else { Default::default() };
        ListOffsetsRequest { replica_id: -1, isolation_level, topics: vec![topic], timeout_ms }
    };
    let name = topic.name.as_str();
    for version in side.versions::<ListOffsetsRequest>() {
        for timestamp in [-1, -2, -3, -4, -5, -6, -7, -100, 0, T0, T0 + 1, T0 + 6, T0 + 60, T0 + 110, T0 + 111] {
            let step = if timestamp < T0 { timestamp.to_string() } else { format!("{} ms on", timestamp - T0) };
            side.call(&format!("at {step}"), version, &ask(version, name, 0, timestamp, -1, 0)).await;
            side.call(&format!("of nothing at {step}"), version, &ask(version, name, 1, timestamp, -1, 0)).await;
        }
        side.call("partition 7", version, &ask(version, name, 7, -1, -1, 0)).await;
        side.call("partition -1", version, &ask(version, name, -1, -1, -1, 0)).await;
        side.call("unknown topic", version, &ask(version, &unknown.name, 0, -1, -1, 0)).await;
        side.call("bad name", version, &ask(version, "with spaces", 0, -1, -1, 0)).await;
        side.call("no topics", version, &ListOffsetsRequest { replica_id: -1, ..Default::default() }).await;
        if version >= 2 {
            side.call("committed", version, &ask(version, name, 0, -1, -1, 1)).await;
        }
        if version >= 4 {
            side.call("epoch 0", version, &ask(version, name, 0, -1, 0, 0)).await;
            side.call("epoch 5", version, &ask(version, name, 0, -1, 5, 0)).await;
        }
        let mut twice = ask(version, name, 0, -1, -1, 0);
        let again = ask(version, name, 0, -2, -1, 0).topics.remove(0).partitions;
        twice.topics[0].partitions.extend(again);
        side.call("a partition twice", version, &twice).await;
    }
}

async fn leader_epochs(side: &mut Side) {
    let topic = topic(side, "led", 0, 2, &[]).await;
    side.newest("three records", &produce_request(&topic, 0, Some(batch(THREE)))).await;
    let ask = |topic: &str, partition, current_leader_epoch, leader_epoch| OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: topic.to_owned(),
            partitions: vec![OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }],
        }],
    };
    let name = topic.name.as_str();
    for (step, request) in [
        ("epoch 0", ask(name, 0, -1, 0)),
        ("epoch 1", ask(name, 0, -1, 1)),
        ("epoch -1", ask(name, 0, -1, -1)),
        ("of nothing", ask(name, 1, -1, 0)),
        ("of nothing, epoch 1", ask(name, 1, -1, 1)),
        ("current 0", ask(name, 0, 0, 0)),
        ("current 5", ask(name, 0, 5, 0)),
        ("partition 7", ask(name, 7, -1, 0)),
        ("unknown topic", ask("nowhere", 0, -1, 0)),
        ("none", OffsetForLeaderEpochRequest { replica_id: -1, topics: Vec::new() }),
    ] {
        side.each(step, |version| {
            Some(OffsetForLeaderEpochRequest { replica_id: if version >= 3 { -1 } else { -2 }, ..request.clone() })
        })
        .await;
    }
}
