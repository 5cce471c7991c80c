//! Files as streams and as they stand.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt};
use millstream_engine::{Position, Source, SourceError, StaticTables};
use millstream_functions::Session;
use millstream_sql::{FileFormat, Pipeline, Relation, RelationKind};

use super::*;
use crate::file_sink::{FileConfig, FileSink, LocalDisk, TextCodec};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("unit", DataType::Utf8, true)]))
}

fn put(dir: &Path, name: &str, text: &str, age_s: u64) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    if name.ends_with(".gz") {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        std::fs::write(&path, out.finish().unwrap()).unwrap();
    } else {
        std::fs::write(&path, text).unwrap();
    }
    let time = SystemTime::now() - Duration::from_secs(age_s);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
}

fn source(dir: &Path, location: &str, options: &[(&str, &str)]) -> FileSource {
    let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    FileSource::new(dir, location, FileFormat::Csv, schema(), &options, &Session::default()).unwrap()
}

async fn read(source: &FileSource, from: &Position, to: &Position) -> Vec<(String, i64, Vec<i64>)> {
    let mut out = Vec::new();
    let mut stream = source.read(from.clone(), to.clone(), Some(vec![0]));
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        let numbers = batch.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        out.push((batch.partition, batch.next_offset, numbers));
    }
    out
}

#[tokio::test]
async fn files_are_read_once_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "in/b.csv", "n,unit\n1,a\n2,b\n", 100);
    put(dir.path(), "in/a.csv.gz", "n,unit\n3,c\n", 50);
    put(dir.path(), "in/_hidden.csv", "n,unit\n9,c\n", 50);
    let source = source(dir.path(), "in", &[("header", "true")]);
    let end = source.end(&source.start().await.unwrap()).await.unwrap();
    assert_eq!(end.keys().collect::<Vec<_>>(), ["in/a.csv.gz", "in/b.csv"]);
    let done = end["in/b.csv"];
    assert_eq!(
        read(&source, &Position::new(), &end).await,
        [("in/b.csv".to_owned(), done, vec![1, 2]), ("in/a.csv.gz".to_owned(), done, vec![3])]
    );
    assert!(source.changed(&end).now_or_never().is_none());
    put(dir.path(), "in/c.csv", "n,unit\n4,d\n", 0);
    source.changed(&end).await.unwrap();
    let next = source.end(&end).await.unwrap();
    assert_eq!(read(&source, &end, &next).await, [("in/c.csv".to_owned(), done, vec![4])]);
    assert!(source.partition_ends("in/c.csv"));
}

#[tokio::test]
async fn a_file_goes_on_in_its_middle() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..20_000).map(|n| format!("{n},u\n")).collect();
    put(dir.path(), "a.csv", &text, 0);
    let source = source(dir.path(), "*.csv", &[]);
    let end = source.end(&Position::new()).await.unwrap();
    let whole = read(&source, &Position::new(), &end).await;
    assert_eq!(whole.len(), 3);
    let after_first = Position::from([("a.csv".to_owned(), whole[0].1)]);
    let rest: Vec<i64> = read(&source, &after_first, &end).await.into_iter().flat_map(|(.., n)| n).collect();
    assert_eq!(rest, (whole[0].1..20_000).collect::<Vec<_>>());
    let to = Position::from([("a.csv".to_owned(), 15)]);
    let from = Position::from([("a.csv".to_owned(), 12)]);
    assert_eq!(read(&source, &from, &to).await, [("a.csv".to_owned(), 15, vec![12, 13, 14])]);
}

