//! The records of a batch held against what their topic asks of each: a key where it is compacted, a time stamp within its bounds. Codes and words
//! are those of Kafka's `LogValidator`, for clients show them, and take the numbers to tell the bad records of a batch from the good.

use std::fmt::Write;

use bytes::Bytes;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::produce::BatchIndexAndErrorMessage;
use millstream_protocol::records::{BatchError, BatchHeader, Record, decode_checked};

use super::Refusal;
use crate::topics::Topic;
use crate::unpacking::Unpacking;

/// Most records that an answer names, since a small compressed batch can hold millions of them. All are counted.
const NAMED_MAX: usize = 10_000;
/// Records that the words for the whole batch name.
const SHOWN: usize = 3;
/// A record without a time stamp: no bound is asked of it.
const NO_TIMESTAMP: i64 = -1;

/// What a topic asks of each record.
struct Rules<'a> {
    topic: &'a Topic,
    partition: i32,
    /// Earliest and latest time stamp; nothing if the log gives the time.
    timestamps: Option<(i64, i64)>,
}

/// Checks each record, if the topic asks something of them: otherwise a batch stays closed. So does one whose header says that no record is later
/// than it may be, where nothing else is asked, as by default: retention and the search by time go by the header, too. `header` is that of the
/// batch in `records`, whose CRC was checked.
pub(super) fn check(
    topic: &Topic,
    partition: i32,
    header: &BatchHeader,
    records: &Bytes,
    now_ms: i64,
    unpacking: &Unpacking,
) -> Result<(), Refusal> {
    let is_bounded = topic.timestamp_before_max_ms < i64::MAX || topic.timestamp_after_max_ms < i64::MAX;
    let timestamps = (is_bounded && !topic.log_append_time).then(|| {
        (now_ms.saturating_sub(topic.timestamp_before_max_ms), now_ms.saturating_add(topic.timestamp_after_max_ms))
    });
    let says_enough = |(_, latest)| topic.timestamp_before_max_ms == i64::MAX && header.max_timestamp <= latest;
    if !topic.compacts && timestamps.is_none_or(says_enough) {
        return Ok(());
    }
    let rules = Rules { topic, partition, timestamps };
    let looked = unpacking.look(topic.batch_bytes_max, |scratch| {
        let mut bad = Bad::default();
        for (number, record) in (0..).zip(decode_checked(header, records, scratch)?) {
            let record = record?;
            // Compaction goes by offsets, so each record needs one of its own.
            if topic.compacts && record.offset != header.base_offset.wrapping_add(i64::from(number)) {
                return Ok(Err(format!("record {number} of the batch says that it is another one")));
            }
            if let Some((code, why)) = rules.against(&record) {
                bad.add(number, code, why);
            }
        }
        Ok(Ok(bad))
    });
    match looked.map_err(|error: BatchError| Refusal::new(error.error_code(), &error))? {
        Ok(bad) => bad.refusal(),
        Err(why) => Err(Refusal::new(ErrorCode::InvalidRecord, &why)),
    }
}

impl Rules<'_> {
    fn against(&self, record: &Record<'_>) -> Option<(ErrorCode, String)> {
        if self.topic.compacts && record.key.is_none() {
            let (name, partition) = (&self.topic.name, self.partition);
            let why =
                format!("Compacted topic cannot accept message without key in topic partition {name}-{partition}");
            return Some((ErrorCode::InvalidRecord, why));
        }
        let (earliest, latest) = self.timestamps?;
        if record.timestamp == NO_TIMESTAMP || (earliest..=latest).contains(&record.timestamp) {
            return None;
        }
        let why = format!(
            "Timestamp {} of message with offset {} is out of range. The timestamp should be within [{earliest}, {latest}]",
            record.timestamp, record.offset
        );
        Some((ErrorCode::InvalidTimestamp, why))
    }
}

/// The records that were refused.
#[derive(Default)]
struct Bad {
    count: usize,
    named: Vec<BatchIndexAndErrorMessage>,
    has_timestamp: bool,
}

impl Bad {
    fn add(&mut self, number: i32, code: ErrorCode, why: String) {
        self.count += 1;
        self.has_timestamp |= code == ErrorCode::InvalidTimestamp;
        if self.named.len() < NAMED_MAX {
            self.named.push(BatchIndexAndErrorMessage { batch_index: number, batch_index_error_message: Some(why) });
        }
    }

    /// One bad time stamp makes that the code of the batch.
    fn refusal(self) -> Result<(), Refusal> {
        if self.count == 0 {
            return Ok(());
        }
        let (code, words) = match self.has_timestamp {
            true => {
                (ErrorCode::InvalidTimestamp, "One or more records have been rejected due to invalid timestamp".into())
            }
            false => (ErrorCode::InvalidRecord, self.words()),
        };
        Err(Refusal { words: Some(words), records: self.named, ..Refusal::bare(code) })
    }

    fn words(&self) -> String {
        let mut words = format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [",
            self.count
        );
        for (index, one) in self.named.iter().take(SHOWN).enumerate() {
            let (before, why) = (if index > 0 { ", " } else { "" }, one.batch_index_error_message.as_deref());
            let (number, why) = (one.batch_index, why.unwrap_or_default());
            write!(words, "{before}RecordError(batchIndex={number}, message='{why}')")
                .expect("a text takes what is written");
        }
        words.push(']');
        words
    }
}
