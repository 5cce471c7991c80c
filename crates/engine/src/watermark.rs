//! The clocks of event time: one per source and partition, and the watermark that they make.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Position;

/// Where clocks of partitions that can never get another row are kept, so that a folder of many files does not grow the record.
const FINISHED: &str = "*";

/// A `WATERMARK … DELAY OF …` of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatermarkSpec {
    /// How far the watermark stays behind, in µs.
    pub delay_us: i64,
    /// Relations below it.
    pub sources: BTreeSet<String>,
}

/// Which partitions of a source hold the watermark back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity {
    /// Partitions with rows to come, or not yet idle, per source.
    pub active: BTreeMap<String, BTreeSet<String>>,
}

/// Largest event times seen, and the watermark of the epochs so far.
///
/// `W(n) = min over active partitions of max event time over epochs before n, minus the delay`, the minimum over all watermarks of the
/// plan, never falling. When no partition is active: the maximum instead of the minimum, as Spark has it.
#[derive(Debug, Clone)]
pub(crate) struct Watermarks {
    specs: Vec<WatermarkSpec>,
    clocks: BTreeMap<String, BTreeMap<String, i64>>,
    current_us: Option<i64>,
}

impl Watermarks {
    pub fn new(specs: Vec<WatermarkSpec>) -> Self {
        Self { specs, clocks: BTreeMap::new(), current_us: None }
    }

    /// Takes up what a progress record says.
    pub fn restore(&mut self, clocks: BTreeMap<String, BTreeMap<String, i64>>, watermark_us: Option<i64>) {
        self.clocks = clocks;
        self.current_us = watermark_us;
    }

    /// W of the epoch that was committed last: what rows of the next one are judged by.
    pub fn current_us(&self) -> Option<i64> {
        self.current_us
    }

    /// The epoch with this watermark is done.
    pub fn advance(&mut self, watermark_us: Option<i64>) {
        self.current_us = self.current_us.max(watermark_us);
    }

    pub fn clocks(&self) -> &BTreeMap<String, BTreeMap<String, i64>> {
        &self.clocks
    }

    /// Rows of this partition reached event time `max_us`.
    pub fn observe(&mut self, source: &str, partition: &str, max_us: i64) {
        let partitions = match self.clocks.get_mut(source) {
            Some(partitions) => partitions,
            None => self.clocks.entry(source.to_owned()).or_default(),
        };
        match partitions.get_mut(partition) {
            Some(clock) => *clock = (*clock).max(max_us),
            None => {
                partitions.insert(partition.to_owned(), max_us);
            }
        }
    }

    /// A partition that never gets another row needs no clock of its own.
    pub fn finish(&mut self, source: &str, partition: &str) {
        let Some(partitions) = self.clocks.get_mut(source) else { return };
        let Some(clock) = partitions.remove(partition) else { return };
        let finished = partitions.entry(FINISHED.to_owned()).or_insert(clock);
        *finished = (*finished).max(clock);
    }

    /// W of the epoch that begins now.
    pub fn next_us(&self, activity: &Activity) -> Option<i64> {
        if self.specs.is_empty() {
            return None;
        }
        let mut lowest = i64::MAX;
        for spec in &self.specs {
            match self.of(spec, activity) {
                Some(watermark_us) => lowest = lowest.min(watermark_us),
                None => return self.current_us,
            }
        }
        self.current_us.max(Some(lowest))
    }

    fn of(&self, spec: &WatermarkSpec, activity: &Activity) -> Option<i64> {
        let mut lowest: Option<i64> = None;
        let mut highest: Option<i64> = None;
        for source in &spec.sources {
            let clocks = self.clocks.get(source);
            highest = highest.max(clocks.and_then(|clocks| clocks.values().copied().max()));
            for partition in activity.active.get(source).into_iter().flatten() {
                // A partition that has not spoken yet holds everything back until it counts as idle.
                let clock = clocks.and_then(|clocks| clocks.get(partition)).copied()?;
                lowest = Some(lowest.map_or(clock, |lowest| lowest.min(clock)));
            }
        }
        lowest.or(highest).map(|event_time_us| event_time_us.saturating_sub(spec.delay_us))
    }
}

