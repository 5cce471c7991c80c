//! Topics of any Kafka cluster as a source, through librdkafka, with the results of [`super::embedded`].
//!
//! One thread polls: it owns the partitions' queues and answers two requests, "read this range" and "tell me when there is more". What
//! only asks (metadata, watermarks) goes to librdkafka from the runtime's blocking threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::thread::{self, Thread};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use millstream_engine::{Position, RecordId, Source, SourceBatch, SourceError};
use millstream_sql::is_internal_topic;
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::client_config::client_config;
use super::cluster_poll::{Request, poll_forever};
use super::handed_over::handed_over;
use super::link::Link;
use super::offsets::{Begin, begin, ends, limit, no_record, origin, parse_partition_name, partition_name};
use super::options::{KafkaOptions, Topics};
use crate::decode::{Columns, Decoder};
use crate::embedded::PartitionOffsets;

/// Batches decoded ahead of the engine.
const PREFETCH_BATCHES: usize = 8;
/// How often a source looks for topics and partitions that are new.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(5);

/// Partitions, and when they were asked for.
type Known = (Instant, Vec<(String, i32)>);

/// A [`Source`] over topics of a cluster.
pub struct ClusterSource {
    consumer: Arc<BaseConsumer<Link>>,
    requests: sync_mpsc::Sender<Request>,
    poller: Thread,
    schema: SchemaRef,
    options: KafkaOptions,
    known: Mutex<Option<Known>>,
    /// Since when a topic that was named is not there.
    missing_since: Mutex<Option<Instant>>,
}

impl ClusterSource {
    /// A source over the cluster at `bootstrap` with the columns of `schema`. Connects when it is first used. While no broker is there it
    /// is waited for, for ever or as long as `patience`.
    pub fn new(
        bootstrap: &str,
        schema: SchemaRef,
        options: KafkaOptions,
        patience: Option<Duration>,
    ) -> Result<Self, SourceError> {
        let fatal = |e: String| SourceError::Fatal(e);
        Columns::new(&schema, None).map_err(|e| fatal(e.to_string()))?;
        let given = options.client.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut config = client_config(bootstrap, given).map_err(fatal)?;
        let defaults = [
            // As Spark's consumer: all records, those of open transactions too, unless the pipeline says otherwise.
            ("isolation.level", "read_uncommitted"),
            ("fetch.wait.max.ms", "100"),
            ("queued.max.messages.kbytes", "16384"),
            ("check.crcs", "true"),
        ];
        for (name, value) in defaults {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        config
            .set("group.id", format!("millstream-{}", uuid::Uuid::new_v4()))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true");
        let made = config.create_with_context(Link::new(bootstrap, patience));
        let consumer: BaseConsumer<Link> =
            made.map_err(|e| fatal(format!("the client for {bootstrap} cannot be made: {e}")))?;
        let consumer = Arc::new(consumer);
        let (requests, receiver) = sync_mpsc::channel();
        let polled = Arc::clone(&consumer);
        let thread = thread::Builder::new().name("kafka-source".into()).spawn(move || poll_forever(&polled, &receiver));
        let poller = thread.map_err(|e| fatal(format!("no thread for the kafka source: {e}")))?.thread().clone();
        Ok(Self {
            consumer,
            requests,
            poller,
            schema,
            options,
            known: Mutex::default(),
            missing_since: Mutex::default(),
        })
    }

    /// Asks the cluster, which may take as long as `ask` is told.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&BaseConsumer<Link>, Duration) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let consumer = Arc::clone(&self.consumer);
        let link = Arc::clone(self.consumer.context());
        let timeout = link.timeout();
        let asked = tokio::task::spawn_blocking(move || ask(&consumer, timeout));
        let asked = tokio::select! {
            asked = asked => asked.map_err(|e| SourceError::Fatal(e.to_string()))?,
            // librdkafka would go on for all of the time.
            () = link.lost() => return Err(SourceError::Unavailable(link.nobody())),
        };
        if asked.is_ok() {
            link.reached();
        }
        asked.map_err(|error| source_error(&link, error))
    }

    /// Partitions to read, asked for anew from time to time.
    async fn partitions(&self) -> Result<Vec<(String, i32)>, SourceError> {
        if let Some((at, known)) = &*self.known.lock()
            && at.elapsed() < DISCOVERY_INTERVAL
        {
            return Ok(known.clone());
        }
        let found = match &self.options.topics {
            Topics::Partitions(partitions) => partitions.iter().cloned().collect(),
            Topics::Names(names) => {
                let mut found = Vec::new();
                for name in names {
                    let topic = name.clone();
                    let partitions =
                        self.ask(move |consumer, timeout| metadata(consumer, Some(&topic), timeout)).await?;
                    if partitions.is_empty() {
                        let since = *self.missing_since.lock().get_or_insert_with(Instant::now);
                        return Err(self.consumer.context().no_topic(name, since));
                    }
                    found.extend(partitions);
                }
                found
            }
            Topics::Pattern(pattern) => {
                let all = self.ask(|consumer, timeout| metadata(consumer, None, timeout)).await?;
                all.into_iter().filter(|(name, _)| !is_internal_topic(name) && pattern.is_match(name)).collect()
            }
        };
        *self.missing_since.lock() = None;
        *self.known.lock() = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    async fn offsets(&self) -> Result<Vec<(String, i32, PartitionOffsets)>, SourceError> {
        let partitions = self.partitions().await?;
        self.ask(move |consumer, timeout| {
            let of = |(topic, partition): (String, i32)| {
                let (log_start, high_watermark) = consumer.fetch_watermarks(&topic, partition, timeout)?;
                Ok((topic, partition, PartitionOffsets { log_start, high_watermark }))
            };
            partitions.into_iter().map(of).collect()
        })
        .await
    }

    async fn offset_for_timestamp(
        &self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
    ) -> Result<Option<i64>, SourceError> {
        let topic = topic.to_owned();
        self.ask(move |consumer, timeout| {
            let mut wanted = TopicPartitionList::new();
            wanted.add_partition_offset(&topic, partition, Offset::Offset(timestamp_ms))?;
            let found = consumer.offsets_for_times(wanted, timeout)?;
            Ok(found.find_partition(&topic, partition).and_then(|found| match found.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }))
        })
        .await
    }

