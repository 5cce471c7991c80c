//! The way of a group of appends: staged, journaled, published; or taken back.

use std::mem;
use std::time::Instant;

use bytes::Bytes;

use super::Writer;
use super::direct::is_headless;
use crate::journal::{CommitError, EntryBuilder, HEAD_BYTES, PART_HEADER_BYTES};
use crate::partition::{Payload, Staged, Way};
use crate::queue::Pending;
use crate::syncer::Dirty;
use crate::{Ack, LogError};

/// Bytes written past the journal between two checkpoints, at most about: recovery has to walk them.
const DIRECT_BYTES_MAX: u64 = 256 << 20;

/// The same of relaxed topics, whose syncs are not to be many.
const RELAXED_BYTES_MAX: u64 = 1 << 30;

/// Bytes that a change to a partition takes in the journal, about.
const META_BYTES: usize = 512;

/// An append that is staged.
pub(super) struct StagedAppend {
    pending: Pending,
    entry: EntryBuilder,
    pub(super) parts: Vec<Staged>,
}

impl StagedAppend {
    fn results(&self) -> Vec<crate::AppendedPart> {
        self.parts.iter().map(|part| part.appended).collect()
    }

    /// Whether the journal gets something of it.
    fn is_journaled(&self) -> bool {
        self.parts.iter().any(|part| part.written.as_ref().is_some_and(|written| written.way != Way::Checkpoint))
    }

    /// To be called once the operating system has the group's entries. An append without one waits until the group is published: nothing of
    /// it is lost by a kill then, nor by an error.
    fn answer_written(&mut self) {
        if self.pending.ack == Ack::Written && self.is_journaled() {
            let results = self.results();
            self.pending.answer(Ok(results));
        }
    }
}

