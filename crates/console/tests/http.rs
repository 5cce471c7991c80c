//! The console over a real socket: what it answers, whom it refuses, and that nobody who is slow holds up anybody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use millstream_console::{Backend, BackendError, Column, ConsoleOptions, Overview, Record, Rows, TableInfo, TopicInfo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[derive(Default)]
struct Fake {
    looks: AtomicU64,
    readings: AtomicU64,
    failed: AtomicBool,
}

#[async_trait]
impl Backend for Fake {
    fn overview(&self) -> Overview {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        Overview {
            project: Some("fake".to_owned()),
            topics: vec![TopicInfo { name: "t".to_owned(), records_total: looks * 100, ..TopicInfo::default() }],
            tables: vec![TableInfo { name: "a/b".to_owned(), rows_total: 3, ..TableInfo::default() }],
            ..Overview::default()
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.failed.load(Ordering::Relaxed) { Err("flow f failed: no disk".to_owned()) } else { Ok(()) }
    }

    fn metrics(&self) -> String {
        "millstream_more 1\n".to_owned()
    }

    async fn topic_records(&self, topic: &str, limit: usize) -> Result<Vec<Record>, BackendError> {
        if topic != "t" {
            return Err(BackendError::NotFound(format!("topic {topic}")));
        }
        let record = Record { value: Some(b"<script>alert(1)</script>".to_vec()), ..Record::default() };
        Ok(vec![record; limit])
    }

    async fn table_rows(&self, _table: &str, _limit: usize) -> Result<Rows, BackendError> {
        self.readings.fetch_add(1, Ordering::Relaxed);
        let columns = [("ts", "timestamp"), ("n", "bigint")];
        Ok(Rows {
            columns: columns.map(|(name, kind)| Column { name: name.to_owned(), data_type: kind.to_owned() }).into(),
            rows: (0..3).map(|n| vec![json!(format!("2023-06-03 00:00:0{n}")), json!(n)]).collect(),
        })
    }
}

struct Server {
    address: SocketAddr,
    backend: Arc<Fake>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("is bound");
    let backend = Arc::new(Fake::default());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let task = tokio::spawn(millstream_console::serve(listener, backend.clone(), ConsoleOptions::default(), shutdown));
    Server { address, backend, stop, task }
}

impl Server {
    /// Sends a request and reads the whole answer: head and body.
    async fn get(&self, path: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        let host = if headers.to_lowercase().contains("host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let request = format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the server answers");
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        (String::from_utf8_lossy(&answer[..split]).to_lowercase(), answer[split..].to_vec())
    }

    async fn json(&self, path: &str) -> Value {
        let (head, body) = self.get(path, "").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        serde_json::from_slice(&body).expect("JSON")
    }
}

#[tokio::test]
async fn the_api_answers() {
    let server = start().await;
    assert_eq!(server.json("/api/v1/overview").await["overview"]["project"], "fake");
    assert_eq!(server.json("/api/v1/history").await["step_ms"], 1_000);
    let records = server.json("/api/v1/topics/t/records?limit=100000").await;
    assert_eq!(records.as_array().map(Vec::len), Some(500), "limits are bounded");
    assert_eq!(records[0]["value"]["text"], "<script>alert(1)</script>");
    let chart = server.json("/api/v1/tables/a%2Fb/chart").await;
    assert_eq!((&chart["kind"], &chart["x"], &chart["y"]), (&json!("line"), &json!("ts"), &json!("n")));
    let (head, body) = server.get("/api/v1/topics/none/records", "").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("topic none is not here"));
    let (head, body) = server.get("/metrics", "").await;
    assert!(head.contains("text/plain; version=0.0.4") && body.starts_with(b"# HELP millstream_info"));
    assert!(body.ends_with(b"\nmillstream_more 1\n"), "the backend's own come last");
    for path in ["/health", "/ready"] {
        assert!(server.get(path, "").await.0.starts_with("http/1.1 200"));
    }
    server.backend.failed.store(true, Ordering::Relaxed);
    let (head, body) = server.get("/ready", "").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(body, b"flow f failed: no disk\n");
    assert!(server.get("/health", "").await.0.starts_with("http/1.1 200"), "the process itself answers");
}

