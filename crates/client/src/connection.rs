//! One connection to one broker. Requests are pipelined: any number may be under way, the broker answers in order.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use millstream_protocol::codec::{Frame, Writer};
use millstream_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, Message, Request};
use millstream_protocol::{ApiKey, ErrorCode, RequestHeader, decode_response, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::{ClientError, Security};

/// How connections are made and used.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// What the client calls itself.
    pub client_id: String,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer may take, beyond what the request itself asks the broker to wait.
    pub request_timeout: Duration,
    /// Largest answer that is read, in bytes.
    pub response_bytes_max: usize,
    /// TLS and SASL.
    pub security: Security,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        ConnectionOptions {
            client_id: "millstream".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            response_bytes_max: 128 << 20,
            security: Security::default(),
        }
    }
}

/// A connection whose APIs are negotiated. Clones share it.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    address: String,
    options: ConnectionOptions,
    writer: tokio::sync::Mutex<Outgoing>,
    pending: Arc<Mutex<Pending>>,
    versions: OnceLock<HashMap<i16, (i16, i16)>>,
    reader: tokio::task::AbortHandle,
    /// When the log-in is to be done anew: the connection then counts as closed, and the next one takes its place.
    stale: OnceLock<Instant>,
}

/// A side of a socket, with TLS around it or without.
enum Incoming {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

enum OutgoingHalf {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl Incoming {
    async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Incoming::Plain(half) => half.read_buf(buffer).await,
            Incoming::Tls(half) => half.read_buf(buffer).await,
        }
    }
}

impl OutgoingHalf {
    async fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            OutgoingHalf::Plain(half) => half.write_vectored(pieces).await,
            OutgoingHalf::Tls(half) => half.write_vectored(pieces).await,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            OutgoingHalf::Plain(_) => Ok(()),
            OutgoingHalf::Tls(half) => half.flush().await,
        }
    }
}

struct Outgoing {
    half: OutgoingHalf,
    correlation_id: i32,
    /// A write was given up in its middle: what follows would be read as its rest.
    torn: bool,
}

/// Who waits for answers, in order.
#[derive(Default)]
struct Pending {
    waiting: VecDeque<(i32, oneshot::Sender<Bytes>)>,
    /// Why there will be no more answers.
    closed: Option<String>,
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Connection {
    /// Connects to `address` (`host:port`; all addresses of the host are tried) and asks which versions the broker has.
    pub async fn open(address: &str, options: ConnectionOptions) -> Result<Connection, ClientError> {
        let connection = Connection::open_silent(address, options).await?;
        connection.negotiate().await?;
        connection.log_in().await?;
        Ok(connection)
    }

    async fn log_in(&self) -> Result<(), ClientError> {
        let Some(login) = &self.shared.options.security.login else { return Ok(()) };
        let lifetime_ms = login.log_in(self).await?;
        if lifetime_ms > 0 {
            let early = Duration::from_millis(lifetime_ms as u64) * 4 / 5;
            let _ = self.shared.stale.set(Instant::now() + early);
        }
        Ok(())
    }

    /// Connects without a word to the broker: for tests that speak raw frames. [`Connection::call`] takes the newest version known here.
    pub async fn open_silent(address: &str, options: ConnectionOptions) -> Result<Connection, ClientError> {
        let failed = |source: io::Error| ClientError::Connect { address: address.to_owned(), source: Arc::new(source) };
        let stream = timeout(options.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (read_half, write_half) = match &options.security.tls {
            None => {
                let (read_half, write_half) = stream.into_split();
                (Incoming::Plain(read_half), OutgoingHalf::Plain(write_half))
            }
            Some(tls) => {
                let secured = timeout(options.connect_timeout, tls.connect(address, stream)).await;
                let secured = secured.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?;
                let (read_half, write_half) = tokio::io::split(secured.map_err(|error| match error.kind() {
                    // What rustls says itself: a certificate that is not trusted does not become so.
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                        ClientError::Tls { reason: format!("{address}: {error}") }
                    }
                    _ => failed(error),
                })?);
                (Incoming::Tls(read_half), OutgoingHalf::Tls(write_half))
            }
        };
        let pending = Arc::new(Mutex::new(Pending::default()));
        let reader = tokio::spawn(read_answers(read_half, pending.clone(), options.response_bytes_max)).abort_handle();
        let writer = tokio::sync::Mutex::new(Outgoing { half: write_half, correlation_id: 0, torn: false });
        let versions = OnceLock::new();
        Ok(Connection {
            shared: Arc::new(Shared {
                address: address.to_owned(),
                options,
                writer,
                pending,
                versions,
                reader,
                stale: OnceLock::new(),
            }),
        })
    }

    async fn negotiate(&self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "millstream".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let newest = *ApiVersionsRequest::VERSIONS.end();
        let mut version = newest;
        let mut frame = self.exchange(&request, version).await?;
        // An older broker answers in version 0 that it does not know ours.
        if frame.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes()) {
            version = 0;
            frame = self.exchange(&request, version).await?;
        }
        let answer: ApiVersionsResponse = self.decode::<ApiVersionsRequest>(&frame, version)?;
        crate::error::accepted(answer.error_code, None, || format!("{}: ApiVersions", self.shared.address))?;
        let offered = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        let _ = self.shared.versions.set(offered.collect());
        Ok(())
    }

