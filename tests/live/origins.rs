//! Pages of other origins: those that are allowed use the whole interface, and all others as little as ever.

use crate::node::{Answer, Node, add};

const APP: &str = "https://app.example";

fn of(origin: &str) -> String {
    format!("Origin: {origin}\r\n")
}

fn preflight(node: &Node, target: &str, origin: &str, method: &str) -> Answer {
    let headers = format!("{}Access-Control-Request-Method: {method}\r\n", of(origin));
    node.ask("OPTIONS", target, &headers, "")
}

#[test]
fn pages_of_an_allowed_origin_read_and_write() {
    let node = Node::start(&["--allow-origin", APP, "--allow-origin", "http://b.example"]);
    for (target, method) in
        [("/get/a", "PATCH"), ("/replace", "POST"), ("/peers/b:1", "DELETE"), ("/nothing", "PUT")]
    {
        let answer = preflight(&node, target, APP, method);
        assert_eq!(answer.status, 204, "{target}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(APP), "{target}");
        if method != "PUT" {
            let methods = answer.header("Access-Control-Allow-Methods").unwrap();
            assert!(methods.split(", ").any(|allowed| allowed == method), "{target}: {methods}");
        }
    }
    let patch = add("/a", 1).to_string();
    for (method, target, headers, body, status) in [
        ("POST", "/replace", "", &*patch, 200),
        ("POST", "/replace", "", "{}", 400),
        ("PATCH", "/get/b", "", &patch, 409),
        ("GET", "/get/a", "", "", 200),
        ("GET", "/get/a", "If-None-Match: *\r\n", "", 304),
        ("GET", "/get/a", "If-Match: \"x\"\r\n", "", 412),
        ("GET", "/get/b", "", "", 404),
        ("GET", "/get?until=1", "", "", 400),
        ("PUT", "/get", "", "", 405),
        ("POST", "/replace", "", &*" ".repeat(2 << 20), 413),
        ("GET", "/nothing", "", "", 404),
        ("GET", "/ws", "", "", 426),
        ("POST", "/replace?wait=committed", "", &patch, 409),
    ] {
        let answer = node.ask(method, target, &(of(APP) + headers), body);
        let what = format!("{method} {target}: {}", answer.head);
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(APP), "{what}");
        let exposed = answer.header("Access-Control-Expose-Headers").unwrap();
        for name in ["ETag", "Patchmesh-Length", "Patchmesh-Clock", "Retry-After"] {
            assert!(exposed.split(", ").any(|found| found == name), "{what}");
        }
        assert!(answer.head.contains("\r\nVary: Origin"), "{what}");
    }
    assert_eq!(node.get("/get").header("Access-Control-Allow-Origin"), None);
    let head = node.get("/get").head;
    assert!(head.contains("\r\nVary: Origin") && head.contains("\r\nVary: Accept, "), "{head}");
}

#[test]
fn pages_of_other_origins_are_refused_as_ever() {
    let (some, none) = (Node::start(&["--allow-origin", APP]), Node::start(&[]));
    for node in [&some, &none] {
        let answer = preflight(node, "/replace", "https://evil.example", "POST");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
        let patch = add("/a", 1).to_string();
        let answer = node.ask("POST", "/replace", &of("https://evil.example"), &patch);
        assert_eq!(answer.status, 403);
        assert_eq!(node.get("/get").body, "{}");
        let answer = node.ask("GET", "/get", &of("https://evil.example"), "");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "its browser hides it");
    }
    for (node, origin, status) in [
        (&some, "https://evil.example", 403),
        (&some, APP, 426),
        (&none, "https://evil.example", 426),
    ] {
        assert_eq!(node.ask("GET", "/ws", &of(origin), "").status, status, "{origin}");
    }
}

#[test]
fn a_page_sends_its_token_by_itself() {
    let node = Node::start(&["--allow-origin", "*", "--token", "s3cret"]);
    let answer = preflight(&node, "/get", APP, "GET");
    assert_eq!(answer.status, 204, "a preflight has no token");
    let allowed = answer.header("Access-Control-Allow-Headers").unwrap();
    assert!(allowed.contains("Authorization"), "{allowed}");
    let answer = node.ask("GET", "/get", &of(APP), "");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"), "so it can tell");
    let authorized = of(APP) + "Authorization: Bearer s3cret\r\n";
    assert_eq!(node.ask("GET", "/get", &authorized, "").status, 200);
    let events = of(APP) + "Accept: text/event-stream\r\n";
    assert_eq!(node.ask("GET", "/get", &events, "").status, 401);
    let head = node.ask("HEAD", "/get?token=s3cret", &events, "").head;
    assert!(head.contains("text/event-stream") && head.contains("Allow-Origin: *\r\n"), "{head}");
}

#[test]
fn a_query_that_is_not_understood_is_refused() {
    let node = Node::start(&[]);
    for target in [
        "/get?at=committed&at=3",
        "/get?At=3",
        "/get/a?watch=1",
        "/vclock?a",
        "/log?from=1&to=2",
        "/history?offset=1",
        "/peers?a=b",
        "/transaction?source=a&id=1&name=b",
        "/conflicts?limit=1&limit=2",
    ] {
        let answer = node.get(target);
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.body.contains("the query parameter") || answer.body.contains("no query"));
    }
    let patch = add("/a", 1).to_string();
    assert_eq!(node.ask("POST", "/replace?wiat=committed", "", &patch).status, 400);
    assert_eq!(node.get("/get").body, "{}", "nothing was changed");
    for target in ["/test?a=1", "/healthz?a=1", "/metrics?a=1", "/log?from=0&limit=1&"] {
        assert_eq!(node.get(target).status, 200, "{target}");
    }
}
