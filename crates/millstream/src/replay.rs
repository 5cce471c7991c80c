//! `millstream replay`: a file into a topic of any Kafka, or of a data folder that nobody serves.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use indicatif::{ProgressBar, ProgressStyle};
use millstream_broker::BrokerConfig;
use millstream_client::{NewTopic, Producer, ProducerOptions, ProducerRecord};
use millstream_connectors::embedded::TopicSpec;
use millstream_connectors::feeds::{
    Cursor, EmbeddedProducer, FeedRecord, FeedSpec, FeedStatus, Pace, Produce, ProduceError, Replay, from_yaml,
    run_cursor,
};
use serde_json::{Value, json};
use std::io::IsTerminal;
use tokio::sync::watch;

use crate::cli;
use crate::host::Host;

/// Sends the file.
pub async fn replay(args: &cli::Replay) -> Result<()> {
    let spec = spec(args)?;
    if !args.time.is_empty() && args.speed.is_none() && !args.sort {
        eprintln!(
            "--time changes nothing without --sort, the order, or --speed, the pace (--speed 1 is that of the time column)"
        );
    }
    let cursor: Box<dyn Cursor> = Box::new(Replay::new(&spec, Path::new("")).map_err(|e| anyhow!("{e}"))?);
    let pace = if args.speed.is_some() { Pace::Timed } else { Pace::Flat };
    match &args.data {
        Some(data) => {
            let host = Host::open(data, "`replay`", BrokerConfig::default())?;
            let topic = TopicSpec { partitions: args.partitions, configs: Vec::new() };
            host.embedded.ensure_topic(&args.topic, topic).await?;
            // A replay by hand begins at the beginning each time, so its position is nobody's.
            let mut target = EmbeddedProducer::open(host.embedded.clone(), "replay", &args.topic).await?;
            let sent = send(cursor, &mut target, pace).await;
            drop(target);
            host.close().await?;
            sent
        }
        None => {
            let client = args.cluster.connect().await?;
            client.ensure_topic(&NewTopic::new(&args.topic, args.partitions)).await?;
            let producer = Producer::new(client, ProducerOptions::default());
            send(cursor, &mut Remote { producer, topic: args.topic.as_str().into() }, pace).await
        }
    }
}

/// The arguments as a feed.
fn spec(args: &cli::Replay) -> Result<FeedSpec> {
    let time: Vec<Value> = args.time.iter().map(|column| json!({ "column": column })).collect();
    let mut replay = json!({ "file": args.file, "speed": args.speed.map_or_else(|| json!("max"), |s| json!(s)) });
    if args.sort {
        replay["sort"] = json!(true);
    }
    if let Some(format) = &args.format {
        replay["format"] = json!(format);
    }
    match (time.len(), &args.time_format) {
        (0, _) => {}
        (1, Some(pattern)) => replay["time"] = json!({ "column": args.time[0], "pattern": pattern }),
        (_, Some(pattern)) => {
            let patterns: Vec<&str> = pattern.splitn(time.len(), ' ').collect();
            let columns = args.time.iter().zip(patterns);
            replay["time"] = columns.map(|(column, pattern)| json!({ "column": column, "pattern": pattern })).collect();
        }
        _ => replay["time"] = Value::Array(time),
    }
    let mut feed = json!({ "topic": args.topic, "replay": replay });
    if let Some(key) = &args.key {
        feed["key"] = json!(key);
    }
    // JSON is YAML.
    from_yaml(&feed.to_string()).map_err(|error| anyhow!("{error}"))
}

async fn send(cursor: Box<dyn Cursor>, target: &mut dyn Produce, pace: Pace) -> Result<()> {
    let begun = Instant::now();
    let (stop, stopping) = watch::channel(false);
    let (status, mut shown) = watch::channel(FeedStatus::default());
    tokio::spawn(async move {
        crate::up::asked_to_stop().await;
        stop.send_replace(true);
    });
    let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{spinner} {human_pos} records  {per_sec}  {msg}");
    bar.set_style(style.expect("the template is legal"));
    bar.enable_steady_tick(Duration::from_millis(100));
    let drawn = bar.clone();
    tokio::spawn(async move {
        while shown.changed().await.is_ok() {
            let now = shown.borrow().clone();
            drawn.set_position(now.records);
            drawn.set_message(now.waiting.unwrap_or_default());
        }
    });
    let done = run_cursor(cursor, target, pace, stopping, &status).await;
    bar.finish_and_clear();
    let records = status.borrow().records;
    println!("{records} records in {:.2} s", begun.elapsed().as_secs_f64());
    done.map_err(|error| anyhow!("{error}"))
}

/// A topic of any Kafka.
struct Remote {
    producer: Producer,
    topic: Arc<str>,
}

#[async_trait]
impl Produce for Remote {
    async fn last_state(&mut self) -> Result<Option<Value>, ProduceError> {
        Ok(None)
    }

    async fn produce(&mut self, records: &[FeedRecord], _state: &Value) -> Result<(), ProduceError> {
        let fatal = |error: millstream_client::ClientError| ProduceError::Fatal(error.to_string());
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            let mut out = ProducerRecord::new(Arc::clone(&self.topic), record.value.clone());
            out.key = record.key.clone().map(Into::into);
            deliveries.push(self.producer.send(out).await.map_err(fatal)?);
        }
        for delivery in deliveries {
            delivery.await.map_err(fatal)?;
        }
        Ok(())
    }
}
