//! One connection: frames in, answers out in the order of the requests.
//!
//! Requests of a pipelined API (Produce) begin while earlier ones are on their way; any other waits until it is alone, so that a client sees
//! what it did before. Memory for a frame grows only as its bytes come in, an idle connection holds none.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};
use millstream_protocol::codec::{DecodeError, Frame, Reader, Writer};
use millstream_protocol::{ApiKey, ErrorCode, RequestHeader, encode_response};
use tokio::time::Instant;

use crate::Broker;
use crate::apis::{self, Context, Entry, Reply};
use crate::configs::listener::Listener;
use crate::limits::{RequestMemory, Reserved};
use crate::quotas::Muted;
use crate::security::session::Session;
use crate::transport::{Read, Stream};

/// Bytes of a length prefix.
const LENGTH_BYTES: usize = 4;
/// Requests that may be on their way at a time …
const IN_FLIGHT_MAX: usize = 64;
/// … and their bytes, beyond one request: the log has each once more until it is synced.
const IN_FLIGHT_BYTES_MAX: usize = 8 << 20;
/// Somebody who does nothing to log in is sent away after this.
const LOGIN_IDLE_MAX: Duration = Duration::from_secs(30);
/// A large request of which nothing comes in for so long gives its place up, if others wait for memory.
const STALL_MAX: Duration = Duration::from_secs(10);
/// Pieces in one write.
const SLICES_MAX: usize = 64;

/// Why a connection is closed from this side.
#[derive(Debug, thiserror::Error)]
enum Close {
    #[error("the client is gone")]
    Gone,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Length(String),
    #[error("a request stopped coming in, and its memory was needed")]
    Stalled,
    #[error("the client does not read its answers")]
    Unread,
    #[error("a request that is not answered failed: {0}")]
    Unheard(String),
    #[error("request {api} version {version} of client {client:?} is not served")]
    Unsupported { api: String, version: i16, client: String },
    #[error("{api} of client {client:?}, which has not logged in: set its security.protocol and sasl.mechanism")]
    NotLoggedIn { api: &'static str, client: String },
    #[error("the session of {0} is over: the client did not log in once more (connections.max.reauth.ms)")]
    Expired(String),
    #[error("request of {bytes} bytes cannot be read: {error}")]
    Malformed { bytes: usize, error: DecodeError },
}

type Answer = BoxFuture<'static, Reply>;

pub(crate) struct Connection {
    broker: Arc<Broker>,
    listener: Arc<Listener>,
    stream: Stream,
    session: Arc<Session>,
    peer: SocketAddr,
    local: SocketAddr,
    input: BytesMut,
    in_flight: FuturesOrdered<Answer>,
    in_flight_sizes: VecDeque<usize>,
    /// Memory of the requests on their way, and of the one that is being received.
    in_flight_memory: VecDeque<Option<Reserved>>,
    reserved: Option<Reserved>,
    /// The request that is on its way has to be alone.
    is_alone: bool,
    output: VecDeque<Bytes>,
    client_id: Arc<str>,
    /// Nothing is read for a while: a quota has been overrun.
    muted: Option<Muted>,
}

impl Connection {
    pub fn new(
        broker: Arc<Broker>,
        listener: Arc<Listener>,
        stream: Stream,
        peer: SocketAddr,
        local: SocketAddr,
        session: Arc<Session>,
    ) -> Self {
        Connection {
            broker,
            listener,
            stream,
            session,
            peer,
            local,
            input: BytesMut::new(),
            in_flight: FuturesOrdered::new(),
            in_flight_sizes: VecDeque::new(),
            in_flight_memory: VecDeque::new(),
            reserved: None,
            is_alone: false,
            output: VecDeque::new(),
            client_id: "".into(),
            muted: None,
        }
    }

