//! The log of flows and tables over a log in memory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use millstream_engine::{Commit, CommitError, DeadLetter, FlowLog, Progress, RecordId, SystemClock, Totals};
use millstream_protocol::partition_for_key;
use millstream_protocol::records::Scratch;

use super::*;
use crate::embedded::{EmbeddedLog, TopicSpec};
use crate::records::visit;
use crate::testing::MemoryLog;

fn rows(from: i64, count: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
    let unit: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + count).map(|n| format!("R{}", n % 3))));
    RecordBatch::try_from_iter_with_nullable([("n", n, true), ("unit", unit, true)]).unwrap()
}

fn progress(epoch: u64) -> Progress {
    Progress {
        epoch,
        fingerprint: "f".into(),
        sources: BTreeMap::new(),
        origins: BTreeMap::new(),
        clocks: BTreeMap::new(),
        watermark_us: Some(5),
        evicted_until_us: None,
        snapshot: None,
        totals: Totals::default(),
        reading: None,
    }
}

fn commit(epoch: u64, rows: Vec<RecordBatch>) -> Commit {
    Commit { rows, late: vec![], dead: vec![], progress: progress(epoch) }
}

async fn open(log: &Arc<MemoryLog>, options: TableLogOptions) -> (Arc<TableHub>, Arc<TableLog>) {
    let log: Arc<dyn EmbeddedLog> = Arc::clone(log) as Arc<dyn EmbeddedLog>;
    let hub = TableHub::open(log, "t", rows(0, 0).schema()).await.unwrap();
    let flow = TableLog::open(Arc::clone(&hub), Arc::new(SystemClock), options).await.unwrap();
    (hub, flow)
}

fn options() -> TableLogOptions {
    TableLogOptions {
        flow: "t".into(),
        delivery: None,
        late_topic: None,
        dead_letters: "p.dead-letters".into(),
        keep: KeepProgress::SinceSnapshot,
        session: Default::default(),
    }
}

type Seen = (Option<String>, Option<String>, Vec<(String, String)>);

async fn records(log: &MemoryLog, topic: &str, partition: i32) -> Vec<Seen> {
    let start = log.offsets(topic, partition).unwrap().log_start;
    let bytes = log.read(topic, partition, start, usize::MAX).await.unwrap();
    let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
    let mut out = Vec::new();
    visit::<()>(&bytes, &mut Scratch::default(), |record| {
        let headers = record.headers.map(|h| h.unwrap()).map(|(n, v)| (n.to_owned(), text(v).unwrap_or_default()));
        out.push((text(record.key), text(record.value), headers.collect()));
        ControlFlow::Continue(())
    })
    .unwrap();
    out
}

