//! What stands for history that was folded away, from node to node and to plain readers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use patchmesh::internals::document::Hash;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{
    Node, PATIENCE, PlainNode, PlainReader, Stream, Visit, node, percent_encoded, wait_for,
    wait_until_equal,
};

/// The source of the commits of all peers here that pass for a patchmesh node.
const COMMITS: &str = "main~aaaaaaaa^1";

/// What closes a stream that can be had again at once.
const DIAL_AGAIN: CloseCode = CloseCode::Library(4000);

fn transaction(source: &str, id: u64, time: u64, member: &str) -> String {
    let patch = json!([{"op": "add", "path": format!("/{member}"), "value": true}]);
    json!({"Source": source, "Id": id, "Payload": patch.to_string(), "Time": time}).to_string()
}

/// A commit that covers all of `a~aaaaaaaa` up to and with `last`; of a document with this text.
fn commit(id: u64, time: u64, last: u64, document: &str) -> String {
    let hash = Hash::of(document.as_bytes()).to_string();
    let clock = json!({"a~aaaaaaaa": last + 1});
    let commit = json!({
        "Epoch": 1, "After": null, "Until": time - 1, "Clock": clock, "Horizon": 2_592_000, "Hash": hash
    });
    json!({"Source": COMMITS, "Id": id, "Payload": "[]", "Time": time, "Commit": commit})
        .to_string()
}

