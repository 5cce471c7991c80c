//! The scalar functions, one file per function or small family. [`crate::registry`] is the table of all.

pub(crate) mod arithmetic;
pub(crate) mod arrays;
pub(crate) mod combine;
pub(crate) mod conditional;
pub(crate) mod dates;
pub(crate) mod from_text;
pub(crate) mod hash;
pub(crate) mod json;
mod kernel;
pub(crate) mod math;
mod md5;
pub(crate) mod parse_time;
pub(crate) mod regex;
pub(crate) mod strings;
pub(crate) mod window;

pub(crate) use conditional::widen;
