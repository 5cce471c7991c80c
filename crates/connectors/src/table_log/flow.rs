//! [`TableLog`]: the engine's [`FlowLog`] of one flow.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use async_trait::async_trait;
use millstream_engine::{Clock, Commit, CommitError, DeadLetter, FlowLog, Progress};
use millstream_functions::Session;
use millstream_protocol::records::{Record, Scratch};
use millstream_sql::is_internal_topic;
use tokio::sync::Mutex;

use super::delivery::{Delivery, Gather, Sticky};
use super::hub::TableHub;
use super::payload;
use super::topics::{flow_spec, flow_topic, table_topic};
use crate::embedded::{EmbeddedError, EmbeddedLog, TopicSpec};
use crate::records::visit;

/// Bytes of progress records read at once.
const READ_BYTES: usize = 4 << 20;
/// Commits after which old progress is forgotten, where only the last one is needed.
const PRUNE_COMMITS: u64 = 10_000;
/// Refusals of the log that one commit takes before it fails: more topics than this are not deleted under its hands.
const REFUSALS_MAX: u32 = 4;
/// Error class of a row that names a topic which it may not be written to.
const INVALID_TOPIC: &str = "INVALID_TOPIC";

/// Which progress records a flow needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepProgress {
    /// All since its last snapshot: it has state.
    SinceSnapshot,
    /// The last one only: it has no state.
    Last,
}

/// Where a flow's commits go.
#[derive(Debug, Clone)]
pub struct TableLogOptions {
    /// The flow's name.
    pub flow: String,
    /// Rows as records of a topic of the embedded log.
    pub delivery: Option<Delivery>,
    /// `millstream.late.topic`.
    pub late_topic: Option<String>,
    /// Topic of dead letters.
    pub dead_letters: String,
    /// Which progress records are kept.
    pub keep: KeepProgress,
    /// The pipeline's time zone, for late rows.
    pub session: Session,
}

impl TableLogOptions {
    /// Topic of a pipeline's dead letters: `millstream.dead.letters`, or `PIPELINE.dead-letters`.
    pub fn dead_letters_topic(pipeline: &str, configuration: &BTreeMap<String, String>) -> String {
        configuration.get("millstream.dead.letters").cloned().unwrap_or_else(|| format!("{pipeline}.dead-letters"))
    }
}

/// The log of one flow.
pub struct TableLog {
    hub: Arc<TableHub>,
    log: Arc<dyn EmbeddedLog>,
    clock: Arc<dyn Clock>,
    options: TableLogOptions,
    flow_topic: String,
    table_topic: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sticky: Sticky,
    /// Number of partitions of topics that were used.
    partitions: BTreeMap<String, i32>,
    /// First offset of each epoch's progress that was written by this process.
    epochs: VecDeque<(u64, i64)>,
    commits: u64,
}

/// What a commit puts into the table's own topic.
#[derive(Default)]
struct Written {
    records: i64,
    bytes: u64,
}

impl TableLog {
    /// The log of a flow into the table of `hub`; makes the topic of its progress.
    pub async fn open(
        hub: Arc<TableHub>,
        clock: Arc<dyn Clock>,
        options: TableLogOptions,
    ) -> Result<Arc<Self>, EmbeddedError> {
        let log = Arc::clone(hub.log());
        let flow_topic = flow_topic(&options.flow);
        log.ensure_topic(&flow_topic, flow_spec()).await?;
        let table_topic = table_topic(hub.table());
        Ok(Arc::new(Self { hub, log, clock, options, flow_topic, table_topic, state: Mutex::default() }))
    }

    async fn partitions(&self, state: &mut State, topic: &str) -> Result<i32, CommitError> {
        if let Some(partitions) = state.partitions.get(topic) {
            return Ok(*partitions);
        }
        let info = self.log.ensure_topic(topic, TopicSpec::default()).await.map_err(commit_error)?;
        state.partitions.insert(topic.to_owned(), info.partitions);
        Ok(info.partitions)
    }

