//! Carrying a table's rows into its folder, exactly once.
//!
//! The order of a commit: hidden files are written and synced; they get their names, which say the range of the table's log that they hold;
//! the folder is synced; a new file of `_spark_metadata` names them. Only that last step makes them part of the table. Whatever a commit that
//! failed leaves behind is removed by the next one that does not, and what a crash leaves behind at the next start: files in the metadata's
//! range of the table's log that it does not name. Not sooner, because metadata whose sync failed may still be there and name them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

use super::config::FileConfig;
use super::disk::Disk;
use super::metadata::{FOLDER, FileStatus, SinkLog, path_of};
use super::part::{Finished, HIDDEN_PREFIX, Parts};
use crate::embedded::EmbeddedError;
use crate::table_log::reader::{ReadError, TableReader};

/// Bytes of the table's log that are read at once.
const READ_BYTES: usize = 1 << 20;
/// How soon after its start a follower commits for the first time, if its trigger is not sooner.
const FIRST_FILES: Duration = Duration::from_secs(1);
/// How long to wait before a commit that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What a follower is doing, for the page and for `run`'s progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkStatus {
    /// Offset of the table's log up to which files are committed.
    pub position: i64,
    /// Files committed since the start of this process.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Why nothing moves at the moment: a full disk and the like.
    pub waiting: Option<String>,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Number in `_spark_metadata`.
    pub number: u64,
    /// Files.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Why files cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The disk; it may work later.
    #[error("{path}: {source}")]
    Disk {
        /// The table's folder.
        path: String,
        /// What it says.
        source: io::Error,
    },
    /// The log; it may work later.
    #[error(transparent)]
    Log(EmbeddedError),
    /// Files and log do not fit together; a person has to decide.
    #[error("table {table}: {problem}; make it anew with --full-refresh {table}")]
    Inconsistent {
        /// Table.
        table: String,
        /// What does not fit.
        problem: String,
    },
}

impl SinkError {
    /// May it go away by itself?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Disk { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Log(error) => matches!(error, EmbeddedError::Unavailable(_)),
            Self::Inconsistent { .. } => false,
        }
    }
}

/// The follower of one table that writes its files.
pub struct FileSink {
    config: Arc<FileConfig>,
    disk: Arc<dyn Disk>,
    reader: TableReader,
    committed: SinkLog,
    position: i64,
    /// A commit failed, and its files may still lie there.
    untidy: bool,
    status: watch::Sender<SinkStatus>,
}

