//! HTTP/1.1 as bytes: bytes become a [`Request`], a [`Response`] becomes bytes. It knows no sockets, no waiting
//! and no clock: the owner of the connection reads, writes and says what time it is.
//!
//! ```text
//! socket -> ReadBuffer -> Decoder -> Request -> (routes) -> Response -> encode -> socket
//! ```
//!
//! The rules:
//!
//! - What can be read in two ways is refused, and the connection is closed ([`HttpError`]): a proxy or a
//!   cache may have seen the border between two requests at another place. If RFC 9112 lets a server be
//!   tolerant or strict, this one is strict: a line ends with CR LF and with nothing else.
//! - The result does not depend on how the network split the bytes. The tests feed every input split at every
//!   byte.
//! - The work is linear in the bytes, however slowly they come: a header is searched once for its end and
//!   parsed once, and each byte of a body is copied once.
//! - Everything that a client sends is bounded ([`Limits`]).
//!
//! Left out on purpose: trailers (read and dropped), transfer codings other than chunked,
//! content codings of requests, and ranges.

mod body;
mod buffer;
mod coding;
mod date;
mod decoder;
mod filter;
mod gzip;
mod head;
mod headers;
mod in_flight;
mod pretty;
mod problem;
mod request;
mod request_body;
mod request_line;
mod response;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use body::{Body, BodyPieces, BrokenOff};
pub use buffer::ReadBuffer;
pub use coding::Coding;
pub use date::DateCache;
pub use decoder::{Decoded, Decoder, Phase};
pub use gzip::{Gzips, is_wanted as is_gzip_wanted};
pub use headers::Headers;
pub use in_flight::{Full, InFlight, SMALL_BYTES};
pub use pretty::Pretty;
pub use problem::Problem;
pub use request::{HttpVersion, Request, percent_decode};
pub use request_line::split_at_first;
pub use response::{Delivery, Response, reason_phrase};

/// Tells a client that holds its body back (`Expect: 100-continue`) to send it.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much of the node one client, and all clients together, may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The request line, without its line end. Beyond it: 414.
    pub request_line_bytes: usize,
    /// The header section, with its line ends and the empty line. The trailer section and the
    /// extensions of all chunks together have the same limit. Beyond it: 431.
    pub header_bytes: usize,
    /// Header lines. Beyond it: 431.
    pub headers: usize,
    /// The body, after the chunks are joined. Beyond it: 413, as soon as that is known.
    pub body_bytes: usize,
    /// From the first byte of a request to the end of its header. Beyond it: 408.
    pub header_time: Duration,
    /// From the end of a request's header to the end of its body. Beyond it: 408.
    pub body_time: Duration,
    /// How long a connection may be silent between requests. Beyond it: closed. It is longer than the 60 s of
    /// most proxies, so that the proxy closes first: if the node did, a request might be on its way.
    pub idle_time: Duration,
    /// How long a client may take to read its answer. Beyond it: closed.
    pub write_time: Duration,
    /// Connections at once. Beyond it: 503.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes: 8 * 1024,
            header_bytes: 16 * 1024,
            headers: 100,
            body_bytes: 1024 * 1024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(75),
            write_time: Duration::from_secs(30),
            connections: 1024,
        }
    }
}

/// Why a request is refused before it reaches the routes.
///
/// If a [`Decoder`] returns one, the connection ends after the answer, since it is not known where the next
/// request begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// The status of the answer.
    pub status: u16,
    /// One line that says what is wrong.
    pub detail: Cow<'static, str>,
}

impl HttpError {
    /// An error with this status and this line.
    pub fn new(status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        HttpError { status, detail: detail.into() }
    }

    fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        HttpError::new(400, detail)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HttpError { status, detail } = self;
        write!(formatter, "{status} {}: {detail}", reason_phrase(*status))
    }
}

impl std::error::Error for HttpError {}

#[cfg(test)]
pub(crate) mod tests;
