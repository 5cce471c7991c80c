//! The records of the internal topic `__transaction_state`: what happened to a transactional id, in order.
//!
//! The key is the transactional id, the value JSON; no value: the id is forgotten.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::transaction::Transaction;
use crate::internal_log::KeyValue;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// A producer took the id over. Whatever was open is aborted by the same append.
    Initialized { producer: Producer, timeout_ms: i32, at_ms: i64 },
    /// Partitions and groups joined the transaction; the first ones begin it.
    Added {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partitions: Vec<(String, i32)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<String>,
        at_ms: i64,
    },
    /// Offsets of a group, to be committed with the transaction.
    Offsets { group: String, offsets: Vec<PendingOffset>, at_ms: i64 },
    /// The transaction ended. The markers are in the same append.
    Ended { committed: bool, producer: Producer, at_ms: i64 },
    /// All there is to know, when the topic is written anew.
    Whole(Box<Transaction>),
}

/// Who may write, and who it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// The epoch before a bump that the producer asked for: a request that is sent again is known by it. -1: none.
    pub last_epoch: i16,
    /// The id before this one; -1: none.
    pub previous_id: i64,
    /// The epoch came with the end of a transaction, and not with a producer that took the id over: that end may be asked for again.
    #[serde(default)]
    pub with_end: bool,
}

/// An offset that waits for its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingOffset {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Next offset to be read.
    pub offset: i64,
    /// Leader epoch, -1 if not known.
    pub leader_epoch: i32,
    /// The committer's note.
    pub metadata: String,
}

impl Event {
    pub fn encode(&self, transactional_id: &str) -> KeyValue {
        let value = serde_json::to_vec(self).expect("plain data becomes JSON");
        (Bytes::copy_from_slice(transactional_id.as_bytes()), Some(value.into()))
    }

    /// `None`: damaged, or of a kind that is not known.
    pub fn decode(value: &[u8]) -> Option<Event> {
        serde_json::from_slice(value).ok()
    }
}
