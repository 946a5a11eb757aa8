//! Why a stream ended.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_tungstenite::tungstenite::http::StatusCode;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::DIAL_LIMIT;
use crate::foreign::visible;
use crate::manager::Stopped;
use crate::mesh::websocket::{DIAL_AGAIN, SILENCE_LIMIT, SocketFault};
use crate::replica::Refusal;
use crate::transaction::{DecodeError, MAX_ENCODED_BYTES};

/// Why a stream ended, or did not begin.
#[derive(Debug)]
pub enum ReceivingEnd {
    /// The node is stopping, or this peer was removed.
    Stopping,
    /// The peer closed the stream, or is gone. With its code and reason, if it gave any.
    Closed(Option<CloseFrame>),
    /// The host name or the address is not known.
    NoSuchHost(io::Error),
    /// Nothing listens there.
    Refused,
    /// There was no stream within [`DIAL_LIMIT`].
    DialTimeout,
    /// TLS with the peer failed: why, and what to do.
    Tls(String),
    /// The peer wants another token, or wants one and got none.
    WrongToken,
    /// The peer refuses this node: status and reason.
    Rejected(StatusCode, String),
    /// The server at this address does not speak WebSocket.
    NotWebSocket(String),
    /// The connection broke.
    Broken(String),
    /// Silent for [`SILENCE_LIMIT`], although the peer is one that pings.
    Silent,
    /// A message is not a transaction.
    Garbage(DecodeError),
    /// A message looks like one of version 2 of the wire, but is not valid.
    BadNote(String),
    /// A message over the limit.
    TooLarge,
    /// The stream failed in another way.
    Failed(SocketFault),
    /// A transaction's time is too far ahead of this node's clock, by this many microseconds.
    Early(u64),
    /// The peer has the same transactions and another document. It may know other transactions under this
    /// node's Ids, so it is dialed again and asked to send them.
    Diverged,
    /// The base is not valid, or not complete.
    BadBase(String),
    /// This node refuses the peer's base.
    BaseRefused(Refusal),
    /// This node could not take the peer's base.
    BaseUnkept(String),
    /// This node is taking another peer's base.
    NoRoom,
    /// The state that this node sent when it dialed is no longer right.
    Outdated,
    /// This node cannot keep a transaction: see [`crate::manager::Submitted`].
    Unkept(Arc<io::Error>),
}

impl ReceivingEnd {
    /// The close code and reason for the peer, if it can still be told.
    pub fn farewell(&self) -> Option<(CloseCode, String)> {
        match self {
            Self::Stopping => Some((CloseCode::Away, self.to_string())),
            Self::Garbage(_) | Self::BadNote(_) => Some((CloseCode::Policy, self.to_string())),
            Self::TooLarge => Some((CloseCode::Size, self.to_string())),
            Self::Failed(fault) => fault.farewell().map(|(code, reason)| (code, reason.to_owned())),
            Self::Early(_) => Some((CloseCode::Policy, self.to_string())),
            Self::Diverged => Some((CloseCode::Normal, "comparing".into())),
            Self::BadBase(_) | Self::BaseRefused(_) => Some((CloseCode::Policy, self.to_string())),
            Self::NoRoom => Some((CloseCode::Again, self.to_string())),
            Self::Outdated => Some((CloseCode::Normal, "dialing again".into())),
            Self::Unkept(_) | Self::BaseUnkept(_) => Some((CloseCode::Error, self.to_string())),
            _ => None,
        }
    }
}

impl ReceivingEnd {
    /// Whether nothing is wrong, and the peer should be dialed again at once.
    pub fn wants_redial(&self) -> bool {
        match self {
            Self::Closed(Some(frame)) => frame.code == DIAL_AGAIN,
            Self::Outdated => true,
            _ => false,
        }
    }
}

