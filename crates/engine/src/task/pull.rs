//! Reading a range of a source, ahead of what works on the rows when there is much of it.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;

use crate::source::{Position, Source, SourceBatch, SourceError};

/// Batches that are read ahead.
const AHEAD: usize = 4;
/// A range with fewer offsets is not worth another task: handing over costs more than reading.
const SMALL: i64 = 16 * 1024;

/// Offsets in a range; those of partitions that are new count from 0.
pub(super) fn offsets(from: &Position, to: &Position) -> i64 {
    let ranges = to.iter().map(|(partition, to)| to - from.get(partition).copied().unwrap_or(0));
    ranges.filter(|count| *count > 0).sum()
}

/// Rows of the range. Reading and decoding goes on on another thread while rows are worked on, a few batches ahead and no more.
pub(super) fn pull(
    source: &Arc<dyn Source>,
    from: Position,
    to: Position,
    projection: Option<Vec<usize>>,
) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
    let small = offsets(&from, &to) <= SMALL;
    let mut batches = source.read(from, to, projection);
    if small {
        return batches;
    }
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        while let Some(batch) = batches.next().await {
            // Nobody listens any more: what is left is read again when it is needed.
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|batch| (batch, receiver)) }).boxed()
}
