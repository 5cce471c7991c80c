//! The client against a real cluster: a Millstream or an Apache Kafka at `MILLSTREAM_TEST_BOOTSTRAP`. Without one the tests say so and pass.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use millstream_client::{
    Client, ClientOptions, Consumer, ConsumerOptions, GroupOffset, NewTopic, OffsetAt, Producer, ProducerOptions,
    ProducerRecord,
};
use millstream_protocol::messages::{APIS, FetchRequest, Message, MetadataRequest, ProduceRequest, fetch, produce};
use millstream_protocol::records::{BatchBuilder, Codec, Scratch, batches};
use millstream_protocol::{ApiKey, ErrorCode};

async fn client() -> Option<Client> {
    let Ok(bootstrap) = std::env::var("MILLSTREAM_TEST_BOOTSTRAP") else {
        eprintln!("SKIPPED: MILLSTREAM_TEST_BOOTSTRAP names no cluster");
        return None;
    };
    let options = ClientOptions { auto_create_topics: false, ..Default::default() };
    Some(Client::connect_within(&bootstrap, options, Duration::from_secs(20)).await.expect("the cluster answers"))
}

/// A topic of this test's own.
async fn topic(client: &Client, name: &str, partitions: i32) -> String {
    let name = format!("{name}-{}", uuid::Uuid::new_v4().simple());
    client.create_topics(&[NewTopic::new(&name, partitions)]).await.expect("created");
    name
}

/// Partition, offset, key and value of everything in a topic.
async fn read_all(client: &Client, topic: &str) -> Vec<(i32, i64, Option<Vec<u8>>, Vec<u8>)> {
    let options = ConsumerOptions { stop_at_end: true, ..Default::default() };
    let mut consumer = Consumer::new(client.clone(), options);
    consumer.assign_topic(topic, OffsetAt::Earliest).await.expect("assigned");
    let (mut scratch, mut records) = (Scratch::default(), vec![]);
    while let Some(fetched) = consumer.next().await.expect("fetched") {
        let partition = fetched.partition;
        fetched
            .for_each(&mut scratch, |record| {
                let key = record.key.map(<[u8]>::to_vec);
                records.push((partition, record.offset, key, record.value.expect("a value").to_vec()));
            })
            .expect("valid records");
    }
    records
}

#[tokio::test]
async fn records_of_every_codec_come_back_in_order() {
    let Some(client) = client().await else { return };
    for codec in Codec::ALL {
        let topic = topic(&client, "codec", 3).await;
        let options = ProducerOptions { codec, batch_bytes_max: 5_000, ..Default::default() };
        let producer = Producer::new(client.clone(), options);
        let mut deliveries = vec![];
        for n in 0..2_000 {
            let record = ProducerRecord::new(topic.as_str(), format!("value {n} {}", "x".repeat(n % 50)));
            deliveries.push(producer.send(record.key(format!("key {}", n % 10))).await.expect("taken"));
        }
        producer.flush().await.expect("delivered");
        let mut seen = HashSet::new();
        for delivery in deliveries {
            let delivered = delivery.await.expect("delivered");
            assert!(seen.insert((delivered.partition, delivered.offset)), "an offset is given once");
        }
        let records = read_all(&client, &topic).await;
        assert_eq!(records.len(), 2_000, "{codec}");
        for key in 0..10 {
            let key = format!("key {key}").into_bytes();
            let of_key: Vec<_> = records.iter().filter(|record| record.2.as_ref() == Some(&key)).collect();
            let number = |record: &&(i32, i64, Option<Vec<u8>>, Vec<u8>)| -> usize {
                let text = String::from_utf8(record.3.clone()).expect("text");
                text.split(' ').nth(1).expect("a number").parse().expect("a number")
            };
            assert!(of_key.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])), "order of a key holds");
            assert!(of_key.iter().all(|record| record.0 == of_key[0].0), "a key has one partition");
        }
        client.delete_topics(&[&topic]).await.expect("deleted");
    }
}

