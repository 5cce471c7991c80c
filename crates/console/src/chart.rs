//! Chooses a chart for a table nobody described, and draws its points from the rows: time on x, numbers on y, a line per key for the
//! keys with most to say. Pure: rows in, points out.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use crate::model::Rows;
use crate::profile::{Profile, Role};
use crate::time;

/// Rows looked at.
pub const ROWS_MAX: usize = 5_000;
/// Lines drawn.
const LINES_MAX: usize = 6;
/// Bars drawn.
const BARS_MAX: usize = 10;
/// Distinct times drawn; more are put into buckets.
const TIMES_MAX: usize = 180;
/// Buckets are not made wider, to close the holes of sparse lines, once there are no more than this.
const BUCKETS_MIN: i64 = 24;
/// Widths of buckets a person can read, ms.
const BUCKETS_MS: [i64; 17] = [
    1_000,
    2_000,
    5_000,
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_800_000,
    3_600_000,
    7_200_000,
    14_400_000,
    43_200_000,
    86_400_000,
    604_800_000,
    2_592_000_000,
];

/// What a person has chosen instead of what would be chosen for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Column for x.
    pub x: Option<String>,
    /// Column for y.
    pub y: Option<String>,
    /// Column whose values are the lines; `""` for none.
    pub by: Option<String>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Points over time.
    Line,
    /// A bar per key.
    Bar,
    /// Nothing to draw.
    None,
}

/// How several rows at one point become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    /// Added up.
    Sum,
    /// Their mean.
    Mean,
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// How it is drawn.
    pub kind: Kind,
    /// Column on x.
    pub x: Option<String>,
    /// Column on y; `None` counts rows.
    pub y: Option<String>,
    /// Column that makes the lines or bars.
    pub by: Option<String>,
    /// How rows at one point become one.
    pub fold: Fold,
    /// Width of a point on x in ms, if times were put into buckets.
    pub bucket_ms: Option<i64>,
    /// With bars of one moment: that moment, ms since 1970.
    pub at_ms: Option<i64>,
    /// The lines (`[ms, y]`, by time), or one series of bars each with a single point; the most active first.
    pub series: Vec<Series>,
    /// Distinct keys there are.
    pub keys_total: usize,
    /// Rows looked at.
    pub rows: usize,
    /// Rows the table has, of which these are the newest.
    pub rows_total: u64,
    /// Columns that could be on x.
    pub choices_x: Vec<String>,
    /// Columns that could be on y.
    pub choices_y: Vec<String>,
    /// Columns that could make the lines.
    pub choices_by: Vec<String>,
}

/// One line, or one bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Value of the key column.
    pub key: String,
    /// `[ms since 1970, y]`.
    pub points: Vec<(i64, f64)>,
}

