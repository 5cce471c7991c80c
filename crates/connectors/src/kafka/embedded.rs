//! Topics of the log in this process as a source: read directly, woken by the high watermark.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream, FuturesUnordered};
use millstream_engine::{Position, RecordId, Source, SourceBatch, SourceError};
use millstream_sql::is_internal_topic;
use tokio::sync::mpsc;

use super::handed_over::handed_over;
use super::offsets::{Begin, begin, data_loss, ends, limit, no_record, origin, parse_partition_name, partition_name};
use super::options::{KafkaOptions, Topics};
use crate::decode::{Columns, Decoder};
use crate::embedded::{EmbeddedError, EmbeddedLog, TopicSpec};

/// Bytes asked for at once; decompressed they may be more.
const READ_BYTES: usize = 1 << 20;
/// Batches decoded ahead of the engine.
const PREFETCH_BATCHES: usize = 8;
/// Ranges up to this many offsets are decoded where they are polled: a task would cost more than it brings.
const INLINE_OFFSETS: i64 = 4096;
/// How long retention leaves what a flow would read again; said anew with each snapshot of its state, so that a flow that stands still does
/// not fill the disk.
const HOLD_MS: i64 = 15 * 60 * 1000;
/// How often a source looks for topics and partitions that are new.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(5);

/// A [`Source`] over topics of the embedded log.
pub struct EmbeddedSource {
    log: Arc<dyn EmbeddedLog>,
    schema: SchemaRef,
    options: KafkaOptions,
}

impl EmbeddedSource {
    /// A source with the columns of `schema`, which are some of Spark's Kafka columns.
    pub fn new(log: Arc<dyn EmbeddedLog>, schema: SchemaRef, options: KafkaOptions) -> Result<Self, SourceError> {
        Columns::new(&schema, None).map_err(|e| SourceError::Fatal(e.to_string()))?;
        if let Some(level) = options.client.get("isolation.level").filter(|level| level.trim() != "read_committed") {
            return Err(SourceError::Fatal(format!(
                "option kafka.isolation.level = '{level}': topics of this process are read as read_committed only; leave the option out, \
                 or name another cluster in kafka.bootstrap.servers"
            )));
        }
        Ok(Self { log, schema, options })
    }

    /// Makes subscribed topics that are not there, with the broker's defaults, so that a pipeline may begin before its first producer.
    async fn ensure(&self) -> Result<(), SourceError> {
        let wanted: BTreeSet<&String> = match &self.options.topics {
            Topics::Names(names) => names.iter().collect(),
            Topics::Pattern(_) => return Ok(()),
            Topics::Partitions(partitions) => partitions.iter().map(|(topic, _)| topic).collect(),
        };
        let there: BTreeSet<String> = self.log.topics().into_iter().map(|t| t.name).collect();
        for topic in wanted {
            if !there.contains(topic) {
                self.log.ensure_topic(topic, TopicSpec::default()).await.map_err(source_error)?;
            }
        }
        Ok(())
    }

    fn partitions(&self) -> Vec<(String, i32)> {
        if let Topics::Partitions(partitions) = &self.options.topics {
            return partitions.iter().cloned().collect();
        }
        let wanted = |name: &str| match &self.options.topics {
            Topics::Names(names) => names.binary_search_by(|n| n.as_str().cmp(name)).is_ok(),
            Topics::Pattern(pattern) => !is_internal_topic(name) && pattern.is_match(name),
            Topics::Partitions(_) => false,
        };
        let topics = self.log.topics().into_iter().filter(|t| wanted(&t.name));
        topics.flat_map(|t| (0..t.partitions).map(move |p| (t.name.clone(), p))).collect()
    }

    /// First offsets that are there and ends, the latter never below `from`.
    fn high_watermarks(&self, from: &Position) -> Result<(Position, Position), SourceError> {
        let offsets = self.partitions().into_iter().map(|(topic, partition)| {
            let offsets = self.log.offsets(&topic, partition).map_err(source_error)?;
            Ok((topic, partition, offsets))
        });
        ends(from, offsets.collect::<Result<Vec<_>, SourceError>>()?, self.options.fail_on_data_loss)
    }

