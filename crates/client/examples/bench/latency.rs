//! How long an acknowledgement takes: one record at a time, and many partitions with a steady trickle each.

use std::sync::Arc;
use std::time::Duration;

use millstream_client::{Client, ClientOptions, Producer, ProducerOptions, ProducerRecord};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{Outcome, quantiles, start};

/// Share of the records, at the beginning, that does not count.
const WARM_UP: usize = 5;
const WARM_UP_SECONDS: u64 = 1;

/// One batch of one record, then the next when the answer is there.
pub async fn one(address: &str, topic: &str, records: usize, bytes: usize) -> Outcome {
    let client = Client::connect(address, ClientOptions::default()).await?;
    let batch = start::batch(1, bytes);
    let mut times = Vec::with_capacity(records);
    for number in 0..records + records / WARM_UP {
        let begun = Instant::now();
        client.produce(topic, 0, batch.clone(), -1).await?;
        if number >= records / WARM_UP {
            times.push(begun.elapsed());
        }
    }
    println!("{{{}}}", quantiles(times, "us", 1e6));
    Ok(())
}

/// Every millisecond the records that are due, partition after partition; each is timed from when it was due, so that a producer that is held up
/// does not hide it.
pub async fn spread(address: &str, topic: &str, partitions: u64, rate: u64, seconds: u64) -> Outcome {
    let client = Client::connect(address, ClientOptions::default()).await?;
    client.refresh_topic(topic).await?;
    let producer = Producer::new(client, ProducerOptions::default());
    let (topic, payload) = (Arc::<str>::from(topic), bytes::Bytes::from(vec![b'x'; 100]));
    let total = partitions * rate * (seconds + WARM_UP_SECONDS);
    let (told, mut tells) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let mut tick = interval_at(begun, Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while sent < total {
        let due_at = tick.tick().await;
        let due = ((due_at - begun).as_millis() as u64 + 1) * partitions * rate / 1000;
        while sent < due.min(total) {
            let record = ProducerRecord::new(Arc::clone(&topic), payload.clone()).partition((sent % partitions) as i32);
            let delivery = producer.send(record).await?;
            let (told, counts) = (told.clone(), sent >= partitions * rate * WARM_UP_SECONDS);
            tokio::spawn(async move {
                let delivered = delivery.await.map(|_| due_at.elapsed());
                if counts || delivered.is_err() {
                    let _ = told.send(delivered);
                }
            });
            sent += 1;
        }
    }
    producer.flush().await?;
    drop(told);
    let mut times = Vec::new();
    while let Some(time) = tells.recv().await {
        times.push(time?);
    }
    println!("{{{}, \"records\": {}}}", quantiles(times, "ms", 1e3), total);
    Ok(())
}
