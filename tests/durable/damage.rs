//! Damage is noticed while the node runs, told truly, and stops only what needs the damaged part; and
//! what was acknowledged and is gone is never passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use patchmesh::internals::journal::{Header, SegmentBegin, push_batch};

use crate::client;
use crate::harness::{PlainNode, Port, Scratch, seeds, wait_for};
use crate::ledger::{next_mark, patch};
use crate::process::{Process, run};

/// How many transactions there are before a test begins.
const OLD: u64 = 6000;

/// The time of the first of them.
const BEGIN: u64 = 1_763_888_400_000_000;

fn line(source: &str, id: u64, micros: u64) -> String {
    format!(
        r#"{{"Source":"{source}","Id":{id},"Payload":"[{{\"op\":\"add\",\"path\":\"/member{}\",\"value\":{id}}}]","Time":{micros}}}"#,
        id % 100
    )
}

/// A directory with [`OLD`] transactions and a checkpoint.
fn old_directory(scratch: &Scratch) -> PathBuf {
    let data = scratch.path("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let mut text = Header::new("old~1".parse().unwrap()).line();
    for batch in 0..OLD / 10 {
        let ids = batch * 10 + 1..=batch * 10 + 10;
        let lines: Vec<String> = ids.map(|id| line("old~1", id, BEGIN + 10 * id)).collect();
        push_batch(&mut text, lines.iter().map(String::as_str), batch + 1);
    }
    fs::write(data.join("journal"), text).unwrap();
    let (mut node, _) = Process::node(scratch, "127.0.0.1:0", &data, &[]);
    node.stop();
    assert_eq!(checkpoints(&data).len(), 1);
    data
}

fn checkpoints(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.to_str().unwrap().contains("checkpoint-");
    entries.filter(is_one).collect()
}

/// Changes a byte of the payload of the transaction `id`; says where its line begins.
fn damage(data: &Path, id: u64) -> usize {
    let journal = data.join("journal");
    let text = fs::read_to_string(&journal).unwrap();
    let begin = text.find(&format!("{{\"Source\":\"old~1\",\"Id\":{id},")).unwrap();
    let at = begin + text[begin..].find("value").unwrap();
    let file = OpenOptions::new().write(true).open(&journal).unwrap();
    file.write_all_at(b"w", at as u64).unwrap();
    begin
}

fn healthz(address: SocketAddr) -> (u16, String) {
    let answer = client::request(address, "GET", "/healthz", "");
    (answer.status, answer.text().to_owned())
}

#[track_caller]
fn wait_until_damaged(address: SocketAddr, offset: usize) {
    let problem = wait_for("the damage to be found", || {
        let (status, text) = healthz(address);
        (status == 503).then_some(text)
    });
    assert!(problem.contains("journal-damaged"), "{problem}");
    assert!(problem.contains(&format!("offset {offset}:")), "{problem}");
    assert!(problem.contains("data/journal"), "{problem}");
    let metrics = client::get(address, "/metrics");
    assert!(metrics.text().contains("patchmesh_journal_damaged 1\n"), "{}", metrics.text());
}

#[test]
fn a_changed_byte_is_found_after_the_start_and_stops_only_what_needs_it() {
    let scratch = Scratch::new();
    let data = old_directory(&scratch);
    let late = PlainNode::listen();
    let (mut node, address) =
        Process::node(&scratch, "127.0.0.1:0", &data, &[&late.address().to_string()]);
    let mut stream = late.accept();
    // A peer that has all.
    let (_peer, peer) = Process::node(
        &scratch,
        "127.0.0.1:0",
        &scratch.path("peer"),
        &["--source", "peer", &address.to_string()],
    );
    client::wait_until_equal(address, peer);
    node.stop();
    drop(stream);

    let offset = damage(&data, OLD / 4);
    let (node, address) =
        Process::node(&scratch, address, &data, &[&late.address().to_string(), &peer.to_string()]);
    let ready = client::request(address, "GET", "/healthz/ready", "");
    assert_eq!(ready.status, 200, "{}", ready.text());
    wait_until_damaged(address, offset);
    assert_eq!(node.stderr().matches("--rebuild-from").count(), 1, "{}", node.stderr());

    // New writes go on, and the peer is fed.
    client::post(address, &patch(1, next_mark(), 10));
    client::wait_until_equal(address, peer);

    // A late arrival that needs the damaged part is not accepted, for the true reason; what is posted
    // meanwhile is.
    stream = late.accept();
    stream.send(line("late~1", 1, BEGIN + 15));
    for _ in 0..20 {
        client::post(address, &patch(2, next_mark(), 10));
    }
    let farewell = stream.close_frame();
    let text = format!("{farewell:?}");
    assert!(text.contains("damaged at offset"), "{text}");
    assert!(!text.contains("grow"), "{text}");
    assert_eq!(client::vclock(address).get("late~1"), None);
    client::wait_until_equal(address, peer);
    let (_, text) = healthz(address);
    assert!(!text.contains("grow"), "{text}");

    // A node that needs it all gets what is before it.
    let (_fresh, fresh) = Process::node(
        &scratch,
        "127.0.0.1:0",
        &scratch.path("fresh"),
        &["--source", "fresh", &address.to_string()],
    );
    wait_for("the reason", || {
        let peers = client::get(fresh, "/peers").text().to_owned();
        peers.contains("damaged at offset").then_some(())
    });
    let log = client::request(address, "GET", &format!("/log?from={}", OLD / 4), "");
    assert_eq!(log.status, 500, "{}", log.text());
    assert!(log.text().contains(&format!("damaged at offset {offset}")), "{}", log.text());
    assert_eq!(client::get(address, "/log?from=100&limit=3").text().lines().count(), 3);
}

/// A journal whose end was cut off has lost what was acknowledged, which its checkpoint proves.
#[test]
fn a_journal_without_its_end_starts_as_a_new_life_only() {
    let scratch = Scratch::new();
    let data = old_directory(&scratch);
    let journal = data.join("journal");
    let text = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let short = lines[..lines.len() - 3].concat();
    fs::write(&journal, &short).unwrap();

    let directory = data.to_str().unwrap();
    let (status, stdout, stderr) = run(&["127.0.0.1:0", "--data", directory]);
    assert_eq!((status, stdout.as_str()), (Some(1), ""), "{stderr}");
    let stderr = stderr.lines().last().unwrap();
    for part in ["number 6000 of old~1", "--new-life", "--rebuild-from", "acknowledged"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&journal).unwrap(), short);
    let (status, _, stderr) = run(&["verify", directory]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("number 6000 of old~1"), "{stderr}");

    let (status, said, stderr) = run(&["verify", directory, "--new-life"]);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(said.contains("its source is old~"), "{said}");
    assert!(checkpoints(&data).is_empty());
    let (status, report, stderr) = run(&["verify", directory]);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(report.contains("\nlives: old~1, old~"), "{report}");

    // The life that was begun goes on, from a checkpoint as well.
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    let first = client::post(address, &patch(1, next_mark(), 10));
    assert!(!first.contains("\"old~1\"") && first.contains("\"Source\":\"old~"), "{first}");
    node.stop();
    assert_eq!(checkpoints(&data).len(), 1);
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert!(!node.stderr().contains("read from 0 on"), "{}", node.stderr());
    let second = client::post(address, &patch(1, next_mark(), 10));
    assert_eq!(first.split_once(',').unwrap().0, second.split_once(',').unwrap().0);
    assert!(second.contains("\"Id\":2,"), "{second}");
    node.stop();

    // A backup of it that is restored begins a life of its own.
    let backup = scratch.path("backup");
    let backup = backup.to_str().unwrap();
    let (status, _, stderr) = run(&["backup", directory, backup]);
    assert_eq!(status, Some(0), "{stderr}");
    let restored = scratch.path("restored");
    let (status, said, stderr) = run(&["restore", backup, restored.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{stderr}");
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &restored, &[]);
    let third = client::post(address, &patch(1, next_mark(), 10));
    let source = said.trim_end().rsplit_once(' ').unwrap().1;
    assert!(third.contains(source), "{third} {said}");
}

#[test]
fn a_directory_whose_journal_is_gone_is_not_begun_anew() {
    let scratch = Scratch::new();
    let data = old_directory(&scratch);
    fs::remove_file(data.join("journal")).unwrap();
    let (status, stdout, stderr) = run(&["127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!((status, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
    assert!(stderr.contains("the journal is gone"), "{stderr}");
    assert!(!data.join("journal").exists());
}

/// What is written to a file that nobody will find again is not acknowledged.
#[test]
fn a_journal_that_is_taken_away_while_the_node_runs_takes_no_more() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let journal = data.join("journal");
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    client::post(address, &patch(1, next_mark(), 10));
    let away = scratch.path("away");
    let ways: [(&str, &dyn Fn()); 3] = [
        ("taken away", &|| fs::rename(&journal, &away).unwrap()),
        ("another file", &|| {
            fs::rename(&journal, &away).unwrap();
            fs::copy(&away, &journal).unwrap();
        }),
        ("cut off", &|| {
            fs::copy(&journal, &away).unwrap();
            OpenOptions::new().write(true).truncate(true).open(&journal).unwrap();
        }),
    ];
    for (why, harm) in ways {
        let inode = fs::metadata(&journal).unwrap().ino();
        harm();
        let (document, _) = client::document(address);
        let refused = client::request(address, "POST", "/replace", &patch(1, next_mark(), 10));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains(why), "{}", refused.text());
        assert_eq!(client::document(address).0, document);
        let (status, problem) = healthz(address);
        assert_eq!(status, 503);
        assert!(problem.contains("journal-lost") && problem.contains(why), "{problem}");
        // It is put back, and then all is well.
        if fs::metadata(&away).unwrap().ino() == inode {
            fs::rename(&away, &journal).unwrap();
        } else {
            fs::write(&journal, fs::read(&away).unwrap()).unwrap();
        }
        wait_for("the journal to be found", || (healthz(address).0 == 200).then_some(()));
        client::post(address, &patch(1, next_mark(), 10));
    }
    // Nobody writes, and it is noticed all the same.
    fs::remove_file(&journal).unwrap();
    wait_for("the loss to be noticed", || (healthz(address).0 == 503).then_some(()));
    // What the node has can be saved.
    let backup = scratch.path("backup");
    let (status, _, stderr) =
        run(&["backup", &format!("http://{address}"), backup.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{stderr}");
    let restored = scratch.path("restored");
    let (status, _, stderr) =
        run(&["restore", backup.to_str().unwrap(), restored.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{stderr}");
    let document = client::document(address);
    node.kill();
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &restored, &[]);
    assert_eq!(client::document(address).0, document.0);
}

#[test]
fn the_journal_itself_keeps_a_second_node_out() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let (_node, _) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    fs::remove_file(data.join("lock")).unwrap();
    for arguments in [
        &["127.0.0.1:0", "--data", data.to_str().unwrap()][..],
        &["verify", data.to_str().unwrap()],
    ] {
        let (status, _, stderr) = run(arguments);
        assert_eq!(status, Some(1));
        assert!(stderr.contains("in use by another process"), "{stderr}");
    }
}

#[test]
fn a_directory_and_what_is_in_it_are_for_their_owner() {
    let scratch = Scratch::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = old_directory(&scratch);
    let made = scratch.path("made").join("below");
    let (mut node, _) = Process::node(&scratch, "127.0.0.1:0", &made, &[]);
    node.stop();
    assert_eq!(mode(&made), 0o700);
    for path in [made.join("lock"), made.join("journal"), checkpoints(&data)[0].clone()] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    // What others may read is told, once.
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let (node, _) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert_eq!(node.stderr().matches("other users of this machine").count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_backup_follows_no_link_and_can_go_to_standard_output() {
    let scratch = Scratch::new();
    let data = old_directory(&scratch);
    let (directory, file) = (data.to_str().unwrap(), scratch.path("backup"));
    let target = scratch.path("target");
    fs::write(&target, "precious").unwrap();
    for link in [scratch.path("backup.new"), file.clone()] {
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let (status, _, stderr) = run(&["backup", directory, file.to_str().unwrap()]);
        assert_eq!(status, Some(1), "{stderr}");
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");

    let backup = |from: &str| {
        let stdout = fs::File::create(&file).unwrap();
        let mut command = crate::harness::binary();
        let status = command.args(["backup", from, "-"]).stdout(stdout).status().unwrap();
        assert!(status.success(), "{status}");
        fs::read_to_string(&file).unwrap()
    };
    let journal = fs::read_to_string(data.join("journal")).unwrap();
    assert!(backup(directory) == journal);
    assert!(!Path::new("-").exists());
    let (node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    backup(&format!("http://{address}"));
    let restored = scratch.path("restored");
    let stdin = fs::File::open(&file).unwrap();
    let restore = crate::harness::binary()
        .args(["restore", "-", restored.to_str().unwrap()])
        .stdin(stdin)
        .output()
        .unwrap();
    assert!(restore.status.success(), "{restore:?}");
    let document = client::document(address).0;
    drop(node);
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &restored, &[]);
    assert_eq!(client::document(address).0, document);
    let names = fs::read_dir(&restored).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_str().unwrap().contains("new")));
}

/// Mends the directory with what the peer has; returns what is said, and what went on.
#[track_caller]
fn rebuild(data: &Path, peer: SocketAddr) -> (String, String) {
    let (status, said, told) =
        run(&["verify", data.to_str().unwrap(), "--rebuild-from", &peer.to_string()]);
    assert_eq!(status, Some(0), "{said}{told}");
    let (status, report, stderr) = run(&["verify", data.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{report}{stderr}");
    (said, told)
}

/// All that is in the directory, by name.
fn content(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// A directory, and a peer in memory that has all of it.
fn with_peer(scratch: &Scratch) -> (PathBuf, Process, SocketAddr) {
    let data = old_directory(scratch);
    let (mut node, address) = Process::node(scratch, "127.0.0.1:0", &data, &[]);
    let mut peer =
        Process::start(scratch, &["127.0.0.1:0", &address.to_string(), "--source", "peer"]);
    let there = peer.address();
    client::wait_until_equal(address, there);
    node.stop();
    (data, peer, there)
}

/// Nodes with these directories or none, that dial this one, come to one document.
#[track_caller]
fn check_equal_after(scratch: &Scratch, data: &Path, there: SocketAddr) -> (Process, SocketAddr) {
    let (node, here) = Process::node(scratch, "127.0.0.1:0", data, &[&there.to_string()]);
    let mut second = Process::start(
        scratch,
        &["127.0.0.1:0", &here.to_string(), &there.to_string(), "--source", "second"],
    );
    let second_address = second.address();
    wait_for("equal documents", || {
        (client::vclock(here) == client::vclock(second_address)).then_some(())
    });
    assert_eq!(client::document(here), client::document(second_address));
    assert_eq!(healthz(here).0, 200, "{}", healthz(here).1);
    (node, here)
}

#[test]
fn a_damaged_journal_is_mended_and_keeps_what_only_it_has() {
    let scratch = Scratch::new();
    let (data, _peer, there) = with_peer(&scratch);
    // Writes that the peer never gets.
    let (mut node, here) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    let marks: Vec<u64> = (0..20).map(|_| next_mark()).collect();
    for mark in &marks {
        client::post(here, &patch(*mark as usize, *mark, 10));
    }
    let before = client::document(here).0;
    let length = client::length(here);
    node.stop();
    // A byte, and a line feed, which makes two good lines one that is none.
    damage(&data, OLD / 4);
    let journal = data.join("journal");
    let bytes = fs::read(&journal).unwrap();
    let feed = bytes[..bytes.len() / 2].iter().rposition(|byte| *byte == b'\n').unwrap();
    let file = OpenOptions::new().write(true).open(&journal).unwrap();
    file.write_all_at(b"\x0b", feed as u64).unwrap();
    let damaged = fs::read(&journal).unwrap();
    assert_eq!(run(&["verify", data.to_str().unwrap()]).0, Some(1));

    let (said, told) = rebuild(&data, there);
    assert!(said.contains(&format!("{OLD} of {there} and 20 that only")), "{said}");
    assert!(told.contains("2 lines are damaged"), "{told}");
    let kept = said.trim_end().rsplit_once(' ').unwrap().1;
    assert!(fs::read(kept).unwrap() == damaged, "{kept}");
    let (node, here) = check_equal_after(&scratch, &data, there);
    assert_eq!(client::document(here).0, before);
    assert_eq!(client::length(here), length);
    // The names stay: a transaction is found as it was acknowledged.
    let fate = client::get(here, "/transaction?source=old~1&id=6020");
    assert!(fate.text().contains("applied"), "{}", fate.text());
    let own = client::post(here, &patch(1, next_mark(), 10));
    assert!(own.contains("\"Source\":\"old~") && !own.contains("old~1\""), "{own}");
    drop(node);
}

#[test]
fn what_was_cut_off_comes_back_from_a_peer_that_has_it_and_from_no_other() {
    let scratch = Scratch::new();
    let (data, _peer, there) = with_peer(&scratch);
    let (_other, other) =
        Process::node(&scratch, "127.0.0.1:0", &scratch.path("other"), &["--source", "other"]);
    let journal = data.join("journal");
    let text = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for kept in [lines.len() - 3, 1, 0] {
        fs::write(&journal, lines[..kept].concat()).unwrap();
        if kept == 0 {
            fs::remove_file(&journal).unwrap();
        }
        let before = content(&data);
        let directory = data.to_str().unwrap();
        let (status, _, stderr) = run(&["verify", directory, "--rebuild-from", &other.to_string()]);
        assert_eq!(status, Some(1), "{stderr}");
        assert!(stderr.contains("6000 of old~1"), "{stderr}");
        assert!(stderr.contains("Nothing was changed"), "{stderr}");
        assert!(content(&data) == before);
    }
    rebuild(&data, there);
    let (node, here) = check_equal_after(&scratch, &data, there);
    assert_eq!(client::length(here), OLD);
    drop(node);
}

#[test]
fn a_directory_put_back_to_an_old_copy_is_mended_with_both_sides_writes() {
    let scratch = Scratch::new();
    let (here_port, there_port) = (Port::reserve(), Port::reserve());
    let (here, there) = (here_port.to_string(), there_port.to_string());
    let data = old_directory(&scratch);
    let copy = scratch.path("copy");
    let (mut node, _) = Process::node(&scratch, &here, &data, &[&there]);
    node.stop();
    fs::create_dir(&copy).unwrap();
    for (path, bytes) in content(&data) {
        fs::write(copy.join(path.file_name().unwrap()), bytes).unwrap();
    }
    // The node writes, and its peer gets that.
    let (mut node, address) = Process::node(&scratch, &here, &data, &[&there]);
    let (_peer, peer) =
        Process::node(&scratch, &there, &scratch.path("peer"), &["--source", "peer", &here]);
    let writes = |address, writer: usize| {
        let write = |_| client::post(address, &patch(writer, next_mark(), 10));
        (0..20).map(write).collect::<Vec<_>>()
    };
    let theirs = writes(address, 1);
    client::wait_until_equal(address, peer);
    node.stop();
    // The old copy is put back, and written to before it meets its peers.
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&copy, &data).unwrap();
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    let ours = writes(address, 2);
    assert_eq!(
        ours[0].split_once(",\"Payload").unwrap().0,
        theirs[0].split_once(",\"Payload").unwrap().0
    );
    node.stop();
    // It meets its peer: both say what is the matter, and what to do.
    let (mut node, _) = Process::node(&scratch, &here, &data, &[&there]);
    wait_for("the message", || {
        (node.stderr().contains("old copy") && node.stderr().contains("--rebuild-from"))
            .then_some(())
    });
    node.stop();

    rebuild(&data, peer);
    let (_node, address) = Process::node(&scratch, &here, &data, &[&there]);
    client::wait_until_equal(address, peer);
    let document = client::document(address).0;
    for writer in ["\"writer1\"", "\"writer2\""] {
        assert!(document.contains(writer), "{document}");
    }
    assert_eq!(client::length(address), OLD + 40);
}

/// Whatever is damaged, all that can still be read is in the mended directory, beside what the peer has.
#[test]
fn whatever_is_damaged_nothing_that_can_be_read_is_lost() {
    const SHARED: u64 = 300;
    const OWN: u64 = 40;
    let scratch = Scratch::new();
    let lines = |ids: std::ops::RangeInclusive<u64>| {
        ids.map(|id| line("old~1", id, BEGIN + 10 * id)).collect::<Vec<_>>()
    };
    let journal = |count: u64| {
        let mut text = Header::new("old~1".parse().unwrap()).line();
        for (batch, lines) in (1..).zip(lines(1..=count).chunks(7)) {
            push_batch(&mut text, lines.iter().map(String::as_str), batch);
        }
        text
    };
    let shared = scratch.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("journal"), journal(SHARED)).unwrap();
    let (_peer, peer) = Process::node(&scratch, "127.0.0.1:0", &shared, &[]);
    let good = journal(SHARED + OWN);
    // The same in two files, the second of which begins with the batch 40.
    let in_two = {
        let first = good.windows(6).position(|bytes| bytes == b"\"40.1/").unwrap();
        let first = good[..first].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let (begin, end) = good.split_at(first);
        let header = Header::new("old~1".parse().unwrap());
        let header = header.next(
            None,
            SegmentBegin { position: 39 * 7, batch: 40, offset: begin.len() as u64, after: 0 },
        );
        let second = [&header.line(), end].concat();
        [("journal", begin.to_vec()), ("journal-0000000000000273", second)]
    };
    for seed in seeds(10) {
        let mut random = fastrand::Rng::with_seed(seed);
        let one = [("journal", good.clone())];
        let mut files = if seed.is_multiple_of(2) { one.to_vec() } else { in_two.to_vec() };
        for _ in 0..random.usize(1..5) {
            let count = files.len();
            let bytes = &mut files[random.usize(..count)].1;
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] ^= 1 << random.u8(..8),
                1 => {
                    let end = bytes.len().min(at + random.usize(1..3000));
                    bytes[at..end].fill_with(|| random.u8(..));
                }
                2 => {
                    let feeds: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
                    if let Some(at) = random.choice(feeds) {
                        bytes[at] = 0x0b;
                    }
                }
                _ if seed.is_multiple_of(4) => bytes.truncate(at),
                _ => bytes[at] = 0,
            }
        }
        let data = scratch.path(format_args!("damaged{seed}"));
        fs::create_dir(&data).unwrap();
        for (name, bytes) in &files {
            fs::write(data.join(name), bytes).unwrap();
        }
        let bytes: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        let directory = data.to_str().unwrap();
        let peer = peer.to_string();
        let arguments = ["verify", directory, "--rebuild-from", &peer, "--source", "old"];
        let (status, said, told) = run(&arguments);
        assert_eq!(status, Some(0), "PATCHMESH_SEED={seed}: {said}{told}");
        assert_eq!(run(&["verify", directory]).0, Some(0), "PATCHMESH_SEED={seed}");
        // All that was there is beside it.
        let aside = content(&data).into_iter();
        let aside = aside.filter(|(path, _)| path.to_str().unwrap().contains(".damaged-"));
        let aside: BTreeSet<Vec<u8>> = aside.map(|(_, bytes)| bytes).collect();
        assert!(aside == files.into_iter().map(|(_, bytes)| bytes).collect());
        assert!(!data.join("journal-0000000000000273").exists());
        let mended = fs::read_to_string(data.join("journal")).unwrap();
        let mut expected = SHARED;
        for sealed in String::from_utf8(good.clone()).unwrap().lines().skip(1 + SHARED as usize) {
            if memchr::memmem::find(&bytes, sealed.as_bytes()).is_some() {
                expected += 1;
                let (name, _) = sealed.split_once(",\"Payload").unwrap();
                assert!(mended.contains(name), "PATCHMESH_SEED={seed}: {name}");
            }
        }
        assert_eq!(mended.lines().count() as u64, 1 + expected, "PATCHMESH_SEED={seed}");
    }
}
