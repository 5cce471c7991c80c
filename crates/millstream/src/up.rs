//! `millstream up` and `millstream broker`: broker, page and, with a project, its pipeline, until told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use millstream_broker::BrokerConfig;
use millstream_broker::configs::properties::{self, Setting};
use millstream_console::ConsoleOptions;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{Broker, Refresh, Serve, Up};
use crate::graph::Graph;
use crate::host::{Host, bind};
use crate::live::Live;
use crate::live::disks::Disks;
use crate::order;
use crate::page::Page;
use crate::settings::Loaded;

/// Runs a project continuously, or broker and page alone.
pub async fn up(args: &Up, queries: &Handle) -> Result<()> {
    let project = args.project.as_deref().map(Loaded::read).transpose()?;
    if let Some(project) = &project {
        args.refresh.check(&project.pipeline)?;
    }
    let config = configuration(&args.serve)?;
    let data = match &project {
        Some(project) => project.data(folder(&args.serve, &config).as_deref()),
        None => alone(&args.serve, &config),
    };
    serve(project, &data, &args.serve, config, &args.refresh, queries).await
}

/// Serves the Kafka protocol and the page.
pub async fn broker(args: &Broker, queries: &Handle) -> Result<()> {
    let config = configuration(&args.serve)?;
    serve(None, &alone(&args.serve, &config), &args.serve, config, &Refresh::default(), queries).await
}

/// The broker's configuration: the file's, and above it what the command line sets.
fn configuration(serve: &Serve) -> Result<BrokerConfig> {
    let mut settings = Vec::new();
    if let Some(file) = &serve.config {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read --config {}", file.display()))?;
        settings = properties::parse(&text, &file.display().to_string())?;
    }
    for one in &serve.set {
        settings.push(Setting::parse(one)?);
    }
    Ok(BrokerConfig::from_settings(settings)?)
}

/// The data folder that is asked for: `--data`, or `log.dirs`.
fn folder(serve: &Serve, config: &BrokerConfig) -> Option<PathBuf> {
    serve.data.clone().or_else(|| config.settings.get("log.dirs").map(PathBuf::from))
}

fn alone(serve: &Serve, config: &BrokerConfig) -> PathBuf {
    folder(serve, config).unwrap_or_else(|| PathBuf::from(".millstream"))
}

async fn serve(
    project: Option<Loaded>,
    data: &Path,
    serve: &Serve,
    config: BrokerConfig,
    refresh: &Refresh,
    queries: &Handle,
) -> Result<()> {
    let stopped = asked_to_stop();
    let mut host = Host::open(data, "asking for it again", config)?;
    let kafka = host.serve(&serve.kafka).await?;
    let listener = bind(&serve.http, "--http").await?;
    let http = listener.local_addr()?;
    let name = project.as_ref().map(|p| p.pipeline.name.clone());
    let disks = Disks::new(&host.data, project.as_ref().map(Loaded::lake).as_deref());
    let watching = tokio::spawn(Arc::clone(&disks).watch());
    let page = Arc::new(Page {
        broker: Arc::clone(&host.broker),
        kafka: kafka.to_string(),
        http: http.to_string(),
        data: host.data.clone(),
        disks,
        project: name.clone(),
        started_at_ms: chrono::Utc::now().timestamp_millis(),
        live: RwLock::default(),
    });
    let (close, mut closing) = watch::channel(false);
    let console = tokio::spawn(millstream_console::serve(
        listener,
        Arc::clone(&page) as _,
        ConsoleOptions { allowed_hosts: serve.http_name.clone() },
        async move {
            let _ = closing.wait_for(|close| *close).await;
        },
    ));

    println!("millstream {}  {}", env!("CARGO_PKG_VERSION"), name.as_deref().unwrap_or("broker"));
    for line in &host.listening {
        println!("  kafka  {line}");
    }
    println!("  page   http://{http}");
    for door in &host.open_doors {
        println!("  open   {door}");
    }
    if !http.ip().is_loopback() {
        println!("  open   page {http} shows its topics to the network without a log-in: the host 127.0.0.1 closes it");
    }
    let is_relaxed = host.broker.is_relaxed_by_default();
    let others = host.broker.topic_stats().into_iter().filter(|topic| !topic.internal && topic.relaxed != is_relaxed);
    let others: Vec<_> = others.map(|topic| topic.name).collect();
    let (promise, exception) = durability(is_relaxed, &others);
    println!("  data   {}  ({promise})", host.data.display());
    if let Some(exception) = exception {
        println!("         {exception}");
    }
    let tasks = match project {
        None => None,
        Some(project) => {
            println!("  lake   {}", project.lake().display());
            let listeners = vec![kafka.to_string(), format!("localhost:{}", kafka.port())];
            let graph = Graph::open(project, host.embedded.clone(), data.to_owned(), listeners, refresh).await?;
            for line in graph.sources.elsewhere(&graph.project.pipeline) {
                println!("  reads  {line}");
            }
            // What waits for ever for something that is not computed here is better not begun.
            order::Left::of(&graph)?;
            let (live, tasks) = Live::start(Arc::new(graph), queries)?;
            *page.live.write() = Some(live);
            Some(tasks)
        }
    };
    println!("Ctrl-C stops.");
    stopped.await;
    tracing::info!("stopping");
    if let Some(tasks) = tasks {
        tasks.stop().await;
    }
    *page.live.write() = None;
    watching.abort();
    close.send_replace(true);
    console.await.context("the page ended badly")??;
    drop(page);
    host.close().await
}

/// What an acknowledgement means for topics that say nothing of their own, and for `others`, with which it is the other way round.
fn durability(is_relaxed: bool, others: &[String]) -> (&'static str, Option<String>) {
    let (promise, exception) = match is_relaxed {
        false => (
            "durable: a record is on disk before it is acknowledged",
            "flush.messages or flush.ms lets a power cut take what was acknowledged",
        ),
        true => (
            "relaxed: log.flush.interval.messages or log.flush.interval.ms lets a power cut take what was acknowledged",
            "durable by flush.messages and flush.ms of their own",
        ),
    };
    (promise, (!others.is_empty()).then(|| format!("but for {}: {exception}", several(others))))
}

/// Names, not more than a line holds.
fn several(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

/// Resolves at Ctrl-C or SIGTERM. A second one ends the process at once: nothing acknowledged is lost by that.
pub fn asked_to_stop() -> impl Future<Output = ()> + Send {
    let (tell, mut told) = watch::channel(false);
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        loop {
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            if tell.send_replace(true) {
                std::process::exit(130);
            }
        }
    });
    async move {
        let _ = told.wait_for(|stop| *stop).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_claimed_only_for_topics_that_have_it() {
        let (promise, exception) = durability(false, &[]);
        assert!(promise.starts_with("durable") && exception.is_none(), "{promise}");
        let (promise, exception) = durability(true, &["ledger".to_owned()]);
        assert!(promise.starts_with("relaxed") && promise.contains("power cut"), "{promise}");
        assert!(exception.is_some_and(|line| line.starts_with("but for ledger: durable")));
        let (_, exception) = durability(false, &["clicks".to_owned()]);
        assert!(exception.is_some_and(|line| line.contains("clicks") && line.contains("power cut")));
    }
}
