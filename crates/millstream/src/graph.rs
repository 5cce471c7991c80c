//! A pipeline with its ends tied: each flow's sources, log and state, each table's follower.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use datafusion::execution::context::{SessionContext, SessionState};
use millstream_connectors::EmbeddedLog;
use millstream_connectors::file_sink::{FileConfig, FileSink, LocalDisk};
use millstream_connectors::kafka::ClusterSink;
use millstream_connectors::table_log::flow::reset_table;
use millstream_connectors::table_log::{
    Delivery, KeepProgress, TableHub, TableLog, TableLogOptions, TableSource as TableLogSource,
};
use millstream_engine::{
    CompileOptions, FlowTask, OnError, Source, StaticTables, StatsHandle, SystemClock, TaskOptions, compile,
};
use millstream_functions::Session;
use millstream_functions::time::Zone;
use millstream_sql::{Flow, Relation, RelationKind, Table, TableKind, relations_of};
use tokio::sync::watch;

use crate::cli::Refresh;
use crate::refresh::Marks;
use crate::settings::Loaded;
use crate::sources::Sources;

/// Name under which a table's files follow its log.
const FILES: &str = "files";
/// Name under which a topic of another cluster does.
const TOPIC: &str = "topic";

impl Tied {
    /// Takes the flow up where it was.
    pub async fn open(&mut self) -> Result<()> {
        self.task.open().await.with_context(|| self.place.clone())
    }
}

/// A project over an open log.
pub struct Graph {
    /// The project.
    pub project: Loaded,
    /// The log.
    pub log: Arc<dyn EmbeddedLog>,
    /// The log of each streaming table.
    pub hubs: BTreeMap<String, Arc<TableHub>>,
    /// How plans are run.
    pub session: SessionState,
    /// The pipeline's time zone.
    values: Session,
    /// Where rows come from.
    pub sources: Sources,
    data: PathBuf,
    only: Option<BTreeSet<String>>,
    /// Tables that were emptied on purpose when this was opened.
    made_anew: BTreeSet<String>,
}

/// A flow with its ends tied, and what people want to know of it.
pub struct Tied {
    /// Runs it, once it was opened.
    pub task: FlowTask,
    /// Where the query stands, for errors.
    place: String,
    /// Shows it.
    pub stats: StatsHandle,
    /// Names of what each of its sources reads: `topic:NAME`, `table:NAME`, `file:PATH`.
    pub reads: Vec<String>,
}

impl Graph {
    /// Makes topics and table logs; forgets what `refresh` names. `listeners` are addresses that mean the embedded log.
    pub async fn open(
        project: Loaded,
        log: Arc<dyn EmbeddedLog>,
        data: PathBuf,
        listeners: Vec<String>,
        refresh: &Refresh,
    ) -> Result<Self> {
        for (name, topic) in &project.settings.topics {
            log.ensure_topic(name, topic.spec()).await.with_context(|| format!("millstream.yml: topic {name}"))?;
        }
        let zone = project.pipeline.configuration.get("spark.sql.session.timeZone");
        let zone = zone.and_then(|name| Zone::parse(name)).unwrap_or_default();
        let values = Session::new(zone);
        let mut session = SessionContext::new().state();
        millstream_functions::register(&mut session, &values)?;
        let (project_dir, session_of) = (project.dir.clone(), values.clone());
        let sources = Sources { log: Arc::clone(&log), listeners, project: project_dir, session: session_of };
        let mut graph = Self {
            project,
            log,
            hubs: BTreeMap::new(),
            session,
            values,
            sources,
            data,
            only: None,
            made_anew: BTreeSet::new(),
        };
        graph.refresh(refresh).await?;
        for table in &graph.project.pipeline.tables {
            if matches!(table.kind, TableKind::Streaming) {
                let hub = TableHub::open(Arc::clone(&graph.log), &table.name, Arc::clone(&table.schema)).await?;
                hub.expect_follower(FILES);
                graph.hubs.insert(table.name.clone(), hub);
            }
        }
        // Also those that do not run now: they will want the rows later.
        for flow in &graph.project.pipeline.flows {
            for hub in Self::upstream(flow).iter().filter_map(|table| graph.hubs.get(table)) {
                hub.expect_follower(&TableLogSource::follower(&flow.name));
            }
        }
        Ok(graph)
    }

