//! Kafka's APIs over the log: topics, produce, fetch, groups. One file per API under [`apis`]. No SQL, no files of users.

pub mod configs;
pub mod groups;
