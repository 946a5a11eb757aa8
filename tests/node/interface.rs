//! The HTTP interface over one node: each path, its statuses and content types.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Node, Stream, node, pair, wait_for, wait_until_equal};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// A node whose document has every kind of name.
fn example() -> Node {
    let node = node().start();
    let value = json!([10, {"b/c": 1, "~": 2, "": 3, " ": 4, "ä": 5, "%": 6, "~1": 7}]);
    let patch = json!([
        {"op": "add", "path": "/a", "value": value},
        {"op": "add", "path": "/n", "value": null},
        {"op": "add", "path": "/", "value": "no name"},
    ]);
    node.post_patch(&patch.to_string());
    node
}

/// What must stay as it is when a request is refused.
fn state(node: &Node) -> (String, String, String) {
    let text = |path| node.get(path).text().to_owned();
    (text("/get"), text("/vclock"), text("/log"))
}

#[track_caller]
fn check_problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some(PROBLEM));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
    }
    problem
}

#[test]
fn every_path_has_its_status_and_content_type() {
    let node = example();
    for (path, status, content_type) in [
        ("/", 302, None),
        ("/test", 200, Some("text/html; charset=utf-8")),
        ("/client.js", 200, Some("text/javascript; charset=utf-8")),
        ("/get", 200, Some(JSON)),
        ("/get/a/0", 200, Some(JSON)),
        ("/vclock", 200, Some(JSON)),
        ("/log", 200, Some("application/x-ndjson")),
        ("/peers", 200, Some(JSON)),
        ("/conflicts", 200, Some(JSON)),
        ("/transaction", 400, Some(PROBLEM)),
        ("/metrics", 200, Some("text/plain; version=0.0.4; charset=utf-8")),
        ("/healthz", 200, Some(JSON)),
        ("/healthz/live", 200, Some(JSON)),
        ("/healthz/ready", 200, Some(JSON)),
        ("/ws", 426, Some(PROBLEM)),
        ("/nothing", 404, Some(PROBLEM)),
        ("/favicon.ico", 404, Some(PROBLEM)),
        ("/getaway", 404, Some(PROBLEM)),
        ("/test/", 404, Some(PROBLEM)),
        ("/Test", 404, Some(PROBLEM)),
        ("//test", 404, Some(PROBLEM)),
        ("/replace", 405, Some(PROBLEM)),
        ("/post", 405, Some(PROBLEM)),
    ] {
        // A query does no harm if nobody can mean anything by it.
        let takes_any = ["/", "/test", "/metrics", "/healthz", "/ws", "/nothing"].contains(&path);
        let queried = takes_any.then(|| format!("{path}?x=%zz&y"));
        for target in [path.to_owned()].into_iter().chain(queried) {
            let mut client = Client::connect(node.address);
            let got = client.request("GET", &target, &node.headers(), b"");
            assert_eq!(got.status, status, "{target}: {}", got.text());
            assert_eq!(got.header("Content-Type"), content_type, "{target}");
            assert!(got.header("Date").is_some(), "{target}");
            assert_eq!(got.header("X-Content-Type-Options"), Some("nosniff"), "{target}");
            // HEAD gives the same without the body, on the same connection.
            let head = client.request("HEAD", &target, &node.headers(), b"");
            let names = ["Content-Type", "Content-Length", "ETag", "Location", "Allow"];
            if status != 405 {
                assert_eq!(head.status, status, "HEAD {target}");
                for name in names {
                    // These two count the requests since.
                    if !(name == "Content-Length" && ["/metrics", "/peers"].contains(&path)) {
                        assert_eq!(head.header(name), got.header(name), "{name} of {target}");
                    }
                }
            }
            assert_eq!(client.request("GET", "/healthz", &node.headers(), b"").status, 200);
        }
    }
    assert_eq!(node.get("/").header("Location"), Some("/test"));
    assert_eq!(node.get("/ws").header("Upgrade"), Some("websocket"));
    assert_eq!(node.get("/healthz").json(), json!({"status": "ok"}));
    assert_eq!(node.get("/vclock").json(), json!({ &*node.source: 2 }));
}

#[test]
fn the_debug_page_lets_nothing_in_from_elsewhere() {
    let answer = node().start().get("/test");
    let policy = answer.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    let page = answer.text();
    for reference in ["src=\"http", "href=\"http", "url(http", "@import", "import("] {
        assert!(!page.contains(reference), "the page has {reference}");
    }
}

