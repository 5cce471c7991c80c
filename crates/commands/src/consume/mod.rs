//! `millstream consume`.

mod filter;
mod group;
mod last;
mod print;
mod range;

use clap::{Args, ValueEnum};
use millstream_client::{Client, Consumer, ConsumerOptions, Fetched};
use millstream_protocol::records::{Scratch, batches};

use self::filter::Filter;
use self::group::Position;
use self::print::Printer;
use self::range::{Part, Start};
use crate::record::Shown;
use crate::{Cluster, CommandError, Screen, human, stop};

const EXAMPLES: &str = "\
Examples:
  millstream consume orders                        everything that is there now, then ends
  millstream consume orders -f                     the last 10 records, then what comes
  millstream consume orders --last 5               the newest five over all partitions
  millstream consume orders --since 10m            the last ten minutes
  millstream consume orders --since 2026-01-31T08:00 --until 2026-01-31T09:00
  millstream consume orders --key 4711 --grep refund --count 1
  millstream consume orders | jq .value.amount     in a pipe: a JSON object a line
  millstream consume orders --format raw > orders.txt
  millstream consume orders --group billing        goes on where the group stopped, and commits

Times without a zone are UTC.";

/// `millstream consume`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Consume {
    #[command(flatten)]
    cluster: Cluster,
    /// Topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How records are printed [default: table on a terminal, json elsewhere]
    #[arg(long, short = 'F', value_enum)]
    format: Option<Format>,
    /// Go on when all that is there has been read; alone, begins with the last 10 records
    #[arg(long, short = 'f', conflicts_with = "until")]
    follow: bool,
    /// The newest N records that match, over all partitions, in the order of their time
    #[arg(long, short = 'n', value_name = "N", conflicts_with_all = ["offset", "group"])]
    last: Option<usize>,
    /// Records of this time and later: 10m, 2h, 2026-01-31, 2026-01-31T14:30, epoch ms
    #[arg(long, short = 's', value_name = "TIME", conflicts_with_all = ["offset", "group"])]
    since: Option<String>,
    /// Records before this time
    #[arg(long, short = 'u', value_name = "TIME")]
    until: Option<String>,
    /// Where to begin in each partition: earliest, latest, an offset, or -N for the last N of it
    #[arg(long, short = 'o', value_name = "OFFSET", allow_hyphen_values = true, conflicts_with = "group")]
    offset: Option<String>,
    /// Only these partitions
    #[arg(long, short = 'p', value_name = "N,…", value_delimiter = ',')]
    partition: Vec<i32>,
    /// Begin where this group stopped (or at the earliest record), and commit what was printed; refused while the group has members
    #[arg(long, short = 'g')]
    group: Option<String>,
    /// Only records with this key
    #[arg(long, short = 'k')]
    key: Option<String>,
    /// Only records whose value matches this regular expression
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// End after N records
    #[arg(long, short = 'c', value_name = "N", conflicts_with = "last")]
    count: Option<u64>,
    /// Records of open and aborted transactions too
    #[arg(long)]
    uncommitted: bool,
    /// Whole values in a table, however long
    #[arg(long, short = 'w')]
    wide: bool,
    /// In format raw: print the key too, and this between key and value; \t is a tab
    #[arg(long, short = 'K', value_name = "TEXT")]
    key_separator: Option<String>,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Time, place, key and value in a line, cut to the terminal's width
    Table,
    /// A JSON object a line; values that are JSON stand in it as they are, binary ones as base64
    Json,
    /// Values alone, each with a line end behind it
    Raw,
    /// A header line, then topic, partition, offset, timestamp, key, value, headers; null is nothing, an empty text is ""
    Csv,
}

/// Records shown before those that come, with `--follow` alone.
const LAST_OF_FOLLOW: usize = 10;

/// What has been printed, and what still may be.
struct Session<'a> {
    printer: Printer,
    filter: Filter,
    left: Option<u64>,
    scratch: Scratch,
    line: Vec<u8>,
    screen: &'a mut Screen,
}

impl Session<'_> {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints what matches of a fetch, and tells the offset behind the last record that was looked at.
    fn print(&mut self, fetched: &Fetched, end: Option<i64>) -> Result<i64, CommandError> {
        let mut next = fetched.from_offset;
        let Session { printer, filter, left, scratch, line, screen } = self;
        line.clear();
        fetched.for_each(scratch, |record| {
            if *left == Some(0) || end.is_some_and(|end| record.offset >= end) {
                return;
            }
            next = record.offset + 1;
            if !filter.wants(record.timestamp, record.key, record.value) {
                return;
            }
            // What follows a header that cannot be read is left out: the record's own lengths were checked with the batch.
            let headers: Vec<_> = record.headers.map_while(Result::ok).collect();
            printer.write(
                line,
                &Shown {
                    topic: &fetched.topic,
                    partition: fetched.partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key,
                    value: record.value,
                    headers: &headers,
                },
            );
            *left = left.map(|left| left - 1);
        })?;
        screen.out.write_all(line)?;
        if *left != Some(0) {
            // Also past a transaction's marker: with it unread, the group would stay behind for ever.
            let read = batches(&fetched.batches).filter_map(Result::ok).last().map(|(header, _)| header.next_offset());
            next = next.max(read.map_or(next, |read| end.map_or(read, |end| read.min(end))));
        }
        Ok(next)
    }
}

