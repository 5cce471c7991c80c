//! `millstream run`: works off what is there, once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use millstream_broker::BrokerConfig;
use millstream_engine::{RunSummary, StatsHandle};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::Run;
use crate::graph::Graph;
use crate::host::Host;
use crate::progress::{Bar, Line, summary};
use crate::settings::Loaded;
use crate::views;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Runs the project over what its sources hold now.
pub async fn run(args: &Run) -> Result<()> {
    let begun = Instant::now();
    let project = Loaded::read(&args.project)?;
    let data = project.data(args.data.as_deref());
    let host = Host::open(&data, "`run`", BrokerConfig::default())?;
    let graph = Graph::open(project, host.embedded.clone(), data, Vec::new(), &args.refresh).await?;
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
    if stopped {
        return Err(anyhow!("stopped before the end; the next run goes on from here"));
    }
    Ok(())
}

async fn work_off(graph: &Graph, stopping: &watch::Receiver<bool>) -> Result<Vec<Line>> {
    let mut done: BTreeMap<String, RunSummary> = BTreeMap::new();
    let mut left: Vec<_> = graph.flows().collect();
    // Flows that read tables of others come after them; those of one round run side by side.
    while !left.is_empty() && !*stopping.borrow() {
        let waiting: BTreeSet<&str> = left.iter().map(|flow| flow.target.as_str()).collect();
        let (round, later): (Vec<_>, Vec<_>) = left
            .iter()
            .copied()
            .partition(|flow| !Graph::upstream(flow).iter().any(|t| waiting.contains(t.as_str()) && *t != flow.target));
        if round.is_empty() {
            return Err(anyhow!("the flows wait for each other"));
        }
        let mut tasks = JoinSet::new();
        let mut stats: Vec<StatsHandle> = Vec::new();
        for flow in &round {
            let mut ready = graph.ready(flow, stopping.clone()).await?;
            stats.push(ready.stats);
            let name = flow.name.clone();
            tasks.spawn(async move {
                let summary = ready.task.run_available().await;
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
        left = later;
    }
    write_out(graph, stopping, &done).await
}

/// Files of every table, then the views over them.
async fn write_out(
    graph: &Graph,
    stopping: &watch::Receiver<bool>,
    done: &BTreeMap<String, RunSummary>,
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let lake = graph.project.lake();
    let shown = |name: &str| {
        let folder = lake.join(name);
        let here = std::env::current_dir().unwrap_or_default();
        folder.strip_prefix(&here).unwrap_or(&folder).display().to_string()
    };
    for table in graph.tables() {
        let mut sink = graph.sink(table)?;
        let end = graph.hubs[&table.name].reader().offsets()?.high_watermark;
        let committed = sink.commit_patiently(end, &mut stopping.clone()).await?;
        graph.passed(&table.name, sink.position());
        if let Some(mut topic) = graph.cluster_sink(table).await? {
            while let Err(error) = topic.send(end).await {
                if !error.is_transient() || *stopping.borrow() {
                    return Err(anyhow!("table {}: {error}", table.name));
                }
                tracing::warn!("the topic of table {} waits: {error}", table.name);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            graph.delivered(&table.name, topic.position());
        }
        graph.hubs[&table.name].prune(chrono::Utc::now().timestamp_millis()).await?;
        let mut line = Line {
            table: table.name.clone(),
            rows_in: Some(0),
            rows_out: 0,
            late: 0,
            dead: 0,
            files: committed.map_or(0, |c| c.files as u64),
            watermark_us: None,
            folder: shown(&table.name),
        };
        for flow in graph.flows().filter(|flow| flow.target == table.name) {
            let Some(summary) = done.get(&flow.name) else { continue };
            line.rows_in = line.rows_in.map(|n| n + summary.totals.rows_in);
            line.rows_out += summary.totals.rows_out;
            line.late += summary.totals.late;
            line.dead += summary.totals.dead;
            line.watermark_us = line.watermark_us.max(summary.watermark_us);
        }
        lines.push(line);
    }
    for view in graph.views() {
        let committed = views::compute(graph, view, &RwLock::default()).await?;
        lines.push(Line {
            table: view.name.clone(),
            rows_in: None,
            rows_out: committed.rows,
            late: 0,
            dead: 0,
            files: committed.files as u64,
            watermark_us: None,
            folder: shown(&view.name),
        });
    }
    Ok(lines)
}
