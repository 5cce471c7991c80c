//! All statements of a project together: who reads whom, what columns tables have, and every query planned.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use millstream_functions::ddl::type_name;
use regex::Regex;

use crate::error::{Diagnostic, Errors, Result, nearest};
use crate::fingerprint::fingerprint;
use crate::functions::Functions;
use crate::kafka::topic_fault;
use crate::optimize::optimize;
use crate::pipeline::{FileFormat, Flow, RelationKind, Table, TableKind};
use crate::plan::types::{can_store, common};
use crate::plan::{Catalog, Dataset, Planner, Scope, refused};
use crate::settings::doubtful_property;
use crate::source::{Files, Span};
use crate::statement::{Name, ParsedQuery, SourceTable, Statement, TableStatement};

/// Statements by what they define.
#[derive(Default)]
pub(crate) struct Graph {
    /// Names of relations in lower case, with the place of their definition.
    names: BTreeMap<String, (Object, Span)>,
    views: Vec<View>,
    tables: Vec<(TableStatement, Span)>,
    flows: Vec<FlowStatement>,
    sources: Vec<SourceTable>,
}

#[derive(Debug, Clone, Copy)]
enum Object {
    View(usize),
    Table(usize),
    Source(usize),
    /// Its statement does not read; that was reported.
    Wrong,
}

struct View {
    name: Name,
    temporary: bool,
    query: Rc<ParsedQuery>,
}

struct FlowStatement {
    name: Name,
    target: Name,
    query: ParsedQuery,
    statement: Span,
}

impl Graph {
    /// Takes a statement in.
    pub fn add(&mut self, statement: Statement, span: Span) -> Result<()> {
        match statement {
            Statement::Set { .. } | Statement::SetCatalog => Ok(()),
            Statement::View { name, temporary, query } => {
                self.define(&name, Object::View(self.views.len()))?;
                self.views.push(View { name, temporary, query: Rc::new(query) });
                Ok(())
            }
            Statement::Table(table) => {
                let known = self.names.get(&table.name.text.to_lowercase()).copied();
                if let (true, Some((Object::Table(i), _))) = (table.if_not_exists, known)
                    && table.query.is_none()
                    && self.tables[i].0.streaming
                {
                    return Ok(());
                }
                self.define(&table.name, Object::Table(self.tables.len()))?;
                self.tables.push((*table, span));
                Ok(())
            }
            Statement::Flow { name, target, query } => {
                if let Some(other) = self.flows.iter().find(|flow| flow.name.text.eq_ignore_ascii_case(&name.text)) {
                    let error = Diagnostic::at(
                        name.span,
                        "DUPLICATE_FLOW",
                        format!("there is a flow `{}` already", other.name.text),
                    );
                    return Err(error.label("the second of this name").into());
                }
                self.flows.push(FlowStatement { name, target, query, statement: span });
                Ok(())
            }
            Statement::Source(table) => {
                self.define(&table.name, Object::Source(self.sources.len()))?;
                self.sources.push(table);
                Ok(())
            }
        }
    }

    /// Remembers the name of a statement that does not read, so that nobody is told that it does not exist.
    pub fn failed(&mut self, text: &str) {
        // More than one where a semicolon is missing.
        let pattern = r"(?is)\bCREATE\s+[^;()]*?\b(?:VIEW|TABLE)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:[\w`]+\.)*`?(\w+)`?";
        let Ok(regex) = Regex::new(pattern) else { return };
        for name in regex.captures_iter(text).filter_map(|captures| captures.get(1)) {
            let nowhere = Span { file: 0, start: 0, end: 0 };
            self.names.entry(name.as_str().to_lowercase()).or_insert((Object::Wrong, nowhere));
        }
    }

    fn define(&mut self, name: &Name, object: Object) -> Result<()> {
        match self.names.get(&name.text.to_lowercase()) {
            None => {
                self.names.insert(name.text.to_lowercase(), (object, name.span));
                Ok(())
            }
            Some((Object::Wrong, _)) => Ok(()),
            Some(_) => {
                let error = Diagnostic::at(
                    name.span,
                    "TABLE_OR_VIEW_ALREADY_EXISTS",
                    format!("there is a table or view `{}` already", name.text),
                );
                Err(error.label("the second of this name").help("give one of them another name; a second query into a streaming table is a flow: CREATE FLOW f AS INSERT INTO t BY NAME …").into())
            }
        }
    }

