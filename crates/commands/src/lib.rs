//! The command line against any Kafka, ours or another: topics, groups, produce, consume, configs, users, acls.
//!
//! ```text
//! cluster.rs: flags → a client       screen.rs: where output goes, table or NDJSON, colours
//! a folder or file a verb: its arguments (clap), what it asks the client, and pure functions that make text of the answers
//! ```
//!
//! Knows client and protocol alone, so it builds and tests without the engine; the binary mounts [`Command`] beside its own verbs.

mod acls;
mod cluster;
mod configs;
mod consume;
mod error;
#[cfg(test)]
mod golden;
mod groups;
mod hidden;
mod human;
mod produce;
mod record;
mod screen;
mod security;
mod stop;
mod table;
mod topics;
mod users;
mod when;

use clap::Subcommand;

pub use cluster::Cluster;
pub use error::CommandError;
pub use human::setting_value;
pub use screen::Screen;
pub use users::{OpenUsers, UserStore};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, describe, create, change and delete topics
    Topics(topics::Topics),
    /// List and describe consumer groups with their lag in records and in time; reset and delete them
    Groups(groups::Groups),
    /// Send lines, JSON or CSV from standard input or files into a topic
    Produce(produce::Produce),
    /// Print records: readable on a terminal, NDJSON in a pipe
    Consume(consume::Consume),
    /// Show and change settings of topics, brokers and groups
    Configs(configs::Configs),
    /// List, make and delete users; change their passwords, make API keys
    Users(users::Users),
    /// List, make and remove rules of who may do what
    Acls(acls::Acls),
}

/// Does what was asked. `open_users` opens the users of a data folder. A reader of the output that goes away (`| head`) ends it without an error.
pub async fn run(command: &Command, open_users: OpenUsers, screen: &mut Screen) -> Result<(), CommandError> {
    let done = match command {
        Command::Topics(args) => topics::run(args, screen).await,
        Command::Groups(args) => groups::run(args, screen).await,
        Command::Produce(args) => produce::run(args, screen).await,
        Command::Consume(args) => consume::run(args, screen).await,
        Command::Configs(args) => configs::run(args, screen).await,
        Command::Users(args) => users::run(args, open_users, screen).await,
        Command::Acls(args) => acls::run(args, screen).await,
    };
    match done.and_then(|()| screen.flush()) {
        Err(CommandError::OutputClosed) => Ok(()),
        other => other,
    }
}