/// Draws the chart of `rows` (newest first), of `total` that there are. Where older rows are left out, so is the point that they would
/// have been part of.
pub fn chart(rows: &Rows, wish: &Wish, total: u64) -> Chart {
    let profile = Profile::of(rows);
    let x = wished(&wish.x, &profile, Role::Time).or_else(|| profile.best_time());
    let y = wished(&wish.y, &profile, Role::Number).or_else(|| profile.best_number());
    let by = match wish.by.as_deref() {
        Some("") => None,
        _ => wished(&wish.by, &profile, Role::Category).or_else(|| profile.best_category(x)),
    };
    let fold = y.map_or(Fold::Sum, |y| fold_of(&rows.columns[y].name));
    let name = |index: usize| rows.columns[index].name.clone();
    let mut chart = Chart {
        kind: Kind::None,
        x: x.map(name),
        y: y.map(name),
        by: by.map(name),
        fold,
        bucket_ms: None,
        at_ms: None,
        series: Vec::new(),
        keys_total: 0,
        rows: rows.rows.len(),
        rows_total: total.max(rows.rows.len() as u64),
        choices_x: profile.all(Role::Time).into_iter().map(name).collect(),
        choices_y: profile.all(Role::Number).into_iter().map(name).collect(),
        choices_by: profile.all(Role::Category).into_iter().map(name).collect(),
    };

    let mut points: Vec<Point> = rows
        .rows
        .iter()
        .filter_map(|row| {
            let y = y.map_or(Some(1.0), |y| row.get(y).and_then(number))?;
            let at = x.and_then(|x| row.get(x).and_then(time_of));
            (x.is_none() || at.is_some()).then(|| (by.map_or_else(String::new, |by| label(row.get(by))), at, y))
        })
        .collect();
    let oldest = points.last().and_then(|(_, at, _)| *at).filter(|_| total > rows.rows.len() as u64);
    let mut times = distinct(&points);
    if let Some(oldest) = oldest.filter(|_| (2..=TIMES_MAX).contains(&times.len())) {
        without_cut(&mut points, oldest, 1);
        times = distinct(&points);
    }

    if points.is_empty() || (times.len() < 2 && by.is_none()) {
        return chart;
    }
    if times.len() < 2 {
        chart.kind = Kind::Bar;
        chart.at_ms = times.last().copied();
        let folded = fold_points(points.iter().map(|(key, _, y)| (key.as_str(), 0, *y)), fold);
        chart.keys_total = folded.len();
        chart.series = most_active(folded, BARS_MAX, |points| points.iter().map(|(_, y)| *y).sum());
        return chart;
    }

    chart.kind = Kind::Line;
    let placed = |bucket: i64| {
        let mut whole = points.clone();
        if let Some(oldest) = oldest.filter(|_| bucket > 1) {
            without_cut(&mut whole, oldest, bucket);
        }
        let placed =
            whole.iter().filter_map(|(key, at, y)| Some((key.as_str(), at.as_ref()?.div_euclid(bucket) * bucket, *y)));
        fold_points(placed, fold)
    };
    let mut folded = placed(1);
    let span = times.last().zip(times.first()).map_or(0, |(last, first)| last - first);
    if times.len() > TIMES_MAX {
        let last = BUCKETS_MS.len() - 1;
        let first = BUCKETS_MS.iter().position(|bucket| span / bucket < TIMES_MAX as i64).unwrap_or(last);
        for bucket in &BUCKETS_MS[first..] {
            folded = placed(*bucket);
            chart.bucket_ms = Some(*bucket);
            if span / bucket <= BUCKETS_MIN || usual_step(&folded) <= *bucket {
                break;
            }
        }
    }
    chart.keys_total = folded.len();
    // Keys with most points first: a line needs them. Among equals, the larger numbers.
    let most_points = folded.values().map(BTreeMap::len).max().unwrap_or(1) as f64;
    let largest = folded.values().flat_map(BTreeMap::values).map(|y| y.abs()).fold(f64::MIN_POSITIVE, f64::max);
    chart.series = most_active(folded, LINES_MAX, |points| {
        let mean = points.iter().map(|(_, y)| y.abs()).sum::<f64>() / points.len() as f64;
        (4.0 * points.len() as f64 / most_points).round() + mean / largest
    });
    chart
}

type Point = (String, Option<i64>, f64);

