//! `GROUP BY` and `SELECT DISTINCT` over event time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, ScalarUDF};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use millstream_functions::wide_sum;
use millstream_sql::logical::{WindowSpec, event_time_delay_us, watermark_delay_us};

use super::lower::{Chain, Lowering, human};
use super::{key_field, nullable};
use crate::aggregate::{AggregateSpec, Function, is_event_time};
use crate::error::EngineError;
use crate::ops::{Op, ProjectOp};
use crate::segment::Prepared;
use crate::stats::StepKind;

/// Groups by time itself are kept together over a part of the delay, as many spans as that makes.
const SPANS_OF_DELAY: i64 = 64;
/// But not over less than this.
const SPAN_US_MIN: i64 = 1_000_000;

/// Keys of an aggregate, in the making.
#[derive(Default)]
struct Keys {
    prepare: Vec<Prepared>,
    fields: Vec<Field>,
    windows: Vec<(usize, WindowSpec, Fields)>,
    /// Key, span and whether it is a window.
    time: Option<(usize, i64, bool)>,
}

impl Lowering {
    pub(super) fn aggregate(&mut self, chains: Vec<Chain>, node: &Aggregate) -> Result<Vec<Chain>, EngineError> {
        let schema = node.input.schema();
        let label = node.group_expr.iter().chain(&node.aggr_expr).map(human).collect::<Vec<_>>().join(", ");
        let keys = self.keys(&node.group_expr, schema)?;
        let mut prepare = keys.prepare.clone();
        let mut functions = Vec::with_capacity(node.aggr_expr.len());
        let mut totals = BTreeMap::new();
        for (index, expr) in node.aggr_expr.iter().enumerate() {
            match wide(expr, schema)? {
                None => functions.push(self.function(expr, schema, &mut prepare)?),
                Some((expr, total)) => {
                    functions.push(self.function(&expr, schema, &mut prepare)?);
                    totals.insert(node.group_expr.len() + index, total);
                }
            }
        }
        let kind = if functions.is_empty() { StepKind::Distinct } else { StepKind::Aggregate };
        let mut spec = spec(keys, functions, &node.schema)?;
        if totals.is_empty() {
            return Ok(self.push_stateful(chains, (kind, &label), &prepare, spec));
        }
        let schema = std::mem::replace(&mut spec.schema, nullable(&node.schema));
        let fields =
            schema.fields().iter().enumerate().map(|(index, field)| match index.checked_sub(node.group_expr.len()) {
                Some(function) if totals.contains_key(&index) => {
                    let data_type = spec.functions[function].expr.field().data_type().clone();
                    Arc::new(field.as_ref().clone().with_data_type(data_type))
                }
                _ => Arc::clone(field),
            });
        spec.schema = Arc::new(Schema::new(fields.collect::<Fields>()));
        let exprs = schema.fields().iter().enumerate().map(|(index, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            match totals.get(&index) {
                None => column,
                Some(total) => Arc::new(ScalarFunctionExpr::new(
                    total.name(),
                    Arc::clone(total),
                    vec![column],
                    Arc::clone(field),
                    Arc::default(),
                )),
            }
        });
        let op = Arc::new(Op::Project(ProjectOp::new(exprs.collect(), Arc::clone(&schema))));
        let mut chains = self.push_stateful(chains, (kind, &label), &prepare, spec);
        for chain in &mut chains {
            chain.ops.push((Arc::clone(&op), Arc::default()));
        }
        Ok(chains)
    }

    pub(super) fn distinct(&mut self, chains: Vec<Chain>, input: &LogicalPlan) -> Result<Vec<Chain>, EngineError> {
        let exprs: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let label = exprs.iter().map(human).collect::<Vec<_>>().join(", ");
        let keys = self.keys(&exprs, input.schema())?;
        let prepare = keys.prepare.clone();
        let spec = spec(keys, Vec::new(), input.schema())?;
        Ok(self.push_stateful(chains, (StepKind::Distinct, &label), &prepare, spec))
    }

