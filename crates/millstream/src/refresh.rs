//! What is asked to be refreshed, and tables that are being emptied for `--full-refresh`. It takes several steps; one that was begun and
//! cut short is finished at the next start, or a table would keep rows that its flows make again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use millstream_sql::Pipeline;

use crate::cli::Refresh;

impl Refresh {
    /// Every table that is named must be there. To be asked before anything is opened or made.
    pub fn check(&self, pipeline: &Pipeline) -> Result<()> {
        let known: Vec<&str> = pipeline.tables.iter().map(|table| table.name.as_str()).collect();
        match self.refresh.iter().chain(&self.full_refresh).find(|name| !known.contains(&name.as_str())) {
            Some(name) => bail!("there is no table {name} to refresh; the tables are {}", known.join(", ")),
            None => Ok(()),
        }
    }
}

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
