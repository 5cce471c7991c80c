//! Analysis and optimisation of a finished plan, with the rules that keep a stream's meaning.
//!
//! Left out of DataFusion's rules are those that turn a plan into another kind of plan: what is empty stays a stream, an aggregate stays
//! the aggregate that was written, and nothing depends on statistics.

mod prune;
mod shield;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerContext, OptimizerRule};

type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// Makes a plan ready to be run.
pub(crate) fn optimize(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut options = ConfigOptions::default();
    options.optimizer.skip_failed_rules = false;
    let plan =
        Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]).execute_and_check(plan, &options, |_, _| {})?;
    // Constants first: from_csv and from_json learn their schemas here, once.
    let plan = apply(vec![Arc::new(SimplifyExpressions::new())], plan)?;
    let shape: Rules = vec![
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PushDownFilter::new()),
    ];
    // A filter must not carry the parsing of a text along with it, or every text is parsed twice.
    let plan = shield::lift(apply(shape, shield::lower(plan)?)?)?;
    let columns: Rules = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    let plan = apply(columns, plan)?;
    prune::unused_fields(plan)
}

fn apply(rules: Rules, plan: LogicalPlan) -> Result<LogicalPlan> {
    let context = OptimizerContext::new().with_max_passes(4).with_skip_failing_rules(false);
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
}