/// Since when each partition of a source has been read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Idleness {
    since_us: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Idleness {
    /// Notes which partitions have rows to read (`position` < `end`) and which are at their end since now.
    pub fn note(&mut self, source: &str, position: &Position, end: &Position, now_us: i64) {
        let since = self.since_us.entry(source.to_owned()).or_default();
        for (partition, end_offset) in end {
            if position.get(partition).is_none_or(|offset| offset < end_offset) {
                since.remove(partition);
            } else if !since.contains_key(partition) {
                since.insert(partition.clone(), now_us);
            }
        }
    }

    /// Partitions among `end` that are not idle: not at their end, or not for as long as `idle_us`.
    pub fn active(&self, source: &str, end: &Position, idle_us: i64, now_us: i64) -> BTreeSet<String> {
        let since = self.since_us.get(source);
        let waited = |partition: &str| since.and_then(|since| since.get(partition)).map(|since| now_us - since);
        end.keys().filter(|partition| waited(partition).is_none_or(|waited_us| waited_us < idle_us)).cloned().collect()
    }

    /// When the next partition becomes idle of those that were active at `now_us`: the time that [`Idleness::active`] was asked for, or a
    /// deadline that passed since is missed.
    pub fn next_deadline_us(&self, idle_us: i64, now_us: i64) -> Option<i64> {
        let deadlines = self.since_us.values().flat_map(BTreeMap::values).map(|since| since.saturating_add(idle_us));
        deadlines.filter(|deadline_us| *deadline_us > now_us).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermarks(delay_us: i64, sources: &[&str]) -> Watermarks {
        let sources = sources.iter().map(ToString::to_string).collect();
        Watermarks::new(vec![WatermarkSpec { delay_us, sources }])
    }

    fn active(source: &str, partitions: &[&str]) -> Activity {
        let partitions = partitions.iter().map(ToString::to_string).collect();
        Activity { active: BTreeMap::from([(source.to_owned(), partitions)]) }
    }

    #[test]
    fn the_slowest_active_partition_holds_the_watermark() {
        let mut w = watermarks(10, &["s"]);
        w.observe("s", "0", 100);
        w.observe("s", "1", 50);
        assert_eq!(w.next_us(&active("s", &["0", "1"])), Some(40));
        assert_eq!(w.next_us(&active("s", &["0"])), Some(90));
        assert_eq!(w.next_us(&active("s", &[])), Some(90), "all have left: the maximum");
        assert_eq!(w.next_us(&active("s", &["0", "2"])), None, "a partition that has not spoken");
    }

    #[test]
    fn the_watermark_never_falls() {
        let mut w = watermarks(10, &["s"]);
        w.observe("s", "0", 100);
        w.advance(w.next_us(&active("s", &["0"])));
        w.observe("s", "1", 20);
        assert_eq!(w.next_us(&active("s", &["0", "1"])), Some(90));
    }

    #[test]
    fn several_watermarks_take_the_minimum() {
        let spec = |source: &str, delay_us| WatermarkSpec { delay_us, sources: [source.to_owned()].into() };
        let mut w = Watermarks::new(vec![spec("a", 10), spec("b", 0)]);
        w.observe("a", "0", 100);
        assert_eq!(w.next_us(&Activity::default()), None, "the other has no row yet");
        w.observe("b", "0", 95);
        assert_eq!(w.next_us(&Activity::default()), Some(90));
    }

    #[test]
    fn finished_partitions_keep_their_maximum() {
        let mut w = watermarks(0, &["s"]);
        w.observe("s", "a.csv", 100);
        w.finish("s", "a.csv");
        w.observe("s", "b.csv", 70);
        w.finish("s", "b.csv");
        assert_eq!(w.clocks()["s"], BTreeMap::from([("*".to_owned(), 100)]));
        assert_eq!(w.next_us(&Activity::default()), Some(100));
    }

    #[test]
    fn a_partition_is_idle_after_its_time_and_back_with_its_next_row() {
        let mut idle = Idleness::default();
        let at = |offset: i64| Position::from([("0".to_owned(), offset)]);
        idle.note("s", &at(5), &at(5), 1_000);
        assert!(idle.active("s", &at(5), 100, 1_099).contains("0"));
        assert_eq!(idle.next_deadline_us(100, 1_099), Some(1_100));
        assert!(idle.active("s", &at(5), 100, 1_100).is_empty());
        idle.note("s", &at(5), &at(6), 1_200);
        assert!(idle.active("s", &at(6), 100, 1_200).contains("0"));
    }
}
