//! What can be wrong with a record batch, and which error code a producer is told.

use super::Codec;
use crate::ErrorCode;

/// Why a record batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end inside a batch. A reader of a file meets this at a torn tail.
    #[error("the batch needs {needed} bytes and {left} are left")]
    Truncated {
        /// Bytes that the batch states, or a header's size where not even that is there.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// The stated length is less than a header's.
    #[error("the batch states a length of {0} bytes, less than its own header")]
    Length(i32),
    /// A format other than version 2.
    #[error("record format (magic) {0} is not supported: only version 2, which every client since Kafka 0.11 writes")]
    Magic(i8),
    /// The check sum does not match.
    #[error("the batch is damaged: its CRC is {stated:#010x}, its bytes give {computed:#010x}")]
    Crc {
        /// In the header.
        stated: u32,
        /// Over the bytes.
        computed: u32,
    },
    /// Number of records and last offset delta do not match, or either is negative.
    #[error("the batch states {count} records and a last offset delta of {last_offset_delta}")]
    Count {
        /// Stated number of records.
        count: i32,
        /// Stated last offset delta.
        last_offset_delta: i32,
    },
    /// A codec nobody knows.
    #[error("compression codec {0} is not known (0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd)")]
    Codec(i16),
    /// Clients write no control records.
    #[error("control batches are written by brokers only")]
    Control,
    /// A batch of an idempotent producer without epoch or sequence, or the reverse.
    #[error("producer id {producer_id}, epoch {producer_epoch} and sequence {base_sequence} do not go together")]
    Producer {
        /// Producer id.
        producer_id: i64,
        /// Epoch.
        producer_epoch: i16,
        /// First sequence number.
        base_sequence: i32,
    },
    /// A record's bytes make no sense.
    #[error("record {index} of the batch: {what}")]
    Record {
        /// Number in the batch, from 0.
        index: i32,
        /// What is wrong.
        what: &'static str,
    },
    /// The compressed bytes make no sense.
    #[error("{codec} data cannot be decompressed: {reason}")]
    Decompress {
        /// Codec of the batch.
        codec: Codec,
        /// The codec's words.
        reason: String,
    },
    /// Decompressed, the batch is larger than the reader allows.
    #[error("decompressed, the batch is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
}

impl BatchError {
    /// What a producer is told, as Kafka tells it.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            BatchError::Truncated { .. } | BatchError::Length(_) | BatchError::Crc { .. } => ErrorCode::CorruptMessage,
            BatchError::Decompress { .. } => ErrorCode::CorruptMessage,
            BatchError::Codec(_) => ErrorCode::UnsupportedCompressionType,
            BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            BatchError::Magic(_)
            | BatchError::Count { .. }
            | BatchError::Control
            | BatchError::Producer { .. }
            | BatchError::Record { .. } => ErrorCode::InvalidRecord,
        }
    }
}
