//! The process's own broker: a data folder that is opened and locked, and sockets that serve it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use millstream_broker::configs::listener::{Listener, Protocol};
use millstream_broker::{Broker, BrokerConfig};
use millstream_connectors::EmbeddedLog;
use millstream_log::{Log, LogError, LogOptions};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::task::JoinHandle;

use crate::embedded::Embedded;

/// Clients that may wait to be accepted until the broker, which has its own idea of it, serves the socket.
const BACKLOG: u32 = 1024;

/// An open data folder with its broker.
pub struct Host {
    log: Log,
    /// Topics, groups, sockets.
    pub broker: Arc<Broker>,
    /// The same topics for the pipeline.
    pub embedded: Arc<dyn EmbeddedLog>,
    /// The folder.
    pub data: PathBuf,
    serving: Vec<JoinHandle<()>>,
    /// Where the Kafka protocol is served, a line for each listener.
    pub listening: Vec<String>,
    /// What a person should know of who can come in, a line each.
    pub open_doors: Vec<String>,
}

impl Host {
    /// Opens the folder and says what recovery did. `what` names what is asked for, for the refusal while another process has the folder.
    pub fn open(data: &Path, what: &str, config: BrokerConfig) -> Result<Self> {
        raise_file_limit();
        let (log, report) = match Log::open(data, LogOptions::default()) {
            Ok(opened) => opened,
            Err(LogError::Locked { dir, pid }) => {
                let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                bail!(
                    "{} is in use by {who}, most likely `millstream up`, which works off new rows by itself.\n  Look at its page, or stop \
                     it (Ctrl-C) before {what}; another --data is another, empty log.",
                    dir.display()
                );
            }
            Err(error) => return Err(error).with_context(|| format!("cannot open the data folder {}", data.display())),
        };
        for cut in &report.truncations {
            tracing::warn!(
                partition = %cut.partition,
                bytes = cut.bytes,
                "cut off the torn end of {}; nothing of it was acknowledged",
                cut.path.display()
            );
        }
        for damage in &report.damage {
            tracing::error!("{damage}");
        }
        if !report.clean && !report.created {
            tracing::info!(
                partitions = report.partitions,
                entries = report.journal_entries,
                bytes = report.journal_bytes,
                "recovered: replayed the journal onto the segments"
            );
        }
        let broker = Broker::open(log.clone(), config)?;
        let embedded = Arc::new(Embedded(Arc::clone(&broker)));
        let data = data.to_owned();
        Ok(Self { log, broker, embedded, data, serving: Vec::new(), listening: Vec::new(), open_doors: Vec::new() })
    }

    /// Serves the Kafka protocol on the configured `listeners`, or else on `address`. Gives the first address that clients use.
    pub async fn serve(&mut self, address: &str) -> Result<SocketAddr> {
        let config = self.broker.config();
        let listeners = config.listeners().map_err(anyhow::Error::msg)?;
        if !config.settings.contains_key("listeners") {
            let only = listeners.into_iter().next().context("there is a listener unless it is configured")?;
            let socket = bind(address, "--kafka").await?;
            let bound = self.serve_listener(only, socket).await?;
            self.listening.push(bound.to_string());
            return Ok(bound);
        }
        let mut first = None;
        for listener in listeners {
            let port = listener.port;
            let socket = match listener.host.as_str() {
                "" => bind_everywhere(port).with_context(|| {
                    format!("cannot listen on port {port}: something else does, or may not; `listeners` names it")
                })?,
                host if host.contains(':') => bind(&format!("[{host}]:{port}"), "listeners").await?,
                host => bind(&format!("{host}:{port}"), "listeners").await?,
            };
            let bound = self.serve_listener(listener.clone(), socket).await?;
            self.listening.push(described(&listener, bound));
            tracing::info!("listener {} on {bound}", listener.name);
            first.get_or_insert(bound);
        }
        first.context("listeners: there is none")
    }

