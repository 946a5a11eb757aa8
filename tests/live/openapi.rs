//! What a node answers is in `docs/openapi.json`: each status, with the headers and the type that it has there.

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::node::{Answer, Node, add};

/// What belongs to every answer, and not to an operation.
const OF_ALL: [&str; 6] = [
    "date",
    "x-content-type-options",
    "content-length",
    "transfer-encoding",
    "connection",
    "content-type",
];

struct Description(Value);

impl Description {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../docs/openapi.json")).expect("it is JSON"))
    }

    /// What is there, or what it refers to.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(name) => self.0.pointer(&name[1..]).unwrap_or_else(|| panic!("no {name}")),
            None => value,
        }
    }

    fn check(&self, path: &str, method: &str, answer: &Answer) {
        let what = format!("{method} {path}: {}", answer.head);
        let operation = &self.0["paths"][path][method.to_lowercase()];
        assert!(operation.is_object(), "{what}");
        let response = &operation["responses"][answer.status.to_string()];
        let response = self.resolve(response);
        assert!(response.is_object(), "{what}");
        for line in answer.head.lines().skip(1) {
            let (name, _) = line.split_once(": ").expect("a header");
            if OF_ALL.contains(&name.to_lowercase().as_str()) {
                continue;
            }
            let mut known = response["headers"].as_object().into_iter().flatten();
            assert!(known.any(|(known, _)| known.eq_ignore_ascii_case(name)), "{name} of {what}");
        }
        if let Some(content_type) = answer.header("Content-Type") {
            let media_type = content_type.split(';').next().expect("there is a first part");
            assert!(response["content"][media_type].is_object(), "{what}");
        }
    }
}

fn start(name: &str, tokens: &str) -> Node {
    let name = format!("patchmesh-{}-openapi-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, tokens).expect("the file is written");
    let node = Node::start(&["--token-file", path.to_str().unwrap(), "--allow-origin", "*"]);
    fs::remove_file(&path).expect("it has been read");
    node
}

/// What a page sends that may do all.
const HEADERS: &str = "Authorization: Bearer p\r\nOrigin: https://app.example\r\n";

#[test]
fn each_operation_has_the_status_that_it_answers() {
    let (description, node) = (Description::read(), start("each", "p peer\n"));
    for (path, item) in description.0["paths"].as_object().unwrap() {
        let target = path.replace("{pointer}", "a").replace("{address}", "127.0.0.1:1");
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let method = method.to_uppercase();
            let answer = node.ask(&method, &target, HEADERS, "");
            description.check(path, &method, &answer);
        }
    }
}

