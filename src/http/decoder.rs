//! Makes requests of bytes.

use super::head::{Framing, RequestHead, Section, line_end, parse_head};
use super::request::{Request, RequestLine};
use super::request_body::BodyReader;
use super::request_line::is_token_byte;
use super::{HttpError, Limits, ReadBuffer};

/// How many empty lines are accepted before a request line (RFC 9112, 2.2: at least one).
const EMPTY_LINES: usize = 4;

/// Reads one request after the other out of the read buffer of one connection.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: DecoderState,
}

/// What a [`Decoder`] made of the bytes so far.
#[derive(Debug)]
pub enum Decoded {
    /// The request is not complete; read more.
    Incomplete,
    /// As `Incomplete`, but the client sends the body only after [`CONTINUE`](super::CONTINUE). Returned at
    /// most once a request, and only if no byte of the body has come yet.
    AwaitsContinue,
    /// A request is complete. More may be in the buffer.
    Complete(Request),
}

/// How far the next request has come. This decides how long the client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// Some of its request line or header has come.
    Header,
    /// Its header is complete, its body is not.
    Body,
}

/// Invariant: when a state ends, its bytes are consumed. Only the request line and the header section stay in
/// the read buffer until both are complete.
#[derive(Debug)]
enum DecoderState {
    /// Before the request line, after this many empty lines.
    Start { empty_lines: usize },
    /// In the request line; this many of its bytes were searched for its end.
    Line { scanned: usize },
    /// In the header section.
    Fields { line: RequestLine, section_start: usize, section: Section },
    /// In the body.
    Body { request: Request, reader: BodyReader, awaits_continue: bool },
}

const START: DecoderState = DecoderState::Start { empty_lines: 0 };

impl Decoder {
    /// A decoder for a new connection.
    pub fn new(limits: Limits) -> Self {
        Decoder { limits, state: START }
    }

    /// How far the next request has come. This is right only after [`decode`](Self::decode) has seen all bytes
    /// that were read.
    pub fn phase(&self) -> Phase {
        match self.state {
            DecoderState::Start { .. } => Phase::Idle,
            DecoderState::Line { .. } | DecoderState::Fields { .. } => Phase::Header,
            DecoderState::Body { .. } => Phase::Body,
        }
    }

    /// The request whose body is not complete, or is refused.
    pub fn request(&self) -> Option<&Request> {
        match &self.state {
            DecoderState::Body { request, .. } => Some(request),
            _ => None,
        }
    }

    /// How many bytes of the request's body have come by now.
    pub fn body_bytes(&self) -> usize {
        match &self.state {
            DecoderState::Body { request, .. } => request.body.len(),
            _ => 0,
        }
    }

    /// Decodes what is in the buffer. After an error the connection is to be closed, and the decoder must not
    /// be used again.
    pub fn decode(&mut self, buffer: &mut ReadBuffer) -> Result<Decoded, HttpError> {
        loop {
            match &mut self.state {
                DecoderState::Start { empty_lines } => match buffer.unread() {
                    [] | [b'\r'] => return Ok(Decoded::Incomplete),
                    [b'\r', b'\n', ..] if *empty_lines < EMPTY_LINES => {
                        buffer.consume(2);
                        *empty_lines += 1;
                    }
                    [first, ..] if is_token_byte(*first) => {
                        self.state = DecoderState::Line { scanned: 0 };
                    }
                    // Refused at the first byte: another protocol, such as TLS, may have no line ends to wait
                    // for.
                    _ => {
                        return Err(HttpError::bad_request(
                            "a request begins with its method (is this client speaking HTTP?)",
                        ));
                    }
                },
                DecoderState::Line { scanned } => {
                    let Some(end) = request_line_end(buffer.unread(), scanned, &self.limits)?
                    else {
                        return Ok(Decoded::Incomplete);
                    };
                    self.state = DecoderState::Fields {
                        line: RequestLine::parse(&buffer.unread()[..end - 2])?,
                        section_start: end,
                        section: Section::default(),
                    };
                }
                DecoderState::Fields { line, section_start, section } => {
                    let limits = &self.limits;
                    let bytes = &buffer.unread()[*section_start..];
                    let Some(length) = section.end(bytes, limits.header_bytes, limits)? else {
                        return Ok(Decoded::Incomplete);
                    };
                    let end = *section_start + length;
                    let head = parse_head(
                        &buffer.unread()[..end],
                        line.clone(),
                        *section_start,
                        section,
                        limits,
                    )?;
                    buffer.consume(end);
                    self.begin_body(head)?;
                }
                DecoderState::Body { request, reader, awaits_continue } => {
                    let awaits_continue =
                        std::mem::take(awaits_continue) && buffer.unread().is_empty();
                    if !reader.read(buffer, &mut request.body, &self.limits)? {
                        return Ok(if awaits_continue {
                            Decoded::AwaitsContinue
                        } else {
                            Decoded::Incomplete
                        });
                    }
                    let DecoderState::Body { request, .. } =
                        std::mem::replace(&mut self.state, START)
                    else {
                        unreachable!("the state was matched above");
                    };
                    return Ok(Decoded::Complete(request));
                }
            }
        }
    }

    /// Goes on to the body. The request is kept even if its body is refused.
    fn begin_body(&mut self, head: RequestHead) -> Result<(), HttpError> {
        let RequestHead { request, framing, expects_continue: awaits_continue } = head;
        let (framing, refusal) = match framing {
            Ok(framing) => (framing, Ok(())),
            Err(refusal) => (Framing::Length(0), Err(refusal)),
        };
        let reader = BodyReader::new(framing, &self.limits);
        self.state = DecoderState::Body { request, reader, awaits_continue };
        refusal
    }
}

fn request_line_end(
    bytes: &[u8],
    scanned: &mut usize,
    limits: &Limits,
) -> Result<Option<usize>, HttpError> {
    let limit = limits.request_line_bytes + 2;
    let window = &bytes[..bytes.len().min(limit)];
    let end = line_end(window, scanned)?;
    if end.is_none() && bytes.len() >= limit {
        return Err(HttpError::new(
            414,
            format!("the request line is longer than {} bytes", limits.request_line_bytes),
        ));
    }
    Ok(end)
}
