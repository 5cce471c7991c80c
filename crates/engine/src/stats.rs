//! What a flow is doing, for people: shared, cheap to read at any time, and never waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::flow_log::Totals;

/// What a flow is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum Status {
    /// Opened, not yet asked to run.
    #[default]
    Ready,
    /// State is being rebuilt from the epochs after the last snapshot.
    Recovering,
    /// Working on rows.
    Running,
    /// Everything there is has been read.
    Idle,
    /// Something outside keeps it from going on; it repeats.
    Waiting(String),
    /// It has stopped for good.
    Failed(String),
}

/// What a step of a flow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Rows come in here.
    Source,
    /// `WHERE`.
    Filter,
    /// `SELECT`.
    Project,
    /// `WATERMARK`.
    Watermark,
    /// `window(…)`.
    Window,
    /// `GROUP BY`.
    Aggregate,
    /// `SELECT DISTINCT`.
    Distinct,
    /// `JOIN` with a static table.
    Join,
    /// `explode`.
    Unnest,
    /// `UNION ALL`.
    Union,
    /// Rows go out here.
    Table,
}

/// A step of a flow, as of now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepStats {
    /// Its number in the flow.
    pub id: usize,
    /// What it does.
    pub kind: StepKind,
    /// In the words of the query.
    pub label: String,
    /// Steps that it gets rows from.
    pub inputs: Vec<usize>,
    /// Rows that came since this process began.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Rows dropped because the watermark had passed them.
    pub late: u64,
    /// Rows taken out as dead letters.
    pub dead: u64,
    /// Groups in state.
    pub state_rows: u64,
    /// Bytes of state in memory.
    pub state_bytes: u64,
}

/// A flow, as of now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlowStats {
    /// Name of the flow.
    pub flow: String,
    /// The table it feeds.
    pub table: String,
    /// What it is doing.
    pub status: Status,
    /// Last epoch that was committed.
    pub epoch: u64,
    /// Since the flow began.
    pub totals: TotalsStats,
    /// In µs since 1970.
    pub watermark_us: Option<i64>,
    /// Groups in state.
    pub state_rows: u64,
    /// Bytes of state in memory.
    pub state_bytes: u64,
    /// Offsets done of what is to be done now, summed over all partitions since this process began: for a progress bar.
    pub backlog_done: u64,
    /// See [`FlowStats::backlog_done`].
    pub backlog_total: u64,
    /// Snapshots taken since this process began.
    pub snapshots: u64,
    /// Its steps; inputs stand before what reads them.
    pub steps: Vec<StepStats>,
}

/// [`Totals`], for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TotalsStats {
    /// Rows read from sources.
    pub rows_in: u64,
    /// Rows appended to the table.
    pub rows_out: u64,
    /// Rows dropped because the watermark had passed them.
    pub late: u64,
    /// Dead letters written.
    pub dead: u64,
}

impl From<Totals> for TotalsStats {
    fn from(Totals { rows_in, rows_out, late, dead }: Totals) -> Self {
        Self { rows_in, rows_out, late, dead }
    }
}

/// Counters of a step.
#[derive(Debug, Default)]
pub(crate) struct StepCounters {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    late: AtomicU64,
    dead: AtomicU64,
    state_rows: AtomicU64,
    state_bytes: AtomicU64,
}

impl StepCounters {
    pub fn add(&self, rows_in: usize, rows_out: usize) {
        self.rows_in.fetch_add(rows_in as u64, Ordering::Relaxed);
        self.rows_out.fetch_add(rows_out as u64, Ordering::Relaxed);
    }

    pub fn late(&self, rows: usize) {
        self.late.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub fn dead(&self, rows: usize) {
        self.dead.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub fn state(&self, rows: usize, bytes: usize) {
        self.state_rows.store(rows as u64, Ordering::Relaxed);
        self.state_bytes.store(bytes as u64, Ordering::Relaxed);
    }
}

/// A step as the plan has it.
#[derive(Debug, Clone)]
pub(crate) struct StepInfo {
    pub kind: StepKind,
    pub label: String,
    pub inputs: Vec<usize>,
    pub counters: Arc<StepCounters>,
}

/// Read access to a flow's statistics.
#[derive(Debug, Clone)]
pub struct StatsHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    flow: String,
    table: String,
    steps: Vec<StepInfo>,
    changing: Mutex<Changing>,
}

/// What the task writes once an epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changing {
    pub status: Status,
    pub epoch: u64,
    pub totals: Totals,
    pub watermark_us: Option<i64>,
    pub backlog_done: u64,
    pub backlog_total: u64,
    pub snapshots: u64,
}

impl StatsHandle {
    pub(crate) fn new(flow: &str, table: &str, steps: Vec<StepInfo>) -> Self {
        let (flow, table) = (flow.to_owned(), table.to_owned());
        Self(Arc::new(Shared { flow, table, steps, changing: Mutex::default() }))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Changing)) {
        change(&mut self.0.changing.lock());
    }

    /// How things are now.
    pub fn get(&self) -> FlowStats {
        let changing = self.0.changing.lock().clone();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let steps = self.0.steps.iter().enumerate().map(|(id, step)| StepStats {
            id,
            kind: step.kind,
            label: step.label.clone(),
            inputs: step.inputs.clone(),
            rows_in: get(&step.counters.rows_in),
            rows_out: get(&step.counters.rows_out),
            late: get(&step.counters.late),
            dead: get(&step.counters.dead),
            state_rows: get(&step.counters.state_rows),
            state_bytes: get(&step.counters.state_bytes),
        });
        let steps: Vec<StepStats> = steps.collect();
        FlowStats {
            flow: self.0.flow.clone(),
            table: self.0.table.clone(),
            status: changing.status,
            epoch: changing.epoch,
            totals: changing.totals.into(),
            watermark_us: changing.watermark_us,
            state_rows: steps.iter().map(|step| step.state_rows).sum(),
            state_bytes: steps.iter().map(|step| step.state_bytes).sum(),
            backlog_done: changing.backlog_done,
            backlog_total: changing.backlog_total,
            snapshots: changing.snapshots,
            steps,
        }
    }
}
