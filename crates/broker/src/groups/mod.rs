//! Consumer groups: the classic protocol and committed offsets.

pub mod coordinator;
pub mod exchange;
pub mod group;
pub mod record;
mod subscription;

#[cfg(test)]
mod group_tests;
