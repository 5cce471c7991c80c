//! Bytes of a connection, with TLS around them or without. An enum, so that a plain socket is used as it is.

use std::future::pending;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// Room made for reading while nothing says how much comes.
const READ_BYTES_MIN: usize = 16 << 10;
/// Room that a frame gets at once; a larger one gets as much again as it has. Memory that nothing was received into is only an address.
const FRAME_ROOM_BYTES: usize = 1 << 20;
/// How long the end of a TLS connection may take to be said.
const GOODBYE_TIME: Duration = Duration::from_millis(500);

/// A socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What came.
pub(crate) enum Read {
    Bytes,
    End,
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Reads what there is. `missing`: how many bytes the frame at the front of `input` still wants. Behind a frame that does not
    /// fit the smallest room nothing is read, so that it has its memory for itself. Nothing is taken from memory before the client has sent
    /// something. Nothing is lost if it is given up.
    pub async fn fill(&mut self, input: &mut BytesMut, missing: usize) -> io::Result<Read> {
        let wanted = match input.len() + missing > READ_BYTES_MIN && missing > 0 {
            true => missing.min(input.len().max(FRAME_ROOM_BYTES)),
            false => READ_BYTES_MIN,
        };
        match self {
            Stream::Plain(socket) => loop {
                socket.readable().await?;
                input.reserve(wanted);
                match socket.try_read_buf(&mut input.limit(wanted)) {
                    Ok(0) => return Ok(Read::End),
                    Ok(_) => return Ok(Read::Bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            },
            Stream::Tls(stream) => {
                let bytes = match stream.fill_buf().await {
                    Ok(bytes) => bytes,
                    // Many clients hang up without TLS's goodbye.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Read::End),
                    Err(error) => return Err(error),
                };
                if bytes.is_empty() {
                    return Ok(Read::End);
                }
                input.reserve(wanted.max(bytes.len()));
                input.extend_from_slice(bytes);
                let length = bytes.len();
                std::pin::Pin::new(stream.as_mut()).consume(length);
                Ok(Read::Bytes)
            }
        }
    }

    /// Resolves when the client has closed its side with nothing more to read.
    pub async fn gone(&self) -> io::Result<()> {
        let mut byte = [0];
        match self.socket().peek(&mut byte).await? {
            0 => Ok(()),
            // There is another request, which waits for its turn: reading goes on after that.
            _ => pending().await,
        }
    }

    /// Writes some of the pieces; gives how many bytes.
    pub async fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write_vectored(pieces).await,
            Stream::Tls(stream) => stream.write_vectored(pieces).await,
        }
    }

    /// Sends what was written and is still held back.
    pub async fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => stream.flush().await,
        }
    }

    /// Says goodbye, where the protocol has one.
    pub async fn end(&mut self) {
        if let Stream::Tls(stream) = self {
            let _ = timeout(GOODBYE_TIME, stream.shutdown()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nothing_is_read_behind_a_large_frame() {
        const FRAME: usize = 100 << 10;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        let mut stream = Stream::Plain(listener.accept().await.expect("a client").0);
        let sending = tokio::spawn(async move { client.write_all(&[7; FRAME + 300]).await.map(|()| client) });
        let mut input = BytesMut::new();
        assert!(matches!(stream.fill(&mut input, 0).await, Ok(Read::Bytes)));
        assert!(input.len() <= READ_BYTES_MIN);
        while input.len() < FRAME {
            let missing = FRAME - input.len();
            assert!(matches!(stream.fill(&mut input, missing).await, Ok(Read::Bytes)));
        }
        assert_eq!(input.len(), FRAME);
        let _client = sending.await.expect("no panic").expect("all is sent");
    }
}
