//! What the page sees: the console's [`Backend`] over broker and pipeline.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use millstream_broker::{Broker, TopicStats};
use millstream_connectors::records::visit;
use millstream_connectors::text::RowWriter;
use millstream_console::{
    Backend, BackendError, Column, FlowInfo, FlowStatus, Overview, Record, Rows, StepInfo, TableInfo, TopicInfo,
};
use millstream_engine::{FlowStats, Status, StepKind};
use millstream_functions::Session;
use millstream_protocol::records::Scratch;
use millstream_sql::{FileFormat, Table, TableKind, relations_of};
use parking_lot::RwLock;

use crate::graph::reads_of;
use crate::live::{Live, LiveFlow, LiveTable, LiveView};

/// Bytes of a partition read to find its newest records.
const NEWEST_BYTES: usize = 1 << 20;

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
            durable: true,
            data_dir: self.data.display().to_string(),
            data_bytes: None,
            free_bytes: free_bytes(&self.data),
            memory_bytes: memory_bytes(),
            problem: live.and_then(|l| Some(format!("{} failed: {}", l.pruning.name(), l.pruning.problem()?))),
            topics: self.broker.topic_stats().iter().map(|topic| topic_info(topic, live)).collect(),
            flows: live.map(|l| l.flows.iter().map(|f| flow_info(f)).collect()).unwrap_or_default(),
            tables: live.map(tables).unwrap_or_default(),
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.project.is_none() {
            return Ok(());
        }
        let live = self.live.read().clone().ok_or("starting")?;
        let problems = live.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
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
            return rows(&view.table.schema, &batches, limit);
        }
        let hub = live.graph.hubs.get(table).ok_or_else(missing)?;
        rows(&hub.schema(), &hub.tail().newest(limit), limit)
    }
}

impl Page {
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
        internal: topic.internal,
        dead_letters,
        feed,
    }
}

fn flow_info(live: &LiveFlow) -> FlowInfo {
    let flow = &live.flow;
    let mut info = FlowInfo {
        name: flow.name.clone(),
        target: flow.target.clone(),
        sql: flow.sql.clone(),
        file: flow.origin.file.display().to_string(),
        line: flow.origin.line as u32,
        ..FlowInfo::default()
    };
    if let Some(stats) = live.stats.read().as_ref() {
        let stats = stats.get();
        (info.status, info.waiting) = match &stats.status {
            Status::Ready | Status::Recovering => (FlowStatus::Starting, None),
            Status::Running | Status::Idle => (FlowStatus::Running, None),
            Status::Waiting(reason) => (FlowStatus::Waiting, Some(reason.clone())),
            // Its supervisor knows what comes of it.
            Status::Failed(_) => (FlowStatus::Starting, None),
        };
        info.epoch = stats.epoch;
        info.rows_in = stats.totals.rows_in;
        info.rows_out = stats.totals.rows_out;
        info.late = stats.totals.late;
        info.dead = stats.totals.dead;
        info.lag = Some(stats.backlog_total.saturating_sub(stats.backlog_done));
        info.watermark_us = stats.watermark_us;
        info.state_rows = stats.state_rows;
        info.state_bytes = stats.state_bytes;
        info.steps = steps(&stats, &live.reads.read());
    }
    if let Some(problem) = live.part.problem() {
        info.status = FlowStatus::Failed;
        info.waiting = Some(problem);
    }
    info
}

fn steps(stats: &FlowStats, reads: &[String]) -> Vec<StepInfo> {
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
            watermark_us: (step.kind == StepKind::Watermark).then_some(stats.watermark_us).flatten(),
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

/// Batches, oldest first, as the page's rows, newest first.
fn rows(schema: &SchemaRef, batches: &[RecordBatch], limit: usize) -> Result<Rows, BackendError> {
    let unavailable = |error: arrow::error::ArrowError| BackendError::Unavailable(error.to_string());
    let writer = RowWriter::json(schema, &Session::default()).map_err(unavailable)?;
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut rows = Vec::new();
    for batch in batches.iter().rev() {
        let mut lines = Vec::new();
        writer.write(batch, &mut lines).map_err(unavailable)?;
        let lines: Vec<&[u8]> = lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        for line in lines.into_iter().rev() {
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

fn free_bytes(folder: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}
