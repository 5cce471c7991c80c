//! One epoch: read what there is, let go what is final, commit.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;

use super::pull::{PullError, offsets, pull};
use super::{FlowTask, OnError};
use crate::blame;
use crate::compile::{FlowProgram, Target};
use crate::error::EngineError;
use crate::fault::RowFault;
use crate::flow_log::{DeadLetter, Reading};
use crate::segment::{Outcome, Output};
use crate::source::{Position, SourceBatch};
use crate::stats::Status;
use crate::watermark::Activity;

/// Final groups go through the operators behind in batches of so many rows.
const SLICE_ROWS: usize = 16 * 1024;

impl FlowTask {
    /// An epoch from the position to `ends`. `false`: there was nothing to do.
    pub(super) async fn run_epoch(&mut self, ends: &[Position], activity: &Activity) -> Result<bool, EngineError> {
        let before_us = self.watermarks.current_us();
        let watermark_us = self.watermarks.next_us(activity);
        let backlog: i64 = self.positions.iter().zip(ends).map(|(from, to)| offsets(from, to)).sum();
        let grown = self.positions.iter().zip(ends).any(|(from, to)| to.keys().any(|key| !from.contains_key(key)));
        if backlog == 0 && !grown && (watermark_us == before_us || !self.program.is_stateful()) {
            return Ok(false);
        }
        self.look_at_statics_sometimes().await?;
        self.stats.change(|stats| stats.status = Status::Running);
        self.epoch += 1;
        let names = self.program.inputs.iter().map(|input| input.relation.name.clone());
        self.reading = Some(Reading { until: names.zip(ends.iter().cloned()).collect(), watermark_us });
        self.read_and_let_go().await?;
        Ok(true)
    }

    /// Does what [`FlowTask::reading`] says.
    async fn read_and_let_go(&mut self) -> Result<(), EngineError> {
        let Some(reading) = self.reading.clone() else { return self.let_go().await };
        let program = Arc::clone(&self.program);
        for (index, input) in program.inputs.iter().enumerate() {
            if let Some(end) = reading.until.get(&input.relation.name) {
                self.read(index, end).await?;
            }
        }
        self.reading = None;
        self.watermarks.advance(reading.watermark_us);
        self.let_go().await
    }

    /// Lets go what the watermark has passed, commits the epoch.
    async fn let_go(&mut self) -> Result<(), EngineError> {
        if let Some(watermark_us) = self.watermarks.current_us().filter(|_| self.program.is_stateful()) {
            // With several stateful operators one's output is the other's state: there the epoch has one part.
            let rows_max = if self.aggregates.len() == 1 { self.options.commit_rows_max } else { usize::MAX };
            loop {
                let until_us = self.evict(watermark_us, rows_max, true)?;
                if until_us >= watermark_us {
                    break;
                }
                self.commit(Some(until_us)).await?;
            }
        }
        self.commit(self.watermarks.current_us()).await?;
        self.forget_finished();
        Ok(())
    }

    /// Finishes an epoch of which a part was committed before the process ended.
    pub(super) async fn finish_epoch(&mut self) -> Result<(), EngineError> {
        match std::mem::take(&mut self.unfinished) {
            true => self.read_and_let_go().await,
            false => Ok(()),
        }
    }

    /// Reads one input up to `end`.
    async fn read(&mut self, index: usize, end: &Position) -> Result<(), EngineError> {
        let mut attempt = 0;
        let total = offsets(&self.positions[index], end);
        self.stats.change(|stats| stats.backlog_total += u64::try_from(total).unwrap_or(0));
        loop {
            match self.read_once(index, end).await? {
                Ok(()) => return Ok(()),
                // What came so far is taken up already: the next try begins behind it.
                Err(error) => self.source_failed(index, error, &mut attempt).await?,
            }
        }
    }

    async fn read_once(
        &mut self,
        index: usize,
        end: &Position,
    ) -> Result<Result<(), crate::source::SourceError>, EngineError> {
        let from = self.positions[index].clone();
        if offsets(&from, end) > 0 {
            let program = Arc::clone(&self.program);
            let mut batches = pull(&program, index, &self.sources[index], from, end.clone());
            while let Some(pulled) = batches.next().await {
                let (batch, outcome) = match pulled {
                    Ok(pulled) => pulled,
                    Err(PullError::Source(error)) => return Ok(Err(error)),
                    Err(PullError::Engine(error)) => return Err(error),
                };
                self.take_up(&program, index, batch, outcome).await?;
                if self.pending.count >= self.options.commit_rows_max
                    || self.pending.bytes >= self.options.commit_bytes_max
                {
                    self.commit_read_part().await?;
                }
                if self.stopping() {
                    return Err(EngineError::Stopped("reading".into()));
                }
            }
        }
        // Offsets that hold no row (compacted, or markers) are passed too.
        let passed = offsets(&self.positions[index], end);
        self.stats.change(|stats| stats.backlog_done += u64::try_from(passed).unwrap_or(0));
        self.positions[index].extend(end.iter().map(|(partition, offset)| (partition.clone(), *offset)));
        Ok(Ok(()))
    }

    /// Commits what is pending in the middle of reading. Without state, an epoch means nothing to the result and ends here; with it, this is
    /// a part of the epoch, the watermark stays, and the record says how the epoch goes on.
    async fn commit_read_part(&mut self) -> Result<(), EngineError> {
        if self.program.is_stateful() {
            return self.commit(self.watermarks.current_us()).await;
        }
        let reading = self.reading.take();
        self.commit(self.watermarks.current_us()).await?;
        self.reading = reading;
        self.epoch += 1;
        Ok(())
    }

