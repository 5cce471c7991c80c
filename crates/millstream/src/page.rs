//! What the page sees: the console's [`Backend`] over broker and pipeline.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use millstream_broker::{Broker, TopicStats};
use millstream_connectors::records::visit;
use millstream_connectors::text::RowWriter;
use millstream_console::{
    Backend, BackendError, Column, FlowInfo, FlowStatus, Overview, Problem, Record, Rows, StepInfo, TableInfo,
    TopicInfo,
};
use millstream_engine::{FlowStats, Status, StepKind};
use millstream_functions::Session;
use millstream_functions::time::Zone;
use millstream_protocol::records::Scratch;
use millstream_sql::{FileFormat, Relation, RelationKind, Table, TableKind, relations_of};
use parking_lot::RwLock;

use crate::graph::reads_of;
use crate::live::disks::{Disks, room};
use crate::live::{Live, LiveFeed, LiveFlow, LiveTable, LiveView};

/// Bytes of a partition read to find its newest records.
const NEWEST_BYTES: usize = 1 << 20;
/// A flow that takes longer than this to open its sources and its state says so.
const OPENING_MAX: Duration = Duration::from_secs(10);

/// Broker and pipeline as the console sees them.
pub struct Page {
    /// Topics.
    pub broker: Arc<Broker>,
    /// Address of the Kafka protocol.
    pub kafka: String,
    /// Address of the page.
    pub http: String,
    /// Data folder.
    pub data: PathBuf,
    /// Room on the disks.
    pub disks: Arc<Disks>,
    /// Name of the project.
    pub project: Option<String>,
    /// Start of the process, ms since 1970.
    pub started_at_ms: i64,
    /// The pipeline, once it runs.
    pub live: RwLock<Option<Arc<Live>>>,
}

#[async_trait]
impl Backend for Page {
    fn overview(&self) -> Overview {
        let live = self.live.read().clone();
        let live = live.as_deref();
        Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_ms: self.started_at_ms,
            project: self.project.clone(),
            kafka_address: self.kafka.clone(),
            http_address: self.http.clone(),
            data_dir: self.data.display().to_string(),
            data_bytes: None,
            free_bytes: room(&self.data).map(|room| room.free),
            memory_bytes: memory_bytes(),
            zone: live.map(zone).unwrap_or_default().name(),
            problems: problems(self.storage(), live),
            topics: self.broker.topic_stats().iter().map(|topic| topic_info(topic, live)).collect(),
            flows: live.map(|l| l.flows.iter().map(|f| flow_info(f, &zone(l))).collect()).unwrap_or_default(),
            tables: live.map(tables).unwrap_or_default(),
        }
    }

    fn metrics(&self) -> String {
        self.broker.metrics_text()
    }

    fn ready(&self) -> Result<(), String> {
        let mut reasons = self.storage();
        if self.project.is_some() {
            let live = self.live.read().clone();
            reasons.extend(live.map_or_else(|| vec!["starting".to_owned()], |live| live.problems()));
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }

    async fn topic_records(&self, topic: &str, limit: usize) -> Result<Vec<Record>, BackendError> {
        let Some(info) = self.broker.topics().into_iter().find(|t| t.name == topic) else {
            return Err(BackendError::NotFound(format!("topic {topic}")));
        };
        let mut found = Vec::new();
        for partition in 0..info.partitions {
            found.extend(self.newest(topic, partition, limit).await?);
        }
        found.sort_by_key(|record| std::cmp::Reverse((record.timestamp_ms, record.offset)));
        found.truncate(limit);
        Ok(found)
    }

    async fn table_rows(&self, table: &str, limit: usize) -> Result<Rows, BackendError> {
        let missing = || BackendError::NotFound(format!("table {table}"));
        let live = self.live.read().clone().ok_or_else(missing)?;
        if let Some(view) = live.views.iter().find(|v| v.table.name == table) {
            let batches = view.answer.read().rows.clone();
            return rows(&view.table.schema, &batches, Order::AsIs, zone(&live), limit);
        }
        let hub = live.graph.hubs.get(table).ok_or_else(missing)?;
        rows(&hub.schema(), &hub.tail().newest(limit), Order::NewestFirst, zone(&live), limit)
    }
}

