//! `millstream acls`.

mod rules;

use clap::{Args, Subcommand};
use millstream_client::{Acl, Client};
use serde::Serialize;

use crate::screen::Listing;
use crate::table::{Column, text};
use crate::{Cluster, CommandError, Screen, human};

const EXAMPLES: &str = "\
Examples:
  millstream acls list                                                all rules
  millstream acls list --principal ann --topic orders                 those about ann that hold for orders
  millstream acls add --allow ann --operation read --topic orders --group billing
  millstream acls add --allow ingest --operation write,create --topic raw- --prefix
  millstream acls add --deny '*' --operation delete --topic '*'       nobody, any topic
  millstream acls remove --principal ann                              shows what would go
  millstream acls remove --principal ann --execute                    takes it away

Who may read or write a topic may see it, too. Once an authorizer is on, what no rule allows is refused, except to super.users.";

const COLUMNS: &[Column] =
    &[text("principal"), text("permission"), text("operation"), text("on"), text("name"), text("from host")];

/// `millstream acls`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Acls {
    #[command(flatten)]
    cluster: Cluster,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Rules: who may, or may not, do what to what, from where
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        listing: Listing,
    },
    /// Make rules: one for each principal, operation and thing that is named
    Add {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        things: Things,
        #[command(flatten)]
        deeds: Deeds,
        #[command(flatten)]
        listing: Listing,
    },
    /// Take rules away: shows which, and does it with --execute
    ///
    /// What is not named may be anything; at least something has to be.
    #[command(visible_alias = "rm")]
    Remove {
        #[command(flatten)]
        filter: Filter,
        /// Do it; otherwise it is only shown
        #[arg(long)]
        execute: bool,
        #[command(flatten)]
        listing: Listing,
    },
}

/// Whom rules are about.
#[derive(Debug, Args, Default)]
struct Who {
    /// Somebody who may: a user's name, User:NAME as with certificates ('User:CN=client'), or '*' for everybody
    #[arg(long, value_name = "PRINCIPAL")]
    allow: Vec<String>,
    /// Somebody who may not, whatever else is allowed
    #[arg(long, value_name = "PRINCIPAL")]
    deny: Vec<String>,
}

/// What rules are about.
#[derive(Debug, Args, Default)]
struct Things {
    /// A topic; '*' is every topic
    #[arg(long, short = 't', value_name = "NAME")]
    topic: Vec<String>,
    /// A group of consumers
    #[arg(long, short = 'g', value_name = "NAME")]
    group: Vec<String>,
    /// A producer's transactional.id
    #[arg(long, value_name = "ID")]
    transactional_id: Vec<String>,
    /// The cluster itself
    #[arg(long)]
    cluster: bool,
    /// Names are beginnings of names
    #[arg(long, conflicts_with = "cluster")]
    prefix: bool,
}

/// What is done, from where.
#[derive(Debug, Args, Default)]
struct Deeds {
    /// read, write, create, delete, alter, describe, describe-configs, alter-configs, …, or all
    #[arg(long, short = 'o', value_name = "OPERATION,…", value_delimiter = ',')]
    operation: Vec<String>,
    /// The address that somebody comes from [default: any]
    #[arg(long, value_name = "ADDRESS")]
    host: Vec<String>,
}

/// Which rules are meant.
#[derive(Debug, Args, Default)]
struct Filter {
    #[command(flatten)]
    who: Who,
    /// Somebody, whether they may or may not
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Vec<String>,
    #[command(flatten)]
    things: Things,
    #[command(flatten)]
    deeds: Deeds,
}

#[derive(Debug, Serialize)]
struct Listed {
    principal: String,
    permission: &'static str,
    operation: &'static str,
    resource: &'static str,
    name: String,
    pattern: &'static str,
    host: String,
}

/// Does what was asked.
pub async fn run(args: &Acls, screen: &mut Screen) -> Result<(), CommandError> {
    match &args.action {
        Action::List { filter, listing } => {
            let filters = rules::filters(filter, rules::Names::Cover).map_err(CommandError::Usage)?;
            let found = find(&args.cluster.connect().await?, &filters).await?;
            if found.is_empty() && screen.tabular(*listing) {
                screen.note("no such rules");
                return Ok(());
            }
            show(found, *listing, screen)
        }
        Action::Add { who, things, deeds, listing } => {
            let made = rules::rules(who, things, deeds).map_err(CommandError::Usage)?;
            args.cluster.connect().await?.create_acls(&made).await?;
            show(made, *listing, screen)
        }
        Action::Remove { filter, execute, listing } => {
            let filters = rules::filters(filter, rules::Names::Are).map_err(CommandError::Usage)?;
            if filters == [millstream_client::AclFilter::default()] {
                let why =
                    "name whose or which rules: --principal '*' are those about everybody, --topic, --operation …";
                return Err(CommandError::Usage(why.to_owned()));
            }
            let client = args.cluster.connect().await?;
            let found = match execute {
                true => client.delete_acls(&filters).await?,
                false => find(&client, &filters).await?,
            };
            let count = human::count(found.len() as i64, "rule");
            show(found, *listing, screen)?;
            screen.flush()?;
            screen.note(&match execute {
                true => format!("removed {count}"),
                false => format!("{count}; nothing was changed: this is what --execute would take away"),
            });
            Ok(())
        }
    }
}

/// The rules that fit any of the filters.
async fn find(client: &Client, filters: &[millstream_client::AclFilter]) -> Result<Vec<Acl>, CommandError> {
    let mut found = Vec::new();
    for filter in filters {
        found.extend(client.acls(filter).await?);
    }
    Ok(found)
}

/// Shows rules by whom they are about.
fn show(mut found: Vec<Acl>, listing: Listing, screen: &mut Screen) -> Result<(), CommandError> {
    found.sort_by(|a, b| (&a.principal, a).cmp(&(&b.principal, b)));
    found.dedup();
    if found.is_empty() {
        return Ok(());
    }
    let listed: Vec<Listed> = found.into_iter().map(listed).collect();
    screen.list(listing, &listed, COLUMNS, cells)
}

fn listed(acl: Acl) -> Listed {
    Listed {
        principal: acl.principal,
        permission: acl.permission.name(),
        operation: acl.operation.name(),
        resource: acl.kind.name(),
        name: acl.name,
        pattern: acl.pattern.name(),
        host: acl.host,
    }
}

fn cells(acl: &Listed) -> Vec<String> {
    let name = match acl.pattern {
        "prefix" => format!("{}… (prefix)", acl.name),
        _ => acl.name.clone(),
    };
    let [permission, operation, resource] = [acl.permission, acl.operation, acl.resource].map(str::to_owned);
    vec![acl.principal.clone(), permission, operation, resource, name, acl.host.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::table;

    #[test]
    fn a_listing_reads_well() {
        let things = Things { topic: vec!["raw-".to_owned()], prefix: true, ..Things::default() };
        let who = Who { allow: vec!["ann".to_owned()], deny: vec!["*".to_owned()] };
        let deeds = Deeds { operation: vec!["write".to_owned()], host: vec!["10.0.0.1".to_owned()] };
        let mut made = rules::rules(&who, &things, &deeds).expect("legal");
        let cluster = Things { cluster: true, ..Things::default() };
        let deeds = Deeds { operation: vec!["ALTER_CONFIGS".to_owned()], ..Deeds::default() };
        made.extend(rules::rules(&who, &cluster, &deeds).expect("legal"));
        let listed: Vec<Listed> = made.into_iter().map(listed).collect();
        crate::golden::check("acls-list.txt", &table(COLUMNS, listed.iter().map(cells), false));
    }
}
