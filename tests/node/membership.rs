//! Peers that are added to a running node, and removed from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::harness::{
    Answer, Client, Node, PlainNode, Port, binary, node, pair, run, wait_for, wait_until_equal,
};
use crate::primaries::Data;

fn add(node: &Node, peer: impl std::fmt::Display) -> Answer {
    node.request("POST", "/peers", json!({"address": peer.to_string()}).to_string())
}

fn remove(node: &Node, peer: impl std::fmt::Display) -> Answer {
    node.request("DELETE", &format!("/peers/{peer}"), "")
}

/// The addresses of its peers.
fn peers(node: &Node) -> Vec<String> {
    let peers = node.peers();
    let upstreams = peers["upstreams"].as_array().unwrap();
    upstreams.iter().map(|peer| peer["address"].as_str().unwrap().to_owned()).collect()
}

/// Ends the writers on drop.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn stop(mut node: Node) {
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

/// Waits until so many read a node.
#[track_caller]
fn wait_for_readers(node: &Node, count: usize) -> Value {
    wait_for(format!("{} to have {count} readers", node.address), || {
        let peers = node.peers();
        (peers["downstreams"].as_array().unwrap().len() == count).then_some(peers)
    })
}

#[test]
fn a_node_comes_to_a_mesh_under_load_and_goes_and_nothing_is_lost() {
    let (first, second) = pair();
    let third = node().peer(first.address).peer(second.address).start();
    assert_eq!(third.peers()["was_read"], false);
    let health = third.get("/healthz");
    assert_eq!((health.status, &health.json()["notes"][0]["kind"]), (200, &json!("not-read")));
    for path in ["/healthz/live", "/healthz/ready"] {
        assert_eq!(third.get(path).json(), json!({"status": "ok"}), "{path}");
    }
    let is_over = AtomicBool::new(false);
    let write = |node: &Node, name: &'static str| {
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) {
            let patch = |n| format!(r#"[{{"op":"add","path":"/{name}{n}","value":{n}}}]"#);
            node.post_patches((count..count + 50).map(patch));
            count += 50;
            std::thread::sleep(Duration::from_millis(5));
        }
        count
    };
    let written = std::thread::scope(|scope| {
        let writers = [(&first, "a"), (&second, "b"), (&third, "c")]
            .map(|(node, name)| scope.spawn(move || write(node, name)));
        // Also if this fails.
        let over = Over(&is_over);
        for _ in 0..3 {
            let answer = add(&first, third.address);
            assert_eq!(answer.status, 201);
            assert_eq!(answer.json(), json!({"address": third.address.to_string(), "kept": false}));
            assert_eq!(add(&first, third.address).status, 200, "it is there");
            let readers = wait_for_readers(&third, 1);
            assert_eq!(readers["downstreams"][0]["node"], first.source);
            assert_eq!(readers["was_read"], true);
            assert_eq!(third.get("/healthz").json(), json!({"status": "ok"}));
            // What it writes gets to the one that does not name it.
            let before = second.vclock().get(&third.source).copied();
            wait_for("more of the third to reach the second", || {
                (second.vclock().get(&third.source).copied() > before).then_some(())
            });
            assert_eq!(remove(&first, third.address).status, 204);
            assert_eq!(peers(&first), [second.address.to_string()]);
            wait_for_readers(&third, 0);
            assert_eq!(remove(&first, third.address).status, 404);
        }
        drop(over);
        writers.map(|writer| writer.join().unwrap())
    });
    let patch = r#"[{"op":"add","path":"/alone","value":true}]"#;
    third.post_patch(patch);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!first.document().contains("alone"), "it is not read");
    assert_eq!(add(&first, third.address).status, 201);
    wait_until_equal(&[&first, &second, &third]);
    assert_eq!(first.length(), written.iter().sum::<u64>() + 1);
    assert_eq!(first.log_lines("added, it is dialed").len(), 4);
}

