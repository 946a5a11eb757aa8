//! Nodes, and the links between them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::client;
use crate::fold::Fold;
use crate::harness::{Node, Port, Scratch, node, wait_for};
use crate::link::Link;

pub struct Cluster {
    pub members: Vec<Member>,
    /// Each with the pairs of nodes that dial each other.
    pub links: Vec<(usize, usize, Link)>,
    _scratch: Scratch,
}

/// A node in all its lives.
pub struct Member {
    pub port: Port,
    pub node: Option<Node>,
    /// Where its journal is; none if that is in memory.
    data: Option<PathBuf>,
    name: String,
    peers: Vec<SocketAddr>,
    /// The sources of the lives whose journal is lost.
    pub lost: BTreeSet<String>,
}

impl Cluster {
    /// Starts a node for each letter of `kinds`, `d` for one with a data directory and `m` for one
    /// in memory, which dial each other if `pairs` says so.
    pub fn start(kinds: &str, pairs: &[(usize, usize)]) -> Self {
        let scratch = Scratch::new();
        let mut members: Vec<Member> = kinds
            .chars()
            .enumerate()
            .map(|(number, kind)| Member {
                port: Port::reserve(),
                node: None,
                data: (kind == 'd').then(|| scratch.path(number)),
                name: format!("n{number}"),
                peers: Vec::new(),
                lost: BTreeSet::new(),
            })
            .collect();
        let mut links = Vec::new();
        for (left, right) in pairs {
            for (from, to) in [(*left, *right), (*right, *left)] {
                let link = Link::to(members[to].port.address);
                members[from].peers.push(link.address);
                links.push((from, to, link));
            }
        }
        members.iter_mut().for_each(Member::start);
        Self { members, links, _scratch: scratch }
    }

    /// The links between two nodes, in both directions.
    pub fn between(&self, left: usize, right: usize) -> impl Iterator<Item = &Link> {
        let is_one = move |(from, to, _): &&(usize, usize, Link)| {
            (*from, *to) == (left, right) || (*from, *to) == (right, left)
        };
        self.links.iter().filter(is_one).map(|(_, _, link)| link)
    }

    pub fn node(&self, number: usize) -> &Node {
        self.members[number].node.as_ref().expect("the node runs")
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.port.address).collect()
    }

    /// Waits until all nodes have the same transactions. Each hop may take as long as the longest
    /// wait before a peer is dialed again.
    #[track_caller]
    pub fn wait_until_equal(&self) {
        let clocks = || self.addresses().into_iter().map(client::vclock).collect::<Vec<_>>();
        wait_for("equal vector clocks", || {
            let clocks = clocks();
            clocks.iter().all(|clock| *clock == clocks[0]).then_some(())
        });
    }

    /// Checks that all nodes are equal in everything, and to the fold of the journal, which is
    /// returned with its lines.
    #[track_caller]
    pub fn check_equal(&self) -> (Vec<String>, Fold) {
        let addresses = self.addresses();
        let document = client::document(addresses[0]);
        let mut lines = client::log(addresses[0]);
        lines.sort();
        let fold = Fold::of(&lines);
        assert_eq!(document.0, fold.document);
        for address in addresses {
            assert_eq!(client::document(address), document);
            let mut log = client::log(address);
            log.sort();
            assert_eq!(log, lines, "the journals have the same transactions");
            // Page by page.
            let mut listed = Vec::new();
            loop {
                let page = format!("/conflicts?because=false&from={}", listed.len());
                let mut conflicts = client::get(address, &page).json();
                assert_eq!(conflicts["count"], fold.skipped.len());
                let skipped = conflicts["skipped"].as_array_mut().unwrap();
                if skipped.is_empty() {
                    break;
                }
                for skipped in &mut *skipped {
                    skipped.as_object_mut().unwrap().remove("since").expect("since when");
                }
                listed.append(skipped);
            }
            assert_eq!(listed, fold.skipped);
            client::get(address, "/healthz");
            let peers = client::get(address, "/peers").json();
            for upstream in peers["upstreams"].as_array().unwrap() {
                assert_ne!(upstream["agrees"], false, "{upstream}");
                assert_eq!(upstream["divergence"], Value::Null, "{upstream}");
            }
            let metrics = client::get(address, "/metrics");
            for name in ["divergences_total", "equivocations_total"] {
                let is_zero = |line: &str| line.starts_with("patchmesh") && line.ends_with(" 0");
                let of_name: Vec<&str> = metrics
                    .text()
                    .lines()
                    .filter(|line| line.contains(&format!("{name} ")))
                    .collect();
                assert!(of_name.iter().any(|line| is_zero(line)), "{of_name:?}");
            }
        }
        (lines, fold)
    }
}

impl Member {
    pub fn start(&mut self) {
        let mut setup = node().at(&self.port).source(&self.name);
        for peer in &self.peers {
            setup = setup.peer(peer);
        }
        if let Some(data) = &self.data {
            setup = setup.argument("--data").argument(data.display());
        }
        self.node = Some(setup.start());
    }

    /// Kills it, however it is.
    pub fn kill(&mut self) {
        if let Some(node) = self.node.take() {
            if self.data.is_none() {
                self.lost.insert(node.source.clone());
            }
            node.kill();
        }
    }
}
