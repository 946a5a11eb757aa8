//! Directories that cannot be used.

use std::fs;
use std::path::Path;

use crate::client;
use crate::harness::{Borrowed, Scratch, skip};
use crate::ledger::{next_mark, patch};
use crate::process::{Process, run};

/// A node cannot start with this directory, and says so in one line.
#[track_caller]
fn check_refused(data: &Path, why: &str) {
    let (status, stdout, stderr) = run(&["127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!((status, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("patchmesh: "), "{stderr}");
    assert!(stderr.contains(why), "{stderr}");
    assert!(stderr.contains(data.to_str().unwrap()), "{stderr}");
}

#[test]
fn a_second_process_is_kept_out_and_the_first_goes_on() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    client::post(address, &patch(0, next_mark(), 10));
    check_refused(&data, "is in use by another process");
    for arguments in [
        &["verify", data.to_str().unwrap()][..],
        &["backup", data.to_str().unwrap(), scratch.path("backup").to_str().unwrap()],
    ] {
        let (status, stdout, stderr) = run(arguments);
        assert_eq!((status, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("in use by another process"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    client::post(address, &patch(0, next_mark(), 10));
    assert_eq!(client::length(address), 2);
    // The lock goes with the process, however it ends.
    node.kill();
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert_eq!(client::length(address), 2);
}

#[test]
fn a_directory_that_cannot_be_made_or_used_is_one_clear_line() {
    let scratch = Scratch::new();
    let file = scratch.path("file");
    fs::write(&file, "not a directory").unwrap();
    check_refused(&file, "Not a directory");
    check_refused(&file.join("below"), "Not a directory");
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a directory");
    // What is in the journal's place and is none.
    let data = scratch.path("data");
    fs::create_dir_all(data.join("journal")).unwrap();
    check_refused(&data, "Is a directory");
    fs::remove_dir(data.join("journal")).unwrap();
    for text in ["", "{}", "my diary\n"] {
        fs::write(data.join("journal"), text).unwrap();
        check_refused(&data, "damaged at offset 0");
        assert_eq!(fs::read_to_string(data.join("journal")).unwrap(), text);
    }
    fs::remove_file(data.join("journal")).unwrap();
    fs::remove_file(data.join("lock")).unwrap();
    fs::create_dir(data.join("lock")).unwrap();
    check_refused(&data, "Is a directory");
}

#[test]
fn a_read_only_directory_is_one_clear_line_and_changes_nothing() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    client::post(address, &patch(0, next_mark(), 10));
    node.stop();
    let journal = fs::read(data.join("journal")).unwrap();
    {
        let Some(_mounted) = Borrowed::read_only(&data) else {
            return skip("a read-only mount cannot be made here");
        };
        check_refused(&data, "Read-only file system");
    }
    assert_eq!(fs::read(data.join("journal")).unwrap(), journal);
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert_eq!(client::length(address), 1);
}

#[test]
fn a_directory_that_may_not_be_changed_is_one_clear_line() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    fs::create_dir(&data).unwrap();
    let Some(_immutable) = Borrowed::immutable(&data) else {
        return skip("a directory cannot be made immutable here");
    };
    check_refused(&data, "Operation not permitted");
    check_refused(&data.join("below"), "Operation not permitted");
}
