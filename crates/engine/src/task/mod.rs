//! A flow that runs: it owns the state, and does one epoch after the other.

mod commit;
mod epoch;
mod pull;
mod recover;
mod snapshot;
mod statics;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::context::{SessionContext, SessionState};
use futures::future::{BoxFuture, select_all};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aggregate::Buckets;
use crate::clock::{Clock, SystemClock};
use crate::compile::{FlowProgram, Input};
use crate::error::EngineError;
use crate::flow_log::{DeadLetter, FlowLog, Reading, Totals};
use crate::source::{Position, Source, SourceError};
use crate::state::Store;
use crate::statics::StaticTables;
use crate::stats::{StatsHandle, Status};
use crate::watermark::{Activity, Idleness, Watermarks};

/// What is done with a row that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It goes to the dead letters, and the stream goes on.
    #[default]
    DeadLetter,
    /// The flow stops, as Spark does (`millstream.on.error` = `fail`).
    Fail,
}

/// How a flow runs.
pub struct TaskOptions {
    /// Folder of this flow's state (`DATA/state/FLOW`); a flow without state never makes it.
    pub state_folder: PathBuf,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// A partition that has been read to its end for so long does not hold the watermark back (`millstream.idle`), in µs.
    pub idle_us: i64,
    /// How often state is written, in µs.
    pub snapshot_every_us: i64,
    /// What is done with a row that fails.
    pub on_error: OnError,
    /// Where static relations are found; needed if the flow joins one.
    pub statics: Option<Arc<dyn StaticTables>>,
    /// How plans over static relations are run.
    pub session: SessionState,
    /// A commit is cut at so many rows.
    pub commit_rows_max: usize,
    /// A commit is cut at so many bytes in memory.
    pub commit_bytes_max: usize,
}

impl TaskOptions {
    /// The usual, with state in `state_folder`.
    pub fn new(state_folder: PathBuf) -> Self {
        Self {
            state_folder,
            clock: Arc::new(SystemClock),
            idle_us: 10_000_000,
            snapshot_every_us: 10_000_000,
            on_error: OnError::default(),
            statics: None,
            session: SessionContext::new().state(),
            commit_rows_max: 64 * 1024,
            commit_bytes_max: 8 * 1024 * 1024,
        }
    }
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSummary {
    /// Epochs committed.
    pub epochs: u64,
    /// Rows counted in this run alone.
    pub totals: Totals,
    /// The watermark at its end, in µs since 1970.
    pub watermark_us: Option<i64>,
}

/// A flow with its state, position and log.
pub struct FlowTask {
    program: Arc<FlowProgram>,
    sources: Vec<Arc<dyn Source>>,
    log: Arc<dyn FlowLog>,
    options: TaskOptions,
    stats: StatsHandle,
    shutdown: watch::Receiver<bool>,

    /// For each input: what has been read.
    positions: Vec<Position>,
    /// The worlds that the positions belong to, by the sources' names.
    origins: BTreeMap<String, String>,
    aggregates: Vec<Buckets>,
    watermarks: Watermarks,
    idleness: Idleness,
    /// The last one that was committed, at least in part.
    epoch: u64,
    totals: Totals,
    /// A process ended between two parts of an epoch: the rest is still to be done.
    unfinished: bool,
    /// How the epoch goes on that is being read.
    reading: Option<Reading>,
    pending: Pending,