/// Writes to a node until that is over, and says which members it has had added.
fn write_until(is_over: &AtomicBool, node: &Node, name: &str) -> Vec<String> {
    let mut written = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let member = format!("{name}{}", written.len());
        node.post_patch(&format!(r#"[{{"op":"add","path":"/{member}","value":0}}]"#));
        written.push(member);
    }
    written
}

/// Adds a fourth node to three, writes to it, removes it and stops it. Says what it has taken.
fn join_and_leave(three: [&Node; 3]) -> Vec<String> {
    let fourth = three.into_iter().fold(node(), |setup, peer| setup.peer(peer.address));
    let fourth = fourth.start();
    for other in three {
        assert_eq!(add(other, fourth.address).status, 201);
    }
    let next = |node: &Node| node.vclock().get(&fourth.source).copied();
    let is_over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&is_over, &fourth, "d"));
        let over = Over(&is_over);
        for other in three {
            let has_some = |next: &u64| *next > 50;
            wait_for("what the fourth writes", || next(other).filter(has_some));
        }
        drop(over);
        writer.join().unwrap()
    });
    // Before it goes the others have to have what it was given.
    let last = next(&fourth);
    for other in three {
        wait_for("all that the fourth wrote", || (next(other) == last).then_some(()));
        assert_eq!(remove(other, fourth.address).status, 204);
    }
    wait_for_readers(&fourth, 0);
    stop(fourth);
    written
}

#[test]
fn a_fourth_joins_three_under_load_and_leaves_for_good_and_nothing_is_lost() {
    let (first, second) = pair();
    let third = node().peer(first.address).peer(second.address).start();
    let three = [&first, &second, &third];
    for other in [&first, &second] {
        assert_eq!(add(other, third.address).status, 201);
    }
    let is_over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writers = [(&first, "a"), (&second, "b"), (&third, "c")].map(|(node, name)| {
            let is_over = &is_over;
            scope.spawn(move || write_until(is_over, node, name))
        });
        let over = Over(&is_over);
        let mut written = join_and_leave(three);
        let length = first.length();
        wait_for("the others to go on", || (first.length() > length + 10).then_some(()));
        drop(over);
        written.extend(writers.into_iter().flat_map(|writer| writer.join().unwrap()));
        written
    });
    wait_until_equal(&three);
    let document: Value = serde_json::from_str(&first.document()).unwrap();
    let members = document.as_object().unwrap();
    let lost: Vec<_> = written.iter().filter(|name| !members.contains_key(*name)).collect();
    assert!(lost.is_empty() && members.len() == written.len(), "lost: {lost:?}");
    for node in three {
        assert_eq!(peers(node).len(), 2);
        assert_eq!(node.get("/healthz").json(), json!({"status": "ok"}));
    }
}

#[test]
fn what_is_added_is_kept_and_what_the_command_line_names_comes_back() {
    let data = Data::new();
    let (port, others) = (Port::reserve(), [Port::reserve(), Port::reserve(), Port::reserve()]);
    let [given, added, gone] = &others;
    let start = || data.node("a", &port, &[given]).start();
    let first = start();
    for peer in [added, gone] {
        let answer = add(&first, format!("ws://{peer}/"));
        assert_eq!((answer.status, &answer.json()["kept"]), (201, &json!(true)));
    }
    assert_eq!(remove(&first, gone).status, 204);
    let answer = remove(&first, given);
    assert_eq!(answer.status, 200, "it is back after the next start, and that is said");
    assert_eq!(answer.json()["kept"], true);
    assert_eq!(peers(&first), [added.to_string()]);
    stop(first);
    let second = start();
    assert_eq!(peers(&second), [given.to_string(), added.to_string()]);
    // What cannot be kept is not done.
    let in_the_way = data.path().join("peers.new");
    std::fs::create_dir(&in_the_way).unwrap();
    for answer in [add(&second, gone), remove(&second, added)] {
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("nothing was changed"), "{}", answer.text());
    }
    assert_eq!(peers(&second), [given.to_string(), added.to_string()]);
    std::fs::remove_dir(in_the_way).unwrap();
    let line = format!("peers: {given}, {added},");
    assert!(second.start_line.contains(&line), "{}", second.start_line);
    assert_eq!(remove(&second, added).status, 204);
    second.kill();
    let third = start();
    assert_eq!(peers(&third), [given.to_string()]);
    assert_eq!(add(&third, added).status, 201);
    stop(third);
    // A file that is damaged is told of and set aside, and the node starts.
    let path = data.path().join("peers");
    std::fs::write(&path, r#"{"Version":1,"Peers":["b"]}"#).unwrap();
    let fourth = start();
    let line = fourth.wait_for_log("cannot be read, so only those of the command line");
    assert!(line.contains("ERROR") && line.contains("it has no port"), "{line}");
    assert!(!path.exists() && data.path().join("peers.damaged").exists());
    assert_eq!(peers(&fourth), [given.to_string()]);
    assert_eq!((add(&fourth, added).status, fourth.get("/healthz").status), (201, 200));
    stop(fourth);
    assert_eq!(peers(&start()), [given.to_string(), added.to_string()]);
}