/// The messages of a base at the first commit, which covers two transactions.
fn base(document: &str) -> Vec<String> {
    let base = json!({
        "Commit": {"Source": COMMITS, "Id": 1},
        "First": 3000,
        "Clock": {"a~aaaaaaaa": [3, 3000], COMMITS: [2, 3000]},
        "Names": {"a~aaaaaaaa": [3000, [[1, 3]]]},
        "Floor": 0,
        "Length": 2,
        "Bytes": document.len(),
    });
    let digest = Sha256::digest(document.as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let (head, tail) = document.split_at(document.len() / 2);
    let piece = |text: &str| json!({ "Piece": text }).to_string();
    let end = json!({"BaseEnd": {"Sha256": digits}}).to_string();
    vec![json!({ "Base": base }).to_string(), piece(head), piece(tail), end]
}

fn send_all(visit: &mut Visit, messages: &[String]) {
    messages.iter().for_each(|message| visit.send(message.as_str()));
}

#[track_caller]
fn wait_for_document(node: &Node, expected: &str) {
    wait_for(format!("{expected} (it is {})", node.document()), || {
        (node.document() == expected).then_some(())
    });
}

/// A data directory, removed on drop.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A primary that folds its history after a second, and its directory.
fn folding(name: &str) -> (Node, Data) {
    let name = format!("joining-{}-{name}", std::process::id());
    let data = Data(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    let setup = node().source("main").argument("--primary").argument("--keep").argument("1s");
    (setup.argument("--data").argument(data.0.display()).start(), data)
}

/// Waits until the first so many transactions of a node are folded away there.
#[track_caller]
fn wait_until_folded(node: &Node, count: u64) {
    // A reader that says that it has the commits gets the journal from where it begins.
    let since = json!({ format!("{}^1", node.source): 1_u64 << 53 }).to_string();
    let target = format!("/ws?v=2&since={}", percent_encoded(&since));
    wait_for(format!("{count} transactions to be folded away"), || {
        // It may be folded away just now, so that the stream ends.
        let mut stream = Stream::open(node, &target);
        let first: Value = loop {
            match stream.socket.read().ok()? {
                Message::Text(text) => break serde_json::from_str(&text).unwrap(),
                Message::Close(_) => return None,
                _ => (),
            }
        };
        (first["Source"] != node.source || first["Id"].as_u64() > Some(count)).then_some(())
    });
}

#[test]
fn a_plain_reader_is_told_that_nothing_was_folded_away() {
    let node = node().start();
    let posted = node.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    for target in ["/ws", "/ws?since=%7B%7D", "/ws?v=1"] {
        let mut stream = Stream::open(&node, target);
        let marker = r#"{"Source":"~base","Id":2147483648,"Payload":"[]"}"#;
        assert_eq!(stream.next_message(), marker, "{target}");
        assert_eq!(serde_json::from_str::<Value>(&stream.next_message()).unwrap(), posted);
    }
    let first = Stream::open(&node, "/ws?v=2").next_message();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap(), posted);
}

#[test]
fn what_plain_nodes_pass_on_of_a_document_is_dropped() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let fresh = |source: &str, id: u64, path: &str| {
        let payload = json!([{"op": "add", "path": path, "value": {}}]).to_string();
        json!({"Source": source, "Id": id, "Payload": payload}).to_string()
    };
    visit.send(fresh("plain", 1, "/kept"));
    for (source, id) in
        [("~base", 1), ("~base", 1 << 31), (COMMITS, 1), ("x~aaaaaaaa^s", 7), ("~base", 1)]
    {
        visit.send(fresh(source, id, ""));
    }
    visit.send(fresh("plain", 2, "/kept/b"));
    wait_for_document(&node, r#"{"kept":{"b":{}}}"#);
    assert_eq!(node.length(), 2);
    assert_eq!(node.upstream()["left_out"], 0);
    assert_eq!(node.log_lines("WARN"), Vec::<String>::new());
}

#[test]
fn who_asks_for_a_base_gets_one_and_then_what_it_does_not_cover() {
    let peer = PlainNode::listen_as("main~aaaaaaaa");
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    visit.send(transaction("a~aaaaaaaa", 1, 1000, "first"));
    wait_for_document(&node, r#"{"first":true}"#);
    // Before there is a commit there is no base.
    let mut stream = Stream::open(&node, "/ws?v=2&heal=1");
    assert_eq!(stream.close_frame().code, CloseCode::Again);
    visit.send(transaction("a~aaaaaaaa", 2, 2000, "second"));
    visit.send(commit(1, 3000, 2, r#"{"first":true,"second":true}"#));
    visit.send(transaction("a~aaaaaaaa", 3, 2500, "third"));
    wait_for_document(&node, r#"{"first":true,"second":true,"third":true}"#);
    let mut stream = Stream::open(&node, "/ws?v=2&heal=1");
    let base: Value = serde_json::from_str(&stream.next_message()).unwrap();
    let text = r#"{"first":true,"second":true}"#;
    let expected = json!({"Base": {
        "Commit": {"Source": COMMITS, "Id": 1},
        "First": 3000,
        "Clock": {"a~aaaaaaaa": [3, 3000], COMMITS: [2, 3000]},
        "Names": {"a~aaaaaaaa": [3000, [[1, 3]]]},
        "Floor": 0,
        "Length": 2,
        "Bytes": text.len(),
    }});
    assert_eq!(base, expected);
    assert_eq!(stream.next(), json!({ "Piece": text }));
    let end = stream.next();
    assert_eq!(end["BaseEnd"]["Sha256"].as_str().unwrap().len(), 64);
    assert_eq!(stream.next()["Id"], 3, "what the base covers is left out");
    assert_eq!(stream.next(), json!({"End": 4}));
    // A reader that does not ask gets all, since nothing was folded away.
    let mut stream = Stream::open(&node, "/ws?v=2");
    for id in [1, 2, 1, 3] {
        assert_eq!(stream.next()["Id"], id);
    }
}

#[test]
fn a_base_is_taken_and_what_it_does_not_cover_stays() {
    let peer = PlainNode::listen_as("main~aaaaaaaa");
    let node = node().peer(peer.address()).start();
    node.post_patch(r#"[{"op":"add","path":"/own","value":1}]"#);
    let mut visit = peer.accept();
    visit.send(transaction("a~aaaaaaaa", 1, 1000, "first"));
    wait_for_document(&node, r#"{"first":true,"own":1}"#);
    let mut reader = Stream::open(&node, "/ws?v=2");
    send_all(&mut visit, &base(r#"{"first":true,"second":true}"#));
    wait_for_document(&node, r#"{"first":true,"own":1,"second":true}"#);
    // Whoever reads here begins anew, and gets the base.
    assert_eq!(reader.close_frame().code, DIAL_AGAIN);
    // The stream goes on; what the base covers is known.
    visit.send(transaction("a~aaaaaaaa", 2, 2000, "again"));
    visit.send(transaction("a~aaaaaaaa", 3, 4000, "third"));
    wait_for_document(&node, r#"{"first":true,"own":1,"second":true,"third":true}"#);
    assert_eq!((&node.upstream()["bases"], &node.upstream()["torn_bases"]), (&json!(1), &json!(0)));
    assert_eq!(node.vclock()["a~aaaaaaaa"], 4);
    let mut reader = Stream::open(&node, "/ws?v=2");
    assert_eq!(reader.next()["Base"]["Commit"], json!({"Source": COMMITS, "Id": 1}));
    // A later commit makes a later base for nodes. A plain one that was here may lack what that covers.
    visit.send(commit(2, 5000, 3, r#"{"first":true,"second":true,"third":true}"#));
    wait_for("a later base", || {
        let base = Stream::open(&node, "/ws?v=2").next();
        (base["Base"]["Commit"]["Id"] == 2).then_some(())
    });
    let mut stream = node.stream();
    let mut payloads = std::iter::from_fn(|| {
        let message: Value = serde_json::from_str(&stream.next_message()).unwrap();
        Some((message["Source"] == "~base", message["Payload"].as_str().unwrap().to_owned()))
    });
    let (document, rest): (Vec<_>, Vec<_>) =
        payloads.by_ref().take(5).partition(|(is_document, _)| *is_document);
    assert!(document.iter().all(|(_, payload)| !payload.contains("third")), "{document:?}");
    assert!(rest.iter().any(|(_, payload)| payload.contains("third")), "{document:?} {rest:?}");
}

#[test]
fn what_is_no_complete_base_changes_nothing() {
    let peer = PlainNode::listen_as("main~aaaaaaaa");
    let node = node().peer(peer.address()).start();
    let text = r#"{"first":true,"second":true}"#;
    // Messages, and what the node closes with; none if they just break off.
    let other = base(r#"{"first":true,"second":nope}"#);
    let wrong_hash = [base(text)[..3].to_vec(), other[3..].to_vec()].concat();
    let with_transaction =
        [base(text)[..2].to_vec(), vec![transaction("a~aaaaaaaa", 1, 1000, "x")]].concat();
    let table = [
        (base(text)[..1].to_vec(), None),
        (base(text)[..3].to_vec(), None),
        (wrong_hash, Some("Sha256")),
        (other, Some("not JSON")),
        (with_transaction, Some("a transaction inside a Base")),
        (base(text)[1..].to_vec(), Some("without its beginning")),
        (vec![r#"{"Base":{"Bytes":1}}"#.to_owned()], Some("Commit")),
    ];
    let mut torn = 0;
    for (messages, expected) in table {
        let mut visit = peer.accept();
        send_all(&mut visit, &messages);
        match expected {
            None => drop(visit),
            Some(expected) => {
                let frame = visit.close_frame();
                assert_eq!(frame.code, CloseCode::Policy);
                assert!(frame.reason.contains(expected), "{frame:?}");
            }
        }
        torn += u64::from(messages[0].contains("Commit") || expected != Some("Commit"));
        wait_for("it to be counted", || (node.upstream()["torn_bases"] == torn).then_some(()));
        assert_eq!((node.document(), node.length()), ("{}".to_owned(), 0));
    }
    let mut visit = peer.accept();
    send_all(&mut visit, &base(text));
    wait_for_document(&node, text);
}

#[test]
fn a_node_whose_document_is_not_the_primarys_asks_for_a_base() {
    let peer = PlainNode::listen_as("main~aaaaaaaa");
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    assert!(!visit.target.contains("heal"), "{}", visit.target);
    visit.send(transaction("a~aaaaaaaa", 1, 1000, "first"));
    visit.send(transaction("a~aaaaaaaa", 2, 2000, "damaged"));
    let text = r#"{"first":true,"second":true}"#;
    visit.send(commit(1, 3000, 2, text));
    let mut visit = peer.accept();
    assert!(visit.target.contains("&heal=1"), "{}", visit.target);
    assert!(visit.target.contains("main~aaaaaaaa%5E1"), "{}", visit.target);
    assert_eq!(node.get("/healthz").status, 503);
    // It gives no base itself as long as it needs one.
    let mut reader = Stream::open(&node, "/ws?v=2&heal=1");
    assert_eq!(reader.close_frame().code, CloseCode::Again);
    send_all(&mut visit, &base(text));
    wait_for_document(&node, text);
    visit.send(transaction("a~aaaaaaaa", 3, 4000, "third"));
    wait_for_document(&node, r#"{"first":true,"second":true,"third":true}"#);
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn a_reader_whose_place_was_folded_away_is_sent_nothing_with_a_gap() {
    let (primary, _data) = folding("gap");
    let mut slow = Stream::open(&primary, "/ws?v=2");
    let value = "x".repeat(200 << 10);
    let patch = |n| format!(r#"[{{"op":"add","path":"/large","value":"{value}{n}"}}]"#);
    primary.post_patches((0..100).map(patch));
    wait_until_folded(&primary, 100);
    let (mut next, begin) = (1, Instant::now());
    let reason = loop {
        assert!(begin.elapsed() < PATIENCE, "all has come up to {next}");
        match slow.socket.read().unwrap() {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["Source"] == primary.source {
                    assert_eq!(message["Id"], next);
                    next += 1;
                }
            }
            Message::Close(frame) => break frame.unwrap(),
            _ => (),
        }
    };
    assert_eq!(reason.code, DIAL_AGAIN, "{reason}");
    assert!(reason.reason.contains("folded away"), "{reason}");
    assert!(next < 100, "{next}");
}

#[test]
fn one_base_is_taken_at_a_time() {
    let peers = [PlainNode::listen_as("main~aaaaaaaa"), PlainNode::listen_as("b~aaaaaaaa")];
    let node = node().peer(peers[0].address()).peer(peers[1].address()).start();
    let text = r#"{"first":true,"second":true}"#;
    let (mut first, mut second) = (peers[0].accept(), peers[1].accept());
    send_all(&mut first, &base(text)[..2]);
    wait_for("its beginning", || {
        let peers = node.peers();
        let heard = |upstream: &Value| !upstream["heard"].is_null();
        peers["upstreams"].as_array().unwrap().iter().all(heard).then_some(())
    });
    node.wait_for_log("takes a base");
    send_all(&mut second, &base(text)[..1]);
    assert_eq!(second.close_frame().code, CloseCode::Again);
    send_all(&mut first, &base(text)[2..]);
    wait_for_document(&node, text);
    assert_eq!(node.log_lines("WARN"), Vec::<String>::new());
}

#[test]
fn a_peer_that_says_so_is_dialed_again_at_once_but_not_for_ever() {
    let peer = PlainNode::listen_as("main~aaaaaaaa");
    let node = node().peer(peer.address()).start();
    for _ in 0..3 {
        let mut visit = peer.accept();
        let begin = Instant::now();
        let reason = "dial again".into();
        visit.socket.close(Some(CloseFrame { code: DIAL_AGAIN, reason })).unwrap();
        visit.close_frame();
        drop(visit);
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    }
    let mut visit = peer.accept();
    assert_eq!(node.log_lines("WARN"), Vec::<String>::new());
    visit.socket.close(Some(CloseFrame { code: DIAL_AGAIN, reason: "".into() })).unwrap();
    visit.close_frame();
    node.wait_for_log("trying again until it works");
}

#[test]
fn a_new_node_and_a_plain_reader_join_a_mesh_that_has_folded() {
    let (primary, _data) = folding("joined");
    let value = "x".repeat(1000);
    let patches = (0..100).map(|n| {
        format!(r#"[{{"op":"add","path":"/n{n}","value":["{value}",{n},{{"a/~":null}}]}}]"#)
    });
    primary.post_patches(patches);
    wait_until_folded(&primary, 100);
    primary.post_patch(r#"[{"op":"add","path":"/last","value":true}]"#);
    let joined = node().peer(primary.address).start();
    wait_until_equal(&[&primary, &joined]);
    assert_eq!(joined.upstream()["bases"], 1);
    assert_eq!(joined.upstream()["torn_bases"], 0);
    let document = primary.document();
    let count = PlainReader::default().read_until(&mut primary.stream(), &document);
    assert!(count < 100, "{count} messages");
    // The new node stands on the base that it took.
    PlainReader::default().read_until(&mut joined.stream(), &document);
    // A plain node that was there before passes over the document and gets the rest.
    primary.post_patch(r#"[{"op":"add","path":"/later","value":true}]"#);
    let mut stream = primary.stream();
    let (mut is_over, mut has_later) = (false, false);
    while !has_later {
        let message: Value = serde_json::from_str(&stream.next_message()).unwrap();
        is_over |= message["Id"] == 1_u64 << 31;
        has_later = is_over && message["Payload"].as_str().unwrap().contains("later");
    }
    wait_until_equal(&[&primary, &joined]);
}