    store: Store,
    /// Epoch of the newest snapshot on disk.
    snapshot_epoch: u64,
    snapshot_at_us: i64,
    writing: Option<JoinHandle<Result<snapshot::Written, EngineError>>>,
    measured_at_us: i64,
    /// For each static side: of what it was read.
    static_versions: Vec<Option<Vec<u64>>>,
    /// When they are looked at again, at the earliest.
    statics_due_us: i64,
}

/// What the next commit takes.
#[derive(Debug, Default)]
struct Pending {
    rows: Vec<RecordBatch>,
    late: Vec<RecordBatch>,
    dead: Vec<DeadLetter>,
    count: usize,
    bytes: usize,
}

impl FlowTask {
    /// A flow with its ends; nothing is read yet. `sources` has one for each of [`FlowProgram::relations`], by name. `shutdown` turns true
    /// when the flow shall stop.
    pub fn new(
        program: FlowProgram,
        sources: BTreeMap<String, Arc<dyn Source>>,
        log: Arc<dyn FlowLog>,
        options: TaskOptions,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Self, EngineError> {
        let each = program.inputs.iter().map(|input| {
            let name = &input.relation.name;
            sources.get(name).cloned().ok_or_else(|| EngineError::MissingSource(name.clone()))
        });
        let sources = each.collect::<Result<Vec<_>, _>>()?;
        let stats = StatsHandle::new(&program.name, &program.table, program.steps.clone());
        let now_us = options.clock.now_us();
        Ok(Self {
            positions: vec![Position::new(); sources.len()],
            origins: BTreeMap::new(),
            aggregates: program.stateful.iter().map(|stateful| Buckets::new(Arc::clone(&stateful.spec))).collect(),
            watermarks: Watermarks::new(program.watermarks.clone()),
            idleness: Idleness::default(),
            epoch: 0,
            totals: Totals::default(),
            unfinished: false,
            reading: None,
            pending: Pending::default(),
            store: Store::new(options.state_folder.clone()),
            snapshot_epoch: 0,
            snapshot_at_us: now_us,
            writing: None,
            measured_at_us: 0,
            static_versions: vec![None; program.statics.len()],
            statics_due_us: 0,
            program: Arc::new(program),
            sources,
            log,
            options,
            stats,
            shutdown,
        })
    }

    /// Takes the flow up where it was: from its log and its snapshot. State is rebuilt here, so this can take a while; so does waiting for a
    /// table that it joins. Fails with [`EngineError::Changed`] if the query is not the one that the progress belongs to.
    pub async fn open(&mut self) -> Result<(), EngineError> {
        self.take_state()?;
        self.look_at_statics().await?;
        self.stats.change(|stats| stats.status = Status::Recovering);
        let recovered = self.recover().await;
        self.settle(recovered).await
    }

    /// What it is doing, for people.
    pub fn stats(&self) -> StatsHandle {
        self.stats.clone()
    }

    /// `run`: everything there is now, then empty epochs while the watermark rises, then a snapshot.
    pub async fn run_available(&mut self) -> Result<RunSummary, EngineError> {
        let before = (self.epoch, self.totals);
        let run = self.run_to_end().await;
        self.settle(run).await?;
        let (epoch, totals) = before;
        let totals = Totals {
            rows_in: self.totals.rows_in - totals.rows_in,
            rows_out: self.totals.rows_out - totals.rows_out,
            late: self.totals.late - totals.late,
            dead: self.totals.dead - totals.dead,
        };
        Ok(RunSummary { epochs: self.epoch - epoch, totals, watermark_us: self.watermarks.current_us() })
    }

    /// `up`: epoch after epoch as rows come, until the shutdown signal; then a snapshot.
    pub async fn run_forever(&mut self) -> Result<(), EngineError> {
        let run = self.run_on().await;
        self.settle(run).await
    }

    /// Shows how it ended, once nothing of it is at work any more. Being told to stop is no failure.
    async fn settle(&mut self, ended: Result<(), EngineError>) -> Result<(), EngineError> {
        let written = self.snapshot_written().await;
        let ended = ended.and(written);
        let (status, ended) = match ended {
            Ok(()) => (Status::Idle, Ok(())),
            Err(EngineError::Stopped(_)) => (Status::Idle, Ok(())),
            Err(error) => (Status::Failed(error.to_string()), Err(error)),
        };
        self.stats.change(|stats| stats.status = status);
        ended
    }

    async fn run_to_end(&mut self) -> Result<(), EngineError> {
        self.finish_epoch().await?;
        let mut targets = Vec::with_capacity(self.sources.len());
        for index in 0..self.sources.len() {
            targets.push(match self.latest(index).await? {
                Some(target) => target,
                None => self.end(index).await?,
            });
        }
        while !self.stopping() {
            let mut ends = Vec::with_capacity(targets.len());
            let mut activity = Activity::default();
            for (index, target) in targets.iter().enumerate() {
                let position = self.positions[index].clone();
                let mut end = self.end(index).await?;
                end.retain(|partition, offset| {
                    target.get(partition).is_some_and(|target| {
                        *offset = (*offset).min(*target);
                        true
                    })
                });
                let open =
                    |partition: &&String| position.get(*partition).is_none_or(|offset| *offset < target[*partition]);
                let active: BTreeSet<String> = target.keys().filter(open).cloned().collect();
                activity.active.insert(self.program.inputs[index].relation.name.clone(), active);
                ends.push(end);
            }
            if !self.run_epoch(&ends, &activity).await? {
                break;
            }
        }
        self.snapshot_now().await
    }

    async fn run_on(&mut self) -> Result<(), EngineError> {
        self.finish_epoch().await?;
        while !self.stopping() {
            let mut ends = Vec::with_capacity(self.sources.len());
            let mut activity = Activity::default();
            for index in 0..self.sources.len() {
                let end = self.end(index).await?;
                ends.push(end);
            }
            let now_us = self.options.clock.now_us();
            for (index, end) in ends.iter().enumerate() {
                let Input { relation, .. } = &self.program.inputs[index];
                let (source, position) = (&self.sources[index], &self.positions[index]);
                self.idleness.note(&relation.name, position, end, now_us);
                let mut active = self.idleness.active(&relation.name, end, self.options.idle_us, now_us);
                let at_end = |partition: &str| position.get(partition).is_some_and(|offset| *offset >= end[partition]);
                active.retain(|partition| !(source.partition_ends(partition) && at_end(partition)));
                activity.active.insert(relation.name.clone(), active);
            }
            let worked = self.run_epoch(&ends, &activity).await?;
            self.snapshot_if_due().await?;
            if !worked {
                self.wait_for_change(now_us).await?;
            }
        }
        self.snapshot_now().await
    }

    /// Resolves when there may be something to do that was not there at `looked_us`.
    async fn wait_for_change(&mut self, looked_us: i64) -> Result<(), EngineError> {
        self.stats.change(|stats| stats.status = Status::Idle);
        self.measure();
        let idle_us = match self.program.is_stateful() {
            true => self.idleness.next_deadline_us(self.options.idle_us, looked_us),
            false => None,
        };
        let snapshot_us = self.snapshot_deadline_us();
        let deadline_us = [idle_us, snapshot_us].into_iter().flatten().min();
        let sources = self.sources.clone();
        let changes = sources.iter().zip(&self.positions).enumerate().map(|(index, (source, position))| {
            Box::pin(async move { (index, source.changed(position).await) })
                as BoxFuture<'_, (usize, Result<(), SourceError>)>
        });
        let changes: Vec<_> = changes.collect();
        let clock = Arc::clone(&self.options.clock);
        let mut shutdown = self.shutdown.clone();
        let changed = async {
            match changes.is_empty() {
                true => std::future::pending().await,
                false => select_all(changes).await.0,
            }
        };
        let timer = async {
            match deadline_us {
                Some(deadline_us) => clock.sleep_until(deadline_us).await,
                None => std::future::pending().await,
            }
        };
        let (index, changed) = tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            () = timer => return Ok(()),
            changed = changed => changed,
        };
        match changed {
            Ok(()) => Ok(()),
            Err(error) => self.source_failed(index, error, &mut 0).await,
        }
    }

