//! CreateTopics: each topic of a request is made or refused by itself.

use std::collections::BTreeMap;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfigs, CreatableTopicResult};
use millstream_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::{Access, Api, Context, Mutations, once, words};
use crate::BrokerError;
use crate::security::acl::{Operation, Resource};
use crate::topics::name;

/// THROTTLING_QUOTA_EXCEEDED is understood.
const STRICT_SINCE: i16 = 6;

pub(crate) struct CreateTopics;

impl Api for CreateTopics {
    type Request = CreateTopicsRequest;

    const ACCESS: Access<CreateTopicsRequest> = Access::Each;

    async fn handle(context: Context, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let mut mutations = Mutations::new(&context, STRICT_SINCE);
        let mut topics = Vec::new();
        for (topic, is_repeated) in once(request.topics, |topic| topic.name.clone()) {
            let name = topic.name.clone();
            let result = match is_repeated {
                true => {
                    Err(BrokerError::InvalidRequest(format!("topic {name:?} stands more than once in the request")))
                }
                false => create(&context, topic, request.validate_only, &mut mutations).await,
            };
            topics.push(result.unwrap_or_else(|error| CreatableTopicResult {
                name,
                error_code: error.code(),
                error_message: words(&error),
                configs: Some(Vec::new()),
                ..CreatableTopicResult::default()
            }));
        }
        CreateTopicsResponse { throttle_time_ms: mutations.throttle_time_ms, topics }
    }
}

async fn create(
    context: &Context,
    asked: CreatableTopic,
    validate_only: bool,
    mutations: &mut Mutations,
) -> Result<CreatableTopicResult, BrokerError> {
    if !context.could(Operation::Create, Resource::CLUSTER)
        && !context.may(Operation::Create, Resource::topic(&asked.name))
    {
        return Err(BrokerError::TopicDenied(asked.name));
    }
    name::check_from_client(&asked.name)?;
    let partitions = partitions(context, &asked)?;
    let mut configs = BTreeMap::new();
    for config in asked.configs {
        let Some(value) = config.value else {
            return Err(BrokerError::InvalidConfig(format!(
                "{} has no value: leave it out for the default",
                config.name
            )));
        };
        configs.insert(config.name, value);
    }
    let broker = &context.broker;
    let (count, configs) = broker.topics.check_new(&asked.name, partitions, &configs)?;
    mutations.count(count)?;
    let (count, id) = if validate_only {
        // An id that a topic might have, as Kafka gives one.
        (count, uuid::Uuid::new_v4())
    } else {
        let topic = broker.topics.create(&asked.name, partitions, configs.clone()).await?;
        (topic.partitions.len() as i32, topic.id)
    };
    let config = broker.topics.config_with(configs);
    if !context.could(Operation::DescribeConfigs, Resource::topic(&asked.name)) {
        // Made, but what it is like is not told.
        return Ok(CreatableTopicResult {
            name: asked.name,
            topic_id: id,
            topic_config_error_code: ErrorCode::TopicAuthorizationFailed.code(),
            ..CreatableTopicResult::default()
        });
    }
    let configs = config.sources().map(|(key, value, source)| CreatableTopicConfigs {
        name: key.name.to_string(),
        value: Some(value.to_string()),
        read_only: false,
        config_source: source.code(),
        is_sensitive: false,
    });
    Ok(CreatableTopicResult {
        name: asked.name,
        topic_id: id,
        error_code: ErrorCode::None,
        num_partitions: count,
        replication_factor: 1,
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    })
}

fn partitions(context: &Context, asked: &CreatableTopic) -> Result<i32, BrokerError> {
    if asked.assignments.is_empty() {
        return match asked.replication_factor {
            1 | -1 => Ok(asked.num_partitions),
            other => Err(BrokerError::InvalidReplicationFactor(other)),
        };
    }
    if asked.num_partitions != -1 || asked.replication_factor != -1 {
        let why = "an assignment of replicas leaves the numbers of partitions and replicas at -1".to_string();
        return Err(BrokerError::InvalidRequest(why));
    }
    let node_id = context.broker.config.node_id;
    let mut indexes: Vec<i32> = asked.assignments.iter().map(|one| one.partition_index).collect();
    indexes.sort_unstable();
    let is_sequence = indexes.iter().enumerate().all(|(expected, index)| *index == expected as i32);
    if !is_sequence || asked.assignments.iter().any(|one| one.broker_ids != [node_id]) {
        let why = format!("partitions are to be numbered from 0, each with the only replica [{node_id}]");
        return Err(BrokerError::InvalidReplicaAssignment(why));
    }
    Ok(asked.assignments.len() as i32)
}
