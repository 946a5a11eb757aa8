//! Which clients may come in.

use crate::harness::{
    Client, Node, Port, Setup, Stream, node, percent_encoded, wait_for, wait_until_equal,
};

/// The status of a request with just these headers beside the lengths.
#[track_caller]
fn status(node: &Node, method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let body: &[u8] = if method == "POST" { b"[]" } else { b"" };
    Client::connect(node.address).request(method, target, &headers, body).status
}

/// Whether `/ws` opens.
fn opens(node: &Node, target: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    match Stream::try_open(node, target, &headers).map_err(|error| *error) {
        Ok(_) => Ok(()),
        Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_path_but_three_wants_the_token() {
    let node = node().token("s3cret/+").start();
    let host = node.address.to_string();
    let guarded = ["/get", "/get/a", "/vclock", "/log", "/peers", "/metrics", "/ws", "/nothing"];
    let requests = guarded.map(|path| ("GET", path)).into_iter().chain([
        ("POST", "/replace"),
        ("POST", "/post"),
        ("HEAD", "/get"),
        ("PUT", "/get"),
    ]);
    for (method, target) in requests {
        let status = |headers: &[(&str, &str)]| status(&node, method, target, headers);
        assert_eq!(status(&[("Host", &host)]), 401, "{method} {target}");
        for wrong in ["Bearer s3cret", "Bearer s3cret/+x", "Bearer", "Basic s3cret/+", "s3cret/+"] {
            let headers = [("Host", host.as_str()), ("Authorization", wrong)];
            assert_eq!(status(&headers), 401, "{method} {target} with {wrong}");
        }
        let right = status(&[("Host", &host), ("Authorization", "Bearer s3cret/+")]);
        assert_ne!(right, 401, "{method} {target}");
    }
    for (method, target) in [
        ("GET", "/test"),
        ("GET", "/client.js"),
        ("GET", "/"),
        ("GET", "/healthz"),
        ("HEAD", "/test"),
    ] {
        assert!(status(&node, method, target, &[("Host", &host)]) < 400, "{method} {target}");
    }
    // A token in a query is for browsers' WebSockets only.
    let in_query = format!("token={}", percent_encoded("s3cret/+"));
    assert_eq!(status(&node, "GET", &format!("/get?{in_query}"), &[("Host", &host)]), 401);
    assert_eq!(opens(&node, &format!("/ws?{in_query}"), &[]), Ok(()));
    assert_eq!(opens(&node, &format!("/ws?since=%7B%7D&{in_query}"), &[]), Ok(()));
    assert_eq!(opens(&node, "/ws", &[("Authorization", "Bearer s3cret/+")]), Ok(()));
    assert_eq!(opens(&node, "/ws?token=s3cret", &[]), Err(401));
    assert_eq!(opens(&node, "/ws", &[]), Err(401));
    assert_eq!(node.document(), "{}");
}

#[test]
fn an_answer_of_401_says_what_is_wanted() {
    let node = node().token("s3cret").start();
    let headers = [("Host", node.address.to_string())];
    let answer = Client::connect(node.address).request("GET", "/get", &headers, b"");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    assert!(!answer.text().contains("s3cret"));
}

#[test]
fn the_environment_gives_the_token_too() {
    let from_environment = node().environment("PATCHMESH_TOKEN", "t").start();
    let status = |node: &Node, token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("Host", "localhost"), ("Authorization", authorization.as_str())];
        status(node, "GET", "/get", &headers)
    };
    assert_eq!(status(&from_environment, "t"), 200);
    assert_eq!(status(&from_environment, "u"), 401);
    // An argument is stronger.
    let from_argument = node().environment("PATCHMESH_TOKEN", "t").token("u").start();
    assert_eq!(status(&from_argument, "t"), 401);
    assert_eq!(status(&from_argument, "u"), 200);
}

