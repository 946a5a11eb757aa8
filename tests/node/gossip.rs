//! What nodes tell of themselves, seen from the ends of a chain.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Node, Port, Stream, node, wait_for};

/// A chain of nodes, each with the one before it and the one behind it as peers.
fn chain<const LENGTH: usize>() -> [Node; LENGTH] {
    let ports: [Port; LENGTH] = std::array::from_fn(|_| Port::reserve());
    std::array::from_fn(|at| {
        let beside = [at.checked_sub(1), (at + 1 < LENGTH).then_some(at + 1)];
        let peers = beside.into_iter().flatten();
        peers.fold(node().at(&ports[at]), |setup, peer| setup.peer(&ports[peer])).start()
    })
}

/// How one node is, as another one shows it; null if it does not know it.
fn seen(from: &Node, of: &Node) -> Value {
    let mesh = from.get("/mesh").json();
    assert_eq!(
        (&mesh["node"], &mesh["nodes"][0]["node"]),
        (&json!(from.source), &json!(from.source))
    );
    assert_eq!(mesh["nodes"][0]["told_ms"], 0);
    let nodes = mesh["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["node"] == of.source).cloned().unwrap_or_default()
}

/// Whom a node reads, by what it has told: each with the state.
fn reads(member: &Value) -> Vec<(String, String)> {
    let reads = member["reads"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    reads.map(|read| (text(&read["node"]), text(&read["state"]))).collect()
}

#[test]
fn both_ends_of_a_chain_see_all_of_it() {
    let nodes = chain::<4>();
    let connected = |at: usize| (nodes[at].source.clone(), "connected".to_owned());
    let expected = [
        vec![connected(1)],
        vec![connected(0), connected(2)],
        vec![connected(1), connected(3)],
        vec![connected(2)],
    ];
    for end in [&nodes[0], &nodes[3]] {
        for (node, expected) in nodes.iter().zip(&expected) {
            wait_for(format!("{} to tell whom it reads", node.source), || {
                (reads(&seen(end, node)) == *expected).then_some(())
            });
            let shown = seen(end, node);
            assert_eq!(shown["address"], node.address.to_string());
            assert_eq!((&shown["committed"], &shown["primary"]), (&Value::Null, &json!(false)));
            assert_eq!((&shown["length"], &shown["viewers"]), (&json!(0), &json!(0)));
            assert_eq!(shown["hash"]["state"].as_str().unwrap().len(), 32);
            let read = &shown["reads"][0];
            assert!(read["since_ms"].is_u64() && read["heard_ms"].is_u64(), "{shown}");
            assert_eq!(read["lazy"], false);
        }
    }
    let [first, .., last] = &nodes;
    last.signal(Signal::KILL);
    wait_for("the other end to hear that it is gone", || {
        let third = seen(first, &nodes[2]);
        (reads(&third)[1].1 == "waiting").then_some(())
    });
    let age = |node: &Node| seen(first, node)["told_ms"].as_u64().unwrap();
    let before = age(last);
    wait_for("what it told to grow old", || (age(last) > before + 100).then_some(()));
    assert_eq!(reads(&seen(first, last))[0].1, "connected", "that is what it said");
}

#[test]
fn a_viewer_is_no_reader() {
    let node = node().peer("127.0.0.1:1").start();
    let kinds = || {
        let peers = node.peers();
        assert_eq!(peers["was_read"], false);
        let downstreams = peers["downstreams"].as_array().unwrap().iter();
        let mut kinds: Vec<_> =
            downstreams.map(|one| one["kind"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds
    };
    let _streams = ["/ws", "/ws?v=2"].map(|target| Stream::open(&node, target));
    wait_for("both to be there", || (kinds() == ["plain", "viewer"]).then_some(()));
    assert_eq!(seen(&node, &node)["viewers"], 1);
    assert_eq!(node.get("/healthz").json()["notes"][0]["kind"], "not-read");
    let metrics = node.get("/metrics").text().to_owned();
    for line in ["patchmesh_downstreams{kind=\"viewer\"} 1\n", "patchmesh_was_read 0\n"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let _reader = Stream::open(&node, "/ws?v=2&node=reader~00000000");
    wait_for("the reader", || (node.peers()["was_read"] == true).then_some(()));
}
