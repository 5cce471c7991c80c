//! The broker: log, topics and groups under one roof, and the work that goes on by itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use millstream_log::Log;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::configs::listener::Listener;
use crate::fetch_sessions::FetchSessions;
use crate::groups::configs::GroupConfigs;
use crate::groups::coordinator::Coordinator;
use crate::limits::{Connections, RequestMemory};
use crate::metrics::Requests;
use crate::quotas::Quotas;
use crate::runtime::blocking;
use crate::security::Security;
use crate::security::users::Users;
use crate::stats::TopicStats;
use crate::topics::Topics;
use crate::transactions::Coordinator as Transactions;
use crate::unpacking::Unpacking;
use crate::{BrokerConfig, BrokerError};

/// How often, at most, a pause asks whether it is to be another one.
const CONFIG_LOOK: Duration = Duration::from_secs(1);
/// Most topics that are named where a disk fails: a list of all would say no more.
const REFUSING_TOLD: usize = 10;

/// A single node. Serves any number of listeners ([`Broker::serve`]) and the process it lives in (`embedded.rs`).
#[derive(Debug)]
pub struct Broker {
    pub(crate) log: Log,
    pub(crate) config: Arc<BrokerConfig>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) groups: Arc<Coordinator>,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) connections: Arc<Connections>,
    pub(crate) request_memory: Arc<RequestMemory>,
    pub(crate) unpacking: Unpacking,
    pub(crate) requests: Requests,
    pub(crate) security: Security,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) transactions: Arc<Transactions>,
    stop: watch::Sender<bool>,
}

impl Broker {
    /// Reads topics and groups from the log and starts what goes on by itself: groups' time-outs, retention, expiry. To be called inside of a
    /// tokio runtime; blocks while it reads.
    ///
    /// # Errors
    /// What the log says, or a record of the internal topics that is damaged.
    pub fn open(log: Log, config: BrokerConfig) -> Result<Arc<Self>, BrokerError> {
        let broker = Broker::assemble(log, config)?;
        broker.start();
        Ok(broker)
    }

    /// As [`Broker::open`], but nothing goes on by itself.
    pub(crate) fn assemble(log: Log, config: BrokerConfig) -> Result<Arc<Self>, BrokerError> {
        for (name, value) in &config.settings {
            crate::configs::broker::check(name, value).map_err(BrokerError::InvalidConfig)?;
        }
        let config = Arc::new(config);
        let (topics, groups, transactions, security, quotas) = blocking(|| {
            let topics = Arc::new(Topics::open(log.clone(), config.clone())?);
            let group_configs = Arc::new(GroupConfigs::open(topics.clone(), config.clone()));
            let groups = Arc::new(Coordinator::open(&log, config.clone(), group_configs)?);
            let transactions = Transactions::open(&log, config.clone(), topics.clone(), groups.clone())?;
            let security = Security::open(&topics, &config)?;
            let quotas = Arc::new(Quotas::open(topics.clone(), &config));
            Ok::<_, BrokerError>((topics, groups, Arc::new(transactions), security, quotas))
        })?;
        let fetch_sessions = FetchSessions::new(config.fetch_sessions_max, config.seed);
        let connections = Arc::default();
        let requests = Requests::default();
        let request_memory = RequestMemory::new(config.queued_request_bytes_max);
        let stop = watch::Sender::new(false);
        Ok(Arc::new(Broker {
            log,
            config,
            topics,
            groups,
            fetch_sessions,
            connections,
            request_memory,
            unpacking: Unpacking::default(),
            requests,
            transactions,
            security,
            quotas,
            stop,
        }))
    }

    fn start(self: &Arc<Self>) {
        let (groups, mut stopping) = (self.groups.clone(), self.stopping());
        tokio::spawn(async move {
            tokio::select! { () = groups.run() => {} _ = stopping.wait_for(|stop| *stop) => {} }
        });
        let (transactions, mut stopping) = (self.transactions.clone(), self.stopping());
        tokio::spawn(async move {
            tokio::select! { () = transactions.run() => {} _ = stopping.wait_for(|stop| *stop) => {} }
        });
        let (keeper, mut stopping) = (self.clone(), self.stopping());
        tokio::spawn(async move {
            tokio::select! { () = keeper.keep() => {} _ = stopping.wait_for(|stop| *stop) => {} }
        });
        let (compacting, mut stopping) = (self.clone(), self.stopping());
        tokio::spawn(async move {
            tokio::select! { () = compacting.compact() => {} _ = stopping.wait_for(|stop| *stop) => {} }
        });
    }

