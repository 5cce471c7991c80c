//! What many clients together may take: connections, and memory for requests that are being received or answered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::configs::Dynamic;
use crate::seldom::Seldom;

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Connections that are open (`max.connections`, `max.connections.per.ip`).
#[derive(Debug, Default)]
pub(crate) struct Connections {
    counts: Mutex<Counts>,
    freed: Notify,
    /// Which refusals are told.
    refusals: Mutex<Seldom<(IpAddr, &'static str)>>,
}

/// A connection's place; dropped with it.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.counts.lock().all
    }

    /// Resolves when there is room for one more: until then, as in Kafka, nothing is accepted.
    pub async fn room(&self, max: impl Fn() -> usize) {
        loop {
            let freed = self.freed.notified();
            if self.len() < max() {
                return;
            }
            // A change of the configuration makes room, too.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), freed).await;
        }
    }

    /// Takes a place; `None`: the address has as many as it may.
    pub fn enter(self: &Arc<Self>, address: IpAddr, per_address_max: usize) -> Option<Place> {
        let mut counts = self.counts.lock();
        let of_address = counts.by_address.entry(address).or_default();
        if *of_address >= per_address_max {
            if *of_address == 0 {
                counts.by_address.remove(&address);
            }
            return None;
        }
        *of_address += 1;
        counts.all += 1;
        Some(Place { connections: self.clone(), address })
    }

    /// An address was refused by `bound`. Gives, if that is to be told now, how many such lines were left out before.
    pub fn refused(&self, now_ms: i64, address: IpAddr, bound: &'static str) -> Option<u64> {
        self.refusals.lock().due(now_ms, (address, bound))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.connections.counts.lock();
        counts.all -= 1;
        if let Some(of_address) = counts.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.by_address.remove(&self.address);
            }
        }
        drop(counts);
        self.connections.freed.notify_waiters();
    }
}

/// `max.connections`, as it is now.
pub(crate) fn connections_max(dynamic: &Dynamic) -> usize {
    number(dynamic.get("max.connections"))
}

/// `max.connections.per.ip` for an address, which `max.connections.per.ip.overrides` may have its own for.
pub(crate) fn per_address_max(dynamic: &Dynamic, address: IpAddr) -> usize {
    let stated = dynamic.get("max.connections.per.ip.overrides").unwrap_or_default();
    // What was set was checked.
    let own = overrides(stated).filter_map(Result::ok).find(|(own, _)| own.to_canonical() == address.to_canonical());
    own.map_or_else(|| number(dynamic.get("max.connections.per.ip")), |(_, most)| most)
}

/// What `max.connections.per.ip.overrides` says: `ADDRESS:COUNT,…`; an address of IPv6 may stand in brackets. An entry that cannot be used is an
/// error that names it: whoever wrote it believes that an address has its bound.
pub(crate) fn overrides(stated: &str) -> impl Iterator<Item = Result<(IpAddr, usize), String>> + '_ {
    let entries = stated.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| {
        let (name, count) = entry.rsplit_once(':').unwrap_or((entry, ""));
        let name = name.trim().trim_start_matches('[').trim_end_matches(']');
        let most = count.trim().parse::<i32>().ok().and_then(|most| usize::try_from(most).ok());
        match (name.parse::<IpAddr>(), most) {
            (Ok(address), Some(most)) => Ok((address, most)),
            (Err(_), Some(_)) if is_host(name) => Err(format!(
                "{entry:?} names a host, and what addresses a host has changes: write the address, as ADDRESS:COUNT"
            )),
            _ => Err(format!("{entry:?} is not ADDRESS:COUNT")),
        }
    })
}

/// Whether it may be the name of a host, and not an address that is mistyped.
fn is_host(name: &str) -> bool {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.chars().all(is_of_names) && name.contains(|c: char| c.is_ascii_alphabetic())
}

fn number(value: Option<&str>) -> usize {
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(usize::MAX)
}

/// Memory for requests in flight over all connections (`queued.max.request.bytes`). As in Kafka, a request begins while there is any left, so
/// that the largest is not kept out for ever; small ones are not counted.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    bytes_max: i64,
    used: AtomicI64,
    waiting: AtomicUsize,
    freed: Notify,
}

/// A request's part; dropped when it is answered.
#[derive(Debug)]
pub(crate) struct Reserved {
    memory: Arc<RequestMemory>,
    bytes: i64,
}

