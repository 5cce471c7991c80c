//! Every expression of `golden/expressions.sql` gives what a real Spark gave: the same type, the same value, the same error class.
//! `golden/results.tsv` is what Spark said (`golden/spark.py` asks it); `golden/differences.tsv` lists where we differ, and why.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlanBuilder, Operator, ScalarUDF, Signature, SimpleScalarUDF, Volatility,
    lit,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use millstream_functions::ddl::{parse_type, type_name};
use millstream_functions::{CastMode, Session, SparkCast, SparkError, cast_array, register};

fn context(session: &Session) -> SessionContext {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.dialect = "databricks".parse().unwrap();
    let mut context = SessionContext::new_with_config(config);
    datafusion_spark::register_all(&mut context).unwrap();
    register(&mut context, session).unwrap();
    // Stands for CAST and TRY_CAST until they are put in by `meaning`.
    for name in ["plain_cast", "plain_try_cast"] {
        let never = std::sync::Arc::new(|_: &[ColumnarValue]| Err(DataFusionError::Internal("replaced".into())));
        let signature = Signature::any(2, Volatility::Immutable);
        context.register_udf(ScalarUDF::from(SimpleScalarUDF::new_with_signature(
            name,
            signature,
            DataType::Float64,
            never,
        )));
    }
    context
}

/// Spark's spelling in DataFusion's: casts as calls, `1.5D` as a cast, texts in single quotes, `div` as a call.
fn respell(expression: &str) -> String {
    let mut text = expression.to_owned();
    if text.contains('"') && text.matches('"').count() == 2 && !text.contains("{\"") && !text.contains("x\"y") {
        let (before, rest) = text.split_once('"').unwrap();
        let (quoted, after) = rest.split_once('"').unwrap();
        text = format!("{before}'{}'{after}", quoted.replace('\'', "''"));
    }
    text = text.replace("\\\\", "\\");
    // DataFusion's planner has its own of these names.
    text = text.replace("substring(", "mid(");
    let double = regex::Regex::new(r"\b(\d[\d.]*(?:e-?\d+)?)D\b").unwrap();
    text = double.replace_all(&text, "plain_cast('$1', 'DOUBLE')").into_owned();
    let typed = regex::Regex::new(r"\b(TIMESTAMP|DATE)('[^']*')").unwrap();
    text = typed.replace_all(&text, "plain_cast($2, '$1')").into_owned();
    let div = regex::Regex::new(r"^(\S+) div (\S+)$").unwrap();
    text = div.replace(&text, "spark_div($1, $2)").into_owned();
    while let Some(at) = text.find("CAST(") {
        let start = if text[..at].ends_with("TRY_") { at - 4 } else { at };
        let (mut depth, mut end, mut middle) = (0, at, 0);
        for (i, c) in text[at..].char_indices() {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth -= 1;
                    if depth == 0 {
                        end = at + i;
                        break;
                    }
                }
                'A' if depth == 1 && text[at + i..].starts_with("AS ") => middle = at + i,
                _ => {}
            }
        }
        let name = if start < at { "plain_try_cast" } else { "plain_cast" };
        let call = format!("{name}({}, '{}')", &text[at + 5..middle], text[middle + 3..end].trim());
        text = format!("{}{call}{}", &text[..start], &text[end + 1..]);
    }
    text
}

