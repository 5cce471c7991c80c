//! Writing the journal.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ENTRIES_AT, EntryBuilder, FileHeader, Ring, file_name};
use crate::LogError;
use crate::files::{FileHandle, Files};

/// Why a group of entries is not in the journal.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// Every file holds entries that are still needed: sync the segments, release, and come back. Nothing was written.
    Full,
    /// Two files in a row could not be written or synced.
    Failed(LogError),
}

/// A file with entries that may still be needed.
#[derive(Debug)]
struct Live {
    number: u32,
    /// Entry after its last one.
    end_entry: u64,
    /// It failed once and is not used again.
    bad: bool,
}

#[derive(Debug)]
struct Current {
    number: u32,
    path: PathBuf,
    handle: Arc<dyn FileHandle>,
    position: u64,
    /// Written together with the first entries.
    header: Option<FileHeader>,
}

/// The journal as its one writer has it.
#[derive(Debug)]
pub(crate) struct Journal {
    files: Arc<dyn Files>,
    dir: PathBuf,
    file_bytes: u64,
    files_max: usize,
    /// Oldest first. The current file is the last.
    live: VecDeque<Live>,
    free: Vec<u32>,
    /// Files whose name and length are known to be durable.
    prepared: HashSet<u32>,
    current: Option<Current>,
    next_number: u32,
    next_sequence: u64,
    next_entry: u64,
}

