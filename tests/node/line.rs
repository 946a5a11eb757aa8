//! Three nodes, of which the outer ones do not know each other.

use std::collections::BTreeSet;

use crate::harness::{Node, Port, node, wait_for, wait_until_equal};

fn add(name: &str) -> String {
    format!(r#"[{{"op":"add","path":"/{name}","value":true}}]"#)
}

fn journal_set(node: &Node) -> BTreeSet<String> {
    node.journal().into_iter().collect()
}

#[test]
fn what_reaches_the_middle_reaches_both_ends_unchanged() {
    let (left, right) = (Port::reserve(), Port::reserve());
    let middle = node().peer(&left).peer(&right).start();
    let left = node().at(&left).peer(middle.address).start();
    let right = node().at(&right).peer(middle.address).start();
    let nodes = [&left, &middle, &right];
    let mut streams = nodes.map(Node::stream);
    let mut posted = BTreeSet::new();
    for (from, name) in [(&left, "left"), (&middle, "middle"), (&right, "right")] {
        let transaction = from.post_patch(&add(name));
        for (stream, node) in streams.iter_mut().zip(nodes) {
            // Source, Id, Payload and Time as the first one gave them.
            assert_eq!(stream.next(), transaction, "{name} at {}", node.address);
        }
        posted.insert(transaction.to_string());
    }
    wait_until_equal(&nodes);
    assert_eq!(right.document(), r#"{"left":true,"middle":true,"right":true}"#);
    // Byte for byte, and each once.
    for node in nodes {
        assert_eq!(node.length(), 3);
        assert_eq!(journal_set(node), journal_set(&left));
    }
}

#[test]
fn a_node_only_receives_from_those_that_it_dials() {
    let source = node().start();
    let middle = node().peer(source.address).start();
    let end = node().peer(middle.address).start();
    let mut at_end = end.stream();
    let own = end.post_patch(&add("end"));
    assert_eq!(at_end.next(), own);
    let first = source.post_patch(&add("source"));
    assert_eq!(at_end.next(), first);
    let second = middle.post_patch(&add("middle"));
    assert_eq!(at_end.next(), second);
    assert_eq!(end.document(), r#"{"end":true,"middle":true,"source":true}"#);
    assert_eq!(middle.document(), r#"{"middle":true,"source":true}"#);
    assert_eq!(source.document(), r#"{"source":true}"#);
}

#[test]
fn in_a_ring_every_node_keeps_every_transaction_once() {
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let nodes: Vec<Node> = (0..3)
        .map(|n| node().at(&ports[n]).peer(&ports[(n + 1) % 3]).peer(&ports[(n + 2) % 3]).start())
        .collect();
    let nodes: Vec<&Node> = nodes.iter().collect();
    for (n, node) in nodes.iter().enumerate() {
        node.post_patches((0..100).map(|m| add(&format!("{n}-{m}"))));
    }
    wait_until_equal(&nodes);
    for node in &nodes {
        assert_eq!(node.length(), 300);
        assert_eq!(journal_set(node), journal_set(nodes[0]));
    }
    // Each gets each other's transactions at most from both, and then there is silence.
    wait_for("both peers' journals", || {
        let peers = nodes[0].peers();
        let received: u64 = peers["upstreams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|upstream| upstream["received"].as_u64().unwrap())
            .sum();
        assert!(received <= 600, "{peers}");
        peers["downstreams"]
            .as_array()
            .unwrap()
            .iter()
            .all(|down| down["behind"] == 0)
            .then_some(())
    });
}

#[test]
fn a_node_that_dials_itself_does_itself_no_harm() {
    let port = Port::reserve();
    // By another name, so that it cannot tell before.
    let node = node().at(&port).peer(format!("localhost:{}", port.address.port())).start();
    node.wait_until_connected();
    assert!(node.wait_for_log("this node's own source").contains(" WARN "));
    let upstream = node.upstream();
    assert_eq!(upstream["node"], node.source.as_str());
    assert!(upstream["error"].as_str().unwrap().contains("it is this node itself"), "{upstream}");
    node.post_patches((0..100).map(|n| add(&n.to_string())));
    wait_for("its own transactions", || (node.upstream()["received"] == 100).then_some(()));
    assert_eq!(node.length(), 100);
}
