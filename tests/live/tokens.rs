//! A file of tokens: each has a right, the file is read again at SIGHUP, and a client that lost its right is let in no more.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};

use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message};

use crate::node::{Answer, Node, add};

/// A file of tokens, which is removed in the end.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("patchmesh-{}-{name}", std::process::id()));
        fs::write(&path, text).expect("the file is written");
        Self(path)
    }

    fn start(&self, more: &[&str]) -> Node {
        let path = self.0.to_str().expect("it is UTF-8");
        Node::start(&[&["--token-file", path], more].concat())
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn hang_up(node: &Node) {
    let kill = Command::new("kill").arg("-HUP").arg(node.process.id().to_string()).status();
    assert!(kill.expect("kill runs").success());
}

/// Starts a node whose log is read.
fn start_with_log(arguments: &[&str]) -> (Node, Lines<BufReader<ChildStderr>>) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_patchmesh"))
        .arg("127.0.0.1:0")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the node starts");
    let log = BufReader::new(process.stderr.take().expect("it is piped")).lines();
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line).unwrap();
    let address = line.split([' ', ',']).find(|word| word.starts_with("127.0.0.1:")).unwrap();
    let address = address.to_owned();
    (Node { process, address }, log)
}

/// Waits until a request has this status.
fn wait_for(node: &Node, token: &str, target: &str, status: u16) {
    for _ in 0..1000 {
        if node.ask("GET", target, &bearer(token), "").status == status {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{target} does not answer {status}");
}

#[test]
fn each_token_may_do_what_its_right_allows() {
    let file = TokenFile::new("rights", "# for tests\nr read\nw write\np peer # all of it\n");
    let node = file.start(&[]);
    let patch = add("/a", 1).to_string();
    let peer = r#"{"address":"127.0.0.1:1"}"#;
    for (method, target, body, expected) in [
        ("GET", "/get", "", [401, 200, 200, 200]),
        ("HEAD", "/peers", "", [401, 200, 200, 200]),
        ("GET", "/metrics", "", [401, 200, 200, 200]),
        ("GET", "/ws", "", [401, 403, 403, 426]),
        ("POST", "/replace", &*patch, [401, 403, 200, 200]),
        ("PATCH", "/get", &*patch, [401, 403, 200, 200]),
        ("POST", "/peers", peer, [401, 403, 403, 201]),
        ("DELETE", "/peers/127.0.0.1:1", "", [401, 403, 403, 204]),
        ("POST", "/primary", "", [401, 403, 403, 409]),
        ("GET", "/nothing", "", [401, 404, 404, 404]),
        ("GET", "/healthz", "", [200, 200, 200, 200]),
    ] {
        for (token, status) in ["x", "r", "w", "p"].into_iter().zip(expected) {
            let answer = node.ask(method, target, &bearer(token), body);
            assert_eq!(answer.status, status, "{method} {target} with {token}");
            if status == 403 {
                assert!(answer.body.contains("this needs the right"), "{}", answer.body);
            }
        }
    }
    let events = "Accept: text/event-stream\r\n";
    assert_eq!(node.ask("HEAD", "/get?token=r", events, "").status, 200);
    assert_eq!(node.ask("HEAD", "/get?token=x", events, "").status, 401);
}

#[test]
fn the_file_is_read_again_and_a_bad_one_changes_nothing() {
    let file = TokenFile::new("again", "a read\n");
    let (node, mut log) = start_with_log(&["--token-file", file.0.to_str().unwrap()]);
    wait_for(&node, "b", "/get", 401);
    fs::write(&file.0, "a read\nb read\n").unwrap();
    hang_up(&node);
    wait_for(&node, "b", "/get", 200);
    for (bad, expected) in [("b read\na\n", "line 2: behind"), ("", "there is no token in it")] {
        fs::write(&file.0, bad).unwrap();
        hang_up(&node);
        let line = log.find(|line| line.as_ref().unwrap().contains(expected)).unwrap().unwrap();
        assert!(line.contains("ERROR"), "{line}");
        for token in ["a", "b"] {
            assert_eq!(node.ask("GET", "/get", &bearer(token), "").status, 200, "{token}");
        }
    }
    fs::write(&file.0, "b read\n").unwrap();
    hang_up(&node);
    wait_for(&node, "a", "/get", 401);
    wait_for(&node, "b", "/get", 200);
}

#[test]
fn a_node_without_a_file_of_tokens_outlives_a_reload() {
    for arguments in [&["--token", "t"][..], &[]] {
        let (mut node, mut log) = start_with_log(arguments);
        hang_up(&node);
        let told = log.find(|line| line.as_ref().unwrap().contains("SIGHUP"));
        let told = told.expect("the node goes on").unwrap();
        assert!(told.contains("INFO") && told.contains("no --token-file"), "{told}");
        assert_eq!(node.process.try_wait().unwrap(), None);
        assert_eq!(node.ask("GET", "/get", &bearer("t"), "").status, 200);
    }
}

#[test]
fn a_node_does_not_start_with_a_bad_file() {
    for (text, expected) in [("a\n", "line 1: behind the token"), ("", "there is no token")] {
        let file = TokenFile::new("bad", text);
        let output = Command::new(env!("CARGO_BIN_EXE_patchmesh"))
            .args(["127.0.0.1:0", "--token-file", file.0.to_str().unwrap()])
            .stdin(Stdio::null())
            .output()
            .expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.contains("patchmesh-"), "{said}");
    }
}

#[test]
fn live_streams_end_with_their_token() {
    let file = TokenFile::new("live", "r read\np peer\nq peer\n");
    let node = file.start(&[]);
    let events = |token: &str| {
        let accept = "Accept: text/event-stream\r\n";
        let stream = node.send("GET", "/get", &(bearer(token) + accept), "");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("event: put") {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "it begins");
        }
        reader
    };
    let socket = |token: &str| {
        let mut request = format!("ws://{}/ws", node.address).into_client_request().unwrap();
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", value);
        let stream = TcpStream::connect(&node.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        tungstenite::client(request, stream).unwrap().0
    };
    let (mut lost, mut kept) = (events("r"), events("q"));
    let (mut lost_socket, mut kept_socket) = (socket("p"), socket("q"));
    fs::write(&file.0, "p read\nq peer\n").unwrap();
    hang_up(&node);
    let mut rest = Vec::new();
    match lost.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    loop {
        match lost_socket.read() {
            Ok(_) => {}
            Err(Error::Io(error)) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "it ends");
                break;
            }
            Err(_) => break,
        }
    }
    let patch = add("/a", 1).to_string();
    assert_eq!(node.ask("POST", "/replace", &bearer("q"), &patch).status, 200);
    let mut line = String::new();
    while !line.contains(r#""path":"/a""#) {
        line.clear();
        assert!(kept.read_line(&mut line).unwrap() > 0, "it goes on");
    }
    loop {
        match kept_socket.read().expect("it goes on") {
            Message::Text(text) if text.contains(r#""Payload""#) => break,
            _ => {}
        }
    }
}

