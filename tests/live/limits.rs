//! What reading costs a node is bounded, whatever is read, however slowly and by how many.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::node::{Node, add};
use crate::peer::Peer;

/// About how many bytes a page has.
const PAGE_BYTES: usize = 1 << 20;

/// Reads a list from the start to the end, page by page, as lines.
fn pages(node: &Node, path: &str, limit: usize) -> Vec<Vec<Value>> {
    let mut pages: Vec<Vec<Value>> = Vec::new();
    loop {
        let from: usize = pages.iter().map(Vec::len).sum();
        let answer = node.get(&format!("{path}?from={from}&limit={limit}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let lines = answer.lines();
        if lines.is_empty() {
            return pages;
        }
        let last = answer.body.trim_end().lines().last().map_or(0, str::len);
        assert!(answer.body.len() - last <= PAGE_BYTES + (64 << 10), "{}", answer.body.len());
        pages.push(lines);
    }
}

#[test]
fn pages_are_bounded_in_bytes_and_have_one_transaction_at_least() {
    let node = Node::start(&[]);
    let half = "x".repeat(400_000);
    for number in 0..8 {
        node.post(&add(&format!("/{number}"), json!(half)));
    }
    let large = "x".repeat(1_040_000);
    node.post(&add("/large", json!(large)));
    (0..300).for_each(|number| drop(node.post(&add("/small", number))));
    for (path, limit) in [("/log", 10_000), ("/history", 1000)] {
        let pages = pages(&node, path, limit);
        let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 3, 3, 300], "{path}");
        let ids = pages.iter().flatten().map(|line| line["Id"].as_u64().expect("an Id"));
        assert!(ids.eq(1..=309), "{path}");
    }
}

/// Asks for the document, and reads no more than the answer's header.
fn ask_and_stop_reading(node: &Node) -> (String, TcpStream) {
    let stream = node.send("GET", "/get", "", "");
    let mut status = String::new();
    let mut reader = BufReader::with_capacity(64, stream);
    reader.read_line(&mut status).expect("an answer");
    (status, reader.into_inner())
}

#[test]
fn slow_readers_of_large_documents_keep_nobody_out() {
    let node = Node::start(&[]);
    let text = "x".repeat(1_000_000);
    (0..24).for_each(|number| drop(node.post(&add(&format!("/{number}"), json!(text)))));
    // Between two of them the document changes, so that each has a version of its own: 960 MB of text.
    let mut readers = Vec::new();
    for number in 0..40 {
        node.post(&add("/n", number));
        let (status, reader) = ask_and_stop_reading(&node);
        assert!(status.contains("200"), "{status}");
        readers.push(reader);
    }
    for path in ["/healthz", "/metrics", "/get/n", "/log?from=24", "/vclock"] {
        assert_eq!(node.get(path).status, 200, "{path}");
    }
    node.post(&add("/n", "y".repeat(100_000)));
    let events = BufReader::new(node.send("GET", "/get", "Accept: text/event-stream\r\n", ""));
    let mut lines = events.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line == "event: put"));
    assert!(node.get("/get").body.len() > 24_000_000);
    drop(readers);
}

#[test]
fn as_many_connections_are_answered_as_are_allowed() {
    let node = Node::start(&["--max-connections", "1"]);
    let stream = node.send("GET", "/get", "Accept: text/event-stream\r\n", "");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line == "event: put"));
    assert_eq!((node.get("/get").status, node.get("/healthz").status), (503, 200));
}

const REMOVE: &str = r#"[{"op":"remove","path":"/none"}]"#;

