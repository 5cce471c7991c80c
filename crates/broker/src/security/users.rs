//! Users: SCRAM credentials, never passwords. PLAIN is checked against them too.
//!
//! ```text
//! key security/user/MECHANISM/NAME   value {"salt": …, "iterations": …, "stored_key": …, "server_key": …}, bytes in base64
//! key security/salt-secret           value: chance, from which names that nobody has get a salt
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use millstream_log::Log;
use millstream_protocol::sasl::scram::{Credential, Hash, ITERATIONS_MAX, ITERATIONS_MIN, salt_of_nobody};
use millstream_protocol::sasl::{Secret, TEXT_BYTES_MAX};
use parking_lot::RwLock;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::topics::Topics;
use crate::{BrokerConfig, BrokerError};

const USER_KEY: &str = "security/user/";
const SALT_SECRET_KEY: &str = "security/salt-secret";
/// Bytes of a salt that is made here.
const SALT_BYTES: usize = 24;

#[derive(Serialize, Deserialize)]
struct Record {
    salt: String,
    iterations: u32,
    stored_key: String,
    server_key: String,
}

/// A user, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// Name.
    pub name: String,
    /// Credentials: which hash, how many iterations.
    pub credentials: Vec<(Hash, u32)>,
}

/// A change: the user's credential of this kind, or that it is no more.
pub(crate) type Change = (String, Hash, Option<Credential>);

type ByName = BTreeMap<String, BTreeMap<Hash, Arc<Credential>>>;

/// The users there are.
#[derive(Debug)]
pub struct Users {
    topics: Arc<Topics>,
    by_name: Arc<RwLock<ByName>>,
    salt_secret: [u8; 32],
    /// Whether the secret is on disk.
    is_secret_kept: bool,
}

impl Users {
    /// Users of a data folder on which no broker runs: the first one is made so, since the door is shut before. Blocks.
    ///
    /// # Errors
    /// A damaged folder.
    pub fn offline(log: &Log) -> Result<Users, BrokerError> {
        Users::open(Arc::new(Topics::open(log.clone(), Arc::new(BrokerConfig::default()))?))
    }

    pub(crate) fn open(topics: Arc<Topics>) -> Result<Users, BrokerError> {
        let mut by_name = ByName::new();
        for (key, value) in topics.facts(USER_KEY) {
            let place = key[USER_KEY.len()..].split_once('/');
            let found = place.and_then(|(mechanism, name)| {
                let hash = Hash::ALL.into_iter().find(|hash| hash.mechanism() == mechanism)?;
                Some((name.to_owned(), credential(hash, &value)?))
            });
            match found {
                Some((name, found)) => {
                    by_name.entry(name).or_default().insert(found.hash, Arc::new(found));
                }
                None => {
                    tracing::warn!(%key, "a user's record is not understood: that user cannot log in; set the password anew")
                }
            }
        }
        let mut salt_secret = random();
        let kept = topics
            .facts(SALT_SECRET_KEY)
            .into_iter()
            .next()
            .and_then(|(_, value)| <[u8; 32]>::try_from(&value[..]).ok());
        let is_secret_kept = kept.is_some();
        if let Some(kept) = kept {
            salt_secret = kept;
        }
        Ok(Users { topics, by_name: Arc::new(RwLock::new(by_name)), salt_secret, is_secret_kept })
    }

    /// Makes a user or changes the password: a credential for each SCRAM mechanism. Durable when it returns.
    ///
    /// # Errors
    /// A name or a password that is empty or too long; what the log says.
    pub async fn set_password(&self, name: &str, password: &Secret, iterations: u32) -> Result<(), BrokerError> {
        check_name(name)?;
        let length = password.reveal().len();
        if length == 0 || length > TEXT_BYTES_MAX {
            let why = format!("the password of {name:?} has {length} bytes: 1 to {TEXT_BYTES_MAX} are allowed");
            return Err(BrokerError::InvalidRequest(why));
        }
        check_iterations(iterations)?;
        let change = |hash| {
            let salt: [u8; SALT_BYTES] = random();
            (name.to_owned(), hash, Some(Credential::new(hash, password, salt.to_vec(), iterations)))
        };
        self.alter(Hash::ALL.into_iter().map(change).collect()).await
    }

    /// Takes a user away. False: there is none of that name.
    pub async fn remove(&self, name: &str) -> Result<bool, BrokerError> {
        let known: Vec<Hash> =
            self.by_name.read().get(name).map(|all| all.keys().copied().collect()).unwrap_or_default();
        if known.is_empty() {
            return Ok(false);
        }
        self.alter(known.into_iter().map(|hash| (name.to_owned(), hash, None)).collect()).await?;
        Ok(true)
    }

