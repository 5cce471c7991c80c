//! A partition as readers see it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{LogError, PartitionConfig, TopicPartition};

/// An offset found by its time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's offset.
    pub offset: i64,
    /// The record's time stamp in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Leader epoch of its batch.
    pub leader_epoch: i32,
}

/// A partition's log: whole record batches by offset. Reading blocks for as long as the file system does; at the end of the
/// log it is served from memory.
#[derive(Debug)]
pub struct Partition {}

impl Partition {
    /// Its name.
    pub fn topic_partition(&self) -> &TopicPartition {
        unimplemented!()
    }
    /// Id of its topic.
    pub fn topic_id(&self) -> Uuid {
        unimplemented!()
    }
    /// Its configuration as it is now.
    pub fn config(&self) -> Arc<PartitionConfig> {
        unimplemented!()
    }
    /// Replaces its configuration; holds for the next append and the next round of retention. Not kept on disk: the broker's
    /// topic records are.
    pub fn set_config(&self, _config: PartitionConfig) -> Result<(), LogError> {
        unimplemented!()
    }
    /// First offset that is still there.
    pub fn log_start_offset(&self) -> i64 {
        unimplemented!()
    }
    /// Offset after the last durable, visible record.
    pub fn high_watermark(&self) -> i64 {
        unimplemented!()
    }
    /// Offset that the next record gets. At or after the high watermark.
    pub fn log_end_offset(&self) -> i64 {
        unimplemented!()
    }
    /// Bytes of its segments.
    pub fn size_bytes(&self) -> u64 {
        unimplemented!()
    }
    /// Whole batches from the one that holds `offset` (it may begin before), about `max_bytes` but at least one batch, never
    /// past the high watermark. Empty at the high watermark.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] before the log's start or after the high watermark.
    pub fn read(&self, _offset: i64, _max_bytes: usize) -> Result<Bytes, LogError> {
        unimplemented!()
    }
    /// As [`Partition::read`], but empty if the first batch is larger than `max_bytes`.
    pub fn read_within(&self, _offset: i64, _max_bytes: usize) -> Result<Bytes, LogError> {
        unimplemented!()
    }
    /// The first record whose time stamp is at or after `timestamp_ms`, among the visible ones.
    pub fn offset_for_timestamp(&self, _timestamp_ms: i64) -> Result<Option<TimestampOffset>, LogError> {
        unimplemented!()
    }
    /// The record with the largest time stamp (the first of them), among the visible ones.
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampOffset>, LogError> {
        unimplemented!()
    }
    /// The high watermark as it moves. Closes when the partition is deleted or the log closed.
    pub fn watch(&self) -> watch::Receiver<i64> {
        unimplemented!()
    }
    /// Forgets the records before `before` (-1: before the high watermark) and gives the new log start offset. Durable when it
    /// returns; blocks meanwhile.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] if `before` is after the high watermark.
    pub fn delete_records(&self, _before: i64) -> Result<i64, LogError> {
        unimplemented!()
    }
}