    /// Plans everything. Tables and flows come in the order in which they depend on each other.
    /// `dir` is the project's folder, where sources are looked for.
    pub fn plan(
        &self,
        functions: &Functions,
        files: &Files,
        dir: &Path,
        errors: &mut Errors,
    ) -> (Vec<Table>, Vec<Flow>) {
        let run = Run {
            graph: self,
            functions,
            files,
            states: RefCell::default(),
            order: RefCell::default(),
            errors: RefCell::default(),
        };
        for source in &self.sources {
            run.errors.borrow_mut().0.extend(nothing_there(source, dir));
        }
        for view in &self.views {
            run.check_view(view);
        }
        for flow in &self.flows {
            if let Err(error) = run.check_target(flow) {
                run.errors.borrow_mut().append(error);
            }
        }
        for (i, (table, _)) in self.tables.iter().enumerate() {
            // What is wrong is among the errors already.
            let _ = run.table(i, table.name.span);
        }
        if self.tables.is_empty()
            && !errors.stop()
            && self.names.values().all(|(object, _)| !matches!(object, Object::Wrong))
        {
            let error = Diagnostic::nowhere("RUN_EMPTY_PIPELINE", "the pipeline makes no table");
            run.errors
                .borrow_mut()
                .append(error.help("CREATE STREAMING TABLE name AS SELECT …, in a file under transformations/").into());
        }
        errors.append(run.errors.take());
        let (mut tables, mut flows) = (Vec::new(), Vec::new());
        for planned in run.order.take() {
            tables.push(planned.table.clone());
            flows.extend(planned.flows.iter().cloned());
        }
        (tables, flows)
    }
}

/// A table with its flows, planned.
struct Planned {
    table: Table,
    flows: Vec<Flow>,
}

#[derive(Clone)]
enum State {
    Planning,
    Failed,
    Done(Rc<Planned>),
}

struct Run<'a> {
    graph: &'a Graph,
    functions: &'a Functions,
    files: &'a Files,
    states: RefCell<BTreeMap<usize, State>>,
    order: RefCell<Vec<Rc<Planned>>>,
    errors: RefCell<Errors>,
}

impl Catalog for Run<'_> {
    fn lookup(&self, name: &str, span: Span) -> Result<Option<Dataset>> {
        Ok(Some(match self.graph.names.get(&name.to_lowercase()) {
            None => return Ok(None),
            Some((Object::Wrong, _)) => return Err(Errors::reported()),
            Some((Object::View(i), _)) => Dataset::View(Rc::clone(&self.graph.views[*i].query)),
            Some((Object::Table(i), _)) => {
                let planned = self.table(*i, span)?;
                let streaming = matches!(planned.table.kind, TableKind::Streaming);
                Dataset::Table {
                    name: planned.table.name.clone(),
                    schema: Arc::clone(&planned.table.schema),
                    streaming,
                }
            }
            Some((Object::Source(i), _)) => source(&self.graph.sources[*i])?,
        }))
    }

    fn path(&self, format: &str, path: &str, span: Span) -> Result<Dataset> {
        if format == "text" {
            let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
            let kind =
                RelationKind::Files { format: FileFormat::Text, location: path.to_string(), options: BTreeMap::new() };
            return Ok(Dataset::Source { name: path.to_string(), schema, kind });
        }
        let error =
            Diagnostic::at(span, "UNABLE_TO_INFER_SCHEMA", format!("the columns of the {format} files are not known"));
        let help = format!(
            "declare them in sources.sql: CREATE TABLE name (column TYPE, …) USING {format} LOCATION '{path}', and read that name"
        );
        Err(error.label("columns are not read from files yet").help(help).into())
    }

    fn warn(&self, warning: Diagnostic) {
        self.errors.borrow_mut().append(warning.into());
    }

    fn names(&self) -> Vec<String> {
        let graph = self.graph;
        let views = graph.views.iter().map(|view| view.name.text.clone());
        let tables = graph.tables.iter().map(|(table, _)| table.name.text.clone());
        views.chain(tables).chain(graph.sources.iter().map(|source| source.name.text.clone())).collect()
    }
}

