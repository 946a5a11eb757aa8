//! The document as it was, and the history in the order in which it counts.

use serde_json::json;

use crate::node::{Node, add};
use crate::peer::Peer;

#[test]
fn the_document_is_shown_as_of_any_place_of_the_history() {
    let node = Node::start(&[]);
    node.post(&add("/a", 1));
    node.post(&add("/b", json!(["x"])));
    node.post(&json!([{"op": "remove", "path": "/a"}]));
    for (count, expected) in [
        (0, json!({})),
        (1, json!({"a": 1})),
        (2, json!({"a": 1, "b": ["x"]})),
        (3, json!({"b": ["x"]})),
    ] {
        let answer = node.get(&format!("/get?at={count}"));
        assert_eq!((answer.status, answer.json()), (200, expected));
        assert_eq!(answer.header("Patchmesh-Length"), Some("3"));
        let etag = answer.header("ETag").expect("an ETag").to_owned();
        let headers = format!("If-None-Match: {etag}\r\n");
        let again = node.ask("GET", &format!("/get?at={count}"), &headers, "");
        assert_eq!((again.status, again.body.as_str()), (304, ""));
    }
    assert_eq!(node.get("/get/b/0?at=2").json(), json!("x"));
    assert_eq!(node.get("/get/b/0?at=1").status, 404);
    assert_eq!(node.get("/get").header("Patchmesh-Length"), Some("3"));
    let beyond = node.get("/get?at=4");
    assert_eq!(beyond.status, 404);
    assert_eq!(beyond.json()["detail"], "the history has 3 transactions, so there is no 4");
    assert_eq!(node.get("/get?at=x").status, 400);
    assert_eq!(node.get("/get?at=-1").status, 400);
    for query in ["source=a&id=1", "wait=1s", "seen=%7B%7D", "after=%7B%7D"] {
        assert_eq!(node.get(&format!("/get?at=1&{query}")).status, 400, "{query}");
    }
}

