//! The body of an answer: in memory, made a piece at a time, or without an end.

use std::fmt;
use std::sync::Arc;

use super::in_flight::CountedBody;
use super::{Coding, HttpVersion};

/// The bytes of an answer, which can be shared with other answers.
#[derive(Debug)]
pub enum Body {
    /// Part of the program.
    Static(&'static [u8]),
    /// Made for this answer.
    Owned(Vec<u8>),
    /// Shared with other owners.
    Shared(Arc<[u8]>),
    /// Another body, which counts among the answers in flight.
    Counted(Box<CountedBody>),
    /// Made while it is written.
    Pieces(BodyPieces),
    /// Not known yet: it follows in parts, see [`Coding`].
    Stream,
}

/// A body that is made a piece at a time, so that it is never in memory as a whole.
pub struct BodyPieces {
    /// The length of the body; none if it is known only at the end.
    length: Option<u64>,
    next: Box<NextPiece>,
}

type NextPiece = dyn FnMut() -> Result<Option<Vec<u8>>, BrokenOff> + Send;

/// Why a body in pieces breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenOff {
    /// The pieces do not have the length that was announced.
    WrongLength,
    /// The client reads so slowly that the data behind the pieces cannot be kept any longer.
    TooSlow,
}

impl Body {
    /// A body of `length` bytes in these pieces. The next piece is asked for when the one before it is written,
    /// and only if `may_go_on` says so. It should take little time to make one.
    pub fn in_pieces(
        length: u64,
        pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
        may_go_on: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        let (mut pieces, mut left) = (pieces, length);
        let next = move || {
            if !may_go_on() {
                return Err(BrokenOff::TooSlow);
            }
            match pieces.next() {
                Some(piece) => {
                    left = left.checked_sub(piece.len() as u64).ok_or(BrokenOff::WrongLength)?;
                    Ok(Some(piece))
                }
                None if left == 0 => Ok(None),
                None => Err(BrokenOff::WrongLength),
            }
        };
        Body::Pieces(BodyPieces { length: Some(length), next: Box::new(next) })
    }

    /// Whether its length is known.
    pub fn has_length(&self) -> bool {
        match self {
            Body::Pieces(pieces) => pieces.length.is_some(),
            Body::Stream => false,
            _ => true,
        }
    }

    /// Its length; 0 if that is not known.
    pub fn length(&self) -> u64 {
        match self {
            Body::Pieces(pieces) => pieces.length.unwrap_or(0),
            _ => self.at_hand().len() as u64,
        }
    }

    /// The bytes that are in memory: all, or none of a body that is made while it is written.
    pub fn at_hand(&self) -> &[u8] {
        match self {
            Body::Static(bytes) => bytes,
            Body::Owned(bytes) => bytes,
            Body::Shared(bytes) => bytes,
            Body::Counted(counted) => counted.body().at_hand(),
            Body::Pieces(_) | Body::Stream => b"",
        }
    }
}

impl BrokenOff {
    /// The level at which it is logged: a wrong length is a fault of this node.
    pub fn level(self) -> log::Level {
        match self {
            Self::WrongLength => log::Level::Error,
            Self::TooSlow => log::Level::Warn,
        }
    }
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongLength => "the answer has not the length that it says (a bug)",
            Self::TooSlow => {
                "its client reads so slowly that too much has changed since its answer began"
            }
        })
    }
}

impl BodyPieces {
    /// The pieces that `next` makes, of unknown length.
    pub(super) fn of_unknown_length(
        next: impl FnMut() -> Result<Option<Vec<u8>>, BrokenOff> + Send + 'static,
    ) -> Self {
        Self { length: None, next: Box::new(next) }
    }

    /// How the pieces are framed: not at all if the length is known.
    pub fn coding(&self, version: HttpVersion) -> Coding {
        if self.length.is_some() { Coding::UntilClose } else { Coding::of(version) }
    }

    /// The next piece, which may be empty; none if there are no more.
    ///
    /// # Errors
    /// If the pieces do not have the announced length, or the client is too slow. Then the answer cannot be
    /// completed.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, BrokenOff> {
        (self.next)()
    }
}

impl fmt::Debug for BodyPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("length", &self.length).finish_non_exhaustive()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::Static(text.as_bytes())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::Owned(text.into_bytes())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::Owned(bytes)
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Self {
        Body::Shared(bytes)
    }
}
