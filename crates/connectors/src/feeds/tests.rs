//! Feeds: the same records for the same settings, straight or with a stop in the middle.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use millstream_protocol::records::Scratch;
use serde_json::Value as Json;
use tokio::sync::watch;

use super::runtime::prepare;
use super::spec::TopicConfig;
use super::*;
use crate::embedded::{EmbeddedLog, TopicSpec};
use crate::records::visit;
use crate::testing::MemoryLog;

const AUDITS: &str = r#"
topic: mta-turnstile
key: "{C/A}/{SCP}"
generate:
  seed: 7
  clock: { start: 2024-01-06 00:00:00, speed: 7200 }
  tables:
    turnstiles:
      csv: |
        C/A,SCP,STATION,size
        A002,02-00-00,59 ST,10
        A006,00-00-01,"5 AV/59 ST, N",3
        R141,00-00-02,14 ST,1
  each: { table: turnstiles, every: 4 hours, spread: 2 hours, jitter: 30 seconds }
  fields:
    C/A: { column: C/A }
    SCP: { column: SCP }
    STATION: { column: STATION }
    DATE: { time: MM/dd/yyyy }
    TIME: { time: "HH:mm:ss" }
    DESC: { choice: { REGULAR: 9, RECOVR AUD: 1 } }
    ENTRIES:
      counter: { start: [1000, 9000], step: [10, 900], reset: 0.01, backwards: 0.2 }
      by_hour: [1, 1, 1, 1, 2, 5, 9, 14, 16, 9, 7, 7, 8, 8, 9, 11, 15, 18, 14, 9, 6, 5, 3, 2]
      times: size
  late: { share: 0.05, by: 8 hours }
  duplicates: 0.05
  bad: 0.05
"#;

fn all(spec: &str, base: &Path, count: usize) -> Vec<FeedRecord> {
    let spec: FeedSpec = from_yaml(spec).unwrap();
    let mut cursor = prepare(&spec, base, None, 1_700_000_000_000_000).unwrap();
    let mut out = Vec::new();
    let mut last_due = 0;
    while out.len() < count {
        let Some(due) = cursor.due_us().unwrap() else { break };
        assert!(due >= last_due, "moments never fall");
        last_due = due;
        out.extend(cursor.next().unwrap().unwrap());
    }
    out
}

fn texts(records: &[FeedRecord]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8(r.value.clone()).unwrap()).collect()
}

fn no_dir() -> &'static Path {
    Path::new("/nonexistent")
}

#[test]
fn a_seed_gives_the_same_records_again() {
    let first = all(AUDITS, no_dir(), 500);
    assert_eq!(first, all(AUDITS, no_dir(), 500));
    assert_ne!(first, all(&AUDITS.replace("seed: 7", "seed: 8"), no_dir(), 500));
}

#[test]
fn audits_look_like_audits() {
    let lines = texts(&all(AUDITS, no_dir(), 2000));
    let good: Vec<Vec<String>> = lines
        .iter()
        .map(|l| lines::csv_fields(l.as_bytes()))
        .filter(|f| f.len() == 7 && !f.contains(&"#N/A".into()))
        .collect();
    let bad = lines.len() - good.len();
    assert!((50..160).contains(&bad), "{bad} of {}", lines.len());
    let twice = lines.windows(2).filter(|w| w[0] == w[1]).count();
    assert!((50..160).contains(&twice), "{twice}");
    assert!(good.iter().any(|f| f[2] == "5 AV/59 ST, N"), "quoted where it must be");
    let first: Vec<i64> = good.iter().filter(|f| f[0] == "A002").take(20).map(|f| f[6].parse().unwrap_or(0)).collect();
    assert!(first.windows(2).filter(|w| w[1] >= w[0]).count() > 15, "counters grow: {first:?}");
    let record = &all(AUDITS, no_dir(), 1)[0];
    let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
    assert!(["A002/02-00-00", "A006/00-00-01", "R141/00-00-02"].contains(&key.as_str()), "{key}");
}

