//! What a port on a network meets: nonsense, half frames, other protocols. A good client is served all the while.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use millstream_broker::BrokerConfig;
use millstream_protocol::messages::*;
use millstream_protocol::records::{BatchBuilder, Codec};
use millstream_protocol::{ApiKey, ErrorCode, decode_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Sends bytes and gives what came back until the broker hung up.
async fn send(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    let _ = stream.write_all(bytes).await;
    let mut back = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut back)).await;
    assert!(read.is_ok(), "the broker did not hang up on {} bytes", bytes.len());
    back
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

fn header(key: i16, version: i16) -> Vec<u8> {
    [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7], &[0, 1, b'c']].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_its_connection_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut good = server.connect().await;
    good.metadata(Some(&["t"])).await;
    let mut cases = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(),
        vec![0xff; 64],
        frame(b""),
        frame(b"\x00\x03"),
        frame(&header(999, 0)),
        frame(&header(ApiKey::Produce.code(), 2)),
        frame(&header(ApiKey::Fetch.code(), 99)),
        frame(&header(ApiKey::EndTxn.code(), 1)),
        frame(&header(ApiKey::Metadata.code(), -1)),
        // An array of two thousand million elements in a frame of a few bytes.
        frame(&[&header(ApiKey::Metadata.code(), 1)[..], &[0x7f, 0xff, 0xff, 0xff]].concat()),
    ];
    let mut chance = fastrand::Rng::with_seed(1);
    for entry in millstream_protocol::messages::APIS {
        for version in entry.versions() {
            let length = chance.usize(0..60);
            let body: Vec<u8> = (0..length).map(|_| chance.u8(..)).collect();
            // What follows is never a frame that could be waited for.
            let tail = [0xff; 8];
            cases.push([frame(&[&header(entry.key.code(), version)[..], &body].concat()), tail.to_vec()].concat());
        }
    }
    for (index, case) in cases.iter().enumerate() {
        send(&server, case).await;
        if index % 20 == 0 {
            assert_eq!(good.produce("t", -1, batch(&["a"])).await.error_code, ErrorCode::None);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_versions_of_the_future_are_answered_in_version_0() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.stream.write_all(&frame(&header(ApiKey::ApiVersions.code(), 99))).await.expect("sent");
    let answer = client.frame().await.expect("an answer");
    let (_, answer) = decode_response::<ApiVersionsRequest>(&answer, 0).expect("of version 0");
    assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion);
    assert!(answer.api_keys.iter().any(|api| api.api_key == ApiKey::ApiVersions.code() && api.max_version == 4));
    // The connection goes on.
    let nobody = client.call(4, ApiVersionsRequest::default()).await;
    assert_eq!((nobody.error_code, nobody.api_keys.len()), (ErrorCode::InvalidRequest, 0), "a client has a name");
    let request = ApiVersionsRequest {
        client_software_name: "apache-kafka-java".into(),
        client_software_version: "4.3.0".into(),
    };
    let answer = client.call(4, request).await;
    assert_eq!(answer.error_code, ErrorCode::None);
    let produce = answer.api_keys.iter().find(|api| api.api_key == 0).expect("Produce is listed");
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    server.stop().await;
}

