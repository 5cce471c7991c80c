//! What is asked of a cluster besides records: topics and settings.

use std::time::Duration;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, create_partitions, create_topics, delete_records, delete_topics, describe_configs,
    incremental_alter_configs,
};
use uuid::Uuid;

use crate::error::accepted;
use crate::{Client, ClientError, Connection};

const TIMEOUT_MS: i32 = 30_000;

/// What settings belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// A topic, by its name.
    Topic,
    /// A broker, by its node id; the empty name is what holds for all brokers.
    Broker,
    /// A consumer group, by its name; it need not be there yet.
    Group,
}

impl ResourceKind {
    /// Kafka's number of the type.
    pub fn code(self) -> i8 {
        match self {
            ResourceKind::Topic => 2,
            ResourceKind::Broker => 4,
            ResourceKind::Group => 32,
        }
    }
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Number of partitions; -1 = the broker's default.
    pub partitions: i32,
    /// Copies of each partition; -1 = the broker's default.
    pub replication_factor: i16,
    /// Settings, by Kafka's names.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with this many partitions and the broker's defaults otherwise.
    pub fn new(name: impl Into<String>, partitions: i32) -> NewTopic {
        NewTopic { name: name.into(), partitions, replication_factor: -1, configs: vec![] }
    }

    /// Adds a setting.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> NewTopic {
        self.configs.push((name.into(), value.into()));
        self
    }
}

impl Client {
    /// Creates topics and waits until they have leaders. The first refusal is the error.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), ClientError> {
        let config = |(name, value): &(String, String)| create_topics::CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
        };
        let request = CreateTopicsRequest {
            topics: topics
                .iter()
                .map(|topic| create_topics::CreatableTopic {
                    name: topic.name.clone(),
                    num_partitions: topic.partitions,
                    replication_factor: topic.replication_factor,
                    assignments: vec![],
                    configs: topic.configs.iter().map(config).collect(),
                })
                .collect(),
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        let answer = self.controller().await?.call(&request).await?;
        answer.topics.iter().try_for_each(|topic| {
            accepted(topic.error_code, topic.error_message.as_deref(), || format!("create topic {}", topic.name))
        })?;
        for topic in topics {
            // A cluster of several brokers needs a moment until all know of it.
            self.retry(ClientError::is_retriable, || self.refresh_topic(&topic.name)).await?;
        }
        Ok(())
    }

    /// Creates a topic unless it is there.
    pub async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), ClientError> {
        match self.create_topics(std::slice::from_ref(topic)).await {
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => Ok(()),
            other => other,
        }
    }

    /// Deletes topics. The first refusal is the error.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<(), ClientError> {
        let state =
            |name: &&str| delete_topics::DeleteTopicState { name: Some((*name).to_owned()), topic_id: Uuid::nil() };
        let request = DeleteTopicsRequest {
            topics: topics.iter().map(state).collect(),
            topic_names: topics.iter().map(|name| (*name).to_owned()).collect(),
            timeout_ms: TIMEOUT_MS,
        };
        topics.iter().for_each(|topic| self.forget_topic(topic));
        let answer = self.controller().await?.call(&request).await?;
        answer.responses.iter().try_for_each(|topic| {
            let what = || format!("delete topic {}", topic.name.as_deref().unwrap_or_default());
            accepted(topic.error_code, topic.error_message.as_deref(), what)
        })
    }

    /// Gives a topic more partitions, `count` in all.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<(), ClientError> {
        let wanted = create_partitions::CreatePartitionsTopic { name: topic.to_owned(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![wanted], timeout_ms: TIMEOUT_MS, validate_only: false };
        let answer = self.controller().await?.call(&request).await?;
        self.forget_topic(topic);
        answer.results.iter().try_for_each(|result| {
            accepted(result.error_code, result.error_message.as_deref(), || format!("partitions of {topic}"))
        })
    }

    /// Forgets a partition's records before `before` (-1 = all); gives the first offset that is left.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<i64, ClientError> {
        let part = delete_records::DeleteRecordsPartition { partition_index: partition, offset: before };
        let request = DeleteRecordsRequest {
            topics: vec![delete_records::DeleteRecordsTopic { name: topic.to_owned(), partitions: vec![part] }],
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.leader(topic, partition).await?.call(&request).await?;
        let part = answer.topics.first().and_then(|topic| topic.partitions.first());
        let what = || format!("delete records of {topic}-{partition}");
        let part = part.ok_or_else(|| empty(what()))?;
        accepted(part.error_code, None, what)?;
        Ok(part.low_watermark)
    }

    /// Settings of a topic.
    pub async fn describe_topic_configs(
        &self,
        topic: &str,
    ) -> Result<Vec<describe_configs::DescribeConfigsResourceResult>, ClientError> {
        self.describe_configs(ResourceKind::Topic, topic).await
    }

    /// Settings of a resource, with what they mean.
    pub async fn describe_configs(
        &self,
        kind: ResourceKind,
        name: &str,
    ) -> Result<Vec<describe_configs::DescribeConfigsResourceResult>, ClientError> {
        let resource = describe_configs::DescribeConfigsResource {
            resource_type: kind.code(),
            resource_name: name.to_owned(),
            configuration_keys: None,
        };
        let request =
            DescribeConfigsRequest { resources: vec![resource], include_documentation: true, ..Default::default() };
        let answer = self.configured(kind, name).await?.call(&request).await?;
        let what = || format!("settings of {name}");
        let result = answer.results.into_iter().next().ok_or_else(|| empty(what()))?;
        accepted(result.error_code, result.error_message.as_deref(), what)?;
        Ok(result.configs)
    }

    /// Changes settings of a topic; `None` takes a setting back to its default.
    pub async fn alter_topic_configs(&self, topic: &str, changes: &[(&str, Option<&str>)]) -> Result<(), ClientError> {
        self.alter_configs(ResourceKind::Topic, topic, changes).await
    }

    /// Changes settings of a resource; `None` takes a setting back to its default.
    pub async fn alter_configs(
        &self,
        kind: ResourceKind,
        name: &str,
        changes: &[(&str, Option<&str>)],
    ) -> Result<(), ClientError> {
        let change = |(name, value): &(&str, Option<&str>)| incremental_alter_configs::AlterableConfig {
            name: (*name).to_owned(),
            config_operation: i8::from(value.is_none()),
            value: value.map(str::to_owned),
        };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type: kind.code(),
            resource_name: name.to_owned(),
            configs: changes.iter().map(change).collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let answer = self.configured(kind, name).await?.call(&request).await?;
        answer.responses.iter().try_for_each(|result| {
            accepted(result.error_code, result.error_message.as_deref(), || format!("settings of {name}"))
        })
    }

    /// Who is asked about settings: a broker itself about its own, otherwise the controller.
    async fn configured(&self, kind: ResourceKind, name: &str) -> Result<Connection, ClientError> {
        match name.parse() {
            Ok(node_id) if kind == ResourceKind::Broker => self.broker(node_id).await,
            _ => self.controller().await,
        }
    }

    /// Waits until the cluster answers, at most `limit`: after a start, for instance.
    pub async fn connect_within(
        bootstrap: &str,
        options: crate::ClientOptions,
        limit: Duration,
    ) -> Result<Client, ClientError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            match Client::connect(bootstrap, options.clone()).await {
                Err(error) if error.is_retriable() && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                other => return other,
            }
        }
    }
}

pub(crate) fn empty(what: String) -> ClientError {
    ClientError::Broker { what, code: ErrorCode::UnknownServerError, message: Some("the answer is empty".to_owned()) }
}
