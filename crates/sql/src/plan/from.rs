//! FROM: relations, streams, watermarks and joins.

use std::rc::Rc;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Column, JoinType, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias};
use datafusion::sql::sqlparser::ast::{
    Ident, Join, JoinConstraint, JoinOperator, ObjectName, SelectItem, TableAlias, TableFactor, TableWithJoins,
};
use millstream_functions::ddl::type_name;

use super::expr::ExprPlanner;
use super::names::column_name;
use super::scope::{Found, ScopeColumn, fresh_name, is_timestamp};
use super::{Context, Dataset, Planner, Scope, refused};
use crate::error::{Diagnostic, Result, nearest};
use crate::kafka;
use crate::lex::place;
use crate::logical::WatermarkNode;
use crate::pipeline::{Relation, RelationKind};
use crate::relations::{Clause, Watermark};
use crate::source::Span;

impl Planner<'_> {
    /// All of FROM; a query without it reads one row of nothing.
    pub(super) fn from<'q>(&self, from: &'q [TableWithJoins], context: &Context<'q>) -> Result<Scope> {
        let alone = matches!(from, [TableWithJoins { joins, .. }] if joins.is_empty());
        let mut scope: Option<Scope> = None;
        for item in from {
            let right = self.joined(item, alone, context)?;
            scope = Some(match scope {
                None => right,
                Some(left) => {
                    self.join(left, right, JoinType::Inner, &JoinConstraint::None, context.place(item), context)?
                }
            });
        }
        match scope {
            Some(scope) => Ok(scope),
            None => {
                let plan = LogicalPlanBuilder::empty(true).build().map_err(|error| refused(&error, context.span))?;
                Ok(Scope::of(plan, None, false))
            }
        }
    }

    fn joined<'q>(&self, item: &'q TableWithJoins, alone: bool, context: &Context<'q>) -> Result<Scope> {
        let mut scope = self.factor(&item.relation, alone, context)?;
        for Join { relation, join_operator, .. } in &item.joins {
            let span = context.place(relation);
            let right = self.factor(relation, false, context)?;
            let (kind, constraint) = match join_operator {
                JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => (JoinType::Inner, on),
                JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (JoinType::Left, on),
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (JoinType::Right, on),
                JoinOperator::FullOuter(on) => (JoinType::Full, on),
                JoinOperator::Semi(on) | JoinOperator::LeftSemi(on) => (JoinType::LeftSemi, on),
                JoinOperator::Anti(on) | JoinOperator::LeftAnti(on) => (JoinType::LeftAnti, on),
                _ => {
                    return Err(
                        Diagnostic::at(span, "UNSUPPORTED_FEATURE", "this kind of join is not supported").into()
                    );
                }
            };
            scope = self.join(scope, right, kind, constraint, span, context)?;
        }
        Ok(scope)
    }

    fn factor<'q>(&self, factor: &'q TableFactor, alone: bool, context: &Context<'q>) -> Result<Scope> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let clause = alias.as_ref().and_then(|alias| context.clauses.of_alias(&alias.name));
                let scope = self.named(name, clause, context)?;
                let qualifier = last_name(name).map(|ident| ident.value.clone());
                self.finish_factor(scope, qualifier, alias.as_ref(), clause, alone, context)
            }
            TableFactor::Derived { subquery, alias, lateral: false, .. } => {
                let clause = alias.as_ref().and_then(|alias| context.clauses.of_alias(&alias.name));
                let scope = self.query(subquery, context)?;
                self.finish_factor(scope, None, alias.as_ref(), clause, alone, context)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.joined(table_with_joins, alone, context),
            other => {
                let error = Diagnostic::at(context.place(other), "UNSUPPORTED_FEATURE", "this cannot be read from");
                Err(error.label("not a relation").help("FROM takes names, STREAM names and (subqueries)").into())
            }
        }
    }

    /// Watermark and alias of a relation.
    fn finish_factor(
        &self,
        mut scope: Scope,
        name: Option<String>,
        alias: Option<&TableAlias>,
        clause: Option<&Clause>,
        alone: bool,
        context: &Context<'_>,
    ) -> Result<Scope> {
        if let Some(watermark) = clause.and_then(|clause| clause.watermark.as_ref()) {
            let qualifier = name.as_deref();
            scope.columns.iter_mut().for_each(|column| column.qualifier = qualifier.map(str::to_string));
            scope = self.watermark(scope, watermark, context)?;
        }
        let written = match clause {
            Some(clause) => clause.alias.as_ref(),
            None => alias.map(|alias| &alias.name),
        };
        let qualifier = written.map(|ident| ident.value.clone()).or(name);
        for column in &mut scope.columns {
            column.qualifier.clone_from(&qualifier);
            column.hidden = false;
        }
        if let Some(alias) = alias.filter(|alias| !alias.columns.is_empty()) {
            let (wanted, there) = (alias.columns.len(), scope.columns.len());
            if wanted != there {
                let span = place(alias.name.span).unwrap_or(context.span);
                let message = format!("the alias names {wanted} columns, there are {there}");
                return Err(Diagnostic::at(span, "ASSIGNMENT_ARITY_MISMATCH", message).into());
            }
            for (column, name) in scope.columns.iter_mut().zip(&alias.columns) {
                column.name.clone_from(&name.name.value);
            }
        }
        if alone {
            return Ok(scope);
        }
        // In a join every side's columns need a name of their own in the plan.
        let unique = self.unique_name(&qualifier.unwrap_or_else(|| "subquery".to_string()));
        let reference = TableReference::bare(unique);
        let exprs = scope.exprs();
        let projection = Projection::try_new(exprs, Arc::new(scope.plan)).map(LogicalPlan::Projection);
        let plan = projection
            .and_then(|plan| SubqueryAlias::try_new(Arc::new(plan), reference.clone()))
            .map(LogicalPlan::SubqueryAlias)
            .map_err(|error| refused(&error, context.span))?;
        for column in &mut scope.columns {
            column.column = Column::new(Some(reference.clone()), column.column.name.clone());
        }
        Ok(Scope { plan, ..scope })
    }

    /// A name that no leaf and no side of a join in this plan has.
    fn unique_name(&self, name: &str) -> String {
        let mut leaves = self.leaves.borrow_mut();
        let unique = fresh_name(name, |candidate| leaves.contains(candidate));
        leaves.insert(unique.clone());
        unique
    }

    fn named<'q>(&self, name: &'q ObjectName, clause: Option<&Clause>, context: &Context<'q>) -> Result<Scope> {
        let span = context.place(name);
        let stream = clause.and_then(|clause| clause.stream);
        let no_options: &[(String, String, Span)] = &[];
        let options = clause.map_or(no_options, |clause| &clause.options);
        let Some(last) = last_name(name) else {
            return Err(Diagnostic::at(span, "PARSE_SYNTAX_ERROR", "this is no name of a relation").into());
        };
        let first = name.0.first().and_then(|part| part.as_ident());
        let dataset = match first.filter(|_| name.0.len() == 2).map(|format| format.value.to_lowercase()) {
            Some(format)
                if last.quote_style == Some('`') && ["csv", "json", "parquet", "text"].contains(&format.as_str()) =>
            {
                if let Some(at) = stream {
                    let message = "files at a path are read as they stand, not as a stream";
                    let class = "INVALID_FLOW_QUERY_TYPE.BATCH_RELATION_FOR_STREAMING_TABLE";
                    let help = format!(
                        "declare them in sources.sql: CREATE TABLE name (column TYPE, …) USING {format} LOCATION '{}', and read STREAM name",
                        last.value
                    );
                    return Err(Diagnostic::at(at.to(span), class, message).label("a path").help(help).into());
                }
                Some(self.catalog.path(&format, &last.value, span)?)
            }
            _ => None,
        };
        if dataset.is_none()
            && name.0.len() == 1
            && let Some(cte) = context.ctes.get(&last.value.to_lowercase())
        {
            return self.cte(cte, stream, &last.value, span);
        }
        let dataset = match dataset {
            Some(dataset) => dataset,
            None => match self.catalog.lookup(&last.value, span)? {
                Some(dataset) => dataset,
                None if last.value.eq_ignore_ascii_case("kafka") => return self.kafka(stream, options, span),
                None => return Err(self.unknown_relation(&last.value, span, context).into()),
            },
        };
        if let Some((key, _, at)) = options.first() {
            let error = Diagnostic::at(*at, "UNKNOWN_OPTION", format!("`{}` takes no option `{key}`", last.value));
            return Err(error
                .help("options of files stand in sources.sql: CREATE TABLE … OPTIONS (header 'true')")
                .into());
        }
        match dataset {
            Dataset::View(view) => self.view(&last.value, &view, stream, span),
            Dataset::Table { name, schema, streaming } => {
                if let (Some(at), false) = (stream, streaming) {
                    let error = Diagnostic::at(
                        at.to(span),
                        "INCOMPATIBLE_BATCH_VIEW_READ",
                        format!("`{name}` is a materialized view: it changes, it does not grow"),
                    );
                    return Err(error
                        .label("read as a stream")
                        .help(format!("read it without STREAM: FROM {name}"))
                        .into());
                }
                self.leaf(&name.clone(), stream.is_some(), RelationKind::Table(name), schema, span)
            }
            Dataset::Source { name, schema, kind } => self.leaf(&name, stream.is_some(), kind, schema, span),
        }
    }

    fn unknown_relation(&self, name: &str, span: Span, context: &Context<'_>) -> Diagnostic {
        let names = self.catalog.names();
        let all = names.iter().map(String::as_str).chain(context.ctes.keys().map(String::as_str)).chain(["kafka"]);
        let error = Diagnostic::at(span, "TABLE_OR_VIEW_NOT_FOUND", format!("there is no table or view `{name}`"))
            .label("unknown");
        match nearest(name, all) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => error.help(
                "a topic is read by FROM STREAM kafka WITH (subscribe = 'topic'); files are declared in sources.sql",
            ),
            None => error.help(format!("there are {}", names.join(", "))),
        }
    }

    fn cte(&self, cte: &super::Cte<'_>, stream: Option<Span>, name: &str, span: Span) -> Result<Scope> {
        let mut scope = self.query(cte.query, &cte.context)?;
        if let Some(at) = stream {
            let error = Diagnostic::at(
                at.to(span),
                "INCOMPATIBLE_BATCH_VIEW_READ",
                format!("`{name}` is a part of this query, not a relation of its own"),
            );
            return Err(error
                .help(format!("write STREAM where `{name}` reads its relation, and FROM {name} here"))
                .into());
        }
        for (column, name) in scope.columns.iter_mut().zip(&cte.columns) {
            column.name.clone_from(name);
        }
        Ok(scope)
    }

    /// A view is its query; streaming ones are read with STREAM, others without.
    fn view(
        &self,
        name: &str,
        view: &Rc<crate::statement::ParsedQuery>,
        stream: Option<Span>,
        span: Span,
    ) -> Result<Scope> {
        let lower = name.to_lowercase();
        if self.views.borrow().contains(&lower) {
            let path = self.views.borrow().join(" → ");
            let error = Diagnostic::at(span, "CYCLIC_DEPENDENCY", format!("`{name}` reads itself: {path} → {lower}"));
            return Err(error.label("closes the circle").into());
        }
        // Errors inside the view carry its own places, and are told once.
        let scope = self.plan_view(name, view)?;
        match (stream, scope.streaming) {
            (None, true) => {
                let error =
                    Diagnostic::at(span, "INCOMPATIBLE_STREAMING_VIEW_READ", format!("the view `{name}` is a stream"));
                Err(error.label("read as it stands").help(format!("write FROM STREAM {name}")).into())
            }
            (Some(at), false) => {
                let error = Diagnostic::at(
                    at.to(span),
                    "INCOMPATIBLE_BATCH_VIEW_READ",
                    format!("the view `{name}` is no stream"),
                );
                Err(error
                    .label("read as a stream")
                    .help(format!("write FROM {name}, or STREAM inside of the view"))
                    .into())
            }
            _ => Ok(scope),
        }
    }

    fn kafka(&self, stream: Option<Span>, options: &[(String, String, Span)], span: Span) -> Result<Scope> {
        let options = kafka::options(options, span)?;
        if stream.is_none() {
            let error = Diagnostic::at(span, "UNSUPPORTED_FEATURE", "a topic is read as a stream only");
            return Err(error
                .label("without STREAM")
                .help("write FROM STREAM kafka WITH (…) in a streaming table, and read that table")
                .into());
        }
        let headers = options.get("includeheaders").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let name = kafka::relation_name(&options);
        self.leaf(&name, true, RelationKind::Kafka(options), kafka::schema(headers), span)
    }

    fn leaf(&self, name: &str, streaming: bool, kind: RelationKind, schema: SchemaRef, span: Span) -> Result<Scope> {
        let name = self.unique_name(name);
        let relation = Relation { name: name.clone(), streaming, kind, schema };
        let scan = LogicalPlanBuilder::scan(TableReference::bare(name), Arc::new(relation), None);
        let plan = scan.and_then(LogicalPlanBuilder::build).map_err(|error| refused(&error, span))?;
        Ok(Scope::of(plan, None, streaming))
    }

    /// `WATERMARK item DELAY OF interval` over a relation.
    fn watermark(&self, mut scope: Scope, watermark: &Watermark, context: &Context<'_>) -> Result<Scope> {
        let (expr, alias) = match &watermark.item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
            _ => {
                let error = Diagnostic::at(watermark.span, "PARSE_SYNTAX_ERROR", "a watermark stands on one column");
                return Err(error.help("WATERMARK ts DELAY OF INTERVAL 10 MINUTES").into());
            }
        };
        let exprs = ExprPlanner::new(self, context, &scope);
        let span = exprs.place(expr);
        let planned = exprs.expr(expr)?;
        let found = exprs.type_of(&planned, span)?;
        if !is_timestamp(&found) {
            let message = format!(
                "the event time `{}` is {}, not TIMESTAMP",
                alias.unwrap_or_else(|| column_name(expr)),
                type_name(&found)
            );
            let error = Diagnostic::at(span, "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE", message).label(type_name(&found));
            return Err(error.help(format!("WATERMARK try_to_timestamp({expr}) AS ts DELAY OF …")).into());
        }
        let column = match (planned, alias) {
            (Expr::Column(column), None) => column,
            (_, None) => {
                let error =
                    Diagnostic::at(span, "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE", "the event time needs a name");
                return Err(error.help(format!("WATERMARK {expr} AS ts DELAY OF …")).into());
            }
            (planned, Some(name)) => {
                let physical = scope.fresh(&name);
                let mut all = scope.exprs();
                all.push(planned.alias(&physical));
                let projection =
                    Projection::try_new(all, Arc::new(scope.plan)).map_err(|error| refused(&error, span))?;
                scope.plan = LogicalPlan::Projection(projection);
                let column = Column::new_unqualified(physical);
                let qualifier = scope.columns.first().and_then(|column| column.qualifier.clone());
                scope.columns.push(ScopeColumn {
                    qualifier,
                    name,
                    column: column.clone(),
                    starred: true,
                    hidden: false,
                });
                column
            }
        };
        if !scope.streaming {
            // Over rows that stand still nothing is late; Spark leaves the watermark out, too.
            return Ok(scope);
        }
        let node = WatermarkNode::try_new(Arc::new(scope.plan), column, watermark.delay_us);
        scope.plan = node.map_err(|error| refused(&error, watermark.span))?.into_plan();
        Ok(scope)
    }

    fn join<'q>(
        &self,
        left: Scope,
        right: Scope,
        kind: JoinType,
        constraint: &'q JoinConstraint,
        span: Span,
        context: &Context<'q>,
    ) -> Result<Scope> {
        check_streams(&left, &right, kind, span)?;
        let streaming = left.streaming || right.streaming;
        let using: Vec<String> = match constraint {
            JoinConstraint::Using(names) => {
                names.iter().filter_map(last_name).map(|ident| ident.value.clone()).collect()
            }
            JoinConstraint::Natural => {
                let names = left.columns.iter().map(|column| column.name.clone());
                names.filter(|name| matches!(right.find(None, name), Found::Column(_))).collect()
            }
            _ => Vec::new(),
        };
        let both = Scope {
            columns: left.columns.iter().chain(&right.columns).cloned().collect(),
            plan: cross(&left, &right).map_err(|error| refused(&error, span))?,
            streaming,
        };
        let exprs = ExprPlanner::new(self, context, &both);
        let condition = match constraint {
            JoinConstraint::On(on) => Some(exprs.predicate(on)?),
            _ => None,
        };
        let mut conditions: Vec<Expr> = condition.into_iter().collect();
        for name in &using {
            let (Found::Column(l), Found::Column(r)) = (left.find(None, name), right.find(None, name)) else {
                let error = Diagnostic::at(
                    span,
                    "UNRESOLVED_USING_COLUMN_FOR_JOIN",
                    format!("`{name}` is not a column of both sides"),
                );
                return Err(error.help(format!("left: {}; right: {}", left.describe(), right.describe())).into());
            };
            let columns = vec![Expr::Column(l.column.clone()), Expr::Column(r.column.clone())];
            let [l, r] = exprs.same_type(columns, span)?.try_into().expect("two go in");
            conditions.push(l.eq(r));
        }
        if conditions.is_empty() && kind != JoinType::Inner {
            let error = Diagnostic::at(span, "PARSE_SYNTAX_ERROR", "this join has no condition");
            return Err(error.help("write ON a.key = b.key or USING (key)").into());
        }
        let plan = if conditions.is_empty() {
            both.plan
        } else {
            LogicalPlanBuilder::from(left.plan.clone())
                .join_on(right.plan.clone(), kind, conditions)
                .and_then(LogicalPlanBuilder::build)
                .map_err(|error| refused(&error, span))?
        };
        if matches!(kind, JoinType::LeftSemi | JoinType::LeftAnti) {
            return Ok(Scope { plan, columns: left.columns, streaming });
        }
        let mut scope = Scope { plan, columns: both.columns, streaming };
        self.merge_using(&mut scope, left.columns.len(), &using, kind, span)?;
        Ok(scope)
    }

    /// A column of USING is one column: that of the side that has a value.
    fn merge_using(&self, scope: &mut Scope, left: usize, using: &[String], kind: JoinType, span: Span) -> Result<()> {
        for name in using {
            let position = |columns: &[ScopeColumn]| columns.iter().position(|c| c.name.eq_ignore_ascii_case(name));
            let (Some(l), Some(r)) = (position(&scope.columns[..left]), position(&scope.columns[left..])) else {
                continue;
            };
            let r = left + r;
            match kind {
                JoinType::Right => {
                    scope.columns[l].hidden = true;
                    scope.columns[l].starred = false;
                }
                JoinType::Full => {
                    let error =
                        Diagnostic::at(span, "UNSUPPORTED_FEATURE", "a full join with USING is not supported yet");
                    return Err(error.help("write ON, and coalesce(a.key, b.key)").into());
                }
                _ => {
                    scope.columns[r].hidden = true;
                    scope.columns[r].starred = false;
                }
            }
        }
        Ok(())
    }
}

fn cross(left: &Scope, right: &Scope) -> datafusion::error::Result<LogicalPlan> {
    LogicalPlanBuilder::from(left.plan.clone()).cross_join(right.plan.clone())?.build()
}

/// Which sides may be streams.
fn check_streams(left: &Scope, right: &Scope, kind: JoinType, span: Span) -> Result<()> {
    match (left.streaming, right.streaming, kind) {
        (true, true, _) => {
            let error = Diagnostic::at(span, "UNSUPPORTED_FEATURE", "a join of two streams is not supported yet")
                .label("the second stream");
            Err(error
                .help("let one side be a table: write it with its own flow, and read it here without STREAM")
                .into())
        }
        (true, false, JoinType::Right | JoinType::Full)
        | (false, true, JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti) => {
            let error = Diagnostic::at(
                span,
                "STREAM_STATIC_OUTER_JOIN_NOT_SUPPORTED",
                "this join keeps rows of the table that no row of the stream meets: with a stream one never knows",
            )
            .label("keeps rows of the static side");
            Err(error.help("keep the stream's rows: FROM STREAM s LEFT JOIN t").into())
        }
        _ => Ok(()),
    }
}

pub(super) fn last_name(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}
