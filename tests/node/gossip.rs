//! What nodes tell of themselves, seen from the ends of a chain.

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Node, PlainNode, Port, Stream, node, wait_for};

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

/// A report as a node passes it on.
fn report(node: &str, number: u64) -> Value {
    json!({"number": number, "told_ms": 5_000, "report": {
        "node": node,
        "address": "far:1",
        "length": 3,
        "committed": null,
        "primary": false,
        "hash": null,
        "viewers": 0,
        "reads": [],
    }})
}

/// The names of the nodes that the next message tells of.
fn told(stream: &mut Stream) -> Vec<String> {
    let message = stream.next();
    let members = message["Members"].as_array().unwrap_or_else(|| panic!("{message}")).iter();
    members.map(|told| told["report"]["node"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_peer_tells_is_checked_and_passed_on_to_who_asks() {
    let peer = PlainNode::listen_as_member("peer~00000000");
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    assert!(visit.target.contains("&members=1"), "{}", visit.target);
    let streams = ["/ws?v=2&node=a~00000000&members=1", "/ws?v=2&node=b~00000000"];
    let [mut asks, mut other] = streams.map(|target| Stream::open(&node, target));
    let names = || {
        let mesh = node.get("/mesh").json();
        let nodes = mesh["nodes"].as_array().unwrap()[1..].iter();
        nodes.map(|node| node["node"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for stream in [&mut asks, &mut other] {
        assert_eq!(stream.next(), json!({"End": 0}));
    }
    assert_eq!(told(&mut asks), [node.source.as_str()]);
    // It knows of itself, and of what is old.
    let reports = [report("far~00000000", 7), report(&node.source, 8), report("peer~00000000", 9)];
    visit.send(json!({"Members": reports}).to_string());
    let of_others = |stream: &mut Stream| {
        // In between it may tell of its peer.
        std::iter::repeat_with(|| told(stream))
            .find(|told| *told != [node.source.as_str()])
            .unwrap()
    };
    assert_eq!(of_others(&mut asks), ["far~00000000", "peer~00000000"]);
    assert_eq!(names(), ["far~00000000", "peer~00000000"]);
    visit.send(json!({"Members": [report("far~00000000", 6)]}).to_string());
    // However many there are, so many are kept.
    for part in 0..3 {
        let name = |number| format!("n{}~00000000", 200 * part + number);
        let reports: Vec<_> = (0..200).map(|number| report(&name(number), 7)).collect();
        visit.send(json!({"Members": reports}).to_string());
    }
    wait_for("the last", || names().contains(&"n599~00000000".to_owned()).then_some(()));
    assert_eq!(names().len(), 255);
    // A reader that has not asked for it hears nothing of all that.
    let posted = node.post_patch("[]");
    assert_eq!(other.next(), posted);
    let bad = json!({"Members": [report("not a node", 1)]});
    visit.send(bad.to_string());
    let frame = visit.close_frame();
    assert_eq!(frame.code, CloseCode::Policy);
    assert!(frame.reason.contains("is not the source of a node"), "{frame:?}");
}

#[test]
fn what_is_told_of_other_nodes_does_not_hold_up_transactions() {
    let peer = PlainNode::listen_as_member("peer~00000000");
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let posted = node.post_patch("[]");
    // It tells of them to nobody yet.
    let read = json!({
        "address": "x".repeat(512), "node": null, "state": "waiting", "since_ms": 0, "heard_ms": null,
        "lazy": false, "behind": null, "delay_ms": null, "agrees": null,
    });
    for number in 0..16 {
        let mut large = report(&format!("n{number}~00000000"), 7);
        large["report"]["reads"] = vec![read.clone(); 64].into();
        visit.send(json!({"Members": [large]}).to_string());
    }
    wait_for("the last", || {
        (node.get("/mesh").json()["nodes"].as_array()?.len() == 17).then_some(())
    });
    let mut stream = Stream::open(&node, "/ws?v=2&node=a~00000000&members=1");
    let before = std::iter::repeat_with(|| stream.next()).take_while(|next| *next != posted);
    let before: Vec<_> = before.filter(|next| next.get("Members").is_some()).collect();
    assert!(before.len() < 2, "{} messages came before", before.len());
}
