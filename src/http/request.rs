//! A request as the routes see it.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::HttpError;
use super::request_line::split_at_first;

/// The version of a request. A later 1.x is read as 1.1 (RFC 9110, 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// A complete request.
///
/// `text` is the request line and the header section as they came; the other fields are places in it. Bytes of
/// header values that are not UTF-8 are replaced by U+FFFD.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub(super) text: String,
    pub(super) line: RequestLine,
    pub(super) fields: Fields,
    pub(super) host: Option<Span>,
    pub(super) keep_alive: bool,
    /// The body, its chunks joined. Empty if there was none.
    pub body: Vec<u8>,
}

/// Where the parts of the request line are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub method: Span,
    /// Of the absolute form: `http://authority/path`.
    pub authority: Option<Span>,
    /// Empty if the absolute form has none.
    pub path: Span,
    pub query: Option<Span>,
    pub version: HttpVersion,
}

/// The header lines, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    list: Vec<Field>,
    /// For each length that a name has, modulo 64, one bit. Most headers that are asked for are not there, and differ
    /// from all names in their length already.
    name_lengths: u64,
}

/// One header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub name: Span,
    pub value: Span,
}

/// A place in a request's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The place of `part`, which is a slice of `text`.
    pub fn within(text: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr() - text.as_ptr().addr();
        let end = start + part.len();
        assert!(end <= text.len(), "the part was not cut out of this text");
        Span { start, end }
    }

    pub fn of(self, text: &str) -> &str {
        &text[self.start..self.end]
    }

    fn len(self) -> usize {
        self.end - self.start
    }
}

impl Fields {
    pub fn new(list: Vec<Field>) -> Self {
        let bits = list.iter().map(|field| length_bit(field.name.len()));
        Self { name_lengths: bits.fold(0, |all, bit| all | bit), list }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.list.iter()
    }

    /// Those whose names have this length; maybe others too.
    fn of_name_length(&self, length: usize) -> impl Iterator<Item = &Field> {
        let may_be_there = self.name_lengths & length_bit(length) != 0;
        self.list[..if may_be_there { self.list.len() } else { 0 }].iter()
    }
}

fn length_bit(length: usize) -> u64 {
    1 << (length % 64)
}

impl Request {
    /// The method, in the case in which the client wrote it.
    pub fn method(&self) -> &str {
        self.line.method.of(&self.text)
    }

    /// The path as it came, percent-encoded; `*` for `OPTIONS *`.
    pub fn path(&self) -> &str {
        match self.line.path.of(&self.text) {
            "" => "/",
            path => path,
        }
    }

    /// The part behind the `?`, as it came.
    pub fn query(&self) -> Option<&str> {
        self.line.query.map(|span| span.of(&self.text))
    }

    /// The version, which decides what the client understands.
    pub fn version(&self) -> HttpVersion {
        self.line.version
    }

    /// The host that the client wants to reach, with the port if it gave one: the authority of an absolute
    /// target (RFC 9112, 3.2.2), else the Host header. Each HTTP/1.1 request has one.
    pub fn host(&self) -> Option<&str> {
        self.host.map(|span| span.of(&self.text))
    }

