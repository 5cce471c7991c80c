//! A follower's files, over kills at every step.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use millstream_sql::FileFormat;
use parquet::basic::Compression;
use tokio::sync::watch;

use super::disk::{DiskFile, Entry};
use super::metadata::{SinkLog, path_of};
use super::*;
use crate::embedded::{Append, EmbeddedLog};
use crate::records::Payload;
use crate::table_log::{TableHub, payload};
use crate::testing::MemoryLog;

/// A disk that stops working after so many steps, as if the process were killed; or fails for a while, as if it were full; or fails at one
/// step, after it was done.
struct Faulty {
    steps_left: AtomicUsize,
    full: AtomicUsize,
    until_hiccup: AtomicUsize,
}

impl Faulty {
    fn after(steps: usize) -> Arc<Self> {
        Arc::new(Self {
            steps_left: AtomicUsize::new(steps),
            full: AtomicUsize::new(0),
            until_hiccup: AtomicUsize::new(usize::MAX),
        })
    }

    /// What a step gave, unless it is the one after which the disk says that it failed.
    fn done<T>(&self, given: io::Result<T>) -> io::Result<T> {
        match self.until_hiccup.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(io::Error::from_raw_os_error(28)),
            _ => given,
        }
    }

    fn step(&self) -> io::Result<()> {
        if self.full.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(io::Error::from_raw_os_error(28));
        }
        match self.steps_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("killed")),
        }
    }
}

struct FaultyFile(Arc<Faulty>, Box<dyn DiskFile>);

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.step()?;
        self.1.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.step()?;
        self.0.done(self.1.sync())
    }
}

struct FaultyDisk(Arc<Faulty>);

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.step()?;
        Ok(Box::new(FaultyFile(Arc::clone(&self.0), LocalDisk.create(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.step()?;
        self.0.done(LocalDisk.rename(from, to))
    }
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.0.step()?;
        LocalDisk.exchange(a, b)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.step()?;
        self.0.done(LocalDisk.sync_dir(dir))
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.step()?;
        self.0.done(LocalDisk.create_dir_all(dir))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.step()?;
        LocalDisk.remove(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.step()?;
        LocalDisk.remove_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        LocalDisk.list(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        LocalDisk.read(path)
    }
}

pub(crate) fn rows(from: i64, count: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + count));
    let unit: ArrayRef = Arc::new(StringArray::from_iter_values((from..from + count).map(|n| format!("R{}", n % 3))));
    RecordBatch::try_from_iter_with_nullable([("n", n, true), ("unit", unit, true)]).unwrap()
}

fn config(dir: &Path, format: FileFormat, partitioned: bool) -> FileConfig {
    FileConfig {
        table: "t".into(),
        dir: dir.join("t"),
        format,
        schema: rows(0, 0).schema(),
        partitioned_by: if partitioned { vec![1] } else { vec![] },
        text_codec: if format == FileFormat::Json { TextCodec::None } else { TextCodec::Gzip },
        parquet_codec: Compression::SNAPPY,
        header: false,
        file_bytes_max: 1 << 20,
        trigger: Duration::from_millis(20),
        session: Default::default(),
    }
}

pub(crate) async fn table() -> (Arc<MemoryLog>, Arc<TableHub>) {
    let log = MemoryLog::new();
    let hub = TableHub::open(Arc::clone(&log) as Arc<dyn EmbeddedLog>, "t", rows(0, 0).schema()).await.unwrap();
    (log, hub)
}

pub(crate) async fn append(log: &MemoryLog, batch: &RecordBatch) {
    let mut out = Payload::default();
    for value in payload::encode(&batch.schema(), std::slice::from_ref(batch)).unwrap() {
        out.push(0, None, Some(&value), &[]);
    }
    let batches = out.finish().unwrap();
    log.append(vec![Append { topic: "__millstream.table.t".into(), partition: 0, batches }]).await.unwrap();
}

/// The numbers in all files that the metadata names, sorted, and the number of files in the folder that it does not name.
fn committed(config: &FileConfig) -> (Vec<i64>, usize) {
    let files = SinkLog::open(&LocalDisk, &config.dir).unwrap().all(&LocalDisk).unwrap();
    let mut numbers = Vec::new();
    for file in &files {
        let path = path_of(&file.path);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, file.size);
        numbers.extend(numbers_in(config.format, bytes));
    }
    numbers.sort_unstable();
    let mut others = 0;
    let mut folders = vec![config.dir.clone()];
    while let Some(dir) = folders.pop() {
        for entry in LocalDisk.list(&dir).unwrap() {
            let path = dir.join(&entry.name);
            match entry.is_dir {
                true if entry.name.contains('=') => folders.push(path),
                true => {}
                false => others += usize::from(!files.iter().any(|f| path_of(&f.path) == path)),
            }
        }
    }
    (numbers, others)
}

