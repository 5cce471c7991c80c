//! Reading the journal: at recovery, and when a segment must be written again.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::entry::{self, ENTRY_HEADER_BYTES, EntryBody};
use super::{ENTRIES_AT, FileHeader};
use crate::LogError;
use crate::files::{FileHandle, Files};

const CHUNK_BYTES: usize = 1 << 20;

/// The entries of one file.
pub(crate) struct JournalReader {
    file: Arc<dyn FileHandle>,
    length: u64,
    position: u64,
    next_entry: u64,
    /// Entries from this one on stand in a later file.
    bound: u64,
    buffer: Vec<u8>,
    buffer_position: u64,
}

impl JournalReader {
    pub(crate) fn new(file: Arc<dyn FileHandle>, header: FileHeader, bound: u64) -> io::Result<JournalReader> {
        let length = file.length()?;
        let next_entry = header.first_entry;
        Ok(JournalReader {
            file,
            length,
            position: ENTRIES_AT,
            next_entry,
            bound,
            buffer: Vec::new(),
            buffer_position: 0,
        })
    }

    /// Number of the entry that [`JournalReader::next`] would give; at the end: one more than the last.
    pub(crate) fn next_entry(&self) -> u64 {
        self.next_entry
    }

    /// The next entry with its number; `None` behind the last whole one.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, EntryBody<'_>)>> {
        if self.next_entry >= self.bound {
            return Ok(None);
        }
        self.fill(ENTRY_HEADER_BYTES)?;
        let at = (self.position - self.buffer_position) as usize;
        let Some(header) = self.buffer[at..].first_chunk() else { return Ok(None) };
        let length = entry::entry_length(header);
        if length as u64 > self.length - self.position {
            return Ok(None);
        }
        // The number is looked at before so many bytes are read on the length's word alone.
        if entry::u64_at(header, 8) != self.next_entry {
            return Ok(None);
        }
        self.fill(length)?;
        let at = (self.position - self.buffer_position) as usize;
        let number = self.next_entry;
        match self.buffer.get(at..at + length).and_then(|bytes| entry::decode(bytes, number)) {
            Some(body) => {
                self.position += length as u64;
                self.next_entry += 1;
                Ok(Some((number, body)))
            }
            None => Ok(None),
        }
    }

    fn fill(&mut self, length: usize) -> io::Result<()> {
        let have = self.buffer_position + self.buffer.len() as u64;
        if self.position < self.buffer_position || self.position + length as u64 > have {
            self.buffer.clear();
            self.buffer_position = self.position;
            let left = self.length.saturating_sub(self.position).min(length.max(CHUNK_BYTES) as u64);
            self.file.read_at(&mut self.buffer, left as usize, self.position)?;
        }
        Ok(())
    }
}

/// A file of the ring.
#[derive(Debug)]
pub(crate) struct RingFile {
    pub(crate) number: u32,
    pub(crate) header: FileHeader,
    pub(crate) length: u64,
    pub(crate) file: Arc<dyn FileHandle>,
}

/// All files of the ring, in order of their sequence.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pub(crate) files: Vec<RingFile>,
    /// Numbers of files without a sound header: never used, or torn while they were begun.
    pub(crate) unused: Vec<u32>,
}

impl Ring {
    pub(crate) fn read(files: &dyn Files, dir: &Path) -> Result<Ring, LogError> {
        let mut ring = Ring::default();
        for name in files.list(dir).map_err(|error| LogError::io("list", dir, &error))? {
            let Some(number) = name.strip_suffix(".journal").and_then(|number| number.parse().ok()) else { continue };
            let path = dir.join(&name);
            let read = || -> io::Result<_> {
                let file = files.open(&path, false)?;
                let mut bytes = Vec::new();
                file.read_at(&mut bytes, ENTRIES_AT as usize, 0)?;
                Ok((file.length()?, file, bytes))
            };
            let (length, file, bytes) = read().map_err(|error| LogError::io("read", &path, &error))?;
            match FileHeader::decode(&bytes) {
                Some(header) => ring.files.push(RingFile { number, header, length, file }),
                None => ring.unused.push(number),
            }
        }
        ring.files.sort_by_key(|file| file.header.sequence);
        Ok(ring)
    }

    /// A reader of each file, in order, which ends where the next file takes over.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (&RingFile, io::Result<JournalReader>)> {
        self.files.iter().enumerate().map(|(i, file)| {
            let bound = self.files[i + 1..].iter().map(|later| later.header.first_entry).min().unwrap_or(u64::MAX);
            (file, JournalReader::new(file.file.clone(), file.header, bound))
        })
    }
}
