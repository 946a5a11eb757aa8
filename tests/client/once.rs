//! A write has its effect once, whatever becomes of connections and nodes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use rustix::process::Signal;

use crate::harness::{Relay, node, pair, wait_for, wait_until_equal};
use crate::shell::{Running, done, fails, url, wait_for_document};

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
            let (mut name, mut length) = (String::new(), 0);
            for line in stream.by_ref().lines().map(Result::unwrap) {
                match line.split_once(": ") {
                    Some(("Patchmesh-Source" | "Patchmesh-Id", value)) => name.push_str(value),
                    Some(("Content-Length", value)) => length = value.parse().unwrap(),
                    None if line.is_empty() => break,
                    _ => {}
                }
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            let body = "{\"detail\":\"told\"}\n";
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
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
