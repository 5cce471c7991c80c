//! The transaction indexes of a partition's segments: what is in their files, and what was committed since.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::Partition;
use crate::aborted::{self, Entry};
use crate::checkpoint::replace;
use crate::compaction::Closed;
use crate::files::FileHandle;
use crate::handles::Kind;
use crate::{AbortedTransaction, LogError};

const SUFFIX: &str = ".aborted";

/// The aborted transactions of a partition. Memory does not grow with their number: with every checkpoint they go to files.
#[derive(Debug, Default)]
pub(crate) struct Aborted {
    /// In order of the segments.
    written: Vec<InFile>,
    /// Not in files yet, in order of their markers and behind all that are; each with its segment.
    pending: Vec<(i64, Entry)>,
}

/// What a segment's file has.
#[derive(Debug, Clone, Copy)]
struct InFile {
    segment: i64,
    count: u32,
    /// Offset of the last marker; -1 = none.
    last_marker: i64,
    /// The last stable offset behind that.
    stable: i64,
    /// The file is to be written as a whole, for it is not known what of it is on the disk.
    in_doubt: bool,
}

impl InFile {
    fn add(&mut self, entries: &[Entry]) {
        self.count += entries.len() as u32;
        if let Some(last) = entries.last() {
            (self.last_marker, self.stable) = (last.transaction.last_offset, last.stable);
        }
    }

    fn new(segment: i64, entries: &[Entry]) -> InFile {
        let mut in_file = InFile { segment, count: 0, last_marker: -1, stable: i64::MIN, in_doubt: false };
        in_file.add(entries);
        in_file
    }
}

impl Aborted {
    pub(super) fn push(&mut self, segment: i64, entry: Entry) {
        self.pending.push((segment, entry));
    }

    /// Segments that have a file, or are to get one, and how many transactions it has then.
    pub(super) fn segments(&self) -> Vec<(i64, u32)> {
        let mut segments: BTreeMap<i64, u32> =
            self.written.iter().map(|in_file| (in_file.segment, in_file.count)).collect();
        self.pending.iter().for_each(|(segment, _)| *segments.entry(*segment).or_default() += 1);
        segments.into_iter().collect()
    }

    /// The files that a reader of these offsets has to look into, and what it has to know besides.
    fn relevant(&self, offsets: &Range<i64>) -> (Vec<InFile>, Vec<AbortedTransaction>) {
        let mut files = Vec::new();
        for in_file in self.written.iter().filter(|in_file| in_file.last_marker >= offsets.start) {
            files.push(*in_file);
            if in_file.stable >= offsets.end {
                return (files, Vec::new());
            }
        }
        let from = self.pending.partition_point(|(_, entry)| entry.transaction.last_offset < offsets.start);
        let pending = self.pending[from..].iter().map(|(_, entry)| entry.transaction);
        (files, pending.filter(|transaction| transaction.first_offset < offsets.end).collect())
    }

    fn file_mut(&mut self, segment: i64) -> Option<&mut InFile> {
        self.written.iter_mut().find(|in_file| in_file.segment == segment)
    }

    /// Notes that `entries` were written to the segment's file behind those it has.
    fn note_written(&mut self, segment: i64, entries: &[Entry]) {
        match self.file_mut(segment) {
            Some(in_file) => {
                in_file.add(entries);
                in_file.in_doubt = false;
            }
            None => {
                let place = self.written.partition_point(|in_file| in_file.segment < segment);
                self.written.insert(place, InFile::new(segment, entries));
            }
        }
    }

    /// Forgets the segments that are not there any more. Gives those that had a file.
    pub(super) fn forget_segments(&mut self, is_gone: impl Fn(i64) -> bool) -> Vec<i64> {
        self.pending.retain(|(segment, _)| !is_gone(*segment));
        let gone: Vec<i64> =
            self.written.iter().map(|in_file| in_file.segment).filter(|segment| is_gone(*segment)).collect();
        self.written.retain(|in_file| !is_gone(in_file.segment));
        gone
    }
}

impl Partition {
    pub(super) fn aborted_path(&self, segment: i64) -> std::path::PathBuf {
        self.dir().join(aborted_name(segment))
    }

