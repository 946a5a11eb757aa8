//! The servers as child processes: nodes, and what they are compared to.

use std::io::{BufRead, BufReader, Lines};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::links;

/// A child process that says its address in its first line; ends with this value.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// Kept open, so that what else it says does not fail.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// A node on a free port that dials `peers`, with its journal in `data` or in memory.
    pub fn node(peers: &[SocketAddr], data: Option<&Path>) -> Self {
        Self::node_with(peers, data, &[])
    }

    /// The same with more options.
    pub fn node_with(peers: &[SocketAddr], data: Option<&Path>, options: &[&str]) -> Self {
        Self::node_at("127.0.0.1:0", peers, data, options)
    }

    /// So many nodes that all dial one another, the first one with these options and its journal in `data`.
    pub fn mesh(count: usize, data: &Path, options: &[&str]) -> Vec<Self> {
        Self::linked(
            links::full(count),
            |at| {
                if at == 0 { (Some(data), options) } else { (None, &[]) }
            },
        )
    }

    /// One node for each list of the nodes that it dials, by their numbers; with these options, and its journal
    /// in that directory or in memory.
    pub fn linked<'a>(
        links: Vec<Vec<usize>>,
        with: impl Fn(usize) -> (Option<&'a Path>, &'a [&'a str]),
    ) -> Vec<Self> {
        // All are held until the last one is found, so that no two are the same.
        let free = links.iter().map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let held: Vec<_> = free.collect();
        let address = |held: &TcpListener| held.local_addr().expect("it is bound");
        let addresses: Vec<_> = held.iter().map(address).collect();
        drop(held);
        let node = |(at, peers): (usize, Vec<usize>)| {
            let peers: Vec<_> = peers.into_iter().map(|peer| addresses[peer]).collect();
            let (data, options) = with(at);
            Self::node_at(&addresses[at].to_string(), &peers, data, options)
        };
        links.into_iter().enumerate().map(node).collect()
    }

    fn node_at(address: &str, peers: &[SocketAddr], data: Option<&Path>, options: &[&str]) -> Self {
        let own = || env!("CARGO_BIN_EXE_patchmesh").into();
        let mut command = Command::new(std::env::var_os("PATCHMESH").unwrap_or_else(own));
        command.arg(address).args(peers.iter().map(SocketAddr::to_string));
        command.args(["--source", "bench"]).args(options);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        // That peers come up and go down one after the other is no news here.
        command.env("RUST_LOG", "error").env_remove("PATCHMESH_TOKEN");
        Self::start(command, |line| {
            line.strip_prefix("patchmesh listens on ")?.split(',').next()?.parse().ok()
        })
    }

    /// This program in another role.
    pub fn role(role: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
        command.arg(role);
        Self::start(command, |line| line.parse().ok())
    }

    fn start(mut command: Command, address: impl Fn(&str) -> Option<SocketAddr>) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = output.next().and_then(Result::ok).unwrap_or_default();
        let address = address(&line).unwrap_or_else(|| panic!("{command:?} says {line:?}"));
        Self { child, address, _output: output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().expect("it is a child");
        self.child.wait().expect("it is a child");
    }
}
