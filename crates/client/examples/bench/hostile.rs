//! Connections that do nothing, and frames that no client sends, while a good client goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_client::{Client, ClientOptions, Connection, ConnectionOptions, NewTopic};
use millstream_protocol::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::{Outcome, quantiles, start};

/// Connections that are being made at a time.
const OPENING: usize = 64;
const PAUSE: Duration = Duration::from_millis(10);
/// An acknowledgement of the good client that takes longer is a failure.
const GOOD_MAX: Duration = Duration::from_secs(5);

/// Opens connections that have asked for versions and then are silent.
pub async fn idle(address: &str, connections: usize) -> Outcome<Vec<Connection>> {
    let (mut opening, mut open) = (JoinSet::new(), Vec::with_capacity(connections));
    for number in 0..connections {
        if number >= OPENING {
            open.extend(opening.join_next().await.transpose()?.transpose()?);
        }
        let address = address.to_owned();
        opening.spawn(async move { Connection::open(&address, ConnectionOptions::default()).await });
    }
    while let Some(connection) = opening.join_next().await {
        open.push(connection??);
    }
    Ok(open)
}

/// Sends the frames, each on a connection of its own. Those that state more than they send stay open to the end.
pub async fn run(address: &str, topic: &str, frames: usize, connections: usize) -> Outcome {
    let client = Client::connect(address, ClientOptions::default()).await?;
    client.ensure_topic(&NewTopic::new(topic, 1)).await?;
    let silent = idle(address, connections).await?;
    let over = Arc::new(AtomicBool::new(false));
    let good = tokio::spawn(serve_good(client, topic.to_owned(), over.clone()));
    let room = Arc::new(Semaphore::new(OPENING));
    let mut sending = JoinSet::new();
    for number in 0..frames {
        let permit = room.clone().acquire_owned().await?;
        let address = address.to_owned();
        sending.spawn(async move {
            let stream = throw(&address, number).await;
            drop(permit);
            stream
        });
    }
    let mut held = Vec::new();
    while let Some(stream) = sending.join_next().await {
        held.extend(stream?);
    }
    sleep(Duration::from_secs(1)).await;
    over.store(true, Ordering::Relaxed);
    let (times, failures) = good.await?;
    let served = times.len();
    let quantiles = if times.is_empty() { String::new() } else { format!(", {}", quantiles(times, "ms", 1e3)) };
    println!(
        "{{\"served\": {served}, \"failures\": {failures}, \"held\": {}, \"idle\": {}{quantiles}}}",
        held.len(),
        silent.iter().filter(|connection| !connection.is_closed()).count(),
    );
    Ok(())
}

async fn serve_good(client: Client, topic: String, over: Arc<AtomicBool>) -> (Vec<Duration>, usize) {
    let (batch, mut times, mut failures) = (start::batch(1, 100), Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match timeout(GOOD_MAX, client.produce(&topic, 0, batch.clone(), -1)).await {
            Ok(Ok(_)) => times.push(begun.elapsed()),
            _ => failures += 1,
        }
        sleep(PAUSE).await;
    }
    (times, failures)
}

/// Sends one frame; gives the connection if the broker has to wait for the rest.
async fn throw(address: &str, number: usize) -> Option<TcpStream> {
    let mut stream = timeout(GOOD_MAX, TcpStream::connect(address)).await.ok()?.ok()?;
    let (bytes, stays) = frame(number);
    let _ = timeout(GOOD_MAX, stream.write_all(&bytes)).await;
    if stays {
        return Some(stream);
    }
    let mut answer = Vec::new();
    let _ = timeout(PAUSE * 10, stream.read_to_end(&mut answer)).await;
    None
}

fn frame(number: usize) -> (Vec<u8>, bool) {
    let noise = |length: usize| -> Vec<u8> {
        (0..length).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(number * 40_503) >> 11) as u8).collect()
    };
    let header = |key: ApiKey, version: i16| {
        [&key.code().to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7], &[0, 1, b'c']].concat()
    };
    let framed = |body: Vec<u8>| [&(body.len() as u32).to_be_bytes()[..], &body].concat();
    match number % 7 {
        // 100 MiB stated, which is allowed, and 64 KiB sent.
        0 => ([&(100u32 << 20).to_be_bytes()[..], &header(ApiKey::Produce, 9), &noise(64 << 10)].concat(), true),
        1 => ([&0x7fff_ffffu32.to_be_bytes()[..], &noise(100)].concat(), false),
        2 => (noise(64 + number % 4000), false),
        // Two thousand million elements in a frame of a few bytes.
        3 => (framed([&header(ApiKey::Metadata, 1)[..], &[0x7f, 0xff, 0xff, 0xff]].concat()), false),
        4 => (framed([header(ApiKey::Produce, 9), noise(64 << 10)].concat()), false),
        5 => (framed([header(ApiKey::Fetch, 12), noise(40)].concat()), false),
        // A string that is longer than its frame.
        _ => (framed([&header(ApiKey::FindCoordinator, 1)[..], &[0x7f, 0xff], &noise(10)].concat()), false),
    }
}