impl FileSink {
    /// Looks where the files stand and clears away what a crash left behind. The table's topic must have been made.
    pub fn open(config: FileConfig, disk: Arc<dyn Disk>, reader: TableReader) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Disk { path: config.dir.display().to_string(), source };
        let offsets = reader.offsets().map_err(SinkError::Log)?;
        let committed = SinkLog::open(&*disk, &config.dir).map_err(failed)?;
        let last = committed.last_files(&*disk).map_err(failed)?;
        let inconsistent = |problem: String| SinkError::Inconsistent { table: config.table.clone(), problem };
        let position = match last.iter().filter_map(|f| range_of(&f.path)).map(|(_, to)| to).max() {
            Some(position) => position,
            None if committed.last().is_some() => {
                return Err(inconsistent(format!("{} was written by another program", config.dir.display())));
            }
            None => offsets.log_start,
        };
        if position > offsets.high_watermark {
            return Err(inconsistent(format!(
                "its files reach to {position} of its log, which ends at {}: the data folder is older than the lake or another's",
                offsets.high_watermark
            )));
        }
        if position < offsets.log_start {
            return Err(inconsistent(format!(
                "its files reach to {position} of its log, which begins at {}: rows between are gone",
                offsets.log_start
            )));
        }
        let files = committed.all(&*disk).map_err(failed)?;
        let begun = files.iter().filter_map(|f| range_of(&f.path)).map(|(from, _)| from).min().unwrap_or(position);
        clear(&*disk, &config.dir, begun, &names(&files)).map_err(failed)?;
        let status = watch::Sender::new(SinkStatus { position, ..SinkStatus::default() });
        Ok(Self { config: Arc::new(config), disk, reader, committed, position, untidy: false, status })
    }

    /// Offset of the first row that can be written, if there is no file yet and rows before it are gone from the log.
    pub fn begins_at(&self) -> Option<i64> {
        (self.committed.last().is_none() && self.position > 0).then_some(self.position)
    }

    /// Offset of the table's log up to which files are committed.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// How often `up` commits.
    pub fn trigger(&self) -> Duration {
        self.config.trigger
    }

    /// What it is doing.
    pub fn status(&self) -> watch::Receiver<SinkStatus> {
        self.status.subscribe()
    }

    /// Commits all rows up to offset `to` of the table's log; `None` if there are none. After an error nothing of it is committed and
    /// it can be called again.
    pub async fn commit(&mut self, to: i64) -> Result<Option<Committed>, SinkError> {
        let done = self.commit_once(to).await;
        self.untidy |= done.is_err();
        done
    }

    async fn commit_once(&mut self, to: i64) -> Result<Option<Committed>, SinkError> {
        let from = self.position;
        if to <= from {
            return Ok(None);
        }
        let failed = |source| SinkError::Disk { path: self.config.dir.display().to_string(), source };
        let mut parts =
            Parts::new(Arc::clone(&self.disk), Arc::clone(&self.config), &self.config.dir).map_err(failed)?;
        let mut next = from;
        while next < to {
            let chunk = self.reader.read(next, to, READ_BYTES).await.map_err(|e| match e {
                ReadError::Log(e) => SinkError::Log(e),
                other => SinkError::Inconsistent { table: self.config.table.clone(), problem: other.to_string() },
            })?;
            if chunk.next_offset == next {
                let problem = format!("its log ends at {next} and not at {to}");
                return Err(SinkError::Inconsistent { table: self.config.table.clone(), problem });
            }
            next = chunk.next_offset;
            parts = blocking(move || {
                chunk.batches.iter().try_for_each(|batch| parts.write(batch))?;
                Ok(parts)
            })
            .await
            .map_err(failed)?;
        }
        let rows = parts.rows();
        let config = Arc::clone(&self.config);
        let disk = Arc::clone(&self.disk);
        let mut committed = self.committed.clone();
        let untidy = self.untidy;
        let done = blocking(move || {
            let files = publish(&*disk, &config, parts.finish()?, from, to)?;
            if files.is_empty() {
                return Ok(None);
            }
            let number = committed.add(&*disk, &files, now_ms())?;
            if untidy {
                // The commit is done; what stays is removed at the next start.
                let _ = clear(&*disk, &config.dir, from, &names(&files));
            }
            Ok(Some((committed, number, files)))
        });
        let Some((committed, number, files)) = done.await.map_err(failed)? else {
            // Nothing that a file could tell; read again after a restart.
            self.position = to;
            return Ok(None);
        };
        self.committed = committed;
        self.untidy = false;
        self.position = to;
        let bytes = files.iter().map(|f| f.size).sum();
        self.status.send_modify(|status| {
            status.position = to;
            status.files += files.len() as u64;
            status.rows += rows;
            status.bytes += bytes;
            status.waiting = None;
        });
        Ok(Some(Committed { number, files: files.len(), rows, bytes }))
    }

    /// [`FileSink::commit`], again and again until it is done: while the disk is full it waits and the status says why. Ends early,
    /// with nothing committed, when `stop` turns true.
    pub async fn commit_patiently(
        &mut self,
        to: i64,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Committed>, SinkError> {
        loop {
            match self.commit(to).await {
                Err(error) if error.is_transient() => {
                    let reason = error.to_string();
                    // Once, not at each attempt.
                    if self.status.borrow().waiting.as_ref() != Some(&reason) {
                        tracing::warn!(table = self.config.table, "waiting: {reason}");
                    }
                    self.status.send_modify(|status| status.waiting = Some(reason));
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        _ = stop.wait_for(|stop| *stop) => return Ok(None),
                    }
                }
                done => return done,
            }
        }
    }

    /// Follows the table until `stop` turns true: commits every `trigger` if there are rows, and once more at the end. `passed` is
    /// told each position that is committed.
    pub async fn follow(
        mut self,
        mut stop: watch::Receiver<bool>,
        passed: impl Fn(i64) + Send,
    ) -> Result<(), SinkError> {
        let mut end = self.reader.watch().map_err(SinkError::Log)?;
        // The first files come soon: who starts a pipeline wants to see that it works.
        let mut last_commit = Instant::now() - self.config.trigger.saturating_sub(FIRST_FILES);
        passed(self.position);
        loop {
            let position = self.position;
            let more = async {
                // The log went away with the process's end.
                if end.wait_for(|end| *end > position).await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep_until(last_commit + self.config.trigger).await;
            };
            let stopping = tokio::select! {
                () = more => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            let to = *end.borrow_and_update();
            if stopping {
                return self.commit(to).await.map(|_| passed(self.position));
            }
            self.commit_patiently(to, &mut stop).await?;
            last_commit = Instant::now();
            passed(self.position);
        }
    }
}

