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
        let kind = name.trim_end_matches("_outer");
        let ([arg], "explode" | "posexplode" | "inline") = (args.as_slice(), kind) else {
            return Err(Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("{name} with {} arguments is not supported", args.len()))
                .label("not supported")
                .help("explode(array or map), posexplode(array or map), inline(array of structs); for stack(…): inline(array(struct(…), struct(…)))")
                .into());
        };
        let value = exprs.expr(arg)?;
        let found = exprs.type_of(&value, span)?;
        let (list, item) = match &found {
            DataType::List(item) => (value, item.data_type().clone()),
            DataType::Map(entries, _) if kind == "explode" => {
                (exprs.named_call("map_entries", vec![value], span)?, entries.data_type().clone())
            }
            _ => (value, DataType::Null),
        };
        // Which fields of an item become columns; none: the item itself is one.
        let (list, names) = match (kind, &found, &item) {
            ("explode", DataType::List(_), _) => (list, Vec::new()),
            ("explode", DataType::Map(..), _) => (list, vec!["key".to_string(), "value".to_string()]),
            ("posexplode", DataType::List(_), _) => {
                (exprs.named_call("spark_positions", vec![list], span)?, vec!["pos".to_string(), "col".to_string()])
            }
            ("posexplode", DataType::Map(..), _) => (
                exprs.named_call("spark_positions", vec![list], span)?,
                vec!["pos".to_string(), "key".to_string(), "value".to_string()],
            ),
            ("inline", DataType::List(_), DataType::Struct(fields)) => {
                (list, fields.iter().map(|field| field.name().clone()).collect())
            }
            _ => {
                let takes = if kind == "inline" { "an array of structs" } else { "an array or a map" };
                let error = Diagnostic::at(
                    span,
                    "DATATYPE_MISMATCH",
                    format!("{name} takes {takes}, not {}", type_name(&found)),
                );
                return Err(error.label(type_name(&found)).into());
            }
        };
        let fields = names;
        let names = if fields.is_empty() { vec!["col".to_string()] } else { fields.clone() };
        if !aliases.is_empty() && aliases.len() != names.len() {
            let error = Diagnostic::at(
                span,
                "UDTF_ALIAS_NUMBER_MISMATCH",
                format!("{name} gives {} here, {} named", names.len(), aliases.len()),
            );
            return Err(error.into());
        }
        let names: Vec<String> = match aliases {
            [] => names,
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
        if fields.is_empty() {
            scope.columns.push(added(&names[0], unnested));
        } else {
            let mut all = scope.exprs();
            let mut columns = Vec::new();
            for (name, field) in names.iter().zip(&fields) {
                let physical = scope.fresh(&format!("{}_{field}", unnested.name));
                all.push(get_field(Expr::Column(unnested.clone()), field.as_str()).alias(&physical));
                columns.push(added(name, Column::new_unqualified(physical)));
            }
            scope.plan = Projection::try_new(all, Arc::new(scope.plan)).map(LogicalPlan::Projection).map_err(refuse)?;
            scope.columns.extend(columns);
        }
        let count = names.len();
        Ok((scope, count))
    }
}
