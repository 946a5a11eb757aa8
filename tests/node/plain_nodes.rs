//! Peers that speak only the first version of the protocol, as small programs in other languages do.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::harness::{Node, PlainNode, Stream, Visit, frame, node, wait_for, wait_until_equal};

/// What a plain node sends: no `Time`.
fn plain(source: &str, id: u64, patch: &Value) -> String {
    json!({"Source": source, "Id": id, "Payload": patch.to_string()}).to_string()
}

fn add(name: &str) -> Value {
    json!([{"op": "add", "path": format!("/{name}"), "value": true}])
}

#[track_caller]
fn wait_for_document(node: &Node, expected: &Value) {
    wait_for(format!("{expected} (it is {})", node.document()), || {
        (node.get("/get").json() == *expected).then_some(())
    });
}

#[test]
fn everything_that_plain_nodes_write_is_read() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let mut expected = json!({});
    // Each is another source, and counts from 0 or 1.
    let mut send = |name: &str, send: &dyn Fn(&mut Visit, &str)| {
        let id = expected.as_object().unwrap().len() as u64 % 2;
        send(&mut visit, &plain(name, id, &add(name)));
        expected[name] = json!(true);
    };
    send("without_time", &|visit, text| visit.send(text));
    send("with_a_line_feed", &|visit, text| visit.send(format!("{text}\n")));
    send("in_a_frame_and_an_empty_continuation", &|visit, text| {
        visit.send_in_frames(&[&format!("{text}\n")]);
    });
    send("in_three_frames", &|visit, text| {
        visit.send_in_frames(&[&text[..1], &text[1..20], &text[20..]]);
    });
    send("as_binary", &|visit, text| visit.send_binary(text));
    send("as_binary_with_a_line_feed", &|visit, text| visit.send_binary(&format!("{text}\n")));
    send("with_members_in_another_order", &|visit, text| {
        let text: Value = serde_json::from_str(text).unwrap();
        let (source, id, payload) = (&text["Source"], &text["Id"], &text["Payload"]);
        visit.send(format!(r#"{{"Payload":{payload},"Id":{id},"Source":{source}}}"#));
    });
    send("with_names_in_lower_case", &|visit, text| {
        let names = ["Source", "Id", "Payload"];
        let lower = |text: String, name: &&str| text.replacen(name, &name.to_lowercase(), 1);
        visit.send(names.iter().fold(text.to_owned(), lower));
    });
    send("with_more_members", &|visit, text| {
        visit.send(text.replacen('{', r#"{"Version":{"major":[1]},"Vclock":null,"#, 1));
    });
    send("with_time_null", &|visit, text| visit.send(text.replacen('{', r#"{"Time":null,"#, 1)));
    send("with_white_space", &|visit, text| {
        let spaced = text.replacen('{', "\t{ ", 1).replacen("\"Id\":", "\"Id\" :\r\n ", 1);
        visit.send(format!(" {spaced} \n\n"));
    });
    wait_for_document(&node, &expected);
    // Ids of 0 and of 1 were the first of their sources.
    let clock = node.vclock();
    assert_eq!(clock["without_time"], 1);
    assert_eq!(clock["with_a_line_feed"], 2);
    assert_eq!(node.log_lines(" WARN "), Vec::<String>::new());
}

#[test]
fn a_plain_transaction_is_stamped_once_and_passed_on_with_its_time() {
    let peer = PlainNode::listen();
    let near = node().peer(peer.address()).start();
    let far = node().peer(near.address).start();
    let (mut at_near, mut at_far) = (near.stream(), far.stream());
    let mut visit = peer.accept();
    let mut last = near.post_patch(r#"[{"op":"add","path":"/own","value":1}]"#);
    assert_eq!(at_near.next(), last);
    assert_eq!(at_far.next(), last);
    for id in 0..3 {
        visit.send(plain("go", id, &add(&format!("a{id}"))));
        let stamped = at_near.next();
        assert_eq!((&stamped["Source"], &stamped["Id"]), (&json!("go"), &json!(id)));
        assert_eq!(stamped["Payload"], add(&format!("a{id}")).to_string());
        assert!(stamped["Time"].as_u64() > last["Time"].as_u64(), "{stamped} after {last}");
        assert_eq!(at_far.next(), stamped);
        last = stamped;
    }
    wait_until_equal(&[&near, &far]);
}

#[test]
fn a_plain_node_that_sends_everything_every_time_is_taken_in_once() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let lines: Vec<String> = (0..50).map(|id| plain("go", id, &add(&format!("a{id}")))).collect();
    // It says nothing of `since`, and never reads, so it never answers a close.
    for visits in 1..=3 {
        let mut visit = peer.accept();
        assert!(visit.target.starts_with("/ws?since=%7B"), "{}", visit.target);
        for line in &lines {
            visit.send(line.clone());
        }
        wait_for("what was sent again", || {
            (node.upstream()["received"] == visits * 50).then_some(())
        });
        assert_eq!(node.length(), 50);
    }
    let last = peer.accept();
    // Nodes count them by what this one has stamped.
    assert!(last.target.contains("%5Es%22%3A51"), "{}", last.target);
    assert_eq!(node.vclock()["go"], 50);
}

#[test]
fn a_plain_transaction_that_does_not_apply_is_left_out_and_the_stream_goes_on() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    visit.send(plain("go", 1, &add("a")));
    visit.send(plain("go", 2, &json!([{"op": "remove", "path": "/nothing"}])));
    visit.send(plain("go", 3, &json!("no patch")));
    visit.send(plain("go", 4, &json!([{"op": "add", "path": "/x/y", "value": 1}])));
    visit.send(plain("go", 5, &add("b")));
    wait_for_document(&node, &json!({"a": true, "b": true}));
    assert_eq!(node.length(), 2);
    assert_eq!(node.vclock()["go"], 6);
    // One line for all of them, and the connection is the first one.
    assert_eq!(node.told("does not apply and is left out").len(), 1);
    assert_eq!(node.upstream()["state"], "connected");
    assert_eq!(node.upstream()["received"], 5);
}

#[test]
fn an_ordered_transaction_that_does_not_apply_is_kept_and_passed_on() {
    let peer = PlainNode::listen();
    let near = node().peer(peer.address()).start();
    let far = node().peer(near.address).start();
    let mut at_far = far.stream();
    let mut visit = peer.accept();
    let remove = r#"[{"op":"remove","path":"/nothing"}]"#;
    let skipped = json!({"Source": "x~1", "Id": 7, "Payload": remove, "Time": 1000});
    let applied = json!({"Source": "x~1", "Id": 9, "Payload": add("a").to_string(), "Time": 1001});
    for transaction in [&skipped, &applied] {
        visit.send(transaction.to_string());
    }
    assert_eq!(at_far.next(), skipped);
    assert_eq!(at_far.next(), applied);
    wait_until_equal(&[&near, &far]);
    assert_eq!(far.document(), r#"{"a":true}"#);
    assert_eq!(far.vclock()["x~1"], 10);
}

#[test]
fn a_transaction_from_the_far_future_is_not_taken_in_yet() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let at = |id: u64, time: u64| {
        let payload = add(&format!("a{id}")).to_string();
        json!({"Source": "x~1", "Id": id, "Payload": payload, "Time": time}).to_string()
    };
    let hour = 3_600_000_000;
    for _ in 0..3 {
        let mut visit = peer.accept();
        // Half an hour ahead is not far; and what comes after one that is far must wait with it.
        visit.send(at(1, now + hour / 2));
        visit.send(at(2, now + 2 * hour));
        visit.send(at(3, now));
        let CloseFrame { code, reason } = visit.close_frame();
        assert_eq!(code, CloseCode::Policy);
        assert!(reason.contains("ahead of this node's clock"), "{reason}");
    }
    assert_eq!(node.document(), r#"{"a1":true}"#);
    let told = node.told("ahead of this node's clock");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(&peer.address().to_string()), "{told:?}");
    wait_for("the upstream to wait", || node.upstream()["ahead_ms"].as_u64());
    let health = node.get("/healthz");
    assert_eq!(health.status, 503);
    let trouble = &health.json()["troubles"][0];
    assert_eq!(trouble["kind"], "peer-clock-ahead");
    let address = peer.address().to_string();
    assert!(trouble["detail"].as_str().unwrap().contains(&address), "{trouble}");
    assert_eq!(node.get("/healthz/ready").status, 200);
    let metrics = node.get("/metrics");
    let metric = format!("patchmesh_upstream_ahead_seconds{{peer=\"{address}\",node=\"\"}} ");
    let seconds = metrics.text().lines().find_map(|line| line.strip_prefix(&metric)).unwrap();
    assert!((7100.0..=7200.0).contains(&seconds.parse::<f64>().unwrap()), "{seconds}");
    // What this node writes comes after all that it has seen.
    let posted = node.post_patch(&add("b").to_string());
    assert!(posted["Time"].as_u64() > Some(now + hour / 2), "{posted}");
}

#[test]
fn a_node_counts_on_from_ids_of_its_own_that_others_know() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    assert_eq!(node.post_patch(&add("a").to_string())["Id"], 1);
    let own = json!({"Source": node.source, "Id": 40, "Payload": "[]", "Time": 1000});
    visit.send(own.to_string());
    wait_for("its own transaction", || (node.length() == 2).then_some(()));
    assert_eq!(node.post_patch(&add("b").to_string())["Id"], 41);
    assert_eq!(node.vclock()[&node.source], 42);
}

#[test]
fn a_node_without_ids_left_begins_a_new_life() {
    const LAST: u64 = (1 << 53) - 1;
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut reader = node.stream();
    let mut visit = peer.accept();
    let first = node.post_patch(&add("a").to_string());
    let own = json!({"Source": node.source, "Id": LAST, "Payload": "[]", "Time": 1000});
    visit.send(own.to_string());
    wait_for("its own transaction", || (node.length() == 2).then_some(()));
    let posted: Vec<_> = ["b", "c"].map(|name| node.post_patch(&add(name).to_string())).into();
    assert_eq!((&posted[0]["Id"], &posted[1]["Id"]), (&json!(1), &json!(2)));
    assert_eq!(posted[0]["Source"], posted[1]["Source"]);
    assert_ne!(posted[0]["Source"], first["Source"]);
    assert_eq!(node.peers()["source"], posted[0]["Source"]);
    let told = node.told("has no Ids left");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(reader.next()["Id"], 1);
    assert_eq!(reader.next()["Id"], LAST);
    assert_eq!([reader.next(), reader.next()], posted[..]);
}

#[test]
fn a_node_whose_ids_others_know_otherwise_says_so_and_begins_a_new_life() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let first = node.post_patch(&add("a").to_string());
    // The same one, as it comes back from every peer, is nothing special.
    visit.send(first.to_string());
    let other = json!({"Source": node.source, "Id": 1, "Payload": "[]", "Time": 1000});
    visit.send(other.to_string());
    let told = node.told("was put back to an old copy");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("--rebuild-from"), "{told:?}");
    let next = node.post_patch(&add("b").to_string());
    assert_ne!(next["Source"], first["Source"]);
    // Nor can anybody make it begin one life after the other.
    let other = json!({"Source": next["Source"], "Id": 1, "Payload": "[]", "Time": 1000});
    visit.send(other.to_string());
    node.wait_for_log(&format!("two transactions 1 of {}", next["Source"]));
    assert_eq!(node.post_patch(&add("c").to_string())["Source"], next["Source"]);
}

#[test]
fn a_peer_may_serve_its_stream_elsewhere() {
    let peer = PlainNode::listen();
    let node = node().peer(format!("ws://{}/mesh/stream", peer.address())).start();
    let mut visit = peer.accept();
    let name = node.source.replace(':', "%3A");
    let target = format!("/mesh/stream?since=%7B%7D&v=2&node={name}&process=");
    assert!(visit.target.starts_with(&target), "{}", visit.target);
    visit.send(plain("go", 1, &add("a")));
    wait_for_document(&node, &json!({"a": true}));
}

#[test]
fn garbage_is_closed_with_1008_and_a_reason_and_told_once() {
    let too_long = format!(r#"{{"Source":"a","Id":1,"Payload":"{}"}}"#, " ".repeat((1 << 20) + 1));
    let negative = r#"{"Source":"a","Id":-1,"Payload":"[]"}"#;
    // Only a node that has said that it speaks version 2 may send what is no transaction.
    let garbage = ["hello", "", "{}", "[]", r#"{"End":0}"#, negative, &too_long];
    let peers = garbage.map(|_| PlainNode::listen());
    let node = peers.iter().fold(node(), |setup, peer| setup.peer(peer.address())).start();
    for _ in 0..3 {
        for (peer, garbage) in peers.iter().zip(garbage) {
            let mut visit = peer.accept();
            visit.send(garbage);
            let CloseFrame { code, reason } = visit.close_frame();
            assert_eq!(code, CloseCode::Policy);
            assert!(reason.starts_with("not a transaction: "), "{reason}");
        }
    }
    // The node lives, and takes the same peers' next streams.
    for (id, peer) in peers.iter().enumerate() {
        peer.accept().send(plain(&format!("go{id}"), 1, &add(&format!("b{id}"))));
    }
    let members = ["b0", "b1", "b2", "b3", "b4", "b5", "b6"];
    wait_for_document(&node, &members.iter().map(|name| (*name, true)).collect());
    for peer in &peers {
        let told = node.told(&format!("peer {}: not a transaction", peer.address()));
        assert_eq!(told.len(), 1, "{told:#?}");
    }
}

#[test]
fn what_is_not_utf_8_is_closed_with_1007() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    visit.socket.get_mut().write_all(&frame(0x81, false, b"\xff")).unwrap();
    assert_eq!(visit.close_frame().code, CloseCode::Invalid);
    node.wait_for_log("not UTF-8");
}

#[test]
fn who_speaks_version_2_says_that_all_was_sent() {
    let peer = PlainNode::listen_as("go~abcdefgh");
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    visit.send(plain("go", 1, &add("a")));
    wait_for_document(&node, &json!({"a": true}));
    let upstream = node.upstream();
    assert_eq!(
        (&upstream["node"], &upstream["read_to_end"]),
        (&json!("go~abcdefgh"), &json!(false))
    );
    // What stands before it is kept first.
    visit.send(plain("go", 2, &add("b")));
    visit.send(r#"{"End":2}"#);
    wait_for("the end", || (node.upstream()["read_to_end"] == true).then_some(()));
    assert_eq!(node.document(), r#"{"a":true,"b":true}"#);
    visit.send(plain("go", 3, &add("c")));
    wait_for_document(&node, &json!({"a": true, "b": true, "c": true}));
    // Nor from such a one is anything else taken.
    visit.send(r#"{"Else":2}"#);
    assert_eq!(visit.close_frame().code, CloseCode::Policy);
    // That it was read to its end stays true.
    let mut visit = peer.accept();
    visit.send(plain("go", 4, &add("d")));
    wait_for("the next stream", || (node.upstream()["received"] == 4).then_some(()));
    assert_eq!(node.upstream()["read_to_end"], true);
}

#[test]
fn what_comes_before_garbage_counts() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let mut expected = json!({});
    // All in one go.
    for id in 0..100 {
        let name = format!("a{id}");
        visit.socket.write(Message::text(plain("go", id, &add(&name)))).unwrap();
        expected[name] = json!(true);
    }
    visit.send("garbage");
    assert_eq!(visit.close_frame().code, CloseCode::Policy);
    wait_for_document(&node, &expected);
}

#[test]
fn a_message_beyond_all_limits_is_closed_with_1009() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let mut parts = vec![r#"{"Source":"a","Id":1,"Payload":""#];
    let part = "x".repeat(1 << 20);
    parts.extend(std::iter::repeat_n(part.as_str(), 7));
    // It may close before all is sent.
    for (index, part) in parts.iter().enumerate() {
        use tungstenite::protocol::frame::{Frame, coding::Data, coding::OpCode};
        let kind = if index == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(part.as_bytes().to_vec(), OpCode::Data(kind), false);
        visit.socket.send(Message::Frame(frame)).ok();
    }
    let reason = node.wait_for_log("a message of more than");
    assert!(reason.contains(&peer.address().to_string()), "{reason}");
    assert_eq!(visit.close_frame().code, CloseCode::Size);
    assert_eq!(node.document(), "{}");
}

#[test]
fn a_plain_reader_that_finds_a_message_too_large_is_not_served_in_a_tight_loop() {
    const LIMIT: usize = 32_768;
    let mut node = node().start();
    node.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    let long = "x".repeat(2 * LIMIT);
    node.post_patch(&format!(r#"[{{"op":"add","path":"/long","value":"{long}"}}]"#));
    let begin = Instant::now();
    let watch = Duration::from_secs(2);
    let (mut streams, mut messages) = (0, 0);
    while let Some(rest) = watch.checked_sub(begin.elapsed()).filter(|rest| !rest.is_zero()) {
        let mut reader = node.stream();
        streams += 1;
        reader.socket.set_config(|config: &mut WebSocketConfig| {
            config.max_message_size = Some(LIMIT);
            config.max_frame_size = Some(LIMIT);
        });
        reader.socket.get_ref().set_read_timeout(Some(rest)).unwrap();
        loop {
            match reader.socket.read() {
                Ok(_) => messages += 1,
                Err(Error::Capacity(_)) => {
                    let reason = "read limited at 32769 bytes".into();
                    let frame = CloseFrame { code: CloseCode::Size, reason };
                    reader.socket.send(Message::Close(Some(frame))).unwrap();
                    break;
                }
                Err(Error::Io(_)) => break,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(messages >= 1, "it gets what it can read");
    // The next one may be there before the close of the first one is. Each gets two messages that it can read.
    assert!(streams <= 5 && messages <= 10, "{streams} streams, {messages} messages");
    let told = node.told("too large for it").len();
    assert!((1..=5).contains(&told), "{told} lines");
    // Others are served as ever.
    let mut other = Stream::open(&node, "/ws?since=%7B%7D");
    assert_eq!(other.next()["Id"], 1);
    assert_eq!(other.next()["Id"], 2);
    // Nor does one that is kept waiting hold up the end.
    let waiting = node.stream();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    drop(waiting);
}
