//! Groups by spans of event time, so that closing a window costs what it holds and no more.
//!
//! A bucket holds the groups whose time lies in `[i·width, (i+1)·width)`. The width begins at the distance of two windows, so that a
//! bucket is a window; when a backlog opens very many windows it doubles, and neighbours are merged, so that the rows of a batch fall into
//! few buckets. It falls back when the backlog is out. A bucket that the watermark splits is taken apart: what is due comes out, the rest
//! stays.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::DataFusionError;

use super::split::{Split, split};
use super::{AggregateSpec, Groups, State};
use crate::segment::Output;

/// More buckets than this and the width doubles.
const BUCKETS_MAX: usize = 128;
/// With so few buckets left after a split, the width falls back.
const BUCKETS_FEW: usize = 16;

/// State of an aggregate.
pub(crate) struct Buckets {
    spec: Arc<AggregateSpec>,
    width_us: i64,
    buckets: BTreeMap<i64, Bucket>,
    scratch: Vec<usize>,
}

struct Bucket {
    groups: Groups,
    /// Earliest and latest time of its groups.
    lowest_us: i64,
    highest_us: i64,
    /// Where a snapshot has it as it is.
    stored: Option<Stored>,
}

/// A place in a snapshot: a run and a record batch in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub run: String,
    pub batch: usize,
}

/// What became of pushed rows.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    /// Rows that came too late.
    pub late: Option<RecordBatch>,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Evicted {
    /// Ordered by window.
    pub batches: Vec<RecordBatch>,
    /// Everything with a time up to this is out.
    pub until_us: i64,
}

/// A bucket for a snapshot.
#[derive(Debug)]
pub(crate) struct Part {
    pub groups: usize,
    /// Where it is, or is to be.
    pub place: Stored,
    /// What is to be written there; nothing if it is there already.
    pub state: Option<State>,
}

