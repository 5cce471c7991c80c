//! Producing: records are collected into batches per partition, and each tells where it went.
//!
//! One task (`sender`) owns all batches. A partition has one batch under way at a time, and what arrives meanwhile makes up the next: so
//! order holds over repeats, a single record goes out at once, and many fill batches by themselves. `linger` adds waiting on top.

mod sender;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millstream_protocol::ErrorCode;
use millstream_protocol::records::{BatchBuilder, Codec};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{Client, ClientError};

/// How a producer behaves.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// Whose acknowledgement counts: -1 all replicas, 1 the leader, 0 nobody.
    pub acks: i16,
    /// Compression.
    pub codec: Codec,
    /// How long a batch waits for company, if its partition is free.
    pub linger: Duration,
    /// Bytes of a batch before compression; the broker refuses more than its `message.max.bytes`.
    pub batch_bytes_max: usize,
    /// Bytes of all records not yet acknowledged; beyond, `send` waits.
    pub buffer_bytes_max: usize,
    /// Whether the broker drops repeated batches (needs `acks` -1).
    pub idempotent: bool,
    /// How long a record may take from `send` to its acknowledgement.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        ProducerOptions {
            acks: -1,
            codec: Codec::None,
            linger: Duration::ZERO,
            batch_bytes_max: 1_000_000,
            buffer_bytes_max: 32 << 20,
            idempotent: true,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// A record to be sent.
#[derive(Debug, Clone, Default)]
pub struct ProducerRecord {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition; without one the key decides, as in Java's client, and without a key any.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Time stamp, ms since 1970; without one, now.
    pub timestamp: Option<i64>,
}

impl ProducerRecord {
    /// A record with a value.
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Bytes>) -> ProducerRecord {
        ProducerRecord { topic: topic.into(), value: Some(value.into()), ..Default::default() }
    }

    /// With a key.
    pub fn key(mut self, key: impl Into<Bytes>) -> ProducerRecord {
        self.key = Some(key.into());
        self
    }

    /// To this partition.
    pub fn partition(mut self, partition: i32) -> ProducerRecord {
        self.partition = Some(partition);
        self
    }

    /// With this time stamp, ms since 1970.
    pub fn timestamp(mut self, timestamp: i64) -> ProducerRecord {
        self.timestamp = Some(timestamp);
        self
    }

    fn size_max(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| 10 + name.len() + value.as_ref().map_or(0, Bytes::len)).sum();
        BatchBuilder::record_size_max(self.key.as_deref(), self.value.as_deref(), &[]) + headers
    }
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Partition.
    pub partition: i32,
    /// Offset; -1 if nobody told (`acks` 0, or a repeat that the broker knew already).
    pub offset: i64,
}

/// Becomes where the record went. May be dropped; the record goes its way.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Result<Delivered, ClientError>>);

impl Future for Delivery {
    type Output = Result<Delivered, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(ClientError::Closed)))
    }
}

type Answer = oneshot::Sender<Result<Delivered, ClientError>>;

/// What the sender is told.
enum Command {
    Record { record: ProducerRecord, partition: Option<i32>, partitions: i32, size: usize, answer: Option<Answer> },
    Flush(oneshot::Sender<()>),
}

/// Shared by producer and sender.
struct Ledger {
    /// Room for records, in bytes.
    room: Semaphore,
    /// The first failure that nobody was told by [`Producer::flush`] yet.
    failure: Mutex<Option<ClientError>>,
    acknowledged: AtomicU64,
    /// What was answered last, if that was no acknowledgement and is tried again.
    obstacle: Mutex<Option<ClientError>>,
}

impl Ledger {
    fn failure(&self) -> std::sync::MutexGuard<'_, Option<ClientError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn obstacle(&self) -> std::sync::MutexGuard<'_, Option<ClientError>> {
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends records. Dropping it lets what was sent before go out still, as long as the runtime lives; [`Producer::flush`] waits for it.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    options: ProducerOptions,
    commands: mpsc::UnboundedSender<Command>,
    ledger: Arc<Ledger>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer on the current tokio runtime.
    pub fn new(client: Client, mut options: ProducerOptions) -> Producer {
        options.idempotent &= options.acks == -1;
        options.buffer_bytes_max = options.buffer_bytes_max.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        options.batch_bytes_max = options.batch_bytes_max.min(options.buffer_bytes_max);
        let ledger = Arc::new(Ledger {
            room: Semaphore::new(options.buffer_bytes_max),
            failure: Default::default(),
            acknowledged: AtomicU64::new(0),
            obstacle: Default::default(),
        });
        let (commands, receiver) = mpsc::unbounded_channel();
        let sender = sender::Sender::new(client.clone(), options.clone(), receiver, ledger.clone());
        tokio::spawn(sender.run());
        Producer { client, options, commands, ledger }
    }

    /// Hands a record over; waits only while the buffer is full or the topic is not known yet. The result becomes ready with the
    /// acknowledgement.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, ClientError> {
        let (answer, delivery) = oneshot::channel();
        self.enqueue(record, Some(answer)).await?;
        Ok(Delivery(delivery))
    }

    /// As [`Producer::send`], without asking: the next call tells the first failure and takes no more, until [`Producer::flush`] has told
    /// it, too.
    pub async fn send_quietly(&self, record: ProducerRecord) -> Result<(), ClientError> {
        if let Some(failure) = &*self.ledger.failure() {
            return Err(failure.clone());
        }
        self.enqueue(record, None).await
    }

    async fn enqueue(&self, mut record: ProducerRecord, answer: Option<Answer>) -> Result<(), ClientError> {
        let size = record.size_max();
        if size > self.options.batch_bytes_max {
            return Err(ClientError::RecordTooLarge { size, limit: self.options.batch_bytes_max });
        }
        let mut partitions = self.client.topic(&record.topic).await?.partitions();
        if record.partition.is_some_and(|partition| partition >= partitions) {
            // The topic may have grown.
            partitions = self.client.refresh_topic(&record.topic).await?.partitions();
        }
        if let Some(partition) = record.partition.filter(|partition| !(0..partitions).contains(partition)) {
            return Err(ClientError::Broker {
                what: format!("produce to {}-{partition}", record.topic),
                code: ErrorCode::UnknownTopicOrPartition,
                message: Some(format!("the topic has {partitions} partitions")),
            });
        }
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) => Some(partition),
            (None, Some(key)) if partitions > 0 => Some(millstream_protocol::partition_for_key(key, partitions)),
            _ => None,
        };
        record.timestamp.get_or_insert_with(now_ms);
        let permits = self.ledger.room.acquire_many(size as u32).await.map_err(|_| ClientError::Closed)?;
        self.commands
            .send(Command::Record { record, partition, partitions, size, answer })
            .map_err(|_| ClientError::Closed)?;
        // Given back by the sender when the record is done.
        permits.forget();
        Ok(())
    }

    /// Records acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged.load(Ordering::Relaxed)
    }

    /// Why records are sent again at the moment: what the broker answered last, or that nobody answers.
    pub fn obstacle(&self) -> Option<ClientError> {
        self.ledger.obstacle().clone()
    }

    /// Sends everything at once and waits until nothing is outstanding. The error is the first failure since the last flush.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Flush(sender)).map_err(|_| ClientError::Closed)?;
        receiver.await.map_err(|_| ClientError::Closed)?;
        match self.ledger.failure().take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
