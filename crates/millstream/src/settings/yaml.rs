//! Places in `millstream.yml`.

use millstream_connectors::feeds::from_yaml;
use millstream_sql::Report;
use serde::de::DeserializeOwned;

use super::Settings;

/// Class of what is wrong with the file.
pub const CLASS: &str = "INVALID_SETTINGS";

/// Reads the file's text; the error shows the line.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Report> {
    from_yaml(text).map_err(|error| {
        // `error: line 2 column 5: what is wrong`, an excerpt, and perhaps `help: …`.
        let first = error.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        let help = error.lines().find_map(|line| line.strip_prefix("help: ")).map(str::to_owned);
        let (line, message) = first
            .strip_prefix("line ")
            .and_then(|rest| rest.split_once(": "))
            .and_then(|(at, message)| Some((at.split(' ').next()?.parse::<usize>().ok()?, message)))
            .unwrap_or((1, first));
        let word = message.split('`').nth(1).unwrap_or_default();
        let mut report = Report::of_file(Settings::FILE, text);
        report.line(line, word, CLASS, message.to_owned(), help);
        report
    })
}

/// The line, counted from 1, of the key that `path` leads to, and how many of its parts were found. Keys within `{ … }` are at the line that
/// holds them.
pub fn line_of(text: &str, path: &[&str]) -> (usize, usize) {
    let (mut found, mut depth) = (1, 0);
    let (mut parent, mut child): (Option<usize>, Option<usize>) = (None, None);
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let indent = line.len() - trimmed.len();
        if depth == path.len() || parent.is_some_and(|parent| indent <= parent) {
            break;
        }
        if indent != *child.get_or_insert(indent) || !is_key(trimmed, path[depth]) {
            continue;
        }
        (found, parent, child) = (number + 1, Some(indent), None);
        depth += 1;
        while depth < path.len() && line.split(['{', ',']).skip(1).any(|part| is_key(part.trim(), path[depth])) {
            depth += 1;
        }
    }
    (found, depth)
}

fn is_key(line: &str, key: &str) -> bool {
    let quote = |c| c == '"' || c == '\'';
    let rest = line.trim_start_matches(quote).strip_prefix(key);
    rest.is_some_and(|rest| rest.trim_start_matches(quote).trim_start().starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_below_its_parents() {
        let text = "# x\nfeeds:\n  a:\n    generate:\n      topic: x\n    topic: b\n  \"b\":\n    topic: c\n    configs: { n: 1, m: 2 }\nend: 1\n";
        assert_eq!(line_of(text, &["feeds", "a", "topic"]), (6, 3));
        assert_eq!(line_of(text, &["feeds", "b", "topic"]), (8, 3));
        assert_eq!(line_of(text, &["feeds", "b", "configs", "m"]), (9, 4));
        assert_eq!(line_of(text, &["feeds", "b", "nothing"]), (7, 2));
        assert_eq!(line_of("", &["feeds"]), (1, 0));
    }
}