impl fmt::Display for ReceivingEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("this node reads no more"),
            Self::Closed(None) => f.write_str("the peer closed the stream"),
            Self::Closed(Some(CloseFrame { code, reason })) => {
                write!(f, "the peer closed the stream: {code} {:?}", reason.as_str())
            }
            Self::NoSuchHost(error) => write!(f, "no such host: {error}"),
            Self::Refused => f.write_str("connection refused: nothing listens there"),
            Self::DialTimeout => write!(f, "no answer within {} s", DIAL_LIMIT.as_secs()),
            Self::Tls(why) => f.write_str(&shown(why)),
            Self::WrongToken => {
                f.write_str("wrong token: the peer wants the one it was started with")
            }
            Self::Rejected(status, reason) => {
                write!(f, "the peer answers {status}")?;
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            Self::NotWebSocket(error) => write!(f, "not a WebSocket server: {}", shown(error)),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Silent => write!(f, "silent for {} s", SILENCE_LIMIT.as_secs()),
            Self::Garbage(error) => f.write_str(&shown(&error.to_string())),
            Self::BadNote(error) => write!(f, "a message is not as it should be: {}", shown(error)),
            Self::Failed(fault) => fault.fmt(f),
            Self::TooLarge => write!(f, "a message of more than {MAX_ENCODED_BYTES} bytes"),
            Self::Early(ahead_micros) => write!(
                f,
                "a transaction's time is {} s ahead of this node's clock, and an hour is allowed: \
                 one of the clocks is wrong",
                ahead_micros / 1_000_000
            ),
            Self::Diverged => f.write_str(
                "it has the same transactions and another document; what it has of this node's is compared",
            ),
            Self::BadBase(error) => write!(f, "its base is not as it should be: {}", shown(error)),
            Self::BaseRefused(refusal) => write!(
                f,
                "its base is not taken: {}",
                match refusal {
                    Refusal::Needless => "this node has all that it says",
                    Refusal::Loses => "its commits lose against those that are known here",
                    Refusal::TooEarly => "it is before the commit at which this node differs",
                }
            ),
            Self::BaseUnkept(error) => write!(f, "this node cannot keep its base: {error}"),
            Self::NoRoom => f.write_str("the base of another peer is being taken"),
            Self::Outdated => {
                f.write_str("this node has taken a base, needs one, or follows another primary")
            }
            Self::Unkept(error) => write!(f, "this node cannot keep a transaction: {error}"),
        }
    }
}

/// A text from a peer as it is logged and shown.
pub fn shown(text: &str) -> String {
    const MOST_BYTES: usize = 200;
    visible(text, MOST_BYTES)
}

impl From<SocketFault> for ReceivingEnd {
    fn from(fault: SocketFault) -> Self {
        match fault {
            SocketFault::Gone => Self::Closed(None),
            SocketFault::TooLarge => Self::TooLarge,
            SocketFault::Broken(error) => Self::Broken(error.to_string()),
            fault => Self::Failed(fault),
        }
    }
}

impl From<Stopped> for ReceivingEnd {
    fn from(_: Stopped) -> Self {
        Self::Stopping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_stays_on_one_line() {
        let reason = "a\n2026 INFO all is well\x1b[2J\u{202e}";
        let frame = CloseFrame { code: CloseCode::Policy, reason: reason.into() };
        let table = [
            ReceivingEnd::Closed(Some(frame)),
            ReceivingEnd::Rejected(StatusCode::BAD_GATEWAY, shown(reason)),
            ReceivingEnd::NotWebSocket(reason.to_owned()),
            ReceivingEnd::Garbage(
                crate::transaction::Transaction::decode(b"{\"Id\":\"a\\nb\"}").unwrap_err(),
            ),
        ];
        for end in table {
            let text = end.to_string();
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        }
        let long = format!("{{\"Id\":\"{}\"}}", "x".repeat(1 << 20));
        let error = crate::transaction::Transaction::decode(long.as_bytes()).unwrap_err();
        assert!(ReceivingEnd::Garbage(error).to_string().len() < 250);
    }
}
