//! An upgraded connection belongs to its session, with all that was read ahead, until the node
//! stops.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// A masked ping that says "hi", with a mask of zeros.
const PING: &[u8] = b"\x89\x82\0\0\0\0hi";
/// The first bytes of what answers it, of the node's own pings, and of a close frame.
const PONG: u8 = 0x8a;
const PINGED: u8 = 0x89;
const SAID: u8 = 0x81;
const CLOSE: u8 = 0x88;

fn start() -> (Child, String) {
    let mut node = Command::new(env!("CARGO_BIN_EXE_patchmesh"))
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the node starts");
    let mut line = String::new();
    let stdout = node.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("the node says where it listens");
    let address = line
        .split_whitespace()
        .find_map(|word| word.strip_suffix(',').filter(|word| word.starts_with("127.0.0.1:")))
        .expect("the line has an address");
    (node, address.to_owned())
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
    stream
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("headers are text")
}

fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("as many bytes");
    bytes
}

/// The next frame but for the node's own pings, the first of which comes at once, and what it says to a plain
/// reader first: its first byte, and its payload, which is short.
fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    loop {
        let head = read_exactly(stream, 2);
        let payload = read_exactly(stream, usize::from(head[1]));
        if ![PINGED, SAID].contains(&head[0]) {
            return (head[0], payload);
        }
    }
}

#[test]
fn what_was_read_ahead_goes_to_the_session_and_a_stop_closes_it() {
    let (mut node, address) = start();
    let mut stream = connect(&address);
    // All in one write: a request to be answered first, the upgrade, and a frame behind it.
    let request = "GET /vclock HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let all = [request.as_bytes(), HANDSHAKE.as_bytes(), PING].concat();
    stream.write_all(&all).expect("the node reads");

    let vclock = read_head(&mut stream);
    assert!(vclock.starts_with("HTTP/1.1 200 OK\r\n"), "{vclock}");
    let length = vclock.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.and_then(|length| length.parse().ok()).expect("a length");
    read_exactly(&mut stream, length);

    let switching = read_head(&mut stream);
    assert!(switching.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{switching}");
    assert!(switching.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(read_frame(&mut stream), (PONG, b"hi".to_vec()));

    let stop = Command::new("kill").arg("-TERM").arg(node.id().to_string()).status();
    assert!(stop.expect("kill runs").success());
    assert_eq!(read_frame(&mut stream).0, CLOSE);
    assert!(node.wait().expect("the node ends").success());
}
