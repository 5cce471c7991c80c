//! Differences that are meant: rows of the tables of a Markdown file, `| API | step | field | ours | Kafka's | why |`. A `*` stands for any
//! text. A row that fits nothing any more is an error, unless its reason begins with [`AT_TIMES`].

use crate::compare::Difference;

/// What depends on how quick either of the two is comes and goes.
const AT_TIMES: &str = "at times: ";

pub struct Accepted {
    rows: Vec<Row>,
}

struct Row {
    cells: [String; 5],
    line: usize,
    at_times: bool,
    uses: usize,
}

impl Accepted {
    /// Reads the tables of `text`.
    pub fn parse(text: &str) -> Result<Accepted, String> {
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let Some(line_cells) = line.strip_prefix('|') else { continue };
            let cells: Vec<_> = line_cells.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
            let [api, step, field, ours, theirs, why, end] = cells.as_slice() else {
                return Err(format!("line {}: six cells are wanted: API, step, field, ours, Kafka's, why", number + 1));
            };
            if api == "API" || api.starts_with("---") {
                continue;
            }
            if why.is_empty() || !end.is_empty() {
                return Err(format!("line {}: say why", number + 1));
            }
            let cells = [api, step, field, ours, theirs].map(Clone::clone);
            rows.push(Row { cells, line: number + 1, at_times: why.starts_with(AT_TIMES), uses: 0 });
        }
        Ok(Accepted { rows })
    }

    /// Whether a row fits; every row that does counts as used.
    pub fn accepts(&mut self, difference: &Difference) -> bool {
        let Difference { api, step, field, ours, theirs, .. } = difference;
        let mut accepted = false;
        for row in &mut self.rows {
            let values = [api, step, field, ours, theirs];
            if row.cells.iter().zip(values).all(|(pattern, value)| fits(pattern, value)) {
                row.uses += 1;
                accepted = true;
            }
        }
        accepted
    }

    /// Lines of rows that fitted nothing.
    pub fn stale(&self) -> Vec<(usize, String)> {
        let unused = self.rows.iter().filter(|row| row.uses == 0 && !row.at_times);
        unused.map(|row| (row.line, row.cells.join(" | "))).collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// Whether `value` is `pattern`, in which `*` stands for any text.
fn fits(pattern: &str, value: &str) -> bool {
    let Some((start, mut rest)) = pattern.split_once('*') else { return pattern == value };
    let Some(mut value) = value.strip_prefix(start) else { return false };
    while let Some((middle, more)) = rest.split_once('*') {
        let Some(at) = value.find(middle) else { return false };
        value = &value[at + middle.len()..];
        rest = more;
    }
    value.len() >= rest.len() && value.ends_with(rest)
}
