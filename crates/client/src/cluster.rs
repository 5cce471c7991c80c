//! A cluster as a client sees it: brokers, topics and their leaders, learned from Metadata and kept until a broker says otherwise.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use millstream_protocol::messages::{
    FindCoordinatorRequest, MetadataRequest, MetadataResponse, ProduceRequest, produce,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::error::accepted;
use crate::{ClientError, Connection, ConnectionOptions};

/// How long a topic may take to be there after it was asked for.
const AUTO_CREATION: Duration = Duration::from_secs(2);

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Connections.
    pub connection: ConnectionOptions,
    /// Whether a topic that is not there may be created by asking for it, if the broker does so.
    pub auto_create_topics: bool,
    /// How long a topic may take to have a leader.
    pub topic_timeout: Duration,
    /// Pause before a call is repeated.
    pub retry_backoff: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            connection: ConnectionOptions::default(),
            auto_create_topics: false,
            topic_timeout: Duration::from_secs(10),
            retry_backoff: Duration::from_millis(50),
        }
    }
}

/// A topic as Metadata tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Name.
    pub name: Arc<str>,
    /// Id; nil from brokers before Kafka 2.8.
    pub id: Uuid,
    /// Node id of each partition's leader, by partition; -1 = none.
    pub leaders: Vec<i32>,
}

impl Topic {
    fn from_answer(topic: &MetadataResponseTopic) -> Topic {
        let partitions = topic.partitions.len();
        let mut leaders = vec![-1; partitions];
        for partition in &topic.partitions {
            if let Some(leader) =
                usize::try_from(partition.partition_index).ok().and_then(|index| leaders.get_mut(index))
            {
                *leader = partition.leader_id;
            }
        }
        Topic { name: topic.name.as_deref().unwrap_or_default().into(), id: topic.topic_id, leaders }
    }

    /// Number of partitions.
    pub fn partitions(&self) -> i32 {
        self.leaders.len() as i32
    }
}

/// A client of one cluster. Clones share connections and what is known.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    bootstrap: Vec<String>,
    options: ClientOptions,
    pool: Pool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    brokers: HashMap<i32, String>,
    controller: i32,
    cluster_id: Option<String>,
    topics: HashMap<Arc<str>, Arc<Topic>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bootstrap", &self.shared.bootstrap).finish_non_exhaustive()
    }
}

/// Connections by address. Those who wait long (consumers) or write much (producers) have a pool of their own, since a broker answers the
/// requests of one connection in order.
#[derive(Debug)]
pub(crate) struct Pool {
    options: ConnectionOptions,
    connections: tokio::sync::Mutex<HashMap<String, Connection>>,
}

impl Pool {
    pub(crate) fn new(options: ConnectionOptions) -> Pool {
        Pool { options, connections: Default::default() }
    }

    pub(crate) async fn get(&self, address: &str) -> Result<Connection, ClientError> {
        let mut connections = self.connections.lock().await;
        if let Some(connection) = connections.get(address).filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = Connection::open(address, self.options.clone()).await?;
        connections.insert(address.to_owned(), connection.clone());
        Ok(connection)
    }
}

