//! `spark-pipeline.yml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Diagnostic, Errors, Result, nearest};
use crate::settings::check_configuration;
use crate::source::{Files, Span};

/// The specification's file names, in the order in which they are looked for.
const FILE_NAMES: &[&str] = &["spark-pipeline.yml", "spark-pipeline.yaml"];

const KEYS: &[&str] = &["name", "storage", "libraries", "configuration", "catalog", "database", "schema"];

/// What the specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub name: String,
    pub configuration: BTreeMap<String, String>,
    /// Where each of its keys stands.
    pub places: BTreeMap<String, Span>,
    pub warnings: Errors,
    /// Globs below the project, each with its place.
    pub libraries: Vec<(String, Span)>,
}

/// Reads the specification of a project.
pub(crate) fn read(dir: &Path, files: &mut Files) -> Result<Spec> {
    let Some(name) = FILE_NAMES.iter().find(|name| dir.join(name).is_file()) else {
        let error = Diagnostic::nowhere(
            "PIPELINE_SPEC_FILE_DOES_NOT_EXIST",
            format!("{} has no spark-pipeline.yml", dir.display()),
        );
        return Err(error.help("name the folder of a project, or make one: millstream init").into());
    };
    let text = std::fs::read_to_string(dir.join(name))
        .map_err(|error| Errors::from(Diagnostic::nowhere("UNREADABLE_FILE", format!("{name}: {error}"))))?;
    let file = files.add(PathBuf::from(name), &text);
    parse(file, &text)
}

fn parse(file: usize, text: &str) -> Result<Spec> {
    let places = Places { file, text };
    let value: Value = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line() as usize);
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default().to_string();
        Diagnostic::at(places.line(line), "INVALID_PIPELINE_SPEC", message).label("here")
    })?;
    let Value::Object(spec) = value else {
        return Err(Diagnostic::at(places.line(1), "INVALID_PIPELINE_SPEC", "the specification holds keys and values")
            .help("name: my-pipeline")
            .into());
    };
    let mut errors = Errors::default();
    for key in spec.keys() {
        if KEYS.contains(&key.as_str()) {
            continue;
        }
        let error = Diagnostic::at(
            places.key(key),
            "PIPELINE_SPEC_UNEXPECTED_FIELD",
            format!("`{key}` does not belong into the specification"),
        )
        .label("unknown");
        let help = match nearest(key, KEYS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if key.starts_with("millstream") => {
                "Millstream's own settings stand in millstream.yml or, as millstream.* keys, under configuration"
                    .to_string()
            }
            None => format!("the keys are {}; settings stand under configuration", KEYS.join(", ")),
        };
        errors.append(error.help(help).into());
    }
    let name = match spec.get("name") {
        Some(Value::String(name)) if !name.trim().is_empty() => name.trim().to_string(),
        Some(_) => {
            errors.append(Diagnostic::at(places.key("name"), "INVALID_PIPELINE_SPEC", "`name` is no text").into());
            String::new()
        }
        None => {
            let error =
                Diagnostic::at(places.line(1), "PIPELINE_SPEC_MISSING_REQUIRED_FIELD", "the pipeline has no name");
            errors.append(error.help("name: my-pipeline").into());
            String::new()
        }
    };
    let configuration = configuration(&spec, &places, &mut errors);
    let libraries = libraries(&spec, &places, &mut errors);
    if errors.stop() {
        return Err(errors);
    }
    let places = configuration.keys().map(|key| (key.clone(), places.key(key))).collect();
    Ok(Spec { name, configuration, places, warnings: errors, libraries })
}

fn configuration(spec: &Map<String, Value>, places: &Places<'_>, errors: &mut Errors) -> BTreeMap<String, String> {
    let mut configuration = BTreeMap::new();
    match spec.get("configuration") {
        None | Some(Value::Null) => {}
        Some(Value::Object(entries)) => {
            for (key, value) in entries {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => {
                        errors.append(
                            Diagnostic::at(places.key(key), "INVALID_PIPELINE_SPEC", format!("`{key}` is no text"))
                                .into(),
                        );
                        continue;
                    }
                };
                errors.append(check_configuration(key, places.key(key)).err().unwrap_or_default());
                configuration.insert(key.clone(), text);
            }
        }
        Some(_) => {
            let error = Diagnostic::at(
                places.key("configuration"),
                "INVALID_PIPELINE_SPEC",
                "`configuration` holds keys and values",
            );
            errors.append(error.into());
        }
    }
    configuration
}

