//! One partition while the folder is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use millstream_protocol::records;

use crate::checkpoint::{PartitionLine, RecoveryPoint};
use crate::context::Context;
use crate::files::FileHandle;
use crate::handles::Kind;
use crate::journal::{PartHeader, Stored};
use crate::meta::PartitionMeta;
use crate::partition::{State, finish_swap, parse_swap_name};
use crate::scan::{Depth, Scan, ScanError};
use crate::segment::Segment;
use crate::syncer::Dirty;
use crate::{LogError, Partition, PartitionConfig, RecoveryReport, Truncation};

/// Where a partition's committed bytes end, as far as is known.
#[derive(Debug, Clone, Copy)]
struct End {
    segment: i64,
    position: u64,
    next_offset: i64,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) line: PartitionLine,
    pub(super) dir: PathBuf,
    /// Its creation is newer than the checkpoint.
    pub(super) created: bool,
    /// Lengths of the segments' files by base offset.
    files: BTreeMap<i64, u64>,
    end: End,
    /// Segments that are not as the checkpoint knows them. `None`: synced since, see [`Found::let_go`].
    written: BTreeMap<i64, Option<Arc<dyn FileHandle>>>,
}

impl Found {
    pub(super) fn new(context: &Context, line: PartitionLine) -> Found {
        let RecoveryPoint { segment, position, next_offset, .. } = line.point;
        Found {
            dir: context.topics_dir().join(line.partition.to_string()),
            end: End { segment, position, next_offset },
            line,
            created: false,
            files: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    pub(super) fn path(&self, base: i64) -> PathBuf {
        self.dir.join(format!("{base:020}.log"))
    }

    fn open(&self, context: &Context, base: i64, create: bool) -> Result<Arc<dyn FileHandle>, LogError> {
        let open = context.handles.get((self.line.slot, base, Kind::Log), || self.path(base), create);
        open.map_err(|error| LogError::io("open", &self.path(base), &error))
    }

    /// The files that it holds open.
    pub(super) fn held(&self) -> impl Iterator<Item = (i64, &Arc<dyn FileHandle>)> {
        self.written.iter().filter_map(|(base, file)| Some((*base, file.as_ref()?)))
    }

    /// Lets go of its files, which were synced.
    pub(super) fn let_go(&mut self) {
        self.written.values_mut().for_each(|file| *file = None);
    }

    /// Takes over which segments are there.
    pub(super) fn set_files(&mut self, files: BTreeMap<i64, u64>) {
        self.files = files;
    }

    /// Looks which segments are there, with the lengths of their files.
    pub(super) fn list(&self, context: &Context) -> Result<BTreeMap<i64, u64>, LogError> {
        let mut files = BTreeMap::new();
        let names = self.finish_compaction(context)?;
        let producers = self.line.point.producers.map(Partition::producers_name);
        for name in names {
            if name.ends_with(".producers") && Some(&name) != producers.as_ref() {
                // Of a checkpoint that was not finished; were its offset come to again, it could be another state.
                let _ = context.files.remove_file(&self.dir.join(&name));
            }
            let Some(base) =
                name.strip_suffix(".log").filter(|base| base.len() == 20).and_then(|base| base.parse().ok())
            else {
                continue;
            };
            let path = self.dir.join(&name);
            let length = context.files.length(&path).map_err(|error| LogError::io("look at", &path, &error))?;
            files.insert(base, length);
        }
        Ok(files)
    }

    /// Removes what compaction had not finished, and finishes what it had decided. Gives the names in the folder.
    fn finish_compaction(&self, context: &Context) -> Result<Vec<String>, LogError> {
        let list = || context.files.list(&self.dir).map_err(|error| LogError::io("list", &self.dir, &error));
        let names = list()?;
        for name in names.iter().filter(|name| name.ends_with(".cleaned")) {
            let _ = context.files.remove_file(&self.dir.join(name));
        }
        let swaps: Vec<(i64, i64)> = names.iter().filter_map(|name| parse_swap_name(name)).collect();
        if swaps.is_empty() {
            return Ok(names);
        }
        let base = |name: &String| name.strip_suffix(".log").or(name.strip_suffix(".index"))?.parse().ok();
        let bases: Vec<i64> = names.iter().filter_map(base).collect();
        for (base, end) in swaps {
            finish_swap(&*context.files, &self.dir, base, end, &bases)
                .map_err(|error| LogError::io("swap", &self.path(base), &error))?;
        }
        context.files.sync_dir(&self.dir).map_err(|error| LogError::io("sync", &self.dir, &error))?;
        list()
    }

    /// Finds the end without a checkpoint: the last segment is walked with all CRCs.
    pub(super) fn walk_all(&mut self, context: &Context, report: &mut RecoveryReport) -> Result<(), LogError> {
        let (Some((first, _)), Some((last, _))) = (self.files.first_key_value(), self.files.last_key_value()) else {
            return Ok(());
        };
        let (first, last) = (*first, *last);
        self.line.log_start = first;
        self.line.point = at_the_beginning(first);
        self.end = End { segment: last, position: 0, next_offset: last };
        self.walk(context, report)
    }

    /// Moves the end over all whole batches behind it in its segment.
    fn walk(&mut self, context: &Context, report: &mut RecoveryReport) -> Result<(), LogError> {
        let base = self.end.segment;
        let Some(length) = self.files.get(&base).copied() else { return Ok(()) };
        let file = self.open(context, base, false)?;
        let mut scan = Scan::new(&*file, self.end.position, length, Depth::Crc);
        loop {
            match scan.next() {
                Ok(Some((_, header))) if header.base_offset >= self.end.next_offset => {
                    self.end.next_offset = header.next_offset();
                    self.end.position = scan.position();
                }
                Err(ScanError::Io(error)) => {
                    // A sector that cannot be read ends the log as a torn batch does, but that is worth a word.
                    report.damage.push(format!("{}: {error}", self.path(base).display()));
                    break;
                }
                _ => break,
            }
        }
        if self.end.position > self.line.point.position || base != self.line.point.segment {
            self.hold(base, file);
        }
        Ok(())
    }

    /// Applies a part of a journaled append.
    pub(super) fn apply(
        &mut self,
        context: &Context,
        part: &PartHeader,
        mut bytes: &[u8],
        report: &mut RecoveryReport,
    ) -> Result<(), LogError> {
        if part.stored == Stored::SegmentButHead {
            // Of a relaxed topic: what is before it is not in the journal, but was synced before the journal had this.
            self.line.relaxed = true;
            self.walk_on(context, report)?;
        }
        if part.next_offset <= self.end.next_offset {
            return Ok(());
        }
        if part.base_offset > self.end.next_offset {
            report.damage.push(format!(
                "{} lacks offsets {} to {}",
                self.line.partition,
                self.end.next_offset,
                part.base_offset - 1
            ));
        }
        let length = self.files.get(&part.segment).copied().unwrap_or(0);
        if part.stored != Stored::Here {
            if length < part.position + part.length {
                report.damage.push(format!(
                    "{} ends before byte {}",
                    self.path(part.segment).display(),
                    part.position + part.length
                ));
                return Ok(());
            }
            self.close_segment(context, part.segment, report)?;
            self.touch(context, part.segment)?
                .write_at(&[bytes], part.position)
                .map_err(|error| LogError::io("write", &self.path(part.segment), &error))?;
        } else {
            self.close_segment(context, part.segment, report)?;
            let mut position = part.position;
            if part.base_offset < self.end.next_offset {
                // Only the batches that are not there yet. (Without a checkpoint the end is found batch by batch.)
                let mut walk = records::batches(bytes);
                let mut skip = 0;
                while let Some(Ok((header, _))) = walk.next() {
                    if header.next_offset() > self.end.next_offset {
                        break;
                    }
                    skip = walk.position();
                }
                position += skip as u64;
                bytes = &bytes[skip..];
            }
            if length < position {
                // Its batches are kept, but nobody gets to them past the gap.
                let path = self.path(part.segment);
                report.damage.push(format!("{} has {length} bytes, and goes on at byte {position}", path.display()));
            }
            if !self.dir_is_there(context)? {
                context.files.create_dir_all(&self.dir).map_err(|error| LogError::io("make", &self.dir, &error))?;
            }
            let file = self.open(context, part.segment, true)?;
            file.write_at(&[bytes], position)
                .map_err(|error| LogError::io("write", &self.path(part.segment), &error))?;
            self.files.insert(part.segment, length.max(position + bytes.len() as u64));
            self.hold(part.segment, file);
            report.journal_bytes += bytes.len() as u64;
        }
        self.end = End { segment: part.segment, position: part.position + part.length, next_offset: part.next_offset };
        Ok(())
    }

    /// If the log goes on in segment `next`, the one before ends where it was committed to, and is to be synced so.
    fn close_segment(&mut self, context: &Context, next: i64, report: &mut RecoveryReport) -> Result<(), LogError> {
        if next == self.end.segment {
            return Ok(());
        }
        // A segment that was begun and taken back comes back with a power cut if its removal was not synced, and the log has passed it by.
        self.remove_between(context, self.end.segment + 1, next)?;
        if !self.files.contains_key(&self.end.segment) {
            return Ok(());
        }
        self.truncate_last(context, report)?;
        self.touch(context, self.end.segment)?;
        Ok(())
    }

    /// Notes that the end moved past the recovery point in this segment, so that the next checkpoint takes it along. Gives its file.
    fn touch(&mut self, context: &Context, base: i64) -> Result<Arc<dyn FileHandle>, LogError> {
        match self.written.get(&base) {
            Some(Some(file)) => Ok(file.clone()),
            _ => {
                let file = self.open(context, base, false)?;
                self.hold(base, file.clone());
                Ok(file)
            }
        }
    }

    fn hold(&mut self, base: i64, file: Arc<dyn FileHandle>) {
        self.written.entry(base).or_default().get_or_insert(file);
    }

    fn dir_is_there(&self, context: &Context) -> Result<bool, LogError> {
        if !self.written.is_empty() || !self.files.is_empty() {
            return Ok(true);
        }
        match context.files.list(&self.dir) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LogError::io("list", &self.dir, &error)),
        }
    }