impl Page {
    /// What the storage has no room for, or refuses.
    fn storage(&self) -> Vec<String> {
        let mut found = self.disks.full();
        found.extend(self.broker.refusing());
        found
    }

    async fn newest(&self, topic: &str, partition: i32, limit: usize) -> Result<Vec<Record>, BackendError> {
        let unavailable = |error: millstream_broker::BrokerError| BackendError::Unavailable(error.to_string());
        let offsets = self.broker.offsets(topic, partition).map_err(unavailable)?;
        let mut next = offsets.log_start.max(offsets.high_watermark - limit as i64);
        let mut found = Vec::new();
        while next < offsets.high_watermark {
            let bytes = self.broker.read(topic, partition, next, NEWEST_BYTES).await.map_err(unavailable)?;
            let from = next;
            let read = visit(&bytes, &mut Scratch::default(), |record| {
                if record.offset >= from {
                    next = record.offset + 1;
                    found.push(Record {
                        partition,
                        offset: record.offset,
                        timestamp_ms: record.timestamp,
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.map(<[u8]>::to_vec),
                        headers: record
                            .headers
                            .map_while(Result::ok)
                            .map(|(k, v)| (k.to_owned(), v.map(<[u8]>::to_vec)))
                            .collect(),
                    });
                }
                ControlFlow::<()>::Continue(())
            });
            if read.is_err() || next == from {
                break;
            }
        }
        Ok(found)
    }
}

/// Of event times.
fn zone(live: &Live) -> Zone {
    let named = live.graph.project.pipeline.configuration.get("spark.sql.session.timeZone");
    named.and_then(|name| Zone::parse(name)).unwrap_or_default()
}

/// What has stopped or waits, the worst first.
fn problems(storage: Vec<String>, live: Option<&Live>) -> Vec<Problem> {
    let whole = |text: String| Problem { bad: true, text, ..Problem::default() };
    let capital = |text: String| text[..1].to_uppercase() + &text[1..];
    let mut found: Vec<Problem> = storage.into_iter().map(|text| whole(capital(text))).collect();
    let Some(live) = live else { return found };
    found.extend(live.feeds.iter().filter_map(|feed| feed_problem(feed)));
    found.extend(live.flows.iter().filter_map(|flow| flow_problem(flow)));
    for table in &live.tables {
        let topic = table.table.properties.get("millstream.topic").map_or("", String::as_str);
        let of = |bad, text| about("tables", &table.table.name, bad, text);
        let failed = table.files.problem().map(|reason| of(true, format!("gets no files: {reason}")));
        let sent = table.topic.problem();
        found.extend(sent.map(|reason| of(true, format!("is not sent to its topic {topic}: {reason}"))));
        let waiting = table.status().waiting;
        found.extend(failed.or_else(|| waiting.map(|reason| of(false, format!("waits with its files: {reason}")))));
    }
    for view in &live.views {
        let of = |bad, text| about("tables", &view.table.name, bad, text);
        let failed = view.part.problem().map(|reason| of(true, format!("cannot be computed: {reason}")));
        let waiting = view.answer.read().waiting.clone();
        found.extend(failed.or_else(|| waiting.map(|reason| of(false, format!("waits: {reason}")))));
    }
    let pruning = &live.pruning;
    found.extend(pruning.problem().map(|reason| whole(capital(format!("{} has stopped: {reason}", pruning.name())))));
    found.sort_by_key(|problem| !problem.bad);
    found
}

fn about(section: &str, name: &str, bad: bool, text: String) -> Problem {
    Problem { bad, section: Some(section.to_owned()), name: Some(name.to_owned()), text }
}

