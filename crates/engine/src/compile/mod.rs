//! From a flow's plan to segments and stateful operators, with every expression ready to run: nothing is planned again later.

mod aggregate;
mod join;
mod lower;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use millstream_sql::{Flow, Relation, relations_of};

use crate::aggregate::AggregateSpec;
use crate::error::EngineError;
use crate::ops::StaticSide;
use crate::segment::Segment;
use crate::stats::{StepCounters, StepInfo};
use crate::watermark::WatermarkSpec;

/// How a flow is compiled.
#[derive(Debug, Clone, Default)]
pub struct CompileOptions {
    /// What functions ask for (time zone, …).
    pub config: Arc<ConfigOptions>,
}

/// A flow that can be run.
#[derive(Debug)]
pub struct FlowProgram {
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) fingerprint: String,
    /// The plan in words, to tell what changed.
    pub(crate) plan_text: String,
    pub(crate) schema: SchemaRef,
    pub(crate) inputs: Vec<Input>,
    /// Each one's target is the output or stands behind it.
    pub(crate) stateful: Vec<Stateful>,
    pub(crate) watermarks: Vec<WatermarkSpec>,
    pub(crate) statics: Vec<Arc<StaticSide>>,
    pub(crate) steps: Vec<StepInfo>,
}

/// A stream that is read.
#[derive(Debug)]
pub(crate) struct Input {
    pub relation: Relation,
    pub projection: Option<Vec<usize>>,
    pub segment: Segment,
    pub target: Target,
    pub counters: Arc<StepCounters>,
}

/// An aggregate, and where its groups go when they are final.
#[derive(Debug)]
pub(crate) struct Stateful {
    pub spec: Arc<AggregateSpec>,
    pub segment: Segment,
    pub target: Target,
    pub counters: Arc<StepCounters>,
}

/// Where a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The flow's table.
    Output,
    /// One of the program's stateful operators.
    Stateful(usize),
}

impl FlowProgram {
    /// Columns of the rows that come out.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Streams that it reads; a source is needed for each.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.inputs.iter().map(|input| &input.relation)
    }

    /// Static relations that it reads; [`crate::StaticTables`] is asked for each.
    pub fn static_relations(&self) -> BTreeSet<String> {
        self.statics.iter().flat_map(|side| relations_of(side.plan())).map(|found| found.name).collect()
    }

    /// Does it keep groups over epochs?
    pub fn is_stateful(&self) -> bool {
        !self.stateful.is_empty()
    }
}

/// Makes a flow ready to run.
///
/// Fails on what a stream cannot do, with the node's name and a remedy.
pub fn compile(flow: &Flow, options: CompileOptions) -> Result<FlowProgram, EngineError> {
    let plan_text = format!("{}\n{}", flow.sql.trim(), flow.plan.display_indent());
    let mut lowering = lower::Lowering::new(Planner::new(options.config));
    let chains = lowering.lower(&flow.plan)?;
    lowering.finish(flow, chains, nullable(flow.plan.schema()), plan_text)
}

/// Makes expressions ready to run.
#[derive(Debug)]
pub(crate) struct Planner {
    pub props: ExecutionProps,
    pub context: PhysicalPlanningContext,
}

impl Planner {
    pub fn new(config: Arc<ConfigOptions>) -> Self {
        let mut props = ExecutionProps::new();
        props.mark_start_execution(config);
        Self { props, context: PhysicalPlanningContext::default() }
    }

    pub fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
        create_physical_expr(expr, schema, &self.props, &self.context)
    }
}

/// The schema with every column nullable: whether a column can be null is nobody's promise once rows are being dropped and joined.
pub(crate) fn nullable(schema: &DFSchema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// Does anything below read a stream?
pub(crate) fn has_stream(plan: &LogicalPlan) -> bool {
    relations_of(plan).iter().any(|relation| relation.streaming)
}

/// A field for a physical key.
pub(crate) fn key_field(name: &str, data_type: &DataType) -> Field {
    Field::new(name, data_type.clone(), true)
}
