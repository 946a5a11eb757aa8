//! Peers of other makes, and things that are no peers at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

use super::{PATIENCE, Port};

/// Accepts connections in a thread of its own, until it is dropped.
struct Acceptor {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    fn start(listener: TcpListener, mut visit: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                visit(stream);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A node of another make: serves `/ws`, and does there what the test does.
pub struct PlainNode {
    visits: Receiver<Visit>,
    acceptor: Acceptor,
}

/// An upstream that dialed a plain node.
pub struct Visit {
    /// What it asked for: `/ws?since=…`.
    pub target: String,
    pub socket: WebSocket<TcpStream>,
}

impl PlainNode {
    pub fn listen() -> Self {
        Self::listen_and_say(&[])
    }

    /// One that says that it is a node of version 2, with that source.
    pub fn listen_as(source: &str) -> Self {
        Self::listen_and_say(&[("Patchmesh-Version", "2"), ("Patchmesh-Node", source)])
    }

    /// One that can be told to be lazy, and tells of others.
    pub fn listen_as_member(source: &str) -> Self {
        let process = ("Patchmesh-Process", "00000000000000ff.0");
        Self::listen_and_say(&[("Patchmesh-Version", "2"), ("Patchmesh-Node", source), process])
    }

    fn listen_and_say(headers: &[(&'static str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sender, visits) = channel();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (*name, value.parse().unwrap())).collect();
        let acceptor =
            Acceptor::start(listener, move |stream| shake_hands(stream, &headers, &sender));
        Self { visits, acceptor }
    }

    pub fn address(&self) -> SocketAddr {
        self.acceptor.address
    }

    /// The next upstream that comes.
    #[track_caller]
    pub fn accept(&self) -> Visit {
        self.try_accept(PATIENCE).expect("an upstream dials")
    }

    /// The next upstream that comes within that time.
    pub fn try_accept(&self, time: Duration) -> Option<Visit> {
        self.visits.recv_timeout(time).ok()
    }
}

fn shake_hands(stream: TcpStream, headers: &[(&'static str, HeaderValue)], visits: &Sender<Visit>) {
    let mut target = String::new();
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    let agree = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        target = request.uri().to_string();
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.clone());
        }
        Ok(response)
    };
    // A caller that goes again at once is no visit.
    if let Ok(socket) = tungstenite::accept_hdr(stream, agree) {
        visits.send(Visit { target, socket }).ok();
    }
}

impl Visit {
    #[track_caller]
    pub fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).unwrap();
    }

    #[track_caller]
    pub fn send_binary(&mut self, text: &str) {
        self.socket.send(Message::binary(text.as_bytes().to_vec())).unwrap();
    }

    /// Sends a text as a frame for each part and an empty continuation.
    #[track_caller]
    pub fn send_in_frames(&mut self, parts: &[&str]) {
        for (index, part) in parts.iter().enumerate() {
            let kind = if index == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(part.as_bytes().to_vec(), OpCode::Data(kind), false);
            self.socket.write(Message::Frame(frame)).unwrap();
        }
        let end = Frame::message(Vec::new(), OpCode::Data(Data::Continue), true);
        self.socket.send(Message::Frame(end)).unwrap();
    }

    /// Reads up to the close frame.
    #[track_caller]
    pub fn close_frame(&mut self) -> CloseFrame {
        loop {
            if let Message::Close(frame) = self.socket.read().unwrap() {
                return frame.expect("a close frame with a code");
            }
        }
    }
}

/// A server that answers whatever comes with the same bytes, and closes.
pub struct Nonsense {
    visits: Receiver<()>,
    acceptor: Acceptor,
}

impl Nonsense {
    pub fn listen(answer: &'static str) -> Self {
        Self::listen_on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub fn listen_at(port: &Port, answer: &'static str) -> Self {
        Self::listen_on(TcpListener::bind(port.address).unwrap(), answer)
    }

    fn listen_on(listener: TcpListener, answer: &'static str) -> Self {
        let (sender, visits) = channel();
        let acceptor = Acceptor::start(listener, move |mut stream| {
            // Having read the request, as far as it is there; closing with some of it unread would
            // take the answer back. A client that leaves early is no fault of this one's.
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).ok();
            sender.send(()).ok();
        });
        Self { visits, acceptor }
    }

    pub fn address(&self) -> SocketAddr {
        self.acceptor.address
    }

    /// Waits until somebody has come that many times.
    #[track_caller]
    pub fn wait_for_visits(&self, count: usize) {
        for _ in 0..count {
            self.visits.recv_timeout(PATIENCE).expect("somebody comes");
        }
    }
}
