//! The one thread that writes. It takes everything that waits, stages it, makes it durable with one sync of the journal, and then moves
//! the high watermarks: group commit. A single append at idle is synced at once; what comes meanwhile shares the next sync.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::checkpoint::RecoveryPoint;
use crate::journal::{CommitError, EntryBuilder, Journal, MetaRecord, PART_HEADER_BYTES};
use crate::log::Shared;
use crate::meta::PartitionMeta;
use crate::partition::{Payload, Staged, end_of};
use crate::queue::{Command, Pending, Reply};
use crate::syncer::{Dirty, Item, Job, Outcome};
use crate::tail_cache::TailCache;
use crate::{Ack, LogError, Partition};

/// Most bytes of appends in one group: they are all in memory once more.
const GROUP_BYTES_MAX: usize = 64 << 20;
/// Partitions that are written to between two checkpoints, at most about: each holds a file open.
const DIRTY_MAX: usize = 4096;
/// Bytes written past the journal between two checkpoints, at most about: recovery has to walk them.
const DIRECT_BYTES_MAX: u64 = 256 << 20;
/// How long deleted partitions wait for others to be removed with them.
const DELETE_DELAY_MS: u64 = 1000;
/// Pause before a checkpoint that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Writer {
    shared: Arc<Shared>,
    journal: Journal,
    /// Not in the journal yet. They go with the next entry: nothing depends on them before.
    metas: Vec<MetaRecord>,
    dirty: HashMap<u32, Dirty>,
    topics_dirty: bool,
    removals: Vec<PathBuf>,
    direct_bytes: u64,
    relaxed_records: u64,
    /// When the next checkpoint is due.
    due: Option<Instant>,
    checkpointing: bool,
    /// What the checkpoint under way has taken on: names are not durable before it is done.
    in_flight: InFlight,
    waiters: Vec<Reply<()>>,
    tails: TailCache,
}

/// Names that the checkpoint under way makes durable.
#[derive(Default)]
struct InFlight {
    topics: bool,
    /// By slot: whether the folder itself is new.
    partitions: HashMap<u32, bool>,
}

/// An append that is staged.
struct StagedAppend {
    pending: Pending,
    entry: EntryBuilder,
    parts: Vec<Staged>,
}

