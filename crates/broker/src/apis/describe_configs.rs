//! DescribeConfigs: what holds for a topic, a group or the broker, where it comes from, and what it means.

use std::sync::Arc;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use millstream_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use uuid::Uuid;

use super::{Access, Api, Context};
use crate::BrokerError;
use crate::configs::{Kind, broker, group, topic::Source};
use crate::security::acl::{Operation, Resource};
use crate::topics::{Topic, name};

/// Kinds of things that have configurations.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const GROUP: i8 = 32;

pub(crate) struct DescribeConfigs;

impl Api for DescribeConfigs {
    type Request = DescribeConfigsRequest;

    const ACCESS: Access<DescribeConfigsRequest> = Access::Each;

    async fn handle(context: Context, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let results = request.resources.into_iter().map(|resource| {
            let described = match resource.resource_type {
                TOPIC => topic(&context, &resource.resource_name),
                BROKER if !context.may(Operation::DescribeConfigs, Resource::CLUSTER) => {
                    Err((ErrorCode::ClusterAuthorizationFailed, BrokerError::ClusterDenied.to_string()))
                }
                BROKER => this_broker(&context, &resource.resource_name),
                GROUP if resource.resource_name.is_empty() => {
                    Err((ErrorCode::InvalidRequest, "a group has a name".to_string()))
                }
                GROUP if !context.may(Operation::DescribeConfigs, Resource::group(&resource.resource_name)) => {
                    let denied = BrokerError::GroupDenied(resource.resource_name.clone());
                    Err((denied.code(), denied.to_string()))
                }
                GROUP => Ok(group(&context, &resource.resource_name)),
                other => {
                    Err((ErrorCode::InvalidRequest, format!("resources of kind {other} have no configuration here")))
                }
            };
            match described {
                Ok(configs) => result(resource, configs, request.include_synonyms, request.include_documentation),
                Err((error_code, words)) => DescribeConfigsResult {
                    error_code,
                    error_message: Some(words),
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name,
                    configs: Vec::new(),
                },
            }
        });
        DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }
    }
}

fn result(
    asked: DescribeConfigsResource,
    mut configs: Vec<DescribeConfigsResourceResult>,
    synonyms: bool,
    documentation: bool,
) -> DescribeConfigsResult {
    // To ask for none is to ask for all.
    if let Some(names) = asked.configuration_keys.as_ref().filter(|names| !names.is_empty()) {
        configs.retain(|config| names.contains(&config.name));
    }
    for config in &mut configs {
        if !synonyms {
            config.synonyms.clear();
        }
        if !documentation {
            config.documentation = None;
        }
    }
    DescribeConfigsResult {
        error_code: ErrorCode::None,
        error_message: None,
        resource_type: asked.resource_type,
        resource_name: asked.resource_name,
        configs,
    }
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

/// The topic whose configuration is asked for or changed. A name that cannot be is told apart from one that is not there.
pub(super) fn configured_topic(context: &Context, operation: Operation, name: &str) -> Result<Arc<Topic>, BrokerError> {
    context.topic(operation, name, Uuid::nil(), false).map_err(|code| match (code, name::check_from_client(name)) {
        (ErrorCode::UnknownTopicOrPartition, Err(illegal)) => illegal,
        _ => BrokerError::no_topic(code, name),
    })
}

fn topic(context: &Context, name: &str) -> Described {
    let found = configured_topic(context, Operation::DescribeConfigs, name);
    let topic = found.map_err(|error| (error.code(), error.to_string()))?;
    let all = topic.config.sources().map(|(key, value, source)| {
        let layers = topic.config.layers(key).into_iter();
        let layers = layers.map(|layer| (layer.name, layer.value.to_string(), layer.source)).collect();
        // The value in the topic's unit: a layer's may be in another.
        describe(key.name, (Some(value.to_string()), source), layers, (key.kind, key.doc, false))
    });
    Ok(all.collect())
}

fn this_broker(context: &Context, name: &str) -> Described {
    let dynamic = context.broker.topics.dynamic();
    // The empty name is all brokers: only what was changed for them while they ran.
    if name.is_empty() {
        let all = dynamic.settings(true).iter().filter_map(|(name, value)| {
            let source = Source::DynamicDefault;
            broker::find(name).map(|found| of_broker(&found, vec![(value.clone(), source)]))
        });
        return Ok(all.collect());
    }
    let node_id = context.broker.config.node_id;
    if name != node_id.to_string() {
        let why = format!("the only broker is {node_id}");
        return Err((ErrorCode::InvalidRequest, why));
    }
    let (host, port) = context.address();
    let all = broker::all().into_iter().map(|found| {
        let mut layers = dynamic.layers(&found);
        // What nobody set is told as it is, not as it would be by default.
        let is_set = layers.iter().any(|(_, source)| *source != Source::Default);
        match found.name {
            "log.dir" | "log.dirs" => layers = vec![(context.broker.log.dir().display().to_string(), Source::Broker)],
            "listeners" | "advertised.listeners" if !is_set => {
                let (name, protocol) = (&context.listener.name, Source::Broker);
                layers = vec![(format!("{name}://{host}:{port}"), protocol)];
            }
            _ => {}
        }
        of_broker(&found, layers)
    });
    Ok(all.collect())
}

/// Also of a group that is not there: its configuration may come before it.
fn group(context: &Context, name: &str) -> Vec<DescribeConfigsResourceResult> {
    let (own, dynamic) = (context.broker.groups.configs().settings(name), context.broker.topics.dynamic());
    let each = group::KEYS.iter().map(|key| {
        let own = own.get(key.name).map(|value| (key.name, value.clone(), Source::Group));
        let found = broker::find(key.broker_name).expect("every key of groups has one of the broker behind it");
        let behind = dynamic.layers(&found).into_iter().map(|(value, source)| (key.broker_name, value, source));
        let layers: Vec<Layer<'_>> = own.into_iter().chain(behind).collect();
        describe(key.name, first(&layers), layers, (key.kind, key.doc, false))
    });
    each.collect()
}

fn of_broker(found: &broker::Found, layers: Vec<(String, Source)>) -> DescribeConfigsResourceResult {
    let layers: Vec<Layer<'_>> = layers.into_iter().map(|(value, source)| (found.name, value, source)).collect();
    describe(found.name, first(&layers), layers, (found.kind, found.doc, !found.is_dynamic()))
}

/// A value that there is for a configuration: the name that has it, the value, where it comes from. The first one holds.
type Layer<'a> = (&'a str, String, Source);

fn first(layers: &[Layer<'_>]) -> (Option<String>, Source) {
    layers.first().map_or((None, Source::Default), |(_, value, source)| (Some(value.clone()), *source))
}

fn describe(
    name: &str,
    (value, source): (Option<String>, Source),
    layers: Vec<Layer<'_>>,
    (kind, doc, read_only): (Kind, &str, bool),
) -> DescribeConfigsResourceResult {
    let synonyms = layers.into_iter().map(|(name, value, source)| DescribeConfigsSynonym {
        name: name.to_string(),
        value: Some(value),
        source: source.code(),
    });
    DescribeConfigsResourceResult {
        name: name.to_string(),
        value,
        read_only,
        config_source: source.code(),
        is_sensitive: false,
        synonyms: synonyms.collect(),
        config_type: kind.code(),
        documentation: Some(doc.to_string()),
    }
}
