//! The data directory: made if there is none, held by one process only, refused in one clear line,
//! opened from a checkpoint if there is a good one and to the same state if there is none, and
//! read by others while it is written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use patchmesh::internals::clock::Time;
use patchmesh::internals::journal::{
    Directory, DirectoryError, FileJournal, FileReader, Header, Marks, Segments, read_checkpoint,
    read_through,
};
use patchmesh::internals::manager::Manager;
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Record, Transaction};

use crate::node::{Node, State};
use crate::temporary::TemporaryDirectory;

/// How many transactions make a node keep a checkpoint when it stops.
const WORTHWHILE: u64 = 1000;

/// Every so many positions a checkpoint can have a node read on from.
const STRIDE: u64 = 256;

const BEGIN: u64 = 1_700_000_000_000_000;

/// The transaction `id` of a peer, and `number` says when it was created. Some do not apply.
fn transaction(source: &str, id: u64, number: u64) -> Transaction {
    let key = number / 4 % 50;
    let payload = match number % 4 {
        _ if number == 1 => r#"[{"op":"add","path":"/list","value":[]}]"#.to_owned(),
        0 => format!(r#"[{{"op":"add","path":"/{key}","value":{number}}}]"#),
        1 => format!(r#"[{{"op":"add","path":"/list/-","value":{number}}}]"#),
        2 => format!(r#"[{{"op":"replace","path":"/{key}","value":"{number}"}}]"#),
        _ if number.is_multiple_of(3) => format!(r#"[{{"op":"remove","path":"/{key}"}}]"#),
        _ if number % 50 == 7 => r#"[{"op":"remove","path":"/none"}]"#.to_owned(),
        _ => r#"[{"op":"remove","path":"/list/0"}]"#.to_owned(),
    };
    Transaction {
        time: Time::from_micros(BEGIN + 1000 * number),
        ..Transaction::fresh(source.parse().expect("a source"), id, payload)
    }
}

/// As many transactions of one peer, in their order.
fn transactions(numbers: std::ops::RangeInclusive<u64>) -> Vec<Transaction> {
    numbers.map(|number| transaction("peer~1", number, number)).collect()
}

fn checkpoints(path: &Path) -> Vec<PathBuf> {
    Directory::open(path, false).expect("the directory is good").checkpoint_paths()
}

/// What a node comes to that has the journal only.
fn state_without_checkpoints(path: &Path) -> State {
    let copy = TemporaryDirectory::new(&format!(
        "plain-{}",
        path.file_name().and_then(|name| name.to_str()).expect("it has a name")
    ));
    fs::copy(path.join("journal"), copy.join("journal")).expect("it can be copied");
    let node = Node::start(&copy.0);
    assert_eq!((node.read_from(), node.warnings().len()), (0, 0), "{:?}", node.log);
    let state = node.state();
    node.kill();
    state
}

#[test]
fn a_directory_is_made_with_its_parents_and_keeps_its_source() {
    let temporary = TemporaryDirectory::new("made");
    let path = temporary.join("a/b/c");
    let node = Node::start(&path);
    let source = node.handle.source().clone();
    assert!(source.as_str().starts_with("node~"), "{source}");
    node.submit(transactions(1..=3));
    let state = node.state();
    node.stop();
    let (manager, handle) = Manager::open(&path, "another", 77).expect("the directory is good");
    assert_eq!(handle.source(), source, "the life goes on, whatever the name and the chance");
    assert_eq!(handle.journal().length(), 3);
    drop((manager, handle));
    let node = Node::start(&path);
    assert_eq!(node.state(), state);
    node.stop();
    let names: Vec<_> = fs::read_dir(&path).expect("it is there").flatten().collect();
    assert_eq!(names.len(), 2, "a lock and a journal: {names:?}");
}

#[test]
fn a_directory_is_used_by_one_at_a_time() {
    let temporary = TemporaryDirectory::new("locked");
    let node = Node::start(&temporary.0);
    node.submit(transactions(1..=3));
    let before = fs::read(temporary.join("journal")).expect("it is there");

    let Err(error) = Manager::open(&temporary.0, "node", 5) else { panic!("it is in use") };
    assert!(matches!(error, DirectoryError::InUse(_)), "{error:?}");
    assert!(fs::read(temporary.join("journal")).expect("it is there") == before);

    node.kill();
    Node::start(&temporary.0).stop();
}

#[test]
fn a_start_from_a_checkpoint_costs_the_end_of_the_journal_only() {
    let temporary = TemporaryDirectory::new("checkpoint");
    let node = Node::start(&temporary.0);
    node.submit(transactions(1..=WORTHWHILE / 2));
    node.stop();
    assert!(checkpoints(&temporary.0).is_empty(), "it is not worthwhile yet");

    let node = Node::start(&temporary.0);
    node.submit(transactions(WORTHWHILE / 2 + 1..=2 * WORTHWHILE));
    let state = node.state();
    node.stop();
    let path = temporary.join(&format!("checkpoint-{:016}", 2 * WORTHWHILE));
    assert_eq!(checkpoints(&temporary.0), [path]);
    assert_eq!(state_without_checkpoints(&temporary.0), state);

    // Damage in the part that is not read is not noticed: it was not read.
    let journal = temporary.join("journal");
    let good = fs::read(&journal).expect("it is there");
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;
    fs::write(&journal, damaged).expect("it can be written");
    let node = Node::start(&temporary.0);
    assert_eq!(node.state(), state);
    let read = node.handle.journal().read_blocking(WORTHWHILE, 10, usize::MAX);
    let read: Vec<usize> = (0..2 * WORTHWHILE)
        .filter(|position| node.handle.journal().read_blocking(*position, 1, 1).is_err())
        .map(|position| position as usize)
        .chain(read.is_err().then_some(WORTHWHILE as usize))
        .collect();
    assert!(!read.is_empty(), "whoever comes to read it is told");
    node.kill();
    fs::write(&journal, good).expect("it can be written");

    let node = Node::start(&temporary.0);
    assert_eq!(node.read_from(), (2 * WORTHWHILE - 1) / STRIDE * STRIDE);
    assert_eq!(node.warnings().len(), 0, "{:?}", node.log);
    assert_eq!(node.state(), state);
    node.submit(transactions(2 * WORTHWHILE + 1..=2 * WORTHWHILE + 10));
    let state = node.state();
    node.kill();
    let node = Node::start(&temporary.0);
    assert_eq!(node.read_from(), (2 * WORTHWHILE - 1) / STRIDE * STRIDE);
    assert_eq!(node.state(), state);
    node.submit(transactions(2 * WORTHWHILE + 11..=4 * WORTHWHILE));
    node.stop();

    for more in 2..4 {
        let node = Node::start(&temporary.0);
        node.submit(transactions(2 * more * WORTHWHILE + 1..=2 * (more + 1) * WORTHWHILE));
        node.stop();
    }
    let names = [6, 8].map(|thousands| format!("checkpoint-{:016}", thousands * WORTHWHILE));
    assert_eq!(checkpoints(&temporary.0), names.map(|name| temporary.join(&name)), "the last two");
    let state = state_without_checkpoints(&temporary.0);
    let node = Node::start(&temporary.0);
    assert_eq!(node.state(), state);
    assert!(node.read_from() > 7 * WORTHWHILE, "{}", node.read_from());
    node.kill();
}

/// A directory with two small checkpoints, and its state.
fn with_two_checkpoints(name: &str) -> (TemporaryDirectory, State) {
    let small = |numbers: std::ops::RangeInclusive<u64>| {
        let small = |number: u64| Transaction {
            payload: format!(r#"[{{"op":"add","path":"/n","value":{number}}}]"#).into(),
            ..transaction("peer~1", number, number)
        };
        numbers.map(small).collect()
    };
    let temporary = TemporaryDirectory::new(name);
    let node = Node::start(&temporary.0);
    node.submit(small(1..=WORTHWHILE));
    node.stop();
    let node = Node::start(&temporary.0);
    node.submit(small(WORTHWHILE + 1..=2 * WORTHWHILE + 100));
    let state = node.state();
    node.stop();
    assert_eq!(checkpoints(&temporary.0).len(), 2);
    (temporary, state)
}

#[test]
fn a_damaged_checkpoint_is_left_out() {
    let (temporary, state) = with_two_checkpoints("damaged-checkpoint");
    let source: Source = "node~50000000".parse().expect("a source");
    let [older, last] = &checkpoints(&temporary.0)[..] else { panic!("there are two") };
    let good = fs::read(last).expect("it is there");
    read_checkpoint(last, &source).expect("it is good");

    // Whatever byte is another one, and wherever it is cut off, it is no checkpoint.
    let file = File::options().write(true).open(last).expect("it is there");
    for at in 0..good.len() {
        for other in [good[at] ^ (1 << (at % 8)), 0, b'\n', good[at].wrapping_add(1)] {
            if other != good[at] {
                file.write_all_at(&[other], at as u64).expect("it can be written");
                assert!(read_checkpoint(last, &source).is_err(), "{other} at {at}");
            }
        }
        file.write_all_at(&good[at..=at], at as u64).expect("it can be written");
    }
    read_checkpoint(last, &source).expect("it is good");
    for length in (0..good.len()).rev() {
        file.set_len(length as u64).expect("it can be cut off");
        assert!(read_checkpoint(last, &source).is_err(), "cut at {length}");
    }

    // A node uses the one before, or none.
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..30 {
        let mut bytes = good.clone();
        match random.u8(..3) {
            0 => bytes.truncate(random.usize(..good.len())),
            _ => bytes[random.usize(..good.len())] ^= 1 << random.u8(..8),
        }
        fs::write(last, bytes).expect("it can be written");
        let node = Node::start(&temporary.0);
        let warnings = node.warnings();
        let is_named = |warning: &String| warning.contains(&*last.to_string_lossy());
        assert!(warnings.len() == 1 && is_named(warnings[0]), "{warnings:?}");
        assert_eq!(node.read_from(), (WORTHWHILE - 1) / STRIDE * STRIDE);
        assert_eq!(node.state(), state);
        node.kill();
    }
    fs::write(older, "").expect("it can be written");
    let node = Node::start(&temporary.0);
    assert_eq!((node.warnings().len(), node.read_from()), (2, 0));
    assert_eq!(node.state(), state);
    node.kill();

    fs::remove_file(older).expect("it is there");
    fs::remove_file(last).expect("it is there");
    fs::create_dir(last).expect("it can be made");
    let node = Node::start(&temporary.0);
    assert_eq!((node.warnings().len(), node.read_from()), (1, 0));
    assert_eq!(node.state(), state);
    node.kill();
}

#[test]
fn a_checkpoint_of_another_journal_is_left_out() {
    let (temporary, state) = with_two_checkpoints("own-checkpoint");
    let other = TemporaryDirectory::new("other-checkpoint");
    let (manager, handle) = Manager::open(&other.0, "other", 9).expect("the directory is good");
    let node = Node::run(manager, handle);
    node.submit((1..=WORTHWHILE * 3).map(|id| transaction("other~2", id, id)).collect());
    node.stop();
    for path in checkpoints(&temporary.0) {
        fs::remove_file(path).expect("it is there");
    }
    for path in checkpoints(&other.0) {
        let name = path.file_name().expect("it has a name");
        fs::copy(&path, temporary.0.join(name)).expect("it can be copied");
    }
    let node = Node::start(&temporary.0);
    assert!(node.warnings()[0].contains("it belongs to the journal of other~"), "{:?}", node.log);
    assert_eq!((node.warnings().len(), node.read_from()), (1, 0));
    assert_eq!(node.state(), state);
    node.kill();
}

/// A node does not start with this directory, and changes nothing in it.
#[track_caller]
fn check_lacking(path: &Path, has: u64, had: u64) {
    let read_all = || {
        let entries = fs::read_dir(path).expect("it is there");
        let paths = entries.map(|entry| entry.expect("it is there").path());
        paths
            .map(|path| (fs::read(&path).expect("it can be read"), path))
            .collect::<BTreeMap<_, _>>()
    };
    let before = read_all();
    let error = Manager::open(path, "node", 6).map(drop).expect_err("it lacks something");
    let text = error.to_string();
    let DirectoryError::Lacking(_, lacking) = error else { panic!("{text}") };
    assert_eq!((lacking.has, lacking.had), (has, had), "{text}");
    assert!(text.contains("--rebuild-from") && text.contains("--new-life"), "{text}");
    assert!(read_all() == before, "a refused start changed something");
}

/// What a checkpoint has was acknowledged, so that its Ids must not be given out again.
#[test]
fn a_journal_that_lacks_what_a_checkpoint_proves_does_not_start() {
    let (temporary, _) = with_two_checkpoints("newer-checkpoint");
    let journal = temporary.join("journal");
    let text = fs::read(&journal).expect("it is there");
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let had = lines.len() as u64 - 1;
    // The journal ends within its last batch, which is torn then, or before it, or has nothing.
    for kept in [lines.len() - 1, WORTHWHILE as usize + 50, WORTHWHILE as usize + 1, 1] {
        fs::write(&journal, lines[..kept].concat()).expect("it can be written");
        let has = if kept == 1 { 0 } else { WORTHWHILE };
        check_lacking(&temporary.0, has, had);
    }
    fs::remove_file(&journal).expect("it is there");
    let error = Manager::open(&temporary.0, "node", 6).map(drop).expect_err("it is gone");
    assert!(matches!(error, DirectoryError::JournalGone(_)), "{error}");
    assert!(!journal.exists());
}

/// A journal that was put back to what it was while the checkpoint was kept. All that the checkpoint's
/// document has is in the journal, but not all that its clock has.
#[test]
fn a_journal_that_was_put_back_does_not_start() {
    let temporary = TemporaryDirectory::new("clock-ahead");
    let node = Node::start(&temporary.0);
    node.submit(transactions(1..=WORTHWHILE));
    // Since transactions come late, the checkpoint is made well before the end.
    for late in 1..=3 {
        node.submit(vec![transaction("late~1", late, WORTHWHILE - 100 + late)]);
    }
    let before = fs::read(temporary.join("journal")).expect("it is there");
    let ahead = WORTHWHILE + 1..=WORTHWHILE + 20;
    node.submit(ahead.map(|number| transaction("ahead~1", number, number)).collect());
    node.stop();
    assert_eq!(checkpoints(&temporary.0).len(), 1);
    fs::write(temporary.join("journal"), before).expect("it can be written");
    check_lacking(&temporary.0, WORTHWHILE + 3, WORTHWHILE + 23);
}

/// A journal that was put back to what it was, and has grown in another way since.
#[test]
fn a_journal_that_was_put_back_and_has_grown_since_does_not_start() {
    let temporary = TemporaryDirectory::new("by-chance");
    let node = Node::start(&temporary.0);
    node.submit(transactions(1..=WORTHWHILE / 2));
    let before = fs::read(temporary.join("journal")).expect("it is there");
    node.submit(transactions(WORTHWHILE / 2 + 1..=WORTHWHILE));
    node.stop();
    let kept = fs::read(&checkpoints(&temporary.0)[0]).expect("it is there");
    let name = checkpoints(&temporary.0)[0].clone();

    fs::write(temporary.join("journal"), before).expect("it can be written");
    fs::remove_file(&name).expect("it is there");
    let node = Node::start(&temporary.0);
    // As many transactions of the same length, and others.
    let others = WORTHWHILE / 2 + 1..=WORTHWHILE;
    node.submit(others.map(|number| transaction("peer~2", number, number + 1)).collect());
    node.submit(transactions(WORTHWHILE + 2..=WORTHWHILE + 50));
    node.kill();
    fs::write(&name, kept).expect("it can be written");
    check_lacking(&temporary.0, WORTHWHILE + 49, WORTHWHILE);
}

#[test]
fn late_arrivals_after_a_checkpoint_count_where_they_belong() {
    let temporary = TemporaryDirectory::new("stale");
    let node = Node::start(&temporary.0);
    node.submit(transactions(1..=2 * WORTHWHILE));
    node.stop();
    assert_eq!(checkpoints(&temporary.0).len(), 1);
    let node = Node::start(&temporary.0);
    node.submit(vec![transaction("late~1", 1, WORTHWHILE)]);
    let state = node.state();
    node.stop();
    assert_eq!(state_without_checkpoints(&temporary.0), state);
    let node = Node::start(&temporary.0);
    assert_eq!(node.state(), state, "{:?}", node.log);
    assert_eq!(node.warnings().len(), 0, "{:?}", node.log);
    node.kill();
}

#[test]
fn what_a_crash_left_unfinished_does_no_harm() {
    let (temporary, state) = with_two_checkpoints("unfinished");
    let [_, last] = &checkpoints(&temporary.0)[..] else { panic!("there are two") };
    let half = fs::read(last).expect("it is there");
    let half = &half[..half.len() / 2];
    for name in
        ["journal.new", "checkpoint-0000000000009999.new", "checkpoint-0000000000002100.new"]
    {
        fs::write(temporary.join(name), half).expect("it can be written");
    }
    let node = Node::start(&temporary.0);
    assert_eq!(node.warnings().len(), 0, "{:?}", node.log);
    assert!(node.read_from() > 2 * WORTHWHILE - STRIDE);
    assert_eq!(node.state(), state);
    node.submit(transactions(2 * WORTHWHILE + 101..=4 * WORTHWHILE));
    let state = node.state();
    node.stop();
    let node = Node::start(&temporary.0);
    assert_eq!(node.warnings().len(), 0, "{:?}", node.log);
    assert_eq!(node.state(), state);
    node.kill();

    // The directory was made, and the crash came before the journal had its name.
    let begun = TemporaryDirectory::new("begun");
    for rest in [&b""[..], half, &[0; 5000]] {
        fs::write(begun.join("journal.new"), rest).expect("it can be written");
        let node = Node::start(&begun.0);
        node.submit(transactions(1..=5));
        node.kill();
        let node = Node::start(&begun.0);
        assert_eq!(node.state().length, 5);
        node.stop();
        assert!(!begun.join("journal.new").exists());
        fs::remove_file(begun.join("journal")).expect("it is there");
    }
}

#[test]
fn a_torn_end_is_cut_off_with_a_line_in_the_log() {
    let temporary = TemporaryDirectory::new("torn");
    let node = Node::start(&temporary.0);
    node.submit(transactions(1..=10));
    let state = node.state();
    node.stop();
    let journal = temporary.join("journal");
    let good = fs::read(&journal).expect("it is there");
    let torn = [&good, &b"{\"Source\":\"node~1\",\"Id\":11,\"Payl"[..]].concat();
    fs::write(&journal, torn).expect("it can be written");
    let node = Node::start(&temporary.0);
    let expected = format!("torn and was cut off at offset {}", good.len());
    let warnings = node.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains(&expected), "{warnings:?}");
    assert_eq!(node.state(), state);
    node.stop();
    assert!(fs::read(&journal).expect("it is there") == good);
}

/// The record at `position` of a journal for readers.
fn record(position: u64) -> Record {
    let place = Place {
        time: Time::from_micros(BEGIN + position).expect("below 2^53"),
        source: "node~1".parse().expect("a source"),
        id: position + 1,
    };
    let bytes = if position.is_multiple_of(97) { 20_000 } else { position as usize * 37 % 300 };
    Record::new(place, &"x".repeat(bytes))
}

/// A journal in a real file.
fn create(path: &Path) -> (FileJournal, Segments) {
    let directory = Directory::open(path, true).expect("it can be made");
    let source = "node~1".parse().expect("a source");
    let storage =
        directory.create_journal(&Header::new(source), |_| Ok(())).expect("it can be made");
    (open(&storage), storage)
}

fn open(storage: &Segments) -> FileJournal {
    let reader = FileReader::new(storage.clone(), &Marks::default());
    let extent = read_through(&reader, &mut |_, _| Ok(())).expect("it is good");
    FileJournal::open(&extent, reader).expect("it can be written")
}

/// Reads from a random position on, and checks that this is what is there.
fn read_somewhere(reader: &FileReader, random: &mut fastrand::Rng) {
    let length = reader.length();
    let from = random.u64(..=length + 2);
    let most = if random.bool() { random.usize(..20) } else { random.usize(..2000) };
    let bytes = if random.bool() { usize::MAX } else { random.usize(..60_000) };
    let read = reader.read(from, most, bytes).expect("it can be read");
    assert!(read.len() <= most);
    let mut room = bytes;
    for (position, found) in (from..).zip(&read) {
        assert!(room > 0, "more than one that passes the bytes");
        assert!(*found == record(position), "at {position}");
        room = room.saturating_sub(found.line.len());
    }
    if read.len() < most && room > 0 {
        assert!(from + read.len() as u64 >= length, "it ends at {length}");
    }
}

#[test]
fn readers_get_what_was_appended_while_appending_goes_on() {
    const LENGTH: u64 = 12_000;
    let temporary = TemporaryDirectory::new("readers");
    let (mut journal, storage) = create(&temporary.0);
    let reader = journal.reader();
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let reader = reader.clone();
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                while reader.length() < LENGTH {
                    read_somewhere(&reader, &mut random);
                }
            });
        }
        scope.spawn(move || {
            let mut random = fastrand::Rng::with_seed(9);
            let mut length = 0;
            while length < LENGTH {
                let end = LENGTH.min(length + random.u64(1..200));
                let batch: Vec<Record> = (length..end).map(record).collect();
                journal.append(&batch).expect("there is room");
                length = end;
                assert_eq!(journal.reader().length(), length);
            }
        });
    });
    let mut random = fastrand::Rng::with_seed(5);
    let reopened = open(&storage).reader();
    assert_eq!(reopened.length(), LENGTH);
    for _ in 0..150 {
        read_somewhere(&reader, &mut random);
        read_somewhere(&reopened, &mut random);
    }
    for position in [0, 255, 256, 257, 511, 512, LENGTH - 1, LENGTH, LENGTH + 1, u64::MAX] {
        let expected: Vec<Record> = (position..LENGTH).take(2).map(record).collect();
        assert_eq!(reader.read(position, 2, usize::MAX).expect("it can be read"), expected);
        assert_eq!(reopened.read(position, 2, usize::MAX).expect("it can be read"), expected);
    }
}

