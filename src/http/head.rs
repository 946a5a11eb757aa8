//! The header section: what it must look like, and what it says about the connection and the body.
//!
//! httparse parses the header lines. It accepts a bare LF as a line end, so the line ends are checked here
//! before. All that decides where a request ends is checked here too.

use super::request::{
    Field, Fields, HttpVersion, Request, RequestLine, Span, list_elements, trim_white_space,
};
use super::request_line::is_host;
use super::{HttpError, Limits};

/// The header lines of a request are parsed without an allocation if they are no more than these.
const USUAL_LINES: usize = 16;

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// A request whose body is still to come.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub request: Request,
    /// How the end of the body is found, or why the body is refused.
    pub framing: Result<Framing, HttpError>,
    /// Whether the client sends the body only after it is told to.
    pub expects_continue: bool,
}

/// Finds the empty line that ends a header or trailer section, and reads no byte twice.
#[derive(Debug, Default)]
pub(super) struct Section {
    line_start: usize,
    scanned: usize,
    lines: usize,
}

impl Section {
    /// The end of the section, behind its empty line; none if that has not come yet. In every call `bytes`
    /// begins with the section, and `bytes_limit` is the same.
    pub fn end(
        &mut self,
        bytes: &[u8],
        bytes_limit: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, HttpError> {
        // Bytes behind the limit are not read: else the result would depend on how many of them have come.
        let window = &bytes[..bytes.len().min(bytes_limit)];
        while let Some(end) = line_end(window, &mut self.scanned)? {
            if end - self.line_start == 2 {
                return Ok(Some(end));
            }
            self.line_start = end;
            self.lines += 1;
            if self.lines > limits.headers {
                return Err(HttpError::new(
                    431,
                    format!("there are more than {} header lines", limits.headers),
                ));
            }
        }
        if bytes.len() >= bytes_limit {
            return Err(HttpError::new(
                431,
                format!(
                    "the header or trailer section is larger than {} bytes",
                    limits.header_bytes
                ),
            ));
        }
        Ok(None)
    }

    /// How many lines there are before the empty one.
    pub fn lines(&self) -> usize {
        self.lines
    }
}

/// The end of the line in which `scanned` is, behind its CR LF; none if that has not come yet. A bare LF is an
/// error: only some programs take it for a line end.
pub(super) fn line_end(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, HttpError> {
    let Some(found) = memchr::memchr(b'\n', &bytes[*scanned..]) else {
        *scanned = bytes.len();
        return Ok(None);
    };
    let end = *scanned + found + 1;
    if !bytes[..end].ends_with(b"\r\n") {
        return Err(HttpError::bad_request("a line ends with LF instead of CR LF"));
    }
    *scanned = end;
    Ok(Some(end))
}

/// Makes a request of its request line, which is parsed already, and of the header section at the end of
/// `bytes`.
pub(super) fn parse_head(
    bytes: &[u8],
    line: RequestLine,
    section_start: usize,
    section: &Section,
    limits: &Limits,
) -> Result<RequestHead, HttpError> {
    // The request line is UTF-8, so replacing other bytes moves only places behind it.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let fields = Fields::new(parse_fields(&text, section_start, section.lines())?);
    let mut request =
        Request { text, line, fields, host: None, keep_alive: false, body: Vec::new() };
    let facts = Facts::gather(&request)?;
    request.host = facts.host(&request)?;
    request.keep_alive = facts.keep_alive(request.version());
    let framing = facts.framing(request.version(), limits);
    let expects_continue = framing.is_ok() && facts.expects_continue(request.version())?;
    Ok(RequestHead { request, framing, expects_continue })
}

/// The header lines of the section that goes from `section_start` to the end of `text`.
pub(super) fn parse_fields(
    text: &str,
    section_start: usize,
    lines: usize,
) -> Result<Vec<Field>, HttpError> {
    let section = &text.as_bytes()[section_start..];
    let (mut few, mut many) = ([httparse::EMPTY_HEADER; USUAL_LINES], Vec::new());
    let parsed = match few.get_mut(..lines) {
        Some(few) => few,
        None => {
            many.resize(lines, httparse::EMPTY_HEADER);
            &mut many[..]
        }
    };
    match httparse::parse_headers(section, parsed) {
        Ok(httparse::Status::Complete((end, _))) if end == section.len() => {}
        Ok(_) => return Err(HttpError::bad_request("the header section is malformed")),
        Err(error) => return Err(header_error(error, section)),
    }
    let span = |part: &[u8]| Span::within(text.as_bytes(), part);
    Ok(parsed
        .iter()
        .map(|field| Field { name: span(field.name.as_bytes()), value: span(field.value) })
        .collect())
}

/// The error of httparse in words for a person.
fn header_error(error: httparse::Error, section: &[u8]) -> HttpError {
    let mut lines = section.split(|byte| *byte == b'\n');
    let folded = lines.any(|line| matches!(line.first(), Some(b' ' | b'\t')));
    HttpError::bad_request(match error {
        _ if folded => "a header line is folded (begins with white space)",
        httparse::Error::HeaderName => {
            "a header's name is not a token followed by a colon without white space between"
        }
        httparse::Error::HeaderValue => "a header's value has a control character or a bare CR",
        _ => "the header section is malformed",
    })
}

/// What the headers say about the connection and the body. Each header is read once.
#[derive(Default)]
struct Facts {
    host: Option<Span>,
    length: Option<u64>,
    chunked: bool,
    unknown_coding: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    unknown_expectation: bool,
}

impl Facts {
    fn gather(request: &Request) -> Result<Facts, HttpError> {
        let mut facts = Facts::default();
        for field in request.fields.iter() {
            let name = field.name.of(&request.text);
            let value = field.value.of(&request.text);
            if name.eq_ignore_ascii_case("host") {
                if facts.host.replace(field.value).is_some() {
                    return Err(HttpError::bad_request("there are two Host headers"));
                }
            } else if name.eq_ignore_ascii_case("content-length") {
                facts.add_length(value)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                facts.add_codings(value)?;
            } else if name.eq_ignore_ascii_case("connection") {
                for option in list_elements(value) {
                    facts.close |= option.eq_ignore_ascii_case("close");
                    facts.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
                }
            } else if name.eq_ignore_ascii_case("expect") {
                for expectation in list_elements(value) {
                    if expectation.eq_ignore_ascii_case("100-continue") {
                        facts.expects_continue = true;
                    } else {
                        facts.unknown_expectation = true;
                    }
                }
            }
        }
        Ok(facts)
    }

    fn add_length(&mut self, value: &str) -> Result<(), HttpError> {
        for element in value.split(',').map(trim_white_space) {
            // The digits are checked because `parse` accepts a sign.
            let digits = !element.is_empty() && element.bytes().all(|byte| byte.is_ascii_digit());
            let length = digits.then(|| element.parse().ok()).flatten();
            let Some(length) = length else {
                return Err(HttpError::bad_request("the Content-Length is not a number of bytes"));
            };
            if self.length.is_some_and(|known| known != length) {
                return Err(HttpError::bad_request(
                    "there are two Content-Lengths, and they differ",
                ));
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn add_codings(&mut self, value: &str) -> Result<(), HttpError> {
        for coding in value.split(',').map(trim_white_space) {
            if self.chunked {
                return Err(HttpError::bad_request(
                    "the transfer coding chunked is not the last one, or there twice",
                ));
            }
            if coding.eq_ignore_ascii_case("chunked") {
                self.chunked = true;
            } else {
                self.unknown_coding = true;
            }
        }
        Ok(())
    }

    fn host(&self, request: &Request) -> Result<Option<Span>, HttpError> {
        match self.host {
            Some(host) if !is_host(host.of(&request.text)) => {
                Err(HttpError::bad_request(if host.of(&request.text).starts_with('[') {
                    "the Host header is not [IPv6] or [IPv6]:PORT, without an interface (RFC 9844)"
                } else {
                    "the Host header is not HOST or HOST:PORT"
                }))
            }
            None if request.version() == HttpVersion::Http11 => {
                Err(HttpError::bad_request("there is no Host header"))
            }
            host => Ok(request.line.authority.or(host)),
        }
    }

    fn keep_alive(&self, version: HttpVersion) -> bool {
        !self.close && (version == HttpVersion::Http11 || self.keep_alive)
    }

    fn framing(&self, version: HttpVersion, limits: &Limits) -> Result<Framing, HttpError> {
        if !self.chunked && !self.unknown_coding {
            let length = self.length.unwrap_or(0);
            return match usize::try_from(length) {
                Ok(length) if length <= limits.body_bytes => Ok(Framing::Length(length)),
                _ => Err(body_too_large(limits)),
            };
        }
        if version == HttpVersion::Http10 {
            return Err(HttpError::bad_request("HTTP/1.0 has no Transfer-Encoding"));
        }
        if self.length.is_some() {
            return Err(HttpError::bad_request(
                "there are a Content-Length and a Transfer-Encoding",
            ));
        }
        if !self.chunked {
            return Err(HttpError::bad_request("the last transfer coding is not chunked"));
        }
        if self.unknown_coding {
            return Err(HttpError::new(501, "the only transfer coding understood here is chunked"));
        }
        Ok(Framing::Chunked)
    }

    fn expects_continue(&self, version: HttpVersion) -> Result<bool, HttpError> {
        if version == HttpVersion::Http10 {
            // RFC 9110, 10.1.1: an HTTP/1.0 client would not understand the interim answer.
            return Ok(false);
        }
        if self.unknown_expectation {
            return Err(HttpError::new(
                417,
                "the only expectation that can be met here is 100-continue",
            ));
        }
        Ok(self.expects_continue)
    }
}

pub(super) fn body_too_large(limits: &Limits) -> HttpError {
    HttpError::new(413, format!("the body is larger than {} bytes", limits.body_bytes))
}
