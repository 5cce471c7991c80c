//! Quotas of clients: who may send, fetch, work and connect how much a second, and how long whoever did more is made to wait.
//!
//! ```text
//! entity.rs   whom a quota is about, which there are          limits.rs   which one holds for a client
//! rate.rs     how long to wait: pure                          used.rs     what each used lately, bounded
//! ```
//!
//! As in Kafka the answer says how long (`throttle_time_ms`), and nothing more is read from the connection until then. Without quotas a request
//! costs one look at a flag. Kept as records of `__metadata`:
//!
//! ```text
//! key quota/{"user":"NAME"}   value {"producer_byte_rate": 1024.0, …}, none: there are no quotas for it any more
//! ```

mod entity;
mod limits;
mod rate;
mod used;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

pub(crate) use entity::{Asked, Entity, Filter, IP, Quota, TYPES};
pub(crate) use limits::Values;
use limits::{Limit, Limits};
use rate::{Rate, TokenBucket, Window};
use used::Used;

use crate::runtime::to_the_end;
use crate::security::Principal;
use crate::security::session::Session;
use crate::topics::Topics;
use crate::{BrokerConfig, BrokerError};

/// What keys of quotas begin with in the log of topics.
pub(crate) const FACTS: &str = "quota/";
/// Most entities with quotas.
const ENTITIES_MAX: usize = 10_000;

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    quota: Quota,
    user: Option<Arc<Principal>>,
    client_id: Option<Arc<str>>,
}

/// How often somebody was made to wait, and for how long in all.
#[derive(Debug, Default)]
struct Throttled {
    times: AtomicU64,
    ms: AtomicU64,
}

/// The broker's quotas.
#[derive(Debug)]
pub(crate) struct Quotas {
    topics: Arc<Topics>,
    in_force: Arc<InForce>,
    window: Window,
    mutation_window: Window,
    rates: Mutex<Used<Who, Rate>>,
    buckets: Mutex<Used<Who, TokenBucket>>,
    addresses: Mutex<Used<IpAddr, Rate>>,
    throttled: [Throttled; Quota::ALL.len()],
    muted: Arc<AtomicUsize>,
    changing: tokio::sync::Mutex<()>,
    opened: Instant,
}

/// What holds.
#[derive(Debug, Default)]
struct InForce {
    limits: RwLock<Arc<Limits>>,
    of_clients: AtomicBool,
}

impl InForce {
    fn put(&self, limits: Limits) {
        self.of_clients.store(limits.are_any(), Relaxed);
        *self.limits.write() = Arc::new(limits);
    }
}

/// A change of one entity: values to set, and to take away.
pub(crate) type Change = (Entity, BTreeMap<Quota, Option<f64>>);