    /// All users by name.
    pub fn list(&self) -> Vec<UserInfo> {
        let info = |(name, all): (&String, &BTreeMap<Hash, Arc<Credential>>)| UserInfo {
            name: name.clone(),
            credentials: all.iter().map(|(hash, one)| (*hash, one.iterations)).collect(),
        };
        self.by_name.read().iter().map(info).collect()
    }

    /// Carries out changes that were checked, all or none.
    pub(crate) async fn alter(&self, changes: Vec<Change>) -> Result<(), BrokerError> {
        let mut facts: Vec<(String, Option<Bytes>)> = changes
            .iter()
            .map(|(name, hash, credential)| {
                (format!("{USER_KEY}{}/{name}", hash.mechanism()), credential.as_ref().map(record))
            })
            .collect();
        if !self.is_secret_kept {
            facts.push((SALT_SECRET_KEY.to_owned(), Some(Bytes::copy_from_slice(&self.salt_secret))));
        }
        let by_name = self.by_name.clone();
        let apply = move || {
            let mut by_name = by_name.write();
            for (name, hash, credential) in changes {
                let all = by_name.entry(name.clone()).or_default();
                match credential {
                    Some(credential) => {
                        all.insert(hash, Arc::new(credential));
                        tracing::info!(user = name, mechanism = hash.mechanism(), "credential set");
                    }
                    None => {
                        all.remove(&hash);
                        tracing::info!(user = name, mechanism = hash.mechanism(), "credential removed");
                    }
                }
                if all.is_empty() {
                    by_name.remove(&name);
                }
            }
        };
        self.topics.put_facts(facts, apply).await
    }

    /// The credential of a user, if there is one.
    pub(crate) fn get(&self, name: &str, hash: Hash) -> Option<Arc<Credential>> {
        self.by_name.read().get(name)?.get(&hash).cloned()
    }

    /// The credential of a user, or one that looks like it and that no password fits: what is answered must not tell who there is.
    pub(crate) fn get_or_nobody(&self, name: &str, hash: Hash) -> Arc<Credential> {
        self.get(name, hash).unwrap_or_else(|| {
            Arc::new(Credential {
                hash,
                salt: salt_of_nobody(&self.salt_secret, hash, name, SALT_BYTES),
                iterations: self.usual_iterations(hash),
                stored_key: random::<32>().to_vec(),
                server_key: random::<32>().to_vec(),
            })
        })
    }

    /// The credential that a password is held against.
    pub(crate) fn for_password(&self, name: &str) -> Arc<Credential> {
        let any = self.get(name, Hash::Sha256).or_else(|| self.get(name, Hash::Sha512));
        any.unwrap_or_else(|| self.get_or_nobody(name, Hash::Sha256))
    }

    /// The number of iterations that most users have.
    fn usual_iterations(&self, hash: Hash) -> u32 {
        let mut times: BTreeMap<u32, usize> = BTreeMap::new();
        for one in self.by_name.read().values().filter_map(|all| all.get(&hash)) {
            *times.entry(one.iterations).or_default() += 1;
        }
        times.into_iter().max_by_key(|(_, times)| *times).map_or(ITERATIONS_MIN, |(iterations, _)| iterations)
    }
}

/// Whether a user may have this name.
pub(crate) fn check_name(name: &str) -> Result<(), BrokerError> {
    if name.is_empty() || name.len() > TEXT_BYTES_MAX || name.chars().any(char::is_control) {
        let why = format!("a user's name has 1 to {TEXT_BYTES_MAX} bytes and no control characters");
        return Err(BrokerError::InvalidRequest(why));
    }
    Ok(())
}

/// Whether a credential may have so many iterations.
pub(crate) fn check_iterations(iterations: u32) -> Result<(), BrokerError> {
    match (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        true => Ok(()),
        false => Err(BrokerError::InvalidRequest(format!(
            "{iterations} iterations: {ITERATIONS_MIN} to {ITERATIONS_MAX} are allowed"
        ))),
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    SystemRandom::new().fill(&mut out).expect("the system has chance to give");
    out
}

fn record(credential: &Credential) -> Bytes {
    let record = Record {
        salt: BASE64.encode(&credential.salt),
        iterations: credential.iterations,
        stored_key: BASE64.encode(&credential.stored_key),
        server_key: BASE64.encode(&credential.server_key),
    };
    serde_json::to_vec(&record).expect("a credential is plain data").into()
}

fn credential(hash: Hash, value: &[u8]) -> Option<Credential> {
    let record: Record = serde_json::from_slice(value).ok()?;
    let bytes = |text: &str| BASE64.decode(text).ok();
    Some(Credential {
        hash,
        salt: bytes(&record.salt)?,
        iterations: record.iterations,
        stored_key: bytes(&record.stored_key)?,
        server_key: bytes(&record.server_key)?,
    })
}
