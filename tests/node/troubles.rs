//! What a node says of peers that it cannot receive from.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Node, Nonsense, PlainNode, Port, node, pair, wait_for, wait_until_equal};

/// Waits until the upstream has failed that often since it is down.
#[track_caller]
fn wait_for_failures(node: &Node, upstream: usize, count: u64) {
    wait_for(format!("{count} failures"), || {
        let status = &node.peers()["upstreams"][upstream];
        let failed = status["state"] == "waiting" && status["failures"].as_u64() >= Some(count);
        failed.then_some(())
    });
}

/// The lines in the log about a peer, when there is one.
#[track_caller]
fn told_of(node: &Node, peer: &str) -> Vec<String> {
    // Before the address there is the node's source, if it has told it.
    node.told(&format!("{peer}: "))
}

#[test]
fn a_refused_connection_is_told_once_and_again_when_it_ends() {
    let port = Port::reserve();
    let node = node().peer(&port).start();
    wait_for_failures(&node, 0, 3);
    let name = port.to_string();
    let told = told_of(&node, &name);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(" WARN ") && told[0].contains("nothing listens there"), "{told:?}");
    assert_eq!(node.upstream()["error"], "connection refused: nothing listens there");
    let late = crate::harness::node().at(&port).start();
    let line = node.wait_for_log("connected");
    assert!(line.contains(" INFO ") && !line.contains("again"), "{line}");
    wait_for("no error to be shown", || node.upstream()["error"].is_null().then_some(()));
    assert_eq!(told_of(&node, &name).len(), 2);
    // And the next time it is told again.
    late.kill();
    wait_for("the same trouble", || {
        let told = told_of(&node, &name);
        (told.iter().filter(|line| line.contains("refused")).count() == 2).then_some(())
    });
}

#[test]
fn a_name_that_nobody_has_is_told_once() {
    // RFC 6761: no such name, ever. Where nobody can be asked for names, that takes its time.
    let node = node().peer("nobody.invalid:8080").start();
    wait_for_failures(&node, 0, 2);
    let told = told_of(&node, "nobody.invalid:8080");
    assert_eq!(told.len(), 1, "{told:#?}");
    let why = ["no such host", "no answer within"];
    assert!(why.iter().any(|why| told[0].contains(why)), "{told:?}");
}

