//! The configurations that groups have of their own, kept as facts of `__metadata`.
//!
//! ```text
//! key group/NAME   value {"NAME": "VALUE", …}; none: the group says nothing any more
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::configs::{Settings, group};
use crate::runtime::to_the_end;
use crate::topics::Topics;
use crate::{BrokerConfig, BrokerError};

/// What keys of these facts begin with.
pub(crate) const FACTS: &str = "group/";
/// Longest name that has configurations, in bytes: every version of every answer can carry it.
const NAME_BYTES_MAX: usize = 16 << 10;

type ByGroup = BTreeMap<String, Arc<Settings>>;

/// See the module.
#[derive(Debug)]
pub struct GroupConfigs {
    topics: Arc<Topics>,
    config: Arc<BrokerConfig>,
    by_group: Arc<RwLock<ByGroup>>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl GroupConfigs {
    pub(crate) fn open(topics: Arc<Topics>, config: Arc<BrokerConfig>) -> Self {
        let mut by_group = ByGroup::new();
        for (key, value) in topics.facts(FACTS) {
            match serde_json::from_slice(&value) {
                Ok(settings) => drop(by_group.insert(key[FACTS.len()..].to_string(), Arc::new(settings))),
                Err(error) => tracing::warn!(%key, %error, "a group's configuration is not understood: set it anew"),
            }
        }
        GroupConfigs { topics, config, by_group: Arc::new(RwLock::new(by_group)), changing: Mutex::new(()) }
    }

    /// Groups that have configurations of their own, by name.
    pub fn groups(&self) -> Vec<String> {
        self.by_group.read().keys().cloned().collect()
    }

    /// A group's own settings.
    pub fn settings(&self, group: &str) -> Arc<Settings> {
        self.by_group.read().get(group).cloned().unwrap_or_default()
    }

    /// Silence after which a member of the group is removed, ms.
    pub fn session_timeout_ms(&self, group: &str) -> i32 {
        let own = self.number(group, group::SESSION_TIMEOUT);
        own.unwrap_or(self.config.group_consumer_session_timeout_ms)
    }

    /// How often members of the group are told to show themselves, ms.
    pub fn heartbeat_interval_ms(&self, group: &str) -> i32 {
        let own = self.number(group, group::HEARTBEAT_INTERVAL);
        own.unwrap_or(self.config.group_consumer_heartbeat_interval_ms)
    }

    fn number(&self, group: &str, name: &str) -> Option<i32> {
        group::number(&self.config, self.by_group.read().get(group)?, name)
    }

    /// Replaces a group's own settings. Durable when it returns; `validate_only`: only says whether it could be.
    ///
    /// # Errors
    /// A group without a name, what `change` says, what the log says.
    pub(crate) async fn change(
        self: &Arc<Self>,
        group: &str,
        validate_only: bool,
        change: impl FnOnce(&Settings) -> Result<Settings, BrokerError> + Send + 'static,
    ) -> Result<(), BrokerError> {
        if group.is_empty() || group.len() > NAME_BYTES_MAX {
            let why = format!(
                "a group's name has 1 to {NAME_BYTES_MAX} bytes; there are no defaults of all groups here: set group.consumer.…"
            );
            return Err(BrokerError::InvalidRequest(why));
        }
        let (this, group) = (self.clone(), group.to_string());
        to_the_end(async move {
            let _one = this.changing.lock().await;
            let settings = change(&this.settings(&group))?;
            if validate_only {
                return Ok(());
            }
            let value = serde_json::to_vec(&settings).expect("settings are plain data");
            let fact = (format!("{FACTS}{group}"), (!settings.is_empty()).then(|| Bytes::from(value)));
            let by_group = this.by_group.clone();
            let apply = move || {
                match settings.is_empty() {
                    true => by_group.write().remove(&group),
                    false => by_group.write().insert(group, Arc::new(settings)),
                };
            };
            this.topics.put_facts(vec![fact], apply).await
        })
        .await
    }
}
