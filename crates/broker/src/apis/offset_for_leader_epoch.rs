//! OffsetForLeaderEpoch: where the records of a leader epoch end. There is one epoch, 0, and it ends where the log does.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use millstream_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use uuid::Uuid;

use super::{Access, Api, Context, LEADER_EPOCH, check_leader_epoch};
use crate::security::acl::Operation;

pub(crate) struct OffsetForLeaderEpoch;

impl Api for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;

    const ACCESS: Access<OffsetForLeaderEpochRequest> = Access::Each;

    async fn handle(context: Context, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let partition = asked.partition;
                match find(&context, &topic.topic, asked) {
                    Ok(Some(end_offset)) => EpochEndOffset {
                        partition,
                        leader_epoch: LEADER_EPOCH,
                        end_offset,
                        ..EpochEndOffset::default()
                    },
                    Ok(None) => EpochEndOffset { partition, ..EpochEndOffset::default() },
                    Err(error_code) => EpochEndOffset { partition, error_code, ..EpochEndOffset::default() },
                }
            });
            let partitions = partitions.collect();
            OffsetForLeaderTopicResult { topic: topic.topic, partitions }
        });
        OffsetForLeaderEpochResponse { topics: topics.collect(), ..OffsetForLeaderEpochResponse::default() }
    }
}

fn find(context: &Context, name: &str, asked: &OffsetForLeaderPartition) -> Result<Option<i64>, ErrorCode> {
    let topic = context.topic(Operation::Describe, name, Uuid::nil(), false)?;
    let partition = topic.partition(asked.partition).map_err(|error| error.code())?;
    check_leader_epoch(asked.current_leader_epoch)?;
    Ok((asked.leader_epoch == LEADER_EPOCH).then(|| partition.high_watermark()))
}
