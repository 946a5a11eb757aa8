//! What writers were told, against what nodes have.
//!
//! Every patch has a mark of its own: the text `mark:` and a number, a letter after it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

use fastrand::Rng;
use serde_json::Value;

use crate::client::{self, Wire};
use crate::harness::PATIENCE;

/// All that was told.
#[derive(Default)]
pub struct Ledger {
    /// The line of each acknowledged transaction by its source and Id.
    accepted: BTreeMap<(String, u64), String>,
    /// The marks of those that were refused.
    refused: BTreeSet<u64>,
}

/// A mark that no other patch has.
pub fn next_mark() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A patch with a mark, and about so many bytes more, that always applies.
pub fn patch(writer: usize, mark: u64, bytes: usize) -> String {
    let padding = "x".repeat(bytes);
    format!(r#"[{{"op":"add","path":"/writer{writer}","value":"mark:{mark}. {padding}"}}]"#)
}

/// One with a mark that never does.
fn hopeless_patch(mark: u64) -> String {
    format!(
        r#"[{{"op":"add","path":"/hopeless","value":"mark:{mark}."}},{{"op":"test","path":"","value":0}}]"#
    )
}

impl Ledger {
    /// Takes note of an answer to the patch with this mark; whether it is one of a node that goes on.
    #[track_caller]
    pub fn note(&mut self, mark: u64, status: u16, body: String) -> bool {
        match status {
            200 => {
                let transaction: Value = serde_json::from_str(&body).unwrap();
                let source = transaction["Source"].as_str().unwrap().to_owned();
                let key = (source, transaction["Id"].as_u64().unwrap());
                let before = self.accepted.insert(key, body.clone());
                assert_eq!(before, None, "the Id was used before: {body}");
                true
            }
            409 | 507 => self.refused.insert(mark),
            // Nothing is known of it.
            503 => false,
            _ => panic!("{status}: {body}"),
        }
    }

    #[track_caller]
    pub fn join(&mut self, other: Self) {
        for (key, line) in other.accepted {
            let before = self.accepted.insert(key, line.clone());
            assert_eq!(before, None, "the Id was used before: {line}");
        }
        self.refused.extend(other.refused);
    }

    /// How many were acknowledged.
    pub fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// Checks that a node has all that was acknowledged, once, nothing that was refused, and no Id
    /// twice. Returns how many transactions there are that nobody was told of.
    #[track_caller]
    pub fn check(&self, node: SocketAddr) -> usize {
        self.check_log(&client::log(node))
    }

    /// Checks the lines of a journal.
    #[track_caller]
    pub fn check_log(&self, log: &[String]) -> usize {
        let mut untold = 0;
        let mut found = BTreeSet::new();
        for line in log {
            let transaction: Value = serde_json::from_str(line).unwrap();
            let source = transaction["Source"].as_str().unwrap().to_owned();
            let key = (source, transaction["Id"].as_u64().unwrap());
            match self.accepted.get(&key) {
                Some(told) => assert_eq!(told, line, "the Id is used twice"),
                None => untold += 1,
            }
            assert!(found.insert(key), "it is there twice: {line}");
            let (_, mark) = line.split_once("mark:").unwrap();
            let mark: u64 = mark[..mark.find('.').unwrap()].parse().unwrap();
            assert!(!self.refused.contains(&mark), "it was refused: {line}");
        }
        let lost: Vec<_> = self.accepted.iter().filter(|(key, _)| !found.contains(key)).collect();
        assert!(
            lost.is_empty(),
            "{} acknowledged are lost: {:?}",
            lost.len(),
            &lost[..lost.len().min(3)]
        );
        untold
    }
}

/// Writes to a node until it ends, or until the receiver of what is acknowledged has gone; and not
/// for ever.
pub fn write_to_the_end(node: SocketAddr, writer: usize, seed: u64, count: Sender<()>) -> Ledger {
    let mut random = Rng::with_seed(seed);
    let mut ledger = Ledger::default();
    let Some(mut wire) = Wire::open(node) else { return ledger };
    let begin = Instant::now();
    while begin.elapsed() < 2 * PATIENCE {
        let mark = next_mark();
        let patch = match random.u8(..) {
            0..50 => hopeless_patch(mark),
            // So that batches have many pages, and a kill can tear them.
            50..55 => patch(writer, mark, random.usize(..30_000)),
            _ => patch(writer, mark, random.usize(..100)),
        };
        let Some((status, body)) = wire.post(&patch) else { return ledger };
        if !ledger.note(mark, status, body) || (status == 200 && count.send(()).is_err()) {
            return ledger;
        }
    }
    ledger
}
