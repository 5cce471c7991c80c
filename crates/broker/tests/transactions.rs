//! Transactions over the wire: what producers are told, what consumers see, and a random run with kills against a model.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use common::*;
use millstream_broker::BrokerConfig;
use millstream_log::Clock;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use millstream_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use millstream_protocol::messages::txn_offset_commit::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use millstream_protocol::messages::*;
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp, Scratch, batches, decode_batch};

const COMMITTED: i8 = 1;
/// Produce and EndTxn of a client with transaction version 1, and with 2.
const PRODUCE: [i16; 2] = [9, 12];
const END: [i16; 2] = [4, 5];

fn batch_of(producer: (i64, i16), base_sequence: i32, values: &[String]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).transactional(true);
    // Markers carry the broker's time; with records of long ago a segment would end before each.
    let now_ms = Clock::system().now_ms();
    values.iter().for_each(|value| builder.push(now_ms, None, Some(value.as_bytes()), &[]));
    builder.set_producer(ProducerStamp { producer_id: producer.0, producer_epoch: producer.1, base_sequence });
    builder.finish().expect("there are records")
}

async fn initialize(client: &mut Connection, id: &str, producer: (i64, i16)) -> Result<(i64, i16), ErrorCode> {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.to_string()),
        transaction_timeout_ms: 60_000,
        producer_id: producer.0,
        producer_epoch: producer.1,
        ..InitProducerIdRequest::default()
    };
    let answer = client.call(5, request).await;
    answer.error_code.ok().map(|()| (answer.producer_id, answer.producer_epoch))
}

async fn add(client: &mut Connection, id: &str, producer: (i64, i16), topic: &str, partitions: Vec<i32>) -> ErrorCode {
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id.to_string(),
        v3_and_below_producer_id: producer.0,
        v3_and_below_producer_epoch: producer.1,
        v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: topic.to_string(), partitions }],
        ..AddPartitionsToTxnRequest::default()
    };
    let answer = client.call(3, request).await;
    let codes = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
    let mut codes = codes.map(|partition| ErrorCode::from_code(partition.partition_error_code));
    codes.next().expect("an answer")
}

async fn send(client: &mut Connection, version: i16, id: &str, partition: i32, batch: Bytes) -> ErrorCode {
    let partition_data = vec![PartitionProduceData { index: partition, records: Some(batch) }];
    let topic_data = vec![TopicProduceData { name: "t".into(), partition_data, ..TopicProduceData::default() }];
    let transactional_id = Some(id.to_string());
    let request = ProduceRequest { transactional_id, acks: -1, timeout_ms: 1000, topic_data };
    client.call(version, request).await.responses[0].partition_responses[0].error_code
}

fn end_request(id: &str, producer: (i64, i16), committed: bool) -> EndTxnRequest {
    let transactional_id = id.to_string();
    EndTxnRequest { transactional_id, producer_id: producer.0, producer_epoch: producer.1, committed }
}

async fn end(
    client: &mut Connection,
    version: i16,
    id: &str,
    producer: (i64, i16),
    committed: bool,
) -> Result<(i64, i16), ErrorCode> {
    let answer = client.call(version, end_request(id, producer, committed)).await;
    answer.error_code.ok()?;
    Ok(if version < 5 { producer } else { (answer.producer_id, answer.producer_epoch) })
}

