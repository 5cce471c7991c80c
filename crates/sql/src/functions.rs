//! The functions that a query may call, and conversions between types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::registry::MemoryFunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, Expr, ScalarUDF, WindowUDF};
use millstream_functions::{CastMode, Session, SparkCast};

use crate::error::nearest;
use crate::plan::types::widens;
use crate::spark_names::SPARK_FUNCTIONS;

/// Functions that only plans call.
fn is_internal(name: &str) -> bool {
    name.starts_with("spark_") || ["array_item", "sliding_windows"].contains(&name)
}

/// All functions by name in lower case.
pub(crate) struct Functions {
    session: Session,
    scalar: BTreeMap<String, Arc<ScalarUDF>>,
    aggregate: BTreeMap<String, Arc<AggregateUDF>>,
    window: BTreeMap<String, Arc<WindowUDF>>,
}

impl Functions {
    /// Spark's functions: DataFusion's own, those of its Spark collection over them, ours over all.
    pub fn new(session: Session) -> datafusion::error::Result<Self> {
        let mut registry = MemoryFunctionRegistry::new();
        datafusion::functions::register_all(&mut registry)?;
        datafusion::functions_nested::register_all(&mut registry)?;
        datafusion::functions_aggregate::register_all(&mut registry)?;
        datafusion::functions_window::register_all(&mut registry)?;
        datafusion_spark::register_all(&mut registry)?;
        let ours: BTreeSet<String> =
            millstream_functions::all_scalar_udfs(&session).iter().map(|udf| udf.name().to_string()).collect();
        millstream_functions::register(&mut registry, &session)?;
        let known = |name: &str| SPARK_FUNCTIONS.contains(&name) || ours.contains(name);
        let all = |names: std::collections::HashSet<String>| names.into_iter().collect::<BTreeSet<_>>();
        let mut functions =
            Self { session, scalar: BTreeMap::new(), aggregate: BTreeMap::new(), window: BTreeMap::new() };
        for name in all(registry.udfs()) {
            let udf = registry.udf(&name)?;
            // An alias of ours stands over a function of DataFusion's; among DataFusion's a name stands over an alias.
            for alias in udf.aliases().iter().filter(|alias| known(alias)) {
                if ours.contains(&name) {
                    functions.scalar.insert(alias.clone(), Arc::clone(&udf));
                } else {
                    functions.scalar.entry(alias.clone()).or_insert_with(|| Arc::clone(&udf));
                }
            }
            let alias_of_ours = |known: &Arc<ScalarUDF>| ours.contains(known.name()) && known.name() != name;
            if known(&name) && !functions.scalar.get(&name).is_some_and(alias_of_ours) {
                functions.scalar.insert(name, udf);
            }
        }
        for name in all(registry.udafs()) {
            let udaf = registry.udaf(&name)?;
            for alias in udaf.aliases().iter().filter(|alias| known(alias)) {
                functions.aggregate.entry(alias.clone()).or_insert_with(|| Arc::clone(&udaf));
            }
            if known(&name) {
                functions.aggregate.insert(name, udaf);
            }
        }
        for name in all(registry.udwfs()).into_iter().filter(|name| known(name)) {
            functions.window.insert(name.clone(), registry.udwf(&name)?);
        }
        Ok(functions)
    }

    /// A function of one row.
    pub fn scalar(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.scalar.get(name)
    }

    /// An aggregate.
    pub fn aggregate(&self, name: &str) -> Option<&Arc<AggregateUDF>> {
        self.aggregate.get(name)
    }

    /// A function that needs OVER.
    pub fn window(&self, name: &str) -> Option<&Arc<WindowUDF>> {
        self.window.get(name)
    }

    /// The function that an operator stands for (`add`, `divide`, …), where Spark's meaning differs from the plain operator's.
    pub fn operator(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.scalar.get(&format!("spark_{name}"))
    }

    /// The function whose name is most like this one.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let names = self.scalar.keys().chain(self.aggregate.keys()).map(String::as_str);
        nearest(name, names.filter(|name| !is_internal(name)))
    }

    /// `CAST(expr AS to)`.
    pub fn cast(&self, expr: Expr, to: &DataType) -> Expr {
        if let Expr::Literal(ScalarValue::Null, metadata) = &expr
            && let Ok(null) = ScalarValue::try_from(to)
        {
            return Expr::Literal(null, metadata.clone());
        }
        SparkCast::new(to.clone(), CastMode::Ansi, &self.session).call(expr)
    }

    /// `TRY_CAST(expr AS to)`.
    pub fn try_cast(&self, expr: Expr, to: &DataType) -> Expr {
        SparkCast::new(to.clone(), CastMode::Try, &self.session).call(expr)
    }

    /// A conversion that nobody wrote; nothing if the type is right.
    pub fn convert(&self, expr: Expr, from: &DataType, to: &DataType) -> Expr {
        if from == to {
            return expr;
        }
        match &expr {
            // A number that is written out is written as what is wanted.
            Expr::Literal(value, metadata) if widens(from, to) => match value.cast_to(to) {
                Ok(value) => Expr::Literal(value, metadata.clone()),
                Err(_) => self.cast(expr, to),
            },
            _ if widens(from, to) && *from != DataType::Null => {
                Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(expr), to.clone()))
            }
            _ => self.cast(expr, to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/functions.md` as it has to be.
    fn list() -> String {
        let functions = Functions::new(Session::default()).expect("the registry is whole");
        let names = |all: BTreeSet<&str>| {
            let names = all.into_iter().filter(|name| !is_internal(name)).map(|name| format!("`{name}`"));
            names.collect::<Vec<_>>().join(", ")
        };
        let of_one_row = functions.scalar.keys().map(String::as_str).chain(crate::plan::PLANNED_FUNCTIONS);
        format!(
            "# Functions\n\nWhat a query may call, by Spark's names and with Spark's meaning; \
             [Spark's reference](https://spark.apache.org/docs/latest/api/sql/) says what each does. Any other name is an error of \
             `millstream dry-run`.\n\nThis list is held against the program by a test: `UPDATE_CASES=1 cargo test -p millstream-sql` writes it anew.\n\n\
             ## Of one row\n\n{}\n\n## Of a group (aggregates)\n\n{}\n\n\
             ## With OVER, in a materialized view\n\n{}\n\n## Of one row, giving many\n\n{}\n",
            names(of_one_row.collect()),
            names(functions.aggregate.keys().map(String::as_str).collect()),
            names(functions.window.keys().map(String::as_str).collect()),
            names(crate::plan::GENERATORS.into_iter().collect()),
        )
    }

    #[test]
    fn the_documentation_lists_every_function() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/functions.md");
        let list = list();
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(path, &list).expect("the list is written");
        }
        assert!(
            std::fs::read_to_string(path).is_ok_and(|text| text == list),
            "UPDATE_CASES=1 writes docs/functions.md anew"
        );
    }
}
