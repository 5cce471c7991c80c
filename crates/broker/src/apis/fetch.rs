//! Fetch: whole batches as they stand in the log, up to the high watermark. A fetch with too little to give waits until there is more or
//! its time is up. Incremental sessions are in `fetch_sessions.rs`: here a request has been completed by its session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::select_all;
use millstream_log::{LogError, Partition};
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::fetch::{AbortedTransaction, FetchPartition, FetchableTopicResponse, PartitionData};
use millstream_protocol::messages::{FetchRequest, FetchResponse};
use millstream_protocol::records::batches;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Access, Api, Context, check_leader_epoch};
use crate::error::log_code;
use crate::quotas::Client;
use crate::runtime::blocking;
use crate::security::acl::Operation;
use crate::topics::Topic;

/// Topic ids instead of names.
const IDS_SINCE: i16 = 13;
/// So near the end of a partition the log reads from memory; further back it may wait for the disk.
const NEAR_RECORDS: i64 = 500;
/// Isolation level of a consumer that reads no open and no aborted transactions.
const READ_COMMITTED: i8 = 1;
/// A client that asks for a longer wait is answered after this, empty.
const WAIT_MS_MAX: i32 = 5 * 60 * 1000;

pub(crate) struct Fetch;

/// What is in a round of reading.
struct Round {
    responses: Vec<FetchableTopicResponse>,
    bytes: usize,
    failed: bool,
}

impl Api for Fetch {
    type Request = FetchRequest;

    const ACCESS: Access<FetchRequest> = Access::Each;

    async fn handle(context: Context, mut request: FetchRequest) -> FetchResponse {
        let (by_id, now_ms) = (context.version >= IDS_SINCE, context.broker.config.clock.now_ms());
        let turn = match context.broker.fetch_sessions.begin(&mut request, by_id, now_ms) {
            Ok(turn) => turn,
            Err(error_code) => return FetchResponse { error_code, ..FetchResponse::default() },
        };
        let wait_ms = request.max_wait_ms.clamp(0, WAIT_MS_MAX) as u64;
        let deadline = Instant::now() + Duration::from_millis(wait_ms);
        let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
        let client = context.client();
        let bytes_max = client.as_ref().map_or(usize::MAX, Client::fetch_bytes_max);
        let mut stopping = context.broker.stopping();
        // Taken before reading: what comes in while it reads wakes it.
        let mut marks: Vec<watch::Receiver<i64>> = watch_all(&context, &request);
        loop {
            let mut round = read_all(&context, &request, bytes_max);
            let enough = round.bytes >= min_bytes || round.failed;
            if enough || marks.is_empty() || Instant::now() >= deadline || *stopping.borrow() {
                let fetched = client.as_ref().map(|client| client.fetched(round.bytes));
                let throttle_time_ms = fetched.map_or(0, |fetched| fetched.wait_ms as i32);
                if fetched.is_some_and(|fetched| !fetched.is_given) {
                    // What the session told before holds.
                    return FetchResponse { throttle_time_ms, session_id: turn.id, ..FetchResponse::default() };
                }
                count(&context, &round);
                let session_id = context.broker.fetch_sessions.finish(turn, &mut round.responses, now_ms);
                let responses = round.responses;
                return FetchResponse { throttle_time_ms, session_id, responses, ..FetchResponse::default() };
            }
            let moved = select_all(marks.iter_mut().map(|mark| Box::pin(mark.changed())));
            let woken = async {
                tokio::select! { (moved, ..) = moved => moved.is_err(), _ = stopping.wait_for(|stop| *stop) => false }
            };
            // A mark that is closed belongs to a topic that was deleted; there may be a new one under its name.
            if timeout_at(deadline, woken).await == Ok(true) {
                marks = watch_all(&context, &request);
            }
        }
    }
}

fn watch_all(context: &Context, request: &FetchRequest) -> Vec<watch::Receiver<i64>> {
    let mut marks = Vec::new();
    for asked in &request.topics {
        let Ok(topic) = context.topic(Operation::Read, &asked.topic, asked.topic_id, context.version >= IDS_SINCE)
        else {
            continue;
        };
        let partitions = asked.partitions.iter().filter_map(|one| topic.partition(one.partition).ok());
        marks.extend(partitions.map(|partition| {
            let mut mark = partition.watch();
            mark.mark_unchanged();
            mark
        }));
    }
    marks
}

