//! Transactions: begun, written, ended, fenced, described.

use millstream_protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use millstream_protocol::messages::describe_producers::TopicRequest;
use millstream_protocol::messages::txn_offset_commit::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use millstream_protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use millstream_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest, ProduceRequest, TxnOffsetCommitRequest,
    WriteTxnMarkersRequest,
};
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp};

use super::{THREE, TestTopic, produce_request, stamped, topic};
use crate::side::Side;

pub async fn run(side: &mut Side) {
    side.settle_coordinators().await;
    init(side).await;
    partitions(side).await;
    offsets(side).await;
    ends(side).await;
    described(side).await;
    markers(side).await;
}

/// A transactional id with its producer.
struct Producer {
    id: String,
    producer_id: i64,
    epoch: i16,
}

fn init_request(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: Some(id.to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    }
}

/// A new transactional producer, by version 4, which both kinds of transactions know.
async fn producer(side: &mut Side, name: &str, version: i16) -> Producer {
    let id = side.name(name, version);
    side.settle_transaction(&id).await;
    let answer = side.call("a producer", 4, &init_request(&id)).await;
    let (producer_id, epoch) = answer.map_or((-1, -1), |answer| (answer.producer_id, answer.producer_epoch));
    side.label(&producer_id.to_string(), "the producer");
    Producer { id, producer_id, epoch }
}

async fn init(side: &mut Side) {
    for version in side.versions::<InitProducerIdRequest>() {
        let id = side.name("init", version);
        let plain = init_request(&id);
        let mut steps = vec![
            ("an id", plain.clone()),
            ("again", plain.clone()),
            ("without an id", InitProducerIdRequest { transactional_id: None, ..plain.clone() }),
            ("an empty id", InitProducerIdRequest { transactional_id: Some(String::new()), ..plain.clone() }),
            ("no time", InitProducerIdRequest { transaction_timeout_ms: 0, ..plain.clone() }),
            ("negative time", InitProducerIdRequest { transaction_timeout_ms: -1, ..plain.clone() }),
            ("much time", InitProducerIdRequest { transaction_timeout_ms: 900_001, ..plain.clone() }),
            (
                "without an id, no time",
                InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 0, ..Default::default() },
            ),
        ];
        let own = side.versions::<InitProducerIdRequest>().contains(&3) && version >= 3;
        if own {
            steps.push((
                "with another's id",
                InitProducerIdRequest { producer_id: 77_777, producer_epoch: 0, ..plain.clone() },
            ));
            steps.push(("with an id, no epoch", InitProducerIdRequest { producer_id: 77_777, ..plain.clone() }));
            steps.push(("without an id, with an epoch", InitProducerIdRequest { producer_epoch: 3, ..plain.clone() }));
            steps.push((
                "idempotent, with an id",
                InitProducerIdRequest {
                    transactional_id: None,
                    producer_id: 77_777,
                    producer_epoch: 3,
                    ..plain.clone()
                },
            ));
        }
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
        if own {
            let id = side.name("bumped", version);
            let Some(first) = side.call("an id to bump", version, &init_request(&id)).await else { continue };
            let with = |producer_epoch| InitProducerIdRequest {
                producer_id: first.producer_id,
                producer_epoch,
                ..init_request(&id)
            };
            side.call("bumped", version, &with(first.producer_epoch)).await;
            side.call("bumped again from the same", version, &with(first.producer_epoch)).await;
            side.call("an epoch to come", version, &with(first.producer_epoch + 9)).await;
        }
    }
}

fn add_request(version: i16, producer: &Producer, topics: &[(&str, &[i32])]) -> AddPartitionsToTxnRequest {
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| AddPartitionsToTxnTopic { name: (*name).to_owned(), partitions: partitions.to_vec() })
        .collect();
    if version <= 3 {
        return AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: producer.id.clone(),
            v3_and_below_producer_id: producer.producer_id,
            v3_and_below_producer_epoch: producer.epoch,
            v3_and_below_topics: topics,
            ..Default::default()
        };
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: producer.id.clone(),
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch,
        verify_only: false,
        topics,
    };
    AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
}

