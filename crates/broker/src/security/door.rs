//! What is asked of whoever comes in by a listener.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use millstream_protocol::sasl::Mechanism;
use tokio::net::TcpStream;

use super::session::Session;
use super::tls::{ClientAuth, Refused, Tls, TlsFiles};
use super::{Principal, distinguished_name};
use crate::configs::listener::Protocol;
use crate::transport::Stream;
use crate::{BrokerConfig, BrokerError};

/// `ssl.client.auth`, which speaks of SSL listeners.
pub(crate) fn client_auth(config: &BrokerConfig) -> ClientAuth {
    match config.settings.get("ssl.client.auth").map(|value| value.trim()) {
        Some("required") => ClientAuth::Required,
        Some("requested") => ClientAuth::Requested,
        _ => ClientAuth::None,
    }
}

/// A listener's security. [`Door::default`] is open: PLAINTEXT.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door {
    /// TLS, if the listener speaks it.
    pub tls: Option<Arc<Tls>>,
    /// Ways to log in, one of which has to be taken; empty: nobody logs in.
    pub sasl: Vec<Mechanism>,
}

impl Door {
    /// What the configuration asks for on a listener that speaks `protocol`. Blocks.
    ///
    /// # Errors
    /// Certificates that are not named or cannot be used.
    pub(crate) fn new(protocol: Protocol, config: &BrokerConfig) -> Result<Door, BrokerError> {
        let get = |name| config.settings.get(name).map(String::as_str).filter(|value| !value.trim().is_empty());
        let is_tls = matches!(protocol, Protocol::Ssl | Protocol::SaslSsl);
        let tls = match (is_tls, get("ssl.keystore.location")) {
            (false, _) => None,
            (true, None) => {
                let why = format!(
                    "a listener speaks {}: ssl.keystore.location has to name a PEM file with the broker's key and certificate",
                    protocol.name()
                );
                return Err(BrokerError::InvalidConfig(why));
            }
            (true, Some(keystore)) => Some(Arc::new(Tls::open(TlsFiles {
                keystore: keystore.into(),
                truststore: get("ssl.truststore.location").map(PathBuf::from),
                client_auth: match protocol {
                    Protocol::Ssl => client_auth(config),
                    // As in Kafka (KIP-684): who logs in by SASL is known by that.
                    _ => ClientAuth::None,
                },
            })?)),
        };
        let mut sasl = Vec::new();
        if matches!(protocol, Protocol::SaslPlaintext | Protocol::SaslSsl) {
            match get("sasl.enabled.mechanisms") {
                Some(names) => sasl.extend(names.split(',').filter_map(|name| Mechanism::from_name(name.trim()))),
                None => sasl.extend(Mechanism::ALL),
            }
        }
        Ok(Door { tls, sasl })
    }

    pub(crate) fn asks_for_login(&self) -> bool {
        !self.sasl.is_empty()
    }

    /// Brings a connection through TLS, if there is any, to where requests begin. Gives the local address too.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn enter(
        self: Arc<Self>,
        socket: TcpStream,
        address: IpAddr,
    ) -> Result<(Stream, SocketAddr, Arc<Session>), Refused> {
        socket.set_nodelay(true)?;
        let local = socket.local_addr()?;
        let mut principal = Principal::anonymous();
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                let stream = tls.accept(socket).await?;
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                match certificate.map(|certificate| distinguished_name::of_certificate(certificate)) {
                    None => {}
                    Some(Some(name)) => principal = Principal::user(name),
                    Some(None) => {
                        let why = "the client's certificate has no subject that can be read";
                        let error = io::Error::new(io::ErrorKind::InvalidData, why);
                        return Err(Refused { error, socket: Some(stream.into_inner().0) });
                    }
                }
                Stream::Tls(Box::new(stream))
            }
        };
        Ok((stream, local, Arc::new(Session::new(self, address, principal))))
    }
}
