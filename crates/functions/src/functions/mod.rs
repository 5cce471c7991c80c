//! The scalar functions, one file per function or small family. [`crate::registry`] is the table of all.

pub(crate) mod arithmetic;
pub(crate) mod conditional;
pub(crate) mod from_text;
mod kernel;
pub(crate) mod parse_time;
pub(crate) mod regex;
pub(crate) mod strings;
pub(crate) mod window;

pub(crate) use conditional::widen;
