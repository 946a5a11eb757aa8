//! Sends requests to running nodes: the one HTTP/1.1 client of this program.
//!
//! A [`RemoteNode`] keeps its connection from one request to the next, and reads an answer a piece at a time,
//! so that it may be of any length, or have no end. Everything has a time limit. No request is repeated here:
//! the caller knows whether it may be, and is told whether it may have been done ([`NodeFault`]).

mod answer_body;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use smol::Timer;
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::{Remote, authority};
use crate::http::ReadBuffer;
use crate::stream::{Security, Stream};
use answer_body::AnswerBody;

/// How long it may take to look up a node, to connect to it, and for the TLS handshake.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// How long an answer may take to begin, and to continue, unless the caller has another limit.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The longest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The most headers of an answer.
const MAX_HEADERS: usize = 100;

/// The longest answer that is read as a whole.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A request. `Host`, `Authorization` and `Content-Length` are added.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path, percent-encoded, and its query.
    pub target: &'a str,
    /// More headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> NodeRequest<'a> {
    /// A request to read what is at `target`.
    pub fn get(target: &'a str) -> Self {
        Self { method: "GET", target, ..Self::default() }
    }
}

/// The beginning of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// Its status.
    pub status: u16,
    /// Its headers, in their order.
    pub headers: Vec<(String, String)>,
}

impl AnswerHead {
    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// An answer as a whole.
#[derive(Clone, Debug, Default)]
pub struct NodeAnswer {
    /// Its head.
    pub head: AnswerHead,
    /// Its body.
    pub body: Vec<u8>,
}

impl NodeAnswer {
    /// The body, read as JSON.
    ///
    /// # Errors
    /// If it is no JSON, or JSON of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Why a node refuses a request, in words, with the status (RFC 9457).
    pub fn trouble(&self) -> String {
        let status = self.head.status;
        if status == 401 {
            return "it wants another token".to_owned();
        }
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("and not why");
        format!("it answers {status}, {detail}")
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// The node is not reached. Nothing was sent.
    Unreachable(String),
    /// The connection broke, or took too long, after the request was sent: it may have been done.
    Broken(String),
}

impl fmt::Display for NodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable(why) | Self::Broken(why)) = self;
        f.write_str(why)
    }
}

/// Connects to a running node.
///
/// # Errors
/// If that is not possible; in words.
pub async fn connect(remote: &Remote) -> Result<Stream, String> {
    dial(remote, &Security::load(&remote.tls)?, DIAL_LIMIT).await
}

async fn dial(remote: &Remote, security: &Security, limit: Duration) -> Result<Stream, String> {
    let Remote { address, is_tls, .. } = remote;
    let stream = async {
        let stream = security.dial(address, *is_tls).await;
        stream.map_err(|error| format!("{address}: {error}"))
    };
    let late = async {
        Timer::after(limit).await;
        Err(format!("{address}: no connection within {} s", seconds(limit)))
    };
    let stream = stream.or(late).await?;
    // Without this a request may wait for an acknowledgement. That would only cost time.
    stream.tcp().set_nodelay(true).ok();
    Ok(stream)
}

/// A running node, with the connection to it if there is one.
#[derive(Debug)]
pub struct RemoteNode {
    remote: Remote,
    security: Security,
    connection: Option<NodeConnection>,
}

#[derive(Debug)]
struct NodeConnection {
    stream: Stream,
    input: ReadBuffer,
    /// What is missing of the answer.
    body: AnswerBody,
    /// Whether another request may follow.
    is_kept: bool,
}

impl RemoteNode {
    /// The node at this address.
    ///
    /// # Errors
    /// If the TLS files cannot be used; in words.
    pub fn new(remote: Remote) -> Result<Self, String> {
        let security = Security::load(&remote.tls)?;
        Ok(Self { remote, security, connection: None })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.remote.address
    }

    /// Closes the connection, even if an answer is not complete.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a request, and reads the head of the answer. [`piece`](Self::piece) reads the body.
    ///
    /// # Errors
    /// If there is no answer within `limit`.
    pub async fn ask(
        &mut self,
        request: &NodeRequest<'_>,
        limit: Duration,
    ) -> Result<AnswerHead, NodeFault> {
        let begin = Instant::now();
        if self.connection.as_ref().is_none_or(|connection| !connection.is_usable()) {
            let dialed = dial(&self.remote, &self.security, DIAL_LIMIT.min(limit)).await;
            self.connection = Some(NodeConnection::new(dialed.map_err(NodeFault::Unreachable)?));
        }
        let limit = limit.saturating_sub(begin.elapsed());
        let head = self.head_of(request);
        let is_head_only = request.method == "HEAD";
        self.within(limit, async |connection| {
            let written = connection.write(&head, request.body).await;
            let answered = connection.read_head(is_head_only).await;
            // A node that refuses a request may answer before it has read all of it.
            answered.map_err(|error| written.err().unwrap_or(error))
        })
        .await
    }

