//! GROUP BY, HAVING and DISTINCT.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan};

use super::select::Item;
use super::{Context, Planner, Scope, refused};
use crate::error::{Diagnostic, Errors, Result};
use crate::logical::{WindowNode, downcast, event_time_delay_us, watermark_delay_us};
use crate::source::Span;

impl Planner<'_> {
    /// Puts an aggregate over the scope if the query has one; the items then stand over what it gives.
    pub(super) fn aggregated(
        &self,
        scope: &mut Scope,
        groups: Option<Vec<(Expr, Span)>>,
        items: Vec<Item>,
        having: Option<(Expr, Span)>,
        context: &Context<'_>,
    ) -> Result<(LogicalPlan, Vec<Expr>)> {
        let aggregates =
            find_aggregate_exprs(items.iter().map(|item| &item.expr).chain(having.iter().map(|(expr, _)| expr)));
        let plan = scope.plan.clone();
        if groups.is_none() && aggregates.is_empty() {
            return match having {
                None => Ok((plan, items.into_iter().map(|item| item.expr).collect())),
                Some((_, span)) => {
                    let error = Diagnostic::at(span, "MISSING_GROUP_BY", "HAVING without groups");
                    Err(error.help("a condition on rows stands in WHERE").into())
                }
            };
        }
        let aggregating = |item: &&Item| !find_aggregate_exprs([&item.expr]).is_empty();
        let first_group = groups.as_ref().and_then(|groups| groups.first()).map(|(_, span)| *span);
        let first = first_group.or(items.iter().find(aggregating).map(|item| item.span));
        let mut keys: Vec<Expr> = Vec::new();
        for (expr, span) in groups.into_iter().flatten() {
            if !find_aggregate_exprs([&expr]).is_empty() {
                let error = Diagnostic::at(span, "GROUP_BY_AGGREGATE", "an aggregate cannot be a group");
                return Err(error
                    .help("group by the columns it is computed from, or aggregate in an outer query")
                    .into());
            }
            let expr = expr.unalias();
            if !keys.contains(&expr) {
                keys.push(expr);
            }
        }
        if scope.streaming {
            self.check_watermark(&plan, &keys, first.unwrap_or(context.span))?;
        }
        let nested = aggregates.iter().find(|outer| {
            let Expr::AggregateFunction(function) = outer else { return false };
            !find_aggregate_exprs(&function.params.args).is_empty()
        });
        if let Some(nested) = nested {
            let span = items
                .iter()
                .find(|item| find_aggregate_exprs([&item.expr]).contains(nested))
                .map_or(context.span, |item| item.span);
            let error = Diagnostic::at(span, "NESTED_AGGREGATE_FUNCTION", "an aggregate of an aggregate");
            return Err(error.help("compute the inner one in a subquery").into());
        }
        let known: Vec<Expr> = keys.iter().chain(&aggregates).cloned().collect();
        let aggregate =
            Aggregate::try_new(Arc::new(plan), keys, aggregates).map_err(|error| refused(&error, context.span))?;
        let mut plan = LogicalPlan::Aggregate(aggregate);
        let over_groups = |expr: Expr, span: Span| {
            let replaced = replace(expr, &known);
            if let Some(call) = window_time_of_group(&replaced, &plan) {
                let error =
                    Diagnostic::at(span, "MISSING_AGGREGATION", format!("`{call}` is neither a group nor aggregated"));
                return Err(error
                    .label("beside GROUP BY window(…)")
                    .help("take it in an outer query: SELECT window_time(window) AS t, n FROM (SELECT window, count(*) AS n … GROUP BY window(ts, '5 minutes'))")
                    .into());
            }
            match replaced.column_refs().into_iter().find(|column| !plan.schema().has_column(column)) {
                None => Ok(replaced),
                Some(column) => Err(Errors::from(missing_aggregation(column, span))),
            }
        };
        let exprs = Errors::collect(items.into_iter().map(|item| over_groups(item.expr, item.span)))?;
        if let Some((having, span)) = having {
            let predicate = over_groups(having, span)?;
            plan =
                LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan)).map_err(|error| refused(&error, span))?);
        }
        Ok((plan, exprs))
    }

    /// Rows without their repetitions; over a stream the same as a group of every column.
    pub(super) fn distinct(&self, plan: LogicalPlan, streaming: bool, span: Span) -> Result<LogicalPlan> {
        let keys: Vec<Expr> = plan.schema().iter().map(|field| Expr::Column(Column::from(field))).collect();
        if streaming && !keys.iter().any(|key| is_event_time(&plan, key)) {
            let error = Diagnostic::at(
                span,
                "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION",
                "DISTINCT over a stream needs a column with a watermark",
            );
            return Err(error
                .label("would have to remember every row for ever")
                .help("put WATERMARK ts DELAY OF INTERVAL 10 MINUTES behind the stream, and select ts")
                .into());
        }
        let aggregate = Aggregate::try_new(Arc::new(plan), keys, Vec::new()).map_err(|error| refused(&error, span))?;
        Ok(LogicalPlan::Aggregate(aggregate))
    }

    /// Over a stream, a group is final only when the watermark has passed it.
    fn check_watermark(&self, plan: &LogicalPlan, keys: &[Expr], span: Span) -> Result<()> {
        match keys.iter().filter(|key| is_event_time(plan, key)).count() {
            0 => {}
            1 => return Ok(()),
            _ => {
                let error = Diagnostic::at(span, "MULTIPLE_EVENT_TIME_COLUMNS", "more than one group is event time");
                return Err(error
                    .help("group by the window alone; take window_time(window) or window.start in an outer query")
                    .into());
            }
        }
        let has_watermark = plan.schema().fields().iter().any(|field| watermark_delay_us(field).is_some());
        let error = Diagnostic::at(
            span,
            "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION",
            "an aggregate over a stream is never final without a watermark",
        );
        Err(if has_watermark {
            error.label("no group is a window over the watermarked time").help("GROUP BY window(ts, '5 minutes'), … with the watermark's column")
        } else {
            error
                .label("no watermark in this query")
                .help("FROM STREAM … WATERMARK ts DELAY OF INTERVAL 10 MINUTES GROUP BY window(ts, '5 minutes'), …; for the current answer over all rows, a materialized view")
        }
        .into())
    }
}

