//! IncrementalAlterConfigs: sets, removes, and adds to or takes from lists.

use std::collections::BTreeSet;

use millstream_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use millstream_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::describe_configs::{BROKER, GROUP, TOPIC, configured_topic};
use super::{Access, Api, Context, repeated, words};
use crate::configs::{Kind, Settings, broker, group, topic};
use crate::runtime::blocking;
use crate::security::acl::{self, Operation};
use crate::topics::check_configs;
use crate::{BrokerConfig, BrokerError};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Files that are read again while the broker runs.
const CERTIFICATES: [&str; 2] = ["ssl.keystore.location", "ssl.truststore.location"];

pub(crate) struct IncrementalAlterConfigs;

impl Api for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;

    const ACCESS: Access<IncrementalAlterConfigsRequest> = Access::Each;

    async fn handle(context: Context, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
        let mut responses = Vec::new();
        let named = |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
        let repeated = repeated(request.resources.iter().map(named));
        for resource in request.resources {
            let mut response = AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..AlterConfigsResourceResponse::default()
            };
            let is_repeated = repeated.contains(&named(&resource));
            let AlterConfigsResource { resource_type, resource_name, configs } = resource;
            let change = move |resource, own: &Settings| apply(resource, own, configs);
            let changed = match is_repeated {
                true => Err(named_twice(&resource_name)),
                false => change_settings(&context, resource_type, &resource_name, request.validate_only, change).await,
            };
            if let Err(error) = changed {
                response.error_code = error.code();
                response.error_message = words(&error);
            }
            responses.push(response);
        }
        IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
    }
}

/// What is named twice in one request is changed by neither.
pub(super) fn named_twice(name: &str) -> BrokerError {
    BrokerError::InvalidRequest(format!("{name} stands more than once in the request"))
}

/// Something whose settings are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Topic,
    Broker,
    AllBrokers,
    Group,
}

/// Changes the settings of a topic, a group or the broker, or says why not: what AlterConfigs and IncrementalAlterConfigs have in common.
pub(super) async fn change_settings(
    context: &Context,
    resource_type: i8,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(Resource, &Settings) -> Result<Settings, BrokerError> + Send + 'static,
) -> Result<(), BrokerError> {
    let (topics, config) = (&context.broker.topics, context.broker.config.clone());
    match resource_type {
        TOPIC => {
            let topic = configured_topic(context, Operation::AlterConfigs, name).map_err(|error| match error {
                BrokerError::InvalidTopic { .. } if name.is_empty() => {
                    BrokerError::InvalidRequest("a topic has a name".to_string())
                }
                error => error,
            })?;
            let change = move |own: &Settings| change(Resource::Topic, own);
            match validate_only {
                true => check_configs(&change(&topic.overrides)?).map(|_| ()),
                false => topics.set_configs(name, change).await,
            }
        }
        BROKER => {
            if !context.may(Operation::AlterConfigs, acl::Resource::CLUSTER) {
                return Err(BrokerError::ClusterDenied);
            }
            let node_id = config.node_id;
            if !name.is_empty() && name != node_id.to_string() {
                return Err(BrokerError::InvalidRequest(format!("the only broker is {node_id}")));
            }
            let resource = if name.is_empty() { Resource::AllBrokers } else { Resource::Broker };
            let of_all = resource == Resource::AllBrokers;
            let broker = context.broker.clone();
            let change = move |own: &Settings| -> Result<Settings, BrokerError> {
                let mut after = change(resource, own)?;
                let certificates = resource == Resource::Broker && take_certificates(&config, &mut after);
                let after = kept(own, after, of_broker)?;
                if certificates {
                    blocking(|| broker.security.read_certificates(validate_only))
                        .map_err(BrokerError::InvalidRequest)?;
                }
                Ok(after)
            };
            match validate_only {
                true => change(topics.dynamic().settings(of_all)).map(|_| ()),
                false => topics.set_broker_configs(of_all, change).await,
            }
        }
        GROUP => {
            if !name.is_empty() && !context.may(Operation::AlterConfigs, acl::Resource::group(name)) {
                return Err(BrokerError::GroupDenied(name.to_string()));
            }
            let change = move |own: &Settings| {
                kept(own, change(Resource::Group, own)?, |name, value| {
                    group::check(&config, name, value).map_err(BrokerError::InvalidConfig)
                })
            };
            context.broker.groups.configs().change(name, validate_only, change).await
        }
        other => Err(BrokerError::InvalidRequest(format!("resources of kind {other} have no configuration here"))),
    }
}

