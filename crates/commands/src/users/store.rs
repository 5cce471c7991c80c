//! Where users are kept: a cluster, or a data folder that nobody serves.

use std::path::Path;

use async_trait::async_trait;
use millstream_client::{Client, User};
use millstream_protocol::sasl::Secret;

use crate::CommandError;

/// Opens the users of a data folder. The binary gives it, since nothing here knows the broker.
pub type OpenUsers = fn(&Path) -> Result<Box<dyn UserStore>, CommandError>;

/// Users, wherever they are.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// All of them by name.
    async fn list(&self) -> Result<Vec<User>, CommandError>;
    /// Makes one or changes the password.
    async fn set_password(&self, user: &str, password: &Secret, iterations: u32) -> Result<(), CommandError>;
    /// Takes one away with all credentials.
    async fn delete(&self, user: &User) -> Result<(), CommandError>;
}

#[async_trait]
impl UserStore for Client {
    async fn list(&self) -> Result<Vec<User>, CommandError> {
        Ok(self.users().await?)
    }

    async fn set_password(&self, user: &str, password: &Secret, iterations: u32) -> Result<(), CommandError> {
        Ok(Client::set_password(self, user, password, iterations).await?)
    }

    async fn delete(&self, user: &User) -> Result<(), CommandError> {
        let hashes: Vec<_> = user.credentials.iter().map(|(hash, _)| *hash).collect();
        Ok(self.delete_credentials(&user.name, &hashes).await?)
    }
}
