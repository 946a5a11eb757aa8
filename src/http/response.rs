//! A response, and its bytes.

use super::{Body, Headers, HttpError, HttpVersion, Problem};

/// An answer.
///
/// `Date`, `X-Content-Type-Options`, `Content-Length` and `Connection: close` or `keep-alive` are not among the headers:
/// [`encode`](Self::encode) adds them.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body, even if the request is HEAD.
    pub body: Body,
}

/// What the request and the connection decide about the bytes of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The version of the request.
    pub version: HttpVersion,
    /// The request was HEAD: the body is left out.
    pub head_only: bool,
    /// The connection goes on after this answer.
    pub keep_alive: bool,
    /// The time in HTTP's format; see [`DateCache`](super::DateCache).
    pub date: &'a str,
}

impl Response {
    /// An answer without headers and body.
    pub fn new(status: u16) -> Self {
        Response { status, headers: Headers::default(), body: Body::Static(b"") }
    }

    /// Adds a header. Control characters in the value (a CR LF above all) are sent as spaces.
    pub fn with_header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        self.headers.add(name, value.as_ref());
        self
    }

    /// Adds a header whose value is a number.
    pub fn with_number(mut self, name: &'static str, number: u64) -> Self {
        self.headers.add_number(name, "", number);
        self
    }

    /// Sets the body and says its type.
    pub fn with_body(self, content_type: &'static str, body: impl Into<Body>) -> Self {
        let mut response = self.with_header("Content-Type", content_type);
        response.body = body.into();
        response
    }

    /// An error of which only its status and this text are told.
    pub fn problem(status: u16, detail: impl Into<String>) -> Self {
        Problem::new(status, detail).into()
    }

    /// The value of the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// Appends the status line and the header section to `out`. Returns the body that is to be sent after them;
    /// the caller decides whether to copy it or to write it separately.
    #[must_use = "the body is not in `out`"]
    pub fn encode(self, delivery: &Delivery<'_>, out: &mut Vec<u8>) -> Body {
        let mut digits = itoa::Buffer::new();
        push_all(out, &["HTTP/1.1 ", digits.format(self.status), " ", reason_phrase(self.status)]);
        // So no browser guesses another type.
        push_all(out, &["\r\nDate: ", delivery.date, "\r\nX-Content-Type-Options: nosniff\r\n"]);
        out.extend_from_slice(self.headers.lines().as_bytes());
        // These have no body. To say its length would be wrong or, for 304, useless (RFC 9110, 8.6 and 15.4.5).
        let bodiless = matches!(self.status, 100..=199 | 204 | 304);
        if !self.body.has_length() {
            if delivery.version == HttpVersion::Http11 {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
        } else if !bodiless {
            push_all(out, &["Content-Length: ", digits.format(self.body.length()), "\r\n"]);
        }
        if self.status == 101 {
            // The other protocol decides from here on.
        } else if !delivery.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if delivery.version == HttpVersion::Http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if bodiless || delivery.head_only { Body::Static(b"") } else { self.body }
    }
}

impl From<HttpError> for Response {
    fn from(error: HttpError) -> Self {
        Response::problem(error.status, error.detail)
    }
}