fn distinct(points: &[Point]) -> Vec<i64> {
    let mut times: Vec<i64> = points.iter().filter_map(|(_, at, _)| *at).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// Takes out the bucket of the oldest row, for rows before it are not there: the sum would be too small. Rows come about in the order of
/// their times, so what is before that bucket is a few late ones, and goes too; if it is not, it stays.
fn without_cut(points: &mut Vec<Point>, oldest: i64, bucket: i64) {
    let cut = oldest.div_euclid(bucket);
    let place = |point: &Point| point.1.map_or(i64::MIN, |at| at.div_euclid(bucket));
    let after = points.iter().filter(|point| place(point) > cut).count();
    if 2 * after >= points.len() {
        points.retain(|point| place(point) > cut);
    } else if points.iter().any(|point| place(point) != cut) {
        points.retain(|point| place(point) != cut);
    }
}

fn wished(wish: &Option<String>, profile: &Profile, role: Role) -> Option<usize> {
    wish.as_ref().and_then(|name| profile.find(name, role))
}

type Folded = HashMap<String, BTreeMap<i64, f64>>;

fn fold_points<'a>(points: impl Iterator<Item = (&'a str, i64, f64)>, fold: Fold) -> Folded {
    let mut sums: HashMap<String, BTreeMap<i64, (f64, u32)>> = HashMap::new();
    for (key, at, y) in points {
        if !sums.contains_key(key) {
            sums.insert(key.to_owned(), BTreeMap::new());
        }
        let slot = sums.get_mut(key).expect("was just put there").entry(at).or_insert((0.0, 0));
        slot.0 += y;
        slot.1 += 1;
    }
    let finish = |(sum, count): (f64, u32)| if fold == Fold::Mean { sum / f64::from(count) } else { sum };
    sums.into_iter()
        .map(|(key, points)| (key, points.into_iter().map(|(at, sum)| (at, finish(sum))).collect()))
        .collect()
}

/// What nine of ten steps of the fullest lines do not exceed, ms: a line with more holes than that says little.
fn usual_step(folded: &Folded) -> i64 {
    let mut lines: Vec<&BTreeMap<i64, f64>> = folded.values().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
    let mut steps: Vec<i64> = lines
        .iter()
        .take(LINES_MAX)
        .flat_map(|line| line.keys().zip(line.keys().skip(1)).map(|(one, next)| next - one))
        .collect();
    steps.sort_unstable();
    steps.get(steps.len() * 9 / 10).copied().unwrap_or(0)
}

fn most_active(folded: Folded, keys_max: usize, activity: impl Fn(&[(i64, f64)]) -> f64) -> Vec<Series> {
    let mut ranked: Vec<(f64, Series)> = folded
        .into_iter()
        .map(|(key, points)| {
            let points: Vec<(i64, f64)> = points.into_iter().collect();
            (activity(&points), Series { key, points })
        })
        .collect();
    ranked.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.key.cmp(&other.key)));
    ranked.truncate(keys_max);
    ranked.into_iter().map(|(_, series)| series).collect()
}

/// Numbers that are levels are averaged, numbers that are amounts are added.
fn fold_of(column: &str) -> Fold {
    const LEVELS: [&str; 18] = [
        "avg", "mean", "median", "min", "max", "temp", "rate", "ratio", "price", "percent", "pct", "wait", "level",
        "speed", "tobs", "latency", "duration", "posted",
    ];
    let column = column.to_ascii_lowercase();
    if LEVELS.iter().any(|level| column.contains(level)) { Fold::Mean } else { Fold::Sum }
}

/// A value as a finite number.
pub(crate) fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// A value as a time; of a window, its start.
pub(crate) fn time_of(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => time::parse(text),
        Value::Number(number) => time::from_number(number.as_f64()?),
        Value::Object(fields) => time_of(fields.get("start")?),
        _ => None,
    }
}

