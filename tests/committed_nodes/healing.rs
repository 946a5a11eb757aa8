//! A node whose document is another one than the primary's.

use patchmesh::internals::journal::{StoredBase, read_any_base};
use serde_json::Value;

use crate::harness::{Scratch, wait_for};
use crate::link::Link;
use crate::marks;
use crate::mesh::{Member, settle, wait_until_folded};

/// Replaces a text in the documents of all bases that a member has, as nobody should, and makes their checksums right.
#[track_caller]
fn change_bases(member: &Member, from: &str, to: &str) {
    let bases = member.bases();
    assert!(!bases.is_empty());
    for path in bases {
        let (source, stored) = read_any_base(&path).unwrap();
        let document = String::from_utf8(stored.document.clone()).unwrap();
        let changed = document.replace(from, to);
        assert_ne!(changed, document);
        let stored = StoredBase { document: changed.into_bytes(), ..stored };
        std::fs::write(&path, stored.text(&source)).unwrap();
    }
}

#[test]
fn a_node_whose_document_is_another_one_finds_out_says_so_and_heals() {
    let scratch = Scratch::new();
    let mut primary = Member::new(&scratch, "primary").argument("--keep 1s --primary");
    let mut other = Member::new(&scratch, "other").argument("--keep 1s");
    let link = Link::to(primary.port.address);
    other.peer(link.address);
    primary.start();
    other.start();
    marks::begin(primary.node());
    primary.node().post_patch(r#"[{"op":"add","path":"/name","value":"right"}]"#);
    let mut told = marks::add(primary.node(), 20);
    wait_until_folded(other.node(), 22);
    settle(&[primary.node(), other.node()]);
    other.kill();
    change_bases(&other, "right", "wrong");
    other.start();
    let node = other.node();
    assert!(node.document().contains("wrong"), "{}", node.document());
    wait_for("the node to connect", || (node.upstream()["state"] == "connected").then_some(()));
    // What it gets is sound, and slow, so that what it says meanwhile can be seen.
    link.delay(std::time::Duration::from_millis(400));
    told.join(marks::add(primary.node(), 1));
    // Before there is a commit, the peer's state hash tells that the two differ.
    let health = wait_for("the node to find out", || {
        let health = node.get("/healthz");
        assert!(!node.document().contains("right") || health.status == 200);
        (health.status != 200 && health.json()["type"] == "/problems/difference")
            .then(|| health.json())
    });
    assert_eq!(health["status"], 503);
    let detail = health["detail"].as_str().unwrap();
    assert!(detail.contains("the document at commit"), "{detail}");
    node.wait_for_log("another one than the primary's");
    node.wait_for_log("the right document again");
    link.heal();
    told.join(marks::add(node, 1));
    // The primary does not hear of the other one's write: it has no peers.
    wait_for("the node to heal", || (node.get("/healthz").status == 200).then_some(()));
    assert!(node.document().contains("right"));
    told.check(&node.document());
    let base: Value = node.upstream()["bases"].clone();
    assert_eq!(base, 1);
    // It stays so.
    other.kill();
    other.verify();
    other.start();
    assert_eq!(other.node().get("/healthz").status, 200);
    told.check(&other.node().document());
    told.join(marks::add(primary.node(), 1));
    wait_for("the last mark", || told.is_in(&other.node().document()).then_some(()));
    assert_eq!(other.node().log_lines("another one than"), Vec::<String>::new());
}

#[test]
fn a_node_that_differs_gives_no_base_and_who_joins_by_it_gets_the_right_one_in_the_end() {
    let scratch = Scratch::new();
    let mut primary = Member::new(&scratch, "primary").argument("--keep 1s --primary");
    let mut middle = Member::new(&scratch, "middle").argument("--keep 1s");
    let mut last = Member::new(&scratch, "last");
    middle.peer(primary.port.address);
    last.peer(middle.port.address);
    primary.start();
    middle.start();
    primary.node().post_patch(r#"[{"op":"add","path":"/name","value":"right"}]"#);
    wait_until_folded(middle.node(), 1);
    middle.kill();
    primary.node().post_patch(r#"[{"op":"add","path":"/more","value":1}]"#);
    change_bases(&middle, "right", "wrong");
    middle.start();
    last.start();
    settle(&[primary.node(), middle.node(), last.node()]);
    assert!(last.node().document().contains("right"));
}
