//! `wait`, and what is final.

use crate::harness::{Port, Scratch, node, pair};
use crate::shell::{Running, done, fails, url};

#[test]
fn a_node_is_waited_for_until_it_is_ready() {
    let port = Port::reserve();
    let waiting = Running::start(&["wait", &url(&port)]);
    let _node = node().at(&port).start();
    assert!(waiting.exit().success());
    let nobody = Port::reserve();
    fails(["wait", &url(&nobody), "--timeout", "1s"], 5, "connection refused");
}

#[test]
fn all_nodes_are_waited_for_until_they_have_a_transaction() {
    let (first, second) = pair();
    let both = format!("{},{}", url(first.address), url(second.address));
    let name = done(["set", &url(first.address), "/a", "1"]);
    let name = name.trim_end();
    assert_eq!(done(["wait", &both, "--transaction", name]), "");
    assert_eq!(second.document(), r#"{"a":1}"#);
    let other = ["wait", &both, "--transaction", "other~12345678/7", "--timeout", "1s"];
    fails(other, 1, "transaction 7 of other~12345678 was not there in time");
    fails(["wait", &both, "--committed", "--timeout", "1s"], 1, "no primary");
}

#[test]
fn what_is_final_can_be_waited_for() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let node = node().argument("--primary").argument("--data").argument(data.display()).start();
    let url = url(node.address);
    done(["set", &url, "/a", "1"]);
    done(["wait", &url, "--committed"]);
    assert_eq!(done(["get", &url, "/a", "--committed"]), "1\n");
    let name = done(["set", &url, "/a", "2", "--committed"]);
    done(["wait", &url, "--committed", "--transaction", name.trim_end()]);
    assert_eq!(done(["get", &url, "/a", "--committed"]), "2\n");
}
