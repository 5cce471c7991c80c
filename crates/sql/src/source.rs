//! Texts of a project, places in them, and the replacement of variables that keeps track of places.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Diagnostic, Errors, Result};
use crate::pipeline::Origin;

/// A file of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Path below the project.
    pub path: PathBuf,
    pub text: Arc<str>,
}

/// All files that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files(Vec<File>);

/// Bytes of a file. The order of spans is the order of files and of places in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Number of the file.
    pub(crate) file: usize,
    /// First byte.
    pub(crate) start: usize,
    /// Byte after the last one.
    pub(crate) end: usize,
}

impl Span {
    pub(crate) fn to(self, last: Span) -> Span {
        Span { end: last.end.max(self.end), ..self }
    }
}

impl Files {
    pub fn add(&mut self, path: PathBuf, text: &str) -> usize {
        self.0.push(File { path, text: Arc::from(text) });
        self.0.len() - 1
    }

    pub fn get(&self, file: usize) -> &File {
        &self.0[file]
    }

    pub fn origin(&self, span: Span) -> Origin {
        let file = self.get(span.file);
        let before = &file.text.as_bytes()[..span.start.min(file.text.len())];
        Origin { file: file.path.clone(), line: 1 + before.iter().filter(|byte| **byte == b'\n').count() }
    }

    pub fn text(&self, span: Span) -> &str {
        &self.get(span.file).text[span.start..span.end]
    }
}

/// The statements of a file: what stands between semicolons, without comments and blanks around. Strings, quoted names and comments
/// may hold semicolons.
pub(crate) fn split_statements(file: usize, text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    let mut statements = Vec::new();
    let mut first: Option<usize> = None;
    let mut last = 0;
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let skipped = comment_length(rest);
        if skipped > 0 {
            i += skipped;
            continue;
        }
        match rest[0] {
            b';' => {
                statements.extend(first.take().map(|start| Span { file, start, end: last }));
                i += 1;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                i += 1;
                continue;
            }
            _ => {}
        }
        first.get_or_insert(i);
        i += quoted_length(rest).max(1);
        last = i;
    }
    statements.extend(first.map(|start| Span { file, start, end: last }));
    statements
}

/// Length of the comment that begins here, else 0. Block comments nest, as in Spark.
fn comment_length(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"--") {
        return bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    }
    if !bytes.starts_with(b"/*") {
        return 0;
    }
    let (mut depth, mut i) = (0, 0);
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                break;
            }
        } else {
            i += 1;
        }
    }
    i
}

/// Length of the string or quoted name that begins here, else 0.
fn quoted_length(bytes: &[u8]) -> usize {
    let quote = bytes[0];
    if !matches!(quote, b'\'' | b'"' | b'`') {
        return 0;
    }
    let mut i = 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if quote != b'`' => i += 2,
            byte if byte == quote => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// A statement with its variables replaced, and the way back to the file.
#[derive(Debug, Clone)]
pub(crate) struct Replaced {
    pub text: String,
    /// The statement in its file.
    pub span: Span,
    /// For each part of `text`: its first byte, its place in the file, and whether it stands there letter by letter.
    parts: Vec<(usize, Span, bool)>,
}

impl Replaced {
    /// The place in the file of bytes of the text.
    pub fn original(&self, start: usize, end: usize) -> Span {
        let place = |at: usize, is_end: bool| {
            let probe = if is_end { at.saturating_sub(1) } else { at };
            let part = self.parts.partition_point(|(first, ..)| *first <= probe).saturating_sub(1);
            let (first, span, verbatim) = self.parts[part];
            match (verbatim, is_end) {
                (true, _) => (span.start + (at - first)).min(self.span.end),
                (false, false) => span.start,
                (false, true) => span.end,
            }
        };
        let start_at = place(start, false);
        let end_at = if end > start { place(end, true) } else { start_at };
        Span { file: self.span.file, start: start_at, end: end_at.max(start_at) }
    }
}

/// Replaces `${name}` by what `lookup` says of `name`; comments are left as they are.
pub(crate) fn replace_variables(
    files: &Files,
    span: Span,
    lookup: impl Fn(&str) -> Result<String, String>,
) -> Result<Replaced> {
    let text = files.text(span);
    let mut replaced = Replaced { text: String::new(), span, parts: Vec::new() };
    let mut errors = Vec::new();
    let (mut verbatim_from, mut i) = (0, 0);
    let copy = |replaced: &mut Replaced, from: usize, to: usize| {
        if from < to {
            let place = Span { file: span.file, start: span.start + from, end: span.start + to };
            replaced.parts.push((replaced.text.len(), place, true));
            replaced.text.push_str(&text[from..to]);
        }
    };
    while i < text.len() {
        let rest = &text.as_bytes()[i..];
        let comment = comment_length(rest);
        if comment > 0 {
            i += comment;
            continue;
        }
        let Some(close) = rest.starts_with(b"${").then(|| text[i..].find('}')).flatten() else {
            i += 1;
            continue;
        };
        copy(&mut replaced, verbatim_from, i);
        let place = Span { file: span.file, start: span.start + i, end: span.start + i + close + 1 };
        match lookup(text[i + 2..i + close].trim()) {
            Ok(value) => {
                replaced.parts.push((replaced.text.len(), place, false));
                replaced.text.push_str(&value);
            }
            Err(help) => {
                let name = &text[i..=i + close];
                let error = Diagnostic::at(place, "UNSET_VARIABLE", format!("{name} has no value"));
                errors.push(error.label("not set").help(help));
            }
        }
        i += close + 1;
        verbatim_from = i;
    }
    copy(&mut replaced, verbatim_from, text.len());
    if replaced.parts.is_empty() {
        replaced.parts.push((0, span, true));
    }
    if errors.is_empty() { Ok(replaced) } else { Err(Errors(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<&str> {
        split_statements(0, text).into_iter().map(|span| &text[span.start..span.end]).collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let text = "-- one; two\nSET a = b;\n/* x; /* y; */ */ SELECT ';', \"a;b\", `c;d`, 'it\\'s;' -- ;\n FROM t;;\n";
        assert_eq!(statements(text), ["SET a = b", "SELECT ';', \"a;b\", `c;d`, 'it\\'s;' -- ;\n FROM t"]);
        assert_eq!(statements("SELECT 'open;"), ["SELECT 'open;"]);
        assert!(statements(" -- nothing").is_empty());
    }

    #[test]
    fn a_place_behind_a_variable_is_found_in_the_file() {
        let mut files = Files::default();
        let text = "SELECT '${long.name}', bad";
        let file = files.add("x.sql".into(), text);
        let span = Span { file, start: 0, end: text.len() };
        let replaced = replace_variables(&files, span, |_| Ok("v".to_string())).unwrap();
        assert_eq!(replaced.text, "SELECT 'v', bad");
        let bad = replaced.text.find("bad").unwrap();
        assert_eq!(files.text(replaced.original(bad, bad + 3)), "bad");
        assert_eq!(files.text(replaced.original(8, 9)), "${long.name}");
    }
}