/// Files that are declared in `sources.sql`.
fn source(table: &SourceTable) -> Result<Dataset> {
    let text = || Fields::from(vec![Field::new("value", DataType::Utf8, true)]);
    let Some(columns) = table.columns.clone().or_else(|| (table.format == FileFormat::Text).then(text)) else {
        let error = Diagnostic::at(
            table.name.span,
            "UNABLE_TO_INFER_SCHEMA",
            format!("the source `{}` names no columns", table.name.text),
        );
        return Err(error
            .label("which columns?")
            .help(format!(
                "files are not looked into when a pipeline is planned: CREATE TABLE {} (column TYPE, …) USING … LOCATION '{}'",
                table.name.text, table.location
            ))
            .into());
    };
    let nullable: Vec<Field> = columns.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Ok(Dataset::Source {
        name: table.name.text.clone(),
        schema: Arc::new(Schema::new(nullable)),
        kind: RelationKind::Files {
            format: table.format,
            location: table.location.clone(),
            options: table.options.clone(),
        },
    })
}

impl Run<'_> {
    fn report<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            self.errors.borrow_mut().append(error);
            Errors::reported()
        })
    }

    /// A view is looked at even if nobody reads it.
    fn check_view(&self, view: &View) {
        let planned = Planner::new(self, self.functions).plan_view(&view.name.text, &view.query);
        let checked = planned.and_then(|scope| match (scope.streaming, view.temporary) {
            (true, false) => {
                let error = Diagnostic::at(
                    view.name.span,
                    "INVALID_FLOW_QUERY_TYPE.STREAMING_RELATION_FOR_PERSISTED_VIEW",
                    format!("the view `{}` is a stream", view.name.text),
                );
                Err(error.help(format!("write CREATE TEMPORARY VIEW {}", view.name.text)).into())
            }
            _ => Ok(()),
        });
        let _ = self.report(checked);
    }

    fn check_target(&self, flow: &FlowStatement) -> Result<()> {
        let target = &flow.target;
        let what = match self.graph.names.get(&target.text.to_lowercase()) {
            Some((Object::Wrong, _)) => return Ok(()),
            Some((Object::Table(i), _)) if self.graph.tables[*i].0.streaming => return Ok(()),
            Some((Object::Table(_), _)) => "a materialized view, which is its query",
            Some((Object::View(_), _)) => "a view",
            Some((Object::Source(_), _)) => "a source",
            None => {
                let names: Vec<&str> = self.graph.tables.iter().map(|(table, _)| table.name.text.as_str()).collect();
                let error = Diagnostic::at(
                    target.span,
                    "TABLE_OR_VIEW_NOT_FOUND",
                    format!("there is no streaming table `{}`", target.text),
                )
                .label("unknown");
                return Err(match nearest(&target.text, names) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error.help(format!("make it: CREATE STREAMING TABLE {}", target.text)),
                }
                .into());
            }
        };
        let error = Diagnostic::at(target.span, "INVALID_FLOW_TARGET", format!("`{}` is {what}", target.text));
        Err(error.help("a flow appends to a streaming table").into())
    }

    /// A table of the pipeline; `reader` is where it is wanted.
    fn table(&self, i: usize, reader: Span) -> Result<Rc<Planned>> {
        let (statement, span) = &self.graph.tables[i];
        let state = self.states.borrow().get(&i).cloned();
        match state {
            Some(State::Done(planned)) => return Ok(planned),
            Some(State::Failed) => return Err(Errors::reported()),
            Some(State::Planning) => {
                let error = Diagnostic::at(
                    reader,
                    "CYCLIC_DEPENDENCY",
                    format!("`{}` reads itself, directly or through others", statement.name.text),
                );
                return Err(error
                    .label("closes the circle")
                    .help("a table is made of others: read the sources instead")
                    .into());
            }
            None => {}
        }
        self.states.borrow_mut().insert(i, State::Planning);
        let planned = self.report(self.plan_table(statement, *span).map(Rc::new));
        let state = planned.as_ref().map_or(State::Failed, |planned| State::Done(Rc::clone(planned)));
        self.states.borrow_mut().insert(i, state);
        let planned = planned?;
        self.order.borrow_mut().push(Rc::clone(&planned));
        Ok(planned)
    }

    fn plan_table(&self, table: &TableStatement, span: Span) -> Result<Planned> {
        let name = &table.name;
        let mut queries: Vec<(&Name, &ParsedQuery, Span)> =
            table.query.iter().map(|query| (name, query, span)).collect();
        let feeding = self.graph.flows.iter().filter(|flow| flow.target.text.eq_ignore_ascii_case(&name.text));
        queries.extend(feeding.map(|flow| (&flow.name, &flow.query, flow.statement)));
        if queries.is_empty() {
            let error = Diagnostic::at(name.span, "NO_QUERY_FOR_TABLE", format!("no query feeds `{}`", name.text));
            return Err(error
                .help(format!("add AS SELECT …, or CREATE FLOW f AS INSERT INTO {} BY NAME SELECT …", name.text))
                .into());
        }
        let scopes = Errors::collect(queries.iter().map(|(_, query, _)| {
            let scope = Planner::new(self, self.functions).plan(query)?;
            check_kind(table, &scope, query.span)?;
            check_names(&scope, query.span)?;
            Ok(scope)
        }))?;
        let fields = match &table.columns {
            Some((fields, _)) => fields
                .iter()
                .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()))
                .collect(),
            None => merged(&scopes, &queries)?,
        };
        check_storable(table, &fields)?;
        check_properties(table, &fields)?;
        for (key, (_, span)) in &table.properties {
            doubtful_property(key, *span).into_iter().for_each(|warning| self.warn(warning));
        }
        let partitioned_by = Errors::collect(table.partitioned_by.iter().map(|column| {
            let found = fields.iter().find(|field| field.name().eq_ignore_ascii_case(&column.text));
            found.map(|field| field.name().clone()).ok_or_else(|| {
                let error = Diagnostic::at(
                    column.span,
                    "UNRESOLVED_COLUMN",
                    format!("`{}` has no column `{}` to be partitioned by", name.text, column.text),
                );
                let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                Errors::from(match nearest(&column.text, names.iter().copied()) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error.help(format!("it has {}", names.join(", "))),
                })
            })
        }))?;
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let plans = Errors::collect(scopes.into_iter().zip(&queries).map(|(scope, (_, query, _))| {
            let plan = self.stored(scope, &schema, table, query.span)?;
            let fingerprint = fingerprint(&plan);
            Ok((optimize(plan).map_err(|error| refused(&error, query.span))?, fingerprint))
        }))?;
        let mut flows = Vec::new();
        let mut kind = TableKind::Streaming;
        for ((plan, fingerprint), (flow, _, statement)) in plans.into_iter().zip(&queries) {
            if table.streaming {
                flows.push(Flow {
                    name: flow.text.clone(),
                    target: name.text.clone(),
                    plan,
                    fingerprint,
                    sql: self.files.text(*statement).to_string(),
                    origin: self.files.origin(*statement),
                });
            } else {
                kind = TableKind::Materialized(Box::new(plan));
            }
        }
        let table = Table {
            name: name.text.clone(),
            kind,
            format: table.format,
            schema,
            properties: table.properties.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect(),
            partitioned_by,
            comment: table.comment.clone(),
            sql: self.files.text(span).to_string(),
            origin: self.files.origin(span),
        };
        Ok(Planned { table, flows })
    }

    /// Brings a query's columns to those of its table, by name.
    fn stored(&self, scope: Scope, schema: &Schema, table: &TableStatement, span: Span) -> Result<LogicalPlan> {
        let mut errors = Errors::default();
        for column in &scope.columns {
            if !schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(&column.name)) {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let error = Diagnostic::at(
                    span,
                    "INCOMPATIBLE_DATA_FOR_TABLE.EXTRA_COLUMNS",
                    format!("`{}` has no column `{}`", table.name.text, column.name),
                );
                let error = error.label(format!("selects `{}`", column.name));
                errors.append(match nearest(&column.name, names.iter().copied()) {
                    Some(near) => error.help(format!("did you mean `{near}`? Name it so: AS {near}")).into(),
                    None => error.help(format!("the table has {}", names.join(", "))).into(),
                });
            }
        }
        let exprs = Errors::collect(schema.fields().iter().map(|field| {
            let Some(column) = scope.columns.iter().find(|column| column.name.eq_ignore_ascii_case(field.name()))
            else {
                if !field.is_nullable() {
                    let message = format!("the query gives no `{}`, which is NOT NULL", field.name());
                    return Err(Errors::from(Diagnostic::at(
                        span,
                        "INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_FIND_DATA",
                        message,
                    )));
                }
                let null = ScalarValue::try_from(field.data_type()).map_err(|error| refused(&error, span))?;
                return Ok(Expr::Literal(null, None).alias(field.name()));
            };
            let from = scope.field(column).data_type();
            if !can_store(from, field.data_type()) {
                let message = format!(
                    "`{}` is {} in the table, the query gives {}",
                    field.name(),
                    type_name(field.data_type()),
                    type_name(from)
                );
                let error = Diagnostic::at(span, "INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST", message);
                return Err(error
                    .help(format!("CAST({} AS {}) AS {}", column.name, type_name(field.data_type()), field.name()))
                    .into());
            }
            Ok(self.functions.convert(Expr::Column(column.column.clone()), from, field.data_type()).alias(field.name()))
        }));
        let exprs = match exprs {
            Ok(exprs) if errors.0.is_empty() => exprs,
            exprs => {
                errors.append(exprs.err().unwrap_or_default());
                return Err(errors);
            }
        };
        Projection::try_new(exprs, Arc::new(scope.plan))
            .map(LogicalPlan::Projection)
            .map_err(|error| refused(&error, span))
    }
}

