//! Metadata: the one broker, the topics, and their partitions. A topic that is not there is made, if the client and the configuration allow it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_protocol::messages::{MetadataRequest, MetadataResponse};

use super::{Access, Api, Context, LEADER_EPOCH, once, operations};
use crate::security::acl::{Operation, Resource};
use crate::topics::{Topic, name};

/// From here on no list asks for all topics; before, an empty one did.
const NULL_IS_ALL_SINCE: i16 = 1;

pub(crate) struct Metadata;

impl Api for Metadata {
    type Request = MetadataRequest;

    const ACCESS: Access<MetadataRequest> = Access::Each;

    async fn handle(context: Context, request: MetadataRequest) -> MetadataResponse {
        let asked = request.topics.filter(|topics| !topics.is_empty() || context.version >= NULL_IS_ALL_SINCE);
        let mut topics = Vec::new();
        match asked {
            None => {
                let all = context.broker.topics.all();
                let visible = all.iter().filter(|topic| {
                    !topic.is_internal() && context.could(Operation::Describe, Resource::topic(&topic.name))
                });
                topics.extend(visible.map(|topic| describe(&context, topic)));
            }
            Some(asked) => {
                for (one, _) in once(asked, |one| (one.name.clone(), one.topic_id)) {
                    topics.push(find_or_make(&context, one, request.allow_auto_topic_creation).await);
                }
            }
        }
        for topic in &mut topics {
            let asked = request.include_topic_authorized_operations && topic.error_code.is_ok();
            let name = topic.name.as_deref().unwrap_or_default();
            topic.topic_authorized_operations = operations::of(&context, Resource::topic(name), asked);
        }
        let (host, port) = context.address();
        let (node_id, rack) = (context.broker.config.node_id, context.broker.config.rack());
        MetadataResponse {
            brokers: vec![MetadataResponseBroker { node_id, host, port: i32::from(port), rack }],
            cluster_id: Some(context.broker.log.cluster_id().to_string()),
            controller_id: node_id,
            topics,
            cluster_authorized_operations: operations::of_cluster(
                &context,
                request.include_cluster_authorized_operations,
            ),
            ..MetadataResponse::default()
        }
    }
}

async fn find_or_make(context: &Context, asked: MetadataRequestTopic, allowed: bool) -> MetadataResponseTopic {
    let Some(name) = asked.name else {
        return match context.topic(Operation::Describe, "", asked.topic_id, true) {
            Ok(topic) => describe(context, &topic),
            Err(error_code) => {
                MetadataResponseTopic { error_code, topic_id: asked.topic_id, ..MetadataResponseTopic::default() }
            }
        };
    };
    let failed =
        |error_code, name| MetadataResponseTopic { error_code, name: Some(name), ..MetadataResponseTopic::default() };
    match context.topic(Operation::Describe, &name, asked.topic_id, false) {
        Ok(topic) => describe(context, &topic),
        Err(code @ ErrorCode::TopicAuthorizationFailed) => failed(code, name),
        Err(_) if name::is_internal(&name) => failed(ErrorCode::UnknownTopicOrPartition, name),
        Err(code) => {
            if let Err(error) = name::check(&name) {
                return failed(error.code(), name);
            }
            if !allowed || !context.broker.config.auto_create_topics {
                return failed(code, name);
            }
            if !context.could(Operation::Create, Resource::CLUSTER)
                && !context.may(Operation::Create, Resource::topic(&name))
            {
                return failed(ErrorCode::TopicAuthorizationFailed, name);
            }
            match context.broker.topics.ensure(&name, -1, BTreeMap::new()).await {
                Ok(topic) => describe(context, &topic),
                Err(error) => {
                    tracing::warn!(topic = %name, %error, "the topic could not be made");
                    failed(error.code(), name)
                }
            }
        }
    }
}

fn describe(context: &Context, topic: &Arc<Topic>) -> MetadataResponseTopic {
    let node_id = context.broker.config.node_id;
    let partitions = (0..topic.partitions.len() as i32).map(|partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: node_id,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        ..MetadataResponsePartition::default()
    });
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: false,
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}
