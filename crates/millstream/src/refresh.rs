//! Tables that are being emptied for `--full-refresh`. It takes several steps; one that was begun and cut short is finished at the next
//! start, or a table would keep rows that its flows make again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file for each table whose refresh was begun.
pub struct Marks(PathBuf);

impl Marks {
    /// Those of a data folder.
    pub fn of(data: &Path) -> Self {
        Self(data.join("refreshing"))
    }

    /// Durable before anything of the table is touched.
    pub fn begin(&self, table: &str) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        File::create(self.0.join(table))?.sync_all()?;
        File::open(&self.0)?.sync_all()
    }

    /// Nothing of what the table had is left.
    pub fn end(&self, table: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(table))?;
        File::open(&self.0)?.sync_all()
    }

    /// Was the table's refresh begun and never ended?
    pub fn begun(&self, table: &str) -> bool {
        self.0.join(table).exists()
    }
}
