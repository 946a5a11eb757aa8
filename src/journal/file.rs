//! A journal in a file.
//!
//! Invariants: the file is a header and complete batches up to `end`, and NUL bytes from there on. All
//! that readers are shown is durable.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::format::{FIRST_BYTE, Header, Seal, push_line, read_line};
use super::index::{BLOCK, BlockIndex, Ids};
use super::scan::{Damage, End, Scanner};
use super::storage::Storage;
use super::within;
use crate::clock::VectorClock;
use crate::source::Source;
use crate::transaction::{Record, Transaction};

/// By how much the file is lengthened ahead of what is written, in bytes: a sync that need not change
/// the file's length is faster.
const RESERVE_BYTES: u64 = 1 << 20;

/// Every so many positions the offset is kept in memory.
const STRIDE: u64 = BLOCK;

/// How many of the latest records are kept in memory, and about how many bytes of them: most readers
/// are near the end.
const TAIL_RECORDS: usize = 4096;
const TAIL_BYTES: usize = 4 << 20;

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Where a line begins, and of which batch it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The offset.
    pub offset: u64,
    /// The batch.
    pub batch: u64,
}

/// The file as the one who appends holds it.
pub struct FileJournal {
    storage: Arc<dyn Storage>,
    /// The offset after the last complete batch.
    end: u64,
    /// The file's length.
    reserved: u64,
    /// The number of the batch that comes next.
    next_batch: u64,
    /// How long it took to write and to sync the last batch.
    last_append: Duration,
    shared: Arc<Shared>,
}

/// The file as everyone else holds it.
#[derive(Clone)]
pub struct FileReader {
    storage: Arc<dyn Storage>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared(Mutex<Index>);

/// What is known of the file's content.
#[derive(Default)]
struct Index {
    /// How many records there are.
    length: u64,
    /// Where the records at the positions 0, [`STRIDE`], 2 * [`STRIDE`] and so on are.
    marks: Vec<Mark>,
    /// Which Ids are where; while the journal is read through, also after `length`.
    blocks: BlockIndex,
    /// The latest records.
    tail: VecDeque<Record>,
    tail_bytes: usize,
}

/// Why a journal cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be read or written.
    Io(io::Error),
    /// It is damaged.
    Damaged(Damage),
    /// Its first line is not the header of a journal that this program knows; in words.
    Header(String),
    /// This line has its checksum and is no transaction; in words.
    Line(u64, String),
}

