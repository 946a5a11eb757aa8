//! kill -9 at any instant.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::Duration;

use fastrand::Rng;

use crate::client;
use crate::harness::{PATIENCE, Port, Scratch, Seed, setting};
use crate::ledger::{Ledger, next_mark, patch, write_to_the_end};
use crate::process::Process;

const WRITERS: usize = 16;

/// How often nodes are killed if the environment does not say.
const KILLS: u64 = 30;

/// Has 16 writers write to a node, and ends it by `end` when about `count` are acknowledged.
fn write_until(
    node: SocketAddr,
    count: usize,
    random: &mut Rng,
    end: impl FnOnce(&mut Rng),
) -> Ledger {
    let (sender, counted) = channel();
    let start = |writer| {
        let (sender, seed) = (sender.clone(), random.u64(..));
        thread::spawn(move || write_to_the_end(node, writer, seed, sender))
    };
    let writers: Vec<_> = (0..WRITERS).map(start).collect();
    for _ in 0..count {
        counted.recv_timeout(PATIENCE).expect("writes are acknowledged");
    }
    end(random);
    let mut ledger = Ledger::default();
    for writer in writers {
        ledger.join(writer.join().unwrap());
    }
    ledger
}

/// Checks that a node has all transactions of its own that its peer was sent.
fn check_sent(node: SocketAddr, peer: SocketAddr) {
    let kept: BTreeSet<String> = client::log(node).into_iter().collect();
    let source = client::get(node, "/peers").json()["source"].as_str().unwrap().to_owned();
    let own = format!(r#"{{"Source":"{source}","#);
    for line in client::log(peer).iter().filter(|line| line.starts_with(&own)) {
        assert!(kept.contains(line), "it was sent and is lost: {line}");
    }
}

#[test]
fn what_was_acknowledged_outlives_kill_9_at_any_instant() {
    let seed = Seed::choose();
    let mut random = seed.random();
    let scratch = Scratch::new();
    let ports = [Port::reserve(), Port::reserve()];
    let [here, there] = [ports[0].address, ports[1].address];
    let (node_data, peer_data) = (scratch.path("node"), scratch.path("peer"));
    let start = |address: SocketAddr, data, peer: SocketAddr| {
        Process::node(&scratch, address, data, &[&peer.to_string()]).0
    };
    let mut peer = start(there, &peer_data, here);
    let mut ledger = Ledger::default();
    let mut sources = Vec::new();
    for _ in 0..setting("PATCHMESH_KILLS").unwrap_or(KILLS) {
        // While it starts and reads the journal back, too. When it can be hurt is not known, so
        // this is any instant.
        let (arguments, data) = (there.to_string(), node_data.to_str().unwrap());
        let arguments = [&here.to_string(), &arguments, "--data", data];
        let mut starting = Process::start(&scratch, &arguments);
        sleep(Duration::from_micros(random.u64(..60_000)));
        starting.kill();
        // Alone at first, so that nobody can give back what it might have lost.
        let (mut node, _) = Process::node(&scratch, here, &node_data, &[]);
        ledger.check(here);
        check_sent(here, there);
        sources.push(client::get(here, "/peers").json()["source"].clone());
        node.kill();
        // What the peer writes meanwhile arrives too.
        let mark = next_mark();
        let line = client::post(there, &patch(WRITERS, mark, 0));
        ledger.note(mark, 200, line);
        let mut node = start(here, &node_data, there);
        // A peer that has missed its node several times dials it some seconds later only; one that
        // starts dials it at once.
        peer.stop();
        peer = start(there, &peer_data, here);
        client::wait_until_read(there);
        client::wait_until_equal(here, there);
        let count = random.usize(1..400);
        let told = write_until(here, count, &mut random, |random| {
            if random.u8(..4) == 0 {
                node.stop();
            } else {
                sleep(Duration::from_micros(random.u64(..5000)));
                node.kill();
            }
        });
        ledger.join(told);
    }
    sources.dedup();
    assert_eq!(sources.len(), 1, "a journal keeps its source: {sources:?}");
    let _node = start(here, &node_data, there);
    ledger.check(here);
    peer.stop();
    let _peer = start(there, &peer_data, here);
    client::wait_until_equal(here, there);
    let untold = ledger.check(there);
    assert_eq!(untold, ledger.check(here));
    println!("{} were acknowledged, {untold} were kept without", ledger.accepted());
}
