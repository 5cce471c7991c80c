//! Users of a data folder on which no broker runs: how the first one is made, since the door is shut before.

use std::path::Path;

use async_trait::async_trait;
use millstream_broker::BrokerError;
use millstream_broker::security::users::Users;
use millstream_client::User;
use millstream_commands::{CommandError, UserStore};
use millstream_log::{Log, LogError, LogOptions};
use millstream_protocol::sasl::Secret;

/// An open folder.
struct Folder {
    users: Users,
    log: Log,
}

/// Opens the folder, or makes one.
pub fn open_users(dir: &Path) -> Result<Box<dyn UserStore>, CommandError> {
    let place = dir.display();
    let (log, report) = Log::open(dir, LogOptions::default()).map_err(|error| match error {
        LogError::Locked { pid, .. } => {
            let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            CommandError::Folder(format!(
                "{place} is in use by {who}: ask that broker itself (--bootstrap and --command-config instead of --data), or stop it first"
            ))
        }
        error => CommandError::Folder(format!("cannot open the data folder {place}: {error}")),
    })?;
    if report.created {
        tracing::info!("{place} was no data folder and is one now: a broker serves it with --data {place}");
    }
    let users = Users::offline(&log).map_err(|error| CommandError::Folder(format!("{place}: {error}")))?;
    Ok(Box::new(Folder { users, log }))
}

#[async_trait]
impl UserStore for Folder {
    async fn list(&self) -> Result<Vec<User>, CommandError> {
        let user = |info: millstream_broker::security::users::UserInfo| User {
            name: info.name,
            credentials: info.credentials,
        };
        Ok(self.users.list().into_iter().map(user).collect())
    }

    async fn set_password(&self, user: &str, password: &Secret, iterations: u32) -> Result<(), CommandError> {
        self.users.set_password(user, password, iterations).await.map_err(refused)
    }

    async fn delete(&self, user: &User) -> Result<(), CommandError> {
        self.users.remove(&user.name).await.map(|_| ()).map_err(refused)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What was changed is durable; without this the next start only replays the journal.
        if let Err(error) = self.log.close() {
            tracing::warn!(%error, "the data folder could not be closed cleanly");
        }
    }
}

fn refused(error: BrokerError) -> CommandError {
    CommandError::Folder(error.to_string())
}