    /// Makes a topic that a row names; gives why it cannot be written to, if it cannot.
    async fn named_by_row(&self, state: &mut State, topic: &str) -> Result<Option<String>, CommitError> {
        if is_internal_topic(topic) {
            return Ok(Some(format!("{topic:.249} is an internal topic, and not for rows")));
        }
        if state.partitions.contains_key(topic) {
            return Ok(None);
        }
        match self.log.ensure_topic(topic, TopicSpec::default()).await {
            Ok(info) => {
                state.partitions.insert(topic.to_owned(), info.partitions);
                Ok(None)
            }
            Err(EmbeddedError::Refused(reason)) => Ok(Some(reason)),
            Err(error) => Err(commit_error(error)),
        }
    }

    /// All of a commit by partition.
    async fn gather(&self, state: &mut State, commit: &Commit, now_ms: i64) -> Result<(Gather, Written), CommitError> {
        let mut out = Gather::default();
        let epoch = commit.progress.epoch.to_string();
        let headers: [(&str, Option<&[u8]>); 2] =
            [("flow", Some(self.options.flow.as_bytes())), ("epoch", Some(epoch.as_bytes()))];
        let mut written = Written::default();
        for value in payload::encode(&self.hub.schema(), &commit.rows).map_err(not_rows)? {
            written.bytes += value.len() as u64;
            written.records += 1;
            out.push(&self.table_topic, 0, now_ms, None, Some(&value), &headers);
        }
        let mut refused = Vec::new();
        if let Some(delivery) = &self.options.delivery {
            self.deliver(state, &mut out, delivery, &commit.rows, &mut refused, now_ms).await?;
        }
        if let Some(topic) = &self.options.late_topic {
            let delivery = Delivery::json(topic, &self.options.session);
            self.deliver(state, &mut out, &delivery, &commit.late, &mut refused, now_ms).await?;
        }
        for letter in commit.dead.iter().chain(&refused) {
            let partitions = self.partitions(state, &self.options.dead_letters).await?;
            self.dead_letter(state, &mut out, letter, partitions, now_ms);
        }
        let progress = serde_json::to_vec(&commit.progress).map_err(|e| CommitError::Fatal(e.to_string()))?;
        out.push(&self.flow_topic, 0, now_ms, None, Some(&progress), &[]);
        Ok((out, written))
    }

    /// The commit as one append; gives the first offset by topic, which says something of topics with one partition. An append that is
    /// refused left nothing anywhere, so it may be repeated: topics that rows go to may be deleted at any time, and be there again with
    /// other partitions. What is known of them is forgotten, they are made again and all is gathered anew.
    async fn append(
        &self,
        state: &mut State,
        commit: &Commit,
        now_ms: i64,
    ) -> Result<(BTreeMap<String, i64>, Written), CommitError> {
        let mut refused = 0;
        loop {
            let (gathered, written) = self.gather(state, commit, now_ms).await?;
            let parts = gathered.finish();
            let topics: Vec<String> = parts.iter().map(|part| part.topic.clone()).collect();
            match self.log.append(parts).await {
                Ok(offsets) => return Ok((topics.into_iter().zip(offsets).collect(), written)),
                Err(EmbeddedError::Unavailable(reason)) => return Err(CommitError::Unavailable(reason)),
                Err(error) => {
                    refused += 1;
                    if refused == REFUSALS_MAX {
                        return Err(commit_error(error));
                    }
                    state.partitions.clear();
                }
            }
        }
    }

