//! Readers and peers that send what nobody should: nobody else waits for them, and nothing swells.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Client, Node, PATIENCE, PlainNode, Stream, Watch, frame, node, wait_for};

/// How long each flood lasts at least, and how many requests of others are answered before it ends.
const FLOOD: Duration = Duration::from_millis(500);
const ANSWERED: usize = 20;

/// How much memory a node may take for one: more than the limits of what is heard and of what waits to
/// be written, and a small part of what is sent.
const MOST_BYTES: u64 = 32 << 20;

/// What is sent at first, and then again and again.
type Flood = (&'static str, Vec<u8>, Vec<u8>);

fn floods(masked: bool) -> Vec<Flood> {
    let frame = |first, payload: &[u8]| frame(first, masked, payload);
    let begun = frame(0x01, b"a");
    let (ping, pong) = (frame(0x89, &[b'x'; 125]), frame(0x8a, b""));
    vec![
        ("empty continuations", begun.clone(), frame(0x00, b"").repeat(5000)),
        (
            "pongs between empty continuations",
            begun,
            [frame(0x00, b""), pong.clone()].concat().repeat(2500),
        ),
        ("fragments of a byte", frame(0x02, b""), frame(0x00, b"a").repeat(5000)),
        ("empty pongs", vec![], pong.repeat(5000)),
        ("pings that nobody reads", vec![], ping.repeat(1000)),
        ("empty pings that nobody reads", vec![], frame(0x89, b"").repeat(5000)),
        ("empty texts", vec![], frame(0x81, b"").repeat(5000)),
        ("empty binaries", vec![], frame(0x82, b"").repeat(5000)),
        ("talk after a close", frame(0x88, b"\x03\xe8"), frame(0x81, b"{}").repeat(2500)),
        ("closes", vec![], frame(0x88, b"\x03\xe8").repeat(2500)),
        ("one byte at a time", vec![], vec![frame(0x8a, b"")[0]]),
    ]
}

/// Sends each flood, on connection after connection if they are closed, until others were answered.
fn is_at_ease(node: &Node, masked: bool, connect: impl Fn() -> Option<TcpStream>) {
    for (kind, first, then) in floods(masked) {
        let watch = Watch::begin(node);
        let begin = Instant::now();
        let is_over = || begin.elapsed() > FLOOD && watch.answered() >= ANSWERED;
        let mut connections = 0;
        while connections == 0 || !is_over() {
            assert!(begin.elapsed() < PATIENCE, "{kind}: {connections} connections");
            let Some(mut stream) = connect() else { continue };
            connections += 1;
            let mut sent = stream.write_all(&first);
            while sent.is_ok() && !is_over() {
                sent = stream.write_all(&then);
                let answered = watch.answered();
                assert!(begin.elapsed() < PATIENCE, "{kind}: {answered} requests answered");
            }
        }
        watch.end(kind);
        let bytes = node.resident_bytes();
        assert!(bytes < MOST_BYTES, "{kind}: {bytes} bytes");
    }
    assert_eq!(node.log_lines("panic"), Vec::<String>::new());
}

#[test]
fn a_reader_that_floods_a_node_stops_and_swells_nothing() {
    let node = node().start();
    let connect = || Some(node.stream().socket.get_ref().try_clone().unwrap());
    is_at_ease(&node, true, connect);
    node.post_patch("[]");
    assert_eq!(node.stream().next()["Id"], 1);
}

#[test]
fn a_peer_that_floods_a_node_stops_and_swells_nothing() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    let connect = || {
        let visit = peer.try_accept(Duration::from_millis(100))?;
        Some(visit.socket.get_ref().try_clone().unwrap())
    };
    is_at_ease(&node, false, connect);
}

#[test]
fn who_pings_and_does_not_read_is_closed() {
    let peer = PlainNode::listen();
    let node = node().peer(peer.address()).start();
    for (masked, stream) in [(true, node.stream().socket), (false, peer.accept().socket)] {
        let pings = frame(0x89, masked, &[b'x'; 125]).repeat(1000);
        let begin = Instant::now();
        let mut stream = stream.get_ref();
        while stream.write_all(&pings).is_ok() {
            assert!(begin.elapsed() < PATIENCE, "it is not closed");
        }
    }
    let told = node.wait_for_log(&format!("peer {}: it pings, and has not read", peer.address()));
    assert!(told.contains(" WARN "), "{told}");
    assert_eq!(node.log_lines("has not read").len(), 2, "{:?}", node.log_lines("has not read"));
    assert!(node.resident_bytes() < MOST_BYTES);
}

#[test]
fn pings_that_are_read_are_answered_for_ever() {
    let node = node().start();
    let mut stream = node.stream();
    let pings = frame(0x89, true, &[b'x'; 125]).repeat(100);
    // Ten times as many as may wait.
    for _ in 0..200 {
        stream.socket.get_mut().write_all(&pings).unwrap();
        let mut pongs = 0;
        while pongs < 100 {
            pongs += usize::from(stream.socket.read().unwrap().is_pong());
        }
    }
    assert_eq!(node.log_lines("has not read"), Vec::<String>::new());
}

#[test]
fn connections_are_kept_free_for_nodes_and_for_whoever_looks_after_one() {
    // The node's limit, and those that it keeps free.
    const LIMIT: usize = 1024;
    let node = node().start();
    let mut idle: Vec<TcpStream> = Vec::new();
    let refused = || {
        let mut client = Client::connect(node.address);
        client.request("GET", "/vclock", &node.headers(), b"").status == 503
    };
    while !refused() {
        assert!(idle.len() <= LIMIT, "{} connections, and there is room", idle.len());
        idle.extend((0..64).map(|_| TcpStream::connect(node.address).unwrap()));
    }
    for path in ["/healthz", "/healthz/live", "/healthz/ready", "/metrics"] {
        assert_eq!(node.get(path).status, 200, "{path}");
    }
    let mut stream = Stream::open(&node, "/ws?v=2");
    assert_eq!(stream.next()["End"], 0);
    assert!(Stream::try_open(&node, "/ws", &node.headers()).is_err());
    // Nor does it help to take those as well and say nothing.
    idle.extend((0..200).map(|_| TcpStream::connect(node.address).unwrap()));
    let begin = Instant::now();
    wait_for("what is kept free", || {
        let mut client = TcpStream::connect(node.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
        client.write_all(request.as_bytes()).ok()?;
        let mut status = [0; 12];
        std::io::Read::read_exact(&mut client, &mut status).ok()?;
        (status == *b"HTTP/1.1 200").then_some(())
    });
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    drop(idle);
}