fn label(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) => text.chars().take(80).collect(),
        Some(other) => other.to_string().chars().take(80).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Column;

    fn rows(columns: &[(&str, &str)], rows: Vec<Value>) -> Rows {
        Rows {
            columns: columns
                .iter()
                .map(|(n, t)| Column { name: (*n).to_owned(), data_type: (*t).to_owned() })
                .collect(),
            rows: rows.into_iter().map(|row| row.as_array().expect("rows are arrays").clone()).collect(),
        }
    }

    #[test]
    fn station_traffic_becomes_a_line_per_station() {
        let columns = [
            ("start", "timestamp"),
            ("station", "string"),
            ("audits", "bigint"),
            ("entries", "bigint"),
            ("exits", "bigint"),
        ];
        let data = (0..6)
            .flat_map(|window| {
                (0..10).map(move |station| {
                    let start = format!("2023-06-0{} 0{}:00:00", 1 + window / 3, window % 3 * 4);
                    json!([start, format!("S{station}"), 6, 1000 * station + window, 500])
                })
            })
            .collect();
        let chart = chart(&rows(&columns, data), &Wish::default(), 0);
        assert_eq!(chart.kind, Kind::Line);
        assert_eq!(
            (chart.x.as_deref(), chart.y.as_deref(), chart.by.as_deref()),
            (Some("start"), Some("entries"), Some("station"))
        );
        assert_eq!(chart.series.len(), LINES_MAX);
        assert_eq!(chart.series[0].key, "S9", "the busiest station first");
        assert_eq!(chart.series[0].points.len(), 6);
        assert_eq!(chart.keys_total, 10);
        assert_eq!(chart.choices_y, ["audits", "entries", "exits"]);
    }

    #[test]
    fn the_first_window_is_bars_and_text_times_are_times() {
        let columns =
            [("window_start", "string"), ("window_end", "string"), ("ride", "string"), ("avg_wait", "double")];
        let one = vec![
            json!(["2018-01-01 09:00:00", "2018-01-01 10:00:00", "Splash", 30.0]),
            json!(["2018-01-01 09:00:00", "2018-01-01 10:00:00", "Dinosaur", 55.5]),
        ];
        let bars = chart(&rows(&columns, one.clone()), &Wish::default(), 0);
        assert_eq!((bars.kind, bars.fold), (Kind::Bar, Fold::Mean));
        assert_eq!(bars.at_ms, Some(1_514_797_200_000));
        assert_eq!(bars.series[0].key, "Dinosaur");
        let mut two = one;
        two.insert(0, json!(["2018-01-01 10:00:00", "2018-01-01 11:00:00", "Splash", 35.0]));
        let lines = chart(&rows(&columns, two), &Wish::default(), 0);
        assert_eq!((lines.kind, lines.x.as_deref()), (Kind::Line, Some("window_start")));
    }

    #[test]
    fn a_person_chooses_other_columns() {
        let columns = [
            ("ts", "timestamp"),
            ("station", "string"),
            ("line", "string"),
            ("entries", "bigint"),
            ("exits", "bigint"),
        ];
        let data =
            (0..4).map(|n| json!([1_685_793_600_000i64 + n * 60_000, format!("S{}", n % 2), "L", n, n * 2])).collect();
        let rows = rows(&columns, data);
        let wish = Wish { x: None, y: Some("exits".to_owned()), by: Some(String::new()) };
        let drawn = chart(&rows, &wish, 0);
        assert_eq!((drawn.y.as_deref(), drawn.by, drawn.series.len()), (Some("exits"), None, 1));
        let nonsense = Wish { x: None, y: Some("station".to_owned()), by: None };
        assert_eq!(chart(&rows, &nonsense, 0).y.as_deref(), Some("entries"));
    }

    #[test]
    fn the_point_that_older_rows_belong_to_is_left_out() {
        let columns = [("start", "timestamp"), ("station", "string"), ("entries", "bigint")];
        // Twelve windows of ten stations, newest first, of which the oldest is cut in the middle.
        let row = |n: usize| json!([format!("2023-06-03 {:02}:00:00", 11 - n / 10), format!("S{}", n % 10), 100]);
        let newest = |count: usize| rows(&columns, (0..count).map(row).collect());
        let by_nothing = Wish { by: Some(String::new()), ..Wish::default() };
        let cut = chart(&newest(115), &by_nothing, 47_135);
        assert_eq!((cut.rows, cut.rows_total), (115, 47_135));
        assert_eq!(cut.series[0].points.len(), 11, "the window of which half is there is not drawn");
        assert!(cut.series[0].points.iter().all(|(_, sum)| *sum == 1000.0), "{:?}", cut.series);
        let whole = chart(&newest(120), &by_nothing, 120);
        assert_eq!((whole.series[0].points.len(), whole.rows_total), (12, 120));
        let two = chart(&newest(15), &Wish::default(), 16);
        assert_eq!((two.kind, two.keys_total), (Kind::Bar, 10), "one whole window is left");
        let only = chart(&newest(5), &Wish::default(), 10);
        assert_eq!((only.kind, only.keys_total), (Kind::Bar, 5), "a single moment is shown as far as it is known");
    }

    #[test]
    fn a_bucket_that_older_rows_belong_to_is_left_out() {
        let columns = [("ts", "timestamp"), ("value", "bigint")];
        let data = (0..5_000).map(|n| json!([1_685_793_600_000i64 - n * 777, 1])).collect();
        let drawn = chart(&rows(&columns, data), &Wish::default(), 9_000);
        let bucket = drawn.bucket_ms.expect("there are many times");
        let least = bucket / 777;
        let points = &drawn.series[0].points;
        assert!(points[..points.len() - 1].iter().all(|(_, sum)| *sum >= least as f64), "{points:?}");
    }

    #[test]
    fn many_times_are_put_into_buckets() {
        let columns = [("ts", "timestamp"), ("value", "double")];
        let data = (0..5_000).map(|n| json!([1_685_793_600_000i64 + n * 777, 1.0])).collect();
        let drawn = chart(&rows(&columns, data), &Wish::default(), 0);
        assert!(drawn.bucket_ms.is_some());
        assert!(drawn.series[0].points.len() <= TIMES_MAX + 1);
        assert_eq!(drawn.series[0].points.iter().map(|(_, y)| y).sum::<f64>(), 5_000.0);
    }

    #[test]
    fn sparse_lines_get_wider_buckets() {
        let columns = [("ts", "timestamp"), ("key", "string"), ("value", "bigint")];
        let data = (0..5_000u64).map(|n| json!([1_685_793_600_000u64 + n * 60_000, format!("k{}", n * n % 211), 1]));
        let drawn = chart(&rows(&columns, data.collect()), &Wish::default(), 0);
        let bucket = drawn.bucket_ms.expect("there are many times");
        assert!(bucket >= 3_600_000, "{bucket}");
        assert!(
            usual_step(
                &drawn.series.iter().map(|line| (line.key.clone(), line.points.iter().copied().collect())).collect()
            ) <= 2 * bucket
        );
    }

    #[test]
    fn without_times_it_is_bars_and_without_numbers_it_counts() {
        let columns = [("state", "string"), ("name", "string")];
        let data = vec![json!(["AZ", "a"]), json!(["AZ", "b"]), json!(["NY", "c"]), json!([null, "d"])];
        let drawn = chart(&rows(&columns, data), &Wish { by: Some("state".to_owned()), ..Wish::default() }, 0);
        assert_eq!((drawn.kind, drawn.y), (Kind::Bar, None));
        assert_eq!(drawn.series[0], Series { key: "AZ".to_owned(), points: vec![(0, 2.0)] });
    }

    #[test]
    fn odd_rows_are_no_reason_to_fail() {
        let columns = [("window", "struct<start:timestamp,end:timestamp>"), ("n", "bigint")];
        let data =
            vec![json!([]), json!([null, null]), json!([{"start": "2023-01-01 00:00:00"}, "x"]), json!([5, 5, 5])];
        assert_eq!(chart(&rows(&columns, data), &Wish::default(), 0).kind, Kind::None);
        assert_eq!(chart(&Rows::default(), &Wish::default(), 0).kind, Kind::None);
        let windows = (0..3).map(|h| json!([{"start": format!("2023-01-01 0{h}:00:00"), "end": "x"}, h])).collect();
        assert_eq!(chart(&rows(&columns, windows), &Wish::default(), 0).kind, Kind::Line);
    }
}
