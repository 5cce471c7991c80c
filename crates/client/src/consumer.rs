//! Consuming: partitions are assigned by hand and read from an offset on.
//!
//! One fetch per broker is under way at a time, also while the caller works on what came before, up to `buffer_bytes_max`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{FetchRequest, FetchResponse, fetch};
use millstream_protocol::records::{BatchError, Record, Scratch, batches, check, decode_checked};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::debug;
use uuid::Uuid;

use crate::cluster::Pool;
use crate::error::accepted;
use crate::{Client, ClientError, OffsetAt};

/// How a consumer behaves.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// How long the broker holds a fetch back for `min_bytes`.
    pub max_wait: Duration,
    /// Bytes worth an answer.
    pub min_bytes: i32,
    /// Bytes of an answer, about.
    pub max_bytes: i32,
    /// Bytes of a partition in an answer, about; a batch is never cut, whatever its size.
    pub partition_max_bytes: i32,
    /// Bytes fetched ahead of the caller, about.
    pub buffer_bytes_max: usize,
    /// Whether records of open and aborted transactions stay hidden: the broker then answers up to the last stable offset, and batches of aborted
    /// transactions are handed out without their records.
    pub read_committed: bool,
    /// Whether to end at the offsets that were the ends when partitions were assigned.
    pub stop_at_end: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 4 << 20,
            buffer_bytes_max: 64 << 20,
            read_committed: false,
            stop_at_end: false,
        }
    }
}

/// Batches of one partition, as the broker keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// The offset that was asked for: the first batch may begin before it.
    pub from_offset: i64,
    /// Whole batches.
    pub batches: Bytes,
    /// The partition's end at the time.
    pub high_watermark: i64,
}

impl Fetched {
    /// Calls `each` with every record from `from_offset` on, in order; control batches are left out. Stops at its first error.
    pub fn for_each(&self, scratch: &mut Scratch, mut each: impl FnMut(Record<'_>)) -> Result<(), ClientError> {
        let failed = |source: BatchError| ClientError::Batch {
            topic: self.topic.to_string(),
            partition: self.partition,
            source,
        };
        for batch in batches(&self.batches) {
            let (header, bytes) = batch.map_err(failed)?;
            if header.is_control() {
                continue;
            }
            check(bytes).map_err(failed)?;
            for record in decode_checked(&header, bytes, scratch).map_err(failed)? {
                let record = record.map_err(failed)?;
                if record.offset >= self.from_offset {
                    each(record);
                }
            }
        }
        Ok(())
    }
}

struct Assigned {
    topic: Arc<str>,
    partition: i32,
    position: i64,
    /// Where to stop.
    end: Option<i64>,
}

impl Assigned {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }
}

/// What a fetch was about, and what came.
struct Answer {
    node: i32,
    asked: Vec<(usize, i64)>,
    ids: HashMap<Uuid, Arc<str>>,
    result: Result<FetchResponse, ClientError>,
}

/// Reads partitions that are assigned to it.
pub struct Consumer {
    client: Client,
    pool: Arc<Pool>,
    options: ConsumerOptions,
    assigned: Vec<Assigned>,
    under_way: JoinSet<Answer>,
    nodes_busy: Vec<i32>,
    queue: VecDeque<Fetched>,
    queue_bytes: usize,
    not_before: Option<Instant>,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("partitions", &self.assigned.len()).finish_non_exhaustive()
    }
}

impl Consumer {
    /// A consumer without partitions.
    pub fn new(client: Client, options: ConsumerOptions) -> Consumer {
        Consumer {
            pool: Arc::new(client.new_pool()),
            client,
            options,
            assigned: Vec::new(),
            under_way: JoinSet::new(),
            nodes_busy: Vec::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            not_before: None,
        }
    }

    /// Adds a partition, to be read from `start` on. Must come before the first [`Consumer::next`].
    pub async fn assign(&mut self, topic: &str, partition: i32, start: OffsetAt) -> Result<(), ClientError> {
        self.assign_all(topic, &[partition], start).await
    }

    /// Adds all partitions of a topic.
    pub async fn assign_topic(&mut self, topic: &str, start: OffsetAt) -> Result<(), ClientError> {
        let partitions: Vec<i32> = (0..self.client.topic(topic).await?.partitions()).collect();
        self.assign_all(topic, &partitions, start).await
    }

