//! What can go wrong between a client and a broker.

use std::io;
use std::sync::Arc;

use millstream_protocol::codec::DecodeError;
use millstream_protocol::records::BatchError;
use millstream_protocol::{ApiKey, ErrorCode};

/// Why a call did not succeed. Cheap to clone: one failed batch answers many records.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No connection could be made.
    #[error("no connection to the broker at {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// The system's words.
        source: Arc<io::Error>,
    },
    /// The connection broke, or the broker closed it.
    #[error("the connection to {address} was lost: {reason}")]
    Lost {
        /// Host and port.
        address: String,
        /// What was seen.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {address} to {what} within {timeout_ms} ms")]
    Timeout {
        /// Host and port.
        address: String,
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        timeout_ms: u64,
    },
    /// The broker's answer is not what the protocol says.
    #[error("the answer of {address} cannot be read: {source}")]
    Decode {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The broker does not have the API, or none of our versions of it.
    #[error("the broker at {address} does not offer {api} in a version known here (it has {offered:?})")]
    Unsupported {
        /// Host and port.
        address: String,
        /// Which API.
        api: ApiKey,
        /// First and last version offered.
        offered: Option<(i16, i16)>,
    },
    /// The broker refused.
    #[error("{what}: {code}{}", .message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Broker {
        /// What was asked, with topic, partition or group.
        what: String,
        /// The broker's answer.
        code: ErrorCode,
        /// The broker's words.
        message: Option<String>,
    },
    /// TLS cannot be set up, or the broker's certificate is not trusted.
    #[error("TLS: {reason}")]
    Tls {
        /// What is wrong with what.
        reason: String,
    },
    /// The broker does not let this user in.
    #[error("the broker at {address} refused the log-in of {user:?}: {reason}")]
    Login {
        /// Host and port.
        address: String,
        /// User.
        user: String,
        /// The broker's words, or ours about its proof.
        reason: String,
    },
    /// A record batch that cannot be read.
    #[error("{topic}-{partition}: {source}")]
    Batch {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What is wrong with it.
        source: BatchError,
    },
    /// A record that no batch can hold.
    #[error("the record takes {size} bytes and a batch at most {limit}: send less, or raise batch_bytes_max")]
    RecordTooLarge {
        /// Bytes of the record.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The broker gave no answer that allows to go on, within the time for delivery.
    #[error("{topic}-{partition} was not delivered within {timeout_ms} ms: {last}")]
    Undelivered {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Time for delivery.
        timeout_ms: u64,
        /// What happened last.
        last: Box<ClientError>,
    },
    /// The client or producer is closed.
    #[error("the client is closed")]
    Closed,
}

impl ClientError {
    /// The broker's code, if it was the broker that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connect { .. } | ClientError::Lost { .. } | ClientError::Timeout { .. } => true,
            ClientError::Broker { code, .. } => code.is_retriable(),
            _ => false,
        }
    }
}

/// `Ok` if the broker's code says so.
pub(crate) fn accepted(
    code: ErrorCode,
    message: Option<&str>,
    what: impl FnOnce() -> String,
) -> Result<(), ClientError> {
    match code {
        ErrorCode::None => Ok(()),
        code => Err(ClientError::Broker { what: what(), code, message: message.map(str::to_owned) }),
    }
}