/// Held by whoever takes much memory and by whoever measures it: the tests of this file share a process.
static MEMORY: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_takes_no_more_memory_than_its_bytes() {
    let _alone = MEMORY.lock().await;
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let before = resident_bytes();
    let mut open = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        // 100 MiB stated, a few bytes sent.
        stream.write_all(&(100u32 << 20).to_be_bytes()).await.expect("sent");
        stream.write_all(&[0; 100]).await.expect("sent");
        open.push(stream);
    }
    let mut good = server.connect().await;
    good.metadata(Some(&["t"])).await;
    assert_eq!(good.produce("t", -1, batch(&["a"])).await.error_code, ErrorCode::None);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    drop(open);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_byte_by_byte_is_answered() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    for byte in frame(&header(ApiKey::ApiVersions.code(), 0)) {
        client.stream.write_all(&[byte]).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(client.frame().await.is_some());
    server.stop().await;
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_happens_is_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = BrokerConfig { connections_idle_ms_max: 100, ..BrokerConfig::default() };
    let server = Server::start_with(dir.path(), config).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    assert!(timeout(Duration::from_secs(5), client.frame()).await.expect("it is closed").is_none());
    // A fetch that waits is something that happens.
    let mut client = server.connect().await;
    assert_eq!(client.fetch("t", 0, 300).await, Ok(vec![]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_no_more_connections_than_it_may() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["max.connections.per.ip=2"])).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    first.metadata(None).await;
    second.metadata(None).await;
    assert_eq!(send(&server, &frame(&header(ApiKey::ApiVersions.code(), 0))).await, b"");
    drop(first);
    // The place is free once the broker has seen that.
    for round in 0.. {
        let mut third = server.connect().await;
        let request = frame(&header(ApiKey::ApiVersions.code(), 0));
        if third.stream.write_all(&request).await.is_ok() && third.frame().await.is_some() {
            break;
        }
        assert!(round < 100, "the place stays taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_waits_while_there_are_as_many_as_may_be() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["max.connections=1"])).await;
    let mut first = server.connect().await;
    first.metadata(None).await;
    let mut second = server.connect().await;
    second.stream.write_all(&frame(&header(ApiKey::ApiVersions.code(), 0))).await.expect("sent");
    assert!(timeout(Duration::from_millis(200), second.frame()).await.is_err(), "it waits");
    drop(first);
    assert!(timeout(Duration::from_secs(5), second.frame()).await.expect("its turn").is_some());
    server.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn many_can_wait_to_be_accepted() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["max.connections=1"])).await;
    let mut first = server.connect().await;
    first.metadata(None).await;
    let mut waiting = Vec::new();
    for number in 0..500 {
        let connected = timeout(Duration::from_millis(900), TcpStream::connect(server.address)).await;
        waiting.push(connected.unwrap_or_else(|_| panic!("number {number} finds no place")).expect("it listens"));
    }
    drop(waiting);
    drop(first);
    server.stop().await;
}

/// A batch of one record without a key whose value is zeros.
fn bomb(codec: Codec, bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.push(0, None, Some(&vec![0; bytes]), &[]);
    builder.finish().expect("one record")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_unpacks_to_very_much_is_refused_before_it_takes_the_memory() {
    let _alone = MEMORY.lock().await;
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    assert_eq!(client.create("keyed", 1, &[("cleanup.policy", "compact")]).await, ErrorCode::None);
    assert_eq!(client.create("recoded", 1, &[("compression.type", "lz4")]).await, ErrorCode::None);
    for (megabytes, keyed, recoded) in [
        (1, ErrorCode::InvalidRecord, ErrorCode::None),
        (20, ErrorCode::InvalidRecord, ErrorCode::None),
        (100, ErrorCode::MessageTooLarge, ErrorCode::MessageTooLarge),
    ] {
        let bomb = bomb(Codec::Zstd, megabytes << 20);
        assert_eq!(client.produce("keyed", -1, bomb.clone()).await.error_code, keyed, "{megabytes} MiB");
        assert_eq!(client.produce("recoded", -1, bomb).await.error_code, recoded, "{megabytes} MiB");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_share_their_memory_and_small_ones_go_on() {
    let _alone = MEMORY.lock().await;
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(dir.path(), settings(&["queued.max.request.bytes=1000000"])).await;
    let mut small = server.connect().await;
    small.metadata(Some(&["t"])).await;
    let mut halves = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(&(600_000u32).to_be_bytes()).await.expect("sent");
        stream.write_all(&[0; 100]).await.expect("sent");
        halves.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let large = "x".repeat(200_000);
    let mut waits = server.connect().await;
    let request = produce_request("t", -1, batch(&[&large]));
    let sent = waits.send(9, &request).await;
    assert!(timeout(Duration::from_millis(200), waits.frame()).await.is_err(), "there is no memory for it");
    assert_eq!(small.produce("t", -1, batch(&["a"])).await.error_code, ErrorCode::None);
    drop(halves);
    let answer = timeout(Duration::from_secs(5), waits.receive::<ProduceRequest>(9)).await.expect("its turn");
    assert_eq!((answer.0, answer.1.responses[0].partition_responses[0].error_code), (sent, ErrorCode::None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_nobody_waits_for_ends_the_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path()).await;
    let mut client = server.connect().await;
    client.metadata(Some(&["t"])).await;
    client.send(9, &produce_request("t", 0, batch(&["a"]))).await;
    client.metadata(None).await;
    client.send(9, &produce_request("no-such-topic", 0, batch(&["a"]))).await;
    assert!(timeout(Duration::from_secs(5), client.frame()).await.expect("it is closed").is_none());
    server.stop().await;
}