    async fn refresh(&mut self, refresh: &Refresh) -> Result<()> {
        if !refresh.refresh.is_empty() || !refresh.full_refresh.is_empty() {
            self.only = Some(refresh.refresh.iter().chain(&refresh.full_refresh).cloned().collect());
        }
        let marks = Marks::of(&self.data);
        for table in &self.project.pipeline.tables {
            let full = refresh.full_refresh_all || refresh.full_refresh.contains(&table.name);
            let cut_short = marks.begun(&table.name);
            if !(full || cut_short) || !matches!(table.kind, TableKind::Streaming) {
                continue;
            }
            if cut_short {
                tracing::warn!(table = table.name, "the full refresh that was cut short is begun again");
            }
            let place = || format!("cannot begin the full refresh of {}", table.name);
            marks.begin(&table.name).with_context(place)?;
            self.made_anew.insert(table.name.clone());
            reset_table(self.log.as_ref(), &table.name).await?;
            for flow in self.project.pipeline.flows.iter().filter(|f| f.target == table.name) {
                millstream_connectors::table_log::flow::reset_flow(self.log.as_ref(), &flow.name).await?;
                millstream_engine::forget(&self.state_folder(flow))?;
            }
            let folder = self.project.lake().join(&table.name);
            if folder.exists() {
                std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
            marks.end(&table.name).with_context(|| format!("cannot end the full refresh of {}", table.name))?;
        }
        Ok(())
    }

    /// Flows that are to run, in dependency order.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.project.pipeline.flows.iter().filter(|flow| self.wanted(&flow.target))
    }