    /// `host:port` as it was given.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether the connection has been lost, or its log-in is about to end.
    pub fn is_closed(&self) -> bool {
        if self.shared.stale.get().is_some_and(|stale| Instant::now() >= *stale) {
            return true;
        }
        lock(&self.shared.pending).closed.is_some()
    }

    /// First and last version of an API that the broker offers.
    pub fn offered(&self, api: ApiKey) -> Option<(i16, i16)> {
        self.shared.versions.get()?.get(&api.code()).copied()
    }

    /// The newest version of `R` that both sides know.
    pub fn version<R: Request>(&self) -> Result<i16, ClientError> {
        self.version_up_to::<R>(i16::MAX)
    }

    /// The newest version of `R` that both sides know, not above `most`.
    pub fn version_up_to<R: Request>(&self, most: i16) -> Result<i16, ClientError> {
        let known = R::VERSIONS;
        let most = most.min(*known.end());
        if self.shared.versions.get().is_none() {
            return Ok(most);
        }
        let offered = self.offered(R::KEY);
        offered
            .map(|(first, last)| (first.max(*known.start()), last.min(most)))
            .filter(|(first, last)| first <= last)
            .map(|(_, last)| last)
            .ok_or_else(|| ClientError::Unsupported { address: self.shared.address.clone(), api: R::KEY, offered })
    }

    /// Sends a request in the newest version that both sides know and waits for its answer.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.call_at(request, self.version::<R>()?).await
    }

    /// Sends a request in this version, offered or not, and waits for its answer.
    pub async fn call_at<R: Request>(&self, request: &R, version: i16) -> Result<R::Response, ClientError> {
        let frame = self.exchange(request, version).await?;
        self.decode::<R>(&frame, version)
    }

    /// As [`Connection::call_at`], with `more` time beyond the usual: for requests that ask the broker to wait.
    pub async fn call_waiting<R: Request>(
        &self,
        request: &R,
        version: i16,
        more: Duration,
    ) -> Result<R::Response, ClientError> {
        let answer =
            self.submit(|id| encode_request(request, version, id, Some(&self.shared.options.client_id))).await?;
        let frame = self.wait(answer, R::NAME, self.shared.options.request_timeout + more).await?;
        self.decode::<R>(&frame, version)
    }

    /// Sends a request that the broker does not answer (Produce with `acks` 0).
    pub async fn send_unanswered<R: Request>(&self, request: &R, version: i16) -> Result<(), ClientError> {
        self.write(|id| encode_request(request, version, id, Some(&self.shared.options.client_id)), None).await
    }

    /// Sends any bytes as the body of any API in any version and gives the answer's frame (correlation id, header, body) as it came: for
    /// differential tests. `flexible` says whether the request's header has tagged fields.
    pub async fn call_raw(
        &self,
        api_key: i16,
        version: i16,
        flexible: bool,
        body: &[u8],
    ) -> Result<Bytes, ClientError> {
        let frame = |correlation_id| {
            let client_id = Some(self.shared.options.client_id.clone());
            let mut writer = Writer::new();
            RequestHeader { api_key, api_version: version, correlation_id, client_id }.write(&mut writer, flexible);
            writer.raw(body);
            writer.finish_framed()
        };
        let answer = self.submit(frame).await?;
        self.wait(answer, "a raw request", self.shared.options.request_timeout).await
    }

    async fn exchange<R: Request>(&self, request: &R, version: i16) -> Result<Bytes, ClientError> {
        let answer =
            self.submit(|id| encode_request(request, version, id, Some(&self.shared.options.client_id))).await?;
        self.wait(answer, R::NAME, self.shared.options.request_timeout).await
    }

    fn decode<R: Request>(&self, frame: &Bytes, version: i16) -> Result<R::Response, ClientError> {
        decode_response::<R>(frame, version)
            .map(|(_, response)| response)
            .map_err(|source| ClientError::Decode { address: self.shared.address.clone(), source })
    }

    fn lost(&self, reason: impl ToString) -> ClientError {
        ClientError::Lost { address: self.shared.address.clone(), reason: reason.to_string() }
    }

    /// Writes the frame and gives where its answer will come.
    async fn submit(&self, frame: impl FnOnce(i32) -> Frame) -> Result<oneshot::Receiver<Bytes>, ClientError> {
        let (sender, receiver) = oneshot::channel();
        self.write(frame, Some(sender)).await?;
        Ok(receiver)
    }

    async fn write(
        &self,
        frame: impl FnOnce(i32) -> Frame,
        answer: Option<oneshot::Sender<Bytes>>,
    ) -> Result<(), ClientError> {
        let mut outgoing = self.shared.writer.lock().await;
        if outgoing.torn {
            return Err(self.lost("an earlier request was given up in its middle"));
        }
        let correlation_id = outgoing.correlation_id;
        outgoing.correlation_id = correlation_id.wrapping_add(1);
        let frame = frame(correlation_id);
        {
            let mut pending = lock(&self.shared.pending);
            if let Some(reason) = &pending.closed {
                return Err(self.lost(reason));
            }
            if let Some(answer) = answer {
                pending.waiting.push_back((correlation_id, answer));
            }
        }
        outgoing.torn = true;
        write_all(&mut outgoing.half, frame).await.map_err(|error| self.lost(error))?;
        outgoing.torn = false;
        Ok(())
    }

    async fn wait(
        &self,
        answer: oneshot::Receiver<Bytes>,
        what: &'static str,
        limit: Duration,
    ) -> Result<Bytes, ClientError> {
        match timeout(limit, answer).await {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(_)) => {
                let reason = lock(&self.shared.pending).closed.clone();
                Err(self.lost(reason.unwrap_or_else(|| "it was closed".to_owned())))
            }
            Err(_) => Err(ClientError::Timeout {
                address: self.shared.address.clone(),
                what,
                timeout_ms: limit.as_millis() as u64,
            }),
        }
    }
}

