//! verify, backup and restore, and what becomes of damaged files.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;

use crate::client;
use crate::harness::{Client, PATIENCE, Port, Scratch};
use crate::ledger::{Ledger, next_mark, patch, write_to_the_end};
use crate::process::{Process, run};

/// Has a node accept so many transactions.
#[track_caller]
fn write(node: SocketAddr, count: usize) {
    let (sender, counted) = channel();
    let writers = [0, 1, 2, 3].map(|writer| {
        let sender = sender.clone();
        thread::spawn(move || write_to_the_end(node, writer, writer as u64, sender))
    });
    for _ in 0..count {
        counted.recv_timeout(PATIENCE).unwrap();
    }
    drop(counted);
    for writer in writers {
        writer.join().unwrap();
    }
}

/// A data directory with about so many transactions, after an end in order.
fn written(scratch: &Scratch, data: &Path, count: usize) -> Vec<String> {
    let (mut node, address) = Process::node(scratch, "127.0.0.1:0", data, &["--source", "old"]);
    write(address, count);
    let log = client::log(address);
    node.stop();
    log
}

/// The objects of the lines after a journal's first.
fn objects(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let object = |line: &str| line.rsplit_once(" \"").unwrap().0.to_owned();
    text.trim_end_matches('\0').lines().skip(1).map(object).collect()
}

/// The objects of all files of a directory's journal.
fn journal_objects(data: &Path) -> Vec<String> {
    let paths = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("journal"))
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| objects(path)).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The offset of a line in the middle of a file.
fn middle_line(bytes: &[u8]) -> usize {
    let middle = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() / 2;
    middle + bytes[middle..].iter().position(|byte| *byte == b'\n').unwrap() + 1
}

#[test]
fn verify_says_what_a_directory_has() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    write(address, 50);
    let (length, clock) = (client::length(address), client::vclock(address));
    let state = client::get(address, "/peers").json()["hash"]["state"].clone();
    node.kill();
    let (status, report, error) = run(&["verify", text(&data)]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    for line in [
        format!("transactions: {length}\n"),
        "skipped: 0\n".to_owned(),
        format!("vclock: {}\n", serde_json::to_string(&clock).unwrap()),
        format!("state hash: {}\n", state.as_str().unwrap()),
        "all is well\n".to_owned(),
    ] {
        assert!(report.contains(&line), "{line:?}: {report}");
    }
    let (status, _, error) = run(&["verify", text(&scratch.path("nothing"))]);
    assert_eq!(status, Some(1));
    assert!(error.contains("there is no journal in"), "{error}");
}

#[test]
fn a_flipped_byte_is_found_where_it_is_and_nothing_is_changed() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    written(&scratch, &data, 50);
    let journal = data.join("journal");
    let good = fs::read(&journal).unwrap();
    let mut bytes = good.clone();
    let offset = middle_line(&bytes);
    bytes[offset + 20] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let damage = format!("damaged at offset {offset}: the line does not have its checksum");
    let backup = scratch.path("backup");
    for arguments in [
        &["verify", text(&data)][..],
        &["backup", text(&data), text(&backup)],
        &["127.0.0.1:0", "--data", text(&data)],
        // A journal is a backup, too.
        &["restore", text(&journal), text(&scratch.path("restored"))],
    ] {
        let (status, _, error) = run(arguments);
        assert_eq!(status, Some(1), "{arguments:?}");
        assert!(error.contains(&damage), "{arguments:?}: {error}");
        assert!(error.contains(text(&journal)), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let (_, _, error) = run(&["127.0.0.1:0", "--data", text(&data)]);
    assert!(error.contains("Nothing was changed. Mend it"), "{error}");
    assert_eq!(fs::read(&journal).unwrap(), bytes);
    assert!(!backup.exists());
    assert!(!scratch.path("restored").exists());
    // With that byte as it was, all is as it was.
    fs::write(&journal, &good).unwrap();
    assert_eq!(run(&["verify", text(&data)]).0, Some(0));
}

#[test]
fn a_torn_last_batch_is_cut_off_and_told() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let log = written(&scratch, &data, 50);
    let journal = data.join("journal");
    let good = fs::read(&journal).unwrap();
    let torn = &br#"{"Source":"old~1","Id":77,"Payl"#[..];
    fs::write(&journal, [&good, torn].concat()).unwrap();
    let (status, report, _) = run(&["verify", text(&data)]);
    assert_eq!(status, Some(0));
    assert!(report.contains(&format!("torn batch follows at offset {}", good.len())), "{report}");
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    let told = format!("the last batch is torn and was cut off at offset {}", good.len());
    assert!(node.stderr().contains(&told), "{}", node.stderr());
    assert_eq!(client::log(address), log);
    // Before anything is written.
    node.kill();
    assert_eq!(fs::read(&journal).unwrap(), good);
}