    async fn start_of(&self, topic: &str, partition: i32) -> Result<i64, SourceError> {
        let offsets = self.log.offsets(topic, partition).map_err(source_error)?;
        match begin(&self.options.starting, topic, partition, offsets)? {
            Begin::At(offset) => Ok(offset),
            Begin::AtTime { timestamp_ms, otherwise } => {
                let found =
                    self.log.offset_for_timestamp(topic, partition, timestamp_ms).await.map_err(source_error)?;
                found.or(otherwise).ok_or_else(|| no_record(topic, partition, timestamp_ms))
            }
        }
    }
}

/// As a source tells it.
fn source_error(error: EmbeddedError) -> SourceError {
    match error {
        EmbeddedError::Unavailable(_) => SourceError::Unavailable(error.to_string()),
        _ => SourceError::Fatal(error.to_string()),
    }
}

#[async_trait]
impl Source for EmbeddedSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn origin(&self) -> Result<Option<String>, SourceError> {
        Ok(Some(origin(&self.log.cluster_id())))
    }

    async fn start(&self) -> Result<Position, SourceError> {
        self.ensure().await?;
        let mut position = Position::new();
        for (topic, partition) in self.partitions() {
            let offset = self.start_of(&topic, partition).await?;
            position.insert(partition_name(&topic, partition), offset);
        }
        Ok(position)
    }

    async fn end(&self, from: &Position) -> Result<Position, SourceError> {
        let (starts, end) = self.high_watermarks(from)?;
        Ok(match self.options.max_offsets_per_trigger {
            Some(max) => limit(from, &starts, end, max),
            None => end,
        })
    }

    async fn latest(&self, from: &Position) -> Result<Option<Position>, SourceError> {
        if self.options.max_offsets_per_trigger.is_none() {
            return Ok(None);
        }
        Ok(Some(self.high_watermarks(from)?.1))
    }

    fn read(
        &self,
        from: Position,
        to: Position,
        projection: Option<Vec<usize>>,
    ) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
        let columns = match Columns::new(&self.schema, projection.as_deref()) {
            Ok(columns) => columns,
            Err(e) => return stream::iter([Err(SourceError::Fatal(e.to_string()))]).boxed(),
        };
        let mut readers = Vec::new();
        let mut total = 0;
        for (name, to) in to {
            let Some((topic, partition)) = parse_partition_name(&name) else { continue };
            let from = match from.get(&name) {
                Some(from) => *from,
                // A partition that is new is read from its beginning.
                None => match self.log.offsets(topic, partition) {
                    Ok(offsets) => offsets.log_start,
                    Err(e) => return stream::iter([Err(source_error(e))]).boxed(),
                },
            };
            if from < to {
                total += to - from;
                readers.push(PartitionReader {
                    decoder: Decoder::new(&columns, topic, partition),
                    topic: topic.to_owned(),
                    partition,
                    next: from,
                    to,
                    fail_on_data_loss: self.options.fail_on_data_loss,
                });
            }
        }
        let chunks = interleave(Arc::clone(&self.log), readers);
        if total <= INLINE_OFFSETS {
            return chunks;
        }
        let (sender, receiver) = mpsc::channel(PREFETCH_BATCHES);
        let task = tokio::spawn(async move {
            let mut chunks = chunks;
            while let Some(chunk) = chunks.next().await {
                if sender.send(chunk).await.is_err() {
                    break;
                }
            }
        });
        handed_over(receiver, task)
    }

    async fn changed(&self, from: &Position) -> Result<(), SourceError> {
        loop {
            let mut moved = FuturesUnordered::new();
            let partitions: BTreeMap<String, (String, i32)> =
                self.partitions().into_iter().map(|(topic, p)| (partition_name(&topic, p), (topic, p))).collect();
            for (name, (topic, partition)) in &partitions {
                let Some(read) = from.get(name).copied() else { return Ok(()) };
                let mut receiver = self.log.watch(topic, *partition).map_err(source_error)?;
                // A topic that was made anew has a lower end: `end` tells, if it matters.
                let strict = self.options.fail_on_data_loss;
                moved
                    .push(async move { receiver.wait_for(|end| *end > read || (strict && *end < read)).await.is_ok() });
            }
            // Subscribed topics are made at the start; only names and partitions that are new need a look from time to time.
            let discovery = tokio::time::sleep(DISCOVERY_INTERVAL);
            tokio::pin!(discovery);
            loop {
                tokio::select! {
                    one = moved.next(), if !moved.is_empty() => match one {
                        Some(true) => return Ok(()),
                        // The partition was deleted.
                        _ => continue,
                    },
                    () = &mut discovery => break,
                }
            }
        }
    }

    fn needed_from(&self, reader: &str, from: &Position) {
        for (name, offset) in from {
            let Some((topic, partition)) = parse_partition_name(name) else { continue };
            if let Err(error) = self.log.hold(topic, partition, reader, *offset, HOLD_MS) {
                tracing::debug!(%error, reader, "retention is not told what is still needed");
            }
        }
    }

    fn record_of(&self, partition: &str, offset: i64) -> Option<RecordId> {
        let (topic, partition) = parse_partition_name(partition)?;
        Some(RecordId { topic: topic.to_owned(), partition, offset })
    }
}

