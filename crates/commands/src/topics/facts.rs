//! What is known of topics: offsets, sizes, newest records.

use std::collections::HashMap;

use millstream_client::{Client, ClientError, Found, OffsetAt};
use millstream_protocol::ErrorCode;
use serde::Serialize;

use crate::{CommandError, human};

/// A topic in a listing.
#[derive(Debug, Clone, Serialize)]
pub struct TopicFacts {
    pub topic: String,
    pub partitions: i64,
    pub replicas: i64,
    /// Offsets between first and next of all partitions: compaction and markers may leave fewer records.
    pub records: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    #[serde(skip)]
    pub newest_ms: Option<i64>,
}

/// A partition in a description.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionFacts {
    pub partition: i32,
    pub leader: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
    pub first_offset: i64,
    pub next_offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    #[serde(skip)]
    pub newest_ms: Option<i64>,
}

/// Bytes by topic and partition.
pub type Sizes = HashMap<(String, i32), i64>;

/// Sizes of partitions; none from a broker that does not tell them, or not to us.
pub async fn sizes(client: &Client, topics: Option<&[&str]>) -> Result<Option<Sizes>, CommandError> {
    match client.partition_bytes(topics).await {
        Ok(sizes) => Ok(Some(sizes)),
        Err(ClientError::Unsupported { .. }) => Ok(None),
        Err(error) if error.code() == Some(ErrorCode::ClusterAuthorizationFailed) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The partitions of a topic.
pub async fn partitions(
    client: &Client,
    topic: &str,
    sizes: Option<&Sizes>,
) -> Result<Vec<PartitionFacts>, CommandError> {
    let metadata = client.metadata(Some(vec![topic])).await?;
    let mut parts = metadata.topics.into_iter().next().map(|topic| topic.partitions).unwrap_or_default();
    parts.sort_by_key(|part| part.partition_index);
    let numbers: Vec<i32> = parts.iter().map(|part| part.partition_index).collect();
    let first = client.find_offsets(topic, &numbers, OffsetAt::Earliest).await?;
    let next = client.find_offsets(topic, &numbers, OffsetAt::Latest).await?;
    let newest = newest(client, topic, &numbers).await?;
    let facts = parts.into_iter().zip(first.into_iter().zip(next)).enumerate();
    Ok(facts
        .map(|(index, (part, (first, next)))| {
            let newest_ms = newest.get(index).map(|found| found.timestamp).filter(|ms| *ms >= 0);
            PartitionFacts {
                partition: part.partition_index,
                leader: part.leader_id,
                replicas: part.replica_nodes,
                in_sync: part.isr_nodes,
                first_offset: first.offset,
                next_offset: next.offset,
                bytes: sizes.and_then(|sizes| sizes.get(&(topic.to_owned(), part.partition_index)).copied()),
                newest: newest_ms.map(human::iso),
                newest_ms,
            }
        })
        .collect())
}

/// Empty from brokers before Kafka 3.0.
async fn newest(client: &Client, topic: &str, partitions: &[i32]) -> Result<Vec<Found>, CommandError> {
    match client.find_offsets(topic, partitions, OffsetAt::Newest).await {
        Ok(found) => Ok(found),
        Err(ClientError::Unsupported { .. }) => Ok(Vec::new()),
        Err(error) if error.code() == Some(ErrorCode::UnsupportedForMessageFormat) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// A topic as one line.
pub fn sum(topic: &str, partitions: &[PartitionFacts]) -> TopicFacts {
    let newest_ms = partitions.iter().filter_map(|part| part.newest_ms).max();
    TopicFacts {
        topic: topic.to_owned(),
        partitions: partitions.len() as i64,
        replicas: partitions.iter().map(|part| part.replicas.len()).max().unwrap_or(0) as i64,
        records: partitions.iter().map(|part| part.next_offset - part.first_offset).sum(),
        bytes: partitions.iter().map(|part| part.bytes).sum(),
        newest: newest_ms.map(human::iso),
        newest_ms,
    }
}
