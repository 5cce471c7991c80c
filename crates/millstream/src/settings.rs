//! What a project says beside its queries: `millstream.yml`, and settings of `configuration` that are ours.

mod check;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use millstream_commands::setting_value;
use millstream_connectors::feeds::{FeedSpec, Scalar, TopicConfig};
use millstream_functions::ddl::type_name;
use millstream_functions::interval::parse_interval;
use millstream_sql::{Environment, Pipeline, Project, Report, TableKind};
use serde::Deserialize;

use crate::cli::DryRun;

/// `millstream.yml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Topics that are made before anything runs.
    #[serde(default)]
    pub topics: BTreeMap<String, TopicConfig>,
    /// Records that come by themselves.
    #[serde(default)]
    pub feeds: BTreeMap<String, FeedSpec>,
}

/// A project folder that has been read.
pub struct Loaded {
    /// The folder, absolute.
    pub dir: PathBuf,
    /// Its queries.
    pub pipeline: Pipeline,
    /// Its `millstream.yml`.
    pub settings: Settings,
}

impl Loaded {
    /// Reads and checks the folder. The error is all that is wrong, shown as rustc does; warnings are printed.
    pub fn read(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).with_context(|| format!("{} has no absolute path", dir.display()))?;
        if !dir.join("spark-pipeline.yml").exists() {
            bail!(
                "{} has no spark-pipeline.yml, so it is no project; `millstream init {}` makes one there",
                dir.display(),
                dir.display()
            );
        }
        let path = dir.to_string_lossy().into_owned();
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .chain([("MILLSTREAM_PROJECT".to_owned(), path)]);
        let pipeline =
            Project::load(&dir, &Environment::new(variables)).map_err(|errors: Report| anyhow!("{errors}"))?;
        let text = Settings::text(&dir.join(Settings::FILE))?;
        let settings = Settings::parse(&text).map_err(|errors| anyhow!("{errors}"))?;
        let project = Self { dir, pipeline, settings };
        let errors = check::errors(&project, &text);
        if !errors.is_empty() {
            bail!(joined(&errors));
        }
        let warnings = joined(&[vec![project.pipeline.warnings.clone()], check::warnings(&project, &text)].concat());
        if !warnings.is_empty() {
            eprintln!("{warnings}\n");
        }
        Ok(project)
    }

    /// Folder of log, progress and state.
    pub fn data(&self, flag: Option<&Path>) -> PathBuf {
        flag.map_or_else(|| self.dir.join(".millstream"), Path::to_owned)
    }

    /// Folder of the tables' folders.
    pub fn lake(&self) -> PathBuf {
        match self.pipeline.configuration.get("millstream.lake") {
            Some(lake) => self.dir.join(lake),
            None => self.dir.join("lake"),
        }
    }

    /// A duration of `configuration` in µs.
    pub fn duration_us(&self, name: &str, default_us: i64) -> Result<i64> {
        let Some(text) = self.pipeline.configuration.get(name) else { return Ok(default_us) };
        let us = parse_interval(text).and_then(|interval| interval.fixed_us());
        us.map_err(|error| anyhow!("{name} = '{text}': {error}; write it as '10 seconds'"))
    }
}

/// `millstream dry-run`: all that is wrong, or what there is.
pub fn dry_run(args: &DryRun) -> Result<()> {
    let project = Loaded::read(&args.project)?;
    let pipeline = &project.pipeline;
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (flows, tables) = (counted(pipeline.flows.len(), "flow"), counted(pipeline.tables.len(), "table"));
    println!("{}: {flows} into {tables}", pipeline.name);
    for table in &pipeline.tables {
        let kind = if matches!(table.kind, TableKind::Streaming) { "streaming table" } else { "materialized view" };
        println!("\n{kind} {}  ({}:{})", table.name, table.origin.file.display(), table.origin.line);
        for field in table.schema.fields() {
            println!("  {:24} {}", field.name(), type_name(field.data_type()));
        }
    }
    Ok(())
}

/// Reports under each other.
fn joined(reports: &[Report]) -> String {
    let texts = reports.iter().filter(|report| !report.diagnostics.is_empty()).map(Report::to_string);
    texts.collect::<Vec<_>>().join("\n\n")
}

impl Settings {
    /// Its name below the project.
    const FILE: &str = "millstream.yml";

