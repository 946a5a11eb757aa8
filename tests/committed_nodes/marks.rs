//! Writers that add marks of their own to a list in the document, so that the document alone tells what is there,
//! and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::client::Wire;
use crate::harness::{Node, PATIENCE};

/// A client that writes until told to stop. A write without an answer is sent again under the same name, to any node.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Told>,
}

/// What writers were told.
#[derive(Default)]
pub struct Told {
    /// The marks that are there for ever.
    pub accepted: BTreeSet<u64>,
    /// Those that are not.
    pub refused: BTreeSet<u64>,
    /// Those of which nothing is known.
    pub unknown: BTreeSet<u64>,
    /// How often something was asked again.
    pub repeated: usize,
}

/// Makes the list, before all writers begin.
#[track_caller]
pub fn begin(node: &Node) {
    node.post_patch(r#"[{"op":"add","path":"/marks","value":[]}]"#);
}

/// The patch that adds the next mark, and the mark.
pub fn next() -> (u64, String) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mark = NEXT.fetch_add(1, Ordering::Relaxed);
    (mark, format!(r#"[{{"op":"add","path":"/marks/-","value":{mark}}}]"#))
}

/// Adds so many marks.
#[track_caller]
pub fn add(node: &Node, count: usize) -> Told {
    let mut told = Told::default();
    for _ in 0..count {
        let (mark, patch) = next();
        node.post_patch(&patch);
        told.accepted.insert(mark);
    }
    told
}

impl Writer {
    /// Writes to the first of these nodes, about every so many milliseconds, and asks the others if there is no
    /// answer.
    pub fn start(nodes: &[SocketAddr], pause_ms: u64, random: &mut Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, nodes, random) = (stop.clone(), nodes.to_vec(), random.fork());
        let thread = spawn(move || write(&nodes, pause_ms, random, &stopped));
        Self { stop, thread }
    }

    pub fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn write(nodes: &[SocketAddr], pause_ms: u64, mut random: Rng, stop: &AtomicBool) -> Told {
    let mut told = Told::default();
    let suffix = std::iter::repeat_with(|| random.lowercase()).take(8).collect::<String>();
    let mut wires: BTreeMap<SocketAddr, Wire> = BTreeMap::new();
    for id in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        sleep(Duration::from_micros(random.u64(..2000 * pause_ms)));
        let (mark, mut patch) = next();
        if random.u8(..8) == 0 {
            // It adds the mark and then finds that it should not have.
            patch = patch.replace("}]", r#"},{"op":"test","path":"/marks","value":0}]"#);
        }
        let name = format!("Patchmesh-Source: writer~{suffix}\r\nPatchmesh-Id: {id}\r\n");
        let begin = Instant::now();
        for node in nodes.iter().cycle() {
            let answer = match wires.remove(node).or_else(|| Wire::open(*node)) {
                Some(mut wire) => {
                    let answer = wire.request_with("POST", "/replace", &name, &patch);
                    if answer.is_some() {
                        wires.insert(*node, wire);
                    }
                    answer
                }
                None => None,
            };
            let list = match answer {
                // It was accepted so long ago that it was folded.
                Some((200 | 410, _)) => &mut told.accepted,
                Some((409, _)) => &mut told.refused,
                // It is stopping.
                Some((503, _)) | None if begin.elapsed() < PATIENCE => {
                    told.repeated += 1;
                    sleep(Duration::from_millis(random.u64(..20)));
                    continue;
                }
                Some((503, _)) | None => &mut told.unknown,
                other => panic!("{patch}: {other:?}"),
            };
            list.insert(mark);
            break;
        }
    }
    told
}

impl Told {
    pub fn join(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
        self.repeated += other.repeated;
    }

    /// Whether a document has all that was acknowledged.
    pub fn is_in(&self, document: &str) -> bool {
        let found = marks(document);
        self.accepted.iter().all(|mark| found.contains_key(mark))
    }

    /// Checks that a document has all that was acknowledged, once, and nothing else but what may be there.
    #[track_caller]
    pub fn check(&self, document: &str) {
        let found = marks(document);
        let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "marks are there more than once: {twice:?}");
        let lost: Vec<_> = self.accepted.iter().filter(|mark| !found.contains_key(mark)).collect();
        assert!(lost.is_empty(), "acknowledged marks are lost: {lost:?}");
        let may_be = |mark: &u64| self.accepted.contains(mark) || self.unknown.contains(mark);
        let others: Vec<_> = found.keys().filter(|mark| !may_be(mark)).collect();
        assert!(others.is_empty(), "marks are there and should not be: {others:?}");
    }
}

/// The marks in a document, and how often each is there.
pub fn marks(document: &str) -> BTreeMap<u64, usize> {
    let document: Value = serde_json::from_str(document).unwrap();
    let mut found = BTreeMap::new();
    for mark in document["marks"].as_array().into_iter().flatten() {
        *found.entry(mark.as_u64().unwrap()).or_default() += 1;
    }
    found
}
