//! Keeps the parsing of texts where it was written while filters move.
//!
//! A filter that is pushed below a projection takes the projection's expressions with it, except volatile ones. So for that while
//! `from_csv` and `from_json` look volatile. Fields of structs, on the other hand, cost nothing, and a filter on one saves what the
//! projection computes for rows that go; DataFusion holds such filters back, so for that while they look like any other function.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::functions::core::getfield::GetFieldFunc;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use millstream_functions::FromText;

/// A function that looks like another kind of function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shielded {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for Shielded {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }
    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}

/// Is this the parsing of a text?
pub(super) fn is_parse(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<FromText>().is_some())
}

/// Makes parsing look volatile, and fields look like computations.
pub(super) fn lower(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite(plan, |call| {
        let inner = call.func.inner();
        let volatility = match (inner.downcast_ref::<FromText>(), inner.downcast_ref::<GetFieldFunc>()) {
            (Some(_), _) => Volatility::Volatile,
            (_, Some(_)) => Volatility::Immutable,
            _ => return None,
        };
        let signature = Signature::any(call.args.len(), volatility);
        Some(Arc::new(ScalarUDF::new_from_impl(Shielded { inner: Arc::clone(&call.func), signature })))
    })
}

/// Undoes [`lower`].
pub(super) fn lift(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite(plan, |call| call.func.inner().downcast_ref::<Shielded>().map(|shielded| Arc::clone(&shielded.inner)))
}

fn rewrite(plan: LogicalPlan, with: impl Fn(&ScalarFunction) -> Option<Arc<ScalarUDF>>) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match &expr {
                Expr::ScalarFunction(call) => match with(call) {
                    Some(func) => {
                        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(func, call.args.clone()))))
                    }
                    None => Ok(Transformed::no(expr)),
                },
                _ => Ok(Transformed::no(expr)),
            })
        })
    })?;
    Ok(rewritten.data)
}
