//! The file `checkpoint`: up to where everything is known to be synced. Recovery begins there.
//!
//! ```text
//! millstream-checkpoint 1
//! next-entry 1234
//! next-slot 17
//! partition SLOT TOPIC PARTITION TOPIC_ID MODE LOG_START SEGMENT POSITION NEXT_OFFSET PRODUCERS PRODUCERS_NEXT
//! crc 0123abcd
//! ```
//! Before journal entry `next-entry` nothing of the journal is needed. A partition's line says: its mode (`durable`, or `relaxed`: not in
//! the journal), its log start offset, the base offset of its last segment, that segment's synced length, the offset after the
//! last record in it, the offset in the name of the file with the producers' state (`-`: there were no producers), and the offset from
//! which on batches are to be added to that state. The CRC32C is over all lines before its own. The file is replaced by a rename.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::files::{FileHandle, Files};
use crate::{LogError, TopicPartition};

const NAME: &str = "checkpoint";
const VERSION: u32 = 1;
/// Bytes by which, beside a quarter, a checkpoint may be longer than the one before without asking the disk for more space.
const RESERVE: u64 = 64 << 10;

/// Up to where a partition is known to be synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RecoveryPoint {
    pub(crate) segment: i64,
    pub(crate) position: u64,
    pub(crate) next_offset: i64,
    /// The file of the producers' state, if there were any.
    pub(crate) producers: Option<i64>,
    /// Up to where that state is known.
    pub(crate) producers_next: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionLine {
    pub(crate) slot: u32,
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Uuid,
    pub(crate) relaxed: bool,
    pub(crate) log_start: i64,
    pub(crate) point: RecoveryPoint,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    pub(crate) next_entry: u64,
    pub(crate) next_slot: u32,
    pub(crate) partitions: Vec<PartitionLine>,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> String {
        let mut text =
            format!("millstream-checkpoint {VERSION}\nnext-entry {}\nnext-slot {}\n", self.next_entry, self.next_slot);
        for line in &self.partitions {
            let mode = if line.relaxed { "relaxed" } else { "durable" };
            let producers = line.point.producers.map_or("-".to_owned(), |offset| offset.to_string());
            let RecoveryPoint { segment, position, next_offset, producers_next, .. } = line.point;
            let _ = writeln!(
                text,
                "partition {} {} {} {} {mode} {} {segment} {position} {next_offset} {producers} {producers_next}",
                line.slot, line.partition.topic, line.partition.partition, line.topic_id, line.log_start,
            );
        }
        let _ = writeln!(text, "crc {:08x}", crc_fast::crc32_iscsi(text.as_bytes()));
        text
    }

    /// `None` if it is damaged.
    pub(crate) fn decode(text: &str) -> Option<Checkpoint> {
        let (body, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let body = &text[..=body.len()];
        if u32::from_str_radix(crc.strip_prefix("crc ")?, 16).ok()? != crc_fast::crc32_iscsi(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        (lines.next()? == format!("millstream-checkpoint {VERSION}")).then_some(())?;
        let mut checkpoint = Checkpoint {
            next_entry: lines.next()?.strip_prefix("next-entry ")?.parse().ok()?,
            next_slot: lines.next()?.strip_prefix("next-slot ")?.parse().ok()?,
            partitions: Vec::new(),
        };
        for line in lines {
            let mut words = line.strip_prefix("partition ")?.split(' ');
            let mut word = || words.next();
            checkpoint.partitions.push(PartitionLine {
                slot: word()?.parse().ok()?,
                partition: TopicPartition::new(word()?, word()?.parse().ok()?),
                topic_id: word()?.parse().ok()?,
                relaxed: match word()? {
                    "durable" => false,
                    "relaxed" => true,
                    _ => return None,
                },
                log_start: word()?.parse().ok()?,
                point: RecoveryPoint {
                    segment: word()?.parse().ok()?,
                    position: word()?.parse().ok()?,
                    next_offset: word()?.parse().ok()?,
                    producers: match word()? {
                        "-" => None,
                        offset => Some(offset.parse().ok()?),
                    },
                    producers_next: word()?.parse().ok()?,
                },
            });
        }
        Some(checkpoint)
    }

    /// Puts the file in place. Gives its length.
    pub(crate) fn write(&self, files: &dyn Files, dir: &Path) -> Result<u64, LogError> {
        let text = self.encode();
        replace(files, dir, NAME, text.as_bytes(), true)?;
        Ok(text.len() as u64)
    }

    /// Keeps space for the one after a checkpoint of `length` bytes: it may be what lets a full disk have its space back.
    pub(crate) fn reserve(files: &dyn Files, dir: &Path, length: u64) {
        let allocate = |file: Arc<dyn FileHandle>| file.allocate(length * 5 / 4 + RESERVE);
        // Where there is none, the next one has to find it.
        let _ = files.open(&dir.join(format!("{NAME}.new")), true).and_then(allocate);
    }

    /// The folder's checkpoint; `Ok(None)` if there is none, `Ok(Some(None))` if it is damaged.
    pub(crate) fn read(files: &dyn Files, dir: &Path) -> Result<Option<Option<Checkpoint>>, LogError> {
        let bytes = read_file(files, &dir.join(NAME))?;
        Ok(bytes.map(|bytes| Checkpoint::decode(std::str::from_utf8(&bytes).ok()?)))
    }
}

/// Writes a file under a name of its own and then renames it, so that a reader finds the old or the new one whole.
pub(crate) fn replace(files: &dyn Files, dir: &Path, name: &str, bytes: &[u8], durable: bool) -> Result<(), LogError> {
    let path = dir.join(name);
    let new = dir.join(format!("{name}.new"));
    let result = (|| {
        let file = files.open(&new, true)?;
        // Over what may be there already, which has its space.
        file.write_at(&[bytes], 0)?;
        file.set_length(bytes.len() as u64)?;
        if durable {
            file.sync()?;
        }
        files.rename(&new, &path)?;
        if durable { files.sync_dir(dir) } else { Ok(()) }
    })();
    result.map_err(|error| LogError::io("write", &path, &error))
}

/// A whole small file; `None` if it is not there.
pub(crate) fn read_file(files: &dyn Files, path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    let read = || {
        let file = files.open(path, false)?;
        let mut bytes = Vec::new();
        file.read_at(&mut bytes, file.length()? as usize, 0)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if std::io::Error::kind(&error) == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("read", path, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Checkpoint {
        let line = |slot, relaxed, producers| PartitionLine {
            slot,
            partition: TopicPartition::new("a.b_c-d", 7),
            topic_id: Uuid::from_u128(u128::from(slot)),
            relaxed,
            log_start: 5,
            point: RecoveryPoint { segment: 100, position: 4711, next_offset: 200, producers, producers_next: 190 },
        };
        Checkpoint { next_entry: 42, next_slot: 9, partitions: vec![line(0, false, None), line(8, true, Some(150))] }
    }

    #[test]
    fn a_checkpoint_survives_its_text() {
        assert_eq!(Checkpoint::decode(&example().encode()), Some(example()));
        assert_eq!(Checkpoint::decode(&Checkpoint::default().encode()), Some(Checkpoint::default()));
    }

    #[test]
    fn a_cut_or_changed_checkpoint_is_refused() {
        let text = example().encode();
        for length in 0..text.len() {
            assert_eq!(Checkpoint::decode(&text[..length]), None, "cut at {length}");
        }
        assert_eq!(Checkpoint::decode(&text.replace("4711", "4712")), None);
    }
}
