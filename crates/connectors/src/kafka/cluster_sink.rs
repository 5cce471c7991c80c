//! Deliveries to another Kafka cluster: a follower of a table's log with an idempotent producer. At least once: what was sent between the
//! last written position and a crash is sent again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::watch;

use super::client_config::client_config;
use super::link::Link;
use crate::embedded::{Append, EmbeddedError, EmbeddedLog, TopicSpec};
use crate::records::{Payload, visit};
use crate::table_log::{Delivery, ReadError, TableReader};

/// Bytes of the table's log that are sent before the position is written.
const CHUNK_BYTES: usize = 1 << 20;
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(1);
/// Positions after which those before the last are forgotten.
const FORGET_POSITIONS: u64 = 1000;

/// What the sink is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterSinkStatus {
    /// Offset of the table's log up to which rows are acknowledged.
    pub position: i64,
    /// Records acknowledged since the start of this process.
    pub records: u64,
    /// Why nothing moves at the moment.
    pub waiting: Option<String>,
}

/// Why rows cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ClusterSinkError {
    /// Settings that the client refuses.
    #[error("the client for {0} cannot be made: {1}")]
    Config(String, String),
    /// The table's log.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The embedded log, for the position.
    #[error(transparent)]
    Log(#[from] EmbeddedError),
    /// Rows that are no records.
    #[error("rows cannot be written: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    /// The cluster.
    #[error("{0}")]
    Kafka(#[from] KafkaError),
}

impl ClusterSinkError {
    /// May it go away by itself?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Kafka(error) => !matches!(
                error.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                        | RDKafkaErrorCode::ClusterAuthorizationFailed
                        | RDKafkaErrorCode::MessageSizeTooLarge
                        | RDKafkaErrorCode::Fatal
                )
            ),
            Self::Log(EmbeddedError::Unavailable(_)) | Self::Read(ReadError::Log(EmbeddedError::Unavailable(_))) => {
                true
            }
            _ => false,
        }
    }
}

/// A follower that sends a table's rows to a cluster.
pub struct ClusterSink {
    producer: FutureProducer<Link>,
    delivery: Delivery,
    reader: TableReader,
    log: Arc<dyn EmbeddedLog>,
    positions: String,
    position: i64,
    written: u64,
    status: watch::Sender<ClusterSinkStatus>,
}