    fn aborted_file(&self, segment: i64, create: bool) -> Result<Arc<dyn FileHandle>, LogError> {
        let key = (self.slot, segment, Kind::Aborted);
        let open = self.context.handles.get(key, || self.aborted_path(segment), create);
        open.map_err(|error| LogError::io("open", &self.aborted_path(segment), &error))
    }

    /// The aborted transactions that touch `offsets`, in order of their markers. For who holds `layout`.
    pub(super) fn aborted_in_layout(&self, offsets: Range<i64>) -> Result<Vec<AbortedTransaction>, LogError> {
        let (files, pending) = match &self.state.read().transactions {
            Some(transactions) => transactions.aborted.relevant(&offsets),
            None => return Ok(Vec::new()),
        };
        let mut found = Vec::new();
        for in_file in files {
            let file = self.aborted_file(in_file.segment, false)?;
            aborted::touching(&*file, in_file.count, offsets.start, offsets.end, &mut found)
                .map_err(|error| self.aborted_error(in_file.segment, &error))?;
        }
        found.extend(pending);
        Ok(found)
    }

    /// As [`Partition::aborted_in_layout`], for who does not hold it.
    pub(crate) fn aborted_between(&self, offsets: Range<i64>) -> Result<Vec<AbortedTransaction>, LogError> {
        let _layout = self.layout.read();
        self.aborted_in_layout(offsets)
    }

    fn aborted_error(&self, segment: i64, error: &io::Error) -> LogError {
        let path = self.aborted_path(segment);
        match error.kind() {
            io::ErrorKind::InvalidData => LogError::Corrupt {
                path,
                position: 0,
                reason: format!("{error}; it is made anew when the log is opened again"),
            },
            _ => LogError::io("read", &path, error),
        }
    }

    /// Opens the indexes at the start: of `segments` (base offset and size), with what was known before offset `known_to`. `listed` have a
    /// file with at least so many entries. `None` if something is not as it should be: then they are to be made anew from the log. What is left
    /// of other segments goes.
    pub(super) fn open_aborted(
        &self,
        segments: &[(i64, u64)],
        listed: &[(i64, u32)],
        known_to: i64,
    ) -> Result<Option<Aborted>, LogError> {
        let mut files = self.aborted_files()?;
        files.sort_unstable();
        let number = |base: i64| segments.binary_search_by_key(&base, |(base, _)| *base).ok();
        if listed.iter().any(|(base, _)| number(*base).is_some() && files.binary_search(base).is_err()) {
            return Ok(None);
        }
        // Compaction may have taken some since: then they are made anew, too, but that is only after a kill.
        let least = |base: i64| listed.iter().find(|(listed, _)| *listed == base).map_or(0, |(_, count)| *count);
        let mut found = Aborted::default();
        for base in files {
            let Some(number) = number(base) else {
                self.remove_aborted(base)?;
                continue;
            };
            let end = segments.get(number + 1).map_or(known_to, |(next, _)| known_to.min(*next));
            let file = self.aborted_file(base, false)?;
            match aborted::check(&*file, |entry| (base..end).contains(&entry.transaction.last_offset)) {
                Ok((count, _)) if count < least(base) => return Ok(None),
                Ok((count, last)) => {
                    let cut = aborted::cut(&*file, count);
                    found.written.push(InFile { count, in_doubt: cut.is_err(), ..InFile::new(base, last.as_slice()) });
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
                Err(error) => return Err(self.aborted_error(base, &error)),
            }
        }
        Ok(Some(found))
    }

    /// Adds what was read from the log again. If the file cannot be written, it is in memory until the next checkpoint.
    pub(super) fn add_aborted(&self, aborted: &mut Aborted, segment: i64, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        let count = aborted.file_mut(segment).map_or(0, |in_file| in_file.count);
        let write = || -> Result<(), LogError> {
            let file = self.aborted_file(segment, true)?;
            aborted::write(&*file, count, entries).map_err(|error| self.aborted_error(segment, &error))
        };
        if !aborted.pending.is_empty() || write().is_err() {
            aborted.pending.extend(entries.iter().map(|entry| (segment, *entry)));
            return;
        }
        aborted.note_written(segment, entries);
        // Not synced: the next checkpoint writes it again.
        if let Some(in_file) = aborted.file_mut(segment) {
            in_file.in_doubt = true;
        }
    }

    /// Removes all indexes, before they are made anew.
    pub(super) fn remove_all_aborted(&self) -> Result<(), LogError> {
        self.aborted_files()?.into_iter().try_for_each(|base| self.remove_aborted(base))
    }

    fn aborted_files(&self) -> Result<Vec<i64>, LogError> {
        let names = self.context.files.list(self.dir()).map_err(|error| LogError::io("list", self.dir(), &error))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect())
    }

