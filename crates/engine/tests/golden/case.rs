//! A case as its files have it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, SchemaRef};
use millstream_sql::{Environment, Pipeline, Project};

const SPEC: &str =
    "name: golden\nstorage: file:///tmp/golden\nlibraries:\n  - glob:\n      include: transformations/**\n";

/// Broker time of the first record, in ms; each record is a second later.
const FIRST_RECORD_MS: i64 = 1_704_067_200_000;

/// A pipeline and the records of its topic.
pub struct Case {
    /// The project as it was written out.
    pub project: tempfile::TempDir,
    pub pipeline: Pipeline,
    /// The topic's partitions; numbered from 0.
    pub partitions: usize,
    pub epochs: Vec<Epoch>,
}

/// Records that one epoch takes.
#[derive(Debug, Default)]
pub struct Epoch {
    records: Vec<Record>,
    /// The process reads to the end here, and another one goes on.
    pub ends_run: bool,
}

#[derive(Debug)]
struct Record {
    partition: usize,
    number: usize,
    key: Option<String>,
    value: Option<Vec<u8>>,
}

impl Case {
    pub fn load(folder: &Path, name: &str) -> Result<Self, String> {
        let read = |extension: &str| {
            let path = folder.join(name).with_extension(extension);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let project = tempfile::tempdir().unwrap();
        write_project(project.path(), name, &read("sql")?);
        let pipeline =
            Project::load(project.path(), &Environment::new([])).map_err(|error| format!("does not load:\n{error}"))?;
        let epochs = epochs(&read("in")?)?;
        let partitions = epochs.iter().flat_map(|epoch| &epoch.records).map(|record| record.partition + 1).max();
        Ok(Self { project, pipeline, partitions: partitions.unwrap_or(1), epochs })
    }
}

/// `-- file: PATH` begins another file of the project; what stands before is the pipeline's queries.
fn write_project(dir: &Path, name: &str, text: &str) {
    let mut files = vec![
        ("spark-pipeline.yml".to_owned(), SPEC.to_owned()),
        (format!("transformations/{name}.sql"), String::new()),
    ];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("-- file: ") {
            Some(path) => files.push((path.trim().to_owned(), String::new())),
            None => files.last_mut().unwrap().1.push_str(line),
        }
    }
    for (path, text) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn epochs(text: &str) -> Result<Vec<Epoch>, String> {
    let mut epochs = Vec::new();
    let mut epoch = Epoch::default();
    let mut number = 0;
    for line in text.lines() {
        match line {
            "---" | "===" => {
                epoch.ends_run = line == "===";
                epochs.push(std::mem::take(&mut epoch));
            }
            line => {
                epoch.records.push(record(line, number)?);
                number += 1;
            }
        }
    }
    match epoch.records.is_empty() {
        true => Ok(epochs),
        false => Err("the last epoch of the .in file has no --- behind it".to_owned()),
    }
}

/// `[PARTITION|][KEY=>]VALUE`, the partition one digit; a value `\N` is null.
fn record(line: &str, number: usize) -> Result<Record, String> {
    let (partition, rest) = match line.as_bytes() {
        [digit @ b'0'..=b'9', b'|', ..] => (usize::from(digit - b'0'), &line[2..]),
        _ => (0, line),
    };
    let (key, value) = match rest.split_once("=>") {
        Some((key, value)) => (Some(key.to_owned()), value),
        None => (None, rest),
    };
    let value = (value != "\\N").then(|| value.as_bytes().to_vec());
    Ok(Record { partition, number, key, value })
}

impl Epoch {
    /// Its records of a partition as the relation `kafka` has them; the first has the offset `offset`.
    pub fn rows(&self, partition: usize, offset: usize, schema: &SchemaRef) -> RecordBatch {
        let records: Vec<&Record> = self.records.iter().filter(|record| record.partition == partition).collect();
        let count = records.len();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "key" => Arc::new(BinaryArray::from_iter(records.iter().map(|record| record.key.as_deref()))),
                "value" => Arc::new(BinaryArray::from_iter(records.iter().map(|record| record.value.as_deref()))),
                "topic" => Arc::new(StringArray::from(vec!["input"; count])),
                "partition" => Arc::new(Int32Array::from(vec![partition as i32; count])),
                "offset" => {
                    Arc::new(Int64Array::from_iter_values((offset..offset + count).map(|offset| offset as i64)))
                }
                "timestamp" => {
                    let ms = records.iter().map(|record| FIRST_RECORD_MS + record.number as i64 * 1000);
                    let times = TimestampMicrosecondArray::from_iter_values(ms.map(|ms| ms * 1000));
                    Arc::new(match field.data_type() {
                        DataType::Timestamp(_, zone) => times.with_timezone_opt(zone.clone()),
                        _ => times,
                    })
                }
                "timestampType" => Arc::new(Int32Array::from(vec![0; count])),
                _ => arrow::array::new_null_array(field.data_type(), count),
            }
        });
        RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
    }
}