impl ClusterSink {
    /// Goes on where it was. `name` is that of the follower, unique in the log; `client` are `kafka.*` options without their prefix.
    pub async fn open<'a>(
        name: &str,
        bootstrap: &str,
        client: impl IntoIterator<Item = (&'a str, &'a str)>,
        delivery: Delivery,
        reader: TableReader,
        log: Arc<dyn EmbeddedLog>,
    ) -> Result<Self, ClusterSinkError> {
        let refused = |e: String| ClusterSinkError::Config(bootstrap.to_owned(), e);
        let mut config = client_config(bootstrap, client).map_err(refused)?;
        config
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.kbytes", "32768");
        let producer: FutureProducer<Link> =
            config.create_with_context(Link::new(bootstrap, None)).map_err(|e| refused(e.to_string()))?;
        let positions = format!("__millstream.follower.{name}");
        let configs = [("segment.bytes", "1048576"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        let configs = configs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        log.ensure_topic(&positions, TopicSpec { partitions: 1, configs }).await?;
        let begins = reader.offsets()?.log_start;
        let position = last_position(&*log, &positions).await?.unwrap_or(begins);
        if position < begins {
            // The table was made anew (--full-refresh): what it holds now is to be sent, and what was not yet sent before is in that again.
            tracing::warn!(
                table = reader.table(),
                "rows {position} to {begins} of its log are gone: sending goes on after them"
            );
        }
        let position = position.max(begins);
        let status = watch::Sender::new(ClusterSinkStatus { position, ..ClusterSinkStatus::default() });
        Ok(Self { producer, delivery, reader, log, positions, position, written: 0, status })
    }

    /// Offset of the table's log up to which rows are acknowledged.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// What it is doing.
    pub fn status(&self) -> watch::Receiver<ClusterSinkStatus> {
        self.status.subscribe()
    }

    /// Sends rows up to offset `to` of the table's log and writes the position. After an error it can be called again; some rows may then
    /// be sent twice.
    pub async fn send(&mut self, to: i64) -> Result<(), ClusterSinkError> {
        while self.position < to {
            let chunk = self.reader.read(self.position, to, CHUNK_BYTES).await?;
            if chunk.next_offset == self.position {
                break;
            }
            let mut waiting = Vec::new();
            for batch in &chunk.batches {
                self.delivery.records(batch, |record| {
                    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
                    for (key, value) in record.headers {
                        headers = headers.insert(Header { key, value: *value });
                    }
                    let mut out: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(record.topic);
                    out.key = record.key;
                    out.payload = record.value;
                    out.partition = record.partition;
                    if !record.headers.is_empty() {
                        out.headers = Some(headers);
                    }
                    let sent = self.queue(out)?;
                    waiting.push(sent);
                    Ok::<(), ClusterSinkError>(())
                })?;
            }
            let count = waiting.len() as u64;
            try_join_all(waiting.into_iter().map(|sent| async {
                match sent.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err((error, _))) => Err(error),
                    Err(_) => Err(KafkaError::Canceled),
                }
            }))
            .await?;
            self.write_position(chunk.next_offset).await?;
            self.position = chunk.next_offset;
            self.status.send_modify(|status| {
                status.position = self.position;
                status.records += count;
                status.waiting = None;
            });
        }
        Ok(())
    }

    /// Queues a record; while the queue is full the sending thread needs a moment.
    fn queue(
        &self,
        mut record: FutureRecord<'_, [u8], [u8]>,
    ) -> Result<rdkafka::producer::future_producer::DeliveryFuture, KafkaError> {
        loop {
            match self.producer.send_result(record) {
                Ok(sent) => return Ok(sent),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    async fn write_position(&mut self, position: i64) -> Result<(), ClusterSinkError> {
        let mut payload = Payload::default();
        payload.push(0, None, Some(position.to_string().as_bytes()), &[]);
        let Some(batches) = payload.finish() else { return Ok(()) };
        let offsets = self.log.append(vec![Append { topic: self.positions.clone(), partition: 0, batches }]).await?;
        self.written += 1;
        if self.written.is_multiple_of(FORGET_POSITIONS)
            && let Some(offset) = offsets.first()
        {
            // What stays is forgotten next time.
            let _ = self.log.delete_records(&self.positions, 0, *offset).await;
        }
        Ok(())
    }

    /// Follows the table until `stop` turns true. `passed` is told each position that is acknowledged.
    pub async fn follow(
        mut self,
        mut stop: watch::Receiver<bool>,
        passed: impl Fn(i64) + Send,
    ) -> Result<(), ClusterSinkError> {
        let mut end = self.reader.watch()?;
        loop {
            passed(self.position);
            let position = self.position;
            tokio::select! {
                more = end.wait_for(|end| *end > position) => if more.is_err() { return Ok(()) },
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
            let to = *end.borrow_and_update();
            match self.send(to).await {
                Err(error) if error.is_transient() => {
                    self.status.send_modify(|status| status.waiting = Some(error.to_string()));
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        _ = stop.wait_for(|stop| *stop) => return Ok(()),
                    }
                }
                done => done?,
            }
        }
    }
}

async fn last_position(log: &dyn EmbeddedLog, topic: &str) -> Result<Option<i64>, ClusterSinkError> {
    let offsets = log.offsets(topic, 0)?;
    if offsets.high_watermark == offsets.log_start {
        return Ok(None);
    }
    let last = offsets.high_watermark - 1;
    let bytes = log.read(topic, 0, last, 1).await?;
    let mut found = None;
    let read = visit::<()>(&bytes, &mut Default::default(), |record| {
        if record.offset == last {
            found = record.value.and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
        }
        std::ops::ControlFlow::Continue(())
    });
    read.map_err(|e| EmbeddedError::Refused(e.to_string()))?;
    Ok(found)
}