#[test]
fn what_is_late_stands_where_it_counts() {
    let mut peer = Peer::new();
    let node = Node::start(&[&peer.address()]);
    peer.tell("p", 1, 100, &add("/a", 1));
    peer.tell("p", 2, 300, &json!([{"op": "remove", "path": "/a"}]));
    peer.tell("q", 1, 200, &json!([{"op": "remove", "path": "/a"}]));
    node.wait_for("/get", |answer| answer.header("Patchmesh-Length") == Some("3"));
    let lines = node.get("/history").lines();
    let order: Vec<_> = lines
        .iter()
        .map(|line| {
            (&line["index"], &line["position"], &line["Source"], &line["Id"], &line["Time"])
        })
        .collect();
    let expected = [
        (json!(0), json!(0), json!("p"), json!(1), json!(100)),
        (json!(1), json!(2), json!("q"), json!(1), json!(200)),
        (json!(2), json!(1), json!("p"), json!(2), json!(300)),
    ];
    assert!(order.into_iter().eq(expected.iter().map(|(a, b, c, d, e)| (a, b, c, d, e))));
    assert_eq!(lines[0]["Payload"], add("/a", 1).to_string());
    assert_eq!((&lines[0]["skipped"], &lines[1]["skipped"]), (&json!(null), &json!(null)));
    let skipped = &lines[2]["skipped"];
    assert_eq!(skipped["operation"], 0);
    assert_eq!(skipped["path"], "/a");
    assert_eq!(skipped["reason"], r#"there is no member "a""#);
    assert!(skipped["since"].as_u64() > Some(1_700_000_000_000_000));
    assert_eq!(node.get("/get?at=1").json(), json!({"a": 1}));
    assert_eq!(node.get("/get?at=2").json(), json!({}));
    let middle = node.get("/history?from=1&limit=1");
    assert_eq!(middle.lines().len(), 1);
    assert_eq!(middle.lines()[0], lines[1]);
    let end = node.get("/history?from=3");
    assert_eq!((end.status, end.body.as_str()), (200, ""));
}

#[test]
fn what_is_far_back_is_reached_from_a_checkpoint_and_the_journal() {
    const COUNT: u64 = 36_000;
    let data = std::env::temp_dir().join(format!("patchmesh-live-past-{}", std::process::id()));
    let mut peer = Peer::new();
    let mut node = Node::start(&[&peer.address(), "--data", data.to_str().expect("a plain path")]);
    for number in 1..=COUNT {
        let path = format!("/{}", number % 10);
        peer.tell("p", number, number, &add(&path, number));
    }
    let whole = COUNT.to_string();
    node.wait_for("/get", |answer| answer.header("Patchmesh-Length") == Some(&whole));
    for count in [1, 5_000, 30_000, COUNT] {
        let answer = node.get(&format!("/get/{}?at={count}", count % 10));
        assert_eq!(answer.json(), json!(count), "after {count}");
        let lines = node.get(&format!("/history?from={count}&limit=2")).lines();
        assert_eq!(lines.len() as u64, (COUNT - count).min(2));
        for (line, index) in lines.iter().zip(count..) {
            assert_eq!((&line["index"], &line["Id"]), (&json!(index), &json!(index + 1)));
        }
    }
    let index = |node: &Node, source: &str, id: u64| {
        let told = node.get(&format!("/transaction?source={source}&id={id}"));
        (told.status == 200).then(|| told.json()["index"].as_u64().expect("a number"))
    };
    for id in [1, 256, 257, 3_000, 36_000] {
        assert_eq!(index(&node, "p", id), Some(id - 1));
    }
    // One that comes late and far back.
    peer.tell("q", 7, 500, &add("/q", 1));
    node.wait_for("/vclock", |answer| answer.json()["q"] == 8);
    let check = |node: &Node| {
        for (source, id, expected) in
            [("p", 499, 498), ("p", 500, 499), ("q", 7, 500), ("p", 501, 501), ("p", 3000, 3000)]
        {
            assert_eq!(index(node, source, id), Some(expected), "{source} {id}");
            let lines = node.get(&format!("/history?from={expected}&limit=3")).lines();
            assert_eq!((&lines[0]["Source"], &lines[0]["Id"]), (&json!(source), &json!(id)));
            assert_eq!((lines.len(), &lines[2]["index"]), (3, &json!(expected + 2)));
        }
        assert_eq!((index(node, "q", 6), index(node, "p", COUNT + 1)), (None, None));
        assert_eq!(node.get("/get?at=500").json().get("q"), None);
        assert_eq!(node.get("/get/q?at=501").json(), json!(1));
    };
    check(&node);
    // After a start little is known of which transaction is where.
    node.stop();
    drop(node);
    let node = Node::start(&["--data", data.to_str().expect("a plain path")]);
    check(&node);
    drop(node);
    std::fs::remove_dir_all(data).expect("the node made it");
}

#[test]
fn what_is_skipped_says_because_of_what() {
    let mut peer = Peer::new();
    let node = Node::start(&[&peer.address()]);
    let wish = json!([{"op": "test", "path": "/n", "value": 1}, {"op": "replace", "path": "/n", "value": 2}]);
    peer.tell("p", 1, 100, &add("/n", 1));
    peer.tell("p", 2, 300, &wish);
    peer.tell("p", 3, 400, &json!([{"op": "remove", "path": "/never"}]));
    // It comes later and counts before.
    let winner = json!([{"op": "add", "path": "/m", "value": 0}, {"op": "replace", "path": "/n", "value": 7}]);
    peer.tell("q", 1, 200, &winner);
    let conflicts = node.wait_for("/conflicts", |answer| answer.json()["count"] == 2).json();
    let expected = json!({"Source": "q", "Id": 1, "Time": 200, "index": 1, "committed": false, "operation": 1, "path": "/n"});
    let none = json!({"none": "nothing before it has changed \"/never\""});
    let because = |id: u64| {
        node.get(&format!("/transaction?source=p&id={id}")).json().get("because").cloned()
    };
    assert_eq!(conflicts["skipped"][0]["because"], expected);
    assert_eq!(conflicts["skipped"][1]["because"], none);
    assert_eq!([because(1), because(2), because(3)], [None, Some(expected.clone()), Some(none)]);
    for target in ["/conflicts?because=false", "/transaction?source=p&id=2&because=false"] {
        let answer = node.get(target);
        assert!(answer.status == 200 && !answer.body.contains("because"), "{}", answer.body);
    }
    assert_eq!(node.get("/conflicts?because=x").status, 400);
    // More than is kept in memory one by one: a list does not look so far back.
    let long = "x".repeat(900_000);
    for id in 4..9 {
        peer.tell("p", id, 100 * id, &add("/long", long.as_str()));
    }
    node.wait_for("/get", |answer| answer.header("Patchmesh-Length") == Some("9"));
    assert_eq!(because(2), Some(expected));
    let conflicts = node.get("/conflicts").json();
    assert!(conflicts["skipped"][0]["because"]["unknown"].is_string(), "{conflicts}");
}