fn numbers_in(format: FileFormat, bytes: Vec<u8>) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    match format {
        FileFormat::Parquet => {
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 1024)
                    .unwrap();
            reader.flat_map(|b| b.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
        }
        FileFormat::Json => {
            let lines = String::from_utf8(bytes).unwrap();
            let n = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_i64().unwrap();
            lines.lines().map(n).collect()
        }
        _ => {
            let text = io::read_to_string(flate2::read::GzDecoder::new(&bytes[..])).unwrap();
            text.lines().map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
        }
    }
}

#[tokio::test]
async fn every_format_holds_every_row_once() {
    for format in [FileFormat::Csv, FileFormat::Json, FileFormat::Parquet] {
        for partitioned in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (log, hub) = table().await;
            for n in 0..13 {
                append(&log, &rows(n * 1000, 1000)).await;
                let config = config(dir.path(), format, partitioned);
                let mut sink = FileSink::open(config, Arc::new(LocalDisk), hub.reader()).unwrap();
                assert_eq!(sink.position(), n);
                let done = sink.commit(n + 1).await.unwrap().unwrap();
                assert_eq!((done.number, done.files, done.rows), (n as u64, if partitioned { 3 } else { 1 }, 1000));
            }
            let (numbers, others) = committed(&config(dir.path(), format, partitioned));
            assert_eq!((numbers, others), ((0..13_000).collect(), 0), "{format:?}");
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_step_loses_and_repeats_nothing() {
    for format in [FileFormat::Json, FileFormat::Parquet] {
        let mut survived = false;
        for kill_after in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let (log, hub) = table().await;
            let config = || FileConfig { file_bytes_max: 1000, ..config(dir.path(), format, true) };
            append(&log, &rows(0, 100)).await;
            FileSink::open(config(), Arc::new(LocalDisk), hub.reader()).unwrap().commit(1).await.unwrap();
            append(&log, &rows(100, 100)).await;
            append(&log, &rows(200, 100)).await;

            let disk = Faulty::after(kill_after);
            let mut dying = FileSink::open(config(), Arc::new(FaultyDisk(Arc::clone(&disk))), hub.reader()).unwrap();
            survived = dying.commit(3).await.is_ok();
            drop(dying);
            let (numbers, _) = committed(&config());
            assert!(numbers.len() == 100 || numbers.len() == 300, "all of a commit or nothing: {}", numbers.len());

            append(&log, &rows(300, 100)).await;
            let mut next = FileSink::open(config(), Arc::new(LocalDisk), hub.reader()).unwrap();
            next.commit(4).await.unwrap();
            let (numbers, others) = committed(&config());
            assert_eq!((numbers, others), ((0..400).collect(), 0), "killed after {kill_after} steps");
            if survived {
                break;
            }
        }
        assert!(survived);
    }
}

#[tokio::test]
async fn a_full_disk_waits_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hub) = table().await;
    append(&log, &rows(0, 100)).await;
    let disk = Faulty::after(usize::MAX);
    disk.full.store(1, Ordering::SeqCst);
    let config = config(dir.path(), FileFormat::Csv, false);
    let mut sink = FileSink::open(config.clone(), Arc::new(FaultyDisk(disk)), hub.reader()).unwrap();
    let status = sink.status();
    let (_keep, mut stop) = watch::channel(false);
    let waiting = async {
        let mut status = status.clone();
        status.wait_for(|s| s.waiting.is_some()).await.unwrap().waiting.clone().unwrap()
    };
    let (done, reason) = tokio::join!(sink.commit_patiently(1, &mut stop), waiting);
    assert!(reason.contains("No space left"), "{reason}");
    assert_eq!(done.unwrap().unwrap().rows, 100);
    assert_eq!(status.borrow().waiting, None);
    assert_eq!(committed(&config).0.len(), 100);
}

#[tokio::test]
async fn a_commit_that_failed_leaves_no_files_behind() {
    for hiccup in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (log, hub) = table().await;
        let config = || config(dir.path(), FileFormat::Json, true);
        append(&log, &rows(0, 100)).await;
        let disk = Faulty::after(usize::MAX);
        disk.until_hiccup.store(hiccup, Ordering::SeqCst);
        let mut sink = FileSink::open(config(), Arc::new(FaultyDisk(disk)), hub.reader()).unwrap();
        if sink.commit(1).await.is_ok() {
            assert!(hiccup > 10);
            break;
        }

        // The next one reaches further, so its files have other names.
        append(&log, &rows(100, 100)).await;
        sink.commit(2).await.unwrap();
        assert_eq!(committed(&config()), ((0..200).collect(), 0), "after hiccup {hiccup}");
    }
}

