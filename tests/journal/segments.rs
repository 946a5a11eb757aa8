//! The journal of a directory in several files: one file goes on in others, a base stands for those that went,
//! whatever a crash left of the two opens, and what is missing is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use patchmesh::internals::clock::Time;
use patchmesh::internals::config::BackupFrom;
use patchmesh::internals::journal::{
    Directory, DirectoryError, FileJournal, FileReader, Header, JournalReader, Marks, Segments,
    StoredBase, is_folded, push_batch, read_through,
};
use patchmesh::internals::maintenance;
use patchmesh::internals::manager::{Handle, Manager};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Record};

use crate::node::Node;
use crate::reading::collect;
use crate::temporary::TemporaryDirectory;

fn source() -> Source {
    "node~1".parse().expect("a source")
}

/// The record at this position, with a payload of about so many bytes.
fn record(position: u64, bytes: usize) -> Record {
    let time = Time::from_micros(1_700_000_000_000_000 + position).expect("below 2^53");
    let place = Place { time, source: source(), id: position + 1 };
    let text = "x".repeat(bytes);
    let payload = format!(r#"[{{"op":"add","path":"/{}","value":"{text}"}}]"#, position % 10);
    Record::new(place, &payload)
}

/// What is in a directory besides the lock.
fn names(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).expect("it is there").flatten();
    let names = entries.map(|entry| entry.file_name().into_string().expect("plain names"));
    names.filter(|name| name != "lock").collect()
}

fn copy(from: &Path, name: &str) -> TemporaryDirectory {
    let to = TemporaryDirectory::new(name);
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).expect("it can be copied");
    }
    to
}

/// The journal of a directory, and the Ids that it has.
fn read(segments: &Segments) -> (FileReader, Vec<u64>) {
    let reader = FileReader::new(segments.clone(), &Marks::default());
    let (extent, transactions) = collect(&reader).expect("it is good");
    reader.reach(extent.length);
    (reader, transactions.iter().map(|transaction| transaction.id).collect())
}

fn open(path: &Path) -> Result<(Directory, Segments, Option<StoredBase>), DirectoryError> {
    let directory = Directory::open(path, true)?;
    let segments = directory.journal(true)?.expect("there is a journal");
    let base = directory.base(&segments)?;
    Ok((directory, segments, base))
}

