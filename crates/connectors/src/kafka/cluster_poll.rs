//! The thread behind a [`super::cluster::ClusterSource`]: polls the queues of its partitions, each in order and only as far as it is asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use millstream_engine::{SourceBatch, SourceError};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message, OwnedMessage, Timestamp};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::{mpsc, oneshot};

use super::cluster::source_error;
use super::link::Link;
use super::offsets::data_loss;
use crate::decode::{Decoder, Loose};

/// How long the thread sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_millis(100);
/// Without a message for so long a read says that it waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// An end that came before the range's own end may be an old one, overtaken by records that are still on their way for so long.
const OVERTAKEN: Duration = Duration::from_millis(50);
/// Messages of one partition in turn.
const TURN: usize = 2048;

type Place = (String, i32);
type Item = Result<SourceBatch, SourceError>;

/// What the thread is asked.
pub(super) enum Request {
    /// Read from an offset (none: the first there is) to before another, and tell when that is over, also after an error.
    Read {
        ranges: BTreeMap<Place, (Option<i64>, i64, Decoder)>,
        fail_on_data_loss: bool,
        sender: mpsc::Sender<Item>,
        ended: oneshot::Sender<()>,
    },
    /// Tell when one of the partitions has a record at or after its offset.
    Wait { places: BTreeMap<Place, i64>, sender: oneshot::Sender<()> },
}

/// A partition being polled.
struct Part {
    queue: PartitionQueue<Link>,
    /// Offset after what was taken from the queue for good.
    next: i64,
    /// Taken from the queues and not asked for yet.
    held: VecDeque<OwnedMessage>,
    /// The queue said that the partition's end was reached, and gave nothing since.
    ended: Option<Instant>,
    /// Fetched anew from `next` since the present request came, so that an end is the end that the request knows of.
    fresh: bool,
}

/// What a queue gave.
enum Polled {
    Message(OwnedMessage),
    /// The partition's end, as it was.
    End,
    Nothing,
}

struct Poller<'a> {
    consumer: &'a Arc<BaseConsumer<Link>>,
    parts: BTreeMap<Place, Part>,
    /// The last thing that went wrong, for whoever waits.
    problem: Option<KafkaError>,
}

/// Serves requests until nobody can ask any more.
pub(super) fn poll_forever(consumer: &Arc<BaseConsumer<Link>>, requests: &Receiver<Request>) {
    let mut poller = Poller { consumer, parts: BTreeMap::new(), problem: None };
    let mut next = None;
    loop {
        let request = match next.take() {
            Some(request) => request,
            None => match requests.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Empty) => {
                    poller.serve_events();
                    thread::park_timeout(IDLE);
                    continue;
                }
                Err(TryRecvError::Disconnected) => return,
            },
        };
        match request {
            Request::Read { ranges, fail_on_data_loss, sender, ended } => {
                if let Err(error) = poller.read(ranges, fail_on_data_loss, &sender) {
                    let _ = sender.blocking_send(Err(error));
                }
                let _ = ended.send(());
            }
            Request::Wait { places, sender } => {
                if let Err(error) = poller.place(&places.iter().map(|(p, at)| (p.clone(), *at)).collect()) {
                    // The next read says it.
                    tracing::debug!("kafka source: {error}");
                }
                loop {
                    if sender.is_closed() {
                        break;
                    }
                    if poller.any_message() {
                        let _ = sender.send(());
                        break;
                    }
                    match requests.try_recv() {
                        Ok(request) => {
                            next = Some(request);
                            break;
                        }
                        Err(TryRecvError::Disconnected) => return,
                        Err(TryRecvError::Empty) => thread::park_timeout(IDLE),
                    }
                }
            }
        }
    }
}

