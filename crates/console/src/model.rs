//! What the page shows, as plain data. The binary fills these from broker and engine; nothing here knows either of them.
//!
//! Every `*_total` only grows while the process runs; the console makes rates of them. Times are ms or µs since 1970 as the name says.

use serde::{Deserialize, Serialize};

/// Everything there is to know at one moment, cheap enough to be asked for every second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Version of the product, e.g. `0.1.0`.
    pub version: String,
    /// When the process started, ms since 1970.
    pub started_at_ms: i64,
    /// Name of the project that runs; `None` when there is none (the page then teaches the first steps).
    pub project: Option<String>,
    /// Where Kafka clients connect: `127.0.0.1:9092`.
    pub kafka_address: String,
    /// Where the page is: `127.0.0.1:8080`.
    pub http_address: String,
    /// Folder of the log, progress and state.
    pub data_dir: String,
    /// Bytes the log takes on disk, if known.
    pub data_bytes: Option<u64>,
    /// Bytes free on that disk, if known.
    pub free_bytes: Option<u64>,
    /// Resident memory of the process in bytes.
    pub memory_bytes: u64,
    /// Time zone of event times: of the pipeline.
    pub zone: String,
    /// What has stopped or waits, the worst first.
    pub problems: Vec<Problem>,
    /// Topics, internal ones too (they are marked).
    pub topics: Vec<TopicInfo>,
    /// Flows in the order they stand in the project.
    pub flows: Vec<FlowInfo>,
    /// Tables in the order they stand in the project.
    pub tables: Vec<TableInfo>,
}

impl Default for Overview {
    fn default() -> Self {
        Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_ms: 0,
            project: None,
            kafka_address: String::new(),
            http_address: String::new(),
            data_dir: String::new(),
            data_bytes: None,
            free_bytes: None,
            memory_bytes: 0,
            zone: "UTC".to_owned(),
            problems: Vec::new(),
            topics: Vec::new(),
            flows: Vec::new(),
            tables: Vec::new(),
        }
    }
}

/// Something that cannot go on, for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// It has stopped, or somebody has to act; otherwise it waits.
    pub bad: bool,
    /// What it is about: `flows`, `tables` or `topics`; the process as a whole if it is none of them.
    pub section: Option<String>,
    /// Its name there.
    pub name: Option<String>,
    /// A sentence, whose beginning is the name if there is one.
    pub text: String,
}

/// A topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicInfo {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Records appended since the process started.
    pub records_total: u64,
    /// Bytes appended since the process started.
    pub bytes_total: u64,
    /// Records that are there: high watermarks minus log starts.
    pub records_kept: u64,
    /// Bytes they take on disk.
    pub bytes_kept: u64,
    /// Acknowledged and seen before it is synced to disk, because the topic asks for that.
    pub relaxed: bool,
    /// Not for users' records: hidden unless asked for.
    pub internal: bool,
    /// Holds what flows could not process.
    pub dead_letters: bool,
    /// Fed by a feed of the project (`replay`, `generate`): what it is, for a person.
    pub feed: Option<String>,
}

/// Where a flow stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowStatus {
    /// Planning or restoring state.
    #[default]
    Starting,
    /// Working, or at the end of its source.
    Running,
    /// Cannot go on for now; [`FlowInfo::waiting`] says why. Nothing is lost.
    Waiting,
    /// Stopped by an error; [`FlowInfo::waiting`] says which.
    Failed,
    /// Has read all there is and ended.
    Finished,
}

/// A running query into a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowInfo {
    /// Name.
    pub name: String,
    /// Table it writes.
    pub target: String,
    /// Where it stands.
    pub status: FlowStatus,
    /// Why it waits or failed, for a person.
    pub waiting: Option<String>,
    /// Last committed epoch.
    pub epoch: u64,
    /// Rows read from sources.
    pub rows_in: u64,
    /// Rows appended to the table.
    pub rows_out: u64,
    /// Rows the watermark had passed.
    pub late: u64,
    /// Rows taken out into the dead letters.
    pub dead: u64,
    /// Records in the sources that are not yet read, while that is known: a flow that does not run does not know.
    pub lag: Option<u64>,
    /// Watermark, µs since 1970.
    pub watermark_us: Option<i64>,
    /// The watermark as a wall clock in [`Overview::zone`] shows it, ms since 1970 of that clock.
    pub watermark_wall_ms: Option<i64>,
    /// Rows (groups) held in state.
    pub state_rows: u64,
    /// Bytes held in state.
    pub state_bytes: u64,
    /// The operators, sources first.
    pub steps: Vec<StepInfo>,
    /// The statement as written.
    pub sql: String,
    /// File it stands in, relative to the project.
    pub file: String,
    /// Line of the statement in that file, from 1.
    pub line: u32,
}

/// One operator of a flow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Unique in its flow.
    pub id: String,
    /// `source`, `decode`, `filter`, `project`, `watermark`, `window`, `aggregate`, `distinct`, `join`, `union`, …: chooses the icon.
    pub kind: String,
    /// A few words for a person: `window 4 hours by station`.
    pub label: String,
    /// Where rows come from: ids of steps of this flow, or `topic:NAME`, `table:NAME`, `file:PATH`.
    pub inputs: Vec<String>,
    /// Rows taken in since the process started, as all numbers of a step.
    pub rows_in: u64,
    /// Rows given on.
    pub rows_out: u64,
    /// Rows the watermark had passed.
    pub late: u64,
    /// Rows taken out into the dead letters.
    pub dead: u64,
    /// Rows (groups) held in state.
    pub state_rows: u64,
    /// Bytes held in state.
    pub state_bytes: u64,
    /// Watermark of this step, as [`FlowInfo::watermark_wall_ms`].
    pub watermark_wall_ms: Option<i64>,
}

/// A table: the result of flows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Name.
    pub name: String,
    /// `streaming table` or `materialized view`.
    pub kind: String,
    /// Of its files: `csv.gz`, `json`, `parquet`; empty if it writes none.
    pub format: String,
    /// Folder of its files, if it writes any.
    pub folder: Option<String>,
    /// Topic its rows also go to.
    pub topic: Option<String>,
    /// What a materialized view is computed from: `topic:NAME`, `table:NAME` or `file:PATH`, as in [`StepInfo::inputs`].
    pub reads: Vec<String>,
    /// Columns.
    pub schema: Vec<Column>,
    /// Rows since the table began; of a view, the rows it has.
    pub rows_total: u64,
    /// Files written since the process started or, if known, that are there.
    pub files: u64,
    /// Why its files or topic are behind, for a person.
    pub waiting: Option<String>,
    /// Changes whenever its rows may have: a materialized view can change at the same count. Zero where `rows_total` says it all.
    pub version: u64,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Spark's name of its type: `bigint`, `string`, `timestamp`, `struct<start:timestamp,end:timestamp>`.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// Rows of a table, newest first; of a view, as its query orders them. Timestamps are strings (`2023-06-03 12:00:00`, or ISO 8601), in
/// [`Overview::zone`], or numbers of ms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Columns.
    pub columns: Vec<Column>,
    /// One value per column in each.
    pub rows: Vec<Vec<serde_json::Value>>,
}

/// A record as it lies in a topic. The console decides how to show the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's time, ms since 1970.
    pub timestamp_ms: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}
