//! What `benches/broker.py` measures by our own client, against any Kafka. Each command prints one JSON object.
//!
//! ```text
//! bench first ADDRESS TOPIC                              waits for the broker; when its first record was acknowledged, ns since 1970
//! bench fill ADDRESS TOPIC PARTITIONS MIB                so many MiB over all partitions, in batches of 256 KiB
//! bench one ADDRESS TOPIC RECORDS BYTES                  one record at a time, acks=all, to its answer
//! bench spread ADDRESS TOPIC PARTITIONS RATE SECONDS     RATE records a second into each partition, acks=all, to the answer
//! bench idle ADDRESS CONNECTIONS                         holds so many connections until its input ends
//! bench hostile ADDRESS TOPIC FRAMES IDLE                frames that no client sends, beside idle connections and a good client
//! bench nothing ADDRESS RECORDS BYTES                    serves what clients send to, and as many records as they read, keeping nothing
//! ```

mod hostile;
mod latency;
mod nothing;
mod start;

use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let mut arguments = Arguments(std::env::args().skip(1).collect());
    let (command, address) = (arguments.next::<String>("a command")?, arguments.next::<String>("ADDRESS")?);
    match command.as_str() {
        "first" => start::first(&address, &arguments.next::<String>("TOPIC")?).await,
        "fill" => {
            let topic = arguments.next::<String>("TOPIC")?;
            start::fill(&address, &topic, arguments.next("PARTITIONS")?, arguments.next("MIB")?).await
        }
        "one" => {
            let topic = arguments.next::<String>("TOPIC")?;
            latency::one(&address, &topic, arguments.next("RECORDS")?, arguments.next("BYTES")?).await
        }
        "spread" => {
            let topic = arguments.next::<String>("TOPIC")?;
            let (partitions, rate) = (arguments.next("PARTITIONS")?, arguments.next("RATE")?);
            latency::spread(&address, &topic, partitions, rate, arguments.next("SECONDS")?).await
        }
        "idle" => {
            let open = hostile::idle(&address, arguments.next("CONNECTIONS")?).await?;
            println!("{{\"connections\": {}}}", open.len());
            tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
            Ok(())
        }
        "hostile" => {
            let topic = arguments.next::<String>("TOPIC")?;
            hostile::run(&address, &topic, arguments.next("FRAMES")?, arguments.next("IDLE")?).await
        }
        "nothing" => nothing::serve(&address, arguments.next("RECORDS")?, arguments.next("BYTES")?),
        other => Err(format!("no command {other}: first, fill, one, spread, idle, hostile or nothing").into()),
    }
}

/// The words of the command line, in order.
struct Arguments(std::collections::VecDeque<String>);

impl Arguments {
    fn next<T: FromStr>(&mut self, name: &str) -> Outcome<T> {
        let word = self.0.pop_front().ok_or_else(|| format!("{name} is missing"))?;
        word.parse().map_err(|_| format!("{word:?} is no {name}").into())
    }
}

/// Medians and tails as fields of a JSON object, in the unit that `scale` makes of seconds.
fn quantiles(mut times: Vec<Duration>, unit: &str, scale: f64) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * scale;
    format!("\"p50_{unit}\": {:.3}, \"p99_{unit}\": {:.3}, \"max_{unit}\": {:.3}", at(0.5), at(0.99), at(1.0))
}