/// Reads one range of one partition, chunk by chunk.
struct PartitionReader {
    topic: String,
    partition: i32,
    next: i64,
    to: i64,
    fail_on_data_loss: bool,
    decoder: Decoder,
}

impl PartitionReader {
    async fn chunk(&mut self, log: &dyn EmbeddedLog, out: &mut Vec<SourceBatch>) -> Result<(), SourceError> {
        match log.read(&self.topic, self.partition, self.next, READ_BYTES).await {
            // Nothing is left there of what was compacted or aborted.
            Ok(bytes) if bytes.is_empty() => self.next = self.to,
            Ok(bytes) => {
                let place = |e: crate::decode::DecodeError| {
                    SourceError::Fatal(format!("{}-{} from offset {}: {e}", self.topic, self.partition, self.next))
                };
                self.next = self.decoder.push(&bytes, self.next, self.to, out).map_err(place)?;
            }
            // Made anew, it may also end before what is to be read.
            Err(EmbeddedError::OutOfRange { log_start, .. }) => {
                self.pass_over(if self.next < log_start { log_start } else { self.to })?;
            }
            Err(e) => return Err(source_error(e)),
        }
        if self.next >= self.to {
            self.decoder.flush(out).map_err(|e| SourceError::Fatal(e.to_string()))?;
        }
        Ok(())
    }

    /// Goes on at `there`, because the records before it are gone.
    fn pass_over(&mut self, there: i64) -> Result<(), SourceError> {
        let lost = data_loss(&self.topic, self.partition, self.next, there);
        if self.fail_on_data_loss {
            return Err(SourceError::Fatal(lost));
        }
        tracing::warn!("{lost}");
        self.next = there.min(self.to);
        Ok(())
    }
}

struct Interleave {
    log: Arc<dyn EmbeddedLog>,
    readers: Vec<PartitionReader>,
    turn: usize,
    ready: std::vec::IntoIter<SourceBatch>,
}