    pub async fn run(mut self) {
        match self.answer_all().await {
            Ok(()) | Err(Close::Gone) => tracing::trace!(peer = %self.peer, "connection ended"),
            Err(Close::Io(error)) => tracing::debug!(peer = %self.peer, %error, "connection broke"),
            Err(why) => tracing::warn!(peer = %self.peer, "connection closed: {why}"),
        }
        self.stream.end().await;
    }

    async fn answer_all(&mut self) -> Result<(), Close> {
        let mut stopping = self.broker.stopping();
        loop {
            while self.may_begin() && self.begin_next()? {}
            // What is ready goes out together.
            while let Some(Some(answer)) = self.in_flight.next().now_or_never() {
                self.answered(answer)?;
            }
            if !self.output.is_empty() {
                self.write_all().await?;
                continue;
            }
            let is_idle = self.in_flight.is_empty();
            let muted_until = self.muted.as_ref().map(|muted| muted.until);
            if is_idle && self.session.is_over() {
                return Ok(());
            }
            let may_read = self.may_begin();
            let (idle_max, bytes_max) = self.limits();
            let memory = self.broker.request_memory.clone();
            let mut lacks = self.lacks_memory(bytes_max)?;
            if let Some(length) = lacks {
                self.reserved = memory.reserve(length);
                lacks = lacks.filter(|_| self.reserved.is_none());
            }
            let may_stall = self.reserved.is_some() && may_read;
            tokio::select! {
                biased;
                Some(answer) = self.in_flight.next(), if !is_idle => self.answered(answer)?,
                came = next(&mut self.stream, &mut self.input, bytes_max, may_read), if lacks.is_none() => came?,
                reserved = memory.wait(lacks.unwrap_or(0)), if lacks.is_some() => self.reserved = Some(reserved),
                () = tokio::time::sleep(STALL_MAX), if may_stall => {
                    if memory.is_short() {
                        return Err(Close::Stalled);
                    }
                }
                _ = stopping.wait_for(|stop| *stop), if is_idle => return Ok(()),
                () = until(muted_until), if muted_until.is_some() => self.muted = None,
                () = tokio::time::sleep(idle_max), if is_idle && muted_until.is_none() => {
                    tracing::debug!(peer = %self.peer, "nothing happened for connections.max.idle.ms: closed");
                    return Ok(());
                }
            }
        }
    }

    fn answered(&mut self, answer: Reply) -> Result<(), Close> {
        self.in_flight_sizes.pop_front();
        self.in_flight_memory.pop_front();
        self.is_alone = false;
        self.reply(answer)
    }

    fn reply(&mut self, answer: Reply) -> Result<(), Close> {
        match answer {
            Reply::Frame(frame) => self.output.extend(frame.into_pieces()),
            Reply::Nothing => {}
            Reply::Close(why) => return Err(Close::Unheard(why)),
            Reply::Throttled(reply, wait) => {
                self.mute(wait);
                return self.reply(*reply);
            }
        }
        Ok(())
    }

    /// Reads nothing for so long, and keeps no more memory meanwhile than for what has come in already.
    fn mute(&mut self, wait: Duration) {
        let muted = self.broker.quotas.mute(wait);
        if self.muted.as_ref().is_none_or(|earlier| earlier.until < muted.until) {
            self.muted = Some(muted);
        }
        self.input = BytesMut::from(&self.input[..]);
    }

    /// The length of a large request that begins to come in and has no memory yet.
    fn lacks_memory(&self, bytes_max: usize) -> Result<Option<usize>, Close> {
        if self.reserved.is_some() || !self.may_begin() {
            return Ok(None);
        }
        let length = frame_length(&self.input, bytes_max)?;
        let is_partial = |length: &usize| self.input.len() < LENGTH_BYTES + length;
        Ok(length.filter(|length| *length > RequestMemory::SMALL_BYTES && is_partial(length)))
    }

    /// How long nothing may happen, and how large a frame may be.
    fn limits(&self) -> (Duration, usize) {
        let config = &self.broker.config;
        let idle_max = Duration::from_millis(config.connections_idle_ms_max);
        match self.session.frame_bytes_max(config.request_bytes_max) {
            bytes_max if bytes_max < config.request_bytes_max => (idle_max.min(LOGIN_IDLE_MAX), bytes_max),
            bytes_max => (idle_max, bytes_max),
        }
    }