    /// Retention of topics, expiry of offsets, and the internal topics written anew when they are large.
    async fn keep(self: Arc<Self>) {
        // Not at once: a reader that goes on where it was finds what it had not finished with.
        let every = Duration::from_millis(self.config.retention_check_interval_ms.max(1));
        let mut round = tokio::time::interval_at(Instant::now() + every, every);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            let (log, now_ms) = (self.log.clone(), self.config.clock.now_ms());
            match tokio::task::spawn_blocking(move || log.enforce_retention(now_ms)).await {
                Ok(Ok(report)) if report.segments > 0 => {
                    tracing::info!(segments = report.segments, bytes = report.bytes, "retention removed old segments");
                }
                Ok(Err(error)) => tracing::warn!(%error, "retention failed; it is tried again"),
                _ => {}
            }
            if let Err(error) = self.groups.expire().await {
                tracing::warn!(%error, "expiry of offsets failed; it is tried again");
            }
            if let Err(error) = self.topics.rewrite_if_large().await {
                tracing::warn!(%error, "the log of topics could not be written anew; it is tried again");
            }
        }
    }

    /// Compaction of topics that ask for it. Apart from the rest, for it may take long.
    async fn compact(self: Arc<Self>) {
        let pause = || Duration::from_millis(self.topics.dynamic().number("log.cleaner.backoff.ms").max(1) as u64);
        loop {
            let begun = Instant::now();
            // It may be made shorter while it lasts.
            while let Some(left) = pause().checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
                tokio::time::sleep(left.min(CONFIG_LOOK)).await;
            }
            let (log, now_ms) = (self.log.clone(), self.config.clock.now_ms());
            match tokio::task::spawn_blocking(move || log.compact(now_ms)).await {
                Ok(Ok(report)) if report.partitions > 0 => tracing::info!(
                    partitions = report.partitions,
                    bytes_before = report.bytes_before,
                    bytes_after = report.bytes_after,
                    "topics compacted"
                ),
                Ok(Err(error)) => tracing::warn!(%error, "compaction failed; it is tried again"),
                _ => {}
            }
        }
    }

    /// Stops: connections are closed after their answers, waiting fetches are answered, nothing new is taken. [`Broker::serve`] returns
    /// then. The log stays open; whoever opened it closes it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.groups.close();
    }

    /// Whether [`Broker::stop`] was called, as it changes.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        self.log.cluster_id()
    }

    /// What it was told when it opened.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Groups and their offsets.
    pub fn groups(&self) -> &Arc<Coordinator> {
        &self.groups
    }

    /// Who can log in.
    pub fn users(&self) -> &Users {
        &self.security.users
    }

    /// Whether a topic that says nothing of its own is relaxed: `log.flush.interval.messages` or `log.flush.interval.ms` is set, in the
    /// configuration or while the broker ran.
    pub fn is_relaxed_by_default(&self) -> bool {
        self.topics.is_relaxed_by_default()
    }

    /// Transactions.
    pub fn transactions(&self) -> &Arc<Transactions> {
        &self.transactions
    }

    /// Host and port that a client is told which reached the broker by `listener` at `local`.
    pub(crate) fn address_for(listener: &Listener, local: SocketAddr) -> (String, u16) {
        if let Some(advertised) = &listener.advertised {
            return advertised.clone();
        }
        let host = match local.ip().to_canonical() {
            ip if ip.is_loopback() => "localhost".to_string(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => ip.to_string(),
        };
        (host, local.port())
    }

    /// Deletes a topic, its records, and what groups had read of it.
    pub(crate) async fn delete_topic(&self, name: &str) -> Result<(), BrokerError> {
        self.topics.delete(name).await?;
        self.groups.topic_deleted(name).await
    }

    /// A sentence for each topic for which the storage refuses records: which, and why. Of many topics, the first ones.
    pub fn refusing(&self) -> Vec<String> {
        let (all, now) = (self.topics.all(), std::time::Instant::now());
        let refused = all.iter().filter_map(|topic| Some((&topic.name, topic.counters.refused(now)?)));
        refused.take(REFUSING_TOLD).map(|(name, why)| format!("topic {name}: {why}")).collect()
    }

    /// What went through each topic, and what is there; also internal ones.
    pub fn topic_stats(&self) -> Vec<TopicStats> {
        let all = self.topics.all();
        let each = all.iter().map(|topic| {
            let records = |partition: &Arc<millstream_log::Partition>| {
                (partition.high_watermark() - partition.log_start_offset()).max(0) as u64
            };
            TopicStats {
                name: topic.name.to_string(),
                internal: topic.is_internal(),
                partitions: topic.partitions.len() as i32,
                records_in: 0,
                bytes_in: 0,
                records_out: 0,
                bytes_out: 0,
                records: topic.partitions.iter().map(records).sum(),
                size_bytes: topic.partitions.iter().map(|partition| partition.size_bytes()).sum(),
                relaxed: topic.partitions.iter().any(|partition| partition.config().is_relaxed()),
                refused: None,
            }
            .with_counters(&topic.counters)
        });
        each.collect()
    }
}
