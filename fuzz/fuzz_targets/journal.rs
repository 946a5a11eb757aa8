//! A journal's file, whatever bytes it has: a start finds what was written with its checksum, in its place,
//! and nothing else, or says that the file is damaged and leaves it as it is. What is read twice is the same.
//!
//! The input begins with a byte that says what follows: the file; or lines that are sealed as a journal
//! seals them, whatever they say; or changes of a good journal, at rest or under a reader.

#![no_main]

#[path = "../../tests/journal/reading.rs"]
mod reading;

use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use libfuzzer_sys::fuzz_target;
use patchmesh::internals::clock::Time;
use patchmesh::internals::journal::{
    FileJournal, FileReader, Header, Marks, OpenError, Segments, Storage, push_batch, push_life,
};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Place, Record, Transaction};
use patchmesh_fuzz::Bytes;
use reading::collect;

/// How long the file can become: too short for the space that a journal reserves, which takes time.
const ROOM: usize = 96 << 10;

/// A file in memory.
#[derive(Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryFile {
    fn with(bytes: &[u8]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(bytes.to_vec())))
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("no holder panics")
    }
}

impl Storage for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.bytes();
        let start = usize::try_from(offset).expect("it is in memory");
        let end = start + bytes.len();
        if end > ROOM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let length = file.len().max(end);
        file.resize(length, 0);
        file[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.bytes().resize(usize::try_from(length).expect("it is in memory"), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 4 {
        0 => try_open(rest),
        1 => try_open(&sealed(Bytes(rest))),
        2 => {
            let [small, large] = &*GOOD;
            let good = if *kind < 0xe0 { small } else { large };
            try_open(&changed(good, Bytes(rest)));
        }
        _ => change_while_read(*kind >= 0xe0, Bytes(rest)),
    }
});

/// Opens the file, in the way that a start does.
fn open(storage: &Arc<MemoryFile>) -> Result<(FileJournal, Vec<Transaction>), OpenError> {
    let storage: Arc<dyn Storage> = storage.clone();
    let reader = FileReader::new(Segments::of_file(storage)?, &Marks::default());
    let (extent, transactions) = collect(&reader)?;
    assert_eq!(extent.length, transactions.len() as u64);
    Ok((FileJournal::open(&extent, reader)?, transactions))
}

fn try_open(bytes: &[u8]) {
    let expected = naive(bytes);
    let storage = MemoryFile::with(bytes);
    let (mut journal, transactions) = match open(&storage) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(*storage.bytes() == bytes, "a refused start changed the file");
            assert!(!expected.is_good, "{error}: {}", bytes.escape_ascii());
            return;
        }
    };
    // A batch whose first byte or last line feed alone is missing counts.
    let text = storage.bytes().clone();
    let found = naive(&text);
    assert!(found.is_good, "after a start the file is good: {}", bytes.escape_ascii());
    assert_eq!(transactions, found.transactions);
    assert!(transactions.starts_with(&expected.transactions), "what was sealed is gone");
    assert!(found.batches <= expected.batches + 1, "something was sealed by the start");
    assert!(
        !expected.has_later_batch,
        "what was acknowledged is cut off: {}",
        bytes.escape_ascii()
    );

    read_all(&journal.reader(), &transactions);
    let more = [record(1 << 40, "[]"), record((1 << 40) + 1, "")];
    if journal.append(&more).is_err() {
        return;
    }
    let all: Vec<Transaction> =
        transactions.into_iter().chain(more.iter().map(transaction)).collect();
    read_all(&journal.reader(), &all);
    let (journal, again) = open(&storage).expect("it was good, and was appended to");
    assert_eq!(again, all);
    read_all(&journal.reader(), &all);
}

/// Reads from every position, and finds these.
fn read_all(reader: &FileReader, transactions: &[Transaction]) {
    assert_eq!(reader.length(), transactions.len() as u64);
    let mut position = 0;
    while position < transactions.len() {
        let most = 1 + position % 100;
        let records = reader.read(position as u64, most, 10_000).expect("it is good");
        assert!(!records.is_empty() && records.len() <= most);
        for (record, expected) in records.iter().zip(&transactions[position..]) {
            assert_eq!(transaction(record), *expected);
        }
        position += records.len();
    }
    assert!(reader.damage().is_none());
}

