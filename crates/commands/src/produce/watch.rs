//! An eye on the producer while it works: what the broker refuses with is said, and a signal ends it.

use std::time::Duration;

use indicatif::ProgressBar;
use millstream_client::{ClientError, Producer};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::stop::stopped;
use crate::{Screen, human};

/// How often is looked.
const TICK: Duration = Duration::from_millis(200);
/// A refusal that lasts so long is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what is under way may take after a signal, if nothing refuses it.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Watches one producer.
pub struct Watch<'a> {
    producer: &'a Producer,
    screen: &'a mut Screen,
    bar: &'a ProgressBar,
    stop: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    stopped: Option<Instant>,
    refused: Option<Instant>,
    said: Option<String>,
}

impl<'a> Watch<'a> {
    pub fn new(producer: &'a Producer, screen: &'a mut Screen, bar: &'a ProgressBar) -> Self {
        let stop = Box::pin(stopped());
        Watch { producer, screen, bar, stop, stopped: None, refused: None, said: None }
    }

    /// The work's result; none if a signal came first.
    pub async fn until_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        self.until(work, |_| true).await
    }

    /// The work's result; none if a signal came and the broker refuses, or has not answered for a while.
    pub async fn until_hopeless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let hopeless = |watch: &Self| {
            watch.producer.obstacle().is_some() || watch.stopped.is_some_and(|since| since.elapsed() > LAST_ANSWERS)
        };
        self.until(work, hopeless).await
    }

    async fn until<T>(&mut self, work: impl Future<Output = T>, give_up: impl Fn(&Self) -> bool) -> Option<T> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = &mut self.stop, if self.stopped.is_none() => self.stopped = Some(Instant::now()),
                _ = tick.tick() => self.look(),
            }
            if self.stopped.is_some() && give_up(self) {
                return None;
            }
        }
    }

    /// Says once what stands in the way, and that it went.
    fn look(&mut self) {
        let Some(obstacle) = self.producer.obstacle() else {
            self.refused = None;
            if self.said.take().is_some() {
                self.note("the broker takes records again");
            }
            return;
        };
        let since = *self.refused.get_or_insert_with(Instant::now);
        let told = told(&obstacle);
        if since.elapsed() < PATIENCE || self.said.as_ref() == Some(&told) {
            return;
        }
        let acknowledged = human::count(self.producer.acknowledged() as i64, "record");
        self.note(&format!("waiting, {acknowledged} acknowledged so far: {told}"));
        self.said = Some(told);
    }

    fn note(&mut self, text: &str) {
        let Watch { screen, bar, .. } = self;
        bar.suspend(|| screen.note(text));
    }
}

/// Without the partition: each of many would be another line.
fn told(error: &ClientError) -> String {
    match error {
        ClientError::Broker { code, message: Some(message), .. } => format!("{code}: {message}"),
        ClientError::Broker { code, .. } => code.to_string(),
        other => other.to_string(),
    }
}
