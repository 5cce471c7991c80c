//! Tables as lists of people's tools have them: aligned columns without lines around them.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::human::styled;

/// A column: its title, and whether its cells are numbers.
#[derive(Debug, Clone, Copy)]
pub struct Column(pub &'static str, pub bool);

/// A column of text.
pub const fn text(title: &'static str) -> Column {
    Column(title, false)
}

/// A column of numbers, to the right.
pub const fn number(title: &'static str) -> Column {
    Column(title, true)
}

/// The table, with a line end behind every line and nothing to the right of what there is.
pub fn table(columns: &[Column], rows: impl Iterator<Item = Vec<String>>, colour: bool) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(columns.iter().map(|column| column.0));
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in columns.iter().enumerate() {
        let Some(cells) = table.column_mut(index) else { continue };
        cells.set_padding((0, if index + 1 == columns.len() { 0 } else { 2 }));
        if column.1 {
            cells.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for (index, line) in table.lines().enumerate() {
        let line = line.trim_end();
        text.push_str(&if index == 0 { styled(line, "1", colour) } else { line.to_owned() });
        text.push('\n');
    }
    text
}