#[tokio::test]
async fn the_page_is_inside_cached_and_guarded() {
    let server = start().await;
    let (head, body) = server.get("/", "").await;
    let page = String::from_utf8(body).expect("the page is UTF-8");
    assert!(head.contains("content-type: text/html") && head.contains("cache-control: no-cache"), "{head}");
    for header in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    let script = page.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js")).expect("a script");
    let (head, plain) = server.get(script, "").await;
    assert!(
        head.contains("immutable") && head.contains("text/javascript") && !head.contains("content-encoding"),
        "{head}"
    );
    let (zipped_head, zipped) = server.get(script, "Accept-Encoding: br, gzip;q=0.8\r\n").await;
    assert!(zipped_head.contains("content-encoding: gzip") && zipped.len() * 2 < plain.len());
    assert!(zipped.len() < 120_000, "the page is to stay small");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    let (head, body) = server.get(script, &format!("If-None-Match: {tag}\r\n")).await;
    assert!(head.starts_with("http/1.1 304") && body.is_empty());
    for path in ["/nothing", "/../Cargo.toml", "/assets/..%2f..%2fCargo.toml", "/index.html.gz"] {
        assert!(server.get(path, "").await.0.starts_with("http/1.1 404"), "{path}");
    }
}

#[tokio::test]
async fn strangers_are_refused() {
    let server = start().await;
    for headers in [
        "Host: rebound.example\r\n",
        "Origin: http://other.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let (head, _) = server.get("/api/v1/overview", headers).await;
        assert!(head.starts_with("http/1.1 403") && head.contains("nosniff"), "{headers}: {head}");
    }
    let own = format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", server.address);
    assert!(server.get("/api/v1/overview", &own).await.0.starts_with("http/1.1 200"));
}

/// Opens an event stream and reads its beginning.
async fn follow(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut bytes = vec![0; 4096];
    let length = stream.read(&mut bytes).await.expect("the server answers");
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    (stream, text)
}

#[tokio::test]
async fn events_come_at_once_and_go_on() {
    let server = start().await;
    let (mut stream, first) = follow(server.address).await;
    assert!(first.contains("text/event-stream"), "{first}");
    let mut seen = first;
    while seen.matches("event: state").count() < 3 {
        let mut bytes = vec![0; 4096];
        let length = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut bytes))
            .await
            .expect("in time")
            .expect("goes on");
        assert!(length > 0, "the stream ended");
        seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    assert!(seen.contains("\"topic.records/t\":"), "rates are in it: {seen}");
}

#[tokio::test]
async fn a_flood_of_pages_costs_one_look_a_second_and_is_bounded() {
    let server = start().await;
    let mut pages = Vec::new();
    let mut refused = 0;
    for _ in 0..300 {
        let (stream, answer) = follow(server.address).await;
        refused += usize::from(answer.starts_with("HTTP/1.1 503"));
        pages.push(stream);
    }
    assert_eq!(refused, 300 - 256);
    // None of them reads on; others are served all the same.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(server.json("/api/v1/overview").await["overview"]["project"], "fake");
    assert!(server.backend.looks.load(Ordering::Relaxed) < 20, "the backend is looked at once a second");
    let asked: Vec<_> = (0..50).map(|_| server.json("/api/v1/tables/a%2Fb/chart")).collect();
    futures::future::join_all(asked).await;
    assert!(server.backend.readings.load(Ordering::Relaxed) <= 50);
    let before = server.backend.readings.load(Ordering::Relaxed);
    server.json("/api/v1/tables/a%2Fb/chart").await;
    assert_eq!(
        server.backend.readings.load(Ordering::Relaxed),
        before,
        "a chart of rows that did not change is remembered"
    );
    drop(pages);
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_open_pages() {
    let server = start().await;
    let (_open, _) = follow(server.address).await;
    server.stop.send(()).expect("is running");
    tokio::time::timeout(Duration::from_secs(3), server.task)
        .await
        .expect("ends soon")
        .expect("no panic")
        .expect("no error");
}
