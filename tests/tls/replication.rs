//! What works by TLS as it does without.

use std::io::{Read, Write};

use crate::certificates::{Authority, checked_by};
use crate::client::Client;
use crate::harness::{Node, Port, binary, node, run, wait_for};

/// Two nodes that show each other certificates, and a client with one.
fn pair(authority: &Authority) -> (Node, Node, Client) {
    let own = authority.sign_loopback();
    let port = Port::reserve();
    let start = |at: &str, peer: &str| {
        let setup = checked_by(own.shown_by(node().at(at)), &authority.certificate);
        setup.peer(format!("wss://{peer}")).start()
    };
    let first = start("127.0.0.1:0", &port.to_string());
    let second = start(&port.to_string(), &first.address.to_string());
    (first, second, Client::new(authority, Some(&own)))
}

#[test]
fn peers_replicate() {
    let authority = Authority::new("mesh");
    let (first, second, client) = pair(&authority);
    assert!(first.start_line.contains(&format!("debug page https://{}/test", first.address)));
    assert!(first.start_line.contains(&format!("peers: wss://{}", second.address)));
    // More than sockets and records hold.
    let large = "x".repeat(1_000_000);
    for name in ["c", "d", "e"] {
        let patch = format!(r#"[{{"op":"add","path":"/{name}","value":"{large}"}}]"#);
        client.body(&first, "POST /replace", patch.as_bytes());
    }
    client.body(&second, "POST /replace", br#"[{"op":"add","path":"/b","value":2}]"#);
    let expected = format!("{{\"b\":2,\"c\":\"{large}\",\"d\":\"{large}\",\"e\":\"{large}\"}}\n");
    for node in [&first, &second] {
        wait_for("the same document", || {
            (client.body(node, "GET /get", b"") == expected).then_some(())
        });
    }
    let peers = client.body(&first, "GET /peers", b"");
    assert!(peers.contains(&format!("\"address\":\"wss://{}\"", second.address)), "{peers}");
}

#[test]
fn a_reader_of_events_is_told_of_each_change() {
    let authority = Authority::new("mesh");
    let own = authority.sign_loopback();
    let node = own.shown_by(node()).start();
    let client = Client::new(&authority, None);
    let mut events = client.connect(node.address);
    write!(
        events,
        "GET /get HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
        node.address
    )
    .unwrap();
    let mut text = String::new();
    let mut read_until = |part: &str| {
        while !text.contains(part) {
            let mut buffer = [0; 4096];
            let count = events.read(&mut buffer).unwrap();
            assert!(count > 0, "{text}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    };
    read_until("data: {}\n");
    client.body(&node, "POST /replace", br#"[{"op":"add","path":"/a","value":1}]"#);
    read_until(r#"data: [{"op":"add","path":"/a","value":1}]"#);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let authority = Authority::new("mesh");
    let node = authority.sign_loopback().shown_by(node()).start();
    let mut connection = Client::new(&authority, None).connect(node.address);
    let request = format!("GET /vclock HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    connection.write_all(request.repeat(500).as_bytes()).unwrap();
    let last = format!("GET /get HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.address);
    connection.write_all(last.as_bytes()).unwrap();
    let mut answers = String::new();
    connection.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 501);
    assert!(answers.ends_with("\r\n\r\n{}\n"), "{answers}");
}

#[test]
fn commands_talk_to_such_nodes() {
    let authority = Authority::new("mesh");
    let (first, second, client) = pair(&authority);
    client.body(&first, "POST /replace", br#"[{"op":"add","path":"/a","value":1}]"#);
    let own = authority.sign("command", &crate::certificates::parameters(&["command"]));
    let ca = authority.certificate.display().to_string();
    let command = |arguments: &[&str]| {
        run(binary().args(arguments).args(own.arguments()).arg("--tls-ca").arg(&ca))
    };
    let node = format!("https://{}", first.address);
    let listed = command(&["peers", "list", &node]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.starts_with(&format!("wss://{}: ", second.address)), "{text}{listed:?}");
    let added = command(&["peers", "add", &node, "wss://127.0.0.1:1"]);
    assert!(added.status.success(), "{added:?}");
    let removed = command(&["peers", "remove", &node, "wss://127.0.0.1:1"]);
    assert!(removed.status.success(), "{removed:?}");
    let file = authority.path("backup");
    for node in [node, format!("wss://{}/ws", second.address)] {
        let backup = wait_for("all in a backup", || {
            std::fs::remove_file(&file).ok();
            let done = command(&["backup", &node, file.to_str().unwrap()]);
            let text = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(done.status.success(), "{done:?}");
            (text == format!("transactions in {}: 1\n", file.display())).then_some(text)
        });
        assert!(backup.contains("backup"));
    }
    // Several requests on one connection, and a large answer.
    let long = "x".repeat(50_000);
    let node = format!("https://{}", first.address);
    for arguments in
        [&["set", &node, "/a/0", "2"][..], &["set", &node, "/long", &format!("{long:?}")]]
    {
        let done = command(arguments);
        assert_eq!(done.status.success(), arguments[2] == "/long", "{done:?}");
    }
    let got = command(&["get", &node, "/long", "--raw"]);
    assert_eq!(got.stdout, format!("{long}\n").into_bytes(), "{got:?}");
    let stranger = run(binary().args(["peers", "list", &format!("https://{}", first.address)]));
    let why = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(!stranger.status.success() && why.contains("--tls-ca"), "{why}");
}

#[test]
fn without_a_ca_of_its_own_a_node_trusts_those_of_the_system() {
    let authority = Authority::new("mesh");
    let peer = authority.sign_loopback().shown_by(node()).start();
    let client = Client::new(&authority, None);
    client.body(&peer, "POST /replace", br#"[{"op":"add","path":"/a","value":1}]"#);
    let nowhere = authority.path("nowhere");
    std::fs::create_dir(&nowhere).unwrap();
    let dialer = |trusted: &std::path::Path| {
        let [file, directory] = [trusted, &nowhere].map(|path| path.display().to_string().leak());
        let dialer = node().environment("SSL_CERT_FILE", file);
        let dialer = dialer.environment("SSL_CERT_DIR", directory);
        dialer.peer(format!("wss://{}", peer.address)).start()
    };
    let trusting = dialer(&authority.certificate);
    wait_for("the peer's document", || (trusting.document() == r#"{"a":1}"#).then_some(()));
    let other = Authority::new("other");
    let told = dialer(&other.certificate).wait_for_log("trying again");
    assert!(told.contains("not signed by a CA that this side trusts"), "{told}");
    let none = authority.path("none");
    std::fs::write(&none, "").unwrap();
    let told = dialer(&none).wait_for_log("trying again");
    assert!(told.contains("this system trusts no CA"), "{told}");
}