/// What a consumer hands out that reads a partition from its beginning.
async fn consume(client: &mut Connection, partition: i32, isolation_level: i8) -> Vec<String> {
    let mut out = Vec::new();
    let mut offset = 0;
    let mut scratch = Scratch::default();
    loop {
        let mut request = FetchRequest { isolation_level, ..fetch_request("t", offset, 0) };
        request.topics[0].partitions[0].partition = partition;
        request.topics[0].partitions[0].partition_max_bytes = 300;
        let answer = client.call(11, request).await;
        let part = &answer.responses[0].partitions[0];
        assert_eq!(part.error_code, ErrorCode::None, "{partition} at {offset} {isolation_level}: {part:?}");
        let records = part.records.clone().unwrap_or_default();
        if records.is_empty() {
            let end = if isolation_level == COMMITTED { part.last_stable_offset } else { part.high_watermark };
            assert_eq!(offset, end, "nothing is left out before the end");
            return out;
        }
        // As Kafka's consumers do it: a transaction counts as aborted from its first offset to its marker.
        let mut aborted: Vec<(i64, i64)> = part
            .aborted_transactions
            .iter()
            .flatten()
            .map(|transaction| (transaction.first_offset, transaction.producer_id))
            .collect();
        aborted.sort_unstable();
        let mut passing: BTreeSet<i64> = BTreeSet::new();
        for one in batches(&records) {
            let (header, bytes) = one.expect("whole batches");
            while aborted.first().is_some_and(|(first, _)| *first <= header.last_offset()) {
                passing.insert(aborted.remove(0).1);
            }
            let is_old = header.last_offset() < offset;
            offset = offset.max(header.next_offset());
            if header.is_control() {
                passing.remove(&header.producer_id);
            } else if !(is_old || header.is_transactional() && passing.contains(&header.producer_id)) {
                let records = decode_batch(bytes, &mut scratch).expect("a good batch");
                let value = |record: Result<millstream_protocol::records::Record<'_>, _>| {
                    String::from_utf8_lossy(record.expect("a good record").value.unwrap_or_default()).into_owned()
                };
                out.extend(records.map(value));
            }
        }
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| value.to_string()).collect()
}

