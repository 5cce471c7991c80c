//! One way to write a scalar function: a row of a table with its name, its types and its kernel.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::ddl::type_name;
use crate::session::Session;

/// What a function is given for one batch.
pub(crate) struct Call<'a> {
    pub(crate) name: &'static str,
    pub(crate) args: &'a [ColumnarValue],
    pub(crate) rows: usize,
    pub(crate) session: &'a Session,
    pub(crate) return_type: &'a DataType,
}

impl Call<'_> {
    /// Argument `i` as an array of all rows.
    pub(crate) fn array(&self, i: usize) -> Result<ArrayRef> {
        self.args[i].to_array(self.rows)
    }

    /// Argument `i` as texts.
    pub(crate) fn strings(&self, i: usize) -> Result<StringArray> {
        Ok(as_strings(&self.array(i)?)?.as_string::<i32>().clone())
    }

    /// Argument `i` cast (by arrow, for types that were coerced already) to another type.
    pub(crate) fn array_as(&self, i: usize, data_type: &DataType) -> Result<ArrayRef> {
        let array = self.array(i)?;
        if array.data_type() == data_type { Ok(array) } else { Ok(cast(&array, data_type)?) }
    }

    /// Argument `i` if it is one value for all rows: `Some(None)` is null.
    pub(crate) fn constant(&self, i: usize) -> Option<Option<String>> {
        match self.args.get(i)? {
            ColumnarValue::Scalar(value) => Some(scalar_text(value)),
            ColumnarValue::Array(_) => None,
        }
    }

    /// Are there more than `i` arguments?
    pub(crate) fn has(&self, i: usize) -> bool {
        self.args.len() > i
    }
}

/// The text of a scalar of a string type.
pub(crate) fn scalar_text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => text.clone(),
        _ => None,
    }
}

/// Strings of any Arrow encoding as `Utf8`.
pub(crate) fn as_strings(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8 => Arc::clone(array),
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null | DataType::Dictionary(..) => {
            cast(array, &DataType::Utf8)?
        }
        other => return Err(DataFusionError::Internal(format!("a text was expected, not {other}"))),
    })
}

pub(crate) type TypesFn = fn(&str, &[DataType]) -> Result<Vec<DataType>>;
pub(crate) type ReturnFn = fn(&Returns<'_>) -> Result<DataType>;
pub(crate) type EvalFn = fn(&Call<'_>) -> Result<ColumnarValue>;

/// What is known when a function's type is asked for.
pub(crate) struct Returns<'a> {
    pub(crate) types: Vec<DataType>,
    pub(crate) scalars: &'a [Option<&'a ScalarValue>],
    pub(crate) fields: &'a [FieldRef],
}

impl Returns<'_> {
    /// Argument `i`, which must be written as a text in the query.
    pub(crate) fn literal(&self, function: &str, i: usize) -> Result<String> {
        self.scalars
            .get(i)
            .copied()
            .flatten()
            .and_then(scalar_text)
            .ok_or_else(|| DataFusionError::Plan(format!("{function}: argument {} should be a text literal", i + 1)))
    }
}

/// What an argument's text has to be, if it is the same for all rows.
pub(crate) type ConstantFn = fn(&str, &[DataType]) -> Result<()>;

/// A scalar function.
pub(crate) struct Function {
    name: &'static str,
    aliases: &'static [&'static str],
    arity: RangeInclusive<usize>,
    types: TypesFn,
    returns: ReturnFn,
    eval: EvalFn,
    volatility: Volatility,
    /// Arguments, by position, that are held against something when the query is planned, so that the error has a place and no row
    /// meets it.
    constants: &'static [(usize, ConstantFn)],
    /// Null where an argument is null whatever the kernel does; saves the kernel thinking about it in `is_nullable`.
    never_null: bool,
}

/// As many arguments as one likes.
pub(crate) const ANY: usize = 255;

impl Function {
    pub(crate) const fn new(
        name: &'static str,
        arity: RangeInclusive<usize>,
        types: TypesFn,
        returns: ReturnFn,
        eval: EvalFn,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            arity,
            types,
            returns,
            eval,
            volatility: Volatility::Immutable,
            constants: &[],
            never_null: false,
        }
    }

    pub(crate) const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn constants(mut self, constants: &'static [(usize, ConstantFn)]) -> Self {
        self.constants = constants;
        self
    }

    pub(crate) const fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    pub(crate) const fn never_null(mut self) -> Self {
        self.never_null = true;
        self
    }

    pub(crate) fn udf(self, session: &Session) -> ScalarUDF {
        ScalarUDF::new_from_impl(FunctionUdf {
            aliases: self.aliases.iter().map(|a| (*a).to_owned()).collect(),
            signature: Signature::user_defined(self.volatility),
            function: self,
            session: session.clone(),
        })
    }
}

struct FunctionUdf {
    function: Function,
    aliases: Vec<String>,
    signature: Signature,
    session: Session,
}

impl std::fmt::Debug for FunctionUdf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("name", &self.function.name).finish_non_exhaustive()
    }
}

impl PartialEq for FunctionUdf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.session == other.session
    }
}

impl Eq for FunctionUdf {}