    async fn deliver(
        &self,
        state: &mut State,
        out: &mut Gather,
        delivery: &Delivery,
        rows: &[RecordBatch],
        refused: &mut Vec<DeadLetter>,
        now_ms: i64,
    ) -> Result<(), CommitError> {
        for batch in rows.iter().filter(|b| b.num_rows() > 0) {
            self.partitions(state, delivery.topic()).await?;
            // Topics that rows name themselves have to be there before records are counted into them.
            let mut reasons = BTreeMap::new();
            for topic in delivery.topics(batch).map_err(not_rows)? {
                if let Some(reason) = self.named_by_row(state, &topic).await? {
                    reasons.insert(topic, reason);
                }
            }
            let State { sticky, partitions, .. } = state;
            delivery
                .records(batch, |record| {
                    if let Some(reason) = reasons.get(record.topic) {
                        refused.push(DeadLetter {
                            value: record.value.unwrap_or_default().to_vec(),
                            error_class: INVALID_TOPIC.into(),
                            message: reason.clone(),
                            key: record.key.map(<[u8]>::to_vec),
                            record: None,
                            // It is in the table: only the delivery is missing.
                            kept: true,
                        });
                        return Ok(());
                    }
                    let count = partitions.get(record.topic).copied().unwrap_or(1);
                    out.put(&record, count, sticky, now_ms);
                    Ok::<(), ArrowError>(())
                })
                .map_err(not_rows)?;
        }
        Ok(())
    }

    fn dead_letter(&self, state: &mut State, out: &mut Gather, letter: &DeadLetter, partitions: i32, now_ms: i64) {
        let mut headers: Vec<(&str, Option<&[u8]>)> = vec![
            ("flow", Some(self.options.flow.as_bytes())),
            ("error.class", Some(letter.error_class.as_bytes())),
            ("error.message", Some(letter.message.as_bytes())),
            ("row.kept", Some(if letter.kept { b"true" } else { b"false" })),
        ];
        let place = letter.record.as_ref().map(|r| (r.topic.clone(), r.partition.to_string(), r.offset.to_string()));
        if let Some((topic, partition, offset)) = &place {
            headers.push(("source.topic", Some(topic.as_bytes())));
            headers.push(("source.partition", Some(partition.as_bytes())));
            headers.push(("source.offset", Some(offset.as_bytes())));
        }
        let topic = &self.options.dead_letters;
        let record = super::delivery::Outgoing {
            topic,
            partition: None,
            key: letter.key.as_deref(),
            value: Some(&letter.value),
            headers: &headers,
        };
        out.put(&record, partitions, &mut state.sticky, now_ms);
    }

    /// Visits progress records from offset `from`.
    async fn visit(&self, from: i64, mut see: impl FnMut(i64, Progress)) -> Result<(), CommitError> {
        let end = self.log.offsets(&self.flow_topic, 0).map_err(commit_error)?.high_watermark;
        let mut next = from;
        while next < end {
            let bytes = self.log.read(&self.flow_topic, 0, next, READ_BYTES).await.map_err(commit_error)?;
            let before = next;
            let one = |record: &Record<'_>| {
                if record.offset < next {
                    return ControlFlow::Continue(());
                }
                next = record.offset + 1;
                match serde_json::from_slice(record.value.unwrap_or_default()) {
                    Ok(progress) => {
                        see(record.offset, progress);
                        ControlFlow::Continue(())
                    }
                    Err(e) => ControlFlow::Break(format!("offset {}: {e}", record.offset)),
                }
            };
            let failed = visit(&bytes, &mut Scratch::default(), one);
            let failed =
                failed.map_err(|e| CommitError::Fatal(format!("progress of flow {}: {e}", self.options.flow)))?;
            if let Some(e) = failed {
                return Err(CommitError::Fatal(format!(
                    "progress of flow {} is not readable: {e}; start over with --full-refresh {}",
                    self.options.flow,
                    self.hub.table()
                )));
            }
            if next == before {
                break;
            }
        }
        Ok(())
    }

    async fn forget_before(&self, offset: i64) -> Result<(), CommitError> {
        self.log.delete_records(&self.flow_topic, 0, offset).await.map_err(commit_error)
    }
}

/// Forgets all rows of a table's log, for `--full-refresh`; its folder has to be removed too.
pub async fn reset_table(log: &dyn EmbeddedLog, table: &str) -> Result<(), EmbeddedError> {
    let topic = table_topic(table);
    log.ensure_topic(&topic, super::topics::table_spec()).await?;
    let end = log.offsets(&topic, 0)?.high_watermark;
    log.delete_records(&topic, 0, end).await
}

