use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;
use crate::config::TlsFiles;

/// A server that takes one connection after the other: it reads up to the end of a request's head, and writes
/// one of these answers. The thread returns the requests.
fn server(connections: Vec<Vec<&'static str>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answers in connections {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in answers {
                requests.push(head(&mut stream));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
        requests
    });
    (address, thread)
}

fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn node(address: SocketAddr, token: Option<&str>) -> RemoteNode {
    let (address, token) = (address.to_string(), token.map(str::to_owned));
    let tls = TlsFiles::default();
    RemoteNode::new(Remote { address, is_tls: false, token, token_file: None, tls }).unwrap()
}

fn ask(node: &mut RemoteNode, target: &str) -> Result<NodeAnswer, NodeFault> {
    smol::block_on(node.request(&NodeRequest::get(target), ANSWER_LIMIT))
}

#[test]
fn a_connection_is_kept_while_it_can_be() {
    let (address, thread) = server(vec![
        vec![
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n",
            "HTTP/1.1 204 OK\r\n\r\n",
        ],
        vec!["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n4"],
        vec!["HTTP/1.0 200 OK\r\n\r\nfive"],
    ]);
    let mut node = node(address, Some("secret"));
    for (target, status, body) in [
        ("/1", 200, "one"),
        ("/2", 404, "two"),
        ("/3", 204, ""),
        ("/4", 200, "4"),
        ("/5", 200, "five"),
    ] {
        if target == "/4" {
            // The end of the first connection has come by now.
            let tcp = node.connection.as_ref().unwrap().stream.tcp();
            tcp.set_nonblocking(false).unwrap();
            assert_eq!(tcp.peek(&mut [0]).unwrap(), 0);
            tcp.set_nonblocking(true).unwrap();
        }
        let answer = ask(&mut node, target).unwrap();
        assert_eq!((answer.head.status, &*answer.body), (status, body.as_bytes()), "{target}");
    }
    let requests = thread.join().unwrap();
    for (number, request) in requests.iter().enumerate() {
        let expected = format!(
            "GET /{} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer secret\r\n\r\n",
            number + 1
        );
        assert_eq!(*request, expected);
    }
}

#[test]
fn who_asks_knows_whether_it_may_have_been_done() {
    let (address, thread) = server(vec![
        vec![""],
        vec!["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
        vec!["SSH-2.0-OpenSSH\r\n"],
    ]);
    let mut asked = node(address, None);
    for part in ["without an answer", "cut off", "no patchmesh node"] {
        match ask(&mut asked, "/").unwrap_err() {
            NodeFault::Broken(why) => assert!(why.contains(part), "{why}"),
            fault => panic!("{fault}"),
        }
    }
    thread.join().unwrap();
    assert!(matches!(ask(&mut asked, "/"), Err(NodeFault::Unreachable(_))));
}

#[test]
fn a_node_that_says_nothing_is_not_waited_for_longer_than_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut asked = node(listener.local_addr().unwrap(), None);
    let limit = Duration::from_millis(300);
    let asked = smol::block_on(asked.request(&NodeRequest::get("/"), limit));
    assert!(asked.is_err_and(|fault| fault.to_string().contains("nothing came within")));
}

#[test]
fn a_part_of_a_path_is_percent_encoded() {
    for (text, path) in [
        ("b.lan:80/mesh/ws", "b.lan:80/mesh/ws"),
        ("[fe80::1%eth0]:80", "%5Bfe80::1%25eth0%5D:80"),
        ("/a~1b/é ?", "/a~1b/%C3%A9%20%3F"),
    ] {
        assert_eq!(percent_encoded(text), path);
    }
}
