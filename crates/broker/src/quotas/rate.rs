//! How much is too much: pure decisions, as Kafka's `Rate`, `TokenBucket` and `QuotaUtils` make them. Time is given, in milliseconds of a clock
//! that does not go back.

use std::collections::VecDeque;

/// Nobody waits longer than this, however far a limit was overrun.
pub(crate) const THROTTLE_MS_MAX: u64 = 10 * 60 * 1000;

/// Over which time a rate is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// `quota.window.num`: samples that are kept, at least 1.
    pub samples: u32,
    /// `quota.window.size.seconds`, in milliseconds: the length of a sample, at least 1.
    pub sample_ms: u64,
}

impl Window {
    /// What was before is forgotten.
    pub fn whole_ms(self) -> u64 {
        u64::from(self.samples).saturating_mul(self.sample_ms)
    }

    /// A rate is taken over this at least, so that a first request is not held against a moment.
    fn least_ms(self) -> u64 {
        u64::from(self.samples.saturating_sub(1)).saturating_mul(self.sample_ms)
    }

    /// What fits into a window at `limit` a second: the most that a fetch is given, so that it does not overrun it at once.
    pub fn room(self, limit: f64) -> f64 {
        limit * self.least_ms() as f64 / 1000.0
    }
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    start_ms: u64,
    last_ms: u64,
    sum: f64,
}

/// What was done lately, in samples: at most one more than the window has.
#[derive(Debug, Default)]
pub(crate) struct Rate(VecDeque<Sample>);

impl Rate {
    /// Something was done.
    pub fn record(&mut self, window: Window, amount: f64, now_ms: u64) {
        self.forget(window, now_ms);
        match self.0.back_mut() {
            Some(sample) if now_ms.saturating_sub(sample.start_ms) < window.sample_ms => {
                sample.sum += amount;
                sample.last_ms = sample.last_ms.max(now_ms);
            }
            _ => self.0.push_back(Sample { start_ms: now_ms, last_ms: now_ms, sum: amount }),
        }
    }

    /// It was not done after all; it was the last that was recorded.
    pub fn take_back(&mut self, amount: f64) {
        if let Some(sample) = self.0.back_mut() {
            sample.sum -= amount;
        }
    }

    /// How long to wait until the rate is down at `limit` a second; 0: it is not above.
    pub fn wait_ms(&mut self, window: Window, limit: f64, now_ms: u64) -> u64 {
        self.forget(window, now_ms);
        let sum = self.sum();
        let elapsed_ms = self.elapsed_ms(window, now_ms);
        let rate = sum / (elapsed_ms as f64 / 1000.0);
        match rate > limit {
            true => bounded((rate - limit) / limit * elapsed_ms as f64),
            false => 0,
        }
    }

    /// All that is in the window.
    pub fn sum(&self) -> f64 {
        self.0.iter().map(|sample| sample.sum).sum()
    }

    /// Nothing is known any more.
    pub fn is_idle(&self, window: Window, now_ms: u64) -> bool {
        self.0.back().is_none_or(|last| is_over(last, window, now_ms))
    }

    fn forget(&mut self, window: Window, now_ms: u64) {
        while self.0.front().is_some_and(|first| is_over(first, window, now_ms)) {
            self.0.pop_front();
        }
    }

    /// The time from the oldest sample on, made up to a whole window less one sample.
    fn elapsed_ms(&self, window: Window, now_ms: u64) -> u64 {
        let elapsed_ms = self.0.front().map_or(0, |oldest| now_ms.saturating_sub(oldest.start_ms));
        let full = elapsed_ms / window.sample_ms;
        let missing = u64::from(window.samples.saturating_sub(1)).saturating_sub(full);
        (elapsed_ms + missing * window.sample_ms).max(1)
    }
}

fn is_over(sample: &Sample, window: Window, now_ms: u64) -> bool {
    now_ms.saturating_sub(sample.last_ms) >= window.whole_ms()
}

/// So much at once and so much a second: what changes of topics are held against (KIP-599).
#[derive(Debug)]
pub(crate) struct TokenBucket {
    tokens: f64,
    at_ms: u64,
}

impl TokenBucket {
    /// A full one.
    pub fn full(window: Window, limit: f64, now_ms: u64) -> Self {
        TokenBucket { tokens: burst(window, limit), at_ms: now_ms }
    }

    /// Takes tokens, also such as are not there yet.
    pub fn take(&mut self, window: Window, limit: f64, amount: f64, now_ms: u64) {
        self.fill(window, limit, now_ms);
        self.tokens -= amount;
    }

    /// How long to wait until what was taken is there; 0: it is.
    pub fn wait_ms(&mut self, window: Window, limit: f64, now_ms: u64) -> u64 {
        self.fill(window, limit, now_ms);
        if self.tokens < 0.0 { bounded(-self.tokens / limit * 1000.0) } else { 0 }
    }

