//! The small files that say what a folder is: `LOCK`, `meta.json`, and `partition.json` in each partition's folder.

use std::any::Any;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkpoint::{read_file, replace};
use crate::files::Files;
use crate::{LogError, TopicPartition};

/// Version of the folder's whole format. A change that an older version cannot read raises it.
const FORMAT_VERSION: u32 = 2;
const META: &str = "meta.json";
const PARTITION: &str = "partition.json";

/// The guard of the folder's lock.
pub(crate) type Lock = Box<dyn Any + Send + Sync>;

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    format_version: u32,
    cluster_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartitionMeta {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) topic_id: Uuid,
    pub(crate) slot: u32,
}

impl PartitionMeta {
    pub(crate) fn name(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }

    pub(crate) fn write(&self, files: &dyn Files, dir: &Path) -> Result<(), LogError> {
        let json = serde_json::to_vec_pretty(self).expect("plain data becomes JSON");
        let path = dir.join(PARTITION);
        let write = || {
            let file = files.open(&path, true)?;
            file.set_length(0)?;
            file.write_at(&[&json], 0)
        };
        write().map_err(|error| LogError::io("write", &path, &error))
    }

    /// `None` if it is not there or not whole.
    pub(crate) fn read(files: &dyn Files, dir: &Path) -> Result<Option<PartitionMeta>, LogError> {
        Ok(read_file(files, &dir.join(PARTITION))?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(crate) fn path(dir: &Path) -> std::path::PathBuf {
        dir.join(PARTITION)
    }
}

/// Locks the folder, which must be there, and leaves this process's number in it.
pub(crate) fn lock(files: &dyn Files, dir: &Path) -> Result<Lock, LogError> {
    let path = dir.join("LOCK");
    let failed = |error: &std::io::Error| LogError::io("lock", &path, error);
    match files.lock(&path).map_err(|error| failed(&error))? {
        Some(lock) => {
            let note = || {
                let file = files.open(&path, true)?;
                file.set_length(0)?;
                file.write_at(&[format!("{}\n", std::process::id()).as_bytes()], 0)
            };
            // The number is only for the words of another process's refusal; on a full disk it may be missing.
            let _ = note();
            Ok(lock)
        }
        None => {
            let text = read_file(files, &path).ok().flatten().unwrap_or_default();
            let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            Err(LogError::Locked { dir: dir.to_owned(), pid })
        }
    }
}

/// Whether the folder was made before.
pub(crate) fn is_there(files: &dyn Files, dir: &Path) -> Result<bool, LogError> {
    Ok(read_file(files, &dir.join(META))?.is_some())
}

/// The folder's cluster id, made when the folder is new; and whether it was. A folder of an older format is of this one from here on.
pub(crate) fn cluster_id(files: &dyn Files, dir: &Path) -> Result<(String, bool), LogError> {
    let path = dir.join(META);
    let Some(bytes) = read_file(files, &path)? else {
        let meta = Meta { format_version: FORMAT_VERSION, cluster_id: base64(Uuid::new_v4().as_bytes()) };
        replace(files, dir, META, &serde_json::to_vec_pretty(&meta).expect("plain data becomes JSON"), true)?;
        return Ok((meta.cluster_id, true));
    };
    let mut meta: Meta = serde_json::from_slice(&bytes).map_err(|error| LogError::Corrupt {
        path: path.clone(),
        position: 0,
        reason: error.to_string(),
    })?;
    if meta.format_version > FORMAT_VERSION {
        return Err(LogError::Format { path, found: meta.format_version, supported: FORMAT_VERSION });
    }
    if meta.format_version < FORMAT_VERSION {
        meta.format_version = FORMAT_VERSION;
        replace(files, dir, META, &serde_json::to_vec_pretty(&meta).expect("plain data becomes JSON"), true)?;
    }
    Ok((meta.cluster_id, false))
}

/// A UUID as Kafka writes it: base64 for URLs, 22 characters.
fn base64(bytes: &[u8; 16]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits are 21 digits of 6 and one of 2, which stand at its upper end.
    let number = u128::from_be_bytes(*bytes);
    let digit = |i: u32| if i < 21 { (number >> (122 - 6 * i)) & 63 } else { (number & 3) << 4 };
    (0..22).map(|i| char::from(DIGITS[digit(i) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_written_as_kafka_does() {
        assert_eq!(base64(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64(&[0xff; 16]), "_____________________w");
        assert_eq!(base64(b"0123456789abcdef"), "MDEyMzQ1Njc4OWFiY2RlZg");
    }
}
