//! One end of the WebSocket of a replication stream: what both ends share.
//!
//! Whatever the other side sends, and whether or not it reads, the cost of a stream is bounded here:
//!
//! - A turn of its task ends after some bytes, calls and messages: `Turns`, `MESSAGES_A_TURN`.
//! - Pongs that the other side does not read take at most `MAX_PONG_BYTES`.
//! - Messages and the read buffer are no larger than [`SocketLimits`] says.
//! - Closing takes at most `CLOSE_LIMIT`.

mod note;
mod pulse;
mod silence;
pub mod transfer;
mod turns;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::client::{Request, Response};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{WebSocketStream, client_async_with_config};
use futures_util::Sink;
use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::stream::Stream as _;

use crate::stream::Stream;
use turns::Turns;

pub use note::Note;
pub use pulse::Pulse;
pub use silence::{PeerSilence, SILENCE_LIMIT, TICK};
pub use turns::Readiness;

/// How many read buffers are read in one turn.
const BUFFERS_A_TURN: usize = 2;

/// How many messages are heard in one turn.
const MESSAGES_A_TURN: u32 = 256;

/// How many bytes of pongs may wait for the other side to read. This is more than the pongs of one turn.
const MAX_PONG_BYTES: usize = 256 << 10;

/// The size of a pong without its payload (RFC 6455 section 5.2).
const PONG_HEADER_BYTES: usize = 6;

/// How long a close handshake may take. Plain nodes never answer one.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The longest reason of a close frame: 125 bytes less the code (RFC 6455 section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// Closes a stream whose reader should dial again at once, with another `since`.
pub const DIAL_AGAIN: CloseCode = CloseCode::Library(4000);

/// The limits of one end.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// The largest message.
    pub message_bytes: usize,
    /// How much is read at once. The buffer lives as long as the stream, and is cleared before each read.
    pub read_buffer_bytes: usize,
}

impl SocketLimits {
    fn turns<S>(self, stream: S) -> Turns<S> {
        Turns::new(stream, BUFFERS_A_TURN * self.read_buffer_bytes)
    }

    fn config(self) -> WebSocketConfig {
        WebSocketConfig::default()
            .max_message_size(Some(self.message_bytes))
            .max_frame_size(Some(self.message_bytes))
            .read_buffer_size(self.read_buffer_bytes)
    }
}

/// One end of a WebSocket, over a stream of bytes.
pub struct Socket<S = Stream> {
    stream: WebSocketStream<Turns<S>>,
    /// How many messages were heard in this turn.
    messages: u32,
    /// An upper bound of the bytes of pongs that are not written yet.
    pong_bytes: usize,
    /// Whether a message waits to be written.
    has_queued: bool,
    /// Whether all that came was heard. Then nothing is heard until the stream is readable again.
    has_heard_all: bool,
    /// Whether the bytes that come are no longer WebSocket.
    is_lost: bool,
}

/// Why nothing more can be heard from the other side.
#[derive(Debug)]
pub enum SocketFault {
    /// It is gone without a close.
    Gone,
    /// It pings, and does not read the pongs.
    Unread,
    /// A message is over the limit.
    TooLarge,
    /// A text is not UTF-8.
    NotUtf8,
    /// What it sends is not WebSocket.
    Protocol(Error),
    /// The connection broke.
    Broken(Error),
}

impl SocketFault {
    /// The close code and reason for the other side, if it can still be told.
    pub fn farewell(&self) -> Option<(CloseCode, &'static str)> {
        match self {
            Self::Gone | Self::Unread | Self::Broken(_) => None,
            Self::TooLarge => Some((CloseCode::Size, "too large")),
            Self::NotUtf8 => Some((CloseCode::Invalid, "not UTF-8")),
            Self::Protocol(_) => Some((CloseCode::Protocol, "not WebSocket")),
        }
    }
}