async fn list_end(client: &mut Connection, isolation_level: i8) -> i64 {
    let partition = ListOffsetsPartition { timestamp: -1, ..ListOffsetsPartition::default() };
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions: vec![partition] }];
    let request = ListOffsetsRequest { isolation_level, topics, ..ListOffsetsRequest::default() };
    client.call(5, request).await.topics[0].partitions[0].offset
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_seen_and_what_is_aborted_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 2, &[]).await;
    for (version, id) in ["one", "two"].into_iter().enumerate() {
        let mut at = initialize(&mut client, id, (-1, -1)).await.expect("an id");
        assert_eq!(at.1, 0);
        for (round, committed) in [true, false, true].into_iter().enumerate() {
            for partition in 0..2 {
                let value = [format!("{id} {round}")];
                if version == 0 {
                    let unknown = send(&mut client, PRODUCE[0], id, partition, batch_of(at, 9, &value)).await;
                    assert_eq!(unknown, ErrorCode::InvalidTxnState);
                    assert_eq!(add(&mut client, id, at, "t", vec![partition]).await, ErrorCode::None);
                }
                let sequence = if version == 0 { round as i32 } else { 0 };
                let batch = batch_of(at, sequence, &value);
                assert_eq!(send(&mut client, PRODUCE[version], id, partition, batch).await, ErrorCode::None);
            }
            let first = (version * 6 + round * 2) as i64;
            assert_eq!((list_end(&mut client, COMMITTED).await, list_end(&mut client, 0).await), (first, first + 1));
            let ended = end(&mut client, END[version], id, at, committed).await.expect("it ends");
            assert_eq!(end(&mut client, END[version], id, at, committed).await, Ok(ended), "an answer was lost");
            assert_eq!(end(&mut client, END[version], id, at, !committed).await, Err(ErrorCode::InvalidTxnState));
            assert_eq!(ended.1, if version == 0 { 0 } else { at.1 + 1 });
            at = ended;
        }
    }
    for partition in 0..2 {
        let seen = consume(&mut client, partition, COMMITTED).await;
        assert_eq!(seen, texts(&["one 0", "one 2", "two 0", "two 2"]));
        assert_eq!(consume(&mut client, partition, 0).await.len(), 6);
        // The process itself sees what is committed, too.
        let bytes = server.broker.read("t", partition, 0, 1 << 20).await.expect("it reads");
        let all = values(&bytes).into_iter().map(|(_, value)| value).filter(|value| value.contains(' '));
        assert_eq!(all.collect::<Vec<_>>(), seen);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_are_told_what_kafka_tells_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[]).await;
    let value = texts(&["v"]);
    assert_eq!(initialize(&mut client, "", (-1, -1)).await, Err(ErrorCode::InvalidRequest));
    assert_eq!(initialize(&mut client, "x", (5, -1)).await, Err(ErrorCode::InvalidRequest));
    let too_long = InitProducerIdRequest {
        transactional_id: Some("x".into()),
        transaction_timeout_ms: 900_001,
        ..InitProducerIdRequest::default()
    };
    assert_eq!(client.call(4, too_long).await.error_code, ErrorCode::InvalidTransactionTimeout);
    assert_eq!(end(&mut client, 4, "x", (0, 0), true).await, Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(add(&mut client, "x", (0, 0), "t", vec![0]).await, ErrorCode::InvalidProducerIdMapping);
    let old = initialize(&mut client, "x", (-1, -1)).await.expect("an id");
    assert_eq!(end(&mut client, 4, "x", old, true).await, Err(ErrorCode::InvalidTxnState), "nothing was begun");
    assert_eq!(add(&mut client, "x", old, "t", vec![0, 7]).await, ErrorCode::OperationNotAttempted);
    let nameless = client.produce("t", -1, batch_of(old, 0, &value)).await;
    assert_eq!(nameless.error_code, ErrorCode::TransactionalIdAuthorizationFailed);
    assert_eq!(send(&mut client, 11, "x", 0, batch_of(old, 0, &value)).await, ErrorCode::TransactionAbortable);
    assert_eq!(send(&mut client, 12, "x", 0, batch_of(old, 0, &value)).await, ErrorCode::None);
    let plain = stamped(&["v"], Some(ProducerStamp { producer_id: old.0, producer_epoch: old.1, base_sequence: 1 }));
    assert_eq!(client.produce("t", -1, plain).await.error_code, ErrorCode::InvalidTxnState);

    let new = initialize(&mut client, "x", (-1, -1)).await.expect("it takes over");
    assert_eq!(new, (old.0, 1));
    assert_eq!(consume(&mut client, 0, COMMITTED).await, texts(&[]));
    assert_eq!(list_end(&mut client, COMMITTED).await, 2, "what was open is aborted");
    for version in PRODUCE {
        let fenced = send(&mut client, version, "x", 0, batch_of(old, 1, &value)).await;
        assert_eq!(fenced, ErrorCode::InvalidProducerEpoch);
    }
    assert_eq!(end(&mut client, 4, "x", old, true).await, Err(ErrorCode::ProducerFenced));
    assert_eq!(end(&mut client, 1, "x", old, true).await, Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(add(&mut client, "x", old, "t", vec![0]).await, ErrorCode::ProducerFenced);
    assert_eq!(initialize(&mut client, "x", old).await, Err(ErrorCode::ProducerFenced));
    // A producer that goes on after an error gets a new epoch; a request that is sent again gets the same.
    let next = initialize(&mut client, "x", new).await.expect("it goes on");
    assert_eq!(next, (new.0, 2));
    assert_eq!(initialize(&mut client, "x", new).await, Ok(next));
    server.stop().await;
}

async fn commit_offset(
    client: &mut Connection,
    version: i16,
    id: &str,
    producer: (i64, i16),
    offset: i64,
) -> ErrorCode {
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: 0,
        committed_metadata: None,
    };
    let request = TxnOffsetCommitRequest {
        transactional_id: id.to_string(),
        group_id: "g".into(),
        producer_id: producer.0,
        producer_epoch: producer.1,
        generation_id: -1,
        topics: vec![TxnOffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition] }],
        ..TxnOffsetCommitRequest::default()
    };
    client.call(version, request).await.topics[0].partitions[0].error_code
}

