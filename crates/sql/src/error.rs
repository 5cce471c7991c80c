//! What is wrong with a project, shown with the place, the text and a remedy.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{Files, Span};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Spark's error class where it has one, such as `UNRESOLVED_COLUMN`.
    pub class: &'static str,
    /// What is wrong, in a sentence.
    pub message: String,
    /// Where, if it is at a place.
    pub span: Option<Span>,
    /// A few words next to the marked text.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
    /// It runs all the same, but hardly as it was meant.
    pub warning: bool,
}

impl Diagnostic {
    /// Something wrong at a place.
    pub(crate) fn at(span: Span, class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), span: Some(span), label: String::new(), help: None, warning: false }
    }

    /// Something wrong with the project as a whole.
    pub(crate) fn nowhere(class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), span: None, label: String::new(), help: None, warning: false }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn warning(mut self) -> Self {
        self.warning = true;
        self
    }
}

/// All that was found wrong below one statement, query or expression. Empty if it stands on something that was reported already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Errors(pub Vec<Diagnostic>);

pub(crate) type Result<T, E = Errors> = std::result::Result<T, E>;

impl Errors {
    /// For what cannot be judged because something that it needs is wrong.
    pub fn reported() -> Self {
        Self::default()
    }

    pub fn append(&mut self, other: Errors) {
        self.0.extend(other.0);
    }

    /// Is anything here that keeps the project from running?
    pub fn stop(&self) -> bool {
        self.0.iter().any(|diagnostic| !diagnostic.warning)
    }

    /// The values, if all are good; otherwise all that is wrong.
    pub fn collect<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
        let mut values = Vec::new();
        let mut errors: Option<Errors> = None;
        for result in results {
            match result {
                Ok(value) => values.push(value),
                Err(error) => errors.get_or_insert_default().append(error),
            }
        }
        match errors {
            None => Ok(values),
            Some(errors) => Err(errors),
        }
    }
}

impl From<Diagnostic> for Errors {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

/// Everything that is wrong with a project that cannot run, or the warnings of one that can.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    files: Arc<Files>,
}

impl Report {
    /// About a file that is read elsewhere; lines are added by [`Report::line`].
    pub fn of_file(path: impl Into<PathBuf>, text: &str) -> Self {
        let mut files = Files::default();
        files.add(path.into(), text);
        Self { diagnostics: Vec::new(), files: Arc::new(files) }
    }

    /// Adds what is wrong in a line of the file, counted from 1, where `word` stands.
    pub fn line(&mut self, line: usize, word: &str, class: &'static str, message: String, help: Option<String>) {
        let text = &self.files.get(0).text;
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let line = text[start.min(text.len())..].lines().next().unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        let (at, length) = match line.find(word).filter(|_| !word.is_empty()) {
            Some(at) => (at, word.len()),
            None => (indent, line.trim().len()),
        };
        let span = Span { file: 0, start: start + at, end: start + at + length };
        self.diagnostics.push(Diagnostic { help, ..Diagnostic::at(span, class, message) });
    }

    pub(crate) fn new(mut diagnostics: Vec<Diagnostic>, files: Arc<Files>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.span);
        let mut unique: Vec<Diagnostic> = Vec::new();
        for diagnostic in diagnostics {
            if !unique.contains(&diagnostic) {
                unique.push(diagnostic);
            }
        }
        Self { diagnostics: unique, files }
    }

    /// The report for a person, with colours if the terminal has them.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let reports: Vec<String> =
            self.diagnostics.iter().map(|diagnostic| self.render_one(diagnostic, &renderer)).collect();
        reports.join("\n\n")
    }

    /// File and 1-based line of a diagnostic, if it is at a place.
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<crate::Origin> {
        diagnostic.span.map(|span| self.files.origin(span))
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let level = if diagnostic.warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.class);
        let help = diagnostic.help.iter().map(|help| Level::HELP.message(help.as_str()));
        match diagnostic.span {
            None => renderer.render(&[Group::with_title(title).elements(help)]),
            Some(span) => {
                let file = self.files.get(span.file);
                let mut annotation = AnnotationKind::Primary.span(visible(&file.text, span));
                if !diagnostic.label.is_empty() {
                    annotation = annotation.label(diagnostic.label.as_str());
                }
                let path = file.path.to_string_lossy();
                let snippet = Snippet::source(&*file.text).path(path.as_ref()).fold(true).annotation(annotation);
                renderer.render(&[title.element(snippet).elements(help)])
            }
        }
    }
}

/// The part of a span that is worth underlining: its first line.
fn visible(text: &str, span: Span) -> Range<usize> {
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let first_line = text[start..end].find('\n').map_or(end, |newline| start + newline);
    start..first_line
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// The candidate that is most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let begins = candidate.starts_with(&name) || name.starts_with(&candidate);
        edits(&name, &candidate).min(if begins { 2 } else { usize::MAX })
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and substitutions from one text to the other.
pub(crate) fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_if_one_is_near() {
        let names = ["subscribe", "startingOffsets", "assign"];
        assert_eq!(nearest("subscribes", names), Some("subscribe"));
        assert_eq!(nearest("startingOffset", names), Some("startingOffsets"));
        assert_eq!(nearest("zebra", names), None);
    }
}
