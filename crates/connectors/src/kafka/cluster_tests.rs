//! The cluster source and sink against librdkafka's own cluster in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use millstream_engine::{Position, Source, SourceError};
use millstream_protocol::partition_for_key;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;

use super::{ClusterSink, ClusterSource, KafkaOptions};
use crate::decode::kafka_schema;
use crate::embedded::{Append, EmbeddedLog};
use crate::records::Payload;
use crate::table_log::{Delivery, TableHub, payload};
use crate::testing::MemoryLog;

async fn produce(servers: &str, topic: &str, partition: i32, from: i64, count: i64) {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let values: Vec<String> = (from..from + count).map(|n| n.to_string()).collect();
    let sends = values.iter().map(|value| {
        let record: FutureRecord<'_, str, str> = FutureRecord::to(topic).payload(value.as_str()).partition(partition);
        producer.send_result(record).unwrap()
    });
    for sent in sends.collect::<Vec<_>>() {
        sent.await.unwrap().unwrap();
    }
    producer.flush(Timeout::After(Duration::from_secs(5))).unwrap();
}

fn source(servers: &str, pairs: &[(&str, &str)]) -> ClusterSource {
    let options = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ClusterSource::new(
        servers,
        kafka_schema(false),
        KafkaOptions::parse(&options).unwrap(),
        Some(Duration::from_secs(1)),
    )
    .unwrap()
}

