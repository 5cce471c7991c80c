//! From a project folder to a [`Pipeline`]: the specification, the statements, their plans, and errors that show their place.
//!
//! Nothing runs here: a [`Pipeline`] is data that the engine and the connectors read.

pub mod logical;
pub mod pipeline;

pub use pipeline::{FileFormat, Flow, Origin, Pipeline, Relation, RelationKind, Table, TableKind};
