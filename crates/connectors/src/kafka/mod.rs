//! Topics as sources and as targets: of the log in this process ([`embedded`]) and of any Kafka cluster ([`cluster`], [`cluster_sink`]).

pub mod bootstrap;
pub mod client_config;
pub mod cluster;
mod cluster_poll;
pub mod cluster_sink;
#[cfg(test)]
mod cluster_tests;
pub mod embedded;
mod handed_over;
mod link;
pub mod offsets;
pub mod options;

pub use bootstrap::Bootstrap;
pub use cluster::ClusterSource;
pub use cluster_sink::{ClusterSink, ClusterSinkError, ClusterSinkStatus};
pub use embedded::EmbeddedSource;
pub use options::{KafkaOptions, OptionsError};