    pub(super) fn remove_aborted(&self, segment: i64) -> Result<(), LogError> {
        self.context.handles.forget(self.slot, segment);
        let path = self.aborted_path(segment);
        match self.context.files.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io("remove", &path, &error)),
            _ => Ok(()),
        }
    }

    /// Puts what is in memory into the files and syncs them. Gives whether names changed.
    pub(crate) fn flush_aborted(&self) -> Result<bool, LogError> {
        let _layout = self.layout.read();
        let _one = self.flushing.lock();
        let (files, pending) = match &self.state.read().transactions {
            Some(transactions) => (transactions.aborted.written.clone(), transactions.aborted.pending.clone()),
            None => return Ok(false),
        };
        let mut segments: Vec<i64> = pending.iter().map(|(segment, _)| *segment).collect();
        segments.extend(files.iter().filter(|in_file| in_file.in_doubt).map(|in_file| in_file.segment));
        segments.sort_unstable();
        segments.dedup();
        for segment in &segments {
            let in_file = files.iter().find(|in_file| in_file.segment == *segment);
            let new: Vec<Entry> = pending.iter().filter(|(of, _)| of == segment).map(|(_, entry)| *entry).collect();
            let written = match in_file {
                Some(in_file) if in_file.in_doubt => self.write_aborted_anew(in_file, &new),
                _ => self.append_aborted(*segment, in_file.map_or(0, |in_file| in_file.count), &new),
            };
            let mut state = self.state.write();
            let Some(transactions) = &mut state.transactions else { return Ok(false) };
            if let Err(error) = written {
                // A sync that failed is not asked again: the file is written anew.
                if let Some(in_file) = transactions.aborted.file_mut(*segment) {
                    in_file.in_doubt = true;
                }
                return Err(error);
            }
            transactions.aborted.note_written(*segment, &new);
            // Those of later segments, and what was committed meanwhile, stand behind them.
            transactions.aborted.pending.drain(..new.len());
        }
        Ok(!segments.is_empty())
    }

    fn append_aborted(&self, segment: i64, count: u32, new: &[Entry]) -> Result<(), LogError> {
        let file = self.aborted_file(segment, true)?;
        aborted::write(&*file, count, new)
            .and_then(|()| file.sync())
            .map_err(|error| LogError::io("write", &self.aborted_path(segment), &error))
    }

    fn write_aborted_anew(&self, in_file: &InFile, new: &[Entry]) -> Result<(), LogError> {
        let mut entries = self.read_aborted(in_file)?;
        entries.extend_from_slice(new);
        self.replace_aborted(in_file.segment, &entries)
    }

    fn read_aborted(&self, in_file: &InFile) -> Result<Vec<Entry>, LogError> {
        if in_file.count == 0 {
            return Ok(Vec::new());
        }
        let file = self.aborted_file(in_file.segment, false)?;
        aborted::read(&*file, 0, in_file.count).map_err(|error| self.aborted_error(in_file.segment, &error))
    }

    fn replace_aborted(&self, segment: i64, entries: &[Entry]) -> Result<(), LogError> {
        replace(&*self.context.files, self.dir(), &aborted_name(segment), &aborted::encode(entries), true)?;
        self.context.handles.forget(self.slot, segment);
        Ok(())
    }

    /// Before one segment takes the place of those of `group`: its index has what theirs have, durably. What is behind its own end does not
    /// count until then. Gives the entries. For who holds `layout` exclusively.
    pub(super) fn merge_aborted(&self, group: &[Closed]) -> Result<Vec<Entry>, LogError> {
        let files: Vec<InFile> = match &self.state.read().transactions {
            Some(transactions) => {
                let is_of_group = |in_file: &&InFile| group.iter().any(|one| one.base_offset == in_file.segment);
                transactions.aborted.written.iter().filter(is_of_group).copied().collect()
            }
            None => Vec::new(),
        };
        let mut entries = Vec::new();
        for in_file in &files {
            entries.extend(self.read_aborted(in_file)?);
        }
        if files.iter().any(|in_file| in_file.segment != group[0].base_offset) {
            self.replace_aborted(group[0].base_offset, &entries)?;
        }
        Ok(entries)
    }

    /// The segment at `base` has taken the place of those of `group`, and its index has `entries`.
    pub(super) fn note_merged(&self, group: &[Closed], entries: &[Entry]) {
        let base = group[0].base_offset;
        let gone = {
            let mut state = self.state.write();
            let Some(transactions) = &mut state.transactions else { return };
            let aborted = &mut transactions.aborted;
            let gone = aborted.forget_segments(|segment| group.iter().any(|one| one.base_offset == segment));
            if !gone.is_empty() {
                aborted.note_written(base, entries);
            }
            gone
        };
        for segment in gone.into_iter().filter(|segment| *segment != base) {
            if let Err(error) = self.remove_aborted(segment) {
                tracing::warn!(partition = %self.name, %error, "what is left of a segment that was compacted goes at the next start");
            }
        }
    }

    /// Tells readers no more of the aborted transactions that end at these markers. Durable when it returns.
    pub(crate) fn forget_aborted(&self, markers: &[i64]) -> Result<(), LogError> {
        if markers.is_empty() {
            return Ok(());
        }
        let markers: HashSet<i64> = markers.iter().copied().collect();
        let _layout = self.layout.write();
        let files = match &self.state.read().transactions {
            Some(transactions) => transactions.aborted.written.clone(),
            None => return Ok(()),
        };
        for in_file in files {
            let all = self.read_aborted(&in_file)?;
            let kept: Vec<Entry> =
                all.iter().filter(|entry| !markers.contains(&entry.transaction.last_offset)).copied().collect();
            if kept.len() == all.len() {
                continue;
            }
            self.replace_aborted(in_file.segment, &kept)?;
            if let Some(transactions) = &mut self.state.write().transactions
                && let Some(in_file) = transactions.aborted.file_mut(in_file.segment)
            {
                *in_file = InFile::new(in_file.segment, &kept);
            }
        }
        Ok(())
    }
}

