//! `millstream groups`.

mod describe;
mod lag;
mod list;
mod reset;

use clap::{Args, Subcommand};
use millstream_client::{Client, Group};

use crate::error::nearest;
use crate::screen::Listing;
use crate::{Cluster, CommandError, Screen, human};

const EXAMPLES: &str = "\
Examples:
  millstream groups list                              every group, and how far it is behind
  millstream groups describe billing                  members, and how far each partition is behind
  millstream groups reset billing --to earliest       shows what would change
  millstream groups reset billing --to -1h --execute  reads the last hour again
  millstream groups reset billing --topic orders:0,2 --to 1000 --execute
  millstream groups delete billing --yes";

/// `millstream groups`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Groups {
    #[command(flatten)]
    cluster: Cluster,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All groups: state, members, lag in records and in time
    #[command(visible_alias = "ls")]
    List(Listing),
    /// Members of groups, and how far each partition is behind
    ///
    /// "behind" is the age of the next record that the group has not committed: how long its data has been waiting.
    Describe {
        /// Groups
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Set a group's offsets: shows what would change, and does it with --execute
    ///
    /// Only while the group has no members. Targets outside of what a partition holds become its first or next offset.
    Reset(reset::Reset),
    /// Forget groups and their offsets; only while they have no members
    #[command(visible_alias = "rm")]
    Delete {
        /// Groups
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

/// Does what was asked.
pub async fn run(args: &Groups, screen: &mut Screen) -> Result<(), CommandError> {
    let client = args.cluster.connect().await?;
    match &args.action {
        Action::List(listing) => list::run(&client, *listing, screen).await,
        Action::Describe { groups, listing } => describe::run(&client, *listing, groups, screen).await,
        Action::Reset(reset) => reset::run(&client, reset, screen).await,
        Action::Delete { groups, yes } => {
            for group in groups {
                let found = find(&client, group).await?;
                if !found.members.is_empty() {
                    return Err(in_use(found));
                }
            }
            if !yes {
                let what = human::count(groups.len() as i64, "group");
                screen.confirm(&format!("Delete {what} ({}) with their offsets?", groups.join(", ")))?;
            }
            for group in groups {
                client.delete_group(group).await?;
                screen.note(&format!("deleted {group}"));
            }
            Ok(())
        }
    }
}

/// A group that must be there.
async fn find(client: &Client, name: &str) -> Result<Group, CommandError> {
    let group = client.group(name).await?;
    if group.state != DEAD {
        return Ok(group);
    }
    let all = client.list_groups().await?;
    Err(CommandError::NoGroup {
        name: name.to_owned(),
        nearest: nearest(name, all.iter().map(|group| group.group_id.as_str())),
    })
}

/// State of a group that is not there.
pub const DEAD: &str = "Dead";

/// Refuses to touch a group whose members would not notice.
pub fn in_use(group: Group) -> CommandError {
    CommandError::GroupInUse { name: group.id, state: group.state, members: group.members.len() }
}
