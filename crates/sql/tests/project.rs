//! What surrounds the queries of a project: its specification, its variables, what tells one query from another.

use millstream_sql::{EMBEDDED_BOOTSTRAP, Environment, Pipeline, Project, RelationKind, Report};

const SPEC: &str = "name: p\nstorage: file:///tmp/p\nlibraries:\n  - glob:\n      include: transformations/**\n";
const COUNTS: &str = "CREATE STREAMING TABLE counts USING csv AS SELECT window.start AS start, count(*) AS n
  FROM STREAM kafka WITH ('kafka.bootstrap.servers' = '${env:KAFKA_BOOTSTRAP}', subscribe = 'a') WATERMARK timestamp DELAY OF INTERVAL 1 MINUTE
  GROUP BY window(timestamp, '5 minutes')";

fn load(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Pipeline, Report> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("folders are made");
        std::fs::write(path, text).expect("files are written");
    }
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Project::load(dir.path(), &Environment::new(variables))
}

fn message(files: &[(&str, &str)]) -> String {
    load(files, &[]).expect_err("the project is wrong").to_string()
}

fn fingerprint(sql: &str) -> String {
    load(&[("spark-pipeline.yml", SPEC), ("transformations/a.sql", sql)], &[]).expect("a good project").flows[0]
        .fingerprint
        .clone()
}

