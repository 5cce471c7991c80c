//! Connectors: where rows come from and where they go.
//!
//! Sources and the log of tables are what the engine sees, through its own traits. Followers carry a table's rows on to the world, each
//! from its own position and at its own pace. Feeds write into topics so that there is something to see.
//!
//! The broker is not known here: its topics are reached through [`EmbeddedLog`].

pub mod decode;
pub mod embedded;
pub mod feeds;
pub mod file_sink;
pub mod files;
pub mod kafka;
pub mod records;
pub mod table_log;
pub mod testing;
pub mod text;

pub use embedded::EmbeddedLog;
