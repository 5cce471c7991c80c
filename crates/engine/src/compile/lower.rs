//! Walks a plan from its leaves to its root.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{
    Distinct, Expr, LogicalPlan, Projection, SubqueryAlias, TableScan, Union, Unnest, UserDefinedLogicalNodeCore,
    utils::conjunction,
};
use millstream_sql::logical::{WatermarkNode, WindowNode, downcast};
use millstream_sql::{Flow, Relation, RelationKind};

use super::{FlowProgram, Input, Planner, Stateful, Target, nullable};
use crate::aggregate::{AggregateSpec, is_event_time};
use crate::error::EngineError;
use crate::ops::{FilterOp, Op, ProjectOp, StaticSide, UnnestOp, WatermarkOp, WindowOp, drop_unused_columns};
use crate::segment::{Prepared, Segment};
use crate::stats::{StepCounters, StepInfo, StepKind};
use crate::watermark::WatermarkSpec;

/// Labels are for a page, not for proofs.
const LABEL_CHARS_MAX: usize = 160;
/// What the optimizer calls an expression that it computes once; of no interest to people.
const COMMON_EXPR: &str = "__common_expr";

/// Operators since a source or a stateful operator, on the way to the next one.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub start: Start,
    pub ops: Vec<(Arc<Op>, Arc<StepCounters>)>,
    /// Which watermark stands on it, if one does.
    watermark: Option<usize>,
    /// Its last step.
    pub step: usize,
}

/// Where a chain begins.
#[derive(Debug, Clone)]
pub(super) enum Start {
    Scan { relation: Relation, projection: Option<Vec<usize>> },
    Stateful(usize),
}

/// A stateful operator whose output is not yet wired.
#[derive(Debug)]
struct Pending {
    spec: Arc<AggregateSpec>,
    counters: Arc<StepCounters>,
    wired: Option<(Segment, Target)>,
}

/// A program in the making.
#[derive(Debug)]
pub(super) struct Lowering {
    pub planner: Planner,
    steps: Vec<StepInfo>,
    inputs: Vec<Input>,
    stateful: Vec<Pending>,
    watermarks: Vec<WatermarkSpec>,
    pub statics: Vec<Arc<StaticSide>>,
}

impl Lowering {
    pub fn new(planner: Planner) -> Self {
        let (steps, inputs, stateful) = (Vec::new(), Vec::new(), Vec::new());
        Self { planner, steps, inputs, stateful, watermarks: Vec::new(), statics: Vec::new() }
    }

