//! The client against a broker that misbehaves, played by the test.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use millstream_client::{
    Client, ClientError, ClientOptions, Connection, ConnectionOptions, Producer, ProducerOptions, ProducerRecord,
};
use millstream_protocol::codec::Reader;
use millstream_protocol::messages::{
    ApiVersionsResponse, InitProducerIdResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
    api_versions, metadata, produce,
};
use millstream_protocol::records::BatchHeader;
use millstream_protocol::{ApiKey, ErrorCode, RequestHeader, decode_request, encode_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens and hands every connection to `serve`; gives the address.
async fn listen<F, S>(serve: S) -> String
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream, String) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let own = address.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, own.clone()));
        }
    });
    address
}

async fn read_frame(stream: &mut TcpStream) -> Option<Bytes> {
    let length = stream.read_u32().await.ok()?;
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame.into())
}

fn versions(apis: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    let api = |(key, min_version, max_version): &(ApiKey, i16, i16)| api_versions::ApiVersion {
        api_key: key.code(),
        min_version: *min_version,
        max_version: *max_version,
    };
    ApiVersionsResponse { api_keys: apis.iter().map(api).collect(), ..Default::default() }
}

const APIS: &[(ApiKey, i16, i16)] =
    &[(ApiKey::ApiVersions, 0, 3), (ApiKey::Metadata, 0, 9), (ApiKey::Produce, 3, 9), (ApiKey::InitProducerId, 0, 4)];

#[tokio::test]
async fn an_older_broker_is_asked_again_in_version_0() {
    let address = listen(|mut stream, _| async move {
        while let Some(frame) = read_frame(&mut stream).await {
            let header = RequestHeader::read(&mut Reader::new(&frame)).expect("a header");
            let answer = match header.api_version {
                0 => versions(&[(ApiKey::Metadata, 0, 1)]),
                _ => ApiVersionsResponse { error_code: ErrorCode::UnsupportedVersion, ..Default::default() },
            };
            let frame = encode_response(&answer, 0, header.correlation_id).into_bytes();
            stream.write_all(&frame).await.expect("written");
        }
    })
    .await;
    let connection = Connection::open(&address, ConnectionOptions::default()).await.expect("negotiated");
    assert_eq!(connection.version::<MetadataRequest>().expect("known"), 1);
    assert!(matches!(connection.version::<ProduceRequest>(), Err(ClientError::Unsupported { .. })));
}

#[tokio::test]
async fn answers_that_make_no_sense_end_the_connection_with_a_reason() {
    let answers: [(&[u8], &str); 4] = [
        (&[0xff, 0xff, 0xff, 0xff], "bytes, where"),
        (&[0, 0, 0, 1, 9], "bytes, where"),
        (&[0, 0, 0, 4, 0, 0, 0, 99], "correlation id 99"),
        (&[0, 0, 1, 0, 0, 0], "closed the connection in an answer"),
    ];
    for (answer, reason) in answers {
        let address = listen(move |mut stream, _| async move {
            read_frame(&mut stream).await;
            stream.write_all(answer).await.expect("written");
        })
        .await;
        let connection = Connection::open_silent(&address, ConnectionOptions::default()).await.expect("connected");
        let error = connection.call(&MetadataRequest::default()).await.expect_err("no sense");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(connection.is_closed() && error.is_retriable());
        assert!(connection.call(&MetadataRequest::default()).await.is_err());
    }
}

