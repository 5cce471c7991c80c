//! Quotas as a client meets them: set, told, enforced, kept.

mod common;

use std::time::{Duration, Instant};

use common::{Connection, Server, batch, fetch_request, produce_request, settings};
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::alter_client_quotas::{EntityData, EntryData, OpData};
use millstream_protocol::messages::create_partitions::CreatePartitionsTopic;
use millstream_protocol::messages::create_topics::CreatableTopic;
use millstream_protocol::messages::describe_client_quotas::ComponentData;
use millstream_protocol::messages::*;
use tokio::time::timeout;

const EXACTLY: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

type Names<'a> = &'a [(&'a str, Option<&'a str>)];

fn entry(names: Names<'_>, ops: &[(&str, Option<f64>)]) -> EntryData {
    let name = |(kind, name): &(&str, Option<&str>)| EntityData {
        entity_type: kind.to_string(),
        entity_name: name.map(str::to_string),
    };
    let op = |(key, value): &(&str, Option<f64>)| OpData {
        key: key.to_string(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
    };
    EntryData { entity: names.iter().map(name).collect(), ops: ops.iter().map(op).collect() }
}

async fn alter(c: &mut Connection, entries: Vec<EntryData>, validate_only: bool) -> Vec<ErrorCode> {
    let answer = c.call(1, AlterClientQuotasRequest { entries, validate_only }).await;
    answer.entries.iter().map(|entry| entry.error_code).collect()
}

async fn set(c: &mut Connection, names: Names<'_>, key: &str, value: f64) {
    assert_eq!(alter(c, vec![entry(names, &[(key, Some(value))])], false).await, [ErrorCode::None]);
}

/// Entities and their quotas, as text.
async fn describe(
    c: &mut Connection,
    parts: &[(&str, i8, Option<&str>)],
    strict: bool,
) -> Result<Vec<String>, ErrorCode> {
    let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| ComponentData {
        entity_type: kind.to_string(),
        match_type: *match_type,
        matched: name.map(str::to_string),
    };
    let components = parts.iter().map(component).collect();
    let answer = c.call(1, DescribeClientQuotasRequest { components, strict }).await;
    answer.error_code.ok()?;
    let one = |entry: &describe_client_quotas::DescribedEntryData| {
        let names =
            entry.entity.iter().map(|one| format!("{}={}", one.entity_type, one.entity_name.as_deref().unwrap_or("*")));
        let values = entry.values.iter().map(|one| format!("{}={}", one.key, one.value));
        format!("{}: {}", names.collect::<Vec<_>>().join(","), values.collect::<Vec<_>>().join(","))
    };
    Ok(answer.entries.expect("without an error there are some").iter().map(one).collect())
}

async fn produce(c: &mut Connection, bytes: usize) -> i32 {
    let value = "x".repeat(bytes);
    let answer = c.call(9, produce_request("t", -1, batch(&[&value]))).await;
    assert_eq!(
        answer.responses[0].partition_responses[0].error_code,
        ErrorCode::None,
        "what is throttled is taken all the same"
    );
    answer.throttle_time_ms
}

/// Bytes that were given, and the time to wait.
async fn fetch(c: &mut Connection) -> (usize, i32) {
    let answer = c.call(11, fetch_request("t", 0, 0)).await;
    assert_eq!(answer.error_code, ErrorCode::None);
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let bytes = partitions.filter_map(|one| one.records.as_ref()).map(|records| records.len()).sum();
    (bytes, answer.throttle_time_ms)
}

/// The clients here are named so.
const TEST: Names<'static> = &[("client-id", Some("test"))];
const OTHERS: Names<'static> = &[("client-id", Some("others"))];

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_set_told_and_kept_over_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut c = server.connect().await;
    assert_eq!(describe(&mut c, &[], false).await, Ok(vec![]));
    let both: Names<'_> = &[("user", Some("u")), ("client-id", None)];
    let rates = &[("producer_byte_rate", Some(1e9)), ("request_percentage", Some(0.5))];
    let entries = vec![
        entry(both, rates),
        entry(&[("user", None)], &[("consumer_byte_rate", Some(2e9))]),
        entry(&[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", Some(7.0))]),
        entry(&[("user", Some("u"))], &[("nope", Some(1.0))]),
        entry(&[("user", Some("twice"))], &[]),
        entry(&[("user", Some("twice"))], &[]),
        entry(&[("ip", Some("10.0.0.1")), ("user", None)], &[]),
    ];
    let (ok, wrong) = (ErrorCode::None, ErrorCode::InvalidRequest);
    // Named twice, changed twice, answered once.
    let codes = [ok, ok, ok, wrong, ok, wrong];
    assert_eq!(alter(&mut c, entries.clone(), true).await, codes);
    assert_eq!(describe(&mut c, &[], false).await, Ok(vec![]), "it was only asked whether");
    assert_eq!(alter(&mut c, entries, false).await, codes);
    let all = [
        "client-id=*,user=u: producer_byte_rate=1000000000,request_percentage=0.5",
        "ip=10.0.0.1: connection_creation_rate=7",
        "user=*: consumer_byte_rate=2000000000",
    ];
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut c = server.connect().await;
    let (user, client) = ("user", "client-id");
    for (parts, strict, found) in [
        (&[][..], false, &all[..]),
        (&[], true, &[]),
        (&[(user, ANY, None)], false, &[all[0], all[2]]),
        (&[(user, ANY, None)], true, &all[2..]),
        (&[(user, DEFAULT, None)], false, &all[2..]),
        (&[(user, EXACTLY, Some("u"))], false, &all[..1]),
        (&[(user, EXACTLY, Some("u"))], true, &[]),
        (&[(user, EXACTLY, Some("u")), (client, DEFAULT, None)], true, &all[..1]),
        (&[("ip", ANY, None)], true, &all[1..2]),
    ] {
        let found: Vec<String> = found.iter().map(|text| text.to_string()).collect();
        assert_eq!(describe(&mut c, parts, strict).await, Ok(found), "{parts:?} {strict}");
    }
    for (parts, code) in [
        (&[("nope", ANY, None)][..], ErrorCode::UnsupportedVersion),
        (&[("", ANY, None)], wrong),
        (&[(user, EXACTLY, None)], wrong),
        (&[(user, DEFAULT, Some("u"))], wrong),
        (&[(user, 3, None)], wrong),
        (&[(user, ANY, None), (user, DEFAULT, None)], wrong),
        (&[(user, ANY, None), ("ip", ANY, None)], wrong),
    ] {
        assert_eq!(describe(&mut c, parts, false).await, Err(code), "{parts:?}");
    }
    let gone = [("producer_byte_rate", None), ("request_percentage", None)];
    assert_eq!(alter(&mut c, vec![entry(both, &gone)], false).await, [ok]);
    assert_eq!(describe(&mut c, &[(client, ANY, None)], false).await, Ok(vec![]), "without quotas there is no entity");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_waits_muted_and_others_do_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut c = server.connect().await;
    c.create("t", 1, &[]).await;
    assert_eq!(produce(&mut c, 100_000).await, 0, "without a quota");
    set(&mut c, TEST, "producer_byte_rate", 10_000.0).await;
    assert_eq!(produce(&mut c, 60_000).await, 0, "a window has room for 100 kB");
    let throttle_ms = produce(&mut c, 65_000).await;
    assert!((1_500..2_700).contains(&throttle_ms), "{throttle_ms}");
    // Nothing more is read from this connection, whatever it asks; from others it is.
    let begun = Instant::now();
    c.send(3, &ApiVersionsRequest::default()).await;
    let mut other = server.connect().await;
    other.metadata(None).await;
    assert!(begun.elapsed() < Duration::from_millis(1_000), "another connection is served");
    assert!(timeout(Duration::from_millis(250), c.frame()).await.is_err(), "this one is not");
    let metrics = server.broker.metrics_text();
    assert!(metrics.contains("\nmillstream_muted_connections 1\n"), "{metrics}");
    assert!(metrics.contains("\nmillstream_throttled_total{quota=\"producer_byte_rate\"} 1\n"), "{metrics}");
    c.frame().await.expect("when the time has passed, it is");
    let waited_ms = begun.elapsed().as_millis() as i32;
    assert!(waited_ms >= throttle_ms - 300, "{waited_ms} of {throttle_ms}");
    // The limit belongs to the client id, not to the connection.
    assert!(produce(&mut other, 20_000).await > 1000);
    // Who waits for no answer waits all the same.
    set(&mut c, TEST, "producer_byte_rate", 12_000.0).await;
    c.send(9, &produce_request("t", 0, batch(&[&"x".repeat(20_000)]))).await;
    c.send(3, &ApiVersionsRequest::default()).await;
    assert!(timeout(Duration::from_millis(250), c.frame()).await.is_err(), "it is muted");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipelined_producer_is_muted_before_its_answers() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut c = server.connect().await;
    c.create("t", 1, &[]).await;
    set(&mut c, TEST, "producer_byte_rate", 10_000.0).await;
    let request = produce_request("t", -1, batch(&[&"x".repeat(103_000)]));
    for _ in 0..3 {
        c.send(9, &request).await;
    }
    let (_, first) = c.receive::<ProduceRequest>(9).await;
    assert!((200..600).contains(&first.throttle_time_ms), "{}", first.throttle_time_ms);
    assert!(timeout(Duration::from_millis(150), c.frame()).await.is_err(), "the second is not begun meanwhile");
    let (_, second) = c.receive::<ProduceRequest>(9).await;
    assert!(second.throttle_time_ms > 9_000, "{}", second.throttle_time_ms);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_gets_empty_answers_and_never_starves() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut c = server.connect().await;
    c.create("t", 1, &[]).await;
    for _ in 0..3 {
        produce(&mut c, 40_000).await;
    }
    assert!(fetch(&mut c).await.0 > 120_000);
    set(&mut c, TEST, "consumer_byte_rate", 9_000.0).await;
    let (bytes, wait_ms) = fetch(&mut c).await;
    assert!((80_000..90_000).contains(&bytes) && wait_ms == 0, "no more than a window has room for: {bytes}");
    let (bytes, wait_ms) = fetch(&mut c).await;
    assert!(bytes == 0 && wait_ms > 5_000, "held back: {bytes}, {wait_ms}");
    // A session holds back, too, and goes on.
    let mut c = server.connect().await;
    let mut request = fetch_request("t", 0, 0);
    request.session_epoch = 0;
    let answer = c.call(11, request).await;
    assert!(answer.responses.is_empty() && answer.session_id == 0 && answer.throttle_time_ms > 5_000);
    // A batch that is larger than the window's room is given when nothing else was.
    let mut c = server.connect().await;
    set(&mut c, TEST, "producer_byte_rate", 1e9).await;
    set(&mut c, OTHERS, "consumer_byte_rate", 1.0).await;
    let remove = [("consumer_byte_rate", None), ("producer_byte_rate", None)];
    alter(&mut c, vec![entry(TEST, &remove), entry(OTHERS, &remove)], false).await;
    set(&mut c, TEST, "consumer_byte_rate", 1_000.0).await;
    let (bytes, wait_ms) = fetch(&mut c).await;
    assert!(bytes > 40_000 && wait_ms > 20_000, "given, and then waited for: {bytes}, {wait_ms}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_changes_of_topics_are_limited() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["controller.quota.window.num=2"])).await;
    let mut c = server.connect().await;
    set(&mut c, &[("user", Some("ANONYMOUS"))], "controller_mutation_rate", 5.0).await;
    assert_eq!(c.create("a", 8, &[]).await, ErrorCode::None);
    assert_eq!(c.create("b", 8, &[]).await, ErrorCode::None, "up to the limit and over it once");
    let topics = vec![CreatableTopic {
        name: "c".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    }];
    let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
    let refused = c.call(7, request.clone()).await;
    assert_eq!(refused.topics[0].error_code, ErrorCode::ThrottlingQuotaExceeded);
    assert!((1..=1_200).contains(&refused.throttle_time_ms), "{}", refused.throttle_time_ms);
    // The connection was muted for as long as it takes.
    let grow = |count| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: "a".into(), count, assignments: None }],
        ..CreatePartitionsRequest::default()
    };
    assert_eq!(c.call(3, grow(13)).await.results[0].error_code, ErrorCode::None);
    // Older clients do not know the word: it is done, and they wait.
    let done = c.call(4, request).await;
    assert_eq!(done.topics[0].error_code, ErrorCode::None);
    assert!((1..=1_200).contains(&done.throttle_time_ms), "{}", done.throttle_time_ms);
    let mut c = server.connect().await;
    set(&mut c, &[("user", None)], "request_percentage", 1e-9).await;
    let begun = Instant::now();
    let answer = c.metadata(None).await;
    assert_eq!(answer.throttle_time_ms, 1000, "a sample's length at most");
    c.metadata(None).await;
    assert!(begun.elapsed() > Duration::from_millis(950), "also the answer of another API is waited for");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_an_address_are_limited() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut c = server.connect().await;
    set(&mut c, &[("ip", None)], "connection_creation_rate", 1000.0).await;
    set(&mut c, &[("ip", Some("127.0.0.1"))], "connection_creation_rate", 1.0).await;
    let mut connections = Vec::new();
    for _ in 0..11 {
        connections.push(server.connect().await);
    }
    let mut last = connections.pop().expect("there are eleven");
    for one in &mut connections {
        one.metadata(None).await;
    }
    last.send(3, &ApiVersionsRequest::default()).await;
    assert!(last.frame().await.is_none(), "a window has room for ten; the eleventh is closed without an answer");
    assert!(
        server.broker.metrics_text().contains("millstream_throttled_total{quota=\"connection_creation_rate\"} 1\n")
    );
    c.metadata(None).await;
    server.stop().await;
}
