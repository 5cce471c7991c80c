//! How far a group is behind: in records, and in time.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use millstream_client::{Client, ClientError, Fetched, Group, GroupOffset, OffsetAt};
use millstream_protocol::ErrorCode;
use millstream_protocol::records::{Scratch, batches};
use serde::Serialize;

use crate::CommandError;

/// Partitions looked into at once.
const AT_ONCE: usize = 16;

/// A partition that a group reads or has read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionLag {
    pub topic: String,
    pub partition: i32,
    /// The next record that the group will read; none if it never committed.
    pub committed: Option<i64>,
    /// Offset behind the last record; none if the topic is gone.
    pub end: Option<i64>,
    /// Records that it has not read.
    pub lag: Option<i64>,
    /// Age of the oldest of them.
    pub behind_seconds: Option<f64>,
    /// Who reads it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// Records and ms that a whole group is behind: the sum, and the worst.
pub fn total(lags: &[PartitionLag]) -> (Option<i64>, Option<f64>) {
    let records = lags.iter().filter_map(|lag| lag.lag).reduce(|a, b| a + b);
    (records, lags.iter().filter_map(|lag| lag.behind_seconds).reduce(f64::max))
}

/// Every partition that the group has committed or is assigned, by topic and number.
pub async fn of_group(client: &Client, group: &Group, now_ms: i64) -> Result<Vec<PartitionLag>, CommandError> {
    let committed: BTreeMap<(String, i32), i64> = client
        .group_offsets(&group.id)
        .await?
        .into_iter()
        .map(|GroupOffset { topic, partition, offset }| ((topic, partition), offset))
        .collect();
    let readers = readers(group);
    let mut by_topic: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for (topic, partition) in committed.keys().chain(readers.keys()) {
        by_topic.entry(topic).or_default().insert(*partition);
    }
    let mut lags = Vec::new();
    for (topic, partitions) in by_topic {
        let partitions: Vec<i32> = partitions.into_iter().collect();
        let bounds = bounds(client, topic, &partitions).await?;
        for (index, partition) in partitions.into_iter().enumerate() {
            let key = (topic.to_owned(), partition);
            let committed = committed.get(&key).copied();
            let end = bounds.as_ref().map(|bounds| bounds[index].1);
            lags.push((
                bounds.as_ref().map(|bounds| bounds[index].0),
                PartitionLag {
                    topic: key.0.clone(),
                    partition,
                    committed,
                    end,
                    lag: committed.zip(end).map(|(committed, end)| (end - committed).max(0)),
                    behind_seconds: None,
                    member: readers.get(&key).cloned(),
                },
            ));
        }
    }
    stream::iter(lags)
        .map(|(first, mut lag)| async move {
            lag.behind_seconds = match (lag.lag, lag.committed, first) {
                (Some(0), ..) => Some(0.0),
                (Some(_), Some(committed), Some(first)) => {
                    let next = client.peek(&lag.topic, lag.partition, committed.max(first)).await?;
                    oldest_ms(&next)?.map(|ms| (now_ms - ms).max(0) as f64 / 1000.0)
                }
                _ => None,
            };
            Ok(lag)
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// First and next offsets; none if the topic, or one of the partitions, is gone.
async fn bounds(client: &Client, topic: &str, partitions: &[i32]) -> Result<Option<Vec<(i64, i64)>>, CommandError> {
    let both = async {
        let first = client.find_offsets(topic, partitions, OffsetAt::Earliest).await?;
        let next = client.find_offsets(topic, partitions, OffsetAt::Latest).await?;
        Ok::<_, ClientError>(first.iter().zip(next).map(|(first, next)| (first.offset, next.offset)).collect())
    };
    match both.await {
        Ok(bounds) => Ok(Some(bounds)),
        Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Time stamp of the first record from the offset asked for on; that of its batch if only markers are left there.
fn oldest_ms(fetched: &Fetched) -> Result<Option<i64>, ClientError> {
    let mut oldest = None;
    fetched.for_each(&mut Scratch::default(), |record| {
        oldest.get_or_insert(record.timestamp);
    })?;
    Ok(oldest.or_else(|| batches(&fetched.batches).next()?.ok().map(|(header, _)| header.max_timestamp)))
}

/// Who reads which partition.
fn readers(group: &Group) -> BTreeMap<(String, i32), String> {
    let mut readers = BTreeMap::new();
    for member in &group.members {
        for (topic, partitions) in &member.assigned {
            for partition in partitions {
                readers.insert((topic.clone(), *partition), format!("{}{}", member.client_id, member.host));
            }
        }
    }
    readers
}