#[test]
fn each_answer_is_described() {
    let (description, node) = (Description::read(), start("table", "r read\np peer\n"));
    let patch = add("/a", 1).to_string();
    let peer = r#"{"address":"127.0.0.1:1"}"#;
    let (long, wide) = ("x".repeat(9000), "y".repeat(17_000));
    let large = format!(r#"[{{"op":"add","path":"/b","value":"{}"}}]"#, "z".repeat(1 << 20));
    let known = "Patchmesh-Source: phone~k3x9q2pd\r\nPatchmesh-Id: 1\r\n";
    let preflight = "Access-Control-Request-Method: PUT\r\n\
                     Access-Control-Request-Private-Network: true\r\n";
    let events = "Accept: text/event-stream\r\n";
    for (method, path, target, headers, body, status) in [
        ("POST", "/replace", "/replace", "", &*patch, 200),
        ("POST", "/replace", "/replace?pretty", "Accept-Encoding: gzip\r\n", &patch, 200),
        ("POST", "/replace", "/replace", "Prefer: return=minimal\r\n", &patch, 204),
        ("POST", "/replace", "/replace", "", "[1]", 400),
        ("POST", "/replace", "/replace", "", r#"[{"op":"remove","path":"/b"}]"#, 409),
        ("POST", "/replace", "/replace?wait=committed", "", &patch, 409),
        ("POST", "/replace", "/replace", "If-Match: \"x\"\r\n", &patch, 412),
        ("POST", "/replace", "/replace", "Content-Encoding: br\r\n", &patch, 415),
        ("POST", "/replace", "/replace", known, &patch, 200),
        ("POST", "/replace", "/replace", known, "[]", 409),
        ("PATCH", "/get/{pointer}", "/get/b", "", r#"[{"op":"add","path":"","value":2}]"#, 200),
        ("PATCH", "/get", "/get", "If-None-Match: *\r\n", "[]", 412),
        ("POST", "/post", "/post", "", &large, 413),
        ("GET", "/get", "/get", "", "", 200),
        ("GET", "/get", "/get?pretty", "", "", 200),
        ("GET", "/get", "/get?at=1", "", "", 200),
        ("GET", "/get", "/get", "If-None-Match: *\r\n", "", 304),
        ("GET", "/get", "/get", "If-Match: \"x\"\r\n", "", 412),
        ("GET", "/get", "/get?at=committed", "", "", 409),
        ("GET", "/get", "/get?at=99", "", "", 404),
        ("GET", "/get", "/get?source=x&id=1&wait=10ms", "", "", 504),
        ("GET", "/get", "/get?seen=1", "", "", 400),
        ("GET", "/get/{pointer}", "/get/nothing", "", "", 404),
        ("GET", "/get/{pointer}", "/get/a?at=1", events, "", 406),
        ("HEAD", "/get/{pointer}", "/get/a", events, "", 200),
        ("GET", "/log", "/log?limit=2", "", "", 200),
        ("GET", "/history", "/history", "", "", 200),
        ("GET", "/history", "/history?from=x", "", "", 400),
        ("GET", "/transaction", "/transaction?source=x&id=1", "", "", 404),
        ("GET", "/transaction", "/transaction?source=phone~k3x9q2pd&id=1", "", "", 200),
        ("GET", "/conflicts", "/conflicts", "", "", 200),
        ("GET", "/conflicts", "/conflicts?limit=x", "", "", 400),
        ("POST", "/peers", "/peers", "", peer, 201),
        ("POST", "/peers", "/peers", "", peer, 200),
        ("POST", "/peers", "/peers", "", "{}", 400),
        ("POST", "/peers", "/peers", "If-None-Match: *\r\n", peer, 412),
        ("DELETE", "/peers/{address}", "/peers/127.0.0.1:1", "", "", 204),
        ("DELETE", "/peers/{address}", "/peers/127.0.0.1:1", "", "", 404),
        ("POST", "/primary", "/primary", "", "", 409),
        ("GET", "/healthz", "/healthz", "", "", 200),
        ("GET", "/test", "/test", "Accept-Encoding: gzip\r\n", "", 200),
        ("GET", "/openapi.json", "/openapi.json", "Accept-Encoding: gzip\r\n", "", 200),
        ("GET", "/ws", "/ws", "", "", 426),
        ("OPTIONS", "/get", "/get", preflight, "", 204),
        ("OPTIONS", "/get", "/get", "", "", 204),
    ] {
        let method_and_target = format!("{method} {target}");
        let headers = format!("{HEADERS}{headers}");
        // What is compressed is no text; its header says enough.
        let compressed = headers.contains("gzip") && status == 200 && method == "GET";
        let answer = if compressed {
            read_head(&node, method, target, &headers)
        } else {
            node.ask(method, target, &headers, body)
        };
        assert_eq!(answer.status, status, "{method_and_target}: {}", answer.body);
        description.check(path, method, &answer);
    }
    for (headers, target, status) in [
        ("", "/get", 401),
        ("Authorization: Bearer r\r\n", "/ws", 403),
        ("Host: b\r\n", "/get", 400),
        ("Expect: x\r\n", "/get", 417),
        (&*format!("X: {wide}\r\n"), "/get", 431),
        ("", &*format!("/get/{long}"), 414),
    ] {
        let answer = node.ask("GET", target, headers, "");
        assert_eq!(answer.status, status, "{target} {}", answer.body);
        description.check(if target == "/ws" { target } else { "/get" }, "GET", &answer);
    }
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let headers = format!("{HEADERS}{upgrade}");
    let answer = read_head(&node, "GET", "/ws", &headers);
    assert_eq!(answer.status, 101);
    description.check("/ws", "GET", &answer);
    let answer = read_head(&node, "GET", "/get", &format!("{HEADERS}{events}"));
    assert_eq!(answer.status, 200);
    description.check("/get", "GET", &answer);
}

/// Asks, and reads no more than the header of the answer.
fn read_head(node: &Node, method: &str, target: &str, headers: &str) -> Answer {
    let lines = BufReader::new(node.send(method, target, headers, "")).lines();
    let lines = lines.map(|line| line.expect("a header is text"));
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let status = head[0].split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("a status"), head: head.join("\r\n"), body: String::new() }
}
