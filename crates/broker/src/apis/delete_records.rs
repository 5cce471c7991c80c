//! DeleteRecords: forgets the records of partitions before an offset.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use millstream_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use uuid::Uuid;

use super::{Access, Api, Context};
use crate::error::log_code;
use crate::runtime::blocking;
use crate::security::acl::Operation;

pub(crate) struct DeleteRecords;

impl Api for DeleteRecords {
    type Request = DeleteRecordsRequest;

    const ACCESS: Access<DeleteRecordsRequest> = Access::Each;

    async fn handle(context: Context, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| match delete(&context, &topic.name, asked) {
                Ok(low_watermark) => DeleteRecordsPartitionResult {
                    partition_index: asked.partition_index,
                    low_watermark,
                    error_code: ErrorCode::None,
                },
                Err(error_code) => DeleteRecordsPartitionResult {
                    partition_index: asked.partition_index,
                    low_watermark: -1,
                    error_code,
                },
            });
            let partitions = partitions.collect();
            DeleteRecordsTopicResult { name: topic.name, partitions }
        });
        DeleteRecordsResponse { topics: topics.collect(), ..DeleteRecordsResponse::default() }
    }
}

fn delete(context: &Context, name: &str, asked: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    let topic = context.topic(Operation::Delete, name, Uuid::nil(), false)?;
    let partition = topic.partition(asked.partition_index).map_err(|error| error.code())?;
    // What is kept by its keys is not deleted by its offsets.
    if !topic.config.deletes() {
        return Err(ErrorCode::PolicyViolation);
    }
    if asked.offset < -1 {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    blocking(|| partition.delete_records(asked.offset)).map_err(|error| log_code(&error))
}