#[test]
fn a_part_of_the_document_is_at_its_pointer() {
    let node = example();
    for (target, text) in [
        ("/get/a/0", "10"),
        ("/get/n", "null"),
        ("/get/", r#""no name""#),
        ("/get/a/1/b~1c", "1"),
        ("/get/a/1/b%7E1c", "1"),
        ("/get/a/1/b%7e1c", "1"),
        ("/get/a/1/~0", "2"),
        ("/get/a/1/", "3"),
        ("/get/a/1/%20", "4"),
        ("/get/a/1/%C3%A4", "5"),
        ("/get/a/1/%25", "6"),
        ("/get/a/1/~01", "7"),
        ("/get/%61/%30?", "10"),
    ] {
        let answer = node.get(target);
        assert_eq!((answer.status, answer.text()), (200, text), "{target}");
        assert_eq!(answer.header("Content-Type"), Some(JSON));
    }
    for target in [
        "/get/b",
        "/get/a/2",
        "/get/a/-",
        "/get/a/00",
        "/get/a/-1",
        "/get/a/+1",
        "/get/a/x",
        "/get/a/1/b%2Fc",
        "/get/n/x",
        "/get//a",
        "/get/a/0/",
        "/get/A",
        "/get/a/1/a+b",
        "/get/a/99999999999999999999999",
    ] {
        let problem = check_problem(&node.get(target), 404);
        assert!(problem["path"].is_string(), "{target}: {problem}");
    }
    for target in ["/get/a/~", "/get/a/~2", "/get/%", "/get/%zz", "/get/%ff", "/get/a/%C3"] {
        check_problem(&node.get(target), 400);
    }
}

#[test]
fn an_etag_stands_for_the_document() {
    let (first, second) = pair();
    first.post_patch(r#"[{"op":"add","path":"/a","value":[1]}]"#);
    wait_until_equal(&[&first, &second]);
    let ask = |node: &Node, target: &str, known: &str| {
        let mut headers = node.headers();
        headers.push(("If-None-Match", known.to_owned()));
        Client::connect(node.address).request("GET", target, &headers, b"")
    };
    for target in ["/get", "/get/a", "/get/a/0"] {
        let answer = first.get(target);
        let etag = answer.header("ETag").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
        assert_eq!(second.get(target).header("ETag"), Some(etag.as_str()));
        for known in [etag.as_str(), "*", &format!("W/{etag}"), &format!("\"x\", {etag}")] {
            let unchanged = ask(&second, target, known);
            assert_eq!(unchanged.status, 304, "{target}, {known}");
            assert_eq!(unchanged.header("ETag"), Some(etag.as_str()));
        }
        assert_eq!(ask(&first, target, "\"x\"").text(), answer.text());
    }
    let before = first.get("/get").header("ETag").unwrap().to_owned();
    first.post_patch(r#"[{"op":"add","path":"/a/-","value":2}]"#);
    let changed = ask(&first, "/get", &before);
    assert_eq!((changed.status, changed.text()), (200, r#"{"a":[1,2]}"#));
    assert_ne!(changed.header("ETag"), Some(before.as_str()));
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let node = example();
    let before = state(&node);
    let reading = [
        "/",
        "/test",
        "/client.js",
        "/vclock",
        "/ws",
        "/log",
        "/history",
        "/transaction",
        "/conflicts",
        "/metrics",
        "/healthz",
    ];
    let document = ["/get", "/get/a"].map(|path| (path, "GET, HEAD, PATCH, OPTIONS"));
    let reading = reading.map(|path| (path, "GET, HEAD, OPTIONS"));
    let writing = ["/replace", "/post"].map(|path| (path, "POST, OPTIONS"));
    let peers = [("/peers", "GET, HEAD, POST, OPTIONS"), ("/peers/b:1", "DELETE, OPTIONS")];
    for (path, allowed) in document.into_iter().chain(reading).chain(writing).chain(peers) {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW", "get", "options"] {
            if !allowed.split(", ").any(|allowed| allowed == method) {
                let answer = node.request(method, path, "[]");
                check_problem(&answer, 405);
                assert_eq!(answer.header("Allow"), Some(allowed), "{method} {path}");
            }
        }
        let answer = node.request("OPTIONS", path, "");
        assert_eq!((answer.status, answer.header("Allow")), (204, Some(allowed)), "{path}");
        assert_eq!(answer.header("Content-Type"), None);
    }
    for path in ["/replace", "/post"] {
        let answer = node.request("HEAD", path, "");
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST, OPTIONS")));
    }
    let answer = node.request("OPTIONS", "*", "");
    let all = Some("GET, HEAD, PATCH, POST, DELETE, OPTIONS");
    assert_eq!((answer.status, answer.header("Allow")), (204, all));
    check_problem(&node.request("POST", "/nothing", "[]"), 404);
    check_problem(&node.request("OPTIONS", "/nothing", ""), 404);
    assert_eq!(state(&node), before);
}

#[test]
fn caches_are_told_what_to_keep() {
    let node = example();
    for (method, target, cache_control, vary) in [
        ("GET", "/get", "no-cache", Some("Accept, Accept-Encoding")),
        ("GET", "/get/a/0", "no-cache", Some("Accept, Accept-Encoding")),
        ("GET", "/get?at=0", "no-cache", Some("Accept, Accept-Encoding")),
        ("GET", "/get/nothing", "no-store", Some("Accept, Accept-Encoding")),
        ("GET", "/get?at=9", "no-store", Some("Accept, Accept-Encoding")),
        ("GET", "/get?wait=x", "no-store", Some("Accept, Accept-Encoding")),
        ("POST", "/get", "no-store", None),
        ("POST", "/replace", "no-store", None),
        ("GET", "/nothing", "no-store", Some("Accept-Encoding")),
        ("GET", "/ws", "no-store", None),
        ("GET", "/vclock", "no-store", Some("Accept-Encoding")),
        ("GET", "/log", "no-store", Some("Accept-Encoding")),
        ("GET", "/history", "no-store", Some("Accept-Encoding")),
        ("GET", "/transaction", "no-store", Some("Accept-Encoding")),
        ("GET", "/conflicts", "no-store", Some("Accept-Encoding")),
        ("GET", "/peers", "no-store", Some("Accept-Encoding")),
        ("GET", "/metrics", "no-store", Some("Accept-Encoding")),
        ("GET", "/healthz", "no-store", Some("Accept-Encoding")),
        ("GET", "/test", "no-cache", Some("Accept-Encoding")),
        ("GET", "/client.js", "no-cache", Some("Accept-Encoding")),
    ] {
        let answer = node.request(method, target, "");
        assert_eq!(answer.header("Cache-Control"), Some(cache_control), "{method} {target}");
        assert_eq!(answer.header("Vary"), vary, "{method} {target}");
    }
    for (name, value, status) in [
        ("If-None-Match", "*", 304),
        ("If-Match", "\"x\"", 412),
        ("Accept", "text/event-stream", 200),
    ] {
        let mut headers = node.headers();
        headers.push((name, value.to_owned()));
        let answer = Client::connect(node.address).request("HEAD", "/get", &headers, b"");
        assert_eq!(
            (answer.status, answer.header("Vary")),
            (status, Some("Accept, Accept-Encoding")),
            "{name}"
        );
        let cache_control = if status == 304 { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("Cache-Control"), Some(cache_control), "{name}");
    }
}

#[test]
fn a_body_that_is_coded_or_marked_is_told_so() {
    let node = example();
    let before = state(&node);
    let ask = |target: &str, method: &str, coding: &str, body: &[u8]| {
        let mut headers = node.headers();
        headers.push(("Content-Encoding", coding.to_owned()));
        Client::connect(node.address).request(method, target, &headers, body)
    };
    for (method, target) in [("POST", "/replace"), ("POST", "/post"), ("PATCH", "/get")] {
        for coding in ["gzip", "GZIP", "x", "identity, br", "gzip, identity"] {
            let answer = ask(target, method, coding, b"\x1f\x8b\x08");
            check_problem(&answer, 415);
            assert_eq!(answer.header("Accept-Encoding"), Some("identity"));
        }
        let problem = check_problem(&ask(target, method, "identity", "\u{feff}[]".as_bytes()), 400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("byte order mark"), "{detail}");
    }
    assert_eq!(state(&node), before);
    for coding in ["identity", "Identity", ""] {
        assert_eq!(ask("/replace", "POST", coding, b"[]").status, 200, "{coding}");
    }
}

#[test]
fn an_accepted_patch_is_answered_with_its_transaction() {
    let node = node().start();
    let mut headers = node.headers();
    headers.push(("Content-Type", String::new()));
    let types = ["application/json-patch+json", "application/json", "text/plain", "x/y; z=\"a\""];
    for (id, content_type) in (1..).zip(types) {
        headers.last_mut().unwrap().1 = content_type.to_owned();
        let patch = format!(" [ {{\"op\":\"add\",\"path\":\"/ä{id}\",\"value\":1.0}} ]\r\n");
        let mut client = Client::connect(node.address);
        let answer = client.request("POST", "/replace", &headers, patch.as_bytes());
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("Content-Type"), Some(JSON));
        let transaction = answer.json();
        assert_eq!(transaction["Source"], node.source.as_str());
        assert_eq!(transaction["Id"], id);
        // The body as it was.
        assert_eq!(transaction["Payload"], patch);
        assert!(transaction["Time"].as_u64() > Some(1_700_000_000_000_000), "{transaction}");
        assert_eq!(transaction.as_object().unwrap().len(), 4);
        // The journal has the same line.
        assert_eq!(node.journal().last().unwrap(), answer.text());
    }
}

#[test]
fn a_refused_patch_is_told_what_where_and_why() {
    let node = example();
    let before = state(&node);
    let add_x = r#"{"op":"add","path":"/x","value":1}"#;
    let refused = |patch: &str, status| {
        let problem = check_problem(&node.request("POST", "/replace", patch), status);
        assert!(!problem["reason"].as_str().unwrap().is_empty(), "{patch}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("nothing was changed"), "{problem}");
        assert_eq!(state(&node), before, "{patch}");
        problem
    };
    // What is no JSON Patch, or has an operation that is none.
    for (patch, operation) in [
        ("", json!(null)),
        ("no JSON", json!(null)),
        ("{}", json!(null)),
        ("null", json!(null)),
        (add_x, json!(null)),
        ("[1]", json!(0)),
        (&format!("[{add_x},[]]"), json!(1)),
        (&format!("[{add_x},{{}}]"), json!(1)),
        (r#"[{"op":"frob","path":"/a"}]"#, json!(0)),
        (r#"[{"path":"/a","value":1}]"#, json!(0)),
        (r#"[{"op":"add","path":"/a"}]"#, json!(0)),
        (r#"[{"op":"move","path":"/a"}]"#, json!(0)),
        (&format!(r#"[{add_x},{{"op":"add","path":"a","value":1}}]"#), json!(1)),
    ] {
        assert_eq!(refused(patch, 400)["operation"], operation, "{patch}");
    }
    // What does not apply: the first operation in vain, and its path.
    for (patch, operation, path) in [
        (format!(r#"[{add_x},{{"op":"remove","path":"/b"}}]"#).as_str(), 1, "/b"),
        (r#"[{"op":"replace","path":"/a/2","value":1}]"#, 0, "/a/2"),
        (r#"[{"op":"add","path":"/a/01","value":1}]"#, 0, "/a/01"),
        (r#"[{"op":"test","path":"/a/0","value":11}]"#, 0, "/a/0"),
        (r#"[{"op":"move","from":"/a","path":"/a/0"}]"#, 0, "/a/0"),
        (r#"[{"op":"copy","from":"/b","path":"/c"}]"#, 0, "/c"),
        (r#"[{"op":"remove","path":""}]"#, 0, ""),
        (r#"[{"op":"add","path":"/n/x","value":1}]"#, 0, "/n/x"),
    ] {
        let problem = refused(patch, 409);
        assert_eq!((&problem["operation"], &problem["path"]), (&json!(operation), &json!(path)));
    }
    // Bytes that are no text.
    let answer = node.request("POST", "/replace", b"[\xff]");
    check_problem(&answer, 400);
    // Values that nest too deep.
    for depth in [130, 1000, 100_000] {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let patch = format!(r#"[{{"op":"add","path":"/deep","value":{value}}}]"#);
        let answer = node.request("POST", "/replace", &patch);
        assert!([400, 409].contains(&answer.status), "{depth}: {}", answer.text());
    }
    assert_eq!(state(&node), before);
}

#[test]
fn a_body_has_at_most_a_mebibyte() {
    const MOST: usize = 1 << 20;
    let node = node().start();
    let patch = |bytes: usize| {
        let (begin, end) = (r#"[{"op":"add","path":"/a","value":""#, r#""}]"#);
        format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len()))
    };
    let before = state(&node);
    check_problem(&node.request("POST", "/replace", patch(MOST + 1)), 413);
    let host = node.address;
    let chunked = |text: &str| {
        let mut client = Client::connect(node.address);
        client.send(format!(
            "POST /post HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        for chunk in text.as_bytes().chunks(100_000) {
            client.send(format!("{:x}\r\n", chunk.len()));
            client.send(chunk);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        client.answer()
    };
    check_problem(&chunked(&patch(MOST + 1)), 413);
    assert_eq!(state(&node), before);
    assert_eq!(node.request("POST", "/replace", patch(MOST)).status, 200);
    assert_eq!(chunked(&patch(MOST)).status, 200);
    assert_eq!(node.length(), 2);
}

#[test]
fn the_log_is_read_by_pages() {
    let node = node().start();
    let posted: Vec<String> =
        (0..1500).map(|n| format!(r#"[{{"op":"add","path":"/a","value":{n}}}]"#)).collect();
    node.post_patches(posted.clone());
    let payloads = |target: &str| -> Vec<String> {
        let answer = node.get(target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.header("Content-Type"), Some("application/x-ndjson"));
        assert!(answer.body.is_empty() || answer.body.ends_with(b"\n"), "{target}");
        let line = |line| serde_json::from_str::<Value>(line).unwrap()["Payload"].clone();
        answer.text().lines().map(|text| line(text).as_str().unwrap().to_owned()).collect()
    };
    for (target, range) in [
        ("/log", 0..1000),
        ("/log?from=1000", 1000..1500),
        ("/log?limit=3", 0..3),
        ("/log?limit=2&from=7", 7..9),
        ("/log?from=1499&limit=5", 1499..1500),
        ("/log?limit=0", 0..0),
        ("/log?from=1500", 0..0),
        ("/log?from=18446744073709551615", 0..0),
        ("/log?limit=10000", 0..1500),
        ("/log?limit=999999999", 0..1500),
    ] {
        assert_eq!(payloads(target), posted[range], "{target}");
    }
    for query in
        ["from=-1", "from=x", "limit=", "from=1.5", "from=18446744073709551616", "limit=%zz"]
    {
        check_problem(&node.get(&format!("/log?{query}")), 400);
    }
    // A page is no larger than is good for the reader, and the pages together are everything.
    let long = "x".repeat(1_000_000);
    node.post_patches((0..20).map(|_| format!(r#"[{{"op":"add","path":"/a","value":"{long}"}}]"#)));
    let (mut from, mut pages) = (1500, 0);
    while from < 1520 {
        let answer = node.get(&format!("/log?from={from}&limit=10000"));
        assert!(answer.body.len() < 10 << 20, "{}", answer.body.len());
        let lines = answer.text().lines().count();
        assert!(lines > 0, "a page is never empty before the end");
        from += lines;
        pages += 1;
    }
    assert_eq!(from, 1520);
    assert!(pages > 1);
}

/// The samples of `/metrics`.
fn metrics(node: &Node) -> Vec<(String, f64)> {
    let answer = node.get("/metrics");
    let samples = answer.text().lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        (sample.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

#[test]
fn the_metrics_count() {
    let other = node().start();
    let node = node().peer(other.address).start();
    let value = |name: &str| {
        let metrics = metrics(&node);
        let mut found = metrics.iter().filter(|(sample, _)| sample == name);
        let value = found.next().unwrap_or_else(|| panic!("no {name} in {metrics:?}")).1;
        assert!(found.next().is_none(), "{name} twice in {metrics:?}");
        value
    };
    assert_eq!(value("patchmesh_transactions_accepted_total"), 0.0);
    node.post_patch("[]");
    other.post_patch("[]");
    node.request("POST", "/replace", "[1]");
    wait_for("the other one's transaction", || {
        (value("patchmesh_transactions_accepted_total") == 2.0).then_some(())
    });
    assert_eq!(value("patchmesh_transactions_refused_total"), 1.0);
    assert_eq!(value("patchmesh_journal_transactions"), 2.0);
    assert_eq!(value("patchmesh_sources"), 2.0);
    let readers = |kind| value(&format!("patchmesh_downstreams{{kind=\"{kind}\"}}"));
    assert_eq!(["node", "plain", "viewer"].map(readers), [0.0; 3]);
    assert_eq!(value("patchmesh_http_requests_total{class=\"4xx\"}"), 1.0);
    let (name, _) = other.source.rsplit_once('~').unwrap();
    let labels = format!("{{peer=\"{}\",node=\"{name}\"}}", other.address);
    assert_eq!(value(&format!("patchmesh_upstream_connected{labels}")), 1.0);
    assert_eq!(value(&format!("patchmesh_upstream_received_total{labels}")), 1.0);
    assert_eq!(value(&format!("patchmesh_upstream_behind_transactions{labels}")), 0.0);
    assert_eq!(value(&format!("patchmesh_upstream_lazy{labels}")), 0.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    for time in ["since", "heard"] {
        let time = value(&format!("patchmesh_upstream_{time}_timestamp_seconds{labels}"));
        assert!((now - 60.0..=now).contains(&time), "{time} {now}");
    }
    assert_eq!(value("patchmesh_was_read"), 0.0);
    let mut stream = Stream::open(&node, "/ws?v=2&node=reader~00000000");
    stream.next();
    assert_eq!(["node", "plain", "viewer"].map(readers), [1.0, 0.0, 0.0]);
    assert_eq!(value("patchmesh_downstreams_lazy"), 0.0);
    assert_eq!(value("patchmesh_downstream_behind_transactions{node=\"reader\"}"), 0.0);
    assert_eq!(value("patchmesh_was_read"), 1.0);
}

#[test]
fn peers_are_shown_both_ways() {
    let (first, second) = pair();
    first.wait_until_connected();
    second.wait_until_connected();
    first.post_patch("[]");
    wait_until_equal(&[&first, &second]);
    let shown = second.peers();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for key in ["downstreams", "length", "source", "upstreams"] {
        assert!(keys(&shown).contains(&key.to_owned()), "{shown}");
    }
    assert_eq!(shown["source"], second.source.as_str());
    assert_eq!(shown["length"], 1);
    let upstream = &shown["upstreams"][0];
    for key in ["address", "delay_ms", "error", "heard", "node", "received", "since", "state"] {
        assert!(keys(upstream).contains(&key.to_owned()), "{upstream}");
    }
    assert_eq!(upstream["address"], first.address.to_string());
    assert_eq!(upstream["state"], "connected");
    assert_eq!(upstream["received"], 1);
    assert_eq!(upstream["error"], Value::Null);
    assert_eq!(upstream["node"], first.source.as_str());
    assert!(upstream["since"].as_u64() > Some(1_700_000_000_000_000), "{upstream}");
    assert!(upstream["delay_ms"].as_u64() < Some(60_000), "{upstream}");
    let downstream = &first.peers()["downstreams"][0];
    let shown = ["address", "behind", "heard", "kind", "lazy", "node", "position", "since"];
    assert_eq!(keys(downstream), shown);
    assert!(downstream["heard"].as_u64() >= downstream["since"].as_u64(), "{downstream}");
    assert_eq!(downstream["node"], second.source.as_str());
    assert_eq!(downstream["position"], 1);
    assert_eq!(downstream["behind"], 0);
    // A reader that has gone is not shown any more.
    drop(second);
    wait_for("the end of the stream", || {
        first.peers()["downstreams"].as_array().unwrap().is_empty().then_some(())
    });
}

#[test]
fn what_is_no_clear_request_is_refused_and_changes_nothing() {
    let node = example();
    let before = state(&node);
    let host = node.address.to_string();
    let post = format!("POST /replace HTTP/1.1\r\nHost: {host}\r\n");
    let smuggled = format!("{post}Content-Length: 2\r\n\r\n[]");
    for (request, status) in [
        ("GET\r\n\r\n".to_owned(), 400),
        ("GET /get\r\n\r\n".into(), 400),
        ("GET /get HTTP/1.1\r\n\r\n".into(), 400),
        (format!("GET /get HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"), 400),
        (format!("GET /get HTTP/1.1\nHost: {host}\n\n"), 400),
        (format!("GET /get HTTP/1.1\r\nHost : {host}\r\n\r\n"), 400),
        (format!("GET /get HTTP/1.1\r\nHost: {host}\r\nX: a\r\n b\r\n\r\n"), 400),
        (format!("GET /get HTTP/1.1\r\nHost: {host}\r\nX: a\rb\r\n\r\n"), 400),
        (format!("GET /get HTTP/2.0\r\nHost: {host}\r\n\r\n"), 505),
        (format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a".repeat(9000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n", "a".repeat(17_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", "X: y\r\n".repeat(101)), 431),
        (format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"), 400),
        (format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]"), 400),
        (format!("{post}Content-Length: +2\r\n\r\n[]"), 400),
        (format!("{post}Content-Length: 2, 2x\r\n\r\n[]"), 400),
        (format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\nx\r\n[]\r\n0\r\n\r\n"), 400),
        (format!("{post}Content-Length: 2\r\nExpect: tea\r\n\r\n"), 417),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".into(), 400),
    ] {
        let mut client = Client::connect(node.address);
        client.send(&request);
        let answer = client.answer();
        check_problem(&answer, status);
        assert_eq!(answer.header("Connection"), Some("close"), "{request:?}");
        // Nothing after it is taken for a request.
        assert!(client.is_cut(), "{request:?}");
        assert_eq!(state(&node), before, "{request:?}");
    }
    // Half of a request is none.
    let mut half = Client::connect(node.address);
    half.send(format!("{post}Content-Length: 300\r\n\r\n[]"));
    drop(half);
    assert_eq!(state(&node), before);
}

#[test]
fn one_connection_takes_request_after_request() {
    let node = node().start();
    let host = node.address.to_string();
    let mut client = Client::connect(node.address);
    // All at once; answered in order, each with what the ones before it did.
    let post = |body: &str| {
        let length = body.len();
        format!("POST /post HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let get = format!("GET /get HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let head = format!("HEAD /get HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let add = |n| post(&format!(r#"[{{"op":"add","path":"/{n}","value":{n}}}]"#));
    client.send([add(1), get.clone(), head, post("x"), add(2), get.clone()].concat());
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().text(), r#"{"1":1}"#);
    assert_eq!(client.head().header("Content-Length"), Some("8"));
    assert_eq!(client.answer().status, 400);
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().text(), r#"{"1":1,"2":2}"#);
    // A body that waits to be asked for.
    client.send(format!(
        "POST /post HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(client.head().status, 100);
    client.send("[]");
    assert_eq!(client.answer().status, 200);
    // An end that was asked for.
    client.send(format!("GET /get HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n{get}"));
    assert_eq!(client.answer().header("Connection"), Some("close"));
    assert!(client.is_cut());
    // HTTP/1.0 closes unless asked not to.
    let mut old = Client::connect(node.address);
    old.send("GET /get HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /get HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().header("Connection"), Some("keep-alive"));
    assert_eq!(old.answer().text(), r#"{"1":1,"2":2}"#);
    assert!(old.is_cut());
}

#[test]
fn a_websocket_is_agreed_to_as_rfc_6455_says() {
    let node = example();
    let host = node.address.to_string();
    let head = format!(
        "Host: {host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let ask = |target: &str, head: &str| {
        let mut client = Client::connect(node.address);
        client.send(format!("GET {target} HTTP/1.1\r\n{head}\r\n"));
        (client.answer(), client)
    };
    let extensions = format!("{head}Sec-WebSocket-Extensions: permessage-deflate\r\n");
    for head in [&head, &extensions] {
        let (answer, _) = ask("/ws", head);
        assert_eq!(answer.status, 101);
        assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(answer.header("Upgrade"), Some("websocket"));
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
    }
    for (target, head, status) in [
        ("/ws", head.replace("Version: 13", "Version: 8"), 426),
        ("/ws", head.replace("Upgrade: WebSocket\r\n", ""), 426),
        ("/ws", head.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 400),
        ("/ws?since=x", head.clone(), 400),
        ("/ws?since=%5B%5D", head.clone(), 400),
        ("/ws?since=%7B%22a%22%3A-1%7D", head.clone(), 400),
    ] {
        check_problem(&ask(target, &head).0, status);
    }
}