async fn partitions(side: &mut Side) {
    let topic = topic(side, "joined", 0, 2, &[]).await;
    let name = topic.name.as_str();
    for version in side.versions::<AddPartitionsToTxnRequest>() {
        let own = producer(side, "adding", version).await;
        let like = |id: &str, producer_id, epoch| Producer { id: id.to_owned(), producer_id, epoch };
        let steps = [
            ("an unknown topic", add_request(version, &own, &[("nowhere", &[0])])),
            ("a known and an unknown one", add_request(version, &own, &[(name, &[0]), ("nowhere", &[0])])),
            ("an unknown partition", add_request(version, &own, &[(name, &[7])])),
            ("no topics", add_request(version, &own, &[])),
            ("an unknown id", add_request(version, &like("no-such-id", 5, 0), &[(name, &[0])])),
            ("an empty id", add_request(version, &like("", 5, 0), &[(name, &[0])])),
            ("another producer id", add_request(version, &like(&own.id, 77_777, 0), &[(name, &[0])])),
            ("an epoch to come", add_request(version, &like(&own.id, own.producer_id, 9), &[(name, &[0])])),
            ("an epoch before", add_request(version, &like(&own.id, own.producer_id, -1), &[(name, &[0])])),
            ("one", add_request(version, &own, &[(name, &[0])])),
            ("again and another", add_request(version, &own, &[(name, &[0, 1])])),
        ];
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
        if version >= 4 {
            let verify = |partitions: &[i32]| {
                let mut request = add_request(version, &own, &[(name, partitions)]);
                request.transactions[0].verify_only = true;
                request
            };
            side.call("verified", version, &verify(&[0])).await;
            side.call("verified, with an unknown one", version, &verify(&[0, 7])).await;
        }
        side.newest("a transaction with two partitions", &describe_request(&[&own.id])).await;
        side.newest("aborted", &end_request(&own, false)).await;
    }
}

fn describe_request(ids: &[&str]) -> DescribeTransactionsRequest {
    DescribeTransactionsRequest { transactional_ids: ids.iter().map(|id| (*id).to_owned()).collect() }
}

fn end_request(producer: &Producer, committed: bool) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: producer.id.clone(),
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch,
        committed,
    }
}

/// Records of a transaction.
fn write_request(producer: &Producer, topic: &TestTopic, base_sequence: i32) -> ProduceRequest {
    let stamp = ProducerStamp { producer_id: producer.producer_id, producer_epoch: producer.epoch, base_sequence };
    let batch = stamped(BatchBuilder::new(Codec::None).transactional(true), Some(stamp), THREE);
    ProduceRequest { transactional_id: Some(producer.id.clone()), ..produce_request(topic, 0, Some(batch)) }
}

