//! Waiting for the document to move, and for what was written on another node.

use std::io::Read;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::node::{Answer, Node, add};
use crate::peer::Peer;

fn target(parameter: &str, clock: &Value, wait: &str) -> String {
    let clock = clock.to_string();
    let clock = utf8_percent_encode(&clock, NON_ALPHANUMERIC);
    format!("/get?{parameter}={clock}&wait={wait}")
}

fn clock(answer: &Answer) -> Value {
    serde_json::from_str(answer.header("Patchmesh-Clock").expect("a clock")).expect("JSON")
}

#[test]
fn a_long_poll_is_answered_when_the_document_moves() {
    let node = Node::start(&[]);
    let now = node.get("/vclock").json();
    let waiting = node.send("GET", &target("after", &now, "30s"), "", "");
    std::thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    node.post(&add("/a", 1));
    let answer = Answer::read(waiting);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!((answer.status, answer.json()), (200, json!({"a": 1})));
    assert_eq!(clock(&answer), node.get("/vclock").json());
    // What it knows by now is past the clock already.
    assert_eq!(node.get(&target("after", &now, "30s")).json(), json!({"a": 1}));
}

#[test]
fn a_poll_ends_with_its_time() {
    let node = Node::start(&[]);
    node.post(&add("/a", 1));
    let now = node.get("/vclock").json();
    for wait in ["0s", "100ms"] {
        let unmoved = node.get(&target("after", &now, wait));
        assert_eq!((unmoved.status, unmoved.body.as_str()), (304, ""));
        assert_eq!(unmoved.header("ETag"), node.get("/get").header("ETag"));
        assert_eq!(clock(&unmoved), now);
        let lacking = node.get(&target("after", &json!({"other~1": 5}), wait));
        assert_eq!(lacking.status, 504);
        assert_eq!(
            lacking.json()["detail"],
            "this node has not received transaction 4 of other~1 in this time"
        );
    }
    assert_eq!(node.get(&target("seen", &now, "0s")).json(), json!({"a": 1}));
    for query in ["after=x", "after=%5B%5D", "after=%7B%7D&wait=soon", "after={}&seen={}"] {
        assert_eq!(node.get(&format!("/get?{query}")).status, 400, "{query}");
    }
}

#[test]
fn what_was_written_on_one_node_is_read_on_another() {
    let first = Node::start(&[]);
    let second = Node::start(&[&first.address]);
    for number in 1..=20 {
        let written = first.post(&add("/n", number));
        let seen = json!({written["Source"].as_str().expect("a source"): number + 1});
        let answer = second.get(&target("seen", &seen, "10s"));
        assert_eq!((answer.status, answer.json()), (200, json!({"n": number})));
    }
}

#[test]
fn a_transaction_is_waited_for_by_its_name() {
    let first = Node::start(&[]);
    let second = Node::start(&[&first.address, "--source", "my node+"]);
    for number in 1..=20 {
        let written = first.post(&add("/n", number));
        let (source, id) = (written["Source"].as_str().expect("a source"), &written["Id"]);
        let source = utf8_percent_encode(source, NON_ALPHANUMERIC);
        let answer = second.get(&format!("/get/n?source={source}&id={id}&wait=10s"));
        assert_eq!((answer.status, answer.json()), (200, json!(number)));
    }
    // A space as browsers and libraries write it.
    let written = second.post(&add("/a", 1));
    let source = written["Source"].as_str().expect("a source");
    let plus = source.replace('+', "%2B").replace(' ', "+");
    assert_eq!(second.get(&format!("/get/a?source={plus}&id=1&wait=0s")).body, "1");
    let begin = Instant::now();
    let missing = second.get(&format!("/get?source={plus}&id=2&wait=300ms"));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(missing.status, 504);
    let detail = format!("this node has not received transaction 2 of {source} in this time");
    assert_eq!(missing.json()["detail"], *detail);
    for query in ["source=a", "id=1", "source=&id=1", "source=a&id=x", "source=a&id=1&seen={}"] {
        assert_eq!(second.get(&format!("/get?{query}")).status, 400, "{query}");
    }
}

