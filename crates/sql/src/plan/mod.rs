//! From the words of a query to a plan.
//!
//! The planner is our own rather than DataFusion's: names are looked up without regard to case, types meet as Spark has them,
//! structs expand, windows and watermarks are nodes, and every error knows its place. What comes out is DataFusion's `LogicalPlan`.

mod aggregate;
mod call;
mod expr;
mod from;
mod generate;
mod names;
mod query;
mod scope;
mod select;
pub(crate) mod types;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::ast::{Query, Spanned};
use millstream_functions::SparkError;

use crate::error::{Diagnostic, Errors, Result};
use crate::functions::Functions;
use crate::lex::place;
use crate::pipeline::RelationKind;
use crate::relations::Clauses;
use crate::source::Span;
use crate::statement::ParsedQuery;

#[cfg(test)]
pub(crate) use call::{GENERATORS, PLANNED_FUNCTIONS};
pub(crate) use scope::{Scope, fresh_name};

/// What a name in FROM stands for.
#[derive(Clone)]
pub(crate) enum Dataset {
    /// A view: its query, planned anew at each use.
    View(Rc<ParsedQuery>),
    /// A table of the pipeline.
    Table { name: String, schema: SchemaRef, streaming: bool },
    /// Files.
    Source { name: String, schema: SchemaRef, kind: RelationKind },
}

/// Where names of relations are looked up.
pub(crate) trait Catalog {
    /// `Ok(None)`: there is no such relation. An error: it is wrong itself, which was reported.
    fn lookup(&self, name: &str, span: Span) -> Result<Option<Dataset>>;
    /// Files at a path, as `` csv.`/dir` `` names them.
    fn path(&self, format: &str, path: &str, span: Span) -> Result<Dataset>;
    /// Takes note of what runs, but hardly as it was meant.
    fn warn(&self, warning: Diagnostic);
    /// All names, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// Plans the query of one flow, view or table.
pub(crate) struct Planner<'a> {
    catalog: &'a dyn Catalog,
    functions: &'a Functions,
    /// Names of relations in this plan; each leaf has its own.
    leaves: RefCell<BTreeSet<String>>,
    /// Views that are being planned, innermost last.
    views: RefCell<Vec<String>>,
}

/// What a query sees of its surroundings.
#[derive(Clone)]
pub(crate) struct Context<'q> {
    clauses: &'q Clauses,
    /// Common table expressions by name in lower case, with what they see themselves.
    ctes: Rc<BTreeMap<String, Cte<'q>>>,
    /// Marked where a node of the tree has no place of its own.
    span: Span,
}

#[derive(Clone)]
struct Cte<'q> {
    query: &'q Query,
    columns: Vec<String>,
    context: Rc<Context<'q>>,
}

impl<'a> Planner<'a> {
    pub fn new(catalog: &'a dyn Catalog, functions: &'a Functions) -> Self {
        Self { catalog, functions, leaves: RefCell::default(), views: RefCell::default() }
    }

    /// Plans a query; columns come out in the order of its select list.
    pub fn plan(&self, parsed: &ParsedQuery) -> Result<Scope> {
        let context = Context { clauses: &parsed.clauses, ctes: Rc::default(), span: parsed.span };
        self.query(&parsed.query, &context)
    }
}

impl Planner<'_> {
    /// Plans the query of a view, which must not read itself.
    pub fn plan_view(&self, name: &str, parsed: &ParsedQuery) -> Result<Scope> {
        self.views.borrow_mut().push(name.to_lowercase());
        let planned = self.plan(parsed);
        self.views.borrow_mut().pop();
        planned
    }
}

impl Context<'_> {
    /// The place of a node of the syntax tree.
    fn place(&self, node: &impl Spanned) -> Span {
        place(node.span()).unwrap_or(self.span)
    }
}

/// What DataFusion says against an expression or node, as an error at a place.
pub(crate) fn refused(error: &DataFusionError, span: Span) -> Errors {
    if let Some(spark) = SparkError::find(error) {
        return Diagnostic::at(span, spark.class, spark.message.clone()).into();
    }
    let text = error.strip_backtrace();
    let text = ["Error during planning: ", "Execution error: ", "Schema error: "]
        .iter()
        .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    // Functions may name Spark's class in front, which is shown as the error's own.
    let text = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(text, |(_, rest)| rest);
    Diagnostic::at(
        span,
        "DATATYPE_MISMATCH",
        text.split(" No function matches").next().unwrap_or(text).trim().to_string(),
    )
    .into()
}
