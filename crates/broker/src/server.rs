//! Listening: a task per connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Broker;
use crate::configs::listener::Listener;
use crate::connection::Connection;
use crate::limits::{Place, connections_max, per_address_max};
use crate::security::{Door, Refused};

/// Connections that do not end by themselves after [`Broker::stop`] are cut after this.
const DRAIN_TIME: Duration = Duration::from_secs(3);
/// Pause after a failed accept: out of file handles, mostly, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients that may wait to be accepted, if the system allows as many (`somaxconn`). After a restart all come at once; one for whom there is no
/// place tries again a second later only.
const BACKLOG: i32 = 4096;

impl Broker {
    /// Serves the connections of `socket` until [`Broker::stop`], in plaintext; clients are told the address by which they came. May be called
    /// for several sockets at a time (IPv4 and IPv6).
    pub async fn serve(self: Arc<Self>, socket: TcpListener) {
        self.serve_listener(Listener::default(), socket).await;
    }

    /// As [`Broker::serve`], by one of [`BrokerConfig::listeners`](crate::BrokerConfig::listeners): clients are told what it advertises.
    pub async fn serve_listener(self: Arc<Self>, listener: Listener, socket: TcpListener) {
        let Some(door) = self.security.door(&listener) else {
            tracing::error!(listener = %listener.name, "not served: it is to be secured, and is none of the configuration's listeners");
            return;
        };
        // The socket listens already: this changes how many may wait.
        if let Err(error) = SockRef::from(&socket).listen(BACKLOG) {
            tracing::warn!(%error, listener = %listener.name, "few connections can wait to be accepted");
        }
        let listener = Arc::new(listener);
        let mut stopping = self.stopping();
        let mut connections = JoinSet::new();
        loop {
            let max = || connections_max(&self.topics.dynamic());
            let accepted = tokio::select! {
                accepted = async { self.connections.room(max).await; socket.accept().await } => accepted,
                _ = stopping.wait_for(|stop| *stop) => break,
                // Gathers those that ended, so that the set does not grow.
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // A socket of both families calls an IPv4 address ::ffff:A.B.C.D; rules, quotas and people know it as A.B.C.D.
                    let address = peer.ip().to_canonical();
                    let peer = SocketAddr::new(address, peer.port());
                    let now_ms = self.config.steady_clock.now_ms();
                    let most = per_address_max(&self.topics.dynamic(), address);
                    let Some(place) = self.connections.enter(address, most) else {
                        if let Some(left_out) = self.connections.refused(now_ms, address, "max.connections.per.ip") {
                            tracing::warn!(%peer, left_out, "connection refused: max.connections.per.ip={most} are open from there");
                        }
                        continue;
                    };
                    let wait_ms = self.quotas.connected(address);
                    if wait_ms > 0 {
                        if let Some(left_out) = self.connections.refused(now_ms, address, "connection_creation_rate") {
                            tracing::warn!(%peer, wait_ms, left_out, "connection refused: more a second than connection_creation_rate allows");
                        }
                        drop(connections.spawn(hold(stream, place, Duration::from_millis(wait_ms))));
                        continue;
                    }
                    drop(connections.spawn(enter(self.clone(), listener.clone(), door.clone(), stream, peer, place)))
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(socket);
        let drained = timeout(DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::debug!(connections = connections.len(), "connections cut");
            connections.shutdown().await;
        }
    }
}

/// A connection that is one too many, or failed to show who it is, keeps its place while it waits, and is closed then: as in Kafka, so that a
/// client does not come again at once.
async fn hold(socket: TcpStream, _place: Place, wait: Duration) {
    tokio::time::sleep(wait).await;
    drop(socket);
}

async fn enter(
    broker: Arc<Broker>,
    listener: Arc<Listener>,
    door: Arc<Door>,
    socket: TcpStream,
    peer: SocketAddr,
    place: Place,
) {
    match door.enter(socket, peer.ip()).await {
        Ok((stream, local, session)) => Connection::new(broker, listener, stream, peer, local, session).run().await,
        Err(refused) if refused.is_gone() => {
            tracing::debug!(%peer, error = %refused.error, "connection was gone at once");
        }
        Err(Refused { error, socket }) => {
            let now_ms = broker.config.steady_clock.now_ms();
            let due = broker.security.failed_handshakes.lock().due(now_ms, peer.ip());
            if let Some(left_out) = due {
                tracing::warn!(%peer, listener = %listener.name, left_out, "TLS handshake failed: {error}");
            }
            // As with a log-in that failed: whoever tries again and again has one place, and is slow.
            if let Some(socket) = socket {
                hold(socket, place, Duration::from_millis(broker.config.failed_authentication_delay_ms)).await;
            }
        }
    }
}
