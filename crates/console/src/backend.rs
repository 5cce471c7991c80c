//! The narrow handle through which the console sees the rest of the process.

use async_trait::async_trait;

use crate::model::{Overview, Record, Rows};

/// Implemented by the binary.
///
/// [`Backend::overview`] is called once a second by one task, however many pages are open. The other two are called when a page
/// asks, a handful at a time; they may read from disk.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The state of everything. Must not block: counters and small copies only.
    fn overview(&self) -> Overview;
    /// Is everything started and going on? If not, what keeps it, for a person: a line each.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    /// More metrics in Prometheus' text format, behind those of the overview; counters only, as for the overview.
    fn metrics(&self) -> String {
        String::new()
    }
    /// Up to `limit` of the newest records of a topic over all its partitions, newest first.
    async fn topic_records(&self, topic: &str, limit: usize) -> Result<Vec<Record>, BackendError>;
    /// Up to `limit` of the newest rows of a table, newest first.
    async fn table_rows(&self, table: &str, limit: usize) -> Result<Rows, BackendError>;
}

/// Why the backend has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// No such topic or table.
    #[error("{0} is not here; it may have been deleted, see the list on the left")]
    NotFound(String),
    /// Not now (recovering, disk trouble); asking again may help.
    #[error("{0}; try again in a moment")]
    Unavailable(String),
}
