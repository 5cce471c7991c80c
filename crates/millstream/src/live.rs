//! A pipeline that runs continuously: its flows, followers, views and feeds, each a task, and what the page may ask of them.

pub mod disks;
mod supervise;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use millstream_connectors::feeds::{EmbeddedProducer, FeedSpec, FeedStatus, run_feed};
use millstream_connectors::file_sink::{FileSink, SinkStatus};
use millstream_engine::{EngineError, StatsHandle, Status};
use millstream_sql::{Flow, Table};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::supervise::{PACE, Part, supervise};
use crate::graph::Graph;
use crate::views::{self, Answer, Turns};

/// How often table logs are pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// A flow as the page sees it.
pub struct LiveFlow {
    /// The query.
    pub flow: Flow,
    /// Once its ends are tied.
    pub stats: RwLock<Option<StatsHandle>>,
    /// What each of its sources reads.
    pub reads: RwLock<Vec<String>>,
    /// Since when its sources are asked and its state is rebuilt, while that lasts.
    pub opening: RwLock<Option<Instant>>,
    /// How it is.
    pub part: Arc<Part>,
}

/// A streaming table as the page sees it.
pub struct LiveTable {
    /// The table.
    pub table: Table,
    /// How the follower is that writes its files.
    pub files: Arc<Part>,
    /// How the one is that sends its rows to another cluster.
    pub topic: Arc<Part>,
    /// The first follower, until it runs.
    opened: Mutex<Option<FileSink>>,
    /// Files of the followers before, and what the one of now is doing.
    status: RwLock<(u64, watch::Receiver<SinkStatus>)>,
}

/// A materialized view as the page sees it.
pub struct LiveView {
    /// The view.
    pub table: Table,
    /// Its rows.
    pub answer: RwLock<Answer>,
    /// How it is.
    pub part: Arc<Part>,
}

/// A feed as the page sees it.
pub struct LiveFeed {
    name: String,
    /// What it sends, and where.
    pub spec: FeedSpec,
    /// What it is doing.
    pub status: watch::Sender<FeedStatus>,
    /// How it is.
    pub part: Arc<Part>,
}

/// A running pipeline.
pub struct Live {
    /// The project over its log.
    pub graph: Arc<Graph>,
    /// Its flows.
    pub flows: Vec<Arc<LiveFlow>>,
    /// Its streaming tables.
    pub tables: Vec<Arc<LiveTable>>,
    /// Its views.
    pub views: Vec<Arc<LiveView>>,
    /// Its feeds.
    pub feeds: Vec<Arc<LiveFeed>>,
    /// How the pruning of table logs is.
    pub pruning: Arc<Part>,
}

/// The tasks of a running pipeline.
pub struct Tasks {
    flows: Group,
    followers: Group,
}

/// Tasks that are stopped together.
struct Group {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Group {
    fn new() -> Self {
        Self { stop: watch::Sender::new(false), tasks: JoinSet::new() }
    }

    /// Keeps a part going; `begin` is told what turns true when it is to stop.
    fn keep<R>(
        &mut self,
        on: &Handle,
        part: &Arc<Part>,
        begin: impl Fn(watch::Receiver<bool>) -> R + Send + Sync + 'static,
    ) where
        R: Future<Output = Result<()>> + Send + 'static,
    {
        let stop = self.stop.subscribe();
        let stopping = stop.clone();
        self.tasks.spawn_on(supervise(Arc::clone(part), PACE, stop, move || begin(stopping.clone())), on);
    }

