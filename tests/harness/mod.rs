//! What the tests start, stop and talk with: the real binary as a child process, a blocking HTTP
//! client, a reader of `/ws`, and the kinds of peers that patchmesh must live with.
//!
//! The rules:
//!
//! - Ports are free ones: 0, or a [`Port`] that is held if it must be named before its node runs.
//! - Every wait has a time limit, [`PATIENCE`], and ends at the event that it waits for. If nothing
//!   tells of the event, [`wait_for`] asks again and again.
//! - Whatever is started is stopped on drop. The log of a node is printed if its test fails.

mod frame;
mod http;
mod plain;
mod plain_reader;
mod port;
mod process;
mod relay;
mod scratch;
mod setting;
mod stream;
mod temporary;
mod wait;
mod watch;

pub use frame::{frame, frame_head};
pub use http::{Answer, Client};
pub use plain::{Nonsense, PlainNode, Visit};
pub use plain_reader::PlainReader;
pub use port::Port;
pub use process::{Node, Setup, binary, node, run};
pub use relay::Relay;
pub use scratch::{Borrowed, Scratch, has_strace, skip};
pub use setting::{Seed, seeds, setting};
pub use stream::{Stream, percent_encoded};
pub use temporary::TemporaryDirectory;
pub use wait::{PATIENCE, wait_for};
pub use watch::Watch;

/// Two nodes with each other as peers.
pub fn pair() -> (Node, Node) {
    let port = Port::reserve();
    let first = node().peer(port.address).start();
    let second = node().at(&port).peer(first.address).start();
    (first, second)
}

/// Waits until these nodes have the same document and the same vector clock.
#[track_caller]
pub fn wait_until_equal(nodes: &[&Node]) {
    let states = || nodes.iter().map(|node| (node.vclock(), node.document())).collect::<Vec<_>>();
    let begin = std::time::Instant::now();
    let mut states_now = states();
    let mut pause = wait::FIRST_PAUSE;
    while states_now.iter().any(|state| *state != states_now[0]) {
        assert!(begin.elapsed() < PATIENCE, "the nodes stay different: {states_now:#?}");
        wait::pause(&mut pause);
        states_now = states();
    }
}
