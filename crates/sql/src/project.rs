//! A project folder, read and checked as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_functions::Session;
use millstream_functions::time::Zone;

use crate::error::{Diagnostic, Errors, Report, Result, nearest};
use crate::functions::Functions;
use crate::graph::Graph;
use crate::lex::tokenize;
use crate::pipeline::Pipeline;
use crate::settings::{TIME_ZONE, check_configuration};
use crate::source::{Files, Span, replace_variables, split_statements};
use crate::spec;
use crate::statement::{Statement, parse_statement};

/// `kafka.bootstrap.servers` of a pipeline that reads the embedded broker: what `${env:KAFKA_BOOTSTRAP}` is if nobody has set it.
pub const EMBEDDED_BOOTSTRAP: &str = "embedded";

/// What a project sees of the world it runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Variables, for `${env:NAME}`.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// These variables, and [`EMBEDDED_BOOTSTRAP`] for `KAFKA_BOOTSTRAP` if it is not among them or empty.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut variables: BTreeMap<String, String> = variables.into_iter().collect();
        if variables.get("KAFKA_BOOTSTRAP").is_none_or(|value| value.trim().is_empty()) {
            variables.insert("KAFKA_BOOTSTRAP".to_string(), EMBEDDED_BOOTSTRAP.to_string());
        }
        Self { variables }
    }

    /// The variables of this process (those that are text).
    pub fn of_process() -> Self {
        Self::new(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }
}

/// A folder with `spark-pipeline.yml` and queries.
#[derive(Debug)]
pub struct Project;

impl Project {
    /// Reads and checks the whole project. Nothing is run; files are read, none is written. The error holds everything that is wrong.
    pub fn load(dir: &Path, environment: &Environment) -> Result<Pipeline, Report> {
        let mut files = Files::default();
        match load(dir, environment, &mut files) {
            Ok((pipeline, warnings)) => Ok(Pipeline { warnings: Report::new(warnings.0, Arc::new(files)), ..pipeline }),
            Err(errors) => Err(Report::new(errors.0, Arc::new(files))),
        }
    }
}

fn load(dir: &Path, environment: &Environment, files: &mut Files) -> Result<(Pipeline, Errors)> {
    let mut spec = spec::read(dir, files)?;
    let mut errors = std::mem::take(&mut spec.warnings);
    let (configuration, places) = (spec.configuration.clone(), spec.places.clone());
    let mut reader = Reader { files, environment, configuration, places, graph: Graph::default() };
    let sources = dir.join("sources.sql");
    if sources.is_file() {
        errors.append(reader.file(dir, &sources, true));
    }
    match spec::library_files(dir, &spec) {
        Ok(paths) => {
            for path in paths {
                errors.append(reader.file(dir, &path, false));
            }
        }
        Err(error) => errors.append(error),
    }
    let Reader { configuration, places, graph, .. } = reader;
    let session = session(&configuration, &places, &mut errors);
    let functions =
        Functions::new(session).map_err(|error| Diagnostic::nowhere("INTERNAL_ERROR", error.to_string()))?;
    let (tables, flows) = graph.plan(&functions, files, dir, &mut errors);
    if errors.stop() {
        return Err(errors);
    }
    let settings_at = places.into_iter().map(|(key, place)| (key, files.origin(place))).collect();
    let warnings = Report::default();
    let pipeline = Pipeline { name: spec.name, configuration, tables, flows, settings_at, warnings };
    Ok((pipeline, errors))
}

/// How values are read; what is wrong with the setting goes to `errors`.
fn session(configuration: &BTreeMap<String, String>, places: &BTreeMap<String, Span>, errors: &mut Errors) -> Session {
    let Some(name) = configuration.get(TIME_ZONE) else { return Session::default() };
    if let Some(zone) = Zone::parse(name) {
        return Session::new(zone);
    }
    let message = format!("there is no time zone `{name}`");
    let error = places.get(TIME_ZONE).map_or_else(
        || Diagnostic::nowhere("INVALID_TIMEZONE", message.clone()),
        |place| Diagnostic::at(*place, "INVALID_TIMEZONE", message.clone()),
    );
    let error = match Zone::nearest(name) {
        Some(near) => error.help(format!("did you mean {near}?")),
        None => error.help("UTC, Europe/Berlin, +02:00"),
    };
    errors.append(error.into());
    Session::default()
}

struct Reader<'a> {
    files: &'a mut Files,
    environment: &'a Environment,
    configuration: BTreeMap<String, String>,
    /// Where each key of `configuration` was set last.
    places: BTreeMap<String, Span>,
    graph: Graph,
}

impl Reader<'_> {
    /// Reads the statements of a file.
    fn file(&mut self, dir: &Path, path: &Path, in_sources: bool) -> Errors {
        let shown = path.strip_prefix(dir).map_or_else(|_| path.to_path_buf(), PathBuf::from);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return Diagnostic::nowhere("UNREADABLE_FILE", format!("{}: {error}", shown.display())).into();
            }
        };
        let file = self.files.add(shown, &text);
        let mut errors = Errors::default();
        for span in split_statements(file, &text) {
            match self.statement(span, in_sources) {
                Ok(Statement::Set { key, value }) => {
                    errors.append(check_configuration(&key, span).err().unwrap_or_default());
                    self.places.insert(key.clone(), span);
                    self.configuration.insert(key, value);
                }
                Ok(statement) => errors.append(self.graph.add(statement, span).err().unwrap_or_default()),
                Err(error) => {
                    self.graph.failed(&text[span.start..span.end]);
                    errors.append(error);
                }
            }
        }
        errors
    }

    fn statement(&self, span: Span, in_sources: bool) -> Result<Statement> {
        let replaced = replace_variables(self.files, span, |name| self.variable(name))?;
        let tokens = tokenize(&replaced)?;
        parse_statement(tokens, &replaced.text, span, in_sources)
    }

    /// The value of `${name}`; the error is what to do.
    fn variable(&self, name: &str) -> std::result::Result<String, String> {
        let (known, name, what): (&BTreeMap<String, String>, _, _) = match name.strip_prefix("env:") {
            Some(name) => (&self.environment.variables, name, "environment variable"),
            None => (&self.configuration, name.strip_prefix("spark:").unwrap_or(name), "key"),
        };
        known.get(name).cloned().ok_or_else(|| match nearest(name, known.keys().map(String::as_str)) {
            Some(near) => format!("there is an {what} {near}: did you mean that?").replace("an key", "a key"),
            None if what == "key" => {
                format!("set it in spark-pipeline.yml under configuration, or before this statement: SET {name} = …")
            }
            None => format!("set it for the command: {name}=… millstream …"),
        })
    }
}
