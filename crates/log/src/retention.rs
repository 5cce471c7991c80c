//! Which segments retention no longer keeps: a decision, without files or clocks.

use crate::PartitionConfig;

/// A segment as retention sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSummary {
    pub(crate) base_offset: i64,
    /// Offset after its last record.
    pub(crate) next_offset: i64,
    pub(crate) bytes: u64,
    /// When its newest record is from; -1 = not known: kept by time.
    pub(crate) newest_ms: i64,
}

/// How many of the oldest `segments` (in order, the last one is written to) are to be deleted at `now_ms`. By size the last one is
/// always kept; by time it may go too. What has records from offset `held` on stays in any case.
pub(crate) fn segments_to_delete(
    now_ms: i64,
    config: &PartitionConfig,
    segments: &[SegmentSummary],
    held: Option<i64>,
) -> usize {
    let free = held.map_or(segments.len(), |held| segments.partition_point(|segment| segment.next_offset <= held));
    segments_expired(now_ms, config, segments).min(free)
}

/// As [`segments_to_delete`], whoever needs them.
fn segments_expired(now_ms: i64, config: &PartitionConfig, segments: &[SegmentSummary]) -> usize {
    let expired = |segment: &SegmentSummary| {
        let age = now_ms.saturating_sub(segment.newest_ms);
        segment.newest_ms >= 0 && config.retention_ms.is_some_and(|most| age > most)
    };
    let by_time = segments.iter().take_while(|segment| expired(segment)).count();
    let Some(bytes_max) = config.retention_bytes else { return by_time };
    let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut by_size = 0;
    for segment in segments.split_last().map_or(&[][..], |(_, closed)| closed) {
        // As Kafka: a segment goes only if at least `retention.bytes` stay without it.
        if left - segment.bytes < bytes_max {
            break;
        }
        left -= segment.bytes;
        by_size += 1;
    }
    by_time.max(by_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(sizes_and_times: &[(u64, i64)]) -> Vec<SegmentSummary> {
        let mut offset = 0;
        let summary = |(bytes, newest_ms): &(u64, i64)| {
            offset += 10;
            SegmentSummary { base_offset: offset - 10, next_offset: offset, bytes: *bytes, newest_ms: *newest_ms }
        };
        sizes_and_times.iter().map(summary).collect()
    }

    fn config(retention_ms: Option<i64>, retention_bytes: Option<u64>) -> PartitionConfig {
        PartitionConfig { retention_ms, retention_bytes, ..PartitionConfig::default() }
    }

    #[test]
    fn time_deletes_from_the_oldest_up_to_the_first_that_is_young() {
        let segments = segments(&[(1, 100), (1, 200), (1, 900), (1, 100)]);
        assert_eq!(segments_expired(1000, &config(Some(500), None), &segments), 2);
        assert_eq!(segments_expired(1000, &config(None, None), &segments), 0);
        assert_eq!(segments_expired(2000, &config(Some(500), None), &segments), 4, "the last one too");
        assert_eq!(segments_expired(700, &config(Some(600), None), &segments), 0, "just as old as allowed");
    }

    #[test]
    fn segments_of_no_known_time_are_kept() {
        assert_eq!(segments_expired(1000, &config(Some(1), None), &segments(&[(1, -1), (1, 1)])), 0);
    }

    #[test]
    fn size_keeps_at_least_what_was_asked_for_and_the_last_segment() {
        let segments = segments(&[(100, 1), (100, 1), (100, 1), (50, 1)]);
        assert_eq!(segments_expired(0, &config(None, Some(350)), &segments), 0);
        assert_eq!(segments_expired(0, &config(None, Some(250)), &segments), 1);
        assert_eq!(segments_expired(0, &config(None, Some(249)), &segments), 1);
        assert_eq!(segments_expired(0, &config(None, Some(150)), &segments), 2);
        assert_eq!(segments_expired(0, &config(None, Some(0)), &segments), 3);
        assert_eq!(segments_expired(0, &config(None, Some(0)), &[]), 0);
    }

    #[test]
    fn what_is_held_stays_and_what_is_before_it_goes() {
        let segments = segments(&[(100, 1), (100, 1), (100, 1)]);
        let config = config(Some(10), None);
        for (held, count) in [(None, 3), (Some(0), 0), (Some(9), 0), (Some(10), 1), (Some(25), 2), (Some(30), 3)] {
            assert_eq!(segments_to_delete(1000, &config, &segments, held), count, "{held:?}");
        }
        assert_eq!(segments_to_delete(5, &config, &segments, Some(30)), 0, "a hold deletes nothing");
    }
}
