//! Taking a flow up where it was: its last progress, its last snapshot, and the epochs between them once more, without output.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;

use super::FlowTask;
use super::pull::{PullError, offsets, pull};
use crate::aggregate::State;
use crate::error::EngineError;
use crate::flow_log::{CommitError, Progress};
use crate::state::{Manifest, Snapshot};

impl FlowTask {
    /// Makes the folder of state its own, and has the sources keep what a replay will read. Before anything that may take long: retention looks
    /// soon after a start.
    pub(super) fn take_state(&mut self) -> Result<(), EngineError> {
        if !self.program.is_stateful() {
            return Ok(());
        }
        self.store.lock()?;
        if let Some(manifest) = self.store.manifest()? {
            self.hold(&manifest.progress.sources);
        }
        Ok(())
    }

    pub(super) async fn recover(&mut self) -> Result<(), EngineError> {
        let manifest = match self.program.is_stateful() {
            true => self.store.manifest()?,
            false => None,
        };
        let Some(last) = self.last().await? else {
            return self.begin().await;
        };
        if last.fingerprint != self.program.fingerprint {
            return Err(self.changed(&last, manifest.as_ref()));
        }
        self.find_origins(&last.origins).await?;
        if self.program.is_stateful() {
            let manifest = manifest.filter(|manifest| manifest.progress.epoch <= last.epoch);
            let manifest = manifest.ok_or_else(|| self.state_missing(last.epoch))?;
            if manifest.progress.fingerprint != self.program.fingerprint {
                return Err(self.changed(&last, Some(&manifest)));
            }
            self.load(&manifest)?;
            self.replay(manifest.progress, &last).await?;
        }
        self.restore(&last);
        self.epoch = last.epoch;
        self.totals = last.totals;
        self.unfinished = last.reading.is_some() || last.evicted_until_us < last.watermark_us;
        self.reading = last.reading;
        let (epoch, totals, watermark_us) = (last.epoch, last.totals, last.watermark_us);
        self.stats.change(|stats| {
            stats.epoch = epoch;
            stats.totals = totals;
            stats.watermark_us = watermark_us;
        });
        Ok(())
    }

    /// Asks each source for the world that its positions belong to. It has to be the one of `before`: elsewhere the same offsets are of
    /// other rows, and going on would lose or repeat some without a word.
    async fn find_origins(&mut self, before: &BTreeMap<String, String>) -> Result<(), EngineError> {
        self.origins.clone_from(before);
        for index in 0..self.sources.len() {
            let source = Arc::clone(&self.sources[index]);
            let mut attempt = 0;
            let origin = loop {
                match source.origin().await {
                    Ok(origin) => break origin,
                    Err(error) => self.source_failed(index, error, &mut attempt).await?,
                }
            };
            let Some(origin) = origin else { continue };
            let relation = self.program.inputs[index].relation.name.clone();
            match self.origins.get(&relation) {
                Some(was) if *was != origin => {
                    return Err(EngineError::Elsewhere {
                        flow: self.program.name.clone(),
                        table: self.program.table.clone(),
                        relation,
                        was: was.clone(),
                        origin,
                    });
                }
                _ => self.origins.insert(relation, origin),
            };
        }
        Ok(())
    }

    /// A flow that never ran. Where it begins is kept with the state, because a source may answer differently later.
    async fn begin(&mut self) -> Result<(), EngineError> {
        self.find_origins(&BTreeMap::new()).await?;
        for index in 0..self.sources.len() {
            let source = Arc::clone(&self.sources[index]);
            let mut attempt = 0;
            self.positions[index] = loop {
                match source.start().await {
                    Ok(start) => break start,
                    Err(error) => self.source_failed(index, error, &mut attempt).await?,
                }
            };
        }
        if self.program.is_stateful() {
            let progress = self.progress(None);
            self.hold(&progress.sources);
            let operators = vec![Vec::new(); self.aggregates.len()];
            let plan = self.program.plan_text.clone();
            self.store.write(Snapshot { progress, plan, runs: Vec::new(), operators })?;
        }
        Ok(())
    }

    /// Puts the snapshot's groups in memory.
    fn load(&mut self, manifest: &Manifest) -> Result<(), EngineError> {
        let program = Arc::clone(&self.program);
        if manifest.operators.len() != program.stateful.len() {
            return Err(self.state_missing(manifest.progress.epoch));
        }
        for (index, places) in manifest.operators.iter().enumerate() {
            let spec = &program.stateful[index].spec;
            let aggregate = &mut self.aggregates[index];
            self.store.read(places, &spec.state, |batch| {
                let mut columns = batch.columns().iter().cloned();
                let keys = columns.by_ref().take(spec.keys.fields().len()).collect();
                let functions = spec.functions.iter();
                let functions =
                    functions.map(|function| columns.by_ref().take(function.state_columns).collect()).collect();
                Ok(aggregate.merge(&State { keys, functions })?)
            })?;
        }
        self.snapshot_epoch = manifest.progress.epoch;
        Ok(())
    }

