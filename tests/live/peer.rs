//! A peer that a node dials, and that sends it what a test wants.

use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// The source of the commits that a [`Peer`] sends.
pub const PRIMARY: &str = "main~k3x9q2pd^1";

/// A peer that a node dials, and that sends it what the test wants.
pub struct Peer {
    listener: TcpListener,
    socket: Option<WebSocket<TcpStream>>,
}

impl Peer {
    pub fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port"), socket: None }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().expect("it is bound").to_string()
    }

    /// Sends a transaction; waits for the node to dial before the first one.
    pub fn tell(&mut self, source: &str, id: u64, micros: u64, patch: &Value) {
        let payload = patch.to_string();
        self.send(&json!({"Source": source, "Id": id, "Payload": payload, "Time": micros}));
    }

    /// Sends the commit `id` of the primary `main` in its first epoch, which makes final what the clock has.
    pub fn commit(&mut self, id: u64, micros: u64, clock: &Value) {
        self.commit_within(id, micros, clock, 2_592_000);
    }

    /// The same, if nothing counts that is older by so many seconds.
    pub fn commit_within(&mut self, id: u64, micros: u64, clock: &Value, horizon: u64) {
        let commit =
            json!({"Epoch": 1, "After": null, "Until": micros, "Clock": clock, "Horizon": horizon});
        let (source, payload) = (PRIMARY, "[]");
        self.send(&json!({"Source": source, "Id": id, "Payload": payload, "Time": micros, "Commit": commit}));
    }

    /// The same as a plain node sends it.
    pub fn tell_plainly(&mut self, source: &str, id: u64, patch: &Value) {
        self.send(&json!({"Source": source, "Id": id, "Payload": patch.to_string()}));
    }

    /// Sends any message.
    pub fn send(&mut self, message: &Value) {
        let socket = self.socket.get_or_insert_with(|| {
            let (stream, _) = self.listener.accept().expect("the node dials");
            tungstenite::accept(stream).expect("a handshake")
        });
        socket.send(Message::text(message.to_string())).expect("the node reads");
    }

    /// Leaves the node, and waits for it to dial again before the next transaction.
    pub fn hang_up(&mut self) {
        self.socket = None;
    }

    /// Sends pings with this payload.
    pub fn ping(&mut self, payload: &str) {
        let socket = self.socket.as_mut().expect("something was told before");
        socket.send(Message::Ping(payload.to_owned().into())).expect("the node reads");
    }
}
