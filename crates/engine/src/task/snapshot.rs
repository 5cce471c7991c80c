//! When state is written, and how large it is.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::FlowTask;
use crate::aggregate::State;
use crate::error::EngineError;
use crate::source::Position;
use crate::state::{Place, Snapshot, Store};

/// A snapshot that is on disk.
pub(super) struct Written {
    store: Store,
    epoch: u64,
    sources: BTreeMap<String, Position>,
}

/// How often the size of state is looked at, in µs.
const MEASURE_EVERY_US: i64 = 500_000;

impl FlowTask {
    /// Begins a snapshot if it is time; takes note of one that is done.
    pub(super) async fn snapshot_if_due(&mut self) -> Result<(), EngineError> {
        if self.writing.as_ref().is_some_and(|writing| writing.is_finished()) {
            self.snapshot_written().await?;
        }
        if self.snapshot_deadline_us().is_some_and(|deadline_us| deadline_us <= self.options.clock.now_us()) {
            self.begin_snapshot().await?;
        }
        Ok(())
    }

    /// When the next snapshot is due: never if there is nothing new, or one is being written.
    pub(super) fn snapshot_deadline_us(&self) -> Option<i64> {
        (self.epoch > self.snapshot_epoch && self.writing.is_none())
            .then(|| self.snapshot_at_us.saturating_add(self.options.snapshot_every_us))
    }

    /// A snapshot that is on disk when this returns.
    pub(super) async fn snapshot_now(&mut self) -> Result<(), EngineError> {
        self.snapshot_written().await?;
        if self.epoch > self.snapshot_epoch {
            self.begin_snapshot().await?;
            self.snapshot_written().await?;
        }
        self.measure();
        Ok(())
    }

    /// Takes what changed out of the operators; another thread writes it while epochs go on.
    async fn begin_snapshot(&mut self) -> Result<(), EngineError> {
        self.snapshot_at_us = self.options.clock.now_us();
        if !self.program.is_stateful() {
            // Nothing to write, but records of progress can go.
            self.snapshot_epoch = self.epoch;
            return self.tell_log().await;
        }
        let snapshot = self.collect_snapshot()?;
        let mut store = self.store.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let (epoch, sources) = (snapshot.progress.epoch, snapshot.progress.sources.clone());
            store.write(snapshot)?;
            Ok(Written { store, epoch, sources })
        }));
        Ok(())
    }

    /// Waits for the snapshot that is being written.
    pub(super) async fn snapshot_written(&mut self) -> Result<(), EngineError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let written = match writing.await {
            Ok(written) => written,
            Err(error) => Err(EngineError::State {
                path: self.options.state_folder.clone(),
                message: format!("writing the snapshot stopped: {error}"),
            }),
        };
        match written {
            Ok(Written { store, epoch, sources }) => {
                self.store = store;
                self.snapshot_epoch = epoch;
                self.hold(&sources);
                self.stats.change(|stats| stats.snapshots += 1);
                self.tell_log().await
            }
            Err(error) => {
                // The log still has every epoch since the last one: nothing is lost, and the next try writes everything.
                tracing::warn!(flow = self.program.name, %error, "no snapshot now; it is tried again");
                for aggregate in &mut self.aggregates {
                    aggregate.not_stored();
                }
                Ok(())
            }
        }
    }

    /// Asks the sources to keep what a replay from the snapshot would read.
    pub(super) fn hold(&self, sources: &BTreeMap<String, Position>) {
        for (input, source) in self.program.inputs.iter().zip(&self.sources) {
            let name = &input.relation.name;
            if let Some(position) = sources.get(name) {
                source.needed_from(&format!("{}/{name}", self.program.name), position);
            }
        }
    }

    async fn tell_log(&mut self) -> Result<(), EngineError> {
        match self.log.snapshot_taken(self.snapshot_epoch).await {
            Ok(()) => Ok(()),
            // It only makes room.
            Err(crate::flow_log::CommitError::Unavailable(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// State as of the last commit, as what is new and where the rest is.
    pub(super) fn collect_snapshot(&mut self) -> Result<Snapshot, EngineError> {
        let mut runs = Vec::new();
        let mut operators = Vec::with_capacity(self.aggregates.len());
        for (index, aggregate) in self.aggregates.iter_mut().enumerate() {
            let name = format!("{}-{index}.arrow", self.epoch);
            let schema = &self.program.stateful[index].spec.state;
            let mut batches = Vec::new();
            let mut places = Vec::new();
            for part in aggregate.parts(&name)? {
                places.push(Place { run: part.place.run, batch: part.place.batch, groups: part.groups });
                if let Some(State { keys, functions }) = part.state {
                    let columns = keys.into_iter().chain(functions.into_iter().flatten()).collect();
                    batches.push(RecordBatch::try_new(schema.clone(), columns)?);
                }
            }
            if !batches.is_empty() {
                runs.push((name, schema.clone(), batches));
            }
            operators.push(places);
        }
        let progress = self.progress(self.watermarks.current_us());
        Ok(Snapshot { progress, plan: self.program.plan_text.clone(), runs, operators })
    }

    pub(super) fn measure_sometimes(&mut self) {
        if self.options.clock.now_us() - self.measured_at_us >= MEASURE_EVERY_US {
            self.measure();
        }
    }

    /// Counts groups and bytes of state for the statistics.
    pub(super) fn measure(&mut self) {
        self.measured_at_us = self.options.clock.now_us();
        for (aggregate, stateful) in self.aggregates.iter().zip(&self.program.stateful) {
            stateful.counters.state(aggregate.groups(), aggregate.bytes());
        }
    }
}