    /// A loopback address is served on IPv4 and IPv6, since `localhost` may mean either.
    async fn serve_listener(&mut self, listener: Listener, first: TcpListener) -> Result<SocketAddr> {
        let bound = first.local_addr()?;
        let config = self.broker.config();
        let asks = match listener.protocol {
            Protocol::Plaintext => false,
            Protocol::Ssl => config.settings.get("ssl.client.auth").is_some_and(|value| value == "required"),
            Protocol::SaslPlaintext | Protocol::SaslSsl => true,
        };
        if !bound.ip().is_loopback() && !asks {
            self.open_doors.push(format!(
                "kafka {bound} is open to the network without a log-in: `--set listeners=SASL_SSL://…` asks for one, the host 127.0.0.1 closes it"
            ));
        }
        let twin = match bound.ip() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            _ => None,
        };
        self.serving.push(tokio::spawn(Arc::clone(&self.broker).serve_listener(listener.clone(), first)));
        if let Some(ip) = twin {
            match TcpListener::bind((ip, bound.port())).await {
                Ok(second) => {
                    self.serving.push(tokio::spawn(Arc::clone(&self.broker).serve_listener(listener, second)));
                }
                Err(error) => tracing::warn!("not served on [{ip}]:{}: {error}", bound.port()),
            }
        }
        Ok(bound)
    }

    /// Ends connections, syncs everything and unlocks the folder.
    pub async fn close(self) -> Result<()> {
        self.broker.stop();
        for task in self.serving {
            task.await.context("a listener ended badly")?;
        }
        tokio::task::block_in_place(|| self.log.close()).context("closing the data folder")
    }
}

/// A configured listener for people: where it is bound, which one it is, what clients that come by it are told. The address comes first, for it is
/// what is looked for.
fn described(listener: &Listener, bound: SocketAddr) -> String {
    let protocol = listener.protocol.name();
    let name = match listener.name == protocol {
        true => protocol.to_owned(),
        false => format!("{} ({protocol})", listener.name),
    };
    match &listener.advertised {
        Some((host, port)) if host.contains(':') => format!("{bound}  {name}, advertised as [{host}]:{port}"),
        Some((host, port)) => format!("{bound}  {name}, advertised as {host}:{port}"),
        None => format!("{bound}  {name}, advertised as the address a client came by"),
    }
}

/// Binds a listening socket; `flag` is the option that names another address.
pub async fn bind(address: &str, flag: &str) -> Result<TcpListener> {
    let mut found =
        lookup_host(address).await.with_context(|| format!("{flag} {address}: not an address; write HOST:PORT"))?;
    let address = found.next().with_context(|| format!("{flag} {address}: the name has no address"))?;
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: something else does, or may not; {flag} HOST:PORT names another (port 0: any)"
        )
    })
}

/// Binds a port at every address of this computer, as a listener without a host asks for: one socket for both families, since a name may mean
/// either, or IPv4 alone where there is no IPv6.
fn bind_everywhere(port: u16) -> io::Result<TcpListener> {
    match bind_both_families(port) {
        Err(error) if lacks_ipv6(&error) => {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
            socket.listen(BACKLOG)
        }
        bound => bound,
    }
}

fn bind_both_families(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    socket.set_reuseaddr(true)?;
    // The system's default (net.ipv6.bindv6only) may be the other one.
    sockopt::set_ipv6_v6only(&socket, false)?;
    socket.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    socket.listen(BACKLOG)
}

/// Whether the failure means that this system has no IPv6, built in or switched on.
fn lacks_ipv6(error: &io::Error) -> bool {
    let absent = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

/// Connections and segments are open files: as many as the system lets this process have.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "open files stay limited to {:?}", limit.current);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn everywhere_means_both_families() {
        let socket = bind_everywhere(0).expect("a free port");
        let bound = socket.local_addr().expect("it is bound");
        let of_v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, bound.port())).await;
        assert!(of_v4.is_ok(), "{of_v4:?}");
        // Without IPv6 there is nobody to come by it.
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            let of_v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, bound.port())).await;
            assert!(of_v6.is_ok(), "{of_v6:?}");
        }
    }

    #[test]
    fn only_a_system_without_ipv6_is_served_by_ipv4_alone() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(lacks_ipv6(&of(Errno::AFNOSUPPORT)) && lacks_ipv6(&of(Errno::ADDRNOTAVAIL)));
        assert!(!lacks_ipv6(&of(Errno::ADDRINUSE)), "somebody else has the port");
    }

    #[test]
    fn a_listener_is_described_by_address_name_protocol_and_what_it_advertises() {
        let listeners = Listener::parse_all(
            "PLAINTEXT://:1,INSIDE://:2,SASL_SSL://:3,SIX://:4",
            "INSIDE://broker:29092,SIX://[2001:db8::1]:4",
            "INSIDE:SSL,SIX:PLAINTEXT",
            "",
        );
        let bound: SocketAddr = "127.0.0.1:9092".parse().expect("an address");
        let lines: Vec<_> = listeners.expect("good listeners").iter().map(|one| described(one, bound)).collect();
        assert_eq!(
            lines,
            [
                "127.0.0.1:9092  PLAINTEXT, advertised as the address a client came by",
                "127.0.0.1:9092  INSIDE (SSL), advertised as broker:29092",
                "127.0.0.1:9092  SASL_SSL, advertised as the address a client came by",
                "127.0.0.1:9092  SIX (PLAINTEXT), advertised as [2001:db8::1]:4",
            ]
        );
    }
}
