//! A table's folder in the lake: the follower that writes a streaming table's files exactly once, and the writer that puts a materialized
//! view's answer in place of the old one.

pub mod config;
pub mod disk;
pub mod follower;
pub mod hive;
pub mod metadata;
pub mod overwrite;
mod part;

#[cfg(test)]
pub(crate) mod tests;

pub use config::{ConfigError, FileConfig, TextCodec};
pub use disk::{Disk, LocalDisk};
pub use follower::{Committed, FileSink, SinkError, SinkStatus};
pub use overwrite::{Overwrite, SUCCESS};
