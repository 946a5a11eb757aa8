//! A directory that is put back to an old copy, and written to before it meets its peers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::client::{get, length, post, request, wait_until_equal};
use crate::harness::{Port, Scratch, wait_for};
use crate::process::Process;

fn write(node: SocketAddr, names: &str, count: u32) {
    for number in 0..count {
        post(node, &format!(r#"[{{"op":"add","path":"/{names}{number}","value":1}}]"#));
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_node_that_goes_on_from_an_old_copy_finds_out_and_begins_a_new_life() {
    let scratch = Scratch::new();
    let (data, old) = (scratch.path("data"), scratch.path("old"));
    let [here, there] = [Port::reserve(), Port::reserve()];
    let (mut node, address) = Process::node(&scratch, &here, &data, &[]);
    write(address, "a", 3);
    node.stop();
    copy(&data, &old);

    // It writes 20 more, which its peer has; and is put back to what it was before.
    let (mut node, address) = Process::node(&scratch, &here, &data, &[]);
    let mut peer = Process::start(&scratch, &[&there.to_string(), &here.to_string()]);
    let peer_address = peer.address();
    write(address, "lost", 20);
    wait_until_equal(address, peer_address);
    node.stop();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);

    // It writes as many others under the same Ids before it hears its peer.
    let (node, address) = Process::node(&scratch, &here, &data, &[]);
    write(address, "other", 20);
    assert_eq!(length(address), 23);
    drop(node);
    let (node, address) = Process::node(&scratch, &here, &data, &[&there.to_string()]);
    let source = get(address, "/peers").json()["source"].clone();
    wait_for("the node to say so", || {
        node.stderr().contains("was put back to an old copy").then_some(())
    });
    let new = wait_for("a new life", || {
        let now = get(address, "/peers").json()["source"].clone();
        (now != source).then_some(now)
    });
    assert!(node.stderr().contains("verify DIR --rebuild-from PEER"), "{}", node.stderr());
    assert_eq!(request(address, "GET", "/healthz", "").status, 503, "the documents differ");
    // What it writes from now on comes through, and the new life stays over a restart.
    write(address, "new", 1);
    wait_for("what it writes now", || {
        let answer = request(peer_address, "GET", "/get/new0", "");
        (answer.status == 200).then_some(())
    });
    drop(node);
    let (_node, address) = Process::node(&scratch, &here, &data, &[]);
    assert_eq!(get(address, "/peers").json()["source"], new);
}
