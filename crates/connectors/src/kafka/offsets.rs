//! Names and arithmetic of positions in topics; the same for every Kafka.

use millstream_engine::{Position, SourceError};

use super::options::Starting;
use crate::embedded::PartitionOffsets;

/// Name of a partition in a [`Position`].
pub fn partition_name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// The reverse of [`partition_name`].
pub fn parse_partition_name(name: &str) -> Option<(&str, i32)> {
    let (topic, partition) = name.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
}

/// The world that offsets belong to.
pub fn origin(cluster_id: &str) -> String {
    format!("cluster {cluster_id}")
}

/// Where a partition begins, as far as it can be said without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At this offset.
    At(i64),
    /// At the first record of this time; see [`no_record`] for when there is none.
    AtTime {
        /// Milliseconds since 1970.
        timestamp_ms: i64,
        /// The end, if no record is that young; else an error.
        otherwise: Option<i64>,
    },
}

/// Where a partition begins that has no progress; the error says what to change.
pub fn begin(
    starting: &Starting,
    topic: &str,
    partition: i32,
    offsets: PartitionOffsets,
) -> Result<Begin, SourceError> {
    let key = (topic.to_owned(), partition);
    let at_time = |timestamp_ms: i64, latest: bool| Begin::AtTime {
        timestamp_ms,
        otherwise: latest.then_some(offsets.high_watermark),
    };
    match starting {
        Starting::Earliest => Ok(Begin::At(offsets.log_start)),
        Starting::Latest => Ok(Begin::At(offsets.high_watermark)),
        Starting::Offsets(given) => match given.get(&key) {
            Some(-2) => Ok(Begin::At(offsets.log_start)),
            Some(-1) => Ok(Begin::At(offsets.high_watermark)),
            Some(offset) if (offsets.log_start..=offsets.high_watermark).contains(offset) => Ok(Begin::At(*offset)),
            Some(offset) => Err(SourceError::Fatal(format!(
                "startingOffsets begins {topic}-{partition} at {offset}, which is not between {} and {}",
                offsets.log_start, offsets.high_watermark
            ))),
            None => Err(SourceError::Fatal(format!(
                "startingOffsets says nothing of {topic}-{partition}; give every partition an offset, or -2 for earliest"
            ))),
        },
        Starting::Timestamp { timestamp_ms, otherwise_latest } => Ok(at_time(*timestamp_ms, *otherwise_latest)),
        Starting::Timestamps { timestamps_ms, otherwise_latest } => match timestamps_ms.get(&key) {
            Some(timestamp_ms) => Ok(at_time(*timestamp_ms, *otherwise_latest)),
            None => Err(SourceError::Fatal(format!(
                "startingOffsetsByTimestamp says nothing of {topic}-{partition}; give every partition a time"
            ))),
        },
    }
}

/// No record is as young as was asked for.
pub fn no_record(topic: &str, partition: i32, timestamp_ms: i64) -> SourceError {
    SourceError::Fatal(format!(
        "no record of {topic}-{partition} is at or after {timestamp_ms} ms; begin earlier, or set \
         startingOffsetsByTimestampStrategy = 'latest'"
    ))
}

/// Records that were to be read are gone.
pub fn data_loss(topic: &str, partition: i32, wanted: i64, there: i64) -> String {
    format!(
        "records {wanted} to {there} of {topic}-{partition} are gone before they were read (retention, or the topic was made anew); \
         start over with --full-refresh, or set failOnDataLoss = 'false' to go on with what is there"
    )
}

/// First offsets that are there and ends, the latter never below `from`. Partitions that are gone keep their place.
pub fn ends(
    from: &Position,
    partitions: impl IntoIterator<Item = (String, i32, PartitionOffsets)>,
    fail_on_data_loss: bool,
) -> Result<(Position, Position), SourceError> {
    let (mut starts, mut end) = (Position::new(), Position::new());
    for (topic, partition, offsets) in partitions {
        let name = partition_name(&topic, partition);
        let begun = from.get(&name).copied();
        if let Some(begun) = begun
            && begun > offsets.high_watermark
            && fail_on_data_loss
        {
            return Err(SourceError::Fatal(data_loss(&topic, partition, offsets.high_watermark, begun)));
        }
        starts.insert(name.clone(), offsets.log_start);
        end.insert(name, offsets.high_watermark.max(begun.unwrap_or(offsets.log_start)));
    }
    for (name, offset) in from {
        end.entry(name.clone()).or_insert(*offset);
    }
    Ok((starts, end))
}

/// Cuts `end` so that at most `limit` records lie between, each partition giving in proportion to what it has, as Spark's
/// `maxOffsetsPerTrigger` does. Partitions that are not in `from` count from `starts`.
pub fn limit(from: &Position, starts: &Position, end: Position, limit: u64) -> Position {
    let begin_of = |name: &str| from.get(name).or_else(|| starts.get(name)).copied().unwrap_or(0);
    let sizes: Vec<(String, i64, i64)> =
        end.iter().map(|(name, end)| (name.clone(), begin_of(name), (end - begin_of(name)).max(0))).collect();
    let total: i64 = sizes.iter().map(|(_, _, size)| *size).sum();
    if total <= 0 || total as u64 <= limit {
        return end;
    }
    sizes
        .into_iter()
        .map(|(name, begin, size)| {
            let share = limit as f64 * (size as f64 / total as f64);
            let share = if share < 1.0 { share.ceil() } else { share.floor() };
            (name, begin + (share as i64).min(size))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(pairs: &[(&str, i64)]) -> Position {
        pairs.iter().map(|(n, o)| ((*n).to_owned(), *o)).collect()
    }

    #[test]
    fn topics_may_hold_dashes() {
        assert_eq!(parse_partition_name(&partition_name("mta-turnstile", 3)), Some(("mta-turnstile", 3)));
    }

    #[test]
    fn the_limit_is_shared_in_proportion() {
        let from = position(&[("t-0", 10), ("t-1", 0)]);
        let end = position(&[("t-0", 100), ("t-1", 10), ("t-2", 7)]);
        let starts = position(&[("t-2", 7)]);
        assert_eq!(limit(&from, &starts, end.clone(), 10), position(&[("t-0", 19), ("t-1", 1), ("t-2", 7)]));
        assert_eq!(limit(&from, &starts, end.clone(), 1000), end);
    }

    #[test]
    fn every_partition_with_records_goes_on() {
        let end = position(&[("t-0", 1_000_000), ("t-1", 1)]);
        assert_eq!(limit(&Position::new(), &Position::new(), end, 5), position(&[("t-0", 4), ("t-1", 1)]));
    }
}