/// Prints what there is.
pub async fn run(args: &Consume, screen: &mut Screen) -> Result<(), CommandError> {
    let usage = CommandError::Usage;
    let now_ms = screen.now();
    let filter = Filter::new(args, now_ms).map_err(usage)?;
    let start = start(args, &filter).map_err(usage)?;
    let client = args.cluster.connect().await?;
    let format = args.format.unwrap_or(if screen.is_terminal { Format::Table } else { Format::Json });
    let width = screen.width.filter(|_| screen.is_terminal && !args.wide);
    let separator = args.key_separator.as_deref().map(|text| text.replace("\\t", "\t"));
    let printer = Printer::new(format, separator, screen.colour, width);
    let mut parts = range::parts(&client, args, &start, screen).await?;
    let mut session =
        Session { printer, filter, left: args.count, scratch: Scratch::default(), line: Vec::new(), screen };
    parts.iter().for_each(|part| session.printer.expect_place(&part.topic, part.partition, (part.end - 1).max(0)));
    session.printer.begin(&mut session.line);
    session.screen.out.write_all(&std::mem::take(&mut session.line))?;

    let last = args.last.or_else(|| (args.follow && matches!(start, Start::Default)).then_some(LAST_OF_FOLLOW));
    let mut stop = Box::pin(stop::stopped());
    if let Some(count) = last {
        let kept = tokio::select! {
            kept = last::newest(&client, &parts, count, &session.filter, options(args)) => kept?,
            () = &mut stop => return Ok(()),
        };
        kept.iter().for_each(|record| {
            record.show(|record| record.key.into_iter().for_each(|key| session.printer.expect_key(key)))
        });
        for record in &kept {
            record.show(|record| session.printer.write(&mut session.line, record));
        }
        session.screen.out.write_all(&std::mem::take(&mut session.line))?;
        session.screen.flush()?;
        if !args.follow {
            return Ok(());
        }
        parts.iter_mut().for_each(|part| part.from = part.end);
    }
    let mut positions = match &args.group {
        Some(group) => Some(Position::begin(&client, group, &mut parts).await?),
        None => None,
    };
    let read = read(&client, args, &parts, &mut session, &mut stop, positions.as_mut()).await;
    // What was printed is committed, whatever ended it.
    if let Some(mut positions) = positions {
        session.screen.flush()?;
        positions.commit(&client).await?;
    }
    read
}

fn options(args: &Consume) -> ConsumerOptions {
    ConsumerOptions { read_committed: !args.uncommitted, ..ConsumerOptions::default() }
}

fn start(args: &Consume, filter: &Filter) -> Result<Start, String> {
    match &args.offset {
        Some(text) => Start::parse(text),
        None if args.group.is_some() => Ok(Start::Earliest),
        None => {
            Ok(filter.since().map_or(if args.last.is_some() { Start::Earliest } else { Start::Default }, Start::Since))
        }
    }
}

/// Reads from each partition's start on: to its end, or for ever.
async fn read(
    client: &Client,
    args: &Consume,
    parts: &[Part],
    session: &mut Session<'_>,
    stop: &mut (impl Future<Output = ()> + Unpin),
    mut positions: Option<&mut Position>,
) -> Result<(), CommandError> {
    let mut consumer = Consumer::new(client.clone(), options(args));
    for part in parts {
        consumer.assign_range(&part.topic, part.partition, part.from, (!args.follow).then_some(part.end));
    }
    let ends = |fetched: &Fetched| {
        let part = parts.iter().find(|part| part.topic == fetched.topic && part.partition == fetched.partition);
        part.map(|part| part.end).filter(|_| !args.follow)
    };
    while !session.is_done() {
        let fetched = tokio::select! {
            biased;
            () = &mut *stop => break,
            fetched = consumer.next() => fetched?,
        };
        let Some(fetched) = fetched else { break };
        let next = session.print(&fetched, ends(&fetched))?;
        if args.follow {
            session.screen.flush()?;
        }
        if let Some(positions) = positions.as_deref_mut() {
            positions.advance(&fetched.topic, fetched.partition, next);
            if positions.is_due() {
                session.screen.flush()?;
                positions.commit(client).await?;
            }
        }
    }
    if session.is_done() || args.follow || args.count.is_none() {
        return Ok(());
    }
    let missing = session.left.unwrap_or(0) as i64;
    session.screen.flush()?;
    session.screen.note(&format!("the end: {} less than asked for", human::count(missing, "record")));
    Ok(())
}
