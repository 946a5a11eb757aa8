//! Frames of every kind, order and size at both ends of a stream: whatever comes, nobody else waits,
//! nothing swells, and nothing panics.
//!
//! What is sent follows from a seed, which is printed if something fails. Two variables choose what is
//! run:
//!
//! - `PATCHMESH_SEED`: the first connection's seed, 1 if it is not set; the next one's is one more.
//! - `PATCHMESH_STREAMS`: how many connections at each end.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fastrand::Rng;

use crate::harness::{Node, PlainNode, Watch, frame, frame_head, node, setting};

/// What is sent on one connection, unless it is closed before.
const MOST_FRAMES: usize = 3000;
const MOST_SENT: usize = 4 << 20;

/// How much memory a node may take while this goes on, a message of the largest kind included.
const MOST_BYTES: u64 = 64 << 20;

/// Says how to see it again when a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("once more: PATCHMESH_SEED={} PATCHMESH_STREAMS=1", self.0);
        }
    }
}

/// How often what is wrong is done, in 1,000 frames: on most connections never, so that they last.
struct Habits {
    wrong: u32,
    fragments: u32,
    control: u32,
    large: u32,
    reads: bool,
}

impl Habits {
    fn choose(random: &mut Rng) -> Self {
        let mut one_of = |choices: &[u32]| choices[random.usize(..choices.len())];
        Self {
            wrong: one_of(&[0, 0, 0, 1, 50]),
            fragments: one_of(&[0, 100, 900, 1000]),
            control: one_of(&[0, 100, 500, 950]),
            large: one_of(&[0, 1, 10, 200]),
            reads: one_of(&[0, 1]) == 1,
        }
    }
}

fn noise(random: &mut Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn payload(random: &mut Rng, habits: &Habits, is_control: bool) -> Vec<u8> {
    let length = if is_control {
        [0, 2, random.usize(..126), 125][random.usize(..4)]
    } else if random.u32(..1000) < habits.large {
        [126, 0xffff, 0x1_0000, 0x1_0001, random.usize(..1 << 20)][random.usize(..5)]
    } else {
        [0, 0, 1, random.usize(..126), 125, 126, random.usize(..5000)][random.usize(..7)]
    };
    match random.u32(..10) {
        0..5 => vec![b'x'; length],
        5 => noise(random, length),
        6 => "ä".repeat(length / 2).into_bytes(),
        7 => format!(r#"{{"End":{}}}"#, random.u64(..)).into_bytes(),
        8 => format!(r#"{{"Source":"r~1","Id":{},"Payload":"[]","Time":1}}"#, random.u32(..))
            .into_bytes(),
        _ => vec![0; length],
    }
}

/// The next frame. `is_open` says whether a message is, of which only some frames were sent.
fn next_frame(random: &mut Rng, habits: &Habits, masked: bool, is_open: &mut bool) -> Vec<u8> {
    if random.u32(..1000) < habits.wrong {
        let (first, masked) = (random.u8(..), random.bool());
        return match random.u32(..3) {
            0 => frame_head(first, masked, random.u64(..)),
            1 => {
                let length = random.usize(..300);
                noise(random, length)
            }
            _ => frame(first, masked, &vec![0; random.usize(..200)]),
        };
    }
    if random.u32(..1000) < habits.control {
        let opcode = [0x9, 0x9, 0xa][random.usize(..3)];
        let mut payload = payload(random, habits, true);
        payload.truncate(125);
        return frame(0x80 | opcode, masked, &payload);
    }
    let payload = payload(random, habits, false);
    let opcode = if *is_open { 0x0 } else { [0x1, 0x2][random.usize(..2)] };
    *is_open = random.u32(..1000) < habits.fragments;
    frame(if *is_open { opcode } else { 0x80 | opcode }, masked, &payload)
}

/// Sends what follows from the seed, until it is enough or the other side has closed.
fn converse(mut stream: &TcpStream, seed: u64, masked: bool) {
    let mut random = Rng::with_seed(seed);
    let habits = Habits::choose(&mut random);
    let mut is_open = false;
    let (mut sent, mut batch) = (0, Vec::new());
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    for _ in 0..MOST_FRAMES {
        batch.extend(next_frame(&mut random, &habits, masked, &mut is_open));
        // Frames are cut anywhere.
        let now = if random.u8(..4) == 0 { random.usize(..=batch.len()) } else { 0 };
        if stream.write_all(&batch[..now]).is_err() || sent > MOST_SENT {
            return;
        }
        sent += batch.drain(..now).len();
        if habits.reads && now > 0 {
            match stream.read(&mut vec![0; 1 << 16]) {
                Ok(0) => return,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                _ => (),
            }
        }
    }
    if random.bool() {
        stream.write_all(&frame(0x88, masked, b"\x03\xe8")).ok();
    }
}

/// Has so many conversations at once, each with a seed of its own.
fn is_at_ease(
    node: &Node,
    streams: u64,
    masked: bool,
    connect: impl Fn() -> Option<TcpStream> + Sync,
) {
    const AT_ONCE: u64 = 8;
    let first = setting("PATCHMESH_SEED").unwrap_or(1);
    let seeds: Vec<u64> = (first..first + streams).collect();
    let watch = Watch::begin(node);
    for seeds in seeds.chunks(AT_ONCE as usize) {
        std::thread::scope(|scope| {
            for seed in seeds {
                let connect = &connect;
                scope.spawn(move || {
                    let _seed = Seed(*seed);
                    if let Some(stream) = connect() {
                        converse(&stream, *seed, masked);
                    }
                });
            }
        });
        let _seed = Seed(seeds[0]);
        let bytes = node.resident_bytes();
        assert!(bytes < MOST_BYTES, "{bytes} bytes after the seeds {seeds:?}");
    }
    watch.end("frames of every kind");
    assert_eq!(node.log_lines("panic"), Vec::<String>::new());
}

#[test]
fn a_reader_may_send_any_frames() {
    let node = node().start();
    let posted = node.post_patch("[]");
    let streams = setting("PATCHMESH_STREAMS").unwrap_or(100);
    let connect = || Some(node.stream().socket.get_ref().try_clone().unwrap());
    is_at_ease(&node, streams, true, connect);
    assert_eq!(node.length(), 1);
    assert_eq!(node.stream().next(), posted);
}

#[test]
fn a_peer_may_send_any_frames() {
    let peer = PlainNode::listen();
    // Of several upstreams each waits for its own next try only.
    let node = (0..64)
        .fold(node(), |setup, n| setup.peer(format!("ws://{}/ws/{n}", peer.address())))
        .start();
    let peer = std::sync::Mutex::new(peer);
    let streams = setting("PATCHMESH_STREAMS").unwrap_or(30);
    let connect = || {
        let visit = peer.lock().unwrap().try_accept(Duration::from_secs(11))?;
        Some(visit.socket.get_ref().try_clone().unwrap())
    };
    is_at_ease(&node, streams, false, connect);
    let before = node.length();
    node.post_patch("[]");
    assert!(node.length() > before);
}