fn is_event_time(plan: &LogicalPlan, key: &Expr) -> bool {
    event_time_delay_us(key, plan.schema()).is_some()
}

/// `window_time` of a window that this very query makes is nothing that Spark can compute from it.
fn window_time_of_group(expr: &Expr, plan: &LogicalPlan) -> Option<String> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return None };
    let made_here = |column: &Column| {
        let Some(node) = downcast::<WindowNode>(&aggregate.input) else { return false };
        node.column == column.name
    };
    let mut found = None;
    let _ = expr.apply(|node| {
        if let Expr::ScalarFunction(call) = node
            && call.name() == "window_time"
            && let [Expr::Column(column)] = call.args.as_slice()
            && made_here(column)
        {
            found = Some(format!("window_time({})", column.name));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn missing_aggregation(column: &Column, span: Span) -> Diagnostic {
    let error =
        Diagnostic::at(span, "MISSING_AGGREGATION", format!("`{}` is neither a group nor aggregated", column.name));
    error
        .label(format!("reads `{}`", column.name))
        .help(format!("put it into GROUP BY, or take any_value({})", column.name))
}

/// Puts columns of the plan above in the place of what it computed.
pub(super) fn replace(expr: Expr, computed: &[Expr]) -> Expr {
    let replaced = expr.transform_down(|node| {
        if computed.contains(&node) {
            let (relation, name) = node.qualified_name();
            let column = Expr::Column(Column::new(relation, name));
            return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
        }
        Ok(Transformed::no(node))
    });
    replaced.expect("nothing fails here").data
}
