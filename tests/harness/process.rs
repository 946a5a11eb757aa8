//! A node as a child process.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Answer, Client, PATIENCE, Stream, wait_for};

/// The binary, with nothing of this process's environment that it would look at.
pub fn binary() -> Command {
    cleaned(Command::new(env!("CARGO_BIN_EXE_patchmesh")))
}

/// The same in a network namespace.
fn binary_in(namespace: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_patchmesh")]);
    cleaned(command)
}

fn cleaned(mut command: Command) -> Command {
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("PATCHMESH_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the binary with arguments with which it ends by itself.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    // What such a run prints fits a pipe: it is read after the end.
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.unwrap().read_to_end(&mut stderr).unwrap();
    Output { status, stdout, stderr }
}

/// How a node is to be started.
#[must_use]
pub struct Setup {
    address: String,
    namespace: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
    token: Option<String>,
}

/// A node on a free port of the loopback address.
pub fn node() -> Setup {
    Setup {
        address: "127.0.0.1:0".to_owned(),
        namespace: None,
        arguments: Vec::new(),
        environment: Vec::new(),
        token: None,
    }
}

impl Setup {
    pub fn at(mut self, address: impl Display) -> Self {
        self.address = address.to_string();
        self
    }

    /// Has it run in a network namespace.
    #[allow(dead_code, reason = "for the tests of addresses")]
    pub fn inside(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    pub fn peer(self, address: impl Display) -> Self {
        self.argument(address)
    }

    pub fn source(self, name: &str) -> Self {
        self.argument("--source").argument(name)
    }

    /// Sets the token, which is then sent with every request of [`Node`]'s.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self.argument("--token").argument(token)
    }

    pub fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    pub fn argument(mut self, argument: impl Display) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    #[track_caller]
    pub fn start(self) -> Node {
        let mut child = self
            .namespace
            .as_deref()
            .map_or_else(binary, binary_in)
            .arg(self.address)
            .args(self.arguments)
            .envs(self.environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Lines::default();
        stdout.collect(child.stdout.take().unwrap());
        let log = Lines::default();
        let logger = Some(log.collect(child.stderr.take().unwrap()));
        let line = stdout.wait_for("");
        if line.is_empty() {
            child.kill().ok();
            panic!("the node does not start: {log}");
        }
        let after = |begin: &str| -> String {
            let (_, rest) = line.split_once(begin).unwrap_or_else(|| panic!("{line:?}"));
            rest.split(", ").next().unwrap_or_default().to_owned()
        };
        let mut address: SocketAddr = after("listens on ").parse().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let source = after("source ");
        Node { child, logger, log, address, source, start_line: line, token: self.token }
    }
}

/// A node that runs, until it is dropped.
pub struct Node {
    child: Child,
    logger: Option<JoinHandle<()>>,
    log: Lines,
    token: Option<String>,
    /// Where it can be reached.
    pub address: SocketAddr,
    /// Its source, as it says itself.
    pub source: String,
    /// The line that it says when it starts.
    pub start_line: String,
}

impl Node {
    /// Sends one request on a connection of its own, and reads the answer.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, body: impl AsRef<[u8]>) -> Answer {
        let mut client = Client::connect(self.address);
        client.request(method, target, &self.headers(), body.as_ref())
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    /// Posts a patch that has to be accepted; returns the transaction.
    #[track_caller]
    pub fn post_patch(&self, patch: &str) -> Value {
        let answer = self.request("POST", "/replace", patch);
        assert_eq!(answer.status, 200, "{patch}: {}", answer.text());
        answer.json()
    }

    /// Posts patches that have to be accepted, many at a time on one connection.
    #[track_caller]
    pub fn post_patches(&self, patches: impl IntoIterator<Item = String>) {
        // What is sent before the answers are read must fit the sockets' buffers, and so must the
        // answers.
        const AT_A_TIME: usize = 64 << 10;
        let mut client = Client::connect(self.address);
        let mut patches = patches.into_iter().peekable();
        while patches.peek().is_some() {
            let (mut bytes, mut requests) = (0, 0);
            let batch = std::iter::from_fn(|| {
                let next = patches.next_if(|_| bytes < AT_A_TIME)?;
                bytes += 200 + next.len();
                requests += 1;
                Some(next)
            });
            let batch: Vec<String> = batch.collect();
            for patch in &batch {
                client.write_request("POST", "/post", &self.headers(), patch.as_bytes());
            }
            client.flush();
            for _ in 0..requests {
                let answer = client.answer();
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
    }

    /// The document's text.
    #[track_caller]
    pub fn document(&self) -> String {
        let answer = self.get("/get");
        assert_eq!(answer.status, 200);
        answer.text().to_owned()
    }

    /// The vector clock without the zeros, which mean the same as nothing.
    #[track_caller]
    pub fn vclock(&self) -> BTreeMap<String, u64> {
        let answer = self.get("/vclock");
        assert_eq!(answer.status, 200);
        let mut clock: BTreeMap<String, u64> = serde_json::from_slice(&answer.body).unwrap();
        clock.retain(|_, next| *next > 0);
        clock
    }

    /// The journal's lines.
    #[track_caller]
    pub fn journal(&self) -> Vec<String> {
        let answer = self.get("/log?limit=10000");
        assert_eq!(answer.status, 200);
        answer.text().lines().map(str::to_owned).collect()
    }

    /// How many transactions the journal has.
    #[track_caller]
    pub fn length(&self) -> u64 {
        self.peers()["length"].as_u64().unwrap()
    }

    #[track_caller]
    pub fn peers(&self) -> Value {
        let answer = self.get("/peers");
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// Its one upstream, as `/peers` shows it.
    #[track_caller]
    pub fn upstream(&self) -> Value {
        self.peers()["upstreams"][0].clone()
    }

    /// Waits until all its upstreams are connected.
    #[track_caller]
    pub fn wait_until_connected(&self) {
        wait_for("all upstreams to be connected", || {
            let peers = self.peers();
            let upstreams = peers["upstreams"].as_array().unwrap();
            upstreams.iter().all(|upstream| upstream["state"] == "connected").then_some(())
        });
    }

    /// Opens `/ws` from the journal's start.
    #[track_caller]
    pub fn stream(&self) -> Stream {
        Stream::open(self, "/ws")
    }

    /// The headers that every request to it needs.
    pub fn headers(&self) -> Vec<(&str, String)> {
        let mut host = self.address;
        if let SocketAddr::V6(host) = &mut host {
            // An interface is a matter of one side, and has no place in a Host.
            host.set_scope_id(0);
        }
        let mut headers = vec![("Host", host.to_string())];
        if let Some(token) = &self.token {
            headers.push(("Authorization", format!("Bearer {token}")));
        }
        headers
    }

    /// Waits for a line in its log that contains a text, and returns the first.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        let line = self.log.wait_for(text);
        assert!(!line.is_empty(), "the log of {} never says {text:?}", self.address);
        line
    }

    /// Waits for a line in its log that contains a text, and returns all that do so far. What the log
    /// says of something that was seen otherwise may come a little later than that.
    #[track_caller]
    pub fn told(&self, text: &str) -> Vec<String> {
        self.wait_for_log(text);
        self.log_lines(text)
    }

    /// The lines in its log that contain a text, so far.
    pub fn log_lines(&self, text: &str) -> Vec<String> {
        self.log.read().lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let status = wait_for("the node's end", || self.child.try_wait().unwrap());
        if let Some(logger) = self.logger.take() {
            logger.join().unwrap();
        }
        status
    }

    /// How much memory it has, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended, or be dead already.
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(logger) = self.logger.take() {
            logger.join().ok();
        }
        if std::thread::panicking() {
            eprintln!("---- {}\n{}", self.start_line, self.log);
        }
    }
}

/// Lines as they come from a child, to be looked at and waited for.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Text>, Condvar)>);

#[derive(Default)]
struct Text {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn collect(&self, output: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.read().lines.push(line);
                lines.0.1.notify_all();
            }
            lines.read().ended = true;
            lines.0.1.notify_all();
        })
    }

    fn read(&self) -> MutexGuard<'_, Text> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first line that contains `text`; an empty one if there is none in time, or ever.
    fn wait_for(&self, text: &str) -> String {
        let begin = Instant::now();
        let mut found = self.read();
        loop {
            if let Some(line) = found.lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let Some(rest) = PATIENCE.checked_sub(begin.elapsed()) else { return String::new() };
            if found.ended {
                return String::new();
            }
            let waited = self.0.1.wait_timeout(found, rest);
            (found, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.read().lines.join("\n"))
    }
}
