//! Merge patches, and writes that depend on what the document is.

mod live;

use live::{Answer, Node, add};
use serde_json::{Value, json};

const MERGE: &str = "Content-Type: application/merge-patch+json; charset=utf-8\r\n";

fn patch(node: &Node, headers: &str, body: &Value) -> Answer {
    node.ask("PATCH", "/get", headers, &body.to_string())
}

#[test]
fn a_merge_patch_becomes_a_transaction() {
    let node = Node::start(&[]);
    node.post(&add("/a", json!({"b": 1, "c/d": 2})));
    let merged = patch(&node, MERGE, &json!({"a": {"b": null, "c/d": 3}, "e": [null]}));
    assert_eq!(merged.status, 200, "{}", merged.body);
    let payload = merged.json()["Payload"].as_str().map(str::to_owned).expect("a payload");
    let expected = json!([
        {"op": "remove", "path": "/a/b"},
        {"op": "add", "path": "/a/c~1d", "value": 3},
        {"op": "add", "path": "/e", "value": [null]},
    ]);
    assert_eq!(serde_json::from_str::<Value>(&payload).expect("a patch"), expected);
    assert_eq!(node.get("/get").json(), json!({"a": {"c/d": 3}, "e": [null]}));
    // The same by the other path; a difference of nothing is a transaction, too.
    let nothing = node.ask("POST", "/replace", MERGE, r#"{"gone":null}"#);
    assert_eq!((nothing.status, &nothing.json()["Payload"]), (200, &json!("[]")));
    assert_eq!(patch(&node, MERGE, &json!("whole")).status, 200);
    assert_eq!(node.get("/get").json(), json!("whole"));
    let malformed = node.ask("PATCH", "/get", MERGE, "{");
    assert_eq!(malformed.status, 400);
    assert_eq!(malformed.json()["type"], "/problems/not-a-merge-patch");
}

#[test]
fn patch_takes_a_json_patch_of_any_other_type() {
    let node = Node::start(&[]);
    for (number, headers) in
        ["", "Content-Type: application/json-patch+json\r\n", "Content-Type: text/plain\r\n"]
            .into_iter()
            .enumerate()
    {
        assert_eq!(patch(&node, headers, &add(&format!("/{number}"), number)).status, 200);
    }
    assert_eq!(node.get("/get").json(), json!({"0": 0, "1": 1, "2": 2}));
    assert_eq!(patch(&node, "", &json!([{"op": "remove", "path": "/x"}])).status, 409);
    assert_eq!(patch(&node, "", &json!({"a": 1})).status, 400);
    let part = node.ask("PATCH", "/get/0", "", "[]");
    assert_eq!((part.status, part.header("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    let other = node.ask("PUT", "/get", "", "[]");
    assert_eq!((other.status, other.header("Allow")), (405, Some("GET, HEAD, PATCH, OPTIONS")));
    let elsewhere = patch(&node, "Origin: http://evil.example\r\n", &add("/e", 1));
    assert_eq!(elsewhere.status, 403);
}

#[test]
fn a_write_that_wants_another_document_is_refused() {
    let node = Node::start(&[]);
    let etag = node.get("/get").header("ETag").expect("an ETag").to_owned();
    let headers = format!("If-Match: \"x\", {etag}\r\n");
    assert_eq!(patch(&node, &headers, &add("/a", 1)).status, 200);
    let now = node.get("/get").header("ETag").expect("an ETag").to_owned();
    for (target, method) in [("/get", "PATCH"), ("/replace", "POST"), ("/post", "POST")] {
        let moved = node.ask(method, target, &headers, &add("/b", 1).to_string());
        assert_eq!((moved.status, moved.header("ETag")), (412, Some(now.as_str())));
        let merge = node.ask(method, target, &format!("{headers}{MERGE}"), "{}");
        assert_eq!(merge.status, 412);
    }
    assert_eq!(patch(&node, &format!("If-Match: W/{now}\r\n"), &add("/b", 1)).status, 412);
    assert_eq!(patch(&node, "If-Match: *\r\n", &add("/b", 1)).status, 200);
    // What does not apply is told so where the document is the right one.
    let now = node.get("/get").header("ETag").expect("an ETag").to_owned();
    let fails = json!([{"op": "test", "path": "/a", "value": 2}]);
    assert_eq!(patch(&node, &format!("If-Match: {now}\r\n"), &fails).status, 409);
    assert_eq!(node.get("/get").json(), json!({"a": 1, "b": 1}));
}