/// What is said of topics has to be names of topics and of columns.
fn check_properties(table: &TableStatement, fields: &[Field]) -> Result<()> {
    let mut errors = Errors::default();
    for (key, (value, span)) in &table.properties {
        let value = value.trim();
        let wrong = |message: String| Diagnostic::at(*span, "INVALID_PROPERTY_VALUE", message);
        let error = match key.as_str() {
            "millstream.topic" | "millstream.late.topic" => match topic_fault(value) {
                Some(fault) => wrong(format!("`{value}` is no name of a topic: {fault}")).help("such as 'orders.v1'"),
                None => continue,
            },
            "millstream.topic.key" if fields.iter().any(|field| field.name() == value) => continue,
            "millstream.topic.key" => {
                let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                let error = wrong(format!("`{}` has no column `{value}` to be the key", table.name.text));
                match nearest(value, names.iter().copied()) {
                    Some(near) => error.help(format!("did you mean '{near}'?")),
                    None => error.help(format!("it has {}", names.join(", "))),
                }
            }
            "millstream.topic.format" if ["json", "csv"].iter().any(|known| known.eq_ignore_ascii_case(value)) => {
                continue;
            }
            "millstream.topic.format" => wrong(format!("rows are not written as `{value}`")).help("'json' or 'csv'"),
            _ => continue,
        };
        errors.append(error.into());
    }
    if errors.0.is_empty() { Ok(()) } else { Err(errors) }
}

