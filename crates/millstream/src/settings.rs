//! What a project says beside its queries: `millstream.yml`, and settings of `configuration` that are ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use millstream_connectors::feeds::{FeedSpec, TopicConfig, check_feed, from_yaml};
use millstream_engine::{CompileOptions, compile};
use millstream_functions::ddl::type_name;
use millstream_functions::interval::parse_interval;
use millstream_sql::{Environment, Pipeline, Project, ProjectError, TableKind};
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
    /// Reads the folder. All that is wrong with its queries is printed, as rustc does.
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
            Project::load(&dir, &Environment::new(variables)).map_err(|errors: ProjectError| anyhow!("{errors}"))?;
        let settings = Settings::read(&dir.join("millstream.yml"))?;
        Ok(Self { dir, pipeline, settings })
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
    for (name, feed) in &project.settings.feeds {
        check_feed(name, feed, &project.dir).with_context(|| "millstream.yml")?;
    }
    let pipeline = &project.pipeline;
    for flow in &pipeline.flows {
        compile(flow, CompileOptions::default())
            .with_context(|| format!("{}:{}: flow {}", flow.origin.file.display(), flow.origin.line, flow.name))?;
    }
    println!("{}: {} flows into {} tables", pipeline.name, pipeline.flows.len(), pipeline.tables.len());
    for table in &pipeline.tables {
        let kind = if matches!(table.kind, TableKind::Streaming) { "streaming table" } else { "materialized view" };
        println!("\n{kind} {}  ({}:{})", table.name, table.origin.file.display(), table.origin.line);
        for field in table.schema.fields() {
            println!("  {:24} {}", field.name(), type_name(field.data_type()));
        }
    }
    Ok(())
}

impl Settings {
    fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => Ok(Self::default()),
            Ok(text) => from_yaml(&text).map_err(|error| anyhow!("{}: {error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}
