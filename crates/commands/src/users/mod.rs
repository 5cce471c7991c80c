//! `millstream users`.

mod secret;
mod store;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use millstream_client::User;
use millstream_protocol::sasl::scram::{ITERATIONS_MAX, ITERATIONS_MIN};
use serde::Serialize;

pub use store::{OpenUsers, UserStore};

use crate::error::nearest;
use crate::screen::Listing;
use crate::table::{Column, text};
use crate::{Cluster, CommandError, Screen, human};

const EXAMPLES: &str = "\
Examples:
  millstream users add admin --data .millstream          the first user, before the broker runs
  millstream users list --command-config admin.properties
  millstream users add ann                                asks for the password
  millstream users add ann < ann.password                 or takes the first line of standard input
  millstream users password ann --password-file FILE      another password, at once
  millstream users key ingest                             a user with a secret that is printed this once
  millstream users delete ann --yes

Users log in by SASL: SCRAM-SHA-256, SCRAM-SHA-512, and PLAIN on brokers of ours. What they may do say the rules: `millstream acls`.";

const COLUMNS: &[Column] = &[text("user"), text("mechanisms"), text("iterations")];

/// Names that are tried for a generated user until one is free.
const NAME_TRIES: usize = 8;

/// `millstream users`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Users {
    #[command(flatten)]
    cluster: Cluster,
    /// Users of this data folder, while no broker runs on it, whatever --bootstrap says
    #[arg(long, global = true, help_heading = "Connection", value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All users, and how they log in
    #[command(visible_alias = "ls")]
    List(Listing),
    /// Make a user
    Add {
        /// Name
        user: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Give a user another password; connections that are open stay
    Password {
        /// Name
        user: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Make an API key: a user with a secret made by chance, which is printed this once
    Key {
        /// Beginning of the user's name
        #[arg(default_value = "key")]
        name: String,
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        iterations: Iterations,
    },
    /// Delete users; connections that are open stay
    #[command(visible_alias = "rm")]
    Delete {
        /// Names
        #[arg(required = true, value_name = "USER")]
        users: Vec<String>,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

/// Where a password comes from. Never from the command line, which everybody on the machine can list.
#[derive(Debug, Args)]
struct NewPassword {
    /// File whose first line is the password; without it, a prompt or the first line of standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    iterations: Iterations,
}

#[derive(Debug, Args)]
struct Iterations {
    /// How often the password is hashed
    #[arg(long, value_name = "N", default_value_t = ITERATIONS_MIN, value_parser = clap::value_parser!(u32).range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
    iterations: u32,
}

#[derive(Debug, Serialize)]
struct Listed {
    user: String,
    credentials: Vec<Credential>,
}

#[derive(Debug, Serialize)]
struct Credential {
    mechanism: &'static str,
    iterations: u32,
}

#[derive(Debug, Serialize)]
struct Key {
    user: String,
    secret: String,
}

/// Does what was asked.
pub async fn run(args: &Users, open: OpenUsers, screen: &mut Screen) -> Result<(), CommandError> {
    let store: Box<dyn UserStore> = match &args.data {
        Some(dir) => open(dir)?,
        None => Box::new(args.cluster.connect().await?),
    };
    act(&args.action, store.as_ref(), screen).await
}

async fn act(action: &Action, store: &dyn UserStore, screen: &mut Screen) -> Result<(), CommandError> {
    let known = store.list().await?;
    match action {
        Action::List(listing) if known.is_empty() && screen.tabular(*listing) => {
            screen.note("no users: `millstream users add NAME` makes one");
            Ok(())
        }
        Action::List(listing) => {
            let listed: Vec<Listed> = known.into_iter().map(listed).collect();
            screen.list(*listing, &listed, COLUMNS, cells)
        }
        Action::Add { user, password } => {
            if known.iter().any(|one| one.name == *user) {
                return Err(CommandError::Usage(format!(
                    "there is a user '{user}' already: `millstream users password {user}` gives another password"
                )));
            }
            set(store, user, password, screen).await?;
            screen.note(&format!("added {user}"));
            Ok(())
        }
        Action::Password { user, password } => {
            find(&known, user)?;
            set(store, user, password, screen).await?;
            screen.note(&format!("{user} has another password"));
            Ok(())
        }
        Action::Key { name, listing, iterations } => {
            let names = std::iter::repeat_with(|| format!("{name}-{}", secret::name())).take(NAME_TRIES);
            let user = names.into_iter().find(|user| known.iter().all(|one| one.name != *user));
            let user = user.ok_or_else(|| CommandError::Usage(format!("no name beginning with '{name}' is free")))?;
            let secret = secret::key();
            store.set_password(&user, &secret, iterations.iterations).await?;
            let key = Key { user, secret: secret.reveal().to_owned() };
            if !screen.tabular(*listing) {
                return screen.json(&key);
            }
            screen.print(&format!("user    {}\nsecret  {}\n", key.user, key.secret))?;
            screen.flush()?;
            screen.note("keep the secret now: it is stored hashed and never shown again");
            Ok(())
        }
        Action::Delete { users, yes } => {
            for user in users {
                find(&known, user)?;
            }
            if !yes {
                let what = human::count(users.len() as i64, "user");
                screen.confirm(&format!("Delete {what} ({})?", users.join(", ")))?;
            }
            for user in users {
                store.delete(find(&known, user)?).await?;
                screen.note(&format!("deleted {user}"));
            }
            Ok(())
        }
    }
}

async fn set(store: &dyn UserStore, user: &str, from: &NewPassword, screen: &mut Screen) -> Result<(), CommandError> {
    let password = match &from.password_file {
        Some(path) => secret::from_file(path)?,
        None => secret::ask(user, screen)?,
    };
    store.set_password(user, &password, from.iterations.iterations).await
}

fn find<'a>(known: &'a [User], name: &str) -> Result<&'a User, CommandError> {
    known.iter().find(|user| user.name == name).ok_or_else(|| CommandError::NoUser {
        name: name.to_owned(),
        nearest: nearest(name, known.iter().map(|user| user.name.as_str())),
    })
}

fn listed(user: User) -> Listed {
    let credential = |(hash, iterations): (millstream_protocol::sasl::scram::Hash, u32)| Credential {
        mechanism: hash.mechanism(),
        iterations,
    };
    Listed { user: user.name, credentials: user.credentials.into_iter().map(credential).collect() }
}

fn cells(user: &Listed) -> Vec<String> {
    let each = |text: fn(&Credential) -> String| {
        let mut texts: Vec<String> = user.credentials.iter().map(text).collect();
        texts.dedup();
        texts.join(", ")
    };
    vec![user.user.clone(), each(|one| one.mechanism.to_owned()), each(|one| one.iterations.to_string())]
}

#[cfg(test)]
mod tests {
    use millstream_protocol::sasl::scram::Hash;

    use super::*;
    use crate::table::table;

    #[test]
    fn a_listing_reads_well() {
        let user = |name: &str, credentials: &[(Hash, u32)]| {
            listed(User { name: name.to_owned(), credentials: credentials.to_vec() })
        };
        let users =
            [user("ann", &[(Hash::Sha256, 4096), (Hash::Sha512, 4096)]), user("key-x3f9a2", &[(Hash::Sha512, 8192)])];
        crate::golden::check("users-list.txt", &table(COLUMNS, users.iter().map(cells), false));
    }
}
