//! Writing: an append is staged (checked, given offsets, written into the segment), and later committed or taken back as a whole. Only
//! the writer thread does this, so what is staged is in order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use millstream_protocol::records::{self, BatchHeader, EndMarker};

use super::aborted::Aborted;
use super::read::View;
use super::transactions::Transactions;
use super::{Partition, end_of};
use crate::aborted::Entry;
use crate::checkpoint::read_file;
use crate::files::FileHandle;
use crate::index::IndexEntry;
use crate::journal::{EntryBuilder, HEAD_BYTES, PartHeader, Stored};
use crate::producers::{Producers, Undo, Verdict};
use crate::scan::{Depth, Scan};
use crate::segment::{Segment, Stamps};
use crate::{Append, AppendedPart, LogError};

/// A partition's state with everything staged.
#[derive(Debug)]
pub(super) struct Writer {
    end: End,
    pub(super) producers: Producers,
    /// Changed since they were last written to a file.
    producers_changed: bool,
    /// A segment that was begun and taken back, but whose file could not be removed.
    stray: Option<i64>,
}

/// Where the next batch goes.
#[derive(Debug, Clone, Copy)]
struct End {
    next_offset: i64,
    segment: i64,
    position: u64,
    stamps: Stamps,
}

/// What a checkpoint is to note of a partition's producers.
#[derive(Debug)]
pub(crate) enum ProducersNews {
    /// Nobody asked for them since the start: the file there is still holds, up to where it did.
    NotRead,
    /// The file there is holds up to now.
    Same,
    /// Their state up to now; `None` if there are no producers.
    Changed(Option<Vec<u8>>),
}

/// How a part becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// With the journal, which has its bytes.
    Journal,
    /// Its segment is synced before the journal names it.
    Segment,
    /// The same for a relaxed topic's part of an append that must be whole: all of the partition is synced, but for the part's head.
    Headless,
    /// With the next checkpoint: a relaxed topic.
    Checkpoint,
}

/// A segment's base offset, and its file.
pub(crate) type OpenSegment = (i64, Arc<dyn FileHandle>);

/// Where a staged part's bytes are in memory.
#[derive(Debug)]
pub(crate) enum Payload {
    /// In the entry, at this range.
    Inline(Range<usize>),
    Own(Bytes),
}

/// A part that is written but not committed.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) partition: Arc<Partition>,
    pub(crate) appended: AppendedPart,
    /// `None` for a duplicate.
    pub(crate) written: Option<Written>,
}

#[derive(Debug)]
pub(crate) struct Written {
    /// The handle it was written by, which is sure to hear if that fails. `None`: all is synced, see [`Written::let_go`].
    pub(crate) file: Option<Arc<dyn FileHandle>>,
    pub(crate) segment: i64,
    /// The segment was begun with this part.
    pub(crate) began: bool,
    /// The segment that it was begun after. To be synced with the next checkpoint whatever was written to it: recovery cuts
    /// the last segment where the checkpoint ends, and takes those before it as they are, so what was once cut off must not come back.
    pub(crate) closed: Option<OpenSegment>,
    /// The part is the first in its file, whose name may be new.
    pub(crate) first_in_file: bool,
    pub(crate) payload: Payload,
    pub(crate) way: Way,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    before: End,
    after: End,
    placed: Placed,
    first_unstable: Option<i64>,
}

impl Written {
    /// The files that it holds open.
    pub(crate) fn files(&self) -> impl Iterator<Item = (i64, &Arc<dyn FileHandle>)> {
        let closed = self.closed.iter().map(|(base, file)| (*base, file));
        closed.chain(self.file.iter().map(|file| (self.segment, file)))
    }

    /// Lets go of its files, which were synced.
    pub(crate) fn let_go(&mut self) {
        (self.file, self.closed) = (None, None);
    }
}

/// What giving batches their offsets brought about.
#[derive(Debug, Default)]
struct Placed {
    entries: Vec<IndexEntry>,
    undo: Vec<Undo>,
    aborted: Vec<Entry>,
}

