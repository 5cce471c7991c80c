//! Which files a location means.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::file_sink::disk::{Disk, LocalDisk};
use crate::file_sink::metadata::{FOLDER, SinkLog, path_of};

/// Folders deep at most: a loop of links ends here.
const DEPTH_MAX: usize = 16;
/// What Hive writes for null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A directory, a file or a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    base: PathBuf,
    path: PathBuf,
}

/// A file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    /// Values of folders `column=value` above it; none for null.
    pub partition_values: BTreeMap<String, Option<String>>,
}

impl Location {
    /// `location` is a path or a `file:` URI; a relative one is below `base`.
    pub fn new(base: &Path, location: &str) -> Self {
        let path = if location.starts_with("file:") { path_of(location) } else { PathBuf::from(location) };
        Self { base: base.to_owned(), path: base.join(path) }
    }

    /// The path, absolute if its base is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of a file in positions: below the base if it is, so that a project can be moved.
    pub fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// The reverse of [`Location::name_of`].
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// All files, oldest first; those of the same age by name. Names that begin with `_` or `.` are passed over, and a folder with a log of
    /// committed files has just these, as in Spark. None if nothing is there.
    pub fn list(&self) -> io::Result<Vec<FileEntry>> {
        let mut found = Vec::new();
        let text = self.path.to_string_lossy();
        if text.contains(['*', '?', '[']) {
            let paths =
                glob::glob(&text).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: {e}")))?;
            for path in paths.flatten() {
                collect(&path, &mut found, &BTreeMap::new(), 0)?;
            }
        } else {
            collect(&self.path, &mut found, &BTreeMap::new(), 0)?;
        }
        found.sort_by(|a, b| (a.modified_ms, &a.path).cmp(&(b.modified_ms, &b.path)));
        Ok(found)
    }
}

fn collect(
    path: &Path,
    found: &mut Vec<FileEntry>,
    values: &BTreeMap<String, Option<String>>,
    depth: usize,
) -> io::Result<()> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        // Gone between listing and looking.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    };
    if !meta.is_dir() {
        let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        found.push(FileEntry {
            path: path.to_owned(),
            size: meta.len(),
            modified_ms: modified.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            partition_values: values.clone(),
        });
        return Ok(());
    }
    if path.join(FOLDER).is_dir() {
        return committed(path, found);
    }
    if depth >= DEPTH_MAX {
        return Ok(());
    }
    for entry in LocalDisk.list(path)? {
        if entry.name.starts_with(['_', '.']) {
            continue;
        }
        let below = path.join(&entry.name);
        match entry.is_dir.then(|| partition_value(&entry.name)).flatten() {
            Some((column, value)) => {
                let mut values = values.clone();
                values.insert(column, value);
                collect(&below, found, &values, depth + 1)?;
            }
            None if entry.is_dir => {}
            None => collect(&below, found, values, depth + 1)?,
        }
    }
    Ok(())
}

/// Files that the folder's log names.
fn committed(dir: &Path, found: &mut Vec<FileEntry>) -> io::Result<()> {
    for file in SinkLog::open(&LocalDisk, dir)?.all(&LocalDisk)? {
        let named = path_of(&file.path);
        // A folder that was moved: the files lie where they lay below it.
        let below = relative_to(&named, dir);
        let path = below.as_ref().map_or_else(|| named.clone(), |below| dir.join(below));
        let mut partition_values = BTreeMap::new();
        for part in below.iter().flat_map(|p| p.components()) {
            if let Component::Normal(name) = part
                && let Some((column, value)) = partition_value(&name.to_string_lossy())
            {
                partition_values.insert(column, value);
            }
        }
        found.push(FileEntry { path, size: file.size, modified_ms: file.modification_time, partition_values });
    }
    Ok(())
}

/// The end of `path` behind the last folder of the name that `dir` has.
fn relative_to(path: &Path, dir: &Path) -> Option<PathBuf> {
    if let Ok(below) = path.strip_prefix(dir) {
        return Some(below.to_owned());
    }
    let name = dir.file_name()?;
    let parts: Vec<Component<'_>> = path.components().collect();
    let at = parts.iter().rposition(|part| part.as_os_str() == name)?;
    Some(parts[at + 1..].iter().collect())
}

/// `column=value`, unescaped.
fn partition_value(name: &str) -> Option<(String, Option<String>)> {
    let (column, value) = name.split_once('=')?;
    let value = (value != NULL).then(|| unescape(value));
    Some((unescape(column), value))
}

/// The reverse of [`crate::file_sink::hive::escape`].
fn unescape(text: &str) -> String {
    path_of(&format!("file:{text}")).to_string_lossy().into_owned()
}