fn feed_problem(feed: &LiveFeed) -> Option<Problem> {
    let name = feed.part.name();
    // The reason names the feed itself.
    let reason = |text: String| text.strip_prefix(&format!("{name}: ")).map(str::to_owned).unwrap_or(text);
    let of = |bad, text| about("topics", &feed.spec.topic, bad, text);
    if let Some(failed) = feed.part.problem() {
        return Some(of(true, format!("gets no records from {name}, which has stopped: {}", reason(failed))));
    }
    let waiting = feed.status.borrow().waiting.clone()?;
    Some(of(false, format!("gets no records from {name}, which waits: {}", reason(waiting))))
}

fn flow_problem(live: &LiveFlow) -> Option<Problem> {
    let (status, reason) = flow_status(live);
    let reason = reason?;
    let bad = status == FlowStatus::Failed;
    Some(about("flows", &live.flow.name, bad, format!("{}: {reason}", if bad { "has stopped" } else { "waits" })))
}

fn topic_info(topic: &TopicStats, live: Option<&Live>) -> TopicInfo {
    let dead_letters = live.is_some_and(|live| {
        let pipeline = &live.graph.project.pipeline;
        let named = millstream_connectors::table_log::TableLogOptions::dead_letters_topic(
            &pipeline.name,
            &pipeline.configuration,
        );
        named == topic.name
    });
    let feed = live.and_then(|live| {
        let feed = live.feeds.iter().find(|feed| feed.spec.topic == topic.name)?;
        let (name, status) = (feed.part.name(), feed.status.borrow());
        Some(match (feed.part.problem(), &status.waiting) {
            (Some(problem), _) => format!("{name} failed: {problem}"),
            (None, Some(reason)) => format!("{name} waits: {reason}"),
            (None, None) if status.done => format!("{name}, done"),
            (None, None) => name.to_owned(),
        })
    });
    TopicInfo {
        name: topic.name.clone(),
        partitions: topic.partitions as u32,
        records_total: topic.records_in,
        bytes_total: topic.bytes_in,
        records_kept: topic.records,
        bytes_kept: topic.size_bytes,
        relaxed: topic.relaxed,
        internal: topic.internal,
        dead_letters,
        feed,
    }
}

/// Where a flow stands, and why it does not go on.
fn flow_status(live: &LiveFlow) -> (FlowStatus, Option<String>) {
    if let Some(problem) = live.part.problem() {
        return (FlowStatus::Failed, Some(problem));
    }
    if let Some(reason) = live.waiting() {
        return (FlowStatus::Waiting, Some(reason));
    }
    if let Some(since) = *live.opening.read() {
        if since.elapsed() < OPENING_MAX {
            return (FlowStatus::Starting, None);
        }
        let read: Vec<String> = relations_of(&live.flow.plan).iter().map(place_of).collect();
        let reason = format!("it has not started yet: {} does not answer, or its state is large", read.join(" or "));
        return (FlowStatus::Waiting, Some(reason));
    }
    match live.stats.read().as_ref().map(|stats| stats.get().status) {
        Some(Status::Running | Status::Idle) => (FlowStatus::Running, None),
        // Its supervisor knows what comes of one that failed.
        None | Some(Status::Ready | Status::Recovering | Status::Waiting(_) | Status::Failed(_)) => {
            (FlowStatus::Starting, None)
        }
    }
}

/// What a relation reads, for people.
fn place_of(relation: &Relation) -> String {
    let read = reads_of(relation).replacen(':', " ", 1);
    match &relation.kind {
        RelationKind::Kafka(options) => match options.get("kafka.bootstrap.servers") {
            Some(servers) => format!("{read} at {servers}"),
            None => read,
        },
        _ => read,
    }
}

