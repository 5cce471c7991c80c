//! Every `tests/cases/NAME.sql` is the queries of a project. Beside it stands what is expected: `NAME.plan` (tables and flows with their
//! plans) or `NAME.err` (the report). `UPDATE_CASES=1 cargo test` writes what comes out instead of comparing.
//!
//! A case may hold more than one file: a line `-- file: sources.sql` begins another one (default: `transformations/NAME.sql`).

use std::fmt::Write;
use std::path::Path;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use millstream_functions::FromText;
use millstream_sql::{Environment, Pipeline, Project, TableKind};

const SPEC: &str =
    "name: cases\nstorage: file:///tmp/cases\nlibraries:\n  - glob:\n      include: transformations/**\n";

fn load(name: &str, text: &str) -> Result<Pipeline, millstream_sql::Report> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut files = vec![
        ("spark-pipeline.yml".to_string(), SPEC.to_string()),
        (format!("transformations/{name}.sql"), String::new()),
    ];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("-- file:") {
            Some(path) => files.push((path.trim().to_string(), String::new())),
            None => files.last_mut().expect("there is one").1.push_str(line),
        }
    }
    for (path, text) in files {
        if text.is_empty() {
            continue;
        }
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("folders are made");
        std::fs::write(path, text).expect("files are written");
    }
    Project::load(dir.path(), &Environment::new([("HOME_TOPIC".to_string(), "home".to_string())]))
}

fn describe(pipeline: &Pipeline) -> String {
    let mut out = String::new();
    for table in &pipeline.tables {
        let kind = match &table.kind {
            TableKind::Streaming => "streaming table",
            TableKind::Materialized(_) => "materialized view",
        };
        let columns: Vec<String> =
            table.schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        writeln!(out, "{kind} {} {:?} ({})", table.name, table.format, columns.join(", ")).expect("text");
        if !table.properties.is_empty() {
            writeln!(out, "  properties {:?}", table.properties).expect("text");
        }
        if !table.partitioned_by.is_empty() {
            writeln!(out, "  partitioned by {:?}", table.partitioned_by).expect("text");
        }
        if let TableKind::Materialized(plan) = &table.kind {
            writeln!(out, "{}", indent(&plan.display_indent().to_string())).expect("text");
        }
        for flow in pipeline.flows.iter().filter(|flow| flow.target == table.name) {
            writeln!(out, "flow {} ({}:{})", flow.name, flow.origin.file.display(), flow.origin.line).expect("text");
            writeln!(out, "{}", indent(&flow.plan.display_indent().to_string())).expect("text");
            for fields in parsed_fields(&flow.plan) {
                writeln!(out, "  parses {fields}").expect("text");
            }
        }
    }
    if !pipeline.warnings.diagnostics.is_empty() {
        writeln!(out, "\n{}", pipeline.warnings).expect("text");
    }
    out
}

/// What each parse of a text in the plan gives.
fn parsed_fields(plan: &LogicalPlan) -> Vec<String> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && let Some(parse) = call.func.inner().downcast_ref::<FromText>()
                {
                    found.push(millstream_functions::ddl::type_name(&parse.output_type()));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .expect("nothing fails");
    found
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut paths: Vec<_> =
        std::fs::read_dir(&dir).expect("cases").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    let (mut failed, mut count) = (Vec::new(), 0);
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().to_string();
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).expect("a case reads");
        let (extension, other, found) = match load(&name, &text) {
            Ok(pipeline) => ("plan", "err", describe(&pipeline)),
            Err(error) => ("err", "plan", format!("{error}\n")),
        };
        let expected = path.with_extension(extension);
        if update {
            let _ = std::fs::remove_file(path.with_extension(other));
            std::fs::write(&expected, &found).expect("the expectation is written");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != found {
            failed.push(name.clone());
            println!("--- {name}: not what {} says\n{found}", expected.display());
        }
    }
    println!("{count} cases, {} failed {failed:?}", failed.len());
    assert!(count > 0, "no case was run");
    assert!(failed.is_empty());
}