/// Takes the files of certificates out of the changes that are named as they are already, which is how they are read again at once. False: there
/// were none.
fn take_certificates(config: &BrokerConfig, after: &mut Settings) -> bool {
    let before = after.len();
    after.retain(|name, value| {
        let present = config.settings.get(name).map(|present| present.trim());
        !CERTIFICATES.contains(&name.as_str()) || present != Some(value.trim())
    });
    after.len() < before
}

/// Settings as they are kept: what changes is held against a table by `check`.
fn kept(
    own: &Settings,
    mut after: Settings,
    check: impl Fn(&str, &str) -> Result<String, BrokerError>,
) -> Result<Settings, BrokerError> {
    for (name, value) in after.iter_mut().filter(|(name, value)| own.get(*name) != Some(*value)) {
        *value = check(name, value)?;
    }
    Ok(after)
}

/// A value of the broker as it is kept, if it may change now. Refusals are those of an invalid request, as Kafka has it.
fn of_broker(name: &str, value: &str) -> Result<String, BrokerError> {
    let (found, kept) = broker::check(name, value).map_err(BrokerError::InvalidRequest)?;
    match found.is_dynamic() {
        true => Ok(kept),
        false => {
            let why = format!("{name} is read when the broker starts; it cannot be changed while it runs");
            Err(BrokerError::InvalidRequest(why))
        }
    }
}

/// Kind and default of a name, or why there is none.
fn known(resource: Resource, name: &str) -> Result<(Kind, &'static str), BrokerError> {
    let found = match resource {
        Resource::Topic => topic::find(name).map(|key| (key.kind, key.default)),
        Resource::Group => group::find(name).map(|key| (key.kind, "")),
        Resource::Broker | Resource::AllBrokers => {
            broker::find(name).map(|found| (found.kind, found.default.unwrap_or_default()))
        }
    };
    found.ok_or_else(|| match resource {
        Resource::Topic => BrokerError::InvalidConfig(topic::check(name, "").err().unwrap_or_default()),
        Resource::Group => BrokerError::InvalidConfig(group::unknown(name)),
        _ => BrokerError::InvalidRequest(broker::check(name, "").err().unwrap_or_default()),
    })
}

fn apply(resource: Resource, own: &Settings, changes: Vec<AlterableConfig>) -> Result<Settings, BrokerError> {
    let mut configs = own.clone();
    let mut seen = BTreeSet::new();
    for AlterableConfig { name, config_operation, value } in changes {
        if !seen.insert(name.clone()) {
            return Err(BrokerError::InvalidRequest(format!("{name} stands more than once in the request")));
        }
        // Names that nobody knows are as good as deleted: kafka-reassign-partitions takes back throttles that were never set.
        if config_operation == DELETE {
            configs.remove(&name);
            continue;
        }
        let (kind, default) = known(resource, &name)?;
        let Some(value) = value else {
            return Err(BrokerError::InvalidRequest(format!("{name} has no value: delete it for the default")));
        };
        if config_operation == SET {
            configs.insert(name, value);
            continue;
        }
        if !matches!(kind, Kind::List(_)) {
            return Err(BrokerError::InvalidConfig(format!(
                "{name} is no list: nothing can be added to or taken from it"
            )));
        }
        let now = configs.get(&name).map_or(default, String::as_str);
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
        let own = Settings::from([("retention.ms".to_string(), "5".to_string())]);
        let changes = vec![
            change(DELETE, "retention.ms", None),
            change(SET, "segment.ms", Some("7")),
            change(APPEND, "cleanup.policy", Some("compact")),
        ];
        let after = apply(Resource::Topic, &own, changes).expect("good changes");
        assert_eq!(after.get("retention.ms"), None);
        assert_eq!(after["segment.ms"], "7");
        assert_eq!(after["cleanup.policy"], "delete,compact");
        let after = apply(Resource::Topic, &after, vec![change(SUBTRACT, "cleanup.policy", Some("delete"))])
            .expect("a good change");
        assert_eq!(after["cleanup.policy"], "compact");
    }

    #[test]
    fn certificates_are_named_as_they_are_to_be_read_again() {
        let settings = |path: &str| Settings::from([("ssl.keystore.location".to_string(), path.to_string())]);
        let config = BrokerConfig { settings: settings("/etc/broker.pem"), ..BrokerConfig::default() };
        let (mut same, mut other) = (settings("/etc/broker.pem"), settings("/etc/other.pem"));
        assert!(take_certificates(&config, &mut same) && same.is_empty());
        assert!(!take_certificates(&config, &mut other));
        assert!(kept(&Settings::new(), other, of_broker).is_err(), "the file is named at the start");
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
            assert!(apply(Resource::Topic, &Settings::new(), changes.clone()).is_err(), "{changes:?}");
        }
    }
}
