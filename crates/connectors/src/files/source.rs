//! Files as a stream: each file is read once, when it appears.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use millstream_engine::{Position, Source, SourceBatch, SourceError};
use millstream_functions::Session;
use millstream_sql::FileFormat;
use tokio::sync::mpsc;

use super::listing::{FileEntry, Location};
use super::rows::{FileError, FileRows, ReadOptions};

/// Offset of a file that has been read to its end; before, an offset counts rows.
const DONE: i64 = 1 << 40;
/// How often `up` looks for new files.
const POLL: Duration = Duration::from_secs(1);
/// Batches read ahead of the engine.
const PREFETCH_BATCHES: usize = 4;

/// Options of the source, not of the format.
const MAX_FILES_PER_TRIGGER: &str = "maxfilespertrigger";

/// A [`Source`] over the files of a location. A partition is a file, by its path; files that were read and then change are not read again,
/// as in Spark.
pub struct FileSource {
    location: Location,
    options: Arc<ReadOptions>,
    max_files: Option<usize>,
}

impl FileSource {
    /// Files of `location`, below `base` if it is relative; options have their keys in lower case.
    pub fn new(
        base: &Path,
        location: &str,
        format: FileFormat,
        schema: SchemaRef,
        options: &BTreeMap<String, String>,
        session: &Session,
    ) -> Result<Self, SourceError> {
        let max_files = match options.get(MAX_FILES_PER_TRIGGER) {
            None => None,
            Some(text) => Some(text.trim().parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                SourceError::Fatal(format!("option maxFilesPerTrigger = '{text}' should be a number above 0"))
            })?),
        };
        let pairs = options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let options = ReadOptions::new(format, schema, pairs, session)
            .map_err(|e| SourceError::Fatal(format!("files {location}: {e}")))?;
        Ok(Self { location: Location::new(base, location), options: Arc::new(options), max_files })
    }

    async fn list(&self) -> Result<Vec<FileEntry>, SourceError> {
        let location = self.location.clone();
        let listed = tokio::task::spawn_blocking(move || location.list()).await;
        listed.map_err(|e| SourceError::Fatal(e.to_string()))?.map_err(|e| SourceError::Unavailable(e.to_string()))
    }

    async fn all(&self, from: &Position, limit: Option<usize>) -> Result<Position, SourceError> {
        let mut end: Position = from.keys().map(|name| (name.clone(), DONE)).collect();
        let new = self.list().await?.into_iter().map(|file| self.location.name_of(&file.path));
        let new = new.filter(|name| !from.contains_key(name));
        // What was begun counts too.
        let begun = from.values().filter(|offset| **offset < DONE).count();
        let room = limit.map_or(usize::MAX, |limit| limit.saturating_sub(begun));
        end.extend(new.take(room).map(|name| (name, DONE)));
        Ok(end)
    }
}