    fn may_begin(&self) -> bool {
        let bytes: usize = self.in_flight_sizes.iter().sum();
        !self.is_alone
            && self.muted.is_none()
            && self.in_flight.len() < IN_FLIGHT_MAX
            && (bytes < IN_FLIGHT_BYTES_MAX || self.in_flight.is_empty())
    }

    /// Begins the request at the front of what came in. False: it is not whole yet, or has to wait until it is alone.
    fn begin_next(&mut self) -> Result<bool, Close> {
        let Some(length) = frame_length(&self.input, self.limits().1)? else {
            return Ok(false);
        };
        let Some(body) = self.input.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
            return Ok(false);
        };
        if self.session.is_bare() {
            return Ok(self.begin_bare(length));
        }
        let (api_key, version) = match body {
            [a, b, c, d, ..] => (i16::from_be_bytes([*a, *b]), i16::from_be_bytes([*c, *d])),
            _ => return Err(Close::Length(format!("a frame of {length} bytes has no room for a request"))),
        };
        let entry = apis::find(api_key, version);
        if !entry.is_some_and(|entry| entry.pipelined) && !self.in_flight.is_empty() {
            self.is_alone = true;
            return Ok(false);
        }
        let frame = self.take_frame(length);
        let mut reader = Reader::new(&frame);
        let malformed = |error| Close::Malformed { bytes: length, error };
        let header = RequestHeader::read(&mut reader).map_err(malformed)?;
        let answer = match entry {
            Some(entry) => {
                self.check_login(entry, &header)?;
                self.broker.requests.count(api_key);
                let client_id = header.client_id.as_deref().unwrap_or_default();
                if *self.client_id != *client_id {
                    self.client_id = client_id.into();
                }
                let context = Context {
                    broker: self.broker.clone(),
                    version,
                    client_id: self.client_id.clone(),
                    peer: self.peer,
                    local: self.local,
                    listener: self.listener.clone(),
                    session: self.session.clone(),
                    request_bytes: length,
                };
                self.is_alone = !entry.pipelined;
                let client = if entry.pipelined { context.client() } else { None };
                let answer = (entry.call)(context, &header, &mut reader).map_err(malformed)?;
                // The next requests would not wait for this one's answer, which says so.
                if let Some(wait_ms @ 1..) = client.map(|client| client.has_to_wait_ms()) {
                    self.mute(Duration::from_millis(wait_ms));
                }
                answer
            }
            None => {
                self.is_alone = true;
                Box::pin(std::future::ready(Reply::Frame(refuse(&header)?)))
            }
        };
        self.in_flight.push_back(answer);
        self.in_flight_sizes.push_back(length);
        self.in_flight_memory.push_back(self.reserved.take());
        Ok(true)
    }

    /// The frame at the front. One that is alone takes its memory with it, so that none stays behind when it has been answered.
    fn take_frame(&mut self, length: usize) -> Bytes {
        self.input.advance(LENGTH_BYTES);
        match self.input.len() == length {
            true => std::mem::take(&mut self.input).freeze(),
            false => self.input.split_to(length).freeze(),
        }
    }

    /// A step of a log-in without Kafka's header.
    fn begin_bare(&mut self, length: usize) -> bool {
        if !self.in_flight.is_empty() {
            self.is_alone = true;
            return false;
        }
        let token = self.take_frame(length);
        let (session, broker) = (self.session.clone(), self.broker.clone());
        self.is_alone = true;
        self.in_flight_sizes.push_back(length);
        self.in_flight_memory.push_back(self.reserved.take());
        self.in_flight.push_back(Box::pin(async move {
            let Ok(step) = session.step(&broker, &token).await else { return Reply::Nothing };
            let mut writer = Writer::new();
            writer.raw(&step.answer);
            Reply::Frame(writer.finish_framed())
        }));
        true
    }

