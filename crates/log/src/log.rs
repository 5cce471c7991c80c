//! The data folder as its users see it.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::{
    Ack, Append, Appended, LogError, LogOptions, Partition, PartitionConfig, RecoveryReport, RetentionReport,
    TopicPartition,
};

/// An open data folder. A clone is another handle on the same.
#[derive(Debug, Clone)]
pub struct Log {}

impl Log {
    /// Opens the folder `dir`, or makes it: locks it, replays the journal onto the segments, cuts off torn tails.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process has it, [`LogError::Format`] if a newer version wrote it.
    pub fn open(_dir: &Path, _options: LogOptions) -> Result<(Log, RecoveryReport), LogError> {
        unimplemented!()
    }
    /// The folder.
    pub fn dir(&self) -> &Path {
        unimplemented!()
    }
    /// The cluster's id: 22 characters as Kafka writes it, made with the folder and kept.
    pub fn cluster_id(&self) -> &str {
        unimplemented!()
    }
    /// Makes an empty partition. It is as durable as the next durable append.
    ///
    /// # Errors
    /// [`LogError::PartitionExists`], [`LogError::InvalidName`], or the file system's.
    pub fn create_partition(
        &self,
        _partition: &TopicPartition,
        _topic_id: Uuid,
        _config: PartitionConfig,
    ) -> Result<Arc<Partition>, LogError> {
        unimplemented!()
    }
    /// Deletes a partition and all of its records; as durable as the next durable append. Readers that have it finish.
    pub fn delete_partition(&self, _partition: &TopicPartition) -> Result<(), LogError> {
        unimplemented!()
    }
    /// All partitions, in order of their names.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        unimplemented!()
    }
    /// A partition by its name.
    pub fn partition(&self, _partition: &TopicPartition) -> Option<Arc<Partition>> {
        unimplemented!()
    }
    /// Appends: all parts become durable and visible together or not at all. Order of calls is order of offsets.
    pub fn append(&self, parts: Vec<Append>) -> Appended {
        self.append_with(parts, Ack::Durable)
    }
    /// As [`Log::append`], choosing when it answers.
    pub fn append_with(&self, _parts: Vec<Append>, _ack: Ack) -> Appended {
        unimplemented!()
    }
    /// Deletes what the partitions' retention no longer keeps at `now_ms`. To be called now and then, where blocking is allowed.
    pub fn enforce_retention(&self, _now_ms: i64) -> Result<RetentionReport, LogError> {
        unimplemented!()
    }
    /// Finishes what is queued, syncs everything and unlocks the folder. Later appends answer [`LogError::Closed`]. The last
    /// handle's drop does the same.
    pub fn close(&self) -> Result<(), LogError> {
        unimplemented!()
    }
}
