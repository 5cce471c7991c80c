//! IncrementalAlterConfigs: sets, removes, and adds to or takes from lists.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use millstream_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use uuid::Uuid;

use super::describe_configs::{BROKER, TOPIC};
use super::{Api, Context, words};
use crate::configs::{Kind, topic};
use crate::{BrokerError, topics::name};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) struct IncrementalAlterConfigs;

impl Api for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;

    async fn handle(context: Context, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
        let mut responses = Vec::new();
        for resource in request.resources {
            let mut response = AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..AlterConfigsResourceResponse::default()
            };
            let AlterConfigsResource { resource_type, resource_name, configs } = resource;
            let change = move |own: &BTreeMap<String, String>| apply(own, configs);
            if let Err(error) =
                change_topic(&context, resource_type, &resource_name, request.validate_only, change).await
            {
                response.error_code = error.code();
                response.error_message = words(&error);
            }
            responses.push(response);
        }
        IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
    }
}

/// Changes a topic's own settings, or says why not.
pub(super) async fn change_topic(
    context: &Context,
    resource_type: i8,
    resource_name: &str,
    validate_only: bool,
    change: impl FnOnce(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>, BrokerError> + Send + 'static,
) -> Result<(), BrokerError> {
    match resource_type {
        TOPIC => {}
        BROKER => {
            let why = "the broker's configuration is set when it starts; it cannot be changed while it runs";
            return Err(BrokerError::InvalidRequest(why.to_string()));
        }
        other => {
            return Err(BrokerError::InvalidRequest(format!("resources of kind {other} have no configuration here")));
        }
    }
    name::check_from_client(resource_name)?;
    let unknown = |_| BrokerError::UnknownTopic(resource_name.to_string());
    let topic = context.topic(resource_name, Uuid::nil(), false).map_err(unknown)?;
    if validate_only {
        let configs = change(&topic.overrides)?;
        return configs
            .iter()
            .try_for_each(|(name, value)| topic::check(name, value).map_err(BrokerError::InvalidConfig));
    }
    context.broker.topics.set_configs(resource_name, change).await
}

fn apply(
    own: &BTreeMap<String, String>,
    changes: Vec<AlterableConfig>,
) -> Result<BTreeMap<String, String>, BrokerError> {
    let mut configs = own.clone();
    let mut seen = BTreeSet::new();
    for AlterableConfig { name, config_operation, value } in changes {
        if !seen.insert(name.clone()) {
            return Err(BrokerError::InvalidRequest(format!("{name} stands more than once in the request")));
        }
        let Some(key) = topic::find(&name) else {
            return Err(BrokerError::InvalidConfig(topic::check(&name, "").err().unwrap_or_default()));
        };
        if config_operation == DELETE {
            configs.remove(&name);
            continue;
        }
        let Some(value) = value else {
            return Err(BrokerError::InvalidConfig(format!("{name} has no value: delete it for the default")));
        };
        if config_operation == SET {
            configs.insert(name, value);
            continue;
        }
        if !matches!(key.kind, Kind::List(_)) {
            return Err(BrokerError::InvalidConfig(format!(
                "{name} is no list: nothing can be added to or taken from it"
            )));
        }
        let now = configs.get(&name).map_or(key.default, String::as_str);
        let mut words: Vec<&str> = now.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let given = value.split(',').map(str::trim).filter(|word| !word.is_empty());
        match config_operation {
            APPEND => given.for_each(|word| {
                if !words.contains(&word) {
                    words.push(word);
                }
            }),
            SUBTRACT => given.for_each(|word| words.retain(|there| *there != word)),
            other => return Err(BrokerError::InvalidRequest(format!("operation {other} on {name} is not known"))),
        }
        let joined = words.join(",");
        configs.insert(name, joined);
    }
    Ok(configs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(config_operation: i8, name: &str, value: Option<&str>) -> AlterableConfig {
        AlterableConfig { name: name.into(), config_operation, value: value.map(str::to_string) }
    }

    #[test]
    fn settings_are_set_removed_and_extended() {
        let own = BTreeMap::from([("retention.ms".to_string(), "5".to_string())]);
        let changes = vec![
            change(DELETE, "retention.ms", None),
            change(SET, "segment.ms", Some("7")),
            change(APPEND, "cleanup.policy", Some("compact")),
        ];
        let after = apply(&own, changes).expect("good changes");
        assert_eq!(after.get("retention.ms"), None);
        assert_eq!(after["segment.ms"], "7");
        assert_eq!(after["cleanup.policy"], "delete,compact");
        let after = apply(&after, vec![change(SUBTRACT, "cleanup.policy", Some("delete"))]).expect("a good change");
        assert_eq!(after["cleanup.policy"], "compact");
    }

    #[test]
    fn nonsense_is_refused() {
        for changes in [
            vec![change(SET, "no.such.thing", Some("1"))],
            vec![change(SET, "segment.ms", None)],
            vec![change(APPEND, "segment.ms", Some("1"))],
            vec![change(9, "cleanup.policy", Some("1"))],
            vec![change(SET, "segment.ms", Some("1")), change(DELETE, "segment.ms", None)],
        ] {
            assert!(apply(&BTreeMap::new(), changes.clone()).is_err(), "{changes:?}");
        }
    }
}
