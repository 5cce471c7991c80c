//! Which rows go to which span of event time.

use std::collections::BTreeMap;

use arrow::array::UInt32Array;

/// Parts of a batch, each of one bucket.
#[derive(Debug, PartialEq)]
pub(crate) enum Split {
    /// All rows.
    Whole(i64),
    /// Ranges of rows `(bucket, from, count)`; a bucket may come more than once.
    Ranges(Vec<(i64, usize, usize)>),
    /// Rows are to be taken in this order; then these are the ranges.
    Sorted(UInt32Array, Vec<(i64, usize, usize)>),
}

/// Ranges shorter than this on average are worth a copy that brings rows of a bucket together.
const SHORT_RANGE: usize = 256;

/// Splits rows by `time.div_euclid(width_us)`.
pub(crate) fn split(times_us: &[i64], width_us: i64) -> Split {
    let Some(first) = times_us.first() else { return Split::Ranges(Vec::new()) };
    let (mut lowest, mut highest) = (*first, *first);
    for time_us in times_us {
        lowest = lowest.min(*time_us);
        highest = highest.max(*time_us);
    }
    let bucket = lowest.div_euclid(width_us);
    if bucket == highest.div_euclid(width_us) {
        return Split::Whole(bucket);
    }
    let mut buckets = Vec::with_capacity(times_us.len());
    let mut ranges: Vec<(i64, usize, usize)> = Vec::new();
    // Rows next to each other mostly share a bucket: a division per change instead of one per row.
    let (mut bucket, mut from_us, mut to_us) = (0, 0, 0);
    for (row, time_us) in times_us.iter().enumerate() {
        if row == 0 || *time_us < from_us || *time_us >= to_us {
            bucket = time_us.div_euclid(width_us);
            from_us = bucket.saturating_mul(width_us);
            to_us = from_us.saturating_add(width_us);
            ranges.push((bucket, row, 0));
        }
        buckets.push(bucket);
        ranges.last_mut().expect("pushed at the first row").2 += 1;
    }
    if ranges.len() <= 2 || times_us.len() / ranges.len() >= SHORT_RANGE {
        return Split::Ranges(ranges);
    }
    sorted(&buckets)
}

/// A counting sort: stable, so that groups keep the order in which they came.
fn sorted(buckets: &[i64]) -> Split {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for bucket in buckets {
        *counts.entry(*bucket).or_default() += 1;
    }
    let mut ranges = Vec::with_capacity(counts.len());
    let mut next = BTreeMap::new();
    let mut from = 0;
    for (bucket, count) in counts {
        ranges.push((bucket, from, count));
        next.insert(bucket, from);
        from += count;
    }
    let mut order = vec![0u32; buckets.len()];
    for (row, bucket) in buckets.iter().enumerate() {
        let at = next.get_mut(bucket).expect("counted above");
        order[*at] = row as u32;
        *at += 1;
    }
    Split::Sorted(UInt32Array::from(order), ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bucket_is_not_split() {
        assert_eq!(split(&[10, 19, 11], 10), Split::Whole(1));
        assert_eq!(split(&[], 10), Split::Ranges(vec![]));
        assert_eq!(split(&[-1, -10], 10), Split::Whole(-1));
    }

    #[test]
    fn neighbours_are_sliced_and_a_mixture_is_sorted() {
        assert_eq!(split(&[10, 19, 20], 10), Split::Ranges(vec![(1, 0, 2), (2, 2, 1)]));
        let expected = Split::Sorted(UInt32Array::from(vec![1, 3, 0, 2]), vec![(-1, 0, 2), (1, 2, 2)]);
        assert_eq!(split(&[10, -5, 11, -6], 10), expected);
    }
}
