//! Aggregate functions, by Spark's names: DataFusion's where they mean the same, ours elsewhere.

mod pick;
mod sum;
mod wide;
mod wrapped;

use std::sync::Arc;

use datafusion::functions_aggregate::{
    approx_distinct::approx_distinct_udaf, average::avg_udaf, bool_and_or, count::count_udaf, median::median_udaf,
    min_max, stddev, variance,
};
use datafusion::logical_expr::AggregateUDF;

use pick::Pick;
pub use wide::wide_sum;
use wrapped::{Types, Wrapped};

/// All aggregate functions; one line each.
pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    let renamed = |udaf: Arc<AggregateUDF>, aliases: &'static [&'static str]| {
        Arc::new(udaf.as_ref().clone().with_aliases(aliases.iter().copied()))
    };
    vec![
        sum::sum(),
        sum::count_if(),
        count_udaf(),
        min_max::min_udaf(),
        min_max::max_udaf(),
        Wrapped::new("avg", &["mean"], avg_udaf(), Types::DecimalOrDouble),
        Wrapped::new("approx_count_distinct", &[], approx_distinct_udaf(), Types::AnyToBigint),
        Wrapped::new("median", &[], median_udaf(), Types::DecimalOrDouble),
        renamed(bool_and_or::bool_and_udaf(), &["every"]),
        renamed(bool_and_or::bool_or_udaf(), &["some", "any"]),
        renamed(stddev::stddev_udaf(), &["std", "stddev_samp"]),
        stddev::stddev_pop_udaf(),
        renamed(variance::var_samp_udaf(), &["variance", "var_samp"]),
        variance::var_pop_udaf(),
        renamed(datafusion_spark::function::aggregate::collect_list(), &["array_agg"]),
        datafusion_spark::function::aggregate::collect_set(),
        Pick::first(),
        Pick::last(),
        Pick::min_by(),
        Pick::max_by(),
    ]
}
