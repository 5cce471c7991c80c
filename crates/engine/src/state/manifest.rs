//! What a snapshot is made of.

use serde::{Deserialize, Serialize};

use crate::flow_log::Progress;

/// Version of the folder's layout. A newer one is refused.
pub(crate) const VERSION: u32 = 1;

/// `MANIFEST.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub version: u32,
    /// The flow as of the snapshot; its fingerprint too.
    pub progress: Progress,
    /// The statement and its plan in words, to tell what changed.
    pub plan: String,
    /// Runs that are in use.
    pub runs: Vec<Run>,
    /// For each stateful operator of the program, where its groups are.
    pub operators: Vec<Vec<Place>>,
}

/// A file in `runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub name: String,
    pub bytes: u64,
    /// CRC-32C of the whole file.
    pub crc32c: u32,
}

/// Groups of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub run: String,
    /// Record batch in the run.
    pub batch: usize,
    pub groups: usize,
}
