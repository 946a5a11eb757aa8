//! Directories that cannot be used.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use patchmesh::internals::journal::Header;

use crate::client;
use crate::harness::{self, Borrowed, Scratch, TemporaryDirectory, skip};
use crate::ledger::{next_mark, patch};
use crate::process::{Process, run};

/// A node cannot start with this directory, and says so in one line.
#[track_caller]
fn check_refused(data: &Path, why: &str) {
    check_refused_by(harness::binary(), data, why);
}

/// The same of the program that this command runs.
#[track_caller]
fn check_refused_by(mut program: Command, data: &Path, why: &str) {
    let output = harness::run(program.args(["127.0.0.1:0", "--data"]).arg(data));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("patchmesh: "), "{stderr}");
    assert!(stderr.contains(why), "{stderr}");
    assert!(stderr.contains(data.to_str().unwrap()), "{stderr}");
}

/// The source of a node, as it says itself.
fn source(node: &Process) -> String {
    let line = node.stdout();
    let (_, rest) = line.split_once("source ").unwrap_or_else(|| panic!("{line:?}"));
    rest.split(", ").next().unwrap().to_owned()
}

#[test]
fn a_second_process_is_kept_out_and_the_first_goes_on() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    let source = source(&node);
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
    // The lock goes with the process, however it ends, and the source goes on.
    node.kill();
    let (next, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert_eq!(self::source(&next), source);
    assert_eq!(client::length(address), 2);
}

#[test]
fn a_directory_that_cannot_be_made_or_used_is_one_clear_line() {
    let scratch = Scratch::new();
    let file = scratch.path("file");
    fs::write(&file, "not a directory").unwrap();
    check_refused(&file, "file/lock: Not a directory");
    check_refused(&file.join("below"), "file/below: Not a directory");
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a directory");
    let dangling = scratch.path("dangling");
    symlink(scratch.path("nowhere"), &dangling).unwrap();
    check_refused(&dangling, "dangling: ");
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

/// The program as a user whom permissions hold up. If this test runs as the superuser, the program runs as nobody,
/// from a place where nobody can read it.
fn without_privileges(directory: &TemporaryDirectory) -> Command {
    if !rustix::process::geteuid().is_root() {
        return harness::binary();
    }
    const NOBODY: u32 = 65534;
    let copy = directory.join("patchmesh");
    // By another process: while this one had the copy open to write, a process that another test begins would inherit
    // that, and a file that is open to write cannot be run.
    let copied = Command::new("cp").arg(harness::binary().get_program()).arg(&copy).status();
    assert!(copied.unwrap().success());
    set_mode(&copy, 0o755);
    set_mode(&directory.0, 0o755);
    let mut program = Command::new(copy);
    program.env_clear().uid(NOBODY).gid(NOBODY);
    program
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_permissions_do_not_allow_is_one_clear_line() {
    let (program, temporary) =
        (TemporaryDirectory::new("program"), TemporaryDirectory::new("refused"));
    set_mode(&temporary.0, 0o755);
    let check = |data: &Path, why| check_refused_by(without_privileges(&program), data, why);
    let make = |name| {
        let path = temporary.join(name);
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o777);
        path
    };

    let parent = make("parent");
    set_mode(&parent, 0o555);
    check(&parent.join("data"), "parent/data: Permission denied");
    set_mode(&parent, 0o777);

    let closed = make("closed");
    set_mode(&closed, 0o000);
    check(&closed, "Permission denied");
    set_mode(&closed, 0o777);

    let unwritable = make("unwritable");
    set_mode(&unwritable, 0o555);
    check(&unwritable, "unwritable/lock: Permission denied");
    set_mode(&unwritable, 0o777);

    for (name, mode) in [("unreadable-journal", 0o000), ("unwritable-journal", 0o444)] {
        let path = make(name);
        let (journal, lock) = (path.join("journal"), path.join("lock"));
        let header = Header::new("node~1".parse().unwrap()).line();
        fs::write(&journal, &header).unwrap();
        fs::write(&lock, "").unwrap();
        set_mode(&lock, 0o666);
        set_mode(&journal, mode);
        check(&path, "journal: Permission denied");
        set_mode(&journal, 0o644);
        assert_eq!(fs::read(&journal).unwrap(), header);
    }
}
