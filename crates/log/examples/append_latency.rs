//! Times durable appends: one record at a time, rounds over 100 partitions, and many appenders at once.
//!
//! `cargo run --release -p millstream-log --example append_latency -- DIR`

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_log::{Append, Log, LogOptions, PartitionConfig, TopicPartition};
use millstream_protocol::records::{BatchBuilder, Codec};
use uuid::Uuid;

fn batch(bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(1, None, Some(&vec![b'x'; bytes]), &[]);
    builder.finish().unwrap()
}

fn report(name: &str, mut times: Vec<Duration>, bytes_each: usize) {
    times.sort();
    let total: Duration = times.iter().sum();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    let rate = (bytes_each * times.len()) as f64 / total.as_secs_f64() / 1e6;
    println!("{name:<46} p50 {:>6} µs  p99 {:>6} µs  {rate:>8.1} MB/s", at(50), at(99));
}

fn timed(rounds: usize, mut round: impl FnMut()) -> Vec<Duration> {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .collect()
}

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).expect("a folder as argument"));
    let start = Instant::now();
    let (log, recovery) = Log::open(&dir, LogOptions::default()).unwrap();
    println!(
        "opened in {:?}: {} partitions, {} journal bytes",
        start.elapsed(),
        recovery.partitions,
        recovery.journal_bytes
    );
    let names: Vec<TopicPartition> = (0..100).map(|p| TopicPartition::new("bench", p)).collect();
    let start = Instant::now();
    for name in &names {
        if log.partition(name).is_none() {
            log.create_partition(name, Uuid::nil(), PartitionConfig::default()).unwrap();
        }
    }
    println!("100 partitions made in {:?}", start.elapsed());
    let one = batch(100);
    log.append(vec![Append::new(names[0].clone(), one.clone())]).wait().unwrap();
    println!("first record durable {:?} after that", start.elapsed());
    let append = |parts: Vec<Append>| {
        log.append(parts).wait().unwrap();
    };
    report("1 record of 100 B", timed(1000, || append(vec![Append::new(names[0].clone(), one.clone())])), 100);
    for (size, rounds) in [(4 << 10, 500), (64 << 10, 50)] {
        let data = batch(size);
        let parts = || names.iter().map(|name| Append::new(name.clone(), data.clone())).collect::<Vec<_>>();
        report(
            &format!("100 partitions × {} KiB, one append", size >> 10),
            timed(rounds, || append(parts())),
            100 * size,
        );
        let separately = || {
            let appends: Vec<_> = parts().into_iter().map(|part| log.append(vec![part])).collect();
            appends.into_iter().for_each(|append| drop(append.wait().unwrap()));
        };
        report(&format!("100 partitions × {} KiB, 100 appends", size >> 10), timed(rounds, separately), 100 * size);
    }
    for size in [16 << 10, 1 << 20, 16 << 20] {
        let data = batch(size);
        let rounds = (256 << 20) / size.max(1 << 20);
        let name = format!("1 partition × {} KiB", size >> 10);
        report(&name, timed(rounds, || append(vec![Append::new(names[1].clone(), data.clone())])), size);
    }
    let start = Instant::now();
    drop(log);
    println!("closed in {:?}", start.elapsed());
    let start = Instant::now();
    let (log, recovery) = Log::open(&dir, LogOptions::default()).unwrap();
    println!("opened again in {:?}, clean: {}", start.elapsed(), recovery.clean);
    let partition = log.partition(&names[1]).unwrap();
    let (start, mut offset, mut bytes) = (Instant::now(), 0, 0);
    while offset < partition.high_watermark() {
        let read = partition.read(offset, 1 << 20).unwrap();
        bytes += read.len();
        for batch in millstream_protocol::records::batches(&read) {
            offset = batch.unwrap().0.next_offset();
        }
    }
    println!(
        "read {} MB in {:?}: {:.0} MB/s",
        bytes / 1_000_000,
        start.elapsed(),
        bytes as f64 / start.elapsed().as_secs_f64() / 1e6
    );
}