impl Writer {
    /// Makes a group durable and visible, or answers why not.
    pub(super) fn commit(&mut self, mut group: Vec<Pending>) {
        while !group.is_empty() {
            if let Err(error) = self.bound_held() {
                answer_all(group, &error);
                return;
            }
            self.settle_headless(&mut group);
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
            let answer = || staged.iter_mut().for_each(StagedAppend::answer_written);
            let result = if journaled.is_empty() { Ok(()) } else { self.write_journal(&mut entries, answer) };
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
        // Room for what waits of partitions themselves.
        let metas_max = (self.metas.len() * META_BYTES).min(journal_max / 4);
        let append_max = journal_max - metas_max;
        let now_ms = self.shared.context.now_ms();
        let mut staged: Vec<StagedAppend> = Vec::with_capacity(group.len());
        let mut journal_bytes = metas_max;
        let (mut held, held_max) = (0, self.round_files_max());
        let mut group = group.into_iter();
        while let Some(mut pending) = group.next() {
            let direct_min = direct_bytes_min(&pending, self.shared.context.options.direct_bytes_min, append_max);
            let inline: usize = pending
                .parts
                .iter()
                .map(|(_, append)| append.batches.len())
                .map(|length| PART_HEADER_BYTES + if length < direct_min { length } else { HEAD_BYTES })
                .sum();
            if (journal_bytes + inline > journal_max || held >= held_max) && !staged.is_empty() {
                return (staged, std::iter::once(pending).chain(group).collect());
            }
            if inline > append_max {
                let partition = pending.parts[0].1.partition.clone();
                let reason = format!("{} partitions in one append are too many", pending.parts.len());
                pending.answer(Err(LogError::InvalidBatches { partition, reason }));
                continue;
            }
            journal_bytes += inline + 64;
            let mut append = StagedAppend { entry: EntryBuilder::append(inline), parts: Vec::new(), pending };
            let (mut failed, mut let_go) = (None, 0);
            for (partition, part) in &append.pending.parts {
                let relaxed = partition.state().read().relaxed;
                let way = match relaxed {
                    true if is_headless(&append.pending, partition) => Way::Headless,
                    true => Way::Checkpoint,
                    false if part.batches.len() >= direct_min => Way::Segment,
                    false => Way::Journal,
                };
                match partition.stage(part, &mut append.entry, way, now_ms) {
                    Ok(part) => append.parts.push(part),
                    Err(error) => failed = Some(error),
                }
                if append.parts.len() - let_go >= held_max {
                    failed = failed.or(self.let_go(&mut append.parts[let_go..]).err());
                    let_go = append.parts.len();
                }
                if failed.is_some() {
                    break;
                }
            }
            held += append.parts.len() - let_go;
            if let Some(error) = failed {
                unstage(append.parts);
                if error.is_retriable() {
                    self.forget_taken_back();
                }
                append.pending.answer(Err(error));
                continue;
            }
            staged.push(append);
        }
        (staged, Vec::new())
    }

    /// `written` is called once the operating system has the entries, before the sync; twice if the first file fails.
    pub(super) fn write_journal(
        &mut self,
        entries: &mut [EntryBuilder],
        written: impl FnMut(),
    ) -> Result<(), CommitError> {
        let began = self.journal.commit(entries, written)?;
        if began && self.journal.is_filling() {
            self.due = Some(Instant::now());
        }
        Ok(())
    }

    /// Makes what is staged visible, all of it before anybody is woken.
    fn publish(&mut self, mut staged: Vec<StagedAppend>, frozen: Vec<Option<Bytes>>) {
        for (append, entry) in staged.iter_mut().zip(&frozen) {
            let alone = append.parts.len() == 1;
            for part in &mut append.parts {
                let Some(written) = &mut part.written else { continue };
                let revealed = part.partition.reveal(written);
                part.partition.commit(written);
                let dirty =
                    self.dirty.entry(part.partition.slot()).or_insert_with(|| Dirty::new(part.partition.clone()));
                if let Err(error) = revealed {
                    tracing::error!(%error, "what the journal has is written again with the next checkpoint");
                    dirty.suspect = true;
                    self.due = Some(Instant::now());
                }
                self.held += written.files().map(|(base, file)| dirty.add(base, file)).sum::<usize>();
                dirty.names |= written.first_in_file;
                if matches!(written.way, Way::Headless | Way::Checkpoint) {
                    self.relaxed_records += written.records;
                    self.relaxed_bytes += written.bytes;
                }
                let bytes = match (&written.payload, entry) {
                    // A small part of a large entry would keep all of it in memory.
                    (Payload::Inline(range), Some(entry)) if alone => entry.slice(range.clone()),
                    (Payload::Inline(range), Some(entry)) => Bytes::copy_from_slice(&entry[range.clone()]),
                    (Payload::Own(bytes), _) => bytes.clone(),
                    (Payload::Inline(_), None) => unreachable!("an inline part has an entry"),
                };
                self.tails.push(&part.partition, part.appended, bytes);
                if self.held > self.shared.context.held_files_max {
                    // What cannot be synced is held on to; the next round is refused then.
                    let _ = self.sync_held();
                }
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
            if part.written.as_ref().is_some_and(|written| matches!(written.way, Way::Headless | Way::Checkpoint)) {
                let config = part.partition.config();
                wait = wait.min(config.flush_ms.unwrap_or(u64::MAX));
                if config.flush_messages.is_some_and(|most| self.relaxed_records >= most) {
                    wait = 0;
                }
            }
        }
        let walk_is_long = self.direct_bytes > DIRECT_BYTES_MAX || self.relaxed_bytes > RELAXED_BYTES_MAX;
        if walk_is_long || self.held > self.shared.context.held_files_max / 2 {
            wait = 0;
        }
        self.due_in_ms(wait);
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
pub(super) fn take_back_all(staged: Vec<StagedAppend>) -> Vec<Pending> {
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
        if inline <= journal_max || least == 0 {
            return least;
        }
        least /= 2;
    }
}
