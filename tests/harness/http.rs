//! A blocking HTTP client on one connection, which also sends what no client should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    output: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream), output: Vec::new() }
    }

    /// Sends a request with these headers and the body's length, and reads the answer.
    #[track_caller]
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Answer {
        self.write_request(method, target, headers, body);
        self.flush();
        if method == "HEAD" { self.head() } else { self.answer() }
    }

    /// Puts a request behind those that wait to be sent.
    pub fn write_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) {
        write!(self.output, "{method} {target} HTTP/1.1\r\n").unwrap();
        for (name, value) in headers {
            write!(self.output, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() || method == "POST" {
            write!(self.output, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(body);
    }

    /// Sends the requests that wait.
    #[track_caller]
    pub fn flush(&mut self) {
        let output = std::mem::take(&mut self.output);
        self.send(&output);
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Reads the next answer.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if !matches!(answer.status, 100..=199 | 204 | 304) {
            let length = answer.header("Content-Length").expect("a length").parse().unwrap();
            answer.body = self.body(length);
        }
        answer
    }

    /// Reads the next answer's head, and takes it to have no body.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        let status_line = self.line();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Answer { status, headers, body: Vec::new() };
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
            headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Reads that much of a body.
    #[track_caller]
    pub fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        body
    }

    /// Reads all up to the end of the connection, which has to be one in order.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Whether the connection ends, in order or not, without another byte.
    pub fn is_cut(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let Some(text) = line.strip_suffix("\r\n") else {
            panic!("the connection ended in {line:?}")
        };
        text.to_owned()
    }
}

impl Answer {
    /// The value of a header, which must not be there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {:?}", self.headers);
        value
    }

    /// The body; of JSON without the line feed that ends it.
    #[track_caller]
    pub fn text(&self) -> &str {
        let text = std::str::from_utf8(&self.body).unwrap();
        match self.header("Content-Type") {
            Some("application/json" | "application/problem+json") if !text.is_empty() => {
                text.strip_suffix('\n').expect("JSON answers end in a line feed")
            }
            _ => text,
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.body.escape_ascii()))
    }
}
