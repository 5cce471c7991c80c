//! Where the broker and the connectors meet: the broker's topics as the connectors' [`EmbeddedLog`].

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_broker::{Broker, BrokerError, Part};
use millstream_connectors::embedded::{Append, EmbeddedError, EmbeddedLog, PartitionOffsets, TopicInfo, TopicSpec};
use millstream_log::LogError;
use tokio::sync::watch;

/// The broker of this process.
pub struct Embedded(pub Arc<Broker>);

fn refused(error: BrokerError) -> EmbeddedError {
    match error {
        BrokerError::UnknownTopic(topic) => EmbeddedError::UnknownTopic(topic),
        BrokerError::Log(LogError::OffsetOutOfRange { partition, offset, log_start, high_watermark }) => {
            EmbeddedError::OutOfRange {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                offset,
                log_start,
                high_watermark,
            }
        }
        BrokerError::Log(error @ (LogError::DiskFull { .. } | LogError::Io { .. })) => {
            EmbeddedError::Unavailable(error.to_string())
        }
        other => EmbeddedError::Refused(other.to_string()),
    }
}

#[async_trait]
impl EmbeddedLog for Embedded {
    fn cluster_id(&self) -> String {
        self.0.cluster_id().to_owned()
    }

    async fn ensure_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo, EmbeddedError> {
        let info = self.0.ensure_topic(name, spec.partitions, &spec.configs).await.map_err(refused)?;
        Ok(TopicInfo { name: info.name, partitions: info.partitions })
    }

    fn topics(&self) -> Vec<TopicInfo> {
        self.0.topics().into_iter().map(|t| TopicInfo { name: t.name, partitions: t.partitions }).collect()
    }

    fn offsets(&self, topic: &str, partition: i32) -> Result<PartitionOffsets, EmbeddedError> {
        let offsets = self.0.offsets(topic, partition).map_err(refused)?;
        Ok(PartitionOffsets { log_start: offsets.log_start, high_watermark: offsets.high_watermark })
    }

    async fn offset_for_timestamp(
        &self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
    ) -> Result<Option<i64>, EmbeddedError> {
        self.0.offset_for_timestamp(topic, partition, timestamp_ms).await.map_err(refused)
    }

    async fn read(&self, topic: &str, partition: i32, offset: i64, max_bytes: usize) -> Result<Bytes, EmbeddedError> {
        self.0.read(topic, partition, offset, max_bytes).await.map_err(refused)
    }

    async fn append(&self, parts: Vec<Append>) -> Result<Vec<i64>, EmbeddedError> {
        let parts = parts.into_iter().map(|Append { topic, partition, batches }| Part { topic, partition, batches });
        self.0.append(parts.collect()).await.map_err(refused)
    }

    fn watch(&self, topic: &str, partition: i32) -> Result<watch::Receiver<i64>, EmbeddedError> {
        self.0.watch(topic, partition).map_err(refused)
    }

    fn hold(&self, topic: &str, partition: i32, owner: &str, offset: i64, hold_ms: i64) -> Result<(), EmbeddedError> {
        self.0.hold(topic, partition, owner, offset, hold_ms).map_err(refused)
    }

    async fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), EmbeddedError> {
        self.0.delete_records(topic, partition, before).await.map_err(refused)
    }
}