#[test]
fn the_bootstrap_address_is_the_embedded_broker_unless_it_is_set() {
    let files = [("spark-pipeline.yml", SPEC), ("transformations/deep/er/a.sql", COUNTS)];
    let bootstrap = |variables: &[(&str, &str)]| {
        let pipeline = load(&files, variables).expect("a good project");
        let mut found = None;
        let plan = pipeline.flows[0].plan.clone();
        datafusion::common::tree_node::TreeNode::apply(&plan, |node| {
            if let datafusion::logical_expr::LogicalPlan::TableScan(scan) = node
                && let Some(relation) = scan.source.downcast_ref::<millstream_sql::Relation>()
                && let RelationKind::Kafka(options) = &relation.kind
            {
                found = options.get("kafka.bootstrap.servers").cloned();
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
        .expect("nothing fails");
        found.expect("it reads kafka")
    };
    assert_eq!(bootstrap(&[]), EMBEDDED_BOOTSTRAP);
    assert_eq!(bootstrap(&[("KAFKA_BOOTSTRAP", "")]), EMBEDDED_BOOTSTRAP);
    assert_eq!(bootstrap(&[("KAFKA_BOOTSTRAP", "host:9092")]), "host:9092");
}

#[test]
fn a_fingerprint_changes_with_the_meaning_and_not_with_the_writing() {
    let first = fingerprint(COUNTS);
    assert_eq!(
        first,
        fingerprint(&COUNTS.to_lowercase().replace("${env:kafka_bootstrap}", "elsewhere:1").replace('\n', " -- x\n\n"))
    );
    assert_ne!(first, fingerprint(&COUNTS.replace("5 minutes", "6 minutes")));
    assert_ne!(first, fingerprint(&COUNTS.replace("1 MINUTE", "2 MINUTES")));
    assert_ne!(first, fingerprint(&COUNTS.replace("subscribe = 'a'", "subscribe = 'b'")));
    assert_ne!(first, fingerprint(&COUNTS.replace("count(*)", "max(offset)")));
}

#[test]
fn unknown_keys_of_the_specification_are_refused_with_the_nearest_one() {
    let spec = format!("{SPEC}databse: x\nconsole:\n  port: 1\n");
    let report = message(&[("spark-pipeline.yml", &spec), ("transformations/a.sql", COUNTS)]);
    assert!(report.contains("`databse` does not belong into the specification"), "{report}");
    assert!(report.contains("did you mean `database`?"), "{report}");
    assert!(report.contains("spark-pipeline.yml:7:1"), "{report}");
}

#[test]
fn a_specification_that_does_not_read_shows_its_line() {
    let report = message(&[("spark-pipeline.yml", "name: x\nlibraries: [\n")]);
    assert!(report.contains("spark-pipeline.yml:"), "{report}");
    let report = message(&[("spark-pipeline.yml", "libraries:\n  - transformations\n")]);
    assert!(report.contains("the pipeline has no name") && report.contains("glob"), "{report}");
    assert!(message(&[("other.yml", "")]).contains("has no spark-pipeline.yml"));
}

#[test]
fn python_files_are_refused_by_name() {
    let report =
        message(&[("spark-pipeline.yml", SPEC), ("transformations/a.sql", COUNTS), ("transformations/b.py", "")]);
    assert!(report.contains("transformations/b.py: transformations in Python do not run here"), "{report}");
}

#[test]
fn settings_of_the_specification_and_of_set_are_the_configuration() {
    let spec = format!("{SPEC}configuration:\n  a.b: \"1\"\n  n: 2\n  spark.sql.session.timeZone: Europe/Berlin\n");
    let sql = format!("SET a.b = 3; SET topic = x;\n{};", COUNTS.replace("'a'", "'${topic}'"));
    let pipeline =
        load(&[("spark-pipeline.yml", &spec), ("transformations/a.sql", &sql)], &[]).expect("a good project");
    assert_eq!(pipeline.configuration["a.b"], "3");
    assert_eq!(pipeline.configuration["n"], "2");
    assert_eq!(pipeline.flows[0].origin.line, 2);
    assert!(pipeline.flows[0].sql.starts_with("CREATE STREAMING TABLE counts"));
    let spec = spec.replace("Europe/Berlin", "Mars/Olympus");
    assert!(
        message(&[("spark-pipeline.yml", &spec), ("transformations/a.sql", &sql)])
            .contains("no time zone `Mars/Olympus`")
    );
}

#[test]
fn the_example_of_spark_loads() {
    let pipeline =
        load(&[("spark-pipeline.yml", SPEC), ("transformations/a.sql", include_str!("cases/turnstiles.sql"))], &[]);
    let pipeline = pipeline.expect("a good project");
    assert_eq!(pipeline.name, "p");
    assert_eq!(pipeline.tables[0].name, "station_traffic");
    assert_eq!(pipeline.tables[0].comment.as_deref(), Some("Entries and exits of each station in four hours"));
}

#[test]
fn the_examples_load() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut loaded = Vec::new();
    for entry in std::fs::read_dir(&examples).expect("there are examples") {
        let dir = entry.expect("an entry").path();
        match Project::load(&dir, &Environment::new([("MILLSTREAM_PROJECT".to_string(), "/p".to_string())])) {
            Ok(pipeline) => loaded.push(pipeline.name),
            Err(error) => panic!("{}:\n{error}", dir.display()),
        }
    }
    assert!(!loaded.is_empty());
}

#[test]
fn a_time_zone_that_does_not_exist_is_shown_where_it_is_set() {
    let spec = format!("{SPEC}configuration:\n  spark.sql.session.timeZone: Europe/Berln\n");
    let report = message(&[("spark-pipeline.yml", &spec), ("transformations/a.sql", COUNTS)]);
    assert!(report.contains("spark-pipeline.yml:7:3"), "{report}");
    assert!(report.contains("did you mean Europe/Berlin?"), "{report}");
}

#[test]
fn a_setting_of_another_case_is_kept_with_a_warning() {
    let spec =
        format!("{SPEC}configuration:\n  spark.sql.session.timezone: Europe/Berlin\n  spark.executor.memory: 2g\n");
    let pipeline = load(&[("spark-pipeline.yml", &spec), ("transformations/a.sql", COUNTS)], &[]).expect("it runs");
    let warnings = pipeline.warnings.to_string();
    assert_eq!(pipeline.warnings.diagnostics.len(), 1, "{warnings}");
    assert!(warnings.starts_with("warning[UNKNOWN_SETTING]"), "{warnings}");
    assert!(
        warnings.contains("spark-pipeline.yml:7:3") && warnings.contains("`spark.sql.session.timeZone`"),
        "{warnings}"
    );
}

#[test]
fn a_file_that_does_not_read_is_all_that_is_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("transformations")).expect("folders are made");
    std::fs::write(dir.path().join("spark-pipeline.yml"), SPEC).expect("files are written");
    std::fs::write(dir.path().join("transformations/a.sql"), b"\xff\xfe").expect("files are written");
    let report = Project::load(dir.path(), &Environment::default()).expect_err("it does not read");
    let classes: Vec<&str> = report.diagnostics.iter().map(|diagnostic| diagnostic.class).collect();
    assert_eq!(classes, ["UNREADABLE_FILE"]);
}
