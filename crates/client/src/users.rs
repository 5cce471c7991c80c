//! What is asked of a cluster about users: SCRAM credentials (KIP-554). No password leaves this process.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::alter_user_scram_credentials::{ScramCredentialDeletion, ScramCredentialUpsertion};
use millstream_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
use millstream_protocol::sasl::Secret;
use millstream_protocol::sasl::scram::{Hash, salted_password};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::accepted;
use crate::{Client, ClientError};

/// Bytes of a salt.
const SALT_BYTES: usize = 24;

/// A user, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Credentials: which hash, how many iterations.
    pub credentials: Vec<(Hash, u32)>,
}

impl Client {
    /// All users that have SCRAM credentials, by name. Credentials of a kind that is not known here are left out.
    pub async fn users(&self) -> Result<Vec<User>, ClientError> {
        let request = DescribeUserScramCredentialsRequest { users: None };
        let answer = self.controller().await?.call(&request).await?;
        accepted(answer.error_code, answer.error_message.as_deref(), || "list users".to_owned())?;
        let mut users = Vec::new();
        for found in answer.results {
            accepted(found.error_code, found.error_message.as_deref(), || format!("user {}", found.user))?;
            let infos = found.credential_infos.iter();
            let known =
                infos.filter_map(|info| Some((Hash::from_code(info.mechanism)?, info.iterations.max(0) as u32)));
            let mut credentials: Vec<(Hash, u32)> = known.collect();
            credentials.sort();
            users.push(User { name: found.user, credentials });
        }
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    /// Makes a user or changes the password: a credential for each SCRAM mechanism, all or none where the broker takes both in one request.
    pub async fn set_password(&self, user: &str, password: &Secret, iterations: u32) -> Result<(), ClientError> {
        let upsertion = |hash: Hash| {
            let mut salt = vec![0; SALT_BYTES];
            SystemRandom::new().fill(&mut salt).expect("the system has chance to give");
            let upsertion = ScramCredentialUpsertion {
                name: user.to_owned(),
                mechanism: hash.code(),
                iterations: iterations as i32,
                salted_password: salted_password(hash, password, &salt, iterations).into(),
                salt: salt.into(),
            };
            AlterUserScramCredentialsRequest { upsertions: vec![upsertion], deletions: Vec::new() }
        };
        self.alter_user(user, Hash::ALL.map(upsertion).into()).await
    }

    /// Takes credentials of a user away, all or none as [`Client::set_password`]; without any, there is no such user.
    pub async fn delete_credentials(&self, user: &str, hashes: &[Hash]) -> Result<(), ClientError> {
        let deletion = |hash: &Hash| {
            let deletion = ScramCredentialDeletion { name: user.to_owned(), mechanism: hash.code() };
            AlterUserScramCredentialsRequest { deletions: vec![deletion], upsertions: Vec::new() }
        };
        self.alter_user(user, hashes.iter().map(deletion).collect()).await
    }

    /// Sends changes of a user together. Kafka takes but one of a user in a request: there they go one after the other.
    async fn alter_user(&self, user: &str, changes: Vec<AlterUserScramCredentialsRequest>) -> Result<(), ClientError> {
        let together = changes.iter().cloned().reduce(|mut all, one| {
            all.upsertions.extend(one.upsertions);
            all.deletions.extend(one.deletions);
            all
        });
        let Some(together) = together else { return Ok(()) };
        match self.alter_users(user, together).await {
            Err(ClientError::Broker { code: ErrorCode::DuplicateResource, .. }) if changes.len() > 1 => {
                for change in changes {
                    self.alter_users(user, change).await?;
                }
                Ok(())
            }
            done => done,
        }
    }

    async fn alter_users(&self, user: &str, request: AlterUserScramCredentialsRequest) -> Result<(), ClientError> {
        let answer = self.controller().await?.call(&request).await?;
        answer.results.iter().try_for_each(|result| {
            accepted(result.error_code, result.error_message.as_deref(), || format!("user {user}"))
        })
    }
}
