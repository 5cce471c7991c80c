//! Aggregates over a few rows: what Spark gives for the same queries.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{SessionConfig, SessionContext};
use millstream_functions::{CastMode, Session, SparkError, cast_array, register};

fn context() -> SessionContext {
    let mut context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    register(&mut context, &Session::default()).unwrap();
    context
}

async fn row(query: &str) -> Result<Vec<String>, String> {
    let batches = async { context().sql(query).await?.collect().await }.await;
    let batches = batches.map_err(|e| SparkError::find(&e).map_or(e.to_string(), |e| e.class.to_owned()))?;
    assert_eq!(batches.len(), 1, "{}", pretty_format_batches(&batches).unwrap());
    let text = |column| cast_array(column, &DataType::Utf8, CastMode::Ansi, &Session::default()).unwrap();
    let value = |column| {
        let text = text(column);
        let text = text.as_string::<i32>().clone();
        text.iter().next().flatten().unwrap_or("NULL").to_owned()
    };
    Ok(batches[0].columns().iter().map(value).collect())
}

const ROWS: &str = "(VALUES (1, 'b', 1.5, true), (2, 'a', NULL, false), (3, NULL, 2.5, NULL)) t(i, s, d, b)";

#[tokio::test]
async fn aggregates_of_a_few_rows() {
    let ask = |list: &str| format!("SELECT {list} FROM {ROWS}");
    let all = "sum(i), sum(d), avg(i), avg(d), count(*), count(s), count_if(b), min(s), max(i)";
    assert_eq!(row(&ask(all)).await.unwrap(), ["6", "4.0", "2.0", "2.0", "3", "2", "1", "a", "3"]);
    let picks = "first(s), last(s), any_value(i), max_by(s, i), min_by(i, d), last(s, true)";
    assert_eq!(row(&ask(picks)).await.unwrap(), ["b", "NULL", "1", "NULL", "1", "a"]);
    let others = "approx_count_distinct(i), every(b), some(b), collect_list(s), median(i), stddev(i), variance(i)";
    assert_eq!(row(&ask(others)).await.unwrap(), ["3", "false", "true", "[b, a]", "2.0", "1.0", "1.0"]);
}

#[tokio::test]
async fn groups_add_up_and_merge() {
    let rows = (0..10_000).map(|i| format!("({}, {i})", i % 3)).collect::<Vec<_>>().join(", ");
    let query = format!(
        "SELECT sum(s), sum(c), min(a) FROM (SELECT k, sum(v) AS s, count_if(v % 2 = 0) AS c, avg(v) AS a FROM (VALUES {rows}) t(k, v) GROUP BY k)"
    );
    assert_eq!(row(&query).await.unwrap(), ["49995000", "5000", "4999.0"]);
}

#[tokio::test]
async fn nothing_adds_up_to_null_and_too_much_is_an_error() {
    let none =
        format!("SELECT sum(i), count_if(b), avg(i), first(s), approx_count_distinct(i) FROM {ROWS} WHERE i > 5");
    assert_eq!(row(&none).await.unwrap(), ["NULL", "0", "NULL", "NULL", "0"]);
    let much = "SELECT sum(v) FROM (VALUES (9223372036854775807), (1)) t(v)";
    assert_eq!(row(much).await.unwrap_err(), "ARITHMETIC_OVERFLOW");
    let grouped = "SELECT k, sum(v) FROM (VALUES (1, 9223372036854775807), (1, 1)) t(k, v) GROUP BY k";
    assert_eq!(row(grouped).await.unwrap_err(), "ARITHMETIC_OVERFLOW");
}