#[tokio::test]
async fn a_silent_broker_is_left_after_the_timeout() {
    let address = listen(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let options = ConnectionOptions { request_timeout: Duration::from_millis(50), ..Default::default() };
    assert!(matches!(Connection::open(&address, options).await, Err(ClientError::Timeout { .. })));
    assert!(matches!(
        Connection::open("127.0.0.1:1", ConnectionOptions::default()).await,
        Err(ClientError::Connect { .. })
    ));
}

#[tokio::test]
async fn many_requests_are_under_way_at_once() {
    let address = listen(|mut stream, _| async move {
        let mut frames = vec![];
        while frames.len() < 50 {
            let frame = read_frame(&mut stream).await.expect("a request");
            let header = RequestHeader::read(&mut Reader::new(&frame)).expect("a header");
            let answer = MetadataResponse { controller_id: header.correlation_id, ..Default::default() };
            frames.extend_from_slice(&[encode_response(&answer, 9, header.correlation_id).into_bytes()]);
        }
        for frame in frames {
            stream.write_all(&frame).await.expect("written");
        }
    })
    .await;
    let connection = Connection::open_silent(&address, ConnectionOptions::default()).await.expect("connected");
    let request = MetadataRequest::default();
    let answers = futures::future::join_all((0..50).map(|_| connection.call_at(&request, 9))).await;
    let mut controllers: Vec<_> = answers.into_iter().map(|answer| answer.expect("answered").controller_id).collect();
    controllers.sort_unstable();
    assert_eq!(controllers, (0..50).collect::<Vec<_>>());
}

/// A broker with the topic `t` of one partition, which answers each Produce with the next of `script`, then with success.
async fn scripted(script: Vec<ErrorCode>) -> (String, Arc<Mutex<Vec<Bytes>>>) {
    let produced = Arc::new(Mutex::new(vec![]));
    let (script, step, log) = (Arc::new(script), Arc::new(AtomicUsize::new(0)), produced.clone());
    let address = listen(move |mut stream, own| {
        let (script, step, log) = (script.clone(), step.clone(), log.clone());
        async move {
            while let Some(frame) = read_frame(&mut stream).await {
                let mut reader = Reader::new(&frame);
                let header = RequestHeader::read(&mut reader).expect("a header");
                let (version, id) = (header.api_version, header.correlation_id);
                let answer = match header.api().expect("a known API") {
                    ApiKey::ApiVersions => encode_response(&versions(APIS), version, id),
                    ApiKey::InitProducerId => {
                        let answer = InitProducerIdResponse { producer_id: 77, ..Default::default() };
                        encode_response(&answer, version, id)
                    }
                    ApiKey::Metadata => {
                        let (host, port) = own.split_once(':').expect("host and port");
                        let broker = metadata::MetadataResponseBroker {
                            node_id: 1,
                            host: host.to_owned(),
                            port: port.parse().expect("a port"),
                            rack: None,
                        };
                        let partition = metadata::MetadataResponsePartition { leader_id: 1, ..Default::default() };
                        let topic = metadata::MetadataResponseTopic {
                            name: Some("t".to_owned()),
                            partitions: vec![partition],
                            ..Default::default()
                        };
                        let answer =
                            MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() };
                        encode_response(&answer, version, id)
                    }
                    ApiKey::Produce => {
                        let request: ProduceRequest = decode_request(&mut reader, &header).expect("a request");
                        let batch = request.topic_data[0].partition_data[0].records.clone().expect("records");
                        log.lock().expect("not poisoned").push(batch);
                        let error_code =
                            script.get(step.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or(ErrorCode::None);
                        let part = produce::PartitionProduceResponse { error_code, ..Default::default() };
                        let topic = produce::TopicProduceResponse {
                            name: "t".to_owned(),
                            partition_responses: vec![part],
                            ..Default::default()
                        };
                        encode_response(&ProduceResponse { responses: vec![topic], ..Default::default() }, version, id)
                    }
                    other => panic!("{other} was not expected"),
                };
                stream.write_all(&answer.into_bytes()).await.expect("written");
            }
        }
    })
    .await;
    (address, produced)
}

async fn producer(address: &str, options: ProducerOptions) -> Producer {
    let client = Client::connect(address, ClientOptions::default()).await.expect("connected");
    Producer::new(client, options)
}

#[tokio::test]
async fn a_batch_is_repeated_as_it_was_and_what_follows_waits() {
    let script = vec![ErrorCode::NotLeaderOrFollower, ErrorCode::NotEnoughReplicas];
    let (address, produced) = scripted(script).await;
    let producer = producer(&address, ProducerOptions::default()).await;
    let first = producer.send(ProducerRecord::new("t", "first")).await.expect("taken");
    while produced.lock().expect("not poisoned").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = producer.send(ProducerRecord::new("t", "second")).await.expect("taken");
    first.await.expect("delivered");
    second.await.expect("delivered");
    let produced = produced.lock().expect("not poisoned").clone();
    assert_eq!(produced.len(), 4);
    assert!(produced[0] == produced[1] && produced[1] == produced[2], "the same bytes");
    let sequences: Vec<_> =
        produced.iter().map(|batch| BatchHeader::read(batch).expect("a batch")).map(|h| h.base_sequence).collect();
    assert_eq!(sequences, [0, 0, 0, 1]);
    assert_eq!(BatchHeader::read(&produced[0]).expect("a batch").producer_id, 77);
}

#[tokio::test]
async fn a_refusal_reaches_its_record_and_the_next_flush() {
    let (address, _) = scripted(vec![ErrorCode::MessageTooLarge]).await;
    let producer = producer(&address, ProducerOptions::default()).await;
    let refused = producer.send(ProducerRecord::new("t", "large")).await.expect("taken").await.expect_err("refused");
    assert_eq!(refused.code(), Some(ErrorCode::MessageTooLarge));
    assert!(producer.flush().await.is_err(), "the failure is told once");
    producer.flush().await.expect("and then forgotten");
    producer.send(ProducerRecord::new("t", "small")).await.expect("taken").await.expect("delivered");
}

#[tokio::test]
async fn a_known_repeat_counts_as_delivered() {
    let (address, _) = scripted(vec![ErrorCode::RequestTimedOut, ErrorCode::DuplicateSequenceNumber]).await;
    let producer = producer(&address, ProducerOptions::default()).await;
    let delivered = producer.send(ProducerRecord::new("t", "x")).await.expect("taken").await.expect("delivered");
    assert_eq!(delivered.offset, -1);
}

#[tokio::test]
async fn time_for_delivery_ends() {
    let (address, _) = scripted(vec![ErrorCode::NotEnoughReplicas; 1000]).await;
    let options = ProducerOptions { delivery_timeout: Duration::from_millis(200), ..Default::default() };
    let producer = producer(&address, options).await;
    let error = producer.send(ProducerRecord::new("t", "x")).await.expect("taken").await.expect_err("too late");
    assert!(matches!(error, ClientError::Undelivered { .. }), "{error}");
}

#[tokio::test]
async fn what_stands_in_the_way_can_be_asked() {
    let (address, _) =
        scripted(vec![ErrorCode::None, ErrorCode::KafkaStorageError, ErrorCode::KafkaStorageError]).await;
    let producer = producer(&address, ProducerOptions::default()).await;
    producer.send(ProducerRecord::new("t", "x")).await.expect("taken").await.expect("delivered");
    assert_eq!((producer.acknowledged(), producer.obstacle().is_none()), (1, true));
    let delivery = producer.send(ProducerRecord::new("t", "y")).await.expect("taken");
    let refused = async {
        while producer.obstacle().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        producer.obstacle().and_then(|error| error.code())
    };
    let refused = tokio::time::timeout(Duration::from_secs(5), refused).await.expect("refused");
    assert_eq!(refused, Some(ErrorCode::KafkaStorageError));
    delivery.await.expect("in the end");
    assert_eq!((producer.acknowledged(), producer.obstacle().is_none()), (2, true));
}

#[tokio::test]
async fn after_a_failure_no_more_is_taken_quietly() {
    let (address, _) = scripted(vec![ErrorCode::MessageTooLarge]).await;
    let producer = producer(&address, ProducerOptions::default()).await;
    let refused = producer.send(ProducerRecord::new("t", "large")).await.expect("taken").await;
    assert!(refused.is_err() && producer.send_quietly(ProducerRecord::new("t", "x")).await.is_err());
    assert!(producer.flush().await.is_err());
    producer.send_quietly(ProducerRecord::new("t", "x")).await.expect("taken again");
}

#[tokio::test]
async fn lingering_records_share_a_batch_and_flush_hurries_them() {
    let (address, produced) = scripted(vec![]).await;
    let options = ProducerOptions { linger: Duration::from_secs(30), ..Default::default() };
    let producer = producer(&address, options).await;
    for n in 0..10 {
        producer.send_quietly(ProducerRecord::new("t", format!("{n}"))).await.expect("taken");
    }
    producer.flush().await.expect("delivered");
    let produced = produced.lock().expect("not poisoned").clone();
    assert_eq!(produced.iter().map(|batch| BatchHeader::read(batch).expect("a batch").record_count).sum::<i32>(), 10);
    assert_eq!(produced.len(), 1);
}

#[tokio::test]
async fn records_that_cannot_go_anywhere_are_refused_at_once() {
    let (address, _) = scripted(vec![]).await;
    let producer = producer(&address, ProducerOptions { batch_bytes_max: 1000, ..Default::default() }).await;
    let error = producer.send(ProducerRecord::new("t", vec![0; 2000])).await.expect_err("too large");
    assert!(matches!(error, ClientError::RecordTooLarge { limit: 1000, .. }));
    let error = producer.send(ProducerRecord::new("t", "x").partition(3)).await.expect_err("no such partition");
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
}
