//! Every expression of `golden/*.sql`, planned from its SQL and run, gives what a real Spark gave: the same type, the same value, the same error
//! class. `golden/*.tsv` are what Spark said (`crates/functions/tests/golden/spark.py` asks it); `golden/differences.tsv` lists where we
//! differ, and why.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::prelude::SessionContext;
use millstream_functions::SparkError;
use millstream_functions::ddl::type_name;
use millstream_sql::{Environment, Project, TableKind};

const SPEC: &str = "name: functions\nstorage: file:///tmp/functions\nlibraries:\n  - glob:\n      include: transformations/**\nconfiguration:\n  spark.sql.session.timeZone: ";

/// Type and value of an expression, or its error class.
async fn evaluate(dir: &Path, expression: &str) -> (String, String) {
    let query = format!(
        "CREATE MATERIALIZED VIEW v USING json AS SELECT x, CAST(x AS STRING) AS text FROM (SELECT {expression} AS x);\n"
    );
    std::fs::write(dir.join("transformations/query.sql"), query).unwrap();
    let pipeline = match Project::load(dir, &Environment::default()) {
        Ok(pipeline) => pipeline,
        Err(error) => {
            let class = error.diagnostics[0].class;
            return (String::new(), format!("!{class} {}", error.diagnostics[0].message));
        }
    };
    let table = &pipeline.tables[0];
    let TableKind::Materialized(plan) = &table.kind else { unreachable!("a view was written") };
    let kind = type_name(table.schema.field(0).data_type()).to_lowercase().replace(' ', "");
    let frame = SessionContext::new().execute_logical_plan(plan.as_ref().clone()).await;
    let batches = match frame {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    match batches {
        Ok(batches) => {
            let texts = batches[0].column(1).as_string::<i32>();
            (kind, if texts.is_null(0) { "NULL".to_owned() } else { texts.value(0).to_owned() })
        }
        Err(error) => match SparkError::find(&error) {
            Some(error) => (String::new(), format!("!{} {}", error.class, error.message)),
            None => (String::new(), format!("!{error}")),
        },
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// Every line of a file of Spark's answers; none may differ that is not listed, and none that is listed may agree.
async fn check(name: &str, zone: &str) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("spark-pipeline.yml"), format!("{SPEC}{zone}\n")).unwrap();
    std::fs::create_dir(dir.path().join("transformations")).unwrap();
    let (answers, differences) = (read(&format!("{name}.tsv")), read("differences.tsv"));
    let differences: BTreeMap<&str, &str> = lines(&differences)
        .map(|line| line.split_once('\t').expect("a difference is an expression, a tab and a reason"))
        .collect();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for line in lines(&answers) {
        let [expression, kind, value] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let value = value
            .replace("\\\\", "\u{1}")
            .replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace("\\r", "\r")
            .replace('\u{1}', "\\");
        let found = evaluate(dir.path(), expression).await;
        asked += 1;
        let same = found.0 == kind
            && match value.strip_prefix('!') {
                Some(class) => found.1.strip_prefix('!').is_some_and(|found| found.starts_with(class)),
                None => found.1 == value,
            };
        match (same, differences.contains_key(expression)) {
            (true, false) | (false, true) => {}
            (true, true) => wrong.push(format!("{expression}: listed as a difference, but it is as in Spark")),
            (false, false) => wrong.push(format!("{expression}:\n    {} {}\n    {kind} {value}", found.0, found.1)),
        }
    }
    assert!(asked > 30, "the file holds Spark's answers");
    let all = wrong.join("\n");
    assert!(wrong.is_empty(), "{} of {asked} expressions are wrong (ours, Spark's):\n{all}", wrong.len());
}

#[tokio::test]
async fn functions_give_what_spark_gives() {
    check("functions", "UTC").await;
}

#[tokio::test]
async fn texts_are_read_as_spark_reads_them() {
    check("texts", "UTC").await;
}

#[tokio::test]
async fn times_follow_the_session_time_zone() {
    check("zones", "America/New_York").await;
}
