//! DescribeProducers: who writes to partitions, and whose transactions are open there.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_producers::{PartitionResponse, ProducerState, TopicResponse};
use millstream_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use uuid::Uuid;

use super::{Access, Api, Context};
use crate::error::log_code;
use crate::runtime::blocking;
use crate::security::acl::Operation;

pub(crate) struct DescribeProducers;

impl Api for DescribeProducers {
    type Request = DescribeProducersRequest;

    const ACCESS: Access<DescribeProducersRequest> = Access::Each;

    async fn handle(context: Context, request: DescribeProducersRequest) -> DescribeProducersResponse {
        let topics = request.topics.into_iter().map(|asked| {
            let each = asked.partition_indexes.into_iter().map(|partition_index| {
                match producers(&context, &asked.name, partition_index) {
                    Ok(active_producers) => {
                        PartitionResponse { partition_index, active_producers, ..PartitionResponse::default() }
                    }
                    Err(error_code) => {
                        PartitionResponse { partition_index, error_code, ..PartitionResponse::default() }
                    }
                }
            });
            let partitions = each.collect();
            TopicResponse { name: asked.name, partitions }
        });
        DescribeProducersResponse { topics: topics.collect(), ..DescribeProducersResponse::default() }
    }
}

fn producers(context: &Context, name: &str, number: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    let topic = context.topic(Operation::Read, name, Uuid::nil(), false)?;
    let partition = topic.partition(number).map_err(|error| error.code())?;
    let found = blocking(|| partition.producers()).map_err(|error| log_code(&error))?;
    let state = |producer: millstream_log::ProducerInfo| ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.seen_ms,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.transaction_start.unwrap_or(-1),
    };
    Ok(found.into_iter().map(state).collect())
}
