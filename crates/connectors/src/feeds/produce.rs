//! Where a feed's records go.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use millstream_protocol::records::Scratch;
use serde_json::Value as Json;

use super::cursor::FeedRecord;
use crate::embedded::{Append, EmbeddedError, EmbeddedLog, TopicSpec};
use crate::records::visit;
use crate::table_log::delivery::{Gather, Outgoing, Sticky};

/// Why records were not taken.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// Try again.
    #[error("{0}")]
    Unavailable(String),
    /// It will never work.
    #[error("{0}")]
    Fatal(String),
}

/// Takes a feed's records.
#[async_trait]
pub trait Produce: Send {
    /// Where the feed was, or none at its first start.
    async fn last_state(&mut self) -> Result<Option<Json>, ProduceError>;
    /// Takes records, and in the same step, where the target can, where the feed is after them (`position`, and from time to time
    /// `state`). In order; durable when it returns.
    async fn produce(&mut self, records: &[FeedRecord], state: &Json) -> Result<(), ProduceError>;
}

/// Records into a topic of the embedded log, with the feed's state in the internal topic `__millstream.feed.NAME`: one atomic append.
pub struct EmbeddedProducer {
    log: Arc<dyn EmbeddedLog>,
    topic: String,
    partitions: i32,
    states: String,
    sticky: Sticky,
    since_forgotten: u64,
}

/// Appends after which what stands before the last state is forgotten.
const FORGET_APPENDS: u64 = 150;
/// Refusals of the log that one append takes before it fails: more often the topic is not deleted under its hands.
const REFUSALS_MAX: u32 = 4;

impl EmbeddedProducer {
    /// Makes the topics that are not there; `topic` with the broker's defaults.
    pub async fn open(log: Arc<dyn EmbeddedLog>, feed: &str, topic: &str) -> Result<Self, ProduceError> {
        let states = format!("__millstream.feed.{feed}");
        let configs = [("segment.bytes", "1048576"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        let configs = configs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        log.ensure_topic(&states, TopicSpec { partitions: 1, configs }).await.map_err(produce_error)?;
        let info = log.ensure_topic(topic, TopicSpec::default()).await.map_err(produce_error)?;
        let (topic, partitions) = (topic.to_owned(), info.partitions);
        Ok(Self { log, topic, partitions, states, sticky: Sticky::default(), since_forgotten: 0 })
    }

    fn gather(&mut self, records: &[FeedRecord], state: &Json) -> Vec<Append> {
        let mut out = Gather::default();
        let now_ms = now_ms();
        for record in records {
            let outgoing = Outgoing {
                topic: &self.topic,
                partition: None,
                key: record.key.as_deref(),
                value: Some(&record.value),
                headers: &[],
            };
            out.put(&outgoing, self.partitions, &mut self.sticky, now_ms);
        }
        out.push(&self.states, 0, now_ms, None, Some(state.to_string().as_bytes()), &[]);
        out.finish()
    }
}

fn produce_error(error: EmbeddedError) -> ProduceError {
    match error {
        EmbeddedError::Unavailable(reason) => ProduceError::Unavailable(reason),
        other => ProduceError::Fatal(other.to_string()),
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[async_trait]
impl Produce for EmbeddedProducer {
    async fn last_state(&mut self) -> Result<Option<Json>, ProduceError> {
        let offsets = self.log.offsets(&self.states, 0).map_err(produce_error)?;
        let (mut position, mut state) = (None, None);
        let mut next = offsets.log_start;
        while next < offsets.high_watermark {
            let bytes = self.log.read(&self.states, 0, next, 1 << 20).await.map_err(produce_error)?;
            let before = next;
            let read = visit::<()>(&bytes, &mut Scratch::default(), |record| {
                if record.offset >= next
                    && let Ok(mut written) = serde_json::from_slice::<Json>(record.value.unwrap_or_default())
                {
                    position = Some(written["position"].take());
                    if let Some(found) = written.get_mut("state") {
                        state = Some(found.take());
                    }
                }
                next = next.max(record.offset + 1);
                ControlFlow::Continue(())
            });
            read.map_err(|e| ProduceError::Fatal(e.to_string()))?;
            if next == before {
                break;
            }
        }
        Ok(position.zip(state).map(|(position, state)| serde_json::json!({ "position": position, "state": state })))
    }

    async fn produce(&mut self, records: &[FeedRecord], state: &Json) -> Result<(), ProduceError> {
        let mut refused = 0;
        loop {
            let parts = self.gather(records, state);
            let Err(error) = self.log.append(parts).await else { break };
            refused += 1;
            if matches!(error, EmbeddedError::Unavailable(_)) || refused == REFUSALS_MAX {
                return Err(produce_error(error));
            }
            // Nothing was written. The topic may have been deleted, and be there again with other partitions.
            let info = self.log.ensure_topic(&self.topic, TopicSpec::default()).await.map_err(produce_error)?;
            self.partitions = info.partitions;
        }
        self.sticky.turn();
        self.since_forgotten += 1;
        if self.since_forgotten >= FORGET_APPENDS && state.get("state").is_some() {
            let end = self.log.offsets(&self.states, 0).map_err(produce_error)?.high_watermark;
            // What stays is forgotten next time.
            let _ = self.log.delete_records(&self.states, 0, end - 1).await;
            self.since_forgotten = 0;
        }
        Ok(())
    }
}
