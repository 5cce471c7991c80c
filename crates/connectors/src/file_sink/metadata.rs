//! `_spark_metadata`: the log of committed files, as Spark's `FileStreamSink` writes it, so that Spark reads just these files.
//!
//! ```text
//! _spark_metadata/0            v1
//!                              {"path":"file:///…","size":…,"isDir":false,"modificationTime":…,"blockReplication":1,"blockSize":33554432,"action":"add"}
//! _spark_metadata/9.compact    every tenth holds all files so far
//! ```
//! Numbers begin at 0 and have no gap. A number is there or not: each file is put in place by a rename.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::Disk;

/// Folder of the log within a table's folder.
pub const FOLDER: &str = "_spark_metadata";
/// Every so many commits one holds all files.
const COMPACT_INTERVAL: u64 = 10;
/// How long files that a compact one made superfluous stay for readers that have just listed the folder; as Spark's.
const CLEANUP_DELAY_MS: i64 = 10 * 60 * 1000;
const VERSION: &str = "v1";

/// A committed file, in Spark's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStatus {
    /// URI of the file.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Always false.
    pub is_dir: bool,
    /// Milliseconds since 1970.
    pub modification_time: i64,
    /// 1, as local files have.
    pub block_replication: u32,
    /// 32 MiB, as local files have.
    pub block_size: u64,
    /// `add`.
    pub action: String,
}

impl FileStatus {
    /// A file that was added.
    pub fn added(path: &Path, size: u64, modified_ms: i64) -> Self {
        Self {
            path: uri(path),
            size,
            is_dir: false,
            modification_time: modified_ms,
            block_replication: 1,
            block_size: 32 << 20,
            action: "add".into(),
        }
    }
}

/// The log of one table's folder.
#[derive(Debug, Clone)]
pub struct SinkLog {
    folder: PathBuf,
    last: Option<u64>,
}

impl SinkLog {
    /// Looks at what is there.
    pub fn open(disk: &dyn Disk, table_dir: &Path) -> io::Result<Self> {
        let folder = table_dir.join(FOLDER);
        let last = disk.list(&folder)?.iter().filter_map(|e| number(&e.name)).max();
        Ok(Self { folder, last })
    }

    /// The newest commit.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Files of the newest commit. That of a compact one is all files; they stand in the order of their commits.
    pub fn last_files(&self, disk: &dyn Disk) -> io::Result<Vec<FileStatus>> {
        self.last.map_or(Ok(Vec::new()), |last| self.read(disk, last))
    }

    /// All committed files, in the order of their commits.
    pub fn all(&self, disk: &dyn Disk) -> io::Result<Vec<FileStatus>> {
        let Some(last) = self.last else { return Ok(Vec::new()) };
        let start = ((last + 1) / COMPACT_INTERVAL * COMPACT_INTERVAL).saturating_sub(1);
        let mut files = Vec::new();
        for commit in start..=last {
            files.extend(self.read(disk, commit)?);
        }
        Ok(files)
    }

    /// Commits `files`. They are durable when this returns, or the commit is not there. `now_ms` decides what is old enough to clean.
    pub fn add(&mut self, disk: &dyn Disk, files: &[FileStatus], now_ms: i64) -> io::Result<u64> {
        let number = self.last.map_or(0, |n| n + 1);
        let mut text = String::from(VERSION);
        let mut push = |file: &FileStatus| -> io::Result<()> {
            text.push('\n');
            text.push_str(&serde_json::to_string(file)?);
            Ok(())
        };
        if is_compact(number) {
            self.all(disk)?.iter().try_for_each(&mut push)?;
        }
        files.iter().try_for_each(&mut push)?;
        disk.create_dir_all(&self.folder)?;
        put(disk, &self.folder, &name_of(number), text.as_bytes())?;
        self.last = Some(number);
        if is_compact(number) {
            self.clean(disk, number, now_ms);
        }
        Ok(number)
    }

    /// Removes what the compact file before the newest already holds.
    fn clean(&self, disk: &dyn Disk, newest: u64, now_ms: i64) {
        let keep_from = newest.saturating_sub(COMPACT_INTERVAL);
        let Ok(entries) = disk.list(&self.folder) else { return };
        for entry in entries {
            let old = entry.modified_ms < now_ms - CLEANUP_DELAY_MS;
            if old && number(&entry.name).is_some_and(|n| n < keep_from) {
                // What stays is removed next time.
                let _ = disk.remove(&self.folder.join(&entry.name));
            }
        }
    }