fn flow_info(live: &LiveFlow, zone: &Zone) -> FlowInfo {
    let flow = &live.flow;
    let mut info = FlowInfo {
        name: flow.name.clone(),
        target: flow.target.clone(),
        sql: flow.sql.clone(),
        file: flow.origin.file.display().to_string(),
        line: flow.origin.line as u32,
        ..FlowInfo::default()
    };
    (info.status, info.waiting) = flow_status(live);
    let wall = |us: i64| zone.to_local(us).div_euclid(1000);
    if let Some(stats) = live.stats.read().as_ref() {
        let stats = stats.get();
        info.epoch = stats.epoch;
        info.rows_in = stats.totals.rows_in;
        info.rows_out = stats.totals.rows_out;
        info.late = stats.totals.late;
        info.dead = stats.totals.dead;
        let running = info.status == FlowStatus::Running;
        info.lag = running.then(|| stats.backlog_total.saturating_sub(stats.backlog_done));
        info.watermark_us = stats.watermark_us;
        info.watermark_wall_ms = stats.watermark_us.map(wall);
        info.state_rows = stats.state_rows;
        info.state_bytes = stats.state_bytes;
        info.steps = steps(&stats, &live.reads.read(), info.watermark_wall_ms);
    } else {
        // So that the picture has what it reads.
        let inputs = relations_of(&flow.plan).iter().map(reads_of).collect();
        let (kind, label) = ("source".to_owned(), "not started".to_owned());
        info.steps = vec![StepInfo { id: "0".to_owned(), kind, label, inputs, ..StepInfo::default() }];
    }
    info
}

fn steps(stats: &FlowStats, reads: &[String], watermark_wall_ms: Option<i64>) -> Vec<StepInfo> {
    let mut sources = reads.iter();
    let each = stats.steps.iter().map(|step| {
        let inputs = match step.kind {
            StepKind::Source => sources.next().cloned().into_iter().collect(),
            _ => step.inputs.iter().map(usize::to_string).collect(),
        };
        StepInfo {
            id: step.id.to_string(),
            kind: format!("{:?}", step.kind).to_lowercase(),
            label: step.label.clone(),
            inputs,
            rows_in: step.rows_in,
            rows_out: step.rows_out,
            late: step.late,
            dead: step.dead,
            state_rows: step.state_rows,
            state_bytes: step.state_bytes,
            watermark_wall_ms: watermark_wall_ms.filter(|_| step.kind == StepKind::Watermark),
        }
    });
    each.collect()
}

fn tables(live: &Live) -> Vec<TableInfo> {
    let known = &live.graph.project.pipeline.tables;
    let each = known.iter().filter_map(|table| {
        let found = live.tables.iter().find(|t| t.table.name == table.name).map(|t| streaming(t, live));
        found.or_else(|| live.views.iter().find(|v| v.table.name == table.name).map(|v| view(v, live)))
    });
    each.collect()
}

fn table_info(table: &Table, live: &Live, kind: &str) -> TableInfo {
    let format = match table.format {
        FileFormat::Csv => "csv",
        FileFormat::Json => "json",
        FileFormat::Parquet => "parquet",
        FileFormat::Text => "text",
    };
    let config = live.graph.file_config(table).ok();
    TableInfo {
        name: table.name.clone(),
        kind: kind.to_owned(),
        format: config.as_ref().map_or_else(|| format.to_owned(), |c| c.extension().trim_start_matches('.').to_owned()),
        folder: config.map(|c| c.dir.display().to_string()),
        topic: table.properties.get("millstream.topic").cloned(),
        schema: columns(&table.schema),
        ..TableInfo::default()
    }
}

fn streaming(live: &LiveTable, all: &Live) -> TableInfo {
    let mut info = table_info(&live.table, all, "streaming table");
    let flows = all.flows.iter().filter(|f| f.flow.target == live.table.name);
    info.rows_total = flows.filter_map(|f| f.stats.read().as_ref().map(|s| s.get().totals.rows_out)).sum();
    let status = live.status();
    info.files = status.files;
    let files = live.files.problem().map(|problem| format!("failed: {problem}"));
    let topic = live.topic.problem().map(|problem| format!("its topic failed: {problem}"));
    info.waiting = files.or(topic).or(status.waiting);
    info
}

