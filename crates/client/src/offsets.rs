//! Where partitions begin and end, what lies at a time, how much disk they take, and a look at single places.

use std::collections::{BTreeMap, HashMap};

use millstream_protocol::ApiKey;
use millstream_protocol::messages::{
    DescribeLogDirsRequest, FetchRequest, ListOffsetsRequest, describe_log_dirs, fetch, list_offsets,
};
use millstream_protocol::records::{BatchError, batches};

use crate::admin::empty;
use crate::error::accepted;
use crate::{Client, ClientError, Fetched};

const TIMEOUT_MS: i32 = 30_000;

/// A place in a partition, to be turned into an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// This offset.
    Offset(i64),
    /// The first record that is there.
    Earliest,
    /// Behind the last record.
    Latest,
    /// Behind the last record that readers of committed transactions may see.
    Stable,
    /// The first record at or after this time, ms since 1970; behind the last if there is none.
    Timestamp(i64),
    /// The record with the largest time stamp; -1 if there is no record (KIP-734, brokers since Kafka 3.0).
    Newest,
}

impl OffsetAt {
    /// Kafka's number in place of a time stamp; none for an offset.
    fn timestamp(self) -> Option<i64> {
        match self {
            OffsetAt::Offset(_) => None,
            OffsetAt::Earliest => Some(-2),
            OffsetAt::Latest | OffsetAt::Stable => Some(-1),
            OffsetAt::Timestamp(ms) => Some(ms),
            OffsetAt::Newest => Some(-3),
        }
    }
}

/// What was found at a place of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The offset.
    pub offset: i64,
    /// Time stamp of the record there, ms since 1970; -1 where the place is not one record's.
    pub timestamp: i64,
}

impl Client {
    /// Turns a place in a partition into an offset.
    pub async fn offset(&self, topic: &str, partition: i32, at: OffsetAt) -> Result<i64, ClientError> {
        Ok(self.find_offsets(topic, &[partition], at).await?.first().map_or(-1, |found| found.offset))
    }

