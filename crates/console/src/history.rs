//! Totals to rates, and five minutes of them. Decides nothing by the clock: the caller says what time it is.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::model::{FlowInfo, FlowStatus, Overview};

/// Points kept per series: five minutes at one a second.
pub const POINTS_MAX: usize = 300;
/// Series beyond this many have a present rate but no past, so that a thousand topics cost no memory.
pub const SERIES_MAX: usize = 512;
/// Rates shown are means over this many samples: calm, yet quick to follow.
const SMOOTHING_SAMPLES: usize = 3;

/// Names a series: `topic.records/NAME`, `topic.bytes/NAME`, `flow.in/NAME`, `flow.out/NAME`, `flow.late/NAME`, `flow.dead/NAME`,
/// `step.in/FLOW/ID`, `step.out/FLOW/ID`, `table.rows/NAME`, `memory`.
pub type SeriesName = String;

/// All series.
#[derive(Debug, Default)]
pub struct History {
    counters: BTreeMap<SeriesName, Counter>,
    gauges: BTreeMap<SeriesName, VecDeque<f32>>,
    last_ms: Option<u64>,
    samples: u64,
}

#[derive(Debug, Default)]
struct Counter {
    /// None: what the next one is to be compared with is not known.
    total: Option<u64>,
    /// Per second; newest last. Empty if there were too many series when this one began.
    points: VecDeque<f32>,
    recent: VecDeque<f32>,
    keeps_past: bool,
    seen: bool,
}

/// The past, as the page asks for it once.
#[derive(Debug, Serialize)]
pub struct Past {
    /// The snapshot that the last points belong to.
    pub sequence: u64,
    /// Time between two points, ms.
    pub step_ms: u64,
    /// Points per series, newest last; a series that began later is shorter.
    pub series: BTreeMap<SeriesName, Vec<f32>>,
}

impl History {
    /// Takes a sample at `now_ms` (any monotonic clock).
    pub fn observe(&mut self, now_ms: u64, overview: &Overview) {
        let elapsed_ms = self.last_ms.map(|last| now_ms.saturating_sub(last).max(1));
        self.last_ms = Some(now_ms);
        self.samples += 1;
        for counter in self.counters.values_mut() {
            counter.seen = false;
        }
        // These count from when the process started: one that appears is all news, unless nobody looked before.
        let since_start = elapsed_ms.map(|_| 0);
        for topic in &overview.topics {
            self.count(format!("topic.records/{}", topic.name), Some(topic.records_total), since_start, elapsed_ms);
            self.count(format!("topic.bytes/{}", topic.name), Some(topic.bytes_total), since_start, elapsed_ms);
        }
        for flow in &overview.flows {
            for step in &flow.steps {
                let id = format!("{}/{}", flow.name, step.id);
                self.count(format!("step.in/{id}"), Some(step.rows_in), since_start, elapsed_ms);
                self.count(format!("step.out/{id}"), Some(step.rows_out), since_start, elapsed_ms);
            }
        }
        // And these since the flow began, which may be long ago: what a flow that is taken up had done before is no news.
        let known = |flow: &FlowInfo| flow.status != FlowStatus::Starting;
        for flow in &overview.flows {
            let totals = [("in", flow.rows_in), ("out", flow.rows_out), ("late", flow.late), ("dead", flow.dead)];
            for (kind, total) in totals {
                self.count(format!("flow.{kind}/{}", flow.name), known(flow).then_some(total), None, elapsed_ms);
            }
        }
        for table in &overview.tables {
            let all_known = overview.flows.iter().filter(|flow| flow.target == table.name).all(known);
            self.count(format!("table.rows/{}", table.name), all_known.then_some(table.rows_total), None, elapsed_ms);
        }
        self.counters.retain(|_, counter| counter.seen);
        push(self.gauges.entry("memory".to_owned()).or_default(), overview.memory_bytes as f32, POINTS_MAX);
    }

    /// Takes a total, if it is known; a series that is new is compared with `first`.
    fn count(&mut self, name: SeriesName, total: Option<u64>, first: Option<u64>, elapsed_ms: Option<u64>) {
        let keeps_past = self.counters.len() < SERIES_MAX;
        let new = || Counter { total: first, keeps_past, ..Counter::default() };
        let counter = self.counters.entry(name).or_insert_with(new);
        counter.seen = true;
        let grown = match (total, counter.total) {
            // A total that falls belongs to something deleted and made anew.
            (Some(total), Some(before)) => total.checked_sub(before).unwrap_or(total),
            _ => 0,
        };
        counter.total = total;
        if let Some(elapsed_ms) = elapsed_ms {
            let per_second = (grown as f64 * 1000.0 / elapsed_ms as f64) as f32;
            push(&mut counter.recent, per_second, SMOOTHING_SAMPLES);
            if counter.keeps_past {
                push(&mut counter.points, per_second, POINTS_MAX);
            }
        }
    }

    /// Present rates per second, smoothed, of all series that are not at rest.
    pub fn rates(&self) -> BTreeMap<SeriesName, f32> {
        self.counters
            .iter()
            .map(|(name, counter)| {
                let mean = counter.recent.iter().sum::<f32>() / counter.recent.len().max(1) as f32;
                (name.clone(), mean)
            })
            .filter(|(_, rate)| *rate > 0.0)
            .collect()
    }

