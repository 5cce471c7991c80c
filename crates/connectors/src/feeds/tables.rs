//! Tables that generated fields take values from.

use std::path::Path;

use super::lines::{csv_fields, open_lines};
use super::spec::TableSpec;

/// Rows at most: a table is held in memory, and each row may have a state.
const ROWS_MAX: usize = 1_000_000;

/// A table of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// Reads it; files are below `base`.
    pub fn load(name: &str, spec: &TableSpec, base: &Path) -> Result<Self, String> {
        match (&spec.file, &spec.csv, spec.count) {
            (Some(file), None, None) => {
                let path = base.join(file);
                let mut lines = open_lines(&path).map_err(|e| format!("table {name}: {}: {e}", path.display()))?;
                let mut text = Vec::new();
                while let Some(line) = lines.next().map_err(|e| format!("table {name}: {}: {e}", path.display()))? {
                    text.push(line.to_vec());
                }
                Self::parse(name, text.iter().map(Vec::as_slice))
            }
            (None, Some(csv), None) => Self::parse(name, csv.lines().map(str::as_bytes)),
            (None, None, Some(count)) if (1..=ROWS_MAX).contains(&count) => {
                Ok(Self { columns: vec!["id".into()], rows: (1..=count).map(|n| vec![n.to_string()]).collect() })
            }
            _ => Err(format!("table {name} needs exactly one of file, csv and count (1 to {ROWS_MAX})")),
        }
    }

    fn parse<'a>(name: &str, lines: impl Iterator<Item = &'a [u8]>) -> Result<Self, String> {
        let mut lines = lines.map(csv_fields).filter(|fields| fields.iter().any(|f| !f.is_empty()));
        let columns = lines.next().ok_or_else(|| format!("table {name} is empty"))?;
        let mut rows = Vec::new();
        for (number, row) in lines.enumerate() {
            if row.len() != columns.len() {
                return Err(format!(
                    "table {name}, row {}: {} fields, {} expected",
                    number + 1,
                    row.len(),
                    columns.len()
                ));
            }
            rows.push(row);
            if rows.len() > ROWS_MAX {
                return Err(format!("table {name} has more than {ROWS_MAX} rows"));
            }
        }
        if rows.is_empty() { Err(format!("table {name} has no rows")) } else { Ok(Self { columns, rows }) }
    }

    /// Number of rows; at least 1.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Position of a column.
    pub fn column(&self, table: &str, name: &str) -> Result<usize, String> {
        self.columns
            .iter()
            .position(|c| c == name)
            .ok_or_else(|| format!("table {table} has no column {name}; it has {}", self.columns.join(", ")))
    }

    /// A value.
    pub fn get(&self, row: usize, column: usize) -> &str {
        &self.rows[row][column]
    }

    /// Is every value of the column blank or a number as JSON writes it?
    pub fn is_numeric(&self, column: usize) -> bool {
        let number = |text: &str| serde_json::from_str::<serde_json::Number>(text).is_ok();
        self.rows.iter().all(|row| row[column].is_empty() || number(&row[column]))
    }

    /// A column of numbers.
    pub fn numbers(&self, table: &str, name: &str) -> Result<Vec<f64>, String> {
        let column = self.column(table, name)?;
        let number = |row: &Vec<String>| row[column].trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        self.rows
            .iter()
            .map(|row| {
                number(row)
                    .ok_or_else(|| format!("table {table}, column {name}: '{}' is not a number from 0 on", row[column]))
            })
            .collect()
    }
}

/// Draws positions in proportion to weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    sums: Vec<f64>,
}

impl Weights {
    /// All positions below `count` alike.
    pub fn even(count: usize) -> Self {
        Self { sums: (1..=count).map(|n| n as f64).collect() }
    }

    /// By these weights, of which one must be above 0.
    pub fn of(weights: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sum = 0.0;
        let sums: Vec<f64> = weights
            .into_iter()
            .map(|w| {
                sum += w.max(0.0);
                sum
            })
            .collect();
        (sum > 0.0 && sum.is_finite()).then_some(Self { sums })
    }

    /// A position.
    pub fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let at = rng.f64() * total;
        self.sums.partition_point(|sum| *sum <= at).min(self.sums.len().saturating_sub(1))
    }
}
