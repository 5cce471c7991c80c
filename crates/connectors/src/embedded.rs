//! The embedded log as connectors see it: topics of the broker in this process, without a socket.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

/// A topic to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// Number of partitions; 0 = the broker's default.
    pub partitions: i32,
    /// Kafka's names and values (`retention.bytes`, …).
    pub configs: Vec<(String, String)>,
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
}

/// Offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// First offset that is still there.
    pub log_start: i64,
    /// Offset after the last durable, visible record.
    pub high_watermark: i64,
}

/// Why the embedded log refused.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No such topic or partition.
    #[error("topic {0} is not there")]
    UnknownTopic(String),
    /// The offset is before the log's start or after its end.
    #[error("offset {offset} of {topic}-{partition} is out of range ({log_start}..{high_watermark})")]
    OutOfRange {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Asked for.
        offset: i64,
        /// First there.
        log_start: i64,
        /// After the last there.
        high_watermark: i64,
    },
    /// Disk full and the like: repeat later.
    #[error("{0}")]
    Unavailable(String),
    /// Refused for good.
    #[error("{0}")]
    Refused(String),
}

/// Records for one partition in an atomic append: whole v2 record batches (`protocol::records`).
#[derive(Debug, Clone)]
pub struct Append {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// One or more batches.
    pub batches: Bytes,
}

/// The log of the broker in this process.
#[async_trait]
pub trait EmbeddedLog: Send + Sync + 'static {
    /// The cluster's id, as clients see it; made with the data folder.
    fn cluster_id(&self) -> String;
    /// Makes the topic if it is not there. Also an internal one (`sql::is_internal_topic`).
    async fn ensure_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo, EmbeddedError>;
    /// All topics, internal ones too.
    fn topics(&self) -> Vec<TopicInfo>;
    /// Offsets of a partition.
    fn offsets(&self, topic: &str, partition: i32) -> Result<PartitionOffsets, EmbeddedError>;
    /// First offset whose record's time stamp is at or after `timestamp_ms`.
    async fn offset_for_timestamp(
        &self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
    ) -> Result<Option<i64>, EmbeddedError>;
    /// Whole batches from the one that holds `offset`, at most about `max_bytes` but at least one, never past the high watermark;
    /// empty at the end.
    async fn read(&self, topic: &str, partition: i32, offset: i64, max_bytes: usize) -> Result<Bytes, EmbeddedError>;
    /// One atomic append over all partitions named; durable when it returns. Gives each part's first offset.
    async fn append(&self, parts: Vec<Append>) -> Result<Vec<i64>, EmbeddedError>;
    /// The partition's high watermark as it moves.
    fn watch(&self, topic: &str, partition: i32) -> Result<watch::Receiver<i64>, EmbeddedError>;
    /// Keeps retention from records at and after `offset` for so long, in ms, in the name of `owner`; an earlier hold of the owner ends.
    fn hold(&self, topic: &str, partition: i32, owner: &str, offset: i64, hold_ms: i64) -> Result<(), EmbeddedError>;
    /// Forgets records before `before`.
    async fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), EmbeddedError>;
}