    /// Whether the client may send more requests on this connection.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next()
    }

    /// The values of all headers of that name, in any case, in their order.
    pub fn header_values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields
            .of_name_length(name.len())
            .filter(move |field| {
                field.name.len() == name.len()
                    && field.name.of(&self.text).eq_ignore_ascii_case(name)
            })
            .map(|field| field.value.of(&self.text))
    }

    /// All headers, name and value, in their order.
    #[cfg(feature = "internals")]
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (field.name.of(&self.text), field.value.of(&self.text)))
    }

    /// The elements of a header that is a list with commas between them; empty ones do not count.
    pub fn list(&self, header: &str) -> impl Iterator<Item = &str> {
        self.header_values(header).flat_map(list_elements)
    }

    /// Whether a header that is a list of tokens, such as Connection or Upgrade, has this one.
    pub fn has_token(&self, header: &str, token: &str) -> bool {
        self.list(header).any(|found| found.eq_ignore_ascii_case(token))
    }

    /// The media type of the body, without parameters; empty if there is none.
    pub fn media_type(&self) -> &str {
        let value = self.header("Content-Type").unwrap_or_default();
        trim_white_space(split_at_first(value, b';').map_or(value, |(media_type, _)| media_type))
    }

    /// The elements of a header such as Accept, each with its weight from 0, not acceptable, to 1. Other
    /// parameters are left out (RFC 9110, 12.4.2).
    pub fn weighted(&self, header: &str) -> impl Iterator<Item = (&str, f32)> {
        self.list(header).map(|element| {
            let mut parts = element.split(';').map(trim_white_space);
            let name = parts.next().unwrap_or_default();
            (name, parts.find_map(weight).unwrap_or(1.0))
        })
    }

    /// The names of the query parameters in their order, decoded. An error of status 400 if one cannot be
    /// decoded.
    pub fn query_names(&self) -> impl Iterator<Item = Result<Cow<'_, str>, HttpError>> {
        let parameters = self.query().unwrap_or("").split('&');
        parameters.filter(|parameter| !parameter.is_empty()).map(|parameter| {
            let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
            query_decode(name).ok_or_else(|| {
                HttpError::bad_request(
                    "the name of a query parameter is not UTF-8 in correct percent-encoding",
                )
            })
        })
    }

    /// The value of the first query parameter of that name, decoded as browsers and libraries encode it:
    /// a `+` is a space, all else is percent-encoding. Empty for a parameter without `=`. An error of
    /// status 400 if it cannot be decoded.
    pub fn query_parameter(&self, name: &str) -> Result<Option<Cow<'_, str>>, HttpError> {
        let Some(query) = self.query() else { return Ok(None) };
        for parameter in query.split('&') {
            let (found, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if query_decode(found).is_some_and(|found| found == name) {
                return match query_decode(value) {
                    Some(value) => Ok(Some(value)),
                    None => Err(HttpError::bad_request(format!(
                        "the query parameter {name} is not UTF-8 in correct percent-encoding"
                    ))),
                };
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of headers and the query stay out: they may carry a token, and this text may come into a
        // log.
        formatter
            .debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("headers", &self.fields.iter().len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Strict percent-decoding: none for a `%` without two hex digits, and for bytes that are not UTF-8.
pub fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    let mut escapes = text.split('%');
    escapes.next();
    for escape in escapes {
        let digits = escape.as_bytes().get(..2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// Decodes a part of a query (application/x-www-form-urlencoded in the URL Standard).
fn query_decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode(&spaced).map(|decoded| Cow::Owned(decoded.into_owned()));
    }
    percent_decode(text)
}

/// The elements of a comma-separated header value; empty ones do not count (RFC 9110, 5.6.1.2).
pub(super) fn list_elements(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(trim_white_space).filter(|element| !element.is_empty())
}

/// The weight in a parameter such as `q=0.5`, 0 if it is malformed. None for another parameter.
fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    trim_white_space(name).eq_ignore_ascii_case("q").then(|| {
        let weight = trim_white_space(value).parse().ok();
        weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
    })
}

/// Without the white space around it, in HTTP's sense: only SP and HTAB.
pub(super) fn trim_white_space(text: &str) -> &str {
    let mut rest = text;
    // By bytes, in a part of the time that it takes by characters.
    while let Some(b' ' | b'\t') = rest.as_bytes().first() {
        rest = &rest[1..];
    }
    while let Some(b' ' | b'\t') = rest.as_bytes().last() {
        rest = &rest[..rest.len() - 1];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding_takes_no_guesses() {
        let table = [
            ("", Some("")),
            ("/get/a/0", Some("/get/a/0")),
            ("a+b", Some("a+b")),
            ("%7B%22a%22%3a1%7D", Some(r#"{"a":1}"#)),
            ("%2525", Some("%25")),
            ("%D0%B9", Some("й")),
            ("й", Some("й")),
            ("%00", Some("\0")),
            ("%", None),
            ("a%", None),
            ("%4", None),
            ("%%41", None),
            ("%zz", None),
            ("%+1", None),
            ("%4й", None),
            ("%ff", None),
            ("%D0", None),
        ];
        for (text, expected) in table {
            assert_eq!(percent_decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_plus_in_a_query_is_a_space() {
        let table = [
            ("", Some("")),
            ("a+b", Some("a b")),
            ("++", Some("  ")),
            ("a%2Bb+c", Some("a+b c")),
            ("%7B%22a%22%3A+1%7D", Some(r#"{"a": 1}"#)),
            ("%+1", None),
            ("+%ff", None),
        ];
        for (text, expected) in table {
            assert_eq!(query_decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn empty_list_elements_do_not_count() {
        let table: [(&str, &[&str]); 5] = [
            ("", &[]),
            (" , ,", &[]),
            ("close", &["close"]),
            ("keep-alive, Upgrade", &["keep-alive", "Upgrade"]),
            ("\ta ,,b c\t", &["a", "b c"]),
        ];
        for (value, expected) in table {
            assert_eq!(list_elements(value).collect::<Vec<_>>(), expected);
        }
    }
}
