//! A damaged journal is opened with exactly what it had, or refused with the place of the damage and
//! left as it is. It is never opened with anything else.
//!
//! What a crash can leave behind is an exception: what is missing at the end of the file, or in whole
//! sectors of the last batch, was never acknowledged, and is cut off.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use patchmesh::internals::clock::Time;
use patchmesh::internals::journal::{
    FileJournal, FileReader, Header, Marks, OpenError, Segments, Storage,
};
use patchmesh::internals::manager::Manager;
use patchmesh::internals::transaction::{Name, Place, Record, Transaction};

use crate::reading::collect;
use crate::setting::setting;
use crate::temporary::TemporaryDirectory;

const SECTOR: usize = 512;

/// How long a file in memory can be: too short for the space that a journal reserves, which takes time.
const ROOM: usize = 64 << 10;

/// A file in memory.
#[derive(Default)]
struct Bytes(Mutex<Vec<u8>>);

impl Bytes {
    fn get(&self) -> Vec<u8> {
        self.0.lock().expect("no holder panics").clone()
    }
}

impl Storage for Bytes {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("no holder panics").len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().expect("no holder panics");
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.0.lock().expect("no holder panics");
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if end > ROOM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if file.len() < end {
            let more = vec![0; end - file.len()];
            file.extend_from_slice(&more);
        }
        file[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.lock().expect("no holder panics").resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A journal as it should be.
struct Journal {
    /// Its bytes without reserved space.
    text: Vec<u8>,
    transactions: Vec<Transaction>,
    /// For each batch, the header first, where it begins and how many lines it has.
    batches: Vec<(usize, usize)>,
    /// For each line where it begins and ends, and its batch.
    lines: Vec<(usize, usize, usize)>,
}

impl Journal {
    /// Of batches with so many records, the payloads of which have so many bytes.
    fn new(batches: &[&[usize]]) -> Self {
        let storage = Arc::new(Bytes::default());
        let header = Header::new("node~1".parse().expect("a source"));
        FileJournal::create(&*storage, &header).expect("memory can be written");
        let (mut journal, _) = open(&storage).expect("it is good");
        let mut transactions = Vec::new();
        let mut starts = vec![(0, 1)];
        for batch in batches {
            starts.push((text_end(&storage.get()), batch.len()));
            let first = transactions.len() as u64 + 1;
            let records: Vec<Record> =
                (first..).zip(*batch).map(|(id, bytes)| record(id, *bytes)).collect();
            journal.append(&records).expect("memory can be written");
            transactions.extend(records.iter().map(decode));
        }
        let mut text = storage.get();
        text.truncate(text_end(&text));
        let mut lines = Vec::new();
        let mut start = 0;
        for (batch, (_, count)) in starts.iter().enumerate() {
            for _ in 0..*count {
                let length = text[start..].iter().position(|byte| *byte == b'\n').expect("a line");
                lines.push((start, start + length + 1, batch));
                start += length + 1;
            }
        }
        assert_eq!(start, text.len());
        Self { text, transactions, batches: starts, lines }
    }

    /// The start of the line that has the byte at `offset`; the end of the text if none has.
    fn line_at(&self, offset: usize) -> usize {
        let line = self.lines.iter().find(|(_, end, _)| offset < *end);
        line.map_or(self.text.len(), |(start, _, _)| *start)
    }

    /// The transactions of the batches before `batch`.
    fn before(&self, batch: usize) -> &[Transaction] {
        let count = self.batches[1..batch.max(1)].iter().map(|(_, count)| count).sum();
        &self.transactions[..count]
    }

    /// What is there of the text's first `length` bytes; the last line feed may be missing.
    fn before_cut(&self, length: usize) -> &[Transaction] {
        let is_whole = |batch: &usize| {
            let end = self.batches.get(batch + 1).map_or(self.text.len(), |(start, _)| *start);
            end <= length + 1
        };
        self.before((0..self.batches.len()).take_while(is_whole).count())
    }
}

fn record(id: u64, bytes: usize) -> Record {
    let time = Time::from_micros(1_763_888_400_000_000 + id).expect("below 2^53");
    let place = Place { time, source: "node~1".parse().expect("a source"), id };
    let patch = format!(r#"[{{"op":"add","path":"/a","value":"{}"}}]"#, "v".repeat(bytes));
    Record::new(place, &patch)
}

fn decode(record: &Record) -> Transaction {
    Transaction::decode(record.line.as_bytes()).expect("a record has a transaction")
}

fn text_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn open(storage: &Arc<Bytes>) -> Result<(FileJournal, Vec<Transaction>), OpenError> {
    let storage: Arc<dyn Storage> = storage.clone();
    let reader = FileReader::new(Segments::of_file(storage)?, &Marks::default());
    let (extent, transactions) = collect(&reader)?;
    Ok((FileJournal::open(&extent, reader)?, transactions))
}

/// What became of opening a journal.
#[derive(Debug)]
enum Opening {
    With(Vec<Transaction>),
    /// Refused; damaged at this offset.
    Refused(usize),
}

/// Opens a file with these bytes. Where it is refused, checks that it is what it was. Where not, that
/// it is a good journal from then on: that one more can be appended, and all be read back.
fn try_open(bytes: &[u8]) -> Opening {
    let storage = Arc::new(Bytes(Mutex::new(bytes.to_vec())));
    let (mut journal, transactions) = match open(&storage) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(storage.get() == bytes, "a refused start changed the file");
            return Opening::Refused(named_offset(&error.to_string()));
        }
    };
    let more = record(99, 5);
    journal.append(std::slice::from_ref(&more)).expect("memory can be written");
    drop(journal);
    let (_, again) = open(&storage).expect("it was opened before");
    let (last, rest) = again.split_last().expect("there is one at least");
    assert_eq!(*last, decode(&more));
    assert_eq!(rest, transactions, "it was not what it seemed");
    Opening::With(transactions)
}

fn named_offset(error: &str) -> usize {
    let digits = error.split("offset ").nth(1).unwrap_or_else(|| panic!("no offset: {error}"));
    let digits = digits.split(|digit: char| !digit.is_ascii_digit()).next();
    digits.expect("there is a first part").parse().expect("a number")
}

/// What a byte may come to be: each bit another one, all of them, NUL, a line feed, a neighbour.
fn others(byte: u8) -> Vec<u8> {
    let mut others: Vec<u8> = (0..8).map(|bit| byte ^ (1 << bit)).collect();
    others.extend([!byte, 0, b'\n', b' ', byte.wrapping_add(1), byte.wrapping_sub(1)]);
    others.retain(|other| *other != byte);
    others.sort_unstable();
    others.dedup();
    others
}

/// Small batches, and some of several records.
const SMALL: [&[usize]; 5] = [&[1], &[0, 3, 2], &[20], &[4, 4], &[1]];

/// The same, and the last batch has several records.
const SMALL_WITH_LARGE_END: [&[usize]; 3] = [&[1, 2], &[9], &[3, 0, 7]];

/// Batches of several sectors.
const LARGE: [&[usize]; 5] = [&[700], &[400, 900], &[5], &[30, 1400, 1], &[600, 300]];

/// Journals of which the last batch begins as near to the edge of a sector.
fn at_edges() -> Vec<(Journal, isize)> {
    let plain = Journal::new(&[&[1], &[0], &[40, 600]]);
    let start = plain.batches[3].0;
    let journals = [-2, -1, 0, 1].map(|beside| {
        let target = start.next_multiple_of(SECTOR).wrapping_add_signed(beside);
        let journal = Journal::new(&[&[1], &[target - start], &[40, 600]]);
        assert_eq!(journal.batches[3].0, target);
        (journal, beside)
    });
    journals.into()
}

fn with_reserve(text: &[u8], reserve: usize) -> Vec<u8> {
    let mut bytes = text.to_vec();
    bytes.resize(text.len() + reserve, 0);
    bytes
}

/// Changes each byte of the text in each way, with `reserve` bytes reserved after it.
fn change_each_byte(journal: &Journal, reserve: usize) {
    let good = with_reserve(&journal.text, reserve);
    let end = journal.text.len();
    let (last_batch, _) = *journal.batches.last().expect("there is a header at least");
    for at in 0..end {
        for other in others(good[at]) {
            let mut bytes = good.clone();
            bytes[at] = other;
            let is_known = last_batch > 0
                && other == 0
                && (at == end - 1 || (at == last_batch && at % SECTOR == SECTOR - 1));
            match try_open(&bytes) {
                Opening::With(transactions) => {
                    assert_eq!(transactions, journal.transactions, "{other} at {at} of {end}");
                    assert!(is_known, "{other} at {at} of {end} was not noticed");
                }
                Opening::Refused(offset) => {
                    assert_eq!(offset, journal.line_at(at), "{other} at {at} of {end}");
                }
            }
        }
    }
}

#[test]
fn each_byte_of_a_journal_counts() {
    change_each_byte(&Journal::new(&SMALL), 0);
}

#[test]
fn each_byte_of_a_journal_with_space_in_reserve_counts() {
    change_each_byte(&Journal::new(&SMALL), 1000);
}

#[test]
fn each_byte_of_a_last_batch_of_several_records_counts() {
    change_each_byte(&Journal::new(&SMALL_WITH_LARGE_END), 300);
    change_each_byte(&Journal::new(&SMALL_WITH_LARGE_END), 0);
}

#[test]
fn each_byte_of_a_journal_without_transactions_counts() {
    change_each_byte(&Journal::new(&[]), 0);
    change_each_byte(&Journal::new(&[]), 1000);
}

#[test]
fn a_byte_that_becomes_nul_is_never_taken_for_a_sector_that_was_not_written() {
    for (journal, beside) in at_edges() {
        for reserve in [0, 1, SECTOR, 3000] {
            let good = with_reserve(&journal.text, reserve);
            for at in 0..journal.text.len() {
                let mut bytes = good.clone();
                bytes[at] = 0;
                match try_open(&bytes) {
                    Opening::With(transactions) => {
                        assert_eq!(transactions, journal.transactions, "NUL at {at}, {beside}");
                    }
                    Opening::Refused(offset) => {
                        assert_eq!(offset, journal.line_at(at), "NUL at {at}, {beside}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_byte_of_the_reserve_that_is_not_nul_does_no_harm_or_is_told() {
    let journal = Journal::new(&SMALL);
    let good = with_reserve(&journal.text, 1200);
    for at in journal.text.len()..good.len() {
        for other in [1, b'{', b' ', b'\n', b'"', 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = other;
            match try_open(&bytes) {
                Opening::With(transactions) => assert_eq!(transactions, journal.transactions),
                Opening::Refused(offset) => assert_eq!(offset, journal.text.len()),
            }
        }
    }
}

/// Cuts the text off at each length, and puts NUL bytes in its place.
fn cut_everywhere(journal: &Journal) {
    let header = journal.lines[0].1;
    for length in 0..=journal.text.len() {
        let expected = journal.before_cut(length);
        match try_open(&journal.text[..length]) {
            Opening::With(transactions) => {
                assert!(length >= header, "a part of a header is none");
                assert_eq!(transactions, expected, "cut at {length}");
            }
            Opening::Refused(offset) => {
                assert!(length < header, "cut at {length}: this is what a crash can leave behind");
                assert_eq!(offset, 0);
            }
        }
        for reserve in [1, 2, SECTOR - length % SECTOR, journal.text.len() - length, 2000] {
            let is_edge = length % SECTOR == 0;
            match try_open(&with_reserve(&journal.text[..length], reserve)) {
                Opening::With(transactions) => {
                    assert!(length >= header, "a part of a header is none");
                    assert_eq!(transactions, expected, "cut at {length}, then {reserve} NUL bytes");
                }
                Opening::Refused(offset) => {
                    assert!(length < header || !is_edge, "cut at {length}: a crash can do that");
                    let line = if length < header { 0 } else { journal.line_at(length) };
                    assert_eq!(offset, line, "cut at {length}, then {reserve} NUL bytes");
                }
            }
        }
    }
}

#[test]
fn what_is_cut_off_leaves_the_whole_batches_before() {
    cut_everywhere(&Journal::new(&SMALL));
    cut_everywhere(&Journal::new(&SMALL_WITH_LARGE_END));
    cut_everywhere(&Journal::new(&[]));
    cut_everywhere(&Journal::new(&LARGE));
}

#[test]
fn what_is_added_is_cut_off_or_told() {
    let journal = Journal::new(&SMALL);
    let end = journal.text.len();
    let line = |line: usize| &journal.text[journal.lines[line].0..journal.lines[line].1];
    let mut long = "no line feed ".repeat(1000).into_bytes();
    let mut random = fastrand::Rng::with_seed(7);
    let mut additions: Vec<Vec<u8>> = [
        "\n",
        "\n\n",
        " ",
        "x",
        "{",
        "{}\n",
        "null\n",
        "garbage\n",
        "garbage",
        "{\"Source\":\"a\"}\n",
        "{} \"6.1/1.00000000\"\n",
        "\u{feff}",
        "\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    additions.extend((0..journal.lines.len()).map(|at| line(at).to_vec()));
    additions.extend((0..journal.lines.len()).map(|at| line(at)[..line(at).len() - 1].to_vec()));
    additions.push(long.clone());
    long.push(b'\n');
    additions.push(long);
    additions.extend((1..300).map(|length| (0..length).map(|_| random.u8(..)).collect()));
    for addition in additions {
        for nul in [0, 1, 100, SECTOR - end % SECTOR, 2000] {
            for after in [0, 1, 700] {
                let mut bytes = with_reserve(&journal.text, nul);
                bytes.extend_from_slice(&addition);
                bytes.resize(bytes.len() + after, 0);
                match try_open(&bytes) {
                    Opening::With(transactions) => assert_eq!(transactions, journal.transactions),
                    Opening::Refused(offset) => assert_eq!(offset, end),
                }
            }
        }
    }
    // What ends as a line does was written whole, and never by a journal.
    for text in ["garbage\n", "\n", "{}\n"] {
        let bytes = [&journal.text, text.as_bytes()].concat();
        assert!(matches!(try_open(&bytes), Opening::Refused(_)), "{text:?}");
    }
}

/// Opens the journal with other lines: `lines` are the numbers of those that are there.
fn rearrange(journal: &Journal, lines: &[usize], reserve: usize, what: &str) {
    let mut bytes = Vec::new();
    let mut first_wrong = None;
    for (at, line) in lines.iter().enumerate() {
        if at != *line {
            first_wrong.get_or_insert(bytes.len());
        }
        let (start, end, _) = journal.lines[*line];
        bytes.extend_from_slice(&journal.text[start..end]);
    }
    let end = bytes.len();
    bytes.resize(end + reserve, 0);
    match (try_open(&bytes), first_wrong) {
        // What is left is what the file may have been before, or after a crash.
        (Opening::With(transactions), None) => {
            assert_eq!(transactions, journal.before_cut(end), "{what}");
        }
        (Opening::Refused(offset), None) => {
            assert!(end == 0 || reserve > 0, "{what}: it is only cut off");
            assert_eq!(offset, if end == 0 { 0 } else { end }, "{what}");
        }
        (Opening::With(_), Some(_)) => panic!("{what} was not noticed"),
        (Opening::Refused(offset), Some(expected)) => assert_eq!(offset, expected, "{what}"),
    }
}

#[test]
fn lines_and_batches_that_are_gone_doubled_or_in_another_place_are_told() {
    for journal in [&SMALL[..], &SMALL_WITH_LARGE_END, &LARGE].map(Journal::new) {
        let journal = &journal;
        let all: Vec<usize> = (0..journal.lines.len()).collect();
        for reserve in [0, 333] {
            for line in &all {
                let mut lines = all.clone();
                lines.remove(*line);
                rearrange(journal, &lines, reserve, &format!("line {line} gone"));
                for place in 0..=all.len() {
                    let mut lines = all.clone();
                    lines.insert(place, *line);
                    let what = format!("line {line} doubled at {place}");
                    rearrange(journal, &lines, reserve, &what);
                }
                for other in &all[..*line] {
                    let mut lines = all.clone();
                    lines.swap(*line, *other);
                    let what = format!("lines {line} and {other} swapped");
                    rearrange(journal, &lines, reserve, &what);
                }
            }
            let batches: Vec<Vec<usize>> = (0..journal.batches.len())
                .map(|batch| {
                    all.iter().copied().filter(move |line| journal.lines[*line].2 == batch)
                })
                .map(Iterator::collect)
                .collect();
            for batch in 0..batches.len() {
                let mut order: Vec<&Vec<usize>> = batches.iter().collect();
                order.remove(batch);
                let lines: Vec<usize> = order.into_iter().flatten().copied().collect();
                rearrange(journal, &lines, reserve, &format!("batch {batch} gone"));
                for place in 0..=batches.len() {
                    let mut order: Vec<&Vec<usize>> = batches.iter().collect();
                    order.insert(place, &batches[batch]);
                    let lines: Vec<usize> = order.into_iter().flatten().copied().collect();
                    let what = format!("batch {batch} doubled at {place}");
                    rearrange(journal, &lines, reserve, &what);
                }
                for other in 0..batch {
                    let mut order: Vec<&Vec<usize>> = batches.iter().collect();
                    order.swap(batch, other);
                    let lines: Vec<usize> = order.into_iter().flatten().copied().collect();
                    let what = format!("batches {batch} and {other} swapped");
                    rearrange(journal, &lines, reserve, &what);
                }
            }
        }
    }
}

/// Sectors that are lost: they are NUL bytes.
#[test]
fn sectors_that_are_lost_before_the_last_batch_are_told() {
    let mut journals: Vec<Journal> = at_edges().into_iter().map(|(journal, _)| journal).collect();
    journals.push(Journal::new(&LARGE));
    journals.push(Journal::new(&[&[300], &[300, 300], &[300], &[300], &[300]]));
    let mut refused = 0;
    for journal in &journals {
        let sectors = journal.text.len().div_ceil(SECTOR);
        for first in 0..sectors {
            for count in 1..=sectors - first {
                let mut bytes = with_reserve(&journal.text, 2000);
                let lost = first * SECTOR..(first + count) * SECTOR;
                bytes[lost.clone()].fill(0);
                let what = format!("sectors {first} to {} of {sectors} lost", first + count - 1);
                let line_at = |at: usize| {
                    let line = journal.lines.iter().rposition(|(start, _, _)| *start <= at);
                    line.expect("the first line begins at 0")
                };
                let batch = journal.lines[line_at(lost.start)].2;
                // The seal of a later batch is still there, or the header is not.
                let is_certain = batch == 0
                    || journal.lines.iter().any(|(start, end, line_batch)| {
                        let line = &journal.text[*start..*end];
                        let seal = line.iter().rposition(|byte| *byte == b' ').expect("a seal");
                        let seal = start + seal..*end;
                        *line_batch > batch && (seal.end <= lost.start || seal.start >= lost.end)
                    });
                match try_open(&bytes) {
                    Opening::With(transactions) => {
                        assert!(!is_certain, "{what}: not noticed");
                        // The first byte of the last batch alone is known.
                        let expected = if transactions.len() == journal.transactions.len() {
                            &journal.transactions
                        } else {
                            journal.before_cut(lost.start)
                        };
                        assert_eq!(transactions, expected, "{what}");
                    }
                    Opening::Refused(offset) => {
                        assert!(is_certain, "{what}: this is what a crash can leave behind");
                        assert_eq!(offset, journal.lines[line_at(lost.start)].0, "{what}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

/// A disk that writes to a wrong place.
#[test]
fn a_sector_in_the_place_of_another_one_is_told() {
    let journal = Journal::new(&LARGE);
    let sectors = journal.text.len() / SECTOR;
    for to in 0..sectors {
        for from in (0..sectors).filter(|from| *from != to) {
            let mut bytes = with_reserve(&journal.text, 1000);
            bytes.copy_within(from * SECTOR..(from + 1) * SECTOR, to * SECTOR);
            if bytes[..journal.text.len()] == journal.text {
                continue;
            }
            match try_open(&bytes) {
                Opening::With(_) => panic!("sector {from} at {to} was not noticed"),
                Opening::Refused(offset) => assert!(offset < (to + 1) * SECTOR),
            }
        }
    }
}

/// Opens the directory as a node does, with these bytes as its journal.
fn start_with(directory: &Path, bytes: &[u8]) -> Result<Vec<String>, String> {
    let path = directory.join("journal");
    fs::write(&path, bytes).expect("the file can be written");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = File::options().write(true).open(&path).expect("it was written");
    file.set_modified(long_ago).expect("the time can be set");
    drop(file);
    let result = Manager::open(directory, "other", 5);
    match result {
        Ok((_, handle)) => {
            assert_eq!(handle.source().as_str(), "node~1", "the journal says who it is");
            let length = handle.journal().length();
            let records = handle.journal().read_blocking(0, 1000, usize::MAX);
            let records = records.expect("it can be read");
            assert_eq!(records.len() as u64, length);
            Ok(records.iter().map(|record| record.line.to_string()).collect())
        }
        Err(error) => {
            let error = error.to_string();
            assert!(fs::read(&path).expect("it is there") == bytes, "the file was changed");
            let metadata = fs::metadata(&path).expect("it is there");
            assert_eq!(metadata.modified().ok(), Some(long_ago), "the file was written to");
            assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
            assert!(error.contains("Nothing was changed") && !error.contains('\n'), "{error}");
            let mut entries: Vec<_> =
                fs::read_dir(directory).expect("it is there").flatten().collect();
            entries.sort_by_key(|entry| entry.file_name());
            assert_eq!(entries.len(), 2, "besides the lock there is the journal: {entries:?}");
            Err(error)
        }
    }
}

#[test]
fn a_node_does_not_start_with_a_damaged_journal_and_leaves_it_as_it_is() {
    let directory = TemporaryDirectory::new("damaged");
    let journal = Journal::new(&SMALL);
    let all: Vec<String> = journal.transactions.iter().map(Transaction::encode).collect();
    for at in 0..journal.text.len() {
        let mut bytes = with_reserve(&journal.text, 700);
        bytes[at] = others(bytes[at])[at % 8];
        match start_with(&directory.0, &bytes) {
            Ok(lines) => {
                assert_eq!(lines, all);
                assert_eq!((at, bytes[at]), (journal.text.len() - 1, 0), "not noticed");
            }
            Err(error) => assert_eq!(named_offset(&error), journal.line_at(at), "{error}"),
        }
    }
}

#[test]
fn a_node_starts_with_what_a_crash_left_behind() {
    let directory = TemporaryDirectory::new("cut");
    let journal = Journal::new(&SMALL_WITH_LARGE_END);
    for length in 0..=journal.text.len() {
        match start_with(&directory.0, &journal.text[..length]) {
            Ok(lines) => {
                let expected = journal.before_cut(length);
                let expected: Vec<String> = expected.iter().map(Transaction::encode).collect();
                assert_eq!(lines, expected, "cut at {length}");
            }
            Err(error) => {
                assert!(length < journal.lines[0].1, "cut at {length}: {error}");
                assert_eq!(named_offset(&error), 0);
            }
        }
    }
}

/// Lines that have their checksums and yet are none that a journal writes.
#[test]
fn what_was_sealed_and_is_no_transaction_is_told() {
    let mut journal = Vec::new();
    let header = Header::new("node~1".parse().expect("a source")).line();
    let good = record(1, 2).line.to_string();
    let mut texts = vec![
        ("no transaction", "{}".to_owned()),
        ("no Time", good.replace(",\"Time\":1763888400000001", "")),
        ("no object", "[]".to_owned()),
        ("no JSON", "{".to_owned()),
    ];
    let mut long = String::new();
    write!(long, "{{\"Source\":\"a\",\"Id\":1,\"Payload\":\"{}\"}}", "x".repeat(2 << 20))
        .expect("a string can be written");
    texts.push(("a Payload beyond the limit", long));
    for (what, text) in texts {
        journal.clear();
        journal.extend_from_slice(&header);
        patchmesh::internals::journal::push_batch(&mut journal, [good.as_str()].into_iter(), 1);
        let end = journal.len();
        patchmesh::internals::journal::push_batch(&mut journal, [text.as_str()].into_iter(), 2);
        match try_open(&journal) {
            Opening::Refused(offset) => assert_eq!(offset, end, "{what}"),
            Opening::With(_) => panic!("{what} was taken in"),
        }
    }
}

/// A journal of many small batches, open, of which nothing is in memory.
fn open_long() -> (Arc<Bytes>, FileJournal, Vec<Transaction>) {
    let storage = Arc::new(Bytes::default());
    let header = Header::new("node~1".parse().expect("a source"));
    FileJournal::create(&*storage, &header).expect("memory can be written");
    let (mut journal, _) = open(&storage).expect("it is good");
    let mut next_id = 1;
    for batch in 0..160 {
        let records: Vec<Record> =
            (next_id..).take(1 + batch % 4).map(|id| record(id, 1)).collect();
        next_id += records.len() as u64;
        journal.append(&records).expect("memory can be written");
        if batch == 70 {
            journal.begin_life(&"node~2".parse().expect("a source")).expect("it can be written");
        }
    }
    let (journal, transactions) = open(&storage).expect("it is good");
    assert!(transactions.len() > 300);
    (storage, journal, transactions)
}

/// What a reader gives from any position on is right, or an error that names where it is not.
fn read_everywhere(
    journal: &FileJournal,
    transactions: &[Transaction],
    random: &mut fastrand::Rng,
) -> Option<usize> {
    let reader = journal.reader();
    let mut offset = None;
    for _ in 0..8 {
        let from = random.usize(..transactions.len());
        let most = random.usize(1..40);
        match reader.read(from as u64, most, usize::MAX) {
            Ok(records) => {
                // Up to the damage, if not all.
                let expected = transactions[from..].iter().take(most.min(records.len()));
                assert!(records.iter().map(decode).eq(expected.cloned()), "from {from}");
                assert!(!records.is_empty());
            }
            Err(error) => offset = Some(named_offset(&error.to_string())),
        }
    }
    offset
}

/// A byte, a line or the end is another one while the journal is in use: no reader passes over it.
#[test]
fn no_line_is_passed_over_unchecked() {
    let (storage, journal, transactions) = open_long();
    let good = storage.get();
    let end = text_end(&good);
    let starts: Vec<usize> = std::iter::once(0)
        .chain(good.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1))
        .filter(|at| *at < end)
        .collect();
    let line_at = |at: usize| *starts.iter().rfind(|start| **start <= at).expect("there is one");
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..setting("PATCHMESH_SEEDS").unwrap_or(1500) {
        let mut bytes = good.clone();
        let first_wrong = match random.u8(..5) {
            // A line feed, such as one that becomes a vertical tab.
            0 => {
                let at = starts[random.usize(1..starts.len())] - 1;
                bytes[at] ^= 1 << random.u8(..8);
                line_at(at)
            }
            // A line in place of another one, of the same length.
            1 => {
                let [left, right] = [0; 2].map(|_| random.usize(1..starts.len() - 1));
                let text = |line: usize| starts[line]..starts[line + 1];
                if text(left).len() != text(right).len() || left == right {
                    continue;
                }
                bytes.copy_within(text(left), starts[right]);
                starts[right]
            }
            // A line that is gone, and NUL bytes at the end instead.
            2 => {
                let line = random.usize(1..starts.len() - 1);
                bytes.drain(starts[line]..starts[line + 1]);
                bytes.resize(good.len(), 0);
                starts[line]
            }
            3 => {
                let at = random.usize(..end);
                bytes.truncate(at);
                line_at(at)
            }
            _ => {
                let at = random.usize(..end);
                bytes[at] = random.choice(others(bytes[at])).expect("there are others");
                line_at(at)
            }
        };
        *storage.0.lock().expect("no holder panics") = bytes;
        if let Some(offset) = read_everywhere(&journal, &transactions, &mut random) {
            assert!(offset >= first_wrong, "{offset} is good up to {first_wrong}");
        }
        // The header is not read again by readers.
        if first_wrong > 0 {
            let mut read = 0;
            let error = loop {
                match journal.reader().read(read, usize::MAX, usize::MAX) {
                    Ok(records) => read += records.len() as u64,
                    Err(error) => break error.to_string(),
                }
            };
            assert_eq!(named_offset(&error), first_wrong, "{error}");
        }
    }
    *storage.0.lock().expect("no holder panics") = good;
    assert_eq!(read_everywhere(&journal, &transactions, &mut random), None);
}

#[test]
fn a_journal_that_notes_a_life_is_of_version_2_and_as_long_otherwise() {
    let (storage, journal, transactions) = open_long();
    assert!(storage.get().starts_with(br#"{"patchmesh":"journal","version":2,"source":"node~1"}"#));
    assert_eq!(journal.reader().life(), Some("node~2".parse().expect("a source")));
    assert_eq!(journal.reader().length(), transactions.len() as u64);
    // Of one that never had a note the header says version 1, until a line needs the other.
    let plain = Journal::new(&SMALL);
    assert!(plain.text.starts_with(br#"{"patchmesh":"journal","version":1,"source":"node~1"}"#));
    let storage = Arc::new(Bytes(Mutex::new(plain.text.clone())));
    let (mut journal, mut transactions) = open(&storage).expect("it is good");
    let (place, source) = (record(99, 1).place, "plain".parse().expect("a source"));
    let stamped = Record::of(place, Some(Name { source, id: 3 }), "[]", None);
    journal.append(std::slice::from_ref(&stamped)).expect("memory can be written");
    let text = storage.get();
    assert!(text.starts_with(br#"{"patchmesh":"journal","version":2,"source":"node~1"}"#));
    let rest = |text: &[u8]| text[plain.lines[0].1..plain.text.len()].to_vec();
    assert!(rest(&text) == rest(&plain.text), "nothing else was changed");
    transactions.push(decode(&stamped));
    assert_eq!(open(&storage).expect("it is good").1, transactions);
}
