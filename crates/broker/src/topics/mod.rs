//! Topics: which there are, what holds for them, and how that changes.
//!
//! A change is checked, written as a record of the internal topic `__metadata`, carried out on the log, and then shown. A crash between is
//! mended when the broker opens: the records are the truth, partitions follow them.
//!
//! ```text
//! key topic/NAME      value {"id": …, "partitions": …, "configs": {…}}, none: deleted
//! key producer-ids    value {"next": …}: the first producer id that is not taken
//! key broker/NUMBER   value {"NAME": "VALUE", …}: configurations of the broker that were changed while it ran; without a number: of all brokers
//! key PREFIX/…        facts that other parts keep here: see [`FACTS`]
//! ```

pub mod name;
mod registry;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use millstream_log::{Log, Partition, TopicPartition};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

pub use registry::Topic;
use registry::{Registry, TopicRecord, partition_config};

use crate::configs::topic::TopicConfig;
use crate::configs::{Dynamic, Settings};
use crate::groups::consumer::Catalog;
use crate::internal_log::{InternalLog, KeyValue};
use crate::runtime::{blocking, to_the_end};
use crate::{BrokerConfig, BrokerError, configs};

/// Name of the internal topic with topics and producer ids.
pub(crate) const METADATA_TOPIC: &str = "__metadata";
/// Name of the internal topic with groups and their offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Name of the internal topic with transactions.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";
/// The broker's own topics: no topic records speak of them.
const OWN_TOPICS: [&str; 3] = [METADATA_TOPIC, OFFSETS_TOPIC, TRANSACTIONS_TOPIC];

/// What keys of other parts begin with. The topics only keep such records and give them out again, as they are.
pub(crate) const FACTS: &[&str] = &[crate::security::FACTS, crate::quotas::FACTS, crate::groups::configs::FACTS];

const TOPIC_KEY: &str = "topic/";
const PRODUCER_IDS_KEY: &str = "producer-ids";
const BROKER_KEY: &str = "broker/";
/// Producer ids taken at a time, so that not each one costs a record.
const PRODUCER_ID_BLOCK: i64 = 1000;
/// More partitions than that in one topic are a mistake on a single node.
const PARTITIONS_MAX: i32 = 10_000;

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct ProducerIds {
    next: i64,
}

/// What is under the lock that changes take: one change at a time.
#[derive(Debug)]
struct Changes {
    metadata: InternalLog,
    /// Next producer id to give out, and the end of the block that is taken.
    producer_ids: (i64, i64),
    /// What other parts keep, by key.
    facts: BTreeMap<String, Bytes>,
}

/// The topics of the broker.
#[derive(Debug)]
pub struct Topics {
    log: Log,
    config: Arc<BrokerConfig>,
    registry: RwLock<Registry>,
    dynamic: RwLock<Arc<Dynamic>>,
    changes: Mutex<Changes>,
}

impl Topics {
    /// Reads the records and brings the log's partitions in line with them. Blocks.
    pub(crate) fn open(log: Log, config: Arc<BrokerConfig>) -> Result<Self, BrokerError> {
        let metadata = InternalLog::open(&log, METADATA_TOPIC, config.internal_log_bytes_max)?;
        let mut records: BTreeMap<String, TopicRecord> = BTreeMap::new();
        let mut deleted: HashSet<Uuid> = HashSet::new();
        let mut producer_ids = ProducerIds::default();
        let mut brokers: BTreeMap<String, Settings> = BTreeMap::new();
        let mut facts: BTreeMap<String, Bytes> = BTreeMap::new();
        metadata.replay(|offset, key, value| {
            let key = String::from_utf8_lossy(key.unwrap_or_default());
            if FACTS.iter().any(|prefix| key.starts_with(prefix)) {
                match value {
                    Some(value) => facts.insert(key.into_owned(), Bytes::copy_from_slice(value)),
                    None => facts.remove(&*key),
                };
                return;
            }
            let known = match (key.strip_prefix(TOPIC_KEY), value) {
                (Some(name), None) => {
                    deleted.extend(records.remove(name).map(|record| record.id));
                    true
                }
                (Some(name), Some(value)) => {
                    let record = serde_json::from_slice(value);
                    record.map(|record| records.insert(name.to_string(), record)).is_ok()
                }
                (None, Some(value)) if key == PRODUCER_IDS_KEY => {
                    serde_json::from_slice(value).map(|ids| producer_ids = ids).is_ok()
                }
                (None, Some(value)) if key.starts_with(BROKER_KEY) => {
                    let name = key.trim_start_matches(BROKER_KEY).to_string();
                    serde_json::from_slice(value).map(|settings| brokers.insert(name, settings)).is_ok()
                }
                _ => false,
            };
            if !known {
                tracing::warn!(offset, %key, "a record of {METADATA_TOPIC} is not understood: skipped");
            }
        })?;
        let own = brokers.remove(&config.node_id.to_string()).unwrap_or_default();
        let dynamic = Dynamic::new(config.clone(), own, brokers.remove("").unwrap_or_default());
        let mut registry = Registry::default();
        for (name, record) in &records {
            let topic = record.topic(name, Vec::new(), dynamic.topic_defaults(), Arc::default());
            let partitions = ensure_partitions(&log, &topic, record.partitions)?;
            registry.put(Topic { partitions, ..topic });
        }
        let changes = Changes { metadata, producer_ids: (producer_ids.next, producer_ids.next), facts };
        let dynamic = RwLock::new(Arc::new(dynamic));
        let topics = Topics { log, config, registry: RwLock::new(registry), dynamic, changes: Mutex::new(changes) };
        topics.tell_log();
        topics.mend(&deleted)?;
        Ok(topics)
    }

