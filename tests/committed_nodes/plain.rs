//! Plain nodes, which know nothing of commits and bases, in a mesh that folds its history.

use std::time::Duration;

use serde_json::json;
use tungstenite::Message;

use crate::harness::{Node, PlainNode, PlainReader, Scratch, Visit, wait_for};
use crate::marks;
use crate::mesh::{Member, settle, wait_until_final, wait_until_folded};

/// Has a plain author send what it has to each node that dials it, until something is so. Each time it is dialed it begins
/// anew, as plain nodes do.
#[track_caller]
fn send_until(
    author: &PlainNode,
    visit: &mut Visit,
    lines: &[String],
    mut is_so: impl FnMut() -> bool,
) {
    let send = |visit: &mut Visit| {
        let sent = lines.iter().try_for_each(|line| visit.socket.send(Message::text(line)));
        // The node that has dialed may have gone.
        sent.ok();
    };
    send(visit);
    wait_for("what was sent", || {
        if let Some(next) = author.try_accept(Duration::ZERO) {
            *visit = next;
            send(visit);
        }
        is_so().then_some(())
    });
}

/// A primary and another node, which have folded what they have.
fn folded(scratch: &Scratch, peers: &[&PlainNode]) -> [Member; 2] {
    let mut primary = Member::new(scratch, "primary").argument("--keep 1s --primary");
    let mut other = Member::new(scratch, "other").argument("--keep 1s");
    other.peer(primary.port.address);
    primary.peer(other.port.address);
    peers.iter().for_each(|peer| other.peer(peer.address()));
    let mut members = [primary, other];
    members.iter_mut().for_each(Member::start);
    marks::begin(members[0].node());
    marks::add(members[0].node(), 20);
    members.iter().for_each(|member| wait_until_folded(member.node(), 21));
    members
}

#[test]
fn a_plain_node_that_joins_after_a_fold_gets_the_document_and_goes_on() {
    let scratch = Scratch::new();
    let members = folded(&scratch, &[]);
    for member in &members {
        let node = member.node();
        let (mut plain, mut stream) = (PlainReader::default(), node.stream());
        plain.read_until(&mut stream, &node.document());
        assert!(plain.parts > 0, "it got the document");
        for _ in 0..3 {
            marks::add(members[0].node(), 3);
            plain.read_until(&mut stream, &members[0].node().document());
        }
        // It is cut off for a while, and gets what it lacks, and the document not again.
        drop(stream);
        let parts = plain.parts;
        marks::add(members[0].node(), 3);
        settle(&[members[0].node(), members[1].node()]);
        let mut stream = node.stream();
        plain.read_until(&mut stream, &node.document());
        assert_eq!(plain.parts, parts);
    }
}

#[test]
fn a_fold_takes_nothing_from_a_plain_node_that_has_followed_from_the_start() {
    let scratch = Scratch::new();
    let mut primary = Member::new(&scratch, "primary").argument("--keep 1s --primary");
    primary.start();
    let (mut plain, node) = (PlainReader::default(), primary.node());
    let mut stream = node.stream();
    marks::begin(node);
    for round in 1..4 {
        marks::add(node, 10);
        plain.read_until(&mut stream, &node.document());
        wait_until_folded(node, 10 * round + 1);
        // It is connected again, and begins from the start of the journal.
        stream = node.stream();
    }
    marks::add(node, 1);
    plain.read_until(&mut stream, &node.document());
    // Of no document at all, once.
    assert_eq!(plain.parts, 1);
}

#[test]
fn what_a_plain_node_writes_through_a_folded_node_is_there_once() {
    let scratch = Scratch::new();
    let author = PlainNode::listen();
    let members = folded(&scratch, &[&author]);
    let mut visit = author.accept();
    let (mut told, mut id) = (marks::Told::default(), 0);
    let mut write = |count: u64| -> Vec<String> {
        (0..count)
            .map(|_| {
                let (mark, patch) = marks::next();
                told.accepted.insert(mark);
                id += 1;
                json!({"Source": "author", "Id": id, "Payload": patch}).to_string()
            })
            .collect()
    };
    let mut lines = write(5);
    let nodes = members.each_ref().map(Member::node);
    let has = |node: &Node, next: u64| node.vclock().get("author") == Some(&next);
    send_until(&author, &mut visit, &lines, || has(nodes[0], 6));
    wait_until_folded(nodes[1], 21 + 5);
    // It is dialed again, and sends all that it has once more, and then more.
    lines.extend(write(5));
    drop(visit);
    let mut visit = author.accept();
    send_until(&author, &mut visit, &lines, || has(nodes[0], 11));
    // Another node that it is a peer of, and that joins by a base.
    let mut third = Member::new(&scratch, "third");
    third.peer(members[0].port.address);
    third.start();
    wait_for("the base", || (third.node().upstream()["bases"] == 1).then_some(()));
    third.kill();
    let again = PlainNode::listen();
    third.peer(again.address());
    third.start();
    let mut visit_third = again.accept();
    lines.extend(write(1));
    send_until(&again, &mut visit_third, &lines, || has(third.node(), 12));
    send_until(&author, &mut visit, &lines, || has(nodes[0], 12));
    // Nobody dials the third, which has stamped the last of them itself.
    nodes.iter().for_each(|node| wait_until_final(node));
    let document = wait_for("the same document", || {
        let [first, second] = nodes.map(Node::document);
        (first == second && first == third.node().document()).then_some(first)
    });
    let found = marks::marks(&document);
    assert!(found.values().all(|count| *count == 1), "{found:?}");
    assert!(told.is_in(&document), "{found:?}");
    assert_eq!(found.len(), 20 + 11);
}