impl Hash for FunctionUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
        self.session.hash(state);
    }
}

impl ScalarUDFImpl for FunctionUdf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let arity = &self.function.arity;
        if !arity.contains(&arg_types.len()) {
            let expected = match (*arity.start(), *arity.end()) {
                (low, ANY) => format!("at least {low}"),
                (low, high) if low == high => low.to_string(),
                (low, high) => format!("{low} to {high}"),
            };
            return Err(DataFusionError::Plan(format!(
                "{} takes {expected} argument(s), not {}",
                self.function.name,
                arg_types.len()
            )));
        }
        (self.function.types)(self.function.name, arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal("the type depends on the arguments' fields".into()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let returns = Returns {
            types: args.arg_fields.iter().map(|f| f.data_type().clone()).collect(),
            scalars: args.scalar_arguments,
            fields: args.arg_fields,
        };
        for (at, check) in self.function.constants {
            if let Some(text) = returns.scalars.get(*at).copied().flatten().and_then(scalar_text) {
                check(&text, &returns.types)?;
            }
        }
        let data_type = (self.function.returns)(&returns)?;
        Ok(Arc::new(Field::new(self.function.name, data_type, !self.function.never_null)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let call = Call {
            name: self.function.name,
            args: &args.args,
            rows,
            session: &self.session,
            return_type: args.return_field.data_type(),
        };
        match (self.function.eval)(&call)? {
            ColumnarValue::Array(array) if constant && array.len() == 1 => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            value => Ok(value),
        }
    }
}

/// Ways to say which types a function takes.
pub(crate) mod types {
    use super::*;
    use crate::ddl::timestamp;
    use arrow::datatypes::TimeUnit;

    pub(crate) fn refuse<T>(name: &str, found: &DataType, expected: &str) -> Result<T> {
        Err(DataFusionError::Plan(format!("{name}: {expected} expected, not {}", type_name(found))))
    }

    /// Whatever was given, strings as `Utf8`.
    pub(crate) fn any(_: &str, given: &[DataType]) -> Result<Vec<DataType>> {
        Ok(given.iter().map(plain).collect())
    }

    /// Views and large variants as the plain ones that this crate computes with.
    pub(crate) fn plain(given: &DataType) -> DataType {
        match given {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
            DataType::Timestamp(unit, zone) if *unit != TimeUnit::Microsecond || zone.is_some() => match zone {
                Some(_) => timestamp(),
                None => DataType::Timestamp(TimeUnit::Microsecond, None),
            },
            DataType::Date64 => DataType::Date32,
            DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 | DataType::UInt64 => DataType::Int64,
            DataType::Dictionary(_, value) => plain(value),
            other => other.clone(),
        }
    }

    /// Texts; other simple values are cast to text.
    pub(crate) fn strings(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
        given.iter().map(|t| string(name, t)).collect()
    }

    pub(crate) fn string(name: &str, given: &DataType) -> Result<DataType> {
        if given.is_nested() { refuse(name, given, "STRING") } else { Ok(DataType::Utf8) }
    }

    /// A text, then whole numbers.
    pub(crate) fn string_then_ints(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
        let mut out = vec![string(name, &given[0])?];
        for t in &given[1..] {
            out.push(int(name, t)?);
        }
        Ok(out)
    }

    pub(crate) fn int(name: &str, given: &DataType) -> Result<DataType> {
        if given.is_numeric() || matches!(given, DataType::Null | DataType::Utf8 | DataType::Utf8View) {
            Ok(DataType::Int32)
        } else {
            refuse(name, given, "INT")
        }
    }

    /// DOUBLE for each.
    pub(crate) fn doubles(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
        given
            .iter()
            .map(|t| {
                if t.is_numeric() || matches!(t, DataType::Null | DataType::Utf8 | DataType::Utf8View) {
                    Ok(DataType::Float64)
                } else {
                    refuse(name, t, "DOUBLE")
                }
            })
            .collect()
    }

    /// TIMESTAMP or TIMESTAMP_NTZ from dates, times and texts.
    pub(crate) fn moment(name: &str, given: &DataType) -> Result<DataType> {
        match given {
            DataType::Timestamp(_, None) => Ok(crate::ddl::timestamp_ntz()),
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Utf8
            | DataType::Utf8View
            | DataType::LargeUtf8
            | DataType::Null => Ok(timestamp()),
            other => refuse(name, other, "TIMESTAMP"),
        }
    }

    /// One common type of all, strings winning over simple values as Spark's implicit casts do not let them in ANSI mode; see
    /// [`crate::functions::conditional`].
    pub(crate) fn common(name: &str, given: &[DataType]) -> Result<DataType> {
        let mut found = DataType::Null;
        for t in given {
            let t = plain(t);
            if t == DataType::Null || t == found {
                continue;
            }
            found = if found == DataType::Null {
                t
            } else {
                crate::functions::widen(&found, &t).ok_or_else(|| {
                    DataFusionError::Plan(format!(
                        "{name}: {} and {} have no common type; cast one of them",
                        type_name(&found),
                        type_name(&t)
                    ))
                })?
            };
        }
        Ok(found)
    }
}
