//! A client that names its transaction can send it again, to any node, and it has one effect.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Node, Relay, node, wait_for, wait_until_equal};

const SOURCE: &str = "phone~k3x9q2pd";
const MERGE: &str = "application/merge-patch+json";

fn push(value: u64) -> String {
    json!([{"op": "add", "path": "/list/-", "value": value}]).to_string()
}

fn ask(node: &Node, id: u64, more: &[(&str, &str)], method: &str, body: &str) -> Answer {
    let path = if method == "PATCH" { "/get" } else { "/replace" };
    let own = [("Host", "localhost"), ("Patchmesh-Source", SOURCE)];
    let mut headers: Vec<(&str, String)> =
        own.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
    headers.push(("Patchmesh-Id", id.to_string()));
    Client::connect(node.address).request(method, path, &headers, body.as_bytes())
}

fn post(node: &Node, id: u64, body: &str) -> Answer {
    ask(node, id, &[], "POST", body)
}

#[test]
fn a_request_sent_again_has_no_second_effect() {
    let node = node().start();
    node.post_patch(r#"[{"op":"add","path":"/list","value":[]}]"#);
    let first = post(&node, 7, &push(1));
    assert_eq!(first.status, 200, "{}", first.text());
    let transaction: Value = first.json();
    assert_eq!((&transaction["Source"], &transaction["Id"]), (&json!(SOURCE), &json!(7)));
    assert_eq!(transaction["By"], json!([format!("{}^s", node.source), 1]));
    for _ in 0..3 {
        let again = post(&node, 7, &push(1));
        assert_eq!((again.status, again.json()), (200, transaction.clone()));
    }
    // Ids need not come in order, and another one is another transaction.
    assert_eq!(post(&node, 3, &push(2)).status, 200);
    assert_eq!(node.document(), r#"{"list":[1,2]}"#);
    assert_eq!(node.length(), 3);
}

#[test]
fn a_name_is_looked_up_before_conditions_and_before_a_merge_patch_is_converted() {
    let node = node().start();
    let etag = node.get("/get").header("ETag").unwrap().to_owned();
    let merge = |id| {
        let headers = [("Content-Type", MERGE), ("If-Match", etag.as_str())];
        ask(&node, id, &headers, "PATCH", r#"{"a":1,"b":null}"#)
    };
    let first = merge(1);
    assert_eq!(first.status, 200, "{}", first.text());
    let again = merge(1);
    assert_eq!((again.status, again.text()), (200, first.text()));
    assert_eq!(merge(2).status, 412, "the document is another one now");
    assert_eq!(node.length(), 1);
}

#[test]
fn another_request_of_the_same_name_is_told_and_has_no_effect() {
    let node = node().start();
    let first = post(&node, 1, r#"[{"op":"add","path":"/a","value":1}]"#).json();
    let other = post(&node, 1, r#"[{"op":"add","path":"/a","value":2}]"#);
    assert_eq!(other.status, 409, "{}", other.text());
    let problem: Value = other.json();
    assert_eq!(problem["transaction"], first);
    assert!(problem["request"].is_string() && problem["request"] != first["Request"]);
    assert_eq!(node.document(), r#"{"a":1}"#);
}

#[test]
fn a_refused_request_leaves_no_name() {
    let node = node().start();
    assert_eq!(post(&node, 1, &push(1)).status, 409);
    node.post_patch(r#"[{"op":"add","path":"/list","value":[]}]"#);
    assert_eq!(post(&node, 1, &push(1)).status, 200);
    assert_eq!(node.document(), r#"{"list":[1]}"#);
}

#[test]
fn a_retry_at_a_node_that_is_cut_off_has_one_effect_in_the_end() {
    let far = node().start();
    let relay = Relay::to(far.address);
    relay.go_down();
    let near = node().peer(relay.address).start();
    let third = node().peer(far.address).peer(near.address).start();
    let make = r#"[{"op":"add","path":"/n","value":[]}]"#;
    let append = r#"[{"op":"add","path":"/n/-","value":1}]"#;
    for here in [&near, &far] {
        assert_eq!(post(here, 1, make).status, 200);
        assert_eq!(post(here, 2, append).status, 200);
    }
    relay.come_up();
    wait_until_equal(&[&near, &third]);
    wait_for("all of it", || (third.length() == 4).then_some(()));
    for here in [&near, &third] {
        assert_eq!(here.document(), r#"{"n":[1]}"#);
    }
    let told = post(&third, 2, append);
    assert_eq!((told.status, third.length()), (200, 4), "{}", told.text());
    assert_eq!(told.text(), post(&near, 2, append).text(), "the first one counts everywhere");
}

#[test]
fn a_client_that_goes_on_at_another_node_loses_nothing() {
    // Number 5 at one node, and number 6 at another one that is cut off from it: no clock of the
    // client's own numbers could say which node has what.
    let far = node().start();
    let relay = Relay::to(far.address);
    relay.go_down();
    let near = node().peer(relay.address).start();
    let back = node().peer(near.address).start();
    assert_eq!(post(&near, 6, r#"[{"op":"add","path":"/six","value":6}]"#).status, 200);
    assert_eq!(post(&far, 5, r#"[{"op":"add","path":"/five","value":5}]"#).status, 200);
    relay.come_up();
    wait_for("both", || (back.length() == 2).then_some(()));
    assert_eq!(back.document(), r#"{"five":5,"six":6}"#);
    wait_until_equal(&[&near, &back]);
}

#[test]
fn what_was_skipped_later_is_told_as_skipped() {
    let far = node().start();
    let relay = Relay::to(far.address);
    relay.go_down();
    let near = node().peer(relay.address).start();
    let guarded = r#"[{"op":"test","path":"","value":{}},{"op":"add","path":"/near","value":1}]"#;
    far.post_patch(r#"[{"op":"add","path":"/far","value":1}]"#);
    assert_eq!(post(&near, 1, guarded).status, 200);
    relay.come_up();
    wait_for("the other one's", || (near.length() == 2).then_some(()));
    let told = post(&near, 1, guarded);
    assert_eq!(told.status, 409, "{}", told.text());
    assert_eq!(told.json()["type"], "/problems/skipped");
    assert_eq!(near.document(), r#"{"far":1}"#);
}