#[tokio::test]
async fn a_start_removes_files_that_no_commit_names_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hub) = table().await;
    let config = || config(dir.path(), FileFormat::Json, false);
    for n in 0..3 {
        append(&log, &rows(n, 1)).await;
    }
    log.delete_records("__millstream.table.t", 0, 1).await.unwrap();
    let open = || FileSink::open(config(), Arc::new(LocalDisk), hub.reader()).unwrap();
    let mut sink = open();
    sink.commit(2).await.unwrap();
    sink.commit(3).await.unwrap();
    let put = |from: i64, to: i64| {
        let path = config().dir.join(format!("part-00000-{from:016}-{to:016}-c000.json"));
        std::fs::write(&path, "{}\n").unwrap();
        path
    };
    // Of an attempt at the first commit; and of a time before that of the metadata.
    let (orphan, older) = (put(1, 3), put(0, 1));
    std::fs::write(config().dir.join("part-of-a-book.json"), "{}").unwrap();
    assert_eq!(open().position(), 3);
    assert!(!orphan.exists() && older.exists());
    assert_eq!(committed(&config()), (vec![1, 2], 2));

    // The lake may lie elsewhere by now.
    let moved = FileConfig { dir: dir.path().join("moved"), ..config() };
    std::fs::rename(config().dir, &moved.dir).unwrap();
    FileSink::open(moved.clone(), Arc::new(LocalDisk), hub.reader()).unwrap();
    let parts = LocalDisk.list(&moved.dir).unwrap().iter().filter(|e| e.name.starts_with("part-0")).count();
    assert_eq!(parts, 3);
}

#[tokio::test]
async fn following_commits_as_rows_come_and_once_more_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hub) = table().await;
    let config = config(dir.path(), FileFormat::Json, false);
    let sink = FileSink::open(config.clone(), Arc::new(LocalDisk), hub.reader()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let mut status = sink.status();
    let passing = Arc::clone(&hub);
    let task = tokio::spawn(sink.follow(stopped, move |offset| passing.passed("files", offset)));
    append(&log, &rows(0, 10)).await;
    status.wait_for(|s| s.rows == 10).await.unwrap();
    append(&log, &rows(10, 10)).await;
    status.wait_for(|s| s.rows == 20).await.unwrap();
    append(&log, &rows(20, 5)).await;
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
    assert_eq!(committed(&config).0, (0..25).collect::<Vec<_>>());
}

#[tokio::test]
async fn files_that_do_not_fit_the_log_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (log, hub) = table().await;
    let config = || config(dir.path(), FileFormat::Csv, false);
    for n in 0..3 {
        append(&log, &rows(n, 1)).await;
    }
    let mut sink = FileSink::open(config(), Arc::new(LocalDisk), hub.reader()).unwrap();
    sink.commit(2).await.unwrap();
    log.delete_records("__millstream.table.t", 0, 3).await.unwrap();
    let gone = FileSink::open(config(), Arc::new(LocalDisk), hub.reader()).err().unwrap();
    assert!(gone.to_string().contains("--full-refresh t"), "{gone}");
    let (_, other) = table().await;
    assert!(FileSink::open(config(), Arc::new(LocalDisk), other.reader()).is_err());
}

#[test]
fn an_answer_replaces_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = Arc::new(config(dir.path(), FileFormat::Json, false));
    for (version, count) in [(1, 10), (2, 3), (3, 0)] {
        let mut answer = Overwrite::begin(Arc::clone(&config), Arc::new(LocalDisk)).unwrap();
        answer.write(&rows(0, count)).unwrap();
        assert_eq!(answer.commit(version).unwrap().rows, count as u64);
        let mut found = Vec::new();
        for entry in LocalDisk.list(&config.dir).unwrap().iter().filter(|e| e.name.starts_with("part-")) {
            found.extend(numbers_in(FileFormat::Json, std::fs::read(config.dir.join(&entry.name)).unwrap()));
        }
        assert_eq!(found, (0..count).collect::<Vec<_>>());
    }
    let lake: Vec<String> = LocalDisk.list(dir.path()).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(lake, ["t"]);
}

#[test]
fn settings_are_spark_s() {
    let table = |format, properties: &[(&str, &str)]| millstream_sql::Table {
        name: "t".into(),
        kind: millstream_sql::TableKind::Streaming,
        format,
        schema: rows(0, 0).schema(),
        properties: properties.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        partitioned_by: vec![],
        comment: None,
        sql: String::new(),
        origin: millstream_sql::Origin { file: "a.sql".into(), line: 1 },
    };
    let gzip: BTreeMap<String, String> = [
        ("mapreduce.output.fileoutputformat.compress".to_owned(), "true".to_owned()),
        (
            "mapreduce.output.fileoutputformat.compress.codec".to_owned(),
            "org.apache.hadoop.io.compress.GzipCodec".to_owned(),
        ),
        ("millstream.trigger".to_owned(), "2 minutes".to_owned()),
    ]
    .into();
    let of =
        |format, properties: &[(&str, &str)]| FileConfig::of(&table(format, properties), &gzip, Path::new("/lake"));
    let csv = of(FileFormat::Csv, &[("millstream.csv.header", "true"), ("millstream.trigger", "1 second")]).unwrap();
    assert_eq!((csv.extension().as_str(), csv.header, csv.trigger), (".csv.gz", true, Duration::from_secs(1)));
    let parquet = of(FileFormat::Parquet, &[]).unwrap();
    assert_eq!((parquet.extension().as_str(), parquet.trigger), (".snappy.parquet", Duration::from_secs(120)));
    assert!(of(FileFormat::Csv, &[("millstream.trigger", "often")]).is_err());
}
