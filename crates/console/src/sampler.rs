//! One task looks at the backend once a second; everybody else reads what it last saw. So a thousand pages cost the engine what one does.

use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::history::{History, Past, SeriesName};
use crate::model::Overview;

/// Time between two samples, ms.
pub const STEP_MS: u64 = 1_000;

/// What was seen at one moment. Turned into JSON once, and only if somebody looks.
#[derive(Debug, Serialize)]
pub struct Snapshot {
    /// Counts samples from 0.
    pub sequence: u64,
    /// Wall clock, ms since 1970.
    pub now_ms: i64,
    /// The state of everything.
    pub overview: Overview,
    /// Smoothed rates per second; series at rest are left out.
    pub rates: std::collections::BTreeMap<SeriesName, f32>,
    /// Newest point of each series; series at rest are left out.
    pub newest: std::collections::BTreeMap<SeriesName, f32>,
    #[serde(skip)]
    json: OnceLock<Arc<str>>,
}

impl Snapshot {
    /// The snapshot as JSON text.
    pub fn json(&self) -> Arc<str> {
        self.json.get_or_init(|| serde_json::to_string(self).expect("plain data has a JSON form").into()).clone()
    }
}

/// Reads what the sampling task last saw.
#[derive(Debug, Clone)]
pub struct Sampler {
    latest: watch::Receiver<Arc<Snapshot>>,
    history: Arc<Mutex<History>>,
}

impl Sampler {
    /// Takes a first sample and starts the task. It ends when the last `Sampler` and its receivers are gone, or `closing` turns true.
    pub fn start(backend: Arc<dyn Backend>, mut closing: watch::Receiver<bool>) -> Sampler {
        let history = Arc::new(Mutex::new(History::default()));
        let begun = Instant::now();
        let look = {
            let history = history.clone();
            move |sequence| {
                let overview = backend.overview();
                let mut history = history.lock();
                history.observe(begun.elapsed().as_millis() as u64, &overview);
                Arc::new(Snapshot {
                    sequence,
                    now_ms: now_ms(),
                    rates: history.rates(),
                    newest: history.newest(),
                    overview,
                    json: OnceLock::new(),
                })
            }
        };
        let (sender, latest) = watch::channel(look(0));
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(std::time::Duration::from_millis(STEP_MS));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await;
            for sequence in 1.. {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = closing.wait_for(|closing| *closing) => return,
                    _ = sender.closed() => return,
                }
                sender.send_replace(look(sequence));
            }
        });
        Sampler { latest, history }
    }

    /// The last sample.
    pub fn latest(&self) -> Arc<Snapshot> {
        self.latest.borrow().clone()
    }

    /// Follows samples; a reader that is slow skips some.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.latest.clone()
    }

    /// The last five minutes.
    pub fn past(&self) -> Past {
        self.history.lock().past(STEP_MS)
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