/// Literals, casts and operators as Spark means them; the sql crate does the same to a query.
fn meaning(expr: Expr, session: &Session) -> Result<Expr> {
    expr.transform_up(|expr| {
        Ok(match expr {
            Expr::Literal(ScalarValue::Int64(Some(n)), m) if i32::try_from(n).is_ok() => {
                Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(n as i32)), m))
            }
            Expr::Negative(inner) => match *inner {
                Expr::Literal(ScalarValue::Int64(Some(2_147_483_648)), m) => {
                    Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(i32::MIN)), m))
                }
                Expr::Literal(value, m) => Transformed::yes(Expr::Literal(value.arithmetic_negate()?, m)),
                other => Transformed::yes(function("spark_negative", vec![other], session)?),
            },
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let name = match op {
                    Operator::Plus => "spark_add",
                    Operator::Minus => "spark_subtract",
                    Operator::Multiply => "spark_multiply",
                    Operator::Divide => "spark_divide",
                    Operator::Modulo => "spark_remainder",
                    _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
                };
                let both = match (*left, *right) {
                    (a, b) if is_decimal(&a) => (a, small_decimal(b)),
                    (a, b) if is_decimal(&b) => (small_decimal(a), b),
                    both => both,
                };
                Transformed::yes(function(name, vec![both.0, both.1], session)?)
            }
            Expr::ScalarFunction(call) if call.name().starts_with("plain_") => {
                let mode = if call.name() == "plain_cast" { CastMode::Ansi } else { CastMode::Try };
                let Expr::Literal(ScalarValue::Utf8(Some(to)), _) = &call.args[1] else { unreachable!() };
                let to = parse_type(to).map_err(|e| DataFusionError::Plan(e.to_string()))?;
                Transformed::yes(SparkCast::new(to, mode, session).call(call.args[0].clone()))
            }
            other => Transformed::no(other),
        })
    })
    .map(|t| t.data)
}

fn is_decimal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Decimal128(..), _))
}

/// An integer beside a decimal is a decimal of just its digits.
fn small_decimal(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Int32(Some(n)), _) => {
            lit(ScalarValue::Decimal128(Some(i128::from(n)), n.unsigned_abs().to_string().len() as u8, 0))
        }
        other => other,
    }
}

fn function(name: &str, args: Vec<Expr>, session: &Session) -> Result<Expr> {
    let all = millstream_functions::all_scalar_udfs(session);
    let udf = all.iter().find(|udf| udf.name() == name).expect("an operator is one of our functions");
    Ok(udf.call(args))
}

async fn evaluate(context: &SessionContext, expression: &str, session: &Session) -> Result<(String, String)> {
    let expr = context.parse_sql_expr(&respell(expression), &DFSchema::empty())?;
    let plan = LogicalPlanBuilder::empty(true).project([meaning(expr, session)?])?.build()?;
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    let column = batches[0].column(0);
    let text = cast_array(column, &DataType::Utf8, CastMode::Ansi, session)?;
    let text = text.as_string::<i32>();
    let value = if datafusion::arrow::array::Array::is_null(text, 0) { "NULL" } else { text.value(0) };
    Ok((type_name(column.data_type()).to_lowercase().replace(' ', ""), value.to_owned()))
}

#[tokio::test]
async fn expressions_give_what_spark_gives() {
    let session = Session::default();
    let context = context(&session);
    let lines = |text: &'static str| text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut differences: BTreeMap<&str, &str> = lines(include_str!("golden/differences.tsv"))
        .map(|line| line.split_once('\t').expect("a difference is an expression, a tab and a reason"))
        .collect();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for line in lines(include_str!("golden/results.tsv")) {
        let [expression, kind, value] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let value = value.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
        let found = match evaluate(&context, expression, &session).await {
            Ok(found) => found,
            Err(error) => match SparkError::find(&error) {
                Some(error) => (String::new(), format!("!{}", error.class)),
                None => (String::new(), format!("!{}", error.to_string().lines().next().unwrap_or_default())),
            },
        };
        asked += 1;
        let same = found == (kind.to_owned(), value.clone());
        match (same, differences.remove(expression)) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(_)) => wrong.push(format!("{expression}: listed as a difference, but it is as in Spark")),
            (false, None) => wrong.push(format!("{expression}: {} {} instead of {kind} {value}", found.0, found.1)),
        }
    }
    wrong.extend(differences.keys().map(|expression| format!("{expression}: listed as a difference, but not asked")));
    assert!(wrong.is_empty(), "{} of {asked} expressions are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