#[test]
fn what_is_no_websocket_server_is_told_once_each() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let elsewhere = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    let problem = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
        Content-Length: 27\r\n\r\n{\"detail\":\"full up, sorry\"}";
    let accepts_wrongly = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    let table = [
        ("SSH-2.0-OpenSSH_9.2\r\n", "not a WebSocket server"),
        ("\x15\x03\x01\x00\x02\x02\x46", "not a WebSocket server"),
        (accepts_wrongly, "not a WebSocket server"),
        (ok, "answers 200 OK"),
        (elsewhere, "answers 302 Found"),
        (problem, "answers 503 Service Unavailable: full up, sorry"),
        // It closes the connection without a word.
        ("", ""),
    ];
    let peers = table.map(|(answer, _)| Nonsense::listen(answer));
    let node = peers.iter().fold(node(), |setup, peer| setup.peer(peer.address())).start();
    for (index, (peer, (answer, expected))) in peers.iter().zip(table).enumerate() {
        peer.wait_for_visits(4);
        let name = peer.address().to_string();
        let told = told_of(&node, &name);
        assert_eq!(told.len(), 1, "{answer:?}: {told:#?}");
        assert!(told[0].contains(" WARN ") && told[0].contains(expected), "{answer:?}: {told:?}");
        let shown = &node.peers()["upstreams"][index];
        assert_eq!(shown["address"], name);
        assert!(shown["error"].as_str().unwrap().contains(expected), "{shown}");
    }
    assert_eq!(node.log_lines("panic"), Vec::<String>::new());
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn what_a_peer_sends_does_not_forge_the_log() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let forged = "\n\u{1b}[31m2026-11-27T00:00:00.000Z ERROR forged \u{9b}1m";
    let patch =
        |operation, text| json!([{"op": operation, "path": "/a", "value": text}]).to_string();
    for (source, id, time, payload) in [
        ("p\u{202e}~1", 1, 1, patch("add", "\u{9b}1m")),
        // Another one of the same name, whose white space holds the text.
        ("p\u{202e}~1", 1, 2, format!("[{forged}")),
        // One that comes to be skipped, for a reason that has a value of the document in it.
        ("p\u{202e}~1", 2, 9, patch("test", "\u{9b}1m")),
        ("q~1", 1, 5, patch("replace", "\u{9b}2m")),
    ] {
        let time = 1_000_000 + time;
        let message = json!({"Source": source, "Id": id, "Payload": payload, "Time": time});
        if source == "q~1" {
            wait_for("what it overtakes", || (node.length() == 2).then_some(()));
        }
        visit.send(message.to_string());
    }
    let told = node.told("is skipped from now on");
    assert!(told[0].contains(r"\u{9b}2m") && told[0].contains(r"\u{202e}~1"), "{told:?}");
    let told = node.told("there are two transactions");
    assert!(told[0].contains(r"\n\u{1b}[31m2026-11"), "{told:?}");
    assert_eq!(told.len(), 1);
    for line in node.log_lines("") {
        assert!(!line.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{line:?}");
        assert!(!line.starts_with("2026-11-27T00:00:00.000Z ERROR forged"), "{line:?}");
    }
}

#[test]
fn a_peer_that_never_answers_is_told() {
    // The system accepts for it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = node().peer(listener.local_addr().unwrap()).start();
    node.wait_for_log("no answer within 10 s");
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn a_peer_that_stops_is_told_to_have_stopped() {
    let (mut first, second) = pair();
    second.wait_until_connected();
    first.signal(Signal::TERM);
    let line = second.wait_for_log("closed the stream");
    let named = format!("peer {} at {}: ", first.source, first.address);
    assert!(line.contains(&named), "{line}");
    assert!(line.contains("the node is stopping"), "{line}");
    assert_eq!(first.wait_for_exit().code(), Some(0));
}

#[test]
fn a_peer_that_closes_every_stream_is_told_once_and_not_hammered() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let begin = Instant::now();
    let mut visits = 0;
    while begin.elapsed() < Duration::from_secs(2) {
        visits += usize::from(peer.try_accept(Duration::from_millis(100)).is_some());
    }
    // The pauses are random parts of 0.1, 0.2, 0.4, 0.8, … s.
    assert!((2..=12).contains(&visits), "{visits} visits");
    assert_eq!(node.told(" WARN ").len(), 1);
    let told = told_of(&node, &peer.address().to_string());
    assert!(told.len() <= 2, "{told:#?}");
}

#[test]
fn a_peer_whose_streams_all_fail_is_down_since_the_first_failure() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let transaction = |id| format!(r#"{{"Source":"go","Id":{id},"Payload":"[]"}}"#);
    let mut since = None;
    for id in 1..=5 {
        let mut visit = peer.accept();
        visit.send(transaction(id));
        wait_for("the transaction", || (node.upstream()["received"] == id).then_some(()));
        let upstream = node.upstream();
        // Only of the first stream nobody knows yet.
        if let Some(since) = &since {
            assert_eq!((&upstream["state"], &upstream["since"]), (&"waiting".into(), since));
            assert!(
                upstream["error"].as_str().unwrap().contains("not a transaction"),
                "{upstream}"
            );
            assert_eq!(upstream["failures"], id - 1);
            assert!(upstream["heard"].as_u64() > since.as_u64(), "{upstream}");
        } else {
            assert_eq!(
                (&upstream["state"], &upstream["failures"]),
                (&"connected".into(), &0.into())
            );
        }
        visit.send("garbage");
        visit.close_frame();
        drop(visit);
        wait_for_failures(&node, 0, id);
        since.get_or_insert(node.upstream()["since"].clone());
    }
    assert_eq!(node.log_lines("connected again"), Vec::<String>::new());
}

#[test]
fn what_a_peer_says_is_quoted() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let reason = "bye\n2026 INFO all is well \x1b[2J";
    let mut visit = peer.accept();
    let frame = CloseFrame { code: CloseCode::Normal, reason: reason.into() };
    visit.socket.close(Some(frame)).unwrap();
    let quoted = r#""bye\n2026 INFO all is well \u{1b}[2J""#;
    assert!(
        node.wait_for_log("closed the stream: ").contains(quoted),
        "{:?}",
        node.log_lines("bye")
    );
    wait_for_failures(&node, 0, 1);
    assert!(node.upstream()["error"].as_str().unwrap().contains(quoted));
}

#[test]
fn what_takes_the_peers_place_and_goes_again_is_told_once() {
    let port = Port::reserve();
    let node = node().peer(&port).start();
    node.wait_for_log("nothing listens there");
    let impostor = Nonsense::listen_at(&port, "220 smtp.example.org ESMTP\r\n");
    impostor.wait_for_visits(2);
    node.wait_for_log("not a WebSocket server");
    drop(impostor);
    let peer = crate::harness::node().at(&port).start();
    peer.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    node.wait_for_log("connected");
    wait_until_equal(&[&node, &peer]);
    assert_eq!(node.log_lines("not a WebSocket server").len(), 1);
}

#[test]
fn two_nodes_that_find_each_other_have_nothing_to_complain_of() {
    let (first, second) = pair();
    first.wait_until_connected();
    second.wait_until_connected();
    // The first one may have looked before the second one was there.
    for node in [&first, &second] {
        let warnings = node.log_lines(" WARN ");
        assert!(warnings.iter().all(|line| line.contains("nothing listens there")), "{warnings:?}");
        assert_eq!(node.log_lines(" ERROR "), Vec::<String>::new());
        assert_eq!(node.told("connected").len(), 1);
        let other = if node.address == first.address { &second } else { &first };
        assert!(node.log_lines("connected")[0].ends_with(&format!(", it is {}", other.source)));
    }
}
