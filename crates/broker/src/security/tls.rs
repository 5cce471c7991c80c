//! TLS of a listener: certificates from PEM files, read again when they change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::BrokerError;
use crate::runtime::blocking;

/// How long a client may take for its side of the handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How often, at most, the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Largest PEM file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Whether clients of SSL listeners show a certificate: `ssl.client.auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// `none`: they are not asked.
    #[default]
    None,
    /// `requested`: one that is shown has to be good.
    Requested,
    /// `required`: without a good one nobody comes in.
    Required,
}

/// The files of a listener's TLS, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// `ssl.keystore.location`: the broker's private key, not encrypted, its certificate, and those that lead to the authority.
    pub keystore: PathBuf,
    /// `ssl.truststore.location`: authorities of clients' certificates.
    pub truststore: Option<PathBuf>,
    /// `ssl.client.auth`; none on a listener that asks for a log-in.
    pub client_auth: ClientAuth,
}

/// Why a connection did not come in.
#[derive(Debug)]
pub(crate) struct Refused {
    pub error: io::Error,
    /// Its socket, unless that is closed: whoever failed is kept waiting for the end.
    pub socket: Option<TcpStream>,
}

impl Refused {
    /// Whether the client went away by itself: a look whether the port is open, mostly. It is not there to wait, and did nothing wrong.
    pub fn is_gone(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof};
        let kind = self.error.kind();
        match self.socket {
            Some(_) => [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof].contains(&kind),
            // Only a handshake that took too long takes its socket with it; anything else failed before there was one.
            None => kind != TimedOut,
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Refused { error, socket: None }
    }
}

/// TLS of a listener.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    seen: Vec<Option<(SystemTime, u64)>>,
    looked: Instant,
}

impl Tls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(files: TlsFiles) -> Result<Tls, BrokerError> {
        let seen = stamps(&files);
        let config = load(&files).map_err(BrokerError::InvalidConfig)?;
        Ok(Tls { files, current: Mutex::new(Current { config, seen, looked: Instant::now() }) })
    }

    /// Reads the files now, also if they do not seem to have changed, and serves them unless it is only asked whether it could. If they cannot be
    /// used, those from before stay. Blocks.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(crate) fn read_again(&self, validate_only: bool) -> Result<(), String> {
        let seen = stamps(&self.files);
        let config = load(&self.files)?;
        if validate_only {
            return Ok(());
        }
        let file = self.files.keystore.display();
        tracing::info!(target: "audit", %file, "certificates were read again");
        *self.current.lock() = Current { config, seen, looked: Instant::now() };
        Ok(())
    }

    /// The broker's side of the handshake. What is wrong has been said to the client by TLS's own alert when this fails.
    pub(crate) async fn accept(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, Refused> {
        let acceptor = TlsAcceptor::from(self.config());
        match timeout(HANDSHAKE_TIME_MAX, acceptor.accept(socket).into_fallible()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((error, socket))) => Err(Refused { error, socket: Some(socket) }),
            Err(_) => {
                let error = io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
                Err(Refused { error, socket: None })
            }
        }
    }

    /// What holds now: files that changed are read first. If they cannot be used, those from before stay.
    fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock();
        if current.looked.elapsed() < LOOK_INTERVAL {
            return current.config.clone();
        }
        current.looked = Instant::now();
        let seen = blocking(|| stamps(&self.files));
        if seen != current.seen {
            current.seen = seen;
            match blocking(|| load(&self.files)) {
                Ok(config) => {
                    let file = self.files.keystore.display();
                    tracing::info!(target: "audit", %file, "certificates changed and were read again");
                    current.config = config;
                }
                Err(why) => tracing::error!("certificates changed and cannot be used; the earlier ones stay: {why}"),
            }
        }
        current.config.clone()
    }
}

fn paths(files: &TlsFiles) -> impl Iterator<Item = &PathBuf> {
    std::iter::once(&files.keystore).chain(&files.truststore)
}

fn stamps(files: &TlsFiles) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |path| fs::metadata(path).ok().and_then(|about| Some((about.modified().ok()?, about.len())));
    paths(files).map(stamp).collect()
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let chain = certificates(&files.keystore)?;
    let key_path = files.keystore.display();
    // The key's own error is not repeated: it could hold bytes of it.
    let key = PrivateKeyDer::from_pem_slice(&read(&files.keystore)?)
        .map_err(|_| format!("{key_path}: there is no private key in PEM in it (an encrypted one is not read)"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match (files.client_auth, &files.truststore) {
        (ClientAuth::None, _) => builder.with_no_client_auth(),
        (_, None) => {
            return Err("ssl.client.auth asks for certificates: ssl.truststore.location has to say whose".to_string());
        }
        (auth, Some(path)) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if auth == ClientAuth::Requested { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| format!("{}: {error}", path.display()))?)
        }
    };
    let config = builder.with_single_cert(chain, key);
    Ok(Arc::new(config.map_err(|error| format!("{}: {error}", files.keystore.display()))?))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{}: there is no certificate in PEM in it", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let about = fs::metadata(path).map_err(failed)?;
    if about.len() > FILE_BYTES_MAX {
        return Err(format!("{}: {} bytes are too many for a PEM file", path.display(), about.len()));
    }
    fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_hangs_up_is_no_failure_and_who_is_slow_is_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        for (kind, is_gone) in [(io::ErrorKind::UnexpectedEof, true), (io::ErrorKind::InvalidData, false)] {
            let socket = Some(TcpStream::connect(address).await.expect("it listens"));
            assert_eq!(Refused { error: kind.into(), socket }.is_gone(), is_gone, "{kind}");
        }
        assert!(!Refused { error: io::ErrorKind::TimedOut.into(), socket: None }.is_gone());
        assert!(Refused::from(io::Error::from(io::ErrorKind::InvalidInput)).is_gone(), "it never began");
    }
}