fn base(position: u64) -> StoredBase {
    let summary = format!(r#"{{"Clock":{{"node~1":[{},5]}}}}"#, position + 1);
    StoredBase { position, summary, document: br#"{"a":[1,2,3]}"#.to_vec() }
}

/// A directory whose journal has files that begin at 0, 10, 20 and so on, the last one with 5 records.
fn with_files(name: &str, count: u64) -> (TemporaryDirectory, FileJournal) {
    let temporary = TemporaryDirectory::new(name);
    let directory = Directory::open(&temporary.0, true).expect("it can be made");
    let segments = directory.create_journal(&Header::new(source()), |_| Ok(())).expect("room");
    let reader = FileReader::new(segments, &Marks::default());
    let extent = read_through(&reader, &mut |_, _| Ok(())).expect("it is good");
    let mut journal = FileJournal::open(&extent, reader).expect("it can be written");
    for position in 0..10 * count - 5 {
        if position.is_multiple_of(10) {
            journal.roll().unwrap_or_else(|error| panic!("{error}"));
        }
        journal.append(&[record(position, 20)]).unwrap_or_else(|error| panic!("{error}"));
    }
    (temporary, journal)
}

fn segment(position: u64) -> String {
    if position == 0 { "journal".into() } else { format!("journal-{position:016}") }
}

/// Stops a node; the length of its journal, and its document.
fn stop(node: Node) -> (u64, String) {
    let length = node.handle.journal().length();
    let text = node.handle.state().document().root().to_string();
    node.stop();
    (length, text)
}

fn submit(handle: &Handle, positions: std::ops::Range<u64>) {
    for position in positions {
        let transaction = record(position, 100_000).transaction().expect("it is one");
        smol::block_on(handle.submit(vec![transaction])).expect("it runs");
    }
}

fn verify(path: &Path) -> (String, Option<String>) {
    let mut report = Vec::new();
    let failure = maintenance::verify(path, &mut report).err().map(|failure| failure.to_string());
    (String::from_utf8(report).expect("text"), failure)
}

#[test]
fn a_directory_of_one_file_goes_on_in_others() {
    let temporary = TemporaryDirectory::new("old");
    // As an older program has written it: a file of any length, of version 1.
    let mut text = Header::new(source()).line();
    for batch in 1..=100 {
        push_batch(&mut text, [&*record(batch - 1, 100_000).line].into_iter(), batch);
    }
    fs::write(temporary.join("journal"), &text).expect("it can be written");
    let node = Node::start(&temporary.0);
    assert_eq!(names(&temporary.0), ["journal".to_owned()].into());
    submit(&node.handle, 100..300);
    let state = stop(node);
    assert_eq!(state.0, 300);
    let files = names(&temporary.0).into_iter().filter(|name| name.starts_with("journal"));
    let files: Vec<String> = files.collect();
    assert!(files.contains(&segment(100)) && files.len() == 4, "{files:?}");
    let first = fs::read(temporary.join("journal")).expect("it is there");
    assert!(first.starts_with(br#"{"patchmesh":"journal","version":3,"source":"node~1"}"#));
    assert_eq!(first.len(), text.len(), "it is what it was, but for its version");
    // It is the same after a start.
    let node = Node::start(&temporary.0);
    assert_eq!(node.handle.source(), source());
    assert_eq!(stop(node), state);
    let (report, failure) = verify(&temporary.0);
    assert_eq!(failure, None);
    for name in files {
        assert!(report.contains(&format!("{name}, positions ")), "{report}");
    }
    // A backup has it all in one file, which older programs read too.
    let backup = temporary.join("backup");
    let from = BackupFrom::Directory(temporary.0.clone());
    let length = smol::block_on(maintenance::backup(&from, &backup));
    assert_eq!(length.expect("it is good"), 300);
    let copied = fs::read(&backup).expect("it is there");
    assert!(copied.starts_with(br#"{"patchmesh":"journal","version":2,"source":"node~1"}"#));
    let restored = temporary.join("restored");
    maintenance::restore(&backup, &restored, None, 7).expect("it is good");
    assert_eq!(stop(Node::start(&restored)), state);
}

#[test]
fn whatever_a_crash_leaves_of_a_fold_opens() {
    let (temporary, journal) = with_files("fold", 5);
    drop(journal);
    // The base is not whole yet, or there is one that nothing went for.
    let unfinished = temporary.join("base-0000000000000035.new");
    fs::write(&unfinished, "{\"patch").expect("it can be written");
    fs::write(temporary.join("journal-0000000000000045.new"), "").expect("it can be written");
    let (directory, segments, found) = open(&temporary.0).expect("it is good");
    assert_eq!((found, segments.begin(), read(&segments).1.len()), (None, 0, 45));
    assert!(!unfinished.exists());
    assert_eq!(names(&temporary.0).len(), 5, "{:?}", names(&temporary.0));
    directory.keep_base(&source(), &base(9)).expect("there is room");
    drop((directory, segments));
    let (directory, segments, found) = open(&temporary.0).expect("it is good");
    assert_eq!((found, segments.begin()), (Some(base(9)), 0));
    directory.keep_base(&source(), &base(35)).expect("there is room");
    drop((directory, segments));
    // The base is there, and any of what it stands for has gone.
    for gone in 0..8 {
        let copy = copy(&temporary.0, "crashed");
        let gone: Vec<u64> =
            (0..3).filter(|bit| gone >> bit & 1 == 1).map(|bit| bit * 10).collect();
        for position in &gone {
            fs::remove_file(copy.join(&segment(*position))).expect("it is there");
        }
        // Looking at it changes nothing.
        let before = names(&copy.0);
        let directory = Directory::open(&copy.0, false).expect("it is good");
        let segments = directory.journal(false).expect("it is good").expect("it is there");
        assert_eq!(segments.begin(), 30, "{gone:?}");
        let left: Vec<PathBuf> = (0..3)
            .map(|number| number * 10)
            .filter(|position| !gone.contains(position))
            .map(|position| copy.join(&segment(position)))
            .collect();
        assert_eq!(directory.left_over(&segments), left);
        drop((directory, segments));
        assert_eq!(names(&copy.0), before);
        let (_directory, segments, found) = open(&copy.0).expect("it is good");
        assert_eq!((found, segments.begin()), (Some(base(35)), 30), "{gone:?}");
        let (reader, ids) = read(&segments);
        assert_eq!(ids, (31..46).collect::<Vec<_>>());
        assert!(is_folded(&reader.read(29, 1, 1).expect_err("it went")));
        let kept = ["base-0000000000000035".to_owned(), segment(30), segment(40)];
        let mut kept = BTreeSet::from(kept);
        if gone.len() == 3 {
            // It is of no use, and the next base takes its place.
            kept.insert("base-0000000000000009".to_owned());
        }
        assert_eq!(names(&copy.0), kept, "{gone:?}");
    }
}

#[test]
fn files_of_two_journals_are_left_alone() {
    // As a crash leaves it while a directory is mended: the new journal has its name, and the rest of the old one
    // is not put aside yet.
    let (temporary, mut journal) = with_files("two", 5);
    let directory = Directory::open(&temporary.0, true).expect("it is good");
    directory.keep_base(&source(), &base(35)).expect("there is room");
    journal.drop_before(15).expect("it can be removed");
    drop((journal, directory));
    let header = Header::new("node~2".parse().expect("a source"));
    fs::write(temporary.join("journal"), header.line()).expect("it can be written");
    let before = names(&temporary.0);
    let Err(error) = open(&temporary.0) else { panic!("it is of two journals") };
    assert!(error.to_string().contains("it is of the journal of node~1"), "{error}");
    assert_eq!(names(&temporary.0), before);
}

#[test]
fn what_is_dropped_needs_a_base_and_takes_what_is_useless_with_it() {
    let (temporary, mut journal) = with_files("drop", 5);
    let directory = Directory::open(&temporary.0, true).expect("it is good");
    let all = names(&temporary.0);
    assert!(journal.drop_before(0).is_ok_and(|begin| begin == 0));
    directory.keep_base(&source(), &base(12)).expect("there is room");
    directory.keep_base(&source(), &base(25)).expect("there is room");
    directory.keep_base(&source(), &base(35)).expect("there is room");
    let bases: Vec<u64> = directory.bases(&source()).iter().map(|base| base.position).collect();
    assert_eq!(bases, [35, 25], "the last one, and one to fall back on");
    assert_eq!(journal.drop_before(25).expect("it can be removed"), 20);
    assert_eq!(directory.bases(&source()).len(), 2);
    // One to fall back on is of no use without what follows it.
    assert_eq!(journal.drop_before(35).expect("it can be removed"), 30);
    assert_eq!(directory.bases(&source()), [base(35)]);
    assert_eq!(directory.bases(&"other~1".parse().expect("a source")), []);
    journal.append(&[record(45, 20)]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        journal.drop_before(u64::MAX).map_err(|error| error.to_string()).unwrap_err(),
        "there is no base that stands for it"
    );
    assert!(all.iter().filter(|name| temporary.join(name).exists()).count() == 2);
}

#[test]
fn a_journal_that_begins_late_needs_its_base() {
    let (temporary, mut journal) = with_files("needed", 5);
    let directory = Directory::open(&temporary.0, true).expect("it is good");
    directory.keep_base(&source(), &base(20)).expect("there is room");
    directory.keep_base(&source(), &base(35)).expect("there is room");
    drop(directory);
    let [older, newer] = [20, 35].map(|at| temporary.join(&format!("base-{at:016}")));
    let spoil = |path: &Path| {
        let mut bytes = fs::read(path).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("it can be written");
    };
    // The journal may not be all, though it begins at 0.
    let whole = copy(&temporary.0, "whole");
    for path in [&older, &newer] {
        spoil(&whole.join(path.file_name().and_then(|name| name.to_str()).expect("a name")));
    }
    let error = open(&whole.0).map(drop).expect_err("it may not be all").to_string();
    assert!(error.contains("begins at position 0, on a base that cannot be used: "), "{error}");
    // One can be fallen back on, as long as what follows it is there.
    journal.drop_before(20).expect("it can be removed");
    drop(journal);
    spoil(&newer);
    let (_, segments, found) = open(&temporary.0).expect("it is good");
    assert_eq!((found, segments.begin()), (Some(base(20)), 20));
    drop(segments);
    spoil(&older);
    let before = names(&temporary.0);
    let expect = |why: &str| {
        let error = open(&temporary.0).map(drop).expect_err("it cannot be used").to_string();
        assert!(error.starts_with(&temporary.join(&segment(20)).display().to_string()), "{error}");
        for part in ["begins at position 20", why, "Nothing was changed", "--rebuild-from PEER"] {
            assert!(error.contains(part), "{error}");
        }
        let (_, failure) = verify(&temporary.0);
        assert!(failure.expect("it cannot be used").contains(why));
    };
    expect(&format!("{}: the line does not have its checksum", newer.display()));
    assert_eq!(names(&temporary.0), before);
    fs::remove_file(&newer).expect("it is there");
    expect(&format!("{}: the line does not have its checksum", older.display()));
    fs::remove_file(&older).expect("it is there");
    expect("there is no base");
    let Err(error) = Manager::open(&temporary.0, "node", 5) else { panic!("it begins late") };
    assert!(matches!(error, DirectoryError::NoBase(_, 20, _)), "{error}");
    // Without a journal, a base says that there was one.
    for position in [20, 30, 40] {
        fs::remove_file(temporary.join(&segment(position))).expect("it is there");
    }
    fs::write(&older, base(20).text(&source())).expect("it can be written");
    let Err(error) = Manager::open(&temporary.0, "node", 5) else { panic!("it is gone") };
    assert!(matches!(error, DirectoryError::JournalGone(_)), "{error}");
}

/// The damage that the scrub finds within so long.
fn scrubbed(reader: FileReader, limit: Duration) -> Option<String> {
    let reader = JournalReader::File(reader);
    let watched = smol::spawn(reader.clone().watch());
    let begin = Instant::now();
    while reader.damage().is_none() && begin.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
    smol::block_on(watched.cancel());
    reader.damage().map(|damage| damage.to_string())
}

#[test]
fn damage_to_the_base_is_found_while_the_node_runs() {
    let (temporary, journal) = with_files("scrubbed", 3);
    drop(journal);
    let directory = Directory::open(&temporary.0, true).expect("it is good");
    let document = format!("\"{}\"", "d".repeat(3 << 20)).into_bytes();
    directory.keep_base(&source(), &StoredBase { document, ..base(5) }).expect("there is room");
    let path = directory.base_paths().pop().expect("it is there");
    let segments = directory.journal(false).expect("it is good").expect("it is there");
    let good = fs::read(&path).expect("it is there");
    assert_eq!(scrubbed(read(&segments).0, Duration::from_secs(1)), None);
    let lines: Vec<usize> = memchr::memchr_iter(b'\n', &good).collect();
    let changed = [(7, 0), (lines[0] + 20, lines[0] + 1), (good.len() - 5, lines[1] + 1)];
    let changed = changed.map(|(at, line)| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        (bytes, line)
    });
    let cut = (good[..good.len() - 1].to_vec(), good.len() - 1);
    let moved = (good[lines[0] + 1..].to_vec(), 0);
    for (bytes, line) in changed.into_iter().chain([cut, moved]) {
        fs::write(&path, bytes).expect("it can be written");
        let damage = scrubbed(read(&segments).0, Duration::from_secs(20)).expect("it is found");
        let expected = format!("{}: offset {line}: ", path.display());
        assert!(damage.starts_with(&expected), "{damage}");
    }
}

#[test]
fn a_file_that_is_missing_or_damaged_is_named() {
    let (temporary, journal) = with_files("missing", 4);
    drop(journal);
    for position in [10, 20] {
        let copy = copy(&temporary.0, "gap");
        fs::remove_file(copy.join(&segment(position))).expect("it is there");
        let Err(error) = Manager::open(&copy.0, "node", 5) else { panic!("it is not whole") };
        let (error, next) = (error.to_string(), copy.join(&segment(position + 10)));
        assert!(error.starts_with(&next.display().to_string()), "{error}");
        assert!(
            error.contains(&format!("begins at position {position}, which is missing")),
            "{error}"
        );
        assert_eq!(names(&copy.0).len(), 3);
    }
    for position in [0, 10, 20, 30] {
        let copy = copy(&temporary.0, "damaged");
        let path = copy.join(&segment(position));
        let good = fs::read(&path).expect("it is there");
        let line = good.len() - 200;
        let mut bytes = good.clone();
        bytes[line] ^= 1;
        fs::write(&path, &bytes).expect("it can be written");
        let start = bytes[..line].iter().rposition(|byte| *byte == b'\n').expect("a line") + 1;
        let expected = format!("{}: damaged at offset {start}: ", path.display());
        let Err(error) = Manager::open(&copy.0, "node", 5) else { panic!("it is damaged") };
        assert!(error.to_string().starts_with(&expected), "{error}");
        let (_, failure) = verify(&copy.0);
        assert!(
            failure.as_ref().is_some_and(|failure| failure.starts_with(&expected)),
            "{failure:?}"
        );
        assert!(fs::read(&path).expect("it is there") == bytes, "nothing was changed");
    }
    // One that has another name than it says.
    let copy = copy(&temporary.0, "renamed");
    fs::rename(copy.join(&segment(30)), copy.join(&segment(31))).expect("it is there");
    let Err(error) = Manager::open(&copy.0, "node", 5) else { panic!("it is not the one") };
    assert!(
        error.to_string().contains("its name has another number than its position, 30"),
        "{error}"
    );
}

#[test]
fn a_backup_of_a_journal_that_begins_late_has_its_base() {
    let (temporary, mut journal) = with_files("backup", 5);
    let life: Source = "node~2".parse().expect("a source");
    journal.begin_life(&life).unwrap_or_else(|error| panic!("{error}"));
    let directory = Directory::open(&temporary.0, true).expect("it is good");
    directory.keep_base(&source(), &base(35)).expect("there is room");
    journal.drop_before(35).expect("it can be removed");
    drop((journal, directory));
    let backup = temporary.join("backup");
    let from = BackupFrom::Directory(temporary.0.clone());
    let length = smol::block_on(maintenance::backup(&from, &backup));
    assert_eq!(length.expect("it is good"), 45);
    let restored = temporary.join("restored");
    let made = maintenance::restore(&backup, &restored, None, 7).expect("it is good");
    assert_eq!((made.length, made.is_cut_off), (45, false));
    let (_directory, segments, found) = open(&restored).expect("it is good");
    assert_eq!((found, segments.begin(), segments.source()), (Some(base(35)), 30, made.source));
    let (reader, ids) = read(&segments);
    assert_eq!(ids, (31..46).collect::<Vec<_>>());
    assert_eq!(reader.life(), Some(segments.source()), "the new life is the newest");
    // Damage anywhere in it leaves no trace.
    let good = fs::read(&backup).expect("it is there");
    for at in (0..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&backup, &bytes).expect("it can be written");
        let other = temporary.join("other");
        let made = maintenance::restore(&backup, &other, None, 7).map(|made| made.length);
        assert!(made.is_err(), "{at}: {made:?}");
        assert!(!other.exists(), "{at}");
    }
}
