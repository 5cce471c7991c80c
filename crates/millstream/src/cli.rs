//! The command line: what can be asked of Millstream, and the help that teaches it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
First steps:
  millstream up examples/turnstiles     events, windowed files in its lake folder, a page
  millstream init rides                 a project of your own in ./rides
  millstream dry-run rides              checks its SQL without running it
  millstream up rides                   runs it until Ctrl-C, with a Kafka broker on 127.0.0.1:9092
  millstream run rides                  works off what is there, then exits

With any Kafka, ours or another (--bootstrap HOST:PORT):
  millstream topics list                partitions, records, size, newest record
  millstream consume visits -f          records as they come; in a pipe, a JSON object a line
  millstream produce visits FILE        lines, JSON or CSV into a topic
  millstream groups describe GROUP      how far a consumer is behind, in records and in time
  millstream users add NAME             somebody who may log in

Point any Kafka client at 127.0.0.1:9092 while `up` or `broker` runs.

Environment:
  MILLSTREAM_LOG=info                   how much the log on standard error tells: off, error, warn, info,
                                        debug, trace, also of one part (info,millstream_log=debug)
                                        [default: warn,audit=info]; audit: who was refused what";

/// Streams on one machine: a Kafka broker, Spark's streaming SQL and a live page in one program.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Cli {
    /// How the log on standard error is written: text for people, or a JSON object a line
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: a JSON object a line, with its target.
    Json,
}

/// The verbs. `init`, `dry-run` and `run` are those of Spark's `spark-pipelines`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a project continuously, with broker and page; without a project, broker and page alone
    ///
    /// Reads PROJECT/spark-pipeline.yml and its transformations, serves the Kafka protocol and the page, and keeps every table
    /// of the pipeline current until Ctrl-C. A stopped or killed pipeline goes on where it was.
    Up(Up),
    /// Work off what is in the topics and files now, once, then exit (Spark's Trigger.AvailableNow)
    ///
    /// Windows that the watermark has not passed stay in the state for the next run.
    Run(Run),
    /// Check a project without running it: every error with its file, line and remedy
    DryRun(DryRun),
    /// Make a new project: a specification, a first query and a feed that gives it something to read
    Init(Init),
    /// Serve the Kafka protocol alone, with the page
    Broker(Broker),
    /// Send a csv, json or text file (.gz too) into a topic, at the pace of its time column if you like
    ///
    /// Records go out in the order of the file. One that is not sorted by time is best sent with --data and worked off by `run`: a pipeline
    /// under `up` finds most of it late.
    Replay(Replay),
    #[command(flatten)]
    Kafka(millstream_commands::Command),
    /// Make certificates for trying TLS out: an authority, the broker's, a client's
    ///
    /// Writes DIR/ca.pem, which clients trust, and DIR/server.pem, the broker's key and certificate for localhost, 127.0.0.1 and ::1, good for
    /// a year at least. Files with keys are readable by their owner alone; the authority's key is not kept. Prints the settings that use them.
    Certificate(Certificate),
    /// Print what makes a shell complete these commands: source <(millstream completions bash)
    Completions(Completions),
    /// Latency from one topic to another through a running pipeline, as JSON
    #[command(hide = true)]
    BenchPassthrough(BenchPassthrough),
    /// Time from the start of `up` to its first acknowledged record and to its page, as JSON
    #[command(hide = true)]
    BenchStart(BenchStart),
}

/// Where a serving command keeps its data and listens.
#[derive(Debug, Args, Clone)]
pub struct Serve {
    /// Folder of log, progress and state [default: PROJECT/.millstream, without a project ./.millstream]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address of the Kafka protocol, unless `listeners` is configured; port 0 picks a free one and prints it. A loopback address is
    /// served on IPv4 and IPv6
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub kafka: String,
    /// Configuration of the broker, a file as Kafka's server.properties
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting under Kafka's name, before the file's (log.retention.hours=24); may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Address of page, metrics and health; port 0 picks a free one and prints it
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub http: String,
    /// Names under which the page answers besides its address and localhost, as behind a proxy; all others are refused, since a
    /// foreign site could use them
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub http_name: Vec<String>,
}

