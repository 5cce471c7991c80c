//! A broker on a free port, and a connection that speaks frames.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use millstream_broker::configs::properties::Setting;
use millstream_broker::{Broker, BrokerConfig};
use millstream_log::{Log, LogOptions};
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use millstream_protocol::messages::fetch::{FetchPartition, FetchTopic};
use millstream_protocol::messages::metadata::MetadataRequestTopic;
use millstream_protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use millstream_protocol::messages::*;
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp, Scratch, batches, decode_batch};
use millstream_protocol::{decode_response, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Server {
    pub broker: Arc<Broker>,
    pub address: SocketAddr,
    log: Log,
    serving: JoinHandle<()>,
}

impl Server {
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, BrokerConfig::default()).await
    }

    pub async fn start_with(dir: &Path, config: BrokerConfig) -> Self {
        let options = LogOptions { journal_file_bytes: 1 << 20, ..LogOptions::default() };
        let (log, _) = Log::open(dir, options).expect("the log opens");
        let listener = config.listeners().expect("good listeners").remove(0);
        let broker = Broker::open(log.clone(), config).expect("the broker opens");
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let serving = tokio::spawn(broker.clone().serve_listener(listener, socket));
        Server { broker, address, log, serving }
    }

    pub async fn stop(self) {
        self.broker.stop();
        self.serving.await.expect("serving ends");
        self.log.close().expect("the log closes");
    }

    pub async fn connect(&self) -> Connection {
        Connection::to(self.address).await
    }
}

/// A configuration under Kafka's names.
pub fn settings(all: &[&str]) -> BrokerConfig {
    let all = all.iter().map(|one| Setting::parse(one).expect("name=value"));
    BrokerConfig::from_settings(all).expect("a good configuration")
}

pub struct Connection {
    pub stream: TcpStream,
    next: i32,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> Self {
        Connection { stream: TcpStream::connect(address).await.expect("it listens"), next: 0 }
    }

    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.next += 1;
        let frame = encode_request(request, version, self.next, Some("test")).into_bytes();
        self.stream.write_all(&frame).await.expect("sent");
        self.next
    }

    pub async fn frame(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await.ok()?;
        let mut frame = BytesMut::zeroed(u32::from_be_bytes(length) as usize);
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.freeze())
    }

    pub async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.frame().await.expect("an answer");
        decode_response::<R>(&frame, version).expect("an answer that can be read")
    }

    pub async fn call<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let sent = self.send(version, &request).await;
        let (of, response) = self.receive::<R>(version).await;
        assert_eq!(of, sent, "answers come in the order of requests");
        response
    }

    pub async fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> ErrorCode {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: name.to_string(), value: Some(value.to_string()) })
            .collect();
        let topic = CreatableTopic {
            name: name.to_string(),
            num_partitions: partitions,
            replication_factor: 1,
            configs,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        self.call(7, request).await.topics[0].error_code
    }

    pub async fn metadata(&mut self, names: Option<&[&str]>) -> MetadataResponse {
        let one =
            |name: &&str| MetadataRequestTopic { name: Some(name.to_string()), ..MetadataRequestTopic::default() };
        let topics = names.map(|names| names.iter().map(one).collect());
        self.call(12, MetadataRequest { topics, ..MetadataRequest::default() }).await
    }

    pub async fn produce(&mut self, topic: &str, acks: i16, batch: Bytes) -> PartitionProduceResponse {
        let response = self.call(9, produce_request(topic, acks, batch)).await;
        response.responses[0].partition_responses[0].clone()
    }

    /// Records from an offset on, as (offset, value).
    pub async fn fetch(&mut self, topic: &str, offset: i64, max_wait_ms: i32) -> Result<Vec<(i64, String)>, ErrorCode> {
        let response = self.call(11, fetch_request(topic, offset, max_wait_ms)).await;
        let part = &response.responses[0].partitions[0];
        part.error_code.ok()?;
        Ok(values(part.records.as_ref().map_or(&[], |records| &records[..])))
    }
}

pub fn produce_request(topic: &str, acks: i16, batch: Bytes) -> ProduceRequest {
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch) }];
    let topic_data = vec![TopicProduceData { name: topic.to_string(), partition_data, ..TopicProduceData::default() }];
    ProduceRequest { acks, timeout_ms: 1000, topic_data, ..ProduceRequest::default() }
}

pub fn fetch_request(topic: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partitions =
        vec![FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..FetchPartition::default() }];
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics: vec![FetchTopic { topic: topic.to_string(), partitions, ..FetchTopic::default() }],
        ..FetchRequest::default()
    }
}

pub fn values(bytes: &[u8]) -> Vec<(i64, String)> {
    let mut scratch = Scratch::default();
    let mut out = Vec::new();
    for batch in batches(bytes) {
        let (_, batch) = batch.expect("whole batches");
        for record in decode_batch(batch, &mut scratch).expect("a good batch") {
            let record = record.expect("a good record");
            out.push((record.offset, String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()));
        }
    }
    out
}

pub fn batch(values: &[&str]) -> Bytes {
    stamped(values, None)
}

pub fn stamped(values: &[&str], stamp: Option<ProducerStamp>) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (index, value) in values.iter().enumerate() {
        builder.push(1_000 + index as i64, None, Some(value.as_bytes()), &[]);
    }
    if let Some(stamp) = stamp {
        builder.set_producer(stamp);
    }
    builder.finish().expect("there are records")
}