    fn read(&self, disk: &dyn Disk, commit: u64) -> io::Result<Vec<FileStatus>> {
        let path = self.folder.join(name_of(commit));
        let text = String::from_utf8(disk.read(&path)?).map_err(|_| damaged(&path, "not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(VERSION) {
            return Err(damaged(&path, "its first line is not v1"));
        }
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).map_err(|e| damaged(&path, &e.to_string())))
            .collect()
    }
}

/// Writes a file so that it is whole and durable or not there under its name.
pub(super) fn put(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let hidden = dir.join(format!(".{name}.tmp"));
    let mut file = disk.create(&hidden)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&hidden, &dir.join(name))?;
    disk.sync_dir(dir)
}

fn damaged(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} is not a log of committed files: {why}; make the table anew with --full-refresh", path.display()),
    )
}

fn is_compact(commit: u64) -> bool {
    (commit + 1).is_multiple_of(COMPACT_INTERVAL)
}

fn name_of(commit: u64) -> String {
    if is_compact(commit) { format!("{commit}.compact") } else { commit.to_string() }
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".compact").unwrap_or(name).parse().ok()
}

/// `file:///…` with what a URI's path may not hold as `%XX`.
pub fn uri(path: &Path) -> String {
    let mut out = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'/' | b'-' | b'_' | b'.' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';'
            | b'=' | b':' | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The path of a `file:` URI.
pub fn path_of(uri: &str) -> PathBuf {
    let path = uri.strip_prefix("file:").unwrap_or(uri);
    let path = path.strip_prefix("//").unwrap_or(path);
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = hex.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    PathBuf::from(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::disk::LocalDisk;
    use super::*;

    fn file(n: u64) -> FileStatus {
        FileStatus::added(Path::new(&format!("/lake/t/part-{n}.csv")), n, 5)
    }

    #[test]
    fn is_written_as_spark_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = SinkLog::open(&LocalDisk, dir.path()).unwrap();
        log.add(&LocalDisk, &[FileStatus::added(Path::new("/a b/c%3D=1/x.csv.gz"), 7, 1_700_000_000_000)], 0).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("_spark_metadata/0")).unwrap(),
            "v1\n{\"path\":\"file:///a%20b/c%253D=1/x.csv.gz\",\"size\":7,\"isDir\":false,\
             \"modificationTime\":1700000000000,\"blockReplication\":1,\"blockSize\":33554432,\"action\":\"add\"}"
        );
        assert_eq!(path_of("file:///a%20b/c%253D=1/x.csv.gz"), Path::new("/a b/c%3D=1/x.csv.gz"));
        assert_eq!(path_of("file:/a"), Path::new("/a"));
    }

    #[test]
    fn every_tenth_commit_holds_everything_so_far() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..25 {
            let mut log = SinkLog::open(&LocalDisk, dir.path()).unwrap();
            assert_eq!(log.add(&LocalDisk, &[file(n)], 0).unwrap(), n);
            assert_eq!(log.all(&LocalDisk).unwrap(), (0..=n).map(file).collect::<Vec<_>>());
        }
        let log = SinkLog::open(&LocalDisk, dir.path()).unwrap();
        assert_eq!(log.last(), Some(24));
        assert_eq!(log.last_files(&LocalDisk).unwrap(), [file(24)]);
        let names: Vec<String> =
            LocalDisk.list(&dir.path().join(FOLDER)).unwrap().into_iter().map(|e| e.name).collect();
        assert!(names.contains(&"9.compact".into()) && names.contains(&"19.compact".into()), "{names:?}");
        assert_eq!(names.len(), 25, "the young ones stay");
    }

    #[test]
    fn old_files_go_once_two_compact_ones_hold_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = SinkLog::open(&LocalDisk, dir.path()).unwrap();
        for n in 0..20 {
            log.add(&LocalDisk, &[file(n)], i64::MAX / 2).unwrap();
        }
        let mut names: Vec<String> =
            LocalDisk.list(&dir.path().join(FOLDER)).unwrap().into_iter().map(|e| e.name).collect();
        names.sort_by_key(|n| number(n));
        assert_eq!(names.first().map(String::as_str), Some("9.compact"));
        assert_eq!(SinkLog::open(&LocalDisk, dir.path()).unwrap().all(&LocalDisk).unwrap().len(), 20);
    }
}
