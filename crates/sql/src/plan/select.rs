//! SELECT: what stands between FROM and a row that comes out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::utils::find_window_exprs;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SortExpr};
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr as SqlExpr, Function, GroupByExpr, Ident, ObjectName, OrderBy, OrderByKind, Select, SelectItem,
    SelectItemQualifiedWildcardKind, WildcardAdditionalOptions, visit_expressions,
};
use millstream_functions::WindowSpec as ParsedWindow;

use super::call::{Arguments, arguments, function_name};
use super::expr::{Aliases, ExprPlanner};
use super::generate::generator;
use super::names::column_name;
use super::query::order_on_stream;
use super::scope::{Found, ScopeColumn, fresh_name};
use super::{Context, Planner, Scope, refused};
use crate::error::{Diagnostic, Errors, Result, nearest};
use crate::lex::place;
use crate::logical::{WATERMARK_DELAY_US, WindowNode, WindowSpec, event_time_delay_us};
use crate::source::Span;

/// A column that comes out.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub name: String,
    pub expr: Expr,
    pub span: Span,
}

impl Planner<'_> {
    pub(super) fn select<'q>(
        &self,
        select: &'q Select,
        order: Option<&OrderBy>,
        context: &Context<'q>,
    ) -> Result<Scope> {
        self.refuse_clauses(select, context)?;
        let mut scope = self.from(&select.from, context)?;
        for view in &select.lateral_views {
            scope = self.lateral_view(scope, view, context)?;
        }
        if let Some(condition) = &select.selection {
            let predicate = ExprPlanner::new(self, context, &scope).predicate(condition)?;
            let filter = Filter::try_new(predicate, Arc::new(scope.plan))
                .map_err(|error| refused(&error, context.place(condition)))?;
            scope.plan = LogicalPlan::Filter(filter);
        }
        let scope = self.time_window(scope, select, context)?;
        let (scope, generated) = self.select_generator(scope, select, context)?;
        let (items, aliases) = self.items(select, &scope, &generated, context)?;
        self.outputs(select, scope, items, aliases, order, context)
    }

    fn refuse_clauses(&self, select: &Select, context: &Context<'_>) -> Result<()> {
        let what = if select.qualify.is_some() {
            "QUALIFY"
        } else if !select.cluster_by.is_empty() || !select.distribute_by.is_empty() || !select.sort_by.is_empty() {
            "CLUSTER BY, DISTRIBUTE BY and SORT BY"
        } else if !select.named_window.is_empty() {
            "WINDOW"
        } else if matches!(select.distinct, Some(Distinct::On(_))) {
            "DISTINCT ON"
        } else {
            return Ok(());
        };
        Err(Diagnostic::at(context.place(select), "UNSUPPORTED_FEATURE", format!("{what} is not supported")).into())
    }

    /// Everything above the rows that are read: groups, order, distinct, names.
    fn outputs<'q>(
        &self,
        select: &'q Select,
        mut scope: Scope,
        mut items: Vec<Item>,
        aliases: Aliases,
        order: Option<&OrderBy>,
        context: &Context<'q>,
    ) -> Result<Scope> {
        if let (true, Some(order)) = (scope.streaming, order) {
            let span = match &order.kind {
                OrderByKind::Expressions(exprs) => exprs.first().map(|order| context.place(&order.expr)),
                OrderByKind::All(_) => None,
            };
            return Err(order_on_stream(span.unwrap_or(context.span)).into());
        }
        // Names for the plan, each one once; `named` are the columns as the order sees them.
        let mut physical: Vec<String> = Vec::new();
        for item in &items {
            physical.push(fresh_name(&item.name, |candidate| physical.iter().any(|name| name == candidate)));
        }
        let named: Vec<(String, Expr)> = items
            .iter()
            .zip(&physical)
            .map(|(item, name)| (item.name.clone(), Expr::Column(Column::new_unqualified(name))))
            .collect();
        let visible = items.len();
        let exprs = ExprPlanner::new(self, context, &scope).with_aliases(&aliases);
        let mut sorts: Vec<SortExpr> = match order.map(|order| &order.kind) {
            None => Vec::new(),
            Some(OrderByKind::Expressions(order)) => exprs.sorts(order, &named)?,
            Some(OrderByKind::All(_)) => named.iter().map(|(_, expr)| expr.clone().sort(true, true)).collect(),
        };
        for sort in &mut sorts {
            if named.iter().any(|(_, expr)| *expr == sort.expr) {
                continue;
            }
            let name = fresh_name("__order", |candidate| physical.iter().any(|name| name == candidate));
            let expr = std::mem::replace(&mut sort.expr, Expr::Column(Column::new_unqualified(&name)));
            items.push(Item { name: name.clone(), expr, span: context.span });
            physical.push(name);
        }
        let having = select
            .having
            .as_ref()
            .map(|having| Ok::<_, Errors>((exprs.predicate(having)?, context.place(having))))
            .transpose()?;
        let groups = self.groups(select, &scope, &items, &aliases, context)?;
        let streaming = scope.streaming;
        let (plan, mut exprs) = self.aggregated(&mut scope, groups, items, having, context)?;
        let plan = self.windowed(plan, &mut exprs, context)?;
        let projected = exprs.into_iter().zip(&physical).map(|(expr, name)| match expr {
            Expr::Column(column) if column.relation.is_none() && column.name == *name => Expr::Column(column),
            expr => named_output(expr.unalias(), name, plan.schema()),
        });
        let refuse = |error| refused(&error, context.span);
        let mut plan =
            Projection::try_new(projected.collect(), Arc::new(plan)).map(LogicalPlan::Projection).map_err(refuse)?;
        if matches!(select.distinct, Some(Distinct::Distinct)) {
            if physical.len() > visible {
                let error = Diagnostic::at(
                    context.span,
                    "UNSUPPORTED_FEATURE",
                    "with DISTINCT, ORDER BY takes columns of the select list",
                );
                return Err(error.into());
            }
            plan = self.distinct(plan, streaming, context.place(select))?;
        }
        if !sorts.is_empty() {
            plan = LogicalPlanBuilder::from(plan).sort(sorts).and_then(LogicalPlanBuilder::build).map_err(refuse)?;
        }
        if physical.len() > visible {
            let kept = named.iter().map(|(_, expr)| expr.clone()).collect();
            plan = Projection::try_new(kept, Arc::new(plan)).map(LogicalPlan::Projection).map_err(refuse)?;
        }
        let columns = named.into_iter().zip(&physical).map(|((name, _), physical)| ScopeColumn {
            qualifier: None,
            name,
            column: Column::new_unqualified(physical),
            starred: true,
            hidden: false,
        });
        Ok(Scope { columns: columns.collect(), plan, streaming })
    }

    /// `f(…) OVER (…)` in the select list, batch only.
    fn windowed(&self, plan: LogicalPlan, exprs: &mut [Expr], context: &Context<'_>) -> Result<LogicalPlan> {
        let windows = find_window_exprs(exprs.iter());
        if windows.is_empty() {
            return Ok(plan);
        }
        let plan =
            LogicalPlanBuilder::window_plan(plan, windows.clone()).map_err(|error| refused(&error, context.span))?;
        for expr in exprs {
            *expr = super::aggregate::replace(expr.clone(), &windows);
        }
        Ok(plan)
    }

    /// `window(ts, …)` anywhere in the query becomes a column of a [`WindowNode`] below it, as Spark has it.
    fn time_window(&self, mut scope: Scope, select: &Select, context: &Context<'_>) -> Result<Scope> {
        let calls = time_window_calls(select);
        let mut found: Option<(Expr, WindowSpec)> = None;
        for call in &calls {
            let expr = SqlExpr::Function(call.clone());
            let span = context.place(&expr);
            if function_name(call) == "session_window" {
                let error =
                    Diagnostic::at(span, "UNSUPPORTED_FEATURE", "session_window is not supported yet").label("not yet");
                return Err(error.help("window(ts, '10 minutes') cuts time into fixed windows").into());
            }
            let window = self.window_call(call, &scope, span, context)?;
            if found.as_ref().is_some_and(|found| *found != window) {
                let error = Diagnostic::at(span, "MULTIPLE_TIME_WINDOWS", "a query has one kind of time window")
                    .label("another one");
                return Err(error.help("make a table for each").into());
            }
            found = Some(window);
        }
        let (Some((time, spec)), Some(call)) = (found, calls.first()) else { return Ok(scope) };
        let span = context.place(&SqlExpr::Function(call.clone()));
        let column = scope.fresh("window");
        let node = WindowNode::try_new(Arc::new(scope.plan), time, spec, column.clone())
            .map_err(|error| refused(&error, span))?;
        scope.plan = node.into_plan();
        // In this query `window` is the new one, also over rows that have one already.
        for old in scope.columns.iter_mut().filter(|column| column.name.eq_ignore_ascii_case("window")) {
            old.hidden = true;
        }
        scope.columns.push(ScopeColumn {
            qualifier: None,
            name: "window".to_string(),
            column: Column::new_unqualified(column),
            starred: false,
            hidden: false,
        });
        Ok(scope)
    }

    fn window_call(
        &self,
        call: &Function,
        scope: &Scope,
        span: Span,
        context: &Context<'_>,
    ) -> Result<(Expr, WindowSpec)> {
        let exprs = ExprPlanner::new(self, context, scope);
        let Arguments::List { args, .. } = arguments(call, span)? else {
            return Err(Diagnostic::at(span, "WRONG_NUM_ARGS", "window takes a time and a length").into());
        };
        let ([time, size], rest) = match args.as_slice() {
            [time, size, rest @ ..] if rest.len() <= 2 => ([*time, *size], rest),
            _ => {
                let error = Diagnostic::at(
                    span,
                    "WRONG_NUM_ARGS",
                    "window takes a time, a length and, if wanted, a slide and a start",
                );
                return Err(error.help("window(ts, '5 minutes')").into());
            }
        };
        let planned = exprs.expr(time)?;
        let found = exprs.type_of(&planned, exprs.place(time))?;
        let planned = match found {
            DataType::Timestamp(..) => planned,
            // Over the windows of an inner query, the time is the last moment of each.
            DataType::Struct(_) => exprs.named_call("window_time", vec![planned], span)?,
            DataType::Date32 | DataType::Utf8 => self.functions.cast(planned, &millstream_functions::ddl::timestamp()),
            other => {
                let message = format!("window wants a TIMESTAMP, not {}", millstream_functions::ddl::type_name(&other));
                return Err(Diagnostic::at(exprs.place(time), "DATATYPE_MISMATCH", message).into());
            }
        };
        let texts =
            Errors::collect([size].into_iter().chain(rest.iter().copied()).map(|arg| exprs.constant_text(arg)))?;
        let text = |i: usize| texts.get(i).map(String::as_str);
        let parsed = ParsedWindow::parse(text(0).unwrap_or_default(), text(1), text(2));
        let ParsedWindow { duration_us, slide_us, start_us } = parsed.map_err(|error| {
            Diagnostic::at(span, error.class, error.message).help("window(ts, '10 minutes', '5 minutes')")
        })?;
        Ok((planned, WindowSpec { size_us: duration_us, slide_us, start_us }))
    }

    /// A generator in the select list: its columns, and which item it is.
    fn select_generator(&self, mut scope: Scope, select: &Select, context: &Context<'_>) -> Result<(Scope, Generated)> {
        let mut generated: Generated = None;
        for (i, item) in select.projection.iter().enumerate() {
            let (expr, aliases) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, Vec::new()),
                SelectItem::ExprWithAlias { expr, alias } => (expr, vec![alias.clone()]),
                SelectItem::ExprWithAliases { expr, aliases } => (expr, aliases.clone()),
                _ => continue,
            };
            let Some(function) = generator(expr) else { continue };
            let span = context.place(expr);
            if generated.is_some() {
                let error =
                    Diagnostic::at(span, "UNSUPPORTED_GENERATOR.MULTI_GENERATOR", "a select list has one generator");
                return Err(error.help("LATERAL VIEW explode(x) t AS y takes one more").into());
            }
            let (extended, count) = self.generate(scope, function, false, &aliases, None, span, context)?;
            scope = extended;
            let first = scope.columns.len() - count;
            let columns = scope.columns[first..].to_vec();
            // They are selected by this item, not by a star beside it.
            scope.columns[first..].iter_mut().for_each(|column| column.starred = false);
            generated = Some((i, columns));
        }
        Ok((scope, generated))
    }

    fn items(
        &self,
        select: &Select,
        scope: &Scope,
        generated: &Generated,
        context: &Context<'_>,
    ) -> Result<(Vec<Item>, Aliases)> {
        let mut items = Vec::new();
        let mut aliases: Aliases = Vec::new();
        let mut errors = Errors::default();
        for (i, item) in select.projection.iter().enumerate() {
            if let Some((_, columns)) = generated.as_ref().filter(|(at, _)| *at == i) {
                items.extend(columns.iter().map(|column| self.star_item(column, context.place(item))));
                continue;
            }
            let span = context.place(item);
            let exprs = ExprPlanner::new(self, context, scope).with_aliases(&aliases);
            let planned = match item {
                SelectItem::UnnamedExpr(expr) => {
                    exprs.expr(expr).map(|planned| vec![Item { name: column_name(expr), expr: planned, span }])
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    exprs.expr(expr).map(|planned| vec![Item { name: alias.value.clone(), expr: planned, span }])
                }
                SelectItem::ExprWithAliases { .. } => {
                    Err(Diagnostic::at(span, "MULTI_ALIAS_WITHOUT_GENERATOR", "several names for one column").into())
                }
                SelectItem::Wildcard(options) => self.star(scope, None, options, span),
                SelectItem::QualifiedWildcard(kind, options) => match kind {
                    SelectItemQualifiedWildcardKind::ObjectName(name) => {
                        self.qualified_star(name, &exprs, options, span)
                    }
                    SelectItemQualifiedWildcardKind::Expr(expr) => {
                        exprs.expr(expr).and_then(|planned| self.struct_star(planned, &exprs, options, span))
                    }
                },
            };
            match planned {
                Ok(planned) => {
                    if let (SelectItem::ExprWithAlias { .. }, [item]) = (item, planned.as_slice()) {
                        aliases.push((item.name.clone(), item.expr.clone()));
                    }
                    items.extend(planned);
                }
                Err(error) => errors.append(error),
            }
        }
        if !errors.0.is_empty() {
            return Err(errors);
        }
        if items.is_empty() {
            return Err(Diagnostic::at(context.place(select), "PARSE_SYNTAX_ERROR", "nothing is selected").into());
        }
        Ok((items, aliases))
    }

    fn star_item(&self, column: &ScopeColumn, span: Span) -> Item {
        Item { name: column.name.clone(), expr: Expr::Column(column.column.clone()), span }
    }

    /// `*` and `relation.*`.
    fn star(
        &self,
        scope: &Scope,
        qualifier: Option<&str>,
        options: &WildcardAdditionalOptions,
        span: Span,
    ) -> Result<Vec<Item>> {
        let chosen = scope.columns.iter().filter(|column| match (qualifier, &column.qualifier) {
            (None, _) => column.starred,
            (Some(wanted), Some(qualifier)) => wanted.eq_ignore_ascii_case(qualifier),
            (Some(_), None) => false,
        });
        let items: Vec<Item> = chosen.map(|column| self.star_item(column, span)).collect();
        except(items, options)
    }

    fn qualified_star(
        &self,
        name: &ObjectName,
        exprs: &ExprPlanner<'_, '_>,
        options: &WildcardAdditionalOptions,
        span: Span,
    ) -> Result<Vec<Item>> {
        let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        if let [qualifier] = parts.as_slice()
            && exprs.scope.has_qualifier(&qualifier.value)
            && !matches!(exprs.scope.find(None, &qualifier.value), Found::Column(_))
        {
            return self.star(exprs.scope, Some(&qualifier.value), options, span);
        }
        let planned = exprs.expr(&SqlExpr::CompoundIdentifier(parts))?;
        self.struct_star(planned, exprs, options, span)
    }

    /// `struct.*`: its fields.
    fn struct_star(
        &self,
        value: Expr,
        exprs: &ExprPlanner<'_, '_>,
        options: &WildcardAdditionalOptions,
        span: Span,
    ) -> Result<Vec<Item>> {
        match exprs.type_of(&value, span)? {
            DataType::Struct(fields) => {
                let field =
                    |name: &String| Item { name: name.clone(), expr: get_field(value.clone(), name.as_str()), span };
                except(fields.iter().map(|f| field(f.name())).collect(), options)
            }
            other => {
                let message = format!(
                    "`.*` takes the fields of a STRUCT, this is {}",
                    millstream_functions::ddl::type_name(&other)
                );
                Err(Diagnostic::at(span, "CANNOT_RESOLVE_STAR_EXPAND", message).into())
            }
        }
    }

    /// The expressions of GROUP BY; `None` without one.
    fn groups(
        &self,
        select: &Select,
        scope: &Scope,
        items: &[Item],
        aliases: &Aliases,
        context: &Context<'_>,
    ) -> Result<Option<Vec<(Expr, Span)>>> {
        let is_plain = |item: &&Item| datafusion::logical_expr::utils::find_aggregate_exprs([&item.expr]).is_empty();
        match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) if exprs.is_empty() && modifiers.is_empty() => Ok(None),
            GroupByExpr::Expressions(exprs, modifiers) => {
                let is_set =
                    |expr: &&SqlExpr| matches!(expr, SqlExpr::Rollup(_) | SqlExpr::Cube(_) | SqlExpr::GroupingSets(_));
                if !modifiers.is_empty() || exprs.iter().any(|expr| is_set(&expr)) {
                    let span = exprs.first().map_or(context.span, |expr| context.place(expr));
                    return Err(Diagnostic::at(
                        span,
                        "UNSUPPORTED_FEATURE",
                        "ROLLUP, CUBE and GROUPING SETS are not supported yet",
                    )
                    .into());
                }
                let planner = ExprPlanner::new(self, context, scope).with_aliases(aliases);
                let group = |expr: &SqlExpr| {
                    let span = context.place(expr);
                    if let Some(i) = ordinal(expr) {
                        return match i.checked_sub(1).and_then(|i| items.get(i)) {
                            Some(item) => Ok((item.expr.clone(), span)),
                            None => {
                                let message = format!("GROUP BY {i} is not a column of the select list");
                                Err(Diagnostic::at(span, "GROUP_BY_POS_OUT_OF_RANGE", message).into())
                            }
                        };
                    }
                    Ok((planner.expr(expr)?, span))
                };
                Errors::collect(exprs.iter().map(group)).map(Some)
            }
            GroupByExpr::All(_) => {
                Ok(Some(items.iter().filter(is_plain).map(|item| (item.expr.clone(), item.span)).collect()))
            }
        }
    }
}

