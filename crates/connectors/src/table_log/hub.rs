//! What flows, followers and the page share of one table: its topic, its newest rows, and when old rows may go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_protocol::records::batches;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::reader::{ReadError, TableReader};
use super::topics::{table_spec, table_topic};
use crate::embedded::{EmbeddedError, EmbeddedLog};

/// Rows kept in memory for the page.
const TAIL_ROWS: usize = 5_000;
/// Records at the log's end that are read first for the tail when a table is opened.
const TAIL_RECORDS: i64 = 8;
/// Bytes of the log that are read at once for the tail.
const TAIL_BYTES: usize = 256 << 10;
/// How long rows stay after all followers have passed.
const KEEP_MS: i64 = 60 * 60 * 1000;
/// Bytes that stay at most after all followers have passed.
const KEEP_BYTES: u64 = 256 << 20;
/// Distance of the places where the log may be cut.
const MARK_BYTES: u64 = 4 << 20;
/// The same by time.
const MARK_MS: i64 = 60 * 1000;
/// Bytes read at once to find places to cut in what an earlier process wrote.
const SCAN_BYTES: usize = 4 << 20;

/// One table's log and all that is known of it in this process.
pub struct TableHub {
    table: String,
    schema: SchemaRef,
    log: Arc<dyn EmbeddedLog>,
    tail: TableTail,
    retention: Mutex<Retention>,
}

#[derive(Default)]
struct Retention {
    /// Offsets that followers have passed; none for one that has not told yet.
    followers: BTreeMap<String, Option<i64>>,
    marks: VecDeque<Mark>,
    /// Up to where the log of an earlier process has been looked through, and its end.
    scanned: i64,
    scan_to: i64,
}

/// A place where the log may be cut.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Offset after the last record before it.
    end: i64,
    /// Bytes since the mark before.
    bytes: u64,
    /// Time of its first record, ms since 1970.
    begun_ms: i64,
}

impl TableHub {
    /// Makes the table's topic if it is not there and reads its newest rows.
    pub async fn open(log: Arc<dyn EmbeddedLog>, table: &str, schema: SchemaRef) -> Result<Arc<Self>, ReadError> {
        log.ensure_topic(&table_topic(table), table_spec()).await?;
        let offsets = log.offsets(&table_topic(table), 0)?;
        let hub = Self {
            table: table.to_owned(),
            schema,
            log,
            tail: TableTail::new(TAIL_ROWS),
            retention: Mutex::new(Retention {
                scanned: offsets.log_start,
                scan_to: offsets.high_watermark,
                ..Retention::default()
            }),
        };
        hub.load_tail(offsets.log_start, offsets.high_watermark).await?;
        Ok(Arc::new(hub))
    }