/// `millstream up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Folder with spark-pipeline.yml; without one: broker and page, which teaches the first steps
    pub project: Option<PathBuf>,
    #[command(flatten)]
    pub serve: Serve,
    #[command(flatten)]
    pub refresh: Refresh,
}

/// `millstream run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Folder with spark-pipeline.yml
    #[arg(default_value = ".")]
    pub project: PathBuf,
    /// Folder of log, progress and state [default: PROJECT/.millstream]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub refresh: Refresh,
}

/// What is computed anew, as `spark-pipelines run` says it.
#[derive(Debug, Args, Clone, Default)]
pub struct Refresh {
    /// Update only these tables
    #[arg(long, value_name = "TABLE,…", value_delimiter = ',')]
    pub refresh: Vec<String>,
    /// Forget rows, progress and state of these tables and compute them anew from what the topics still hold
    #[arg(long, value_name = "TABLE,…", value_delimiter = ',')]
    pub full_refresh: Vec<String>,
    /// The same for every table
    #[arg(long, conflicts_with_all = ["refresh", "full_refresh"])]
    pub full_refresh_all: bool,
}

/// `millstream dry-run`.
#[derive(Debug, Args)]
pub struct DryRun {
    /// Folder with spark-pipeline.yml
    #[arg(default_value = ".")]
    pub project: PathBuf,
}

/// `millstream init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Folder to make; its last part is the pipeline's name
    pub project: PathBuf,
}

/// `millstream broker`.
#[derive(Debug, Args)]
pub struct Broker {
    #[command(flatten)]
    pub serve: Serve,
}

/// `millstream replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The file; .gz is unpacked
    pub file: PathBuf,
    /// Topic that its lines become records of
    #[arg(long)]
    pub topic: String,
    #[command(flatten)]
    pub cluster: millstream_commands::Cluster,
    /// Write into the log of this data folder instead, while nobody serves it
    #[arg(long, value_name = "DIR", conflicts_with = "bootstrap")]
    pub data: Option<PathBuf>,
    /// csv (a header line names the columns), json or text [default: by the file's name]
    #[arg(long)]
    pub format: Option<String>,
    /// Column with the time that the pace follows; several are joined with a blank (date,time)
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub time: Vec<String>,
    /// Pattern of the time column, as in Spark (MM/dd/yyyy HH:mm:ss)
    #[arg(long, value_name = "PATTERN", requires = "time")]
    pub time_format: Option<String>,
    /// Times as fast as the time column says; without it, as fast as it goes
    #[arg(long, value_name = "FACTOR", requires = "time")]
    pub speed: Option<f64>,
    /// In the order of the time column instead of the file's; a line without a time stays behind the one before it
    #[arg(long, requires = "time")]
    pub sort: bool,
    /// Column whose value is the record's key
    #[arg(long, value_name = "COLUMN")]
    pub key: Option<String>,
    /// Partitions of the topic if it is made now
    #[arg(long, default_value_t = 1)]
    pub partitions: i32,
}

/// `millstream certificate`.
#[derive(Debug, Args)]
pub struct Certificate {
    /// Folder of the files; none that is there is overwritten
    pub dir: PathBuf,
    /// Another name or address under which clients reach the broker; may be given several times
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// A client's certificate too, DIR/client.pem: who shows it is User:CN=NAME
    #[arg(long, value_name = "NAME")]
    pub client: Option<String>,
}

/// `millstream completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `millstream bench-passthrough`.
#[derive(Debug, Args)]
pub struct BenchPassthrough {
    /// Any Kafka.
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    /// Topic that is written.
    #[arg(long)]
    pub from: String,
    /// Topic that is read.
    #[arg(long)]
    pub to: String,
    /// Records a second.
    #[arg(long, default_value_t = 1000)]
    pub rate: u32,
    /// Seconds that are measured, after two that are not.
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
}

/// `millstream bench-start`.
#[derive(Debug, Args)]
pub struct BenchStart {
    /// Project for `up`.
    pub project: PathBuf,
}