/// Gives the files their names and makes those durable.
fn publish(
    disk: &dyn Disk,
    config: &FileConfig,
    finished: Vec<Finished>,
    from: i64,
    to: i64,
) -> io::Result<Vec<FileStatus>> {
    let extension = config.extension();
    let mut statuses = Vec::with_capacity(finished.len());
    let mut folders: Vec<PathBuf> = Vec::new();
    for (number, file) in finished.into_iter().enumerate() {
        let dir = config.dir.join(&file.folder);
        let path = dir.join(file_name(number, from, to, &extension));
        disk.rename(&file.hidden, &path)?;
        statuses.push(FileStatus::added(&path, file.size, now_ms()));
        // A folder that is new is an entry of the one above.
        let above = dir.ancestors().take(file.folder.components().count() + 1);
        folders.extend(above.map(Path::to_owned));
    }
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|dir| disk.sync_dir(dir))?;
    Ok(statuses)
}

/// `part-NUMBER-FROM-TO-c000.EXT`: file number within its commit, and the range of the table's log.
fn file_name(number: usize, from: i64, to: i64, extension: &str) -> String {
    format!("part-{number:05}-{from:016}-{to:016}-c000{extension}")
}

/// The range in a file's name or path.
pub fn range_of(path: &str) -> Option<(i64, i64)> {
    let name = path.rsplit('/').next()?.strip_prefix("part-")?;
    let mut fields = name.split('-');
    let _number: u64 = fields.next()?.parse().ok()?;
    let from = fields.next()?.parse().ok()?;
    let to = fields.next()?.parse().ok()?;
    fields.next()?.starts_with("c000").then_some((from, to))
}

/// Removes what no commit names: hidden files, and files that begin at or after offset `from` of the table's log and are not in `named`.
fn clear(disk: &dyn Disk, dir: &Path, from: i64, named: &BTreeSet<String>) -> io::Result<()> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            if entry.name != FOLDER && entry.name.contains('=') {
                clear(disk, &path, from, named)?;
            }
        } else if entry.name.starts_with(HIDDEN_PREFIX)
            || range_of(&entry.name).is_some_and(|(begun, _)| begun >= from) && !named.contains(&entry.name)
        {
            disk.remove(&path)?;
        }
    }
    Ok(())
}

/// Names of these files without their folders: a lake may have been moved since, and no two files of a table share a name.
fn names(files: &[FileStatus]) -> BTreeSet<String> {
    let name = |file: &FileStatus| Some(path_of(&file.path).file_name()?.to_string_lossy().into_owned());
    files.iter().filter_map(name).collect()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Runs work that blocks or computes for long aside from the asynchronous tasks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}
