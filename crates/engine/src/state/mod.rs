//! Snapshots of a flow's state on disk.
//!
//! ```text
//! STATE/FLOW/MANIFEST.json        what the newest snapshot is: progress, and which groups are in which runs
//! STATE/FLOW/runs/EPOCH-OP.arrow  groups that changed since the snapshot before, as an Arrow IPC file: a record batch per bucket,
//!                                 keys first, then each function's state
//! ```
//!
//! A run is written and synced before the manifest that names it is put in place by a rename; runs that no manifest names are removed
//! after that. So there is always one whole snapshot, and no manifest points at a file that is gone.

mod manifest;
mod store;

pub(crate) use manifest::{Manifest, Place};
pub(crate) use store::{Snapshot, Store};

use std::path::Path;

use crate::error::EngineError;

/// Removes a flow's state, for `--full-refresh`. Nothing happens if there is none.
pub fn forget(folder: &Path) -> Result<(), EngineError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(EngineError::State { path: folder.to_owned(), message: error.to_string() })
        }
        _ => Ok(()),
    }
}