    async fn take_up(
        &mut self,
        program: &FlowProgram,
        index: usize,
        batch: SourceBatch,
        outcome: Outcome,
    ) -> Result<(), EngineError> {
        let from = self.positions[index].get(&batch.partition).copied();
        let faults = self.process(program, index, &batch, outcome, true)?;
        if !faults.is_empty() {
            let input = &program.inputs[index];
            let range = (from, batch.next_offset);
            let source = &self.sources[index];
            let letters = blame::letters(source, &input.relation, &batch.partition, range, &faults).await;
            input.counters.dead(letters.len());
            self.dead(&faults, letters)?;
        }
        let done = batch.next_offset - from.unwrap_or(0);
        self.stats.change(|stats| stats.backlog_done += u64::try_from(done).unwrap_or(0));
        self.positions[index].insert(batch.partition, batch.next_offset);
        Ok(())
    }

    /// Sends what came out of an input's segment to where it goes. Rows of the output are dropped if `emit` is false.
    pub(super) fn process(
        &mut self,
        program: &FlowProgram,
        index: usize,
        batch: &SourceBatch,
        outcome: Outcome,
        emit: bool,
    ) -> Result<Vec<RowFault>, EngineError> {
        let input = &program.inputs[index];
        input.counters.add(batch.rows.num_rows(), batch.rows.num_rows());
        if let Some(event_time_us) = outcome.event_time_us {
            self.watermarks.observe(&input.relation.name, &batch.partition, event_time_us);
        }
        if emit {
            self.totals.rows_in += batch.rows.num_rows() as u64;
        }
        for output in outcome.outputs {
            self.route(program, output, input.target, emit)?;
        }
        Ok(outcome.faults)
    }

    fn route(&mut self, program: &FlowProgram, output: Output, target: Target, emit: bool) -> Result<(), EngineError> {
        let rows = output.batch.num_rows();
        match target {
            Target::Output if emit => {
                self.totals.rows_out += rows as u64;
                let table = program.steps.last().expect("the table is the last step");
                table.counters.add(rows, rows);
                self.pending.take(&output.batch);
                self.pending.rows.push(output.batch);
            }
            Target::Output => {}
            Target::Stateful(index) => {
                let counters = &program.stateful[index].counters;
                counters.add(rows, 0);
                let judge_us = self.watermarks.current_us();
                if let Some(late) = self.aggregates[index].push(output, judge_us)?.late.filter(|_| emit) {
                    counters.late(late.num_rows());
                    self.totals.late += late.num_rows() as u64;
                    self.pending.take(&late);
                    self.pending.late.push(late);
                }
            }
        }
        Ok(())
    }

    /// Takes groups out whose time is at or before `until_us` and sends them on; gives up to where everything is out.
    pub(super) fn evict(&mut self, until_us: i64, rows_max: usize, emit: bool) -> Result<i64, EngineError> {
        let program = Arc::clone(&self.program);
        let mut reached_us = until_us;
        for (index, stateful) in program.stateful.iter().enumerate() {
            let evicted = self.aggregates[index].evict(until_us, rows_max)?;
            reached_us = reached_us.min(evicted.until_us);
            for batch in evicted.batches {
                stateful.counters.add(0, batch.num_rows());
                for from in (0..batch.num_rows()).step_by(SLICE_ROWS) {
                    let slice = batch.slice(from, SLICE_ROWS.min(batch.num_rows() - from));
                    let outcome = stateful.segment.run(&slice)?;
                    for output in outcome.outputs {
                        self.route_final(&program, output, stateful.target, emit)?;
                    }
                    if emit && !outcome.faults.is_empty() {
                        stateful.counters.dead(outcome.faults.len());
                        let letters = outcome.faults.iter().map(|fault| blame::letter_of_row(fault, &slice));
                        self.dead(&outcome.faults, letters.collect())?;
                    }
                }
            }
        }
        Ok(reached_us)
    }

    /// Final groups of one operator are never late for the next: they left with the watermark that the next one is still to hear of.
    fn route_final(
        &mut self,
        program: &FlowProgram,
        output: Output,
        target: Target,
        emit: bool,
    ) -> Result<(), EngineError> {
        match target {
            Target::Output => self.route(program, output, target, emit),
            Target::Stateful(index) => {
                program.stateful[index].counters.add(output.batch.num_rows(), 0);
                self.aggregates[index].push(output, None)?;
                Ok(())
            }
        }
    }

    fn dead(&mut self, faults: &[RowFault], letters: Vec<DeadLetter>) -> Result<(), EngineError> {
        let stopping = faults.iter().zip(&letters).find(|(fault, _)| fault.stops).map(|(_, letter)| letter);
        if let (OnError::Fail, Some(letter)) = (self.options.on_error, stopping) {
            let place = match &letter.record {
                Some(record) => {
                    format!("topic {}, partition {}, offset {}", record.topic, record.partition, record.offset)
                }
                None => String::from_utf8_lossy(&letter.value).into_owned(),
            };
            let (class, message) = (letter.error_class.clone(), letter.message.clone());
            return Err(EngineError::Row { class, message, place });
        }
        self.totals.dead += letters.len() as u64;
        self.pending.count += letters.len();
        self.pending.bytes += letters.iter().map(|letter| letter.value.len()).sum::<usize>();
        self.pending.dead.extend(letters);
        Ok(())
    }

    /// Clocks of partitions that never get another row become one.
    fn forget_finished(&mut self) {
        for (index, position) in self.positions.iter().enumerate() {
            let source = &self.sources[index];
            let name = &self.program.inputs[index].relation.name;
            if !self.watermarks.clocks().contains_key(name) {
                continue;
            }
            for partition in position.keys().filter(|partition| source.partition_ends(partition)) {
                self.watermarks.finish(name, partition);
            }
        }
    }
}

impl super::Pending {
    fn take(&mut self, batch: &RecordBatch) {
        self.count += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
    }
}