#[test]
fn only_the_latest_records_are_in_memory() {
    /// At most so many, and about so many bytes of them.
    const RECORDS: u64 = 4096;
    const BYTES: u64 = 4 << 20;
    let temporary = TemporaryDirectory::new("tail");
    let (mut journal, _) = create(&temporary.0);
    let reader = journal.reader();
    let small = |id| Record::new(record(id).place, "x");
    for first in (0..6000).step_by(1000) {
        journal.append(&(first..first + 1000).map(small).collect::<Vec<_>>()).expect("room");
    }
    let is_in_memory = |position| reader.read_tail(position, 1, 1).is_some();
    assert!(is_in_memory(6000 - RECORDS) && !is_in_memory(6000 - RECORDS - 1));
    assert_eq!(
        reader.read(0, 1, 1).expect("it can be read"),
        [small(0)],
        "the rest is in the file"
    );

    let large = Record::new(record(6000).place, &"x".repeat(1 << 20));
    let fit = BYTES / large.line.len() as u64;
    for _ in 0..6 {
        journal.append(std::slice::from_ref(&large)).expect("there is room");
    }
    assert!(is_in_memory(6006 - fit) && !is_in_memory(6006 - fit - 1));
    assert_eq!(reader.read(6000, 1, 1).expect("it can be read"), [large]);
}