/// Why a batch is not appended.
#[derive(Debug)]
pub enum AppendError {
    /// There is no room. The file is what it was.
    Full(io::Error),
    /// What the file has is unknown: the process must not go on with it.
    Broken(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged(damage) => write!(f, "damaged at {damage}"),
            Self::Header(why) => write!(f, "damaged at offset 0: {why}"),
            Self::Line(offset, why) => write!(f, "damaged at offset {offset}: {why}"),
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(error) | Self::Broken(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Is given the transactions of each batch, and how much of the file has been read, from 0 to 1.
pub type Visit<'a> = dyn FnMut(f64, Vec<Transaction>) -> Result<(), OpenError> + 'a;

/// Reads the header, and says where the first record's line begins.
///
/// # Errors
/// Where it is none.
pub fn read_header(storage: &dyn Storage) -> Result<(Header, Mark), OpenError> {
    let mut scanner = Scanner::new(storage, 0, 0);
    let header = match scanner.next()? {
        Ok(batch) => match batch.objects[..] {
            [(_, object)] => Header::read(object).map_err(OpenError::Header)?,
            _ => return Err(OpenError::Header("there is more than one header".into())),
        },
        Err(End::Damaged(damage)) => return Err(OpenError::Damaged(damage)),
        Err(_) => return Err(OpenError::Header("there is no whole header".into())),
    };
    if scanner.unterminated() {
        return Err(OpenError::Header("the header does not end with a line feed".into()));
    }
    Ok((header, Mark { offset: scanner.offset(), batch: scanner.next_batch() }))
}

/// What stands at the end of a journal that was read through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The offset of the last complete batch, or of the part of it that was read.
    pub last: u64,
    /// The offset after the last complete batch, and its last line feed.
    pub end: u64,
    /// The number of the batch that comes next.
    pub next_batch: u64,
    /// How many records there are.
    pub length: u64,
    /// Whether a torn batch follows.
    pub torn: bool,
}

impl Extent {
    /// The text of the last complete batch, and whether it is not as the file has it: the first byte
    /// and the last line feed may be missing there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn last_batch(&self, storage: &dyn Storage) -> io::Result<(Vec<u8>, bool)> {
        let mut text = vec![0; (self.end - self.last) as usize];
        storage.read_at(&mut text, self.last)?;
        let mut is_mended = false;
        if let [first, .., last] = &mut *text {
            is_mended = (*first, *last) != (FIRST_BYTE, b'\n');
            (*first, *last) = (FIRST_BYTE, b'\n');
        }
        Ok((text, is_mended))
    }
}

/// Reads the records from the last of the reader's marks on, and shows them to `visit`; from the line
/// at `first` where it has no marks. The reader gets the marks of what is read.
///
/// # Errors
/// Where the journal is damaged or cannot be read.
pub fn read_through(
    reader: &FileReader,
    first: Mark,
    visit: &mut Visit,
) -> Result<Extent, OpenError> {
    let file_length = reader.storage.length()?;
    let (mut position, mut scanner) = match reader.last_mark() {
        None => (0, Scanner::new(&*reader.storage, first.offset, first.batch)),
        Some((position, mark)) => {
            (position, Scanner::resume(&*reader.storage, mark.offset, mark.batch))
        }
    };
    let mut last = scanner.offset();
    loop {
        let offset = scanner.offset();
        match scanner.next()? {
            Ok(batch) => {
                last = offset;
                let mut transactions = Vec::with_capacity(batch.objects.len());
                for (count, (offset, object)) in batch.objects.iter().enumerate() {
                    let at = position + count as u64;
                    let transaction = Transaction::decode(object.as_bytes())
                        .map_err(|error| OpenError::Line(*offset, error.to_string()))?;
                    if transaction.time.is_none() {
                        return Err(OpenError::Line(*offset, "the transaction has no Time".into()));
                    }
                    let mark = Mark { offset: *offset, batch: batch.number };
                    reader.pass(at, mark, Ids::from(&transaction));
                    transactions.push(transaction);
                }
                position += transactions.len() as u64;
                visit(batch.end as f64 / file_length as f64, transactions)?;
            }
            Err(End::Damaged(damage)) => return Err(OpenError::Damaged(damage)),
            Err(end @ (End::Clean | End::Torn)) => {
                return Ok(Extent {
                    last,
                    end: scanner.offset(),
                    next_batch: scanner.next_batch(),
                    length: position,
                    torn: end == End::Torn,
                });
            }
        }
    }
}

impl FileJournal {
    /// Makes an empty file a journal, durably.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn create(storage: &dyn Storage, header: &Header) -> io::Result<()> {
        storage.write_at(&header.line(), 0)?;
        storage.sync()
    }