#[test]
fn skipped_ones_are_given_in_pages_with_short_texts() {
    let mut peer = Peer::new();
    let node = Node::start(&[&peer.address()]);
    let remove: Value = serde_json::from_str(REMOVE).expect("JSON");
    let long = format!("/ä{}", "b".repeat(900_000));
    for id in 1..=430 {
        let patch =
            if id == 300 { json!([{"op": "remove", "path": long}]) } else { remove.clone() };
        peer.tell("p", id, id, &patch);
    }
    node.wait_for("/conflicts", |answer| answer.json()["count"] == 430);
    let ids = |target: &str| {
        let page = node.get(target).json();
        let ids = page["skipped"].as_array().expect("a list").iter();
        let ids: Vec<u64> = ids.map(|one| one["Id"].as_u64().expect("an Id")).collect();
        assert_eq!((page["count"].as_u64(), page["repeated"].as_u64()), (Some(430), Some(0)));
        (page["from"].as_u64().expect("a number"), ids)
    };
    assert_eq!(ids("/conflicts"), (230, (231..=430).collect()));
    assert_eq!(ids("/conflicts?from=0"), (0, (1..=200).collect()));
    assert_eq!(ids("/conflicts?from=0&limit=999"), (0, (1..=200).collect()));
    assert_eq!(ids("/conflicts?from=428"), (428, vec![429, 430]));
    assert_eq!(ids("/conflicts?from=430"), (430, vec![]));
    assert_eq!(ids("/conflicts?limit=2"), (428, vec![429, 430]));
    let one = node.get("/conflicts?from=299&limit=1").json()["skipped"][0].clone();
    assert_eq!((&one["Id"], &one["kind"]), (&json!(300), &json!("skipped")));
    for member in ["path", "reason"] {
        let text = one[member].as_str().expect("a text");
        assert!(text.contains('…') && text.len() < 240, "{member} {text}");
    }
    assert!(node.get("/transaction?source=p&id=300").body.len() < 1000);
}

#[test]
fn what_is_told_of_a_transaction_is_true_beyond_all_that_is_listed() {
    const SKIPPED: u64 = 10_500;
    let data = std::env::temp_dir().join(format!("patchmesh-live-limits-{}", std::process::id()));
    let mut peer = Peer::new();
    let arguments = [&peer.address(), "--data", data.to_str().expect("a plain path")];
    let mut node = Node::start(&arguments);
    let remove: Value = serde_json::from_str(REMOVE).expect("JSON");
    // Every hundredth applies.
    for id in 1..=SKIPPED {
        let patch = if id % 100 == 0 { add("/a", id) } else { remove.clone() };
        peer.tell("p", id, 1000 * id, &patch);
    }
    let count = SKIPPED - SKIPPED / 100;
    node.wait_for("/conflicts", |answer| answer.json()["count"] == count);
    let check = |node: &Node, late: u64| {
        let state = |id: u64| {
            let told = node.get(&format!("/transaction?source=p&id={id}")).json();
            assert_eq!(told["index"], id - 1 + late, "{told}");
            (told["state"].as_str().expect("a state").to_owned(), told["reason"].is_string())
        };
        for id in [1, 99, 101, 393] {
            assert_eq!(state(id), ("skipped".into(), false), "{id}");
        }
        assert_eq!(state(100), ("applied".into(), false));
        assert_eq!(state(SKIPPED - 1), ("skipped".into(), true));
        assert_eq!(state(SKIPPED), ("applied".into(), false));
        let lines = node.get(&format!("/history?from={late}&limit=101")).lines();
        assert_eq!((&lines[98]["skipped"], &lines[99]["skipped"]), (&json!({}), &Value::Null));
        let page = node.get("/conflicts?from=0&limit=1").json();
        assert_eq!((&page["count"], &page["from"]), (&json!(count), &json!(count - 10_000)));
    };
    check(&node, 0);
    // And after a start from a checkpoint.
    node.stop();
    peer.hang_up();
    let names = std::fs::read_dir(&data).expect("the node made it");
    let mut names = names.map(|entry| entry.expect("an entry").file_name());
    assert!(names.any(|name| name.to_string_lossy().starts_with("checkpoint-")));
    let mut node = Node::start(&arguments);
    check(&node, 0);
    // All of it is applied again: nobody's fate changes.
    peer.tell("q", 1, 1, &json!([]));
    node.wait_for("/vclock", |answer| answer.json()["q"] == 2);
    check(&node, 1);
    let metrics = node.get("/metrics").body;
    for name in ["newly_skipped", "newly_applied"] {
        assert!(metrics.contains(&format!("patchmesh_transactions_{name}_total 0\n")), "{name}");
    }
    // And after another start.
    node.stop();
    let node = Node::start(&arguments);
    check(&node, 1);
    drop(node);
    std::fs::remove_dir_all(data).expect("the node made it");
}
