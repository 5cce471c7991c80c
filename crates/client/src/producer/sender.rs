//! The task that owns a producer's batches.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{InitProducerIdRequest, ProduceRequest, produce};
use millstream_protocol::records::{BatchBuilder, Codec, ProducerStamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::{Answer, Command, Delivered, Ledger, ProducerOptions, ProducerRecord};
use crate::cluster::{Pool, produce_version};
use crate::error::accepted;
use crate::{Client, ClientError, Topic};

/// Requests under way to one broker.
const REQUESTS_MAX: usize = 5;
/// Records taken in before the next look at what can go out.
const COMMANDS_MAX: usize = 4096;

type Key = (Arc<str>, i32);

/// Records collected for a partition.
struct Open {
    builder: BatchBuilder,
    answers: Vec<Option<Answer>>,
    permits: usize,
    since: Instant,
}

/// A batch as it goes out, and goes out again if it must: the same bytes.
struct Sealed {
    bytes: Bytes,
    answers: Vec<Option<Answer>>,
    permits: usize,
    since: Instant,
}

#[derive(Default)]
struct Queue {
    /// A batch that must be repeated before anything else.
    again: Option<Sealed>,
    open: VecDeque<Open>,
    /// A batch is under way.
    busy: bool,
    /// After a failure: not before this.
    not_before: Option<Instant>,
    next_sequence: i32,
}

/// What came of something that was under way.
enum Done {
    Produced { node: i32, parts: Vec<(Key, Sealed, Result<i64, ClientError>)> },
    Identity(Result<(i64, i16), ClientError>),
    Leaders { topic: Arc<str>, result: Result<Arc<Topic>, ClientError> },
}

/// Who the producer is to the broker.
enum Identity {
    /// Not an idempotent one.
    None,
    /// To be asked for, not before this.
    Wanted(Option<Instant>),
    Asked,
    Known(i64, i16),
}

pub(super) struct Sender {
    client: Client,
    pool: Arc<Pool>,
    options: Arc<ProducerOptions>,
    commands: mpsc::UnboundedReceiver<Command>,
    ledger: Arc<Ledger>,
    queues: HashMap<Key, Queue>,
    /// Where records without key and partition go, by topic, until their batch leaves.
    sticky: HashMap<Arc<str>, i32>,
    sticky_next: i32,
    spare: Vec<BatchBuilder>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    requests: HashMap<i32, usize>,
    asking_leaders: bool,
    identity: Identity,
    flushes: Vec<oneshot::Sender<()>>,
    /// No more commands will come.
    closing: bool,
}

impl Sender {
    pub(super) fn new(
        client: Client,
        options: ProducerOptions,
        commands: mpsc::UnboundedReceiver<Command>,
        ledger: Arc<Ledger>,
    ) -> Sender {
        let identity = if options.idempotent { Identity::Wanted(None) } else { Identity::None };
        Sender {
            pool: Arc::new(client.new_pool()),
            client,
            options: Arc::new(options),
            commands,
            ledger,
            queues: HashMap::new(),
            sticky: HashMap::new(),
            sticky_next: 0,
            spare: Vec::new(),
            under_way: FuturesUnordered::new(),
            requests: HashMap::new(),
            asking_leaders: false,
            identity,
            flushes: Vec::new(),
            closing: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let wake = self.dispatch();
            if self.is_idle() {
                for flush in self.flushes.drain(..) {
                    let _ = flush.send(());
                }
                if self.closing {
                    return;
                }
            }
            tokio::select! {
                biased;
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => self.finish(done),
                command = self.commands.recv(), if !self.closing => match command {
                    Some(command) => self.take(command),
                    None => self.closing = true,
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            for _ in 0..COMMANDS_MAX {
                match self.commands.try_recv() {
                    Ok(command) => self.take(command),
                    Err(_) => break,
                }
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.queues.values().all(|queue| !queue.busy && queue.again.is_none() && queue.open.is_empty())
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Flush(flush) => self.flushes.push(flush),
            Command::Record { record, partition, partitions, size, answer } => {
                let partition = partition.unwrap_or_else(|| self.sticky_partition(&record.topic, partitions));
                self.append(partition, record, size, answer);
            }
        }
    }

    fn sticky_partition(&mut self, topic: &Arc<str>, partitions: i32) -> i32 {
        if let Some(partition) = self.sticky.get(topic) {
            return *partition;
        }
        let partition = self.sticky_next % partitions.max(1);
        self.sticky_next = (self.sticky_next + 1) & i32::MAX;
        self.sticky.insert(topic.clone(), partition);
        partition
    }

    fn append(&mut self, partition: i32, record: ProducerRecord, size: usize, answer: Option<Answer>) {
        let queue = self.queues.entry((record.topic.clone(), partition)).or_default();
        let limit = self.options.batch_bytes_max;
        if queue.open.back().is_none_or(|open| open.builder.size() + size > limit) {
            let builder = self.spare.pop().unwrap_or_else(|| BatchBuilder::new(self.options.codec));
            queue.open.push_back(Open { builder, answers: Vec::new(), permits: 0, since: Instant::now() });
        }
        let open = queue.open.back_mut().expect("one was just made");
        let headers: Vec<_> = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let timestamp = record.timestamp.unwrap_or_default();
        open.builder.push(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        open.answers.push(answer);
        open.permits += size;
    }

    /// Sends out what can go and gives when to look again, if time alone changes something.
    fn dispatch(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut wake: Option<Instant> = None;
        let mut wake_at = |at: Instant| wake = Some(wake.map_or(at, |wake: Instant| wake.min(at)));
        let rush = self.closing || !self.flushes.is_empty();
        let stamp = match self.identity {
            Identity::None => None,
            Identity::Known(id, epoch) => Some((id, epoch)),
            Identity::Asked => return None,
            Identity::Wanted(not_before) => {
                if !self.queues.values().any(|queue| !queue.open.is_empty() || queue.again.is_some()) {
                    return None;
                }
                if let Some(at) = not_before.filter(|at| *at > now) {
                    return Some(at);
                }
                self.identity = Identity::Asked;
                self.under_way.push(Box::pin(ask_identity(self.client.clone())));
                return None;
            }
        };

        let mut by_node: HashMap<i32, Vec<(Key, Sealed)>> = HashMap::new();
        let mut leaderless = None;
        for (key, queue) in &mut self.queues {
            if queue.busy || (queue.again.is_none() && queue.open.is_empty()) {
                continue;
            }
            if let Some(at) = queue.not_before.filter(|at| *at > now) {
                wake_at(at);
                continue;
            }
            if queue.again.is_none() {
                let front = queue.open.front().expect("not empty");
                let full = queue.open.len() > 1 || front.builder.size() * 10 > self.options.batch_bytes_max * 9;
                let due = front.since + self.options.linger;
                if !rush && !full && due > now {
                    wake_at(due);
                    continue;
                }
            }
            let Some(node) = self.client.known_leader(&key.0, key.1) else {
                leaderless = Some(key.0.clone());
                continue;
            };
            if self.requests.get(&node).is_some_and(|requests| *requests >= REQUESTS_MAX) {
                continue;
            }
            let sealed = match queue.again.take() {
                Some(sealed) => sealed,
                None => {
                    let mut open = queue.open.pop_front().expect("not empty");
                    if let Some((producer_id, producer_epoch)) = stamp {
                        open.builder.set_producer(ProducerStamp {
                            producer_id,
                            producer_epoch,
                            base_sequence: queue.next_sequence,
                        });
                        queue.next_sequence = queue.next_sequence.wrapping_add(open.answers.len() as i32) & i32::MAX;
                    }
                    let bytes = open.builder.finish().expect("a batch is opened by its first record");
                    if self.spare.len() < 16 {
                        self.spare.push(open.builder);
                    }
                    Sealed { bytes, answers: open.answers, permits: open.permits, since: open.since }
                }
            };
            queue.busy = true;
            if self.sticky.get(&key.0) == Some(&key.1) {
                self.sticky.remove(&key.0);
            }
            by_node.entry(node).or_default().push((key.clone(), sealed));
        }
        for (node, parts) in by_node {
            *self.requests.entry(node).or_default() += 1;
            self.under_way.push(Box::pin(produce(
                self.client.clone(),
                self.pool.clone(),
                self.options.clone(),
                node,
                parts,
            )));
        }
        if let Some(topic) = leaderless.filter(|_| !self.asking_leaders) {
            self.asking_leaders = true;
            let client = self.client.clone();
            self.under_way.push(Box::pin(async move {
                let result = client.refresh_topic_once(&topic).await;
                if let Err(error) = &result {
                    debug!(%topic, %error, "no leaders yet");
                    tokio::time::sleep(client.options().retry_backoff).await;
                }
                Done::Leaders { topic, result }
            }));
        }
        wake
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Leaders { topic, result } => {
                self.asking_leaders = false;
                match result {
                    Ok(known) => {
                        let error = || ClientError::Broker {
                            what: format!("produce to {topic}"),
                            code: ErrorCode::UnknownTopicOrPartition,
                            message: Some(format!("the topic has {} partitions", known.partitions())),
                        };
                        self.fail_waiting(&error(), |key| key.0 == topic && key.1 >= known.partitions());
                    }
                    Err(error) if error.is_retriable() => self.expire(&error),
                    Err(error) => self.fail_waiting(&error, |key| key.0 == topic),
                }
            }
            Done::Identity(Ok((id, epoch))) => {
                self.identity = Identity::Known(id, epoch);
                self.queues.values_mut().for_each(|queue| queue.next_sequence = 0);
            }
            Done::Identity(Err(error)) => {
                self.identity = Identity::Wanted(Some(Instant::now() + self.client.options().retry_backoff));
                if error.is_retriable() {
                    self.expire(&error);
                } else {
                    self.fail_waiting(&error, |_| true);
                }
            }
            Done::Produced { node, parts } => {
                if let Some(requests) = self.requests.get_mut(&node) {
                    *requests -= 1;
                }
                for (key, sealed, result) in parts {
                    self.finish_batch(key, sealed, result);
                }
            }
        }
    }

    fn finish_batch(&mut self, key: Key, sealed: Sealed, result: Result<i64, ClientError>) {
        let queue = self.queues.entry(key.clone()).or_default();
        queue.busy = false;
        queue.not_before = None;
        match result {
            Ok(base_offset) => {
                self.ledger.room.add_permits(sealed.permits);
                self.ledger.acknowledged.fetch_add(sealed.answers.len() as u64, Ordering::Relaxed);
                *self.ledger.obstacle() = None;
                for (index, answer) in sealed.answers.into_iter().enumerate() {
                    let offset = if base_offset < 0 { -1 } else { base_offset + index as i64 };
                    if let Some(answer) = answer {
                        let _ = answer.send(Ok(Delivered { partition: key.1, offset }));
                    }
                }
            }
            Err(error) if error.is_retriable() && sealed.since.elapsed() < self.options.delivery_timeout => {
                debug!(topic = %key.0, partition = key.1, %error, "a batch is sent again");
                *self.ledger.obstacle() = Some(error);
                queue.again = Some(sealed);
                queue.not_before = Some(Instant::now() + self.client.options().retry_backoff);
                self.client.forget_topic(&key.0);
            }
            Err(error) => {
                let error = if error.is_retriable() { undelivered(&key, &self.options, error) } else { error };
                // The broker waits for the sequence numbers of what is lost: go on under a new id.
                if matches!(self.identity, Identity::Known(..)) {
                    self.identity = Identity::Wanted(None);
                }
                fail(&self.ledger, sealed.answers, sealed.permits, &error);
            }
        }
    }

    /// Fails what has waited longer than it may.
    fn expire(&mut self, last: &ClientError) {
        *self.ledger.obstacle() = Some(last.clone());
        let limit = self.options.delivery_timeout;
        let options = self.options.clone();
        for (key, queue) in &mut self.queues {
            if queue.busy {
                continue;
            }
            if let Some(sealed) = queue.again.take_if(|sealed| sealed.since.elapsed() >= limit) {
                fail(&self.ledger, sealed.answers, sealed.permits, &undelivered(key, &options, last.clone()));
            }
            while let Some(open) = queue.open.pop_front_if(|open| open.since.elapsed() >= limit) {
                fail(&self.ledger, open.answers, open.permits, &undelivered(key, &options, last.clone()));
            }
        }
    }

    fn fail_waiting(&mut self, error: &ClientError, which: impl Fn(&Key) -> bool) {
        for (_, queue) in self.queues.iter_mut().filter(|(key, queue)| !queue.busy && which(key)) {
            if let Some(sealed) = queue.again.take() {
                fail(&self.ledger, sealed.answers, sealed.permits, error);
            }
            for open in queue.open.drain(..) {
                fail(&self.ledger, open.answers, open.permits, error);
            }
        }
    }
}

fn undelivered(key: &Key, options: &ProducerOptions, last: ClientError) -> ClientError {
    ClientError::Undelivered {
        topic: key.0.to_string(),
        partition: key.1,
        timeout_ms: options.delivery_timeout.as_millis() as u64,
        last: Box::new(last),
    }
}

fn fail(ledger: &Ledger, answers: Vec<Option<Answer>>, permits: usize, error: &ClientError) {
    ledger.room.add_permits(permits);
    ledger.failure().get_or_insert_with(|| error.clone());
    for answer in answers.into_iter().flatten() {
        let _ = answer.send(Err(error.clone()));
    }
}

async fn ask_identity(client: Client) -> Done {
    let ask = async {
        let request = InitProducerIdRequest { transaction_timeout_ms: 60_000, ..Default::default() };
        let connection = client.any().await?;
        // Version 6 is about two-phase commits.
        let version = connection.version_up_to::<InitProducerIdRequest>(5)?;
        let answer = connection.call_at(&request, version).await?;
        accepted(answer.error_code, None, || "producer id".to_owned())?;
        Ok((answer.producer_id, answer.producer_epoch))
    };
    Done::Identity(ask.await)
}

async fn produce(
    client: Client,
    pool: Arc<Pool>,
    options: Arc<ProducerOptions>,
    node: i32,
    parts: Vec<(Key, Sealed)>,
) -> Done {
    let mut results: HashMap<(String, i32), Result<i64, ClientError>> = HashMap::new();
    let failure = exchange(&client, &pool, &options, node, &parts, &mut results).await.err();
    let parts = parts
        .into_iter()
        .map(|((topic, partition), sealed)| {
            let result = match (&failure, results.remove(&(topic.to_string(), partition))) {
                (Some(error), _) => Err(error.clone()),
                (None, Some(result)) => result,
                (None, None) => Err(ClientError::Broker {
                    what: format!("produce to {topic}-{partition}"),
                    code: ErrorCode::UnknownServerError,
                    message: Some("the answer does not name the partition".to_owned()),
                }),
            };
            ((topic, partition), sealed, result)
        })
        .collect();
    Done::Produced { node, parts }
}

async fn exchange(
    client: &Client,
    pool: &Pool,
    options: &ProducerOptions,
    node: i32,
    parts: &[(Key, Sealed)],
    results: &mut HashMap<(String, i32), Result<i64, ClientError>>,
) -> Result<(), ClientError> {
    let connection = pool.get(&client.address_of(node)?).await?;
    let mut ids = HashMap::new();
    let mut version = i16::MAX;
    for ((topic, _), _) in parts {
        if !ids.contains_key(topic) {
            let known = client.topic(topic).await?;
            version = version.min(produce_version(&connection, known.id)?);
            ids.insert(topic.clone(), known.id);
        }
    }
    if options.codec == Codec::Zstd && version < 7 {
        return Err(ClientError::Broker {
            what: "produce with zstd".to_owned(),
            code: ErrorCode::UnsupportedCompressionType,
            message: Some("the broker is older than Kafka 2.1: choose another codec".to_owned()),
        });
    }
    let mut topics: HashMap<Arc<str>, produce::TopicProduceData> = HashMap::new();
    for ((topic, partition), sealed) in parts {
        let data = topics.entry(topic.clone()).or_insert_with(|| produce::TopicProduceData {
            name: topic.to_string(),
            topic_id: ids[topic],
            partition_data: vec![],
        });
        let records = Some(sealed.bytes.clone());
        data.partition_data.push(produce::PartitionProduceData { index: *partition, records });
    }
    let request = ProduceRequest {
        acks: options.acks,
        timeout_ms: 30_000,
        topic_data: topics.into_values().collect(),
        ..Default::default()
    };
    if options.acks == 0 {
        connection.send_unanswered(&request, version).await?;
        results.extend(parts.iter().map(|((topic, partition), _)| ((topic.to_string(), *partition), Ok(-1))));
        return Ok(());
    }
    let answer = connection.call_waiting(&request, version, Duration::from_secs(30)).await?;
    for topic in answer.responses {
        let name = match version {
            ..=12 => topic.name,
            _ => {
                ids.iter().find(|(_, id)| **id == topic.topic_id).map(|(name, _)| name.to_string()).unwrap_or_default()
            }
        };
        for part in topic.partition_responses {
            let result = match part.error_code {
                // The broker has it already: an earlier answer was lost.
                ErrorCode::DuplicateSequenceNumber => Ok(-1),
                code => accepted(code, part.error_message.as_deref(), || format!("produce to {name}-{}", part.index))
                    .map(|()| part.base_offset),
            };
            results.insert((name.clone(), part.index), result);
        }
    }
    Ok(())
}
