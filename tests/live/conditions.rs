//! Conditional requests: an ETag stands for a part's text, and conditions work on reads and writes alike.

use serde_json::json;

use crate::node::{Node, add};

fn etag(node: &Node, target: &str) -> String {
    node.get(target).header("ETag").expect("an ETag").to_owned()
}

#[test]
fn an_etag_is_of_a_parts_text_and_of_nothing_else() {
    let (node, other) = (Node::start(&[]), Node::start(&[]));
    assert_eq!(etag(&node, "/get"), etag(&other, "/get"), "whoever wrote nothing");
    node.post(&add("/a", json!({"b": 1})));
    let (whole, part) = (etag(&node, "/get"), etag(&node, "/get/a"));
    node.post(&add("/c", 1));
    assert_ne!(etag(&node, "/get"), whole);
    assert_eq!(etag(&node, "/get/a"), part);
    node.post(&json!([{"op": "remove", "path": "/c"}]));
    assert_eq!(etag(&node, "/get"), whole, "the same text again, three transactions later");
    other.post(&add("/b", 1));
    assert_eq!(etag(&other, "/get"), part, "a part's text as a whole document");
    assert_eq!(etag(&node, "/get?at=1"), whole, "and as it was");
}

#[test]
fn conditions_hold_on_reads_and_writes_alike() {
    let node = Node::start(&[]);
    node.post(&add("/a", json!([1])));
    for target in ["/get", "/get/a", "/get/a/0", "/get?at=1", "/get/a?seen=%7B%7D"] {
        let etag = etag(&node, target);
        for (header, expected) in [
            (format!("If-Match: {etag}\r\n"), 200),
            (format!("If-Match: \"x\", {etag}\r\n"), 200),
            ("If-Match: *\r\n".to_owned(), 200),
            ("If-Match: \"x\"\r\n".to_owned(), 412),
            (format!("If-Match: W/{etag}\r\n"), 412),
            (format!("If-None-Match: {etag}\r\n"), 304),
            (format!("If-None-Match: W/{etag}\r\n"), 304),
            ("If-None-Match: *\r\n".to_owned(), 304),
            ("If-None-Match: \"x\"\r\n".to_owned(), 200),
            (format!("If-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"), 412),
        ] {
            for method in ["GET", "HEAD"] {
                let answer = node.ask(method, target, &header, "");
                assert_eq!(answer.status, expected, "{method} {target} {header}");
                assert_eq!(
                    answer.header("ETag"),
                    Some(etag.as_str()),
                    "{method} {target} {header}"
                );
                assert!(answer.header("Patchmesh-Length").is_some());
            }
        }
    }
    // What is not there is told to be so, whatever is demanded of it.
    assert_eq!(node.ask("GET", "/get/b", "If-Match: *\r\n", "").status, 404);
    assert_eq!(node.ask("GET", "/get/b", "If-None-Match: *\r\n", "").status, 404);

    for (method, target) in [("PATCH", "/get"), ("POST", "/replace"), ("POST", "/post")] {
        let before = node.get("/get").body;
        let etag = etag(&node, "/get");
        for header in [
            "If-None-Match: *\r\n".to_owned(),
            format!("If-None-Match: {etag}\r\n"),
            format!("If-None-Match: \"x\", W/{etag}\r\n"),
            "If-Match: \"x\"\r\n".to_owned(),
            format!("If-Match: {etag}\r\nIf-None-Match: {etag}\r\n"),
        ] {
            let answer = node.ask(method, target, &header, &add("/b", 1).to_string());
            assert_eq!(answer.status, 412, "{method} {target} {header}");
            assert_eq!(answer.header("ETag"), Some(etag.as_str()));
            let name = if header.matches("If-").count() > 1 || header.contains("None") {
                "If-None-Match"
            } else {
                "If-Match"
            };
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains(&format!("{name} does not hold")), "{detail}");
        }
        assert_eq!(node.get("/get").body, before);
        let header = format!("If-Match: {etag}\r\nIf-None-Match: \"x\"\r\n");
        let patch = add("/a/-", 2).to_string();
        assert_eq!(node.ask(method, target, &header, &patch).status, 200);
        assert_eq!(node.ask(method, target, &header, &patch).status, 412, "it has another by now");
    }
}

#[test]
fn what_has_no_etag_is_there_all_the_same() {
    let node = Node::start(&[]);
    let body = r#"{"address":"127.0.0.1:1"}"#;
    for (method, target) in [
        ("POST", "/primary"),
        ("POST", "/peers"),
        ("POST", "/peers"),
        ("DELETE", "/peers/127.0.0.1:1"),
    ] {
        for header in ["If-Match: \"x\"\r\n", "If-None-Match: *\r\n"] {
            let answer = node.ask(method, target, header, body);
            // What is not there is told to be so.
            assert_eq!(answer.status, 412, "{method} {target} {header}: {}", answer.body);
        }
        let answer = node.ask(method, target, "If-Match: *\r\nIf-None-Match: \"x\"\r\n", body);
        assert_ne!(answer.status, 412, "{method} {target}");
    }
    assert_eq!(node.ask("DELETE", "/peers/127.0.0.1:1", "If-Match: *\r\n", "").status, 404);
    for target in ["/vclock", "/log", "/peers", "/healthz", "/test"] {
        for (header, expected) in [
            ("If-Match: *\r\n", 200),
            ("If-Match: \"x\"\r\n", 412),
            ("If-None-Match: *\r\n", 304),
            ("If-None-Match: \"x\"\r\n", 200),
        ] {
            assert_eq!(node.ask("GET", target, header, "").status, expected, "{target} {header}");
        }
    }
}

#[test]
fn a_write_is_answered_with_its_name_alone_if_no_more_is_wanted() {
    let node = Node::start(&[]);
    let minimal = "Prefer: return=minimal\r\n";
    let named = format!("{minimal}Patchmesh-Source: phone~k3x9q2pd\r\nPatchmesh-Id: 7\r\n");
    for (method, target) in [("POST", "/replace"), ("PATCH", "/get")] {
        let answer = node.ask(method, target, minimal, &add("/a", 1).to_string());
        assert_eq!((answer.status, &*answer.body), (204, ""), "{method} {target}");
        assert_eq!(answer.header("Preference-Applied"), Some("return=minimal"));
        let (source, id) = (answer.header("Patchmesh-Source"), answer.header("Patchmesh-Id"));
        assert!(source.is_some_and(|source| source.starts_with("127.0.0.1")) && id.is_some());
        assert!(answer.header("Patchmesh-Change").is_some());
        assert_eq!((answer.header("Content-Type"), answer.header("Content-Length")), (None, None));
    }
    // The second of the two has no effect of its own.
    for _ in 0..2 {
        let answer = node.ask("POST", "/replace", &named, &add("/list", json!([])).to_string());
        let name = (answer.header("Patchmesh-Source"), answer.header("Patchmesh-Id"));
        assert_eq!((answer.status, name), (204, (Some("phone~k3x9q2pd"), Some("7"))));
    }
    let refused = node.ask("POST", "/replace", minimal, "{}");
    assert_eq!(refused.status, 400, "why is told in any case");
    assert!(refused.body.contains("/problems/not-a-json-patch"));
}
