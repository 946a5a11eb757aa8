//! The broadcast tree: with many links a transaction comes about once, and whatever freezes or dies, soon.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Node, Port, Stream, node, pair, wait_for, wait_until_equal};

/// By when all have what is written after something froze: within a second, and here more, for machines that
/// have much else to do. Nothing else would help before 30 seconds have passed.
const SOON: Duration = Duration::from_secs(5);

const PATCH: &str = r#"[{"op":"add","path":"/a","value":1}]"#;

/// Nodes each of which has all others as its peers.
fn full_mesh(nodes: usize) -> Vec<Node> {
    let ports: Vec<_> = (0..nodes).map(|_| Port::reserve()).collect();
    let start = |number: usize| {
        let others = ports.iter().enumerate().filter(|(other, _)| *other != number);
        others.fold(node(), |setup, (_, port)| setup.peer(port)).at(&ports[number]).start()
    };
    let nodes: Vec<_> = (0..nodes).map(start).collect();
    for node in &nodes {
        wait_for("all peers to be read to their end", || {
            upstreams(node).iter().all(|upstream| upstream["read_to_end"] == true).then_some(())
        });
    }
    nodes
}

fn upstreams(node: &Node) -> Vec<Value> {
    node.peers()["upstreams"].as_array().unwrap().clone()
}

/// How many transactions came to these nodes, known ones among them.
fn received(nodes: &[Node]) -> u64 {
    nodes.iter().flat_map(upstreams).map(|upstream| upstream["received"].as_u64().unwrap()).sum()
}

fn lazy(nodes: &[Node]) -> usize {
    nodes.iter().flat_map(upstreams).filter(|upstream| upstream["lazy"] == true).count()
}

/// Writes at a node, and waits until all others have it. Says how long that took.
fn spread(at: &Node, others: &[&Node]) -> Duration {
    let begin = Instant::now();
    let written = at.post_patch(PATCH);
    let (source, id) = (written["Source"].as_str().unwrap(), &written["Id"]);
    for node in others {
        let answer = node.get(&format!("/get?source={source}&id={id}&wait=30s"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    begin.elapsed()
}

/// A mesh in which the first node has written until the links are what they come to be.
fn formed_mesh(nodes: usize) -> Vec<Node> {
    let nodes = full_mesh(nodes);
    wait_for("most links to be lazy", || {
        (0..20).for_each(|_| drop(nodes[0].post_patch(PATCH)));
        wait_until_equal(&nodes.iter().collect::<Vec<_>>());
        (lazy(&nodes) * 2 > nodes.len() * (nodes.len() - 1)).then_some(())
    });
    nodes
}

#[test]
fn in_a_full_mesh_a_write_comes_to_each_node_about_once() {
    const WRITES: u64 = 100;
    let nodes = formed_mesh(6);
    let all: Vec<_> = nodes.iter().collect();
    wait_for("a write to come about once", || {
        let before = received(&nodes);
        (0..WRITES).for_each(|_| drop(nodes[0].post_patch(PATCH)));
        wait_until_equal(&all);
        let copies = (received(&nodes) - before) as f64 / (WRITES * 5) as f64;
        (copies <= 1.2).then_some(())
    });
    // Downstreams say the same of the links.
    let told = |node: &Node| node.peers()["downstreams"].as_array().unwrap().clone();
    let readers = nodes.iter().flat_map(told).filter(|reader| reader["lazy"] == true).count();
    assert_eq!(readers, lazy(&nodes));
}

#[test]
fn what_all_links_came_over_may_freeze() {
    let nodes = formed_mesh(6);
    let [center, writer, others @ ..] = &nodes[..] else { unreachable!() };
    let others: Vec<_> = others.iter().collect();
    center.signal(Signal::STOP);
    for _ in 0..5 {
        let took = spread(writer, &others);
        assert!(took < SOON, "{took:?}");
    }
    center.signal(Signal::CONT);
    wait_until_equal(&nodes.iter().collect::<Vec<_>>());
}

#[test]
fn what_all_links_came_over_may_die() {
    let mut nodes = formed_mesh(6);
    nodes.remove(0).kill();
    let [writer, others @ ..] = &nodes[..] else { unreachable!() };
    let others: Vec<_> = others.iter().collect();
    for _ in 0..5 {
        let took = spread(writer, &others);
        assert!(took < SOON, "{took:?}");
    }
}

#[test]
fn two_nodes_send_each_other_what_is_new_and_nothing_back() {
    const WRITES: u64 = 200;
    let (first, second) = pair();
    for node in [&first, &second] {
        wait_for("the peer to be read to its end", || {
            (node.upstream()["read_to_end"] == true).then_some(())
        });
    }
    let received = || [&first, &second].map(|node| node.upstream()["received"].as_u64().unwrap());
    // What each is known to have counts from when both have met.
    wait_for("nothing to come back", || {
        let before = received();
        for number in 0..WRITES {
            [&first, &second][number as usize % 2].post_patch(PATCH);
        }
        wait_until_equal(&[&first, &second]);
        let grown = [0, 1].map(|node| received()[node] - before[node]);
        (grown == [WRITES / 2; 2]).then_some(())
    });
    for node in [&first, &second] {
        assert_eq!(node.upstream()["lazy"], false);
    }
}

#[test]
fn a_lazy_reader_is_told_what_there_is_until_it_wants_it() {
    let node = node().start();
    let target = "/ws?since=%7B%7D&v=2&node=reader~00000000&process=00000000000000ff.0";
    let mut reader = Stream::open(&node, target);
    let tell = |reader: &mut Stream, order: &'static [u8]| {
        reader.socket.send(Message::Ping(order.into())).unwrap();
        // When it is answered it is read.
        let is_answer = |message: &Message| matches!(message, Message::Pong(_));
        while !is_answer(&reader.socket.read().unwrap()) {}
    };
    assert_eq!(reader.next_message(), r#"{"End":0}"#);
    node.post_patch(PATCH);
    assert_eq!(reader.next()["Id"], 1);
    tell(&mut reader, b"lazy");
    let source = node.source.clone();
    for id in 2..5 {
        node.post_patch(PATCH);
        let (next, from) = (id + 1, id - 1);
        let expected = format!(r#"{{"Have":{{"{source}":{next}}},"From":{from},"To":{id}}}"#);
        assert_eq!(reader.next_message(), expected);
    }
    assert_eq!(node.peers()["downstreams"][0]["lazy"], true);
    reader.socket.send(Message::Ping("eager 2".into())).unwrap();
    assert_eq!((reader.next()["Id"].clone(), reader.next()["Id"].clone()), (3.into(), 4.into()));
    tell(&mut reader, b"lazy");
    reader.socket.send(Message::Ping("eager 99".into())).unwrap();
    let frame = reader.close_frame();
    assert_eq!(frame.code, CloseCode::Policy);
    assert!(frame.reason.contains("eager 99: it was told of what is before position 4"));
}

#[test]
fn who_says_no_process_or_no_version_is_sent_everything() {
    let node = node().start();
    for target in ["/ws", "/ws?v=1&node=reader~00000000"] {
        let mut reader = Stream::open(&node, target);
        reader.socket.send(Message::Ping("lazy".into())).unwrap();
        let id = &node.post_patch(PATCH)["Id"];
        while reader.next()["Id"] != *id {}
        node.post_patch(PATCH);
        assert_eq!(reader.next()["Source"], node.source.as_str());
    }
}