    /// Reads backwards, a longer piece each time, until there are rows enough: how many a record holds is not known before.
    async fn load_tail(&self, log_start: i64, end: i64) -> Result<(), ReadError> {
        let reader = self.reader();
        let (mut pieces, mut rows, mut records, mut to) = (Vec::new(), 0, TAIL_RECORDS, end);
        while to > log_start && rows < TAIL_ROWS {
            let from = log_start.max(to - records);
            let mut piece = Vec::new();
            let mut next = from;
            while next < to {
                let chunk = reader.read(next, to, TAIL_BYTES).await?;
                if chunk.next_offset == next {
                    break;
                }
                next = chunk.next_offset;
                rows += chunk.rows();
                piece.extend(chunk.batches);
            }
            pieces.push(piece);
            (records, to) = (records * 2, from);
        }
        // A table whose columns changed shows its new rows only.
        let same = |batch: &RecordBatch| batch.schema_ref().fields() == self.schema.fields();
        self.tail.push(pieces.into_iter().rev().flatten().filter(same));
        Ok(())
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table's columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The log it lies in.
    pub fn log(&self) -> &Arc<dyn EmbeddedLog> {
        &self.log
    }

    /// A reader of its rows.
    pub fn reader(&self) -> TableReader {
        TableReader::new(Arc::clone(&self.log), &self.table)
    }

    /// Its newest rows.
    pub fn tail(&self) -> &TableTail {
        &self.tail
    }

    /// Names a follower, before the first [`TableHub::prune`]: rows stay until it has passed them.
    pub fn expect_follower(&self, name: &str) {
        self.retention.lock().followers.entry(name.to_owned()).or_insert(None);
    }

    /// A follower needs nothing before `offset` any more.
    pub fn passed(&self, follower: &str, offset: i64) {
        self.retention.lock().followers.insert(follower.to_owned(), Some(offset));
    }

    /// Where a follower is, as far as it has told.
    pub fn follower(&self, name: &str) -> Option<i64> {
        self.retention.lock().followers.get(name).copied().flatten()
    }

    /// Rows were appended; called by the flows that do.
    pub(super) fn appended(&self, rows: Vec<RecordBatch>, end: i64, bytes: u64, now_ms: i64) {
        self.tail.push(rows);
        self.retention.lock().note(end, bytes, now_ms);
    }

    /// Forgets rows that every follower has passed and that are older than an hour or more than 256 MB behind. Cheap when there is
    /// nothing to do; to be called once a minute or so.
    pub async fn prune(&self, now_ms: i64) -> Result<(), EmbeddedError> {
        self.scan().await?;
        let before = self.retention.lock().cut(now_ms);
        match before {
            Some(before) => self.log.delete_records(&table_topic(&self.table), 0, before).await,
            None => Ok(()),
        }
    }

    /// Finds places to cut in what an earlier process wrote.
    async fn scan(&self) -> Result<(), EmbeddedError> {
        let topic = table_topic(&self.table);
        let mut found = VecDeque::new();
        loop {
            let (at, to) = {
                let retention = self.retention.lock();
                (retention.scanned, retention.scan_to)
            };
            if at >= to {
                break;
            }
            let bytes = self.log.read(&topic, 0, at, SCAN_BYTES).await?;
            let mut next = at;
            for (header, batch) in batches(&bytes).flatten() {
                next = header.base_offset + i64::from(header.last_offset_delta) + 1;
                add_mark(&mut found, next, batch.len() as u64, header.max_timestamp);
            }
            self.retention.lock().scanned = if next > at { next.min(to) } else { to };
        }
        if !found.is_empty() {
            let mut retention = self.retention.lock();
            found.append(&mut retention.marks);
            retention.marks = found;
        }
        Ok(())
    }
}

fn add_mark(marks: &mut VecDeque<Mark>, end: i64, bytes: u64, at_ms: i64) {
    match marks.back_mut() {
        Some(last) if last.bytes < MARK_BYTES && at_ms - last.begun_ms < MARK_MS => {
            last.end = last.end.max(end);
            last.bytes += bytes;
        }
        _ => marks.push_back(Mark { end, bytes, begun_ms: at_ms }),
    }
}

impl Retention {
    fn note(&mut self, end: i64, bytes: u64, now_ms: i64) {
        add_mark(&mut self.marks, end, bytes, now_ms);
    }

    /// Offset before which nothing is needed; takes the marks before it away.
    fn cut(&mut self, now_ms: i64) -> Option<i64> {
        let passed = self.followers.values().copied().min().unwrap_or(Some(i64::MAX))?;
        let mut total: u64 = self.marks.iter().map(|m| m.bytes).sum();
        let mut before = None;
        while let Some(first) = self.marks.front().copied() {
            let old = now_ms - first.begun_ms > KEEP_MS + MARK_MS;
            // The last mark is still being filled.
            if self.marks.len() < 2 || first.end > passed || !(old || total > KEEP_BYTES) {
                break;
            }
            total -= first.bytes;
            before = Some(first.end);
            self.marks.pop_front();
        }
        before
    }
}

/// The newest rows of a table, in memory.
pub struct TableTail {
    rows_max: usize,
    ring: Mutex<Ring>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    batches: VecDeque<RecordBatch>,
    rows: usize,
}

impl TableTail {
    /// Keeps about `rows_max` rows.
    pub fn new(rows_max: usize) -> Self {
        Self { rows_max, ring: Mutex::default(), changed: watch::Sender::new(0) }
    }

