//! How a node ends.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Client, Node, PlainNode, Port, node, percent_encoded, wait_for};

/// The promise.
const LIMIT: Duration = Duration::from_secs(5);

/// A connection on which so much was sent.
fn connection(node: &Node, bytes: &str) -> Client {
    let mut client = Client::connect(node.address);
    client.send(bytes.replace("HOST", &node.address.to_string()));
    client
}

fn ends_in_order(signal: Signal) {
    let (peer, nobody) = (PlainNode::listen(), Port::reserve());
    let mut node = node().peer(peer.address()).peer(&nobody).start();
    node.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    node.wait_for_log("connection refused");
    // Its peer never reads, and so answers no close; nor does one of its readers.
    let visit = peer.accept();
    let mut reader = node.stream();
    reader.next();
    let deaf_reader = node.stream();
    let mut idle = connection(&node, "GET /vclock HTTP/1.1\r\nHost: HOST\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    let unfinished = [
        "",
        "GE",
        "GET /get HTTP/1.1\r\nHost: HO",
        "POST /replace HTTP/1.1\r\nHost: HOST\r\nContent-Length: 50\r\n\r\n[",
        "POST /replace HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[",
    ];
    let mut clients = unfinished.map(|bytes| connection(&node, bytes));
    wait_for("both readers to be known", || {
        (node.peers()["downstreams"].as_array().unwrap().len() == 2).then_some(())
    });

    let begin = Instant::now();
    node.signal(signal);
    let frame = reader.close_frame();
    assert_eq!(frame.code, CloseCode::Away);
    assert_eq!(frame.reason, "the node is stopping");
    assert_eq!(node.wait_for_exit().code(), Some(0));
    let time = begin.elapsed();
    assert!(time < LIMIT, "{time:?}");
    assert!(idle.is_cut());
    assert!(clients.iter_mut().all(Client::is_cut));
    assert!(TcpStream::connect(node.address).is_err());
    assert_eq!(node.log_lines("panic"), Vec::<String>::new());
    assert_eq!(node.log_lines("abandoned"), Vec::<String>::new());
    drop((visit, deaf_reader));
}

#[test]
fn sigterm_ends_it_in_order() {
    ends_in_order(Signal::TERM);
}

#[test]
fn sigint_ends_it_in_order() {
    ends_in_order(Signal::INT);
}

#[test]
fn those_who_wait_for_the_document_to_move_are_answered() {
    let mut node = node().start();
    let clock = percent_encoded(&serde_json::to_string(&node.vclock()).unwrap());
    let poll = format!("GET /get?after={clock}&wait=60s HTTP/1.1\r\nHost: HOST\r\n\r\n");
    let mut poll = connection(&node, &poll);
    let mut events =
        connection(&node, "GET /get HTTP/1.1\r\nHost: HOST\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(events.head().status, 200);
    // Asked after it on another connection, and answered: the poll waits by now.
    assert_eq!(node.get("/healthz").status, 200);
    node.signal(Signal::TERM);
    let answer = poll.answer();
    assert!([304, 503].contains(&answer.status), "{}", answer.text());
    assert_eq!(answer.header("Connection"), Some("close"));
    assert!(poll.is_cut());
    // The last chunk.
    assert!(events.rest().ends_with(b"0\r\n\r\n"));
    assert_eq!(node.wait_for_exit().code(), Some(0));
    assert_eq!(node.log_lines("have not ended"), Vec::<String>::new());
}

#[test]
fn a_node_without_connections_ends_too() {
    let mut node = node().start();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

/// A node with a document that is more than the buffers of a connection hold, and a client that has
/// asked for it and read nothing but the answer's head.
fn with_a_large_answer() -> (Node, Client, usize) {
    let node = node().start();
    let text = "x".repeat(1_000_000);
    node.post_patch(&format!(r#"[{{"op":"add","path":"/0","value":"{text}"}}]"#));
    let copy = |n| format!(r#"{{"op":"copy","from":"/0","path":"/{n}"}}"#);
    node.post_patch(&format!("[{}]", (1..12).map(copy).collect::<Vec<_>>().join(",")));
    let mut client = connection(&node, "GET /get HTTP/1.1\r\nHost: HOST\r\n\r\n");
    let answer = client.head();
    assert_eq!(answer.status, 200);
    let length = answer.header("Content-Length").unwrap().parse().unwrap();
    (node, client, length)
}

#[test]
fn an_answer_that_was_begun_is_sent_to_its_end() {
    let (mut node, mut client, length) = with_a_large_answer();
    node.signal(Signal::TERM);
    node.wait_for_log("stopping");
    let body = client.body(length);
    assert!(body.starts_with(b"{\"0\":\"xxx") && body.ends_with(b"xxx\"}\n"));
    assert!(client.is_cut());
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let (mut node, client, _) = with_a_large_answer();
    let begin = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    let time = begin.elapsed();
    assert!(time < LIMIT, "{time:?}");
    assert_eq!(node.log_lines("1 connections have not ended").len(), 1);
    drop(client);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut node, client, _) = with_a_large_answer();
    node.signal(Signal::TERM);
    node.wait_for_log("stopping");
    node.signal(Signal::INT);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    assert_eq!(node.log_lines("without waiting").len(), 1);
    assert_eq!(node.log_lines("have not ended"), Vec::<String>::new());
    drop(client);
}
