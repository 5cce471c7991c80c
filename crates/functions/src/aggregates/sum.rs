//! `sum`, which for whole numbers refuses to wrap around, and `count_if`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::error::SparkError;
use crate::udf::types;

pub(super) fn sum() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Sum {
        inner: sum_udaf(),
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

pub(super) fn count_if() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(CountIf { signature: Signature::user_defined(Volatility::Immutable) }))
}

/// Whole numbers add up to BIGINT, others as DataFusion adds them, which is how Spark does.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = given else {
            return Err(datafusion::error::DataFusionError::Plan("sum takes one argument".into()));
        };
        Ok(vec![match types::plain(given) {
            t if t.is_integer() => DataType::Int64,
            decimal @ DataType::Decimal128(..) => decimal,
            other => types::doubles("sum", &[other])?.remove(0),
        }])
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct || args.return_field.data_type() != &DataType::Int64 {
            return self.inner.accumulator(args);
        }
        Ok(Box::new(CheckedSum { sum: None }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        if args.return_field.data_type() == &DataType::Int64 {
            return !args.is_distinct;
        }
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        if args.return_field.data_type() != &DataType::Int64 {
            return self.inner.create_groups_accumulator(args);
        }
        Ok(Box::new(Sums { sums: Vec::new(), seen: Vec::new(), zero_if_empty: false }))
    }
}

/// How many rows are true; 0 of none.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountIf {
    signature: Signature,
}

impl AggregateUDFImpl for CountIf {
    fn name(&self) -> &str {
        "count_if"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [DataType::Boolean | DataType::Null] => Ok(vec![DataType::Boolean]),
            [other] => types::refuse("count_if", other, "BOOLEAN"),
            _ => Err(datafusion::error::DataFusionError::Plan("count_if takes one argument".into())),
        }
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _data_type: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[count]", args.name), DataType::Int64, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(CheckedSum { sum: Some(0) }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sums { sums: Vec::new(), seen: Vec::new(), zero_if_empty: true }))
    }
}

fn overflow() -> datafusion::error::DataFusionError {
    SparkError::overflow("long", "try_sum").into()
}

/// What is added: numbers, or 1 for each that is true.
fn numbers(array: &ArrayRef) -> Result<Int64Array> {
    let numbers = match array.data_type() {
        DataType::Int64 => Arc::clone(array),
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(numbers.as_primitive::<Int64Type>().clone())
}

/// One sum; nothing until there is a number.
#[derive(Debug)]
struct CheckedSum {
    sum: Option<i64>,
}

impl Accumulator for CheckedSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in numbers(&values[0])?.iter().flatten() {
            self.sum = Some(self.sum.unwrap_or(0).checked_add(value).ok_or_else(overflow)?);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(self.sum)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(self.sum))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

/// A sum per group.
struct Sums {
    sums: Vec<i64>,
    /// Has the group had a number?
    seen: Vec<bool>,
    zero_if_empty: bool,
}

impl Sums {
    fn add(
        &mut self,
        values: &Int64Array,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize(total, 0);
        self.seen.resize(total, false);
        let (sums, seen) = (self.sums.as_mut_slice(), self.seen.as_mut_slice());
        let mut wrapped = false;
        let mut add = |group: usize, value: i64| {
            let (sum, overflowed) = sums[group].overflowing_add(value);
            sums[group] = sum;
            seen[group] = true;
            wrapped |= overflowed;
        };
        match (values.nulls().filter(|nulls| nulls.null_count() > 0), filter) {
            (None, None) => groups.iter().zip(values.values()).for_each(|(&group, &value)| add(group, value)),
            (nulls, filter) => {
                for (row, (&group, &value)) in groups.iter().zip(values.values()).enumerate() {
                    let valid = nulls.is_none_or(|nulls| nulls.is_valid(row));
                    if valid && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                        add(group, value);
                    }
                }
            }
        }
        if wrapped { Err(overflow()) } else { Ok(()) }
    }

    fn take(&mut self, emit: EmitTo) -> ArrayRef {
        let (sums, seen) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.seen));
        let nulls = (!self.zero_if_empty && seen.contains(&false)).then(|| NullBuffer::from(seen));
        Arc::new(Int64Array::new(sums.into(), nulls))
    }
}

impl GroupsAccumulator for Sums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.add(&numbers(&values[0])?, groups, filter, total)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.add(&numbers(&values[0])?, groups, None, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(self.take(emit))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(emit)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = numbers(&values[0])?;
        let mut nulls = NullBufferBuilder::new(values.len());
        for row in 0..values.len() {
            nulls.append(values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)));
        }
        Ok(vec![Arc::new(Int64Array::new(values.values().clone(), nulls.finish()))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i64>() + self.seen.capacity()
    }
}