#[tokio::test]
async fn each_acks_and_record_by_record() {
    let Some(client) = client().await else { return };
    let topic = topic(&client, "acks", 1).await;
    for acks in [-1, 1, 0] {
        let producer = Producer::new(client.clone(), ProducerOptions { acks, ..Default::default() });
        for n in 0..20 {
            let delivery =
                producer.send(ProducerRecord::new(topic.as_str(), format!("{acks} {n}"))).await.expect("taken");
            let delivered = delivery.await.expect("delivered");
            assert_eq!(delivered.offset >= 0, acks != 0);
        }
    }
    // What nobody acknowledged may take a moment.
    for _ in 0..100 {
        if client.offset(&topic, 0, OffsetAt::Latest).await.expect("an offset") == 60 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(read_all(&client, &topic).await.len(), 60);
}

#[tokio::test]
async fn a_batch_goes_the_short_way_and_offsets_are_found() {
    let Some(client) = client().await else { return };
    let topic = topic(&client, "offsets", 1).await;
    let mut builder = BatchBuilder::new(Codec::None);
    for n in 0..10 {
        builder.push(1_700_000_000_000 + n * 1000, None, Some(b"x"), &[]);
    }
    let batch = builder.finish().expect("records");
    assert_eq!(client.produce(&topic, 0, batch.clone(), -1).await.expect("stored"), 0);
    assert_eq!(client.produce(&topic, 0, batch, -1).await.expect("stored"), 10);
    assert_eq!(client.offsets(&topic, 0).await.expect("offsets"), (0, 20));
    let at = |ms: i64| OffsetAt::Timestamp(1_700_000_000_000 + ms);
    assert_eq!(client.offset(&topic, 0, at(4_500)).await.expect("found"), 5);
    assert_eq!(client.offset(&topic, 0, at(99_000)).await.expect("found"), 20);
    assert_eq!(client.delete_records(&topic, 0, 7).await.expect("deleted"), 7);
    assert_eq!(client.offsets(&topic, 0).await.expect("offsets"), (7, 20));
    let mut consumer = Consumer::new(client.clone(), ConsumerOptions::default());
    consumer.assign(&topic, 0, OffsetAt::Offset(3)).await.expect("assigned");
    let error = consumer.next().await.expect_err("gone");
    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
    assert_eq!(read_all(&client, &topic).await.first().map(|record| record.1), Some(7));
}

#[tokio::test]
async fn a_damaged_batch_is_refused_and_the_connection_lives() {
    let Some(client) = client().await else { return };
    let topic = topic(&client, "damaged", 1).await;
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(b"hello"), &[]);
    let mut batch = builder.finish().expect("a record").to_vec();
    *batch.last_mut().expect("bytes") ^= 1;
    let error = client.produce(&topic, 0, Bytes::from(batch), -1).await.expect_err("refused");
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
    builder.push(1, None, Some(b"hello"), &[]);
    let batch = builder.finish().expect("a record");
    assert_eq!(client.produce(&topic, 0, batch, -1).await.expect("stored"), 0);
}