    fn text(path: &Path) -> Result<String> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self, Report> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut settings: Self = yaml::read(text)?;
        for (name, value) in settings.topics.values_mut().flat_map(|topic| &mut topic.configs) {
            *value = Scalar::of(setting_value(name, &value.to_string()));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "name: p\nstorage: file:///tmp/p\nlibraries:\n  - glob:\n      include: transformations/**\n";
    const QUERY: &str =
        "CREATE STREAMING TABLE t USING csv\nAS SELECT topic\nFROM STREAM kafka WITH (subscribe = 'visits');\n";
    const FEED: &str = "feeds:\n  visits:\n    topic: visits\n    key: page\n    generate:\n      rate: 20\n      fields:\n        page: { choice: { /: 5 } }\n";

    fn errors(spec: &str, query: &str, yaml: &str) -> String {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("transformations")).expect("folders are made");
        for (name, text) in [("spark-pipeline.yml", spec), ("transformations/t.sql", query), ("millstream.yml", yaml)] {
            std::fs::write(dir.path().join(name), text).expect("files are written");
        }
        Loaded::read(dir.path()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn assert_told(found: &str, parts: &[&str]) {
        for part in parts {
            assert!(found.contains(part), "no {part:?} in\n{found}");
        }
    }

    #[test]
    fn broker_and_language_name_the_same_topics_internal() {
        let names = [
            "__consumer_offsets",
            "__transaction_state",
            "__metadata",
            "__cluster_metadata",
            "__share_group_state",
            "__millstream.table.t",
            "__millstream",
            "__heartbeat.server",
            "_schemas",
            "orders",
        ];
        for name in names {
            assert_eq!(millstream_broker::is_internal(name), millstream_sql::is_internal_topic(name), "{name}");
        }
    }

    #[test]
    fn a_good_project_reads() {
        assert_eq!(errors(SPEC, QUERY, FEED), "");
        assert_eq!(errors(SPEC, QUERY, ""), "");
    }

    #[test]
    fn topics_are_checked_before_anything_runs() {
        let yaml = "topics:\n  visits:\n    partitions: -1\n    configs: { retention.byte: 64MiB }\n  other:\n    configs:\n      retention.ms: soon\n  a b: {}\n";
        let found = errors(SPEC, QUERY, yaml);
        assert_told(
            &found,
            &["millstream.yml:3:", "at least 1", "millstream.yml:4:", "retention.bytes", "millstream.yml:7:"],
        );
        assert_told(&found, &["must be a whole number", "millstream.yml:8:", "`a b` is no name of a topic"]);
    }

    #[test]
    fn sizes_and_times_have_units_as_on_the_command_line() {
        let yaml =
            "topics:\n  visits:\n    configs: { retention.bytes: 64MiB, retention.ms: 7d, cleanup.policy: delete }\n";
        let settings = Settings::parse(yaml).expect("it reads");
        let configs = settings.topics["visits"].spec().configs;
        for (name, value) in [("retention.bytes", "67108864"), ("retention.ms", "604800000")] {
            assert!(configs.contains(&(name.to_owned(), value.to_owned())), "{configs:?}");
        }
        assert_eq!(errors(SPEC, QUERY, yaml), "");
    }

    #[test]
    fn errors_of_millstream_yml_have_a_line() {
        let found = errors(SPEC, QUERY, &FEED.replace("key: page", "kee: page"));
        assert_told(&found, &["--> millstream.yml:4:5", "unknown field `kee`", "did you mean `key`?"]);
        assert!(!found.contains("<input>"), "{found}");
        assert_told(
            &errors(SPEC, QUERY, &FEED.replace("key: page", "key: pge")),
            &["millstream.yml:4:", "did you mean `page`?"],
        );
        let clock = FEED.replace("rate: 20", "rate: 20\n      clock: { start: nope }");
        assert_told(&errors(SPEC, QUERY, &clock), &["millstream.yml:7:", "clock.start"]);
        let pattern = FEED.replace("page: { choice: { /: 5 } }", "page:\n          time: YYYY-MM");
        assert_told(&errors(SPEC, QUERY, &pattern), &["millstream.yml:9:", "yyyy"]);
    }

    #[test]
    fn values_of_settings_are_checked_where_they_stand() {
        let spec = format!(
            "{SPEC}configuration:\n  mapreduce.output.fileoutputformat.compress: true\n  mapreduce.output.fileoutputformat.compress.codec: org.apache.hadoop.io.compress.GzpCodec\n"
        );
        assert_told(
            &errors(&spec, QUERY, ""),
            &["spark-pipeline.yml:8:", "GzpCodec", "org.apache.hadoop.io.compress.GzipCodec"],
        );
        let query = QUERY.replace("\nAS", "\nTBLPROPERTIES ('millstream.csv.header' = 'yes')\nAS");
        assert_told(&errors(SPEC, &query, ""), &["transformations/t.sql:2:", "write 'true' or 'false'"]);
        let spec = format!(
            "{SPEC}configuration:\n  millstream.idle: soon\n  millstream.on.error: fali\n  millstream.dead.letters: a b\n"
        );
        let found = errors(&spec, QUERY, "");
        assert_told(
            &found,
            &["spark-pipeline.yml:7:", "spark-pipeline.yml:8:", "spark-pipeline.yml:9:", "'10 seconds'"],
        );
    }

    #[test]
    fn a_feed_into_a_topic_that_nobody_reads_is_a_warning() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("transformations")).expect("folders are made");
        std::fs::write(dir.path().join("spark-pipeline.yml"), SPEC).expect("files are written");
        std::fs::write(dir.path().join("transformations/t.sql"), QUERY).expect("files are written");
        let yaml = FEED.replace("topic: visits", "topic: visit");
        std::fs::write(dir.path().join("millstream.yml"), &yaml).expect("files are written");
        let project = Loaded::read(dir.path()).expect("it runs all the same");
        let warnings = joined(&check::warnings(&project, &yaml));
        assert_told(&warnings, &["warning", "millstream.yml:3:", "`visit`", "`visits`"]);
    }
}
