//! `explode` and its like: one row becomes many.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, NullHandling, UnnestOptions};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Ident, LateralView};
use millstream_functions::ddl::type_name;

use super::call::{Arguments, arguments, function_name, is_generator};
use super::expr::ExprPlanner;
use super::from::last_name;
use super::scope::ScopeColumn;
use super::{Context, Planner, Scope, refused};
use crate::error::{Diagnostic, Result};
use crate::source::Span;

/// The generator that an expression is, if it is one.
pub(super) fn generator(expr: &SqlExpr) -> Option<&datafusion::sql::sqlparser::ast::Function> {
    match expr {
        SqlExpr::Function(function) if is_generator(&function_name(function)) => Some(function),
        SqlExpr::Nested(inner) => generator(inner),
        _ => None,
    }
}

impl Planner<'_> {
    /// `LATERAL VIEW [OUTER] explode(x) t AS c`.
    pub(super) fn lateral_view(&self, scope: Scope, view: &LateralView, context: &Context<'_>) -> Result<Scope> {
        let span = context.place(&view.lateral_view);
        let Some(function) = generator(&view.lateral_view) else {
            let error = Diagnostic::at(span, "NOT_A_GENERATOR", "LATERAL VIEW wants explode(…)");
            return Err(error.into());
        };
        let qualifier = last_name(&view.lateral_view_name).map(|ident| ident.value.clone());
        let (scope, _) =
            self.generate(scope, function, view.outer, &view.lateral_col_alias, qualifier, span, context)?;
        Ok(scope)
    }

    /// Adds the columns that a generator gives; the second value is how many they are.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn generate(
        &self,
        mut scope: Scope,
        function: &datafusion::sql::sqlparser::ast::Function,
        outer: bool,
        aliases: &[Ident],
        qualifier: Option<String>,
        span: Span,
        context: &Context<'_>,
    ) -> Result<(Scope, usize)> {
        let name = function_name(function);
        let outer = outer || name.ends_with("_outer");
        let exprs = ExprPlanner::new(self, context, &scope);
        let Arguments::List { args, .. } = arguments(function, span)? else {
            return Err(Diagnostic::at(span, "WRONG_NUM_ARGS", format!("{name} takes an array or a map")).into());
        };
        let ([arg], "explode" | "explode_outer") = (args.as_slice(), name.as_str()) else {
            return Err(Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("{name} is not supported yet"))
                .help("explode(array or map)")
                .into());
        };
        let value = exprs.expr(arg)?;
        let (list, is_map) = match exprs.type_of(&value, span)? {
            DataType::List(_) => (value, false),
            DataType::Map(..) => (exprs.named_call("map_entries", vec![value], span)?, true),
            other => {
                let error = Diagnostic::at(
                    span,
                    "DATATYPE_MISMATCH",
                    format!("explode takes an array or a map, not {}", type_name(&other)),
                );
                return Err(error.label(type_name(&other)).into());
            }
        };
        let names: &[&str] = if is_map { &["key", "value"] } else { &["col"] };
        if !aliases.is_empty() && aliases.len() != names.len() {
            let error = Diagnostic::at(
                span,
                "UDTF_ALIAS_NUMBER_MISMATCH",
                format!("{name} gives {} here, {} named", names.len(), aliases.len()),
            );
            return Err(error.into());
        }
        let names: Vec<String> = match aliases {
            [] => names.iter().map(|name| name.to_string()).collect(),
            aliases => aliases.iter().map(|alias| alias.value.clone()).collect(),
        };
        let refuse = |error| refused(&error, span);
        let physical = scope.fresh(&names[0]);
        let unnested = Column::new_unqualified(&physical);
        let mut all = scope.exprs();
        all.push(list.alias(&physical));
        let projection = Projection::try_new(all, Arc::new(scope.plan)).map(LogicalPlan::Projection).map_err(refuse)?;
        let null_handling = if outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
        let options = UnnestOptions { null_handling, recursions: Vec::new() };
        let plan = LogicalPlanBuilder::from(projection)
            .unnest_columns_with_options(vec![unnested.clone()], options)
            .and_then(LogicalPlanBuilder::build)
            .map_err(refuse)?;
        scope.plan = plan;
        let added = |name: &String, column: Column| ScopeColumn {
            qualifier: qualifier.clone(),
            name: name.clone(),
            column,
            starred: true,
            hidden: false,
        };
        if is_map {
            let mut all = scope.exprs();
            let mut columns = Vec::new();
            for (name, field) in names.iter().zip(["key", "value"]) {
                let physical = scope.fresh(&format!("{}_{field}", unnested.name));
                all.push(get_field(Expr::Column(unnested.clone()), field).alias(&physical));
                columns.push(added(name, Column::new_unqualified(physical)));
            }
            scope.plan = Projection::try_new(all, Arc::new(scope.plan)).map(LogicalPlan::Projection).map_err(refuse)?;
            scope.columns.extend(columns);
        } else {
            scope.columns.push(added(&names[0], unnested));
        }
        let count = names.len();
        Ok((scope, count))
    }
}