/// Forgets all progress of a flow, for `--full-refresh`; its state has to be forgotten too.
pub async fn reset_flow(log: &dyn EmbeddedLog, flow: &str) -> Result<(), EmbeddedError> {
    let topic = flow_topic(flow);
    log.ensure_topic(&topic, flow_spec()).await?;
    let end = log.offsets(&topic, 0)?.high_watermark;
    log.delete_records(&topic, 0, end).await
}

fn commit_error(error: EmbeddedError) -> CommitError {
    match error {
        EmbeddedError::Unavailable(reason) => CommitError::Unavailable(reason),
        other => CommitError::Fatal(other.to_string()),
    }
}

fn not_rows(error: ArrowError) -> CommitError {
    CommitError::Fatal(format!("rows cannot be written: {error}"))
}

#[async_trait]
impl FlowLog for TableLog {
    async fn last(&self) -> Result<Option<Progress>, CommitError> {
        let offsets = self.log.offsets(&self.flow_topic, 0).map_err(commit_error)?;
        let mut last = None;
        if offsets.high_watermark > offsets.log_start {
            self.visit(offsets.high_watermark - 1, |_, progress| last = Some(progress)).await?;
        }
        Ok(last)
    }

    async fn since(&self, epoch: u64) -> Result<Vec<Progress>, CommitError> {
        let start = self.log.offsets(&self.flow_topic, 0).map_err(commit_error)?.log_start;
        let mut found = Vec::new();
        let mut epochs = VecDeque::new();
        self.visit(start, |offset, progress| {
            note(&mut epochs, progress.epoch, offset);
            if progress.epoch > epoch {
                found.push(progress);
            }
        })
        .await?;
        self.state.lock().await.epochs = epochs;
        Ok(found)
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let mut state = self.state.lock().await;
        let now_ms = self.clock.now_us() / 1000;
        let (appended, written) = self.append(&mut state, &commit, now_ms).await?;
        state.sticky.turn();
        state.commits += 1;
        if let Some(offset) = appended.get(&self.flow_topic).copied() {
            note(&mut state.epochs, commit.progress.epoch, offset);
            if self.options.keep == KeepProgress::Last {
                state.epochs.clear();
                if state.commits % PRUNE_COMMITS == 0 {
                    // The commit is done; what stays is forgotten next time.
                    let _ = self.forget_before(offset).await;
                }
            }
        }
        if let Some(first) = appended.get(&self.table_topic) {
            let rows = commit.rows;
            self.hub.appended(rows, first + written.records, written.bytes, now_ms);
        }
        Ok(())
    }

    async fn snapshot_taken(&self, epoch: u64) -> Result<(), CommitError> {
        let mut state = self.state.lock().await;
        if self.options.keep == KeepProgress::Last {
            let end = self.log.offsets(&self.flow_topic, 0).map_err(commit_error)?.high_watermark;
            return self.forget_before(end - 1).await;
        }
        if state.epochs.front().is_none_or(|(first, _)| *first > epoch) {
            let start = self.log.offsets(&self.flow_topic, 0).map_err(commit_error)?.log_start;
            let mut epochs = VecDeque::new();
            self.visit(start, |offset, progress| note(&mut epochs, progress.epoch, offset)).await?;
            state.epochs = epochs;
        }
        let known = state.epochs.len();
        while state.epochs.len() > 1 && state.epochs.front().is_some_and(|(found, _)| *found < epoch) {
            state.epochs.pop_front();
        }
        match state.epochs.front().copied() {
            Some((_, offset)) if state.epochs.len() < known => self.forget_before(offset).await,
            _ => Ok(()),
        }
    }
}

fn note(epochs: &mut VecDeque<(u64, i64)>, epoch: u64, offset: i64) {
    if epochs.back().is_none_or(|(last, _)| *last < epoch) {
        epochs.push_back((epoch, offset));
    }
}
