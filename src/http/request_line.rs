//! The request line: method, target, version.

use std::net::Ipv6Addr;

use super::HttpError;
use super::request::{HttpVersion, RequestLine, Span};

impl RequestLine {
    /// Parses a request line without its line end.
    pub fn parse(line: &[u8]) -> Result<RequestLine, HttpError> {
        let malformed = || HttpError::bad_request("the request line is not METHOD TARGET HTTP/1.1");
        let text = std::str::from_utf8(line)
            .map_err(|_| HttpError::bad_request("the request line is not UTF-8"))?;
        let (method, rest) = split_at_first(text, b' ').ok_or_else(malformed)?;
        let (target, version) = split_at_first(rest, b' ').ok_or_else(malformed)?;
        if method.is_empty() || !method.bytes().all(is_token_byte) {
            return Err(malformed());
        }
        let version = parse_version(version).ok_or_else(malformed)??;
        let target = RequestTarget::parse(method, target)?;
        let span = |part: &str| Span::within(line, part.as_bytes());
        Ok(RequestLine {
            method: span(method),
            authority: target.authority.map(span),
            path: span(target.path),
            query: target.query.map(span),
            version,
        })
    }
}

/// The version, or the error for one that is not supported; none if the text is no version.
fn parse_version(text: &str) -> Option<Result<HttpVersion, HttpError>> {
    let &[major, b'.', minor] = text.strip_prefix("HTTP/")?.as_bytes() else {
        return None;
    };
    match (major, minor) {
        (b'1', b'0') => Some(Ok(HttpVersion::Http10)),
        (b'1', b'1'..=b'9') => Some(Ok(HttpVersion::Http11)),
        (b'0'..=b'9', b'0'..=b'9') => {
            Some(Err(HttpError::new(505, format!("{text} is not spoken here, HTTP/1.1 is"))))
        }
        _ => None,
    }
}

/// The parts of a request target.
struct RequestTarget<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> RequestTarget<'a> {
    /// Accepts the origin form, the absolute form, and `*` for OPTIONS. Characters that should have been
    /// percent-encoded are accepted, since they do not change where the target ends (curl sends `{` and
    /// Cyrillic letters as they were typed). A fragment and control characters are refused.
    fn parse(method: &str, target: &'a str) -> Result<RequestTarget<'a>, HttpError> {
        if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(HttpError::bad_request(
                "the request target has a control character or white space in it",
            ));
        }
        if memchr::memchr(b'#', target.as_bytes()).is_some() {
            return Err(HttpError::bad_request("the request target has a fragment (#)"));
        }
        if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
            let (path, query) = split_query(target);
            return Ok(RequestTarget { authority: None, path, query });
        }
        let Some(rest) = strip_scheme(target) else {
            return Err(HttpError::bad_request(
                "the request target is neither a path nor an http:// or https:// URL",
            ));
        };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        if !is_host(authority) {
            return Err(HttpError::bad_request(
                "the authority of the request target is not HOST or HOST:PORT",
            ));
        }
        let (path, query) = split_query(rest);
        Ok(RequestTarget { authority: Some(authority), path, query })
    }
}

/// What is before and behind the first of this ASCII character, as `split_once` says it in a multiple of the time.
pub fn split_at_first(text: &str, separator: u8) -> Option<(&str, &str)> {
    debug_assert!(separator.is_ascii());
    let at = memchr::memchr(separator, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    match split_at_first(target, b'?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let is_ours = ["http", "https"].iter().any(|ours| scheme.eq_ignore_ascii_case(ours));
    is_ours.then_some(rest)
}

/// RFC 3986: a name, an IPv4 address or an IPv6 address in brackets, and perhaps a port. A user
/// before an `@` is refused (RFC 9110, 4.2.4).
pub(super) fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, rest)| {
            address.parse::<Ipv6Addr>().is_ok()
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, port) = split_at_first(text, b':').unwrap_or((text, ""));
    !name.is_empty() && name.bytes().all(is_name_byte) && is_port(port)
}

/// An empty port is the scheme's own (RFC 3986, 3.2.3).
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// `%` is not among them: no name in DNS needs percent-encoding.
fn is_name_byte(byte: u8) -> bool {
    const NAME_BYTES: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,;=");
    NAME_BYTES[usize::from(byte)]
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    const TOKEN_BYTES: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");
    TOKEN_BYTES[usize::from(byte)]
}

/// For each byte whether it is a letter, a digit, or one of `others`.
const fn letters_digits_and(others: &[u8]) -> [bool; 256] {
    let mut are_there = [false; 256];
    let mut byte = 0;
    while byte < are_there.len() {
        are_there[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        are_there[others[index] as usize] = true;
        index += 1;
    }
    are_there
}
