//! Makes the recordings of the present version.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tungstenite::Message;

use crate::harness::{
    Client, Node, PlainNode, PlainReader, Scratch, Setup, Stream, binary, node, percent_encoded,
    run, wait_for, wait_until_equal,
};
use crate::recording::{NAMES, answer, copy_files, folder};

/// How many transactions are folded: so many that a node which stops keeps a checkpoint.
const FOLDED: u64 = 1000;

#[test]
#[ignore = "it makes files of the repository"]
fn record() {
    let version = folder().join(env!("CARGO_PKG_VERSION"));
    for name in NAMES {
        let (scratch, path) = (Scratch::new(), version.join(name));
        let data = scratch.path("data");
        let start = || node().source(name).argument("--data").argument(data.display());
        match name {
            "patches" => patches(start().start()),
            "whole" => whole(&start, &data),
            _ => folded(&start, &data),
        }
        fs::remove_dir_all(&path).ok();
        copy_files(&data, &path.join("data"));
        fs::remove_file(path.join("data/lock")).unwrap();
        save(&start().start(), &path);
    }
}

/// A node that nobody else has told anything.
fn patches(node: Node) {
    node.post_patch(
        r#"[{"op":"add","path":"/list","value":["first",{"a":1.5e300,"ö":"\u0000\n😀"}]}]"#,
    );
    node.post_patch(
        r#"[{"op":"test","path":"/list/0","value":"first"},{"op":"remove","path":"/list/0"}]"#,
    );
    node.post_patch(r#"[{"op":"copy","from":"/list/0","path":"/copy"},{"op":"replace","path":"/copy/a","value":-0.0}]"#);
    node.post_patch(r#"[{"op":"move","from":"/copy","path":"/a~1b~0"}]"#);
    stop(node);
}

/// A node that has been told something of each kind, of which a part is final, and that began a new life.
fn whole(start: &dyn Fn() -> Setup, data: &Path) {
    let (plain, scratch) = (PlainNode::listen(), Scratch::new());
    let primary = node().source("primary").argument("--primary");
    let primary = primary.argument("--data").argument(scratch.path("primary").display()).start();
    let first = start().peer(plain.address()).start();
    tell_each_kind(&first, &primary, 1);
    let mut visit = plain.accept();
    for id in 0..3 {
        let payload = json!([{"op": "add", "path": "/plain", "value": id}]).to_string();
        visit.send(json!({"Source": "plain", "Id": id, "Payload": payload}).to_string());
    }
    wait_for("what the plain node sent", || {
        (first.vclock().get("plain") == Some(&3)).then_some(())
    });
    join(&first, &primary);
    wait_until_final(&[&first, &primary]);
    part(&first, &primary);
    tell_each_kind(&first, &node().source("third").start(), 2);
    // Nobody is there.
    ask(&first, "POST", "/peers", r#"{"address":"127.0.0.1:1"}"#, &[]);
    stop(first);
    begin_new_life(data);
    tell_again(start().start());
}

/// A primary whose history is folded in part; of the rest some is final, in two epochs, and some is not. It has a
/// checkpoint.
fn folded(start: &dyn Fn() -> Setup, data: &Path) {
    let primary = start().argument("--primary").argument("--keep").argument("1s").start();
    tell_each_kind(&primary, &node().source("second").start(), 1);
    let count = |n| format!(r#"[{{"op":"add","path":"/count","value":{n}}}]"#);
    primary.post_patches((0..FOLDED).map(count));
    wait_for("the history to be folded", || {
        (primary.peers()["begins"].as_u64() > Some(FOLDED)).then_some(())
    });
    tell_again(primary);
    for round in 2..4 {
        let primary = start().argument("--primary").start();
        tell_each_kind(&primary, &node().source("third").start(), round);
        wait_until_final(&[&primary]);
        stop(primary);
        begin_new_life(data);
    }
    tell_again(start().start());
}

/// A last transaction, and the node's end.
fn tell_again(node: Node) {
    node.post_patch(r#"[{"op":"add","path":"/last","value":true}]"#);
    stop(node);
}

fn begin_new_life(data: &Path) {
    let verified = run(binary().arg("verify").arg(data).arg("--new-life"));
    assert!(verified.status.success(), "{verified:?}");
}

/// Has two nodes be told something of each kind, partly while they do not hear each other.
fn tell_each_kind(first: &Node, second: &Node, round: u64) {
    let patch = |text: &str| text.replace("ROUND", &format!("/round{round}"));
    join(first, second);
    first.post_patch(&patch(
        r#"[{"op":"add","path":"ROUND","value":{"owner":null,"list":[1,2.5,"three",{"four":[]}]}}]"#,
    ));
    wait_until_equal(&[first, second]);
    second.post_patch(&patch(r#"[{"op":"add","path":"ROUND/list/-","value":"five"}]"#));
    wait_until_equal(&[first, second]);
    part(first, second);
    for node in [first, second] {
        // The second of these is skipped as soon as both are known,
        let owner = r#"[{"op":"test","path":"ROUND/owner","value":null},{"op":"replace","path":"ROUND/owner","value":1}]"#;
        node.post_patch(&patch(owner));
        // and the second of these is repeated.
        let named = [
            ("Patchmesh-Source", "client~aaaaaaaa".to_owned()),
            ("Patchmesh-Id", round.to_string()),
        ];
        ask(
            node,
            "POST",
            "/replace",
            &patch(r#"[{"op":"add","path":"ROUND/named","value":true}]"#),
            &named,
        );
    }
    let merge = [("Content-Type", "application/merge-patch+json".to_owned())];
    ask(
        second,
        "PATCH",
        "/get",
        &format!(r#"{{"round{round}":{{"list":null,"merged":{{}}}}}}"#),
        &merge,
    );
    join(first, second);
    wait_until_equal(&[first, second]);
    part(first, second);
}

#[track_caller]
fn ask(node: &Node, method: &str, target: &str, body: &str, more: &[(&str, String)]) {
    let mut headers = node.headers();
    headers.extend(more.iter().cloned());
    let answer = Client::connect(node.address).request(method, target, &headers, body.as_bytes());
    assert!((200..300).contains(&answer.status), "{method} {target}: {}", answer.text());
}

fn join(first: &Node, second: &Node) {
    for (node, peer) in [(first, second), (second, first)] {
        ask(node, "POST", "/peers", &json!({"address": peer.address}).to_string(), &[]);
    }
}

fn part(first: &Node, second: &Node) {
    for (node, peer) in [(first, second), (second, first)] {
        ask(node, "DELETE", &format!("/peers/{}", peer.address), "", &[]);
    }
}

fn wait_until_final(nodes: &[&Node]) {
    for node in nodes {
        wait_for("all to be final", || (node.peers()["tentative"] == 0).then_some(()));
    }
}

#[track_caller]
fn stop(mut node: Node) {
    node.signal(Signal::TERM);
    assert!(node.wait_for_exit().success());
}

/// Keeps what a node says now.
fn save(node: &Node, path: &Path) {
    fs::write(path.join("document.json"), node.document()).unwrap();
    let answers = serde_json::to_string_pretty(&answers(node)).unwrap();
    fs::write(path.join("answers.json"), answers + "\n").unwrap();
    fs::write(path.join("stream"), stream(node)).unwrap();
    fs::write(path.join("plain"), plain_stream(node)).unwrap();
}

/// What it answers, as far as it will answer the same later.
fn answers(node: &Node) -> BTreeMap<String, Value> {
    let mut targets = ["/vclock", "/log?limit=10000", "/history?limit=10000", "/conflicts"]
        .map(str::to_owned)
        .to_vec();
    for transaction in answer(node, "/log?limit=10000").as_array().unwrap() {
        let source = percent_encoded(transaction["Source"].as_str().unwrap());
        targets.push(format!("/transaction?source={source}&id={}", transaction["Id"]));
    }
    let answers = targets.into_iter().map(|target| (target.clone(), answer(node, &target)));
    let mut answers: BTreeMap<String, Value> = answers.collect();
    answers.values_mut().for_each(forget);
    let peers = answer(node, "/peers");
    let lasting = ["source", "length", "begins", "position", "committed", "tentative", "hash"];
    let lasting: Map<String, Value> =
        lasting.map(|name| (name.to_owned(), peers[name].clone())).into_iter().collect();
    answers.insert("/peers".to_owned(), lasting.into());
    if peers["commit"].is_object() {
        answers.insert("/get?at=committed".to_owned(), answer(node, "/get?at=committed"));
    }
    answers
}

/// Removes what another process may say in other words, or of itself.
fn forget(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            members.retain(|name, _| !["reason", "since"].contains(&name.as_str()));
            members.values_mut().for_each(forget);
        }
        Value::Array(elements) => elements.iter_mut().for_each(forget),
        _ => (),
    }
}

/// What a reader with `v=2` gets, up to a ping after it has all.
fn stream(node: &Node) -> String {
    let target = "/ws?v=2&members=1&node=reader~aaaaaaaa&process=00000000000000ff.0";
    let mut stream = Stream::open(node, target);
    let (mut text, mut has_all, mut has_members) = (String::new(), false, false);
    loop {
        match stream.socket.read().unwrap() {
            Message::Text(message) => {
                has_all |= message.starts_with(r#"{"End":"#);
                has_members |= message.starts_with(r#"{"Members":"#);
                text += &format!("text {message}\n");
            }
            Message::Ping(payload) => {
                text += &format!("ping {}\n", std::str::from_utf8(&payload).unwrap());
                if has_all && has_members {
                    return text;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a plain reader gets until it has the document.
fn plain_stream(node: &Node) -> String {
    let (mut stream, mut plain, mut text) = (node.stream(), PlainReader::default(), String::new());
    while plain.text() != node.document() {
        let message = stream.next_message();
        plain.take(&message);
        text += &format!("{message}\n");
    }
    text
}
