//! An upgraded connection belongs to its session, with all that was read ahead, until the node stops.

use rustix::process::Signal;

use crate::harness::{Client, frame, node};

/// The first bytes of a ping, of the pong that answers it, of text, and of a close frame.
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// The next frame but for the node's own pings, the first of which comes at once, and for what it tells a plain
/// reader first: its first byte, and its payload, which is short.
fn next_frame(client: &mut Client) -> (u8, Vec<u8>) {
    loop {
        let head = client.body(2);
        let payload = client.body(head[1].into());
        if ![PING, TEXT].contains(&head[0]) {
            return (head[0], payload);
        }
    }
}

#[test]
fn what_was_read_ahead_goes_to_the_session_and_a_stop_closes_it() {
    let mut node = node().start();
    let mut client = Client::connect(node.address);
    // All in one write: a request to be answered first, the upgrade, and a frame behind it.
    let read = "GET /vclock HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send([read.as_bytes(), handshake.as_bytes(), &frame(PING, true, b"hi")].concat());

    assert_eq!(client.answer().status, 200);
    let switching = client.head();
    assert_eq!(switching.status, 101);
    assert_eq!(switching.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(next_frame(&mut client), (PONG, b"hi".to_vec()));

    node.signal(Signal::TERM);
    assert_eq!(next_frame(&mut client).0, CLOSE);
    assert_eq!(node.wait_for_exit().code(), Some(0));
}
