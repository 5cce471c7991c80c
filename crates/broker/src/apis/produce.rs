//! Produce: batches are checked and appended as they were sent. Every partition of a request has a result of its own.

mod records;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use millstream_log::{Ack, Append, Appended};
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, TopicProduceResponse,
};
use millstream_protocol::messages::{Message, ProduceRequest, ProduceResponse};
use millstream_protocol::records::{BatchHeader, Codec, recompress, set_log_append_time, validate};
use uuid::Uuid;

use super::{Access, Api, Context, LEADER_EPOCH, words};
use crate::BrokerError;
use crate::error::log_code;
use crate::security::acl::{Operation, Resource};
use crate::stats::TopicCounters;
use crate::topics::{Topic, name};
use crate::transactions::Coordinator;
use crate::transactions::coordinator::{Joining, Saving};

/// Topic ids instead of names.
const IDS_SINCE: i16 = 13;
/// zstd may be sent.
const ZSTD_SINCE: i16 = 7;
/// TRANSACTION_ABORTABLE is understood.
const ABORTABLE_SINCE: i16 = 11;
/// A batch brings its partition into the transaction by itself (KIP-890).
const JOINING_SINCE: i16 = 12;

pub(crate) struct Produce;

/// Why a batch was not taken.
struct Refusal {
    code: ErrorCode,
    words: Option<String>,
    /// Records of the batch that are to blame, if it is not the batch as a whole.
    records: Vec<BatchIndexAndErrorMessage>,
    /// -1: not told.
    log_start_offset: i64,
}

impl Refusal {
    fn new(code: ErrorCode, why: &dyn std::fmt::Display) -> Self {
        Refusal { words: words(why), ..Refusal::bare(code) }
    }

    fn bare(code: ErrorCode) -> Self {
        Refusal { code, words: None, records: Vec::new(), log_start_offset: -1 }
    }
}

impl Api for Produce {
    type Request = ProduceRequest;

    const ACCESS: Access<ProduceRequest> = Access::Each;

    const VERSIONS: std::ops::RangeInclusive<i16> = ProduceRequest::VERSIONS;
    const ADVERTISED_SINCE: i16 = 0;
    const PIPELINED: bool = true;

    fn is_answered(request: &ProduceRequest) -> bool {
        request.acks != 0
    }

    fn failure(response: &ProduceResponse) -> Option<String> {
        let mut all =
            response.responses.iter().flat_map(|topic| topic.partition_responses.iter().map(move |one| (topic, one)));
        let (topic, failed) = all.find(|(_, one)| !one.error_code.is_ok())?;
        Some(format!("acks=0 to {}-{}: {}", topic.name, failed.index, failed.error_code))
    }

    /// Appends are begun here, so that two requests of a connection come into the log in their order; their end is waited for later.
    fn handle(context: Context, request: ProduceRequest) -> impl Future<Output = ProduceResponse> + Send + 'static {
        let acks = request.acks;
        let throttle_time_ms = context.client().map_or(0, |client| client.produced(context.request_bytes) as i32);
        let transactional_id = request.transactional_id.as_deref();
        let may_take_part =
            transactional_id.is_none_or(|id| context.may(Operation::Write, Resource::transactional_id(id)));
        let mut topics = Vec::with_capacity(request.topic_data.len().min(64));
        for topic in request.topic_data {
            let (name, id) = (topic.name, topic.topic_id);
            let partitions: Vec<_> = topic
                .partition_data
                .into_iter()
                .map(|data| match may_take_part {
                    true => (data.index, append(&context, acks, transactional_id, &name, id, data)),
                    false => (data.index, Err(Refusal::bare(ErrorCode::TransactionalIdAuthorizationFailed))),
                })
                .collect();
            topics.push((name, id, partitions));
        }
        let transactions = context.broker.transactions.clone();
        async move {
            let transactions = &transactions;
            let mut responses = Vec::with_capacity(topics.len());
            for (name, topic_id, partitions) in topics {
                let partition_responses = join_all(partitions.into_iter().map(|(index, begun)| async move {
                    match begun {
                        Ok(begun) => begun.answer(index, transactions).await,
                        Err(refusal) => refused(index, refusal),
                    }
                }))
                .await;
                responses.push(TopicProduceResponse { name, topic_id, partition_responses });
            }
            ProduceResponse { throttle_time_ms, responses, ..ProduceResponse::default() }
        }
    }
}

/// An append that is on its way.
struct Begun {
    appended: Appended,
    /// The append brings its partition into a transaction.
    saving: Option<Saving>,
    append_time_ms: i64,
    counters: Arc<TopicCounters>,
    records: u64,
    bytes: u64,
}

impl Begun {
    async fn answer(self, index: i32, transactions: &Coordinator) -> PartitionProduceResponse {
        match self.appended.await.as_deref() {
            Ok([part, ..]) => {
                if let Some(saving) = &self.saving {
                    transactions.produced(saving);
                }
                self.counters.works(index);
                if self.counters.takes_again() {
                    tracing::info!("appends are taken again");
                }
                if !part.duplicate {
                    self.counters.add_in(self.records, self.bytes);
                }
                PartitionProduceResponse {
                    index,
                    base_offset: part.base_offset,
                    log_append_time_ms: self.append_time_ms,
                    log_start_offset: part.log_start_offset,
                    ..PartitionProduceResponse::default()
                }
            }
            Ok([]) => refused(index, Refusal::new(ErrorCode::UnknownServerError, &"the log gave no result")),
            Err(error) => {
                self.counters.fails(index, error);
                if self.counters.refuses() {
                    tracing::warn!(%error, "append refused; it is said again when one of its topic has been taken meanwhile");
                }
                refused(index, Refusal::new(log_code(error), error))
            }
        }
    }
}

