//! Merge patches, and writes that depend on what the document is.

use serde_json::{Value, json};

use crate::node::{Answer, Node, add};

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
    assert_eq!(node.ask("PATCH", "/get/~", "", "[]").status, 400);
    let other = node.ask("PUT", "/get", "", "[]");
    assert_eq!((other.status, other.header("Allow")), (405, Some("GET, HEAD, PATCH, OPTIONS")));
    let elsewhere = patch(&node, "Origin: http://evil.example\r\n", &add("/e", 1));
    assert_eq!(elsewhere.status, 403);
}

#[test]
fn a_part_is_patched_as_a_document_of_its_own() {
    let node = Node::start(&[]);
    node.post(&add("/a", json!({"b": {"c": 1}, "l": [1, 2]})));
    let patch = |target: &str, headers: &str, body: Value| {
        node.ask("PATCH", target, headers, &body.to_string())
    };
    let moved = json!([
        {"op": "test", "path": "/b/c", "value": 1},
        {"op": "move", "from": "/b/c", "path": "/d~1e"},
    ]);
    let accepted = patch("/get/a", "", moved);
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    // The transaction is one of the whole document, as all are.
    let payload = accepted.json()["Payload"].to_string();
    assert!(payload.contains("/a/b/c") && payload.contains("/a/d~1e"), "{payload}");
    assert_eq!(node.get("/get/a").json(), json!({"b": {}, "d/e": 1, "l": [1, 2]}));
    assert_eq!(patch("/get/a/l/-", "", add("", 3)).status, 200);
    assert_eq!(patch("/get/a/d~1e", MERGE, json!({"x": 1, "y": null})).status, 200);
    assert_eq!(patch("/get/a", MERGE, json!({"b": null, "new": {"z": 1, "w": null}})).status, 200);
    let expected = json!({"a": {"d/e": {"x": 1}, "l": [1, 2, 3], "new": {"z": 1}}});
    assert_eq!(node.get("/get").json(), expected);
    let refused = patch("/get/a", "", json!([{"op": "remove", "path": "/b"}]));
    assert_eq!((refused.status, &refused.json()["path"]), (409, &json!("/a/b")));
    let malformed = patch("/get/a", "", json!([{"op": "remove"}]));
    assert_eq!(
        (malformed.status, &malformed.json()["type"]),
        (400, &json!("/problems/not-a-json-patch"))
    );
    // Longer as a patch of the whole than a transaction may be.
    let operation = json!({"op": "test", "path": "/d", "value": 1});
    let many: Vec<_> = std::iter::repeat_n(operation, 25_000).collect();
    assert_eq!(patch(&format!("/get/{}", "x".repeat(100)), "", json!(many)).status, 413);
    assert_eq!(node.get("/get").json(), expected);
}

#[test]
fn a_part_is_written_on_conditions_of_its_own() {
    let node = Node::start(&[]);
    let patch = |target: &str, headers: &str, body: Value| {
        node.ask("PATCH", target, headers, &body.to_string())
    };
    let (none, any) = ("If-None-Match: *\r\n", "If-Match: *\r\n");
    // Only one of those that want to begin it does.
    assert_eq!(patch("/get/a", any, add("", 1)).status, 412);
    assert_eq!(patch("/get/a", none, add("", 1)).status, 200);
    let begun = patch("/get/a", none, add("", 2));
    let etag = node.get("/get/a").header("ETag").expect("an ETag").to_owned();
    assert_eq!((begun.status, begun.header("ETag")), (412, Some(etag.as_str())));
    // What others do in other parts does not matter.
    node.post(&add("/b", 1));
    let wanted = format!("If-Match: {etag}\r\n");
    assert_eq!(patch("/get/a", &wanted, add("", 2)).status, 200);
    assert_eq!(patch("/get/a", &wanted, add("", 3)).status, 412);
    assert_eq!(patch("/get/a", &format!("{wanted}{MERGE}"), json!(3)).status, 412);
    let merged = patch("/get/c", &format!("{none}{MERGE}"), json!({"d": 1, "e": null}));
    assert_eq!(merged.status, 200);
    assert_eq!(node.get("/get").json(), json!({"a": 2, "b": 1, "c": {"d": 1}}));
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
    // A patch that does not apply is told so if the document is the right one.
    let now = node.get("/get").header("ETag").expect("an ETag").to_owned();
    let fails = json!([{"op": "test", "path": "/a", "value": 2}]);
    assert_eq!(patch(&node, &format!("If-Match: {now}\r\n"), &fails).status, 409);
    assert_eq!(node.get("/get").json(), json!({"a": 1, "b": 1}));
}
