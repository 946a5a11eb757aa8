//! Joining a mesh that has folded its history.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Node, Relay, Scratch, Seed, node, wait_for};
use crate::link::Link;
use crate::marks::{self, Writer};
use crate::mesh::{Member, settle, tentative_and_begin, wait_until_folded};

/// A primary on its own, with these other arguments.
fn primary(scratch: &Scratch, arguments: &str) -> Member {
    let mut member = Member::new(scratch, "primary").argument("--primary").argument(arguments);
    member.start();
    member
}

/// Waits until a node has folded all that it has.
#[track_caller]
fn wait_until_all_is_folded(node: &Node) -> u64 {
    wait_for("all to be folded", || {
        let (tentative, begin) = tentative_and_begin(node);
        let length = node.peers()["length"].as_u64().unwrap();
        (tentative == 0 && begin > 0 && begin == length).then_some(begin)
    })
}

/// Makes the document large, a part at a time.
#[track_caller]
fn write_megabyte(node: &Node) {
    let value = "x".repeat(50_000);
    node.post_patches(
        (0..20).map(|n| format!(r#"[{{"op":"add","path":"/{n}","value":"{value}"}}]"#)),
    );
}

#[test]
fn who_joins_a_mesh_with_20_000_transactions_behind_it_gets_their_document_and_not_them() {
    let scratch = Scratch::new();
    let primary = primary(&scratch, "--keep 1s");
    let patch = |n: u32| format!(r#"[{{"op":"add","path":"/{}","value":{n}}}]"#, n % 100);
    // On many connections, since each waits for its disk.
    std::thread::scope(|scope| {
        for part in 0..16 {
            let node = primary.node();
            let range = 1250 * part..1250 * (part + 1);
            scope.spawn(move || node.post_patches(range.map(patch)));
        }
    });
    let folded = wait_until_all_is_folded(primary.node());
    assert_eq!(folded, 20_000);
    let document = primary.node().document();
    for is_in_memory in [true, false] {
        let mut new = Member::new(&scratch, "new");
        if is_in_memory {
            new = new.in_memory();
        }
        new.peer(primary.port.address);
        let begin = Instant::now();
        new.start();
        let new = new.node();
        wait_for("the document", || (new.document() == document).then_some(()));
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(tentative_and_begin(new), (0, folded));
        let upstream = wait_for("a base", || {
            let upstream = new.upstream();
            (upstream["bases"] == 1).then_some(upstream)
        });
        assert_eq!(upstream["torn_bases"], 0);
        assert!(upstream["received"].as_u64().unwrap() < 100, "{upstream}");
        assert!(new.journal().len() < 100, "{}", new.journal().len());
        println!("joined in {took:?}");
    }
}

#[test]
fn a_torn_transfer_changes_nothing_and_the_next_one_works() {
    let scratch = Scratch::new();
    let primary = primary(&scratch, "--keep 1s");
    write_megabyte(primary.node());
    wait_until_all_is_folded(primary.node());
    let theirs: Value = serde_json::from_str(&primary.node().document()).unwrap();
    // In the middle of the first piece, in a later one, and in the last.
    let relay = Relay::with_limits(primary.port.address, vec![100_000, 600_000, 1_000_000]);
    let new = node().source("new").peer(relay.address).start();
    // It may be before the base is there, or after.
    new.post_patch(r#"[{"op":"add","path":"/own","value":1}]"#);
    let mut both = theirs.clone();
    both["own"] = 1.into();
    let mut torn = 0;
    wait_for("the document", || {
        let upstream = new.upstream();
        let document: Value = serde_json::from_str(&new.document()).unwrap();
        torn = upstream["torn_bases"].as_u64().unwrap();
        if document == both {
            return Some(());
        }
        assert_eq!(document, serde_json::json!({"own": 1}), "{torn} torn");
        None
    });
    assert_eq!(torn, 3);
    wait_for("a base", || (new.upstream()["bases"] == 1).then_some(()));
    // And it is written to a directory as it is.
    let (mut kept, relay) =
        (Member::new(&scratch, "kept"), Relay::with_limits(new.address, vec![500_000]));
    kept.peer(relay.address);
    kept.start();
    let document = new.document();
    wait_for("the document", || (kept.node().document() == document).then_some(()));
    kept.kill();
    kept.verify();
    kept.start();
    assert_eq!(kept.node().document(), document);
}

#[test]
fn a_base_that_changes_while_it_is_sent_arrives_whole() {
    let seed = Seed::choose();
    let scratch = Scratch::new();
    let primary = primary(&scratch, "--keep 2s");
    marks::begin(primary.node());
    write_megabyte(primary.node());
    wait_until_folded(primary.node(), 1);
    let writer = Writer::start(&[primary.port.address], 5, &mut seed.random());
    let link = Link::to(primary.port.address);
    // It takes about as long as it takes until what it stands for is folded away.
    link.delay(Duration::from_millis(80));
    let mut new = Member::new(&scratch, "new").argument("--keep 2s");
    new.peer(link.address);
    new.start();
    let before = tentative_and_begin(primary.node()).1;
    wait_for("a base", || (tentative_and_begin(new.node()).1 > 0).then_some(()));
    let after = tentative_and_begin(primary.node()).1;
    assert!(before < after, "it has not changed: {before} {after}");
    link.heal();
    let told = writer.stop();
    let document = settle(&[primary.node(), new.node()]);
    told.check(&document);
    new.check_log();
    assert!(told.accepted.len() > 100);
}