    /// All before `end` is synced in the segments, whether it was journaled or not.
    pub(super) fn set_mode(
        &mut self,
        context: &Context,
        relaxed: bool,
        (segment, position, next_offset): (i64, u64, i64),
    ) -> Result<(), LogError> {
        self.line.relaxed = relaxed;
        if next_offset > self.end.next_offset {
            self.end = End { segment, position, next_offset };
            if self.files.contains_key(&segment) {
                self.touch(context, segment)?;
            }
        }
        Ok(())
    }

    /// Cuts off what is not committed, and makes the partition.
    pub(super) fn finish(
        mut self,
        context: &Arc<Context>,
        report: &mut RecoveryReport,
    ) -> Result<(Arc<Partition>, Option<Dirty>), LogError> {
        if !self.dir_is_there(context)? {
            self.created = true;
            context.files.create_dir_all(&self.dir).map_err(|error| LogError::io("make", &self.dir, &error))?;
        }
        // Written only if it is not right: until it is synced again it could be lost, and with it the claim to the folder.
        if self.created
            && PartitionMeta::read(&*context.files, &self.dir)?.is_none_or(|meta| meta.slot != self.line.slot)
        {
            let name = &self.line.partition;
            let (topic, partition) = (name.topic.to_string(), name.partition);
            let meta = PartitionMeta { topic, partition, topic_id: self.line.topic_id, slot: self.line.slot };
            meta.write(&*context.files, &self.dir)?;
        }
        self.check_end(context, report)?;
        if self.line.relaxed {
            self.walk_on(context, report)?;
        }
        self.truncate(context, report)?;
        if self.end.next_offset < self.line.log_start {
            // As Kafka: offsets are never given twice, so the log goes on where it was said to begin.
            self.end = End { segment: self.line.log_start, position: 0, next_offset: self.line.log_start };
        }
        let mut segments = self.segments(context);
        if segments.last().is_none_or(|last| last.base_offset != self.end.segment) && self.end.next_offset > 0 {
            segments.push(Segment::new(self.end.segment, 0));
        }
        let log_start = self.line.log_start.max(segments.first().map_or(0, |first| first.base_offset));
        let state = State {
            segments,
            log_start,
            high_watermark: self.end.next_offset,
            relaxed: self.line.relaxed,
            transactions: None,
        };
        let PartitionLine { slot, partition, topic_id, point, .. } = self.line;
        let config = PartitionConfig::default();
        let partition = Arc::new(Partition::new(context.clone(), partition, topic_id, slot, config, state, point));
        let dirty = (self.created || !self.written.is_empty()).then(|| Dirty {
            segments: self.written.into_iter().filter_map(|(base, file)| Some((base, file?))).collect(),
            names: true,
            created: self.created,
            ..Dirty::new(partition.clone())
        });
        Ok((partition, dirty))
    }