    fn request(&self, request: Request) -> Result<(), SourceError> {
        self.requests.send(request).map_err(|_| SourceError::Fatal("the kafka source's thread is gone".into()))?;
        self.poller.unpark();
        Ok(())
    }
}

impl Drop for ClusterSource {
    fn drop(&mut self) {
        // The thread ends when it sees that nobody can ask any more.
        let (closed, _) = sync_mpsc::channel();
        self.requests = closed;
        self.poller.unpark();
    }
}

fn metadata(
    consumer: &BaseConsumer<Link>,
    topic: Option<&str>,
    timeout: Duration,
) -> Result<Vec<(String, i32)>, KafkaError> {
    let metadata = consumer.fetch_metadata(topic, timeout)?;
    let mut found = BTreeSet::new();
    for topic in metadata.topics().iter().filter(|t| t.error().is_none()) {
        found.extend(topic.partitions().iter().map(|p| (topic.name().to_owned(), p.id())));
    }
    Ok(found.into_iter().collect())
}

/// As a source tells it: what may pass is waited for.
pub(super) fn source_error(link: &Link, error: KafkaError) -> SourceError {
    use RDKafkaErrorCode as Code;
    let lasting = matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::UnsupportedVersion
                | Code::InvalidArgument
        )
    );
    let told = link.told(&error);
    if lasting || link.is_given_up() { SourceError::Fatal(told) } else { SourceError::Unavailable(told) }
}

#[async_trait]
impl Source for ClusterSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn origin(&self) -> Result<Option<String>, SourceError> {
        let id = self.ask(|consumer, timeout| {
            let id = consumer.client().fetch_cluster_id(timeout);
            id.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))
        });
        Ok(Some(origin(&id.await?)))
    }

    async fn start(&self) -> Result<Position, SourceError> {
        let mut position = Position::new();
        for (topic, partition, offsets) in self.offsets().await? {
            let offset = match begin(&self.options.starting, &topic, partition, offsets)? {
                Begin::At(offset) => offset,
                Begin::AtTime { timestamp_ms, otherwise } => {
                    let found = self.offset_for_timestamp(&topic, partition, timestamp_ms).await?;
                    found.or(otherwise).ok_or_else(|| no_record(&topic, partition, timestamp_ms))?
                }
            };
            position.insert(partition_name(&topic, partition), offset);
        }
        Ok(position)
    }

    async fn end(&self, from: &Position) -> Result<Position, SourceError> {
        let (starts, end) = ends(from, self.offsets().await?, self.options.fail_on_data_loss)?;
        Ok(match self.options.max_offsets_per_trigger {
            Some(max) => limit(from, &starts, end, max),
            None => end,
        })
    }

    async fn latest(&self, from: &Position) -> Result<Option<Position>, SourceError> {
        if self.options.max_offsets_per_trigger.is_none() {
            return Ok(None);
        }
        Ok(Some(ends(from, self.offsets().await?, self.options.fail_on_data_loss)?.1))
    }

    fn read(
        &self,
        from: Position,
        to: Position,
        projection: Option<Vec<usize>>,
    ) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
        let refused = |error| stream::iter([Err(error)]).boxed();
        let columns = match Columns::new(&self.schema, projection.as_deref()) {
            Ok(columns) => columns,
            Err(error) => return refused(SourceError::Fatal(error.to_string())),
        };
        let mut ranges = BTreeMap::new();
        for (name, to) in to {
            let Some((topic, partition)) = parse_partition_name(&name) else { continue };
            let begun = from.get(&name).copied();
            if begun.is_none_or(|begun| begun < to) {
                let decoder = Decoder::new(&columns, topic, partition);
                ranges.insert((topic.to_owned(), partition), (begun, to, decoder));
            }
        }
        if ranges.is_empty() {
            return stream::empty().boxed();
        }
        let (sender, receiver) = mpsc::channel(PREFETCH_BATCHES);
        let (ended, end) = oneshot::channel();
        let fail_on_data_loss = self.options.fail_on_data_loss;
        if let Err(error) = self.request(Request::Read { ranges, fail_on_data_loss, sender, ended }) {
            return refused(error);
        }
        handed_over(receiver, async move { end.await.map_err(|_| "its thread is gone") })
    }

    async fn changed(&self, from: &Position) -> Result<(), SourceError> {
        loop {
            let partitions = self.partitions().await?;
            let known = |(topic, partition): &(String, i32)| from.contains_key(&partition_name(topic, *partition));
            if !partitions.iter().all(known) {
                return Ok(());
            }
            let places = partitions.into_iter().filter_map(|(topic, partition)| {
                let at = from.get(&partition_name(&topic, partition)).copied()?;
                Some(((topic, partition), at))
            });
            let (sender, receiver) = oneshot::channel();
            self.request(Request::Wait { places: places.collect(), sender })?;
            match tokio::time::timeout(DISCOVERY_INTERVAL, receiver).await {
                Ok(_) => return Ok(()),
                Err(_) => continue,
            }
        }
    }

    fn record_of(&self, partition: &str, offset: i64) -> Option<RecordId> {
        let (topic, partition) = parse_partition_name(partition)?;
        Some(RecordId { topic: topic.to_owned(), partition, offset })
    }
}
