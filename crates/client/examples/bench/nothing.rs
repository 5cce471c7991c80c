//! A server that keeps nothing, with a thread a connection: what it costs is what no broker can do without, and how fast a client is with
//! it is that client's ceiling on this machine. Everything sent is acknowledged unread; every topic has one partition with the same batches
//! over and over.

use std::io::{BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_protocol::codec::{DecodeError, Frame, Reader};
use millstream_protocol::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
    api_versions, fetch, list_offsets, metadata, produce,
};
use millstream_protocol::records::set_base_offset;
use millstream_protocol::{ApiKey, ErrorCode, RequestHeader, decode_request, encode_response};

use crate::{Outcome, start};

/// What is served: topics go by their names, so that nothing needs to be remembered.
const SERVED: [(ApiKey, i16, i16); 6] = [
    (ApiKey::Produce, 3, 12),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::InitProducerId, 0, 4),
];
const FRAME_BYTES_MAX: usize = 128 << 20;
/// Bytes of a batch, about: what librdkafka and Java make of much.
const BATCH_BYTES: usize = 120 << 10;
const EARLIEST: i64 = -2;

struct Server {
    host: String,
    port: u16,
    records: i64,
    batch: Bytes,
    batch_records: i64,
}

/// Serves until it is killed.
pub fn serve(address: &str, records: i64, bytes: usize) -> Outcome {
    let listener = TcpListener::bind(address)?;
    let at = listener.local_addr()?;
    let batch_records = (BATCH_BYTES / (bytes + 10)).max(1) as i64;
    let batch = start::batch(batch_records as u64, bytes);
    let server = Arc::new(Server { host: at.ip().to_string(), port: at.port(), records, batch, batch_records });
    println!("{{\"address\": \"{at}\"}}");
    for stream in listener.incoming() {
        let (stream, server) = (stream?, server.clone());
        std::thread::spawn(move || {
            if let Err(error) = server.answer_all(stream) {
                eprintln!("connection ended: {error}");
            }
        });
    }
    Ok(())
}

impl Server {
    fn answer_all(&self, mut stream: TcpStream) -> Outcome {
        stream.set_nodelay(true)?;
        let mut answers = BufWriter::with_capacity(64 << 10, stream.try_clone()?);
        let (mut memory, mut length) = (Vec::new(), [0; 4]);
        while stream.read_exact(&mut length).is_ok() {
            let length = u32::from_be_bytes(length) as usize;
            if length > FRAME_BYTES_MAX {
                return Err(format!("a frame of {length} bytes").into());
            }
            memory.clear();
            (&mut stream).take(length as u64).read_to_end(&mut memory)?;
            let frame = Bytes::from(memory);
            if let Some(answer) = self.answer(&frame)? {
                answer.into_pieces().iter().try_for_each(|piece| answers.write_all(piece))?;
                answers.flush()?;
            }
            // The frame is nobody else's any more, so this gives its memory back.
            memory = Vec::from(frame);
        }
        Ok(())
    }

