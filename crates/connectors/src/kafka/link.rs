//! What librdkafka has to say about its connections, gathered instead of logged: it repeats itself many times a second while a broker is away.

use std::time::Duration;

use millstream_engine::SourceError;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// The same while nobody was there a moment ago: so whoever waits for it can be stopped.
const PROBE: Duration = Duration::from_millis(500);

/// How long who does not wait for ever waits for a topic that is not there.
const APPEARS: Duration = Duration::from_secs(3);

/// The state of one client's connections.
pub(super) struct Link {
    bootstrap: String,
    /// Why the last connection was not made or was lost.
    reason: Mutex<Option<String>>,
    /// Since when no broker is reached.
    down: watch::Sender<Option<Instant>>,
    /// After that it is no more hoped for.
    patience: Option<Duration>,
}

impl Link {
    pub fn new(bootstrap: &str, patience: Option<Duration>) -> Self {
        Link { bootstrap: bootstrap.to_owned(), reason: Mutex::default(), down: watch::Sender::new(None), patience }
    }

    fn is_down(&self) -> bool {
        self.down.borrow().is_some()
    }

    fn fell(&self) {
        let news = self.down.send_if_modified(|down| {
            let news = down.is_none();
            down.get_or_insert_with(Instant::now);
            news
        });
        if news {
            tracing::warn!("waiting: {}", self.nobody());
        }
    }

    /// Nobody was there for longer than is waited.
    pub fn is_given_up(&self) -> bool {
        self.patience.is_some_and(|patience| self.down.borrow().is_some_and(|since| since.elapsed() > patience))
    }

    /// That the cluster answers but has no such topic, which was first seen `since`: somebody may be about to make it.
    pub fn no_topic(&self, name: &str, since: Instant) -> SourceError {
        let address = &self.bootstrap;
        let told = format!("{address} has no topic {name}");
        if self.patience.is_none_or(|patience| since.elapsed() < patience.min(APPEARS)) {
            return SourceError::Unavailable(told);
        }
        SourceError::Fatal(format!("{told}: make it (`millstream topics create {name} -b {address}`), or name another"))
    }

    /// How long a request may take now.
    pub fn timeout(&self) -> Duration {
        if self.is_down() { PROBE } else { REQUEST }
    }

    /// A request was answered.
    pub fn reached(&self) {
        if self.down.send_if_modified(|down| down.take().is_some()) {
            tracing::warn!("{} answers again", self.bootstrap);
        }
    }

    /// Resolves when no broker is reached any more; at once never, so that somebody who knows that can try.
    pub async fn lost(&self) {
        let mut down = self.down.subscribe();
        while down.changed().await.is_ok() {
            if down.borrow_and_update().is_some() {
                return;
            }
        }
    }

    /// What nobody there means to a person.
    pub fn nobody(&self) -> String {
        let reason = self.reason.lock().clone().unwrap_or_else(|| "no connection".to_owned());
        let address = &self.bootstrap;
        let remedy = "start it, or name another in kafka.bootstrap.servers or KAFKA_BOOTSTRAP";
        match self.patience.filter(|_| self.is_given_up()) {
            Some(patience) => format!("no broker at {address} for {} s ({reason}): {remedy}", patience.as_secs()),
            None => format!("no broker at {address} ({reason}): {remedy}"),
        }
    }

    /// An error in words that name the address.
    pub fn told(&self, error: &KafkaError) -> String {
        let unreached = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::OperationTimedOut
            )
        );
        if unreached && self.is_down() { self.nobody() } else { format!("{}: {error}", self.bootstrap) }
    }
}

impl ClientContext for Link {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
        match facility {
            "FAIL" => *self.reason.lock() = Some(short(message)),
            "ERROR" if message.contains("brokers are down") => self.fell(),
            _ => {}
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.fell();
        }
    }
}

impl ConsumerContext for Link {}

/// The system's words of `[thrd:…]: HOST:PORT/bootstrap: Connect to ipv4#… failed: Connection refused (after 0ms in state CONNECT, …)`.
fn short(message: &str) -> String {
    let after =
        message.split_once("failed: ").or_else(|| message.rsplit_once("]: ")).map_or(message, |(_, after)| after);
    after.split(" (after ").next().unwrap_or(after).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_found() {
        let long = "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT, 3 identical error(s) suppressed)";
        assert_eq!(short(long), "Connection refused");
        assert_eq!(
            short("[thrd:x]: x:1/bootstrap: Disconnected (after 5ms in state UP)"),
            "x:1/bootstrap: Disconnected"
        );
    }
}