fn view(live: &LiveView, all: &Live) -> TableInfo {
    let mut info = table_info(&live.table, all, "materialized view");
    if let TableKind::Materialized(plan) = &live.table.kind {
        info.reads = relations_of(plan).iter().map(reads_of).collect();
        info.reads.sort();
        info.reads.dedup();
    }
    let answer = live.answer.read();
    info.rows_total = answer.committed.as_ref().map_or(0, |c| c.rows);
    info.files = answer.committed.as_ref().map_or(0, |c| c.files as u64);
    let failed = live.part.problem().map(|problem| format!("failed: {problem}"));
    info.waiting = failed.or_else(|| answer.waiting.clone());
    info.version = answer.version;
    info
}

fn columns(schema: &SchemaRef) -> Vec<Column> {
    let type_of = |t| millstream_functions::ddl::type_name(t);
    schema.fields().iter().map(|f| Column { name: f.name().clone(), data_type: type_of(f.data_type()) }).collect()
}

/// How rows stand on the page that come oldest first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Of a streaming table.
    NewestFirst,
    /// Of a view: as its query orders them.
    AsIs,
}

/// Batches as the page's rows.
fn rows(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    order: Order,
    zone: Zone,
    limit: usize,
) -> Result<Rows, BackendError> {
    let unavailable = |error: arrow::error::ArrowError| BackendError::Unavailable(error.to_string());
    let writer = RowWriter::json(schema, &Session::new(zone)).map_err(unavailable)?;
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut batches: Vec<&RecordBatch> = batches.iter().collect();
    if order == Order::NewestFirst {
        batches.reverse();
    }
    let mut rows = Vec::new();
    for batch in batches {
        let mut text = Vec::new();
        writer.write(batch, &mut text).map_err(unavailable)?;
        let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        if order == Order::NewestFirst {
            lines.reverse();
        }
        for line in lines {
            let mut object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(line).unwrap_or_default();
            rows.push(names.iter().map(|name| object.remove(*name).unwrap_or_default()).collect());
            if rows.len() == limit {
                return Ok(Rows { columns: columns(schema), rows });
            }
        }
    }
    Ok(Rows { columns: columns(schema), rows })
}

fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_tell_times_in_the_zone_of_the_pipeline_and_views_keep_their_order() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![Field::new("at", utc, true), Field::new("n", DataType::Int64, true)]));
        let times = TimestampMicrosecondArray::from(vec![1_704_088_800_000_000, 1_704_092_400_000_000]);
        let numbers = Int64Array::from(vec![1, 2]);
        let columns: Vec<Arc<dyn arrow::array::Array>> = vec![Arc::new(times.with_timezone("UTC")), Arc::new(numbers)];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns fit");
        let zone = Zone::parse("America/New_York").expect("is a zone");
        let of = |order| rows(&schema, std::slice::from_ref(&batch), order, zone, 10).expect("rows").rows;
        let newest = of(Order::NewestFirst);
        assert_eq!((&newest[0][1], &newest[1][1]), (&json!(2), &json!(1)));
        assert_eq!(of(Order::AsIs)[0][1], json!(1));
        let at = of(Order::AsIs)[0][0].as_str().expect("a text").to_owned();
        assert!(at.starts_with("2024-01-01T01:00:00") && at.ends_with("-05:00"), "{at}");
    }

    #[test]
    fn a_full_disk_is_the_first_problem() {
        let found = problems(vec!["the disk of the data folder /d is full".to_owned()], None);
        assert_eq!((found[0].bad, found[0].text.as_str()), (true, "The disk of the data folder /d is full"));
    }
}
