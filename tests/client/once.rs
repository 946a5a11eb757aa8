//! A write has its effect once, whatever becomes of connections and nodes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Nonsense, Relay, Scratch, node, pair, wait_for, wait_until_equal};
use crate::shell::{Running, done, fails, say, url, wait_for_document};

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

/// Something that answers each request with the next of these statuses, and gives the names of the requests.
fn answering(statuses: &'static [&'static str]) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let mut names = Vec::new();
        for status in statuses {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut name, mut repeated, mut length) = (String::new(), String::new(), 0);
            for line in stream.by_ref().lines().map(Result::unwrap) {
                match line.split_once(": ") {
                    Some(("Patchmesh-Source" | "Patchmesh-Id", value)) => {
                        name.push_str(value);
                        repeated.push_str(&format!("{line}\r\n"));
                    }
                    Some(("Content-Length", value)) => length = value.parse().unwrap(),
                    None if line.is_empty() => break,
                    _ => {}
                }
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            let body = "{\"detail\":\"told\"}\n";
            // The node that takes it repeats its name.
            let named = if status.starts_with('2') { repeated.as_str() } else { "" };
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{named}");
            let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
            stream.get_mut().write_all((head + &length).as_bytes()).unwrap();
            names.push(name);
        }
        names
    });
    (address, answering)
}

#[test]
fn what_is_sent_again_has_the_same_name() {
    let statuses = &["503 Service Unavailable", "502 Bad Gateway", "429 X", "200 OK"];
    let (address, answering) = answering(statuses);
    let name = done(["set", &url(address), "/a", "1"]).trim_end().replace('/', "");
    assert_eq!(answering.join().unwrap(), [(); 4].map(|()| name.clone()));
}

#[test]
fn an_element_is_replaced_if_it_is_there_and_added_if_not() {
    // It is not there, then it is, and it is gone again.
    let (address, answering) = answering(&["412 X", "412 X", "412 X", "200 OK"]);
    let name = done(["set", &url(address), "/list/3", "1"]);
    assert!(name.ends_with("/4\n"), "{name}");
    assert_eq!(answering.join().unwrap().len(), 4);
}

#[test]
fn what_no_node_can_do_is_told_at_once() {
    for (statuses, status) in [
        (&["507 Insufficient Storage"], 1),
        (&["500 X"], 1),
        (&["409 Conflict"], 3),
        (&["403 X"], 1),
    ] {
        let (address, answering) = answering(statuses);
        fails(["set", &url(address), "/a", "1"], status, ", told");
        assert_eq!(answering.join().unwrap().len(), 1);
    }
    let (address, answering) = answering(&["503 X"]);
    // Nothing listens there any more when it is asked again.
    let part = "whether it was done is not known: /transaction?source=shell~";
    fails(["set", &url(address), "/a", "1", "--timeout", "1s"], 5, part);
    assert_eq!(answering.join().unwrap().len(), 1);
}

#[test]
fn a_refusal_of_what_another_node_may_have_done_is_not_believed() {
    let (takes, refuses) = (node().start(), node().start());
    let patch = r#"[{"op":"test","path":"/n","value":1},{"op":"replace","path":"/n","value":2}]"#;
    takes.post_patch(r#"[{"op":"add","path":"/n","value":1}]"#);
    // It takes the write, and its answers are lost.
    let relay = Relay::with_limits(takes.address, vec![1; 1000]);
    let urls = format!("{},{}", url(relay.address), url(refuses.address));
    let part = "whether it was done is not known: /transaction?source=shell~";
    fails(["patch", &urls, "", patch, "--timeout", "1s"], 1, part);
    assert_eq!(takes.document(), r#"{"n":2}"#);
    // The answer comes at last.
    takes.post_patch(r#"[{"op":"add","path":"/n","value":1}]"#);
    let relay = Relay::with_limits(takes.address, vec![1, 1]);
    let urls = format!("{},{}", url(relay.address), url(refuses.address));
    done(["patch", &urls, "", patch]);
    assert_eq!(takes.length(), 4);
    assert_eq!(refuses.length(), 0);
}

#[test]
fn what_is_not_final_in_time_is_told_to_be_accepted() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let primary = node().argument("--primary").argument("--data").argument(data.display()).start();
    let other = node().peer(primary.address).start();
    primary.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    let url = &*url(other.address);
    done(["wait", url, "--committed"]);
    // The primary does not hear of what is written there.
    let set = ["set", url, "/a", "2", "--committed", "--timeout", "2s"];
    fails(set, 1, "is accepted, and was not final within 1.5s");
}

#[test]
fn a_time_limit_holds_at_a_node_that_hangs() {
    let node = node().start();
    node.signal(Signal::STOP);
    let url = &*url(node.address);
    let begin = Instant::now();
    fails(["wait", url, "--timeout", "1s"], 5, "nothing came within 1 s");
    fails(["get", url, "--timeout", "1s"], 5, "nothing came within 1 s");
    assert!(begin.elapsed() < Duration::from_secs(9));
}

#[test]
fn what_takes_anything_is_no_node() {
    let server = Nonsense::listen(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    );
    let url = &*url(server.address());
    let part = "what answers is no patchmesh node";
    fails(["set", url, "/a", "1"], 5, part);
    fails(["set", url, "/a/0", "1"], 5, part);
    fails(["remove", url, "/a"], 5, part);
    fails(["get", url], 5, part);
    fails(["watch", url], 5, part);
    fails(["wait", url], 5, part);
    assert!(say(["status", url]).out.contains(part));
    // The next one is a node.
    let node = node().start();
    done(["set", &format!("{url},{}", self::url(node.address)), "/a", "1"]);
    assert_eq!(node.document(), r#"{"a":1}"#);
}