impl Poller<'_> {
    fn failed(&self, error: KafkaError) -> SourceError {
        source_error(self.consumer.context(), error)
    }

    /// Lets the partitions stand at these offsets. Those that do already are left alone, as is what was fetched for them.
    fn place(&mut self, wanted: &BTreeMap<Place, i64>) -> Result<(), SourceError> {
        if wanted.iter().all(|(place, at)| self.parts.get(place).is_some_and(|part| part.next == *at)) {
            return Ok(());
        }
        self.assign(wanted)
    }

    /// Fetches these partitions anew from these offsets, and all others from where they are.
    fn assign(&mut self, wanted: &BTreeMap<Place, i64>) -> Result<(), SourceError> {
        let mut offsets: BTreeMap<Place, i64> =
            self.parts.iter().map(|(place, part)| (place.clone(), part.next)).collect();
        offsets.extend(wanted.iter().map(|(place, at)| (place.clone(), *at)));
        let fresh: BTreeSet<Place> =
            self.parts.iter().filter(|(_, part)| part.fresh).map(|(place, _)| place.clone()).collect();
        self.parts.clear();
        let mut assignment = TopicPartitionList::new();
        for ((topic, partition), at) in &offsets {
            assignment.add_partition_offset(topic, *partition, Offset::Offset(*at)).map_err(|e| self.failed(e))?;
        }
        self.consumer.assign(&assignment).map_err(|e| self.failed(e))?;
        for (place, next) in offsets {
            let gone = || SourceError::Unavailable(format!("{}-{} has no queue", place.0, place.1));
            let mut queue = self.consumer.split_partition_queue(&place.0, place.1).ok_or_else(gone)?;
            let this = thread::current();
            queue.set_nonempty_callback(move || this.unpark());
            let fresh = fresh.contains(&place);
            self.parts.insert(place, Part { queue, next, held: VecDeque::new(), ended: None, fresh });
        }
        Ok(())
    }

    /// Callbacks, errors, and messages that came before the queues were split.
    fn serve_events(&mut self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event {
                Ok(message) => {
                    let place = (message.topic().to_owned(), message.partition());
                    if let Some(part) = self.parts.get_mut(&place) {
                        part.held.push_back(message.detach());
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => self.problem = Some(error),
            }
        }
    }

    fn any_message(&mut self) -> bool {
        self.serve_events();
        let places: Vec<Place> = self.parts.keys().cloned().collect();
        for place in places {
            let Some(part) = self.parts.get_mut(&place) else { continue };
            if part.held.is_empty() {
                match poll(part) {
                    Ok(Polled::Message(message)) => part.held.push_back(message),
                    Ok(Polled::End | Polled::Nothing) => continue,
                    Err(error) => {
                        self.problem = Some(error);
                        // Let `end` and `read` find out.
                        return true;
                    }
                }
            }
            return true;
        }
        false
    }

    fn read(
        &mut self,
        ranges: BTreeMap<Place, (Option<i64>, i64, Decoder)>,
        fail_on_data_loss: bool,
        sender: &mpsc::Sender<Item>,
    ) -> Result<(), SourceError> {
        let mut from = BTreeMap::new();
        for (place, (begun, ..)) in &ranges {
            let at = match begun {
                Some(begun) => *begun,
                None => {
                    self.consumer
                        .fetch_watermarks(&place.0, place.1, self.consumer.context().timeout())
                        .map_err(|e| self.failed(e))?
                        .0
                }
            };
            from.insert(place.clone(), at);
        }
        self.place(&from)?;
        self.parts.values_mut().for_each(|part| part.fresh = false);
        let mut open: Vec<(Place, i64, Decoder)> =
            ranges.into_iter().map(|(place, (_, to, d))| (place, to, d)).collect();
        let mut last_progress = Instant::now();
        while !open.is_empty() {
            if sender.is_closed() {
                return Ok(());
            }
            self.serve_events();
            let mut moved = false;
            let mut left = Vec::with_capacity(open.len());
            for (place, to, mut decoder) in open {
                let before = self.parts.get(&place).map_or(0, |part| part.next);
                let mut out = Vec::new();
                let done = self.turn(&place, to, fail_on_data_loss, &mut decoder, &mut out)?;
                moved |= done || self.parts.get(&place).is_some_and(|part| part.next > before);
                for batch in out {
                    if sender.blocking_send(Ok(batch)).is_err() {
                        return Ok(());
                    }
                }
                if !done {
                    left.push((place, to, decoder));
                }
            }
            open = left;
            if moved {
                last_progress = Instant::now();
                self.problem = None;
            } else if !open.is_empty() {
                if last_progress.elapsed() > PATIENCE {
                    let reason = self.problem.take().map(|e| self.consumer.context().told(&e));
                    let reason = reason.unwrap_or_else(|| "nothing comes".to_owned());
                    return Err(SourceError::Unavailable(reason));
                }
                thread::park_timeout(OVERTAKEN);
            }
        }
        Ok(())
    }

    /// Takes some messages of a partition; true once it has been read up to `to`.
    fn turn(
        &mut self,
        place: &Place,
        to: i64,
        fail_on_data_loss: bool,
        decoder: &mut Decoder,
        out: &mut Vec<SourceBatch>,
    ) -> Result<bool, SourceError> {
        let Some(part) = self.parts.get_mut(place) else {
            return Err(SourceError::Unavailable(format!("{}-{} is not assigned", place.0, place.1)));
        };
        let mut done = part.next >= to;
        for _ in 0..TURN {
            if done {
                break;
            }
            let message = match part.held.pop_front() {
                Some(message) => message,
                None => match poll(part) {
                    Ok(Polled::Message(message)) => message,
                    // What is left up to the end holds no records (markers, compacted).
                    Ok(Polled::End) if part.fresh => {
                        done = true;
                        break;
                    }
                    Ok(Polled::End) => {
                        part.ended = Some(Instant::now());
                        break;
                    }
                    Ok(Polled::Nothing) => break,
                    Err(error) if lost(&error) => {
                        let (start, _) = self
                            .consumer
                            .fetch_watermarks(&place.0, place.1, self.consumer.context().timeout())
                            .map_err(|e| source_error(self.consumer.context(), e))?;
                        let problem = data_loss(&place.0, place.1, part.next, start);
                        if fail_on_data_loss || start <= part.next {
                            return Err(SourceError::Fatal(problem));
                        }
                        tracing::warn!("{problem}");
                        self.place(&BTreeMap::from([(place.clone(), start)]))?;
                        return Ok(false);
                    }
                    Err(error) => {
                        self.problem = Some(error);
                        break;
                    }
                },
            };
            let offset = message.offset();
            if offset < part.next {
                continue;
            }
            if offset >= to {
                part.held.push_front(message);
                done = true;
                break;
            }
            if offset > part.next && fail_on_data_loss && is_gap(self.consumer, place, part.next) {
                return Err(SourceError::Fatal(data_loss(&place.0, place.1, part.next, offset)));
            }
            add(decoder, &message, out)?;
            part.next = offset + 1;
            part.ended = None;
        }
        if !done && part.ended.is_some_and(|at| at.elapsed() > OVERTAKEN) {
            part.fresh = true;
            let next = part.next;
            self.assign(&BTreeMap::from([(place.clone(), next)]))?;
            return Ok(false);
        }
        if done {
            part.next = part.next.max(to);
            part.ended = None;
            decoder.flush(out).map_err(|e| SourceError::Fatal(e.to_string()))?;
        }
        Ok(done)
    }
}