impl StagedAppend {
    fn results(&self) -> Vec<crate::AppendedPart> {
        self.parts.iter().map(|part| part.appended).collect()
    }
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        journal: Journal,
        dirty: HashMap<u32, Dirty>,
        removals: Vec<PathBuf>,
    ) -> Writer {
        let tails = TailCache::new(&shared.context);
        let mut writer = Writer {
            shared,
            journal,
            metas: Vec::new(),
            dirty,
            topics_dirty: true,
            removals,
            direct_bytes: 0,
            relaxed_records: 0,
            due: None,
            checkpointing: false,
            in_flight: InFlight::default(),
            waiters: Vec::new(),
            tails,
        };
        if !writer.dirty.is_empty() || !writer.removals.is_empty() {
            writer.due_in_ms(writer.shared.context.options.checkpoint_interval_ms);
        }
        writer
    }

    /// The thread.
    pub(crate) fn run(mut self) {
        let mut commands = Vec::new();
        loop {
            self.shared.context.queue.take(self.due.filter(|_| !self.checkpointing), &mut commands);
            if let Some(outcome) = self.shared.syncer.try_outcome() {
                self.end_checkpoint(outcome);
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.begin_checkpoint();
            }
            let mut group = Vec::new();
            let mut group_bytes = 0;
            for command in commands.drain(..) {
                match command {
                    Command::Append(pending) => {
                        let bytes: usize = pending.parts.iter().map(|(_, append)| append.batches.len()).sum();
                        if group_bytes + bytes > GROUP_BYTES_MAX && !group.is_empty() {
                            self.commit(mem::take(&mut group));
                            group_bytes = 0;
                        }
                        group_bytes += bytes;
                        group.push(pending);
                    }
                    Command::Create(partition) => self.note_created(partition),
                    Command::Delete { slot, folder } => self.note_deleted(slot, folder),
                    Command::LogStart(moves, reply) => {
                        self.commit(mem::take(&mut group));
                        let _ = reply.send(self.move_log_starts(moves));
                    }
                    Command::Mode(partition, relaxed, reply) => {
                        self.commit(mem::take(&mut group));
                        let _ = reply.send(self.change_mode(&partition, relaxed));
                    }
                    Command::Checkpoint(reply) => {
                        self.commit(mem::take(&mut group));
                        self.waiters.push(reply);
                        self.due = Some(Instant::now());
                    }
                    Command::Close(reply) => {
                        self.commit(mem::take(&mut group));
                        self.finish(reply);
                        return;
                    }
                }
            }
            self.commit(group);
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.begin_checkpoint();
            }
        }
    }

    fn due_in_ms(&mut self, ms: u64) {
        let at = Instant::now() + Duration::from_millis(ms);
        if self.due.is_none_or(|due| due > at) {
            self.due = Some(at);
        }
    }

    fn note_created(&mut self, partition: Arc<Partition>) {
        let name = partition.topic_partition();
        self.metas.push(MetaRecord::Create {
            slot: partition.slot(),
            topic: name.topic.to_string(),
            partition: name.partition,
            topic_id: partition.topic_id(),
        });
        let dirty = self.dirty.entry(partition.slot()).or_insert_with(|| Dirty::new(partition));
        dirty.names = true;
        dirty.created = true;
        self.topics_dirty = true;
        self.due_in_ms(self.shared.context.options.checkpoint_interval_ms);
    }

    fn note_deleted(&mut self, slot: u32, folder: PathBuf) {
        self.metas.push(MetaRecord::Delete { slot });
        self.dirty.remove(&slot);
        self.removals.push(folder);
        self.topics_dirty = true;
        // The folder goes with the next checkpoint; somebody may wait for its space.
        self.due_in_ms(DELETE_DELAY_MS.min(self.shared.context.options.checkpoint_interval_ms));
    }

    /// Makes a group durable and visible, or answers why not.
    fn commit(&mut self, mut group: Vec<Pending>) {
        while !group.is_empty() {
            // What fits one journal file goes together; the rest is the next round's.
            let (mut staged, rest) = self.stage(group);
            let retry = self.sync_direct(&mut staged);
            if let Some(retry) = retry {
                group = retry.into_iter().chain(rest).collect();
                continue;
            }
            let mut entries: Vec<EntryBuilder> = self.meta_entries();
            let metas = entries.len();
            let mut journaled = Vec::new();
            for (number, append) in staged.iter_mut().enumerate() {
                if !append.entry.is_empty() {
                    entries.push(mem::replace(&mut append.entry, EntryBuilder::append(0)));
                    journaled.push(number);
                }
            }
            // Relaxed appends alone need no sync; what is noted of partitions waits for somebody who does.
            let result = if journaled.is_empty() { Ok(()) } else { self.write_journal(&mut entries) };
            match result {
                Ok(()) => {
                    if !journaled.is_empty() {
                        self.metas.clear();
                    }
                    let mut frozen: Vec<Option<Bytes>> = staged.iter().map(|_| None).collect();
                    for (number, entry) in journaled.into_iter().zip(entries.into_iter().skip(metas)) {
                        frozen[number] = Some(entry.freeze());
                    }
                    self.publish(staged, frozen);
                }
                Err(CommitError::Failed(error)) => {
                    self.due_in_ms(0);
                    let failed = take_back_all(staged);
                    answer_all(failed, &error);
                }
                // Nothing may be staged while a checkpoint notes where partitions and producers are.
                Err(CommitError::Full) => {
                    let again = take_back_all(staged);
                    match self.make_room() {
                        Ok(()) => {
                            group = again.into_iter().chain(rest).collect();
                            continue;
                        }
                        Err(error) => answer_all(again, &error),
                    }
                }
            }
            group = rest;
        }
    }

    /// Stages appends up to what one journal file takes. Gives what is staged and what is left.
    fn stage(&mut self, group: Vec<Pending>) -> (Vec<StagedAppend>, Vec<Pending>) {
        let journal_max = self.journal.group_bytes_max();
        let metas_max = self.metas.len() * 512;
        let now_ms = self.shared.context.now_ms();
        let mut staged: Vec<StagedAppend> = Vec::with_capacity(group.len());
        let mut journal_bytes = metas_max.min(journal_max / 4);
        let mut group = group.into_iter();
        while let Some(mut pending) = group.next() {
            let direct_min = direct_bytes_min(&pending, self.shared.context.options.direct_bytes_min, journal_max / 2);
            let inline: usize = pending
                .parts
                .iter()
                .map(|(_, append)| append.batches.len())
                .map(|length| PART_HEADER_BYTES + if length < direct_min { length } else { 0 })
                .sum();
            if journal_bytes + inline > journal_max && !staged.is_empty() {
                return (staged, std::iter::once(pending).chain(group).collect());
            }
            if inline > journal_max / 2 {
                let partition = pending.parts[0].1.partition.clone();
                let reason = format!("{} partitions in one append are too many", pending.parts.len());
                pending.answer(Err(LogError::InvalidBatches { partition, reason }));
                continue;
            }
            journal_bytes += inline + 64;
            let mut append = StagedAppend { entry: EntryBuilder::append(inline), parts: Vec::new(), pending };
            let mut failed = None;
            for (partition, part) in &append.pending.parts {
                match partition.stage(part, &mut append.entry, part.batches.len() >= direct_min, now_ms) {
                    Ok(part) => append.parts.push(part),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            if let Some(error) = failed {
                unstage(append.parts);
                append.pending.answer(Err(error));
                continue;
            }
            if append.pending.ack == Ack::Written {
                let results = append.results();
                append.pending.answer(Ok(results));
            }
            staged.push(append);
        }
        (staged, Vec::new())
    }

    /// Syncs the segments of large parts. If some fail, everything is taken back, the appends concerned are answered, and the others
    /// given back to be staged anew.
    fn sync_direct(&mut self, staged: &mut Vec<StagedAppend>) -> Option<Vec<Pending>> {
        let mut synced: Vec<(u32, i64)> = Vec::new();
        let mut failed: HashMap<u32, LogError> = HashMap::new();
        let parts = || staged.iter().flat_map(|append| &append.parts);
        let began: HashSet<u32> = parts()
            .filter(|part| part.written.as_ref().is_some_and(|written| written.first_in_file))
            .map(|part| part.partition.slot())
            .collect();
        for part in parts() {
            let Some(written) = part.written.as_ref().filter(|written| written.direct) else { continue };
            let slot = part.partition.slot();
            if failed.contains_key(&slot) || synced.contains(&(slot, written.segment)) {
                continue;
            }
            synced.push((slot, written.segment));
            self.direct_bytes += written.bytes;
            let path = part.partition.log_path(written.segment);
            let sync = || {
                written.file.sync()?;
                let dirty = self.dirty.get(&slot);
                let in_flight = self.in_flight.partitions.get(&slot);
                if dirty.is_some_and(|dirty| dirty.created) || in_flight == Some(&true) {
                    // Recovery knows by it that the folder is this partition's and not a deleted one's.
                    self.shared.context.files.open(&PartitionMeta::path(part.partition.dir()), false)?.sync()?;
                }
                if began.contains(&slot) || dirty.is_some_and(|dirty| dirty.names) || in_flight.is_some() {
                    self.shared.context.files.sync_dir(part.partition.dir())?;
                }
                if self.topics_dirty || self.in_flight.topics {
                    self.shared.context.files.sync_dir(&self.shared.context.topics_dir())?;
                }
                Ok(())
            };
            if let Err(error) = sync() {
                tracing::error!(path = %path.display(), %error, "a sync failed; the appends it was for are refused");
                failed.insert(slot, LogError::io("sync", &path, &error));
                let dirty = self.dirty.entry(slot).or_insert_with(|| Dirty::new(part.partition.clone()));
                dirty.add(written.segment, &written.file);
                dirty.suspect = true;
            }
        }
        if failed.is_empty() {
            return None;
        }
        let mut again = take_back_all(mem::take(staged));
        again.retain_mut(|pending| {
            let error = pending.parts.iter().find_map(|(partition, _)| failed.get(&partition.slot()));
            if let Some(error) = error.cloned() {
                pending.answer(Err(error));
                return false;
            }
            true
        });
        // The segment of a roll that was taken back is gone.
        for dirty in self.dirty.values_mut() {
            let state = dirty.partition.state().read();
            dirty.segments.retain(|(base, _)| state.segments.iter().any(|segment| segment.base_offset == *base));
        }
        Some(again)
    }

    fn meta_entries(&self) -> Vec<EntryBuilder> {
        self.metas.chunks(256).map(EntryBuilder::meta).collect()
    }

    fn write_journal(&mut self, entries: &mut [EntryBuilder]) -> Result<(), CommitError> {
        let began = self.journal.commit(entries)?;
        if began && self.journal.is_filling() {
            self.due = Some(Instant::now());
        }
        Ok(())
    }

    /// Waits until segments are synced and a journal file is free.
    fn make_room(&mut self) -> Result<(), LogError> {
        // The checkpoint under way may have begun before the entries that fill the ring; then one more is needed.
        for _ in 0..2 {
            if !self.checkpointing {
                self.due = None;
                self.start_checkpoint();
            }
            let outcome = self.shared.syncer.outcome();
            let error = outcome.as_ref().err().map(|(error, _)| error.clone());
            self.end_checkpoint(outcome);
            if let Some(error) = error {
                return Err(error);
            }
            if self.journal.has_room() {
                break;
            }
        }
        Ok(())
    }

    /// Makes what is staged visible, all of it before anybody is woken.
    fn publish(&mut self, staged: Vec<StagedAppend>, frozen: Vec<Option<Bytes>>) {
        for (append, entry) in staged.iter().zip(&frozen) {
            let alone = append.parts.len() == 1;
            for part in &append.parts {
                let Some(written) = &part.written else { continue };
                part.partition.commit(written);
                let dirty =
                    self.dirty.entry(part.partition.slot()).or_insert_with(|| Dirty::new(part.partition.clone()));
                if let Some((base, file)) = &written.closed {
                    dirty.add(*base, file);
                }
                dirty.add(written.segment, &written.file);
                dirty.names |= written.first_in_file;
                if written.relaxed {
                    self.relaxed_records += written.records;
                }
                let bytes = match (&written.payload, entry) {
                    // A small part of a large entry would keep all of it in memory.
                    (Payload::Inline(range), Some(entry)) if alone => entry.slice(range.clone()),
                    (Payload::Inline(range), Some(entry)) => Bytes::copy_from_slice(&entry[range.clone()]),
                    (Payload::Own(bytes), _) => bytes.clone(),
                    (Payload::Inline(_), None) => unreachable!("an inline part has an entry"),
                };
                self.tails.push(&part.partition, part.appended, bytes);
            }
        }
        for part in staged.iter().flat_map(|append| &append.parts).filter(|part| part.written.is_some()) {
            part.partition.publish();
        }
        self.note_due(&staged);
        for mut append in staged {
            let results = append.results();
            append.pending.answer(Ok(results));
        }
    }

    fn note_due(&mut self, staged: &[StagedAppend]) {
        let mut wait = self.shared.context.options.checkpoint_interval_ms;
        for part in staged.iter().flat_map(|append| &append.parts) {
            if part.written.as_ref().is_some_and(|written| written.relaxed) {
                let config = part.partition.config();
                wait = wait.min(config.flush_ms.unwrap_or(u64::MAX));
                if config.flush_messages.is_some_and(|most| self.relaxed_records >= most) {
                    wait = 0;
                }
            }
        }
        if self.dirty.len() > DIRTY_MAX || self.direct_bytes > DIRECT_BYTES_MAX {
            wait = 0;
        }
        self.due_in_ms(wait);
    }

    fn move_log_starts(&mut self, moves: Vec<(Arc<Partition>, i64)>) -> Result<(), LogError> {
        let records =
            moves.iter().map(|(partition, offset)| MetaRecord::LogStart { slot: partition.slot(), offset: *offset });
        self.commit_metas(records.collect())?;
        let now_ms = self.shared.context.now_ms();
        for (partition, offset) in moves {
            let empty = {
                let mut state = partition.state().write();
                let offset = offset.min(state.high_watermark);
                state.log_start = state.log_start.max(offset);
                state.log_start == state.high_watermark
            };
            let dirty = self.dirty.entry(partition.slot()).or_insert_with(|| Dirty::new(partition.clone()));
            if empty && let Some(files) = partition.roll(now_ms)? {
                files.iter().for_each(|(base, file)| dirty.add(*base, file));
                dirty.names = true;
            }
        }
        self.due = Some(Instant::now());
        Ok(())
    }

    fn change_mode(&mut self, partition: &Arc<Partition>, relaxed: bool) -> Result<(), LogError> {
        if partition.state().read().relaxed == relaxed {
            return Ok(());
        }
        // From here on the journal continues what the segment has, so that must be durable, also what a checkpoint has taken on.
        if self.checkpointing {
            let outcome = self.shared.syncer.outcome();
            let error = outcome.as_ref().err().map(|(error, _)| error.clone());
            self.end_checkpoint(outcome);
            error.map_or(Ok(()), Err)?;
        }
        if let Some(dirty) = self.dirty.get_mut(&partition.slot()) {
            for (base, file) in &dirty.segments {
                file.sync().map_err(|error| {
                    dirty.suspect = true;
                    LogError::io("sync", &partition.log_path(*base), &error)
                })?;
            }
            let dir = partition.dir();
            self.shared.context.files.sync_dir(dir).map_err(|error| LogError::io("sync", dir, &error))?;
        }
        let (segment, position, next_offset) = {
            let state = partition.state().read();
            let (segment, position) = end_of(&state);
            (segment, position, state.high_watermark)
        };
        self.commit_metas(vec![MetaRecord::Mode { slot: partition.slot(), relaxed, segment, position, next_offset }])?;
        partition.state().write().relaxed = relaxed;
        Ok(())
    }

    /// Puts what waits and `records` into the journal. After an error `records` are not in it.
    fn commit_metas(&mut self, records: Vec<MetaRecord>) -> Result<(), LogError> {
        let before = self.metas.len();
        self.metas.extend(records);
        let mut entries = self.meta_entries();
        let mut result = self.write_journal(&mut entries);
        if let Err(CommitError::Full) = result {
            result = match self.make_room() {
                Ok(()) => self.write_journal(&mut entries),
                Err(error) => Err(CommitError::Failed(error)),
            };
        }
        match result {
            Ok(()) => {
                self.metas.clear();
                Ok(())
            }
            Err(error) => {
                self.metas.truncate(before);
                Err(match error {
                    CommitError::Failed(error) => error,
                    CommitError::Full => LogError::DiskFull { path: self.shared.context.journal_dir() },
                })
            }
        }
    }

    fn begin_checkpoint(&mut self) {
        if !self.checkpointing {
            self.due = None;
            self.start_checkpoint();
        }
    }

    fn start_checkpoint(&mut self) {
        let now_ms = self.shared.context.now_ms();
        let items = mem::take(&mut self.dirty)
            .into_values()
            .map(|dirty| {
                let end = {
                    let state = dirty.partition.state().read();
                    let (segment, position) = end_of(&state);
                    RecoveryPoint { segment, position, next_offset: state.high_watermark, producers: None }
                };
                let producers = dirty.partition.changed_producers(now_ms);
                Item { dirty, end, producers }
            })
            .collect();
        let job = Job {
            next_entry: self.journal.next_entry(),
            items,
            topics: mem::take(&mut self.topics_dirty),
            remove: mem::take(&mut self.removals),
        };
        let named = job.items.iter().filter(|item| item.dirty.names);
        self.in_flight = InFlight {
            topics: job.topics,
            partitions: named.map(|item| (item.dirty.partition.slot(), item.dirty.created)).collect(),
        };
        self.direct_bytes = 0;
        self.relaxed_records = 0;
        self.checkpointing = true;
        self.shared.syncer.give(job);
    }

    fn end_checkpoint(&mut self, outcome: Outcome) {
        self.checkpointing = false;
        self.in_flight = InFlight::default();
        let result = match outcome {
            Ok(entry) => {
                self.journal.release(entry);
                Ok(())
            }
            Err((error, job)) => {
                self.topics_dirty |= job.topics;
                self.removals.extend(job.remove);
                for item in job.items {
                    if item.producers.is_some() {
                        item.dirty.partition.touch_producers();
                    }
                    let partition = item.dirty.partition.clone();
                    if partition.is_deleted() {
                        continue;
                    }
                    let dirty = self.dirty.entry(partition.slot()).or_insert_with(|| Dirty::new(partition));
                    for (base, file) in &item.dirty.segments {
                        dirty.add(*base, file);
                    }
                    dirty.names |= item.dirty.names;
                    dirty.created |= item.dirty.created;
                    dirty.suspect |= item.dirty.suspect;
                }
                self.due = Some(Instant::now() + RETRY);
                Err(error)
            }
        };
        // A request that came during the checkpoint asks for a later one.
        if self.due.is_none_or(|due| due > Instant::now()) || result.is_err() {
            for waiter in self.waiters.drain(..) {
                let _ = waiter.send(result.clone());
            }
        }
    }

    /// Ends everything: the last checkpoint, so that the next start has nothing to do.
    fn finish(&mut self, reply: Reply<()>) {
        let mut result = Ok(());
        for command in self.shared.context.queue.close() {
            if let Command::Append(mut pending) = command {
                pending.answer(Err(LogError::Closed));
            }
        }
        if self.checkpointing {
            let outcome = self.shared.syncer.outcome();
            self.end_checkpoint(outcome);
        }
        self.start_checkpoint();
        let outcome = self.shared.syncer.outcome();
        if let Err((error, _)) = &outcome {
            result = Err(error.clone());
        }
        self.end_checkpoint(outcome);
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(result.clone());
        }
        self.shared.syncer.close();
        let _ = reply.send(result);
    }
}

/// Takes parts back, the last one first.
fn unstage(parts: Vec<Staged>) {
    for part in parts.into_iter().rev() {
        if let Some(written) = part.written {
            part.partition.unstage(written);
        }
    }
}

/// Takes all appends back, and gives them in their order.
fn take_back_all(staged: Vec<StagedAppend>) -> Vec<Pending> {
    let mut pendings = Vec::with_capacity(staged.len());
    for append in staged.into_iter().rev() {
        unstage(append.parts);
        pendings.push(append.pending);
    }
    pendings.reverse();
    pendings
}

fn answer_all(pendings: Vec<Pending>, error: &LogError) {
    for mut pending in pendings {
        pending.answer(Err(error.clone()));
    }
}

/// From which length on a part goes directly to its segment: what is left of the append must fit the journal.
fn direct_bytes_min(pending: &Pending, wanted: usize, journal_max: usize) -> usize {
    let mut least = wanted;
    loop {
        let lengths = pending.parts.iter().map(|(_, append)| append.batches.len());
        let inline: usize = lengths.filter(|length| *length < least).map(|length| length + PART_HEADER_BYTES).sum();
        if inline <= journal_max / 2 || least == 0 {
            return least;
        }
        least /= 2;
    }
}
