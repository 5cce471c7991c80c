//! When to stop: Ctrl-C, or a polite kill.

/// Becomes ready with the first SIGINT or SIGTERM. A second one ends the process at once, also while output is stuck.
pub async fn stopped() {
    first().await;
    tokio::spawn(async {
        first().await;
        std::process::exit(130);
    });
}

async fn first() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler the default one ends the process: there is nothing to wait for.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