impl Journal {
    /// Goes on behind what `ring` holds, in a new file. `next_entry` is the entry after the last one that counts; `ends` are the
    /// entries after each file's last one.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        dir: &Path,
        file_bytes: u64,
        files_max: usize,
        ring: &Ring,
        ends: &[u64],
        next_entry: u64,
    ) -> Journal {
        let live = ring
            .files
            .iter()
            .zip(ends)
            .map(|(file, end)| Live { number: file.number, end_entry: *end, bad: false })
            .collect();
        let numbers = ring.files.iter().map(|file| file.number).chain(ring.unused.iter().copied());
        // A header is only written when the file's name and length are durable.
        let prepared = ring.files.iter().filter(|file| file.length == file_bytes).map(|file| file.number).collect();
        Journal {
            files,
            dir: dir.to_owned(),
            file_bytes,
            // One more than asked for while recovered entries wait for their first checkpoint.
            files_max: files_max.max(2).max(ring.files.len() + 1),
            live,
            free: ring.unused.clone(),
            prepared,
            current: None,
            next_number: numbers.max().map_or(0, |number| number + 1),
            next_sequence: ring.files.last().map_or(1, |file| file.header.sequence + 1),
            next_entry,
        }
    }

    /// Number of the next entry.
    pub(crate) fn next_entry(&self) -> u64 {
        self.next_entry
    }

    /// Largest group in bytes: it always fits an empty file.
    pub(crate) fn group_bytes_max(&self) -> usize {
        ((self.file_bytes - ENTRIES_AT) * 3 / 4) as usize
    }

    /// Whether a new file could be begun. Files that failed take the place of no others, but are not to become any number either.
    pub(crate) fn has_room(&self) -> bool {
        let failed = self.live.iter().filter(|live| live.bad).count();
        !self.free.is_empty() || self.live.len() - failed < self.files_max && failed < self.files_max
    }

    /// Number of files with entries that may still be needed.
    pub(crate) fn live_files(&self) -> usize {
        self.live.len()
    }

    /// Whether most of the files are in use.
    pub(crate) fn is_filling(&self) -> bool {
        self.live.len() > 1 && self.live.len() * 2 > self.files_max
    }

    /// Writes and syncs a group of entries, all in one file, and calls `written` between the two. Gives whether a new file was begun.
    pub(crate) fn commit(
        &mut self,
        entries: &mut [EntryBuilder],
        mut written: impl FnMut(),
    ) -> Result<bool, CommitError> {
        let bytes: u64 = entries.iter().map(|entry| entry.len() as u64).sum();
        let fits = |current: &Current| current.position + bytes <= self.file_bytes;
        let mut began = false;
        if !self.current.as_ref().is_some_and(fits) {
            self.begin()?;
            began = true;
        }
        if let Err(error) = self.write(entries, &mut written) {
            // What the file has of this group is unknown now, and asking again would not tell: the next file takes the whole group.
            tracing::error!(%error, "a journal file failed and is given up");
            self.abandon();
            self.begin()?;
            began = true;
            if let Err(error) = self.write(entries, &mut written) {
                self.abandon();
                return Err(CommitError::Failed(error));
            }
        }
        self.next_entry += entries.len() as u64;
        self.live.back_mut().expect("the current file is live").end_entry = self.next_entry;
        Ok(began)
    }

    fn write(&mut self, entries: &mut [EntryBuilder], written: &mut impl FnMut()) -> Result<(), LogError> {
        let current = self.current.as_mut().expect("a file was begun");
        let header = current.header.map(|header| header.encode());
        let numbers = self.next_entry..;
        let sealed = entries.iter_mut().zip(numbers).map(|(entry, number)| entry.seal(number));
        let slices: Vec<&[u8]> = header.as_ref().map(|header| &header[..]).into_iter().chain(sealed).collect();
        let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        current
            .handle
            .write_at(&slices, current.position)
            .map_err(|error| LogError::io("write", &current.path, &error))?;
        written();
        current.handle.sync().map_err(|error| LogError::io("sync", &current.path, &error))?;
        current.position += bytes;
        current.header = None;
        Ok(())
    }

    /// Begins the next file of the ring.
    fn begin(&mut self) -> Result<(), CommitError> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.has_room() => self.next_number,
            None => return Err(CommitError::Full),
        };
        let path = self.dir.join(file_name(number));
        let open = || -> io::Result<Arc<dyn FileHandle>> {
            let handle = self.files.open(&path, true)?;
            if !self.prepared.contains(&number) {
                handle.allocate(self.file_bytes)?;
                handle.sync()?;
                self.files.sync_dir(&self.dir)?;
            }
            Ok(handle)
        };
        let handle = match open() {
            Ok(handle) => handle,
            Err(error) => {
                if number != self.next_number {
                    self.free.push(number);
                }
                return Err(CommitError::Failed(LogError::io("prepare", &path, &error)));
            }
        };
        self.prepared.insert(number);
        self.next_number = self.next_number.max(number + 1);
        let header = FileHeader { sequence: self.next_sequence, first_entry: self.next_entry };
        self.next_sequence += 1;
        self.live.push_back(Live { number, end_entry: self.next_entry, bad: false });
        // The header is written in front of the first entries, so the position counts from the file's very beginning.
        self.current = Some(Current { number, path, handle, position: 0, header: Some(header) });
        Ok(())
    }

    /// Gives up the current file. What was synced in it before still counts.
    fn abandon(&mut self) {
        if let Some(current) = self.current.take()
            && let Some(live) = self.live.back_mut()
        {
            debug_assert_eq!(live.number, current.number);
            live.bad = true;
        }
    }

    /// Frees the files whose entries are all before `entry`.
    pub(crate) fn release(&mut self, entry: u64) {
        let current = self.current.as_ref().map(|current| current.number);
        let mut kept = VecDeque::with_capacity(self.live.len());
        for live in self.live.drain(..) {
            if live.end_entry > entry || Some(live.number) == current {
                kept.push_back(live);
            } else if live.bad {
                let path = self.dir.join(file_name(live.number));
                match self.files.remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %error, "cannot remove a failed journal file; it is tried again");
                        kept.push_back(live);
                    }
                    _ => drop(self.prepared.remove(&live.number)),
                }
            } else {
                self.free.push(live.number);
            }
        }
        self.live = kept;
    }
}