/// Changes the file under a reader, which may find that but must not be fooled.
fn change_while_read(is_large: bool, mut choices: Bytes) {
    const MOST_CHANGES: usize = 8;
    let storage = MemoryFile::with(&GOOD[usize::from(is_large)]);
    let (journal, transactions) = open(&storage).expect("it is good");
    let reader = journal.reader();
    for _ in 0..MOST_CHANGES {
        if choices.is_empty() {
            break;
        }
        let position = choices.below(transactions.len() + 1);
        let before = storage.bytes().clone();
        let after = changed(&before, Bytes(choices.take(12)));
        *storage.bytes() = after;
        match reader.read(position as u64, 20, 1 << 20) {
            Ok(records) => {
                assert!(!records.is_empty() || position == transactions.len());
                for (record, expected) in records.iter().zip(&transactions[position..]) {
                    assert_eq!(transaction(record), *expected);
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(reader.damage().is_some(), "damage is noted");
            }
        }
    }
}

/// What a second reader finds, which takes no byte for granted.
struct Naive {
    transactions: Vec<Transaction>,
    /// How many batches are there whole, the header included.
    batches: u64,
    /// Whether only NUL bytes follow.
    is_good: bool,
    /// Whether a line follows of a batch after the one that comes next: that one was durable then.
    has_later_batch: bool,
}

fn naive(bytes: &[u8]) -> Naive {
    let (mut found, rest) = naive_batches(bytes);
    found.is_good = found.batches > 0 && rest.iter().all(|byte| *byte == 0);
    found.has_later_batch = rest
        .split(|byte| [0, b'\n'].contains(byte))
        .filter_map(unsealed)
        .any(|(_, [batch, ..])| batch > found.batches);
    found
}

/// Finds the whole batches, and says what is left.
fn naive_batches(bytes: &[u8]) -> (Naive, &[u8]) {
    let mut found =
        Naive { transactions: Vec::new(), batches: 0, is_good: false, has_later_batch: false };
    let mut at = 0;
    loop {
        let mut objects = Vec::new();
        let mut end = at;
        loop {
            let Some(length) = bytes[end..].iter().position(|byte| *byte == b'\n') else {
                return (found, &bytes[at..]);
            };
            let line = &bytes[end..end + length];
            end += length + 1;
            let Some((object, seal)) = unsealed(line) else { return (found, &bytes[at..]) };
            objects.push(object);
            let [batch, number, lines] = seal;
            if batch != found.batches || number != objects.len() as u64 || lines < number {
                return (found, &bytes[at..]);
            }
            if number == lines {
                break;
            }
        }
        if found.batches == 0 {
            let is_header = |object| Header::read(object).is_ok();
            if objects.len() != 1 || !is_header(objects[0]) {
                return (found, &bytes[at..]);
            }
        } else {
            let mut transactions = Vec::new();
            for object in objects {
                if object.starts_with("{\"patchmesh\":") {
                    let note: serde_json::Value = serde_json::from_str(object).unwrap_or_default();
                    let life = note["source"].as_str().and_then(|life| life.parse::<Source>().ok());
                    if note["patchmesh"] != "life" || life.is_none() {
                        return (found, &bytes[at..]);
                    }
                    continue;
                }
                match Transaction::decode(object.as_bytes()) {
                    Ok(transaction) if transaction.time.is_some() => {
                        transactions.push(transaction);
                    }
                    _ => return (found, &bytes[at..]),
                }
            }
            found.transactions.extend(transactions);
        }
        found.batches += 1;
        at = end;
    }
}

/// The object of a line, and its batch, its number and how many there are, if its checksum is right.
fn unsealed(line: &[u8]) -> Option<(&str, [u64; 3])> {
    let line = std::str::from_utf8(line).ok().filter(|line| !line.contains('\0'))?;
    let (object, seal) = line.rsplit_once(" \"")?;
    let seal = seal.strip_suffix('"')?;
    let (numbers, checksum) = seal.rsplit_once('.')?;
    let (batch, lines) = numbers.split_once('.')?;
    let (number, lines) = lines.split_once('/')?;
    let sealed = &line[..line.len() - checksum.len() - 1];
    if checksum != format!("{:08x}", crc32fast::hash(sealed.as_bytes())) {
        return None;
    }
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let parse = |text: &str| text.parse().ok().filter(|_| is_digits(text));
    Some((object, [parse(batch)?, parse(number)?, parse(lines)?]))
}

fn record(id: u64, payload: &str) -> Record {
    let time = Time::from_micros(1_763_888_400_000_000 + id).expect("below 2^53");
    let source = "a~k3x9q2pd".parse().expect("a source");
    Record::new(Place { time, source, id }, payload)
}

fn transaction(record: &Record) -> Transaction {
    record.transaction().expect("a record has a transaction")
}

/// A small and a large journal.
static GOOD: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| [good(false), good(true)]);