    /// Opens a journal that [`read_through`] has found to be good, and cuts off what is torn.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn open(extent: &Extent, reader: FileReader) -> Result<Self, OpenError> {
        let storage = reader.storage.clone();
        // What is torn must never be found between what is written later.
        if storage.length()? > extent.end {
            storage.set_length(extent.end)?;
        }
        // Who wrote the last batch may not have come to sync it, and where a sync has failed, the
        // system may take for durable what is not. So it is written once more before it is shown.
        let (text, is_mended) = extent.last_batch(&*storage)?;
        match storage.write_at(&text, extent.last) {
            // A disk that is too full for that is no reason not to start.
            Err(error) if is_full(&error) && !is_mended => (),
            written => written?,
        }
        storage.sync()?;
        reader.reach(extent.length);
        Ok(Self {
            storage,
            end: extent.end,
            reserved: extent.end,
            next_batch: extent.next_batch,
            last_append: Duration::ZERO,
            shared: reader.shared,
        })
    }

    /// How long it took to write and to sync the last batch.
    pub fn last_append(&self) -> Duration {
        self.last_append
    }

    /// A reader of this journal.
    pub fn reader(&self) -> FileReader {
        FileReader { storage: self.storage.clone(), shared: self.shared.clone() }
    }

    /// Appends a batch, whole or not at all, and returns when it is durable. Waits for the disk.
    ///
    /// # Errors
    /// Where it is not appended.
    pub fn append(&mut self, batch: &[Record]) -> Result<(), AppendError> {
        let mut text = Vec::with_capacity(batch.iter().map(|record| record.line.len() + 64).sum());
        let mut marks = Vec::new();
        let first = self.shared.lock().length;
        for (count, record) in batch.iter().enumerate() {
            if (first + count as u64).is_multiple_of(STRIDE) {
                let offset = self.end + text.len() as u64;
                marks.push(Mark { offset, batch: self.next_batch });
            }
            let line = count as u64 + 1;
            let seal = Seal { batch: self.next_batch, line, lines: batch.len() as u64 };
            push_line(&mut text, &record.line, seal);
        }
        let end = self.end + text.len() as u64;
        let begin = Instant::now();
        self.write(&text, end)?;
        self.storage.sync().map_err(AppendError::Broken)?;
        self.last_append = begin.elapsed();
        self.end = end;
        self.next_batch += 1;
        self.shared.lock().extend(batch, marks);
        Ok(())
    }

    fn write(&mut self, text: &[u8], end: u64) -> Result<(), AppendError> {
        if end > self.reserved {
            let reserved = end.next_multiple_of(RESERVE_BYTES);
            // NUL bytes that are written, and not only counted in the file's length, are what makes
            // the syncs to come faster. Where there is no room for them, there may be for the batch.
            let nul = vec![0; (reserved - self.reserved.max(end)) as usize];
            match self.storage.write_at(&nul, self.reserved.max(end)) {
                Ok(()) => self.reserved = reserved,
                Err(error) if is_full(&error) => self.cut()?,
                Err(error) => return Err(AppendError::Broken(error)),
            }
        }
        match self.storage.write_at(text, self.end) {
            Ok(()) => {
                self.reserved = self.reserved.max(end);
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.cut()?;
                Err(AppendError::Full(error))
            }
            Err(error) => Err(AppendError::Broken(error)),
        }
    }

    /// Cuts off what is after the last batch, durably: what was partly written must never be found
    /// between what is written later.
    fn cut(&mut self) -> Result<(), AppendError> {
        self.storage.set_length(self.end).map_err(AppendError::Broken)?;
        self.storage.sync().map_err(AppendError::Broken)?;
        self.reserved = self.end;
        Ok(())
    }

    /// Gives back the reserved space. The journal must not be used any more.
    ///
    /// # Errors
    /// Where that cannot be done; what was appended is durable all the same.
    pub fn close(&mut self) -> io::Result<()> {
        self.storage.set_length(self.end)
    }
}

/// Whether there is no room: on the disk, in the quota, or for a file of that length.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | WriteZero)
}

impl FileReader {
    /// A reader of a journal of which nothing but `marks` is known yet.
    pub fn new(storage: Arc<dyn Storage>, marks: Vec<Mark>) -> Self {
        let length = marked_position(marks.len());
        let index = Index { length, marks, blocks: BlockIndex::after(length), ..Index::default() };
        Self { storage, shared: Arc::new(Shared(Mutex::new(index))) }
    }

    /// How many records there are.
    pub fn length(&self) -> u64 {
        self.shared.lock().length
    }

    /// The records from `position` on, within the bounds, where they are in memory.
    pub fn read_tail(&self, position: u64, most: usize, bytes: usize) -> Option<Vec<Record>> {
        let index = self.shared.lock();
        let tail_start = index.length - index.tail.len() as u64;
        let skipped = position.checked_sub(tail_start)?;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        Some(within(index.tail.iter().skip(skipped), most, bytes).cloned().collect())
    }