    /// Holds the end against the files: shorter than what was synced is damage, and then only the batches themselves count.
    fn check_end(&mut self, context: &Context, report: &mut RecoveryReport) -> Result<(), LogError> {
        let length = self.files.get(&self.end.segment).copied().unwrap_or(0);
        if length >= self.end.position {
            return Ok(());
        }
        let path = self.path(self.end.segment);
        report.damage.push(format!("{} has {length} bytes, {} were synced", path.display(), self.end.position));
        let expected = self.end.next_offset;
        self.end = End { position: 0, next_offset: self.end.segment, ..self.end };
        self.line.point = at_the_beginning(self.end.segment);
        self.walk(context, report)?;
        if self.end.next_offset < expected {
            report.damage.push(format!(
                "{} lacks offsets {} to {}",
                self.line.partition,
                self.end.next_offset,
                expected - 1
            ));
        }
        // Offsets that were given once are not given to other records: the log goes on behind them, in a new segment.
        self.truncate(context, report)?;
        self.end = End { segment: expected, position: 0, next_offset: expected };
        Ok(())
    }

    /// A relaxed topic: moves the end over all whole batches, through later segments as long as they follow without a gap.
    fn walk_on(&mut self, context: &Context, report: &mut RecoveryReport) -> Result<(), LogError> {
        loop {
            self.walk(context, report)?;
            let length = self.files.get(&self.end.segment).copied().unwrap_or(0);
            let next = self.end.next_offset;
            if self.end.position < length || self.end.segment == next || !self.files.contains_key(&next) {
                return Ok(());
            }
            self.touch(context, self.end.segment)?;
            self.end = End { segment: next, position: 0, next_offset: next };
        }
    }

