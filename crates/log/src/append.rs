//! What is appended, and the future that tells when it is durable.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{LogError, TopicPartition};

/// One partition's part of an append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub partition: TopicPartition,
    /// One or more whole v2 record batches, already validated (`millstream_protocol::records`). Their base offsets and leader
    /// epochs are replaced; everything else is stored as it is.
    pub batches: Bytes,
    /// Leader epoch to be written into the batches.
    pub leader_epoch: i32,
}

impl Append {
    /// A part with leader epoch 0.
    pub fn new(partition: TopicPartition, batches: Bytes) -> Append {
        Append { partition, batches, leader_epoch: 0 }
    }
}

/// When an append answers. Visibility does not depend on it: that comes with the sync (or at once on a relaxed topic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// After the sync.
    #[default]
    Durable,
    /// As soon as the page cache has what recovery goes by, so that a kill of the process takes nothing back (Kafka's acks=1). A power
    /// cut still can, and of a durable topic an error of the sync that follows at once.
    Written,
}

/// Where a part came to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendedPart {
    /// Offset of the part's first record.
    pub base_offset: i64,
    /// Offset of the part's last record.
    pub last_offset: i64,
    /// The partition's log start offset.
    pub log_start_offset: i64,
    /// The part was there already: an idempotent producer sent it again. The offsets are those of the first time.
    pub duplicate: bool,
}

/// What an append resolves to: a result per part, in the order given.
pub type AppendResult = Result<Vec<AppendedPart>, LogError>;

/// Future of an append. Dropping it does not take the append back.
#[derive(Debug)]
#[must_use = "an append tells only here whether it is durable"]
pub struct Appended {
    receiver: oneshot::Receiver<AppendResult>,
}

impl Appended {
    pub(crate) fn channel() -> (oneshot::Sender<AppendResult>, Appended) {
        let (sender, receiver) = oneshot::channel();
        (sender, Appended { receiver })
    }

    /// Blocks this thread until the append is decided. Not for use inside of a tokio runtime's task.
    pub fn wait(self) -> AppendResult {
        self.receiver.blocking_recv().unwrap_or(Err(LogError::Closed))
    }
}

impl Future for Appended {
    type Output = AppendResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<AppendResult> {
        Pin::new(&mut self.receiver).poll(context).map(|answer| answer.unwrap_or(Err(LogError::Closed)))
    }
}