    /// Hands the log what it has to know of the broker's configuration.
    fn tell_log(&self) {
        let dynamic = self.dynamic();
        self.log.set_producer_expiration_ms(dynamic.number("producer.id.expiration.ms"));
        self.log.set_compaction_bytes_max(dynamic.number("log.cleaner.dedupe.buffer.size").max(1) as u64);
    }

    /// A crash can leave partitions behind that no record speaks of.
    fn mend(&self, deleted: &HashSet<Uuid>) -> Result<(), BrokerError> {
        for partition in self.log.partitions() {
            let name = partition.topic_partition().clone();
            let is_own = OWN_TOPICS.contains(&&*name.topic);
            let is_known = self.get(&name.topic).is_some_and(|topic| topic.partition(name.partition).is_ok());
            if is_own || is_known {
                continue;
            }
            if deleted.contains(&partition.topic_id()) || partition.log_end_offset() == 0 {
                tracing::info!(partition = %name, "left over from a topic that was being made or deleted: removed");
                self.log.delete_partition(&name)?;
            } else {
                tracing::warn!(partition = %name, "holds records, but no topic speaks of it: left alone on disk");
            }
        }
        Ok(())
    }

    /// A topic by its name.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.registry.read().get(name).cloned()
    }

    /// A topic by its id.
    pub fn get_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.registry.read().get_by_id(id).cloned()
    }

    /// All topics by name, also internal ones, but for the broker's own two.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.registry.read().all().cloned().collect()
    }

    /// Whether such a topic could be made: name, number of partitions (-1: the default), configurations. Gives the number of partitions
    /// and the configurations as they are kept.
    pub fn check_new(
        &self,
        name: &str,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<(i32, BTreeMap<String, String>), BrokerError> {
        name::check(name)?;
        if self.get(name).is_some() || OWN_TOPICS.contains(&name) {
            return Err(BrokerError::TopicExists(name.to_string()));
        }
        let configs = check_configs(configs)?;
        match partitions {
            -1 => Ok((self.config.num_partitions, configs)),
            1..=PARTITIONS_MAX => Ok((partitions, configs)),
            _ => Err(BrokerError::InvalidPartitions(format!(
                "{partitions} partitions for topic {name}: ask for 1 to {PARTITIONS_MAX}, or -1 for the default"
            ))),
        }
    }

    /// Makes a topic. Durable when it returns; once begun it is done, also if nobody waits for it.
    pub async fn create(
        self: &Arc<Self>,
        name: &str,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, BrokerError> {
        let (this, name) = (self.clone(), name.to_string());
        to_the_end(async move { this.create_now(&name, partitions, configs).await }).await
    }

    async fn create_now(
        &self,
        name: &str,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, BrokerError> {
        let changes = self.changes.lock().await;
        let (count, configs) = self.check_new(name, partitions, &configs)?;
        let record = TopicRecord { id: Uuid::new_v4(), partitions: count, configs };
        let topic = record.topic(name, Vec::new(), self.dynamic().topic_defaults(), Arc::default());
        // The partitions come first: a record without them could name a topic that a full disk then refuses.
        let made = blocking(|| ensure_partitions(&self.log, &topic, count));
        let written = match made {
            Ok(partitions) => self.write(&changes, &[topic_entry(name, Some(&record))]).await.map(|()| partitions),
            Err(error) => Err(error),
        };
        match written {
            Ok(partitions) => {
                tracing::info!(topic = name, partitions = count, id = %record.id, "topic created");
                if partitions.iter().any(|partition| partition.config().is_relaxed()) {
                    tracing::warn!(
                        topic = name,
                        "flush.messages or flush.ms is set: a power cut can take acknowledged records"
                    );
                }
                Ok(self.registry.write().put(Topic { partitions, ..topic }))
            }
            Err(error) => {
                for number in 0..count {
                    let partition = TopicPartition::new(name, number);
                    if self.log.partition(&partition).is_some() {
                        let _ = blocking(|| self.log.delete_partition(&partition));
                    }
                }
                Err(error)
            }
        }
    }

    /// Makes the topic if it is not there.
    pub async fn ensure(
        self: &Arc<Self>,
        name: &str,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, BrokerError> {
        if let Some(topic) = self.get(name) {
            return Ok(topic);
        }
        match self.create(name, partitions, configs).await {
            Err(BrokerError::TopicExists(_)) => {
                self.get(name).ok_or_else(|| BrokerError::UnknownTopic(name.to_string()))
            }
            other => other,
        }
    }

    /// Deletes a topic with all its records. Durable when it returns.
    pub async fn delete(self: &Arc<Self>, name: &str) -> Result<Arc<Topic>, BrokerError> {
        let (this, name) = (self.clone(), name.to_string());
        to_the_end(async move { this.delete_now(&name).await }).await
    }

    async fn delete_now(&self, name: &str) -> Result<Arc<Topic>, BrokerError> {
        let changes = self.changes.lock().await;
        let topic = self.get(name).ok_or_else(|| BrokerError::UnknownTopic(name.to_string()))?;
        self.write(&changes, &[topic_entry(name, None)]).await?;
        self.registry.write().remove(name);
        for partition in &topic.partitions {
            if let Err(error) = blocking(|| self.log.delete_partition(partition.topic_partition())) {
                tracing::warn!(partition = %partition.topic_partition(), %error, "files of a deleted topic stay until the next start");
            }
        }
        tracing::info!(topic = name, "topic deleted");
        Ok(topic)
    }

    /// Whether a topic could have `total` partitions in all.
    pub fn check_grow(&self, name: &str, total: i32) -> Result<(), BrokerError> {
        let topic = self.get(name).ok_or_else(|| BrokerError::UnknownTopic(name.to_string()))?;
        let now = topic.partitions.len() as i32;
        if total > now && total <= PARTITIONS_MAX {
            return Ok(());
        }
        Err(BrokerError::InvalidPartitions(if total == now {
            format!("topic {name} has {now} partitions already")
        } else if total < now {
            format!("topic {name} has {now} partitions; {total} would be fewer, which cannot be")
        } else {
            format!("{total} partitions for topic {name}: at most {PARTITIONS_MAX}")
        }))
    }

    /// Gives a topic more partitions, `total` in all.
    pub async fn grow(self: &Arc<Self>, name: &str, total: i32) -> Result<Arc<Topic>, BrokerError> {
        let (this, name) = (self.clone(), name.to_string());
        to_the_end(async move { this.grow_now(&name, total).await }).await
    }

    async fn grow_now(&self, name: &str, total: i32) -> Result<Arc<Topic>, BrokerError> {
        let changes = self.changes.lock().await;
        self.check_grow(name, total)?;
        let topic = self.get(name).ok_or_else(|| BrokerError::UnknownTopic(name.to_string()))?;
        let record = TopicRecord { id: topic.id, partitions: total, configs: topic.overrides.clone() };
        let partitions = blocking(|| ensure_partitions(&self.log, &topic, total))?;
        self.write(&changes, &[topic_entry(name, Some(&record))]).await?;
        let grown = record.topic(name, partitions, self.dynamic().topic_defaults(), topic.counters.clone());
        Ok(self.registry.write().put(grown))
    }

    /// Replaces a topic's own settings.
    pub async fn set_configs(
        self: &Arc<Self>,
        name: &str,
        change: impl FnOnce(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>, BrokerError> + Send + 'static,
    ) -> Result<(), BrokerError> {
        let (this, name) = (self.clone(), name.to_string());
        to_the_end(async move { this.set_configs_now(&name, change).await }).await
    }

    async fn set_configs_now(
        &self,
        name: &str,
        change: impl FnOnce(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>, BrokerError>,
    ) -> Result<(), BrokerError> {
        let changes = self.changes.lock().await;
        let topic = self.get(name).ok_or_else(|| BrokerError::UnknownTopic(name.to_string()))?;
        let configs = check_configs(&change(&topic.overrides)?)?;
        let record = TopicRecord { id: topic.id, partitions: topic.partitions.len() as i32, configs };
        let changed =
            record.topic(name, topic.partitions.clone(), self.dynamic().topic_defaults(), topic.counters.clone());
        let settings = partition_config(&changed.config)?;
        self.write(&changes, &[topic_entry(name, Some(&record))]).await?;
        for partition in &changed.partitions {
            partition.set_config(settings.clone())?;
        }
        self.registry.write().put(changed);
        Ok(())
    }

    /// Where the log of topics ends.
    pub fn metadata_end(&self) -> i64 {
        let name = TopicPartition::new(METADATA_TOPIC, 0);
        self.log.partition(&name).map_or(0, |partition| partition.high_watermark())
    }

    /// The broker's configuration as it was changed while it ran.
    pub fn dynamic(&self) -> Arc<Dynamic> {
        self.dynamic.read().clone()
    }

    /// What would hold for a topic with these settings of its own.
    pub fn config_with(&self, overrides: BTreeMap<String, String>) -> TopicConfig {
        TopicConfig::new(overrides, self.dynamic().topic_defaults().clone())
    }

    /// Whether a topic without settings of its own answers before its sync.
    pub fn is_relaxed_by_default(&self) -> bool {
        partition_config(&self.config_with(BTreeMap::new())).is_ok_and(|config| config.is_relaxed())
    }

    /// Replaces what was changed of the broker's configuration, for this broker or for all, and lets it hold.
    pub async fn set_broker_configs(
        self: &Arc<Self>,
        of_all: bool,
        change: impl FnOnce(&Settings) -> Result<Settings, BrokerError> + Send + 'static,
    ) -> Result<(), BrokerError> {
        let this = self.clone();
        to_the_end(async move { this.set_broker_configs_now(of_all, change).await }).await
    }

    async fn set_broker_configs_now(
        &self,
        of_all: bool,
        change: impl FnOnce(&Settings) -> Result<Settings, BrokerError>,
    ) -> Result<(), BrokerError> {
        let changes = self.changes.lock().await;
        let now = self.dynamic();
        let settings = change(now.settings(of_all))?;
        let entry = broker_entry(&self.config, of_all, &settings);
        let next = Arc::new(now.with(of_all, settings));
        let record = |topic: &Topic| TopicRecord {
            id: topic.id,
            partitions: topic.partitions.len() as i32,
            configs: topic.overrides.clone(),
        };
        let all = self.all();
        let changed = all.iter().map(|topic| {
            let (partitions, counters) = (topic.partitions.clone(), topic.counters.clone());
            let changed = record(topic).topic(&topic.name, partitions, next.topic_defaults(), counters);
            partition_config(&changed.config).map(|settings| (changed, settings))
        });
        let changed = changed.collect::<Result<Vec<_>, _>>()?;
        self.write(&changes, &[entry]).await?;
        *self.dynamic.write() = next;
        self.tell_log();
        for (topic, settings) in changed {
            for partition in &topic.partitions {
                partition.set_config(settings.clone())?;
            }
            self.registry.write().put(topic);
        }
        Ok(())
    }

    /// A producer id that nobody has had.
    pub async fn take_producer_id(&self) -> Result<i64, BrokerError> {
        let mut changes = self.changes.lock().await;
        let (next, end) = changes.producer_ids;
        if next >= end {
            let end = next + PRODUCER_ID_BLOCK;
            self.write(&changes, &[producer_ids_entry(end)]).await?;
            changes.producer_ids.1 = end;
        }
        changes.producer_ids.0 = next + 1;
        Ok(next)
    }

    /// The facts whose keys begin so, by key. Only while the broker opens; later on, whoever keeps them knows them.
    pub(crate) fn facts(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let changes = self.changes.try_lock().expect("nothing changes while the broker opens");
        let from = changes.facts.range(prefix.to_string()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Writes facts, or that they are no more; all or none. `apply` is called when they are durable, in the order of the records.
    pub(crate) async fn put_facts(
        self: &Arc<Self>,
        facts: Vec<(String, Option<Bytes>)>,
        apply: impl FnOnce() + Send + 'static,
    ) -> Result<(), BrokerError> {
        let this = self.clone();
        to_the_end(async move {
            let mut changes = this.changes.lock().await;
            let records: Vec<KeyValue> = facts.iter().map(|(key, value)| (key.clone().into(), value.clone())).collect();
            this.write(&changes, &records).await?;
            for (key, value) in facts {
                match value {
                    Some(value) => changes.facts.insert(key, value),
                    None => changes.facts.remove(&key),
                };
            }
            apply();
            Ok(())
        })
        .await
    }

    async fn write(&self, changes: &Changes, records: &[KeyValue]) -> Result<(), BrokerError> {
        let now_ms = self.config.clock.now_ms();
        changes.metadata.append(now_ms, records).await?;
        Ok(())
    }

    /// Writes anew what holds, once the log of changes is large.
    pub(crate) async fn rewrite_if_large(&self) -> Result<(), BrokerError> {
        let changes = self.changes.lock().await;
        if !changes.metadata.is_large() {
            return Ok(());
        }
        let mut records = vec![producer_ids_entry(changes.producer_ids.1)];
        let dynamic = self.dynamic();
        records.extend([true, false].map(|of_all| broker_entry(&self.config, of_all, dynamic.settings(of_all))));
        for topic in self.all() {
            let partitions = topic.partitions.len() as i32;
            let record = TopicRecord { id: topic.id, partitions, configs: topic.overrides.clone() };
            records.push(topic_entry(&topic.name, Some(&record)));
        }
        records.extend(changes.facts.iter().map(|(key, value)| (Bytes::from(key.clone()), Some(value.clone()))));
        let begin = changes.metadata.append(self.config.clock.now_ms(), &records).await?;
        blocking(|| changes.metadata.forget_before(begin))?;
        Ok(())
    }
}

/// Groups see what clients see.
impl Catalog for Topics {
    fn version(&self) -> u64 {
        self.registry.read().version
    }

    fn topic(&self, name: &str) -> Option<(Uuid, i32)> {
        let topic = self.get(name).filter(|topic| !topic.is_internal())?;
        Some((topic.id, topic.partitions.len() as i32))
    }

    fn names(&self) -> Vec<String> {
        let registry = self.registry.read();
        registry.all().filter(|topic| !topic.is_internal()).map(|topic| topic.name.to_string()).collect()
    }
}

/// A topic's own settings as they are kept, if it may have them.
pub(crate) fn check_configs(configs: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, BrokerError> {
    configs::topic::check_all(configs).map_err(BrokerError::InvalidConfig)
}

fn topic_entry(name: &str, record: Option<&TopicRecord>) -> KeyValue {
    let value = record.map(|record| serde_json::to_vec(record).expect("a topic's record is plain data").into());
    (Bytes::from(format!("{TOPIC_KEY}{name}")), value)
}

fn broker_entry(config: &BrokerConfig, of_all: bool, settings: &Settings) -> KeyValue {
    let name = if of_all { String::new() } else { config.node_id.to_string() };
    let value = serde_json::to_vec(settings).expect("settings are plain data");
    (Bytes::from(format!("{BROKER_KEY}{name}")), Some(value.into()))
}

fn producer_ids_entry(next: i64) -> KeyValue {
    let value = serde_json::to_vec(&ProducerIds { next }).expect("a number is plain data");
    (Bytes::from_static(PRODUCER_IDS_KEY.as_bytes()), Some(value.into()))
}

/// The topic's partitions in the log, made where they are missing. Blocks.
fn ensure_partitions(log: &Log, topic: &Topic, count: i32) -> Result<Vec<Arc<Partition>>, BrokerError> {
    let config = partition_config(&topic.config)?;
    let mut out = Vec::new();
    for number in 0..count {
        let name = TopicPartition::new(topic.name.clone(), number);
        if let Some(partition) = log.partition(&name) {
            if partition.topic_id() == topic.id {
                partition.set_config(config.clone())?;
                out.push(partition);
                continue;
            }
            // Of a topic of that name that was deleted, and its files were not: see `mend`.
            if partition.log_end_offset() > 0 {
                tracing::warn!(partition = %name, "files of an earlier topic of this name are removed");
            }
            log.delete_partition(&name)?;
        }
        out.push(log.create_partition(&name, topic.id, config.clone())?);
    }
    Ok(out)
}
