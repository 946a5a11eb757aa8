//! A connection to a node on which one thing is asked after the other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::protocol::{Answer, Protocol, http_request};

/// A connection.
pub struct Client(TcpStream);

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("it is a socket");
        Self(stream)
    }

    /// The body of the answer, which must be good.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> String {
        self.send(method, path, body);
        self.hear()
    }

    /// Asks without waiting for the answer.
    pub fn send(&mut self, method: &str, path: &str, body: &str) {
        self.0.write_all(&http_request(method, path, body)).expect("it reads");
    }

    /// Waits for the answer.
    pub fn hear(&mut self) -> String {
        let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
        loop {
            let count = self.0.read(&mut buffer).expect("it answers");
            assert_ne!(count, 0, "it answers before it closes");
            answer.extend_from_slice(&buffer[..count]);
            match Protocol::Http.answer(&answer) {
                Answer::Incomplete => (),
                Answer::Complete => break,
                Answer::Refused => panic!("{}", String::from_utf8_lossy(&answer)),
            }
        }
        let answer = String::from_utf8(answer).expect("it is text");
        answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
    }

    /// Waits until the node has seen all of `source` before the Id `next`.
    pub fn wait_until_seen(&mut self, source: &str, next: u64) {
        self.ask("GET", &seen(source, next), "");
    }
}

/// A request's path that is answered when the node has seen all of `source` before the Id `next`.
pub fn seen(source: &str, next: u64) -> String {
    format!("/get?seen=%7B%22{source}%22:{next}%7D&wait=60s")
}
