//! A pipeline that runs continuously: its flows, followers, views and feeds, each a task, and what the page may ask of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use millstream_connectors::feeds::{EmbeddedProducer, FeedStatus, run_feed};
use millstream_connectors::file_sink::SinkStatus;
use millstream_engine::StatsHandle;
use millstream_sql::{Flow, Table};
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::graph::Graph;
use crate::views::{self, Answer};

/// How often table logs are pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// How long a feed that failed, or a view, waits before it tries again.
const RETRY: Duration = Duration::from_secs(10);
/// Views are computed anew from whole tables: for so many times what that took, they rest.
const VIEWS_REST: u32 = 20;

/// A flow as the page sees it.
pub struct LiveFlow {
    /// The query.
    pub flow: Flow,
    /// Once its state is restored.
    pub stats: RwLock<Option<StatsHandle>>,
    /// What each of its sources reads.
    pub reads: RwLock<Vec<String>>,
    /// Why it stopped.
    pub problem: RwLock<Option<String>>,
}

/// A streaming table as the page sees it.
pub struct LiveTable {
    /// The table.
    pub table: Table,
    /// What the follower that writes its files is doing.
    pub files: watch::Receiver<SinkStatus>,
    /// Why its files stopped.
    pub problem: RwLock<Option<String>>,
}

/// A materialized view as the page sees it.
pub struct LiveView {
    /// The view.
    pub table: Table,
    /// Its rows.
    pub answer: RwLock<Answer>,
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
    /// What each feed writes to, and what it is doing.
    pub feeds: BTreeMap<String, (String, watch::Receiver<FeedStatus>)>,
}

/// The tasks of a running pipeline.
pub struct Tasks {
    stop_flows: watch::Sender<bool>,
    stop_followers: watch::Sender<bool>,
    flows: JoinSet<()>,
    followers: JoinSet<()>,
}

impl Live {
    /// Starts everything: queries on the runtime `queries`, the rest here. Fails, with nothing started, where a table's folder does not
    /// fit its log.
    pub fn start(graph: Arc<Graph>, queries: &Handle) -> Result<(Arc<Self>, Tasks)> {
        let sinks = graph.tables().map(|table| graph.sink(table)).collect::<Result<Vec<_>>>()?;
        let (stop_flows, flows_stopping) = watch::channel(false);
        let (stop_followers, followers_stopping) = watch::channel(false);
        let (mut flow_tasks, mut followers) = (JoinSet::new(), JoinSet::new());

        let mut feeds = BTreeMap::new();
        for (name, spec) in &graph.project.settings.feeds {
            let (status, shown) = watch::channel(FeedStatus::default());
            feeds.insert(name.clone(), (spec.topic.clone(), shown));
            let (graph, name, spec, stop) = (Arc::clone(&graph), name.clone(), spec.clone(), flows_stopping.clone());
            flow_tasks.spawn(async move {
                let fed = async {
                    let mut target = EmbeddedProducer::open(Arc::clone(&graph.log), &name, &spec.topic).await?;
                    run_feed(&name, &spec, &graph.project.dir, &mut target, stop, &status).await?;
                    anyhow::Ok(())
                };
                if let Err(error) = fed.await {
                    tracing::error!("feed {name} stopped: {error:#}");
                    status.send_modify(|status| status.waiting = Some(format!("{error:#}")));
                }
            });
        }

        let flows: Vec<_> = graph.flows().cloned().map(LiveFlow::new).map(Arc::new).collect();
        for live in &flows {
            let (graph, live, stop) = (Arc::clone(&graph), Arc::clone(live), flows_stopping.clone());
            flow_tasks.spawn_on(
                async move {
                    if let Err(error) = live.run(&graph, stop).await {
                        tracing::error!("flow {} stopped: {error:#}", live.flow.name);
                        *live.problem.write() = Some(format!("{error:#}"));
                    }
                },
                queries,
            );
        }
        let tables = graph.tables().cloned().zip(&sinks);
        let tables: Vec<_> = tables.map(|(table, sink)| Arc::new(LiveTable::new(table, sink.status()))).collect();
        for (live, sink) in tables.iter().zip(sinks) {
            let (graph, live, stop) = (Arc::clone(&graph), Arc::clone(live), followers_stopping.clone());
            followers.spawn_on(
                async move {
                    let name = &live.table.name;
                    if let Err(error) = sink.follow(stop, |offset| graph.passed(name, offset)).await {
                        tracing::error!("files of table {name} stopped: {error}");
                        *live.problem.write() = Some(error.to_string());
                    }
                },
                queries,
            );
        }
        for live in &tables {
            let (graph, live, stop) = (Arc::clone(&graph), Arc::clone(live), followers_stopping.clone());
            followers.spawn_on(
                async move {
                    if let Err(error) = live.deliver(&graph, stop).await {
                        tracing::error!("the topic of table {} stopped: {error:#}", live.table.name);
                        *live.problem.write() = Some(format!("{error:#}"));
                    }
                },
                queries,
            );
        }
        let views: Vec<_> = graph.views().cloned().map(LiveView::new).map(Arc::new).collect();
        if !views.is_empty() {
            let inputs: Vec<_> = tables.clone();
            let (graph, views, stop) = (Arc::clone(&graph), views.clone(), followers_stopping.clone());
            followers.spawn_on(async move { keep_current(&graph, &inputs, &views, stop).await }, queries);
        }
        let (pruned, mut stop) = (Arc::clone(&graph), followers_stopping);
        followers.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(PRUNE_EVERY) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                for (table, hub) in &pruned.hubs {
                    if let Err(error) = hub.prune(chrono::Utc::now().timestamp_millis()).await {
                        tracing::warn!("the log of table {table} could not be pruned: {error}");
                    }
                }
            }
        });
        let live = Arc::new(Self { graph, flows, tables, views, feeds });
        Ok((live, Tasks { stop_flows, stop_followers, flows: flow_tasks, followers }))
    }
}

