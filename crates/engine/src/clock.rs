//! Wall-clock time as it is given to a flow. It decides when a partition counts as idle, how long to wait before a retry and when a
//! snapshot is due; it never moves event time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

/// Where a flow has the time from.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// µs since 1970.
    fn now_us(&self) -> i64;
    /// Resolves when [`Clock::now_us`] has reached `deadline_us`.
    async fn sleep_until(&self, deadline_us: i64);
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    async fn sleep_until(&self, deadline_us: i64) {
        let wait_us = u64::try_from(deadline_us.saturating_sub(self.now_us())).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(wait_us)).await;
    }
}