/// A figure of each quota: its name, how often somebody was made to wait because of it, for how many milliseconds in all.
pub(crate) type ThrottledStats = (&'static str, u64, u64);

impl Quotas {
    /// Reads what is kept. Blocks.
    pub fn open(topics: Arc<Topics>, config: &BrokerConfig) -> Quotas {
        let mut entities: BTreeMap<Entity, Values> = BTreeMap::new();
        for (key, value) in topics.facts(FACTS) {
            match (Entity::from_key(&key[FACTS.len()..]), values(&value)) {
                (Some(entity), Some(values)) => drop(entities.insert(entity, values)),
                _ => tracing::warn!(%key, "a quota's record is not understood: it does not hold; set it anew"),
            }
        }
        let in_force = InForce::default();
        in_force.put(Limits::new(entities));
        let window = |samples, seconds: u32| Window { samples, sample_ms: u64::from(seconds) * 1000 };
        Quotas {
            topics,
            in_force: Arc::new(in_force),
            window: window(config.quota_window_num, config.quota_window_size_seconds),
            mutation_window: window(config.controller_quota_window_num, config.controller_quota_window_size_seconds),
            rates: Mutex::default(),
            buckets: Mutex::default(),
            addresses: Mutex::default(),
            throttled: Default::default(),
            muted: Arc::default(),
            changing: tokio::sync::Mutex::default(),
            opened: Instant::now(),
        }
    }

    /// The entities that are asked for, with their quotas.
    pub fn find(&self, filter: &Filter) -> Vec<(Entity, Values)> {
        let limits = self.in_force.limits.read().clone();
        let fitting = limits.entities().iter().filter(|(entity, _)| filter.fits(entity));
        fitting.map(|(entity, values)| (entity.clone(), values.clone())).collect()
    }

    /// Carries out changes that were checked, all or none. Durable when it returns.
    pub async fn alter(self: &Arc<Self>, changes: Vec<Change>) -> Result<(), BrokerError> {
        let this = self.clone();
        to_the_end(async move { this.alter_now(changes).await }).await
    }

    async fn alter_now(&self, changes: Vec<Change>) -> Result<(), BrokerError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut entities = self.in_force.limits.read().entities().clone();
        let mut facts = BTreeMap::new();
        for (entity, change) in changes {
            let values = entities.entry(entity.clone()).or_default();
            for (quota, value) in change {
                match value {
                    Some(value) => values.insert(quota, value),
                    None => values.remove(&quota),
                };
            }
            facts.insert(format!("{FACTS}{}", entity.to_key()), (!values.is_empty()).then(|| record(values)));
            if values.is_empty() {
                entities.remove(&entity);
            }
        }
        if entities.len() > ENTITIES_MAX {
            let why = format!("more than {ENTITIES_MAX} entities with quotas: let the defaults hold for most");
            return Err(BrokerError::InvalidRequest(why));
        }
        let in_force = self.in_force.clone();
        let apply = move || in_force.put(Limits::new(entities));
        self.topics.put_facts(facts.into_iter().collect(), apply).await?;
        // What was counted against other limits says nothing about these.
        if !self.are_on() {
            self.rates.lock().clear();
            self.buckets.lock().clear();
        }
        Ok(())
    }

    /// Whether any client is limited.
    pub fn are_on(&self) -> bool {
        self.in_force.of_clients.load(Relaxed)
    }

    /// Whoever sent a request, if any client is limited.
    pub fn client(self: &Arc<Self>, session: &Session, client_id: &Arc<str>) -> Option<Client> {
        self.are_on().then(|| Client { quotas: self.clone(), user: session.principal(), client_id: client_id.clone() })
    }

    /// Counts a connection from `address`. Not 0: it is one too many, and is to be closed after so many milliseconds.
    pub fn connected(&self, address: IpAddr) -> u64 {
        let Some(limit) = self.in_force.limits.read().of_address(address) else { return 0 };
        let (now_ms, window, others) = (self.now_ms(), self.window, Ipv6Addr::UNSPECIFIED.into());
        let mut addresses = self.addresses.lock();
        let is_idle = |rate: &Rate| rate.is_idle(window, now_ms);
        let rate = addresses.of(address.to_canonical(), others, (now_ms, window.sample_ms), is_idle, Rate::default);
        rate.record(window, 1.0, now_ms);
        let wait_ms = rate.wait_ms(window, limit, now_ms).min(window.sample_ms);
        if wait_ms > 0 {
            rate.take_back(1.0);
        }
        self.throttled(Quota::Connection, wait_ms)
    }

    /// A connection that is not read from; it is counted as long as this lives.
    pub fn mute(&self, wait: Duration) -> Muted {
        self.muted.fetch_add(1, Relaxed);
        Muted { until: Instant::now() + wait, count: self.muted.clone() }
    }

    /// What became of each quota.
    pub fn stats(&self) -> Vec<ThrottledStats> {
        let each = Quota::ALL.iter().zip(&self.throttled);
        each.map(|(quota, throttled)| (quota.key(), throttled.times.load(Relaxed), throttled.ms.load(Relaxed)))
            .collect()
    }

    /// Connections that are muted now, and users, client ids and addresses that are counted apart.
    pub fn len(&self) -> (usize, usize) {
        let counted = self.rates.lock().len() + self.buckets.lock().len() + self.addresses.lock().len();
        (self.muted.load(Relaxed), counted)
    }

    fn now_ms(&self) -> u64 {
        self.opened.elapsed().as_millis() as u64
    }

    fn throttled(&self, quota: Quota, wait_ms: u64) -> u64 {
        if wait_ms > 0 {
            let counters = &self.throttled[quota as usize];
            counters.times.fetch_add(1, Relaxed);
            counters.ms.fetch_add(wait_ms, Relaxed);
        }
        wait_ms
    }
}

/// A connection that is not read from until a time.
#[derive(Debug)]
pub(crate) struct Muted {
    pub until: Instant,
    count: Arc<AtomicUsize>,
}

impl Drop for Muted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Relaxed);
    }
}

/// Whoever sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    quotas: Arc<Quotas>,
    user: Arc<Principal>,
    client_id: Arc<str>,
}

/// What becomes of an answer to a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// How long to wait, in milliseconds.
    pub wait_ms: u64,
    /// The records are given; otherwise they are held back, and the answer is empty.
    pub is_given: bool,
}

impl Client {
    /// Counts a Produce request; gives how long to wait.
    pub fn produced(&self, bytes: usize) -> u64 {
        self.count(Quota::Produce, |rate, window, limit, now_ms| {
            rate.record(window, bytes as f64, now_ms);
            rate.wait_ms(window, limit, now_ms)
        })
    }

    /// How long to wait for what was produced before.
    pub fn has_to_wait_ms(&self) -> u64 {
        let wait = self.with_rate(Quota::Produce, |rate, window, limit, now_ms| rate.wait_ms(window, limit, now_ms));
        wait.unwrap_or(0)
    }

