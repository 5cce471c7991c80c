//! WriteTxnMarkers: ends transactions in partitions, without asking their coordinator. Here only administrators do (`kafka-transactions abort`).

use millstream_log::Append;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use millstream_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use millstream_protocol::records::EndMarker;

use super::{Access, Api, Context};
use crate::error::log_code;
use crate::security::acl::{Operation, Resource};

pub(crate) struct WriteTxnMarkers;

impl Api for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;

    const ACCESS: Access<WriteTxnMarkersRequest> = Access::Each;

    async fn handle(context: Context, request: WriteTxnMarkersRequest) -> WriteTxnMarkersResponse {
        let mut markers = Vec::new();
        for asked in request.markers {
            let marker = EndMarker {
                producer_id: asked.producer_id,
                producer_epoch: asked.producer_epoch,
                committed: asked.transaction_result,
                coordinator_epoch: asked.coordinator_epoch,
            };
            let mut topics = Vec::new();
            for topic in asked.topics {
                let mut partitions = Vec::new();
                for partition_index in topic.partition_indexes {
                    let error_code = write(&context, &topic.name, partition_index, marker).await.err();
                    let error_code = error_code.unwrap_or(ErrorCode::None);
                    partitions.push(WritableTxnMarkerPartitionResult { partition_index, error_code });
                }
                topics.push(WritableTxnMarkerTopicResult { name: topic.name, partitions });
            }
            markers.push(WritableTxnMarkerResult { producer_id: asked.producer_id, topics });
        }
        WriteTxnMarkersResponse { markers }
    }
}

async fn write(context: &Context, name: &str, number: i32, marker: EndMarker) -> Result<(), ErrorCode> {
    // An administrator may alter the cluster, another broker acts on it.
    if !context.could(Operation::Alter, Resource::CLUSTER)
        && !context.may(Operation::ClusterAction, Resource::CLUSTER)
    {
        return Err(ErrorCode::ClusterAuthorizationFailed);
    }
    // Whoever may do that needs no rule about the topic.
    let topic = context.broker.topics.get(name).filter(|topic| !topic.is_internal());
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic.partition(number).map_err(|error| error.code())?;
    if marker.producer_id < 0 || marker.producer_epoch < 0 {
        return Err(ErrorCode::InvalidRequest);
    }
    let batch = marker.batch(context.broker.config.clock.now_ms());
    let appended = context.broker.log.append(vec![Append::new(partition.topic_partition().clone(), batch)]);
    appended.await.map_err(|error| log_code(&error))?;
    Ok(())
}