    /// Chains whose rows together are the plan's.
    pub fn lower(&mut self, plan: &LogicalPlan) -> Result<Vec<Chain>, EngineError> {
        if let Some(node) = downcast::<WatermarkNode>(plan) {
            return self.watermark(node);
        }
        if let Some(node) = downcast::<WindowNode>(plan) {
            return self.window(node);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => self.lower(input),
            LogicalPlan::Projection(projection) => self.project(projection),
            LogicalPlan::Filter(filter) => {
                let chains = self.lower(&filter.input)?;
                self.filter(chains, &filter.predicate, filter.input.schema())
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Aggregate(aggregate) => {
                let chains = self.lower(&aggregate.input)?;
                self.aggregate(chains, aggregate)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let chains = self.lower(input)?;
                self.distinct(chains, input)
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::EmptyRelation(_) => Ok(Vec::new()),
            LogicalPlan::Sort(_) => Err(EngineError::unsupported(
                "ORDER BY",
                "a stream has no end to be sorted at: sort where the table is read, or in a MATERIALIZED VIEW",
            )),
            LogicalPlan::Limit(_) => {
                Err(EngineError::unsupported("LIMIT", "use it in a MATERIALIZED VIEW over this table"))
            }
            LogicalPlan::Window(_) => Err(EngineError::unsupported(
                "a function OVER a window of rows",
                "group by window(…), or use it in a MATERIALIZED VIEW",
            )),
            other => {
                let name = other.display().to_string();
                Err(EngineError::unsupported(short(&name), "use it in a MATERIALIZED VIEW over this table"))
            }
        }
    }

    /// The whole program, once `chains` are the plan's rows.
    pub fn finish(
        mut self,
        flow: &Flow,
        chains: Vec<Chain>,
        schema: SchemaRef,
        plan_text: String,
    ) -> Result<FlowProgram, EngineError> {
        let inputs = chains.iter().map(|chain| chain.step).collect::<BTreeSet<_>>();
        self.step(StepKind::Table, &flow.target, inputs.into_iter().collect());
        for chain in chains {
            self.wire(chain, Vec::new(), None, Target::Output);
        }
        let stateful = self.stateful.into_iter().map(|pending| {
            let (segment, target) = pending.wired.expect("every operator is on the way to the root");
            Stateful { spec: pending.spec, segment, target, counters: pending.counters }
        });
        let stateful = stateful.collect();
        // A watermark whose sources all got another one above it says nothing.
        let watermarks = self.watermarks.into_iter().filter(|spec| !spec.sources.is_empty()).collect();
        Ok(FlowProgram {
            name: flow.name.clone(),
            table: flow.target.clone(),
            fingerprint: flow.fingerprint.clone(),
            plan_text,
            schema,
            inputs: self.inputs,
            stateful,
            watermarks,
            statics: self.statics,
            steps: self.steps,
        })
    }

    /// Ends a chain.
    fn wire(&mut self, chain: Chain, prepare: Vec<Prepared>, time: Option<usize>, target: Target) {
        let segment = Segment { ops: fuse(chain.ops), prepare, time };
        match chain.start {
            Start::Scan { relation, projection } => {
                let counters = Arc::clone(&self.steps[self.step_of(&relation)].counters);
                self.inputs.push(Input { relation, projection, segment, target, counters });
            }
            Start::Stateful(index) => self.stateful[index].wired = Some((segment, target)),
        }
    }

    fn step_of(&self, relation: &Relation) -> usize {
        let label = source_label(relation);
        let found = self.steps.iter().position(|step| step.kind == StepKind::Source && step.label == label);
        found.expect("a scan makes its step")
    }

    pub fn step(&mut self, kind: StepKind, label: &str, inputs: Vec<usize>) -> (usize, Arc<StepCounters>) {
        let counters = Arc::new(StepCounters::default());
        self.steps.push(StepInfo { kind, label: short(label), inputs, counters: Arc::clone(&counters) });
        (self.steps.len() - 1, counters)
    }

    /// Puts an operator behind all chains.
    pub fn push(&mut self, mut chains: Vec<Chain>, kind: StepKind, label: &str, op: Op) -> Vec<Chain> {
        let inputs: BTreeSet<usize> = chains.iter().map(|chain| chain.step).collect();
        let (step, counters) = self.step(kind, label, inputs.into_iter().collect());
        let op = Arc::new(op);
        for chain in &mut chains {
            chain.ops.push((Arc::clone(&op), Arc::clone(&counters)));
            chain.step = step;
        }
        chains
    }

    /// Puts a stateful operator behind all chains.
    pub fn push_stateful(
        &mut self,
        chains: Vec<Chain>,
        (kind, label): (StepKind, &str),
        prepare: &[Prepared],
        spec: AggregateSpec,
    ) -> Vec<Chain> {
        let inputs: BTreeSet<usize> = chains.iter().map(|chain| chain.step).collect();
        let (step, counters) = self.step(kind, label, inputs.into_iter().collect());
        // Operators are numbered in the order of their output, so that one comes before what reads it.
        let index = self.stateful.len();
        let time = spec.time;
        self.stateful.push(Pending { spec: Arc::new(spec), counters, wired: None });
        for chain in chains {
            self.wire(chain, prepare.to_vec(), Some(time), Target::Stateful(index));
        }
        vec![Chain { start: Start::Stateful(index), ops: Vec::new(), watermark: None, step }]
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Vec<Chain>, EngineError> {
        let Some(relation) = Relation::of(&scan.source) else {
            return Err(EngineError::unsupported(format!("table {}", scan.table_name), "read it through a relation"));
        };
        if !relation.streaming {
            let what = format!("{}, which is not a stream, as the only input", relation.name);
            return Err(EngineError::unsupported(
                what,
                format!("write STREAM({}) or use a MATERIALIZED VIEW", relation.name),
            ));
        }
        if scan.fetch.is_some() {
            return Err(EngineError::unsupported("LIMIT", "use it in a MATERIALIZED VIEW over this table"));
        }
        let (step, _) = self.step(StepKind::Source, &source_label(relation), Vec::new());
        let start = Start::Scan { relation: relation.clone(), projection: scan.projection.clone() };
        let chain = Chain { start, ops: Vec::new(), watermark: None, step };
        match conjunction(scan.filters.iter().cloned()) {
            Some(predicate) => self.filter(vec![chain], &predicate, &scan.projected_schema),
            None => Ok(vec![chain]),
        }
    }

    fn project(&mut self, projection: &Projection) -> Result<Vec<Chain>, EngineError> {
        let chains = self.lower(&projection.input)?;
        let schema = projection.input.schema();
        let exprs = projection.expr.iter().map(|expr| self.planner.expr(expr, schema)).collect::<Result<_, _>>()?;
        let op = ProjectOp::new(exprs, nullable(&projection.schema));
        let named = projection.expr.iter().map(human).filter(|name| !name.starts_with(COMMON_EXPR));
        let label = named.collect::<Vec<_>>().join(", ");
        Ok(self.push(chains, StepKind::Project, &label, Op::Project(op)))
    }

    fn filter(
        &mut self,
        chains: Vec<Chain>,
        predicate: &Expr,
        schema: &datafusion::common::DFSchema,
    ) -> Result<Vec<Chain>, EngineError> {
        let op = FilterOp::new(self.planner.expr(predicate, schema)?, None);
        Ok(self.push(chains, StepKind::Filter, &human(predicate), Op::Filter(op)))
    }

    fn union(&mut self, union: &Union) -> Result<Vec<Chain>, EngineError> {
        let mut chains = Vec::new();
        for input in &union.inputs {
            let mut branch = self.lower(input)?;
            // Branches agree in types, but each has its own names.
            let columns = input.schema().columns();
            let exprs = columns.iter().map(|column| self.planner.expr(&Expr::Column(column.clone()), input.schema()));
            let exprs = exprs.collect::<Result<_, _>>()?;
            let op = Arc::new(Op::Project(ProjectOp::new(exprs, nullable(&union.schema))));
            for chain in &mut branch {
                chain.ops.push((Arc::clone(&op), Arc::default()));
            }
            chains.extend(branch);
        }
        let inputs: BTreeSet<usize> = chains.iter().map(|chain| chain.step).collect();
        let (step, _) = self.step(StepKind::Union, "UNION ALL", inputs.into_iter().collect());
        for chain in &mut chains {
            chain.step = step;
        }
        Ok(chains)
    }

    fn watermark(&mut self, node: &WatermarkNode) -> Result<Vec<Chain>, EngineError> {
        let mut chains = self.lower(&node.input)?;
        let field = node.input.schema().field(node.column_index());
        if !is_event_time(field.data_type()) {
            let what = format!("a WATERMARK on {}, which is {},", node.column.name, field.data_type());
            return Err(EngineError::unsupported(what, "event time is a TIMESTAMP: cast it, or use to_timestamp"));
        }
        let mut sources = BTreeSet::new();
        let index = self.watermarks.len();
        for chain in &mut chains {
            let Start::Scan { relation, .. } = &chain.start else {
                return Err(EngineError::unsupported(
                    "a WATERMARK behind GROUP BY",
                    "the watermark of the stream still holds there: group by window(window_time(w), …)",
                ));
            };
            if let Some(below) = chain.watermark.replace(index) {
                self.watermarks[below].sources.remove(&relation.name);
                chain.ops.retain(|(op, _)| !matches!(**op, Op::Watermark(_)));
            }
            sources.insert(relation.name.clone());
        }
        self.watermarks.push(WatermarkSpec { delay_us: node.delay_us, sources });
        let op = WatermarkOp { column: node.column_index() };
        let label = format!("{} delay of {}", node.column.name, seconds(node.delay_us));
        Ok(self.push(chains, StepKind::Watermark, &label, Op::Watermark(op)))
    }

    fn window(&mut self, node: &WindowNode) -> Result<Vec<Chain>, EngineError> {
        let chains = self.lower(&node.input)?;
        let field = UserDefinedLogicalNodeCore::schema(node).fields().last().expect("the node adds a column");
        let DataType::Struct(fields) = field.data_type() else {
            return Err(EngineError::unsupported("a window that is no struct", "use window(…)"));
        };
        let bound_type = fields[0].data_type().clone();
        if !is_event_time(&bound_type) {
            return Err(EngineError::unsupported(format!("window() over {bound_type}"), "use a TIMESTAMP"));
        }
        let op = WindowOp {
            time: self.planner.expr(&node.time, node.input.schema())?,
            spec: node.spec,
            bound_type,
            fields: fields.clone(),
            schema: nullable(UserDefinedLogicalNodeCore::schema(node)),
        };
        let mut label = format!("{} over {}", seconds(node.spec.size_us), human(&node.time));
        if !node.spec.is_tumbling() {
            label.push_str(&format!(" every {}", seconds(node.spec.slide_us)));
        }
        Ok(self.push(chains, StepKind::Window, &label, Op::Window(op)))
    }

    fn unnest(&mut self, unnest: &Unnest) -> Result<Vec<Chain>, EngineError> {
        let chains = self.lower(&unnest.input)?;
        let op = UnnestOp::new(unnest, nullable(&unnest.schema))?;
        let label = unnest.exec_columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>().join(", ");
        Ok(self.push(chains, StepKind::Unnest, &label, Op::Unnest(op)))
    }
}

/// Neighbours that are better done together.
fn fuse(ops: Vec<(Arc<Op>, Arc<StepCounters>)>) -> Vec<(Arc<Op>, Arc<StepCounters>)> {
    let mut fused: Vec<(Arc<Op>, Arc<StepCounters>)> = Vec::with_capacity(ops.len());
    for (op, counters) in ops {
        if let (Some((last, _)), Op::Project(project)) = (fused.last_mut(), &*op)
            && let Op::Filter(filter) = &**last
            && let Some((filter, project)) = drop_unused_columns(filter, project)
        {
            *last = Arc::new(filter);
            fused.push((Arc::new(project), counters));
            continue;
        }
        fused.push((op, counters));
    }
    fused
}

fn source_label(relation: &Relation) -> String {
    match &relation.kind {
        RelationKind::Kafka(options) => {
            let topics = ["subscribe", "subscribepattern", "assign"].iter().find_map(|name| options.get(*name));
            match topics.map_or("?", String::as_str) {
                topic if topic == relation.name => format!("topic {topic}"),
                topic => format!("{}: topic {topic}", relation.name),
            }
        }
        RelationKind::Files { location, .. } => format!("{}: files {location}", relation.name),
        RelationKind::Table(table) => format!("{}: table {table}", relation.name),
    }
}

/// An expression in the words of the query: `s.field` for a field of a struct, no casts of our own.
pub(super) fn human(expr: &Expr) -> String {
    let word = |text: String| Transformed::yes(Expr::Column(Column::new_unqualified(text)));
    let plain = expr.clone().transform_up(|expr| {
        Ok(match expr {
            // Arguments come before their call, so that fields are `'name'` already.
            Expr::ScalarFunction(call) if call.name() == "get_field" => {
                let path = call.args.iter().map(|arg| arg.human_display().to_string().trim_matches('\'').to_owned());
                word(path.collect::<Vec<_>>().join("."))
            }
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => word(format!("'{text}'")),
            Expr::Literal(value, _) if !value.is_null() => word(value.to_string()),
            Expr::Cast(cast) => Transformed::yes(*cast.expr),
            expr => Transformed::no(expr),
        })
    });
    plain.map_or_else(|_| expr.human_display().to_string(), |plain| plain.data.human_display().to_string())
}

/// A duration for people.
fn seconds(us: i64) -> String {
    match us {
        us if us > 0 && us % 86_400_000_000 == 0 => format!("{} d", us / 86_400_000_000),
        us if us > 0 && us % 3_600_000_000 == 0 => format!("{} h", us / 3_600_000_000),
        us if us > 0 && us % 60_000_000 == 0 => format!("{} min", us / 60_000_000),
        us => format!("{} s", us as f64 / 1e6),
    }
}

fn short(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}