impl RequestMemory {
    /// Requests up to this size are received whatever else there is: heartbeats and metadata must not wait.
    pub const SMALL_BYTES: usize = 64 << 10;

    /// `bytes_max` below 0: no bound.
    pub fn new(bytes_max: i64) -> Arc<Self> {
        let bytes_max = if bytes_max < 0 { i64::MAX } else { bytes_max };
        Arc::new(RequestMemory {
            bytes_max,
            used: AtomicI64::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// Bytes that are spoken for.
    pub fn used(&self) -> i64 {
        self.used.load(Relaxed)
    }

    /// Whether somebody waits for memory.
    pub fn is_short(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Takes memory for a request, if there is any left.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let taken = self
            .used
            .fetch_update(Relaxed, Relaxed, |used| (used < self.bytes_max).then(|| used.saturating_add(bytes)));
        taken.ok().map(|_| Reserved { memory: self.clone(), bytes })
    }

    /// Waits for memory.
    pub async fn wait(self: &Arc<Self>, bytes: usize) -> Reserved {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        self.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiting(&self.waiting);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(reserved) = self.reserve(bytes) {
                return reserved;
            }
            freed.await;
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Relaxed);
        self.memory.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::BrokerConfig;
    use crate::configs::Settings;

    #[test]
    fn places_are_counted_by_address_and_given_back() {
        let (connections, one, other) =
            (Arc::new(Connections::default()), IpAddr::from([1, 2, 3, 4]), IpAddr::from([5; 4]));
        let first = connections.enter(one, 1).expect("there is room");
        assert!(connections.enter(one, 1).is_none() && connections.enter(other, 0).is_none());
        let second = connections.enter(other, 1).expect("there is room");
        assert_eq!(connections.len(), 2);
        drop((first, second));
        assert_eq!((connections.len(), connections.counts.lock().by_address.len()), (0, 0));
    }

    #[test]
    fn an_address_can_have_a_bound_of_its_own() {
        let own = Settings::from([
            ("max.connections.per.ip".to_string(), "3".to_string()),
            ("max.connections.per.ip.overrides".to_string(), "1.2.3.4:7, [::1]:9".to_string()),
        ]);
        let dynamic = Dynamic::new(Arc::new(BrokerConfig::default()), own, Settings::new());
        for (address, max) in [("1.2.3.4", 7), ("::ffff:1.2.3.4", 7), ("::1", 9), ("1.2.3.5", 3)] {
            assert_eq!(per_address_max(&dynamic, address.parse().expect("an address")), max, "{address}");
        }
        assert_eq!(connections_max(&dynamic), usize::MAX);
    }

    #[test]
    fn an_entry_that_cannot_be_used_is_named() {
        let good = overrides("1.2.3.4:7, [::1]:0,::2:5,").collect::<Result<Vec<_>, _>>().expect("all can be used");
        assert_eq!(good.iter().map(|(_, most)| *most).collect::<Vec<_>>(), [7, 0, 5]);
        for wrong in ["1.2.3.4", "1.2.3.4:", "1.2.3.4:many", "1.2.3.4:-1", "1.2.3:5", ":5", "1.2.3.4:3000000000"] {
            let why = overrides(wrong).next().expect("one entry").expect_err("it cannot be used");
            assert_eq!(why, format!("{wrong:?} is not ADDRESS:COUNT"));
        }
        let why = overrides("db.example.com:5").next().expect("one entry").expect_err("it cannot be used");
        assert!(why.starts_with("\"db.example.com:5\" names a host"), "{why}");
    }

    #[tokio::test]
    async fn memory_is_waited_for() {
        let memory = RequestMemory::new(100);
        let first = memory.reserve(99).expect("there is some");
        let second = memory.reserve(500).expect("one goes over, so that none is kept out for ever");
        assert!(memory.reserve(1).is_none());
        let waits = tokio::spawn({
            let memory = memory.clone();
            async move { memory.wait(10).await }
        });
        while !memory.is_short() {
            tokio::task::yield_now().await;
        }
        drop(second);
        drop(first);
        let third = waits.await.expect("it goes on");
        assert_eq!((memory.used(), memory.is_short()), (10, false));
        drop(third);
        assert_eq!(memory.used(), 0);
    }
}