#[test]
fn nodes_with_the_same_token_replicate() {
    let port = Port::reserve();
    let first = node().token("s3cret/+&=").peer(&port).start();
    let second = node().at(&port).token("s3cret/+&=").peer(first.address).start();
    first.post_patch(r#"[{"op":"add","path":"/first","value":1}]"#);
    second.post_patch(r#"[{"op":"add","path":"/second","value":2}]"#);
    wait_until_equal(&[&first, &second]);
    assert_eq!(first.document(), r#"{"first":1,"second":2}"#);
}

#[test]
fn a_wrong_token_is_told_once_and_all_is_well_when_it_is_right() {
    let port = Port::reserve();
    let picky = node().at(&port).token("right").start();
    picky.post_patch(r#"[{"op":"add","path":"/a","value":1}]"#);
    let none = node().peer(&port).start();
    let wrong = node().token("wrong").peer(&port).start();
    for node in [&none, &wrong] {
        let line = node.wait_for_log("wrong token");
        assert!(line.contains(&format!("peer {port}: ")), "{line}");
        assert!(!line.contains("right"), "{line}");
    }
    let refused = "patchmesh_http_requests_total{class=\"4xx\"} ";
    wait_for("a few tries of both", || {
        let metrics = picky.get("/metrics");
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(refused)).unwrap();
        (line.parse::<u64>().unwrap() >= 10).then_some(())
    });
    for node in [&none, &wrong] {
        assert_eq!(node.log_lines("wrong token").len(), 1);
        assert_eq!(node.document(), "{}");
        assert!(node.upstream()["error"].as_str().unwrap().contains("wrong token"));
    }
    picky.kill();
    let friend = crate::harness::node().at(&port).token("wrong").start();
    friend.post_patch(r#"[{"op":"add","path":"/b","value":2}]"#);
    wrong.wait_for_log("connected");
    wait_until_equal(&[&wrong, &friend]);
    assert_eq!(wrong.upstream()["error"], serde_json::Value::Null);
    // Nothing of it was told twice.
    assert_eq!(wrong.log_lines("wrong token").len(), 1);
}

#[test]
fn the_token_is_in_no_log() {
    let port = Port::reserve();
    let setup = |node: Setup| node.token("s3cret").environment("RUST_LOG", "trace");
    let first = setup(node()).peer(&port).start();
    let second = setup(node()).at(&port).peer(first.address).start();
    second.post_patch("[]");
    wait_until_equal(&[&first, &second]);
    drop(Stream::open(&first, "/ws?token=s3cret"));
    for node in [&first, &second] {
        node.wait_for_log("connected");
        assert!(!node.start_line.contains("s3cret"));
        assert_eq!(node.log_lines("s3cret"), Vec::<String>::new());
    }
}

#[test]
fn a_web_page_elsewhere_must_not_write() {
    let node = node().start();
    let own = node.address.to_string();
    let localhost = format!("localhost:{}", node.address.port());
    for (host, origin, expected) in [
        (&own, format!("http://{own}"), 200),
        (&localhost, format!("http://{localhost}"), 200),
        (&localhost, format!("http://{own}"), 403),
        (&own, "http://evil.example".to_owned(), 403),
        (&own, format!("http://{own}.evil.example"), 403),
        (&own, format!("http://127.0.0.1:{}", node.address.port() ^ 1), 403),
        (&own, "null".to_owned(), 403),
    ] {
        for target in ["/replace", "/post"] {
            let headers = [("Host", host.as_str()), ("Origin", origin.as_str())];
            assert_eq!(status(&node, "POST", target, &headers), expected, "{origin} to {host}");
        }
        // Any page may read, and open the stream.
        let headers = [("Host", host.as_str()), ("Origin", origin.as_str())];
        assert_eq!(status(&node, "GET", "/get", &headers), 200);
        assert_eq!(opens(&node, "/ws", &[("Origin", &origin)]), Ok(()));
    }
    assert_eq!(node.length(), 4);
}

#[test]
fn a_node_beyond_loopback_is_not_written_to_by_dns_rebinding() {
    let node = node().at("0.0.0.0:0").start();
    let port = node.address.port();
    for (name, expected) in [
        ("evil.example", 403),
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("192.0.2.7", 200),
        ("[2001:db8::7]", 200),
    ] {
        let (host, origin) = (format!("{name}:{port}"), format!("http://{name}:{port}"));
        let headers = [("Host", host.as_str()), ("Origin", origin.as_str())];
        assert_eq!(status(&node, "POST", "/replace", &headers), expected, "{name}");
        let opened = opens(&node, "/ws", &headers);
        assert_eq!(opened, if expected == 200 { Ok(()) } else { Err(expected) }, "{name}");
        // A client that is no page says no origin.
        assert_eq!(status(&node, "POST", "/replace", &[("Host", &host)]), 200, "{name}");
    }
}

#[test]
fn a_loopback_node_answers_to_the_name_it_was_started_with() {
    let node = node().at("localhost:0").start();
    assert!(node.start_line.contains("debug page http://localhost:"), "{}", node.start_line);
    for (host, expected) in [("LOCALHOST.:1", 200), ("localhost.evil.example", 403)] {
        assert_eq!(status(&node, "GET", "/get", &[("Host", host)]), expected, "{host}");
    }
}

#[test]
fn a_loopback_node_without_a_token_answers_only_to_loopback_names() {
    let open = node().start();
    let with_token = node().token("t").start();
    let beyond = node().at("0.0.0.0:0").start();
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.0.2.1", 403),
    ] {
        assert_eq!(status(&open, "GET", "/get", &[("Host", host)]), expected, "{host}");
        assert_eq!(status(&open, "GET", "/test", &[("Host", host)]), expected, "{host}");
        assert_eq!(status(&open, "POST", "/replace", &[("Host", host)]), expected, "{host}");
        let opened = opens(&open, "/ws", &[("Host", host)]);
        assert_eq!(opened, if expected == 200 { Ok(()) } else { Err(expected) }, "{host}");
        let headers = [("Host", host), ("Authorization", "Bearer t")];
        assert_eq!(status(&with_token, "GET", "/get", &headers), 200, "{host}");
        assert_eq!(status(&beyond, "GET", "/get", &[("Host", host)]), 200, "{host}");
    }
    assert_eq!(open.length(), 4);
}
