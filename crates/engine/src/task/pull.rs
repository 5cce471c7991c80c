//! Reading a range of a source and sending its rows through the first segment, ahead of what keeps state when there is much of it.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::compile::FlowProgram;
use crate::error::EngineError;
use crate::segment::Outcome;
use crate::source::{Position, Source, SourceBatch, SourceError};

/// Batches that are read ahead.
const AHEAD: usize = 4;
/// Batches that are in the first segment at once.
const AT_ONCE: usize = 2;
/// A range with fewer offsets is not worth another task: handing over costs more than reading.
const SMALL: i64 = 16 * 1024;

/// Offsets in a range; those of partitions that are new count from 0.
pub(super) fn offsets(from: &Position, to: &Position) -> i64 {
    let ranges = to.iter().map(|(partition, to)| to - from.get(partition).copied().unwrap_or(0));
    ranges.filter(|count| *count > 0).sum()
}

/// Why no more comes.
pub(super) enum PullError {
    /// Reading failed.
    Source(SourceError),
    /// The rows cannot be worked on.
    Engine(EngineError),
}

/// What was read, and what became of it in the first segment, in the source's order.
pub(super) type Pulled = Result<(SourceBatch, Outcome), PullError>;

/// Rows of the range. Of a large one, reading and decoding goes on on another thread while rows are worked on, and two batches are worked on at
/// once; a few batches ahead and no more.
pub(super) fn pull(
    program: &Arc<FlowProgram>,
    index: usize,
    source: &Arc<dyn Source>,
    from: Position,
    to: Position,
) -> BoxStream<'static, Pulled> {
    let small = offsets(&from, &to) <= SMALL;
    let batches = source.read(from, to, program.inputs[index].projection.clone());
    let program = Arc::clone(program);
    if small {
        return batches.map(move |batch| work(&program, index, batch)).boxed();
    }
    let working = ahead(batches).map(move |batch| {
        let program = Arc::clone(&program);
        let working = tokio::spawn(async move { work(&program, index, batch) });
        async move {
            match working.await {
                Ok(done) => done,
                Err(error) => Err(PullError::Engine(ended(error))),
            }
        }
    });
    working.buffered(AT_ONCE).boxed()
}

fn work(program: &FlowProgram, index: usize, batch: Result<SourceBatch, SourceError>) -> Pulled {
    let batch = batch.map_err(PullError::Source)?;
    let outcome = program.inputs[index].segment.run(&batch.rows).map_err(PullError::Engine)?;
    Ok((batch, outcome))
}

/// What a task's end means that did not come to its own: a panic goes on here, as if it had happened here.
pub(super) fn ended(error: JoinError) -> EngineError {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => EngineError::Stopped(error.to_string()),
    }
}

/// The stream, polled by another task. The end of that task is the end of the stream only if it came to its own: rows that were not read
/// because of a panic must not count as read.
fn ahead<T: Send + 'static>(mut batches: BoxStream<'static, T>) -> BoxStream<'static, T> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reading = tokio::spawn(async move {
        while let Some(batch) = batches.next().await {
            // Nobody listens any more: what is left is read again when it is needed.
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    let from = (receiver, Some(reading));
    let next = |(mut receiver, mut reading): (mpsc::Receiver<T>, Option<JoinHandle<()>>)| async move {
        let batch = receiver.recv().await;
        if batch.is_none()
            && let Some(reading) = reading.take()
            && let Err(error) = reading.await
        {
            ended(error);
        }
        batch.map(|batch| (batch, (receiver, reading)))
    };
    stream::unfold(from, next).boxed()
}