#[test]
fn four_hourly_rows_are_paced_by_the_clock() {
    let spec: FeedSpec = from_yaml(AUDITS).unwrap();
    let mut cursor = prepare(&spec, no_dir(), None, 0).unwrap();
    for _ in 0..300 {
        cursor.next().unwrap();
    }
    // A hundred rounds of four hours, 7,200 seconds in one.
    let due = cursor.due_us().unwrap().unwrap();
    assert!((200_000_000..=201_000_000).contains(&due), "{due}");
}

#[test]
fn nested_json_and_every_kind_of_field() {
    let spec = r#"
topic: weather
key: id
generate:
  format: json
  rate: 10
  limit: 40
  clock: { start: 2024-07-01 00:00:00, speed: 21600 }
  tables:
    stations: { csv: "id,name,lat\nUSW00023183,PHOENIX,33.4\nUSW00003103,FLAGSTAFF,35.1\n" }
    places: { count: 3 }
  each: { table: stations }
  fields:
    id: { column: id }
    station: { object: { id: { column: id }, name: { column: name }, lat: { column: lat } } }
    date: { time: "%Y-%m-%dT%H:%M:%S" }
    seconds: { number: { min: 60, max: 70 } }
    end: { time: yyyy-MM-dd HH:mm:ss, plus: seconds }
    n: { sequence: { start: 5, step: 2 } }
    temp: { wave: { min: -5, max: 40, period: 1 day, peak: 15 hours, noise: 1, decimals: 1 } }
    walk: { walk: { start: 20, step: 1, min: 0, max: 30, decimals: 2 } }
    open: { opening: { from: 9 hours, to: 21 hours } }
    wait: { number: { min: 5, max: 90 }, only_if: { open: true }, otherwise: 0 }
    place: { pick: { table: places, column: id, as: a } }
    same: { pick: { table: places, column: id, as: a } }
    text: { template: "{id} at {date}" }
    maybe: { const: x, blank: 0.5 }
"#;
    let records = all(spec, no_dir(), 1000);
    assert_eq!(records.len(), 40);
    for (number, record) in records.iter().enumerate() {
        let json: Json = serde_json::from_slice(&record.value).unwrap();
        assert_eq!(json["n"], 5 + 2 * number as i64);
        assert_eq!(json["station"]["id"], json["id"]);
        assert!(json["station"]["lat"].is_f64());
        assert_eq!(json["place"], json["same"]);
        let closed = json["open"] == Json::Bool(false);
        assert_eq!(json["wait"] == 0, closed, "{json}");
        assert!(json["temp"].as_f64().unwrap() <= 41.0);
        assert_eq!(json["text"], format!("{} at {}", json["id"].as_str().unwrap(), json["date"].as_str().unwrap()));
        assert!(json.get("maybe").is_none_or(|m| m == "x"));
    }
    assert!(records[0].value.starts_with(b"{\"id\":"));
}

#[test]
fn layouts_take_turns() {
    let spec = r#"
topic: trips
generate:
  rate: 1
  fields:
    a: { sequence: {} }
    old: { time: yyyy-MM-dd }
    new: { time: MM/dd/yy }
  layouts:
    - { fields: [a, old], weight: 3 }
    - { fields: [new, a], suffix: "\r" }
"#;
    let lines = texts(&all(spec, no_dir(), 100));
    let new = lines.iter().filter(|l| l.contains('/') && l.ends_with('\r')).count();
    assert!((10..50).contains(&new), "{new}");
}

#[test]
fn mistakes_are_told_by_name() {
    let cases = [
        ("seed: 7", "sed: 7", "did you mean `seed`"),
        ("{ column: SCP }", "{ column: SPC }", "no column SPC"),
        ("key: \"{C/A}/{SCP}\"", "key: \"{CA}\"", "no field `CA`"),
        ("table: turnstiles", "table: turnstile", "no table"),
        ("every: 4 hours", "every: often", "not a duration"),
        ("bad: 0.05", "bad: 5", "not a share"),
        ("speed: 7200", "speed: 0", "not above 0"),
        ("DATE: { time: MM/dd/yyyy }", "DATE: { time: MM/dd/yyyy, column: SCP }", "exactly one is needed"),
        ("jitter: 30 seconds }", "jitter: 30 seconds }\n  rate: 3", "either rate"),
    ];
    for (right, wrong, expected) in cases {
        let text = AUDITS.replacen(right, wrong, 1);
        assert_ne!(text, AUDITS, "{right}");
        let error = match from_yaml::<FeedSpec>(&text) {
            Err(error) => error,
            Ok(spec) => check_feed("audits", &spec, no_dir()).unwrap_err().to_string(),
        };
        assert!(error.contains(expected), "{wrong}: {error}");
    }
}