fn push_all(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// The phrase behind the status code; empty for an unknown code.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::BrokenOff;

    const DELIVERY: Delivery<'static> = Delivery {
        version: HttpVersion::Http11,
        head_only: false,
        keep_alive: true,
        date: "Thu, 01 Jan 1970 00:00:00 GMT",
    };

    fn encode(response: Response, delivery: &Delivery<'_>) -> String {
        let mut out = Vec::new();
        let body = response.encode(delivery, &mut out);
        out.extend_from_slice(body.at_hand());
        String::from_utf8(out).expect("the test's answers are text")
    }

    #[test]
    fn an_answer_is_these_bytes() {
        let response =
            Response::new(200).with_header("ETag", "\"x\"").with_body("text/plain", "hello");
        assert_eq!(response.header("etag"), Some("\"x\""));
        assert_eq!(
            encode(response, &DELIVERY),
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             X-Content-Type-Options: nosniff\r\nETag: \"x\"\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
        );
    }

    #[test]
    fn the_answer_to_head_has_the_length_of_the_body_that_it_leaves_out() {
        let head = Delivery { head_only: true, ..DELIVERY };
        let text = encode(Response::new(200).with_body("text/plain", "hello"), &head);
        assert!(text.contains("\r\nContent-Length: 5\r\n"));
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_stream_is_in_chunks_where_the_client_knows_them() {
        let stream = || Response::new(200).with_body("text/event-stream", Body::Stream);
        let text = encode(stream(), &Delivery { keep_alive: false, ..DELIVERY });
        assert!(text.ends_with("\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"));
        assert!(!text.contains("Content-Length"), "{text}");
        let old = Delivery { version: HttpVersion::Http10, keep_alive: false, ..DELIVERY };
        let text = encode(stream(), &old);
        assert!(!text.contains("Transfer-Encoding") && !text.contains("Content-Length"), "{text}");
    }

    #[test]
    fn pieces_are_as_long_as_is_said() {
        let pieces = || [b"he".to_vec(), b"llo".to_vec()].into_iter();
        let body = |length| Body::in_pieces(length, pieces(), || true);
        let head = Delivery { head_only: true, ..DELIVERY };
        for delivery in [DELIVERY, head] {
            let text = encode(Response::new(200).with_body("text/plain", body(5)), &delivery);
            assert!(text.ends_with("\r\nContent-Length: 5\r\n\r\n"), "{text}");
        }
        let Body::Static(b"") =
            Response::new(200).with_body("text/plain", body(5)).encode(&head, &mut Vec::new())
        else {
            panic!("HEAD has none");
        };
        for (length, expected) in
            [(5, Ok(5)), (4, Err(BrokenOff::WrongLength)), (6, Err(BrokenOff::WrongLength))]
        {
            let Body::Pieces(mut pieces) = body(length) else { panic!("it is made of pieces") };
            let mut written = 0;
            let outcome = loop {
                match pieces.next_piece() {
                    Ok(Some(piece)) => written += piece.len(),
                    Ok(None) => break Ok(written),
                    Err(error) => break Err(error),
                }
            };
            assert_eq!(outcome, expected, "{length}");
            assert!(written as u64 <= length);
        }
        let body = Body::in_pieces(5, std::iter::once(b"hello".to_vec()), || false);
        let Body::Pieces(mut pieces) = body else { panic!("it is made of pieces") };
        assert_eq!(pieces.next_piece(), Err(BrokenOff::TooSlow));
    }

    #[test]
    fn answers_that_have_no_body_have_no_length() {
        for status in [101, 204, 304] {
            let response = Response::new(status).with_body("text/plain", "hello");
            let text = encode(response, &DELIVERY);
            assert!(!text.contains("Content-Length"), "{text}");
            assert!(text.ends_with("\r\n\r\n"), "{text}");
        }
        let text = encode(Response::new(200), &DELIVERY);
        assert!(text.contains("\r\nContent-Length: 0\r\n"), "{text}");
    }

    #[test]
    fn the_connection_header_says_only_what_is_not_understood_anyway() {
        let table = [
            (200, HttpVersion::Http11, true, None),
            (200, HttpVersion::Http11, false, Some("close")),
            (200, HttpVersion::Http10, true, Some("keep-alive")),
            (200, HttpVersion::Http10, false, Some("close")),
            (101, HttpVersion::Http11, false, None),
        ];
        for (status, version, keep_alive, expected) in table {
            let delivery = Delivery { version, keep_alive, ..DELIVERY };
            let text = encode(Response::new(status), &delivery);
            let found = text.lines().find_map(|line| line.strip_prefix("Connection: "));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_value_cannot_begin_a_header_of_its_own() {
        let response = Response::new(302).with_header("Location", "/a\r\nSet-Cookie: b\0\tc");
        let text = encode(response, &DELIVERY);
        assert!(text.contains("\r\nLocation: /a  Set-Cookie: b \tc\r\n"), "{text}");
    }
}
