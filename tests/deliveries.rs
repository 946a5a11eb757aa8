//! What a delivery costs a node, in what does not depend on the machine: system calls, and bytes that are sent.
//!
//! Readers of `/ws` and live readers of `/get` follow a node while it takes writes one by one. What one reader costs
//! for each write is the difference between many readers and few. The bounds let through what a busy machine adds
//! (a turn more, a thread that wakes another), and fail if a delivery costs twice as much as it does.

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use harness::{Client, Node, PATIENCE, has_strace, node, skip};
use rustix::process::{Pid, Signal, kill_process};

/// How many readers are few, and how many are many.
const READERS: [usize; 2] = [10, 210];
const WRITES: usize = 40;

/// A reader of the bytes that a node sends, which are counted.
struct Reader {
    stream: BufReader<TcpStream>,
    bytes: usize,
}

impl Reader {
    /// One that has sent a request with these header lines.
    fn open(node: &Node, target: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(node.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", node.address).unwrap();
        Self { stream: BufReader::new(stream), bytes: 0 }
    }

    fn of_document(node: &Node) -> Self {
        Self::open(node, "/get", "Accept: text/event-stream\r\n")
    }

    fn of_journal(node: &Node) -> Self {
        let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        Self::open(node, "/ws", &format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}"))
    }

    /// Reads on until a text has come.
    fn read_past(&mut self, text: &str) {
        let mut window = Vec::new();
        while !window.ends_with(text.as_bytes()) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            window.push(byte[0]);
        }
        self.bytes += window.len();
    }
}

/// The system calls of a node and the bytes that its readers get, for [`WRITES`] writes.
struct Cost {
    calls: f64,
    bytes: f64,
}

fn cost(readers: usize, open: fn(&Node) -> Reader) -> Cost {
    let node = node().start();
    let mut readers: Vec<Reader> = (0..readers).map(|_| open(&node)).collect();
    let mut client = Client::connect(node.address);
    let mut write = |number: usize, readers: &mut [Reader]| {
        let value = format!("number {number:03}");
        let patch = format!(r#"[{{"op":"add","path":"/number","value":"{value}"}}]"#);
        let answer = client.request("POST", "/replace", &node.headers(), patch.as_bytes());
        assert_eq!(answer.status, 200);
        readers.iter_mut().for_each(|reader| reader.read_past(&value));
    };
    write(0, &mut readers);
    readers.iter_mut().for_each(|reader| reader.bytes = 0);
    let calls = calls_of(&node, || (1..=WRITES).for_each(|number| write(number, &mut readers)));
    let bytes: usize = readers.iter().map(|reader| reader.bytes).sum();
    Cost { calls: calls as f64, bytes: bytes as f64 }
}

/// How many system calls a node makes meanwhile.
fn calls_of(node: &Node, meanwhile: impl FnOnce()) -> u64 {
    let mut strace = Command::new("strace")
        .args(["--follow-forks", "--summary-only", "--attach", &node.id().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(strace.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("attached") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "strace attaches");
    }
    meanwhile();
    kill_process(Pid::from_child(&strace), Signal::INT).unwrap();
    let mut summary = String::new();
    output.read_to_string(&mut summary).unwrap();
    strace.wait().unwrap();
    println!("{summary}");
    let total = summary.lines().find(|line| line.ends_with(" total")).expect("a sum");
    total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).expect("a number of calls")
}

/// What one reader more costs for each write.
#[track_caller]
fn check(open: fn(&Node) -> Reader, most: Cost) {
    if !has_strace() {
        return skip("there is no strace, or it may not trace");
    }
    let [few, many] = READERS.map(|readers| cost(readers, open));
    let deliveries = ((READERS[1] - READERS[0]) * WRITES) as f64;
    let calls = (many.calls - few.calls) / deliveries;
    let bytes = (many.bytes - few.bytes) / deliveries;
    println!("a delivery: {calls:.2} system calls, {bytes:.1} bytes");
    assert!(calls <= most.calls, "{calls} system calls a delivery");
    assert!(bytes <= most.bytes, "{bytes} bytes a delivery");
}

#[test]
fn a_reader_of_the_journal_costs_one_system_call_a_write() {
    check(Reader::of_journal, Cost { calls: 1.5, bytes: 200.0 });
}

#[test]
fn a_live_reader_of_the_document_costs_one_system_call_a_write() {
    check(Reader::of_document, Cost { calls: 1.5, bytes: 150.0 });
}
