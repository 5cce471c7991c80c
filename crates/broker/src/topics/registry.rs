//! The topics there are, as replay left them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_log::{Partition, PartitionConfig};
use millstream_protocol::records::Codec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::configs::topic::{KEYS, TopicConfig, TopicDefaults};
use crate::stats::TopicCounters;
use crate::{BrokerError, topics::name};

/// A topic. Never changed in place: a change puts a new one into the registry.
#[derive(Debug)]
pub struct Topic {
    /// Name.
    pub name: Arc<str>,
    /// Id, new for each topic even under an old name.
    pub id: Uuid,
    /// Its own settings.
    pub overrides: BTreeMap<String, String>,
    /// What holds for it.
    pub config: TopicConfig,
    /// `max.message.bytes`, read for every batch.
    pub batch_bytes_max: usize,
    /// `compression.type`, unless batches stay as they were sent.
    pub codec: Option<Codec>,
    /// `cleanup.policy` has `compact`: every record needs a key.
    pub compacts: bool,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// Its partitions, by number.
    pub partitions: Vec<Arc<Partition>>,
    /// What went through it.
    pub counters: Arc<TopicCounters>,
}

impl Topic {
    /// Hidden from clients.
    pub fn is_internal(&self) -> bool {
        name::is_internal(&self.name)
    }

    /// A partition by its number.
    pub fn partition(&self, number: i32) -> Result<&Arc<Partition>, BrokerError> {
        usize::try_from(number).ok().and_then(|index| self.partitions.get(index)).ok_or_else(|| {
            BrokerError::UnknownPartition {
                topic: self.name.to_string(),
                partition: number,
                partitions: self.partitions.len(),
            }
        })
    }
}

/// A topic's record in `__metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicRecord {
    pub id: Uuid,
    pub partitions: i32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, String>,
}

impl TopicRecord {
    pub fn topic(
        &self,
        name: &str,
        partitions: Vec<Arc<Partition>>,
        defaults: &Arc<TopicDefaults>,
        counters: Arc<TopicCounters>,
    ) -> Topic {
        let config = TopicConfig::new(self.configs.clone(), defaults.clone());
        Topic {
            name: name.into(),
            id: self.id,
            overrides: self.configs.clone(),
            batch_bytes_max: usize::try_from(config.number("max.message.bytes")).unwrap_or(usize::MAX),
            codec: config.codec(),
            compacts: config.compacts(),
            log_append_time: config.log_append_time(),
            timestamp_after_max_ms: config.number("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: config.number("message.timestamp.before.max.ms"),
            config,
            partitions,
            counters,
        }
    }
}

/// What the log is to do for partitions of a topic with this configuration.
pub(crate) fn partition_config(config: &TopicConfig) -> Result<PartitionConfig, BrokerError> {
    let mut out = PartitionConfig::default();
    for key in KEYS {
        out.set(key.name, config.get(key.name))?;
    }
    if !config.deletes() {
        out.retention_ms = None;
        out.retention_bytes = None;
    }
    Ok(out)
}

/// Topics by name and id.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    /// Another number after every change.
    pub version: u64,
}

impl Registry {
    pub fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    pub fn get_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    pub fn put(&mut self, topic: Topic) -> Arc<Topic> {
        self.version += 1;
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, topic.clone());
        self.by_name.insert(topic.name.clone(), topic.clone());
        topic
    }

    pub fn remove(&mut self, name: &str) {
        self.version += 1;
        if let Some(topic) = self.by_name.remove(name) {
            self.by_id.remove(&topic.id);
        }
    }
}
