//! What `benches/run.py` measures from outside: latency through a pipeline, and the time from start to first use.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use millstream_client::{
    Client, ClientOptions, Consumer, ConsumerOptions, NewTopic, OffsetAt, Producer, ProducerOptions, ProducerRecord,
};
use millstream_protocol::records::Scratch;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::cli::{BenchPassthrough, BenchStart};

/// Seconds before measuring begins.
const WARM_UP_SECONDS: u32 = 2;
/// How long the last records may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends records at a steady rate and prints, in ms, the time from each one's send to the receipt of what came of it.
pub async fn passthrough(args: &BenchPassthrough) -> Result<()> {
    let client = Client::connect(&args.bootstrap, ClientOptions::default()).await?;
    for topic in [&args.from, &args.to] {
        client.ensure_topic(&NewTopic::new(topic, 1)).await?;
    }
    let mut consumer = Consumer::new(client.clone(), ConsumerOptions::default());
    consumer.assign_topic(&args.to, OffsetAt::Latest).await?;
    let producer = Producer::new(client, ProducerOptions::default());
    let begun = Instant::now();
    let run = fastrand::u64(..);
    let total = u64::from(args.rate) * u64::from(args.seconds + WARM_UP_SECONDS);
    let topic: Arc<str> = args.from.as_str().into();
    let rate = f64::from(args.rate);
    let sending = tokio::spawn(async move {
        let mut tick = interval(Duration::from_secs_f64(1.0 / rate));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 0..total {
            tick.tick().await;
            let value = format!("{run} {number} {}", begun.elapsed().as_micros());
            drop(producer.send(ProducerRecord::new(Arc::clone(&topic), value.into_bytes())).await?);
        }
        producer.flush().await
    });
    let mut latencies_us = Vec::with_capacity(total as usize);
    let (mut scratch, mut seen) = (Scratch::default(), 0);
    while seen < total {
        let fetched =
            timeout(PATIENCE, consumer.next()).await.context("no records come out: is the pipeline running?")??;
        let Some(fetched) = fetched else { continue };
        let now_us = begun.elapsed().as_micros() as u64;
        fetched.for_each(&mut scratch, |record| {
            let text = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            let numbers: Vec<u64> = text.split(' ').filter_map(|n| n.parse().ok()).collect();
            if let [of, number, sent_us] = numbers[..]
                && of == run
            {
                seen += 1;
                if number >= u64::from(args.rate * WARM_UP_SECONDS) {
                    latencies_us.push(now_us - sent_us);
                }
            }
        })?;
    }
    sending.await??;
    latencies_us.sort_unstable();
    let at = |share: f64| latencies_us[((latencies_us.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!("{}", json!({ "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999) }));
    Ok(())
}

/// Starts `up` in a process of its own and prints, in ms, when the first record was acknowledged and when the page answered.
pub async fn start(args: &BenchStart) -> Result<()> {
    let (kafka, http) = (free_port()?, free_port()?);
    let begun = Instant::now();
    let mut up = Command::new(std::env::current_exe()?)
        .arg("up")
        .arg(&args.project)
        .args(["--kafka", &format!("127.0.0.1:{kafka}"), "--http", &format!("127.0.0.1:{http}")])
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let acknowledged = async {
        let client = loop {
            match Client::connect(&format!("127.0.0.1:{kafka}"), ClientOptions::default()).await {
                Ok(client) => break client,
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        };
        client.ensure_topic(&NewTopic::new("first", 1)).await?;
        let producer = Producer::new(client, ProducerOptions { idempotent: false, ..Default::default() });
        producer.send(ProducerRecord::new("first", "record")).await?.await?;
        anyhow::Ok(begun.elapsed())
    };
    let page = async {
        loop {
            if let Ok(answer) = get(http).await
                && answer.starts_with("HTTP/1.1 200")
            {
                return anyhow::Ok(begun.elapsed());
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    let both = timeout(PATIENCE, async { tokio::try_join!(acknowledged, page) }).await;
    up.kill()?;
    up.wait()?;
    let Ok(both) = both else { bail!("`up` did not answer within {} s", PATIENCE.as_secs()) };
    let (acknowledged, page) = both?;
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    println!("{}", json!({ "first_ack_ms": ms(acknowledged), "page_ms": ms(page) }));
    Ok(())
}

async fn get(port: u16) -> Result<String> {
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