fn read_all(context: &Context, request: &FetchRequest, bytes_max: usize) -> Round {
    let asked_max = usize::try_from(request.max_bytes).unwrap_or(0);
    let bytes_max = asked_max.min(context.broker.config.fetch_bytes_max).min(bytes_max);
    let committed_only = request.isolation_level == READ_COMMITTED;
    let mut round = Round { responses: Vec::new(), bytes: 0, failed: false };
    for asked in &request.topics {
        let topic = context.topic(Operation::Read, &asked.topic, asked.topic_id, context.version >= IDS_SINCE);
        let mut partitions = Vec::new();
        for one in &asked.partitions {
            let result = match &topic {
                Ok(topic) => find(topic, one).and_then(|partition| {
                    let bytes_left = bytes_max.saturating_sub(round.bytes);
                    read(partition, one, committed_only, bytes_left, round.bytes == 0).map(|read| (partition, read))
                }),
                Err(code) => Err(*code),
            };
            partitions.push(match result {
                Ok((partition, read)) => {
                    round.bytes += read.records.len();
                    PartitionData {
                        partition_index: one.partition,
                        high_watermark: read.high_watermark,
                        last_stable_offset: read.last_stable_offset,
                        log_start_offset: partition.log_start_offset(),
                        aborted_transactions: committed_only.then_some(read.aborted),
                        records: Some(read.records),
                        ..PartitionData::default()
                    }
                }
                Err(error_code) => {
                    round.failed = true;
                    let of_range = topic.as_ref().ok().filter(|_| error_code == ErrorCode::OffsetOutOfRange);
                    let partition = of_range.and_then(|topic| topic.partition(one.partition).ok());
                    PartitionData {
                        partition_index: one.partition,
                        error_code,
                        high_watermark: partition.map_or(-1, |partition| partition.high_watermark()),
                        log_start_offset: partition.map_or(-1, |partition| partition.log_start_offset()),
                        records: Some(Bytes::new()),
                        ..PartitionData::default()
                    }
                }
            });
        }
        round.responses.push(FetchableTopicResponse {
            topic: asked.topic.clone(),
            topic_id: asked.topic_id,
            partitions,
        });
    }
    round
}

fn find<'a>(topic: &'a Topic, asked: &FetchPartition) -> Result<&'a Arc<Partition>, ErrorCode> {
    check_leader_epoch(asked.current_leader_epoch)?;
    topic.partition(asked.partition).map_err(|error| error.code())
}

/// What is read of a partition.
struct Read {
    records: Bytes,
    high_watermark: i64,
    last_stable_offset: i64,
    aborted: Vec<AbortedTransaction>,
}

fn read(
    partition: &Partition,
    asked: &FetchPartition,
    committed_only: bool,
    bytes_left: usize,
    first: bool,
) -> Result<Read, ErrorCode> {
    // In this order: a high watermark that is read later is not before the last stable offset.
    let last_stable_offset = match committed_only {
        true if partition.knows_transactions() => partition.last_stable_offset(),
        true => blocking(|| partition.last_stable_offset()),
        false => Ok(partition.last_stable_offset_known()),
    };
    let last_stable_offset = last_stable_offset.map_err(|error| log_code(&error))?;
    let high_watermark = partition.high_watermark();
    let in_log = partition.log_start_offset()..=partition.log_end_offset().max(high_watermark);
    if !in_log.contains(&asked.fetch_offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let mut read = Read { records: Bytes::new(), high_watermark, last_stable_offset, aborted: Vec::new() };
    let bytes_max = usize::try_from(asked.partition_max_bytes).unwrap_or(0).min(bytes_left);
    let end = if committed_only { last_stable_offset } else { high_watermark };
    if asked.fetch_offset >= end || (bytes_max == 0 && !first) {
        return Ok(read);
    }
    // The first partition with records gives at least one batch, however large, so that no consumer is stuck (KIP-74).
    let mut work = || {
        if committed_only {
            let committed = partition.read_committed(asked.fetch_offset, bytes_max, first)?;
            let aborted = committed.aborted.iter();
            read.aborted = aborted
                .map(|one| AbortedTransaction { producer_id: one.producer_id, first_offset: one.first_offset })
                .collect();
            return Ok(committed.batches);
        }
        match first {
            true => partition.read(asked.fetch_offset, bytes_max),
            false => partition.read_within(asked.fetch_offset, bytes_max),
        }
    };
    let near = high_watermark - asked.fetch_offset < NEAR_RECORDS;
    let result = if near { work() } else { blocking(work) };
    read.records = result.map_err(|error| {
        if !matches!(error, LogError::OffsetOutOfRange { .. }) {
            tracing::warn!(%error, "read failed");
        }
        log_code(&error)
    })?;
    Ok(read)
}

fn count(context: &Context, round: &Round) {
    for response in &round.responses {
        let bytes: usize = response.partitions.iter().filter_map(|one| one.records.as_ref()).map(Bytes::len).sum();
        if bytes == 0 {
            continue;
        }
        let all = response.partitions.iter().filter_map(|one| one.records.as_deref());
        let records: u64 =
            all.flat_map(batches).map_while(Result::ok).map(|(header, _)| header.record_count.max(0) as u64).sum();
        if let Ok(topic) =
            context.topic(Operation::Read, &response.topic, response.topic_id, context.version >= IDS_SINCE)
        {
            topic.counters.add_out(records, bytes as u64);
        }
    }
}
