//! What a reader of `/ws` gets.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{
    Client, Node, PlainNode, Stream, Visit, node, pair, percent_encoded, wait_for, wait_until_equal,
};

fn add(name: &str) -> String {
    format!(r#"[{{"op":"add","path":"/{name}","value":1}}]"#)
}

#[test]
fn a_reader_gets_the_journal_from_its_start_and_then_what_comes() {
    let node = node().start();
    node.post_patches((0..100).map(|n| add(&format!("before{n}"))));
    let mut streams = [node.stream(), node.stream()];
    node.post_patches((0..100).map(|n| add(&format!("after{n}"))));
    let journal = node.journal();
    assert_eq!(journal.len(), 200);
    for stream in &mut streams {
        for line in &journal {
            // Byte for byte what the journal has.
            assert_eq!(stream.next_line(), *line);
        }
    }
}

#[test]
fn a_reader_gets_what_its_since_has_not_seen() {
    let node = node().start();
    node.post_patches((1..=5).map(|n| add(&n.to_string())));
    let source = &node.source;
    for (since, ids) in [
        ("{}".to_owned(), vec![1, 2, 3, 4, 5, 6]),
        (format!(r#"{{"{source}":0,"other":9}}"#), vec![1, 2, 3, 4, 5, 6]),
        (format!(r#"{{"{source}":4}}"#), vec![4, 5, 6]),
        (format!(r#"{{"{source}":6}}"#), vec![6]),
    ] {
        let mut stream = Stream::open(&node, &format!("/ws?since={}", percent_encoded(&since)));
        // The last one comes while the first stream is open.
        if node.length() == 5 {
            node.post_patch(&add("6"));
        }
        let got: Vec<_> = ids.iter().map(|_| stream.next()["Id"].as_u64().unwrap()).collect();
        assert_eq!(got, ids, "{since}");
    }
}

#[test]
fn who_knows_version_2_is_told_of_the_end_once() {
    let node = node().start();
    let posted = [node.post_patch(&add("a")), node.post_patch(&add("b"))];
    let seen = percent_encoded(&format!(r#"{{"{}":2}}"#, node.source));
    for (query, expected) in [
        ("v=2", vec![posted[0].clone(), posted[1].clone(), json!({"End": 2})]),
        ("v=3&node=me", vec![posted[0].clone(), posted[1].clone(), json!({"End": 2})]),
        (&format!("v=2&since={seen}"), vec![posted[1].clone(), json!({"End": 2})]),
        ("v=1", posted.to_vec()),
        ("node=me", posted.to_vec()),
    ] {
        let mut stream = Stream::open(&node, &format!("/ws?{query}"));
        for message in expected {
            assert_eq!(stream.next(), message, "{query}");
        }
    }
    // What comes after that is sent as ever.
    let mut stream = Stream::open(&node, &format!("/ws?v=2&since={seen}"));
    assert_eq!((stream.next(), stream.next()), (posted[1].clone(), json!({"End": 2})));
    assert_eq!(node.post_patch(&add("c")), stream.next());
    assert_eq!(node.post_patch(&add("d")), stream.next());
}

#[test]
fn an_empty_journal_has_an_end_too() {
    let node = node().start();
    assert_eq!(Stream::open(&node, "/ws?v=2").next(), json!({"End": 0}));
}

#[test]
fn what_is_posted_while_a_stream_begins_is_sent_at_once() {
    let node = node().start();
    for id in 1..=100 {
        let since = percent_encoded(&format!(r#"{{"{}":{id}}}"#, node.source));
        let mut stream = Stream::open(&node, &format!("/ws?since={since}"));
        // Sooner than the second ping, which would make up for it.
        stream.socket.get_ref().set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        assert_eq!(node.post_patch(&add("a"))["Id"], id);
        assert_eq!(stream.next()["Id"], id);
    }
}

#[test]
fn what_a_reader_says_is_ignored() {
    let node = node().start();
    let mut stream = node.stream();
    let transaction = r#"{"Source":"reader","Id":1,"Payload":"[]"}"#;
    for message in [
        Message::text("hello"),
        Message::text(transaction),
        Message::binary(transaction),
        Message::Ping(b"are you there?".to_vec().into()),
        Message::Pong(Vec::new().into()),
    ] {
        stream.socket.send(message).unwrap();
    }
    let pong = Message::Pong(b"are you there?".to_vec().into());
    while stream.socket.read().unwrap() != pong {}
    let posted = node.post_patch(&add("a"));
    assert_eq!(stream.next(), posted);
    assert_eq!(node.length(), 1);
    // An end in order is answered in order.
    let frame = CloseFrame { code: CloseCode::Normal, reason: "enough".into() };
    stream.socket.close(Some(frame)).unwrap();
    assert_eq!(stream.close_frame().code, CloseCode::Normal);
}

#[test]
fn a_reader_that_says_too_much_or_nonsense_is_closed_with_why() {
    let node = node().start();
    let mut stream = node.stream();
    stream.socket.send(Message::text("x".repeat(1 << 20))).unwrap();
    assert_eq!(stream.close_frame().code, CloseCode::Size);
    let mut stream = node.stream();
    // A client's frame that is not masked (RFC 6455 section 5.1).
    stream.socket.get_mut().write_all(b"\x81\x01x").unwrap();
    assert_eq!(stream.close_frame().code, CloseCode::Protocol);
    let mut stream = node.stream();
    // A masked text that is not UTF-8.
    stream.socket.get_mut().write_all(b"\x81\x81\0\0\0\0\xff").unwrap();
    assert_eq!(stream.close_frame().code, CloseCode::Invalid);
    assert_eq!(node.stream().socket.get_ref().peer_addr().unwrap(), node.address);
    assert_eq!(node.log_lines("panic"), Vec::<String>::new());
}

#[test]
fn a_reader_that_talks_without_end_stops_nobody() {
    let mut node = node().start();
    let mut reader = node.stream();
    let talker = node.stream();
    let mut talking = talker.socket.get_ref().try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        // Empty pongs, masked with zeros.
        let pongs = [0x8a, 0x80, 0, 0, 0, 0].repeat(10_000);
        while talking.write_all(&pongs).is_ok() {}
    });
    for id in 1..=100 {
        assert_eq!(node.post_patch(&add("a"))["Id"], id);
        assert_eq!(reader.next()["Id"], id);
    }
    assert!(!thread.is_finished());
    let begin = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(node.log_lines("have not ended"), Vec::<String>::new());
    thread.join().unwrap();
}

#[test]
fn a_stream_is_pinged_at_once_and_every_ten_seconds() {
    let node = node().start();
    let mut stream = node.stream();
    let begin = Instant::now();
    for limits in [0..5, 5..15] {
        while !matches!(stream.socket.read().unwrap(), Message::Ping(_)) {}
        assert!(limits.contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    }
}

#[test]
#[ignore = "takes 40 s"]
fn a_reader_that_answers_no_ping_is_given_up_after_thirty_seconds() {
    let node = node().start();
    let silent = node.stream();
    let mut lively = node.stream();
    wait_for("both to be known", || (sessions(&node) == 2).then_some(()));
    let begin = Instant::now();
    while sessions(&node) == 2 {
        assert!(begin.elapsed() < Duration::from_secs(50));
        // Reading answers the pings. A plain reader is told first that nothing was folded away.
        let heard = lively.socket.read().unwrap();
        let is_base = heard.to_text().is_ok_and(|text| text.contains(r#""Source":"~base""#));
        assert!(is_base || heard.is_ping(), "{heard:?}");
    }
    assert!(begin.elapsed() > Duration::from_secs(25), "{:?}", begin.elapsed());
    let posted = node.post_patch(&add("a"));
    assert_eq!(lively.next(), posted);
    drop(silent);
}

#[test]
#[ignore = "takes 50 s"]
fn a_frozen_peer_is_given_up_after_thirty_seconds() {
    let (running, frozen) = pair();
    running.wait_until_connected();
    wait_for("the peer to read", || (sessions(&running) == 1).then_some(()));
    frozen.signal(Signal::STOP);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (begin, frozen_at) = (Instant::now(), u64::try_from(now.as_micros()).unwrap());
    while running.upstream()["state"] == "connected" {
        assert!(begin.elapsed() < Duration::from_secs(45));
        // What was on its way when it was frozen is all that is heard of it, at both ends.
        let shown = running.peers();
        for stream in [&shown["upstreams"][0], &shown["downstreams"][0]] {
            let heard = stream["heard"].as_u64().unwrap_or(0);
            assert!(heard < frozen_at + 100_000, "{heard}, {frozen_at}: {stream}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begin.elapsed() > Duration::from_secs(15), "{:?}", begin.elapsed());
    running.wait_for_log("silent for 30 s");
    let upstream = running.upstream();
    assert_eq!(upstream["state"], "waiting");
    assert!(upstream["heard"].as_u64() < upstream["since"].as_u64(), "{upstream}");
    // It is down since then, however often it is dialed.
    let tried = wait_for("another try", || {
        let tried = running.upstream();
        (tried["failures"].as_u64() > Some(1)).then_some(tried)
    });
    for key in ["state", "since", "heard"] {
        assert_eq!(tried[key], upstream[key], "{tried}");
    }
    running.post_patch(&add("a"));
    frozen.signal(Signal::CONT);
    wait_until_equal(&[&running, &frozen]);
}

#[test]
#[ignore = "takes 50 s"]
fn a_peer_that_shakes_hands_and_says_nothing_is_down_until_it_speaks() {
    let peer = PlainNode::listen_as("mute~00000000");
    let node = node().peer(peer.address()).start();
    let _first = peer.accept();
    let begin = Instant::now();
    while node.upstream()["state"] != "waiting" {
        assert!(begin.elapsed() < Duration::from_secs(45));
        std::thread::sleep(Duration::from_millis(100));
    }
    node.wait_for_log("silent for 30 s");
    let down = node.upstream();
    let mut second = peer.accept();
    // Longer than after which a stream is looked at.
    std::thread::sleep(Duration::from_secs(11));
    let mute = node.upstream();
    for key in ["state", "since"] {
        assert_eq!(mute[key], down[key], "{mute}");
    }
    second.send(r#"{"End":0}"#);
    wait_for("it to be connected", || (node.upstream()["state"] == "connected").then_some(()));
}

#[test]
fn how_far_a_reader_is_behind_is_counted_in_what_it_is_to_be_sent() {
    let node = node().start();
    let mut client = Client::connect(node.address);
    let large = "x".repeat(40 << 10);
    // What the node has created its reader has seen, and not what it has stamped for another one.
    for id in 1..=400 {
        node.post_patch(&add("own"));
        let patch = format!(r#"[{{"op":"add","path":"/large","value":"{large}"}}]"#);
        let mut headers = node.headers();
        headers.push(("Patchmesh-Source", "client~00000000".to_owned()));
        headers.push(("Patchmesh-Id", id.to_string()));
        let answer = client.request("POST", "/replace", &headers, patch.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let seen = percent_encoded(&format!(r#"{{"{}":401}}"#, node.source));
    let mut stream = Stream::open(&node, &format!("/ws?v=2&node=reader~00000000&since={seen}"));
    // It reads nothing, so that the node is stuck when all that there is between them is full.
    let mut before = 0;
    let shown = wait_for("the node to be stuck", || {
        std::thread::sleep(Duration::from_millis(300));
        let shown = node.peers()["downstreams"][0].clone();
        let position = shown["position"].as_u64().unwrap_or(0);
        (std::mem::replace(&mut before, position) == position && position > 0).then_some(shown)
    });
    let (position, behind) =
        (shown["position"].as_u64().unwrap(), shown["behind"].as_u64().unwrap());
    // Every other one is to be sent.
    let exactly = 400 - position / 2;
    assert!((1..350).contains(&exactly), "{shown}");
    assert!((exactly..exactly + 128).contains(&behind), "{exactly}: {shown}");
    for id in 1..=400 {
        assert_eq!(stream.next()["Id"], id);
    }
    assert_eq!(stream.next(), json!({"End": 800}));
    let shown = &node.peers()["downstreams"][0];
    assert_eq!((&shown["behind"], &shown["node"]), (&json!(0), &json!("reader~00000000")));
}

#[test]
fn a_node_knows_how_many_transactions_of_its_peer_it_lacks() {
    let peer = PlainNode::listen_as("berlin~00000000");
    let node = node().peer(peer.address()).start();
    let behind = |expected: Value| {
        let is_so = || (node.upstream()["behind"] == expected).then_some(());
        wait_for(format!("behind to be {expected}"), is_so);
    };
    let transaction = |id| {
        let payload = add("a");
        json!({"Source": "berlin~00000000", "Id": 10 * id, "Payload": payload, "Time": id})
            .to_string()
    };
    let mut visit = peer.accept();
    let ping = |visit: &mut Visit, payload: &str| {
        visit.socket.send(Message::Ping(payload.as_bytes().to_vec().into())).unwrap();
    };
    visit.send(transaction(1));
    wait_for("one", || (node.length() == 1).then_some(()));
    assert_eq!(node.upstream()["behind"], Value::Null, "it has not said so");
    ping(&mut visit, "behind 7");
    behind(json!(7));
    for id in 2..=4 {
        visit.send(transaction(id));
    }
    // The Ids have gaps, which mean nothing.
    behind(json!(4));
    ping(&mut visit, "a later version behind 0");
    behind(json!(0));
    visit.send(transaction(5));
    wait_for("five", || (node.length() == 5).then_some(()));
    behind(json!(0));
    ping(&mut visit, "behind 3");
    behind(json!(3));
    drop(visit);
    behind(Value::Null);
}

#[test]
fn two_nodes_tell_each_other_that_they_lack_nothing() {
    let (first, second) = pair();
    for node in [&first, &second] {
        let shown = wait_for("the peer to say so", || {
            let upstream = node.upstream();
            (upstream["behind"] == 0).then_some(upstream)
        });
        assert_eq!(shown["lazy"], false);
        let readers = node.peers()["downstreams"].clone();
        assert_eq!((&readers[0]["behind"], &readers[0]["lazy"]), (&json!(0), &json!(false)));
    }
}

fn sessions(node: &Node) -> usize {
    node.peers()["downstreams"].as_array().unwrap().len()
}
