//! Waiting for the document to move, and for what was written on another node.

mod live;

use std::time::{Duration, Instant};

use live::{Answer, Node, add};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

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
fn a_poll_does_not_hold_up_the_end() {
    let mut node = Node::start(&[]);
    let waiting = node.send("GET", &target("after", &json!({}), "60s"), "", "");
    std::thread::sleep(Duration::from_millis(200));
    assert!(node.stop() < Duration::from_secs(3));
    let answer = Answer::read(waiting);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["detail"], "the node is stopping");
}