impl Buckets {
    pub fn new(spec: Arc<AggregateSpec>) -> Self {
        let width_us = spec.width_us;
        Self { spec, width_us, buckets: BTreeMap::new(), scratch: Vec::new() }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.groups.len()).sum()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.groups.bytes()).sum()
    }

    /// Takes rows up, except those whose time is at or before `judge_us`.
    pub fn push(&mut self, rows: Output, judge_us: Option<i64>) -> Result<Pushed, DataFusionError> {
        let mut pushed = Pushed::default();
        let mut columns = rows.prepared;
        if let Some(judge_us) = judge_us {
            let times = columns[self.spec.time].as_primitive::<TimestampMicrosecondType>();
            if times.values().iter().any(|time_us| *time_us <= judge_us) {
                let late = BooleanArray::from_unary(times, |time_us| time_us <= judge_us);
                let kept = arrow::compute::not(&late)?;
                pushed.late = Some(arrow::compute::filter_record_batch(&rows.batch, &late)?);
                for column in &mut columns {
                    *column = arrow::compute::filter(column, &kept)?;
                }
            }
        }
        self.update(columns)?;
        Ok(pushed)
    }

    fn update(&mut self, mut columns: Vec<ArrayRef>) -> Result<(), DataFusionError> {
        let times = columns[self.spec.time].as_primitive::<TimestampMicrosecondType>();
        let ranges = match split(times.values(), self.width_us) {
            Split::Whole(bucket) => {
                self.update_bucket(bucket, &columns)?;
                return self.widen();
            }
            Split::Ranges(ranges) => ranges,
            Split::Sorted(order, ranges) => {
                for column in &mut columns {
                    *column = take(column, &order, None)?;
                }
                ranges
            }
        };
        for (bucket, from, count) in ranges {
            let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(from, count)).collect();
            self.update_bucket(bucket, &part)?;
        }
        self.widen()
    }

    fn update_bucket(&mut self, bucket: i64, columns: &[ArrayRef]) -> Result<(), DataFusionError> {
        let spec = Arc::clone(&self.spec);
        let mut scratch = std::mem::take(&mut self.scratch);
        let bucket = self.bucket(bucket)?;
        bucket.touch(spec.times(columns).values());
        bucket.groups.update(&spec, columns, &mut scratch)?;
        self.scratch = scratch;
        Ok(())
    }

    fn bucket(&mut self, bucket: i64) -> Result<&mut Bucket, DataFusionError> {
        Ok(match self.buckets.entry(bucket) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Bucket::new(Groups::new(&self.spec)?)),
        })
    }

    /// Doubles the width until there are few enough buckets.
    fn widen(&mut self) -> Result<(), DataFusionError> {
        while self.buckets.len() > BUCKETS_MAX {
            self.width_us = self.width_us.saturating_mul(2);
            for (index, bucket) in std::mem::take(&mut self.buckets) {
                let index = index.div_euclid(2);
                match self.buckets.remove(&index) {
                    None => self.buckets.insert(index, bucket),
                    Some(neighbour) => {
                        let merged = self.merged(neighbour, bucket)?;
                        self.buckets.insert(index, merged)
                    }
                };
            }
        }
        Ok(())
    }

    fn merged(&mut self, a: Bucket, b: Bucket) -> Result<Bucket, DataFusionError> {
        let (mut large, mut small) = if a.groups.len() >= b.groups.len() { (a, b) } else { (b, a) };
        large.groups.merge(&small.groups.take_state()?, &mut self.scratch)?;
        large.touch(&[small.lowest_us, small.highest_us]);
        Ok(large)
    }

    /// Takes out every group with a time up to `until_us`, earliest first; stops after a bucket once `rows_max` rows are out.
    pub fn evict(&mut self, until_us: i64, rows_max: usize) -> Result<Evicted, DataFusionError> {
        let mut batches = Vec::new();
        let mut rows = 0;
        while let Some(entry) = self.buckets.first_entry() {
            let bucket = entry.get();
            if bucket.lowest_us > until_us {
                break;
            }
            if rows >= rows_max {
                return Ok(Evicted { batches, until_us: bucket.lowest_us - 1 });
            }
            let split = bucket.highest_us > until_us;
            let mut groups = entry.remove().groups;
            if split {
                groups = self.take_apart(groups, until_us)?;
            }
            let (keys, values) = groups.take_results()?;
            let batch = self.in_order(keys, values)?;
            rows += batch.num_rows();
            batches.push(batch);
            if split {
                break;
            }
        }
        Ok(Evicted { batches, until_us })
    }

    /// Splits a bucket at `until_us`: gives what is due, keeps the rest.
    fn take_apart(&mut self, mut groups: Groups, until_us: i64) -> Result<Groups, DataFusionError> {
        let state = groups.take_state()?;
        let due = BooleanArray::from_unary(self.spec.times(&state.keys), |time_us| time_us <= until_us);
        if self.width_us > self.spec.width_us && self.buckets.len() <= BUCKETS_FEW {
            self.width_us = self.spec.width_us;
            for (_, mut bucket) in std::mem::take(&mut self.buckets) {
                let state = bucket.groups.take_state()?;
                self.merge(&state)?;
            }
        }
        self.merge(&state.filter(&arrow::compute::not(&due)?)?)?;
        let mut groups = Groups::new(&self.spec)?;
        groups.merge(&state.filter(&due)?, &mut self.scratch)?;
        Ok(groups)
    }

    /// Takes groups up that were taken out elsewhere.
    pub fn merge(&mut self, state: &State) -> Result<(), DataFusionError> {
        let parts = match split(self.spec.times(&state.keys).values(), self.width_us) {
            Split::Whole(bucket) => vec![(bucket, state.clone())],
            Split::Ranges(ranges) => {
                ranges.into_iter().map(|(bucket, from, count)| (bucket, state.slice(from, count))).collect()
            }
            Split::Sorted(order, ranges) => {
                let state = state.take(&order)?;
                ranges.into_iter().map(|(bucket, from, count)| (bucket, state.slice(from, count))).collect()
            }
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        for (bucket, part) in parts {
            let times = self.spec.times(&part.keys).clone();
            let bucket = self.bucket(bucket)?;
            bucket.touch(times.values());
            bucket.groups.merge(&part, &mut scratch)?;
        }
        self.scratch = scratch;
        self.widen()
    }

    fn in_order(&self, keys: Vec<ArrayRef>, values: Vec<ArrayRef>) -> Result<RecordBatch, DataFusionError> {
        let times = self.spec.times(&keys).values();
        let batch = if times.is_sorted() {
            self.spec.output(keys, values)?
        } else {
            let mut order: Vec<u32> = (0..times.len() as u32).collect();
            order.sort_by_key(|row| times[*row as usize]);
            let order = UInt32Array::from(order);
            arrow::compute::take_record_batch(&self.spec.output(keys, values)?, &order)?
        };
        Ok(batch)
    }

    /// What a snapshot is made of. What changed goes to record batches of the run `run`, and counts as unchanged from now on.
    pub fn parts(&mut self, run: &str) -> Result<Vec<Part>, DataFusionError> {
        let mut parts = Vec::with_capacity(self.buckets.len());
        let mut batch = 0;
        for bucket in self.buckets.values_mut() {
            let groups = bucket.groups.len();
            if let Some(place) = &bucket.stored {
                parts.push(Part { groups, place: place.clone(), state: None });
                continue;
            }
            let state = bucket.groups.take_state()?;
            bucket.groups = Groups::new(&self.spec)?;
            bucket.groups.merge(&state, &mut self.scratch)?;
            let place = Stored { run: run.to_owned(), batch };
            bucket.stored = Some(place.clone());
            batch += 1;
            parts.push(Part { groups, place, state: Some(state) });
        }
        Ok(parts)
    }

    /// What [`Buckets::parts`] gave could not be written: the next snapshot writes everything.
    pub fn not_stored(&mut self) {
        for bucket in self.buckets.values_mut() {
            bucket.stored = None;
        }
    }
}

impl Bucket {
    fn new(groups: Groups) -> Self {
        Self { groups, lowest_us: i64::MAX, highest_us: i64::MIN, stored: None }
    }

    /// Its groups change, and get these times.
    fn touch(&mut self, times_us: &[i64]) {
        self.stored = None;
        for time_us in times_us {
            self.lowest_us = self.lowest_us.min(*time_us);
            self.highest_us = self.highest_us.max(*time_us);
        }
    }
}
