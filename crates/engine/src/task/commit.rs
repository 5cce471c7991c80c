//! The commit: what is pending and where the flow stands, in one atomic append.

use std::sync::Arc;

use super::{FlowTask, Pending};
use crate::error::EngineError;
use crate::flow_log::{Commit, CommitError, Progress};

impl FlowTask {
    /// Where the flow stands, if windows up to `evicted_until_us` are out.
    pub(super) fn progress(&self, evicted_until_us: Option<i64>) -> Progress {
        let names = self.program.inputs.iter().map(|input| input.relation.name.clone());
        Progress {
            epoch: self.epoch,
            fingerprint: self.program.fingerprint.clone(),
            sources: names.zip(self.positions.iter().cloned()).collect(),
            origins: self.origins.clone(),
            clocks: self.watermarks.clocks().clone(),
            watermark_us: self.watermarks.current_us(),
            evicted_until_us,
            snapshot: (self.snapshot_epoch > 0).then_some(self.snapshot_epoch),
            totals: self.totals,
            reading: self.reading.clone(),
        }
    }

    /// Commits what is pending. While the log cannot take it, waits and repeats: nothing more is read meanwhile.
    pub(super) async fn commit(&mut self, evicted_until_us: Option<i64>) -> Result<(), EngineError> {
        let Pending { rows, late, dead, .. } = std::mem::take(&mut self.pending);
        let commit = Commit { rows, late, dead, progress: self.progress(evicted_until_us) };
        let log = Arc::clone(&self.log);
        let mut attempt = 0;
        loop {
            match log.commit(commit.clone()).await {
                Ok(()) => break,
                Err(CommitError::Unavailable(reason)) => self.wait(&reason, &mut attempt).await?,
                Err(error) => return Err(error.into()),
            }
        }
        let (epoch, totals, watermark_us) = (self.epoch, self.totals, self.watermarks.current_us());
        self.stats.change(|stats| {
            stats.epoch = epoch;
            stats.totals = totals;
            stats.watermark_us = watermark_us;
        });
        self.measure_sometimes();
        Ok(())
    }
}
