//! What is to be compacted, and how far: decisions, without files or clocks. The rules are those of Kafka's `LogCleanerManager`.

use std::ops::Range;

use crate::PartitionConfig;

/// A closed segment as compaction sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) base_offset: i64,
    /// Where the next segment begins.
    pub(crate) next_offset: i64,
    pub(crate) bytes: u64,
    /// Largest time stamp; -1 = none.
    pub(crate) max_timestamp_ms: i64,
    /// Largest time stamp of the first batch; -1 = none.
    pub(crate) first_timestamp_ms: i64,
}

/// Up to which offset the closed `segments` are to be compacted at `now_ms`, if it is worth it. Before `clean_to` they were compacted
/// before; from `stable` on transactions are not decided.
pub(crate) fn cleanable_to(
    now_ms: i64,
    config: &PartitionConfig,
    segments: &[Closed],
    clean_to: i64,
    stable: i64,
) -> Option<i64> {
    let is_dirty = |segment: &&Closed| segment.next_offset > clean_to;
    let may_be = |segment: &&Closed| {
        let waited = now_ms.saturating_sub(segment.max_timestamp_ms);
        segment.next_offset <= stable && (config.min_compaction_lag_ms == 0 || waited >= config.min_compaction_lag_ms)
    };
    let clean_bytes: u64 = segments.iter().filter(|segment| !is_dirty(segment)).map(|segment| segment.bytes).sum();
    let dirty = || segments.iter().filter(is_dirty).take_while(may_be);
    let dirty_bytes: u64 = dirty().map(|segment| segment.bytes).sum();
    let end = dirty().last()?.next_offset;
    let oldest_ms = dirty().map(|segment| segment.first_timestamp_ms).find(|timestamp| *timestamp >= 0);
    let overdue = oldest_ms.is_some_and(|oldest| now_ms.saturating_sub(oldest) > config.max_compaction_lag_ms);
    let share = dirty_bytes as f64 / (clean_bytes + dirty_bytes).max(1) as f64;
    let wanted = share * 1e6 > f64::from(config.min_cleanable_dirty_millionths);
    (dirty_bytes > 0 && (overdue || wanted)).then_some(end)
}

/// Which of the `segments` that begin before `end` become one: neighbours that together stay within `segment_bytes`.
pub(crate) fn groups(segments: &[Closed], end: i64, segment_bytes: u64) -> Vec<Range<usize>> {
    let count = segments.partition_point(|segment| segment.base_offset < end);
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (number, segment) in segments[..count].iter().enumerate() {
        match groups.last_mut() {
            // Offsets in the index are 32 bits wide.
            Some(group)
                if bytes + segment.bytes <= segment_bytes.min(u64::from(u32::MAX))
                    && segment.next_offset - segments[group.start].base_offset <= i64::from(i32::MAX) =>
            {
                group.end = number + 1;
                bytes += segment.bytes;
            }
            _ => {
                groups.push(number..number + 1);
                bytes = segment.bytes;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(sizes_and_times: &[(u64, i64)]) -> Vec<Closed> {
        let closed = |(number, (bytes, time)): (usize, &(u64, i64))| Closed {
            base_offset: number as i64 * 10,
            next_offset: number as i64 * 10 + 10,
            bytes: *bytes,
            max_timestamp_ms: *time,
            first_timestamp_ms: *time,
        };
        sizes_and_times.iter().enumerate().map(closed).collect()
    }

    #[test]
    fn the_dirty_share_decides() {
        let config = PartitionConfig::default();
        let segments = segments(&[(100, 1), (100, 1), (100, 1), (101, 1)]);
        assert_eq!(cleanable_to(1, &config, &segments, 0, 1000), Some(40), "nothing is clean yet");
        assert_eq!(cleanable_to(1, &config, &segments, 20, 1000), Some(40), "just more than half");
        assert_eq!(cleanable_to(1, &config, &segments, 30, 1000), None);
        assert_eq!(cleanable_to(1, &config, &segments, 35, 1000), None, "a part of a segment counts as all of it");
        assert_eq!(cleanable_to(1, &config, &segments, 40, 1000), None, "nothing is dirty");
        assert_eq!(cleanable_to(1, &config, &[], 0, 1000), None);
        let eager = PartitionConfig { min_cleanable_dirty_millionths: 0, ..config };
        assert_eq!(cleanable_to(1, &eager, &segments, 30, 1000), Some(40));
    }

    #[test]
    fn what_is_too_young_or_undecided_waits_with_all_behind_it() {
        let config = PartitionConfig { min_compaction_lag_ms: 50, ..PartitionConfig::default() };
        let segments = segments(&[(1, 100), (1, 200), (1, 100)]);
        assert_eq!(cleanable_to(249, &config, &segments, 0, 1000), Some(10));
        assert_eq!(cleanable_to(250, &config, &segments, 0, 1000), Some(30));
        assert_eq!(cleanable_to(250, &config, &segments, 0, 29), Some(20), "a transaction is open");
        assert_eq!(cleanable_to(120, &config, &segments, 0, 1000), None);
    }

    #[test]
    fn what_has_waited_too_long_is_compacted_whatever_its_share() {
        let config = PartitionConfig { max_compaction_lag_ms: 50, ..PartitionConfig::default() };
        let segments = segments(&[(100, 1), (1, 100)]);
        assert_eq!(cleanable_to(150, &config, &segments, 10, 1000), None);
        assert_eq!(cleanable_to(151, &config, &segments, 10, 1000), Some(20));
    }

    #[test]
    fn small_neighbours_become_one() {
        let all = segments(&[(60, 1), (30, 1), (10, 1), (1, 1), (100, 1), (0, 1)]);
        assert_eq!(groups(&all, 60, 100), [0..3, 3..4, 4..6]);
        assert_eq!(groups(&all, 35, 100), [0..3, 3..4], "the one with the end in it is the last");
        assert_eq!(groups(&all, 0, 100), []);
        let mut far = segments(&[(1, 1), (1, 1)]);
        far[1].next_offset = i64::from(i32::MAX) + 1;
        assert_eq!(groups(&far, 100, 100), [0..1, 1..2]);
    }
}
