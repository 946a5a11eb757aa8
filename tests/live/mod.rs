//! What the tests of live reads share: a node, what it answers, and a peer that sends what a test wants.

#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// A node of the real binary.
pub struct Node {
    pub process: Child,
    pub address: String,
}

impl Node {
    pub fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_patchmesh"))
            .arg("127.0.0.1:0")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the node says where it listens");
        let address = line
            .split_whitespace()
            .find_map(|word| word.strip_suffix(',').filter(|word| word.starts_with("127.0.0.1:")))
            .expect("the line has an address")
            .to_owned();
        Self { process, address }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the node listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
        stream
    }

    /// Sends a request with these header lines, each with its line end.
    pub fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let length = body.len();
        let text = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}",
            self.address
        );
        stream.write_all(text.as_bytes()).expect("the node reads");
        stream
    }

    pub fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        Answer::read(self.send(method, target, headers, body))
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "", "")
    }

    /// Posts a patch that is accepted.
    pub fn post(&self, patch: &Value) -> Value {
        let answer = self.ask("POST", "/replace", "", &patch.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Asks until the answer is as wanted.
    pub fn wait_for(&self, target: &str, is_wanted: impl Fn(&Answer) -> bool) -> Answer {
        let begin = Instant::now();
        loop {
            let answer = self.get(target);
            if is_wanted(&answer) {
                return answer;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "{target}: {}", answer.body);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the node in order, and says how long that took.
    pub fn stop(&mut self) -> Duration {
        let begin = Instant::now();
        let stop = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        assert!(stop.expect("kill runs").success());
        assert!(self.process.wait().expect("the node ends").success());
        begin.elapsed()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    /// Of JSON without the line feed that ends it.
    pub body: String,
}

impl Answer {
    pub fn read(mut stream: TcpStream) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a header");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Self {
            status: status.expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        };
        let content_type = answer.header("Content-Type").unwrap_or_default();
        if content_type.ends_with("json") && !answer.body.is_empty() {
            assert_eq!(answer.body.pop(), Some('\n'), "JSON answers end in a line feed");
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub fn lines(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

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

pub fn add(path: &str, value: impl Into<Value>) -> Value {
    json!([{"op": "add", "path": path, "value": value.into()}])
}
