//! Compaction: of each key the newest record stays (`cleanup.policy=compact`). Only closed, synced segments are touched; offsets stay, so
//! there are gaps between them afterwards.
//!
//! A pass notes the newest offset of each key in the dirty part of the log, then writes all segments up to there anew, small neighbours as
//! one, and puts each new one in the place of the old ones ([`crate::partition`], `compact.rs`).

mod clean;
mod keys;
mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_protocol::records::{BatchError, BatchHeader, Scratch, decode_checked};

use crate::files::FileHandle;
use crate::report::CompactionReport;
use crate::scan::{Depth, Scan};
use crate::segment::{self, Derived, Segment, Stamps};
use crate::{LogError, Partition};

use clean::{Aborted, Cleaner, Fate, Rules};
use keys::Keys;
pub(crate) use keys::keys_in;
pub(crate) use plan::Closed;

/// Bytes of the new segment that are written at a time.
const WRITE_BYTES: usize = 1 << 20;

/// Whether there is something to do at `now_ms`, once all segments are synced.
pub(crate) fn is_wanted(partition: &Partition, now_ms: i64) -> Result<bool, LogError> {
    let (config, stable) = (partition.config(), free_to(partition, now_ms)?);
    let segments = partition.closed_segments(false)?;
    let end = plan::cleanable_to(now_ms, &config, &segments, partition.clean_to(), stable);
    Ok(end.is_some() || partition.swap_is_unfinished())
}

/// Up to where no transaction is open, and no reader holds records to read them again.
fn free_to(partition: &Partition, now_ms: i64) -> Result<i64, LogError> {
    let stable = partition.last_stable_offset()?;
    Ok(partition.first_held(now_ms).map_or(stable, |held| held.min(stable)))
}

/// Compacts a partition as far as its configuration asks for at `now_ms`, until `stop`.
pub(crate) fn compact(
    partition: &Arc<Partition>,
    now_ms: i64,
    keys_max: usize,
    stop: &AtomicBool,
    report: &mut CompactionReport,
) -> Result<(), LogError> {
    let config = partition.config();
    partition.finish_swap()?;
    partition.flush_aborted()?;
    let stable = free_to(partition, now_ms)?;
    let mut done = false;
    while !stop.load(Ordering::Relaxed) {
        let segments = partition.closed_segments(true)?;
        let clean_to = partition.clean_to();
        let Some(end) = plan::cleanable_to(now_ms, &config, &segments, clean_to, stable) else { break };
        let Some((keys, end)) = note_keys(partition, &segments, clean_to, end, keys_max, stop)? else { break };
        let producers = &partition.last_batches(now_ms)?;
        let rules = Rules { keys: &keys, end, producers, now_ms, delete_retention_ms: config.delete_retention_ms };
        let mut cleaner = Cleaner::new(rules);
        for group in plan::groups(&segments, end, config.segment_bytes) {
            let group = &segments[group];
            let offsets = group[0].base_offset..group[group.len() - 1].next_offset;
            cleaner.begin(Aborted::new(&partition.aborted_between(offsets)?));
            let Some(segment) = write_group(partition, group, &mut cleaner, config.index_interval_bytes, stop)? else {
                return Ok(());
            };
            let bytes_after = segment.size;
            if !partition.swap_segments(group, segment)? {
                // The segments are not those any more: another time.
                return Ok(());
            }
            report.bytes_before += group.iter().map(|segment| segment.bytes).sum::<u64>();
            report.bytes_after += bytes_after;
        }
        report.passes += 1;
        partition.forget_aborted(&cleaner.ended)?;
        partition.set_clean_to(end)?;
        report.partitions += usize::from(!std::mem::replace(&mut done, true));
    }
    Ok(())
}

