//! The millstream binary: command line, configuration, wiring. What it wires is in the other crates.

/// Prints a line, as `std::println!` does, which it hides in this crate: a reader who went away (`| head`) ends nothing and is no panic.
macro_rules! println {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

/// The same on standard error.
macro_rules! eprintln {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

mod bench;
mod certificate;
mod cli;
mod embedded;
mod folder;
mod graph;
mod host;
mod init;
mod live;
mod order;
mod page;
mod progress;
mod refresh;
mod replay;
mod run;
mod settings;
mod sources;
mod up;
mod views;

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use millstream_commands::Screen;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, LogFormat};

/// What the log tells unless `MILLSTREAM_LOG` says otherwise: what is wrong, and who was refused what.
const LOGGED: &str = "warn,audit=info";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("MILLSTREAM_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be told on standard error, which is what cannot be written to.
        .log_internal_errors(false);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.with_ansi(false).json().init(),
    }
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Diagnostics begin with `error` or, where warnings stand before it, with `warning` themselves.
fn told(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    if text.starts_with("error") || text.starts_with("warning[") { text } else { format!("error: {text}") }
}

fn start(cli: Cli) -> Result<()> {
    match &cli.command {
        Command::Init(args) => return init::init(args),
        Command::DryRun(args) => return settings::dry_run(args),
        Command::Certificate(args) => return certificate::certificate(args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "millstream", &mut script);
            return match std::io::stdout().write_all(&script) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    Err(error).context("the output cannot be written")
                }
                _ => Ok(()),
            };
        }
        Command::Kafka(command) => {
            let sockets = runtime("sockets")?;
            let done =
                sockets.block_on(millstream_commands::run(command, folder::open_users, &mut Screen::of_process()));
            sockets.shutdown_background();
            return Ok(done?);
        }
        _ => {}
    }
    // Sockets on one runtime, queries on another: a heavy query never delays a produce.
    let sockets = runtime("sockets")?;
    let queries = runtime("queries")?;
    let done = match &cli.command {
        Command::Up(args) => sockets.block_on(up::up(args, queries.handle())),
        Command::Broker(args) => sockets.block_on(up::broker(args, queries.handle())),
        Command::Run(args) => queries.block_on(run::run(args)),
        Command::Replay(args) => sockets.block_on(replay::replay(args)),
        Command::BenchPassthrough(args) => sockets.block_on(bench::passthrough(args)),
        Command::BenchStart(args) => sockets.block_on(bench::start(args)),
        Command::Init(_)
        | Command::DryRun(_)
        | Command::Certificate(_)
        | Command::Completions(_)
        | Command::Kafka(_) => Ok(()),
    };
    // Nothing that is worth waiting for is left: what matters was awaited.
    queries.shutdown_background();
    sockets.shutdown_background();
    done
}

fn runtime(name: &str) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8)))
        .thread_name(format!("millstream-{name}"))
        .enable_all()
        .build()
        .with_context(|| format!("cannot start the threads for {name}"))
}
