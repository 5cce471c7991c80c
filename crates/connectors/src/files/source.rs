//! Files as a stream: each file is read once, when it appears.

use std::collections::BTreeMap;
use std::path::Path;
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
use super::rows::{FileRows, ReadOptions};

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
        let (sender, receiver) = mpsc::channel(PREFETCH_BATCHES);
        tokio::task::spawn_blocking(move || {
            let send = |item| sender.blocking_send(item).is_ok();
            let listed = location.list().unwrap_or_default();
            let order = |name: &String| listed.iter().position(|file| location.name_of(&file.path) == *name);
            let mut wanted: Vec<(Option<usize>, String, i64, i64)> = to
                .into_iter()
                .map(|(name, to)| (order(&name), name.clone(), from.get(&name).copied().unwrap_or(0), to))
                .filter(|(.., from, to)| from < to)
                .collect();
            wanted.sort();
            for (at, name, from, to) in wanted {
                let file = match at {
                    Some(at) => listed[at].clone(),
                    // Not listed any more: it may be there all the same, and if not the error says so.
                    None => FileEntry {
                        path: location.path_of(&name),
                        size: 0,
                        modified_ms: 0,
                        partition_values: BTreeMap::new(),
                    },
                };
                if let Err(error) = read_file(&file, &name, from, to, &options, projection.as_deref(), &send) {
                    let remedy = "put the file back, or start over with --full-refresh";
                    send(Err(SourceError::Fatal(format!("{error}; {remedy}"))));
                    return;
                }
            }
        });
        stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (item, receiver)) })
            .boxed()
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

/// Sends rows `from` to before `to` of a file; the last batch has [`DONE`] if the file ends there.
fn read_file(
    file: &FileEntry,
    name: &str,
    from: i64,
    to: i64,
    options: &ReadOptions,
    projection: Option<&[usize]>,
    send: &impl Fn(Result<SourceBatch, SourceError>) -> bool,
) -> Result<(), super::rows::FileError> {
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
            return Ok(());
        }
    }
    if let Some((next_offset, last)) = held {
        give(if to == DONE { DONE } else { next_offset }, last);
    }
    Ok(())
}