#[test]
fn a_transaction_is_waited_for_by_its_name_whoever_stamped_it() {
    let mut plain = Peer::new();
    let first = Node::start(&[&plain.address()]);
    let second = Node::start(&[&first.address]);
    let headers = "Patchmesh-Source: client~abcdefgh\r\nPatchmesh-Id: 7\r\n";
    let waiting = second.send("GET", "/get/a?source=client~abcdefgh&id=7&wait=20s", "", "");
    assert_eq!(first.ask("POST", "/replace", headers, &add("/a", 1).to_string()).status, 200);
    assert_eq!(Answer::read(waiting).body, "1");
    // The one before it is not there for that.
    assert_eq!(second.get("/get?source=client~abcdefgh&id=6&wait=100ms").status, 504);
    let waiting = second.send("GET", "/get/b?source=plain&id=3&wait=20s", "", "");
    plain.tell_plainly("plain", 3, &add("/b", 2));
    assert_eq!(Answer::read(waiting).body, "2");
}

#[test]
fn a_part_is_waited_for_to_be_another() {
    let node = Node::start(&[]);
    node.post(&add("/a", 1));
    let etag = node.get("/get/a").header("ETag").expect("an ETag").to_owned();
    let headers = format!("If-None-Match: {etag}\r\n");
    let unmoved = node.ask("GET", "/get/a?wait=200ms", &headers, "");
    assert_eq!((unmoved.status, unmoved.header("ETag")), (304, Some(etag.as_str())));
    let mut waiting = node.send("GET", "/get/a?wait=30s", &headers, "");
    let gone = node.send("GET", "/get/a?wait=30s", "If-None-Match: *\r\n", "");
    // A change of another part does not wake it.
    waiting.set_read_timeout(Some(Duration::from_millis(300))).expect("not zero");
    node.post(&add("/b", 1));
    node.post(&add("/a", 1));
    assert!(waiting.read(&mut [0]).is_err(), "it is the same text");
    waiting.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
    node.post(&add("/a", 2));
    let answer = Answer::read(waiting);
    assert_eq!((answer.status, answer.body.as_str()), (200, "2"));
    assert_eq!(answer.header("ETag"), node.get("/get/a").header("ETag"));
    node.post(&json!([{"op": "remove", "path": "/a"}]));
    assert_eq!(Answer::read(gone).status, 404);
    // A client that does not know that it is gone is told; one that does waits until it is there.
    assert_eq!(node.ask("GET", "/get/a?wait=30s", &headers, "").status, 404);
    assert_eq!(node.ask("GET", "/get/a?wait=50ms", "If-Match: *\r\n", "").status, 404);
    let there = node.send("GET", "/get/a?wait=30s", "If-Match: *\r\n", "");
    node.post(&add("/c", 1));
    node.post(&add("/a", 3));
    let answer = Answer::read(there);
    assert_eq!((answer.status, answer.body.as_str()), (200, "3"));
    // Without a wait it is a read like any other.
    assert_eq!(node.ask("GET", "/get/b", &headers, "").status, 304);
    assert_eq!(node.ask("GET", "/get/b?wait=30s", "If-None-Match: \"x\"\r\n", "").status, 200);
}

#[test]
fn a_length_serves_where_a_clock_would() {
    let node = Node::start(&[]);
    node.post(&add("/a", 1));
    let ask = |length: &str, wait: &str| {
        let headers = format!("Patchmesh-Length: {length}\r\n");
        node.send("GET", &format!("/get?wait={wait}"), &headers, "")
    };
    let length = node.get("/get").header("Patchmesh-Length").expect("a length").to_owned();
    let unmoved = Answer::read(ask(&length, "100ms"));
    assert_eq!((unmoved.status, unmoved.header("Patchmesh-Length")), (304, Some("1")));
    let waiting = ask(&length, "30s");
    node.post(&json!([]));
    let answer = Answer::read(waiting);
    assert_eq!((answer.status, answer.header("Patchmesh-Length")), (200, Some("2")));
    // Also if it is less: this node may be another one, or have begun anew.
    for other in ["0", "1", "700"] {
        assert_eq!(Answer::read(ask(other, "30s")).status, 200, "{other}");
    }
    for wrong in ["", "x", "-1", "1, 2"] {
        assert_eq!(Answer::read(ask(wrong, "1s")).status, 400, "{wrong}");
    }
}

#[test]
fn a_poll_does_not_hold_up_the_end() {
    let mut node = Node::start(&[]);
    let waiting = node.send("GET", &target("after", &json!({}), "60s"), "", "");
    std::thread::sleep(Duration::from_millis(200));
    assert!(node.stop() < Duration::from_secs(3));
    let answer = Answer::read(waiting);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["detail"], "the node is stopping");
}
