//! Why a connection ends.

use std::fmt;
use std::io;

use crate::http::{BrokenOff, HttpError};
use crate::stream::TakeoverTask;

/// Why a conversation ended.
pub(super) enum ConnectionEnd {
    /// The client closed the connection after the last answer.
    Left,
    /// The client closed the connection in the middle of a request.
    LeftInside,
    /// The client asked for the end.
    AskedFor,
    /// Nothing came for too long.
    Idle,
    /// The client speaks TLS.
    SpeaksTls,
    /// A request was refused, or was not complete in time.
    Refused(HttpError),
    /// The client did not read its answer in time.
    Unread,
    /// The pieces of an answer broke off.
    BrokenOff(BrokenOff),
    /// The system says that the connection is broken.
    Failed(io::Error),
    /// The node shuts down.
    ShutDown,
    /// This task has taken the connection over, and is to be run.
    TakenOver(TakeoverTask),
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionEnd::Left => formatter.write_str("closed by the client"),
            ConnectionEnd::LeftInside => {
                formatter.write_str("closed by the client inside a request")
            }
            ConnectionEnd::AskedFor => formatter.write_str("closed after the answer, as asked"),
            ConnectionEnd::Idle => formatter.write_str("closed, nothing came any more"),
            ConnectionEnd::SpeaksTls => formatter.write_str("closed, it speaks TLS"),
            ConnectionEnd::Refused(error) => write!(formatter, "closed after {error}"),
            ConnectionEnd::Unread => {
                formatter.write_str("closed, the client does not read its answer")
            }
            ConnectionEnd::BrokenOff(why) => write!(formatter, "closed, {why}"),
            ConnectionEnd::Failed(error) => write!(formatter, "broken: {error}"),
            ConnectionEnd::ShutDown => formatter.write_str("closed by the shutdown"),
            ConnectionEnd::TakenOver(_) => formatter.write_str("taken over"),
        }
    }
}
