//! What the contenders speak: how a request is written, and where its answer ends.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

/// A protocol of requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// Redis's RESP.
    Redis,
    /// NATS: a request's answer is a message to the connection's inbox.
    Nats,
}

/// What stands for the connection's inbox in a request to NATS.
const INBOX: &str = "_INBOX.bench";

/// What has come of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not all of it.
    Incomplete,
    /// All of it, and it says that what was asked was done.
    Complete,
    /// It says something else.
    Refused,
}

impl Protocol {
    /// A request as the connection of this number makes it.
    pub fn of_connection(self, request: &[u8], number: usize) -> Vec<u8> {
        match (self, find(request, INBOX.as_bytes())) {
            (Self::Nats, Some(at)) => {
                let (before, after) = (&request[..at], &request[at + INBOX.len()..]);
                [before, inbox(number).as_bytes(), after].concat()
            }
            _ => request.to_vec(),
        }
    }

    /// What has to be said on a new connection, the one of this number.
    pub fn greet(self, stream: &mut TcpStream, number: usize) -> io::Result<()> {
        if self != Self::Nats {
            return Ok(());
        }
        let greeting =
            format!("CONNECT {{\"verbose\":false}}\r\nSUB {}.* 1\r\nPING\r\n", inbox(number));
        stream.write_all(greeting.as_bytes())?;
        // It says INFO first, and PONG when all this was heard; only a ping comes after that unasked.
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// What `bytes` are, which begin with an answer.
    pub fn answer(self, bytes: &[u8]) -> Answer {
        match self {
            Self::Http => http(bytes),
            Self::Redis if !bytes.ends_with(b"\r\n") => Answer::Incomplete,
            Self::Redis => if_good(bytes.starts_with(b"+")),
            Self::Nats => nats(bytes),
        }
    }
}

fn inbox(number: usize) -> String {
    format!("{INBOX}-{number}")
}

fn if_good(good: bool) -> Answer {
    if good { Answer::Complete } else { Answer::Refused }
}

fn http(bytes: &[u8]) -> Answer {
    let Some(head) = find(bytes, b"\r\n\r\n") else { return Answer::Incomplete };
    let (head, body) = bytes.split_at(head + 4);
    let length = header(head, b"content-length: ")
        .and_then(|value| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
    let complete = match length {
        Some(length) => body.len() >= length,
        None if header(head, b"transfer-encoding: ").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => true,
    };
    let is_success = [b"HTTP/1.1 200", b"HTTP/1.1 204"].iter().any(|line| head.starts_with(*line));
    if complete { if_good(is_success) } else { Answer::Incomplete }
}

/// The value of the first header with this lower-case beginning.
fn header<'a>(head: &'a [u8], beginning: &[u8]) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (name, value) = line.split_at_checked(beginning.len())?;
        name.eq_ignore_ascii_case(beginning).then(|| value.trim_ascii_end())
    })
}

/// `MSG subject sid length`, or with a reply-to before the length, and then so many bytes.
fn nats(bytes: &[u8]) -> Answer {
    // The first ping comes whatever the interval is, and need not be answered if that is long.
    let bytes = bytes.strip_prefix(b"PING\r\n").unwrap_or(bytes);
    let Some(end) = find(bytes, b"\r\n") else { return Answer::Incomplete };
    let (line, rest) = bytes.split_at(end);
    let line = std::str::from_utf8(line).unwrap_or_default();
    let length = line.rsplit(' ').next().and_then(|length| length.parse::<usize>().ok());
    match length.filter(|_| line.starts_with("MSG ")) {
        Some(length) if rest.len() < 2 + length + 2 => Answer::Incomplete,
        Some(_) => if_good(find(rest, b"\"error\"").is_none()),
        None => Answer::Refused,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A request over HTTP.
pub fn http_request(method: &str, path: &str, body: &str) -> Vec<u8> {
    http_request_with("", method, path, body)
}

/// The same with these lines in its header.
pub fn http_request_with(lines: &str, method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = match method {
        "GET" => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}{length}\r\n{body}").into_bytes()
}

/// A command to Redis.
pub fn redis_request(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    request.into_bytes()
}

/// A message to NATS that is answered.
pub fn nats_request(subject: &str, number: usize, payload: &str) -> Vec<u8> {
    format!("PUB {subject} {INBOX}.{number} {}\r\n{payload}\r\n", payload.len()).into_bytes()
}
