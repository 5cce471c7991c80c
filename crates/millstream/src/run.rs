//! `millstream run`: works off what is there, once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use millstream_broker::BrokerConfig;
use millstream_engine::{RunSummary, StatsHandle};
use millstream_sql::{Flow, Table};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::Run;
use crate::graph::Graph;
use crate::host::Host;
use crate::order::{self, Step};
use crate::progress::{Bar, Line, summary};
use crate::settings::Loaded;
use crate::sources::PATIENCE;
use crate::views;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Runs the project over what its sources hold now.
pub async fn run(args: &Run) -> Result<()> {
    let begun = Instant::now();
    let project = Loaded::read(&args.project)?;
    args.refresh.check(&project.pipeline)?;
    let data = project.data(args.data.as_deref());
    let has_feeds = !project.settings.feeds.is_empty();
    let host = Host::open(&data, "`run`", BrokerConfig::default())?;
    let graph = Graph::open(project, host.embedded.clone(), data, Vec::new(), &args.refresh).await?;
    for line in graph.sources.elsewhere(&graph.project.pipeline) {
        println!("reads {line}");
    }
    let (stop, stopping) = watch::channel(false);
    let interrupted = stop.clone();
    tokio::spawn(async move {
        crate::up::asked_to_stop().await;
        interrupted.send_replace(true);
    });
    let done = work_off(&graph, &stopping).await;
    let stopped = *stopping.borrow();
    drop(graph);
    host.close().await?;
    let lines = done?;
    summary(&lines, begun.elapsed().as_secs_f64());
    if has_feeds && lines.iter().all(|line| line.rows_in.unwrap_or(0) == 0) {
        println!(
            "Nothing new to read. The feeds of millstream.yml run under `millstream up {}`.",
            args.project.display()
        );
    }
    if stopped {
        return Err(anyhow!("stopped before the end; the next run goes on from here"));
    }
    Ok(())
}

async fn work_off(graph: &Graph, stopping: &watch::Receiver<bool>) -> Result<Vec<Line>> {
    let mut left = order::Left::of(graph)?;
    let mut done: BTreeMap<String, RunSummary> = BTreeMap::new();
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    while !*stopping.borrow() {
        match left.next() {
            Some(Step::Flows(flows)) => {
                let flows: Vec<&Flow> = graph.flows().filter(|flow| flows.contains(&flow.name)).collect();
                run_flows(graph, &flows, stopping, &mut done).await?;
            }
            Some(Step::Files(name)) => {
                lines.insert(name.clone(), write_files(graph, graph.table(&name)?, stopping, &done).await?);
            }
            Some(Step::View(name)) => {
                lines.insert(name.clone(), compute(graph, graph.table(&name)?).await?);
            }
            None => break,
        }
    }
    // What was read before it was told to stop is written all the same.
    for name in left.files() {
        lines.insert(name.clone(), write_files(graph, graph.table(&name)?, stopping, &done).await?);
    }
    for hub in graph.hubs.values() {
        hub.prune(chrono::Utc::now().timestamp_millis()).await?;
    }
    let names = graph.tables().chain(graph.views()).map(|table| &table.name);
    Ok(names.filter_map(|name| lines.remove(name)).collect())
}

/// Flows that do not need each other, side by side.
async fn run_flows(
    graph: &Graph,
    flows: &[&Flow],
    stopping: &watch::Receiver<bool>,
    done: &mut BTreeMap<String, RunSummary>,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    let mut stats: Vec<StatsHandle> = Vec::new();
    for flow in flows {
        let mut tied = graph.tie(flow, stopping.clone()).await?;
        tied.open().await?;
        stats.push(tied.stats);
        let name = flow.name.clone();
        tasks.spawn(async move {
            let summary = tied.task.run_available().await;
            (name, summary)
        });
    }
    let bar = Bar::new();
    loop {
        match tokio::time::timeout(TICK, tasks.join_next()).await {
            Err(_) => bar.show(stats.iter()),
            Ok(None) => break,
            Ok(Some(joined)) => {
                let (name, summary) = joined?;
                done.insert(name.clone(), summary.map_err(|error| anyhow!("flow {name}: {error}"))?);
            }
        }
    }
    bar.finish();
    Ok(())
}

/// The files of a table, and its rows to the topic of another cluster.
async fn write_files(
    graph: &Graph,
    table: &Table,
    stopping: &watch::Receiver<bool>,
    done: &BTreeMap<String, RunSummary>,
) -> Result<Line> {
    let hub = graph.hubs.get(&table.name).with_context(|| format!("table {} has no log", table.name))?;
    let mut sink = graph.sink(table)?;
    let end = hub.reader().offsets()?.high_watermark;
    let committed = sink.commit_patiently(end, &mut stopping.clone()).await?;
    graph.passed(&table.name, sink.position());
    if let Some(mut topic) = graph.cluster_sink(table).await? {
        let (begun, mut told) = (Instant::now(), None);
        while let Err(error) = topic.send(end).await {
            if !error.is_transient() || *stopping.borrow() || begun.elapsed() > PATIENCE {
                return Err(anyhow!("table {}: {error}", table.name));
            }
            let reason = error.to_string();
            if told.as_ref() != Some(&reason) {
                tracing::warn!("the topic of table {} waits: {reason}", table.name);
            }
            told = Some(reason);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        graph.delivered(&table.name, topic.position());
    }
    let mut line = Line {
        rows_in: Some(0),
        files: committed.map_or(0, |c| c.files as u64),
        folder: shown(graph, &table.name),
        table: table.name.clone(),
        ..Line::default()
    };
    for flow in graph.flows().filter(|flow| flow.target == table.name) {
        let Some(summary) = done.get(&flow.name) else { continue };
        line.rows_in = line.rows_in.map(|n| n + summary.totals.rows_in);
        line.rows_out += summary.totals.rows_out;
        line.late += summary.totals.late;
        line.dead += summary.totals.dead;
        line.watermark_us = line.watermark_us.max(summary.watermark_us);
    }
    Ok(line)
}

async fn compute(graph: &Graph, view: &Table) -> Result<Line> {
    let committed = views::compute(graph, view, &RwLock::default()).await?;
    Ok(Line {
        table: view.name.clone(),
        rows_out: committed.rows,
        files: committed.files as u64,
        folder: shown(graph, &view.name),
        ..Line::default()
    })
}

/// A table's folder as one would type it here.
fn shown(graph: &Graph, table: &str) -> String {
    let folder = graph.project.lake().join(table);
    let here = std::env::current_dir().unwrap_or_default();
    folder.strip_prefix(&here).unwrap_or(&folder).display().to_string()
}
