//! Finding offsets by time stamp.

use std::cmp::Reverse;

use millstream_protocol::records::{self, BatchHeader, Scratch};

use super::read::View;
use super::{Partition, TimestampOffset};
use crate::LogError;
use crate::scan::{Depth, Scan};

impl Partition {
    /// The first record whose time stamp is at or after `timestamp_ms`, among the visible ones. Opens one batch.
    ///
    /// # Errors
    /// The file system's, or [`LogError::Corrupt`] if the batch cannot be opened.
    pub fn offset_for_timestamp(&self, timestamp_ms: i64) -> Result<Option<TimestampOffset>, LogError> {
        let _layout = self.layout.read();
        let log_start = self.log_start_offset();
        for view in self.views() {
            if self.max_timestamp_in(view.base_offset)? < timestamp_ms {
                continue;
            }
            let (file, start) = self.seek_entry(view, |entry| entry.max_timestamp_before < timestamp_ms)?;
            let mut scan = Scan::new(&*file, start, view.size, Depth::Header);
            while let Some((position, header)) =
                scan.next().map_err(|error| self.scan_error(view.base_offset, error))?
            {
                if header.max_timestamp < timestamp_ms || header.next_offset() <= log_start {
                    continue;
                }
                let path = self.log_path(view.base_offset);
                let batch = scan.batch(position, &header).map_err(|error| LogError::io("read", &path, &error))?;
                let found =
                    first_record(&header, &batch, |offset, timestamp| timestamp >= timestamp_ms && offset >= log_start)
                        .map_err(|error| LogError::Corrupt { path, position, reason: error.to_string() })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// The record with the largest time stamp (the first of them), among the visible ones.
    ///
    /// # Errors
    /// As [`Partition::offset_for_timestamp`].
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampOffset>, LogError> {
        let mut largest = -1;
        {
            let _layout = self.layout.read();
            for view in self.views() {
                largest = largest.max(self.max_timestamp_in(view.base_offset)?);
            }
        }
        if largest < 0 {
            return Ok(None);
        }
        let found = self.offset_for_timestamp(largest)?;
        if found.is_some() {
            return Ok(found);
        }
        // The largest is of a record before the log's start, or of a batch that compaction has emptied.
        let largest = self.largest_timestamp_walked()?;
        if largest < 0 { Ok(None) } else { self.offset_for_timestamp(largest) }
    }

    /// Largest time stamp of the records from the log's start on, by the batches themselves; -1 if there is none.
    fn largest_timestamp_walked(&self) -> Result<i64, LogError> {
        let _layout = self.layout.read();
        let log_start = self.log_start_offset();
        let mut views = Vec::new();
        for view in self.views() {
            views.push((self.max_timestamp_in(view.base_offset)?, view));
        }
        views.sort_by_key(|(most, _)| Reverse(*most));
        let mut largest = -1;
        for (most, view) in views {
            if most <= largest {
                break;
            }
            let (file, start) = self.seek(view, log_start)?;
            let mut scan = Scan::new(&*file, start, view.size, Depth::Header);
            while let Some((position, header)) =
                scan.next().map_err(|error| self.scan_error(view.base_offset, error))?
            {
                let may_be_larger = header.record_count > 0 && header.max_timestamp > largest;
                if !may_be_larger || header.next_offset() <= log_start {
                    continue;
                }
                if header.base_offset >= log_start {
                    largest = header.max_timestamp;
                    continue;
                }
                let path = self.log_path(view.base_offset);
                let batch = scan.batch(position, &header).map_err(|error| LogError::io("read", &path, &error))?;
                first_record(&header, &batch, |offset, timestamp| {
                    largest = largest.max(if offset >= log_start { timestamp } else { -1 });
                    false
                })
                .map_err(|error| LogError::Corrupt { path, position, reason: error.to_string() })?;
            }
        }
        Ok(largest)
    }

    /// Segments with records at or after the log's start.
    fn views(&self) -> Vec<View> {
        let state = self.state.read();
        let ends = state.segments.iter().skip(1).map(|segment| segment.base_offset).chain([i64::MAX]);
        let live = state.segments.iter().zip(ends).filter(|(segment, end)| *end > state.log_start && segment.size > 0);
        live.map(|(segment, _)| View { base_offset: segment.base_offset, size: segment.size }).collect()
    }

    /// The time that a segment's age counts from: its largest time stamp, or as in Kafka, if there is none, when it was last written to.
    pub(crate) fn newest_ms(&self, base_offset: i64) -> Result<i64, LogError> {
        let _layout = self.layout.read();
        let largest = self.max_timestamp_in(base_offset)?;
        if largest >= 0 {
            return Ok(largest);
        }
        let path = self.log_path(base_offset);
        self.context.files.modified_ms(&path).map_err(|error| LogError::io("look at", &path, &error))
    }

    /// Largest time stamp in a segment; -1 if there is none.
    fn max_timestamp_in(&self, base_offset: i64) -> Result<i64, LogError> {
        self.ensure_derived(base_offset)?;
        let state = self.state.read();
        let derived = state.segment(base_offset).and_then(|segment| segment.derived.as_ref());
        Ok(derived.map_or(-1, |derived| derived.stamps.max_timestamp))
    }
}

fn first_record(
    header: &BatchHeader,
    batch: &[u8],
    mut wanted: impl FnMut(i64, i64) -> bool,
) -> Result<Option<TimestampOffset>, records::BatchError> {
    let mut scratch = Scratch::default();
    for record in records::decode_batch(batch, &mut scratch)? {
        let record = record?;
        if wanted(record.offset, record.timestamp) {
            let leader_epoch = header.partition_leader_epoch;
            return Ok(Some(TimestampOffset { offset: record.offset, timestamp_ms: record.timestamp, leader_epoch }));
        }
    }
    Ok(None)
}
