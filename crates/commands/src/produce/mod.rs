//! `millstream produce`.

mod input;
mod parse;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use millstream_client::{ClientError, NewTopic, Producer, ProducerOptions, ProducerRecord};
use millstream_protocol::records::Codec;

use self::input::{Input, Item};
use self::parse::How;
use self::watch::Watch;
use crate::when::{duration_ms, time_ms};
use crate::{Cluster, CommandError, Screen, human, topics};

const EXAMPLES: &str = "\
Examples:
  echo hello | millstream produce greetings
  millstream produce orders --key-separator : < orders.txt         the part before the colon is the key
  millstream produce orders --format json orders.ndjson.gz         what `consume` prints in a pipe
  millstream produce rides --format csv rides.csv --key-column id  each row becomes a JSON object
  millstream produce pictures --whole a.png b.png                  each file is one record
  millstream consume orders | millstream produce orders-copy --format json --create
  millstream consume orders -b prod:9092 --last 1000 | millstream produce orders -b 127.0.0.1:9092 --format json";

/// `millstream produce`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Produce {
    #[command(flatten)]
    cluster: Cluster,
    /// The topic
    topic: String,
    /// Files; .gz is unpacked [default: standard input]
    files: Vec<PathBuf>,
    /// What a record looks like
    #[arg(long, short = 'F', value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// What stands between key and value of a line; \t is a tab
    #[arg(long, short = 'K', value_name = "TEXT", conflicts_with_all = ["key", "whole"])]
    key_separator: Option<String>,
    /// Key of every record that has none of its own
    #[arg(long, short = 'k')]
    key: Option<String>,
    /// Column of a CSV file whose text is the key
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["key", "key_separator"])]
    key_column: Option<String>,
    /// A header of every record; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = topics::assignment)]
    headers: Vec<(String, String)>,
    /// Partition of every record [default: that of the line, otherwise by the key, as Java's clients do it]
    #[arg(long, short = 'p', value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Time stamp of every record that has none of its own [default: now]
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// An empty value is a tombstone (null), which deletes its key in a compacted topic
    #[arg(long, short = 'Z')]
    tombstones: bool,
    /// Each file, or all of standard input, is one record
    #[arg(long)]
    whole: bool,
    /// Whose acknowledgement counts
    #[arg(long, value_enum, default_value_t = Acks::All)]
    acks: Acks,
    /// Compression of batches
    #[arg(long, short = 'z', value_enum, default_value_t = Compression::None)]
    compression: Compression,
    /// Bytes of a batch before compression: no record can be larger
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000)]
    batch_bytes: usize,
    /// Make the topic if it is not there, also where the broker does not make topics by itself
    #[arg(long)]
    create: bool,
    /// How long a record may wait for its acknowledgement
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = patience)]
    timeout: Duration,
    /// Leave out the first N records of the input: to go on where an earlier attempt stopped
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// No summary
    #[arg(long, short = 'q')]
    quiet: bool,
}

/// What a record looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line is a value
    Raw,
    /// A line is a JSON object with key, value, headers, timestamp, partition, as `consume` prints them
    Json,
    /// A header line, then rows. Columns key, value, headers, timestamp, partition make up a record, as `consume` prints them; any other
    /// columns become a JSON object, which is the value. A key or value of nothing is null, one of "" is an empty text
    Csv,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Acks {
    /// Every replica in sync
    All,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// Nobody: nothing tells whether a record arrived
    #[value(name = "0")]
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// `2m`, `500ms`.
fn patience(text: &str) -> Result<Duration, String> {
    let ms = duration_ms(text).and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| "write it as 30s or 2m".to_owned())
}

impl Produce {
    fn producer_options(&self) -> ProducerOptions {
        ProducerOptions {
            acks: match self.acks {
                Acks::All => -1,
                Acks::Leader => 1,
                Acks::None => 0,
            },
            codec: match self.compression {
                Compression::None => Codec::None,
                Compression::Gzip => Codec::Gzip,
                Compression::Snappy => Codec::Snappy,
                Compression::Lz4 => Codec::Lz4,
                Compression::Zstd => Codec::Zstd,
            },
            batch_bytes_max: self.batch_bytes,
            buffer_bytes_max: (32 << 20).max(self.batch_bytes),
            delivery_timeout: self.timeout,
            ..ProducerOptions::default()
        }
    }

    fn how(&self, now_ms: i64) -> How {
        How {
            format: self.format,
            key_separator: self.key_separator.as_deref().map(|text| text.replace("\\t", "\t").into_bytes()),
            key_column: self.key_column.clone(),
            tombstones: self.tombstones,
            whole: self.whole,
            line_bytes_max: self.batch_bytes.saturating_mul(4).max(1 << 20),
            now_ms,
        }
    }
}