    async fn assign_all(&mut self, topic: &str, partitions: &[i32], start: OffsetAt) -> Result<(), ClientError> {
        let starts = self.client.find_offsets(topic, partitions, start).await?;
        let end = if self.options.read_committed { OffsetAt::Stable } else { OffsetAt::Latest };
        let ends = match self.options.stop_at_end {
            true => Some(self.client.find_offsets(topic, partitions, end).await?),
            false => None,
        };
        for (index, (partition, start)) in partitions.iter().zip(starts).enumerate() {
            let end = ends.as_ref().map(|ends| ends[index].offset);
            self.assign_range(topic, *partition, start.offset, end);
        }
        Ok(())
    }

    /// Adds a partition, to be read from an offset on and, with `end`, up to there: a last batch may hold records behind it. Must come
    /// before the first [`Consumer::next`].
    pub fn assign_range(&mut self, topic: &str, partition: i32, start: i64, end: Option<i64>) {
        self.assigned.push(Assigned { topic: topic.into(), partition, position: start, end });
    }

    /// The next offset of each partition, as far as [`Consumer::next`] has fetched.
    pub fn positions(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.assigned.iter().map(|part| (&*part.topic, part.partition, part.position))
    }

    /// The next batches; waits for them. `None` when every partition has been read to its end, if all have one.
    pub async fn next(&mut self) -> Result<Option<Fetched>, ClientError> {
        loop {
            self.fetch_ahead().await?;
            if let Some(fetched) = self.queue.pop_front() {
                self.queue_bytes -= fetched.batches.len();
                return Ok(Some(fetched));
            }
            match self.under_way.join_next().await {
                Some(Ok(answer)) => self.take(answer)?,
                Some(Err(_)) => return Err(ClientError::Closed),
                None if self.assigned.iter().all(Assigned::is_done) => return Ok(None),
                None => {
                    // Nobody leads what is left to read.
                    sleep(self.client.options().retry_backoff).await;
                }
            }
        }
    }

    /// Starts a fetch at every broker that has none under way.
    async fn fetch_ahead(&mut self) -> Result<(), ClientError> {
        while let Some(answer) = self.under_way.try_join_next() {
            self.take(answer.map_err(|_| ClientError::Closed)?)?;
        }
        if self.queue_bytes > self.options.buffer_bytes_max {
            return Ok(());
        }
        if let Some(at) = self.not_before.take() {
            tokio::time::sleep_until(at).await;
        }
        let mut by_node: HashMap<i32, Vec<usize>> = HashMap::new();
        for (index, part) in self.assigned.iter().enumerate().filter(|(_, part)| !part.is_done()) {
            let node = match self.client.known_leader(&part.topic, part.partition) {
                Some(node) => node,
                None => match self.client.refresh_topic(&part.topic).await {
                    Ok(_) => continue,
                    Err(error) if error.is_retriable() => continue,
                    Err(error) => return Err(error),
                },
            };
            if !self.nodes_busy.contains(&node) {
                by_node.entry(node).or_default().push(index);
            }
        }
        for (node, parts) in by_node {
            let asked: Vec<_> = parts.iter().map(|index| (*index, self.assigned[*index].position)).collect();
            let mut request = FetchRequest {
                max_wait_ms: self.options.max_wait.as_millis() as i32,
                min_bytes: self.options.min_bytes,
                max_bytes: self.options.max_bytes,
                isolation_level: i8::from(self.options.read_committed),
                ..Default::default()
            };
            let mut ids = HashMap::new();
            for index in parts {
                let part = &self.assigned[index];
                let id = self.client.topic(&part.topic).await?.id;
                ids.insert(id, part.topic.clone());
                let place = request.topics.iter().position(|topic| *topic.topic == *part.topic).unwrap_or_else(|| {
                    let topic = part.topic.to_string();
                    request.topics.push(fetch::FetchTopic { topic, topic_id: id, partitions: vec![] });
                    request.topics.len() - 1
                });
                request.topics[place].partitions.push(fetch::FetchPartition {
                    partition: part.partition,
                    fetch_offset: part.position,
                    partition_max_bytes: self.options.partition_max_bytes,
                    ..Default::default()
                });
            }
            let (client, pool, max_wait) = (self.client.clone(), self.pool.clone(), self.options.max_wait);
            // Only now: a caller that stops waiting above must not leave the broker marked.
            self.nodes_busy.push(node);
            self.under_way.spawn(async move {
                let exchange = async {
                    let connection = pool.get(&client.address_of(node)?).await?;
                    // From version 13 on topics go by id, which must be known.
                    let most = if ids.contains_key(&Uuid::nil()) { 12 } else { i16::MAX };
                    let version = connection.version_up_to::<FetchRequest>(most)?;
                    connection.call_waiting(&request, version, max_wait).await
                };
                let result = exchange.await;
                Answer { node, asked, ids, result }
            });
        }
        Ok(())
    }

