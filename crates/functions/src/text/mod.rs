//! Values as text: numbers in Java's forms, columns built from text, CSV and JSON records.

pub(crate) mod column;
pub(crate) mod csv;
pub(crate) mod encode;
pub(crate) mod json;
pub(crate) mod json_tape;
pub(crate) mod number;
pub(crate) mod options;
