//! Why the log refused or failed. Each says the place and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::TopicPartition;

/// An error of the log. Cheap to clone, since one failed sync answers many appends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Another process has the folder open.
    #[error("{} is in use by {}: stop it, or choose another folder with --data", .dir.display(), owner(.pid))]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// The other process, if it left its number.
        pid: Option<u32>,
    },
    /// The folder was written by a version this one does not read.
    #[error("{} has format {found}, this version reads up to {supported}: use the version that wrote it", .path.display())]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest this version reads.
        supported: u32,
    },
    /// No such partition.
    #[error("partition {0} does not exist: create its topic first")]
    UnknownPartition(TopicPartition),
    /// The partition is there already.
    #[error("partition {0} exists already")]
    PartitionExists(TopicPartition),
    /// Not a legal topic name or partition number.
    #[error("{partition:?} is not a legal name: {reason}")]
    InvalidName {
        /// The name.
        partition: TopicPartition,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A configuration value that cannot be read.
    #[error("{name} = {value:?}: {reason}")]
    InvalidConfig {
        /// Kafka's name of the configuration.
        name: String,
        /// What was given.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
    /// What was to be appended is not a row of whole v2 record batches.
    #[error("append to {partition}: {reason}")]
    InvalidBatches {
        /// Where.
        partition: TopicPartition,
        /// What is wrong, with the position in bytes.
        reason: String,
    },
    /// The offset is before the log's start or after the high watermark.
    #[error("offset {offset} of {partition} is out of range: {log_start} to {high_watermark} are there")]
    OffsetOutOfRange {
        /// Where.
        partition: TopicPartition,
        /// Asked for.
        offset: i64,
        /// First offset there.
        log_start: i64,
        /// Offset after the last visible record.
        high_watermark: i64,
    },
    /// An idempotent producer's sequence has a gap or is too old to be recognized (Kafka's OUT_OF_ORDER_SEQUENCE_NUMBER).
    #[error("{partition}: producer {producer_id} sent sequence {found}, {expected} was expected")]
    OutOfOrderSequence {
        /// Where.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// Next sequence of this producer.
        expected: i32,
        /// The batch's first sequence.
        found: i32,
    },
    /// A newer incarnation of the producer has written (Kafka's INVALID_PRODUCER_EPOCH).
    #[error("{partition}: producer {producer_id} is at epoch {current}, the batch is of epoch {found}")]
    InvalidProducerEpoch {
        /// Where.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// The newest epoch seen.
        current: i16,
        /// The batch's epoch.
        found: i16,
    },
    /// A producer with an open transaction sent a batch that is not part of it (Kafka's INVALID_TXN_STATE).
    #[error("{partition}: producer {producer_id} has an open transaction and sent a batch outside of it")]
    TransactionOpen {
        /// Where.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
    },
    /// No space left. Nothing of the append is visible; repeat it when there is space.
    #[error("the disk is full at {}: free some space, writing goes on by itself then", .path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The file system failed. Nothing of the append is visible.
    #[error("cannot {action} {}: {message}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's reason.
        kind: io::ErrorKind,
        /// The system's words.
        message: String,
    },
    /// Bytes that had been written are not as they were.
    #[error("{} is damaged at byte {position}: {reason}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    /// Wraps what the file system said.
    pub(crate) fn io(action: &'static str, path: &Path, error: &io::Error) -> LogError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogError::DiskFull { path: path.to_owned() },
            kind => LogError::Io { action, path: path.to_owned(), kind, message: error.to_string() },
        }
    }

    /// Whether repeating the same call later can help.
    pub fn is_retriable(&self) -> bool {
        matches!(self, LogError::DiskFull { .. } | LogError::Io { .. })
    }
}

fn owner(pid: &Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
