//! ListOffsets: the first and the last offset, and the first at or after a time.

use millstream_log::TimestampOffset;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use millstream_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use uuid::Uuid;

use super::{Access, Api, Context, LEADER_EPOCH, check_leader_epoch, repeated};
use crate::error::log_code;
use crate::runtime::blocking;
use crate::security::acl::Operation;

/// Isolation level of a consumer that reads no open and no aborted transactions: the end is the last stable offset.
const READ_COMMITTED: i8 = 1;
/// The end: the high watermark.
const LATEST: i64 = -1;
/// The first offset that is there.
const EARLIEST: i64 = -2;
/// The record with the largest time stamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on this node's disk (KIP-405): all of them are.
const EARLIEST_LOCAL: i64 = -4;
/// The last offset in another storage (KIP-405): there is none.
const LATEST_TIERED: i64 = -5;
/// The first offset that is to go to another storage (KIP-1023): there is none.
const EARLIEST_PENDING_UPLOAD: i64 = -6;

pub(crate) struct ListOffsets;

impl Api for ListOffsets {
    type Request = ListOffsetsRequest;

    const ACCESS: Access<ListOffsetsRequest> = Access::Each;

    async fn handle(context: Context, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let named = request
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.clone(), partition.partition_index)));
        let repeated = repeated(named);
        let topics = request.topics.into_iter().map(|topic| {
            let committed_only = request.isolation_level == READ_COMMITTED;
            let answer = |asked: &ListOffsetsPartition| {
                let found = match repeated.contains(&(topic.name.clone(), asked.partition_index)) {
                    true => Err(ErrorCode::InvalidRequest),
                    false => find(&context, &topic.name, committed_only, asked),
                };
                answer(asked.partition_index, found)
            };
            let partitions = topic.partitions.iter().map(answer).collect();
            ListOffsetsTopicResponse { name: topic.name, partitions }
        });
        ListOffsetsResponse { topics: topics.collect(), ..ListOffsetsResponse::default() }
    }
}

fn answer(partition_index: i32, found: Result<Option<TimestampOffset>, ErrorCode>) -> ListOffsetsPartitionResponse {
    match found {
        Ok(Some(found)) => ListOffsetsPartitionResponse {
            partition_index,
            timestamp: found.timestamp_ms,
            offset: found.offset,
            leader_epoch: found.leader_epoch,
            ..ListOffsetsPartitionResponse::default()
        },
        Ok(None) => ListOffsetsPartitionResponse { partition_index, ..ListOffsetsPartitionResponse::default() },
        Err(error_code) => {
            ListOffsetsPartitionResponse { partition_index, error_code, ..ListOffsetsPartitionResponse::default() }
        }
    }
}

/// The version from which a time below 0 has a meaning.
fn special_since(timestamp: i64) -> Option<i16> {
    match timestamp {
        LATEST | EARLIEST => Some(1),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING_UPLOAD => Some(11),
        _ => None,
    }
}

fn find(
    context: &Context,
    name: &str,
    committed_only: bool,
    asked: &ListOffsetsPartition,
) -> Result<Option<TimestampOffset>, ErrorCode> {
    let topic = context.topic(Operation::Describe, name, Uuid::nil(), false)?;
    let partition = topic.partition(asked.partition_index).map_err(|error| error.code())?;
    check_leader_epoch(asked.current_leader_epoch)?;
    if asked.timestamp < 0 && special_since(asked.timestamp).is_none_or(|since| context.version < since) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let at = |offset| Ok(Some(TimestampOffset { offset, timestamp_ms: -1, leader_epoch: LEADER_EPOCH }));
    let end = || match committed_only {
        true => blocking(|| partition.last_stable_offset()).map_err(|error| log_code(&error)),
        false => Ok(partition.high_watermark()),
    };
    let found = match asked.timestamp {
        LATEST => return at(end()?),
        EARLIEST | EARLIEST_LOCAL => return at(partition.log_start_offset()),
        MAX_TIMESTAMP => blocking(|| partition.offset_of_max_timestamp()),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(None),
        timestamp_ms => blocking(|| partition.offset_for_timestamp(timestamp_ms)),
    };
    let end = end()?;
    Ok(found.map_err(|error| log_code(&error))?.filter(|found| found.offset < end))
}