#[test]
fn after_a_start_from_a_checkpoint_the_block_index_fills_up_by_reading() {
    const LENGTH: u64 = 41 * STRIDE + 7;
    let temporary = TemporaryDirectory::new("blocks");
    let source: Source = "peer~1".parse().expect("a source");
    let clock = |next| [(source.clone(), next)].into_iter().collect();
    let node = Node::start(&temporary.0);
    node.submit(transactions(1..=20 * STRIDE + 5));
    node.stop();
    let node = Node::start(&temporary.0);
    node.submit(transactions(20 * STRIDE + 6..=LENGTH));
    let check = |node: &Node, begin: u64| {
        let journal = node.handle.journal();
        assert_eq!(journal.next_uncovered(begin, &clock(LENGTH + 1)), LENGTH);
        // The Id at position p is p + 1.
        assert_eq!(journal.next_uncovered(begin, &clock(40 * STRIDE + 2)), 40 * STRIDE);
        let likely = journal.candidates(&source, 40 * STRIDE + 1);
        assert_eq!(likely[0], 40 * STRIDE..41 * STRIDE);
        let open = journal.candidates(&source, LENGTH);
        assert_eq!(open[0], 41 * STRIDE..LENGTH);
    };
    let begin = node.read_from();
    assert_eq!(begin, 20 * STRIDE, "it starts from a checkpoint");
    check(&node, begin);
    node.kill();
    let node = Node::start(&temporary.0);
    check(&node, begin);
    let journal = node.handle.journal();
    // The checkpoint's clock covers all before it; of less nothing is known.
    assert_eq!(journal.next_uncovered(5, &clock(LENGTH + 1)), LENGTH);
    assert_eq!(journal.next_uncovered(5, &clock(20 * STRIDE + 5)), 5);
    assert_eq!(journal.candidates(&source, 300), std::slice::from_ref(&(0..begin)));
    let records = journal.read_blocking(1, 700, usize::MAX).expect("it can be read");
    assert_eq!(records.len(), 700);
    assert_eq!(journal.next_uncovered(STRIDE, &clock(2 * STRIDE + 1)), 2 * STRIDE);
    assert_eq!(
        journal.candidates(&source, 300),
        [STRIDE..2 * STRIDE, 0..STRIDE, 2 * STRIDE..begin]
    );
    node.kill();
}
