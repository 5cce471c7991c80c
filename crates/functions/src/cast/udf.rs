//! A cast as a function of one argument, to be put in the place of DataFusion's own.

use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::kernels::{CastMode, can_cast, cast_array};
use crate::ddl::type_name;
use crate::session::Session;

/// `CAST(x AS T)` or `TRY_CAST(x AS T)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SparkCast {
    target: DataType,
    mode: CastMode,
    session: Session,
    signature: Signature,
}

impl SparkCast {
    /// A cast to a type.
    pub fn new(target: DataType, mode: CastMode, session: &Session) -> Self {
        Self { target, mode, session: session.clone(), signature: Signature::any(1, Volatility::Immutable) }
    }

    /// The cast of an expression; the expression itself where it has that type already is for the caller to see.
    pub fn call(self, argument: Expr) -> Expr {
        ScalarUDF::new_from_impl(self).call(vec![argument])
    }

    /// The type that it casts to.
    pub fn target(&self) -> &DataType {
        &self.target
    }
}

impl ScalarUDFImpl for SparkCast {
    fn name(&self) -> &str {
        match self.mode {
            CastMode::Ansi => "spark_cast",
            CastMode::Try => "spark_try_cast",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.schema_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let verb = match self.mode {
            CastMode::Ansi => "CAST",
            CastMode::Try => "TRY_CAST",
        };
        let argument = args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default();
        Ok(format!("{verb}({argument} AS {})", type_name(&self.target)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.target.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let from = &args.arg_fields[0];
        if !can_cast(from.data_type(), &self.target) {
            return Err(DataFusionError::Plan(format!(
                "[DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION] cannot cast \"{}\" to \"{}\"",
                type_name(from.data_type()),
                type_name(&self.target)
            )));
        }
        let nullable = from.is_nullable() || self.mode == CastMode::Try;
        Ok(Arc::new(Field::new(self.name(), self.target.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => {
                Ok(ColumnarValue::Array(cast_array(array, &self.target, self.mode, &self.session)?))
            }
            ColumnarValue::Scalar(value) => {
                let array = cast_array(&value.to_array()?, &self.target, self.mode, &self.session)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}
