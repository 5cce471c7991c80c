//! Consumer groups: the classic protocol and committed offsets.

pub mod group;
pub mod record;

#[cfg(test)]
mod group_tests;