async fn committed_offset(client: &mut Connection, require_stable: bool) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopics { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
    let group = OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], require_stable, ..OffsetFetchRequest::default() };
    let answer = client.call(8, request).await;
    let partition = &answer.groups[0].topics[0].partitions[0];
    partition.error_code.ok().map(|()| partition.committed_offset)
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_committed_with_their_transaction() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[]).await;
    let mut at = initialize(&mut client, "x", (-1, -1)).await.expect("an id");
    assert_eq!(commit_offset(&mut client, 3, "x", at, 5).await, ErrorCode::InvalidTxnState, "the group has not joined");
    for (offset, committed, seen) in [(5, true, 5), (7, false, 5), (9, true, 9)] {
        assert_eq!(commit_offset(&mut client, 5, "x", at, offset).await, ErrorCode::None);
        assert_eq!(committed_offset(&mut client, true).await, Err(ErrorCode::UnstableOffsetCommit));
        // What waits for its transaction is there after a restart.
        server.stop().await;
        server = Server::start(dir.path()).await;
        client = server.connect().await;
        at = end(&mut client, 5, "x", at, committed).await.expect("it ends");
        assert_eq!(committed_offset(&mut client, true).await, Ok(seen));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let dir = tempfile::tempdir().expect("a folder");
    let now = Arc::new(AtomicI64::new(Clock::system().now_ms()));
    let clock = now.clone();
    let config = BrokerConfig {
        clock: Clock::new(move || clock.load(Ordering::SeqCst)),
        transaction_abort_check_interval_ms: 5,
        ..BrokerConfig::default()
    };
    let server = Server::start_with(dir.path(), config).await;
    let mut client = server.connect().await;
    client.create("t", 1, &[]).await;
    let at = initialize(&mut client, "x", (-1, -1)).await.expect("an id");
    assert_eq!(send(&mut client, 12, "x", 0, batch_of(at, 0, &texts(&["slow"]))).await, ErrorCode::None);
    now.fetch_add(60_000, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    assert_eq!(list_end(&mut client, COMMITTED).await, 0, "its time is just up");
    now.fetch_add(1, Ordering::SeqCst);
    while list_end(&mut client, COMMITTED).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(consume(&mut client, 0, COMMITTED).await, texts(&[]));
    // Version 2 takes it for a request that is sent again after an abort, as Kafka does.
    assert_eq!(end(&mut client, 5, "x", at, true).await, Err(ErrorCode::InvalidTxnState));
    assert_eq!(end(&mut client, 4, "x", at, true).await, Err(ErrorCode::ProducerFenced));
    server.stop().await;
}

/// What the model knows of a transactional id.
#[derive(Default)]
struct Modelled {
    at: (i64, i16),
    version: usize,
    /// Next sequence per partition.
    sequences: BTreeMap<i32, i32>,
    /// Values of the open transaction, by partition, in order.
    open: Vec<(i32, String)>,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            // The folder is in use: a checkpoint may have put a file in another's place meanwhile.
            let copied = std::fs::copy(entry.path(), to);
            assert!(copied.is_ok() || !entry.path().exists(), "{}: {copied:?}", entry.path().display());
        }
    }
}

