//! A connection's way from nobody to somebody.
//!
//! ```text
//! SaslHandshake(mechanism) → SaslAuthenticate, once (PLAIN) or twice (SCRAM) → the principal holds until the session expires (KIP-368)
//! ```
//!
//! After SaslHandshake 0 the steps come as bare frames, without Kafka's headers.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millstream_protocol::ErrorCode;
use millstream_protocol::sasl::{Mechanism, SaslError, parse_plain, scram};
use parking_lot::Mutex;

use super::users::random;
use super::{Door, Principal};
use crate::Broker;
use crate::runtime::blocking;

/// Largest frame of somebody who has not logged in.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// What a connection is, as far as its client has shown.
#[derive(Debug)]
pub(crate) struct Session {
    pub door: Arc<Door>,
    address: IpAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    principal: Arc<Principal>,
    stage: Stage,
    /// Steps come as bare frames.
    bare: bool,
    /// How it logged in.
    mechanism: Option<Mechanism>,
    expires_ms: Option<i64>,
}

#[derive(Debug)]
enum Stage {
    /// There is nothing to show, or it was shown.
    In,
    /// Has to choose a mechanism.
    Handshake,
    /// Has chosen.
    First(Mechanism),
    /// Has to prove it.
    Proof { mechanism: Mechanism, user: String, server: Box<scram::Server> },
    /// Failed: the connection ends after the answer.
    Over,
}

/// A step that was taken.
#[derive(Debug)]
pub(crate) struct Step {
    pub answer: Vec<u8>,
    /// How long the session holds from now on, in milliseconds; 0: for ever, or it is not there yet.
    pub lifetime_ms: i64,
}

/// Why a step was not: the code and the words for the client.
pub(crate) type Refusal = (ErrorCode, String);

impl Session {
    pub fn new(door: Arc<Door>, address: IpAddr, principal: Principal) -> Self {
        let stage = if door.asks_for_login() { Stage::Handshake } else { Stage::In };
        let state = State { principal: Arc::new(principal), stage, bare: false, mechanism: None, expires_ms: None };
        Session { door, address, state: Mutex::new(state) }
    }

    /// Who it is.
    pub fn principal(&self) -> Arc<Principal> {
        self.state.lock().principal.clone()
    }

    /// Whether requests are served beyond those that log in.
    pub fn is_in(&self, now_ms: i64) -> bool {
        if !self.door.asks_for_login() {
            return true;
        }
        let state = self.state.lock();
        matches!(state.stage, Stage::In) && state.expires_ms.is_none_or(|end_ms| now_ms < end_ms)
    }

    /// Whether it was in, and its time is up.
    pub fn has_expired(&self) -> bool {
        let state = self.state.lock();
        state.mechanism.is_some() && matches!(state.stage, Stage::In)
    }

    /// The connection is to be closed.
    pub fn is_over(&self) -> bool {
        self.door.asks_for_login() && matches!(self.state.lock().stage, Stage::Over)
    }

    /// The next frame is a bare step.
    pub fn is_bare(&self) -> bool {
        if !self.door.asks_for_login() {
            return false;
        }
        let state = self.state.lock();
        state.bare && matches!(state.stage, Stage::First(_) | Stage::Proof { .. })
    }

    /// Largest frame that is read from it.
    pub fn frame_bytes_max(&self, usual: usize) -> usize {
        if !self.door.asks_for_login() {
            return usual;
        }
        match self.state.lock().stage {
            Stage::In => usual,
            _ => usual.min(FRAME_BYTES_MAX),
        }
    }

    /// Chooses a mechanism. Version 0 goes on with bare frames.
    pub fn handshake(&self, name: &str, version: i16) -> Result<(), ErrorCode> {
        let mut state = self.state.lock();
        let may_begin = match state.stage {
            Stage::Handshake => true,
            // To log in once more there has to be an end to the session.
            Stage::In => state.expires_ms.is_some(),
            _ => false,
        };
        if !may_begin {
            return Err(ErrorCode::IllegalSaslState);
        }
        let chosen = Mechanism::from_name(name).filter(|mechanism| self.door.sasl.contains(mechanism));
        let Some(mechanism) = chosen else {
            tracing::info!(address = %self.address, mechanism = name, "log-in refused: the listener does not have this mechanism");
            state.stage = Stage::Over;
            return Err(ErrorCode::UnsupportedSaslMechanism);
        };
        state.bare = version == 0;
        state.stage = Stage::First(mechanism);
        Ok(())
    }

