//! Peers that are refused, and what both sides say about it.

use crate::certificates::{Authority, Own, checked_by, expired, for_servers, parameters};
use crate::client::Client;
use crate::harness::{Client as Plain, node, wait_for};

/// A node whose one peer is a node that shows `shown`. The first one trusts `authority`, and has itself
/// a certificate of it. Returns what it says of the peer, and what the peer's log says of the refused side.
fn dialed(authority: &Authority, shown: &Own, host: &str) -> (String, String) {
    let peer = shown.shown_by(node()).start();
    let own = authority.sign_loopback();
    let address = format!("wss://{host}:{}", peer.address.port());
    let dialer = checked_by(own.shown_by(node()), &authority.certificate).peer(&address).start();
    let trouble = Client::new(authority, Some(&own)).trouble(&dialer);
    let told = dialer.wait_for_log(&format!("peer {address}: "));
    assert!(told.contains("WARN") && told.contains(&trouble), "{told} and {trouble}");
    (trouble, peer.wait_for_log(" is refused: "))
}

#[test]
fn a_peer_under_a_name_that_its_certificate_does_not_have() {
    let authority = Authority::new("mesh");
    let shown = authority.sign("elsewhere", &parameters(&["b.example", "127.0.0.1"]));
    let (trouble, told) = dialed(&authority, &shown, "localhost");
    assert!(trouble.contains("its certificate is not for localhost, but for "), "{trouble}");
    assert!(trouble.contains("b.example") && trouble.contains("subjectAltName"), "{trouble}");
    assert!(
        told.contains("the certificate of this side is refused: it does not have the name"),
        "{told}"
    );
}

#[test]
fn a_peer_whose_certificate_is_of_another_ca() {
    let (authority, other) = (Authority::new("mesh"), Authority::new("other"));
    let (trouble, told) = dialed(&authority, &other.sign_loopback(), "127.0.0.1");
    assert!(trouble.contains("not signed by a CA that this side trusts"), "{trouble}");
    assert!(told.contains("signed by no CA that the other side trusts"), "{told}");
}

#[test]
fn a_peer_whose_certificate_has_expired() {
    let authority = Authority::new("mesh");
    let shown = authority.sign("old", &expired(&["127.0.0.1"]));
    let (trouble, told) = dialed(&authority, &shown, "127.0.0.1");
    assert!(trouble.contains("expired at Tue, 01 Jan 2002 00:00:00 GMT"), "{trouble}");
    assert!(told.contains("it has expired"), "{told}");
}

#[test]
fn a_peer_that_shows_the_ca_itself() {
    let authority = Authority::new("mesh");
    let key = authority.certificate.with_extension("key");
    let shown = Own { certificate: authority.certificate.clone(), key };
    let (trouble, _) = dialed(&authority, &shown, "127.0.0.1");
    assert!(trouble.contains("its certificate is a CA's own"), "{trouble}");
}

#[test]
fn who_shows_no_certificate_or_a_wrong_one_where_one_is_asked_for() {
    let (authority, other) = (Authority::new("mesh"), Authority::new("other"));
    let own = authority.sign_loopback();
    for (shown, at_dialer, at_peer) in [
        (None, "it asks for a certificate: give this side --tls-cert", "it shows no certificate"),
        (
            Some(other.sign_loopback()),
            "is refused: it is signed by no CA that the other side trusts",
            "not signed by a CA in --tls-ca of this node",
        ),
        (
            Some(authority.sign("old", &expired(&["127.0.0.1"]))),
            "is refused: it has expired",
            "its certificate expired at ",
        ),
        (
            Some(authority.sign("server", &for_servers(&["127.0.0.1"]))),
            "is refused: its extendedKeyUsage",
            "its extendedKeyUsage lacks clientAuth",
        ),
    ] {
        let peer = checked_by(own.shown_by(node()), &authority.certificate).start();
        let dialer = checked_by(node(), &authority.certificate);
        let dialer = shown.iter().fold(dialer, |setup, own| own.shown_by(setup));
        let dialer = dialer.peer(format!("wss://{}", peer.address)).start();
        let told = dialer.wait_for_log(at_dialer);
        assert!(told.contains("WARN"), "{told}");
        let told = peer.wait_for_log(at_peer);
        assert!(told.contains("WARN"), "{told}");
    }
}

#[test]
fn a_plain_client_of_a_node_that_speaks_tls() {
    let authority = Authority::new("mesh");
    let peer = authority.sign_loopback().shown_by(node()).start();
    for head in ["GET /get HTTP/1.1\r\nHost: a\r\n\r\n", "POST /replace HTTP/1.0\r\n\r\n", "\r\n"] {
        let mut client = Plain::connect(peer.address);
        client.send(head);
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{head}");
        assert!(
            answer.text().contains("this node speaks TLS only: use https://"),
            "{}",
            answer.text()
        );
        assert!(client.is_cut());
    }
    let dialer = node().peer(peer.address).start();
    let trouble = wait_for("a trouble", || dialer.upstream()["error"].as_str().map(str::to_owned));
    assert!(trouble.contains("this node speaks TLS only"), "{trouble}");
    assert!(trouble.contains("wss:// for peers"), "{trouble}");
    peer.wait_for_log("it speaks no TLS, and this node speaks nothing else");
}

#[test]
fn a_tls_client_of_a_node_that_speaks_none() {
    let authority = Authority::new("mesh");
    let peer = node().start();
    let dialer = checked_by(node(), &authority.certificate).peer(format!("wss://{}", peer.address));
    let dialer = dialer.start();
    let trouble = wait_for("a trouble", || dialer.upstream()["error"].as_str().map(str::to_owned));
    assert!(trouble.contains("it speaks no TLS: name it by ws://"), "{trouble}");
    let told = peer.wait_for_log("it speaks TLS, and this node does not");
    assert!(told.contains("WARN"), "{told}");
    assert_eq!(peer.get("/healthz/live").status, 200);
}

#[test]
fn a_node_with_a_certificate_says_which_peers_it_dials_without() {
    let authority = Authority::new("mesh");
    let own = authority.sign_loopback();
    let node = own.shown_by(node()).peer("127.0.0.1:1").peer("wss://127.0.0.1:2").start();
    let told = node.wait_for_log("is not kept from others");
    assert!(told.contains("what goes to and from 127.0.0.1:1 is"), "{told}");
}

#[test]
fn who_is_refused_gets_to_read_why_whatever_it_sends() {
    let authority = Authority::new("mesh");
    let node = checked_by(authority.sign_loopback().shown_by(node()), &authority.certificate);
    let node = node.start();
    let client = Client::new(&authority, None);
    for _ in 0..10 {
        // What is sent before it is read must not turn the answer into a reset.
        let body = vec![b'x'; 100_000];
        let error = client.ask(node.address, "POST /replace", &body).unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    }
}