fn aborted_name(segment: i64) -> String {
    format!("{segment:020}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use millstream_protocol::records::{BatchBuilder, Codec, EndMarker, ProducerStamp};
    use uuid::Uuid;

    use crate::{Append, Log, LogOptions, PartitionConfig, TopicPartition};

    #[test]
    fn what_two_threads_put_into_files_at_the_same_time_is_there_once() {
        const ROUNDS: i32 = 40;
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(dir.path(), LogOptions::default()).unwrap();
        let name = TopicPartition::new("t", 0);
        let partition = log.create_partition(&name, Uuid::nil(), PartitionConfig::default()).unwrap();
        let both = Barrier::new(2);
        for round in 0..ROUNDS {
            let mut builder = BatchBuilder::new(Codec::None).transactional(true);
            builder.push(1, None, Some(b"value"), &[]);
            builder.set_producer(ProducerStamp { producer_id: 1, producer_epoch: 0, base_sequence: round });
            let marker = EndMarker { producer_id: 1, producer_epoch: 0, committed: false, coordinator_epoch: 0 };
            for batch in [builder.finish().unwrap(), marker.batch(1)] {
                log.append(vec![Append::new(name.clone(), batch)]).wait().unwrap();
            }
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        both.wait();
                        partition.flush_aborted().unwrap();
                    });
                }
            });
            let markers = partition.aborted_between(0..i64::MAX).unwrap().into_iter().map(|one| one.last_offset);
            let expected = (0..=round).map(|round| i64::from(round) * 2 + 1);
            assert!(markers.eq(expected), "round {round}");
        }
    }
}