#[tokio::test]
async fn a_commit_is_one_append_of_everything() {
    let log = MemoryLog::new();
    log.ensure_topic("out", TopicSpec { partitions: 4, configs: vec![] }).await.unwrap();
    let properties =
        [("millstream.topic", "out"), ("millstream.topic.key", "unit")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let delivery =
        Delivery::of("t", &rows(0, 0).schema(), &properties.into_iter().collect(), &Default::default()).unwrap();
    let (hub, flow) = open(&log, TableLogOptions { delivery, late_topic: Some("late".into()), ..options() }).await;
    let before = log.appends();
    let dead = DeadLetter {
        value: b"bad".to_vec(),
        error_class: "CAST_INVALID_INPUT".into(),
        message: "no number".into(),
        key: Some(b"k".to_vec()),
        record: Some(RecordId { topic: "in".into(), partition: 2, offset: 7 }),
        kept: false,
    };
    let all = Commit { late: vec![rows(9, 1)], dead: vec![dead], ..commit(1, vec![rows(0, 5)]) };
    flow.commit(all).await.unwrap();
    assert_eq!(log.appends(), before + 1);

    let table = hub.reader().read(0, 1, 1 << 20).await.unwrap();
    assert_eq!((table.batches, table.next_offset), (vec![rows(0, 5)], 1));
    assert_eq!(hub.tail().newest(10), [rows(0, 5)]);
    for unit in ["R0", "R1", "R2"] {
        let there = records(&log, "out", partition_for_key(unit.as_bytes(), 4)).await;
        let of_unit = there.iter().filter(|(key, ..)| key.as_deref() == Some(unit)).count();
        assert_eq!(of_unit, if unit == "R2" { 1 } else { 2 }, "{unit}: {there:?}");
    }
    let first = &records(&log, "out", partition_for_key(b"R0", 4)).await[0];
    assert_eq!(first.1.as_deref(), Some(r#"{"n":0,"unit":"R0"}"#));
    let late = records(&log, "late", 0).await;
    assert_eq!(late[0].1.as_deref(), Some(r#"{"n":9,"unit":"R0"}"#));
    let letter = &records(&log, "p.dead-letters", 0).await[0];
    let headers: Vec<(&str, &str)> = letter.2.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!((letter.0.as_deref(), letter.1.as_deref()), (Some("k"), Some("bad")));
    assert_eq!(
        headers,
        [
            ("flow", "t"),
            ("error.class", "CAST_INVALID_INPUT"),
            ("error.message", "no number"),
            ("row.kept", "false"),
            ("source.topic", "in"),
            ("source.partition", "2"),
            ("source.offset", "7"),
        ]
    );
    assert_eq!(flow.last().await.unwrap(), Some(progress(1)));
}

#[tokio::test]
async fn a_refused_commit_leaves_nothing_and_can_be_repeated() {
    let log = MemoryLog::new();
    let (hub, flow) = open(&log, options()).await;
    log.refuse_appends(1);
    let refused = flow.commit(commit(1, vec![rows(0, 3)])).await;
    assert!(matches!(refused, Err(CommitError::Unavailable(_))));
    assert_eq!(hub.reader().offsets().unwrap().high_watermark, 0);
    assert!(hub.tail().newest(5).is_empty());
    assert_eq!(flow.last().await.unwrap(), None);
    flow.commit(commit(1, vec![rows(0, 3)])).await.unwrap();
    assert_eq!(hub.tail().newest(5), [rows(0, 3)]);
}

#[tokio::test]
async fn progress_is_kept_from_the_last_snapshot_on() {
    let log = MemoryLog::new();
    let (_, flow) = open(&log, options()).await;
    for epoch in 1..=10 {
        flow.commit(commit(epoch, vec![])).await.unwrap();
    }
    let epochs = |all: Vec<Progress>| all.into_iter().map(|p| p.epoch).collect::<Vec<_>>();
    assert_eq!(epochs(flow.since(0).await.unwrap()), (1..=10).collect::<Vec<_>>());
    flow.snapshot_taken(6).await.unwrap();
    assert_eq!(epochs(flow.since(0).await.unwrap()), [6, 7, 8, 9, 10]);
    // The same after a restart.
    let (_, again) = open(&log, options()).await;
    assert_eq!(epochs(again.since(7).await.unwrap()), [8, 9, 10]);
    again.snapshot_taken(10).await.unwrap();
    assert_eq!(again.last().await.unwrap().unwrap().epoch, 10);
    assert_eq!(epochs(again.since(0).await.unwrap()), [10]);
}

#[tokio::test]
async fn a_flow_without_state_keeps_its_last_progress() {
    let log = MemoryLog::new();
    let (_, flow) = open(&log, TableLogOptions { keep: KeepProgress::Last, ..options() }).await;
    for epoch in 1..=5 {
        flow.commit(commit(epoch, vec![])).await.unwrap();
    }
    flow.snapshot_taken(5).await.unwrap();
    assert_eq!(log.offsets("__millstream.flow.t", 0).unwrap().log_start, 4);
    assert_eq!(flow.last().await.unwrap().unwrap().epoch, 5);
}

#[tokio::test]
async fn a_table_with_a_value_is_written_as_it_is() {
    let value: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let key: ArrayRef = Arc::new(StringArray::from(vec![None, Some("k")]));
    let topic: ArrayRef = Arc::new(StringArray::from(vec![Some("other"), None]));
    let batch =
        RecordBatch::try_from_iter_with_nullable([("value", value, true), ("key", key, true), ("topic", topic, true)])
            .unwrap();
    let properties = [("millstream.topic".to_owned(), "out".to_owned())].into_iter().collect();
    let delivery = Delivery::of("t", &batch.schema(), &properties, &Default::default()).unwrap().unwrap();
    let mut seen = Vec::new();
    delivery
        .records(&batch, |r| {
            seen.push((r.topic.to_owned(), r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec)));
            Ok::<(), arrow::error::ArrowError>(())
        })
        .unwrap();
    assert_eq!(seen, [("other".into(), None, Some(b"a".to_vec())), ("out".into(), Some(b"k".to_vec()), None)]);
}

/// Rows whose own column names the topic.
fn named(pairs: &[(Option<&str>, &str)]) -> RecordBatch {
    let topic: ArrayRef = Arc::new(StringArray::from_iter(pairs.iter().map(|(topic, _)| *topic)));
    let value: ArrayRef = Arc::new(StringArray::from_iter_values(pairs.iter().map(|(_, value)| value)));
    RecordBatch::try_from_iter_with_nullable([("value", value, true), ("topic", topic, true)]).unwrap()
}

#[tokio::test]
async fn a_row_that_names_a_wrong_topic_becomes_a_dead_letter() {
    let log = MemoryLog::new();
    let long = "x".repeat(250);
    let wrong = [
        "__millstream.flow.t",
        "__millstream.table.t",
        "__consumer_offsets",
        "__millstream.new",
        "a b",
        "..",
        "",
        long.as_str(),
    ];
    let mut pairs = vec![(None, "plain"), (Some("other"), "named")];
    pairs.extend(wrong.iter().map(|topic| (Some(*topic), "stray")));
    let rows = named(&pairs);
    let properties = [("millstream.topic".to_owned(), "out".to_owned())].into_iter().collect();
    let delivery = Delivery::of("t", &rows.schema(), &properties, &Default::default()).unwrap();
    let dynamic = Arc::clone(&log) as Arc<dyn EmbeddedLog>;
    let hub = TableHub::open(dynamic, "t", rows.schema()).await.unwrap();
    let options = TableLogOptions { delivery, ..options() };
    let flow = TableLog::open(Arc::clone(&hub), Arc::new(SystemClock), options).await.unwrap();
    for epoch in 1..=2 {
        flow.commit(commit(epoch, vec![rows.clone()])).await.unwrap();
    }
    let names: Vec<String> = log.topics().into_iter().map(|topic| topic.name).collect();
    assert_eq!(names, ["__millstream.flow.t", "__millstream.table.t", "other", "out", "p.dead-letters"]);
    assert_eq!(
        (log.offsets("__millstream.flow.t", 0).unwrap().high_watermark, flow.since(0).await.unwrap().len()),
        (2, 2)
    );
    assert_eq!(hub.reader().read(0, 9, 1 << 20).await.unwrap().rows(), 2 * pairs.len());
    for (topic, value) in [("out", "plain"), ("other", "named")] {
        let values: Vec<_> = records(&log, topic, 0).await.into_iter().map(|(_, value, _)| value).collect();
        assert_eq!(values, [Some(value.to_owned()), Some(value.to_owned())]);
    }
    let letters = records(&log, "p.dead-letters", 0).await;
    assert_eq!(letters.len(), 2 * wrong.len());
    for (_, value, headers) in letters {
        let class = headers.iter().find(|(name, _)| name == "error.class").map(|(_, class)| class.as_str());
        assert_eq!((value.as_deref(), class), (Some("stray"), Some("INVALID_TOPIC")));
    }
}

#[tokio::test]
async fn topics_that_are_deleted_meanwhile_are_made_again() {
    let log = MemoryLog::new();
    log.ensure_topic("out", TopicSpec { partitions: 4, configs: vec![] }).await.unwrap();
    let properties = [("millstream.topic".to_owned(), "out".to_owned())].into_iter().collect();
    let delivery = Delivery::of("t", &rows(0, 0).schema(), &properties, &Default::default()).unwrap();
    let (hub, flow) = open(&log, TableLogOptions { delivery, ..options() }).await;
    let dead = |value: &[u8]| DeadLetter {
        value: value.to_vec(),
        error_class: "MALFORMED_RECORD".into(),
        message: "no record".into(),
        key: None,
        record: None,
        kept: true,
    };
    let both = |epoch: u64| Commit { dead: vec![dead(b"bad")], ..commit(epoch, vec![rows(epoch as i64 * 10, 10)]) };
    flow.commit(both(1)).await.unwrap();
    for (epoch, deleted) in [(2, "out"), (3, "p.dead-letters")] {
        log.delete_topic(deleted);
        flow.commit(both(epoch)).await.unwrap();
    }
    // All of each commit is there once, also what was written beside a topic that was gone.
    assert_eq!(records(&log, "out", 0).await.len(), 20);
    assert_eq!(records(&log, "p.dead-letters", 0).await.len(), 1);
    assert_eq!(hub.reader().read(0, 9, 1 << 20).await.unwrap().rows(), 30);
    assert_eq!(flow.since(0).await.unwrap(), [progress(1), progress(2), progress(3)]);
}

#[tokio::test]
async fn opening_a_table_reads_no_more_than_its_newest_rows() {
    let log = MemoryLog::new();
    let (_, flow) = open(&log, options()).await;
    for epoch in 0..200 {
        flow.commit(commit(epoch + 1, vec![rows(epoch as i64 * 1000, 1000)])).await.unwrap();
    }
    let first = Arc::new(std::sync::atomic::AtomicI64::new(i64::MAX));
    let seen = Arc::clone(&first);
    log.before_read(move |_, offset| {
        seen.fetch_min(offset, std::sync::atomic::Ordering::SeqCst);
    });
    let hub = TableHub::open(Arc::clone(&log) as Arc<dyn EmbeddedLog>, "t", rows(0, 0).schema()).await.unwrap();
    let newest: Vec<i64> = hub
        .tail()
        .newest(5000)
        .iter()
        .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(newest, (195_000..200_000).collect::<Vec<_>>());
    assert!(first.load(std::sync::atomic::Ordering::SeqCst) >= 180);
}

#[tokio::test]
async fn newest_rows_are_there_after_a_restart() {
    let log = MemoryLog::new();
    let (_, flow) = open(&log, options()).await;
    for epoch in 1..=3 {
        flow.commit(commit(epoch, vec![rows(epoch as i64 * 10, 4)])).await.unwrap();
    }
    let (hub, _) = open(&log, options()).await;
    let newest: Vec<i64> =
        hub.tail().newest(6).iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(newest, [22, 23, 30, 31, 32, 33]);
}

#[test]
fn wrong_properties_are_told() {
    let of = |pairs: &[(&str, &str)]| {
        Delivery::of(
            "t",
            &rows(0, 0).schema(),
            &pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            &Default::default(),
        )
    };
    assert_eq!(of(&[]).unwrap(), None);
    assert!(of(&[("millstream.topic", "o"), ("millstream.topic.key", "no")]).is_err());
    assert!(of(&[("millstream.topic", "o"), ("millstream.topic.format", "xml")]).is_err());
}

#[tokio::test]
async fn a_downstream_flow_reads_whole_records_and_lets_go_of_what_it_passed() {
    use futures::StreamExt;
    use millstream_engine::{Position, Source};
    let log = MemoryLog::new();
    let (hub, flow) = open(&log, options()).await;
    for epoch in 1..=3 {
        flow.commit(commit(epoch, vec![rows(epoch as i64 * 10, 4), rows(epoch as i64 * 10 + 4, 2)])).await.unwrap();
    }
    let source = TableSource::new(Arc::clone(&hub), "down", rows(0, 0).schema());
    let from = source.start().await.unwrap();
    let to = source.end(&from).await.unwrap();
    assert_eq!(to, Position::from([("t".to_owned(), 6)]));
    let read = |from: Position, to: Position| {
        let source = &source;
        async move {
            let mut numbers = Vec::new();
            let mut stream = source.read(from, to, Some(vec![0]));
            while let Some(batch) = stream.next().await {
                let batch = batch.unwrap();
                numbers.extend(batch.rows.column(0).as_primitive::<Int64Type>().values().to_vec());
            }
            numbers
        }
    };
    let all = read(from, to.clone()).await;
    assert_eq!(all, (1..=3).flat_map(|e| e * 10..e * 10 + 6).collect::<Vec<i64>>());
    let middle = Position::from([("t".to_owned(), 1)]);
    assert_eq!(read(middle, Position::from([("t".to_owned(), 3)])).await, [14, 15, 20, 21, 22, 23]);

    // What it has passed is told by the first progress that it keeps.
    let down = TableLog::open(
        TableHub::open(Arc::clone(&log) as Arc<dyn EmbeddedLog>, "d", rows(0, 0).schema()).await.unwrap(),
        Arc::new(SystemClock),
        TableLogOptions { flow: "down".into(), ..options() },
    )
    .await
    .unwrap();
    let sources = BTreeMap::from([("r".to_owned(), Position::from([("t".to_owned(), 4)]))]);
    down.commit(Commit { progress: Progress { sources, ..progress(1) }, ..commit(1, vec![]) }).await.unwrap();
    let fresh = TableSource::new(Arc::clone(&hub), "down", rows(0, 0).schema());
    fresh.end(&to).await.unwrap();
    assert_eq!(hub.follower("flow down"), Some(4));
}
