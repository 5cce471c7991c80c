//! The table of all functions: one line each.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use crate::functions::from_text::FromTextCall;
use crate::functions::{arithmetic, arrays, combine, dates, hash, json, math, parse_time, regex, strings, window};
use crate::session::Session;
use crate::udf::Function;

/// Functions that are a name, types and a kernel.
fn functions() -> Vec<Function> {
    let mut out = vec![
        arithmetic::add(),
        arithmetic::subtract(),
        arithmetic::multiply(),
        arithmetic::divide(),
        arithmetic::div(),
        arithmetic::remainder(),
        arithmetic::negative(),
        arithmetic::pmod(),
        arithmetic::try_add(),
        arithmetic::try_subtract(),
        arithmetic::try_multiply(),
        arithmetic::try_divide(),
        arithmetic::try_mod(),
        parse_time::to_timestamp(),
        parse_time::try_to_timestamp(),
        parse_time::to_timestamp_ntz(),
        parse_time::to_date(),
        parse_time::try_to_date(),
        parse_time::unix_timestamp(),
        parse_time::date_format(),
        parse_time::from_unixtime(),
        window::window(),
        window::sliding_windows(),
        window::window_time(),
    ];
    let families = [
        strings::all(),
        regex::all(),
        math::all(),
        dates::all(),
        arrays::all(),
        combine::all(),
        json::all(),
        hash::all(),
    ];
    for family in families {
        out.extend(family);
    }
    out
}

/// Every scalar function, by Spark's names.
pub fn all_scalar_udfs(session: &Session) -> Vec<Arc<ScalarUDF>> {
    let mut out: Vec<Arc<ScalarUDF>> = functions().into_iter().map(|f| Arc::new(f.udf(session))).collect();
    out.push(Arc::new(ScalarUDF::new_from_impl(FromTextCall::csv(session))));
    out.push(Arc::new(ScalarUDF::new_from_impl(FromTextCall::json(session))));
    out
}

/// Every aggregate function, by Spark's names.
pub fn all_aggregate_udfs() -> Vec<Arc<AggregateUDF>> {
    crate::aggregates::all()
}

/// Registers all functions, over what stands under their names.
pub fn register(registry: &mut dyn FunctionRegistry, session: &Session) -> Result<()> {
    for udf in all_scalar_udfs(session) {
        registry.register_udf(udf)?;
    }
    for udaf in all_aggregate_udfs() {
        registry.register_udaf(udaf)?;
    }
    Ok(())
}