    /// Streaming tables whose flows are to run.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.streaming().filter(|table| self.wanted(&table.name))
    }

    /// Materialized views that are to be computed, in dependency order.
    pub fn views(&self) -> impl Iterator<Item = &Table> {
        let tables = self.project.pipeline.tables.iter();
        tables.filter(|t| matches!(t.kind, TableKind::Materialized(_)) && self.wanted(&t.name))
    }

    fn streaming(&self) -> impl Iterator<Item = &Table> {
        self.project.pipeline.tables.iter().filter(|t| matches!(t.kind, TableKind::Streaming))
    }

    fn wanted(&self, table: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(table))
    }

    /// Tables of this pipeline that a flow reads as streams.
    fn upstream(flow: &Flow) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for relation in relations_of(&flow.plan) {
            if let RelationKind::Table(name) = relation.kind
                && relation.streaming
            {
                found.insert(name);
            }
        }
        found
    }

    fn state_folder(&self, flow: &Flow) -> PathBuf {
        self.data.join("state").join(&flow.name)
    }

    /// A table or view by name.
    pub fn table(&self, name: &str) -> Result<&Table> {
        self.project.pipeline.tables.iter().find(|t| t.name == name).with_context(|| format!("no table {name}"))
    }

    /// Ties a flow's ends.
    pub async fn tie(&self, flow: &Flow, shutdown: watch::Receiver<bool>) -> Result<Tied> {
        let place = || format!("flow {} ({}:{})", flow.name, flow.origin.file.display(), flow.origin.line);
        let options = CompileOptions { config: Arc::clone(self.session.config_options()) };
        let program = compile(flow, options).with_context(place)?;
        let table = self.table(&flow.target)?;
        let hub = self.hubs.get(&flow.target).with_context(|| format!("table {} has no log", flow.target))?;
        let configuration = &self.project.pipeline.configuration;
        let delivery = if self.cluster(table)?.is_some() { None } else { self.delivery(table)? };
        let log = TableLog::open(
            Arc::clone(hub),
            Arc::new(SystemClock),
            TableLogOptions {
                flow: flow.name.clone(),
                delivery,
                late_topic: table.properties.get("millstream.late.topic").cloned(),
                dead_letters: TableLogOptions::dead_letters_topic(&self.project.pipeline.name, configuration),
                keep: if program.is_stateful() { KeepProgress::SinceSnapshot } else { KeepProgress::Last },
                session: self.values.clone(),
            },
        )
        .await?;
        let mut sources: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
        let mut reads = Vec::new();
        for relation in program.relations() {
            sources.insert(
                relation.name.clone(),
                self.sources.stream(&flow.name, relation, &self.hubs).with_context(place)?,
            );
            reads.push(reads_of(relation));
        }
        let on_error = match configuration.get("millstream.on.error").map(String::as_str) {
            None | Some("dead-letters") => OnError::DeadLetter,
            Some("fail") => OnError::Fail,
            Some(other) => bail!("millstream.on.error = '{other}': write fail, or leave it out for dead letters"),
        };
        let options = TaskOptions {
            idle_us: self.project.duration_us("millstream.idle", 10_000_000)?,
            on_error,
            statics: Some(self.statics()),
            session: self.session.clone(),
            ..TaskOptions::new(self.state_folder(flow))
        };
        let task = FlowTask::new(program, sources, log, options, shutdown).with_context(place)?;
        let stats = task.stats();
        Ok(Tied { task, place: place(), stats, reads })
    }

    /// `millstream.topic` of a table.
    fn delivery(&self, table: &Table) -> Result<Option<Delivery>> {
        Ok(Delivery::of(&table.name, &table.schema, &table.properties, &self.values)?)
    }

    /// The other cluster that a table's topic is in, if it is.
    fn cluster(&self, table: &Table) -> Result<Option<(String, BTreeMap<String, String>)>> {
        let named = table.properties.get("millstream.topic.bootstrap").map(String::as_str);
        let flows = self.project.pipeline.flows.iter().filter(|flow| flow.target == table.name);
        let relations: Vec<Relation> = flows.flat_map(|flow| relations_of(&flow.plan)).collect();
        self.sources.cluster(named, &relations)
    }

    /// The follower that sends a table's rows to a topic of another cluster: at least once, by an idempotent producer.
    pub async fn cluster_sink(&self, table: &Table) -> Result<Option<ClusterSink>> {
        let Some(delivery) = self.delivery(table)? else { return Ok(None) };
        let Some((addresses, client)) = self.cluster(table)? else { return Ok(None) };
        let hub = self.hubs.get(&table.name).with_context(|| format!("table {} has no log", table.name))?;
        hub.expect_follower(TOPIC);
        let client = client.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let log = Arc::clone(&self.log);
        Ok(Some(ClusterSink::open(&table.name, &addresses, client, delivery, hub.reader(), log).await?))
    }

    /// Rows of a table up to `offset` of its log are in the other cluster.
    pub fn delivered(&self, table: &str, offset: i64) {
        if let Some(hub) = self.hubs.get(table) {
            hub.passed(TOPIC, offset);
        }
    }

    /// Tables as they stand.
    pub fn statics(&self) -> Arc<dyn StaticTables> {
        self.sources.statics(&self.project)
    }

    /// The follower that writes a table's files.
    pub fn sink(&self, table: &Table) -> Result<FileSink> {
        let config = self.file_config(table)?;
        let reader = self.hubs.get(&table.name).with_context(|| format!("table {} has no log", table.name))?.reader();
        let sink = FileSink::open(config, Arc::new(LocalDisk), reader).map_err(|error| anyhow!("{error}"))?;
        if let Some(offset) = sink.begins_at().filter(|_| !self.made_anew.contains(&table.name)) {
            tracing::warn!(
                table = table.name,
                "the folder is empty and the log begins at {offset}: older rows are not written again; --full-refresh makes all",
            );
        }
        Ok(sink)
    }

    /// How a table's files are written.
    pub fn file_config(&self, table: &Table) -> Result<FileConfig> {
        Ok(FileConfig::of(table, &self.project.pipeline.configuration, &self.project.lake())?)
    }

    /// The files of a table reach to `offset` of its log.
    pub fn passed(&self, table: &str, offset: i64) {
        if let Some(hub) = self.hubs.get(table) {
            hub.passed(FILES, offset);
        }
    }
}

/// What a relation reads, as the page names it.
pub fn reads_of(relation: &Relation) -> String {
    match &relation.kind {
        RelationKind::Kafka(options) => {
            let topics = ["subscribe", "subscribepattern", "assign"].iter().find_map(|o| options.get(*o));
            format!("topic:{}", topics.map_or("", String::as_str))
        }
        RelationKind::Files { location, .. } => format!("file:{location}"),
        RelationKind::Table(name) => format!("table:{name}"),
    }
}