    /// Cuts off what is behind the end.
    fn truncate(&mut self, context: &Context, report: &mut RecoveryReport) -> Result<(), LogError> {
        self.truncate_last(context, report)?;
        let base = self.end.segment;
        for length in self.remove_between(context, base + 1, i64::MAX)? {
            self.note_truncation(report, self.end.segment, length);
        }
        Ok(())
    }

    /// Removes the segments from base offset `from` to before `to`; gives the lengths of those that were not empty.
    fn remove_between(&mut self, context: &Context, from: i64, to: i64) -> Result<Vec<u64>, LogError> {
        let gone: Vec<(i64, u64)> = self.files.range(from..to).map(|(base, length)| (*base, *length)).collect();
        for (base, _) in &gone {
            let path = self.path(*base);
            context.handles.forget(self.line.slot, *base);
            context.files.remove_file(&path).map_err(|error| LogError::io("remove", &path, &error))?;
            let _ = context.files.remove_file(&self.dir.join(format!("{base:020}.index")));
            self.files.remove(base);
            self.written.remove(base);
        }
        Ok(gone.into_iter().map(|(_, length)| length).filter(|length| *length > 0).collect())
    }

    /// Cuts off what is behind the end in its segment.
    fn truncate_last(&mut self, context: &Context, report: &mut RecoveryReport) -> Result<(), LogError> {
        let base = self.end.segment;
        if let Some(length) = self.files.get(&base).copied().filter(|length| *length > self.end.position) {
            let path = self.path(base);
            let file = self.open(context, base, false)?;
            file.set_length(self.end.position).map_err(|error| LogError::io("truncate", &path, &error))?;
            self.note_truncation(report, base, length - self.end.position);
            self.files.insert(base, self.end.position);
        }
        Ok(())
    }

    fn note_truncation(&self, report: &mut RecoveryReport, base: i64, bytes: u64) {
        report.truncations.push(Truncation {
            partition: self.line.partition.clone(),
            path: self.path(base),
            length: self.end.position,
            bytes,
        });
    }

    /// The segments that have records at or after the log's start; the files of others are removed.
    fn segments(&self, context: &Context) -> Vec<Segment> {
        let bases: Vec<i64> = self.files.keys().copied().collect();
        let mut segments = Vec::with_capacity(bases.len());
        for (number, base) in bases.iter().enumerate() {
            let obsolete = bases.get(number + 1).is_some_and(|next| *next <= self.line.log_start);
            if obsolete && *base < self.end.segment && *base < self.line.point.segment {
                context.handles.forget(self.line.slot, *base);
                let _ = context.files.remove_file(&self.path(*base));
                let _ = context.files.remove_file(&self.dir.join(format!("{base:020}.index")));
                continue;
            }
            segments.push(Segment::new(*base, self.files[base]));
        }
        segments
    }
}

/// The recovery point of a log of which nothing is known but where it begins. Producers are read from all of it: a transaction may have begun
/// in an earlier segment.
fn at_the_beginning(segment: i64) -> RecoveryPoint {
    RecoveryPoint { segment, position: 0, next_offset: segment, producers: None, producers_next: 0 }
}