fn trips(dir: &Path) {
    let file = std::fs::File::create(dir.join("trips.csv.gz")).unwrap();
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    out.write_all(b"id,\"started at\",station\n1,\"2024-01-01 00:00:10\",7\n2,2024-01-01 00:00:05,8\nbroken\n3,2024-01-02 12:00:00,\"9, x\"\n")
        .unwrap();
    out.finish().unwrap();
}

const TRIPS: &str = r#"
topic: trips
key: station
replay:
  file: trips.csv.gz
  time: { column: started at }
  speed: 3600
  loop: true
"#;

#[test]
fn a_file_is_played_in_rounds_with_later_times() {
    let dir = tempfile::tempdir().unwrap();
    trips(dir.path());
    let records = all(TRIPS, dir.path(), 9);
    assert_eq!(
        texts(&records),
        [
            "1,\"2024-01-01 00:00:10\",7",
            "2,2024-01-01 00:00:05,8",
            "broken",
            "3,2024-01-02 12:00:00,\"9, x\"",
            "1,\"2024-01-03 00:00:10\",7",
            "2,2024-01-03 00:00:05,8",
            "broken",
            "3,2024-01-04 12:00:00,\"9, x\"",
            "1,\"2024-01-05 00:00:10\",7",
        ]
    );
    assert_eq!(records[3].key.as_deref(), Some(&b"9, x"[..]));
    let sorted = texts(&all(&TRIPS.replace("loop: true", "sort: true"), dir.path(), 9));
    assert_eq!(sorted.len(), 4);
    assert!(sorted[0].starts_with('2'), "{sorted:?}");
}

#[test]
fn times_may_stand_in_two_columns_or_in_json() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), "DATE,TIME\n01/06/2024,23:00:00\n01/07/2024,03:00:00\n").unwrap();
    let spec = r#"
topic: t
replay:
  file: a.txt
  format: csv
  time: [{ column: DATE, pattern: MM/dd/yyyy }, { column: TIME, pattern: "HH:mm:ss" }]
  span: 7 days
  loop: true
"#;
    assert_eq!(texts(&all(spec, dir.path(), 4))[2..], ["01/13/2024,23:00:00", "01/14/2024,03:00:00"]);
    std::fs::write(dir.path().join("b.json"), "{\"at\":{\"ms\":1000},\"k\":1}\n").unwrap();
    let spec = "topic: t\nkey: k\nreplay: { file: b.json, time: { column: at.ms, pattern: epoch_ms }, loop: true }\n";
    let records = all(spec, dir.path(), 2);
    assert_eq!(texts(&records)[1], "{\"at\":{\"ms\":86401000},\"k\":1}");
    assert_eq!(records[0].key.as_deref(), Some(&b"1"[..]));
}

