//! Writers that have a small document in common, so that they are often in each other's way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use fastrand::Rng;

use crate::client::Wire;

/// Writes to a node, whatever becomes of it, until told to stop.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Told>,
}

/// What a writer was told.
#[derive(Default)]
pub struct Told {
    /// The lines of the acknowledged transactions.
    pub accepted: Vec<String>,
    /// How many were refused.
    pub refused: usize,
    /// Of how many nothing is known.
    pub unknown: usize,
}

impl Writer {
    pub fn start(node: SocketAddr, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = spawn(move || write(node, seed, &stopped));
        Self { stop, thread }
    }

    pub fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn write(node: SocketAddr, seed: u64, stop: &AtomicBool) -> Told {
    let mut random = Rng::with_seed(seed);
    let mut told = Told::default();
    let mut wire = None;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        // Writers are people and sensors: they do not write all the time.
        sleep(Duration::from_micros(random.u64(..10_000)));
        let Some(open) = wire.as_mut() else {
            wire = Wire::open(node);
            continue;
        };
        let known =
            if random.u8(..4) == 0 { open.request("GET", "/get/counter", "") } else { None };
        let counter = known.and_then(|(_, text)| text.parse().ok()).unwrap_or(random.u64(..4));
        count += 1;
        let patch = patch(&mut random, counter, &format!("{seed:x}.{count}"));
        match open.post(&patch) {
            Some((200, line)) => told.accepted.push(line),
            Some((409, _)) => told.refused += 1,
            // It is stopping.
            Some((503, _)) => (),
            Some(other) => panic!("{patch}: {other:?}"),
            None => {
                told.unknown += 1;
                wire = None;
            }
        }
    }
    told
}

/// A patch of which nobody knows whether it applies.
fn patch(random: &mut Rng, counter: u64, name: &str) -> String {
    let slot = |random: &mut Rng| format!("/slots/{}", random.u8(..4));
    match random.u8(..100) {
        0..4 => r#"[{"op":"add","path":"/list","value":[]}]"#.to_owned(),
        4..8 => r#"[{"op":"add","path":"/slots","value":{"0":0}}]"#.to_owned(),
        8..12 => format!(r#"[{{"op":"add","path":"/counter","value":{}}}]"#, random.u8(..4)),
        12..30 => format!(r#"[{{"op":"add","path":"/list/-","value":"{name}"}}]"#),
        30..38 => format!(r#"[{{"op":"add","path":"/list/{}","value":"{name}"}}]"#, random.u8(..8)),
        38..46 => format!(r#"[{{"op":"remove","path":"/list/{}"}}]"#, random.u8(..4)),
        46..66 => format!(
            r#"[{{"op":"test","path":"/counter","value":{counter}}},{{"op":"replace","path":"/counter","value":{}}},{{"op":"add","path":"/by","value":"{name}"}}]"#,
            counter + 1
        ),
        66..76 => format!(r#"[{{"op":"add","path":"{}","value":"{name}"}}]"#, slot(random)),
        76..88 => {
            let (from, path) = (slot(random), slot(random));
            format!(r#"[{{"op":"move","from":"{from}","path":"{path}"}}]"#)
        }
        88..92 => {
            let (from, path) = (slot(random), slot(random));
            format!(r#"[{{"op":"copy","from":"{from}","path":"{path}"}}]"#)
        }
        92..96 => format!(r#"[{{"op":"remove","path":"{}"}}]"#, slot(random)),
        // Half of it applies, which is undone.
        _ => format!(
            r#"[{{"op":"move","from":"/list/0","path":"/slots/0"}},{{"op":"test","path":"/slots/1","value":"{name}"}}]"#
        ),
    }
}