    fn take(&mut self, answer: Answer) -> Result<(), ClientError> {
        self.nodes_busy.retain(|node| *node != answer.node);
        let response = match answer.result {
            Ok(response) => response,
            Err(error) if error.is_retriable() => {
                debug!(node = answer.node, %error, "a fetch is sent again");
                answer.asked.iter().for_each(|(index, _)| self.client.forget_topic(&self.assigned[*index].topic));
                self.not_before = Some(Instant::now() + self.client.options().retry_backoff);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        accepted(response.error_code, None, || "fetch".to_owned())?;
        for topic in response.responses {
            let name: Arc<str> = match answer.ids.get(&topic.topic_id) {
                Some(name) if topic.topic.is_empty() => name.clone(),
                _ => topic.topic.as_str().into(),
            };
            for part in topic.partitions {
                let mut asked = answer.asked.iter().filter(|(index, _)| {
                    let assigned = &self.assigned[*index];
                    assigned.topic == name && assigned.partition == part.partition_index
                });
                if let Some((index, from_offset)) = asked.next() {
                    self.take_partition(*index, *from_offset, part)?;
                }
            }
        }
        Ok(())
    }

    fn take_partition(
        &mut self,
        index: usize,
        from_offset: i64,
        part: fetch::PartitionData,
    ) -> Result<(), ClientError> {
        let assigned = &mut self.assigned[index];
        let what = || format!("fetch of {}-{} from offset {from_offset}", assigned.topic, assigned.partition);
        match part.error_code {
            ErrorCode::None => {}
            code if code.is_retriable() => {
                self.client.forget_topic(&assigned.topic);
                self.not_before = Some(Instant::now() + self.client.options().retry_backoff);
                return Ok(());
            }
            code => return accepted(code, None, what),
        }
        let bytes = part.records.unwrap_or_default();
        // Older brokers cut the last batch to the size asked for.
        let mut walk = batches(&bytes);
        let mut next_offset = from_offset;
        let failed =
            |source| ClientError::Batch { topic: assigned.topic.to_string(), partition: assigned.partition, source };
        let end = loop {
            let at = walk.position();
            match walk.next() {
                Some(Ok((header, _))) => next_offset = next_offset.max(header.next_offset()),
                Some(Err(BatchError::Truncated { .. })) => break at,
                Some(Err(error)) => return Err(failed(error)),
                None => break at,
            }
        };
        assigned.position = next_offset;
        let bytes = bytes.slice(..end);
        let bytes = match part.aborted_transactions {
            Some(aborted) if !aborted.is_empty() => without_aborted(&bytes, aborted),
            _ => bytes,
        };
        let end = bytes.len();
        if end > 0 {
            self.queue_bytes += end;
            self.queue.push_back(Fetched {
                topic: assigned.topic.clone(),
                partition: assigned.partition,
                from_offset,
                batches: bytes,
                high_watermark: part.high_watermark,
            });
        }
        Ok(())
    }
}

/// Takes the records out of batches of aborted transactions: each counts as aborted from its first offset to its marker.
fn without_aborted(bytes: &[u8], mut aborted: Vec<fetch::AbortedTransaction>) -> Bytes {
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let mut aborted = aborted.into_iter().peekable();
    let mut passing: HashSet<i64> = HashSet::new();
    let mut out = BytesMut::with_capacity(bytes.len());
    for (header, batch) in batches(bytes).map_while(Result::ok) {
        while let Some(transaction) = aborted.next_if(|transaction| transaction.first_offset <= header.last_offset()) {
            passing.insert(transaction.producer_id);
        }
        if header.is_control() {
            passing.remove(&header.producer_id);
        }
        match !header.is_control() && header.is_transactional() && passing.contains(&header.producer_id) {
            true => out.extend_from_slice(&header.without_records()),
            false => out.extend_from_slice(batch),
        }
    }
    out.freeze()
}