/// The newest offset of each key from `clean_to` to before `end`, or before where there are too many keys. Gives the end. `None`: stopped.
fn note_keys(
    partition: &Partition,
    segments: &[Closed],
    clean_to: i64,
    end: i64,
    keys_max: usize,
    stop: &AtomicBool,
) -> Result<Option<(Keys, i64)>, LogError> {
    // An offset brings at most one key.
    let mut keys = Keys::new(keys_max.min(usize::try_from(end - clean_to).unwrap_or(usize::MAX)).max(1));
    let mut scratch = Scratch::default();
    for segment in segments.iter().filter(|segment| segment.next_offset > clean_to && segment.base_offset < end) {
        let aborted = Aborted::new(&partition.aborted_between(segment.base_offset..segment.next_offset)?);
        let file = partition.log_file(segment.base_offset, false)?;
        let mut scan = Scan::new(&*file, 0, segment.bytes, Depth::Crc);
        while let Some((header, batch)) = next(partition, segment, &mut scan)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if header.next_offset() <= clean_to {
                continue;
            }
            if header.is_control() || aborted.has(&header) {
                continue;
            }
            if !keys.has_room(header.record_count) {
                return Ok(Some((keys, header.base_offset)));
            }
            let mut note = || -> Result<(), BatchError> {
                for record in decode_checked(&header, &batch, &mut scratch)? {
                    let record = record?;
                    if let Some(key) = record.key {
                        keys.note(key, record.offset);
                    }
                }
                Ok(())
            };
            // Its checksum is right, so that is how it was sent: it stays, and nobody can read it.
            let _unreadable = note();
        }
    }
    Ok(Some((keys, end)))
}

/// Writes what stays of the segments into one new file with its index, and syncs both. `None`: stopped.
fn write_group(
    partition: &Partition,
    group: &[Closed],
    cleaner: &mut Cleaner<'_>,
    index_interval_bytes: u32,
    stop: &AtomicBool,
) -> Result<Option<Segment>, LogError> {
    let base_offset = group[0].base_offset;
    let path = partition.cleaned_path(base_offset);
    let index_path = partition.cleaned_index_path(base_offset);
    let files = partition.files();
    let mut write = || -> Result<Option<Segment>, LogError> {
        let failed = |error: std::io::Error| LogError::io("write", &path, &error);
        let new = files.open(&path, true).map_err(failed)?;
        new.set_length(0).map_err(failed)?;
        let (mut size, mut buffer, mut stamps, mut entries) = (0, Vec::new(), Stamps::default(), Vec::new());
        let flush = |buffer: &mut Vec<u8>, size: &mut u64| -> Result<(), LogError> {
            new.write_at(&[buffer], *size).map_err(failed)?;
            *size += buffer.len() as u64;
            buffer.clear();
            Ok(())
        };
        for segment in group {
            let file: Arc<dyn FileHandle> = partition.log_file(segment.base_offset, false)?;
            let mut scan = Scan::new(&*file, 0, segment.bytes, Depth::Crc);
            while let Some((header, batch)) = next(partition, segment, &mut scan)? {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                // What cannot be read, though its checksum is right, was sent like that and stays.
                let fate = cleaner.decide(&header, &batch).unwrap_or(Fate::Keep);
                let (max_timestamp, stays): (i64, &[u8]) = match &fate {
                    Fate::Keep => (header.max_timestamp, &batch[..]),
                    Fate::Become(changed) => {
                        let changed_header = BatchHeader::read(changed).unwrap_or(header);
                        (changed_header.max_timestamp, &changed[..])
                    }
                    Fate::Drop => continue,
                };
                let relative =
                    u32::try_from(header.base_offset - base_offset).expect("a group's offsets fit its index");
                let position = size + buffer.len() as u64;
                entries.extend(stamps.add(relative, position, stays.len() as u64, max_timestamp, index_interval_bytes));
                buffer.extend_from_slice(stays);
                if buffer.len() >= WRITE_BYTES {
                    flush(&mut buffer, &mut size)?;
                }
            }
        }
        flush(&mut buffer, &mut size)?;
        new.sync().map_err(failed)?;
        let failed = |error: std::io::Error| LogError::io("write", &index_path, &error);
        let index = files.open(&index_path, true).map_err(failed)?;
        index.set_length(0).map_err(failed)?;
        segment::write_entries(&*index, 0, &entries).map_err(failed)?;
        index.sync().map_err(failed)?;
        let derived = Derived { flushed: entries.len() as u32, pending: Vec::new(), stamps };
        Ok(Some(Segment { base_offset, size, derived: Some(derived) }))
    };
    let written = write();
    if !matches!(written, Ok(Some(_))) {
        // What stays behind goes at the next start.
        let _ = files.remove_file(&path);
        let _ = files.remove_file(&index_path);
    }
    written
}

fn next(
    partition: &Partition,
    segment: &Closed,
    scan: &mut Scan<'_>,
) -> Result<Option<(BatchHeader, Vec<u8>)>, LogError> {
    let next = scan.next().map_err(|error| partition.scan_error(segment.base_offset, error))?;
    let Some((position, header)) = next else { return Ok(None) };
    let path = || partition.log_path(segment.base_offset);
    let batch = scan.batch(position, &header).map_err(|error| LogError::io("read", &path(), &error))?;
    Ok(Some((header, batch)))
}
