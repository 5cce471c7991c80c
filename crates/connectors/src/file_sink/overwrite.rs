//! Putting a materialized view's answer in place of the old one: a folder is written beside the table's and exchanged with it, so that who
//! lists the table's folder sees the old files or the new ones and never both.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::config::FileConfig;
use super::disk::Disk;
use super::follower::Committed;
use super::part::Parts;

/// Marks a folder as whole, as Spark's batch writer does.
pub const SUCCESS: &str = "_SUCCESS";

/// One answer being written. Dropped without [`Overwrite::commit`] it changes nothing.
pub struct Overwrite {
    config: Arc<FileConfig>,
    disk: Arc<dyn Disk>,
    aside: PathBuf,
    parts: Parts,
}

impl Overwrite {
    /// Begins; what an earlier one left behind is removed.
    pub fn begin(config: Arc<FileConfig>, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let aside = aside(&config);
        disk.remove_dir_all(&aside)?;
        disk.create_dir_all(&aside)?;
        let parts = Parts::new(Arc::clone(&disk), Arc::clone(&config), &aside)?;
        Ok(Self { config, disk, aside, parts })
    }

    /// Adds rows. Blocks.
    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.parts.write(batch)
    }

    /// Puts the answer in place. Blocks. `version` goes into the files' names, so that the old and the new answer share none; it must
    /// differ from the last one's (a counter, or the time).
    pub fn commit(self, version: u64) -> io::Result<Committed> {
        let rows = self.parts.rows();
        let finished = self.parts.finish()?;
        let extension = self.config.extension();
        let mut bytes = 0;
        let files = finished.len();
        for (number, file) in finished.into_iter().enumerate() {
            let dir = self.aside.join(&file.folder);
            self.disk.rename(&file.hidden, &dir.join(format!("part-{number:05}-{version:016}-c000{extension}")))?;
            self.disk.sync_dir(&dir)?;
            bytes += file.size;
        }
        self.disk.create(&self.aside.join(SUCCESS))?.sync()?;
        self.disk.sync_dir(&self.aside)?;
        let lake = self.config.dir.parent().map(PathBuf::from).unwrap_or_default();
        self.disk.create_dir_all(&self.config.dir)?;
        self.disk.exchange(&self.config.dir, &self.aside)?;
        self.disk.sync_dir(&lake)?;
        self.disk.remove_dir_all(&self.aside)?;
        Ok(Committed { number: version, files, rows, bytes })
    }
}

/// The hidden folder beside the table's.
fn aside(config: &FileConfig) -> PathBuf {
    let name = config.dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    config.dir.with_file_name(format!("._{name}.new"))
}
