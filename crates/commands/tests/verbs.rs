//! The verbs against a broker of ours, from argument line to output.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use clap::Parser;
use millstream_broker::configs::properties::Setting;
use millstream_broker::security::certificate::development;
use millstream_broker::{Broker, BrokerConfig};
use millstream_commands::{Command, CommandError, Screen, run};
use millstream_log::{Log, LogOptions};
use millstream_protocol::sasl::Secret;
use serde_json::Value;
use tokio::net::TcpListener;

/// Folders are the binary's.
fn no_folder(_: &std::path::Path) -> Result<Box<dyn millstream_commands::UserStore>, CommandError> {
    Err(CommandError::Folder("no folder here".to_owned()))
}

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What was written to one side of the screen.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A reader of the output that has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A broker, and verbs against it.
struct Server {
    address: String,
    broker: Arc<Broker>,
    _dir: tempfile::TempDir,
}

struct Done {
    out: String,
    notes: String,
    error: Option<String>,
}

impl Done {
    fn json(&self) -> Vec<Value> {
        assert!(self.error.is_none(), "{:?}", self.error);
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Server {
    async fn start() -> Server {
        Server::start_with(BrokerConfig::default()).await
    }

    async fn start_with(config: BrokerConfig) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) =
            Log::open(dir.path(), LogOptions { journal_file_bytes: 1 << 20, ..LogOptions::default() }).unwrap();
        let listener = config.listeners().unwrap().remove(0);
        let broker = Broker::open(log, config).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        tokio::spawn(broker.clone().serve_listener(listener, socket));
        Server { address, broker, _dir: dir }
    }

    async fn run(&self, line: &str) -> Done {
        self.with(line, "").await
    }

    /// Runs a verb with this on standard input.
    async fn with(&self, line: &str, input: &str) -> Done {
        let (out, notes) = (Sink::default(), Sink::default());
        let mut screen = screen(Box::new(out.clone()), notes.clone(), input);
        let error = self.on(line, &mut screen).await;
        let text = |sink: Sink| String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        Done { out: text(out), notes: text(notes), error }
    }

