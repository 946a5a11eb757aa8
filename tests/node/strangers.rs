//! Plain nodes that do what plain nodes do: forward without times, be heard twice, send what they refuse
//! themselves, and begin to count anew.

use serde_json::{Value, json};

use crate::harness::{Node, PlainNode, Relay, node, wait_for, wait_until_equal};

fn plain(source: &str, id: u64, patch: &str) -> String {
    json!({"Source": source, "Id": id, "Payload": patch}).to_string()
}

/// What a plain node forwards of a transaction that it has heard.
fn forwarded(transaction: &Value) -> String {
    let mut forwarded = transaction.clone();
    let members = forwarded.as_object_mut().unwrap();
    members.retain(|name, _| ["Source", "Id", "Payload"].contains(&name.as_str()));
    forwarded.to_string()
}

fn set(member: &str, value: u64) -> String {
    json!([{"op": "add", "path": format!("/{member}"), "value": value}]).to_string()
}

fn left_out(node: &Node) -> u64 {
    node.upstream()["left_out"].as_u64().unwrap()
}

#[test]
fn a_plain_node_that_forwards_what_it_heard_elsewhere_does_not_split_nodes() {
    let plain_node = PlainNode::listen();
    let far = node().start();
    let relay = Relay::to(far.address);
    relay.go_down();
    let near = node().peer(plain_node.address()).peer(relay.address).start();
    let third = node().peer(near.address).start();
    let first = far.post_patch(&set("x", 1));
    near.post_patch(&set("x", 2));
    // What it forwards comes to the near node later than what that has written since.
    let mut visit = plain_node.accept();
    visit.send(forwarded(&first));
    wait_for("what is forwarded", || (near.length() == 2).then_some(()));
    assert_eq!(near.document(), r#"{"x":1}"#);
    relay.come_up();
    wait_for("the original", || (third.length() == 3).then_some(()));
    wait_until_equal(&[&near, &third]);
    // The original came first, and so it counts, and not what was stamped later.
    assert_eq!(near.document(), r#"{"x":2}"#);
    let told = near.get("/history").text().lines().map(str::to_owned).collect::<Vec<_>>();
    let repeated = told.iter().filter(|line| line.contains("\"repeated\":true"));
    assert_eq!(repeated.count(), 1, "{told:#?}");
}

#[test]
fn a_plain_node_that_two_nodes_hear_and_judge_otherwise_does_not_split_them() {
    let (at_near, at_far) = (PlainNode::listen(), PlainNode::listen());
    let far = node().peer(at_far.address()).start();
    let relay = Relay::to(far.address);
    relay.go_down();
    let near = node().peer(at_near.address()).peer(relay.address).start();
    let back = node().peer(near.address).start();
    far.post_patch(&set("x", 1));
    // The first one does not apply at the near node, and does at the far one.
    for (listener, here, length) in [(&at_near, &near, 1), (&at_far, &far, 3)] {
        let mut visit = listener.accept();
        visit.send(plain("p", 1, r#"[{"op":"remove","path":"/x"}]"#));
        visit.send(plain("p", 2, &set("two", 2)));
        wait_for("what it takes", || (here.length() == length).then_some(()));
    }
    relay.come_up();
    wait_for("all of it", || (back.length() == 4).then_some(()));
    wait_until_equal(&[&near, &back]);
    assert_eq!(near.document(), r#"{"two":2}"#);
    assert_eq!(near.vclock()["p"], 3);
}

#[test]
fn what_was_refused_once_does_not_take_effect_with_a_later_connection() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let remove = plain("p", 1, r#"[{"op":"remove","path":"/x"}]"#);
    let mut visit = peer.accept();
    visit.send(remove.clone());
    node.wait_for_log("does not apply and is left out");
    node.post_patch(&set("x", 1));
    drop(visit);
    let mut visit = peer.accept();
    visit.send(remove);
    visit.send(plain("p", 2, &set("y", 2)));
    wait_for("what comes after it", || (node.length() == 2).then_some(()));
    assert_eq!(node.document(), r#"{"x":1,"y":2}"#);
}

#[test]
fn a_plain_node_that_counts_from_the_beginning_again_is_told_of_once_a_stream() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    for id in [1, 2, 5] {
        visit.send(plain("p", id, &set("before", id)));
    }
    wait_for("the first ones", || (node.length() == 3).then_some(()));
    // As it is, again: that is what every connection brings.
    drop(visit);
    let mut visit = peer.accept();
    for id in [1, 2, 5] {
        visit.send(plain("p", id, &set("before", id)));
    }
    wait_for("them again", || (node.upstream()["received"] == 6).then_some(()));
    assert_eq!(left_out(&node), 0);
    drop(visit);
    // It has lost its journal. Of its new ones some have known names, and some new names.
    let mut visit = peer.accept();
    for id in 1..=4 {
        visit.send(plain("p", id, &set("after", id)));
    }
    wait_for("what is left out", || (left_out(&node) == 4).then_some(()));
    visit.send(plain("p", 6, &set("after", 6)));
    wait_for("what is in order", || (node.length() == 4).then_some(()));
    assert_eq!(node.document(), r#"{"after":6,"before":5}"#);
    let told = node.told("counts from the beginning again");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("under another name"), "{told:?}");
}

#[test]
fn what_a_plain_node_brings_back_of_a_node_itself_is_never_stamped() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let mut visit = peer.accept();
    let first = node.post_patch(&set("a", 1));
    visit.send(forwarded(&first));
    // One that it does not know: it must have lost it, and counts on from there.
    visit.send(plain(&node.source, 40, &set("lost", 1)));
    node.wait_for_log("was put back to an old copy");
    assert_eq!(node.post_patch(&set("b", 2))["Id"], 41);
    assert_eq!(node.document(), r#"{"a":1,"b":2}"#);
    assert_eq!(node.length(), 2);
}
