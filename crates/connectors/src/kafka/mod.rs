//! Topics as sources and as targets: of the log in this process ([`embedded`]) and of any Kafka cluster ([`cluster`], [`cluster_sink`]).

pub mod bootstrap;
pub mod embedded;
pub mod murmur2;
pub mod offsets;
pub mod options;

pub use bootstrap::Bootstrap;
pub use embedded::EmbeddedSource;
pub use options::{KafkaOptions, OptionsError};
