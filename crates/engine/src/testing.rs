//! A source, a flow log and a clock in memory, for tests of this crate and of those that use it. They keep the promises of the traits and
//! can be told to fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::flow_log::{Commit, CommitError, FlowLog, Progress};
use crate::source::{Position, RecordId, Source, SourceBatch, SourceError};

/// Rows in memory, partition by partition; an offset is a row's number.
#[derive(Debug)]
pub struct MemorySource {
    schema: SchemaRef,
    partitions: Mutex<BTreeMap<String, Vec<RecordBatch>>>,
    version: watch::Sender<u64>,
    /// Rows a batch has at most.
    batch_rows: AtomicUsize,
    /// Offsets that [`Source::end`] goes ahead at most, over all partitions; 0 = no limit.
    limit: AtomicUsize,
    /// Where epochs end.
    cuts: Mutex<Vec<Position>>,
    failures: AtomicUsize,
    panics: AtomicBool,
    /// Rows before these offsets are gone.
    starts: Mutex<Position>,
    needed: Mutex<Position>,
    origin: Mutex<Option<String>>,
    files: bool,
}

impl MemorySource {
    /// Partitions `0` … with no rows.
    pub fn new(schema: SchemaRef, partitions: usize) -> Arc<Self> {
        Self::with(schema, (0..partitions).map(|number| number.to_string()), false)
    }

    /// Partitions that come with their first rows and never get more (files).
    pub fn files(schema: SchemaRef) -> Arc<Self> {
        Self::with(schema, [], true)
    }

    fn with(schema: SchemaRef, names: impl IntoIterator<Item = String>, files: bool) -> Arc<Self> {
        let partitions = names.into_iter().map(|name| (name, Vec::new())).collect();
        Arc::new(Self {
            schema,
            partitions: Mutex::new(partitions),
            version: watch::Sender::new(0),
            batch_rows: AtomicUsize::new(1000),
            limit: AtomicUsize::new(0),
            cuts: Mutex::default(),
            failures: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
            starts: Mutex::default(),
            needed: Mutex::default(),
            origin: Mutex::default(),
            files,
        })
    }

    /// Appends rows, all columns.
    pub fn append(&self, partition: &str, rows: &RecordBatch) {
        let mut partitions = self.partitions.lock();
        partitions.entry(partition.to_owned()).or_default().push(rows.clone());
        drop(partitions);
        self.version.send_modify(|version| *version += 1);
    }

    /// From now on a batch has at most so many rows.
    pub fn batch_rows(&self, rows: usize) {
        self.batch_rows.store(rows, Ordering::SeqCst);
    }

    /// From now on an epoch takes at most so many rows.
    pub fn limit(&self, rows: usize) {
        self.limit.store(rows, Ordering::SeqCst);
    }

    /// Epochs end at these positions, in order, and then at the end: whoever reads, and wherever it begins.
    pub fn cut(&self, cuts: Vec<Position>) {
        *self.cuts.lock() = cuts;
    }

    /// The next `count` reads break off after their first batch, as if the broker were down.
    pub fn fail_reads(&self, count: usize) {
        self.failures.store(count, Ordering::SeqCst);
    }

    /// From now on a read panics after its first batch.
    pub fn panic_in_reads(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// Retention takes the rows of a partition before `offset`; reads pass over them.
    pub fn delete_before(&self, partition: &str, offset: i64) {
        self.starts.lock().insert(partition.to_owned(), offset);
    }

    /// From now on it is in this world.
    pub fn move_to(&self, origin: &str) {
        *self.origin.lock() = Some(origin.to_owned());
    }

    /// Where a flow said last that it would read again after a crash.
    pub fn needed(&self) -> Position {
        self.needed.lock().clone()
    }

    fn high_watermarks(&self) -> Position {
        let partitions = self.partitions.lock();
        partitions
            .iter()
            .map(|(name, rows)| (name.clone(), rows.iter().map(|rows| rows.num_rows() as i64).sum()))
            .collect()
    }
}

#[async_trait]
impl Source for MemorySource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn origin(&self) -> Result<Option<String>, SourceError> {
        Ok(self.origin.lock().clone())
    }

    async fn start(&self) -> Result<Position, SourceError> {
        Ok(self.high_watermarks().into_keys().map(|name| (name, 0)).collect())
    }

    async fn end(&self, from: &Position) -> Result<Position, SourceError> {
        let mut end = self.high_watermarks();
        let read = |partition: &str| from.get(partition).copied().unwrap_or(0);
        if let Some(cut) = self.cuts.lock().iter().find(|cut| cut.iter().any(|(name, cut)| *cut > read(name))) {
            for (name, offset) in &mut end {
                *offset = cut.get(name).copied().unwrap_or(0).max(read(name)).min(*offset);
            }
        }
        let mut left = match self.limit.load(Ordering::SeqCst) {
            0 => i64::MAX,
            limit => limit as i64,
        };
        for (name, offset) in &mut end {
            let before = read(name);
            *offset = before + (*offset - before).min(left);
            left -= *offset - before;
        }
        Ok(end)
    }

    async fn latest(&self, _from: &Position) -> Result<Option<Position>, SourceError> {
        Ok(Some(self.high_watermarks()))
    }

    fn needed_from(&self, _flow: &str, from: &Position) {
        self.needed.lock().clone_from(from);
    }

    fn partition_ends(&self, _partition: &str) -> bool {
        self.files
    }