impl fmt::Display for SocketFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("closed by the other side"),
            Self::Unread => write!(f, "it pings, and has not read {MAX_PONG_BYTES} bytes of pongs"),
            Self::TooLarge => f.write_str("a message is too large"),
            Self::NotUtf8 => f.write_str("a text is not UTF-8"),
            Self::Protocol(error) => write!(f, "not WebSocket: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl From<io::Error> for SocketFault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl From<Error> for SocketFault {
    fn from(error: Error) -> Self {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Gone,
            Error::Capacity(_) => Self::TooLarge,
            Error::Utf8(_) => Self::NotUtf8,
            Error::Protocol(_) => Self::Protocol(error),
            _ => Self::Broken(error),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin> Socket<S> {
    /// The end that was dialed. `read_ahead` are the bytes that were read after the handshake.
    pub async fn accept(stream: S, read_ahead: Vec<u8>, limits: SocketLimits) -> Self {
        let (stream, config) = (limits.turns(stream), Some(limits.config()));
        let socket =
            WebSocketStream::from_partially_read(stream, read_ahead, Role::Server, config).await;
        Self::new(socket)
    }

    /// The end that dials: makes the handshake.
    ///
    /// # Errors
    /// If the other side does not agree.
    pub async fn dial(
        request: Request,
        stream: S,
        limits: SocketLimits,
    ) -> Result<(Self, Response), Error> {
        let (stream, config) = (limits.turns(stream), Some(limits.config()));
        let (socket, response) = client_async_with_config(request, stream, config).await?;
        Ok((Self::new(socket), response))
    }

    fn new(stream: WebSocketStream<Turns<S>>) -> Self {
        Self {
            stream,
            messages: 0,
            pong_bytes: 0,
            has_queued: false,
            has_heard_all: false,
            is_lost: false,
        }
    }

    /// The next message. Pings are answered. When the turn is over, this is pending, and the task is woken to
    /// be polled again.
    pub fn poll_heard(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, SocketFault>> {
        if self.has_heard_all && self.stream.get_mut().poll_readable(context)?.is_pending() {
            return Poll::Pending;
        }
        self.has_heard_all = false;
        if self.messages == MESSAGES_A_TURN || self.stream.get_ref().is_spent() {
            context.waker().wake_by_ref();
        } else if let Poll::Ready(message) = Pin::new(&mut self.stream).poll_next(context) {
            self.messages += 1;
            return Poll::Ready(self.hear(message));
        } else {
            self.has_heard_all = self.stream.get_ref().is_drained();
        }
        self.messages = 0;
        self.stream.get_mut().begin_turn();
        if self.pong_bytes > 0
            && let Poll::Ready(Err(fault)) = self.poll_written(context)
        {
            return Poll::Ready(Err(fault));
        }
        Poll::Pending
    }

    /// Whether all that came was heard at the last poll.
    pub fn has_heard_all(&self) -> bool {
        self.has_heard_all
    }

    fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<Message, SocketFault> {
        match message {
            Some(Ok(Message::Ping(payload))) => {
                self.pong_bytes += PONG_HEADER_BYTES + payload.len();
                if self.pong_bytes > MAX_PONG_BYTES {
                    return Err(SocketFault::Unread);
                }
                Ok(Message::Ping(payload))
            }
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => {
                self.is_lost = true;
                Err(error.into())
            }
            None => Err(SocketFault::Gone),
        }
    }

    /// Queues a message behind those that wait, however many these are.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn queue(&mut self, message: Message) -> Result<(), SocketFault> {
        self.has_queued = true;
        Ok(Pin::new(&mut self.stream).start_send(message)?)
    }

    /// Writes whole frames next. All that waited must be written.
    pub fn put(&mut self, frames: Arc<[u8]>) {
        self.stream.get_mut().put(frames);
    }

    /// Ready when all that waited is written.
    pub fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketFault>> {
        ready!(self.stream.get_mut().poll_put(context))?;
        if self.has_queued || self.pong_bytes > 0 {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            (self.has_queued, self.pong_bytes) = (false, 0);
        }
        Poll::Ready(Ok(()))
    }

    /// A number that changes with each sign of life of the other side: see [`PeerSilence`].
    pub fn signs_of_life(&self) -> u64 {
        self.stream.get_ref().signs_of_life()
    }

    /// Closes the stream with a reason, and waits a little for the other side to close too.
    pub async fn close(mut self, code: CloseCode, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
        let frame = CloseFrame { code, reason: reason.into() };
        let handshake = async {
            // If the frame cannot be written, the other side is gone.
            if self.stream.close(Some(frame)).await.is_err() {
                return;
            }
            if self.is_lost {
                self.drop_what_comes().await;
            } else {
                self.drain().await;
            }
        };
        handshake.or(limit()).await;
    }

    /// Answers the other side's close, and waits a little for the stream to end.
    pub async fn finish(mut self) {
        self.drain().or(limit()).await;
    }

    async fn drain(&mut self) {
        while poll_fn(|context| self.poll_heard(context)).await.is_ok() {}
    }

    /// Lets the other side read the close. If a socket is closed while something is unread, the connection is
    /// reset, and a reset takes away what the other side has not read yet.
    async fn drop_what_comes(&mut self) {
        let stream = self.stream.get_mut();
        if AsyncWriteExt::close(stream).await.is_err() {
            return;
        }
        let mut dropped = [0; 4096];
        while let Ok(1..) = stream.read(&mut dropped).await {}
    }
}

async fn limit() {
    Timer::after(CLOSE_LIMIT).await;
}