#[test]
fn who_waits_is_told_nothing_once_its_token_is_gone() {
    let file = TokenFile::new("wait", "r read\nw write\n");
    let node = file.start(&[]);
    let ask = |token: &str| {
        let headers = bearer(token) + "Patchmesh-Length: 0\r\n";
        node.send("GET", "/get?wait=30s", &headers, "")
    };
    let (lost, kept) = (ask("r"), ask("w"));
    // Both have begun: what is sent later is answered later.
    assert_eq!(node.ask("GET", "/get", &bearer("r"), "").status, 200);
    std::thread::sleep(std::time::Duration::from_millis(100));
    fs::write(&file.0, "w write\n").unwrap();
    hang_up(&node);
    let lost = Answer::read(lost);
    assert_eq!((lost.status, lost.header("WWW-Authenticate")), (401, Some("Bearer")));
    let patch = add("/a", 1).to_string();
    assert_eq!(node.ask("POST", "/replace", &bearer("w"), &patch).status, 200);
    assert_eq!(Answer::read(kept).body, "{\"a\":1}");
}

#[test]
fn nodes_show_each_other_the_first_token_of_a_peer() {
    let (reader, writer) = ("r read\np peer\n", "x write\np peer\nq peer\n");
    let (first_file, second_file) =
        (TokenFile::new("first", reader), TokenFile::new("second", writer));
    let first = first_file.start(&[]);
    let second = second_file.start(&[&first.address]);
    let patch = add("/a", 1).to_string();
    assert_eq!(first.ask("POST", "/replace", &bearer("p"), &patch).status, 200);
    wait_for(&second, "x", "/get/a", 200);
    // Another one from now on: the stream breaks off, and is dialed with the new one.
    fs::write(&second_file.0, "q peer\np peer\n").unwrap();
    hang_up(&second);
    wait_for(&second, "x", "/get", 401);
    fs::write(&first_file.0, "q peer\n").unwrap();
    hang_up(&first);
    wait_for(&first, "q", "/get", 200);
    let patch = add("/b", 1).to_string();
    assert_eq!(first.ask("POST", "/replace", &bearer("q"), &patch).status, 200);
    wait_for(&second, "q", "/get/b", 200);
}
