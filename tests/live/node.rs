//! A node of the real binary, and what it answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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

pub fn add(path: &str, value: impl Into<Value>) -> Value {
    json!([{"op": "add", "path": path, "value": value.into()}])
}
