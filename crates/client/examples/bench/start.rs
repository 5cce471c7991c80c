//! The first record that a broker acknowledges, and a folder to start from that is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millstream_client::{Client, ClientOptions, NewTopic};
use millstream_protocol::records::{BatchBuilder, Codec};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Outcome;

/// How long a broker may take to come up.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long partitions may be without a leader after the topic was made.
const LEADERS_MAX: Duration = Duration::from_secs(60);
const BATCH_RECORDS: u64 = 256;
const RECORD_BYTES: usize = 1024;
/// Batches under way.
const PIPELINE: usize = 16;

pub fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// A batch of equal records with today's time.
pub fn batch(records: u64, bytes: usize) -> Bytes {
    let (now_ms, value) = ((now_ns() / 1_000_000) as i64, vec![b'x'; bytes]);
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..records {
        builder.push(now_ms, None, Some(&value), &[]);
    }
    builder.finish().expect("there is a record")
}

/// Tries until a record is acknowledged, and prints when that was.
pub async fn first(address: &str, topic: &str) -> Outcome {
    let record = batch(1, 100);
    let attempt = async || -> Result<(), millstream_client::ClientError> {
        let client = Client::connect(address, ClientOptions::default()).await?;
        client.ensure_topic(&NewTopic::new(topic, 1)).await?;
        client.produce(topic, 0, record.clone(), -1).await.map(drop)
    };
    let acknowledged = async {
        while attempt().await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, acknowledged).await.map_err(|_| format!("nothing is acknowledged at {address}"))?;
    println!("{{\"at_ns\": {}}}", now_ns());
    Ok(())
}

/// Writes `mib` MiB, evenly over the topic's partitions, at least a batch into each.
pub async fn fill(address: &str, topic: &str, partitions: i32, mib: u64) -> Outcome {
    let client = Client::connect(address, ClientOptions::default()).await?;
    client.ensure_topic(&NewTopic::new(topic, partitions)).await?;
    let records = BATCH_RECORDS.min((mib << 20) / partitions as u64 / RECORD_BYTES as u64).max(1);
    let batch = batch(records, RECORD_BYTES);
    let batches = (mib << 20).div_ceil(records * RECORD_BYTES as u64).max(partitions as u64);
    let (next, topic, begun) = (Arc::new(AtomicU64::new(0)), Arc::<str>::from(topic), Instant::now());
    let mut writers = JoinSet::new();
    for _ in 0..PIPELINE {
        let (client, batch, next, topic) = (client.clone(), batch.clone(), next.clone(), topic.clone());
        writers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= batches {
                    return Ok(());
                }
                let partition = (number % partitions as u64) as i32;
                // Kafka makes leaders one after the other.
                while let Err(error) = client.produce(&topic, partition, batch.clone(), -1).await {
                    if !error.is_retriable() || begun.elapsed() > LEADERS_MAX {
                        return Err(error);
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        let ended: Result<(), millstream_client::ClientError> = ended?;
        ended?;
    }
    println!("{{\"bytes\": {}}}", batches * batch.len() as u64);
    Ok(())
}
