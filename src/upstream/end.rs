//! Why a stream ended.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_tungstenite::tungstenite::http::StatusCode;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{DIAL_LIMIT, SILENCE_LIMIT};
use crate::manager::Stopped;
use crate::transaction::{DecodeError, MAX_ENCODED_BYTES};

/// Why a stream ended, or did not begin.
#[derive(Debug)]
pub enum End {
    /// The node is stopping.
    Stopping,
    /// The peer closed the stream in order; its reason.
    Closed(String),
    /// The host name or the address is not known.
    NoSuchHost(io::Error),
    /// Nothing listens there.
    Refused,
    /// It took longer than [`DIAL_LIMIT`].
    DialTimeout,
    /// The peer wants another token, or any.
    WrongToken,
    /// The peer refuses this node: its status and reason.
    Rejected(StatusCode, String),
    /// What answers is no WebSocket server.
    NotWebSocket(String),
    /// The connection broke.
    Broken(String),
    /// Silent for [`SILENCE_LIMIT`] though it had pinged before.
    Silent,
    /// A message that is no transaction.
    Garbage(DecodeError),
    /// A message over the limit.
    TooLarge,
    /// A transaction's time is too far ahead of this node's clock, by so many microseconds.
    Early(u64),
    /// This node's journal cannot grow.
    Unkept(Arc<io::Error>),
}

impl End {
    /// What the peer is told, where something still can be told.
    pub fn farewell(&self) -> Option<(CloseCode, String)> {
        match self {
            Self::Stopping => Some((CloseCode::Away, "the node is stopping".into())),
            Self::Garbage(error) => Some((CloseCode::Policy, error.to_string())),
            Self::TooLarge => Some((CloseCode::Size, self.to_string())),
            Self::Early(_) => Some((CloseCode::Policy, self.to_string())),
            Self::Unkept(_) => Some((CloseCode::Error, "the journal cannot grow".into())),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("this node is stopping"),
            Self::Closed(reason) if reason.is_empty() => f.write_str("the peer closed the stream"),
            Self::Closed(reason) => write!(f, "the peer closed the stream: {reason}"),
            Self::NoSuchHost(error) => write!(f, "no such host: {error}"),
            Self::Refused => f.write_str("connection refused: nothing listens there"),
            Self::DialTimeout => write!(f, "no answer within {} s", DIAL_LIMIT.as_secs()),
            Self::WrongToken => {
                f.write_str("wrong token: the peer wants the one it was started with")
            }
            Self::Rejected(status, reason) => {
                write!(f, "the peer answers {status}")?;
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            Self::NotWebSocket(error) => write!(f, "not a WebSocket server: {error}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Silent => write!(f, "silent for {} s", SILENCE_LIMIT.as_secs()),
            Self::Garbage(error) => error.fmt(f),
            Self::TooLarge => write!(f, "a message of more than {MAX_ENCODED_BYTES} bytes"),
            Self::Early(ahead_micros) => write!(
                f,
                "a transaction's time is {} s ahead of this node's clock, and an hour is allowed: \
                 one of the clocks is wrong",
                ahead_micros / 1_000_000
            ),
            Self::Unkept(error) => write!(f, "this node's journal cannot grow: {error}"),
        }
    }
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stopping
    }
}
