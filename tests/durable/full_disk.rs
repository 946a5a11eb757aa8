//! A disk that is full, and gets room again.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::client::{self, request};
use crate::harness::{Answer, Borrowed, Port, Scratch, skip, wait_for};
use crate::ledger::{Ledger, next_mark, patch};
use crate::process::{Process, run};

/// Writes until there is no room, and returns the answer that says so.
#[track_caller]
fn fill(node: SocketAddr, ledger: &mut Ledger) -> Answer {
    for _ in 0..10_000 {
        let answer = write(node, ledger, 20_000);
        if answer.status != 200 {
            return answer;
        }
    }
    panic!("there is always room");
}

#[track_caller]
fn write(node: SocketAddr, ledger: &mut Ledger, bytes: usize) -> Answer {
    let mark = next_mark();
    let answer = request(node, "POST", "/replace", &patch(0, mark, bytes));
    ledger.note(mark, answer.status, answer.text().trim_end().to_owned());
    answer
}

/// What holds of a node without room, to which `peer` listens and to which it listens.
#[track_caller]
fn check_full(node: SocketAddr, peer: SocketAddr, ledger: &mut Ledger, refusal: &Answer) {
    assert_eq!(refusal.status, 507, "{}", refusal.text());
    assert_eq!(refusal.header("Content-Type"), Some("application/problem+json"));
    let problem = refusal.json();
    assert_eq!(problem["status"], 507);
    assert!(problem["detail"].as_str().unwrap().contains("journal"), "{problem}");
    for target in ["/get", "/get/writer0", "/vclock", "/log", "/conflicts", "/peers"] {
        client::get(node, target);
    }
    assert_eq!(request(node, "POST", "/replace", "[").status, 400);
    let health = request(node, "GET", "/healthz", "");
    assert_eq!(health.status, 503);
    assert!(health.text().contains("the journal cannot grow"), "{}", health.text());
    assert_eq!(health.json()["troubles"][0]["kind"], "journal-full");
    assert_eq!(request(node, "GET", "/healthz/ready", "").status, 503);
    client::get(node, "/healthz/live");
    // The peer gets all that was acknowledged, and nothing else.
    client::wait_until_equal(node, peer);
    assert_eq!(ledger.check(node), 0);
    assert_eq!(ledger.check(peer), 0);
    // What the peer writes does not fit, and harms nobody.
    let mark = next_mark();
    ledger.note(mark, 200, client::post(peer, &patch(1, mark, 20_000)));
    wait_for("the upstream to say that there is no room", || {
        let peers = client::get(node, "/peers").json();
        let error = peers["upstreams"][0]["error"].as_str()?.to_owned();
        error.contains("journal cannot grow").then_some(())
    });
    assert_eq!(client::length(node) + 1, client::length(peer));
}

/// What holds of a node that has room again.
#[track_caller]
fn check_room(node: SocketAddr, peer: SocketAddr, ledger: &mut Ledger) {
    for _ in 0..10 {
        let answer = write(node, ledger, 1000);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    client::get(node, "/healthz");
    client::wait_until_equal(node, peer);
    assert_eq!(ledger.check(node), 0);
}

#[track_caller]
fn verify(data: &Path) {
    let (status, report, error) = run(&["verify", data.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{error}");
    assert!(!report.contains("torn"), "{report}");
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    let Some(_mounted) = Borrowed::tmpfs(&disk, "2m") else {
        return skip("a tmpfs cannot be mounted here");
    };
    let filler = disk.join("filler");
    std::fs::write(&filler, vec![0; 900 << 10]).unwrap();
    let data = disk.join("data");
    let ports = [Port::reserve(), Port::reserve()];
    let [address, peer_address] = [ports[0].address, ports[1].address];
    let (mut node, mut peer) = Process::pair_by(&scratch, &[], &ports, &data);
    let mut ledger = Ledger::default();
    let refusal = fill(address, &mut ledger);
    assert!(ledger.accepted() > 20, "{}", ledger.accepted());
    check_full(address, peer_address, &mut ledger, &refusal);
    // Where a large one has no room, a small one may have.
    for _ in 0..100 {
        write(address, &mut ledger, 10);
    }
    std::fs::remove_file(&filler).unwrap();
    check_room(address, peer_address, &mut ledger);
    // And again, with an end by kill -9 while it is full.
    let refusal = fill(address, &mut ledger);
    assert_eq!(refusal.status, 507);
    let document = client::document(address);
    node.kill();
    verify(&data);
    peer.stop();
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert_eq!(ledger.check(address), 0);
    assert_eq!(client::document(address), document);
    assert_eq!(fill(address, &mut ledger).status, 507);
    node.stop();
    verify(&data);
}

#[test]
fn a_directory_on_a_full_disk_is_one_clear_line() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    let Some(_mounted) = Borrowed::tmpfs(&disk, "64k") else {
        return skip("a tmpfs cannot be mounted here");
    };
    let filler = disk.join("filler");
    std::fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    let data = disk.join("data");
    let (status, stdout, stderr) = run(&["127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!((status, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("No space left"), "{stderr}");
    // Nothing that it left behind is in its way when there is room.
    std::fs::remove_file(&filler).unwrap();
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    client::post(address, &patch(0, next_mark(), 10));
}

#[test]
fn a_limit_of_a_files_length_refuses_writes_and_goes_on_when_it_is_lifted() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let ports = [Port::reserve(), Port::reserve()];
    let [address, peer_address] = [ports[0].address, ports[1].address];
    // In blocks of 512 bytes, or of 1024 in some shells. The output's files keep below that.
    let limited = ["sh", "-c", r#"ulimit -S -f 256 && exec "$@""#, "sh"];
    let (mut node, _peer) = Process::pair_by(&scratch, &limited, &ports, &data);
    let mut ledger = Ledger::default();
    let refusal = fill(address, &mut ledger);
    check_full(address, peer_address, &mut ledger, &refusal);
    let process = format!("--pid={}", node.id());
    match Command::new("prlimit").args([&process, "--fsize=unlimited"]).status() {
        Ok(status) if status.success() => check_room(address, peer_address, &mut ledger),
        _ => skip("the limit cannot be lifted without prlimit; all before that is good"),
    }
    node.stop();
    verify(&data);
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    ledger.check(address);
}