    fn keys(&self, exprs: &[Expr], schema: &DFSchema) -> Result<Keys, EngineError> {
        let mut keys = Keys::default();
        for (index, expr) in exprs.iter().enumerate() {
            if matches!(expr, Expr::GroupingSet(_)) {
                return Err(EngineError::unsupported("GROUPING SETS", "write a flow for each set"));
            }
            let (_, field) = expr.to_field(schema)?;
            let physical = self.planner.expr(expr, schema)?;
            let delay_us = event_time_delay_us(expr, schema).or_else(|| watermark_delay_us(&field));
            match (WindowSpec::of(&field), field.data_type()) {
                (Some(spec), DataType::Struct(bounds)) => {
                    keys.prepare.push(Prepared::WindowEnd(physical));
                    keys.fields.push(key_field(field.name(), bounds[1].data_type()));
                    keys.windows.push((index, spec, bounds.clone()));
                    if delay_us.is_some() && !keys.time.is_some_and(|(_, _, is_window)| is_window) {
                        keys.time = Some((index, spec.slide_us, true));
                    }
                }
                (_, data_type) => {
                    keys.prepare.push(Prepared::Expr(physical));
                    keys.fields.push(key_field(field.name(), data_type));
                    if let (Some(delay_us), None, true) = (delay_us, keys.time, is_event_time(data_type)) {
                        keys.time = Some((index, (delay_us / SPANS_OF_DELAY).max(SPAN_US_MIN), false));
                    }
                }
            }
        }
        Ok(keys)
    }

    fn function(&self, expr: &Expr, schema: &DFSchema, prepare: &mut Vec<Prepared>) -> Result<Function, EngineError> {
        let (props, context) = (&self.planner.props, &self.planner.context);
        let lowered = LoweredAggregateBuilder::new(expr, schema, schema.as_arrow(), props, context).build()?;
        let aggregate = lowered.aggregate;
        let from = prepare.len();
        let orders = aggregate.order_bys().iter().map(|order| Arc::clone(&order.expr));
        prepare.extend(aggregate.expressions().into_iter().chain(orders).map(Prepared::Expr));
        let args = from..prepare.len();
        let filter = lowered.filter.map(|filter| {
            prepare.push(Prepared::Expr(filter));
            prepare.len() - 1
        });
        let state_columns = aggregate.state_fields()?.len();
        Ok(Function { expr: aggregate, args, filter, state_columns })
    }
}

/// A sum that does not fail while rows come, and what makes the sum of it once its group is final: there, a failure is that row's alone.
fn wide(expr: &Expr, schema: &DFSchema) -> Result<Option<(Expr, Arc<ScalarUDF>)>, EngineError> {
    let Expr::AggregateFunction(call) = expr else { return Ok(None) };
    let (_, field) = expr.to_field(schema)?;
    Ok(wide_sum(&call.func, field.data_type())
        .map(|(func, total)| (Expr::AggregateFunction(AggregateFunction { func, params: call.params.clone() }), total)))
}

fn spec(keys: Keys, functions: Vec<Function>, schema: &DFSchema) -> Result<AggregateSpec, EngineError> {
    let Some((time, width_us, _)) = keys.time else {
        let what =
            if functions.is_empty() { "SELECT DISTINCT without event time" } else { "GROUP BY without event time" };
        return Err(EngineError::unsupported(
            what,
            "its groups would never be final: put a WATERMARK on the stream and group by window(…) or by that column",
        ));
    };
    let mut state = keys.fields.clone();
    for function in &functions {
        for (index, field) in function.expr.state_fields()?.into_iter().enumerate() {
            let name = format!("{}.{index}.{}", function.expr.name(), field.name());
            state.push(field.as_ref().clone().with_name(name).with_nullable(true));
        }
    }
    Ok(AggregateSpec {
        keys: Arc::new(Schema::new(keys.fields)),
        time,
        windows: keys.windows,
        functions,
        schema: nullable(schema),
        state: Arc::new(Schema::new(state)),
        width_us,
    })
}