/// Offsets that are passed over hold no records, unless the log begins behind them.
fn is_gap(consumer: &BaseConsumer<Link>, place: &Place, next: i64) -> bool {
    consumer.fetch_watermarks(&place.0, place.1, consumer.context().timeout()).is_ok_and(|(start, _)| start > next)
}

fn lost(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset))
}

fn poll(part: &Part) -> Result<Polled, KafkaError> {
    match part.queue.poll(Duration::ZERO) {
        None => Ok(Polled::Nothing),
        Some(Ok(message)) => Ok(Polled::Message(detach(&message))),
        Some(Err(KafkaError::PartitionEOF(_))) => Ok(Polled::End),
        Some(Err(error)) => Err(error),
    }
}

fn detach(message: &BorrowedMessage<'_>) -> OwnedMessage {
    message.detach()
}

fn add(decoder: &mut Decoder, message: &OwnedMessage, out: &mut Vec<SourceBatch>) -> Result<(), SourceError> {
    let (timestamp_ms, timestamp_type) = match message.timestamp() {
        Timestamp::NotAvailable => (-1, 0),
        Timestamp::CreateTime(ms) => (ms, 0),
        Timestamp::LogAppendTime(ms) => (ms, 1),
    };
    let headers: Vec<(&str, Option<&[u8]>)> =
        message.headers().map(|headers| headers.iter().map(|h| (h.key, h.value)).collect()).unwrap_or_default();
    let record = Loose {
        offset: message.offset(),
        timestamp_ms,
        timestamp_type,
        key: message.key(),
        value: message.payload(),
        headers: &headers,
    };
    decoder.add(&record, out).map_err(|e| SourceError::Fatal(e.to_string()))
}