    /// The newest unsmoothed points, of series that are not at rest.
    pub fn newest(&self) -> BTreeMap<SeriesName, f32> {
        self.counters
            .iter()
            .filter_map(|(name, counter)| Some((name.clone(), *counter.recent.back()?)))
            .filter(|(_, rate)| *rate > 0.0)
            .collect()
    }

    /// All points.
    pub fn past(&self, step_ms: u64) -> Past {
        let counters = self.counters.iter().filter(|(_, counter)| !counter.points.is_empty());
        let mut series: BTreeMap<SeriesName, Vec<f32>> =
            counters.map(|(name, counter)| (name.clone(), counter.points.iter().copied().collect())).collect();
        for (name, points) in &self.gauges {
            series.insert(name.clone(), points.iter().copied().collect());
        }
        Past { sequence: self.samples.saturating_sub(1), step_ms, series }
    }
}

fn push(ring: &mut VecDeque<f32>, value: f32, points_max: usize) {
    if ring.len() == points_max {
        ring.pop_front();
    }
    ring.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TableInfo, TopicInfo};

    fn overview(topics: &[(&str, u64)]) -> Overview {
        let topics = topics
            .iter()
            .map(|(name, records_total)| TopicInfo {
                name: (*name).to_owned(),
                records_total: *records_total,
                ..TopicInfo::default()
            })
            .collect();
        Overview { topics, ..Overview::default() }
    }

    #[test]
    fn a_rate_is_growth_over_time() {
        let mut history = History::default();
        history.observe(0, &overview(&[("t", 1_000_000)]));
        assert!(history.rates().is_empty(), "what was there before is not news");
        history.observe(500, &overview(&[("t", 1_000_100)]));
        assert_eq!(history.rates()["topic.records/t"], 200.0);
        history.observe(1_500, &overview(&[("t", 1_000_100)]));
        assert_eq!(history.rates()["topic.records/t"], 100.0, "a mean over the last samples");
        assert!(!history.newest().contains_key("topic.records/t"));
    }

    #[test]
    fn a_topic_that_appears_counts_from_nothing() {
        let mut history = History::default();
        history.observe(0, &overview(&[]));
        history.observe(1_000, &overview(&[("new", 50)]));
        assert_eq!(history.rates()["topic.records/new"], 50.0);
    }

    #[test]
    fn a_total_that_falls_is_a_new_beginning() {
        let mut history = History::default();
        history.observe(0, &overview(&[("t", 500)]));
        history.observe(1_000, &overview(&[("t", 20)]));
        assert_eq!(history.rates()["topic.records/t"], 20.0);
    }

    #[test]
    fn what_a_flow_had_done_before_it_is_taken_up_is_no_news() {
        let flow = |status, rows_in| Overview {
            flows: vec![FlowInfo { name: "f".into(), target: "t".into(), status, rows_in, ..FlowInfo::default() }],
            tables: vec![TableInfo { name: "t".into(), rows_total: rows_in, ..TableInfo::default() }],
            ..Overview::default()
        };
        let mut history = History::default();
        history.observe(0, &Overview::default());
        history.observe(1_000, &flow(FlowStatus::Starting, 0));
        history.observe(2_000, &flow(FlowStatus::Running, 1_000_000));
        assert!(history.rates().is_empty(), "{:?}", history.rates());
        history.observe(3_000, &flow(FlowStatus::Running, 1_000_060));
        assert_eq!(history.newest()["flow.in/f"], 60.0);
        assert_eq!(history.newest()["table.rows/t"], 60.0);
        history.observe(4_000, &flow(FlowStatus::Starting, 0));
        history.observe(5_000, &flow(FlowStatus::Running, 1_000_060));
        assert!(!history.newest().contains_key("flow.in/f"), "begun again, it has read nothing new");
    }

    #[test]
    fn the_past_is_bounded_and_forgets_what_is_gone() {
        let mut history = History::default();
        for second in 0..1_000 {
            history.observe(second * 1_000, &overview(&[("t", second * 10)]));
        }
        let past = history.past(1_000);
        assert_eq!(past.series["topic.records/t"].len(), POINTS_MAX);
        assert!(past.series["topic.records/t"].iter().all(|rate| *rate == 10.0));
        history.observe(1_000_000, &overview(&[]));
        assert!(!history.past(1_000).series.contains_key("topic.records/t"));
    }

    #[test]
    fn a_thousand_topics_have_rates_but_few_have_a_past() {
        let names: Vec<String> = (0..1_000).map(|n| format!("t{n}")).collect();
        let mut history = History::default();
        history.observe(0, &overview(&names.iter().map(|name| (name.as_str(), 0)).collect::<Vec<_>>()));
        history.observe(1_000, &overview(&names.iter().map(|name| (name.as_str(), 7)).collect::<Vec<_>>()));
        assert_eq!(history.rates().len(), 1_000);
        assert_eq!(history.past(1_000).series.len(), SERIES_MAX + 1);
    }
}
