//! The forms of an answer: laid out or in one line, compressed or not. All are of one content.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use miniz_oxide::inflate::decompress_to_vec;
use serde_json::{Value, json};

use crate::node::{Node, add};

const GZIP: &str = "Accept-Encoding: gzip, deflate\r\n";

/// An answer of bytes, its chunks joined and what is compressed decompressed.
struct Form {
    status: u16,
    head: String,
    text: String,
}

impl Form {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn etag(&self) -> &str {
        self.header("ETag").expect("an ETag")
    }
}

fn ask(node: &Node, method: &str, target: &str, headers: &str) -> Form {
    form(node.send(method, target, headers, ""), method == "HEAD")
}

fn form(mut stream: impl Read, is_head: bool) -> Form {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a header") + 4;
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).expect("a header is text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut form = Form { status, head, text: String::new() };
    if is_head {
        assert!(body.is_empty());
        return form;
    }
    match form.header("Content-Length") {
        Some(length) => assert_eq!(length.parse(), Ok(body.len())),
        None if form.header("Transfer-Encoding").is_some() => body = unchunked(&body),
        None => {}
    }
    if form.header("Content-Encoding") == Some("gzip") {
        assert_eq!(body[..3], [0x1f, 0x8b, 8]);
        body = decompress_to_vec(&body[10..body.len() - 8]).expect("it is compressed");
    }
    form.text = String::from_utf8(body).expect("it is text");
    form
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let line = rest.windows(2).position(|end| end == b"\r\n").expect("a chunk has a size");
        let size = std::str::from_utf8(&rest[..line]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = &rest[line + 2..];
        bytes.extend_from_slice(&rest[..size]);
        assert_eq!(rest[size..size + 2], *b"\r\n");
        rest = &rest[size + 2..];
        if size == 0 {
            assert!(rest.is_empty(), "nothing follows the last chunk");
            return bytes;
        }
    }
}

/// A list of so many rows.
fn rows(count: usize) -> Value {
    (0..count).map(|number| json!({"number": number, "text": "of a row", "list": []})).collect()
}