#[test]
fn a_damaged_checkpoint_is_told_and_not_used() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    // As many as make one worthwhile at the end.
    let log = written(&scratch, &data, 1200);
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert!(!node.stderr().contains("read from 0 on"), "{}", node.stderr());
    let document = client::document(address);
    assert_eq!(client::log(address), log);
    node.kill();
    let (status, report, error) = run(&["verify", text(&data)]);
    assert_eq!(status, Some(0), "{error}");
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let paths = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let checkpoint = paths.into_iter().find(|path| name(path).starts_with("checkpoint-")).unwrap();
    assert!(report.contains(&format!("{}, good, reads", text(&checkpoint))), "{report}");
    let good = fs::read(&checkpoint).unwrap();
    let mut flipped = good.clone();
    let length = flipped.len();
    flipped[length - 30] ^= 1;
    for bytes in [&flipped[..], &good[..length / 2], b""] {
        fs::write(&checkpoint, bytes).unwrap();
        let (status, _, error) = run(&["verify", text(&data)]);
        assert_eq!(status, Some(1));
        assert!(error.contains(text(&checkpoint)), "{error}");
        let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
        let log_text = node.stderr();
        assert!(
            log_text.contains(&format!("{}: not used, since", text(&checkpoint))),
            "{log_text}"
        );
        assert!(log_text.contains("read from 0 on"), "{log_text}");
        assert_eq!(client::document(address), document);
        node.kill();
    }
    // Nor need it be there at all.
    fs::remove_file(&checkpoint).unwrap();
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    assert_eq!(client::document(address), document);
}