#[tokio::test]
async fn so_many_files_a_trigger() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..3 {
        put(dir.path(), &format!("{n}.csv"), "1,a\n", 100 - n);
    }
    let source = source(dir.path(), ".", &[("maxfilespertrigger", "2")]);
    let first = source.end(&Position::new()).await.unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(source.latest(&Position::new()).await.unwrap().unwrap().len(), 3);
    assert_eq!(source.end(&first).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(dir.path(), ".", &[]);
    let to = Position::from([("x.csv".to_owned(), 1 << 40)]);
    let first = source.read(Position::new(), to, None).next().await.unwrap();
    assert!(matches!(first, Err(SourceError::Fatal(m)) if m.contains("x.csv") && m.contains("--full-refresh")));
}

#[tokio::test]
async fn ten_thousand_files_are_read_in_one_go() {
    const FILES: i64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let name = |n: i64| format!("{n:05}.csv");
    let all = |until: i64| -> Position { (0..until).map(|n| (name(n), 1 << 40)).collect() };
    for n in 0..FILES {
        std::fs::write(dir.path().join(name(n)), format!("{n},a\n")).unwrap();
    }
    let source = source(dir.path(), ".", &[]);
    let end = source.end(&Position::new()).await.unwrap();
    assert_eq!(end, all(FILES));
    let mut numbers: Vec<i64> = read(&source, &Position::new(), &end).await.into_iter().flat_map(|(.., n)| n).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..FILES));
    let one_more = Position::from([(name(0), 1 << 40)]);
    assert_eq!(read(&source, &Position::new(), &one_more).await, [(name(0), 1 << 40, vec![0])]);
}

#[test]
fn each_listed_file_is_looked_at_once() {
    let location = listing::Location::new(Path::new("/p"), "in");
    let listed: Vec<_> = (0..10_000_i64)
        .map(|n| listing::FileEntry {
            path: format!("/p/in/{n}.csv").into(),
            size: 1,
            modified_ms: n,
            partition_values: BTreeMap::new(),
        })
        .collect();
    let order = |wanted: BTreeMap<String, std::ops::Range<i64>>| {
        let mut looks = 0;
        let name_of = |path: &Path| {
            looks += 1;
            location.name_of(path)
        };
        let found = source::in_order(listed.clone(), wanted, name_of, |name| location.path_of(name));
        let paths: Vec<_> = found.into_iter().map(|(file, ..)| file.path).collect();
        (paths, looks)
    };
    let (paths, looks) = order((0..10_000).map(|n| (format!("in/{n}.csv"), 0..1)).collect());
    assert!(paths.iter().eq(listed.iter().map(|file| &file.path)), "oldest first");
    assert_eq!(looks, 10_000);
    let (paths, looks) = order(["in/7.csv", "in/6.csv", "in/gone.csv"].map(|name| (name.to_owned(), 0..1)).into());
    assert_eq!(paths, ["/p/in/gone.csv", "/p/in/6.csv", "/p/in/7.csv"].map(std::path::PathBuf::from));
    assert_eq!(looks, 10_000);
}

#[tokio::test]
async fn a_reader_that_panics_is_an_error_and_not_the_end() {
    let rows = RecordBatch::new_empty(schema());
    let batch = move || millstream_engine::SourceBatch { partition: "a".into(), next_offset: 1, rows: rows.clone() };
    let first = batch();
    let read: Vec<_> = source::ahead(move |send| {
        send(Ok(first));
        panic!("no such column");
    })
    .collect()
    .await;
    let [Ok(_), Err(SourceError::Fatal(reason))] = read.as_slice() else { panic!("{read:?}") };
    assert!(reason.contains("no such column"), "{reason}");
    let read: Vec<_> = source::ahead(move |send| assert!(send(Ok(batch())))).collect().await;
    assert!(matches!(read.as_slice(), [Ok(_)]));
}

fn pipeline(format: FileFormat) -> Pipeline {
    let table = millstream_sql::Table {
        name: "t".into(),
        kind: millstream_sql::TableKind::Streaming,
        format,
        schema: schema(),
        properties: BTreeMap::new(),
        partitioned_by: vec!["unit".into()],
        comment: None,
        sql: String::new(),
        origin: millstream_sql::Origin { file: "a.sql".into(), line: 1 },
    };
    Pipeline {
        name: "p".into(),
        configuration: BTreeMap::new(),
        tables: vec![table],
        flows: vec![],
        settings_at: Default::default(),
        warnings: Default::default(),
    }
}

