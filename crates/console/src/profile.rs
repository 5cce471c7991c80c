//! What the columns of a table seem to be, from their types, names and values.

use std::collections::HashSet;

use serde_json::Value;

use crate::chart::{number, time_of};
use crate::model::Rows;

/// Rows looked at to tell what a column is.
const SAMPLE_ROWS: usize = 1_000;
/// More distinct values than this are names of single things, not of groups.
const CATEGORIES_MAX: usize = 400;

/// What a column is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Event times, window bounds, dates.
    Time,
    /// Amounts and levels.
    Number,
    /// Names of groups.
    Category,
    /// None of these.
    Other,
}

/// All columns' roles.
#[derive(Debug)]
pub struct Profile {
    columns: Vec<ColumnProfile>,
}

#[derive(Debug)]
struct ColumnProfile {
    name: String,
    /// Lower case.
    folded: String,
    role: Role,
    distinct: usize,
    rows: usize,
}

impl Profile {
    /// Looks at the newest rows.
    pub fn of(rows: &Rows) -> Profile {
        let columns = rows
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let values: Vec<&Value> = rows
                    .rows
                    .iter()
                    .take(SAMPLE_ROWS)
                    .filter_map(|row| row.get(index))
                    .filter(|v| !v.is_null())
                    .collect();
                let distinct = values.iter().map(|value| value.to_string()).collect::<HashSet<_>>().len();
                ColumnProfile {
                    name: column.name.clone(),
                    folded: column.name.to_ascii_lowercase(),
                    role: role(&column.data_type.to_ascii_lowercase(), &values, distinct),
                    distinct,
                    rows: values.len(),
                }
            })
            .collect();
        Profile { columns }
    }

    /// Index of the column of that name, if it has the role.
    pub fn find(&self, name: &str, role: Role) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name && column.role == role)
    }

    /// Columns of a role in their order.
    pub fn all(&self, role: Role) -> Vec<usize> {
        (0..self.columns.len()).filter(|index| self.columns[*index].role == role).collect()
    }

    /// The time to put on x: the start of a window rather than its end, a column that moves rather than one that stands.
    pub fn best_time(&self) -> Option<usize> {
        self.best(Role::Time, |column| {
            let name = column.folded.as_str();
            let named = if has(name, &["start", "window"]) && !has(name, &["end"]) {
                3
            } else if has(name, &["ts", "time", "timestamp", "at", "hour", "minute"]) {
                2
            } else if has(name, &["end", "stop", "processed", "ingest"]) {
                0
            } else {
                1
            };
            (i64::from(column.distinct > 1), named)
        })
    }

    /// The number to put on y: a measure rather than a count of rows, and never an identifier.
    pub fn best_number(&self) -> Option<usize> {
        self.best(Role::Number, |column| {
            let name = column.folded.as_str();
            let named = if has(
                name,
                &["id", "code", "zip", "year", "lat", "lon", "lng", "latitude", "longitude", "offset", "partition"],
            ) {
                0
            } else if has(
                name,
                &["audits", "rows", "records", "n", "cnt", "samples", "observations", "readings", "polls", "days"],
            ) || name == "count"
            {
                1
            } else if has(name, &["min", "max"]) {
                2
            } else {
                3
            };
            (named, 0)
        })
    }

    /// The column whose values become lines: a few dozen groups that come back, best one called by a name of a thing and not an identifier.
    pub fn best_category(&self, x: Option<usize>) -> Option<usize> {
        const THINGS: [&str; 23] = [
            "station",
            "ride",
            "name",
            "city",
            "country",
            "state",
            "user",
            "sensor",
            "device",
            "symbol",
            "type",
            "kind",
            "category",
            "region",
            "product",
            "host",
            "service",
            "park",
            "line",
            "route",
            "customer",
            "attraction",
            "place",
        ];
        self.best(Role::Category, |column| {
            if column.distinct < 2 || Some(column) == x.map(|x| &self.columns[x]) {
                return (0, 0);
            }
            let comes_back = column.distinct * 10 <= column.rows * 9 || x.is_none() || column.rows < 20;
            let named =
                i64::from(has(&column.folded, &THINGS)) * 2 + i64::from(!has(&column.folded, &["id", "code", "key"]));
            // Of two alike the finer one, as long as its lines can be told apart.
            let fine = if column.distinct <= 60 { column.distinct as i64 } else { 0 };
            (if comes_back { 2 } else { 1 }, named * 100 + fine)
        })
        .filter(|index| self.columns[*index].distinct >= 2)
    }

    /// The first of the columns with the highest score.
    fn best(&self, role: Role, score: impl Fn(&ColumnProfile) -> (i64, i64)) -> Option<usize> {
        self.all(role).into_iter().rev().max_by_key(|index| score(&self.columns[*index]))
    }
}

