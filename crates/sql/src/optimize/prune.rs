//! Reads only the fields that are used out of texts.
//!
//! `from_csv` gives a struct of all columns of a record. Where everything above takes single fields of that struct, the others need not
//! be parsed. Walks from the result down, carrying what is used of each column, and narrows each parse to it.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::functions::core::getfield::GetFieldFunc;
use datafusion::logical_expr::{Expr, LogicalPlan};
use millstream_functions::FromText;

use super::shield::is_parse;

/// What is used of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Used {
    /// These fields of a struct; none at all if it is not used.
    Fields(BTreeSet<String>),
    All,
}

impl Used {
    fn add(&mut self, other: &Used) {
        match (&mut *self, other) {
            (Used::Fields(fields), Used::Fields(more)) => fields.extend(more.iter().cloned()),
            _ => *self = Used::All,
        }
    }
}

/// What is used of each column of a schema.
type Uses = Vec<Used>;

/// Narrows every parse of the plan.
pub(super) fn unused_fields(plan: LogicalPlan) -> Result<LogicalPlan> {
    let all = vec![Used::All; plan.schema().fields().len()];
    narrow(plan, all)
}

fn narrow(plan: LogicalPlan, uses: Uses) -> Result<LogicalPlan> {
    let mut exprs = plan.expressions();
    let below: Vec<Uses> = match &plan {
        LogicalPlan::Projection(projection) => {
            let schema = projection.input.schema();
            let mut below = nothing(schema);
            for (expr, used) in projection.expr.iter().zip(&uses) {
                match bare(expr) {
                    // The struct passes on as it is: what is used of it above is used of it below.
                    Expr::Column(column) => mark(&mut below, schema, column, used),
                    expr => collect(expr, schema, &mut below)?,
                }
            }
            for (expr, used) in exprs.iter_mut().zip(&uses) {
                *expr = narrow_output(std::mem::take(expr), used)?;
            }
            vec![below]
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::SubqueryAlias(_) => {
            vec![passed_on(&plan, uses)?]
        }
        // Our nodes pass the columns of their input on; a window stands behind them.
        LogicalPlan::Extension(_) => vec![passed_on(&plan, uses)?],
        LogicalPlan::Aggregate(aggregate) => {
            let mut below = nothing(aggregate.input.schema());
            for expr in aggregate.group_expr.iter().chain(&aggregate.aggr_expr) {
                collect(expr, aggregate.input.schema(), &mut below)?;
            }
            vec![below]
        }
        _ => plan.inputs().into_iter().map(|input| vec![Used::All; input.schema().fields().len()]).collect(),
    };
    let inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
    if inputs.is_empty() {
        return Ok(plan);
    }
    let inputs = inputs.into_iter().zip(below).map(|(input, uses)| narrow(input, uses)).collect::<Result<Vec<_>>>()?;
    let exprs = exprs.into_iter().map(narrow_inline).collect::<Result<Vec<_>>>()?;
    plan.with_new_exprs(exprs, inputs)
}

/// Uses of the input of a node that hands its columns on, and looks at some itself.
fn passed_on(plan: &LogicalPlan, uses: Uses) -> Result<Uses> {
    let schema = plan.inputs()[0].schema();
    let mut below: Uses = uses.into_iter().take(schema.fields().len()).collect();
    for expr in plan.expressions() {
        collect(&expr, schema, &mut below)?;
    }
    Ok(below)
}

fn nothing(schema: &DFSchema) -> Uses {
    vec![Used::Fields(BTreeSet::new()); schema.fields().len()]
}

fn mark(uses: &mut Uses, schema: &DFSchema, column: &Column, used: &Used) {
    if let Some(slot) = schema.maybe_index_of_column(column).and_then(|i| uses.get_mut(i)) {
        slot.add(used);
    }
}

/// The expression without its alias.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        expr => expr,
    }
}

/// `struct.field`, as the struct and the field's name.
fn field_access(expr: &Expr) -> Option<(&Expr, &str)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    call.func.inner().downcast_ref::<GetFieldFunc>()?;
    match call.args.as_slice() {
        [base, Expr::Literal(ScalarValue::Utf8(Some(name)), _), ..] => Some((base, name)),
        _ => None,
    }
}

/// Adds what an expression uses of its input.
fn collect(expr: &Expr, schema: &DFSchema, uses: &mut Uses) -> Result<()> {
    expr.apply(|node| {
        if let Some((Expr::Column(column), field)) = field_access(node) {
            mark(uses, schema, column, &Used::Fields(BTreeSet::from([field.to_string()])));
            return Ok(TreeNodeRecursion::Jump);
        }
        if let Expr::Column(column) = node {
            mark(uses, schema, column, &Used::All);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// A parse that is a column of a projection, of which `used` is used.
fn narrow_output(expr: Expr, used: &Used) -> Result<Expr> {
    let Used::Fields(fields) = used else { return Ok(expr) };
    match expr {
        Expr::Alias(alias) if is_parse(bare(&alias.expr)) => {
            let inner = narrow_parse(*alias.expr, fields);
            Ok(inner.alias_qualified(alias.relation, alias.name))
        }
        expr => Ok(expr),
    }
}

/// A parse whose field is taken at once.
fn narrow_inline(expr: Expr) -> Result<Expr> {
    let narrowed = expr.transform_down(|node| {
        let Some((base, field)) = field_access(&node) else { return Ok(Transformed::no(node)) };
        if !is_parse(base) {
            return Ok(Transformed::no(node));
        }
        let name = node.schema_name().to_string();
        let fields = BTreeSet::from([field.to_string()]);
        let Expr::ScalarFunction(mut call) = node else { return Ok(Transformed::no(node)) };
        call.args[0] = narrow_parse(std::mem::take(&mut call.args[0]), &fields);
        let _ = name;
        Ok(Transformed::new(Expr::ScalarFunction(call), true, TreeNodeRecursion::Jump))
    })?;
    Ok(narrowed.data)
}

/// The parse, giving these fields only, in the order of its schema.
fn narrow_parse(expr: Expr, fields: &BTreeSet<String>) -> Expr {
    let Expr::ScalarFunction(call) = &expr else { return expr };
    let Some(parse) = call.func.inner().downcast_ref::<FromText>() else { return expr };
    let Some(declared) = parse.declared_fields().filter(|_| parse.wanted().is_none()) else { return expr };
    let wanted: Vec<usize> = (0..declared.len()).filter(|i| fields.contains(declared[*i].name())).collect();
    // Nothing of a row may be wanted but that it is there: one field stands for it.
    let wanted = if wanted.is_empty() { vec![0] } else { wanted };
    match call.args.first() {
        Some(text) if wanted.len() < declared.len() => parse.with_fields(&wanted).call(text.clone()),
        _ => expr,
    }
}