    /// Takes a step of the mechanism chosen. Whoever failed before waits here.
    pub async fn step(&self, broker: &Broker, token: &[u8]) -> Result<Step, Refusal> {
        let stage = std::mem::replace(&mut self.state.lock().stage, Stage::Over);
        match stage {
            Stage::First(Mechanism::Plain) => {
                let (user, password) =
                    parse_plain(token).map_err(|error| self.malformed(broker, Mechanism::Plain, error))?;
                self.wait_in_line(broker, &user, Mechanism::Plain).await?;
                let credential = broker.security.users.for_password(&user);
                match blocking(|| credential.is_of(&password)) {
                    true => self.logged_in(broker, user, Mechanism::Plain, Vec::new()),
                    false => Err(self.failed(broker, &user, Mechanism::Plain).await),
                }
            }
            Stage::First(mechanism @ Mechanism::Scram(hash)) => {
                let first =
                    scram::ClientFirst::parse(token).map_err(|error| self.malformed(broker, mechanism, error))?;
                let user = first.user.clone();
                self.wait_in_line(broker, &user, mechanism).await?;
                let credential = broker.security.users.get_or_nobody(&user, hash);
                let nonce = URL_SAFE_NO_PAD.encode(random::<24>());
                let (server, answer) = scram::Server::begin((*credential).clone(), first, &nonce);
                self.state.lock().stage = Stage::Proof { mechanism, user, server: Box::new(server) };
                Ok(Step { answer, lifetime_ms: 0 })
            }
            Stage::Proof { mechanism, user, server } => match server.finish(token) {
                Ok(answer) => self.logged_in(broker, user, mechanism, answer),
                Err(SaslError::Wrong) => Err(self.failed(broker, &user, mechanism).await),
                Err(error) => Err(self.malformed(broker, mechanism, error)),
            },
            Stage::In | Stage::Handshake | Stage::Over => {
                let why = "SaslHandshake comes first, and names the mechanism".to_owned();
                Err((ErrorCode::IllegalSaslState, why))
            }
        }
    }

    async fn wait_in_line(&self, broker: &Broker, user: &str, mechanism: Mechanism) -> Result<(), Refusal> {
        let now_ms = broker.config.clock.now_ms();
        let wait_ms = broker.security.backoff.lock().attempt(now_ms, self.address, user);
        match wait_ms {
            Some(0) => Ok(()),
            Some(wait_ms) => {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                Ok(())
            }
            None => Err(self.failed(broker, user, mechanism).await),
        }
    }

    fn logged_in(&self, broker: &Broker, user: String, mechanism: Mechanism, answer: Vec<u8>) -> Result<Step, Refusal> {
        broker.security.backoff.lock().succeeded(self.address, &user);
        let mut state = self.state.lock();
        let again = state.mechanism.is_some();
        if again && (state.principal.name != user || state.mechanism != Some(mechanism)) {
            let why = format!("a session of {} goes on as itself, by the same mechanism", state.principal);
            return Err((ErrorCode::SaslAuthenticationFailed, why));
        }
        let lifetime_ms = broker.config.connections_max_reauth_ms;
        if lifetime_ms > 0 {
            state.expires_ms = Some(broker.config.clock.now_ms() + lifetime_ms);
        }
        tracing::debug!(address = %self.address, user, %mechanism, again, "logged in");
        state.principal = Arc::new(Principal::user(user));
        state.mechanism = Some(mechanism);
        state.stage = Stage::In;
        Ok(Step { answer, lifetime_ms })
    }

    async fn failed(&self, broker: &Broker, user: &str, mechanism: Mechanism) -> Refusal {
        broker.security.counts.failed_logins.fetch_add(1, Relaxed);
        tracing::warn!(address = %self.address, user, %mechanism, "log-in failed: user or password is wrong");
        broker.security.backoff.lock().failed(broker.config.clock.now_ms(), self.address, user);
        tokio::time::sleep(Duration::from_millis(broker.config.failed_authentication_delay_ms)).await;
        let words = match mechanism {
            Mechanism::Plain => "Authentication failed: Invalid username or password".to_owned(),
            Mechanism::Scram(_) => format!(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
            ),
        };
        (ErrorCode::SaslAuthenticationFailed, words)
    }

    fn malformed(&self, broker: &Broker, mechanism: Mechanism, error: SaslError) -> Refusal {
        broker.security.counts.failed_logins.fetch_add(1, Relaxed);
        tracing::warn!(address = %self.address, %mechanism, "log-in refused: {error}");
        (ErrorCode::SaslAuthenticationFailed, error.to_string())
    }
}
