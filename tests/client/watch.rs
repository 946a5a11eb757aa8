//! `watch`: a line each time that a part is another one, whatever becomes of the stream.

use std::process::{Command, Stdio};

use crate::harness::{Relay, binary, node, pair, wait_for, wait_until_equal};
use crate::shell::{Running, url};

fn set(n: u32) -> String {
    format!(r#"[{{"op":"add","path":"/n","value":{n}}}]"#)
}

#[test]
fn a_break_makes_no_gap_and_no_repeat() {
    let (first, second) = pair();
    first.post_patch(&set(1));
    wait_until_equal(&[&first, &second]);
    let relay = Relay::to(first.address);
    let urls = format!("{},{}", url(relay.address), url(second.address));
    let watching = Running::start(&["watch", &urls, "/n"]);
    assert_eq!(watching.lines.next(), "1");
    first.post_patch(&set(2));
    assert_eq!(watching.lines.next(), "2");
    // At the other node all is the same: nothing is printed until something is new.
    wait_until_equal(&[&first, &second]);
    relay.go_down();
    watching.errors.wait_for("trying again");
    second.post_patch(&set(3));
    assert_eq!(watching.lines.next(), "3");
    second.post_patch(r#"[{"op":"add","path":"/m","value":0}]"#);
    second.post_patch(&set(4));
    assert_eq!(watching.lines.next(), "4");
    assert!(!watching.lines.has_more());
}

#[test]
fn what_was_missed_comes_after_a_break() {
    let node = node().start();
    node.post_patch(&set(1));
    let relay = Relay::to(node.address);
    let watching = Running::start(&["watch", &url(relay.address), "/n"]);
    assert_eq!(watching.lines.next(), "1");
    relay.go_down();
    watching.errors.wait_for("trying again");
    node.post_patch(&set(2));
    node.post_patch(&set(3));
    relay.come_up();
    assert_eq!(watching.lines.next(), "3");
    node.post_patch(&set(4));
    assert_eq!(watching.lines.next(), "4");
    assert!(!watching.lines.has_more());
}

#[test]
fn nothing_is_not_null() {
    let node = node().start();
    let watching = Running::start(&["watch", &url(node.address), "/n"]);
    watching.errors.wait_for("there is nothing at \"/n\"");
    node.post_patch(r#"[{"op":"add","path":"/n","value":null}]"#);
    assert_eq!(watching.lines.next(), "null");
    node.post_patch(r#"[{"op":"remove","path":"/n"}]"#);
    watching.errors.wait_for("there is nothing at \"/n\"");
    node.post_patch(r#"[{"op":"add","path":"/n","value":"x\ny"}]"#);
    assert_eq!(watching.lines.next(), r#""x\ny""#);
}

#[test]
fn after_a_break_the_same_node_goes_on() {
    // The other one is behind for ever.
    let (first, other) = (node().start(), node().start());
    other.post_patch(&set(1));
    first.post_patch(&set(1));
    let relay = Relay::to(first.address);
    let urls = format!("{},{}", url(relay.address), url(other.address));
    let watching = Running::start(&["watch", &urls, "/n"]);
    assert_eq!(watching.lines.next(), "1");
    for n in 2..5 {
        first.post_patch(&set(n));
        assert_eq!(watching.lines.next(), n.to_string());
        relay.cut();
        watching.errors.wait_for("trying again");
    }
    first.post_patch(&set(5));
    assert_eq!(watching.lines.next(), "5");
}

#[test]
fn it_ends_when_nobody_reads_it() {
    let node = node().start();
    node.post_patch(&set(1));
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" watch \"$1\" /n | head -n 1"]);
    shell.arg(binary().get_program()).arg(url(node.address)).stdout(Stdio::null());
    let mut shell = shell.spawn().unwrap();
    // Nothing is written meanwhile.
    let status = wait_for("the end of both", || shell.try_wait().unwrap());
    assert!(status.success());
}