fn libraries(spec: &Map<String, Value>, places: &Places<'_>, errors: &mut Errors) -> Vec<(String, Span)> {
    let mut libraries = Vec::new();
    let span = places.key("libraries");
    let help = "libraries:\n  - glob:\n      include: transformations/**";
    match spec.get("libraries") {
        Some(Value::Array(entries)) if !entries.is_empty() => {
            for entry in entries {
                match entry.pointer("/glob/include").and_then(Value::as_str) {
                    Some(include) => libraries.push((include.to_string(), places.text_of(include).unwrap_or(span))),
                    None => errors.append(
                        Diagnostic::at(span, "INVALID_PIPELINE_SPEC", "a library is a glob with an include")
                            .help(help)
                            .into(),
                    ),
                }
            }
        }
        Some(_) => {
            errors.append(
                Diagnostic::at(span, "INVALID_PIPELINE_SPEC", "`libraries` is a list of globs").help(help).into(),
            );
        }
        None => {
            let error =
                Diagnostic::at(places.line(1), "PIPELINE_SPEC_MISSING_REQUIRED_FIELD", "the pipeline has no libraries");
            errors.append(error.help(help).into());
        }
    }
    libraries
}

/// Finds places in the text; a key that cannot be found is the first line.
struct Places<'a> {
    file: usize,
    text: &'a str,
}

impl Places<'_> {
    fn line(&self, line: usize) -> Span {
        let start: usize = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let start = start.min(self.text.len());
        let length = self.text[start..].lines().next().map_or(0, |line| line.trim_end().len());
        Span { file: self.file, start, end: start + length }
    }

    fn key(&self, key: &str) -> Span {
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let trimmed = line.trim_start().trim_start_matches(['"', '\'']);
            if trimmed
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
            {
                let at = start + (line.len() - trimmed.len());
                return Span { file: self.file, start: at, end: at + key.len() };
            }
            start += line.len();
        }
        self.line(1)
    }

    fn text_of(&self, text: &str) -> Option<Span> {
        let start = self.text.find(text)?;
        Some(Span { file: self.file, start, end: start + text.len() })
    }
}

/// The files that the globs name, in the order of their paths. Each has to be a query in SQL.
pub(crate) fn library_files(dir: &Path, spec: &Spec) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut errors = Errors::default();
    for (include, span) in &spec.libraries {
        // Spark's `**` means every file below.
        let pattern = if include.ends_with("**") { format!("{include}/*") } else { include.clone() };
        let pattern = format!("{}/{pattern}", glob::Pattern::escape(&dir.to_string_lossy()));
        let paths = match glob::glob(&pattern) {
            Ok(paths) => paths,
            Err(error) => {
                errors.append(
                    Diagnostic::at(*span, "INVALID_PIPELINE_SPEC", format!("`{include}` is no glob: {}", error.msg))
                        .into(),
                );
                continue;
            }
        };
        let before = found.len();
        found.extend(paths.flatten().filter(|path| path.is_file()));
        if found.len() == before {
            let error =
                Diagnostic::at(*span, "NO_SOURCE_FILES", format!("`{include}` names no file")).label("matches nothing");
            errors.append(error.help("put queries there: transformations/name.sql").into());
        }
    }
    found.sort();
    found.dedup();
    for path in &found {
        let shown = path.strip_prefix(dir).unwrap_or(path).display();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sql") => {}
            _ if hidden => {}
            Some("py") => {
                let error = Diagnostic::nowhere(
                    "PYTHON_TRANSFORMATION",
                    format!("{shown}: transformations in Python do not run here"),
                );
                errors.append(
                    error
                        .help("write the query in SQL, or keep the file outside of the libraries; Spark runs both")
                        .into(),
                );
            }
            _ => {
                let error = Diagnostic::nowhere(
                    "PIPELINE_UNSUPPORTED_DEFINITIONS_FILE_EXTENSION",
                    format!("{shown} is no query"),
                );
                errors.append(error.help("files under the glob end in .sql").into());
            }
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    if errors.0.is_empty() { Ok(found) } else { Err(errors) }
}
