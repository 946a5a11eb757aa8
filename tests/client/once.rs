//! A write has its effect once, whatever becomes of connections and nodes.

use rustix::process::Signal;

use crate::harness::{Relay, node, pair, wait_for, wait_until_equal};
use crate::shell::{Running, done, url, wait_for_document};

const APPEND: &str = r#"[{"op":"add","path":"/list/-","value":1}]"#;

#[test]
fn what_was_done_and_not_answered_is_not_done_again() {
    let (first, second) = pair();
    first.post_patch(r#"[{"op":"add","path":"/list","value":[]}]"#);
    wait_until_equal(&[&first, &second]);
    for other in [&first, &second] {
        // The node has the request when the first byte of its answer comes.
        let relay = Relay::with_limits(first.address, vec![1, 30]);
        let urls = format!("{},{},{}", url(relay.address), url(relay.address), url(other.address));
        done(["patch", &urls, "", APPEND]);
        assert_eq!(relay.connections(), 2);
    }
    wait_until_equal(&[&first, &second]);
    assert_eq!(first.document(), r#"{"list":[1,1]}"#);
}

#[test]
fn what_a_node_dies_with_is_done_by_another() {
    let (dies, stays) = (node().start(), node().start());
    stays.post_patch(r#"[{"op":"add","path":"/list","value":[]}]"#);
    let relay = Relay::to(dies.address);
    dies.signal(Signal::STOP);
    let urls = format!("{},{}", url(relay.address), url(stays.address));
    let writing = Running::start(&["patch", &urls, "", APPEND]);
    wait_for("the write to be under way", || (relay.connections() > 0).then_some(()));
    dies.kill();
    assert!(writing.lines.next().ends_with("/1"));
    assert!(writing.exit().success());
    wait_for_document(&stays, r#"{"list":[1]}"#);
}