impl Partition {
    /// Stages `append` on its `way`: into the segment, and what the journal needs into `entry`. After an error nothing is staged.
    pub(crate) fn stage(
        self: &Arc<Self>,
        append: &Append,
        entry: &mut EntryBuilder,
        way: Way,
        now_ms: i64,
    ) -> Result<Staged, LogError> {
        let mut writer = self.writer.lock();
        if self.is_deleted() {
            return Err(LogError::UnknownPartition(self.name.clone()));
        }
        let writer = self.loaded(&mut writer, now_ms)?;
        let log_start = self.state.read().log_start;
        let first = BatchHeader::read(&append.batches).map_err(|error| self.invalid(0, error))?;
        if first.has_producer()
            && let Verdict::Duplicate { first_offset, last_offset } = writer.producers.check(&self.name, &first)?
        {
            let appended =
                AppendedPart { base_offset: first_offset, last_offset, log_start_offset: log_start, duplicate: true };
            return Ok(Staged { partition: self.clone(), appended, written: None });
        }
        self.remove_stray(writer)?;
        let before = writer.end;
        let began = self.roll_if_due(writer, &first, append.batches.len() as u64)?;
        let inline = way == Way::Journal;
        let hidden = if way == Way::Headless { HEAD_BYTES } else { 0 };
        let mark = entry.mark();
        let mut own = BytesMut::new();
        let range = if inline {
            entry.push_inline(&append.batches)
        } else {
            own = append.batches.clone().try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            0..own.len()
        };
        let bytes = if inline { entry.bytes_mut(range.clone()) } else { &mut own[..] };
        let start = writer.end;
        let mut placed = Placed::default();
        let result = self.place(writer, bytes, append.leader_epoch, now_ms, &mut placed).and_then(|()| {
            let closed = match began && before.position > 0 {
                true => Some((before.segment, self.close_file(before.segment, before.position)?)),
                false => None,
            };
            let file = self.log_file(start.segment, start.position == 0)?;
            let path = || self.log_path(start.segment);
            if let Err(error) = file.write_at(&[&[0; HEAD_BYTES][..hidden], &bytes[hidden..]], start.position) {
                // What was written of it gives its space back; if even that fails, the next append or recovery overwrites it.
                let _ = file.set_length(start.position);
                return Err(LogError::io("write", &path(), &error));
            }
            Ok((file, closed))
        });
        let (file, closed) = match result {
            Ok(done) => done,
            Err(error) => {
                entry.truncate(mark);
                self.take_back(writer, before, placed.undo);
                return Err(error);
            }
        };
        let after = writer.end;
        let length = after.position - start.position;
        let header = PartHeader {
            slot: self.slot,
            stored: match way {
                Way::Headless => Stored::SegmentButHead,
                Way::Segment => Stored::Segment,
                Way::Journal | Way::Checkpoint => Stored::Here,
            },
            segment: start.segment,
            position: start.position,
            base_offset: start.next_offset,
            next_offset: after.next_offset,
            length,
        };
        let payload = if inline {
            entry.set_header(&range, &header);
            Payload::Inline(range)
        } else {
            if way != Way::Checkpoint {
                entry.push_reference(&header, &own[..hidden]);
            }
            Payload::Own(own.freeze())
        };
        writer.producers_changed |= !placed.undo.is_empty();
        self.log_end.store(after.next_offset, Ordering::Release);
        let appended = AppendedPart {
            base_offset: start.next_offset,
            last_offset: after.next_offset - 1,
            log_start_offset: log_start,
            duplicate: false,
        };
        let written = Written {
            file: Some(file),
            segment: start.segment,
            began,
            closed,
            first_in_file: start.position == 0,
            payload,
            way,
            records: (after.next_offset - start.next_offset) as u64,
            bytes: length,
            before,
            after,
            placed,
            first_unstable: writer.producers.first_unstable(),
        };
        Ok(Staged { partition: self.clone(), appended, written: Some(written) })
    }

    /// Takes back what was staged last.
    pub(crate) fn unstage(&self, written: Written) {
        let mut writer = self.writer.lock();
        let writer = writer.as_deref_mut().expect("something was staged");
        if written.segment == written.before.segment
            && let Ok(file) = self.file_of(&written)
        {
            let _ = file.set_length(written.before.position);
        }
        self.take_back(writer, written.before, written.placed.undo);
    }

