//! TLS, and how a client shows who it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use millstream_protocol::sasl::{Mechanism, SaslError, Secret, plain, scram};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::accepted;
use crate::{ClientError, Connection};

/// Where systems keep the authorities they trust.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How connections are secured; the default is not at all.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// TLS, if the listener speaks it.
    pub tls: Option<Tls>,
    /// SASL, if the listener asks for it.
    pub login: Option<Login>,
}

/// Who logs in, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `sasl.mechanism`.
    pub mechanism: Mechanism,
    /// User.
    pub user: String,
    /// Password; never printed.
    pub password: Secret,
}

/// TLS of a client. The broker's name is always checked.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the authorities in the PEM file `authorities` (none: those of the system) and shows `certificate`, if any: chain and key in PEM.
    /// Blocks.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn new(authorities: Option<&Path>, certificate: Option<(&Path, &Path)>) -> Result<Tls, ClientError> {
        let wrong =
            |path: &Path, why: &dyn fmt::Display| ClientError::Tls { reason: format!("{}: {why}", path.display()) };
        let authorities = match authorities {
            Some(path) => path.to_path_buf(),
            None => SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
                ClientError::Tls { reason: "this system keeps no list of authorities: name a file".to_owned() }
            })?,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&authorities)?);
        if roots.is_empty() {
            return Err(wrong(&authorities, &"there is no certificate in PEM in it"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Tls { reason: error.to_string() })?
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let bytes = std::fs::read(key).map_err(|error| wrong(key, &error))?;
                let private = PrivateKeyDer::from_pem_slice(&bytes)
                    .map_err(|_| wrong(key, &"there is no private key in PEM in it (an encrypted one is not read)"))?;
                builder.with_client_auth_cert(certificates(chain)?, private).map_err(|error| wrong(chain, &error))?
            }
        };
        Ok(Tls { config: Arc::new(config) })
    }

    pub(crate) async fn connect(&self, address: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let wrong = |why: &dyn fmt::Display| ClientError::Tls { reason: format!("{}: {why}", path.display()) };
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| wrong(&error))
}

impl Login {
    /// Logs the connection in. Gives how long that holds, in milliseconds; 0: for ever.
    pub(crate) async fn log_in(&self, connection: &Connection) -> Result<i64, ClientError> {
        let address = connection.address();
        let refused = |error: SaslError| ClientError::Login {
            address: address.to_owned(),
            user: self.user.clone(),
            reason: error.to_string(),
        };
        let request = SaslHandshakeRequest { mechanism: self.mechanism.name().to_owned() };
        // From version 1 on the steps have Kafka's headers.
        let answer = connection.call_at(&request, 1).await?;
        if answer.error_code == ErrorCode::IllegalSaslState {
            return Err(ClientError::Login {
                address: address.to_owned(),
                user: self.user.clone(),
                reason: "this listener wants no log-in: leave SASL_ away in security.protocol, or take the port of a SASL listener"
                    .to_owned(),
            });
        }
        accepted(answer.error_code, None, || {
            format!("{address}: {}; it has {}", self.mechanism, answer.mechanisms.join(", "))
        })?;
        match self.mechanism {
            Mechanism::Plain => Ok(self.step(connection, plain(&self.user, &self.password)).await?.1),
            Mechanism::Scram(hash) => {
                let mut chance = [0; 18];
                SystemRandom::new().fill(&mut chance).expect("the system has chance to give");
                let nonce: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
                let (client, first) = scram::Client::begin(hash, &self.user, self.password.clone(), &nonce);
                let (second, _) = self.step(connection, first).await?;
                let (proof, third) = client.answer(&second).map_err(refused)?;
                let (last, lifetime_ms) = self.step(connection, third).await?;
                proof.check(&last).map_err(refused)?;
                Ok(lifetime_ms)
            }
        }
    }

    async fn step(&self, connection: &Connection, token: Vec<u8>) -> Result<(Vec<u8>, i64), ClientError> {
        let answer = connection.call(&SaslAuthenticateRequest { auth_bytes: token.into() }).await?;
        if answer.error_code.is_ok() {
            return Ok((answer.auth_bytes.to_vec(), answer.session_lifetime_ms));
        }
        Err(ClientError::Login {
            address: connection.address().to_owned(),
            user: self.user.clone(),
            reason: answer.error_message.unwrap_or_else(|| answer.error_code.to_string()),
        })
    }
}
