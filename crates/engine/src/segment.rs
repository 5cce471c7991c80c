//! A run of row-wise operators from a source or a stateful operator to the next one. It is evaluated a column at a time; only a batch
//! in which a row fails is gone through in ever smaller pieces, until the rows to blame are found.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{is_not_null, nullif};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use crate::error::EngineError;
use crate::fault::{RowFault, is_row_fault};
use crate::ops::{Notes, Op, Rows};
use crate::stats::StepCounters;

/// A column that the stateful operator behind a segment wants.
#[derive(Debug, Clone)]
pub(crate) enum Prepared {
    /// The value of an expression.
    Expr(Arc<dyn PhysicalExpr>),
    /// The end of a window that an expression gives.
    WindowEnd(Arc<dyn PhysicalExpr>),
}

/// Operators, and what the next stateful operator wants of each row.
#[derive(Debug, Default, Clone)]
pub(crate) struct Segment {
    pub ops: Vec<(Arc<Op>, Arc<StepCounters>)>,
    pub prepare: Vec<Prepared>,
    /// Which of `prepare` is the time by which state is kept; rows without it are taken out.
    pub time: Option<usize>,
}

/// Rows at the end of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub batch: RecordBatch,
    /// As [`Segment::prepare`] says.
    pub prepared: Vec<ArrayRef>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub outputs: Vec<Output>,
    pub faults: Vec<RowFault>,
    pub event_time_us: Option<i64>,
}

impl Segment {
    /// Sends a batch through.
    pub fn run(&self, batch: &RecordBatch) -> Result<Outcome, EngineError> {
        let mut outcome = Outcome::default();
        match self.try_run(batch, None, &mut outcome) {
            Ok(()) => Ok(outcome),
            Err(error) if is_row_fault(&error) && batch.num_rows() > 0 => {
                // What fails without a row is no row's fault.
                self.try_run(&batch.slice(0, 0), None, &mut Outcome::default())?;
                let mut outcome = Outcome::default();
                self.search(batch, 0, batch.num_rows(), &mut outcome)?;
                outcome.faults.sort_by_key(|fault| fault.row);
                Ok(outcome)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Halves a range of rows that fails until what is left fails alone.
    fn search(&self, batch: &RecordBatch, from: usize, to: usize, outcome: &mut Outcome) -> Result<(), EngineError> {
        match self.try_run(&batch.slice(from, to - from), Some(from as u32), outcome) {
            Ok(()) => Ok(()),
            Err(error) if !is_row_fault(&error) => Err(error.into()),
            Err(error) if to - from == 1 => {
                outcome.faults.push(RowFault::new(from as u32, &error));
                Ok(())
            }
            Err(_) => {
                let middle = from + (to - from) / 2;
                self.search(batch, from, middle, outcome)?;
                self.search(batch, middle, to, outcome)
            }
        }
    }

    /// All or nothing: `outcome` is touched only if no row fails. `first`: index of the batch's first row, if origins are kept.
    fn try_run(&self, batch: &RecordBatch, first: Option<u32>, outcome: &mut Outcome) -> Result<(), DataFusionError> {
        let mut notes = Notes::default();
        let mut counts = Vec::with_capacity(self.ops.len());
        let count = batch.num_rows() as u32;
        let origin = first.map(|first| UInt32Array::from_iter_values(first..first + count));
        let mut rows = Rows { batch: batch.clone(), origin };
        for (op, _) in &self.ops {
            let before = rows.batch.num_rows();
            rows = op.apply(rows, &mut notes)?;
            counts.push((before, rows.batch.num_rows()));
        }
        let mut prepared = Vec::with_capacity(self.prepare.len());
        for wanted in &self.prepare {
            prepared.push(wanted.evaluate(&rows.batch)?);
        }
        if let Some(times) = self.time.map(|time| Arc::clone(&prepared[time])).filter(|times| times.null_count() > 0) {
            let nulls: Vec<usize> = (0..times.len()).filter(|row| times.is_null(*row)).collect();
            notes.null_times(rows.origin.as_ref(), nulls.into_iter());
            let known = is_not_null(&times)?;
            rows.batch = arrow::compute::filter_record_batch(&rows.batch, &known)?;
            for column in &mut prepared {
                *column = arrow::compute::filter(column, &known)?;
            }
        }
        if notes.wants_origin && first.is_none() {
            return self.try_run(batch, Some(0), outcome);
        }
        notes.faults.sort_by_key(|a| a.row);
        // Windows and lists make several rows of one, and a text that was malformed has no event time either: the first word is the cause.
        notes.faults.dedup_by(|later, first| {
            let same = later.row == first.row;
            first.kept &= !same || later.kept;
            same
        });
        outcome.faults.append(&mut notes.faults);
        outcome.event_time_us = outcome.event_time_us.max(notes.event_time_us);
        for ((_, step), (rows_in, rows_out)) in self.ops.iter().zip(counts) {
            step.add(rows_in, rows_out);
        }
        if rows.batch.num_rows() > 0 {
            outcome.outputs.push(Output { batch: rows.batch, prepared });
        }
        Ok(())
    }
}

impl Prepared {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        match self {
            Self::Expr(expr) => expr.evaluate(batch)?.into_array(batch.num_rows()),
            Self::WindowEnd(expr) => {
                let windows = expr.evaluate(batch)?.into_array(batch.num_rows())?;
                let windows = windows.as_struct();
                let (_, bounds, nulls) = windows.clone().into_parts();
                let end = bounds.into_iter().nth(1).expect("a window has a start and an end");
                // A window is null only where its row came from the empty side of an outer join.
                match nulls.filter(|nulls| nulls.null_count() > 0) {
                    Some(nulls) => Ok(nullif(&end, &BooleanArray::new(!nulls.inner(), None))?),
                    None => Ok(end),
                }
            }
        }
    }
}
