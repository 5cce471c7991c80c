//! DescribeConfigs: what holds for a topic or the broker, where it comes from, and what it means.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use millstream_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use uuid::Uuid;

use super::{Api, Context};
use crate::configs::{broker, topic::Source};

/// Kinds of things that have configurations.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

const STATIC_BROKER: i8 = 4;
const DEFAULT: i8 = 5;

pub(crate) struct DescribeConfigs;

impl Api for DescribeConfigs {
    type Request = DescribeConfigsRequest;

    async fn handle(context: Context, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let results = request.resources.into_iter().map(|resource| {
            let described = match resource.resource_type {
                TOPIC => topic(&context, &resource.resource_name),
                BROKER => this_broker(&context, &resource.resource_name),
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
    if let Some(names) = &asked.configuration_keys {
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

fn topic(context: &Context, name: &str) -> Described {
    let found = context.topic(name, Uuid::nil(), false);
    let topic = found.map_err(|code| (code, "this topic does not exist".to_string()))?;
    let all = topic.config.sources().map(|(key, value, source)| DescribeConfigsResourceResult {
        name: key.name.to_string(),
        value: Some(value.to_string()),
        read_only: false,
        config_source: source.code(),
        is_sensitive: false,
        synonyms: topic
            .config
            .layers(key)
            .into_iter()
            .filter(|(_, source)| *source == Source::Topic || !key.broker_name.is_empty())
            .map(|(value, source)| DescribeConfigsSynonym {
                name: if source == Source::Topic { key.name } else { key.broker_name }.to_string(),
                value: Some(value.to_string()),
                source: source.code(),
            })
            .collect(),
        config_type: key.kind.code(),
        documentation: Some(key.doc.to_string()),
    });
    Ok(all.collect())
}

fn this_broker(context: &Context, name: &str) -> Described {
    let config = &context.broker.config;
    // The empty name is the default of all brokers, which holds nothing here.
    if name.is_empty() {
        return Ok(Vec::new());
    }
    if name != config.node_id.to_string() {
        let why = format!("the only broker is {}", config.node_id);
        return Err((ErrorCode::InvalidRequest, why));
    }
    let (host, port) = context.address();
    let dir = context.broker.log.dir().display().to_string();
    let all = broker::entries(config, (&host, port), &dir).into_iter().map(|entry| {
        let source = if entry.is_default { DEFAULT } else { STATIC_BROKER };
        DescribeConfigsResourceResult {
            name: entry.name.to_string(),
            value: Some(entry.value.clone()),
            read_only: true,
            config_source: source,
            is_sensitive: false,
            synonyms: vec![DescribeConfigsSynonym { name: entry.name.to_string(), value: Some(entry.value), source }],
            config_type: entry.kind.code(),
            documentation: Some(entry.doc.to_string()),
        }
    });
    Ok(all.collect())
}
