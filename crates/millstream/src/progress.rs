//! What `run` shows: a bar while it works, and a table of what it did.

use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use millstream_engine::{StatsHandle, Status};

/// A bar over all flows. Nothing is drawn where standard error is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// Begins to draw.
    pub fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = "{spinner} {wide_bar} {human_pos} of {human_len} records  {per_sec}  {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is legal"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Draws how far the flows are.
    pub fn show<'a>(&self, flows: impl Iterator<Item = &'a StatsHandle>) {
        let (mut done, mut total, mut reason) = (0, 0, None);
        for stats in flows.map(StatsHandle::get) {
            done += stats.backlog_done;
            total += stats.backlog_total;
            if let Status::Waiting(why) = stats.status {
                reason = Some(format!("{} waits: {why}", stats.flow));
            }
        }
        self.0.set_length(total);
        self.0.set_position(done);
        self.0.set_message(reason.unwrap_or_default());
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

/// What happened to one table in a run.
#[derive(Default)]
pub struct Line {
    /// Table.
    pub table: String,
    /// Rows read; none for a materialized view.
    pub rows_in: Option<u64>,
    /// Rows written.
    pub rows_out: u64,
    /// Dropped because the watermark had passed them.
    pub late: u64,
    /// Dead letters.
    pub dead: u64,
    /// Files written.
    pub files: u64,
    /// Watermark, µs since 1970.
    pub watermark_us: Option<i64>,
    /// Folder of the table.
    pub folder: String,
}

/// Prints the table.
pub fn summary(lines: &[Line], seconds: f64) {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["table", "rows in", "rows out", "late", "dead", "watermark", "files", "folder"]);
    for line in lines {
        let number = |n: u64| Cell::new(thousands(n)).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(&line.table),
            line.rows_in.map_or_else(|| Cell::new(""), number),
            number(line.rows_out),
            number(line.late),
            number(line.dead),
            Cell::new(line.watermark_us.map(time).unwrap_or_default()),
            number(line.files),
            Cell::new(&line.folder),
        ]);
    }
    println!("{table}");
    println!("{}", total(lines, seconds));
}

/// A row that several tables are made of was read for each of them.
fn total(lines: &[Line], seconds: f64) -> String {
    let read: Vec<u64> = lines.iter().filter_map(|line| line.rows_in).filter(|rows| *rows > 0).collect();
    let rows: u64 = read.iter().sum();
    let by = if read.len() > 1 { format!(" read for {} tables", read.len()) } else { String::new() };
    format!("{} rows{by} in {seconds:.2} s, {} a second", thousands(rows), thousands((rows as f64 / seconds) as u64))
}

/// `2024-01-12 23:49:52`.
pub fn time(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us).map(|t| t.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(thousands).each_ref().map(String::as_str)
        );
    }

    #[test]
    fn a_row_that_two_tables_read_is_not_called_two() {
        let line = |rows| Line { rows_in: rows, ..Line::default() };
        assert_eq!(
            total(&[line(Some(253_237)), line(Some(253_237))], 2.0),
            "506,474 rows read for 2 tables in 2.00 s, 253,237 a second"
        );
        assert_eq!(total(&[line(Some(8)), line(None), line(Some(0))], 2.0), "8 rows in 2.00 s, 4 a second");
    }
}
