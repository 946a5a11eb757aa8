//! Readers of `/ws` that do not read.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tungstenite::Message;

use crate::harness::{Node, Stream, node, wait_for};

/// More than the buffers of the sockets between a node and a reader hold.
const TRANSACTIONS: u64 = 12_000;

#[track_caller]
fn read_all(stream: &mut Stream, count: u64) {
    for id in 1..=count {
        assert_eq!(stream.next()["Id"], id);
    }
}

fn positions(node: &Node) -> Vec<u64> {
    let peers = node.peers();
    let downstreams = peers["downstreams"].as_array().unwrap();
    downstreams.iter().map(|downstream| downstream["position"].as_u64().unwrap()).collect()
}

#[test]
fn a_reader_that_does_not_read_stops_nobody_and_loses_nothing() {
    let node = node().start();
    let mut slow = node.stream();
    let mut quick = node.stream();
    let text = "x".repeat(1000);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_all(&mut quick, TRANSACTIONS));
        for _ in 0..TRANSACTIONS / 1000 {
            let patch = format!(r#"[{{"op":"add","path":"/a","value":"{text}"}}]"#);
            node.post_patches(std::iter::repeat_n(patch, 1000));
            // It says that it lives, for machines so slow that it would be given up for dead.
            slow.socket.send(Message::Pong(Vec::new().into())).unwrap();
        }
        reading.join().expect("the quick reader gets all");
    });
    // The slow one is behind, and nobody waits for it.
    assert_eq!(node.length(), TRANSACTIONS);
    let positions = positions(&node);
    assert_eq!(positions.len(), 2);
    assert!(positions.contains(&TRANSACTIONS), "{positions:?}");
    assert!(positions.iter().any(|position| *position < TRANSACTIONS), "{positions:?}");
    read_all(&mut slow, TRANSACTIONS);
}

#[test]
#[cfg(target_os = "linux")]
fn readers_that_do_not_read_take_no_memory() {
    const READERS: usize = 20;
    const JOURNAL_BYTES: u64 = 16 << 20;
    let mut node = node().start();
    let text = "x".repeat(32 << 10);
    node.post_patches(
        (0..JOURNAL_BYTES >> 15)
            .map(|n| format!(r#"[{{"op":"add","path":"/a","value":"{text}{n}"}}]"#)),
    );
    let before = node.resident_bytes();
    let streams: Vec<Stream> = (0..READERS).map(|_| node.stream()).collect();
    // All have begun, and none gets on any more.
    let mut seen = (Vec::new(), 0);
    wait_for("the readers' buffers to be full", || {
        let now = positions(&node);
        let is_still = now == seen.0 && now.len() == READERS && !now.contains(&0);
        seen = (now, if is_still { seen.1 + 1 } else { 0 });
        (seen.1 == 10).then_some(())
    });
    assert!(seen.0.iter().all(|position| *position < node.length()), "{:?}", seen.0);
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 2 * JOURNAL_BYTES, "{grown} bytes for {READERS} readers, {before} before");
    // Nor do they hold up its end.
    let begin = Instant::now();
    node.signal(Signal::TERM);
    assert_eq!(node.wait_for_exit().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    drop(streams);
}
