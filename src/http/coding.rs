//! The body of an answer whose length is not known when it begins.

use super::HttpVersion;

/// How the parts of such a body are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// In chunks (RFC 9112, 7.1).
    Chunked,
    /// Not at all: the body ends with the connection, as in HTTP/1.0, or has an announced length.
    UntilClose,
}

impl Coding {
    /// The coding of an answer to a request of this version.
    pub fn of(version: HttpVersion) -> Self {
        match version {
            HttpVersion::Http11 => Self::Chunked,
            HttpVersion::Http10 => Self::UntilClose,
        }
    }

    /// What goes before a part of `length` bytes, at least one.
    pub fn before(self, length: u64) -> String {
        assert!(length > 0, "an empty chunk would be the last one");
        match self {
            Self::Chunked => format!("{length:x}\r\n"),
            Self::UntilClose => String::new(),
        }
    }

    /// What goes behind each part.
    pub fn behind(self) -> &'static str {
        match self {
            Self::Chunked => "\r\n",
            Self::UntilClose => "",
        }
    }

    /// A whole part of these pieces, at least one byte.
    pub fn part(self, pieces: &[&[u8]]) -> Vec<u8> {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let mut part = self.before(length).into_bytes();
        pieces.iter().for_each(|piece| part.extend_from_slice(piece));
        part.extend_from_slice(self.behind().as_bytes());
        part
    }

    /// What ends the body.
    pub fn end(self) -> &'static str {
        match self {
            Self::Chunked => "0\r\n\r\n",
            Self::UntilClose => "",
        }
    }
}
