//! Failed log-ins wait: who guesses, waits ever longer, and nobody else does.
//!
//! Each address and name has a line of its own, in which attempts stand one behind the other. An address that fails under many names has a
//! line too, with shorter waits, since there may be others behind it.

use std::collections::HashMap;
use std::net::IpAddr;

/// Wait after the first failure; it doubles with each.
const WAIT_MS_MIN: i64 = 100;
/// Longest wait under one name …
const WAIT_MS_MAX: i64 = 10_000;
/// … and of a whole address.
const ADDRESS_WAIT_MS_MAX: i64 = 1_000;
/// Failures of an address under any names before it waits.
const ADDRESS_FAILURES_FREE: u32 = 20;
/// Failures are forgotten after so long without another.
const FORGOTTEN_AFTER_MS: i64 = 10 * 60_000;
/// Attempts that would wait longer are refused at once.
const LINE_MS_MAX: i64 = 30_000;
/// Most lines; then the oldest go.
const LINES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy, Default)]
struct Line {
    failures: u32,
    last_ms: i64,
    /// When the next attempt is looked at.
    next_ms: i64,
}

/// Where failures are counted.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    lines: HashMap<(IpAddr, String), Line>,
    addresses: HashMap<IpAddr, Line>,
}

impl Backoff {
    /// How long an attempt has to wait, in milliseconds, before it is looked at; none: there are so many before it that it is refused.
    pub fn attempt(&mut self, now_ms: i64, address: IpAddr, user: &str) -> Option<u64> {
        let mut wait_ms = 0;
        if let Some(line) = self.lines.get_mut(&(address, user.to_owned())) {
            wait_ms = wait_ms.max(stand_in_line(line, now_ms, doubled(line.failures, WAIT_MS_MAX))?);
        }
        if let Some(line) = self.addresses.get_mut(&address)
            && line.failures > ADDRESS_FAILURES_FREE
        {
            let step = doubled(line.failures - ADDRESS_FAILURES_FREE, ADDRESS_WAIT_MS_MAX);
            wait_ms = wait_ms.max(stand_in_line(line, now_ms, step)?);
        }
        Some(wait_ms as u64)
    }

    /// Somebody gave a wrong password.
    pub fn failed(&mut self, now_ms: i64, address: IpAddr, user: &str) {
        self.lines.retain(|_, line| now_ms - line.last_ms < FORGOTTEN_AFTER_MS);
        self.addresses.retain(|_, line| now_ms - line.last_ms < FORGOTTEN_AFTER_MS);
        make_room(&mut self.lines);
        make_room(&mut self.addresses);
        let line = self.lines.entry((address, user.to_owned())).or_default();
        count(line, now_ms, WAIT_MS_MAX, 0);
        let line = self.addresses.entry(address).or_default();
        count(line, now_ms, ADDRESS_WAIT_MS_MAX, ADDRESS_FAILURES_FREE);
    }

    /// Somebody knew the password.
    pub fn succeeded(&mut self, address: IpAddr, user: &str) {
        self.lines.remove(&(address, user.to_owned()));
    }
}

fn doubled(failures: u32, most_ms: i64) -> i64 {
    WAIT_MS_MIN.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(most_ms)
}

fn stand_in_line(line: &mut Line, now_ms: i64, step_ms: i64) -> Option<i64> {
    if line.next_ms <= now_ms {
        // Another attempt that comes before this one has failed stands behind it.
        line.next_ms = now_ms + step_ms;
        return Some(0);
    }
    let wait_ms = line.next_ms - now_ms;
    if wait_ms > LINE_MS_MAX {
        return None;
    }
    line.next_ms += step_ms;
    Some(wait_ms)
}

fn count(line: &mut Line, now_ms: i64, most_ms: i64, free: u32) {
    line.failures = line.failures.saturating_add(1);
    line.last_ms = now_ms;
    if line.failures > free {
        line.next_ms = line.next_ms.max(now_ms + doubled(line.failures - free, most_ms));
    }
}

fn make_room<K: Clone + Eq + std::hash::Hash>(lines: &mut HashMap<K, Line>) {
    if lines.len() < LINES_MAX {
        return;
    }
    let mut times: Vec<i64> = lines.values().map(|line| line.last_ms).collect();
    let (_, middle, _) = times.select_nth_unstable(LINES_MAX / 2);
    let middle = *middle;
    lines.retain(|_, line| line.last_ms > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    #[test]
    fn each_failure_doubles_the_wait_and_success_ends_it() {
        let mut backoff = Backoff::default();
        let mut now_ms = 1_000_000;
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait_ms = backoff.attempt(now_ms, HERE, "a").expect("a short line");
            waits.push(wait_ms);
            now_ms += wait_ms as i64;
            backoff.failed(now_ms, HERE, "a");
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert_eq!(backoff.attempt(now_ms, HERE, "b"), Some(0), "another name");
        assert_eq!(backoff.attempt(now_ms, THERE, "a"), Some(0), "another address");
        backoff.succeeded(HERE, "a");
        assert_eq!(backoff.attempt(now_ms, HERE, "a"), Some(0));
    }

    #[test]
    fn attempts_side_by_side_stand_in_line() {
        let mut backoff = Backoff::default();
        (0..5).for_each(|_| backoff.failed(0, HERE, "a"));
        let waits: Vec<_> = (0..30).map_while(|_| backoff.attempt(0, HERE, "a")).collect();
        assert_eq!(waits[..3], [1600, 3200, 4800]);
        assert!(waits.len() < 25, "the line has an end");
    }

    #[test]
    fn an_address_with_many_names_waits_and_memory_is_bounded() {
        let mut backoff = Backoff::default();
        for index in 0..30_000 {
            backoff.failed(index, HERE, &format!("name {index}"));
        }
        assert!(backoff.lines.len() <= LINES_MAX);
        assert!(backoff.attempt(30_000, HERE, "fresh").is_some_and(|wait_ms| wait_ms > 0 && wait_ms <= 1000));
        backoff.failed(30_000 + FORGOTTEN_AFTER_MS, THERE, "x");
        assert_eq!(backoff.lines.len(), 1, "old failures are forgotten");
    }
}