impl Client {
    /// A client of the cluster behind `bootstrap`: `host:port`, several with commas between them. At least one must answer.
    pub async fn connect(bootstrap: &str, options: ClientOptions) -> Result<Client, ClientError> {
        let pool = Pool::new(options.connection.clone());
        let bootstrap = bootstrap.split(',').map(|address| address.trim().to_owned()).collect();
        let client = Client { shared: Arc::new(Shared { bootstrap, options, pool, known: Default::default() }) };
        client.ask(Some(vec![]), false).await?;
        Ok(client)
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    pub(crate) fn new_pool(&self) -> Pool {
        Pool::new(self.shared.options.connection.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> Option<String> {
        self.known().cluster_id.clone()
    }

    /// Node ids and addresses of the brokers, by id.
    pub fn brokers(&self) -> Vec<(i32, String)> {
        let mut brokers: Vec<_> = self.known().brokers.iter().map(|(id, address)| (*id, address.clone())).collect();
        brokers.sort();
        brokers
    }

    /// A connection to any broker that answers.
    pub async fn any(&self) -> Result<Connection, ClientError> {
        let known: Vec<String> = self.known().brokers.values().cloned().collect();
        let mut last = ClientError::Closed;
        for address in known.iter().chain(&self.shared.bootstrap) {
            match self.shared.pool.get(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The address of a broker.
    pub(crate) fn address_of(&self, node_id: i32) -> Result<String, ClientError> {
        self.known().brokers.get(&node_id).cloned().ok_or_else(|| ClientError::Broker {
            what: format!("broker {node_id}"),
            code: ErrorCode::LeaderNotAvailable,
            message: None,
        })
    }

    /// A connection to a broker.
    pub async fn broker(&self, node_id: i32) -> Result<Connection, ClientError> {
        self.shared.pool.get(&self.address_of(node_id)?).await
    }

    /// A connection to the controller, or to any broker if none is told.
    pub async fn controller(&self) -> Result<Connection, ClientError> {
        let controller = self.known().controller;
        match self.broker(controller).await {
            Ok(connection) => Ok(connection),
            Err(_) => self.any().await,
        }
    }

    /// A connection to the coordinator of a group.
    pub async fn coordinator(&self, group: &str) -> Result<Connection, ClientError> {
        let address = self.retry(ClientError::is_retriable, || self.find_coordinator(group)).await?;
        self.shared.pool.get(&address).await
    }

    /// Asks the coordinator of a group, again if it is elsewhere or not ready yet.
    pub(crate) async fn ask_coordinator<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        group: &str,
        ask: impl Fn(Connection) -> F,
    ) -> Result<T, ClientError> {
        self.retry(ClientError::is_retriable, || async { ask(self.coordinator(group).await?).await }).await
    }

    async fn find_coordinator(&self, group: &str) -> Result<String, ClientError> {
        let request =
            FindCoordinatorRequest { key: group.to_owned(), key_type: 0, coordinator_keys: vec![group.to_owned()] };
        let answer = self.any().await?.call(&request).await?;
        let what = || format!("coordinator of group {group}");
        match answer.coordinators.first() {
            Some(found) => {
                accepted(found.error_code, found.error_message.as_deref(), what)?;
                Ok(format!("{}:{}", found.host, found.port))
            }
            None => {
                accepted(answer.error_code, answer.error_message.as_deref(), what)?;
                Ok(format!("{}:{}", answer.host, answer.port))
            }
        }
    }

    /// Asks for metadata (`None` = of all topics) and keeps what comes.
    async fn ask(&self, topics: Option<Vec<&str>>, auto_create: bool) -> Result<MetadataResponse, ClientError> {
        let named = |name: &str| MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
        let connection = self.any().await?;
        let mut request = MetadataRequest {
            topics: topics.map(|topics| topics.into_iter().map(named).collect()),
            allow_auto_topic_creation: auto_create,
            ..Default::default()
        };
        let version = connection.version::<MetadataRequest>()?;
        if version == 0 && request.topics.is_none() {
            // Version 0 has no null: empty means all.
            request.topics = Some(vec![]);
        }
        let answer = connection.call_at(&request, version).await?;
        accepted(answer.error_code, None, || "Metadata".to_owned())?;
        let mut known = self.known();
        known.brokers =
            answer.brokers.iter().map(|broker| (broker.node_id, format!("{}:{}", broker.host, broker.port))).collect();
        known.controller = answer.controller_id;
        known.cluster_id.clone_from(&answer.cluster_id);
        for topic in answer.topics.iter().filter(|topic| topic.error_code.is_ok()) {
            let topic = Topic::from_answer(topic);
            known.topics.insert(topic.name.clone(), Arc::new(topic));
        }
        drop(known);
        Ok(answer)
    }

    /// Metadata as the broker tells it now; `None` = of all topics.
    pub async fn metadata(&self, topics: Option<Vec<&str>>) -> Result<MetadataResponse, ClientError> {
        self.ask(topics, false).await
    }

    /// A topic, as far as it is known. Waits until every partition has a leader, at most `topic_timeout`.
    pub async fn topic(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        if let Some(topic) = self.known().topics.get(name) {
            return Ok(topic.clone());
        }
        self.refresh_topic(name).await
    }

    /// As [`Client::topic`], but asks the broker anew.
    pub async fn refresh_topic(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        let options = &self.shared.options;
        let deadline = Instant::now() + options.topic_timeout;
        loop {
            match self.refresh_topic_once(name).await {
                // Without automatic creation a missing topic is missing.
                Err(error)
                    if error.code() == Some(ErrorCode::UnknownTopicOrPartition) && !options.auto_create_topics =>
                {
                    return Err(error);
                }
                Err(error) if error.is_retriable() && Instant::now() < deadline => sleep(options.retry_backoff).await,
                other => return other,
            }
        }
    }

    /// As [`Client::refresh_topic`], once; the topic as it is known if every partition has a leader.
    pub(crate) async fn refresh_topic_once(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        self.forget_topic(name);
        let answer = self.ask(Some(vec![name]), self.shared.options.auto_create_topics).await?;
        let what = || format!("topic {name}");
        let topic = answer.topics.first();
        accepted(topic.map_or(ErrorCode::UnknownTopicOrPartition, |topic| topic.error_code), None, what)?;
        let topic = self.known().topics.get(name).cloned();
        topic.filter(|topic| !topic.leaders.contains(&-1)).ok_or_else(|| ClientError::Broker {
            what: what(),
            code: ErrorCode::LeaderNotAvailable,
            message: None,
        })
    }

    /// Asks for a topic in the way that lets the broker make it (`auto.create.topics.enable`). A broker that does not is
    /// believed after a short while, since Kafka's own says at first that there is none.
    pub async fn auto_create_topic(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        let deadline = Instant::now() + AUTO_CREATION;
        self.ask(Some(vec![name]), true).await?;
        loop {
            match self.refresh_topic(name).await {
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) && Instant::now() < deadline => {
                    sleep(self.shared.options.retry_backoff).await;
                }
                other => return other,
            }
        }
    }

    /// Forgets what is known of a topic, so that the next use asks anew.
    pub fn forget_topic(&self, name: &str) {
        self.known().topics.remove(name);
    }

    /// The node id of a partition's leader, if it is known already.
    pub(crate) fn known_leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let known = self.known();
        let leader = *known.topics.get(topic)?.leaders.get(usize::try_from(partition).ok()?)?;
        (leader >= 0 && known.brokers.contains_key(&leader)).then_some(leader)
    }

    /// The node id of a partition's leader.
    pub(crate) async fn leader_of(&self, topic: &str, partition: i32) -> Result<(i32, Arc<Topic>), ClientError> {
        let topic = self.topic(topic).await?;
        match usize::try_from(partition).ok().and_then(|index| topic.leaders.get(index)) {
            Some(leader) => Ok((*leader, topic)),
            None => Err(ClientError::Broker {
                what: format!("{}-{partition}", topic.name),
                code: ErrorCode::UnknownTopicOrPartition,
                message: Some(format!("the topic has {} partitions", topic.leaders.len())),
            }),
        }
    }

    /// A connection to the leader of a partition.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<Connection, ClientError> {
        let (leader, _) = self.leader_of(topic, partition).await?;
        self.broker(leader).await
    }

    /// Repeats a call until it succeeds, fails for good, or `topic_timeout` is over. `again` says which failures are worth it.
    pub(crate) async fn retry<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        again: impl Fn(&ClientError) -> bool,
        call: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.shared.options.topic_timeout;
        loop {
            match call().await {
                Err(error) if again(&error) && Instant::now() < deadline => {
                    sleep(self.shared.options.retry_backoff).await;
                }
                other => return other,
            }
        }
    }

    /// Sends one record batch and gives the offset of its first record: the shortest way, without batching. It is sent again only where the
    /// broker certainly did not take it.
    pub async fn produce(
        &self,
        topic: &str,
        partition: i32,
        batch: bytes::Bytes,
        acks: i16,
    ) -> Result<i64, ClientError> {
        let not_taken = |error: &ClientError| {
            let elsewhere = matches!(
                error.code(),
                Some(
                    ErrorCode::UnknownTopicOrPartition
                        | ErrorCode::UnknownTopicId
                        | ErrorCode::NotLeaderOrFollower
                        | ErrorCode::LeaderNotAvailable
                )
            );
            // Without the topic there is nothing to wait for: only what was known may have moved.
            elsewhere && self.known_leader(topic, partition).is_some() && {
                self.forget_topic(topic);
                true
            }
        };
        self.retry(not_taken, || self.produce_once(topic, partition, batch.clone(), acks)).await
    }

    async fn produce_once(
        &self,
        topic: &str,
        partition: i32,
        batch: bytes::Bytes,
        acks: i16,
    ) -> Result<i64, ClientError> {
        let (leader, topic) = self.leader_of(topic, partition).await?;
        let connection = self.broker(leader).await?;
        let version = produce_version(&connection, topic.id)?;
        let request = ProduceRequest {
            acks,
            timeout_ms: 30_000,
            topic_data: vec![produce::TopicProduceData {
                name: topic.name.to_string(),
                topic_id: topic.id,
                partition_data: vec![produce::PartitionProduceData { index: partition, records: Some(batch) }],
            }],
            ..Default::default()
        };
        if acks == 0 {
            connection.send_unanswered(&request, version).await?;
            return Ok(-1);
        }
        let answer = connection.call_waiting(&request, version, Duration::from_secs(30)).await?;
        let part = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let what = || format!("produce to {}-{partition}", topic.name);
        let part = part.ok_or_else(|| ClientError::Broker {
            what: what(),
            code: ErrorCode::UnknownServerError,
            message: Some("the answer names no partition".to_owned()),
        })?;
        accepted(part.error_code, part.error_message.as_deref(), what)?;
        Ok(part.base_offset)
    }
}

/// The version to produce with: from 13 on topics go by id, which must be known.
pub(crate) fn produce_version(connection: &Connection, topic_id: Uuid) -> Result<i16, ClientError> {
    connection.version_up_to::<ProduceRequest>(if topic_id.is_nil() { 12 } else { i16::MAX })
}