    fn stopping(&self) -> bool {
        *self.shutdown.borrow()
    }

    async fn end(&mut self, index: usize) -> Result<Position, EngineError> {
        let source = Arc::clone(&self.sources[index]);
        let mut attempt = 0;
        loop {
            match source.end(&self.positions[index]).await {
                Ok(end) => return Ok(end),
                Err(error) => self.source_failed(index, error, &mut attempt).await?,
            }
        }
    }

    async fn latest(&mut self, index: usize) -> Result<Option<Position>, EngineError> {
        let source = Arc::clone(&self.sources[index]);
        let mut attempt = 0;
        loop {
            match source.latest(&self.positions[index]).await {
                Ok(latest) => return Ok(latest),
                Err(error) => self.source_failed(index, error, &mut attempt).await?,
            }
        }
    }

    /// Waits if the source may come back; otherwise that is the end.
    async fn source_failed(&mut self, index: usize, error: SourceError, attempt: &mut u32) -> Result<(), EngineError> {
        match error {
            SourceError::Unavailable(_) => self.wait(&error.to_string(), attempt).await,
            SourceError::Fatal(_) => {
                Err(EngineError::Source { relation: self.program.inputs[index].relation.name.clone(), error })
            }
        }
    }

    /// Waits a little longer each time, and shows why.
    async fn wait(&mut self, reason: &str, attempt: &mut u32) -> Result<(), EngineError> {
        const FIRST_US: i64 = 50_000;
        const LONGEST_US: i64 = 5_000_000;
        if *attempt == 0 {
            tracing::warn!(flow = self.program.name, reason, "waiting");
        }
        self.stats.change(|stats| stats.status = Status::Waiting(reason.to_owned()));
        let wait_us = (FIRST_US << (*attempt).min(10)).min(LONGEST_US);
        *attempt += 1;
        let deadline_us = self.options.clock.now_us() + wait_us;
        tokio::select! {
            () = self.options.clock.sleep_until(deadline_us) => {
                self.stats.change(|stats| stats.status = Status::Running);
                Ok(())
            }
            _ = self.shutdown.wait_for(|stop| *stop) => Err(EngineError::Stopped(reason.to_owned())),
        }
    }
}