async fn offsets(side: &mut Side) {
    let topic = topic(side, "consumed", 0, 2, &[]).await;
    let name = topic.name.as_str();
    for version in side.versions::<AddOffsetsToTxnRequest>() {
        let own = producer(side, "adding-offsets", version).await;
        let group = side.name("group", version);
        let add = |id: &str, producer_id, producer_epoch, group: &str| AddOffsetsToTxnRequest {
            transactional_id: id.to_owned(),
            producer_id,
            producer_epoch,
            group_id: group.to_owned(),
        };
        for (step, request) in [
            ("an unknown id", add("no-such-id", 5, 0, &group)),
            ("an empty id", add("", 5, 0, &group)),
            ("another producer", add(&own.id, 77_777, 0, &group)),
            ("an epoch to come", add(&own.id, own.producer_id, 9, &group)),
            ("an epoch before", add(&own.id, own.producer_id, -1, &group)),
            ("no group", add(&own.id, own.producer_id, own.epoch, "")),
            ("a group", add(&own.id, own.producer_id, own.epoch, &group)),
            ("again", add(&own.id, own.producer_id, own.epoch, &group)),
        ] {
            side.call(step, version, &request).await;
        }
    }
    for version in side.versions::<TxnOffsetCommitRequest>() {
        let own = producer(side, "committing", version).await;
        let group = side.name("committing-group", version);
        let commit = |group: &str, topic: &str, partition_index, committed_offset| TxnOffsetCommitRequest {
            transactional_id: own.id.clone(),
            group_id: group.to_owned(),
            producer_id: own.producer_id,
            producer_epoch: own.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: topic.to_owned(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index,
                    committed_offset,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        side.call("before the group takes part", version, &commit(&group, name, 0, 5)).await;
        let add = AddOffsetsToTxnRequest {
            transactional_id: own.id.clone(),
            producer_id: own.producer_id,
            producer_epoch: own.epoch,
            group_id: group.clone(),
        };
        side.newest("a group", &add).await;
        let mut steps = vec![
            ("5", commit(&group, name, 0, 5)),
            ("unknown partition", commit(&group, name, 7, 5)),
            ("unknown topic", commit(&group, "nowhere", 0, 5)),
            ("-1", commit(&group, name, 0, -1)),
            ("no group", commit("", name, 0, 5)),
            ("no topics", TxnOffsetCommitRequest { topics: Vec::new(), ..commit(&group, name, 0, 5) }),
            ("another producer", TxnOffsetCommitRequest { producer_id: 77_777, ..commit(&group, name, 0, 5) }),
            ("an epoch to come", TxnOffsetCommitRequest { producer_epoch: 9, ..commit(&group, name, 0, 5) }),
        ];
        if version >= 3 {
            let by = |member: &str, generation_id, instance: Option<&str>| TxnOffsetCommitRequest {
                member_id: member.to_owned(),
                generation_id,
                group_instance_id: instance.map(str::to_owned),
                ..commit(&group, name, 0, 6)
            };
            steps.push(("a member", by("stranger", 1, None)));
            steps.push(("a generation", by("", 1, None)));
            steps.push(("an instance", by("", -1, Some("i"))));
        }
        for (step, request) in &steps {
            side.call(step, version, request).await;
        }
        side.newest("offsets of an open transaction", &offset_fetch(&group, &topic, true)).await;
        side.newest("offsets that may change", &offset_fetch(&group, &topic, false)).await;
        side.call("offsets committed", 4, &end_request(&own, true)).await;
        side.settle_transaction(&own.id).await;
        side.newest("offsets of a transaction that is committed", &offset_fetch(&group, &topic, true)).await;
    }
}

fn offset_fetch(
    group: &str,
    topic: &TestTopic,
    require_stable: bool,
) -> millstream_protocol::messages::OffsetFetchRequest {
    use millstream_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
    let topics =
        vec![OffsetFetchRequestTopics { name: topic.name.clone(), topic_id: topic.id, partition_indexes: vec![0, 7] }];
    let group = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(topics), ..Default::default() };
    millstream_protocol::messages::OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() }
}

async fn ends(side: &mut Side) {
    for version in side.versions::<EndTxnRequest>() {
        for committed in [true, false] {
            let word = if committed { "committed" } else { "aborted" };
            let topic = topic(side, &format!("ended-{word}"), version, 2, &[]).await;
            let own = producer(side, &format!("refused-{word}"), version).await;
            let like = |id: &str, producer_id, epoch| Producer { id: id.to_owned(), producer_id, epoch };
            for (step, other) in [
                ("an unknown id", like("no-such-id", 5, 0)),
                ("an empty id", like("", 5, 0)),
                ("another producer", like(&own.id, 77_777, 0)),
                ("an epoch to come", like(&own.id, own.producer_id, 9)),
                ("nothing was begun", like(&own.id, own.producer_id, own.epoch)),
            ] {
                side.call(&format!("{word}, {step}"), version, &end_request(&other, committed)).await;
            }
            let own = producer(side, &format!("ending-{word}"), version).await;
            side.call("a partition that does not take part", 11, &write_request(&own, &topic, 0)).await;
            side.call("a partition", 3, &add_request(3, &own, &[(&topic.name, &[0])])).await;
            side.call("records of it", 11, &write_request(&own, &topic, 0)).await;
            side.call(word, version, &end_request(&own, committed)).await;
            side.settle_transaction(&own.id).await;
            side.newest("an ended transaction", &describe_request(&[&own.id])).await;
        }
    }
}