    /// Repeats what was committed after the snapshot: the same ranges, judged and let go by the same watermarks.
    async fn replay(&mut self, from: Progress, last: &Progress) -> Result<(), EngineError> {
        let records = self.since(from.epoch).await?;
        let complete = match records.first() {
            Some(first) => first.epoch <= from.epoch + 1,
            None => last.epoch == from.epoch,
        };
        if !complete {
            return Err(self.state_missing(last.epoch));
        }
        let mut before = from;
        self.restore(&before);
        for record in records {
            self.replay_one(&before, &record).await?;
            before = record;
        }
        Ok(())
    }

    async fn replay_one(&mut self, before: &Progress, record: &Progress) -> Result<(), EngineError> {
        let program = Arc::clone(&self.program);
        let mut rows = 0;
        for (index, input) in program.inputs.iter().enumerate() {
            let name = &input.relation.name;
            let Some(to) = record.sources.get(name) else { continue };
            let mut from = before.sources.get(name).cloned().unwrap_or_default();
            let mut attempt = 0;
            while offsets(&from, to) > 0 {
                let mut failed = None;
                let mut batches = pull(&program, index, &self.sources[index], from.clone(), to.clone());
                while let Some(pulled) = batches.next().await {
                    match pulled {
                        Ok((batch, outcome)) => {
                            rows += batch.rows.num_rows() as u64;
                            self.process(&program, index, &batch, outcome, false)?;
                            from.insert(batch.partition, batch.next_offset);
                        }
                        Err(PullError::Engine(error)) => return Err(error),
                        Err(PullError::Source(error)) => {
                            failed = Some(error);
                            break;
                        }
                    }
                    if self.stopping() {
                        return Err(EngineError::Stopped("rebuilding state".into()));
                    }
                }
                match failed {
                    Some(error) => self.source_failed(index, error, &mut attempt).await?,
                    None => break,
                }
            }
        }
        // A source that lost rows since would make other sums of them, whatever it says of lost rows otherwise.
        let read = record.totals.rows_in - before.totals.rows_in;
        if rows != read {
            return Err(EngineError::RowsGone {
                flow: self.program.name.clone(),
                table: self.program.table.clone(),
                read,
                left: rows,
            });
        }
        self.restore(record);
        if let Some(until_us) = record.evicted_until_us {
            self.evict(until_us, usize::MAX, false)?;
        }
        Ok(())
    }

    fn restore(&mut self, progress: &Progress) {
        for (index, input) in self.program.inputs.iter().enumerate() {
            self.positions[index] = progress.sources.get(&input.relation.name).cloned().unwrap_or_default();
        }
        self.watermarks.restore(progress.clocks.clone(), progress.watermark_us);
    }

    async fn last(&mut self) -> Result<Option<Progress>, EngineError> {
        let log = Arc::clone(&self.log);
        let mut attempt = 0;
        loop {
            match log.last().await {
                Ok(last) => return Ok(last),
                Err(CommitError::Unavailable(reason)) => self.wait(&reason, &mut attempt).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn since(&mut self, epoch: u64) -> Result<Vec<Progress>, EngineError> {
        let log = Arc::clone(&self.log);
        let mut attempt = 0;
        loop {
            match log.since(epoch).await {
                Ok(records) => return Ok(records.into_iter().filter(|record| record.epoch > epoch).collect()),
                Err(CommitError::Unavailable(reason)) => self.wait(&reason, &mut attempt).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn state_missing(&self, epoch: u64) -> EngineError {
        EngineError::StateMissing {
            flow: self.program.name.clone(),
            table: self.program.table.clone(),
            path: self.store.folder().to_owned(),
            epoch,
        }
    }

    fn changed(&self, last: &Progress, manifest: Option<&Manifest>) -> EngineError {
        EngineError::Changed {
            flow: self.program.name.clone(),
            table: self.program.table.clone(),
            epoch: last.epoch,
            change: first_difference(manifest.map(|manifest| manifest.plan.as_str()), &self.program.plan_text),
        }
    }
}

/// The first line in which two plans differ, in words.
fn first_difference(old: Option<&str>, new: &str) -> String {
    let Some(old) = old else { return "what it was before is not known in words".to_owned() };
    let (mut old_lines, mut new_lines) = (old.lines().map(str::trim), new.lines().map(str::trim));
    loop {
        match (old_lines.next(), new_lines.next()) {
            (None, None) => return "a source, a type or an option is another one".to_owned(),
            (old, new) if old == new => {}
            (old, new) => {
                let text = |line: Option<&str>| line.map_or("nothing".to_owned(), |line| format!("`{line}`"));
                return format!("{} was {}", text(new), text(old));
            }
        }
    }
}