#[test]
fn a_backup_of_a_directory_is_restored_as_a_new_life_with_the_same_document() {
    let scratch = Scratch::new();
    let (data, backup) = (scratch.path("data"), scratch.path("backup"));
    let log = written(&scratch, &data, 100);
    let (status, said, error) = run(&["backup", text(&data), text(&backup)]);
    assert_eq!(status, Some(0), "{error}");
    assert_eq!(said, format!("transactions in {}: {}\n", text(&backup), log.len()));
    assert_eq!(objects(&backup), log);
    let (status, _, error) = run(&["backup", text(&data), text(&backup)]);
    assert_eq!(status, Some(1));
    assert!(error.contains("exists already"), "{error}");
    let restored = scratch.path("restored");
    let (status, said, error) = run(&["restore", text(&backup), text(&restored)]);
    assert_eq!(status, Some(0), "{error}");
    assert!(said.contains("its source is old~"), "{said}");
    let (status, _, error) = run(&["restore", text(&backup), text(&restored)]);
    assert_eq!(status, Some(1));
    assert!(error.contains("there is a journal in"), "{error}");
    let cut = scratch.path("cut");
    let bytes = fs::read(&backup).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 10]).unwrap();
    let (status, _, error) = run(&["restore", text(&cut), text(&scratch.path("less"))]);
    assert_eq!(status, Some(0), "{error}");
    assert!(error.contains("its end is missing"), "{error}");
    // The original and the copy both go on, as two nodes.
    let ports = [Port::reserve(), Port::reserve()];
    let (here, there) = (&ports[0].to_string(), &ports[1].to_string());
    let (_original, original) = Process::node(&scratch, here, &data, &[there]);
    let (mut copy_node, copy) = Process::node(&scratch, there, &restored, &[]);
    assert_eq!(client::document(copy), client::document(original));
    assert_eq!(client::vclock(copy), client::vclock(original));
    assert_eq!(client::log(copy), log);
    let sources = [original, copy]
        .map(|node| client::get(node, "/peers").json()["source"].as_str().unwrap().to_owned());
    assert_ne!(sources[0], sources[1]);
    client::post(original, &patch(0, next_mark(), 0));
    copy_node.stop();
    let (_copy, copy) = Process::node(&scratch, there, &restored, &[here]);
    let line = client::post(copy, &patch(1, next_mark(), 0));
    assert!(line.starts_with(&format!(r#"{{"Source":"{}","Id":1,"#, sources[1])), "{line}");
    client::wait_until_equal(original, copy);
    assert_eq!(client::length(original), log.len() as u64 + 2);
    // Under another name, if one is given.
    let named = scratch.path("named");
    let (status, said, _) = run(&["restore", text(&backup), text(&named), "--source", "new"]);
    assert_eq!(status, Some(0));
    assert!(said.contains("its source is new~"), "{said}");
}

#[test]
fn a_backup_of_a_running_node_has_all_that_was_acknowledged_before() {
    const TOKEN: &str = "sesame";
    let scratch = Scratch::new();
    let data = scratch.path("data");
    let (mut node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
    let mut ledger = Ledger::default();
    for _ in 0..50 {
        let mark = next_mark();
        ledger.note(mark, 200, client::post(address, &patch(0, mark, 100)));
    }
    // More than the node gives at once.
    for _ in 0..10 {
        let mark = next_mark();
        ledger.note(mark, 200, client::post(address, &patch(2, mark, 900_000)));
    }
    // While others write.
    let (sender, counted) = channel();
    let writer = thread::spawn(move || write_to_the_end(address, 1, 1, sender));
    let url = format!("http://{address}");
    for number in 0..3 {
        for _ in 0..20 {
            counted.recv_timeout(PATIENCE).unwrap();
        }
        let before = client::log(address);
        let backup = scratch.path(format_args!("backup{number}"));
        let (status, _, error) = run(&["backup", &url, text(&backup)]);
        assert_eq!(status, Some(0), "{error}");
        let kept = objects(&backup);
        assert!(kept.starts_with(&before));
        ledger.check_log(&kept);
        assert!(client::log(address).starts_with(&kept));
        let restored = scratch.path(format_args!("restored{number}"));
        let (status, _, error) = run(&["restore", text(&backup), text(&restored)]);
        assert_eq!(status, Some(0), "{error}");
        assert_eq!(run(&["verify", text(&restored)]).0, Some(0));
    }
    node.stop();
    writer.join().unwrap();
    let log = journal_objects(&data);
    // With a token, the right one only.
    let (_node, address) = Process::node(&scratch, "127.0.0.1:0", &data, &["--token", TOKEN]);
    let headers = [("Host", address.to_string()), ("Authorization", format!("Bearer {TOKEN}"))];
    let answer = Client::connect(address).request("GET", "/peers", &headers, b"");
    assert_eq!(answer.json()["length"], log.len() as u64);
    let (url, backup) = (format!("http://{address}"), scratch.path("backup"));
    for wrong in [&[][..], &["--token", "simsim"]] {
        let arguments = [&["backup", &url, text(&backup)], wrong].concat();
        let (status, said, error) = run(&arguments);
        assert_eq!((status, said.as_str()), (Some(1), ""));
        assert!(error.contains("wants another token"), "{error}");
        assert!(!backup.exists());
    }
    let (status, _, error) = run(&["backup", &url, text(&backup), "--token", TOKEN]);
    assert_eq!(status, Some(0), "{error}");
    assert_eq!(objects(&backup), log);
}
