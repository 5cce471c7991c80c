//! Latency and throughput of this client against a broker: `cargo bench -p millstream-client -- HOST:PORT`.

use std::time::{Duration, Instant};

use millstream_client::{
    Client, ClientOptions, Consumer, ConsumerOptions, NewTopic, OffsetAt, Producer, ProducerOptions, ProducerRecord,
};
use millstream_protocol::records::{BatchBuilder, Codec, Scratch};

const RECORDS: usize = 1_000_000;
const ROUND_TRIPS: usize = 2_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(bootstrap) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        println!("no broker named: cargo bench -p millstream-client -- HOST:PORT");
        return Ok(());
    };
    let client = Client::connect(&bootstrap, ClientOptions::default()).await?;
    let topic = format!("bench-{}", uuid::Uuid::new_v4().simple());
    client.create_topics(&[NewTopic::new(&topic, 1)]).await?;
    let payload = vec![b'x'; 100];

    for acks in [1, -1] {
        let mut builder = BatchBuilder::new(Codec::None);
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            builder.push(0, None, Some(&payload), &[]);
            let start = Instant::now();
            client.produce(&topic, 0, builder.finish().ok_or("a record")?, acks).await?;
            times.push(start.elapsed());
        }
        tell(&format!("one batch to its answer, acks {acks}"), times);
        let producer = Producer::new(client.clone(), ProducerOptions { acks, ..Default::default() });
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let start = Instant::now();
            producer.send(ProducerRecord::new(topic.as_str(), payload.clone())).await?.await?;
            times.push(start.elapsed());
        }
        tell(&format!("one record by the producer, acks {acks}"), times);
    }

    for codec in [Codec::None, Codec::Lz4] {
        let producer = Producer::new(client.clone(), ProducerOptions { codec, ..Default::default() });
        let record = ProducerRecord::new(topic.as_str(), payload.clone());
        let start = Instant::now();
        for _ in 0..RECORDS {
            producer.send_quietly(record.clone()).await?;
        }
        producer.flush().await?;
        println!("produce, acks -1, {codec}: {:.2} M records/s", RECORDS as f64 / start.elapsed().as_secs_f64() / 1e6);
    }

    let options = ConsumerOptions { stop_at_end: true, ..Default::default() };
    let mut consumer = Consumer::new(client.clone(), options);
    consumer.assign_topic(&topic, OffsetAt::Earliest).await?;
    let (mut scratch, mut records, start) = (Scratch::default(), 0, Instant::now());
    while let Some(fetched) = consumer.next().await? {
        fetched.for_each(&mut scratch, |_| records += 1)?;
    }
    println!("consume: {:.2} M records/s", f64::from(records) / start.elapsed().as_secs_f64() / 1e6);
    client.delete_topics(&[&topic]).await?;
    Ok(())
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    println!("{what}: p50 {:?}, p99 {:?}", at(0.5), at(0.99));
}
