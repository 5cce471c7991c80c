//! Open files of segments and indexes: opened when first needed, the longest unused closed when there are too many.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::files::{FileHandle, Files};

/// Which file of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Log,
    Index,
    Aborted,
}

/// A file by its partition's slot and its segment's base offset.
pub(crate) type Key = (u32, i64, Kind);

#[derive(Debug)]
pub(crate) struct Handles {
    files: Arc<dyn Files>,
    open_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    handles: HashMap<Key, (Arc<dyn FileHandle>, u64)>,
    /// Counts uses: the smallest mark is the longest unused.
    clock: u64,
}

impl Handles {
    pub(crate) fn new(files: Arc<dyn Files>, open_max: usize) -> Handles {
        Handles { files, open_max, open: Mutex::default() }
    }

    /// The file `key`, which is at `path`; made if `create`.
    pub(crate) fn get(
        &self,
        key: Key,
        path: impl FnOnce() -> std::path::PathBuf,
        create: bool,
    ) -> io::Result<Arc<dyn FileHandle>> {
        {
            let open = &mut *self.open.lock();
            open.clock += 1;
            if let Some((handle, used)) = open.handles.get_mut(&key) {
                *used = open.clock;
                return Ok(handle.clone());
            }
        }
        let handle = self.files.open(Path::new(&path()), create)?;
        let open = &mut *self.open.lock();
        if open.handles.len() >= self.open_max {
            // An eighth at a time, so that the search is paid once for many.
            let mut uses: Vec<u64> = open.handles.values().map(|(_, used)| *used).collect();
            let (_, bound, _) = uses.select_nth_unstable(self.open_max / 8);
            let bound = *bound;
            open.handles.retain(|_, (_, used)| *used > bound);
        }
        open.handles.insert(key, (handle.clone(), open.clock));
        Ok(handle)
    }

    /// Closes a segment's files once nobody uses them.
    pub(crate) fn forget(&self, slot: u32, base_offset: i64) {
        let open = &mut *self.open.lock();
        for kind in [Kind::Log, Kind::Index, Kind::Aborted] {
            open.handles.remove(&(slot, base_offset, kind));
        }
    }

    /// Closes all of a partition's files once nobody uses them.
    pub(crate) fn forget_all(&self, slot: u32) {
        self.open.lock().handles.retain(|key, _| key.0 != slot);
    }
}