async fn values(log: &MemoryLog, topic: &str) -> BTreeMap<i32, Vec<Vec<u8>>> {
    let mut out = BTreeMap::new();
    for info in log.topics().into_iter().filter(|t| t.name == topic) {
        for partition in 0..info.partitions {
            let bytes = log.read(topic, partition, 0, usize::MAX).await.unwrap();
            let of: &mut Vec<Vec<u8>> = out.entry(partition).or_default();
            visit::<()>(&bytes, &mut Scratch::default(), |r| {
                of.push(r.value.unwrap().to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
        }
    }
    out
}

/// Lets a feed run until so many records are there.
async fn run_until(log: &Arc<MemoryLog>, spec: &str, base: &Path, records: u64) {
    let spec: FeedSpec = from_yaml(spec).unwrap();
    let log: Arc<dyn EmbeddedLog> = Arc::clone(log) as Arc<dyn EmbeddedLog>;
    let mut target = EmbeddedProducer::open(log, "feed", &spec.topic).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let status = watch::Sender::new(FeedStatus::default());
    let mut seen = status.subscribe();
    let stopping = async {
        let _ = seen.wait_for(|s| s.records >= records || s.done).await;
        stop.send(true).unwrap();
    };
    let (done, ()) = tokio::join!(run_feed("feed", &spec, base, &mut target, stopped, &status), stopping);
    done.unwrap();
}

#[tokio::test]
async fn a_restart_goes_on_with_the_next_record() {
    let dir = tempfile::tempdir().unwrap();
    trips(dir.path());
    let flat_trips = TRIPS.replace("speed: 3600", "speed: max").replace("loop: true", "loop: true\n  span: 2 days");
    let flat_audits = AUDITS.replace("speed: 7200", "speed: 100000000");
    for spec in [flat_trips, flat_audits] {
        let log = MemoryLog::new();
        let topic = from_yaml::<FeedSpec>(&spec).unwrap().topic;
        log.ensure_topic(&topic, TopicSpec { partitions: 1, configs: vec![] }).await.unwrap();
        for _ in 0..4 {
            run_until(&log, &spec, dir.path(), 30).await;
        }
        let there = values(&log, &topic).await.remove(&0).unwrap();
        let straight: Vec<Vec<u8>> = all(&spec, dir.path(), there.len()).into_iter().map(|r| r.value).collect();
        assert!(there.len() >= 120);
        assert_eq!(there, straight[..there.len()]);
    }
}

#[tokio::test]
async fn a_topic_that_is_deleted_meanwhile_is_made_again() {
    let log = MemoryLog::new();
    log.ensure_topic("t", TopicSpec { partitions: 4, configs: vec![] }).await.unwrap();
    let dynamic = || Arc::clone(&log) as Arc<dyn EmbeddedLog>;
    let mut target = EmbeddedProducer::open(dynamic(), "feed", "t").await.unwrap();
    let record = |value: &str| FeedRecord { key: None, value: value.as_bytes().to_vec() };
    let state = |position: u64| serde_json::json!({ "position": position, "state": position });
    for (position, value) in [(1, "a"), (2, "b")] {
        target.produce(&[record(value)], &state(position)).await.unwrap();
    }
    log.delete_topic("t");
    target.produce(&[record("c")], &state(3)).await.unwrap();
    assert_eq!(values(&log, "t").await, BTreeMap::from([(0, vec![b"c".to_vec()])]));
    let states = log.offsets("__millstream.feed.feed", 0).unwrap();
    assert_eq!((states.high_watermark, target.last_state().await.unwrap()), (3, Some(state(3))));
}

/// A target that counts, and refuses at first.
struct Reluctant(usize, Vec<FeedRecord>);

#[async_trait]
impl Produce for Reluctant {
    async fn last_state(&mut self) -> Result<Option<Json>, ProduceError> {
        Ok(None)
    }
    async fn produce(&mut self, records: &[FeedRecord], _: &Json) -> Result<(), ProduceError> {
        if self.0 > 0 {
            self.0 -= 1;
            return Err(ProduceError::Unavailable("no space left on device".into()));
        }
        self.1.extend_from_slice(records);
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_makes_a_feed_wait_and_lose_nothing() {
    let spec: FeedSpec =
        from_yaml("topic: t\ngenerate: { rate: 5000, limit: 250, fields: { n: { sequence: {} } } }").unwrap();
    let mut target = Reluctant(1, Vec::new());
    let (_stop, stopped) = watch::channel(false);
    let status = watch::Sender::new(FeedStatus::default());
    run_feed("f", &spec, no_dir(), &mut target, stopped, &status).await.unwrap();
    let numbers: Vec<String> = texts(&target.1);
    assert_eq!(numbers, (0..250).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(status.borrow().done);
}

#[test]
fn topics_have_partitions_and_configurations() {
    let topics: BTreeMap<String, TopicConfig> =
        from_yaml("a: { partitions: 3, configs: { retention.bytes: 1000, cleanup.policy: delete } }\nb: {}\n").unwrap();
    let spec = topics["a"].spec();
    assert_eq!(spec.partitions, 3);
    assert_eq!(spec.configs[1], ("retention.bytes".into(), "1000".into()));
    assert_eq!(topics["b"].spec(), TopicSpec::default());
}
