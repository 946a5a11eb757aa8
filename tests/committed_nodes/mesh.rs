//! Nodes that are started again and again, and how they stand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Node, PATIENCE, Port, Scratch, binary, node, run, wait_for};

/// A node in all its lives.
pub struct Member {
    pub port: Port,
    pub node: Option<Node>,
    /// Where its journal is; none if it is in memory.
    pub data: Option<PathBuf>,
    name: String,
    peers: Vec<SocketAddr>,
    arguments: Vec<String>,
}

impl Member {
    /// One that does not run yet.
    pub fn new(scratch: &Scratch, name: &str) -> Self {
        let (name, data) = (name.to_owned(), Some(scratch.path(name)));
        let (node, peers, arguments) = (None, Vec::new(), Vec::new());
        Self { port: Port::reserve(), node, data, name, peers, arguments }
    }

    pub fn in_memory(self) -> Self {
        Self { data: None, ..self }
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.extend(argument.split(' ').map(str::to_owned));
        self
    }

    pub fn peer(&mut self, peer: SocketAddr) {
        self.peers.push(peer);
    }

    pub fn is_running(&self) -> bool {
        self.node.is_some()
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("the node runs")
    }

    #[track_caller]
    pub fn start(&mut self) {
        let mut setup = node().at(&self.port).source(&self.name);
        for peer in &self.peers {
            setup = setup.peer(peer);
        }
        if let Some(data) = &self.data {
            setup = setup.argument("--data").argument(data.display());
        }
        for argument in &self.arguments {
            setup = setup.argument(argument);
        }
        self.node = Some(setup.start());
    }

    /// Checks that it has had no trouble in its present life that it knows of.
    #[track_caller]
    pub fn check_log(&self) {
        let lines = self.node().log_lines(" ERROR ");
        assert!(lines.is_empty(), "{lines:#?}");
    }

    /// Kills it as a power cut would, if it runs.
    pub fn kill(&mut self) {
        if let Some(node) = self.node.take() {
            node.kill();
        }
    }

    /// The base files in its directory.
    pub fn bases(&self) -> Vec<PathBuf> {
        self.files("base-")
    }

    /// The files in its directory whose names begin so, but for those that are not written completely.
    pub fn files(&self, begin: &str) -> Vec<PathBuf> {
        let data = self.data.as_ref().expect("it has a directory");
        let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let rest = name.strip_prefix(begin);
            rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        });
        paths.sort();
        paths
    }

    /// The file that its journal begins with.
    pub fn first_segment(&self) -> Option<PathBuf> {
        self.files("journal").into_iter().chain(self.files("journal-")).next()
    }

    /// How many bytes its directory has.
    pub fn bytes(&self) -> u64 {
        let data = self.data.as_ref().expect("it has a directory");
        let entries = std::fs::read_dir(data).unwrap().flatten();
        // One may go in between.
        entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
    }

    /// Checks that its directory is as it should be.
    #[track_caller]
    pub fn verify(&self) {
        let output = run(binary().arg("verify").arg(self.data.as_ref().unwrap()));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

/// Nodes that all dial each other.
pub fn all_to_all(members: &mut [Member]) {
    let addresses: Vec<_> = members.iter().map(|member| member.port.address).collect();
    for (number, member) in members.iter_mut().enumerate() {
        for (other, address) in addresses.iter().enumerate() {
            if other != number {
                member.peer(*address);
            }
        }
    }
}

/// How many transactions are not final, and how many a base stands for.
#[track_caller]
pub fn tentative_and_begin(node: &Node) -> (u64, u64) {
    let peers = node.peers();
    (peers["tentative"].as_u64().unwrap(), peers["begins"].as_u64().unwrap())
}

/// Waits until a node has folded so many transactions.
#[track_caller]
pub fn wait_until_folded(node: &Node, count: u64) {
    wait_for(format!("{} to have folded {count} transactions", node.source), || {
        (tentative_and_begin(node).1 >= count).then_some(())
    });
}

/// Waits until a node has nothing that is not final.
#[track_caller]
pub fn wait_until_final(node: &Node) {
    wait_for(format!("all of {} to be final", node.source), || {
        (tentative_and_begin(node).0 == 0).then_some(())
    });
}

/// Waits until all that these nodes have is final, and they have the same. Gives back the document.
#[track_caller]
pub fn settle(nodes: &[&Node]) -> String {
    let standing = |node: &&Node| {
        let peers = node.peers();
        let commit = (peers["commit"]["source"].clone(), peers["commit"]["id"].clone());
        let health = node.get("/healthz");
        (commit, peers["tentative"].as_u64().unwrap(), health.status, node.document())
    };
    let begin = Instant::now();
    loop {
        let all: Vec<_> = nodes.iter().map(standing).collect();
        let (commit, _, _, document) = &all[0];
        let is_first = |(at, tentative, health, text): &(_, u64, u16, String)| {
            at == commit && *tentative == 0 && *health == 200 && text == document
        };
        if *commit != (Value::Null, Value::Null) && all.iter().all(is_first) {
            return document.clone();
        }
        if begin.elapsed() > PATIENCE {
            for (node, (commit, tentative, health, document)) in nodes.iter().zip(&all) {
                let peers = node.peers();
                eprintln!("{}: {commit:?} {tentative} {health} {document}\n{peers}", node.source);
            }
            panic!("the nodes stay different");
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Checks that no node has found anything wrong with what others have.
#[track_caller]
pub fn check_metrics(node: &Node) {
    let metrics = node.get("/metrics");
    for name in ["patchmesh_divergences_total 0", "patchmesh_equivocations_total 0"] {
        assert!(metrics.text().lines().any(|line| line == name), "{name}: {}", metrics.text());
    }
}