#[async_trait]
impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.options.schema)
    }

    async fn start(&self) -> Result<Position, SourceError> {
        Ok(Position::new())
    }

    async fn end(&self, from: &Position) -> Result<Position, SourceError> {
        self.all(from, self.max_files).await
    }

    async fn latest(&self, from: &Position) -> Result<Option<Position>, SourceError> {
        match self.max_files {
            Some(_) => self.all(from, None).await.map(Some),
            None => Ok(None),
        }
    }

    fn read(
        &self,
        from: Position,
        to: Position,
        projection: Option<Vec<usize>>,
    ) -> BoxStream<'static, Result<SourceBatch, SourceError>> {
        let (location, options) = (self.location.clone(), Arc::clone(&self.options));
        // Most files of a position were read long ago.
        let wanted = to.into_iter().filter_map(|(name, to)| {
            let from = from.get(&name).copied().unwrap_or(0);
            (from < to).then_some((name, from..to))
        });
        let wanted: BTreeMap<String, Range<i64>> = wanted.collect();
        ahead(move |send| {
            let listed = match location.list() {
                Ok(listed) => listed,
                Err(error) => {
                    send(Err(SourceError::Unavailable(error.to_string())));
                    return;
                }
            };
            let files = in_order(listed, wanted, |path| location.name_of(path), |name| location.path_of(name));
            for (file, name, rows) in files {
                match read_file(&file, &name, rows, &options, projection.as_deref(), send) {
                    Ok(true) => {}
                    // Nobody listens any more.
                    Ok(false) => return,
                    Err(error) => {
                        let remedy = "put the file back, or start over with --full-refresh";
                        send(Err(SourceError::Fatal(format!("{error}; {remedy}"))));
                        return;
                    }
                }
            }
        })
    }

    fn partition_ends(&self, _: &str) -> bool {
        true
    }

    async fn changed(&self, from: &Position) -> Result<(), SourceError> {
        loop {
            let new = self.list().await?.into_iter().any(|file| !from.contains_key(&self.location.name_of(&file.path)));
            if new || from.values().any(|offset| *offset < DONE) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// What a reader gives.
type Item = Result<SourceBatch, SourceError>;

/// What `work` sends, which blocks and runs aside. A panic of it is an error and not the end of the rows: what was not read must not count
/// as read.
pub(super) fn ahead(work: impl FnOnce(&dyn Fn(Item) -> bool) + Send + 'static) -> BoxStream<'static, Item> {
    let (sender, receiver) = mpsc::channel(PREFETCH_BATCHES);
    let working = tokio::task::spawn_blocking(move || work(&|item| sender.blocking_send(item).is_ok()));
    stream::unfold((receiver, Some(working)), |(mut receiver, mut working)| async move {
        let item = match receiver.recv().await {
            Some(item) => item,
            None => {
                let error = working.take()?.await.err()?;
                Err(SourceError::Fatal(format!("reading files ended badly: {error}")))
            }
        };
        Some((item, (receiver, working)))
    })
    .boxed()
}

/// The wanted files with their names and the rows to read, as they are listed. Each file listed is looked at once. What is not listed any
/// more comes first: it may be there all the same, and if not the error says so.
pub(super) fn in_order(
    listed: Vec<FileEntry>,
    mut wanted: BTreeMap<String, Range<i64>>,
    mut name_of: impl FnMut(&Path) -> String,
    path_of: impl Fn(&str) -> PathBuf,
) -> Vec<(FileEntry, String, Range<i64>)> {
    let mut found = Vec::with_capacity(wanted.len());
    for file in listed {
        if let Some((name, rows)) = wanted.remove_entry(&name_of(&file.path)) {
            found.push((file, name, rows));
        }
    }
    let gone = wanted.into_iter().map(|(name, rows)| {
        let (path, partition_values) = (path_of(&name), BTreeMap::new());
        (FileEntry { path, size: 0, modified_ms: 0, partition_values }, name, rows)
    });
    gone.chain(found).collect()
}

/// Sends these rows of a file; the last batch has [`DONE`] if the file ends there. False if nobody listens any more.
fn read_file(
    file: &FileEntry,
    name: &str,
    Range { start: from, end: to }: Range<i64>,
    options: &ReadOptions,
    projection: Option<&[usize]>,
    send: &dyn Fn(Item) -> bool,
) -> Result<bool, FileError> {
    let mut rows = FileRows::open(file, options, projection)?;
    let mut at = 0;
    let mut held: Option<(i64, arrow::array::RecordBatch)> = None;
    let give = |next_offset, rows| send(Ok(SourceBatch { partition: name.to_owned(), next_offset, rows }));
    while at < to
        && let Some(batch) = rows.next_batch()?
    {
        let (first, count) = (at, batch.num_rows() as i64);
        at += count;
        if at <= from {
            continue;
        }
        let skip = (from - first).max(0);
        let take = count.min(to - first) - skip;
        let batch = batch.slice(usize::try_from(skip).unwrap_or(0), usize::try_from(take).unwrap_or(0));
        // One is held back until it is known whether it is the last.
        if let Some((next_offset, before)) = held.replace((first + skip + take, batch))
            && !give(next_offset, before)
        {
            return Ok(false);
        }
    }
    Ok(held.is_none_or(|(next_offset, last)| give(if to == DONE { DONE } else { next_offset }, last)))
}