async fn rows(statics: &Statics, kind: RelationKind, columns: &[&str]) -> RecordBatch {
    let relation = Relation { name: "r".into(), streaming: false, kind, schema: schema() };
    let context = SessionContext::new();
    let frame = context.read_table(statics.table(&relation).unwrap()).unwrap().select_columns(columns).unwrap();
    let frame = frame.sort(vec![datafusion::prelude::col("n").sort(true, true)]).unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    concat_batches(&schema, &frame.collect().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_lake_folder_is_read_by_its_log() {
    for format in [FileFormat::Csv, FileFormat::Json, FileFormat::Parquet] {
        let dir = tempfile::tempdir().unwrap();
        let lake = dir.path().join("lake");
        let (log, hub) = crate::file_sink::tests::table().await;
        let config = FileConfig {
            table: "t".into(),
            dir: lake.join("t"),
            format,
            schema: schema(),
            partitioned_by: vec![1],
            text_codec: TextCodec::Gzip,
            parquet_codec: parquet::basic::Compression::SNAPPY,
            header: false,
            file_bytes_max: 1 << 20,
            trigger: Duration::from_secs(1),
            session: Session::default(),
        };
        let statics = Statics::new(&pipeline(format), dir.path(), &lake, &Session::default());
        let table = || RelationKind::Table("t".into());
        assert_eq!(rows(&statics, table(), &["n"]).await.num_rows(), 0, "no folder yet");
        crate::file_sink::tests::append(&log, &crate::file_sink::tests::rows(0, 7)).await;
        FileSink::open(config, Arc::new(LocalDisk), hub.reader()).unwrap().commit(1).await.unwrap();
        std::fs::write(lake.join("t/part-00009-stray.csv"), "9,x\n").unwrap();
        let found = rows(&statics, table(), &["unit", "n"]).await;
        assert_eq!(found.num_rows(), 7, "{format:?}");
        assert_eq!(found.column(0).as_string::<i32>().value(4), "R1");
        // A lake that was moved is the same lake.
        std::fs::rename(&lake, dir.path().join("lake2")).unwrap();
        let moved = Statics::new(&pipeline(format), dir.path(), &dir.path().join("lake2"), &Session::default());
        assert_eq!(rows(&moved, table(), &["unit", "n"]).await, found);
    }
}

#[tokio::test]
async fn files_with_options_and_folders_are_tables() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "in/unit=R%3D1/a.csv", "n\n5\n", 0);
    put(dir.path(), "in/unit=__HIVE_DEFAULT_PARTITION__/b.csv", "n\n6\n", 0);
    let statics = Statics::new(&pipeline(FileFormat::Csv), dir.path(), dir.path(), &Session::default());
    let options = BTreeMap::from([("header".to_owned(), "true".to_owned())]);
    let files = |location: &str| RelationKind::Files {
        format: FileFormat::Csv,
        location: location.to_owned(),
        options: options.clone(),
    };
    let found = rows(&statics, files("in"), &["n", "unit"]).await;
    let table = pretty_format_batches(std::slice::from_ref(&found)).unwrap().to_string();
    assert!(table.contains("R=1"), "{table}");
    assert!(found.column(1).is_null(1));
    let uri = format!("file://{}", dir.path().join("in").display());
    assert_eq!(rows(&statics, files(&uri), &["n", "unit"]).await, found);
    let nothing = Relation { name: "r".into(), streaming: false, kind: files("no/where"), schema: schema() };
    let context = SessionContext::new();
    let frame = context.read_table(statics.table(&nothing).unwrap()).unwrap();
    assert!(frame.collect().await.unwrap_err().to_string().contains("no files"));
}
