//! The handlers behind `/api/v1`, and the limits that keep a flood of pages away from the engine.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_stream::wrappers::WatchStream;

use crate::backend::{Backend, BackendError};
use crate::chart::{self, Chart, Wish};
use crate::history::Past;
use crate::metrics;
use crate::model::Rows;
use crate::sampler::{Sampler, Snapshot};
use crate::text::{ShownRecord, shown_record};

/// Pages that follow events at once.
const FOLLOWERS_MAX: usize = 256;
/// Questions put to the backend at once; others wait their turn.
const QUESTIONS_MAX: usize = 4;
/// Longest time a page waits for an answer.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(10);
/// Most records or rows in one answer.
const LIMIT_MAX: usize = 500;
/// A chart of a table that changes all the time is drawn anew this often, however many look.
const CHART_AGE_MAX: Duration = Duration::from_millis(1_500);
/// Charts remembered, so that many pages looking at one table cost one reading of it.
const CHARTS_MAX: usize = 64;

/// What all handlers share.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    sampler: Sampler,
    closing: watch::Receiver<bool>,
    followers: Arc<Semaphore>,
    questions: Semaphore,
    charts: Mutex<HashMap<(String, Wish), KnownChart>>,
}

/// Changes when a table's rows may have.
type TableState = (u64, u64);

struct KnownChart {
    state: TableState,
    drawn: Instant,
    chart: Arc<Chart>,
}

impl Shared {
    /// Everything starts from here.
    pub fn new(backend: Arc<dyn Backend>, sampler: Sampler, closing: watch::Receiver<bool>) -> Shared {
        Shared(Arc::new(Inner {
            backend,
            sampler,
            closing,
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            questions: Semaphore::new(QUESTIONS_MAX),
            charts: Mutex::new(HashMap::new()),
        }))
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, BackendError>>) -> Result<T, Refusal> {
        let asked = async {
            let _turn = self.0.questions.acquire().await.expect("is never closed");
            question.await
        };
        match tokio::time::timeout(QUESTION_TIME_MAX, asked).await {
            Ok(answer) => answer.map_err(Refusal),
            Err(_) => Err(Refusal(BackendError::Unavailable("too much is being asked at once".to_owned()))),
        }
    }

    fn table_state(&self, name: &str) -> Option<TableState> {
        let snapshot = self.0.sampler.latest();
        snapshot.overview.tables.iter().find(|table| table.name == name).map(|table| (table.rows_total, table.version))
    }
}

/// A backend's error as an answer: `{"error": "…"}`.
pub struct Refusal(BackendError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0 {
            BackendError::NotFound(_) => StatusCode::NOT_FOUND,
            BackendError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}

/// `limit` of a list.
#[derive(Debug, Deserialize)]
pub struct Limit {
    limit: Option<usize>,
}

impl Limit {
    fn bounded(&self) -> usize {
        self.limit.unwrap_or(50).clamp(1, LIMIT_MAX)
    }
}

/// `GET /api/v1/overview`: the last snapshot.
pub async fn overview(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], shared.0.sampler.latest().json().to_string())
}

/// `GET /api/v1/history`: rates of the last five minutes.
pub async fn history(State(shared): State<Shared>) -> Json<Past> {
    Json(shared.0.sampler.past())
}

/// `GET /api/v1/topics/{name}/records?limit=50`: newest first.
pub async fn topic_records(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<ShownRecord>>, Refusal> {
    let records = shared.ask(shared.0.backend.topic_records(&name, limit.bounded())).await?;
    Ok(Json(records.into_iter().map(shown_record).collect()))
}

/// `GET /api/v1/tables/{name}/rows?limit=50`: newest first.
pub async fn table_rows(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(limit): Query<Limit>,
) -> Result<Json<Rows>, Refusal> {
    Ok(Json(shared.ask(shared.0.backend.table_rows(&name, limit.bounded())).await?))
}

/// Columns for a chart that a person prefers.
#[derive(Debug, Deserialize)]
pub struct WishQuery {
    x: Option<String>,
    y: Option<String>,
    by: Option<String>,
}

/// `GET /api/v1/tables/{name}/chart?x=&y=&by=`: the chart that suits the table.
pub async fn table_chart(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(WishQuery { x, y, by }): Query<WishQuery>,
) -> Result<Response, Refusal> {
    let wish = Wish { x, y, by };
    let state = shared.table_state(&name);
    let slot = (name, wish);
    if let Some(known) = shared.0.charts.lock().get(&slot)
        && (Some(known.state) == state || known.drawn.elapsed() < CHART_AGE_MAX)
    {
        return Ok(Json(known.chart.as_ref()).into_response());
    }
    let rows = shared.ask(shared.0.backend.table_rows(&slot.0, chart::ROWS_MAX)).await?;
    let wish = slot.1.clone();
    // The rows of a view come as its query orders them: the last one is not the oldest.
    let total = state.filter(|(_, version)| *version == 0).map_or(0, |(rows, _)| rows);
    let chart = tokio::task::spawn_blocking(move || chart::chart(&rows, &wish, total)).await;
    let chart =
        Arc::new(chart.map_err(|_| Refusal(BackendError::Unavailable("the chart could not be drawn".to_owned())))?);
    if let Some(state) = state {
        let mut charts = shared.0.charts.lock();
        if charts.len() >= CHARTS_MAX {
            charts.clear();
        }
        charts.insert(slot, KnownChart { state, drawn: Instant::now(), chart: chart.clone() });
    }
    Ok(Json(chart.as_ref()).into_response())
}

/// `GET /api/v1/events`: a `state` event with a snapshot now, and another whenever there is a newer one.
pub async fn events(State(shared): State<Shared>) -> Response {
    let Ok(place) = shared.0.followers.clone().try_acquire_owned() else {
        let answer = Json(json!({ "error": format!("{FOLLOWERS_MAX} pages are open already; close some") }));
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], answer).into_response();
    };
    let events = follow(shared.0.sampler.watch(), shared.0.closing.clone(), place);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response();
    // Proxies must not collect events.
    response.headers_mut().insert("x-accel-buffering", header::HeaderValue::from_static("no"));
    response
}

fn follow(
    snapshots: watch::Receiver<Arc<Snapshot>>,
    mut closing: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let closed = async move {
        // An error means that the server is gone, which is as good as closing.
        let _ = closing.wait_for(|closing| *closing).await;
    };
    WatchStream::new(snapshots).take_until(closed).map(move |snapshot| {
        let _held_while_followed = &place;
        Ok(Event::default().event("state").id(snapshot.sequence.to_string()).data(&*snapshot.json()))
    })
}

/// `GET /health`: the process answers.
pub async fn health() -> &'static str {
    "ok\n"
}

/// `GET /ready`: 200 once everything is started, 503 with the reasons before, and while a part of the pipeline is failed.
pub async fn ready(State(shared): State<Shared>) -> Response {
    match shared.0.backend.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reasons}\n")).into_response(),
    }
}

/// `GET /metrics`: Prometheus' text format.
pub async fn prometheus(State(shared): State<Shared>) -> impl IntoResponse {
    let page = metrics::render(&shared.0.sampler.latest().overview) + &shared.0.backend.metrics();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
}