/// Sends what there is.
pub async fn run(args: &Produce, screen: &mut Screen) -> Result<(), CommandError> {
    if args.key_column.is_some() && args.format != Format::Csv {
        return Err(CommandError::Usage("--key-column is for --format csv".to_owned()));
    }
    if args.key_separator.is_some() && args.format != Format::Raw {
        return Err(CommandError::Usage(
            "--key-separator is for lines: json and csv have their own place for the key".to_owned(),
        ));
    }
    let timestamp = args.timestamp.as_deref().map(|text| time_ms(text, screen.now())).transpose();
    let timestamp = timestamp.map_err(CommandError::Usage)?;
    let client = args.cluster.connect().await?;
    if args.create {
        client.ensure_topic(&NewTopic::new(&args.topic, -1)).await?;
    }
    let topic = topics::find_or_make(&client, &args.topic, screen).await?;
    if let Some(partition) = args.partition.filter(|partition| *partition >= topic.partitions()) {
        let last = topic.partitions() - 1;
        return Err(CommandError::NoPartition { topic: args.topic.clone(), partition, last });
    }
    if args.files.is_empty() && screen.input_is_terminal && !args.quiet {
        screen.note("type values, a line each; Ctrl-D ends");
    }
    let mut input = Input::open(&args.files, args.how(screen.now()), screen)?;
    let producer = Producer::new(client, args.producer_options());
    let bar = bar(&input, screen.notes_are_terminal && !args.quiet);
    let started = Instant::now();
    let mut sent = Sent::default();
    let mut watch = Watch::new(&producer, screen, &bar);
    let feeding = feed(&mut input, args, &topic.name, timestamp, &producer, &bar, &mut sent);
    let fed = watch.until_stopped(feeding).await;
    let flushed = watch.until_hopeless(producer.flush()).await;
    drop(watch);
    bar.finish_and_clear();
    let acknowledged = producer.acknowledged();
    let reason = match flushed {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(CommandError::from(error).to_string()),
        None => {
            let obstacle = producer.obstacle().map(|error| format!(": {error}"));
            Some(format!("stopped before the broker had answered{}", obstacle.unwrap_or_default()))
        }
    };
    let stopped = || format!("stopped before the end of the input; --skip {acknowledged} goes on from there");
    if let Some(reason) = reason.or_else(|| fed.is_none().then(stopped)) {
        return Err(CommandError::Undelivered { acknowledged, handed_over: sent.records, reason });
    }
    if !args.quiet {
        screen.note(&summary(&args.topic, sent.records as i64, sent.bytes as i64, started.elapsed()));
    }
    fed.unwrap_or(Ok(()))
}

/// What was handed to the producer.
#[derive(Debug, Default)]
struct Sent {
    records: u64,
    bytes: u64,
}

/// Hands the input to the producer, up to its end or to what cannot be sent.
async fn feed(
    input: &mut Input,
    args: &Produce,
    topic: &Arc<str>,
    timestamp: Option<i64>,
    producer: &Producer,
    bar: &ProgressBar,
    sent: &mut Sent,
) -> Result<(), CommandError> {
    let mut skipped = 0;
    loop {
        let go_on = skipped + sent.records;
        let unfit = |place: String, what: String| CommandError::Input {
            place,
            what: match go_on {
                0 => what,
                _ => format!("{what}; what stands before it was sent: mend it and go on with --skip {go_on}"),
            },
        };
        let (mut record, place) = match input.next().await {
            None => return Ok(()),
            Some(Ok(Item { record, place })) => (record, place),
            Some(Err(CommandError::Input { place, what })) => return Err(unfit(place, what)),
            Some(Err(error)) => return Err(error),
        };
        if skipped < args.skip {
            skipped += 1;
            continue;
        }
        fill(&mut record, args, topic, timestamp);
        let size = record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
        if let Err(error) = producer.send_quietly(record).await {
            return Err(match error {
                ClientError::RecordTooLarge { size, limit } => unfit(
                    place,
                    format!(
                        "the record takes {size} bytes and a batch at most {limit}: raise --batch-bytes, and max.message.bytes of the topic"
                    ),
                ),
                other => other.into(),
            });
        }
        sent.records += 1;
        sent.bytes += size as u64;
        bar.set_position(input.bytes_read());
    }
}

/// What the flags say about every record.
fn fill(record: &mut ProducerRecord, args: &Produce, topic: &Arc<str>, timestamp: Option<i64>) {
    record.topic = topic.clone();
    record.partition = args.partition.or(record.partition);
    record.timestamp = record.timestamp.or(timestamp);
    if record.key.is_none() {
        record.key = args.key.as_ref().map(|key| Bytes::copy_from_slice(key.as_bytes()));
    }
    record.headers.extend(args.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone().into()))));
}

fn bar(input: &Input, visible: bool) -> ProgressBar {
    let Some(total) = input.bytes_total().filter(|_| visible) else { return ProgressBar::hidden() };
    let style = "{wide_bar} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";
    let style = ProgressStyle::with_template(style).expect("the template is legal");
    ProgressBar::new(total).with_style(style)
}

fn summary(topic: &str, records: i64, bytes: i64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let text = format!("{} ({}) into {topic} in {seconds:.2} s", human::count(records, "record"), human::size(bytes));
    // Of a few records the rate says how long the connection took.
    match records {
        ..1000 => text,
        _ => format!("{text}, {} a second", human::thousands((records as f64 / seconds) as i64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_reads_well() {
        let text = summary("orders", 1_500_000, 98_765_432, Duration::from_millis(2_500));
        assert_eq!(text, "1,500,000 records (99 MB) into orders in 2.50 s, 600,000 a second");
        assert_eq!(summary("orders", 1, 5, Duration::ZERO), "1 record (5 B) into orders in 0.00 s");
    }
}
