//! From a project folder to a [`Pipeline`]: the specification, the statements, their plans, and errors that show their place.
//!
//! Nothing runs here: a [`Pipeline`] is data that the engine and the connectors read.

mod error;
mod fingerprint;
mod functions;
mod graph;
mod interval;
mod kafka;
mod lex;
pub mod logical;
mod optimize;
pub mod pipeline;
mod plan;
mod project;
mod relations;
mod settings;
mod source;
mod spark_names;
mod spec;
mod statement;

pub use error::{Diagnostic, Report};
pub use kafka::{is_internal_topic, topic_fault};
pub use pipeline::{FileFormat, Flow, Origin, Pipeline, Relation, RelationKind, Table, TableKind, relations_of};
pub use project::{EMBEDDED_BOOTSTRAP, Environment, Project};
pub use source::Span;
