//! Parts of a pipeline that are to go on for ever: one that fails or panics is begun again, a little later each time, unless that cannot
//! help. What it is up to is kept for the page and for `/ready`.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::FutureExt;
use millstream_connectors::file_sink::SinkError;
use millstream_connectors::kafka::ClusterSinkError;
use millstream_engine::EngineError;
use parking_lot::RwLock;
use tokio::sync::watch;

/// Why a part ended that was to go on.
#[derive(Debug)]
pub enum Failure {
    /// It says so.
    Error(anyhow::Error),
    /// A bug; what it said.
    Panic(String),
}

impl Failure {
    fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Self::Panic(text.unwrap_or("of an unknown kind").to_owned())
    }

    /// Is it worth a new try? Not where the project, or somebody who looks at the data, has to decide first.
    fn may_pass(&self) -> bool {
        let Self::Error(error) = self else { return true };
        let for_good = matches!(
            error.downcast_ref(),
            Some(
                EngineError::Unsupported { .. }
                    | EngineError::MissingSource(_)
                    | EngineError::Changed { .. }
                    | EngineError::Elsewhere { .. }
                    | EngineError::StateMissing { .. }
                    | EngineError::RowsGone { .. }
                    | EngineError::Row { .. }
            )
        );
        // What a cluster took of a delivery before it refused the rest it would take again with each try.
        let ours = |error: &ClusterSinkError| matches!(error, ClusterSinkError::Log(_) | ClusterSinkError::Read(_));
        let refused = error.downcast_ref().is_some_and(|error| !ours(error) && !error.is_transient());
        !for_good && !refused && !matches!(error.downcast_ref(), Some(SinkError::Inconsistent { .. }))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error:#}"),
            Self::Panic(text) => write!(f, "panicked (a bug of Millstream, please report it): {text}"),
        }
    }
}

/// When parts that failed are begun again.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// So long after a first failure.
    pub first: Duration,
    /// Each one after it doubles the wait, up to this.
    pub longest: Duration,
    /// After a part ran for so long, a failure is a first one again.
    pub well: Duration,
    /// A part that was begun again counts as failed until it has run for so long.
    pub trial: Duration,
}

/// The pace of `up`.
pub const PACE: Pace = Pace {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    well: Duration::from_secs(60),
    trial: Duration::from_secs(5),
};

impl Pace {
    /// How long after this failure a part is begun again, if it is: it had run for `ran`, and before that it had `waited`, if it had
    /// failed before.
    pub fn again(&self, failure: &Failure, ran: Duration, waited: Option<Duration>) -> Option<Duration> {
        failure.may_pass().then(|| match waited {
            Some(waited) if ran < self.well => (waited * 2).min(self.longest),
            _ => self.first,
        })
    }
}

/// A part of a pipeline.
pub struct Part {
    name: String,
    trouble: RwLock<Option<Trouble>>,
}

struct Trouble {
    reason: String,
    next: Next,
}

enum Next {
    /// Begun again then.
    At(Instant),
    /// Was begun again.
    Trial,
    /// Stays stopped.
    Never,
}

impl Part {
    /// `name` is for people: `flow traffic`.
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), trouble: RwLock::default() })
    }

    /// What it is, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// While it is failed: why, and when it is tried again.
    pub fn problem(&self) -> Option<String> {
        let trouble = self.trouble.read();
        let Trouble { reason, next } = trouble.as_ref()?;
        Some(match next {
            Next::At(at) => {
                let seconds = at.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000);
                format!("{reason}; tried again in {seconds} s")
            }
            Next::Trial => format!("{reason}; being tried again"),
            Next::Never => format!("{reason}; not tried again before the next start"),
        })
    }

    fn failed(&self, reason: &Failure, next: Next) {
        *self.trouble.write() = Some(Trouble { reason: reason.to_string(), next });
    }

    fn on_trial(&self) {
        if let Some(trouble) = self.trouble.write().as_mut() {
            trouble.next = Next::Trial;
        }
    }

    fn well(&self) {
        *self.trouble.write() = None;
    }
}

