//! The HTTP side of Millstream: the live page, its API, health and metrics.
//!
//! It knows neither broker nor engine; the binary implements [`Backend`] and calls [`serve`]. One task samples the backend once a
//! second; pages read its last sample, so neither many of them nor a slow one can hold up the engine.
//!
//! | path | what |
//! | --- | --- |
//! | `/` | the page (built from `web/`, inside the binary) |
//! | `/api/v1/overview` | [`Snapshot`]: everything at one moment, with rates |
//! | `/api/v1/events` | server-sent events: `state` with a [`Snapshot`], about once a second |
//! | `/api/v1/history` | rates of the last five minutes, by series name ([`history::SeriesName`]) |
//! | `/api/v1/topics/{name}/records?limit=` | newest records, as text |
//! | `/api/v1/tables/{name}/rows?limit=` | [`Rows`], newest first |
//! | `/api/v1/tables/{name}/chart?x=&y=&by=` | [`chart::Chart`] |
//! | `/health`, `/ready` | for supervisors |
//! | `/metrics` | Prometheus' text format |
//!
//! It only reads. Requests that do not come from the page itself, under a name it knows, are refused ([`guard`]).

pub mod api;
mod assets;
pub mod backend;
pub mod chart;
pub mod guard;
pub mod history;
mod limit;
pub mod metrics;
pub mod model;
mod profile;
pub mod sampler;
mod text;
mod time;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use backend::{Backend, BackendError};
pub use model::{Column, FlowInfo, FlowStatus, Overview, Problem, Record, Rows, StepInfo, TableInfo, TopicInfo};
pub use sampler::Snapshot;

/// How the page is served.
#[derive(Debug, Clone, Default)]
pub struct ConsoleOptions {
    /// Names, besides loopback and the bound address, under which the page answers (`stream.example.org`).
    pub allowed_hosts: Vec<String>,
}

/// The routes. Starts the sampling task, so it must be called inside a Tokio runtime; the task ends with the router, or when
/// `closing` turns true, which also ends all event streams.
pub fn router(
    backend: Arc<dyn Backend>,
    options: &ConsoleOptions,
    bound: SocketAddr,
    closing: watch::Receiver<bool>,
) -> Router {
    let hosts = Arc::new(guard::Hosts::new(bound, &options.allowed_hosts));
    let sampler = sampler::Sampler::start(backend.clone(), closing.clone());
    Router::new()
        .route("/api/v1/overview", get(api::overview))
        .route("/api/v1/events", get(api::events))
        .route("/api/v1/history", get(api::history))
        .route("/api/v1/topics/{name}/records", get(api::topic_records))
        .route("/api/v1/tables/{name}/rows", get(api::table_rows))
        .route("/api/v1/tables/{name}/chart", get(api::table_chart))
        .route("/health", get(api::health))
        .route("/ready", get(api::ready))
        .route("/metrics", get(api::prometheus))
        .fallback(assets::serve)
        .layer(axum::middleware::from_fn_with_state(hosts, guard::guard))
        .with_state(api::Shared::new(backend, sampler, closing))
}

/// Connections open at once; event streams (256 at most) are among them.
const CONNECTIONS_MAX: usize = 512;

/// Serves until `shutdown` resolves, then ends event streams and lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    options: ConsoleOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (close, closing) = watch::channel(false);
    let router = router(backend, &options, listener.local_addr()?, closing);
    let shutdown = async move {
        shutdown.await;
        close.send_replace(true);
    };
    axum::serve(limit::Limited::new(listener, CONNECTIONS_MAX), router).with_graceful_shutdown(shutdown).await
}