    fn take_back(&self, writer: &mut Writer, before: End, undo: Vec<Undo>) {
        let began = writer.end.segment != before.segment;
        if began {
            writer.stray = Some(writer.end.segment);
            // If it cannot be now, it is tried again before the next append.
            let _ = self.remove_stray(writer);
        }
        writer.end = before;
        for undo in undo.into_iter().rev() {
            writer.producers.undo(undo);
        }
        self.log_end.store(before.next_offset, Ordering::Release);
    }

    /// Removes what is left of a segment that was taken back. Until then nothing may be appended: once the log has passed it by, a start would
    /// take it for a part of the log.
    fn remove_stray(&self, writer: &mut Writer) -> Result<(), LogError> {
        let Some(base_offset) = writer.stray else { return Ok(()) };
        self.context.handles.forget(self.slot, base_offset);
        let path = self.log_path(base_offset);
        match self.context.files.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LogError::io("remove", &path, &error)),
            _ => {
                writer.stray = None;
                Ok(())
            }
        }
    }

    /// Gives a headless part its head: the journal has it.
    pub(crate) fn reveal(&self, written: &mut Written) -> Result<(), LogError> {
        let (Way::Headless, Payload::Own(bytes)) = (written.way, &written.payload) else { return Ok(()) };
        let _writer = self.writer.lock();
        let position = written.after.position - written.bytes;
        let file = self.file_of(written)?;
        let result = file.write_at(&[&bytes[..HEAD_BYTES]], position);
        written.file = Some(file);
        result.map_err(|error| LogError::io("write", &self.log_path(written.segment), &error))
    }

    fn file_of(&self, written: &Written) -> Result<Arc<dyn FileHandle>, LogError> {
        written.file.clone().map_or_else(|| self.log_file(written.segment, false), Ok)
    }

    /// Makes a staged part part of the log. Watchers hear of it by [`Partition::publish`].
    pub(crate) fn commit(&self, written: &Written) {
        let mut state = self.state.write();
        if written.began {
            state.segments.push(Segment::new(written.segment, 0));
        }
        state.high_watermark = written.after.next_offset;
        let segment = state.segments.last_mut().expect("a written partition has a segment");
        debug_assert_eq!(segment.base_offset, written.segment);
        segment.size = written.after.position;
        if let Some(derived) = &mut segment.derived {
            derived.pending.extend_from_slice(&written.placed.entries);
            derived.stamps = written.after.stamps;
        }
        let transactions = state.transactions.as_mut().expect("they are loaded with the writer");
        transactions.first_unstable = written.first_unstable;
        written.placed.aborted.iter().for_each(|entry| transactions.aborted.push(written.segment, *entry));
    }

    /// Closes the segment and begins an empty one, so that all of the closed one can be deleted. Gives both to be synced; `None` if
    /// the segment is empty already, or the partition deleted.
    pub(crate) fn roll(&self, now_ms: i64) -> Result<Option<[OpenSegment; 2]>, LogError> {
        let mut writer = self.writer.lock();
        if self.is_deleted() {
            return Ok(None);
        }
        let writer = self.loaded(&mut writer, now_ms)?;
        self.remove_stray(writer)?;
        if writer.end.position == 0 {
            return Ok(None);
        }
        let (closed, base_offset) = (writer.end.segment, writer.end.next_offset);
        let files =
            [(closed, self.close_file(closed, writer.end.position)?), (base_offset, self.log_file(base_offset, true)?)];
        writer.end = End { segment: base_offset, position: 0, stamps: Stamps::default(), ..writer.end };
        self.state.write().segments.push(Segment::new(base_offset, 0));
        Ok(Some(files))
    }

    /// The file of a segment that is closed at `length`. From here on the file's end is the segment's: what was left behind by an append that
    /// could not even be taken back goes now.
    fn close_file(&self, segment: i64, length: u64) -> Result<Arc<dyn FileHandle>, LogError> {
        let file = self.log_file(segment, false)?;
        let trim = || if file.length()? == length { Ok(()) } else { file.set_length(length) };
        trim().map_err(|error| LogError::io("truncate", &self.log_path(segment), &error))?;
        Ok(file)
    }

    /// What is to be noted of the producers as of now.
    pub(crate) fn producers_news(&self, now_ms: i64) -> ProducersNews {
        let mut writer = self.writer.lock();
        let Some(writer) = writer.as_deref_mut() else { return ProducersNews::NotRead };
        if !std::mem::take(&mut writer.producers_changed) {
            return ProducersNews::Same;
        }
        writer.producers.expire(self.context.producers_expire_before(now_ms));
        let state = self.state.read();
        let indexed = state.transactions.as_ref().expect("they are loaded with the writer").aborted.segments();
        let nothing = writer.producers.is_empty() && indexed.is_empty();
        ProducersNews::Changed((!nothing).then(|| writer.producers.encode(&indexed)))
    }

    /// Has the producers' state written again, after a checkpoint that failed.
    pub(crate) fn touch_producers(&self) {
        if let Some(writer) = self.writer.lock().as_deref_mut() {
            writer.producers_changed = true;
        }
    }

    /// Begins a new segment if the present one is full or old, in memory; its file is made by the first write. The rule is Kafka's.
    fn roll_if_due(&self, writer: &mut Writer, first: &BatchHeader, length: u64) -> Result<bool, LogError> {
        let config = self.config();
        let end = &mut writer.end;
        if length > u64::from(u32::MAX) / 2 {
            return Err(self.invalid(0, "more than 2 GiB at a time"));
        }
        let full = end.position + length > config.segment_bytes.min(u64::from(u32::MAX));
        let waited = first.max_timestamp.saturating_sub(end.stamps.first_timestamp);
        let old = end.stamps.first_timestamp >= 0 && waited > config.segment_ms_max();
        // Offsets in the index are 32 bits wide; an append brings at most as many records as it has bytes.
        let far = end.next_offset - end.segment > i64::from(u32::MAX) - length as i64;
        let due = end.position > 0 && (full || old || far);
        if due {
            *end = End { segment: end.next_offset, position: 0, stamps: Stamps::default(), ..*end };
        }
        // A partition without any segment gets its first one.
        let is_first = self.state.read().segments.is_empty() && end.position == 0;
        Ok(due || is_first)
    }

    /// Gives all batches their offsets, in memory.
    fn place(
        &self,
        writer: &mut Writer,
        bytes: &mut [u8],
        leader_epoch: i32,
        now_ms: i64,
        placed: &mut Placed,
    ) -> Result<(), LogError> {
        let interval = self.config().index_interval_bytes;
        let mut at = 0;
        while at < bytes.len() {
            let batch = &mut bytes[at..];
            let header = BatchHeader::read(batch).map_err(|error| self.invalid(at, error))?;
            let size = header.size();
            if size > batch.len() {
                return Err(self.invalid(at, format!("the batch has {size} bytes and {} are there", batch.len())));
            }
            if header.last_offset_delta < 0 {
                return Err(self.invalid(at, "the last offset delta is negative"));
            }
            if header.has_producer() {
                match writer.producers.check(&self.name, &header)? {
                    Verdict::Append => {
                        let marker = match header.is_control() {
                            true => EndMarker::read(&batch[..size]).map_err(|error| self.invalid(at, error))?,
                            false => None,
                        };
                        let (undo, aborted) = writer.producers.note(&header, marker, writer.end.next_offset, now_ms);
                        placed.undo.push(undo);
                        let behind = writer.end.next_offset + i64::from(header.last_offset_delta) + 1;
                        let stable = writer.producers.first_unstable().unwrap_or(behind);
                        placed.aborted.extend(aborted.map(|transaction| Entry { transaction, stable }));
                    }
                    Verdict::Duplicate { .. } => {
                        return Err(self.invalid(at, "a batch behind new ones is there already"));
                    }
                }
            }
            records::set_base_offset(batch, writer.end.next_offset);
            records::set_partition_leader_epoch(batch, leader_epoch);
            let end = &mut writer.end;
            let relative =
                u32::try_from(end.next_offset - end.segment).map_err(|_| self.invalid(at, "too many records"))?;
            placed.entries.extend(end.stamps.add(relative, end.position, size as u64, header.max_timestamp, interval));
            end.position += size as u64;
            end.next_offset += i64::from(header.last_offset_delta) + 1;
            at += size;
        }
        Ok(())
    }

    fn invalid(&self, position: usize, reason: impl std::fmt::Display) -> LogError {
        LogError::InvalidBatches { partition: self.name.clone(), reason: format!("at byte {position}: {reason}") }
    }

    /// The writer's state, read from the log unless it is there.
    pub(super) fn loaded<'a>(
        &self,
        writer: &'a mut Option<Box<Writer>>,
        now_ms: i64,
    ) -> Result<&'a mut Writer, LogError> {
        if writer.is_none() {
            *writer = Some(Box::new(self.load_writer(now_ms)?));
        }
        Ok(writer.as_deref_mut().expect("it was loaded just now"))
    }

    fn load_writer(&self, now_ms: i64) -> Result<Writer, LogError> {
        let _layout = self.layout.read();
        let last = self.state.read().segments.last().map(|last| last.base_offset);
        if let Some(base_offset) = last {
            self.ensure_derived(base_offset)?;
        }
        let (end, segments) = {
            let state = self.state.read();
            let (segment, position) = end_of(&state);
            let stamps =
                state.segments.last().and_then(|last| last.derived.as_ref()).map_or(Stamps::default(), |d| d.stamps);
            let segments: Vec<(i64, u64)> = state.segments.iter().map(|s| (s.base_offset, s.size)).collect();
            (End { next_offset: state.high_watermark, segment, position, stamps }, segments)
        };
        let (producers, aborted, producers_changed) = self.load_producers(&segments, now_ms)?;
        let first_unstable = producers.first_unstable();
        self.state.write().transactions = Some(Transactions { first_unstable, aborted });
        self.publish();
        Ok(Writer { end, producers, producers_changed, stray: None })
    }

    /// The producers and aborted transactions as they were last written to a file, and what the log has behind that; and whether it has
    /// something.
    fn load_producers(&self, segments: &[(i64, u64)], now_ms: i64) -> Result<(Producers, Aborted, bool), LogError> {
        let point = self.recovery();
        let mut from = point.producers_next;
        let read = match point.producers {
            None => Some((Producers::default(), Vec::new())),
            Some(offset) => {
                let path = self.dir().join(Partition::producers_name(offset));
                read_file(&*self.context.files, &path)?.as_deref().and_then(Producers::decode)
            }
        };
        let known = match read {
            Some((producers, indexed)) => {
                self.open_aborted(segments, &indexed, from)?.map(|aborted| (producers, aborted, false))
            }
            None => None,
        };
        let (mut producers, mut aborted, mut changed) = match known {
            Some(known) => known,
            None => {
                tracing::warn!(partition = %self.name, "the state of producers and transactions is read from the log again");
                self.remove_all_aborted()?;
                from = 0;
                (Producers::default(), Aborted::default(), true)
            }
        };
        for (number, (base_offset, size)) in segments.iter().enumerate() {
            if segments.get(number + 1).is_some_and(|(next, _)| *next <= from) || *size == 0 {
                continue;
            }
            let view = View { base_offset: *base_offset, size: *size };
            let (file, start) = match from > *base_offset {
                true => self.seek(view, from)?,
                false => (self.log_file(*base_offset, false)?, 0),
            };
            let mut ended = Vec::new();
            let mut scan = Scan::new(&*file, start, *size, Depth::Header);
            while let Some((position, header)) = scan.next().map_err(|error| self.scan_error(*base_offset, error))? {
                if !header.has_producer() || header.base_offset < from {
                    continue;
                }
                let marker = match header.is_control() {
                    true => self.marker(*base_offset, &mut scan, position, &header)?,
                    false => None,
                };
                if let Some(transaction) = producers.note(&header, marker, header.base_offset, now_ms).1 {
                    let stable = producers.first_unstable().unwrap_or(header.next_offset());
                    ended.push(Entry { transaction, stable });
                }
                changed = true;
            }
            self.add_aborted(&mut aborted, *base_offset, &ended);
        }
        producers.expire(self.context.producers_expire_before(now_ms));
        Ok((producers, aborted, changed))
    }

    fn marker(
        &self,
        segment: i64,
        scan: &mut Scan<'_>,
        position: u64,
        header: &BatchHeader,
    ) -> Result<Option<EndMarker>, LogError> {
        let path = || self.log_path(segment);
        let batch = scan.batch(position, header).map_err(|error| LogError::io("read", &path(), &error))?;
        EndMarker::read(&batch).map_err(|error| LogError::Corrupt { path: path(), position, reason: error.to_string() })
    }
}
