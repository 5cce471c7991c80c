//! Groups and their accumulators, in columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::GroupsAccumulatorAdapter;

use super::{AggregateSpec, Function};

/// Groups with one accumulator per function. Emitting takes everything out.
pub(crate) struct Groups {
    values: Box<dyn GroupValues>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

/// Groups taken out of memory: keys and each function's state, a row per group, in the order in which they came.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub keys: Vec<ArrayRef>,
    pub functions: Vec<Vec<ArrayRef>>,
}

impl Groups {
    pub fn new(spec: &AggregateSpec) -> Result<Self, DataFusionError> {
        let values = new_group_values(Arc::clone(&spec.keys), &GroupOrdering::None)?;
        let accumulators = spec.functions.iter().map(accumulator).collect::<Result<_, _>>()?;
        Ok(Self { values, accumulators })
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.values.size() + self.accumulators.iter().map(|accumulator| accumulator.size()).sum::<usize>()
    }

    /// Takes rows up. `columns`: keys, then arguments and filters, as the specification says. `scratch` holds group numbers.
    pub fn update(
        &mut self,
        spec: &AggregateSpec,
        columns: &[ArrayRef],
        scratch: &mut Vec<usize>,
    ) -> Result<(), DataFusionError> {
        self.values.intern(&columns[..spec.keys.fields().len()], scratch)?;
        let total = self.values.len();
        for (function, accumulator) in spec.functions.iter().zip(&mut self.accumulators) {
            let selected: Option<&BooleanArray> = function.filter.map(|column| columns[column].as_boolean());
            accumulator.update_batch(&columns[function.args.clone()], scratch, selected, total)?;
        }
        Ok(())
    }

    /// Takes groups up that were taken out elsewhere.
    pub fn merge(&mut self, state: &State, scratch: &mut Vec<usize>) -> Result<(), DataFusionError> {
        self.values.intern(&state.keys, scratch)?;
        let total = self.values.len();
        for (accumulator, columns) in self.accumulators.iter_mut().zip(&state.functions) {
            accumulator.merge_batch(columns, scratch, total)?;
        }
        Ok(())
    }

    /// Takes all groups out as state.
    pub fn take_state(&mut self) -> Result<State, DataFusionError> {
        let functions = self.accumulators.iter_mut().map(|accumulator| accumulator.state(EmitTo::All));
        let functions = functions.collect::<Result<_, _>>()?;
        Ok(State { keys: self.values.emit(EmitTo::All)?, functions })
    }

    /// Takes all groups out as results.
    pub fn take_results(&mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), DataFusionError> {
        let values = self.accumulators.iter_mut().map(|accumulator| accumulator.evaluate(EmitTo::All));
        let values = values.collect::<Result<_, _>>()?;
        Ok((self.values.emit(EmitTo::All)?, values))
    }
}

impl State {
    /// The groups for which `selected` holds.
    pub fn filter(&self, selected: &BooleanArray) -> Result<Self, DataFusionError> {
        let each = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>, DataFusionError> {
            Ok(columns.iter().map(|column| filter(column, selected)).collect::<Result<_, _>>()?)
        };
        let functions = self.functions.iter().map(|columns| each(columns)).collect::<Result<_, _>>()?;
        Ok(Self { keys: each(&self.keys)?, functions })
    }

    /// Groups `from..from + count`.
    pub fn slice(&self, from: usize, count: usize) -> Self {
        let each = |columns: &[ArrayRef]| columns.iter().map(|column| column.slice(from, count)).collect();
        Self { keys: each(&self.keys), functions: self.functions.iter().map(|columns| each(columns)).collect() }
    }

    /// The groups at `indices`.
    pub fn take(&self, indices: &arrow::array::UInt32Array) -> Result<Self, DataFusionError> {
        let each = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>, DataFusionError> {
            Ok(columns.iter().map(|column| arrow::compute::take(column, indices, None)).collect::<Result<_, _>>()?)
        };
        let functions = self.functions.iter().map(|columns| each(columns)).collect::<Result<_, _>>()?;
        Ok(Self { keys: each(&self.keys)?, functions })
    }
}

/// An accumulator for many groups; functions that have none of their own get one per group.
fn accumulator(function: &Function) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
    if function.expr.groups_accumulator_supported() {
        return function.expr.create_groups_accumulator();
    }
    let expr = Arc::clone(&function.expr);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || expr.create_accumulator())))
}
