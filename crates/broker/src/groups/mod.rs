//! Consumer groups: the classic protocol, the new one (KIP-848), and committed offsets.

pub mod configs;
pub mod consumer;
pub mod coordinator;
pub mod exchange;
pub mod group;
pub mod record;
mod subscription;
pub(crate) mod transactional;

#[cfg(test)]
mod group_tests;
