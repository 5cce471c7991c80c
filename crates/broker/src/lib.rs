//! Kafka's APIs over the log: topics, produce, fetch, groups. No SQL, no files of users.
//!
//! ```text
//! socket → connection.rs: frames in, answers out in order → apis/: one file per API → topics/, groups/: who decides
//!                                                                                   → millstream_log: what is durable
//! ```
//!
//! Topics, their configurations, groups and committed offsets are records of internal topics: a handler decides, the record is made durable, and only
//! then it is applied. [`Broker::open`] reads them back. The process itself uses the same topics by the methods in `embedded.rs`.

mod apis;
mod broker;
mod config;
pub mod configs;
mod connection;
mod embedded;
mod error;
mod features;
mod fetch_sessions;
pub mod groups;
mod internal_log;
mod limits;
mod metrics;
mod quotas;
#[cfg(test)]
mod reference;
mod runtime;
pub mod security;
mod seldom;
mod server;
#[cfg(test)]
mod simulation;
mod stats;
mod topics;
pub mod transactions;
mod transport;
mod unpacking;

pub use broker::Broker;
pub use config::BrokerConfig;
pub use embedded::{Part, PartitionOffsets, TopicInfo};
pub use error::BrokerError;
pub use stats::TopicStats;
pub use topics::name::is_internal;