/// A source of which there is no file yet.
fn nothing_there(source: &SourceTable, dir: &Path) -> Option<Diagnostic> {
    let path = source.location.strip_prefix("file:").unwrap_or(&source.location);
    let path = dir.join(path.strip_prefix("//").unwrap_or(path));
    let matches = || glob::glob(&path.to_string_lossy()).is_ok_and(|mut found| found.next().is_some());
    if path.exists() || matches() {
        return None;
    }
    let message = format!("there is nothing at {} for the source `{}`", source.location, source.name.text);
    let warning = Diagnostic::at(source.location_span, "PATH_NOT_FOUND", message).warning();
    Some(warning.label("no such file or folder").help("a relative path is below the project"))
}

/// A streaming table reads a stream, a materialized view does not.
fn check_kind(table: &TableStatement, scope: &Scope, span: Span) -> Result<()> {
    let name = &table.name.text;
    match (table.streaming, scope.streaming) {
        (true, false) => {
            let error = Diagnostic::at(
                span,
                "INVALID_FLOW_QUERY_TYPE.BATCH_RELATION_FOR_STREAMING_TABLE",
                format!("the streaming table `{name}` reads no stream"),
            );
            Err(error
                .label("no STREAM here")
                .help(format!("write FROM STREAM relation, or CREATE MATERIALIZED VIEW {name}"))
                .into())
        }
        (false, true) => {
            let error = Diagnostic::at(
                span,
                "INVALID_FLOW_QUERY_TYPE.STREAMING_RELATION_FOR_MATERIALIZED_VIEW",
                format!("the materialized view `{name}` reads a stream"),
            );
            Err(error
                .label("STREAM here")
                .help(format!("read it without STREAM, or write CREATE STREAMING TABLE {name}"))
                .into())
        }
        _ => Ok(()),
    }
}