    fn check_login(&self, entry: &Entry, header: &RequestHeader) -> Result<(), Close> {
        if entry.before_login || self.session.is_in(self.broker.config.clock.now_ms()) {
            return Ok(());
        }
        Err(match self.session.has_expired() {
            true => Close::Expired(self.session.principal().to_string()),
            false => Close::NotLoggedIn { api: entry.key.name(), client: header.client_id.clone().unwrap_or_default() },
        })
    }

    async fn write_all(&mut self) -> Result<(), Close> {
        while !self.output.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                self.output.iter().take(SLICES_MAX).map(|piece| IoSlice::new(piece)).collect();
            let idle_max = Duration::from_millis(self.broker.config.connections_idle_ms_max);
            let write = tokio::time::timeout(idle_max, self.stream.write(&slices));
            let mut written = write.await.map_err(|_| Close::Unread)??;
            if written == 0 {
                return Err(Close::Gone);
            }
            while let Some(piece) = self.output.front_mut()
                && written > 0
            {
                let part = written.min(piece.len());
                piece.advance(part);
                written -= part;
                if piece.is_empty() {
                    self.output.pop_front();
                }
            }
        }
        self.stream.flush().await?;
        Ok(())
    }
}

/// ApiVersions of a version that is not known is answered in version 0, so that any client can go on; anything else ends the connection.
fn refuse(header: &RequestHeader) -> Result<Frame, Close> {
    if header.api() == Some(ApiKey::ApiVersions) {
        let response = apis::unsupported_api_versions(ErrorCode::UnsupportedVersion, 0);
        return Ok(encode_response(&response, 0, header.correlation_id));
    }
    Err(Close::Unsupported {
        api: header.api().map_or_else(
            || format!("key {}", header.api_key),
            |key| format!("{} (key {})", key.name(), header.api_key),
        ),
        version: header.api_version,
        client: header.client_id.clone().unwrap_or_default(),
    })
}

/// The length that the frame at the front states, once its prefix is there.
fn frame_length(input: &[u8], bytes_max: usize) -> Result<Option<usize>, Close> {
    let Some(prefix) = input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes(*prefix)) {
        Ok(length) if length <= bytes_max => Ok(Some(length)),
        _ => Err(Close::Length(match prefix {
            b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" => {
                "this looks like HTTP; Kafka's protocol is spoken here".to_string()
            }
            [0x16, 0x03, ..] => {
                "this looks like TLS; the listener is plaintext (security.protocol=PLAINTEXT)".to_string()
            }
            _ => format!(
                "a frame states a length of {}; socket.request.max.bytes is {bytes_max}",
                i32::from_be_bytes(*prefix)
            ),
        })),
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits for more of a frame. A request that is alone keeps this side from reading; that the client went away is seen all the same.
async fn next(stream: &mut Stream, input: &mut BytesMut, bytes_max: usize, may_read: bool) -> Result<(), Close> {
    if !may_read {
        stream.gone().await?;
        return Err(Close::Gone);
    }
    let missing = match frame_length(input, bytes_max)? {
        Some(length) => (LENGTH_BYTES + length).saturating_sub(input.len()),
        None => 0,
    };
    match stream.fill(input, missing).await? {
        Read::Bytes => Ok(()),
        Read::End => Err(Close::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_believed_only_within_bounds() {
        assert!(matches!(frame_length(b"\x00\x00", 100), Ok(None)));
        assert!(matches!(frame_length(b"\x00\x00\x00\x64", 100), Ok(Some(100))));
        assert!(matches!(frame_length(b"\x00\x00\x00\x65", 100), Err(Close::Length(_))));
        assert!(matches!(frame_length(b"\xff\xff\xff\xff", 100), Err(Close::Length(_))));
        let Err(Close::Length(words)) = frame_length(b"GET / HTTP/1.1", 100) else { panic!("HTTP is refused") };
        assert!(words.contains("HTTP"));
    }
}