    async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Live {
    /// Starts everything: queries on the runtime `queries`, the rest here. Fails, with nothing started, where a table's folder does not
    /// fit its log.
    pub fn start(graph: Arc<Graph>, queries: &Handle) -> Result<(Arc<Self>, Tasks)> {
        let tables = graph.tables().cloned().map(|table| Ok(Arc::new(LiveTable::new(graph.sink(&table)?, table))));
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let here = Handle::current();
        let (mut flow_tasks, mut followers) = (Group::new(), Group::new());

        let feeds = graph.project.settings.feeds.iter().map(|(name, spec)| Arc::new(LiveFeed::new(name, spec.clone())));
        let feeds: Vec<_> = feeds.collect();
        for live in &feeds {
            let (graph, live, part) = (Arc::clone(&graph), Arc::clone(live), Arc::clone(&live.part));
            flow_tasks.keep(&here, &part, move |stop| Arc::clone(&live).run(Arc::clone(&graph), stop));
        }
        let flows: Vec<_> = graph.flows().cloned().map(LiveFlow::new).map(Arc::new).collect();
        for live in &flows {
            let (graph, live, part) = (Arc::clone(&graph), Arc::clone(live), Arc::clone(&live.part));
            flow_tasks.keep(queries, &part, move |stop| Arc::clone(&live).run(Arc::clone(&graph), stop));
        }
        for live in &tables {
            let (files, topic) = (Arc::clone(&live.files), Arc::clone(&live.topic));
            let (to_files, of_files) = (Arc::clone(&graph), Arc::clone(live));
            followers.keep(queries, &files, move |stop| Arc::clone(&of_files).follow(Arc::clone(&to_files), stop));
            let (graph, live) = (Arc::clone(&graph), Arc::clone(live));
            followers.keep(queries, &topic, move |stop| Arc::clone(&live).deliver(Arc::clone(&graph), stop));
        }
        let views: Vec<_> = graph.views().cloned().map(LiveView::new).map(Arc::new).collect();
        let turns = Arc::new(Turns::new(views.len()));
        for live in &views {
            let (graph, turns) = (Arc::clone(&graph), Arc::clone(&turns));
            let (live, part) = (Arc::clone(live), Arc::clone(&live.part));
            followers
                .keep(queries, &part, move |stop| Arc::clone(&live).keep(Arc::clone(&graph), Arc::clone(&turns), stop));
        }
        let pruning = Part::new("forgetting old rows of table logs");
        let pruned = Arc::clone(&graph);
        followers.keep(&here, &pruning, move |stop| prune(Arc::clone(&pruned), stop));
        let live = Arc::new(Self { graph, flows, tables, views, feeds, pruning });
        Ok((live, Tasks { flows: flow_tasks, followers }))
    }

    /// What has failed or cannot write, for people: a line each.
    pub fn problems(&self) -> Vec<String> {
        let parts = self.feeds.iter().map(|feed| &feed.part);
        let parts = parts.chain(self.flows.iter().map(|flow| &flow.part));
        let parts = parts.chain(self.tables.iter().flat_map(|table| [&table.files, &table.topic]));
        let parts = parts.chain(self.views.iter().map(|view| &view.part)).chain([&self.pruning]);
        let failed = parts.filter_map(|part| Some(format!("{} failed: {}", part.name(), part.problem()?)));
        let feeds = self.feeds.iter().map(|feed| (&feed.part, feed.status.borrow().waiting.clone()));
        let files = self.tables.iter().map(|table| (&table.files, table.status().waiting));
        let flows = self.flows.iter().map(|flow| (&flow.part, flow.waiting()));
        let waiting = feeds.chain(files).chain(flows).filter(|(part, _)| part.problem().is_none());
        let waiting = waiting.filter_map(|(part, reason)| Some(format!("{} waits: {}", part.name(), reason?)));
        failed.chain(waiting).collect()
    }
}

impl Tasks {
    /// Stops feeds and flows, then lets the followers write what is left.
    pub async fn stop(self) {
        self.flows.stop().await;
        self.followers.stop().await;
    }
}

impl LiveFeed {
    fn new(name: &str, spec: FeedSpec) -> Self {
        let part = Part::new(format!("feed {name}"));
        Self { name: name.to_owned(), spec, status: watch::Sender::default(), part }
    }

