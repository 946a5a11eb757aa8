//! A directory whose journal was folded: what is final is in a base, and what can be done with a whole journal can
//! be done with it, too.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::client;
use crate::harness::{Scratch, wait_for};
use crate::ledger::{next_mark, patch};
use crate::process::{Process, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names of a directory's files that begin like this.
fn names(data: &Path, begin: &str) -> Vec<String> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(begin)).collect();
    names.sort();
    names
}

/// A primary that keeps what is final for a second, and has folded something away.
fn folded(scratch: &Scratch, data: &Path) -> (Process, SocketAddr) {
    let options = ["--source", "main", "--primary", "--keep", "1s"];
    let (node, address) = Process::node(scratch, "127.0.0.1:0", data, &options);
    let mut writes = 0;
    wait_for("the first file to go", || {
        client::post(address, &patch(writes % 5, next_mark(), 200));
        writes += 1;
        (!data.join("journal").exists()).then_some(())
    });
    assert!(!names(data, "base-").is_empty());
    (node, address)
}

/// Starts a node that is no primary in a directory, and has it be as it should be.
#[track_caller]
fn check(scratch: &Scratch, data: &Path, document: &str) {
    let (mut node, address) = Process::node(scratch, "127.0.0.1:0", data, &["--source", "main"]);
    assert_eq!(client::document(address).0, document);
    client::post(address, &patch(1, next_mark(), 10));
    node.stop();
    let (status, report, error) = run(&["verify", text(data)]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{report}");
}

#[test]
fn a_folded_directory_starts_and_is_verified_backed_up_and_restored() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let (mut node, address) = folded(&scratch, &data);
    let running = scratch.path("running");
    let (status, _, error) = run(&["backup", &format!("http://{address}"), text(&running)]);
    assert_eq!(status, Some(0), "{error}");
    let document = client::document(address).0;
    node.kill();

    let (status, report, error) = run(&["verify", text(&data)]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    for base in names(&data, "base-") {
        assert!(report.contains(&format!("{base}, good")), "{report}");
    }
    let backup = scratch.path("backup");
    let (status, _, error) = run(&["backup", text(&data), text(&backup)]);
    assert_eq!(status, Some(0), "{error}");
    for (number, backup) in [running, backup].iter().enumerate() {
        let restored = scratch.path(format_args!("restored{number}"));
        let (status, _, error) = run(&["restore", text(backup), text(&restored)]);
        assert_eq!(status, Some(0), "{error}");
        check(&scratch, &restored, &document);
    }
    check(&scratch, &data, &document);
}

#[test]
fn a_damaged_directory_is_mended_by_a_peer_that_has_folded() {
    let scratch = Scratch::new();
    let [data, broken] = ["data", "broken"].map(|name| scratch.path(name));
    let (_node, address) = folded(&scratch, &data);
    let (mut other, there) = Process::node(
        &scratch,
        "127.0.0.1:0",
        &broken,
        &["--source", "other", &address.to_string()],
    );
    client::wait_until_equal(address, there);
    other.stop();
    // What only this one has, and what is damaged of the rest.
    let (mut alone, there) =
        Process::node(&scratch, "127.0.0.1:0", &broken, &["--source", "other"]);
    client::post(there, &patch(9, next_mark(), 10));
    alone.kill();
    let base = broken.join(names(&broken, "base-").pop().unwrap());
    let mut bytes = fs::read(&base).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&base, bytes).unwrap();
    let (status, _, error) = run(&["127.0.0.1:0", "--data", text(&broken)]);
    assert_eq!(status, Some(1), "{error}");
    assert!(
        error.contains("on a base that cannot be used") && error.contains("--rebuild-from"),
        "{error}"
    );

    let peer = address.to_string();
    let (status, said, error) = run(&["verify", text(&broken), "--rebuild-from", &peer]);
    assert_eq!(status, Some(0), "{said}{error}");
    let (status, report, error) = run(&["verify", text(&broken)]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{report}");
    let (_mended, there) =
        Process::node(&scratch, "127.0.0.1:0", &broken, &["--source", "other", &peer]);
    assert!(client::document(there).0.contains("\"writer9\""));
    // A peer that has begun from the base goes on from there.
    client::post(address, &patch(1, next_mark(), 10));
    wait_for("the same writes", || {
        let [here, there] = [address, there].map(|node| client::document(node).0);
        let without = |text: &str| {
            let before = text.split("\"writer9\"").next().unwrap();
            before.trim_end_matches([',', '}']).to_owned()
        };
        (without(&here) == without(&there)).then_some(())
    });
}
