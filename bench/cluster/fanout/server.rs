//! The servers: how one is read live, and how one writes to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use crate::client::Client;

/// What a message has in it that is counted.
pub const MARK: &[u8] = b"MARKMARK";

/// By what a server is read live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    WebSocket,
    Events,
    Redis,
    Nats,
}

/// A server that runs.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub kind: Kind,
    pub address: SocketAddr,
    pub process: u32,
}

impl Kind {
    pub fn of_product(name: &str) -> Option<Self> {
        match name {
            "redis" => Some(Self::Redis),
            "nats" => Some(Self::Nats),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "/ws",
            Self::Events => "event stream",
            Self::Redis => "Redis pub/sub",
            Self::Nats => "NATS core",
        }
    }

    fn request(self, number: u64) -> String {
        let mark = String::from_utf8_lossy(MARK);
        let at = number % 50;
        let patch = format!(r#"[{{"op":"add","path":"/k{at}","value":"{mark} {number}"}}]"#);
        let length = patch.len();
        match self {
            Self::WebSocket | Self::Events => format!(
                "POST /replace HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n{patch}"
            ),
            Self::Redis => {
                format!("*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n${length}\r\n{patch}\r\n")
            }
            Self::Nats => format!("PUB bench {length}\r\n{patch}\r\n"),
        }
    }
}

impl Server {
    /// What a reader says that wants to hear what is written from now on.
    pub fn hello(&self) -> Vec<u8> {
        match self.kind {
            Kind::WebSocket => {
                let seen = Client::new(self.address).ask("GET", "/vclock", "");
                let seen = percent_encode(seen.trim().as_bytes(), NON_ALPHANUMERIC);
                upgrade(&format!("/ws?since={seen}"))
            }
            Kind::Events => {
                b"GET /get HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".into()
            }
            Kind::Redis => b"SUBSCRIBE bench\r\n".into(),
            Kind::Nats => b"CONNECT {\"verbose\":false}\r\nSUB bench 1\r\nPING\r\n".into(),
        }
    }

    /// A connection on which only that is heard from now on.
    pub fn reader(&self, hello: &[u8]) -> TcpStream {
        // What the server says before, and how that ends.
        let (before, end) = match self.kind {
            Kind::WebSocket => ("101", "\r\n\r\n"),
            // The document comes first.
            Kind::Events => ("event: put", "\n\n"),
            Kind::Redis => ("subscribe", ":1\r\n"),
            Kind::Nats => ("INFO", "PONG\r\n"),
        };
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.write_all(hello).expect("it reads");
        let mut heard = Vec::new();
        let mut byte = [0];
        while !heard.ends_with(end.as_bytes()) || memmem::find(&heard, before.as_bytes()).is_none()
        {
            stream.read_exact(&mut byte).expect("it answers");
            heard.push(byte[0]);
        }
        stream
    }

    pub fn writer(&self) -> Writer {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_nodelay(true).expect("it is a socket");
        let mut writer = Writer { kind: self.kind, stream, number: 0 };
        if self.kind == Kind::Nats {
            writer.stream.write_all(b"CONNECT {\"verbose\":true}\r\n").expect("it reads");
            writer.hear();
        }
        writer
    }
}

/// The request for a WebSocket.
fn upgrade(target: &str) -> Vec<u8> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    request.into_bytes()
}

/// Writes one after the other.
pub struct Writer {
    kind: Kind,
    stream: TcpStream,
    number: u64,
}

impl Writer {
    pub fn write(&mut self) {
        self.number += 1;
        let request = self.kind.request(self.number);
        self.stream.write_all(request.as_bytes()).expect("it reads");
        self.hear();
    }

    /// Writes so long, at this interval. Says how often that was.
    pub fn write_for(&mut self, interval: Duration, time: Duration) -> u32 {
        let (begin, mut writes) = (Instant::now(), 0);
        while begin.elapsed() < time {
            self.write();
            writes += 1;
            thread::sleep((begin + interval * writes).saturating_duration_since(Instant::now()));
        }
        writes
    }

    /// Every answer comes in one piece, as small as they are.
    fn hear(&mut self) {
        let count = self.stream.read(&mut [0; 4096]).expect("it answers");
        assert_ne!(count, 0, "it answers before it closes");
    }
}