    /// The next piece of the answer's body; none at its end.
    ///
    /// # Errors
    /// If the body is cut off, or no piece comes within `limit`.
    pub async fn piece(&mut self, limit: Duration) -> Result<Option<Vec<u8>>, NodeFault> {
        let piece = self.within(limit, async |connection| connection.read_piece().await).await;
        let is_over = self.connection.as_ref().is_some_and(|connection| !connection.is_kept);
        if is_over && matches!(piece, Ok(None)) {
            self.connection = None;
        }
        piece
    }

    /// Sends a request, and reads the whole answer.
    ///
    /// # Errors
    /// If it does not come in time: `limit` is for its head, and then for each piece.
    pub async fn request(
        &mut self,
        request: &NodeRequest<'_>,
        limit: Duration,
    ) -> Result<NodeAnswer, NodeFault> {
        let head = self.ask(request, limit).await?;
        let body = self.rest(limit).await?;
        Ok(NodeAnswer { head, body })
    }

    /// The rest of the answer's body.
    ///
    /// # Errors
    /// If it is cut off or too long, or no piece of it comes within `limit`.
    pub async fn rest(&mut self, limit: Duration) -> Result<Vec<u8>, NodeFault> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(limit).await? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER_BYTES {
                self.connection = None;
                let most = MAX_ANSWER_BYTES >> 20;
                let why = format!("{}: the answer has more than {most} MiB", self.address());
                return Err(NodeFault::Broken(why));
            }
        }
        Ok(body)
    }

    fn head_of(&self, request: &NodeRequest<'_>) -> Vec<u8> {
        let NodeRequest { method, target, headers, body } = request;
        let host = authority(&self.remote.address);
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        if let Some(token) = &self.remote.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() || !matches!(*method, "GET" | "HEAD") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in *headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Works with the connection, which is closed if that fails.
    async fn within<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut NodeConnection) -> io::Result<T>,
    ) -> Result<T, NodeFault> {
        let Some(connection) = &mut self.connection else {
            return Err(NodeFault::Broken(format!(
                "{}: the connection is over",
                self.remote.address
            )));
        };
        let late = async {
            Timer::after(limit).await;
            let why = format!("nothing came within {} s", seconds(limit));
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        };
        let done = work(connection).or(late).await;
        done.map_err(|error| {
            self.connection = None;
            NodeFault::Broken(format!("{}: {error}", self.remote.address))
        })
    }
}

impl NodeConnection {
    fn new(stream: Stream) -> Self {
        Self { stream, input: ReadBuffer::new(), body: AnswerBody::Over, is_kept: true }
    }

    /// Whether another request can be sent: the last answer is read, and the node has not closed the
    /// connection.
    fn is_usable(&self) -> bool {
        let is_over = self.body == AnswerBody::Over && self.input.unread().is_empty();
        let is_silent = || {
            let peeked = self.stream.tcp().peek(&mut [0]);
            peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        is_over && self.is_kept && is_silent()
    }

    async fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        self.stream.write_all(head).await?;
        self.stream.write_all(body).await?;
        self.stream.flush().await
    }

    /// Reads more bytes. Returns how many; 0 if the node sends no more.
    async fn fill(&mut self) -> io::Result<usize> {
        let count = self.stream.read(self.input.space()).await?;
        self.input.filled(count);
        Ok(count)
    }

    async fn read_head(&mut self, is_head_only: bool) -> io::Result<AnswerHead> {
        let no_node = || io::Error::other("what answers is no patchmesh node");
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(self.input.unread()).map_err(|_| no_node())?;
            if let httparse::Status::Complete(length) = parsed {
                let head = AnswerHead::of(&response);
                let is_last = response.version == Some(0) || head.closes();
                self.input.consume(length);
                if let 100..=199 = head.status {
                    continue;
                }
                self.body = match is_head_only {
                    true => AnswerBody::Over,
                    false => AnswerBody::of(&head).ok_or_else(no_node)?,
                };
                self.is_kept = !is_last && self.body != AnswerBody::UntilEnd;
                return Ok(head);
            }
            if self.input.unread().len() > MAX_HEAD_BYTES {
                return Err(no_node());
            }
            if self.fill().await? == 0 {
                return Err(io::Error::other("the connection ended without an answer"));
            }
        }
    }

    async fn read_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let piece = self.body.take(&mut self.input).map_err(io::Error::other)?;
            if piece.is_some() || self.body == AnswerBody::Over {
                return Ok(piece);
            }
            if self.fill().await? == 0 {
                self.body.end().map_err(io::Error::other)?;
            }
        }
    }
}

impl AnswerHead {
    fn of(response: &httparse::Response<'_, '_>) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let headers = response.headers.iter();
        let headers = headers.map(|header| (header.name.to_owned(), text(header.value)));
        Self { status: response.code.unwrap_or_default(), headers: headers.collect() }
    }

    fn closes(&self) -> bool {
        self.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A duration in seconds, rounded for a person.
fn seconds(time: Duration) -> f32 {
    (time.as_secs_f32() * 10.0).round() / 10.0
}

/// A text, percent-encoded for a path. `/` stays as it is.
pub fn percent_encoded(text: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b':')
        .remove(b'/');
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests;