#[test]
fn what_a_node_waits_for_and_what_it_shows_is_of_the_peers_that_it_has_now() {
    let data = Data::new();
    let (port, down) = (Port::reserve(), Port::reserve());
    let node = data.node("a", &port, &[]).start();
    let promote = || node.request("POST", "/primary", "").status;
    let connected = || {
        let answer = node.get("/metrics");
        let samples = answer.text().lines().filter(|line| line.contains("upstream_connected{"));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(add(&node, &down).status, 201);
    assert_eq!(promote(), 503, "none of its peers was read");
    assert_eq!(
        connected(),
        [format!("patchmesh_upstream_connected{{peer=\"{down}\",node=\"\"}} 0")]
    );
    assert_eq!(remove(&node, &down).status, 204);
    assert_eq!(promote(), 202);
    assert!(connected().is_empty());
}

#[test]
fn what_is_no_peer_is_refused() {
    let node = node().token("secret").start();
    let own = node.address;
    for (body, status, why) in [
        ("".to_owned(), 400, "the body is not {\"address\":\"host:port\"}"),
        (json!({"address": "b"}).to_string(), 400, "it has no port"),
        (json!({"address": "wss://b:1"}).to_string(), 400, "this build has no TLS"),
        (json!({"address": own.to_string()}).to_string(), 400, "this node itself"),
    ] {
        let answer = node.request("POST", "/peers", &body);
        assert_eq!(
            (answer.status, answer.header("Content-Type")),
            (status, Some("application/problem+json"))
        );
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{}", answer.text());
    }
    assert_eq!(remove(&node, "b:1").status, 404);
    assert_eq!(remove(&node, "b").status, 404);
    // A client that may not write may not do this.
    let ask = |method: &str, target: &str, headers: &[(&str, String)]| {
        let body = json!({"address": "b:1"}).to_string();
        Client::connect(own).request(method, target, headers, body.as_bytes()).status
    };
    for (method, target) in [("POST", "/peers"), ("DELETE", "/peers/b:1")] {
        assert_eq!(ask(method, target, &node.headers()[..1]), 401);
        let mut headers = node.headers();
        headers.push(("Origin", "http://evil.example".to_owned()));
        assert_eq!(ask(method, target, &headers), 403);
    }
    assert!(peers(&node).is_empty());
}

#[test]
fn the_command_lists_and_changes_the_peers_of_a_node() {
    let (first, second) = (node().token("secret").start(), node().token("secret").start());
    let url = format!("http://{}", first.address);
    let peer = second.address.to_string();
    let ask = |arguments: &[&str]| {
        let output = run(binary().arg("peers").args(arguments).args(["--token", "secret"]));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let here = first.address;
    assert_eq!(ask(&["list", &url]).1, format!("{here} has no peers"));
    let added = format!("{peer} is a peer of {here} until that ends: it has no --data");
    for _ in 0..2 {
        assert_eq!(ask(&["add", &url, &peer]), (Some(0), added.clone(), String::new()));
    }
    first.wait_until_connected();
    let listed = ask(&["list", &url]).1;
    let begin = format!("{peer}: connected since ");
    let node = format!(", is {}, last heard ", second.source);
    assert!(listed.starts_with(&begin) && listed.contains(&node), "{listed}");
    // What is still to come is told, if the peer says so.
    let slow = PlainNode::listen_as("slow~00000000");
    let slow_address = slow.address().to_string();
    assert_eq!(ask(&["add", &url, &slow_address]).0, Some(0));
    let mut visit = slow.accept();
    for (behind, told) in [(2, ", 2 transactions to come"), (1, ", 1 transaction to come")] {
        visit.socket.send(Message::Ping(format!("behind {behind}").into())).unwrap();
        wait_for(told, || {
            let listed = ask(&["list", &url]).1;
            let mut lines = listed.lines();
            lines.any(|line| line.starts_with(&slow_address) && line.ends_with(told)).then_some(())
        });
    }
    let removed = format!("{peer} is no peer of {here}");
    assert_eq!(ask(&["remove", &url, &peer]), (Some(0), removed, String::new()));
    let (code, _, complaint) = ask(&["remove", &url, &peer]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("it answers 404, this node has no such peer"), "{complaint}");
}
