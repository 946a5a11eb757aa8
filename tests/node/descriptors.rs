//! A node that runs out of file descriptors says so once, and accepts again when there are some.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::harness::{Client, node};

/// What the node may open, itself included.
const DESCRIPTORS: usize = 40;

#[test]
fn a_node_without_descriptors_pauses_and_goes_on() {
    let node = node().start();
    let limit = Some(DESCRIPTORS as u64);
    prlimit(Some(node.pid()), Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();

    let idle: Vec<_> = (0..DESCRIPTORS).map(|_| Client::connect(node.address)).collect();
    let mut waiting = Client::connect(node.address);
    // Long enough for several tries to accept it.
    std::thread::sleep(Duration::from_secs(1));
    drop(idle);
    assert_eq!(waiting.request("GET", "/healthz", &node.headers(), b"").status, 200);
    assert_eq!(node.told("cannot accept connections").len(), 1);
}
