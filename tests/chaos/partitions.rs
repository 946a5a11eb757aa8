//! Conflicts made on purpose.

use serde_json::Value;

use crate::client;
use crate::cluster::Cluster;
use crate::harness::{Node, percent_encoded, wait_for};
use crate::link::Link;

const SKIPPED: &str = "was applied and is skipped from now on";
const APPLIED: &str = "was skipped and is applied now";

/// What a node says of a transaction.
#[track_caller]
fn fate(node: &Node, transaction: &Value) -> Value {
    let source = percent_encoded(transaction["Source"].as_str().unwrap());
    node.get(&format!("/transaction?source={source}&id={}", transaction["Id"])).json()
}

/// How often the log of a node says something of a transaction.
fn times_told(node: &Node, transaction: &Value, what: &str) -> usize {
    let (id, source) = (&transaction["Id"], transaction["Source"].as_str().unwrap());
    node.log_lines(&format!("transaction {id} of {source:?} {what}")).len()
}

#[test]
fn a_transaction_is_skipped_and_applied_again_as_earlier_ones_turn_up_and_all_are_told() {
    let cluster = Cluster::start("mdm", &[(0, 1), (1, 2), (2, 0)]);
    let [a, b, c] = [0, 1, 2].map(|number| cluster.node(number));
    a.post_patch(
        r#"[{"op":"add","path":"/owner","value":"none"},{"op":"add","path":"/n","value":1}]"#,
    );
    cluster.wait_until_equal();
    for (_, _, link) in &cluster.links {
        link.go_down();
    }
    // One after the other, so that their times are in this order.
    let earliest = c.post_patch(r#"[{"op":"replace","path":"/owner","value":"c"}]"#);
    let middle = a.post_patch(
        r#"[{"op":"test","path":"/owner","value":"none"},{"op":"replace","path":"/n","value":5}]"#,
    );
    let latest = b.post_patch(
        r#"[{"op":"test","path":"/n","value":1},{"op":"add","path":"/b","value":true}]"#,
    );
    // Before this one the others come in at the third.
    c.post_patch(r#"[{"op":"add","path":"/last","value":true}]"#);
    for (node, transaction) in [(a, &middle), (b, &latest), (c, &earliest)] {
        assert_eq!(fate(node, transaction)["state"], "applied");
        assert_eq!(fate(node, transaction)["index"], 1);
    }
    assert_eq!(b.document(), r#"{"b":true,"n":1,"owner":"none"}"#);

    // The two meet: the second of the writes no longer applies.
    cluster.between(0, 1).for_each(Link::heal);
    wait_for("the two to be equal", || (a.vclock() == b.vclock()).then_some(()));
    for node in [a, b] {
        assert_eq!(node.document(), r#"{"n":5,"owner":"none"}"#);
        let conflicts = node.get("/conflicts").json();
        assert_eq!(conflicts["count"], 1);
        let listed = &conflicts["skipped"][0];
        let told = fate(node, &latest);
        assert_eq!(fate(node, &middle)["state"], "applied");
        assert_eq!(told["state"], "skipped");
        assert_eq!(told["index"], 2);
        for skipped in [listed, &told] {
            assert_eq!(skipped["Source"], latest["Source"]);
            assert_eq!(skipped["Id"], latest["Id"]);
            assert_eq!(skipped["Time"], latest["Time"]);
            assert_eq!(skipped["operation"], 0);
            assert_eq!(skipped["path"], "/n");
            assert_eq!(skipped["reason"], "the value is not as tested, it is 5");
        }
    }
    // Where it was applied before, that is told once; to the other it came as one that is skipped.
    assert_eq!(times_told(b, &latest, SKIPPED), 1);
    assert_eq!(times_told(a, &latest, SKIPPED), 0);

    // The third one's turns up before both: what was skipped applies, the other one does not.
    for (_, _, link) in &cluster.links {
        link.heal();
    }
    cluster.wait_until_equal();
    cluster.check_equal();
    for node in [a, b, c] {
        assert_eq!(node.document(), r#"{"b":true,"last":true,"n":1,"owner":"c"}"#);
        assert_eq!(fate(node, &latest)["state"], "applied");
        assert_eq!(fate(node, &latest)["index"], 3);
        let told = fate(node, &middle);
        assert_eq!(told["state"], "skipped");
        assert_eq!(told["path"], "/owner");
        assert_eq!(told["reason"], r#"the value is not as tested, it is "c""#);
    }
    for (node, times) in [(a, 1), (b, 1), (c, 0)] {
        assert_eq!(times_told(node, &latest, APPLIED), times);
        assert_eq!(times_told(node, &middle, SKIPPED), times);
    }
    assert_eq!(times_told(b, &latest, SKIPPED), 1);
}

#[test]
fn what_is_skipped_stays_so_over_a_restart_and_is_not_told_again() {
    let mut cluster = Cluster::start("dm", &[(0, 1)]);
    let (a, b) = (cluster.node(0), cluster.node(1));
    a.post_patch(r#"[{"op":"add","path":"/n","value":1}]"#);
    cluster.wait_until_equal();
    cluster.between(0, 1).for_each(Link::go_down);
    let first = b.post_patch(r#"[{"op":"replace","path":"/n","value":2}]"#);
    let second =
        a.post_patch(r#"[{"op":"test","path":"/n","value":1},{"op":"add","path":"/a","value":1}]"#);
    cluster.between(0, 1).for_each(Link::heal);
    cluster.wait_until_equal();
    assert_eq!(times_told(a, &second, SKIPPED), 1);
    let conflicts = client::get(a.address, "/conflicts").json();
    cluster.members[0].kill();
    cluster.members[0].start();
    cluster.wait_until_equal();
    let (_, fold) = cluster.check_equal();
    assert_eq!(fold.skipped.len(), 1);
    let a = cluster.node(0);
    assert_eq!(fate(a, &first)["state"], "applied");
    assert_eq!(fate(a, &second)["state"], "skipped");
    assert_eq!(times_told(a, &second, SKIPPED), 0);
    let again = client::get(a.address, "/conflicts").json();
    assert_eq!(again["skipped"][0]["reason"], conflicts["skipped"][0]["reason"]);
}

#[test]
fn a_node_that_lost_its_journal_while_it_was_cut_off_takes_nothing_from_its_earlier_life() {
    let mut cluster = Cluster::start("dm", &[(0, 1)]);
    let write = |node: &Node, name: &str| {
        node.post_patch(&format!(r#"[{{"op":"add","path":"/{name}","value":1}}]"#));
    };
    ["a", "b", "c"].iter().for_each(|name| write(cluster.node(1), name));
    cluster.wait_until_equal();
    cluster.between(0, 1).for_each(Link::go_down);
    cluster.members[1].kill();
    cluster.members[1].start();
    // It counts from the start again, and nobody can tell it of its earlier life.
    ["d", "e"].iter().for_each(|name| write(cluster.node(1), name));
    cluster.between(0, 1).for_each(Link::heal);
    cluster.wait_until_equal();
    let (lines, _) = cluster.check_equal();
    assert_eq!(lines.len(), 5);
    assert_eq!(cluster.node(0).document(), r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#);
}