fn producers_request(topic: &str, partitions: &[i32]) -> DescribeProducersRequest {
    DescribeProducersRequest {
        topics: vec![TopicRequest { name: topic.to_owned(), partition_indexes: partitions.to_vec() }],
    }
}

async fn described(side: &mut Side) {
    let topic = topic(side, "described", 0, 2, &[]).await;
    let own = producer(side, "described-id", 0).await;
    side.call("a partition", 3, &add_request(3, &own, &[(&topic.name, &[0])])).await;
    side.call("records of it", 11, &write_request(&own, &topic, 0)).await;
    side.newest("an open one and one that is not there", &describe_request(&[&own.id, "no-such-id"])).await;
    side.newest("an empty id", &describe_request(&[""])).await;
    side.newest("none", &describe_request(&[])).await;
    side.newest("of an open transaction", &producers_request(&topic.name, &[0, 1])).await;
    side.newest("of an unknown partition", &producers_request(&topic.name, &[7])).await;
    side.newest("of an unknown topic", &producers_request("nowhere", &[0])).await;
    side.newest("of none", &DescribeProducersRequest::default()).await;
    type Filter<'a> = (&'a str, &'a [&'a str], &'a [i64], i64, Option<&'a str>);
    let filters: [Filter<'_>; 9] = [
        ("ongoing ones", &["Ongoing"], &[], -1, None),
        ("of no such state", &["Sleeping"], &[], -1, None),
        ("of this producer", &[], &[own.producer_id], -1, None),
        ("of another producer", &[], &[987_654_321], -1, None),
        ("long ones", &["Ongoing"], &[], 100_000_000, None),
        ("by a pattern", &[], &[], -1, Some(".*described-id.*")),
        ("by a pattern for a part", &[], &[], -1, Some("described-id")),
        ("by an empty pattern", &["Ongoing"], &[], -1, Some("")),
        ("by a bad pattern", &[], &[], -1, Some("a[")),
    ];
    for (step, states, producers, duration_filter, pattern) in filters {
        side.each(step, |version| {
            let is_said = (duration_filter < 0 || version >= 1) && (pattern.is_none() || version >= 2);
            is_said.then(|| ListTransactionsRequest {
                state_filters: states.iter().map(|state| (*state).to_owned()).collect(),
                producer_id_filters: producers.to_vec(),
                duration_filter,
                transactional_id_pattern: pattern.map(str::to_owned),
            })
        })
        .await;
    }
    side.call("aborted", 4, &end_request(&own, false)).await;
}

/// An administrator's abort.
async fn markers(side: &mut Side) {
    for version in side.versions::<WriteTxnMarkersRequest>() {
        let topic = topic(side, "marked", version, 2, &[]).await;
        let own = producer(side, "marked-id", version).await;
        side.call("a partition", 3, &add_request(3, &own, &[(&topic.name, &[0])])).await;
        side.call("records of it", 11, &write_request(&own, &topic, 0)).await;
        let mark = |name: &str, partition, producer_epoch, transaction_result| WriteTxnMarkersRequest {
            markers: vec![WritableTxnMarker {
                producer_id: own.producer_id,
                producer_epoch,
                transaction_result,
                topics: vec![WritableTxnMarkerTopic { name: name.to_owned(), partition_indexes: vec![partition] }],
                coordinator_epoch: 0,
                transaction_version: 0,
            }],
        };
        side.call("of an unknown topic", version, &mark("nowhere", 0, own.epoch, false)).await;
        side.call("of an unknown partition", version, &mark(&topic.name, 7, own.epoch, false)).await;
        side.call("of an epoch before", version, &mark(&topic.name, 0, -1, false)).await;
        side.call("of none", version, &WriteTxnMarkersRequest::default()).await;
        side.call("aborts", version, &mark(&topic.name, 0, own.epoch, false)).await;
        side.newest("of what was aborted by hand", &producers_request(&topic.name, &[0])).await;
    }
}
