//! A disk that fails, or takes its time, by way of `strace`, which answers in the system's place.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, request};
use crate::harness::{PATIENCE, Port, Scratch, has_strace, skip, wait_for};
use crate::ledger::{Ledger, next_mark, patch, write_to_the_end};
use crate::process::Process;

/// The command that runs another one some of whose system calls are answered as `inject` says; none
/// if that is not possible.
fn strace(inject: &str) -> Option<Vec<String>> {
    if !has_strace() {
        skip("there is no strace, or it may not trace");
        return None;
    }
    let (call, _) = inject.split_once(':')?;
    let (trace, inject) = (format!("trace={call}"), format!("inject={inject}"));
    // As a grandchild (-D), so that the node is our own child, with its exit status.
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    Some(strace.map(str::to_owned).to_vec())
}

/// The same for the node that runs alone, and where it listens.
fn start(scratch: &Scratch, inject: &str) -> Option<(Process, SocketAddr)> {
    let strace = strace(inject)?;
    let strace: Vec<&str> = strace.iter().map(String::as_str).collect();
    Some(Process::node_by(scratch, &strace, "127.0.0.1:0", &scratch.path("data"), &[]))
}

/// A node whose disk fails under many writers ends, and has kept all that was acknowledged.
fn check_end(inject: &str) {
    let Some(strace) = strace(inject) else { return };
    let strace: Vec<&str> = strace.iter().map(String::as_str).collect();
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let ports = [Port::reserve(), Port::reserve()];
    let [address, peer_address] = [ports[0].address, ports[1].address];
    let (mut node, _peer) = Process::pair_by(&scratch, &strace, &ports, &data);
    client::wait_until_connected(peer_address);
    let (sender, _counted) = channel();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let sender = sender.clone();
            thread::spawn(move || write_to_the_end(address, writer, writer as u64, sender))
        })
        .collect();
    let mut ledger = Ledger::default();
    for writer in writers {
        ledger.join(writer.join().unwrap());
    }
    let status = node.wait_for_exit();
    assert_eq!(status.code(), Some(1), "{inject}: {}", node.stderr());
    let last = node.last_words();
    assert!(last.starts_with("patchmesh: the journal cannot be written"), "{inject}: {last}");
    assert!(last.contains("Input/output error"), "{inject}: {last}");
    assert!(ledger.accepted() > 0, "{inject}: it failed too early");
    let sent = client::log(peer_address);
    let (_node, address) = Process::node(&scratch, address, &data, &[]);
    ledger.check(address);
    let kept = client::log(address);
    assert!(sent.iter().all(|line| kept.contains(line)), "{inject}: something was sent too early");
    client::post(address, &patch(0, next_mark(), 10));
}

#[test]
fn a_sync_that_fails_ends_the_node() {
    // Each thread counts its calls for itself; one of them is the first.
    check_end("fdatasync:error=EIO:when=20+");
}

#[test]
fn a_write_that_fails_ends_the_node() {
    check_end("pwrite64:error=EIO:when=20+");
}

#[test]
fn a_sync_that_fails_for_want_of_room_ends_the_node_too() {
    let scratch = Scratch::new();
    let Some((mut node, address)) = start(&scratch, "fdatasync:error=ENOSPC:when=5+") else {
        return;
    };
    let mut ledger = Ledger::default();
    let (sender, _counted) = channel();
    ledger.join(write_to_the_end(address, 0, 1, sender));
    assert_eq!(node.wait_for_exit().code(), Some(1));
    assert!(node.last_words().contains("No space left"), "{}", node.last_words());
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &scratch.path("data"), &[]);
    ledger.check(address);
}

#[test]
fn writes_that_have_no_room_now_and_then_are_refused_and_leave_no_trace() {
    let scratch = Scratch::new();
    let Some((mut node, address)) = start(&scratch, "pwrite64:error=ENOSPC:when=4+3") else {
        return;
    };
    let mut ledger = Ledger::default();
    let (mut accepted, mut refused) = (0, 0);
    while accepted < 50 || refused < 10 {
        let mark = next_mark();
        let answer = request(address, "POST", "/replace", &patch(0, mark, 100));
        assert!(ledger.note(mark, answer.status, answer.text().trim_end().to_owned()));
        if answer.status == 200 {
            accepted += 1
        } else {
            refused += 1
        }
        assert!(accepted + refused < 5000, "{accepted} accepted, {refused} refused");
    }
    assert_eq!(ledger.check(address), 0);
    let document = client::document(address);
    node.kill();
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &scratch.path("data"), &[]);
    assert_eq!(ledger.check(address), 0);
    assert_eq!(client::document(address), document);
}

#[test]
fn nobody_hears_of_a_transaction_before_the_disk_has_it() {
    if !has_strace() {
        return skip("there is no strace, or it may not trace");
    }
    const DELAY: Duration = Duration::from_millis(700);
    let scratch = Scratch::new();
    // Every sync takes its time: that of the journal's beginning, too.
    let Some((_node, address)) =
        start(&scratch, &format!("fdatasync:delay_exit={}", DELAY.as_micros()))
    else {
        return;
    };
    let mut peer = Process::start(&scratch, &["127.0.0.1:0", &address.to_string()]);
    let peer_address = peer.address();
    client::wait_until_connected(peer_address);
    let mark = next_mark();
    let begin = Instant::now();
    let reader = thread::spawn(move || {
        wait_for("the journal to show it", || (client::length(peer_address) > 0).then_some(()));
        begin.elapsed()
    });
    let log_reader = thread::spawn(move || {
        // This does not ask the manager, which waits for the disk.
        wait_for("the journal to show it", || {
            let answer = request(address, "GET", "/log", "");
            (!answer.body.is_empty()).then_some(())
        });
        begin.elapsed()
    });
    let answer = request(address, "POST", "/replace", &patch(0, mark, 10));
    let answered = begin.elapsed();
    assert_eq!(answer.status, 200);
    assert!(answered < PATIENCE);
    for heard in [answered, reader.join().unwrap(), log_reader.join().unwrap()] {
        assert!(heard >= DELAY, "heard after {heard:?}");
    }
}
