//! Work that blocks, inside of tasks that must not.

use millstream_log::LogError;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work`, which blocks for as long as a disk does, without keeping other tasks of this thread waiting where the runtime allows.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Runs a change in a task of its own: a client that hangs up in its middle does not leave it half done.
pub(crate) async fn to_the_end<T, E>(change: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<LogError> + Send + 'static,
{
    match tokio::spawn(change).await {
        Ok(result) => result,
        // The runtime is being shut down (or the task panicked, which has been reported then).
        Err(_) => Err(LogError::Closed.into()),
    }
}
