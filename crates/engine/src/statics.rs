//! Plans over tables as they stand: the static side of joins, and materialized views. DataFusion runs them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt};
use millstream_sql::Relation;
use millstream_sql::logical::{WatermarkNode, WindowNode};

use crate::compile::nullable;
use crate::error::EngineError;
use crate::ops::{Notes, Op, Rows, StaticSide, WindowOp};

/// Where static relations are found.
pub trait StaticTables: Send + Sync + 'static {
    /// The relation as it stands now.
    fn table(&self, relation: &Relation) -> Result<Arc<dyn TableProvider>, DataFusionError>;
    /// Another number whenever its rows may have changed. `None`: a materialized view that was never computed. May look at disks.
    fn version(&self, relation: &Relation) -> Result<Option<u64>, DataFusionError>;
}

/// Runs a plan whose leaves are relations, as they stand now. `session` says how (time zone, functions, memory).
///
/// Rows come as a stream: nothing is collected here.
pub async fn materialize(
    plan: &LogicalPlan,
    tables: &dyn StaticTables,
    session: &SessionState,
) -> Result<SendableRecordBatchStream, EngineError> {
    let plan = plan.clone().transform_up_with_subqueries(|node| replace(node, tables))?.data;
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(NodePlanner)]);
    let plan = session.optimize(&plan)?;
    let physical = planner.create_physical_plan(&plan, session).await?;
    Ok(datafusion::physical_plan::execute_stream(physical, session.task_ctx())?)
}

/// Reads the static side of a join into memory.
pub(crate) async fn load(
    side: &StaticSide,
    tables: &dyn StaticTables,
    session: &SessionState,
) -> Result<(), EngineError> {
    let schema = nullable(side.plan().schema());
    let batches: Vec<RecordBatch> = materialize(side.plan(), tables, session).await?.try_collect().await?;
    let batches = batches.into_iter().map(|batch| {
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
        RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)
    });
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    Ok(side.load(concat_batches(&schema, &batches)?)?)
}

/// Scans of relations become scans of tables.
fn replace(node: LogicalPlan, tables: &dyn StaticTables) -> Result<Transformed<LogicalPlan>, DataFusionError> {
    let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
    let Some(relation) = Relation::of(&scan.source) else { return Ok(Transformed::no(node)) };
    let source = provider_as_source(tables.table(relation)?);
    let plan = LogicalPlanBuilder::scan_with_filters(
        scan.table_name.clone(),
        source,
        scan.projection.clone(),
        scan.filters.clone(),
    )?;
    let plan = match scan.fetch {
        Some(fetch) => plan.limit(0, Some(fetch))?,
        None => plan,
    };
    Ok(Transformed::yes(plan.build()?))
}

/// Plans our nodes over tables as they stand.
#[derive(Debug)]
struct NodePlanner;

#[async_trait]
impl ExtensionPlanner for NodePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>, DataFusionError> {
        let node: &dyn Any = node.as_any();
        let [input] = physical_inputs else { return Ok(None) };
        if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
            // It means nothing to a table as it stands.
            let schema = Arc::clone(UserDefinedLogicalNode::schema(watermark).inner());
            return Ok(Some(Arc::new(NodeExec::new(Arc::clone(input), None, schema))));
        }
        let Some(window) = node.downcast_ref::<WindowNode>() else { return Ok(None) };
        let schema = Arc::clone(UserDefinedLogicalNode::schema(window).inner());
        let field = schema.fields().last().expect("the node adds a column");
        let DataType::Struct(fields) = field.data_type() else { return Ok(None) };
        let op = WindowOp {
            time: planner.create_physical_expr(&window.time, window.input.schema(), session, context)?,
            spec: window.spec,
            bound_type: fields[0].data_type().clone(),
            fields: fields.clone(),
            schema: Arc::clone(&schema),
        };
        Ok(Some(Arc::new(NodeExec::new(Arc::clone(input), Some(Arc::new(Op::Window(op))), schema))))
    }
}

/// One of our plan nodes, for DataFusion.
#[derive(Debug)]
struct NodeExec {
    input: Arc<dyn ExecutionPlan>,
    /// What it does; nothing if rows pass as they are.
    op: Option<Arc<Op>>,
    properties: Arc<PlanProperties>,
}

impl NodeExec {
    fn new(input: Arc<dyn ExecutionPlan>, op: Option<Arc<Op>>, schema: SchemaRef) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Self { input, op, properties }
    }
}

impl DisplayAs for NodeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("NodeExec")
    }
}

impl ExecutionPlan for NodeExec {
    fn name(&self) -> &str {
        "NodeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(Arc::new(Self::new(children.swap_remove(0), self.op.clone(), self.schema())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let (op, schema) = (self.op.clone(), self.schema());
        let batches = self.input.execute(partition, context)?.map(move |batch| {
            let mut rows = Rows { batch: batch?, origin: None };
            if let Some(op) = &op {
                rows = op.apply(rows, &mut Notes::default())?;
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows.batch.num_rows()));
            let columns = rows.batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