    async fn run(self: Arc<Self>, graph: Arc<Graph>, stop: watch::Receiver<bool>) -> Result<()> {
        let mut target = EmbeddedProducer::open(Arc::clone(&graph.log), &self.name, &self.spec.topic).await?;
        let fed = run_feed(&self.name, &self.spec, &graph.project.dir, &mut target, stop, &self.status).await;
        fed.map_err(|error| anyhow!(error.problem))
    }
}

impl LiveFlow {
    /// What it waits for.
    pub fn waiting(&self) -> Option<String> {
        match self.stats.read().as_ref()?.get().status {
            Status::Waiting(reason) => Some(reason),
            _ => None,
        }
    }

    fn new(flow: Flow) -> Self {
        let part = Part::new(format!("flow {}", flow.name));
        Self { flow, stats: RwLock::default(), reads: RwLock::default(), opening: RwLock::default(), part }
    }

    async fn run(self: Arc<Self>, graph: Arc<Graph>, stop: watch::Receiver<bool>) -> Result<()> {
        let mut tied = graph.tie(&self.flow, stop).await?;
        *self.reads.write() = std::mem::take(&mut tied.reads);
        *self.stats.write() = Some(tied.stats.clone());
        *self.opening.write() = Some(Instant::now());
        let opened = tied.open().await;
        *self.opening.write() = None;
        match opened {
            // Told to stop while it waited for something.
            Err(error) if matches!(error.downcast_ref(), Some(EngineError::Stopped(_))) => return Ok(()),
            opened => opened?,
        }
        Ok(tied.task.run_forever().await?)
    }
}

impl LiveTable {
    fn new(sink: FileSink, table: Table) -> Self {
        let files = Part::new(format!("files of table {}", table.name));
        let topic = Part::new(format!("topic of table {}", table.name));
        let status = RwLock::new((0, sink.status()));
        Self { table, files, topic, opened: Mutex::new(Some(sink)), status }
    }

    /// What the follower that writes its files is doing.
    pub fn status(&self) -> SinkStatus {
        let status = self.status.read();
        let (before, now) = (status.0, status.1.borrow().clone());
        SinkStatus { files: before + now.files, ..now }
    }

    /// Writes its files.
    async fn follow(self: Arc<Self>, graph: Arc<Graph>, stop: watch::Receiver<bool>) -> Result<()> {
        let opened = self.opened.lock().take();
        let sink = match opened {
            Some(sink) => sink,
            None => tokio::task::block_in_place(|| graph.sink(&self.table))?,
        };
        let before = self.status().files;
        *self.status.write() = (before, sink.status());
        Ok(sink.follow(stop, |offset| graph.passed(&self.table.name, offset)).await?)
    }

    /// Sends its rows to another cluster, where it has a topic there.
    async fn deliver(self: Arc<Self>, graph: Arc<Graph>, stop: watch::Receiver<bool>) -> Result<()> {
        let Some(sink) = graph.cluster_sink(&self.table).await? else { return Ok(()) };
        Ok(sink.follow(stop, |offset| graph.delivered(&self.table.name, offset)).await?)
    }
}

impl LiveView {
    fn new(table: Table) -> Self {
        let part = Part::new(format!("materialized view {}", table.name));
        Self { table, answer: RwLock::default(), part }
    }

    async fn keep(self: Arc<Self>, graph: Arc<Graph>, turns: Arc<Turns>, stop: watch::Receiver<bool>) -> Result<()> {
        views::keep(&graph, &self.table, &self.answer, &turns, stop).await
    }
}

/// Forgets rows of table logs that are not needed any more, from time to time.
async fn prune(graph: Arc<Graph>, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PRUNE_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        for (table, hub) in &graph.hubs {
            if let Err(error) = hub.prune(chrono::Utc::now().timestamp_millis()).await {
                tracing::warn!("the log of table {table} could not be pruned: {error}");
            }
        }
    }
}