#[tokio::test]
async fn a_waiting_fetch_wakes_with_the_record() {
    let Some(client) = client().await else { return };
    let topic = topic(&client, "wake", 1).await;
    let options = ConsumerOptions { max_wait: Duration::from_secs(20), ..Default::default() };
    let mut consumer = Consumer::new(client.clone(), options);
    consumer.assign(&topic, 0, OffsetAt::Latest).await.expect("assigned");
    let waiting = tokio::spawn(async move { consumer.next().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let producer = Producer::new(client.clone(), ProducerOptions::default());
    let started = std::time::Instant::now();
    producer.send(ProducerRecord::new(topic.as_str(), "now")).await.expect("taken").await.expect("delivered");
    let fetched = waiting.await.expect("no panic").expect("fetched").expect("records");
    assert_eq!(fetched.from_offset, 0);
    assert!(started.elapsed() < Duration::from_secs(5), "the fetch did not wait for its time");
}

#[tokio::test]
async fn topics_are_made_described_and_refused() {
    let Some(client) = client().await else { return };
    let name = topic(&client, "admin", 2).await;
    let again = client.create_topics(&[NewTopic::new(&name, 2)]).await.expect_err("there already");
    assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));
    client.ensure_topic(&NewTopic::new(&name, 2)).await.expect("there already is fine");
    let known = client.topic(&name).await.expect("known");
    assert_eq!((known.partitions(), known.id.is_nil()), (2, false));
    let configs = client.describe_topic_configs(&name).await.expect("described");
    assert!(configs.iter().any(|config| config.name == "retention.ms" && config.value.is_some()));
    let missing = client.topic("no-such-topic-here").await.expect_err("not there");
    assert_eq!(missing.code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert!(client.metadata(None).await.expect("all").topics.iter().any(|topic| topic.name.as_ref() == Some(&name)));
    assert!(!client.brokers().is_empty() && client.cluster_id().is_some());
    client.delete_topics(&[&name]).await.expect("deleted");
    for _ in 0..100 {
        if client.refresh_topic(&name).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the topic is still there");
}

#[tokio::test]
async fn group_offsets_are_kept_and_forgotten_with_the_group() {
    let Some(client) = client().await else { return };
    let topic = topic(&client, "group", 2).await;
    let group = format!("g-{topic}");
    let offsets: Vec<_> = (0..2)
        .map(|partition| GroupOffset { topic: topic.clone(), partition, offset: i64::from(partition) + 5 })
        .collect();
    client.commit_group_offsets(&group, &offsets).await.expect("committed");
    let mut kept = client.group_offsets(&group).await.expect("fetched");
    kept.sort_by_key(|offset| offset.partition);
    assert_eq!(kept, offsets);
    assert!(client.list_groups().await.expect("listed").iter().any(|listed| listed.group_id == group));
    assert_eq!(client.describe_group(&group).await.expect("described").group_state, "Empty");
    client.delete_group(&group).await.expect("deleted");
    assert_eq!(client.group_offsets(&group).await.expect("fetched"), []);
}

#[tokio::test]
async fn every_version_offered_of_metadata_is_answered() {
    let Some(client) = client().await else { return };
    let connection = client.any().await.expect("a connection");
    let (first, last) = connection.offered(ApiKey::Metadata).expect("offered");
    for version in first..=last.min(13) {
        let request = MetadataRequest { topics: Some(vec![]), ..Default::default() };
        let answer = connection.call_at(&request, version).await.expect("answered");
        assert!(!answer.brokers.is_empty(), "version {version}");
    }
    let offered = APIS.iter().filter(|api| connection.offered(api.key).is_some()).count();
    assert!(offered >= 10, "only {offered} APIs");
}

#[tokio::test]
async fn every_version_offered_of_produce_and_fetch_carries_records() {
    let Some(client) = client().await else { return };
    let name = topic(&client, "versions", 1).await;
    let id = client.topic(&name).await.expect("known").id;
    let connection = client.leader(&name, 0).await.expect("a leader");
    let mut offset = 0;
    let versions = |first: i16, last: i16, known: std::ops::RangeInclusive<i16>| {
        first.max(*known.start())..=last.min(*known.end())
    };
    let (first, last) = connection.offered(ApiKey::Produce).expect("offered");
    for version in versions(first, last, ProduceRequest::VERSIONS) {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(format!("produced by version {version}").as_bytes()), &[]);
        let part = produce::PartitionProduceData { index: 0, records: builder.finish() };
        let data = produce::TopicProduceData { name: name.clone(), topic_id: id, partition_data: vec![part] };
        let request = ProduceRequest { acks: -1, timeout_ms: 5000, topic_data: vec![data], ..Default::default() };
        let answer = connection.call_at(&request, version).await.expect("answered");
        let part = &answer.responses[0].partition_responses[0];
        assert_eq!((part.error_code, part.base_offset), (ErrorCode::None, offset), "version {version}");
        offset += 1;
    }
    let (first, last) = connection.offered(ApiKey::Fetch).expect("offered");
    for version in versions(first, last, FetchRequest::VERSIONS) {
        let part = fetch::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
        let wanted = fetch::FetchTopic { topic: name.clone(), topic_id: id, partitions: vec![part] };
        let request = FetchRequest { max_wait_ms: 100, min_bytes: 1, topics: vec![wanted], ..Default::default() };
        let answer = connection.call_at(&request, version).await.expect("answered");
        let part = &answer.responses[0].partitions[0];
        assert_eq!((part.error_code, part.high_watermark), (ErrorCode::None, offset), "version {version}");
        let records = part.records.clone().expect("records");
        let found = batches(&records).map(|batch| batch.expect("a batch").0.record_count).sum::<i32>();
        assert_eq!(i64::from(found), offset, "version {version}");
    }
}
