//! Who is there, and what they may do.
//!
//! ```text
//! socket → transport.rs: TLS or none → session.rs: SASL, the principal → every request carries its session
//! users.rs: credentials as records of `__metadata`       backoff.rs: failed log-ins wait
//! acl.rs: rules                                          authorizer.rs: what they come to
//! ```
//!
//! A `Door` says what is asked of whoever comes in by a listener.

pub(crate) mod acl;
mod authorizer;
mod backoff;
pub mod certificate;
mod distinguished_name;
mod door;
pub(crate) mod session;
mod tls;
pub mod users;

pub(crate) use door::Door;
pub(crate) use tls::Refused;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use crate::configs::listener::{Listener, Protocol};
use crate::seldom::Seldom;
use crate::topics::Topics;
use crate::{BrokerConfig, BrokerError};
use authorizer::Authorizer;
use backoff::Backoff;
use tls::ClientAuth;
use users::Users;

/// What keys of security begin with in the log of topics.
pub(crate) const FACTS: &str = "security/";

/// Whoever a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    /// Kind: `User` is the only one that logs in.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl Principal {
    /// A user of this name.
    pub fn user(name: impl Into<String>) -> Principal {
        Principal { kind: "User".to_owned(), name: name.into() }
    }

    /// Somebody who did not say who they are, as Kafka names them.
    pub fn anonymous() -> Principal {
        Principal::user("ANONYMOUS")
    }

    /// `KIND:NAME`.
    pub fn parse(text: &str) -> Option<Principal> {
        let (kind, name) = text.split_once(':')?;
        (!kind.is_empty() && !name.is_empty()).then(|| Principal { kind: kind.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// How often somebody was turned away since the broker started.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Log-ins that failed.
    pub failed_logins: AtomicU64,
    /// What was asked for and no rule allowed, or one denied.
    pub denials: AtomicU64,
}

/// All that the broker keeps of it.
#[derive(Debug)]
pub(crate) struct Security {
    pub users: Users,
    pub backoff: Mutex<Backoff>,
    /// Which failed TLS handshakes are told, by address.
    pub failed_handshakes: Mutex<Seldom<IpAddr>>,
    pub authorizer: Authorizer,
    pub counts: Counts,
    /// By the listeners' names.
    doors: BTreeMap<String, Arc<Door>>,
}

impl Security {
    /// Reads what is kept. Blocks.
    pub fn open(topics: &Arc<Topics>, config: &BrokerConfig) -> Result<Self, BrokerError> {
        let users = Users::open(topics.clone())?;
        let mut doors = BTreeMap::new();
        for listener in config.listeners().map_err(BrokerError::InvalidConfig)? {
            let door = Door::new(listener.protocol, config)?;
            if listener.protocol == Protocol::SaslSsl && door::client_auth(config) != ClientAuth::None {
                tracing::warn!(
                    listener = %listener.name,
                    "ssl.client.auth is for SSL listeners only: clients of this one show no certificate, they log in by SASL"
                );
            }
            if door.asks_for_login() && users.list().is_empty() {
                tracing::warn!(listener = %listener.name, "there are no users yet: nobody can log in");
            }
            doors.insert(listener.name, Arc::new(door));
        }
        let authorizer = Authorizer::open(topics.clone(), config)?;
        let (backoff, failed_handshakes, counts) = (Mutex::default(), Mutex::default(), Counts::default());
        Ok(Security { users, backoff, failed_handshakes, authorizer, counts, doors })
    }

    /// Reads the certificates of all listeners again, or only says whether they could be. Blocks.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn read_certificates(&self, validate_only: bool) -> Result<(), String> {
        self.doors.values().filter_map(|door| door.tls.as_ref()).try_for_each(|tls| tls.read_again(validate_only))
    }

    /// The door of a listener; `None`: it is to be secured, and the configuration does not know it.
    pub fn door(&self, listener: &Listener) -> Option<Arc<Door>> {
        match listener.protocol {
            Protocol::Plaintext => Some(Arc::default()),
            _ => self.doors.get(&listener.name).cloned(),
        }
    }
}
