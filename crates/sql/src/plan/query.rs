//! Queries: common table expressions, set operations, order and limit.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, LimitClause, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier, Value, Values,
};
use millstream_functions::ddl::type_name;

use super::expr::ExprPlanner;
use super::types::common;
use super::{Context, Cte, Planner, Scope, fresh_name, refused};
use crate::error::{Diagnostic, Result};
use crate::logical::{WATERMARK_DELAY_US, watermark_delay_us};
use crate::source::Span;

impl Planner<'_> {
    pub(super) fn query<'q>(&self, query: &'q Query, context: &Context<'q>) -> Result<Scope> {
        let mut context = context.clone();
        if let Some(with) = &query.with {
            if with.recursive {
                let error = Diagnostic::at(
                    context.place(query),
                    "UNSUPPORTED_FEATURE",
                    "recursive queries do not run over streams",
                );
                return Err(error.label("recursive").into());
            }
            for cte in &with.cte_tables {
                let mut ctes = (*context.ctes).clone();
                let columns = cte.alias.columns.iter().map(|column| column.name.value.clone()).collect();
                let sees = Rc::new(context.clone());
                ctes.insert(cte.alias.name.value.to_lowercase(), Cte { query: &cte.query, columns, context: sees });
                context.ctes = Rc::new(ctes);
            }
        }
        let order_by = query.order_by.as_ref();
        let scope = match (query.body.as_ref(), order_by) {
            (SetExpr::Select(select), _) => self.select(select, order_by, &context)?,
            (body, None) => self.body(body, &context)?,
            (body, Some(order)) => {
                let scope = self.body(body, &context)?;
                match &order.kind {
                    OrderByKind::Expressions(exprs) => self.sort(scope, exprs, &context)?,
                    OrderByKind::All(_) => scope,
                }
            }
        };
        match &query.limit_clause {
            None => Ok(scope),
            Some(limit) => self.limit(scope, limit, &context),
        }
    }

    fn body<'q>(&self, body: &'q SetExpr, context: &Context<'q>) -> Result<Scope> {
        match body {
            SetExpr::Select(select) => self.select(select, None, context),
            SetExpr::Query(query) => self.query(query, context),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let (left, right) = (self.body(left, context), self.body(right, context));
                let mut both = crate::error::Errors::collect([left, right])?.into_iter();
                let (left, right) = (both.next().expect("two go in"), both.next().expect("two go in"));
                self.set_operation(left, op, set_quantifier, right, context.place(body))
            }
            SetExpr::Values(values) => self.values(values, context),
            other => Err(Diagnostic::at(context.place(other), "UNSUPPORTED_FEATURE", "this is no query").into()),
        }
    }

    fn set_operation(
        &self,
        left: Scope,
        op: &SetOperator,
        quantifier: &SetQuantifier,
        right: Scope,
        span: Span,
    ) -> Result<Scope> {
        let by_name =
            matches!(quantifier, SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName);
        let right = if by_name { reorder_by_name(&left, right, span)? } else { right };
        let (l, r) = (left.columns.len(), right.columns.len());
        if l != r {
            let error = Diagnostic::at(span, "NUM_COLUMNS_MISMATCH", format!("{op} joins {l} columns with {r}"));
            return Err(error.help("select the same columns, in the same order, on both sides").into());
        }
        let streaming = left.streaming || right.streaming;
        let (left, right) = same_types(self.functions, left, right, op, span)?;
        let names: Vec<String> = left.columns.iter().map(|column| column.name.clone()).collect();
        let plan = match op {
            SetOperator::Union => {
                let union = Union::try_new_with_loose_types(vec![Arc::new(left.plan), Arc::new(right.plan)]);
                let union = LogicalPlan::Union(union.map_err(|error| refused(&error, span))?);
                let all = matches!(quantifier, SetQuantifier::All | SetQuantifier::AllByName);
                if all { union } else { self.distinct(union, streaming, span)? }
            }
            _ if streaming => {
                let error =
                    Diagnostic::at(span, "UNSUPPORTED_STREAMING_OPERATION", format!("{op} does not run over a stream"));
                return Err(error
                    .help("join with the static side instead, or compute it in a materialized view")
                    .into());
            }
            SetOperator::Intersect => {
                LogicalPlanBuilder::intersect(left.plan, right.plan, *quantifier == SetQuantifier::All)
                    .map_err(|error| refused(&error, span))?
            }
            SetOperator::Except | SetOperator::Minus => {
                LogicalPlanBuilder::except(left.plan, right.plan, *quantifier == SetQuantifier::All)
                    .map_err(|error| refused(&error, span))?
            }
        };
        let mut scope = Scope::of(plan, None, streaming);
        scope.columns.iter_mut().zip(names).for_each(|(column, name)| column.name = name);
        Ok(scope)
    }

    fn values(&self, values: &Values, context: &Context<'_>) -> Result<Scope> {
        let nothing = Scope::of(LogicalPlanBuilder::empty(true).build().expect("an empty plan builds"), None, false);
        let exprs = ExprPlanner::new(self, context, &nothing);
        let mut rows = Vec::new();
        for row in &values.rows {
            rows.push(row.content.iter().map(|expr| exprs.expr(expr)).collect::<Result<Vec<_>>>()?);
        }
        let plan = LogicalPlanBuilder::values(rows).and_then(LogicalPlanBuilder::build);
        let mut scope = Scope::of(plan.map_err(|error| refused(&error, context.span))?, None, false);
        scope.columns.iter_mut().enumerate().for_each(|(i, column)| column.name = format!("col{}", i + 1));
        Ok(scope)
    }

    /// ORDER BY over the columns that come out.
    fn sort(
        &self,
        scope: Scope,
        exprs: &[datafusion::sql::sqlparser::ast::OrderByExpr],
        context: &Context<'_>,
    ) -> Result<Scope> {
        if let (true, Some(first)) = (scope.streaming, exprs.first()) {
            return Err(order_on_stream(context.place(&first.expr)).into());
        }
        let planner = ExprPlanner::new(self, context, &scope);
        let sorts = planner.sorts(exprs, &[])?;
        let plan = LogicalPlanBuilder::from(scope.plan.clone()).sort(sorts).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| refused(&error, context.span))?;
        Ok(Scope { plan, ..scope })
    }

    fn limit(&self, scope: Scope, clause: &LimitClause, context: &Context<'_>) -> Result<Scope> {
        let (limit, offset) = match clause {
            LimitClause::LimitOffset { limit, offset, .. } => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            LimitClause::OffsetCommaLimit { offset, limit } => (Some(limit), Some(offset)),
        };
        if scope.streaming {
            let span = limit.or(offset).map_or(context.span, |expr| context.place(expr));
            let error =
                Diagnostic::at(span, "UNSUPPORTED_FEATURE", "LIMIT on a stream is not supported yet").label("not yet");
            return Err(error
                .help("take what you need from the table: a materialized view with ORDER BY and LIMIT")
                .into());
        }
        let number = |expr: &SqlExpr| match expr {
            SqlExpr::Value(value) => match &value.value {
                Value::Number(number, _) => number.parse::<usize>().ok(),
                _ => None,
            },
            _ => None,
        };
        let fetch = |expr: Option<&SqlExpr>| match expr {
            None => Ok(None),
            Some(expr) => match number(expr) {
                Some(number) => Ok(Some(number)),
                None => {
                    let error =
                        Diagnostic::at(context.place(expr), "INVALID_LIMIT", "LIMIT and OFFSET take a whole number");
                    Err(crate::error::Errors::from(error))
                }
            },
        };
        let (fetch, skip) = (fetch(limit)?, fetch(offset)?.unwrap_or(0));
        let plan = LogicalPlanBuilder::from(scope.plan.clone()).limit(skip, fetch).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| refused(&error, context.span))?;
        Ok(Scope { plan, ..scope })
    }
}

