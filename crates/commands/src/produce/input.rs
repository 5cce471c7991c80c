//! Files or standard input, read by a thread of their own: a terminal or a pipe may keep it waiting for hours.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use millstream_client::ProducerRecord;
use tokio::sync::mpsc;

use super::parse::{How, parse};
use crate::{CommandError, Screen};

/// Records parsed ahead of the producer.
const AHEAD: usize = 1024;

/// A record and where it stands.
pub struct Item {
    pub record: ProducerRecord,
    pub place: String,
}

/// What is being read.
pub struct Input {
    items: mpsc::Receiver<Result<Item, CommandError>>,
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

/// Counts what passes, so that a packed file has a progress too.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Input {
    /// Opens every file before the first record is sent: a wrong name late in the list should cost nothing.
    pub fn open(files: &[PathBuf], how: How, screen: &mut Screen) -> Result<Input, CommandError> {
        let read = Arc::new(AtomicU64::new(0));
        let mut sources: Vec<(String, Box<dyn Read + Send>)> = Vec::new();
        let mut total = 0;
        for path in files {
            let failed = |reason| CommandError::File { path: path.display().to_string(), reason };
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_dir() {
                return Err(failed(std::io::ErrorKind::IsADirectory.into()));
            }
            total += metadata.len();
            let counted = Counted { inner: file, read: read.clone() };
            sources.push((path.display().to_string(), unpacked(path, counted)));
        }
        if files.is_empty() {
            sources.extend(screen.input.take().map(|input| ("standard input".to_owned(), input)));
        }
        let (sender, items) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            for (name, source) in sources {
                let mut reader = BufReader::with_capacity(1 << 18, source);
                let done = parse(&mut reader, &how, &mut |line, record| {
                    sender.blocking_send(Ok(Item { record, place: place(&name, line) })).is_ok()
                });
                if let Err(wrong) = done {
                    let error = CommandError::Input { place: place(&name, wrong.line), what: wrong.what };
                    // If nobody listens any more, nobody wants to know.
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
        });
        Ok(Input { items, read, total: (!files.is_empty()).then_some(total) })
    }

    /// The next record; none at the end.
    pub async fn next(&mut self) -> Option<Result<Item, CommandError>> {
        self.items.recv().await
    }

    /// Bytes of files read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of all files; none for standard input.
    pub fn bytes_total(&self) -> Option<u64> {
        self.total
    }
}

fn unpacked(path: &Path, file: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        true => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        false => Box::new(file),
    }
}

fn place(name: &str, line: u64) -> String {
    if line == 0 { name.to_owned() } else { format!("{name}, line {line}") }
}