fn check_names(scope: &Scope, span: Span) -> Result<()> {
    for (i, column) in scope.columns.iter().enumerate() {
        if scope.columns[..i].iter().any(|earlier| earlier.name.eq_ignore_ascii_case(&column.name)) {
            let error =
                Diagnostic::at(span, "COLUMN_ALREADY_EXISTS", format!("two columns are called `{}`", column.name));
            return Err(error
                .label("selects it twice")
                .help(format!("give one of them another name: AS {}_2", column.name))
                .into());
        }
    }
    Ok(())
}

/// The columns of a table without a list of them: those of its queries, in the order of their appearance.
fn merged(scopes: &[Scope], queries: &[(&Name, &ParsedQuery, Span)]) -> Result<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::new();
    for (scope, (_, query, _)) in scopes.iter().zip(queries) {
        for column in &scope.columns {
            let data_type = scope.field(column).data_type();
            if *data_type == DataType::Null {
                let error = Diagnostic::at(
                    query.span,
                    "UNSUPPORTED_DATATYPE",
                    format!("`{}` has no type: it is NULL", column.name),
                );
                return Err(error.help(format!("CAST(NULL AS STRING) AS {}", column.name)).into());
            }
            match fields.iter_mut().find(|field| field.name().eq_ignore_ascii_case(&column.name)) {
                None => fields.push(Field::new(&column.name, without_metadata(data_type), true)),
                Some(field) if field.data_type() == data_type => {}
                Some(field) => {
                    let both = common(field.data_type(), data_type).filter(|both| can_store(data_type, both));
                    let Some(both) = both else {
                        let message = format!(
                            "`{}` is {} in one flow and {} in another",
                            column.name,
                            type_name(field.data_type()),
                            type_name(data_type)
                        );
                        return Err(Diagnostic::at(query.span, "CANNOT_MERGE_SCHEMAS", message)
                            .help("cast one of them")
                            .into());
                    };
                    field.set_data_type(both);
                }
            }
        }
    }
    Ok(fields)
}

/// A type whose fields carry no metadata.
fn without_metadata(data_type: &DataType) -> DataType {
    let plain = |field: &Field| Field::new(field.name(), without_metadata(field.data_type()), field.is_nullable());
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| plain(field)).collect()),
        DataType::List(item) => DataType::List(Arc::new(plain(item))),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(plain(entries)), *sorted),
        other => other.clone(),
    }
}

fn check_storable(table: &TableStatement, fields: &[Field]) -> Result<()> {
    let span = table.name.span;
    let stores = |data_type: &DataType| match table.format {
        FileFormat::Csv => !data_type.is_nested() && !matches!(data_type, DataType::Binary | DataType::Interval(_)),
        _ => !matches!(data_type, DataType::Interval(_)),
    };
    let format = match table.format {
        FileFormat::Csv => "csv",
        FileFormat::Json => "json",
        FileFormat::Parquet => "parquet",
        FileFormat::Text => "text",
    };
    for field in fields {
        if !stores(field.data_type()) {
            let message =
                format!("{format} files cannot hold `{}` of type {}", field.name(), type_name(field.data_type()));
            let error = Diagnostic::at(span, "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE", message);
            return Err(error.help("to_json(x), CAST(x AS STRING), x.field, or USING json or parquet").into());
        }
    }
    Ok(())
}
