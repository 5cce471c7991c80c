//! Feeds as they run: records go out when they are due, and the feed's position with them.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cursor::{Cursor, FeedRecord};
use super::generate::Generator;
use super::produce::{Produce, ProduceError};
use super::replay::Replay;
use super::spec::{FeedError, FeedSpec};

/// Records that are due within this time go together: a page looks live, and a disk has rest.
const TICK: Duration = Duration::from_millis(50);
/// Records and bytes of one append at most.
const BATCH_RECORDS: usize = 5_000;
const BATCH_BYTES: usize = 512 << 10;
/// A large state is written this often; between, only the position.
const STATE_EVERY: Duration = Duration::from_secs(10);
/// States up to this size are written every time.
const STATE_BYTES_SMALL: usize = 512;
/// A feed that is this far behind (the computer slept) goes on at its pace from now instead of pouring out what was missed.
const BEHIND_MAX: Duration = Duration::from_secs(5);
/// Between two attempts of an append that was refused.
const RETRY: Duration = Duration::from_secs(1);

/// What a feed is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// Records since the start of this process.
    pub records: u64,
    /// Why it does not go on.
    pub waiting: Option<String>,
    /// The feed is over.
    pub done: bool,
}

/// Whether to keep to the records' moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As the feed says.
    Timed,
    /// As fast as records are taken.
    Flat,
}

/// Runs a feed of `millstream.yml` until it is over or `stop` turns true: goes on where it was. Files are below `base`.
pub async fn run_feed(
    name: &str,
    spec: &FeedSpec,
    base: &Path,
    target: &mut dyn Produce,
    stop: watch::Receiver<bool>,
    status: &watch::Sender<FeedStatus>,
) -> Result<(), FeedError> {
    let failed = |problem: String| FeedError { feed: name.to_owned(), problem };
    let last = loop {
        match target.last_state().await {
            Ok(last) => break last,
            Err(error) => {
                if !wait(error, status, &mut stop.clone()).await.map_err(failed)? {
                    return Ok(());
                }
            }
        }
    };
    let (spec, base) = (spec.clone(), base.to_owned());
    let prepared = tokio::task::spawn_blocking(move || prepare(&spec, &base, last.as_ref(), now_us()));
    let cursor = prepared.await.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
    run_cursor(cursor, target, Pace::Timed, stop, status).await.map_err(failed)
}

/// Checks a feed without running it.
pub fn check_feed(name: &str, spec: &FeedSpec, base: &Path) -> Result<(), FeedError> {
    prepare(spec, base, None, 0).map(drop).map_err(|problem| FeedError { feed: name.to_owned(), problem })
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// The feed at the record after the last that was taken.
pub(super) fn prepare(
    spec: &FeedSpec,
    base: &Path,
    last: Option<&Json>,
    now_us: i64,
) -> Result<Box<dyn Cursor>, String> {
    let (state, position) = match last {
        Some(last) => (Some(&last["state"]), last["position"].as_u64()),
        None => (None, None),
    };
    let mut cursor: Box<dyn Cursor> = match (&spec.generate, &spec.replay) {
        (Some(generate), None) => {
            let mut generator = Generator::new(spec, base, now_us)?;
            if let Some(state) = state {
                let follows_now = generate.clock.start.trim().eq_ignore_ascii_case("now");
                generator.restore(state, follows_now.then_some(now_us))?;
            }
            Box::new(generator)
        }
        (None, Some(_)) => {
            let mut replay = Replay::new(spec, base)?;
            if let Some(state) = state {
                replay.restore(state)?;
            }
            Box::new(replay)
        }
        _ => return Err("exactly one of generate and replay is needed".into()),
    };
    while position.is_some_and(|position| cursor.position() < position) {
        if cursor.next()?.is_none() {
            break;
        }
    }
    Ok(cursor)
}

/// Sends what a cursor gives, until it is over or `stop` turns true.
pub async fn run_cursor(
    mut cursor: Box<dyn Cursor>,
    target: &mut dyn Produce,
    pace: Pace,
    mut stop: watch::Receiver<bool>,
    status: &watch::Sender<FeedStatus>,
) -> Result<(), String> {
    // A moment of the feed, and the instant that it fell on.
    let mut anchor: Option<(i64, Instant)> = None;
    let mut state_written: Option<Instant> = None;
    loop {
        let mut records: Vec<FeedRecord> = Vec::new();
        let mut bytes = 0;
        let now = Instant::now();
        let next_due = loop {
            let Some(due_us) = cursor.due_us()? else { break None };
            let (from_us, from) = *anchor.get_or_insert((due_us, now));
            let mut due = from + Duration::from_micros(u64::try_from(due_us - from_us).unwrap_or(0));
            if now > due + BEHIND_MAX {
                anchor = Some((due_us, now));
                due = now;
            }
            if (pace == Pace::Timed && due > now) || records.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                break Some(due);
            }
            for record in cursor.next()?.unwrap_or_default() {
                bytes += record.value.len() + record.key.as_ref().map_or(0, Vec::len);
                records.push(record);
            }
        };
        if !records.is_empty() {
            let mut written = json!({ "position": cursor.position() });
            let state = cursor.state();
            let small = state.to_string().len() <= STATE_BYTES_SMALL;
            if small || state_written.is_none_or(|at| now > at + STATE_EVERY) {
                written["state"] = state;
                state_written = Some(now);
            }
            while let Err(error) = target.produce(&records, &written).await {
                if !wait(error, status, &mut stop).await? {
                    return Ok(());
                }
            }
            status.send_modify(|status| {
                status.records += records.len() as u64;
                status.waiting = None;
            });
        }
        let Some(due) = next_due else {
            status.send_modify(|status| status.done = true);
            return Ok(());
        };
        // What is due soon goes with what is due a little later.
        let wake = if due > now { due.max(now + TICK) } else { now };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Says why records were refused and waits a moment; false if it is to stop meanwhile.
async fn wait(
    error: ProduceError,
    status: &watch::Sender<FeedStatus>,
    stop: &mut watch::Receiver<bool>,
) -> Result<bool, String> {
    match error {
        ProduceError::Fatal(reason) => Err(reason),
        ProduceError::Unavailable(reason) => {
            status.send_modify(|status| status.waiting = Some(reason));
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => Ok(false),
                () = tokio::time::sleep(RETRY) => Ok(true),
            }
        }
    }
}