/// Runs what `begin` gives until that ends without an error, or `stop` turns true while it is failed.
pub async fn supervise<R>(part: Arc<Part>, pace: Pace, mut stop: watch::Receiver<bool>, begin: impl Fn() -> R)
where
    R: Future<Output = Result<()>>,
{
    let mut waited = None;
    loop {
        let began = Instant::now();
        let running = AssertUnwindSafe(async { begin().await }).catch_unwind();
        tokio::pin!(running);
        let ended = tokio::select! {
            ended = &mut running => ended,
            () = tokio::time::sleep(pace.trial) => {
                part.well();
                running.await
            }
        };
        let failure = match ended {
            Ok(Ok(())) => return part.well(),
            Ok(Err(error)) => Failure::Error(error),
            Err(panic) => Failure::of_panic(panic.as_ref()),
        };
        let again = if *stop.borrow() { None } else { pace.again(&failure, began.elapsed(), waited) };
        let Some(wait) = again else {
            tracing::error!("{} failed and is not tried again: {failure}", part.name);
            return part.failed(&failure, Next::Never);
        };
        tracing::error!("{} failed and is tried again in {wait:?}: {failure}", part.name);
        part.failed(&failure, Next::At(Instant::now() + wait));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        part.on_trial();
        waited = Some(wait);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use anyhow::{Context, anyhow, bail};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn of<E: std::error::Error + Send + Sync + 'static>(error: E) -> Failure {
        Failure::Error(Err::<(), E>(error).context("flow f (a.sql:1)").unwrap_err())
    }

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let failure = Failure::Error(anyhow!("no disk"));
        let mut waited = None;
        let mut waits = Vec::new();
        for _ in 0..9 {
            waited = PACE.again(&failure, SECOND, waited);
            waits.push(waited.unwrap().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(PACE.again(&failure, 59 * SECOND, waited), Some(60 * SECOND));
        assert_eq!(PACE.again(&failure, 60 * SECOND, waited), Some(SECOND));
        assert_eq!(PACE.again(&failure, 3600 * SECOND, None), Some(SECOND), "a first failure after a long time");
        assert_eq!(PACE.again(&Failure::Panic("index".into()), SECOND, Some(SECOND)), Some(2 * SECOND));
    }

    #[test]
    fn what_a_new_try_cannot_cure_is_not_tried_again() {
        let (flow, table, path) = (String::from("f"), String::from("t"), PathBuf::from("state"));
        let for_good = [
            of(EngineError::Changed { flow: flow.clone(), table: table.clone(), epoch: 3, change: "a".into() }),
            of(EngineError::Elsewhere {
                flow: flow.clone(),
                table: table.clone(),
                relation: "kafka".into(),
                was: "cluster a".into(),
                origin: "cluster b".into(),
            }),
            of(EngineError::StateMissing { flow: flow.clone(), table: table.clone(), path: path.clone(), epoch: 3 }),
            of(EngineError::RowsGone { flow, table: table.clone(), read: 2, left: 1 }),
            of(EngineError::Row { class: "CAST_INVALID_INPUT".into(), message: "x".into(), place: "p".into() }),
            of(SinkError::Inconsistent { table, problem: "two lakes".into() }),
        ];
        for failure in &for_good {
            assert_eq!(PACE.again(failure, SECOND, None), None, "{failure}");
        }
        let disk = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let passing = [
            of(EngineError::State { path, message: "no space".into() }),
            of(EngineError::Source {
                relation: "r".into(),
                error: millstream_engine::SourceError::Fatal("a file is gone; put it back".into()),
            }),
            of(SinkError::Disk { path: "lake".into(), source: disk }),
        ];
        for failure in &passing {
            assert_eq!(PACE.again(failure, SECOND, None), Some(SECOND), "{failure}");
        }
    }

    const QUICK: Pace = Pace {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
        well: Duration::from_secs(60),
        trial: Duration::from_secs(60),
    };

    #[tokio::test]
    async fn a_part_that_panics_or_fails_is_begun_again() {
        let (_stop, stopping) = watch::channel(false);
        let part = Part::new("flow f");
        let begun = AtomicU32::new(0);
        let seen = parking_lot::Mutex::new(Vec::new());
        let begin = || async {
            seen.lock().push(part.problem());
            match begun.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("index {} out of bounds", 7),
                1 => bail!("no disk"),
                _ => Ok(()),
            }
        };
        supervise(Arc::clone(&part), QUICK, stopping, begin).await;
        let seen = seen.into_inner();
        let [None, Some(panic), Some(error)] = seen.as_slice() else { panic!("{seen:?}") };
        assert!(panic.contains("index 7 out of bounds") && panic.ends_with("being tried again"), "{panic}");
        assert_eq!(error, "no disk; being tried again");
        assert_eq!(part.problem(), None, "it came to its end");
    }

    #[tokio::test]
    async fn a_part_on_trial_counts_as_failed_until_it_has_run_for_a_while() {
        let (stop, stopping) = watch::channel(false);
        let part = Part::new("flow f");
        let begun = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&begun);
        let begin = move || {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if first { bail!("no disk") } else { std::future::pending().await } }
        };
        let pace = Pace { trial: Duration::from_millis(50), ..QUICK };
        let running = tokio::spawn(supervise(Arc::clone(&part), pace, stopping, begin));
        while begun.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(part.problem().as_deref(), Some("no disk; being tried again"));
        while part.problem().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.abort();
        drop(stop);
    }

    #[tokio::test]
    async fn what_stays_stopped_says_so_and_a_stop_ends_the_waiting() {
        let (stop, stopping) = watch::channel(false);
        let part = Part::new("flow f");
        let begin =
            || async { Err(EngineError::Row { class: "A".into(), message: "b".into(), place: "c".into() }.into()) };
        supervise(Arc::clone(&part), PACE, stopping.clone(), begin).await;
        assert!(part.problem().unwrap().ends_with("not tried again before the next start"));
        let part = Part::new("flow g");
        let supervised = supervise(Arc::clone(&part), PACE, stopping, || async { bail!("no disk") });
        tokio::pin!(supervised);
        assert!(supervised.as_mut().now_or_never().is_none());
        assert_eq!(part.problem().as_deref(), Some("no disk; tried again in 1 s"));
        stop.send_replace(true);
        supervised.await;
    }
}