    /// First and next offset of a partition.
    pub async fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), ClientError> {
        let earliest = self.offset(topic, partition, OffsetAt::Earliest).await?;
        Ok((earliest, self.offset(topic, partition, OffsetAt::Latest).await?))
    }

    /// Turns a place in each of these partitions of a topic into an offset, in their order: one request a broker.
    pub async fn find_offsets(&self, topic: &str, partitions: &[i32], at: OffsetAt) -> Result<Vec<Found>, ClientError> {
        let Some(timestamp) = at.timestamp() else {
            let OffsetAt::Offset(offset) = at else { return Ok(Vec::new()) };
            return Ok(vec![Found { offset, timestamp: -1 }; partitions.len()]);
        };
        let mut found: HashMap<i32, Found> = HashMap::with_capacity(partitions.len());
        let moved = |error: &ClientError| {
            error.is_retriable() && partitions.iter().any(|p| self.known_leader(topic, *p).is_some()) && {
                self.forget_topic(topic);
                true
            }
        };
        found.extend(self.retry(moved, || self.find_once(topic, partitions, timestamp, at == OffsetAt::Stable)).await?);
        if matches!(at, OffsetAt::Timestamp(_)) {
            let behind: Vec<i32> = partitions.iter().copied().filter(|p| found[p].offset < 0).collect();
            if !behind.is_empty() {
                let ends = Box::pin(self.find_offsets(topic, &behind, OffsetAt::Latest)).await?;
                found.extend(behind.into_iter().zip(ends));
            }
        }
        Ok(partitions.iter().map(|partition| found[partition]).collect())
    }

    /// An answer for each of `partitions`, or an error.
    async fn find_once(
        &self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
        committed: bool,
    ) -> Result<HashMap<i32, Found>, ClientError> {
        let mut by_leader: BTreeMap<i32, Vec<list_offsets::ListOffsetsPartition>> = BTreeMap::new();
        for &partition_index in partitions {
            let (leader, _) = self.leader_of(topic, partition_index).await?;
            let part = list_offsets::ListOffsetsPartition { partition_index, timestamp, ..Default::default() };
            by_leader.entry(leader).or_default().push(part);
        }
        let mut found = HashMap::with_capacity(partitions.len());
        for (leader, parts) in by_leader {
            let asked: Vec<i32> = parts.iter().map(|part| part.partition_index).collect();
            let request = ListOffsetsRequest {
                replica_id: -1,
                isolation_level: i8::from(committed),
                topics: vec![list_offsets::ListOffsetsTopic { name: topic.to_owned(), partitions: parts }],
                timeout_ms: TIMEOUT_MS,
            };
            let connection = self.broker(leader).await?;
            let version = connection.version::<ListOffsetsRequest>()?;
            if timestamp == -3 && version < 7 {
                return Err(ClientError::Unsupported {
                    address: self.address_of(leader)?,
                    api: ApiKey::ListOffsets,
                    offered: connection.offered(ApiKey::ListOffsets),
                });
            }
            let answer = connection.call_at(&request, version).await?;
            for part in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                let what = || format!("offset of {topic}-{}", part.partition_index);
                accepted(part.error_code, None, what)?;
                found.insert(part.partition_index, Found { offset: part.offset, timestamp: part.timestamp });
            }
            if let Some(missing) = asked.iter().find(|partition| !found.contains_key(partition)) {
                return Err(empty(format!("offset of {topic}-{missing}")));
            }
        }
        Ok(found)
    }

    /// Bytes on disk of every partition of these topics (`None` = of all), as its leader has it.
    pub async fn partition_bytes(&self, topics: Option<&[&str]>) -> Result<HashMap<(String, i32), i64>, ClientError> {
        let mut asked = None;
        if let Some(topics) = topics {
            let mut named = Vec::with_capacity(topics.len());
            for name in topics {
                let partitions = (0..self.topic(name).await?.partitions()).collect();
                named.push(describe_log_dirs::DescribableLogDirTopic { topic: (*name).to_owned(), partitions });
            }
            asked = Some(named);
        }
        let request = DescribeLogDirsRequest { topics: asked };
        let mut bytes = HashMap::new();
        for (node_id, _) in self.brokers() {
            let answer = self.broker(node_id).await?.call(&request).await?;
            accepted(answer.error_code, None, || format!("data folders of broker {node_id}"))?;
            for dir in &answer.results {
                accepted(dir.error_code, None, || format!("{} of broker {node_id}", dir.log_dir))?;
                for topic in &dir.topics {
                    for part in topic.partitions.iter().filter(|part| !part.is_future_key) {
                        let leads = self.known_leader(&topic.name, part.partition_index) == Some(node_id);
                        let key = (topic.name.clone(), part.partition_index);
                        if leads || !bytes.contains_key(&key) {
                            bytes.insert(key, part.partition_size);
                        }
                    }
                }
            }
        }
        Ok(bytes)
    }

    /// The batch that holds `offset`, and perhaps some that follow, without waiting: for a look at one place. No batches if there is
    /// nothing at or behind it.
    pub async fn peek(&self, topic: &str, partition: i32, offset: i64) -> Result<Fetched, ClientError> {
        let (leader, known) = self.leader_of(topic, partition).await?;
        let connection = self.broker(leader).await?;
        let version = connection.version_up_to::<FetchRequest>(if known.id.is_nil() { 12 } else { i16::MAX })?;
        // A broker gives at least one whole batch, however small the size asked for (KIP-74).
        let part =
            fetch::FetchPartition { partition, fetch_offset: offset, partition_max_bytes: 1, ..Default::default() };
        let wanted = fetch::FetchTopic { topic: topic.to_owned(), topic_id: known.id, partitions: vec![part] };
        let request = FetchRequest { max_bytes: 1, min_bytes: 0, topics: vec![wanted], ..Default::default() };
        let answer = connection.call_at(&request, version).await?;
        accepted(answer.error_code, None, || "fetch".to_owned())?;
        let what = || format!("fetch of {topic}-{partition} from offset {offset}");
        let part = answer.responses.into_iter().next().and_then(|topic| topic.partitions.into_iter().next());
        let part = part.ok_or_else(|| empty(what()))?;
        accepted(part.error_code, None, what)?;
        let bytes = part.records.unwrap_or_default();
        let mut walk = batches(&bytes);
        let end = loop {
            let at = walk.position();
            match walk.next() {
                Some(Ok(_)) => {}
                // Older brokers cut the last batch to the size asked for.
                Some(Err(BatchError::Truncated { .. })) | None => break at,
                Some(Err(source)) => {
                    return Err(ClientError::Batch { topic: topic.to_owned(), partition, source });
                }
            }
        };
        Ok(Fetched {
            topic: known.name.clone(),
            partition,
            from_offset: offset,
            batches: bytes.slice(..end),
            high_watermark: part.high_watermark,
        })
    }
}