async fn read(source: &ClusterSource, from: Position, to: Position) -> BTreeMap<String, Vec<i64>> {
    let mut out: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut stream = source.read(from, to, Some(vec![1, 4]));
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        let offsets = batch.rows.column(1).as_primitive::<Int64Type>();
        let values = batch.rows.column(0).as_binary::<i32>();
        assert_eq!(values.value(0), offsets.value(0).to_string().as_bytes());
        assert_eq!(batch.next_offset, offsets.value(offsets.len() - 1) + 1);
        out.entry(batch.partition).or_default().extend(offsets.values());
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_read_as_the_embedded_log_is() {
    let cluster = MockCluster::new(1).unwrap();
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("a", 2, 1).unwrap();
    produce(&servers, "a", 0, 0, 5000).await;
    produce(&servers, "a", 1, 0, 300).await;
    let source = source(&servers, &[("subscribe", "a"), ("startingoffsets", "earliest")]);
    let from = source.start().await.unwrap();
    assert_eq!(from, Position::from([("a-0".into(), 0), ("a-1".into(), 0)]));
    assert!(source.origin().await.unwrap().is_some_and(|origin| origin.starts_with("cluster mockCluster")));
    let to = source.end(&from).await.unwrap();
    assert_eq!(to, Position::from([("a-0".into(), 5000), ("a-1".into(), 300)]));
    let first = read(&source, from.clone(), to.clone()).await;
    assert_eq!(first["a-0"], (0..5000).collect::<Vec<_>>());
    assert_eq!(first["a-1"], (0..300).collect::<Vec<_>>());

    // It goes on with what comes, and wakes for it.
    let waiting = tokio::time::timeout(Duration::from_millis(300), source.changed(&to)).await;
    assert!(waiting.is_err(), "nothing new");
    let (woken, ()) = tokio::join!(source.changed(&to), produce(&servers, "a", 1, 300, 10));
    woken.unwrap();
    let next = source.end(&to).await.unwrap();
    let more = read(&source, to, next).await;
    assert_eq!(more.values().flatten().copied().collect::<Vec<_>>(), (300..310).collect::<Vec<_>>());

    // Records that come right behind an end are not taken for it.
    for round in 0..4 {
        let from = source.end(&Position::new()).await.unwrap();
        produce(&servers, "a", 1, 310 + round, 1).await;
        let to = source.end(&from).await.unwrap();
        assert_eq!(read(&source, from, to).await["a-1"], [310 + round]);
    }

    // A range is read again alike, cut in the middle.
    let middle = |a, b| Position::from([("a-0".to_owned(), a), ("a-1".to_owned(), b)]);
    for _ in 0..2 {
        let again = read(&source, middle(4000, 290), middle(4100, 295)).await;
        assert_eq!(again["a-0"], (4000..4100).collect::<Vec<_>>());
        assert_eq!(again["a-1"], (290..295).collect::<Vec<_>>());
    }
}

/// Rows in the log of table `t`.
fn of_table(batch: &RecordBatch) -> Vec<Append> {
    let mut out = Payload::default();
    for value in payload::encode(&batch.schema(), std::slice::from_ref(batch)).unwrap() {
        out.push(0, None, Some(&value), &[]);
    }
    vec![Append { topic: "__millstream.table.t".into(), partition: 0, batches: out.finish().unwrap() }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_sent_to_a_cluster_by_key() {
    let cluster = MockCluster::new(1).unwrap();
    let servers = cluster.bootstrap_servers();
    cluster.create_topic("out", 3, 1).unwrap();
    let log = MemoryLog::new();
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..90));
    let unit: ArrayRef = Arc::new(StringArray::from_iter_values((0..90).map(|n| format!("R{}", n % 9))));
    let batch = RecordBatch::try_from_iter_with_nullable([("n", n, true), ("unit", unit, true)]).unwrap();
    let hub = TableHub::open(Arc::clone(&log) as Arc<dyn EmbeddedLog>, "t", batch.schema()).await.unwrap();
    log.append(of_table(&batch)).await.unwrap();
    let properties = [("millstream.topic", "out"), ("millstream.topic.key", "unit")];
    let properties = properties.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let delivery = Delivery::of("t", &batch.schema(), &properties, &Default::default()).unwrap().unwrap();
    let dynamic = || Arc::clone(&log) as Arc<dyn EmbeddedLog>;
    let mut sink = ClusterSink::open("t.out", &servers, [], delivery.clone(), hub.reader(), dynamic()).await.unwrap();
    sink.send(1).await.unwrap();
    assert_eq!(sink.status().borrow().records, 90);
    let again = ClusterSink::open("t.out", &servers, [], delivery.clone(), hub.reader(), dynamic()).await.unwrap();
    assert_eq!(again.position(), 1);

    // It lagged when the table was made anew.
    let more = of_table(&batch.slice(0, 9));
    for _ in 0..3 {
        log.append(more.clone()).await.unwrap();
    }
    log.delete_records("__millstream.table.t", 0, 3).await.unwrap();
    let mut anew = ClusterSink::open("t.out", &servers, [], delivery, hub.reader(), dynamic()).await.unwrap();
    assert_eq!(anew.position(), 3);
    anew.send(4).await.unwrap();
    assert_eq!((anew.position(), anew.status().borrow().records), (4, 9));

    let source = source(&servers, &[("subscribe", "out"), ("startingoffsets", "earliest")]);
    let from = source.start().await.unwrap();
    let to = source.end(&from).await.unwrap();
    assert_eq!(to.values().sum::<i64>(), 99);
    let mut stream = source.read(from, to, Some(vec![0, 3]));
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap().rows;
        let (keys, partitions) = (batch.column(0).as_binary::<i32>(), batch.column(1));
        let partitions = partitions.as_primitive::<arrow::datatypes::Int32Type>();
        for row in 0..batch.num_rows() {
            assert_eq!(partitions.value(row), partition_for_key(keys.value(row), 3));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_there_is_named_soon() {
    let address = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let source = source(&address, &[("subscribe", "a"), ("startingoffsets", "earliest")]);
    for _ in 0..2 {
        let asked = tokio::time::timeout(Duration::from_secs(3), source.start()).await;
        let error = asked.expect("long before the request's own time is over").unwrap_err();
        let expected = format!("no broker at {address} (Connection refused): start it");
        assert!(matches!(&error, SourceError::Unavailable(text) if text.starts_with(&expected)), "{error}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let given_up = source.start().await.unwrap_err();
    let expected = format!("no broker at {address} for 1 s (Connection refused)");
    assert!(matches!(&given_up, SourceError::Fatal(text) if text.starts_with(&expected)), "{given_up}");
}
