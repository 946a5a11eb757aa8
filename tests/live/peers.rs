//! `/peers` tells what this node has seen, and what its peers have, as far as it knows.

use serde_json::{Value, json};

use crate::node::{Node, add};
use crate::peer::Peer;

#[test]
fn peers_tells_what_a_peer_has_sent() {
    let mut peer = Peer::new();
    let node = Node::start(&[&peer.address()]);
    let before = node.get("/peers").json();
    assert_eq!(before["upstreams"][0]["vclock"], Value::Null);
    peer.tell("p~1", 4, 1000, &add("/a", 1));
    peer.tell("q~1", 0, 2000, &add("/b", 1));
    let answer = node.wait_for("/peers", |answer| answer.json()["length"] == 2);
    let peers = answer.json();
    let known = json!({"p~1": 5, "q~1": 1});
    assert_eq!(peers["upstreams"][0]["vclock"], known);
    assert_eq!(peers["vclock"], node.get("/vclock").json());
    let hash = peers["hash"].clone();
    let written = node.post(&add("/c", 1));
    let peers = node.get("/peers").json();
    assert_eq!(peers["upstreams"][0]["vclock"], known, "that it has this is not known");
    let own = written["Source"].as_str().expect("a source");
    assert_eq!(peers["vclock"], json!({"p~1": 5, "q~1": 1, own: 2}));
    for part in ["clock", "state"] {
        let digits = peers["hash"][part].as_str().expect("a hash");
        assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(peers["hash"][part], hash[part]);
    }
    // A state hash like this node's says that the peer has seen the same.
    let (clock, state) = (&peers["hash"]["clock"], &peers["hash"]["state"]);
    let (clock, state) = (clock.as_str().expect("one"), state.as_str().expect("one"));
    peer.ping(&format!("patchmesh-state {clock} {state}"));
    let answer = node.wait_for("/peers", |answer| answer.json()["upstreams"][0]["agrees"] == true);
    assert_eq!(answer.json()["upstreams"][0]["vclock"], answer.json()["vclock"]);
}

#[test]
fn a_peer_with_the_same_clock_and_another_document_is_a_trouble() {
    let mut peer = Peer::new();
    let node = Node::start(&[&peer.address()]);
    peer.tell("p~1", 4, 1000, &add("/a", 1));
    let peers = node.wait_for("/peers", |answer| answer.json()["length"] == 1).json();
    assert_eq!(node.get("/healthz").json(), json!({"status": "ok"}));
    let clock = peers["hash"]["clock"].as_str().expect("a hash");
    peer.ping(&format!("patchmesh-state {clock} {}", "0".repeat(32)));
    let problem = node.wait_for("/healthz", |answer| answer.status == 503).json();
    assert_eq!(problem["type"], "/problems/divergence");
    let trouble = &problem["troubles"][0];
    assert_eq!((&trouble["kind"], &trouble["detail"]), (&json!("divergence"), &problem["detail"]));
    // It goes on taking reads and writes.
    assert_eq!(node.get("/healthz/ready").status, 200);
    assert_eq!(node.get("/healthz/live").status, 200);
}