/// A journal as it should be: batches of several sizes and a note; with marks in it if it is large.
fn good(is_large: bool) -> Vec<u8> {
    let mut text = Header::new("a~k3x9q2pd".parse().expect("a source")).line();
    let batches: &[u64] = if is_large { &[200, 1, 70, 3] } else { &[1, 3, 2] };
    let mut id = 0;
    let mut batch = 1;
    for count in batches {
        let payload = "v".repeat(7 * batch as usize);
        let lines: Vec<_> = (id..id + count).map(|id| record(id, &payload).line).collect();
        push_batch(&mut text, lines.iter().map(|line| &**line), batch);
        id += count;
        batch += 1;
        if batch == 2 {
            push_life(&mut text, &"a~00000001".parse().expect("a source"), batch);
            batch += 1;
        }
    }
    text
}

/// Some bytes changed, inserted, taken out or moved.
fn changed(good: &[u8], mut choices: Bytes) -> Vec<u8> {
    let mut bytes = good.to_vec();
    while !choices.is_empty() && bytes.len() < ROOM / 2 {
        let what = choices.below(8);
        let at = choices.below(bytes.len() + 1);
        let end = |bytes: &[u8], length| at.saturating_add(length).min(bytes.len());
        match what {
            0 => bytes.truncate(at),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = choices.byte();
                }
            }
            2 => drop(bytes.drain(at..end(&bytes, choices.below(256)))),
            3 => {
                let count = choices.below(16);
                bytes.splice(at..at, choices.take(count).iter().copied());
            }
            4 => {
                let end = end(&bytes, choices.below(2048));
                bytes[at..end].fill(0);
            }
            // Whole sectors are not written.
            5 => {
                let start = at / 512 * 512;
                let end = bytes.len().min(start + 512 * (1 + choices.below(4)));
                bytes[start..end].fill(0);
            }
            // Lines are elsewhere as well.
            6 => {
                let lines: Vec<usize> = std::iter::once(0)
                    .chain((1..=bytes.len()).filter(|at| bytes[at - 1] == b'\n'))
                    .collect();
                let [from, to] = [0; 2].map(|_| choices.below(lines.len()));
                let line = bytes[lines[from]..].split_inclusive(|byte| *byte == b'\n').next();
                let line = line.unwrap_or_default().to_vec();
                bytes.splice(lines[to]..lines[to], line);
            }
            _ => bytes.extend(std::iter::repeat_n(0, choices.below(2048))),
        }
    }
    bytes
}

/// A file of lines that are sealed as they should be, most of them, and say anything.
fn sealed(mut choices: Bytes) -> Vec<u8> {
    let mut text = match choices.below(8) {
        0 => Vec::new(),
        _ => Header::new("a~k3x9q2pd".parse().expect("a source")).line(),
    };
    let mut batch = u64::from(!text.is_empty());
    while !choices.is_empty() && text.len() < ROOM / 2 {
        let mut objects: Vec<String> = Vec::new();
        for _ in 0..1 + choices.below(4) {
            let count = choices.below(200);
            objects.push(match choices.below(4) {
                0 => String::from_utf8_lossy(choices.take(count)).into(),
                1 => format!(
                    r#"{{"patchmesh":"life","source":"a~{:08}"{}}}"#,
                    count,
                    String::from_utf8_lossy(choices.take(count % 8))
                ),
                _ => record(count as u64, "[]").line.to_string(),
            });
        }
        push_batch(&mut text, objects.iter().map(String::as_str), batch);
        batch = if choices.below(16) == 15 { choices.below(5) as u64 } else { batch + 1 };
    }
    text.resize(text.len() + choices.below(4) * 300, 0);
    text
}