/// A chunk of each partition in turn.
fn interleave(
    log: Arc<dyn EmbeddedLog>,
    readers: Vec<PartitionReader>,
) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
    let state = Interleave { log, readers, turn: 0, ready: Vec::new().into_iter() };
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(batch) = state.ready.next() {
                return Some((Ok(batch), state));
            }
            if state.readers.is_empty() {
                return None;
            }
            let turn = state.turn % state.readers.len();
            let reader = &mut state.readers[turn];
            let mut out = Vec::new();
            if let Err(e) = reader.chunk(&*state.log, &mut out).await {
                state.readers.clear();
                return Some((Err(e), state));
            }
            if reader.next >= reader.to {
                state.readers.remove(turn);
                state.turn = turn;
            } else {
                state.turn = turn + 1;
            }
            state.ready = out.into_iter();
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use futures::FutureExt;

    use super::*;
    use crate::decode::kafka_schema;
    use crate::embedded::Append;
    use crate::records::Payload;
    use crate::testing::MemoryLog;

    async fn produce(log: &MemoryLog, topic: &str, partition: i32, from: i64, count: i64) {
        let mut payload = Payload::default();
        for n in from..from + count {
            payload.push(n, None, Some(n.to_string().as_bytes()), &[]);
        }
        let batches = payload.finish().unwrap();
        log.append(vec![Append { topic: topic.into(), partition, batches }]).await.unwrap();
    }

    fn source(log: &Arc<MemoryLog>, pairs: &[(&str, &str)]) -> EmbeddedSource {
        let options = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let log: Arc<dyn EmbeddedLog> = Arc::clone(log) as Arc<dyn EmbeddedLog>;
        EmbeddedSource::new(log, kafka_schema(false), KafkaOptions::parse(&options).unwrap()).unwrap()
    }

    async fn topic(log: &MemoryLog, name: &str, partitions: i32) {
        log.ensure_topic(name, TopicSpec { partitions, configs: vec![] }).await.unwrap();
    }

    async fn offsets(source: &EmbeddedSource, from: Position, to: Position) -> BTreeMap<String, Vec<i64>> {
        let mut out: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut stream = source.read(from, to, Some(vec![4]));
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap();
            let offsets = batch.rows.column(0).as_primitive::<Int64Type>();
            assert_eq!(batch.next_offset, offsets.value(offsets.len() - 1) + 1);
            out.entry(batch.partition).or_default().extend(offsets.values());
        }
        out
    }

    #[tokio::test]
    async fn reads_every_partition_in_order_from_the_start() {
        let log = MemoryLog::new();
        topic(&log, "a", 3).await;
        for part in 0..3 {
            for chunk in 0..40 {
                produce(&log, "a", part, chunk * 500, 500).await;
            }
        }
        let source = source(&log, &[("subscribe", "a"), ("startingoffsets", "earliest")]);
        let from = source.start().await.unwrap();
        let to = source.end(&from).await.unwrap();
        let read = offsets(&source, from, to).await;
        assert_eq!(read.len(), 3);
        assert!(read.values().all(|o| *o == (0..20_000).collect::<Vec<_>>()));
    }

    #[tokio::test]
    async fn a_range_in_the_middle_is_read_twice_alike() {
        let log = MemoryLog::new();
        topic(&log, "a", 1).await;
        produce(&log, "a", 0, 0, 100).await;
        let source = source(&log, &[("subscribe", "a")]);
        let range = |from, to| (Position::from([("a-0".into(), from)]), Position::from([("a-0".into(), to)]));
        for _ in 0..2 {
            let (from, to) = range(13, 57);
            assert_eq!(offsets(&source, from, to).await["a-0"], (13..57).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn begins_where_it_is_told() {
        let log = MemoryLog::new();
        topic(&log, "a", 2).await;
        produce(&log, "a", 0, 0, 10).await;
        produce(&log, "a", 1, 0, 4).await;
        log.delete_records("a", 0, 3).await.unwrap();
        let at = |a, b| Position::from([("a-0".to_owned(), a), ("a-1".to_owned(), b)]);
        for (options, expected) in [
            (vec![("startingoffsets", "earliest")], at(3, 0)),
            (vec![], at(10, 4)),
            (vec![("startingoffsets", r#"{"a":{"0":7,"1":-2}}"#)], at(7, 0)),
            (vec![("startingtimestamp", "2")], at(3, 2)),
            (vec![("startingtimestamp", "7"), ("startingoffsetsbytimestampstrategy", "latest")], at(7, 4)),
        ] {
            let all = [vec![("subscribe", "a")], options].concat();
            assert_eq!(source(&log, &all).start().await.unwrap(), expected, "{all:?}");
        }
        for wrong in [
            ("startingoffsets", r#"{"a":{"0":7}}"#),
            ("startingoffsets", r#"{"a":{"0":2,"1":0}}"#),
            ("startingtimestamp", "9"),
        ] {
            assert!(source(&log, &[("subscribe", "a"), wrong]).start().await.is_err(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_subscribed_topic_is_made_and_its_first_record_wakes() {
        let log = MemoryLog::new();
        let source = source(&log, &[("subscribe", "new"), ("startingoffsets", "earliest")]);
        let from = source.start().await.unwrap();
        assert_eq!(from, Position::from([("new-0".into(), 0)]));
        let mut changed = source.changed(&from).boxed();
        assert!((&mut changed).now_or_never().is_none());
        produce(&log, "new", 0, 0, 1).await;
        changed.await.unwrap();
        assert_eq!(source.end(&from).await.unwrap()["new-0"], 1);
    }

    #[tokio::test]
    async fn a_pattern_finds_new_topics_and_no_internal_ones() {
        let log = MemoryLog::new();
        let source = source(&log, &[("subscribepattern", ".*a"), ("startingoffsets", "latest")]);
        assert!(source.start().await.unwrap().is_empty());
        topic(&log, "__millstream.a", 1).await;
        topic(&log, "xa", 1).await;
        produce(&log, "xa", 0, 0, 5).await;
        let end = source.end(&Position::new()).await.unwrap();
        assert_eq!(end, Position::from([("xa-0".into(), 5)]));
        assert_eq!(offsets(&source, Position::new(), end).await["xa-0"].len(), 5, "from its beginning");
    }

    #[tokio::test]
    async fn the_trigger_limit_cuts_an_epoch_and_not_the_run() {
        let log = MemoryLog::new();
        topic(&log, "a", 1).await;
        produce(&log, "a", 0, 0, 10).await;
        let source =
            source(&log, &[("subscribe", "a"), ("startingoffsets", "earliest"), ("maxoffsetspertrigger", "4")]);
        let from = source.start().await.unwrap();
        assert_eq!(source.end(&from).await.unwrap()["a-0"], 4);
        assert_eq!(source.latest(&from).await.unwrap().unwrap()["a-0"], 10);
    }

    #[tokio::test]
    async fn lost_records_stop_or_are_passed_over_as_told() {
        let log = MemoryLog::new();
        topic(&log, "a", 1).await;
        produce(&log, "a", 0, 0, 5).await;
        produce(&log, "a", 0, 5, 5).await;
        log.delete_records("a", 0, 5).await.unwrap();
        let range = || (Position::from([("a-0".to_owned(), 2)]), Position::from([("a-0".to_owned(), 10)]));
        let strict = source(&log, &[("subscribe", "a")]);
        let first = strict.read(range().0, range().1, None).next().await;
        assert!(matches!(first, Some(Err(SourceError::Fatal(m))) if m.contains("failOnDataLoss")));
        let lenient = source(&log, &[("subscribe", "a"), ("failondataloss", "false")]);
        assert_eq!(offsets(&lenient, range().0, range().1).await["a-0"], (5..10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_read_before_the_rest_was_lost_is_given_out() {
        for made_anew in [false, true] {
            let log = MemoryLog::new();
            topic(&log, "a", 1).await;
            // Each more than is read at once.
            for chunk in 0..3 {
                let mut payload = Payload::default();
                (0..2).for_each(|_| payload.push(chunk, None, Some(&[b'x'; READ_BYTES]), &[]));
                let batches = payload.finish().unwrap();
                log.append(vec![Append { topic: "a".into(), partition: 0, batches }]).await.unwrap();
            }
            log.before_read(move |log, offset| {
                if offset > 0 && made_anew {
                    log.delete_topic("a");
                    log.ensure_topic("a", TopicSpec::default()).now_or_never().unwrap().unwrap();
                } else if offset > 0 {
                    log.delete_records("a", 0, 6).now_or_never().unwrap().unwrap();
                }
            });
            let range = || (Position::from([("a-0".to_owned(), 0)]), Position::from([("a-0".to_owned(), 5)]));
            let lenient = source(&log, &[("subscribe", "a"), ("failondataloss", "false")]);
            let read = offsets(&lenient, range().0, range().1).await;
            assert_eq!(read["a-0"], [0], "{made_anew}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_falls_over_is_no_end() {
        let log = MemoryLog::new();
        topic(&log, "a", 1).await;
        produce(&log, "a", 0, 0, INLINE_OFFSETS + 1).await;
        log.before_read(|_, _| panic!("the reader falls over, as this test wants it"));
        let range = (Position::from([("a-0".to_owned(), 0)]), Position::from([("a-0".to_owned(), INLINE_OFFSETS + 1)]));
        let items: Vec<_> = source(&log, &[("subscribe", "a")]).read(range.0, range.1, None).collect().await;
        assert!(matches!(&items[..], [Err(SourceError::Fatal(m))] if m.contains("falls over")), "{items:?}");
    }

    #[test]
    fn retention_is_told_what_a_flow_needs() {
        let log = MemoryLog::new();
        source(&log, &[("subscribe", "a")]).needed_from("sums", &Position::from([("a-3".to_owned(), 17)]));
        assert_eq!(log.held("a", 3, "sums"), Some(17));
    }

    #[test]
    fn reads_what_is_committed_and_says_so() {
        let of = |level: &str| {
            let options = [("subscribe", "a"), ("kafka.isolation.level", level)];
            let options = options.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            EmbeddedSource::new(MemoryLog::new(), kafka_schema(false), KafkaOptions::parse(&options).unwrap())
        };
        assert!(of("read_committed").is_ok());
        assert!(matches!(of("read_uncommitted"), Err(SourceError::Fatal(m)) if m.contains("kafka.isolation.level")));
    }
}
