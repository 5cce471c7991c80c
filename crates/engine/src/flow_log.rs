//! Where a flow's results and progress go, as the engine sees it: one atomic commit per epoch.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::source::{Position, RecordId};

/// What has been done, as of a commit. The last one of a flow is where it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Counts epochs from 1. Parts of one epoch share it.
    pub epoch: u64,
    /// The flow's fingerprint when this was written.
    pub fingerprint: String,
    /// Position of each source (by its relation's name) after this epoch.
    pub sources: BTreeMap<String, Position>,
    /// The world that each source's position belongs to, where it has one ([`crate::Source::origin`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, String>,
    /// Largest event time seen, per source and partition, in µs since 1970; the clocks that [`Progress::watermark_us`] is made of.
    pub clocks: BTreeMap<String, BTreeMap<String, i64>>,
    /// Watermark that rows of the *next* epoch are judged by, in µs since 1970.
    pub watermark_us: Option<i64>,
    /// Windows with an end up to this (µs) are out. Below `watermark_us` while an epoch commits in parts.
    pub evicted_until_us: Option<i64>,
    /// Epoch of the newest state snapshot when this was written.
    pub snapshot: Option<u64>,
    /// Totals since the flow began.
    pub totals: Totals,
    /// If the epoch was still being read: how it goes on. Whoever takes the flow up ends it as it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

/// An epoch that is committed in parts while it is read, because it has many late rows or dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Where it ends, per source.
    pub until: BTreeMap<String, Position>,
    /// The watermark that it ends with; [`Progress::watermark_us`] is still the one of the epoch before.
    pub watermark_us: Option<i64>,
}

/// Row counts since a flow began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows read from sources.
    pub rows_in: u64,
    /// Rows appended to the table.
    pub rows_out: u64,
    /// Rows dropped because the watermark had passed them.
    pub late: u64,
    /// Dead letters written.
    pub dead: u64,
}

/// A record that could not be processed.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The original value, or after an aggregate the row as JSON.
    pub value: Vec<u8>,
    /// The original key, where the record has one.
    pub key: Option<Vec<u8>>,
    /// Error class as Spark names it (`CAST_INVALID_INPUT`, `MALFORMED_RECORD`, `EVENT_TIME_IS_NULL`, …).
    pub error_class: String,
    /// What was wrong, for a person.
    pub message: String,
    /// The record to blame, where one is.
    pub record: Option<RecordId>,
    /// The row went on all the same, as it does in Spark: this is a copy.
    pub kept: bool,
}

/// All that one commit makes durable and visible together.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Rows for the table, in its schema.
    pub rows: Vec<RecordBatch>,
    /// Rows that came too late, in the schema of the operator that dropped them.
    pub late: Vec<RecordBatch>,
    /// Rows taken out of the stream.
    pub dead: Vec<DeadLetter>,
    /// Where the flow stands after this.
    pub progress: Progress,
}

/// The log of one flow: progress and the rows of its table.
#[async_trait]
pub trait FlowLog: Send + Sync + 'static {
    /// The last commit's progress.
    async fn last(&self) -> Result<Option<Progress>, CommitError>;
    /// Every progress after epoch `epoch` in order (to replay state from a snapshot); after 0: all of it.
    async fn since(&self, epoch: u64) -> Result<Vec<Progress>, CommitError>;
    /// Makes all of it durable, or nothing. While the disk is full or the log cannot take it, waits and reports through
    /// [`CommitError::Unavailable`] so that the caller can show the reason and repeat the same commit.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;
    /// A snapshot of epoch `epoch` is on disk: progress before it is not needed any more.
    async fn snapshot_taken(&self, epoch: u64) -> Result<(), CommitError>;
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written; repeat it when the cause is gone (disk full).
    #[error("{0}; waiting")]
    Unavailable(String),
    /// The log is not usable.
    #[error("{0}")]
    Fatal(String),
}