    fn push(&self, batches: impl IntoIterator<Item = RecordBatch>) {
        let mut ring = self.ring.lock();
        let mut added = 0;
        for batch in batches {
            let keep = batch.num_rows().min(self.rows_max);
            added += batch.num_rows() as u64;
            if keep == 0 {
                continue;
            }
            // A small copy of its own, so that a few rows do not hold a large batch in memory.
            let newest = batch.slice(batch.num_rows() - keep, keep);
            let newest = if keep < batch.num_rows() { compact(&newest).unwrap_or(newest) } else { newest };
            ring.rows += keep;
            ring.batches.push_back(newest);
            while ring.batches.front().is_some_and(|first| ring.rows - first.num_rows() >= self.rows_max) {
                let first = ring.batches.pop_front().map_or(0, |first| first.num_rows());
                ring.rows -= first;
            }
        }
        drop(ring);
        if added > 0 {
            self.changed.send_modify(|total| *total += added);
        }
    }

    /// The newest rows, at most `limit`, oldest first.
    pub fn newest(&self, limit: usize) -> Vec<RecordBatch> {
        let ring = self.ring.lock();
        let mut left = limit;
        let mut out = Vec::new();
        for batch in ring.batches.iter().rev() {
            if left == 0 {
                break;
            }
            let keep = batch.num_rows().min(left);
            out.push(batch.slice(batch.num_rows() - keep, keep));
            left -= keep;
        }
        out.reverse();
        out
    }

    /// Counts the rows that came; changes when there are new ones.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// A copy that holds no more memory than its rows need.
pub(super) fn compact(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = u32::try_from(batch.num_rows()).expect("a batch has fewer than 2^32 rows");
    let all = arrow::array::UInt32Array::from_iter_values(0..rows);
    arrow::compute::take_record_batch(batch, &all)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn batch(from: i64, count: i64) -> RecordBatch {
        let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
        RecordBatch::try_from_iter([("n", n)]).unwrap()
    }

    #[test]
    fn the_tail_holds_the_newest_rows() {
        let tail = TableTail::new(5);
        let watch = tail.watch();
        tail.push([batch(0, 3)]);
        tail.push([batch(3, 3), batch(6, 1)]);
        let rows = |limit| -> Vec<i64> {
            tail.newest(limit).iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
        };
        assert_eq!(rows(4), [3, 4, 5, 6]);
        assert!(rows(100).len() <= 7);
        tail.push([batch(7, 1000)]);
        assert_eq!(rows(100), (1002..1007).collect::<Vec<_>>());
        assert_eq!(*watch.borrow(), 1007);
    }

    #[test]
    fn rows_stay_until_every_follower_has_passed() {
        let mut retention = Retention::default();
        retention.followers.insert("files".into(), None);
        for n in 1..=10 {
            retention.note(n * 10, MARK_BYTES, n * 1000);
        }
        let later = 3 * KEEP_MS;
        assert_eq!(retention.cut(later), None, "the follower has not told yet");
        retention.followers.insert("files".into(), Some(35));
        assert_eq!(retention.cut(later), Some(30));
        assert_eq!(retention.cut(later), None);
        retention.followers.insert("files".into(), Some(100));
        assert_eq!(retention.cut(20_000), None, "young and small");
        assert_eq!(retention.cut(later), Some(90), "the last mark is still filled");
    }

    #[test]
    fn more_than_the_limit_goes_although_it_is_young() {
        let mut retention = Retention::default();
        for n in 1..=3 {
            retention.note(n * 10, KEEP_BYTES / 2, n);
        }
        assert_eq!(retention.cut(5), Some(10));
    }
}
