//! Sums that never fail while rows come: they are kept in 128 bits, and whether one fits its type is asked when it is final. So a stream can
//! put the one group aside whose sum does not fit, whatever the order in which its rows came.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::SparkError;

/// What a sum is that 128 bits did not hold.
const TOO_LARGE: i128 = i128::MAX;

/// `sum` over BIGINT or DECIMAL in 128 bits, and the function that makes the sum of it, or fails with ARITHMETIC_OVERFLOW. `None` for other
/// functions and types.
pub fn wide_sum(udaf: &AggregateUDF, to: &DataType) -> Option<(Arc<AggregateUDF>, Arc<ScalarUDF>)> {
    let scale = match to {
        _ if udaf.name() != "sum" => return None,
        DataType::Int64 => 0,
        DataType::Decimal128(_, scale) => *scale,
        _ => return None,
    };
    let sum = WideSum { scale, signature: Signature::any(1, Volatility::Immutable) };
    let total = Total { to: to.clone(), signature: Signature::any(1, Volatility::Immutable) };
    Some((Arc::new(AggregateUDF::new_from_impl(sum)), Arc::new(ScalarUDF::new_from_impl(total))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WideSum {
    scale: i8,
    signature: Signature,
}

impl WideSum {
    fn data_type(&self) -> DataType {
        DataType::Decimal128(38, self.scale)
    }
}

impl AggregateUDFImpl for WideSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(self.data_type())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[sum]", args.name), self.data_type(), true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Internal("wide sums are kept by group".into()))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(WideSums { data_type: self.data_type(), sums: Vec::new(), seen: Vec::new() }))
    }
}

/// A sum per group.
struct WideSums {
    data_type: DataType,
    sums: Vec<i128>,
    /// Has the group had a number?
    seen: Vec<bool>,
}

impl WideSums {
    fn add(&mut self, values: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.sums.resize(total, 0);
        self.seen.resize(total, false);
        let (sums, seen) = (self.sums.as_mut_slice(), self.seen.as_mut_slice());
        let taken =
            |row: usize| values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let every = values.null_count() == 0 && filter.is_none();
        let mut add = |group: usize, value: i128| {
            let sum = &mut sums[group];
            *sum = if *sum == TOO_LARGE { TOO_LARGE } else { sum.checked_add(value).unwrap_or(TOO_LARGE) };
            seen[group] = true;
        };
        macro_rules! add_all {
            ($values:expr) => {
                for (row, (&group, &value)) in groups.iter().zip($values.values()).enumerate() {
                    if every || taken(row) {
                        add(group, i128::from(value));
                    }
                }
            };
        }
        match values.data_type() {
            DataType::Int64 => {
                let values: &Int64Array = values.as_primitive::<Int64Type>();
                add_all!(values);
            }
            DataType::Decimal128(..) => {
                let values: &Decimal128Array = values.as_primitive::<Decimal128Type>();
                add_all!(values);
            }
            other => return Err(DataFusionError::Internal(format!("sum: a number was expected, not {other}"))),
        }
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, seen) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.seen));
        let nulls = seen.contains(&false).then(|| NullBuffer::from(seen));
        Ok(Arc::new(Decimal128Array::new(sums.into(), nulls).with_data_type(self.data_type.clone())))
    }
}

impl GroupsAccumulator for WideSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.add(&values[0], groups, filter, total)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.add(&values[0], groups, None, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.take(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(emit)?])
    }

    fn convert_to_state(&self, _values: &[ArrayRef], _filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Err(DataFusionError::Internal("wide sums are not aggregated in two steps".into()))
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}

/// A sum of 128 bits as its own type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Total {
    to: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Total {
    fn name(&self) -> &str {
        "spark_total"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let sums = array.as_primitive::<Decimal128Type>();
        let array: ArrayRef = match self.to {
            DataType::Int64 => {
                let overflow = || SparkError::overflow("long", "try_sum");
                Arc::new(sums.try_unary::<_, Int64Type, DataFusionError>(|sum| {
                    i64::try_from(sum).map_err(|_| overflow().into())
                })?)
            }
            DataType::Decimal128(precision, _) => {
                let bound = 10u128.pow(precision.into());
                let overflow = || SparkError::overflow("Sum of decimals:", "try_sum");
                let checked = sums.try_unary::<_, Decimal128Type, DataFusionError>(|sum| {
                    if sum.unsigned_abs() < bound { Ok(sum) } else { Err(overflow().into()) }
                })?;
                Arc::new(checked.with_data_type(self.to.clone()))
            }
            _ => return Err(DataFusionError::Internal("a sum is BIGINT or DECIMAL".into())),
        };
        Ok(ColumnarValue::Array(array))
    }
}
