//! Calls of functions.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Case, Cast, Expr, Operator, ScalarUDF, WindowFrame, WindowFunctionDefinition, lit};
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    NullTreatment, WindowType,
};
use millstream_functions::FromTextCall;
use millstream_functions::ddl::{self, type_name};

use super::expr::ExprPlanner;
use super::refused;
use super::types::is_numeric;
use crate::error::{Diagnostic, Errors, Result};
use crate::source::Span;

/// Functions whose name is a type: `int(x)` is a cast.
fn cast_function(name: &str) -> Option<DataType> {
    matches!(
        name,
        "boolean"
            | "tinyint"
            | "smallint"
            | "int"
            | "bigint"
            | "float"
            | "double"
            | "string"
            | "binary"
            | "date"
            | "timestamp"
            | "decimal"
    )
    .then(|| ddl::parse_type(name).ok())
    .flatten()
}

/// The type that Spark has in the place of one that it does not have, but a function of DataFusion gives.
fn spark_type(found: &DataType) -> Option<DataType> {
    Some(match found {
        // Ranks and row numbers.
        DataType::UInt64 | DataType::UInt16 | DataType::UInt8 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        _ => return None,
    })
}

/// The pattern of a call that reads or writes times, if it is written out.
fn written_pattern<'a>(name: &str, args: &'a [Expr]) -> Option<&'a str> {
    let takes_one = matches!(
        name,
        "to_timestamp"
            | "to_timestamp_ltz"
            | "to_timestamp_ntz"
            | "try_to_timestamp"
            | "to_date"
            | "try_to_date"
            | "unix_timestamp"
            | "to_unix_timestamp"
            | "date_format"
            | "from_unixtime"
    );
    match args.get(1) {
        Some(Expr::Literal(ScalarValue::Utf8(Some(pattern)), _)) if takes_one => Some(pattern),
        _ => None,
    }
}

/// Functions that turn one row into many; they stand in the select list or behind LATERAL VIEW.
pub(crate) const GENERATORS: [&str; 7] =
    ["explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "stack"];

pub(super) fn is_generator(name: &str) -> bool {
    GENERATORS.contains(&name)
}

/// Functions that stand in no registry: [`ExprPlanner::call_at`] makes other expressions of them.
#[cfg(test)]
pub(crate) const PLANNED_FUNCTIONS: [&str; 26] = [
    "bigint",
    "binary",
    "boolean",
    "date",
    "decimal",
    "double",
    "equal_null",
    "float",
    "if",
    "iff",
    "ifnull",
    "int",
    "isnotnull",
    "isnull",
    "not",
    "nullifzero",
    "nvl",
    "nvl2",
    "positive",
    "smallint",
    "string",
    "struct",
    "timestamp",
    "tinyint",
    "typeof",
    "zeroifnull",
];

/// The last part of a function's name, in lower case.
pub(super) fn function_name(function: &Function) -> String {
    let last = function.name.0.last().and_then(|part| part.as_ident());
    last.map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}

/// The arguments of a call.
pub(super) enum Arguments<'a> {
    Star,
    List { args: Vec<&'a SqlExpr>, distinct: bool },
}

/// Arguments without names.
pub(super) fn arguments<'a>(function: &'a Function, span: Span) -> Result<Arguments<'a>> {
    let unsupported =
        |what: &str| Errors::from(Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("{what} is not supported yet")));
    match &function.args {
        FunctionArguments::None => Ok(Arguments::List { args: Vec::new(), distinct: false }),
        FunctionArguments::Subquery(_) => Err(unsupported("a subquery as an argument")),
        FunctionArguments::List(list) => {
            let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
            let mut args = Vec::new();
            for arg in &list.args {
                match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(expr),
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if list.args.len() == 1 => {
                        return Ok(Arguments::Star);
                    }
                    _ => return Err(unsupported("an argument with a name")),
                }
            }
            Ok(Arguments::List { args, distinct })
        }
    }
}

