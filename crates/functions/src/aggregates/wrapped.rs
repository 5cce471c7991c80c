//! An aggregate of DataFusion under Spark's name, with Spark's types for its arguments and result.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::udf::types;

/// What goes in and comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Types {
    /// Decimals stay, other numbers (and texts) are doubles.
    DecimalOrDouble,
    /// Anything goes in, a BIGINT comes out whatever DataFusion gives.
    AnyToBigint,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Wrapped {
    name: &'static str,
    aliases: Vec<String>,
    inner: Arc<AggregateUDF>,
    types: Types,
    signature: Signature,
}

impl Wrapped {
    #[allow(clippy::new_ret_no_self)] // What is wanted is the function, not its insides.
    pub(super) fn new(
        name: &'static str,
        aliases: &'static [&'static str],
        inner: Arc<AggregateUDF>,
        types: Types,
    ) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::new_from_impl(Self {
            name,
            aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
            inner,
            types,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    }

    /// The arguments as the inner function is to see them: its own result type, and its own name in messages.
    fn inner_field(&self, args: &AccumulatorArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field(args.expr_fields)
    }
}

impl AggregateUDFImpl for Wrapped {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match (self.types, given) {
            (Types::AnyToBigint, [one]) => Ok(vec![types::plain(one)]),
            // approx_count_distinct(x, error): the error bound is DataFusion's own.
            (Types::AnyToBigint, [one, _]) => Ok(vec![types::plain(one)]),
            (Types::DecimalOrDouble, [decimal @ DataType::Decimal128(..)]) => Ok(vec![decimal.clone()]),
            (Types::DecimalOrDouble, [_]) => types::doubles(self.name, given),
            _ => Err(datafusion::error::DataFusionError::Plan(format!("{} takes one argument", self.name))),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match self.types {
            Types::AnyToBigint => Ok(DataType::Int64),
            Types::DecimalOrDouble => self.inner.return_type(given),
        }
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.types {
            Types::AnyToBigint => Ok(ScalarValue::Int64(Some(0))),
            Types::DecimalOrDouble => self.inner.default_value(data_type),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let return_field = self.inner.return_field(args.input_fields)?;
        self.inner.state_fields(StateFieldsArgs { return_field, ..args })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let return_field = self.inner_field(&args)?;
        let to = args.return_field.data_type().clone();
        let inner = self.inner.accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(match self.types {
            Types::AnyToBigint => Box::new(Cast { inner, to }),
            Types::DecimalOrDouble => inner,
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        match self.inner_field(&args) {
            Ok(return_field) => self.inner.groups_accumulator_supported(AccumulatorArgs { return_field, ..args }),
            Err(_) => false,
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let return_field = self.inner_field(&args)?;
        let to = args.return_field.data_type().clone();
        let inner = self.inner.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(match self.types {
            Types::AnyToBigint => Box::new(CastGroups { inner, to }),
            Types::DecimalOrDouble => inner,
        })
    }
}

/// Casts the result only.
#[derive(Debug)]
struct Cast {
    inner: Box<dyn Accumulator>,
    to: DataType,
}

impl Accumulator for Cast {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()?.cast_to(&self.to)
    }
    fn size(&self) -> usize {
        self.inner.size()
    }
}

struct CastGroups {
    inner: Box<dyn GroupsAccumulator>,
    to: DataType,
}

impl GroupsAccumulator for CastGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, groups, filter, total)
    }
    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, total)
    }
    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit)
    }
    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let array = self.inner.evaluate(emit)?;
        Ok(if array.data_type() == &self.to { array } else { cast(&array, &self.to)? })
    }
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }
    fn size(&self) -> usize {
        self.inner.size()
    }
}