    fn read(
        &self,
        from: Position,
        to: Position,
        projection: Option<Vec<usize>>,
    ) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
        let partitions = self.partitions.lock().clone();
        let mut batches = Vec::new();
        for (partition, to) in to {
            let start = self.starts.lock().get(&partition).copied().unwrap_or(0);
            let from = from.get(&partition).copied().unwrap_or(0).max(start);
            let mut first = 0;
            for rows in &partitions[&partition] {
                let next = first + rows.num_rows() as i64;
                let mut offset = from.max(first);
                while offset < next.min(to) {
                    let count = (next.min(to) - offset).min(self.batch_rows.load(Ordering::SeqCst).max(1) as i64);
                    let rows = rows.slice((offset - first) as usize, count as usize);
                    offset += count;
                    batches.push(match &projection {
                        Some(projection) => rows.project(projection).map(|rows| (partition.clone(), offset, rows)),
                        None => Ok((partition.clone(), offset, rows)),
                    });
                }
                first = next;
            }
        }
        let mut batches: Vec<_> = batches
            .into_iter()
            .map(|batch| match batch {
                Ok((partition, next_offset, rows)) => Ok(SourceBatch { partition, next_offset, rows }),
                Err(error) => Err(SourceError::Fatal(error.to_string())),
            })
            .collect();
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            batches.truncate(1);
            batches.push(Err(SourceError::Unavailable("the broker is down".into())));
        }
        let panics = self.panics.load(Ordering::SeqCst);
        stream::iter(batches)
            .enumerate()
            .map(move |(number, batch)| if panics && number > 0 { panic!("a reader's mistake") } else { batch })
            .boxed()
    }

    async fn changed(&self, from: &Position) -> Result<(), SourceError> {
        let mut version = self.version.subscribe();
        while !self.high_watermarks().iter().any(|(name, end)| from.get(name).is_none_or(|offset| offset < end)) {
            if version.changed().await.is_err() {
                return Err(SourceError::Fatal("the source is gone".into()));
            }
        }
        Ok(())
    }

    fn record_of(&self, partition: &str, offset: i64) -> Option<RecordId> {
        Some(RecordId { topic: "memory".into(), partition: partition.parse().ok()?, offset })
    }
}

/// Commits in memory.
#[derive(Debug, Default)]
pub struct MemoryFlowLog {
    commits: Mutex<Vec<Commit>>,
    forgotten: Mutex<u64>,
    /// Commits until the process "dies"; negative: never.
    lives: AtomicI64,
    /// Does the commit at which it dies reach the log?
    dies_after_writing: std::sync::atomic::AtomicBool,
    refusals: AtomicUsize,
    stop: Mutex<Option<(usize, watch::Sender<bool>)>>,
    version: watch::Sender<usize>,
}

impl MemoryFlowLog {
    /// An empty log that never fails.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { lives: AtomicI64::new(-1), ..Self::default() })
    }

    /// After `commits` more commits the next one fails for good, as if the process were killed: before it is written, or between writing and the
    /// answer.
    pub fn die_after(&self, commits: usize, after_writing: bool) {
        self.lives.store(commits as i64, Ordering::SeqCst);
        self.dies_after_writing.store(after_writing, Ordering::SeqCst);
    }

    /// No more dying.
    pub fn revive(&self) {
        self.lives.store(-1, Ordering::SeqCst);
    }

    /// Gives the signal to stop once there are so many commits.
    pub fn stop_at(&self, commits: usize, signal: watch::Sender<bool>) {
        *self.stop.lock() = Some((commits, signal));
    }

    /// The next `count` commits find the disk full.
    pub fn refuse(&self, count: usize) {
        self.refusals.store(count, Ordering::SeqCst);
    }

    /// All commits that were taken.
    pub fn commits(&self) -> Vec<Commit> {
        self.commits.lock().clone()
    }

    /// All rows that came out, in order.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.commits.lock().iter().flat_map(|commit| commit.rows.clone()).collect()
    }

    /// Resolves when there are at least so many commits.
    pub async fn wait_for_commits(&self, count: usize) {
        let mut version = self.version.subscribe();
        let _ = version.wait_for(|commits| *commits >= count).await;
    }
}

#[async_trait]
impl FlowLog for MemoryFlowLog {
    async fn last(&self) -> Result<Option<Progress>, CommitError> {
        Ok(self.commits.lock().last().map(|commit| commit.progress.clone()))
    }

    async fn since(&self, epoch: u64) -> Result<Vec<Progress>, CommitError> {
        let forgotten = *self.forgotten.lock();
        let commits = self.commits.lock();
        let records = commits.iter().map(|commit| commit.progress.clone());
        Ok(records.filter(|progress| progress.epoch > epoch.max(forgotten)).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(CommitError::Unavailable("no space left on device".into()));
        }
        let lives = self.lives.load(Ordering::SeqCst);
        if lives > 0 {
            self.lives.store(lives - 1, Ordering::SeqCst);
        }
        if lives == 0 && !self.dies_after_writing.load(Ordering::SeqCst) {
            return Err(CommitError::Fatal("killed".into()));
        }
        let count = {
            let mut commits = self.commits.lock();
            commits.push(commit);
            commits.len()
        };
        self.version.send_replace(count);
        if let Some((at, signal)) = &*self.stop.lock()
            && count >= *at
        {
            signal.send_replace(true);
        }
        match lives {
            0 => Err(CommitError::Fatal("killed".into())),
            _ => Ok(()),
        }
    }

    async fn snapshot_taken(&self, epoch: u64) -> Result<(), CommitError> {
        *self.forgotten.lock() = epoch;
        Ok(())
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<i64>);

impl ManualClock {
    /// A clock that shows `now_us`.
    pub fn new(now_us: i64) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(now_us)))
    }

    /// Lets time pass.
    pub fn advance(&self, us: i64) {
        self.0.send_modify(|now_us| *now_us += us);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        *self.0.borrow()
    }

    async fn sleep_until(&self, deadline_us: i64) {
        let mut now = self.0.subscribe();
        let _ = now.wait_for(|now_us| *now_us >= deadline_us).await;
    }
}