/// Nothing that is compressed, what goes at once, and what goes in pieces.
fn parts() -> [(&'static str, Value); 3] {
    [("few", rows(10)), ("some", rows(500)), ("more", rows(4_000))]
}

/// What is never in memory as a whole.
fn large_part() -> (&'static str, Value) {
    let members = (0..3).map(|number| (number.to_string(), rows(10_000)));
    ("many", Value::Object(members.collect()))
}

fn start(parts: impl IntoIterator<Item = (&'static str, Value)>) -> Node {
    let node = Node::start(&[]);
    for (name, value) in parts {
        match value {
            Value::Object(members) => {
                node.post(&add(&format!("/{name}"), json!({})));
                for (member, value) in members {
                    node.post(&add(&format!("/{name}/{member}"), value));
                }
            }
            value => drop(node.post(&add(&format!("/{name}"), value))),
        }
    }
    node
}

#[test]
fn each_form_is_of_the_same_content_and_has_a_tag_of_its_own() {
    let all = || parts().into_iter().chain([large_part()]);
    let node = start(all());
    for (name, value) in all() {
        let line = value.to_string() + "\n";
        let pretty = serde_json::to_string_pretty(&value).unwrap() + "\n";
        let mut tags: Vec<String> = Vec::new();
        for (query, text) in [("", &line), ("?pretty", &pretty)] {
            for headers in ["", GZIP] {
                let target = format!("/get/{name}{query}");
                let answer = ask(&node, "GET", &target, headers);
                assert_eq!(answer.status, 200);
                assert!(answer.text == *text, "{target} {headers}");
                assert_eq!(answer.header("Vary"), Some("Accept, Accept-Encoding"));
                let is_gzip = headers == GZIP && name != "few";
                assert_eq!(answer.header("Content-Encoding").is_some(), is_gzip, "{target}");
                let head = ask(&node, "HEAD", &target, headers);
                for header in ["ETag", "Content-Encoding", "Content-Type", "Vary"] {
                    assert_eq!(head.header(header), answer.header(header), "{target}");
                }
                let known = format!("{headers}If-None-Match: {}\r\n", answer.etag());
                let known = ask(&node, "GET", &target, &known);
                assert_eq!((known.status, known.etag()), (304, answer.etag()));
                assert_eq!((&*known.text, known.header("Content-Encoding")), ("", None));
                tags.push(answer.etag().to_owned());
            }
        }
        // A client that has it as it is need not have it compressed; one that cannot decompress it has nothing.
        let asked = |headers: &str, tag: &str| {
            ask(
                &node,
                "GET",
                &format!("/get/{name}"),
                &format!("{headers}If-None-Match: {tag}\r\n"),
            )
        };
        let known = asked(GZIP, &tags[0]);
        assert_eq!((known.status, known.etag()), (304, &*tags[0]));
        if name != "few" {
            assert_eq!(asked("", &tags[1]).status, 200);
            tags.sort();
            tags.dedup();
            assert_eq!(tags.len(), 4, "{tags:?}");
        }
        for (count, tag) in tags.iter().enumerate() {
            let patch = add("", value.clone()).to_string();
            let target = format!("/get/{name}");
            if patch.len() < 1 << 20 {
                let same = node.ask("PATCH", &target, &format!("If-Match: {tag}\r\n"), &patch);
                assert_eq!(same.status, 200, "{count}: it is the same content");
            }
            let other = format!("If-None-Match: {tag}\r\n");
            assert_eq!(node.ask("PATCH", &target, &other, "[]").status, 412, "{count}");
        }
    }
}

#[test]
fn all_json_can_be_laid_out_and_all_that_is_long_compressed() {
    let node = start(parts());
    for target in ["/vclock", "/peers", "/conflicts", "/healthz", "/get/nothing", "/nothing"] {
        let answer = ask(&node, "GET", &format!("{target}?pretty"), "");
        assert!(answer.text.starts_with("{\n  \"") && answer.text.ends_with("\n}\n"), "{target}");
    }
    let patch = add("/pretty", 1).to_string();
    let answer = node.ask("POST", "/replace?pretty", "", &patch);
    assert!(
        answer.status == 200 && answer.body.starts_with("{\n  \"Source\": "),
        "{}",
        answer.body
    );
    for target in ["/test", "/metrics", "/log?limit=100", "/history"] {
        let answer = ask(&node, "GET", target, GZIP);
        assert_eq!(answer.header("Content-Encoding"), Some("gzip"), "{target}");
        assert!(!answer.text.is_empty());
    }
    assert_eq!(ask(&node, "GET", "/get?pretty=no", "").status, 400);
    assert_eq!(ask(&node, "GET", "/log?pretty", "").status, 400);
    let events = format!("{GZIP}Accept: text/event-stream\r\n");
    assert_eq!(ask(&node, "HEAD", "/get", &events).header("Content-Encoding"), None);
}

#[test]
fn an_old_client_gets_it_with_the_end_of_the_connection() {
    let node = start(parts());
    let (_, value) = &parts()[2];
    let mut stream = node.connect();
    let request =
        b"GET /get/more?pretty HTTP/1.0\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(request).unwrap();
    let answer = form(stream, false);
    assert!(answer.text == serde_json::to_string_pretty(value).unwrap() + "\n");
    assert_eq!(answer.header("Content-Encoding"), None);
    assert_eq!(answer.header("Connection"), Some("close"));
}

#[test]
fn who_waits_by_the_tag_of_a_form_waits_for_another_content() {
    let node = start(parts());
    let target = "/get/some?pretty&wait=10s";
    let first = ask(&node, "GET", target, GZIP);
    let known = format!("{GZIP}If-None-Match: {}\r\n", first.etag());
    let waiting = node.send("GET", target, &known, "");
    let begin = Instant::now();
    node.post(&add("/few", 1));
    let none = ask(&node, "GET", "/get/some?pretty&wait=100ms", &known);
    assert_eq!((none.status, none.etag()), (304, first.etag()));
    assert!(begin.elapsed() >= Duration::from_millis(100));
    node.post(&add("/some/0", "new"));
    let changed = form(waiting, false);
    assert_eq!(changed.status, 200);
    assert!(changed.text.starts_with("[\n  \"new\",\n") && changed.etag() != first.etag());
    assert!(begin.elapsed() < Duration::from_secs(9));
}