impl<'p, 'q> ExprPlanner<'p, 'q> {
    /// A call with arguments of the syntax tree.
    pub fn call<'e>(&self, name: &str, args: impl IntoIterator<Item = &'e SqlExpr>, span: Span) -> Result<Expr> {
        let args = Errors::collect(args.into_iter().map(|arg| self.expr(arg)))?;
        self.named_call(name, args, span)
    }

    pub fn function(&self, function: &Function, span: Span) -> Result<Expr> {
        let name = function_name(function);
        if is_generator(&name) {
            let error = Diagnostic::at(
                span,
                "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
                format!("{name} stands inside of an expression"),
            );
            return Err(error
                .help(format!("select it alone (SELECT {name}(x) AS y), or write LATERAL VIEW {name}(x) t AS y"))
                .into());
        }
        if function.over.is_some() {
            return self.window_function(function, &name, span);
        }
        let arguments = arguments(function, span)?;
        let name_span =
            function.name.0.last().and_then(|part| part.as_ident()).and_then(|ident| crate::lex::place(ident.span));
        let name_span = name_span.unwrap_or(span);
        if name == "window" {
            return match self.scope.columns.iter().rev().find(|column| column.name == "window" && !column.starred) {
                Some(column) => Ok(Expr::Column(column.column.clone())),
                None => {
                    let error = Diagnostic::at(
                        span,
                        "WINDOW_NOT_SUPPORTED",
                        "window() stands in GROUP BY or in the select list",
                    );
                    Err(error.into())
                }
            };
        }
        if let Some(udaf) = self.planner.functions.aggregate(&name) {
            let (args, distinct) = match arguments {
                Arguments::Star if name == "count" => (vec![lit(1_i64)], false),
                Arguments::Star => {
                    return Err(Diagnostic::at(
                        span,
                        "INVALID_USAGE_OF_STAR_OR_REGEX",
                        format!("{name}(*) means nothing"),
                    )
                    .into());
                }
                Arguments::List { args, distinct } => {
                    (Errors::collect(args.into_iter().map(|arg| self.expr(arg)))?, distinct)
                }
            };
            if distinct && self.scope.streaming {
                let error = Diagnostic::at(
                    span,
                    "UNSUPPORTED_STREAMING_OPERATION",
                    format!("{name}(DISTINCT …) does not run over a stream"),
                );
                return Err(error
                    .label("would have to remember every value")
                    .help("approx_count_distinct(x), or count it in a materialized view over the table")
                    .into());
            }
            let filter = function.filter.as_ref().map(|filter| self.predicate(filter)).transpose()?.map(Box::new);
            let nulls = function.null_treatment.map(|treatment| match treatment {
                NullTreatment::IgnoreNulls => datafusion::logical_expr::expr::NullTreatment::IgnoreNulls,
                NullTreatment::RespectNulls => datafusion::logical_expr::expr::NullTreatment::RespectNulls,
            });
            let call = AggregateFunction::new_udf(udaf.clone(), args.clone(), distinct, filter, Vec::new(), nulls);
            return self.checked(Expr::AggregateFunction(call), &name, &args, name_span, span);
        }
        let Arguments::List { args, .. } = arguments else {
            return Err(
                Diagnostic::at(span, "INVALID_USAGE_OF_STAR_OR_REGEX", format!("{name}(*) means nothing")).into()
            );
        };
        match name.as_str() {
            // Their first argument is the name of a unit.
            "timestampdiff" | "datediff" | "timestampadd" | "dateadd" if args.len() == 3 => {
                let unit = lit(args[0].to_string().trim_matches('\'').to_lowercase());
                let rest = Errors::collect(args[1..].iter().map(|arg| self.expr(arg)))?;
                let name = if name.ends_with("diff") { "timestampdiff" } else { "timestampadd" };
                return self.call_udf(name, [vec![unit], rest].concat(), name_span, span);
            }
            _ => {}
        }
        let args = Errors::collect(args.into_iter().map(|arg| self.expr(arg)))?;
        self.call_at(&name, args, name_span, span)
    }

    /// A call with arguments that are planned already.
    pub fn named_call(&self, name: &str, args: Vec<Expr>, span: Span) -> Result<Expr> {
        self.call_at(name, args, span, span)
    }

    fn call_at(&self, name: &str, args: Vec<Expr>, name_span: Span, span: Span) -> Result<Expr> {
        if let (Some(to), [arg]) = (cast_function(name), args.as_slice()) {
            return Ok(match self.type_of(arg, span)? {
                from if from == to => arg.clone(),
                _ => self.planner.functions.cast(arg.clone(), &to),
            });
        }
        match (name, args.as_slice()) {
            ("if" | "iff", [condition, then, otherwise]) => {
                let mut values = self.widest(vec![then.clone(), otherwise.clone()], span)?;
                let (otherwise, then) = (values.pop().expect("two go in"), values.pop().expect("two go in"));
                let case =
                    Case::new(None, vec![(Box::new(condition.clone()), Box::new(then))], Some(Box::new(otherwise)));
                return Ok(Expr::Case(case));
            }
            ("coalesce" | "nvl" | "ifnull", [_, ..]) => {
                let args = self.widest(args, span)?;
                return self.call_udf("coalesce", args, name_span, span);
            }
            ("nvl2", [value, then, otherwise]) => {
                let present = value.clone().is_not_null();
                return self.call_at("if", vec![present, then.clone(), otherwise.clone()], name_span, span);
            }
            ("nullif", [_, _]) => {
                let both = self.same_type(args.clone(), span)?;
                return self.call_udf("nullif", both, name_span, span);
            }
            ("greatest" | "least", [_, _, ..]) => {
                let args = self.widest(args, span)?;
                return self.call_udf(name, args, name_span, span);
            }
            ("array" | "make_array", _) => {
                let args = self.widest(args, span)?;
                let name = if self.planner.functions.scalar("array").is_some() { "array" } else { "make_array" };
                return self.call_udf(name, args, name_span, span);
            }
            ("nullifzero", [value]) => {
                let both = self.same_type(vec![value.clone(), lit(0)], span)?;
                return self.call_udf("nullif", both, name_span, span);
            }
            ("zeroifnull", [value]) => {
                let args = self.widest(vec![value.clone(), lit(0)], span)?;
                return self.call_udf("coalesce", args, name_span, span);
            }
            ("equal_null", [_, _]) => {
                let [left, right] = self.same_type(args, span)?.try_into().expect("two go in");
                return Ok(datafusion::logical_expr::binary_expr(left, Operator::IsNotDistinctFrom, right));
            }
            ("negative", [value]) if is_numeric(&self.type_of(value, span)?) => {
                let negative = self.planner.functions.operator("negative");
                return Ok(negative.expect("it is among our functions").call(args));
            }
            ("positive", [value]) => {
                return Ok(match self.type_of(value, span)? {
                    DataType::Utf8 => self.planner.functions.cast(value.clone(), &DataType::Float64),
                    _ => value.clone(),
                });
            }
            ("typeof", [value]) => {
                return Ok(lit(type_name(&self.type_of(value, span)?)
                    .to_lowercase()
                    .replace(", ", ",")
                    .replace(": ", ":")));
            }
            ("isnull", [value]) => return Ok(value.clone().is_null()),
            ("isnotnull", [value]) => return Ok(value.clone().is_not_null()),
            ("not", [value]) => return Ok(Expr::Not(Box::new(value.clone()))),
            ("mod", [left, right]) => {
                let (lt, rt) = (self.type_of(left, span)?, self.type_of(right, span)?);
                return self.arithmetic_of(
                    (left.clone(), lt),
                    "remainder",
                    Operator::Modulo,
                    (right.clone(), rt),
                    span,
                );
            }
            ("named_struct", pairs) if pairs.len() % 2 == 0 => {}
            _ => {}
        }
        self.call_udf(name, args, name_span, span)
    }

    fn call_udf(&self, name: &str, args: Vec<Expr>, name_span: Span, span: Span) -> Result<Expr> {
        match self.planner.functions.scalar(name) {
            Some(udf) => {
                if let Some(parse) = udf.inner().downcast_ref::<FromTextCall>() {
                    // Schema and options are looked at here, where their place is known.
                    parse.resolve(&args).map_err(|error| refused(&error, span))?;
                }
                if let Some(doubt) = written_pattern(name, &args).and_then(millstream_functions::time::doubt) {
                    let message = format!("{name}: {}", doubt.what);
                    let warning = Diagnostic::at(name_span.to(span), "DOUBTFUL_DATETIME_PATTERN", message).warning();
                    self.planner.catalog.warn(warning.help(doubt.remedy));
                }
                self.checked(ScalarUDF::call(udf, args.clone()), name, &args, name_span, span)
            }
            None => Err(self.unknown(name, name_span).into()),
        }
    }

    fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let error =
            Diagnostic::at(span, "UNRESOLVED_ROUTINE", format!("there is no function `{name}`")).label("unknown");
        match name {
            "session_window" => Diagnostic::at(span, "UNSUPPORTED_FEATURE", "session_window is not supported yet")
                .label("not yet")
                .help("window(ts, '10 minutes') cuts time into fixed windows"),
            "percentile" | "percentile_approx" | "approx_percentile" | "percentile_cont" | "percentile_disc" => {
                Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("{name} is not supported yet"))
                    .label("not yet")
                    .help("median(x), or the share of rows above a bound: avg(if(x > 500, 1, 0))")
            }
            _ if self.planner.functions.window(name).is_some() => {
                error.help(format!("{name} needs OVER (…), in a materialized view"))
            }
            _ => match self.planner.functions.nearest(name) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help("docs/functions.md lists the functions of Spark that run here"),
            },
        }
    }

    /// The call, if the function takes such arguments.
    fn checked(&self, call: Expr, name: &str, args: &[Expr], name_span: Span, span: Span) -> Result<Expr> {
        match self.type_of(&call, span) {
            Ok(found) => Ok(match spark_type(&found) {
                Some(to) => Expr::Cast(Cast::new(Box::new(call), to)),
                None => call,
            }),
            Err(Errors(mut errors)) => {
                let types = args.iter().map(|arg| self.type_of(arg, span).map(|t| type_name(&t)));
                let types = types.collect::<Result<Vec<_>>>()?.join(", ");
                for error in &mut errors {
                    // What our own functions say is written for people; DataFusion's signatures are not.
                    if error.message.contains("signature") || error.message.contains("coercion") {
                        error.message = format!("{name} does not take ({types})");
                    }
                    if error.span == Some(span) {
                        error.label = format!("called with ({types})");
                        error.span = Some(name_span.to(span));
                    }
                }
                Err(Errors(errors))
            }
        }
    }

    /// `struct(a, b AS c, 1)`: fields are named by their arguments.
    pub fn structure(&self, args: &[SqlExpr], span: Span) -> Result<Expr> {
        let mut pairs = Vec::new();
        for (i, arg) in args.iter().enumerate() {
            let (expr, name) = match arg {
                SqlExpr::Named { expr, name } => (expr.as_ref(), name.value.clone()),
                SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_) => (arg, super::names::column_name(arg)),
                _ => (arg, format!("col{}", i + 1)),
            };
            pairs.push(lit(name));
            pairs.push(self.expr(expr)?);
        }
        self.call_udf("named_struct", pairs, span, span)
    }

    /// `current_timestamp` and its like, which need no parentheses.
    pub fn constant_function(&self, name: &Ident) -> Option<Expr> {
        let lower = name.value.to_lowercase();
        let known = ["current_timestamp", "current_date", "current_timezone"];
        if name.quote_style.is_some() || !known.contains(&lower.as_str()) {
            return None;
        }
        self.planner.functions.scalar(&lower).map(|udf| udf.call(Vec::new()))
    }

    /// `f(…) OVER (…)`.
    fn window_function(&self, function: &Function, name: &str, span: Span) -> Result<Expr> {
        if self.scope.streaming {
            let error = Diagnostic::at(
                span,
                "NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING",
                format!("{name} OVER (…) does not run over a stream"),
            );
            return Err(error
                .label("looks at rows that are still to come")
                .help("group by a time window, or use it in a materialized view over this table")
                .into());
        }
        let Some(WindowType::WindowSpec(spec)) = &function.over else {
            return Err(Diagnostic::at(span, "UNSUPPORTED_FEATURE", "a window with a name is not supported yet")
                .help("write OVER (PARTITION BY … ORDER BY …)")
                .into());
        };
        if spec.window_frame.is_some() {
            return Err(Diagnostic::at(span, "UNSUPPORTED_FEATURE", "ROWS and RANGE are not supported yet")
                .label("not yet")
                .into());
        }
        let args = match arguments(function, span)? {
            Arguments::Star => vec![lit(1_i64)],
            Arguments::List { args, .. } => Errors::collect(args.into_iter().map(|arg| self.expr(arg)))?,
        };
        let functions = self.planner.functions;
        let definition = match (functions.window(name), functions.aggregate(name)) {
            (Some(udwf), _) => WindowFunctionDefinition::WindowUDF(udwf.clone()),
            (None, Some(udaf)) => WindowFunctionDefinition::AggregateUDF(udaf.clone()),
            (None, None) => return Err(self.unknown(name, span).into()),
        };
        let partition_by = Errors::collect(spec.partition_by.iter().map(|expr| self.expr(expr)))?;
        let order_by = self.sorts(&spec.order_by, &[])?;
        let window_frame = WindowFrame::new((!order_by.is_empty()).then_some(false));
        let params = WindowFunctionParams {
            args,
            partition_by,
            order_by,
            window_frame,
            filter: None,
            null_treatment: None,
            distinct: false,
        };
        let call = Expr::WindowFunction(Box::new(WindowFunction { fun: definition, params }));
        self.checked(call, name, &[], span, span)
    }

    /// The text of an argument that has to be written out.
    pub fn constant_text(&self, expr: &SqlExpr) -> Result<String> {
        match self.expr(expr)? {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Ok(text),
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) if interval.months == 0 => {
                Ok(format!("{} days {} microseconds", interval.days, interval.nanoseconds / 1000))
            }
            _ => {
                let error = Diagnostic::at(self.place(expr), "NON_FOLDABLE_ARGUMENT", "this has to be written out");
                Err(error.help("a length of time in quotes, such as '5 minutes'").into())
            }
        }
    }
}
