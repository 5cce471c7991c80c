//! What another task or thread reads, as a stream whose end is told from that of its reader.

use std::fmt::Display;
use std::future::Future;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use millstream_engine::{SourceBatch, SourceError};
use tokio::sync::mpsc;

/// What comes through `receiver`. Once that is over `reader` has to say that it came to its own end: one that fell over has read less than
/// it was asked for, and the flow must not take that for all.
pub(super) fn handed_over<E: Display + Send + 'static>(
    receiver: mpsc::Receiver<Result<SourceBatch, SourceError>>,
    reader: impl Future<Output = Result<(), E>> + Send + 'static,
) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
    let items =
        stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) });
    let end = stream::once(reader).filter_map(|ended| async move {
        ended.err().map(|e| Err(SourceError::Fatal(format!("the reader of the kafka source fell over: {e}"))))
    });
    items.chain(end).boxed()
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn an_end_that_nobody_told_is_an_error() {
        for told in [true, false] {
            let (sender, receiver) = mpsc::channel(1);
            let (ended, end) = oneshot::channel::<()>();
            drop(sender);
            if told {
                ended.send(()).unwrap();
            } else {
                drop(ended);
            }
            let items: Vec<_> = handed_over(receiver, end).collect().await;
            let fatal = matches!(items[..], [Err(SourceError::Fatal(_))]);
            assert_eq!((fatal, items.is_empty()), (!told, told));
        }
    }
}
