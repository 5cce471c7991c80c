//! Names and arithmetic of positions in topics; the same for every Kafka.

use millstream_engine::Position;

/// Name of a partition in a [`Position`].
pub fn partition_name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// The reverse of [`partition_name`].
pub fn parse_partition_name(name: &str) -> Option<(&str, i32)> {
    let (topic, partition) = name.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
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