async fn write_all(half: &mut OutgoingHalf, frame: Frame) -> io::Result<()> {
    let mut pieces: VecDeque<Bytes> = frame.into_pieces().into();
    while !pieces.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        for (slice, piece) in slices.iter_mut().zip(&pieces) {
            *slice = IoSlice::new(piece);
        }
        let mut written = half.write(&slices[..pieces.len().min(64)]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                break;
            }
            written -= piece.len();
            pieces.pop_front();
        }
    }
    half.flush().await
}

/// Hands answers to those who wait until the connection ends, then tells all why.
async fn read_answers(mut half: Incoming, pending: Arc<Mutex<Pending>>, response_bytes_max: usize) {
    let mut buffer = BytesMut::with_capacity(16 << 10);
    let reason = loop {
        match read_frame(&mut half, &mut buffer, response_bytes_max).await {
            Ok(frame) => {
                let correlation_id = i32::from_be_bytes(*frame.first_chunk().expect("a frame has four bytes at least"));
                let Some((expected, answer)) = lock(&pending).waiting.pop_front() else {
                    break format!("an answer (correlation id {correlation_id}) that nobody asked for");
                };
                if expected != correlation_id {
                    break format!("an answer with correlation id {correlation_id} where {expected} was due");
                }
                // Whoever asked may have stopped waiting.
                let _ = answer.send(frame);
            }
            Err(error) => break error.to_string(),
        }
    };
    let mut pending = lock(&pending);
    pending.closed = Some(reason);
    pending.waiting.clear();
}

/// Reads one frame, without its length. Memory grows as the bytes come, not by what the length states.
async fn read_frame(half: &mut Incoming, buffer: &mut BytesMut, bytes_max: usize) -> io::Result<Bytes> {
    const STEP_BYTES: usize = 8 << 20;
    while buffer.len() < 4 {
        if half.read(buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection"));
        }
    }
    let length = buffer.get_u32() as usize;
    if length < 4 || length > bytes_max {
        let text = format!("an answer of {length} bytes, where 4 to {bytes_max} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    while buffer.len() < length {
        let missing = length - buffer.len();
        buffer.reserve(missing.min(STEP_BYTES.max(buffer.len())));
        if half.read(buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection in an answer"));
        }
    }
    Ok(buffer.split_to(length).freeze())
}