impl PartialEq for ColumnProfile {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Is one of the words a word of the name (`start_station_id`: start, station, id)?
fn has(name: &str, words: &[&str]) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| words.contains(&part))
}

fn role(data_type: &str, values: &[&Value], distinct: usize) -> Role {
    let most = |test: &dyn Fn(&Value) -> bool| {
        !values.is_empty() && values.iter().filter(|value| test(value)).count() * 10 >= values.len() * 9
    };
    let typed_time = ["timestamp", "date", "struct<start"].iter().any(|prefix| data_type.starts_with(prefix));
    if typed_time && (values.is_empty() || most(&|value| time_of(value).is_some())) {
        return Role::Time;
    }
    if most(&|value| (value.is_string() || value.is_object()) && time_of(value).is_some()) {
        return Role::Time;
    }
    if most(&|value| number(value).is_some()) {
        return Role::Number;
    }
    if values.iter().all(|value| value.is_string() || value.is_boolean())
        && !values.is_empty()
        && distinct <= CATEGORIES_MAX
    {
        return Role::Category;
    }
    Role::Other
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Column;

    fn best(columns: &[(&str, &str)], rows: Vec<Value>) -> (Option<String>, Option<String>, Option<String>) {
        let rows = Rows {
            columns: columns
                .iter()
                .map(|(n, t)| Column { name: (*n).to_owned(), data_type: (*t).to_owned() })
                .collect(),
            rows: rows.into_iter().map(|row| row.as_array().expect("rows are arrays").clone()).collect(),
        };
        let profile = Profile::of(&rows);
        let name = |index: Option<usize>| index.map(|index| rows.columns[index].name.clone());
        let x = profile.best_time();
        (name(x), name(profile.best_number()), name(profile.best_category(x)))
    }

    #[test]
    fn the_columns_of_the_examples_are_understood() {
        let some = |name: &str| Some(name.to_owned());
        let turnstiles = (0..40)
            .map(|n| {
                json!([
                    format!("2023-06-03 00:{:02}:00", n % 8 * 5),
                    "A002",
                    "R051",
                    format!("02-00-{n}"),
                    format!("ST {}", n % 9),
                    "NQR456W",
                    "BMT",
                    "06/03/2023",
                    "REGULAR",
                    1_000 + n,
                    2_000 + n
                ])
            })
            .collect();
        let columns =
            ["start", "C/A", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "DESC", "ENTRIES", "EXITS"];
        let columns: Vec<(&str, &str)> = columns
            .iter()
            .map(|c| (*c, if c.ends_with('S') && *c != "DIVISION" { "bigint" } else { "string" }))
            .collect();
        assert_eq!(best(&columns, turnstiles), (some("start"), some("ENTRIES"), some("STATION")));

        let bikes = (0..30)
            .map(|n| json!([{"start": format!("2017-04-01 {:02}:00:00", n % 5)}, n % 6, format!("Pier {}", n % 6), 12 + n, 431.5]))
            .collect();
        let columns = [
            ("window", "struct<start:timestamp,end:timestamp>"),
            ("start_station_id", "int"),
            ("start_station_name", "string"),
            ("trips", "bigint"),
            ("mean_duration", "double"),
        ];
        assert_eq!(best(&columns, bikes), (some("window"), some("trips"), some("start_station_name")));

        let weather = (0..30)
            .map(|n| json!([format!("2005-01-{:02}", n % 9 + 1), "AZ", format!("Station {}", n % 3), 33.4, 10.0]))
            .collect();
        let columns =
            [("date", "date"), ("state", "string"), ("name", "string"), ("latitude", "double"), ("TMIN", "double")];
        assert_eq!(best(&columns, weather), (some("date"), some("TMIN"), some("name")));
    }
}