    /// As full as a new one, as far as is known without its limit: nothing was taken for two windows, and nobody owes more than the longest wait.
    pub fn is_idle(&self, window: Window, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) >= window.whole_ms().saturating_mul(2).max(THROTTLE_MS_MAX)
    }

    fn fill(&mut self, window: Window, limit: f64, now_ms: u64) {
        let came = now_ms.saturating_sub(self.at_ms) as f64 / 1000.0 * limit;
        self.tokens = (self.tokens + came).min(burst(window, limit));
        self.at_ms = self.at_ms.max(now_ms);
    }
}

fn burst(window: Window, limit: f64) -> f64 {
    window.whole_ms() as f64 / 1000.0 * limit
}

fn bounded(wait_ms: f64) -> u64 {
    (wait_ms.round() as u64).min(THROTTLE_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka's defaults.
    const WINDOW: Window = Window { samples: 11, sample_ms: 1000 };

    #[test]
    fn the_figures_are_those_of_a_real_broker() {
        // Three produce requests of 50,113 bytes against 10,000 a second; a fourth follows when the wait is over. Kafka 4.3 said 4861 and 10004.
        let mut rate = Rate::default();
        let mut waits = Vec::new();
        for now_ms in [0, 0, 0, 5_034] {
            rate.record(WINDOW, 50_113.0, now_ms);
            waits.push(rate.wait_ms(WINDOW, 10_000.0, now_ms));
        }
        assert_eq!(waits, [0, 23, 5_034, 10_011]);
        // 5 partitions at a time against one in two seconds: 8915, 9968 … there.
        let mut bucket = TokenBucket::full(WINDOW, 0.5, 0);
        let mut waits = Vec::new();
        for now_ms in [0, 80, 80 + 8840, 80 + 8840 + 9970] {
            bucket.take(WINDOW, 0.5, 5.0, now_ms);
            waits.push(bucket.wait_ms(WINDOW, 0.5, now_ms));
        }
        assert_eq!(waits, [0, 8920, 10_080, 10_110]);
    }

    #[test]
    fn who_waits_as_told_comes_out_at_the_limit() {
        // What fits into a window; more at once goes over, in Kafka as here, for a sample is forgotten while its wait goes on.
        for (limit, amount) in [(1000.0, 700.0), (1000.0, 9_000.0), (3.5, 1.0), (1e6, 2_000.0)] {
            let (mut rate, mut now_ms, mut done) = (Rate::default(), 0, 0.0);
            while now_ms < 600_000 {
                rate.record(WINDOW, amount, now_ms);
                done += amount;
                now_ms += rate.wait_ms(WINDOW, limit, now_ms).max(1);
            }
            let reached = done / (now_ms as f64 / 1000.0) / limit;
            assert!((0.99..1.1).contains(&reached), "{reached} of {limit}");
        }
    }

    #[test]
    fn a_window_forgets_and_memory_is_bounded() {
        let mut rate = Rate::default();
        for now_ms in 0..100_000 {
            rate.record(WINDOW, 1.0, now_ms);
            assert!(rate.0.len() <= 12);
        }
        assert_eq!(rate.wait_ms(WINDOW, 1001.0, 100_000), 0);
        assert!(rate.wait_ms(WINDOW, 900.0, 100_000) > 0);
        assert!(!rate.is_idle(WINDOW, 110_000) && rate.is_idle(WINDOW, 110_999));
        assert_eq!(rate.wait_ms(WINDOW, 1.0, 111_000), 0);
        assert_eq!(rate.sum(), 0.0);
    }

    #[test]
    fn waits_are_bounded_and_no_clock_makes_them_wrong() {
        let mut rate = Rate::default();
        rate.record(WINDOW, 1e18, 5);
        assert_eq!(rate.wait_ms(WINDOW, 1e-9, 5), THROTTLE_MS_MAX);
        rate.take_back(1e18);
        assert_eq!(rate.wait_ms(WINDOW, 1e-9, 5), 0);
        // Another thread looked at the clock a little before.
        rate.record(WINDOW, 10.0, 3);
        assert_eq!(rate.sum(), 10.0);
        let least = Window { samples: 1, sample_ms: 1 };
        let mut rate = Rate::default();
        rate.record(least, 1.0, 0);
        assert!(rate.wait_ms(least, 1.0, 0) > 0);
        let mut bucket = TokenBucket::full(WINDOW, 1.0, 100);
        bucket.take(WINDOW, 1.0, 1e12, 50);
        assert_eq!(bucket.wait_ms(WINDOW, 1.0, 100), THROTTLE_MS_MAX);
        assert!(!bucket.is_idle(WINDOW, 100_000) && bucket.is_idle(WINDOW, 700_000));
    }
}