/// The column `name`. That `window_time(w)` is event time, which its type alone does not say, is noted with it.
fn named_output(expr: Expr, name: &str, schema: &DFSchema) -> Expr {
    match (&expr, event_time_delay_us(&expr, schema)) {
        (Expr::ScalarFunction(_), Some(delay_us)) => {
            let delay = [(WATERMARK_DELAY_US.to_string(), delay_us.to_string())];
            expr.alias_with_metadata(name, Some(BTreeMap::from(delay).into()))
        }
        _ => expr.alias(name),
    }
}

/// Which item of the select list is a generator, and the columns it gives.
type Generated = Option<(usize, Vec<ScopeColumn>)>;

fn ordinal(expr: &SqlExpr) -> Option<usize> {
    match expr {
        SqlExpr::Value(value) => match &value.value {
            datafusion::sql::sqlparser::ast::Value::Number(number, _) => number.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// All calls of `window` and `session_window` that belong to this query.
fn time_window_calls(select: &Select) -> Vec<Function> {
    let mut calls = Vec::new();
    let mut collect = |expr: &SqlExpr| {
        if let SqlExpr::Function(function) = expr
            && matches!(function_name(function).as_str(), "window" | "session_window")
        {
            calls.push(function.clone());
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = visit_expressions(&select.group_by, &mut collect);
    let _ = visit_expressions(&select.projection, &mut collect);
    let _ = visit_expressions(&select.having, &mut collect);
    calls
}

/// `* EXCEPT (a, b)`.
fn except(mut items: Vec<Item>, options: &WildcardAdditionalOptions) -> Result<Vec<Item>> {
    let Some(except) = &options.opt_except else { return Ok(items) };
    for ident in [&except.first_element].into_iter().chain(&except.additional_elements) {
        let before = items.len();
        let names: Vec<String> = items.iter().map(|item| item.name.clone()).collect();
        items.retain(|item| !item.name.eq_ignore_ascii_case(&ident.value));
        if items.len() == before {
            let span = place(ident.span).or(items.first().map(|item| item.span));
            let message = format!("EXCEPT names `{}`, which is not a column here", ident.value);
            let mut error = Diagnostic::nowhere("UNRESOLVED_COLUMN", message);
            error.span = span;
            let near = nearest(&ident.value, names.iter().map(String::as_str));
            return Err(match near {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error,
            }
            .into());
        }
    }
    Ok(items)
}