/// What a kill would leave: the page cache as it is. First the segments, which the journal may only be ahead of.
fn snapshot(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for name in ["meta.json", "checkpoint"] {
        std::fs::copy(from.join(name), to.join(name)).expect("copied");
    }
    copy(&from.join("topics"), &to.join("topics"));
    copy(&from.join("journal"), &to.join("journal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn random_producers_and_kills_leave_whole_transactions_in_order() {
    const PARTITIONS: i32 = 3;
    for seed in 1..=6 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let root = tempfile::tempdir().expect("a folder");
        let mut lives = 0;
        let mut server = Server::start(&root.path().join("0")).await;
        let mut client = server.connect().await;
        client.create("t", PARTITIONS, &[]).await;
        let mut ids: BTreeMap<String, Modelled> = BTreeMap::new();
        // In the order of the log: value, and the transaction it is of.
        let mut written: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        let mut committed: BTreeSet<String> = BTreeSet::new();
        for step in 0..150 {
            let id = format!("id-{}", chance.u8(0..3));
            if !ids.contains_key(&id) || chance.u8(0..20) == 0 {
                let at = initialize(&mut client, &id, (-1, -1)).await.expect("an id");
                ids.insert(id, Modelled { at, version: chance.usize(0..2), ..Modelled::default() });
                continue;
            }
            let there = ids.get_mut(&id).expect("it is there");
            let version = there.version;
            match chance.u8(0..10) {
                0..6 => {
                    let partition = chance.i32(0..PARTITIONS);
                    if version == 0 {
                        assert_eq!(add(&mut client, &id, there.at, "t", vec![partition]).await, ErrorCode::None);
                    }
                    let values: Vec<String> = (0..chance.u8(1..4)).map(|n| format!("{id} {step} {n}")).collect();
                    let sequence = there.sequences.entry(partition).or_default();
                    let batch = batch_of(there.at, *sequence, &values);
                    assert_eq!(send(&mut client, PRODUCE[version], &id, partition, batch).await, ErrorCode::None);
                    *sequence += values.len() as i32;
                    written.entry(partition).or_default().extend(values.iter().cloned());
                    there.open.extend(values.into_iter().map(|value| (partition, value)));
                }
                6..9 => {
                    let commits = chance.bool();
                    let was = there.at;
                    let is_kill = chance.u8(0..3) == 0;
                    if is_kill {
                        // The answer is not waited for: what is left is the one or the other, but whole.
                        client.send(END[version], &end_request(&id, was, commits)).await;
                        for _ in 0..chance.u8(0..6) {
                            tokio::task::yield_now().await;
                        }
                        lives += 1;
                        let next = root.path().join(lives.to_string());
                        snapshot(&root.path().join((lives - 1).to_string()), &next);
                        server.stop().await;
                        server = Server::start(&next).await;
                        client = server.connect().await;
                        // What was open under the id, if it still was, is aborted by this.
                        let at = initialize(&mut client, &id, (-1, -1)).await.expect("an id");
                        let mut seen = BTreeSet::new();
                        for partition in 0..PARTITIONS {
                            seen.extend(consume(&mut client, partition, 0).await.into_iter());
                        }
                        assert!(there.open.iter().all(|(_, value)| seen.contains(value)), "acknowledged, and lost");
                        let mut stable = BTreeSet::new();
                        for partition in 0..PARTITIONS {
                            stable.extend(decided(&mut client, partition).await);
                        }
                        let visible = there.open.iter().filter(|(_, value)| stable.contains(value)).count();
                        assert!(
                            visible == 0 || (commits && visible == there.open.len()),
                            "{visible} of {}",
                            there.open.len()
                        );
                        if visible > 0 {
                            committed.extend(there.open.drain(..).map(|(_, value)| value));
                        }
                        ids.insert(id, Modelled { at, version: chance.usize(0..2), ..Modelled::default() });
                    } else {
                        let begun = !there.open.is_empty();
                        let result = end(&mut client, END[version], &id, was, commits).await;
                        if begun {
                            there.at = result.expect("it ends");
                        } else if let Ok(at) = result {
                            there.at = at;
                        }
                        if there.at != was {
                            there.sequences.clear();
                        }
                        if commits {
                            committed.extend(there.open.drain(..).map(|(_, value)| value));
                        }
                        there.open.clear();
                    }
                }
                _ => {
                    for partition in 0..PARTITIONS {
                        let seen = consume(&mut client, partition, COMMITTED).await;
                        let wanted = wanted(&written, &committed, partition);
                        assert_eq!(seen[..], wanted[..seen.len()], "partition {partition}, up to an open transaction");
                    }
                }
            }
        }
        for id in ids.keys() {
            initialize(&mut client, id, (-1, -1)).await.expect("it takes over");
        }
        for partition in 0..PARTITIONS {
            let seen = consume(&mut client, partition, COMMITTED).await;
            assert_eq!(seen, wanted(&written, &committed, partition), "seed {seed}, partition {partition}");
        }
        server.stop().await;
    }
}

fn wanted(written: &BTreeMap<i32, Vec<String>>, committed: &BTreeSet<String>, partition: i32) -> Vec<String> {
    let all = written.get(&partition).into_iter().flatten();
    all.filter(|value| committed.contains(*value)).cloned().collect()
}

/// Values of committed transactions, also behind one that is open.
async fn decided(client: &mut Connection, partition: i32) -> Vec<String> {
    let mut request = fetch_request("t", 0, 0);
    request.topics[0].partitions[0].partition = partition;
    let answer = client.call(11, request).await;
    let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
    let mut open: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let mut out = Vec::new();
    let mut scratch = Scratch::default();
    for one in batches(&records) {
        let (header, bytes) = one.expect("whole batches");
        if header.is_control() {
            let marker = millstream_protocol::records::EndMarker::read(bytes).expect("good").expect("a marker");
            let values = open.remove(&header.producer_id).unwrap_or_default();
            if marker.committed {
                out.extend(values);
            }
            continue;
        }
        for record in decode_batch(bytes, &mut scratch).expect("a good batch") {
            let value = record.expect("a good record").value.unwrap_or_default();
            let value = String::from_utf8_lossy(value).into_owned();
            open.entry(header.producer_id).or_default().push(value);
        }
    }
    out
}
