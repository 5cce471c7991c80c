//! Aggregates that pick one of the rows: `first`, `last`, `min_by`, `max_by`.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

use crate::udf::types;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Which {
    First,
    Last,
    Min,
    Max,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Pick {
    name: &'static str,
    aliases: Vec<String>,
    which: Which,
    signature: Signature,
}

impl Pick {
    fn make(name: &'static str, aliases: &[&str], which: Which) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::new_from_impl(Self {
            name,
            aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
            which,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    }

    pub(super) fn first() -> Arc<AggregateUDF> {
        Self::make("first", &["first_value", "any_value"], Which::First)
    }

    pub(super) fn last() -> Arc<AggregateUDF> {
        Self::make("last", &["last_value"], Which::Last)
    }

    pub(super) fn min_by() -> Arc<AggregateUDF> {
        Self::make("min_by", &[], Which::Min)
    }

    pub(super) fn max_by() -> Arc<AggregateUDF> {
        Self::make("max_by", &[], Which::Max)
    }

    fn is_by(&self) -> bool {
        matches!(self.which, Which::Min | Which::Max)
    }
}

impl AggregateUDFImpl for Pick {
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
        match (self.is_by(), given) {
            (true, [value, key]) => Ok(vec![types::plain(value), types::plain(key)]),
            (false, [value]) => Ok(vec![types::plain(value)]),
            (false, [value, DataType::Boolean]) => Ok(vec![types::plain(value), DataType::Boolean]),
            (true, _) => Err(DataFusionError::Plan(format!("{} takes a value and what it is ordered by", self.name))),
            (false, _) => {
                Err(DataFusionError::Plan(format!("{} takes a value and perhaps whether to skip nulls", self.name)))
            }
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(given[0].clone())
    }

    fn supports_null_handling_clause(&self) -> bool {
        !self.is_by()
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let value = Field::new(format!("{}[value]", args.name), args.input_fields[0].data_type().clone(), true);
        let key = if self.is_by() { args.input_fields[1].data_type().clone() } else { DataType::Boolean };
        Ok(vec![Arc::new(value), Arc::new(Field::new(format!("{}[key]", args.name), key, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let value = ScalarValue::try_from(args.return_field.data_type())?;
        if self.is_by() {
            let key = ScalarValue::try_from(args.expr_fields[1].data_type())?;
            return Ok(Box::new(By { value, key, max: self.which == Which::Max }));
        }
        let skip_nulls = args.ignore_nulls
            || args.exprs.get(1).is_some_and(|expr| {
                expr.downcast_ref::<Literal>().is_some_and(|l| l.value() == &ScalarValue::Boolean(Some(true)))
            });
        Ok(Box::new(End { value, set: false, last: self.which == Which::Last, skip_nulls }))
    }
}

/// The first or the last value.
#[derive(Debug)]
struct End {
    value: ScalarValue,
    set: bool,
    last: bool,
    skip_nulls: bool,
}

impl End {
    /// Takes up values of which those where `counts` is true are there.
    fn take(&mut self, values: &ArrayRef, counts: impl Fn(usize) -> bool) -> Result<()> {
        if self.set && !self.last {
            return Ok(());
        }
        let usable = |row: &usize| counts(*row) && !(self.skip_nulls && values.is_null(*row));
        let found = if self.last { (0..values.len()).rev().find(usable) } else { (0..values.len()).find(usable) };
        if let Some(row) = found {
            self.value = ScalarValue::try_from_array(values, row)?;
            self.value.compact();
            self.set = true;
        }
        Ok(())
    }
}

impl Accumulator for End {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], |_| true)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let set = states[1].as_boolean();
        self.take(&states[0], |row| set.is_valid(row) && set.value(row))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Boolean(Some(self.set))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.size()
    }
}

/// The value of the row whose key is the smallest or the largest; rows without a key do not count.
#[derive(Debug)]
struct By {
    value: ScalarValue,
    key: ScalarValue,
    max: bool,
}

impl Accumulator for By {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[1].len() {
            if values[1].is_null(row) {
                continue;
            }
            let key = ScalarValue::try_from_array(&values[1], row)?;
            let wanted = if self.max { Ordering::Greater } else { Ordering::Less };
            if self.key.is_null() || key.partial_cmp(&self.key) == Some(wanted) {
                self.key = key;
                self.value = ScalarValue::try_from_array(&values[0], row)?;
                self.value.compact();
                self.key.compact();
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.key.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.value.size() + self.key.size()
    }
}
