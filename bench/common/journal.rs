//! A journal of as many transactions as one likes, for the benchmarks that need a long one.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use patchmesh::internals::clock::Time;
use patchmesh::internals::journal::{
    Directory, FileJournal, FileReader, Header, Marks, read_through,
};
use patchmesh::internals::patch::{Document, parse};
use patchmesh::internals::transaction::{Place, Record, Transaction};

/// Whose transactions they are.
pub const SOURCE: &str = "bench~00000000";

/// How many members the document has that the transactions write to.
const MEMBERS: u64 = 1000;

/// A payload of about 100 bytes.
pub fn payload(number: u64) -> Box<str> {
    let member = number % MEMBERS;
    let value = format!("value {number:020} of a hundred bytes or so");
    format!(r#"[{{"op":"add","path":"/member{member}","value":"{value}"}}]"#).into()
}

/// The transaction at this position.
pub fn record(number: u64) -> Record {
    let source = SOURCE.parse().expect("a source");
    let time = Time::from_micros(1_700_000_000_000_000 + number).expect("a time");
    Record::new(Place { time, source, id: number + 1 }, &payload(number))
}

/// Makes `directory` a data directory whose journal has so many transactions.
pub fn fill(count: u64, directory: &Path) {
    const BATCH: u64 = 10_000;
    let directory = Directory::open(directory, true).expect("a new directory");
    let source = SOURCE.parse().expect("a source");
    let storage =
        directory.create_journal(&Header::new(source), |_| Ok(())).expect("a new journal");
    let reader = FileReader::new(storage, &Marks::default());
    let extent = read_through(&reader, &mut |_, _| Ok(())).expect("it is empty");
    let mut journal = FileJournal::open(&extent, reader).expect("it can be written");
    for begin in (0..count).step_by(BATCH as usize) {
        let batch: Vec<_> = (begin..count.min(begin + BATCH)).map(record).collect();
        journal.append(&batch).unwrap_or_else(|error| panic!("{error}"));
    }
    journal.close().expect("it can be cut off");
}

/// How long it takes to parse and to apply so many transactions from memory.
pub fn from_memory(count: u64) -> Duration {
    let lines: Vec<_> = (0..count).map(|number| record(number).line).collect();
    let mut document = Document::default();
    let begin = Instant::now();
    for line in &lines {
        let transaction = Transaction::decode(line.as_bytes()).expect("a transaction");
        let patch = parse(&transaction.payload).expect("a patch");
        document.apply(patch).expect("it applies");
    }
    let taken = begin.elapsed();
    black_box(document);
    taken
}