    /// The most bytes that a fetch is given.
    pub fn fetch_bytes_max(&self) -> usize {
        let limit = self.limit(Quota::Fetch);
        limit.map_or(usize::MAX, |limit| self.quotas.window.room(limit.value) as usize)
    }

    /// Counts what a fetch is about to be given.
    pub fn fetched(&self, bytes: usize) -> Fetched {
        let mut is_given = true;
        if bytes == 0 {
            return Fetched { wait_ms: 0, is_given };
        }
        let wait_ms = self.count(Quota::Fetch, |rate, window, limit, now_ms| {
            rate.record(window, bytes as f64, now_ms);
            let wait_ms = rate.wait_ms(window, limit, now_ms);
            // A batch that is larger than all that the window has room for is given when nothing else was: Kafka would hold it back for ever.
            if wait_ms > 0 && rate.sum() > bytes as f64 {
                rate.take_back(bytes as f64);
                is_given = false;
            }
            wait_ms
        });
        Fetched { wait_ms, is_given }
    }

    /// Counts the time that a request took; gives how long to wait, a sample's length at most.
    pub fn worked(&self, time: Duration) -> u64 {
        self.count(Quota::Request, |rate, window, limit, now_ms| {
            rate.record(window, time.as_secs_f64() * 100.0, now_ms);
            rate.wait_ms(window, limit, now_ms).min(window.sample_ms)
        })
    }

    /// Counts partitions that are to be made or deleted; gives how long to wait. `is_strict`: what is too much is refused instead.
    ///
    /// # Errors
    /// How long to wait before it is asked for again.
    pub fn mutates(&self, partitions: usize, is_strict: bool) -> Result<u64, BrokerError> {
        let quota = Quota::Mutation;
        let Some(limit) = self.limit(quota) else { return Ok(0) };
        let (now_ms, window) = (self.quotas.now_ms(), self.quotas.mutation_window);
        let mut buckets = self.quotas.buckets.lock();
        let is_idle = |bucket: &TokenBucket| bucket.is_idle(window, now_ms);
        let new = || TokenBucket::full(window, limit.value, now_ms);
        let (who, others) = self.who(quota, limit);
        let bucket = buckets.of(who, others, (now_ms, window.sample_ms), is_idle, new);
        let owed_ms = bucket.wait_ms(window, limit.value, now_ms);
        if is_strict && owed_ms > 0 {
            self.quotas.throttled(quota, owed_ms);
            return Err(BrokerError::QuotaExceeded { quota: quota.key(), wait_ms: owed_ms });
        }
        bucket.take(window, limit.value, partitions as f64, now_ms);
        let wait_ms = if is_strict { 0 } else { bucket.wait_ms(window, limit.value, now_ms) };
        Ok(self.quotas.throttled(quota, wait_ms))
    }

    fn limit(&self, quota: Quota) -> Option<Limit> {
        self.quotas.in_force.limits.read().find(quota, &self.user.name, &self.client_id)
    }

    fn count(&self, quota: Quota, decide: impl FnOnce(&mut Rate, Window, f64, u64) -> u64) -> u64 {
        let wait_ms = self.with_rate(quota, decide).unwrap_or(0);
        self.quotas.throttled(quota, wait_ms)
    }

    fn with_rate<R>(&self, quota: Quota, look: impl FnOnce(&mut Rate, Window, f64, u64) -> R) -> Option<R> {
        let limit = self.limit(quota)?;
        let (now_ms, window) = (self.quotas.now_ms(), self.quotas.window);
        let mut rates = self.quotas.rates.lock();
        let is_idle = |rate: &Rate| rate.is_idle(window, now_ms);
        let (who, others) = self.who(quota, limit);
        let rate = rates.of(who, others, (now_ms, window.sample_ms), is_idle, Rate::default);
        Some(look(rate, window, limit.value, now_ms))
    }

    /// What is counted together with it, and with what if there is no room. Client ids that are too long are those without room, too.
    fn who(&self, quota: Quota, limit: Limit) -> (Who, Who) {
        let user = limit.by_user.then(|| self.user.clone());
        let of = |client_id: &Arc<str>| limit.by_client.then(|| client_id.clone());
        let others = Who { quota, user: user.clone(), client_id: of(&"".into()) };
        match self.client_id.len() > entity::NAME_BYTES_MAX {
            true => (others.clone(), others),
            false => (Who { quota, user, client_id: of(&self.client_id) }, others),
        }
    }
}

fn record(values: &Values) -> Bytes {
    let named: BTreeMap<&str, f64> = values.iter().map(|(quota, value)| (quota.key(), *value)).collect();
    serde_json::to_vec(&named).expect("numbers are plain data").into()
}

fn values(record: &[u8]) -> Option<Values> {
    let named: BTreeMap<String, f64> = serde_json::from_slice(record).ok()?;
    let quota = |key: &str| Quota::ALL.into_iter().find(|quota| quota.key() == key);
    named.into_iter().map(|(key, value)| Some((quota(&key)?, value))).collect()
}