pub(super) fn order_on_stream(span: Span) -> Diagnostic {
    Diagnostic::at(
        span,
        "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION",
        "a stream has no order that could be kept: rows keep coming",
    )
    .label("ORDER BY on a stream")
    .help("leave ORDER BY out, or order in a materialized view over this table")
}

fn reorder_by_name(left: &Scope, right: Scope, span: Span) -> Result<Scope> {
    let mut columns = Vec::new();
    for wanted in &left.columns {
        match right.columns.iter().find(|column| column.name.eq_ignore_ascii_case(&wanted.name)) {
            Some(column) => columns.push(column.clone()),
            None => {
                let error = Diagnostic::at(
                    span,
                    "UNRESOLVED_COLUMN",
                    format!("the right side has no column `{}`", wanted.name),
                );
                return Err(error.help(format!("it has {}", right.describe())).into());
            }
        }
    }
    Ok(Scope { columns, ..right })
}

/// Brings both sides to the left side's names and common types.
fn same_types(
    functions: &crate::functions::Functions,
    left: Scope,
    right: Scope,
    op: &SetOperator,
    span: Span,
) -> Result<(Scope, Scope)> {
    let mut types: Vec<DataType> = Vec::new();
    for (l, r) in left.columns.iter().zip(&right.columns) {
        let (lt, rt) = (left.field(l).data_type(), right.field(r).data_type());
        types.push(common(lt, rt).ok_or_else(|| {
            let message = format!("{op} joins `{}` {} with `{}` {}", l.name, type_name(lt), r.name, type_name(rt));
            Diagnostic::at(span, "INCOMPATIBLE_COLUMN_TYPE", message).help("cast one of them")
        })?);
    }
    let mut names: Vec<String> = Vec::new();
    for column in &left.columns {
        names.push(fresh_name(&column.name, |candidate| names.iter().any(|name| name == candidate)));
    }
    // As in Spark, the columns are the left side's: its event time is event time, with its own watermark or another one on the right.
    let delays: Vec<Option<i64>> = left.columns.iter().map(|column| watermark_delay_us(left.field(column))).collect();
    let bring = |scope: Scope| -> Result<Scope> {
        let exprs =
            scope.columns.iter().zip(&types).zip(&names).zip(&delays).map(|(((column, to), name), delay_us)| {
                let field = scope.field(column);
                let expr = functions.convert(Expr::Column(column.column.clone()), field.data_type(), to);
                match delay_us {
                    Some(delay_us) if watermark_delay_us(field) != Some(*delay_us) => {
                        let delay = [(WATERMARK_DELAY_US.to_string(), delay_us.to_string())];
                        expr.alias_with_metadata(name, Some(BTreeMap::from(delay).into()))
                    }
                    _ => expr.alias(name),
                }
            });
        let plan = LogicalPlanBuilder::from(scope.plan.clone())
            .project(exprs.collect::<Vec<_>>())
            .and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| refused(&error, span))?;
        let columns = scope.columns.iter().zip(&names).map(|(column, name)| super::scope::ScopeColumn {
            column: Column::new_unqualified(name),
            ..column.clone()
        });
        Ok(Scope { columns: columns.collect(), plan, streaming: scope.streaming })
    };
    Ok((bring(left)?, bring(right)?))
}