fn append(
    context: &Context,
    acks: i16,
    transactional_id: Option<&str>,
    name: &str,
    id: Uuid,
    data: PartitionProduceData,
) -> Result<Begun, Refusal> {
    let ack = match acks {
        -1 => Ack::Durable,
        0 | 1 => Ack::Written,
        other => {
            return Err(Refusal::new(
                ErrorCode::InvalidRequiredAcks,
                &format!("acks={other}: ask for -1 (all), 0 or 1"),
            ));
        }
    };
    if context.version < IDS_SINCE && name::is_internal(name) {
        return Err(Refusal::new(ErrorCode::InvalidTopic, &format!("topic {name} is internal")));
    }
    let topic = context.topic(Operation::Write, name, id, context.version >= IDS_SINCE).map_err(|code| match code {
        ErrorCode::TopicAuthorizationFailed => Refusal::bare(code),
        code => Refusal::new(code, &BrokerError::UnknownTopic(name.to_string())),
    })?;
    let partition = topic.partition(data.index).map_err(|error| Refusal::new(error.code(), &error))?;
    let mut records = data.records.unwrap_or_default();
    let now_ms = context.broker.config.clock.now_ms();
    let unpacking = &context.broker.unpacking;
    let header = check(context.version, &topic, &records)?;
    records::check(&topic, data.index, &header, &records, now_ms, unpacking)
        .map_err(|refusal| Refusal { log_start_offset: partition.log_start_offset(), ..refusal })?;
    if let Some(codec) = topic.codec.filter(|codec| header.codec() != Ok(*codec)) {
        let recompressed = unpacking.look(topic.batch_bytes_max, |scratch| recompress(&records, codec, scratch));
        records = recompressed.map_err(|error| Refusal::new(error.error_code(), &error))?;
        check_size(&topic, &records)?;
    }
    let mut append_time_ms = -1;
    if topic.log_append_time {
        append_time_ms = now_ms;
        let mut stamped = BytesMut::from(records);
        set_log_append_time(&mut stamped, now_ms);
        records = stamped.freeze();
    }
    let bytes = records.len() as u64;
    let part = Append { partition: partition.topic_partition().clone(), batches: records, leader_epoch: LEADER_EPOCH };
    let (appended, saving) = match header.is_transactional() {
        false => (context.broker.log.append_with(vec![part], ack), None),
        true => append_transactional(context, transactional_id, &header, part, ack)?,
    };
    Ok(Begun {
        appended,
        saving,
        append_time_ms,
        counters: topic.counters.clone(),
        records: header.record_count as u64,
        bytes,
    })
}

/// As the transaction's coordinator has it. The codes are those that a producer of this version knows what to do with.
fn append_transactional(
    context: &Context,
    transactional_id: Option<&str>,
    header: &BatchHeader,
    part: Append,
    ack: Ack,
) -> Result<(Appended, Option<Saving>), Refusal> {
    let Some(id) = transactional_id else {
        let why = "the batch is part of a transaction, and the request names no transactional id";
        return Err(Refusal::new(ErrorCode::TransactionalIdAuthorizationFailed, &why));
    };
    let joining = match context.version {
        JOINING_SINCE.. => Joining::Now,
        ABORTABLE_SINCE.. => Joining::Before { otherwise: ErrorCode::TransactionAbortable },
        _ => Joining::Before { otherwise: ErrorCode::InvalidTxnState },
    };
    context.broker.transactions.produce(id, header, joining, part, ack).map_err(|code| {
        let code = match code {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            // Older clients repeat a batch after this one without asking for metadata first.
            ErrorCode::ConcurrentTransactions if joining != Joining::Now => ErrorCode::NotEnoughReplicas,
            code => code,
        };
        Refusal::new(code, &format!("transaction {id}: {code}"))
    })
}

fn check(version: i16, topic: &Topic, records: &Bytes) -> Result<BatchHeader, Refusal> {
    let batches = validate(records).map_err(|error| Refusal::new(error.error_code(), &error))?;
    let [batch] = &batches[..] else {
        let why = format!("{} batches for one partition: exactly one is to be sent", batches.len());
        return Err(Refusal::new(ErrorCode::InvalidRecord, &why));
    };
    let header = batch.header;
    if header.base_offset != 0 {
        let why = format!(
            "a base offset of {}: offsets are the broker's to give, a producer's batch has 0",
            header.base_offset
        );
        return Err(Refusal::new(ErrorCode::InvalidRecord, &why));
    }
    check_size(topic, records)?;
    if version < ZSTD_SINCE && header.codec().is_ok_and(|codec| codec == Codec::Zstd) {
        return Err(Refusal::new(ErrorCode::UnsupportedCompressionType, &"zstd needs a client that speaks Produce 7"));
    }
    Ok(header)
}

fn check_size(topic: &Topic, records: &Bytes) -> Result<(), Refusal> {
    if records.len() <= topic.batch_bytes_max {
        return Ok(());
    }
    let (bytes, most) = (records.len(), topic.batch_bytes_max);
    let why = format!("a batch of {bytes} bytes; max.message.bytes of topic {} is {most}", topic.name);
    Err(Refusal::new(ErrorCode::MessageTooLarge, &why))
}

fn refused(index: i32, refusal: Refusal) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: refusal.code,
        base_offset: -1,
        error_message: refusal.words,
        record_errors: refusal.records,
        log_start_offset: refusal.log_start_offset,
        ..PartitionProduceResponse::default()
    }
}