impl Tasks {
    /// Stops feeds and flows, then lets the followers write what is left.
    pub async fn stop(mut self) {
        self.stop_flows.send_replace(true);
        while self.flows.join_next().await.is_some() {}
        self.stop_followers.send_replace(true);
        while self.followers.join_next().await.is_some() {}
    }
}

impl LiveFlow {
    fn new(flow: Flow) -> Self {
        Self { flow, stats: RwLock::default(), reads: RwLock::default(), problem: RwLock::default() }
    }

    async fn run(&self, graph: &Graph, stop: watch::Receiver<bool>) -> Result<()> {
        let mut ready = graph.ready(&self.flow, stop).await?;
        *self.stats.write() = Some(ready.stats);
        *self.reads.write() = ready.reads;
        Ok(ready.task.run_forever().await?)
    }
}

impl LiveTable {
    fn new(table: Table, files: watch::Receiver<SinkStatus>) -> Self {
        Self { table, files, problem: RwLock::default() }
    }

    /// Sends its rows to another cluster, where it has a topic there.
    async fn deliver(&self, graph: &Graph, stop: watch::Receiver<bool>) -> Result<()> {
        let Some(sink) = graph.cluster_sink(&self.table).await? else { return Ok(()) };
        let name = &self.table.name;
        Ok(sink.follow(stop, |offset| graph.delivered(name, offset)).await?)
    }

    /// Offset up to which its files are committed.
    fn position(&self) -> i64 {
        self.files.borrow().position
    }
}

impl LiveView {
    fn new(table: Table) -> Self {
        Self { table, answer: RwLock::default() }
    }
}

/// Computes views anew whenever files of a table have changed, at most every [`RETRY`].
async fn keep_current(
    graph: &Graph,
    inputs: &[Arc<LiveTable>],
    views: &[Arc<LiveView>],
    mut stop: watch::Receiver<bool>,
) {
    let mut seen: Option<Vec<i64>> = None;
    loop {
        let began = Instant::now();
        let now: Vec<i64> = inputs.iter().map(|table| table.position()).collect();
        if seen.as_ref() != Some(&now) {
            let mut all = true;
            for view in views {
                if let Err(error) = views::compute(graph, &view.table, &view.answer).await {
                    tracing::warn!("{error:#}");
                    all = false;
                }
            }
            seen = all.then_some(now);
        }
        let took = began.elapsed();
        let changed = async {
            let positions = || inputs.iter().map(|table| table.position()).collect::<Vec<_>>();
            // The files of a fresh start come sooner than the interval.
            let pause = if seen.as_ref().is_some_and(|s| s.iter().all(|p| *p == 0)) { RETRY / 20 } else { RETRY };
            let pause = pause.max(took * VIEWS_REST);
            loop {
                tokio::time::sleep(pause).await;
                if seen.as_ref() != Some(&positions()) {
                    return;
                }
            }
        };
        tokio::select! {
            () = changed => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