    /// The records from `position` on, within the bounds. Waits for the disk.
    ///
    /// # Errors
    /// Where they cannot be read, or are damaged.
    pub fn read(&self, position: u64, most: usize, bytes: usize) -> io::Result<Vec<Record>> {
        if let Some(records) = self.read_tail(position, most, bytes) {
            return Ok(records);
        }
        let (mark, length) = {
            let index = self.shared.lock();
            (index.marks[(position / STRIDE) as usize], index.length)
        };
        let mut skip = position % STRIDE;
        let most = most.min(usize::try_from(length - position).unwrap_or(usize::MAX));
        let (mut records, mut room) = (Vec::new(), bytes);
        let (mut buffer, mut start, mut offset) = (Vec::new(), 0, mark.offset);
        let mut chunk = vec![0; CHUNK_BYTES];
        while records.len() < most && room > 0 {
            let found = buffer[start..].iter().position(|byte| *byte == b'\n');
            let Some(found) = found else {
                buffer.drain(..start);
                start = 0;
                let read = self.storage.read_at(&mut chunk, offset)?;
                buffer.extend_from_slice(&chunk[..read]);
                offset += read as u64;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            let line = &buffer[start..start + found];
            start += found + 1;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let record = record(line).map_err(|why| {
                let at = offset - (buffer.len() - start + found + 1) as u64;
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the journal is damaged at offset {at}: {why}"),
                )
            })?;
            room = room.saturating_sub(record.line.len());
            records.push(record);
        }
        self.note(position, records.iter().map(Ids::from));
        Ok(records)
    }
}

impl FileReader {
    /// The marks up to the last one at or before `position`.
    pub fn marks(&self, position: u64) -> Vec<Mark> {
        let index = self.shared.lock();
        let count = usize::try_from(position / STRIDE + 1).unwrap_or(usize::MAX);
        index.marks[..count.min(index.marks.len())].to_vec()
    }

    /// Has readers see the records before `length`, which have been read through.
    pub fn reach(&self, length: u64) {
        self.shared.lock().length = length;
    }

    fn last_mark(&self) -> Option<(u64, Mark)> {
        let index = self.shared.lock();
        Some((marked_position(index.marks.len()), *index.marks.last()?))
    }

    /// Takes note of a record when the journal is read through.
    fn pass(&self, position: u64, mark: Mark, ids: Ids) {
        let mut index = self.shared.lock();
        if position.is_multiple_of(STRIDE) && index.marks.len() as u64 == position / STRIDE {
            index.marks.push(mark);
        }
        index.blocks.push(ids);
    }

    /// Takes note of the Ids of records that were read, from `position` on, so that they are found
    /// without being read.
    pub fn note<'a>(&self, position: u64, records: impl IntoIterator<Item = Ids<'a>>) {
        self.shared.lock().blocks.note(position, records);
    }

    /// See [`super::JournalReader::next_uncovered`].
    pub fn next_uncovered(&self, from: u64, seen: &VectorClock) -> u64 {
        self.shared.lock().blocks.next_uncovered(from, seen)
    }

    /// See [`super::JournalReader::candidates`].
    pub fn candidates(&self, source: &Source, id: u64) -> Vec<Range<u64>> {
        self.shared.lock().blocks.candidates(source, id)
    }
}

fn record(line: &[u8]) -> Result<Record, String> {
    let object = read_line(line).map_err(|error| error.to_string())?.object;
    let record = Record::read(object).map_err(|error| error.to_string())?;
    Ok(record.ok_or("the transaction has no Time")?)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn extend(&mut self, batch: &[Record], marks: Vec<Mark>) {
        self.length += batch.len() as u64;
        self.marks.extend(marks);
        for record in batch {
            self.blocks.push(Ids::from(record));
            self.tail_bytes += record.line.len();
            self.tail.push_back(record.clone());
            while self.tail.len() > TAIL_RECORDS || self.tail_bytes > TAIL_BYTES {
                let Some(oldest) = self.tail.pop_front() else { break };
                self.tail_bytes -= oldest.line.len();
            }
        }
    }
}

/// The position of the last of `count` marks.
fn marked_position(count: usize) -> u64 {
    (count as u64).saturating_sub(1) * STRIDE
}
