//! What the brokers are asked, a file per area. A script is run against each side by itself: what it needs of an answer (ids, epochs) it takes
//! from that side's answers.

mod admin;
mod configs;
mod consumers;
mod groups;
mod offsets;
mod quotas;
mod records;
mod security;
mod topics;
mod transactions;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use millstream_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use millstream_protocol::messages::{CreateTopicsRequest, ProduceRequest, produce};
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp};
use uuid::Uuid;

use crate::side::Side;

type Script = fn(&mut Side) -> LocalBoxFuture<'_, ()>;

/// Every area, in the order in which they are run.
pub const ALL: &[(&str, Script)] = &[
    ("topics", |side| topics::run(side).boxed_local()),
    ("records", |side| records::run(side).boxed_local()),
    ("offsets", |side| offsets::run(side).boxed_local()),
    ("groups", |side| groups::run(side).boxed_local()),
    ("consumers", |side| consumers::run(side).boxed_local()),
    ("transactions", |side| transactions::run(side).boxed_local()),
    ("configs", |side| configs::run(side).boxed_local()),
    ("quotas", |side| quotas::run(side).boxed_local()),
    ("security", |side| security::run(side).boxed_local()),
    ("admin", |side| admin::run(side).boxed_local()),
];

/// A time stamp of records, ms: long ago, so that it is nobody's now.
const T0: i64 = 1_700_000_000_000;

/// A topic that a script works with.
#[derive(Clone)]
struct TestTopic {
    name: String,
    id: Uuid,
}

/// Makes a topic with these settings.
async fn topic(side: &mut Side, name: &str, version: i16, partitions: i32, configs: &[(&str, &str)]) -> TestTopic {
    let label = name.to_owned();
    let name = side.name(name, version);
    let topic = CreatableTopic {
        name: name.clone(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(|(name, value)| config(name, Some(value))).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let newest = side.versions::<CreateTopicsRequest>().last().copied().expect("both create topics");
    // The answer's id can be shown by name only once it is known.
    let answer = side.call_as("a topic to work with", newest, &request, |answer| answer.topics[0].error_code).await;
    let id = answer.map_or(Uuid::nil(), |answer| answer.topics[0].topic_id);
    side.label_id(id, &label);
    side.settle(&name).await;
    TestTopic { name, id }
}

fn config(name: &str, value: Option<&str>) -> CreatableTopicConfig {
    CreatableTopicConfig { name: name.to_owned(), value: value.map(str::to_owned) }
}

/// Records without headers: time stamp, key, value.
type Plain<'a> = (i64, Option<&'a str>, Option<&'a str>);

/// A batch of them.
fn batch(records: &[Plain<'_>]) -> Bytes {
    stamped(BatchBuilder::new(Codec::None), None, records)
}

/// A batch by an idempotent producer.
fn idempotent(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: &[Plain<'_>]) -> Bytes {
    let stamp = ProducerStamp { producer_id, producer_epoch, base_sequence };
    stamped(BatchBuilder::new(Codec::None), Some(stamp), records)
}

fn stamped(mut builder: BatchBuilder, stamp: Option<ProducerStamp>, records: &[Plain<'_>]) -> Bytes {
    if let Some(stamp) = stamp {
        builder.set_producer(stamp);
    }
    for (timestamp, key, value) in records {
        builder.push(*timestamp, key.map(str::as_bytes), value.map(str::as_bytes), &[]);
    }
    builder.finish().expect("there are records")
}

/// Some plain records.
const THREE: &[Plain<'static>] =
    &[(T0, Some("a"), Some("1")), (T0 + 10, Some("b"), Some("2")), (T0 + 5, Some("a"), None)];

/// A request that writes `records` into one partition.
fn produce_request(topic: &TestTopic, partition: i32, records: Option<Bytes>) -> ProduceRequest {
    let partition = produce::PartitionProduceData { index: partition, records };
    let data =
        produce::TopicProduceData { name: topic.name.clone(), topic_id: topic.id, partition_data: vec![partition] };
    ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 5000, topic_data: vec![data] }
}

/// A topic that is not there.
fn nowhere(side: &mut Side) -> TestTopic {
    let id = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
    side.label_id(id, "nowhere");
    TestTopic { name: "nowhere".to_owned(), id }
}
