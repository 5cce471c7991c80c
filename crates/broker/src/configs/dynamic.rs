//! What was changed while the broker ran, above what it was opened with. A change makes a new value; readers keep theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::broker;
use super::topic::{Source, TopicDefaults};
use crate::BrokerConfig;

/// Settings by name.
pub type Settings = BTreeMap<String, String>;

/// See the module. For brokers that are called by number, and for all of them, as Kafka keeps the two apart.
#[derive(Debug, Clone)]
pub struct Dynamic {
    config: Arc<BrokerConfig>,
    own: Settings,
    all: Settings,
    topic_defaults: Arc<TopicDefaults>,
}

impl Dynamic {
    /// `own` are those of this broker, `all` those of all brokers.
    pub(crate) fn new(config: Arc<BrokerConfig>, own: Settings, all: Settings) -> Self {
        let layers =
            [(Source::DynamicBroker, &own), (Source::DynamicDefault, &all), (Source::Broker, &config.settings)];
        let layers = layers.map(|(source, settings)| (source, broker::topic_defaults(settings)));
        let topic_defaults = Arc::new(TopicDefaults::new(layers.into()));
        Dynamic { config, own, all, topic_defaults }
    }

    /// This broker's changes, or those of all brokers.
    pub(crate) fn settings(&self, of_all: bool) -> &Settings {
        if of_all { &self.all } else { &self.own }
    }

    /// With other changes.
    pub(crate) fn with(&self, of_all: bool, settings: Settings) -> Self {
        let (own, all) = if of_all { (self.own.clone(), settings) } else { (settings, self.all.clone()) };
        Dynamic::new(self.config.clone(), own, all)
    }

    /// What holds for topics that say nothing themselves.
    pub(crate) fn topic_defaults(&self) -> &Arc<TopicDefaults> {
        &self.topic_defaults
    }

    /// The values there are for a configuration, the one that holds first.
    pub fn layers(&self, found: &broker::Found) -> Vec<(String, Source)> {
        let mut out = Vec::new();
        if found.is_dynamic() {
            out.extend(self.own.get(found.name).map(|value| (value.clone(), Source::DynamicBroker)));
            out.extend(self.all.get(found.name).map(|value| (value.clone(), Source::DynamicDefault)));
        }
        let (value, is_set) = found.at_start(&self.config);
        if is_set {
            out.extend(value.map(|value| (value, Source::Broker)));
        }
        out.extend(found.default.map(|value| (value.to_string(), Source::Default)));
        out
    }

    /// The value of a [`broker::Use::Dynamic`] configuration.
    pub fn get(&self, name: &str) -> Option<&str> {
        [&self.own, &self.all, &self.config.settings].into_iter().find_map(|layer| layer.get(name)).map(String::as_str)
    }

    /// The same as a number: the default where nobody says another.
    pub(crate) fn number(&self, name: &str) -> i64 {
        let stated = self.get(name).and_then(|value| value.trim().parse().ok());
        stated.or_else(|| broker::find(name)?.default?.parse().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_that_of_the_nearest_who_says_one() {
        let of = |value: &str| Settings::from([("log.cleaner.backoff.ms".to_string(), value.to_string())]);
        let config = Arc::new(BrokerConfig { settings: of("1"), ..BrokerConfig::default() });
        let number = |dynamic: &Dynamic| dynamic.number("log.cleaner.backoff.ms");
        let nobody = Dynamic::new(Arc::new(BrokerConfig::default()), Settings::new(), Settings::new());
        assert_eq!((number(&nobody), nobody.number("producer.id.expiration.ms")), (15_000, 86_400_000));
        let start = Dynamic::new(config, Settings::new(), Settings::new());
        let all = start.with(true, of("2"));
        assert_eq!([number(&start), number(&all), number(&all.with(false, of("3")))], [1, 2, 3]);
    }
}