    async fn on(&self, line: &str, screen: &mut Screen) -> Option<String> {
        let words = ["millstream"].into_iter().chain(line.split_whitespace()).chain(["--bootstrap", &self.address]);
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        run(&cli.command, no_folder, screen).await.err().map(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.broker.stop();
    }
}

fn screen(out: Box<dyn Write + Send>, notes: Sink, input: &str) -> Screen {
    Screen {
        out,
        notes: Box::new(notes),
        input: Some(Box::new(Cursor::new(input.to_owned()))),
        is_terminal: false,
        input_is_terminal: false,
        notes_are_terminal: false,
        colour: false,
        width: None,
        now_ms: || 1_700_000_600_000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_listed_described_changed_and_deleted() {
    let server = Server::start().await;
    let made = server.run("topics create a b --partitions 3 --config retention.ms=7d").await;
    assert_eq!((made.error, made.notes.as_str()), (None, "created a: 3 partitions\ncreated b: 3 partitions\n"));
    let again = server.run("topics create a").await.error.unwrap();
    assert!(again.contains("TOPIC_ALREADY_EXISTS") && again.contains("--if-missing"), "{again}");
    assert_eq!(server.run("topics create a --if-missing").await.notes, "a is there already\n");
    server.with("produce a --timestamp 1700000000000", "1\n2\n").await;

    let listed = server.run("topics list").await.json();
    assert_eq!(listed.iter().map(|topic| &topic["topic"]).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((&listed[0]["records"], &listed[0]["partitions"]), (&2.into(), &3.into()));
    assert_eq!(listed[0]["newest"], "2023-11-14T22:13:20.000Z");
    assert!(listed[0]["bytes"].as_i64().unwrap() > 0 && listed[1].get("newest").is_none());
    assert_eq!(server.run("topics list b*").await.json().len(), 1);
    assert_eq!(server.run("topics list zzz* --table").await.notes, "no topic is like 'zzz*'\n");
    let own = server.run("topics describe __consumer_offsets").await.error.unwrap();
    assert!(own.contains("broker's own") && !own.contains("create"), "{own}");
    let table = server.run("topics list --table").await.out;
    assert!(table.starts_with("topic  partitions") && table.contains("(10 m ago)"), "{table}");

    let described = &server.run("topics describe a").await.json()[0];
    assert_eq!(described["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(described["settings"][0]["name"], "retention.ms");
    assert_eq!(
        (&described["settings"][0]["value"], &described["settings"][0]["source"]),
        (&"604800000".into(), &"topic".into())
    );

    let changed = server.run("topics alter a --partitions 4 --config segment.bytes=64MiB --unset retention.ms").await;
    assert_eq!(
        changed.notes,
        "a: segment.bytes = 67108864 (64 MiB)\na: retention.ms has its default again\na has 4 partitions now\n"
    );
    assert!(server.run("topics alter a").await.error.unwrap().contains("nothing to change"));
    assert!(server.run("topics delete a").await.error.unwrap().contains("--yes"));
    assert!(server.run("topics delete aa --yes").await.error.unwrap().contains("did you mean 'a'?"));
    assert_eq!(server.run("topics delete a aa --yes --if-exists").await.notes, "aa is not there\ndeleted a\n");
    assert_eq!(server.run("topics list").await.json().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_consume_prints_produce_takes() {
    let server = Server::start().await;
    server.run("topics create one two --partitions 2").await;
    let lines = [
        r#"{"key":"k","value":{"a": [1, 2.50]},"headers":{"h":"x","n":null,"b":{"base64":"/w=="},"m":["1","2"]},"timestamp":1700000000001}"#,
        r#"{"key":null,"value":"plain \"text\"","timestamp":"2023-11-14T22:13:20.002Z","partition":1}"#,
        r#"{"key":"k","value":null,"timestamp":1700000000003}"#,
        r#"{"value":"//4=","value_encoding":"base64","timestamp":1700000000004}"#,
    ];
    let sent = server.with("produce one --format json -z zstd", &lines.join("\n")).await;
    assert!(sent.error.is_none() && sent.notes.starts_with("4 records ("), "{} {:?}", sent.notes, sent.error);
    let first = server.run("consume one").await.out;
    assert_eq!(first.lines().count(), 4);
    assert!(first.contains(r#""value":{"a": [1, 2.50]}"#) && first.contains(r#""value_encoding":"base64""#), "{first}");
    let copied = server.with("produce two --format json", &first).await;
    assert_eq!(copied.error, None);
    let second = server.run("consume two").await.out.replace(r#""topic":"two""#, r#""topic":"one""#);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&first), sorted(&second));
    // An empty text and null are told apart by csv, too.
    server.run("topics create nulls again").await;
    let odd = "{\"key\":\"\",\"value\":null}\n{\"key\":null,\"value\":\"\"}\n";
    server.with("produce nulls --format json", odd).await;
    let csv = server.run("consume nulls --format csv").await.out;
    assert_eq!(server.with("produce again --format csv", &csv).await.error, None);
    let again = server.run("consume again").await.json();
    assert_eq!((&again[0]["key"], &again[0]["value"]), (&"".into(), &Value::Null));
    assert_eq!((&again[1]["key"], &again[1]["value"]), (&Value::Null, &"".into()));
    // csv as well, as far as it can.
    let csv = server.run("consume one --format csv").await.out;
    server.run("topics create three --partitions 2").await;
    assert_eq!(server.with("produce three --format csv --tombstones", &csv.replace("\u{fffd}", "?")).await.error, None);
    assert_eq!(server.run("consume three").await.json().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_keys_headers_and_wrong_input() {
    let server = Server::start_with(
        BrokerConfig::from_settings([Setting::parse("auto.create.topics.enable=false").unwrap()]).unwrap(),
    )
    .await;
    let missing = server.with("produce t", "x\n").await.error.unwrap();
    assert!(missing.contains("millstream topics create t"), "{missing}");
    let sent = server.with("produce t --create --key-separator : -H a=1 -H b=2", "k:v\nplain\n").await;
    assert_eq!(sent.error, None);
    let records = server.run("consume t").await.json();
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&"k".into(), &"v".into()));
    assert_eq!((&records[1]["key"], &records[1]["headers"]["b"]), (&Value::Null, &"2".into()));
    assert_eq!(server.run("consume t --format raw -K =").await.out, "k=v\n=plain\n");
    let wrong = server.with("produce t --format json", "{\"value\":1}\n{\"vlaue\":1}\n").await;
    assert!(wrong.error.unwrap().starts_with("standard input, line 2: unknown field `vlaue`"));
    assert_eq!(server.run("consume t").await.json().len(), 3, "what was right before it was sent");
    let large = server.with("produce t --batch-bytes 100", &format!("a\n{}\n", "x".repeat(200))).await.error.unwrap();
    assert!(
        large.starts_with("standard input, line 2: the record takes") && large.contains("--batch-bytes"),
        "{large}"
    );
    assert!(
        server.with("produce t --partition 9", "").await.error.unwrap().contains("no partition 9: they are 0 to 0")
    );
    assert!(server.run("produce t no-such-file").await.error.unwrap().starts_with("no-such-file: No such file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_made_by_producing() {
    let server = Server::start().await;
    let made = server.with("produce orders", "x\n").await;
    assert!(made.error.is_none() && made.notes.starts_with("orders is a new topic, 1 partition\n"), "{}", made.notes);
    let typo = server.with("produce order", "x\n").await;
    assert!(typo.notes.contains("did you mean 'orders'?"), "{}", typo.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_bad_line_can_be_skipped() {
    let server = Server::start().await;
    let wrong = server.with("produce t -F csv", "key,value\na,1\nb,2\nc\nd,4\n").await.error.unwrap();
    assert!(wrong.starts_with("standard input, line 4: ") && wrong.ends_with("go on with --skip 2"), "{wrong}");
    assert_eq!(server.with("produce t -F csv --skip 2", "key,value\na,1\nb,2\nc,3\nd,4\n").await.error, None);
    assert_eq!(server.run("consume t -F raw").await.out, "1\n2\n3\n4\n");
}

/// Lines, and before the second the broker goes.
struct Interrupted(Arc<Broker>, u8);

impl std::io::Read for Interrupted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 += 1;
        match self.1 {
            1 => {}
            2 => {
                std::thread::sleep(std::time::Duration::from_millis(300));
                self.0.stop();
            }
            _ => return Ok(0),
        }
        buffer[..2].copy_from_slice(b"x\n");
        Ok(2)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn produce_says_why_it_waits_and_ends_with_what_is_acknowledged() {
    let server = Server::start().await;
    server.run("topics create t").await;
    let notes = Sink::default();
    let mut screen = screen(Box::new(Sink::default()), notes.clone(), "");
    screen.input = Some(Box::new(Interrupted(server.broker.clone(), 0)));
    let error = server.on("produce t --timeout 2s", &mut screen).await.unwrap();
    assert!(error.starts_with("1 record of 2 acknowledged: t-0 was not delivered within 2000 ms: "), "{error}");
    let notes = String::from_utf8(notes.0.lock().unwrap().clone()).unwrap();
    assert!(notes.starts_with("waiting, 1 record acknowledged so far: "), "{notes}");
    assert!(!notes.contains("into t"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_may_be_packed_and_whole() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines.gz");
    let mut packed = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
    packed.write_all(b"1\n2\n").unwrap();
    packed.finish().unwrap();
    let other = dir.path().join("whole");
    std::fs::write(&other, "a\nb\n").unwrap();
    assert_eq!(server.run(&format!("produce t --create {}", path.display())).await.error, None);
    assert_eq!(server.run(&format!("produce t --whole {}", other.display())).await.error, None);
    assert_eq!(server.run("consume t --format raw").await.out, "1\n2\na\nb\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn consume_chooses_by_time_place_key_and_text() {
    let server = Server::start().await;
    server.run("topics create t --partitions 3").await;
    let lines: Vec<String> = (0..300)
        .map(|n| {
            let ms = 1_700_000_000_000i64 + n * 1000;
            format!(r#"{{"key":"k{}","value":"v{n}","timestamp":{ms},"partition":{}}}"#, n % 7, n % 3)
        })
        .collect();
    assert_eq!(server.with("produce t --format json --batch-bytes 500", &lines.join("\n")).await.error, None);
    let values = |done: Done| -> Vec<String> {
        assert!(done.error.is_none(), "{:?}", done.error);
        done.out.lines().map(str::to_owned).collect()
    };
    let raw = |line: &str| format!("consume t --format raw {line}");
    assert_eq!(values(server.run(&raw("")).await).len(), 300);
    assert_eq!(values(server.run(&raw("--last 4")).await), ["v296", "v297", "v298", "v299"]);
    assert_eq!(values(server.run(&raw("--last 2 --key k3")).await), ["v290", "v297"]);
    assert_eq!(values(server.run(&raw("--last 2 --grep ^v1[0-2]$")).await), ["v11", "v12"]);
    // The screen's clock stands ten minutes after the first record.
    assert_eq!(values(server.run(&raw("--since 6m --last 1000")).await).len(), 60);
    assert_eq!(values(server.run(&raw("--since 1700000100000 --until 1700000103000")).await).len(), 3);
    assert_eq!(values(server.run(&raw("--since 6m --until 2023-11-14T22:17:21Z")).await), ["v240"]);
    assert_eq!(values(server.run(&raw("--partition 1 --offset 98")).await), ["v295", "v298"]);
    assert_eq!(values(server.run(&raw("--partition 0,2 --offset -1")).await).len(), 2);
    assert_eq!(values(server.run(&raw("--count 5")).await).len(), 5);
    assert_eq!(values(server.run(&raw("--offset latest")).await).len(), 0);
    assert!(server.run(&raw("--count 500")).await.notes.contains("200 records less than asked for"));
    assert!(server.run("consume t --partition 3").await.error.unwrap().contains("0 to 2"));
    assert!(server.run("consume tt").await.error.unwrap().contains("did you mean 't'?"));
    assert!(server.run("consume t --since soon").await.error.unwrap().contains("2026-01-31"));
    let table = server.run("consume t --format table --last 1").await.out;
    assert_eq!(table, "2023-11-14 22:18:19.000  t-2 @99  k5  v299\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn consume_follows_until_it_has_enough() {
    let server = Arc::new(Server::start().await);
    server.with("produce t --create", "1\n2\n3\n").await;
    let following = tokio::spawn({
        let server = server.clone();
        async move { server.run("consume t --follow --format raw --count 4").await.out }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    server.with("produce t", "4\n5\n6\n7\n8\n").await;
    assert_eq!(following.await.unwrap(), "1\n2\n3\n4\n5\n6\n7\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_error() {
    let server = Server::start().await;
    server.with("produce t --create", "1\n2\n").await;
    for line in ["consume t", "topics list", "consume t --last 1", "configs get topic t"] {
        assert_eq!(server.on(line, &mut screen(Box::new(Closed), Sink::default(), "")).await, None, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_lag_and_can_be_reset() {
    let server = Server::start().await;
    server.run("topics create t --partitions 2").await;
    let lines: Vec<String> = (0..20)
        .map(|n| format!(r#"{{"value":{n},"timestamp":{},"partition":{}}}"#, 1_700_000_000_000i64 + n * 10_000, n % 2))
        .collect();
    server.with("produce t --format json", &lines.join("\n")).await;
    assert_eq!(server.run("consume t --group g --format raw --partition 0").await.out.lines().count(), 10);
    assert_eq!(server.run("consume t --group g --format raw").await.out.lines().count(), 10, "goes on");
    assert_eq!(server.run("consume t --group g --format raw").await.out, "");

    let shown = server.run("groups reset g --to -3 --table").await;
    assert!(shown.notes.contains("nothing was changed") && shown.out.contains("-3"), "{}", shown.out);
    assert_eq!(server.run("groups list").await.json()[0]["lag"], 0);
    let done = server.run("groups reset g --to -3 --topic t:1 --execute").await;
    assert_eq!(done.json()[0], serde_json::json!({"topic": "t", "partition": 1, "committed": 10, "new": 7, "lag": 3}));
    let described = &server.run("groups describe g").await.json()[0];
    assert_eq!((&described["state"], &described["lag"]), (&"Empty".into(), &3.into()));
    // Record 15 of the 20 is the next: 150 s after the first, 450 s before the screen's clock.
    assert_eq!(described["partitions"][1]["behind_seconds"], 450.0);
    let listed = &server.run("groups list").await.json()[0];
    assert_eq!((&listed["lag"], &listed["behind_seconds"]), (&3.into(), &450.0.into()));
    let table = server.run("groups describe g --table").await.out;
    assert!(table.starts_with("g  Empty, 0 members, lag 3 records, 7 m 30 s behind\n"), "{table}");

    let rewound = server.run("groups reset g --to 2023-11-14T22:15:00Z --execute").await.json();
    assert_eq!(rewound.iter().map(|c| c["new"].as_i64().unwrap()).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(server.run("groups reset fresh --to earliest --topic t --execute").await.json().len(), 2);
    let missing = server.run("groups describe gg").await.error.unwrap();
    assert!(missing.contains("did you mean 'g'?"), "{missing}");
    assert!(server.run("groups reset nobody --to earliest").await.error.unwrap().contains("no group 'nobody'"));
    assert!(server.run("groups reset g --to whenever").await.error.unwrap().contains("earliest"));
    assert!(server.run("groups delete g").await.error.unwrap().contains("--yes"));
    assert_eq!(server.run("groups delete g fresh --yes").await.notes, "deleted g\ndeleted fresh\n");
    assert_eq!(server.run("groups list").await.out, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_and_changed() {
    let server = Server::start().await;
    server.run("topics create t").await;
    let all = server.run("configs get topic t").await.json();
    assert!(all.len() > 10 && all.iter().all(|setting| setting["source"] == "default"));
    assert_eq!(server.run("configs set topic t retention.ms=1h").await.notes, "t: retention.ms = 3600000 (1 h)\n");
    let own = server.run("configs get topic t --own --table").await.out;
    assert_eq!(own, "setting       value          source\nretention.ms  3600000 (1 h)  topic\n");
    let explained = server.run("configs get topic t retention.ms --explain").await.json();
    assert!(explained[0]["meaning"].as_str().is_some_and(|text| !text.is_empty()));
    server.run("configs unset topic t retention.ms").await;
    assert_eq!(server.run("configs get topic t --own").await.out, "");
    let wrong = server.run("configs get topic t retention.m").await.error.unwrap();
    assert!(wrong.contains("did you mean 'retention.ms'?"), "{wrong}");
    assert!(server.run("configs set topic t retention.ms=x").await.error.unwrap().contains("INVALID_CONFIG"));
    let broker = server.broker_id().await;
    assert!(!server.run(&format!("configs get broker {broker}")).await.json().is_empty());
    assert!(server.run("configs get broker 99").await.error.unwrap().contains(&broker));
    // A group's settings may come before the group.
    let set = server.run("configs set group readers consumer.session.timeout.ms=60s").await;
    assert!(set.notes.starts_with("group readers: consumer.session.timeout.ms = 60000"), "{}", set.notes);
    let own = server.run("configs get group readers --own").await.json();
    assert!(own.len() == 1 && own[0]["value"] == "60000" && own[0]["source"] == "group", "{own:?}");
    server.run("configs unset group readers consumer.session.timeout.ms").await;
    assert_eq!(server.run("configs get group readers --own").await.out, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_settings_of_users_clients_and_addresses() {
    let server = Server::start().await;
    assert_eq!(server.run("configs get user").await.out, "");
    let set = server.run("configs set user ann producer_byte_rate=10MiB request_percentage=12.5").await;
    assert_eq!(set.notes, "user ann: producer_byte_rate = 10485760 (10 MiB)\nuser ann: request_percentage = 12.5\n");
    server.run("configs set user ann consumer_byte_rate=2000 --client all").await;
    server.run("configs set client all consumer_byte_rate=1000").await;
    server.run("configs set ip 10.0.0.7 connection_creation_rate=20").await;
    let table = server.run("configs get user --table").await.out;
    let expected = "\
of                        setting             value
user ann, client-id all   consumer_byte_rate  2000 (2.0 kB)
user ann                  producer_byte_rate  10485760 (10 MiB)
user ann                  request_percentage  12.5
";
    assert_eq!(table.replace(' ', ""), expected.replace(' ', ""));
    let json = server.run("configs get client").await.json();
    assert_eq!(json.len(), 2, "also those of users: {json:?}");
    assert!(json.iter().all(|quota| quota["client-id"].is_null() && quota["setting"] == "consumer_byte_rate"));
    assert_eq!(server.run("configs get user ann --client all").await.json()[0]["value"], 2000.0);
    assert_eq!(server.run("configs get ip 10.0.0.7").await.json()[0]["value"], 20.0);
    let wrong = server.run("configs set user ann producer_byte_rate=lots").await.error.unwrap();
    assert!(wrong.contains("10MiB"), "{wrong}");
    assert!(server.run("configs set user ann nope=1").await.error.unwrap().contains("nope"));
    assert!(server.run("configs set client c producer_byte_rate=1 --client d").await.error.unwrap().contains("user"));
    assert!(server.run("configs get topic").await.error.unwrap().contains("name"));
    server.run("configs unset user ann producer_byte_rate request_percentage").await;
    assert_eq!(server.run("configs get user ann").await.json().len(), 1);
}

impl Server {
    async fn broker_id(&self) -> String {
        let client = millstream_client::Client::connect(&self.address, Default::default()).await.unwrap();
        client.brokers()[0].0.to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_properties_file_opens_a_secured_listener() {
    let dir = tempfile::tempdir().unwrap();
    let files = development(dir.path(), &[], None).unwrap();
    let keys = format!("ssl.keystore.location={}", files.server.display());
    let settings = ["listeners=SASL_SSL://localhost:0", "ssl.keystore.type=PEM", &keys];
    let settings = settings.map(|one| Setting::parse(one).unwrap());
    let server = Server::start_with(BrokerConfig::from_settings(settings).unwrap()).await;
    server.broker.users().set_password("ann", &Secret::new("wonder"), 4096).await.unwrap();
    let run = async |password: &str| {
        let path = dir.path().join("client.properties");
        let text = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\nssl.truststore.location={}\n\
             sasl.jaas.config=x.ScramLoginModule required username=\"ann\" password=\"{password}\";\n",
            files.authority.display()
        );
        std::fs::write(&path, text).unwrap();
        server.run(&format!("topics create t --if-missing --command-config {}", path.display())).await.error
    };
    assert_eq!(run("wonder").await, None);
    let refused = run("guess").await.unwrap();
    assert!(refused.contains("refused the log-in of \"ann\""), "{refused}");
    let plain = server.run("topics list").await.error.unwrap();
    assert!(plain.contains("--command-config"), "{plain}");

    let open = Server::start().await;
    let path = dir.path().join("needless.properties");
    let text = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=a\nsasl.password=b\n";
    std::fs::write(&path, text).unwrap();
    let needless = open.run(&format!("topics list --command-config {}", path.display())).await.error.unwrap();
    assert!(needless.contains("this listener wants no log-in"), "{needless}");
}

#[test]
fn the_command_line_is_sound() {
    <Cli as clap::CommandFactory>::command().debug_assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_listed_changed_and_deleted() {
    let server = Server::start().await;
    assert_eq!(server.run("users list").await.out, "");
    assert!(server.run("users list --table").await.notes.contains("users add NAME"));
    assert_eq!(server.with("users add ann", "wonder\nland\n").await.notes, "added ann\n");
    let again = server.with("users add ann", "other").await.error.unwrap();
    assert!(again.contains("users password ann"), "{again}");
    let listed = server.run("users list").await.json();
    assert_eq!(
        listed,
        [serde_json::json!({"user": "ann", "credentials": [
            {"mechanism": "SCRAM-SHA-256", "iterations": 4096}, {"mechanism": "SCRAM-SHA-512", "iterations": 4096}]})]
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "looking-glass\r\n").unwrap();
    let changes = || {
        let metrics = server.broker.metrics_text();
        let of_users = metrics.lines().find(|line| line.contains(r#"api="AlterUserScramCredentials""#)).unwrap();
        of_users.rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let before = changes();
    let changed = server.run(&format!("users password ann --password-file {} --iterations 8192", file.display())).await;
    assert_eq!((changed.error, changed.notes.as_str()), (None, "ann has another password\n"));
    assert_eq!(changes(), before + 1, "the password of all mechanisms is one request, so it changes for all or none");
    assert_eq!(server.run("users list").await.json()[0]["credentials"][0]["iterations"], 8192);
    assert!(server.with("users add bob", "").await.error.unwrap().contains("standard input: the first line"));
    assert!(server.run("users password an").await.error.unwrap().contains("did you mean 'ann'?"));

    let key = &server.run("users key ingest").await.json()[0];
    assert!(key["user"].as_str().unwrap().starts_with("ingest-") && key["secret"].as_str().unwrap().len() == 43);
    assert!(server.run("users delete ann").await.error.unwrap().contains("--yes"));
    let gone = server.run(&format!("users delete ann {} --yes", key["user"].as_str().unwrap())).await;
    assert!(gone.error.is_none() && gone.notes.starts_with("deleted ann\n"), "{}", gone.notes);
    assert_eq!(server.run("users list").await.out, "");
    assert_eq!(server.run("users list --data x").await.error.unwrap(), "no folder here");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_that_were_made_log_in() {
    let settings = ["listeners=SASL_PLAINTEXT://localhost:0"].map(|one| Setting::parse(one).unwrap());
    let server = Server::start_with(BrokerConfig::from_settings(settings).unwrap()).await;
    server.broker.users().set_password("admin", &Secret::new("first"), 4096).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let login = |mechanism: &str, user: &str, password: &str| {
        let path = dir.path().join(user);
        let text = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\nsasl.username={user}\nsasl.password={password}\n"
        );
        std::fs::write(&path, text).unwrap();
        format!("--command-config {}", path.display())
    };
    let admin = login("SCRAM-SHA-512", "admin", "first");
    let added = server.with(&format!("users add ann {admin}"), "wonder").await;
    assert_eq!((added.error, added.notes.as_str()), (None, "added ann\n"));
    let key = &server.run(&format!("users key {admin}")).await.json()[0];
    let (user, secret) = (key["user"].as_str().unwrap(), key["secret"].as_str().unwrap());
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for (user, password) in [("ann", "wonder"), (user, secret)] {
            let done = server.run(&format!("topics list {}", login(mechanism, user, password))).await;
            assert_eq!(done.error, None, "{mechanism} {user}");
        }
        let refused = server.run(&format!("topics list {}", login(mechanism, "ann", "guess"))).await.error.unwrap();
        assert!(refused.contains("refused the log-in"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_made_listed_and_removed_and_hold() {
    let off = Server::start().await;
    let refused = off.run("acls list").await.error.unwrap();
    assert!(refused.contains("SECURITY_DISABLED") && refused.contains("StandardAuthorizer"), "{refused}");

    let settings = [
        "listeners=SASL_PLAINTEXT://localhost:0",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:admin",
    ];
    let settings = settings.map(|one| Setting::parse(one).unwrap());
    let server = Server::start_with(BrokerConfig::from_settings(settings).unwrap()).await;
    let dir = tempfile::tempdir().unwrap();
    let mut logins = Vec::new();
    for user in ["admin", "ann"] {
        server.broker.users().set_password(user, &Secret::new("word"), 4096).await.unwrap();
        let path = dir.path().join(user);
        let text = format!("security.protocol=SASL_PLAINTEXT\nsasl.username={user}\nsasl.password=word\n");
        std::fs::write(&path, text).unwrap();
        logins.push(format!("--command-config {}", path.display()));
    }
    let (admin, ann) = (&logins[0], &logins[1]);
    let acls = async |line: &str| server.run(&format!("acls {line} {admin}")).await;
    server.with(&format!("produce orders --create {admin}"), "1\n").await;
    let consume = format!("consume orders --group billing --format raw {ann}");
    assert!(server.run(&consume).await.error.is_some());
    assert!(server.run(&format!("acls list {ann}")).await.error.unwrap().contains("CLUSTER_AUTHORIZATION_FAILED"));

    let made = acls("add --allow ann --operation read --topic orders --group billing").await.json();
    assert_eq!(made.len(), 2);
    assert_eq!(
        made[0],
        serde_json::json!({"principal": "User:ann", "permission": "allow", "operation": "read", "resource": "topic",
            "name": "orders", "pattern": "literal", "host": "*"})
    );
    assert_eq!(server.run(&consume).await.out, "1\n");
    acls("add --deny ann --operation write,delete --topic ord --prefix --host 10.0.0.1").await;
    acls("add --allow bob --operation all --cluster").await;

    assert_eq!(acls("list").await.json().len(), 5);
    assert_eq!(acls("list --topic orders").await.json().len(), 3, "the prefix holds for it, too");
    assert_eq!(acls("list --topic ord --prefix --operation write").await.json().len(), 1);
    assert_eq!(acls("list --deny ann").await.json().len(), 2);
    assert_eq!(acls("list --principal ann --principal bob --host *").await.json().len(), 3);
    assert!(acls("list --principal nobody --table").await.notes.contains("no such rules"));
    let table = acls("list --table").await.out;
    assert!(table.contains("ord… (prefix)") && table.contains("kafka-cluster"), "{table}");

    assert!(acls("remove").await.error.unwrap().contains("--principal"));
    let shown = acls("remove --principal ann").await;
    assert_eq!(shown.json().len(), 4);
    assert!(shown.notes.starts_with("4 rules; nothing was changed") && shown.notes.contains("--execute"));
    assert_eq!(acls("list").await.json().len(), 5);
    let gone = acls("remove --allow ann --topic orders --execute").await;
    assert_eq!((gone.json().len(), gone.notes.as_str()), (1, "removed 1 rule\n"));
    assert!(server.run(&consume).await.error.is_some());
    assert_eq!(acls("remove --topic ord --execute").await.notes, "removed 0 rules\n", "a prefix is no name");
    assert_eq!(acls("remove --topic ord --prefix --execute").await.notes, "removed 2 rules\n");
    assert_eq!(acls("list").await.json().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_error_says_what_to_do() {
    let error = |address: &'static str| async move {
        let cli = Cli::try_parse_from(["millstream", "topics", "list", "-b", address]).unwrap();
        let mut screen = screen(Box::new(Sink::default()), Sink::default(), "");
        run(&cli.command, no_folder, &mut screen).await.unwrap_err().to_string()
    };
    let refused = error("127.0.0.1:1").await;
    assert!(refused.starts_with("no broker at 127.0.0.1:1") && refused.contains("millstream up"), "{refused}");
    assert!(error("localhost").await.contains("HOST:PORT"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: &'static str = listener.local_addr().unwrap().to_string().leak();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let foreign = error(address).await;
    assert!(foreign.contains("not as a Kafka broker"), "{foreign}");
}
