//! What a project folder means: tables, flows and the relations they read. Made by the front end, run by the engine.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{LogicalPlan, TableSource};

use crate::error::Report;

/// A project's queries, checked and planned.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// `name` of `spark-pipeline.yml`.
    pub name: String,
    /// `configuration` of the specification and every `SET`, later ones winning.
    pub configuration: BTreeMap<String, String>,
    /// Every streaming table and materialized view, in dependency order (a table stands after the tables it reads).
    pub tables: Vec<Table>,
    /// Queries that append to streaming tables, in dependency order.
    pub flows: Vec<Flow>,
    /// Where each key of `configuration` was set.
    pub settings_at: BTreeMap<String, Origin>,
    /// What runs, but hardly as it was meant.
    pub warnings: Report,
}

/// A table of the pipeline.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name, also of its folder in the lake.
    pub name: String,
    /// What its rows are.
    pub kind: TableKind,
    /// How its files are written.
    pub format: FileFormat,
    /// Columns as the files have them.
    pub schema: SchemaRef,
    /// `TBLPROPERTIES`.
    pub properties: BTreeMap<String, String>,
    /// `PARTITIONED BY` columns.
    pub partitioned_by: Vec<String>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// The statement as it was written.
    pub sql: String,
    /// Where the statement stands, for messages.
    pub origin: Origin,
}

/// Streaming tables only grow; materialized views are the current answer.
#[derive(Debug, Clone)]
pub enum TableKind {
    /// Append only; fed by the flows whose `target` is this table.
    Streaming,
    /// Recomputed from this plan (batch: its leaves are static [`Relation`]s).
    Materialized(Box<LogicalPlan>),
}

/// File formats of tables and sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Comma separated values as Spark writes and reads them.
    Csv,
    /// One JSON object a line.
    Json,
    /// Apache Parquet.
    Parquet,
    /// One line a row, in a column `value`.
    Text,
}

/// A query whose rows are appended to a table.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The flow's name: the table's own name, or that of `CREATE FLOW`.
    pub name: String,
    /// The table that it feeds.
    pub target: String,
    /// Analysed and optimised; columns stand in the order of the table. Leaves are [`Relation`]s.
    pub plan: LogicalPlan,
    /// A hash of what decides whether old state still fits: the plan with its sources, types and windows.
    pub fingerprint: String,
    /// The statement as it was written.
    pub sql: String,
    /// Where the statement stands, for messages.
    pub origin: Origin,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Path below the project.
    pub file: PathBuf,
    /// 1-based line of the statement's first token.
    pub line: usize,
}

/// A leaf of a plan: something rows come from. It is the `TableSource` of every `TableScan` in a pipeline's plans.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Relation {
    /// Unique within its plan; also the scan's table name.
    pub name: String,
    /// Read as a stream (`STREAM x`) or as it stands.
    pub streaming: bool,
    /// What it is.
    pub kind: RelationKind,
    /// Columns.
    pub schema: SchemaRef,
}

/// What a [`Relation`] reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// A Kafka topic, with the options of Spark's connector, keys in lower case.
    Kafka(BTreeMap<String, String>),
    /// A table of `sources.sql` or a path.
    Files {
        /// Format of the files.
        format: FileFormat,
        /// Directory, file or glob; relative ones are below the project.
        location: String,
        /// Reader options, keys in lower case (`header`, `sep`, …).
        options: BTreeMap<String, String>,
    },
    /// A table of this pipeline.
    Table(String),
}

impl Relation {
    /// The relation behind a scan's source, if it is one.
    pub fn of(source: &Arc<dyn TableSource>) -> Option<&Self> {
        let source: &dyn Any = source.as_ref();
        source.downcast_ref()
    }
}

/// All relations that a plan reads, also in its subqueries; one that is read twice comes twice.
pub fn relations_of(plan: &LogicalPlan) -> Vec<Relation> {
    let mut found = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.extend(Relation::of(&scan.source).cloned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the closure does not fail");
    found
}

impl TableSource for Relation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
}