    fn answer(&self, frame: &Bytes) -> Result<Option<Frame>, DecodeError> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::read(&mut reader)?;
        let (version, id) = (header.api_version, header.correlation_id);
        let frame = match header.api() {
            Some(ApiKey::Produce) => {
                let request = decode_request::<ProduceRequest>(&mut reader, &header)?;
                if request.acks == 0 {
                    return Ok(None);
                }
                encode_response(&acknowledge(request), version, id)
            }
            Some(ApiKey::Fetch) => {
                encode_response(&self.fetch(decode_request::<FetchRequest>(&mut reader, &header)?), version, id)
            }
            Some(ApiKey::ListOffsets) => {
                let request = decode_request::<ListOffsetsRequest>(&mut reader, &header)?;
                encode_response(&self.list_offsets(request), version, id)
            }
            Some(ApiKey::Metadata) => {
                let request = decode_request::<MetadataRequest>(&mut reader, &header)?;
                encode_response(&self.metadata(request), version, id)
            }
            Some(ApiKey::InitProducerId) => {
                decode_request::<InitProducerIdRequest>(&mut reader, &header)?;
                let answer = InitProducerIdResponse { producer_id: 1, producer_epoch: 0, ..Default::default() };
                encode_response(&answer, version, id)
            }
            _ => {
                let known = header.api() == Some(ApiKey::ApiVersions) && version <= SERVED[4].2;
                encode_response(&versions(known), if known { version } else { 0 }, id)
            }
        };
        Ok(Some(frame))
    }

    fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let mut empty = true;
        let mut responses = Vec::with_capacity(request.topics.len());
        for asked in request.topics {
            let partitions = asked.partitions.iter().map(|one| {
                let bytes_max = one.partition_max_bytes.min(request.max_bytes).max(0) as usize;
                let records = self.records_from(one.fetch_offset, bytes_max);
                empty &= records.is_empty();
                fetch::PartitionData {
                    partition_index: one.partition,
                    high_watermark: self.records,
                    last_stable_offset: self.records,
                    log_start_offset: 0,
                    records: Some(records),
                    ..Default::default()
                }
            });
            let partitions = partitions.collect();
            responses.push(fetch::FetchableTopicResponse { topic: asked.topic, partitions, ..Default::default() });
        }
        if empty {
            std::thread::sleep(Duration::from_millis(request.max_wait_ms.clamp(0, 1000) as u64));
        }
        FetchResponse { responses, ..Default::default() }
    }

    /// Whole batches from the one that holds `offset` on.
    fn records_from(&self, offset: i64, bytes_max: usize) -> Bytes {
        let first = offset / self.batch_records;
        let left = (self.records - 1).div_euclid(self.batch_records) + 1 - first;
        let batches = ((bytes_max / self.batch.len()).max(1) as i64).min(left).max(0);
        let mut records = BytesMut::with_capacity(batches as usize * self.batch.len());
        for number in first..first + batches {
            let start = records.len();
            records.extend_from_slice(&self.batch);
            set_base_offset(&mut records[start..], number * self.batch_records);
        }
        records.freeze()
    }

    fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let partition = |asked: &list_offsets::ListOffsetsPartition| list_offsets::ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: if asked.timestamp == EARLIEST { 0 } else { self.records },
            ..Default::default()
        };
        let topics = request.topics.into_iter().map(|asked| list_offsets::ListOffsetsTopicResponse {
            partitions: asked.partitions.iter().map(partition).collect(),
            name: asked.name,
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn metadata(&self, request: MetadataRequest) -> MetadataResponse {
        let partition = metadata::MetadataResponsePartition {
            leader_epoch: 0,
            replica_nodes: vec![0],
            isr_nodes: vec![0],
            ..Default::default()
        };
        let topic = |asked: metadata::MetadataRequestTopic| metadata::MetadataResponseTopic {
            name: asked.name,
            partitions: vec![partition.clone()],
            ..Default::default()
        };
        let broker = metadata::MetadataResponseBroker {
            host: self.host.clone(),
            port: i32::from(self.port),
            ..Default::default()
        };
        MetadataResponse {
            brokers: vec![broker],
            controller_id: 0,
            topics: request.topics.unwrap_or_default().into_iter().map(topic).collect(),
            ..Default::default()
        }
    }
}

fn acknowledge(request: ProduceRequest) -> ProduceResponse {
    let partition = |sent: &produce::PartitionProduceData| produce::PartitionProduceResponse {
        index: sent.index,
        ..Default::default()
    };
    let topics = request.topic_data.into_iter().map(|sent| produce::TopicProduceResponse {
        partition_responses: sent.partition_data.iter().map(partition).collect(),
        name: sent.name,
        ..Default::default()
    });
    ProduceResponse { responses: topics.collect(), ..Default::default() }
}

fn versions(known: bool) -> ApiVersionsResponse {
    let served = SERVED.map(|(key, min_version, max_version)| api_versions::ApiVersion {
        api_key: key.code(),
        min_version,
        max_version,
    });
    ApiVersionsResponse {
        error_code: if known { ErrorCode::None } else { ErrorCode::UnsupportedVersion },
        api_keys: served.to_vec(),
        ..Default::default()
    }
}
