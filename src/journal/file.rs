//! A journal in files.
//!
//! Invariants: the text is a header and complete batches up to `end`, and NUL bytes from there on. All
//! that readers are shown is durable. What is appended goes to the last file; if that is long, another one is
//! begun first.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::format::{
    Begin, FIRST_BYTE, Header, Life, NOTES_VERSION, SEGMENTS_VERSION, Seal, is_note, push_life,
    push_line,
};
use super::index::Ids;
use super::reader::{FileReader, Mark, STRIDE, Shared};
use super::scan::{Damage, End, Scanner, Why};
use super::segments::{NotAdded, Segments};
use super::storage::Storage;
use crate::source::Source;
use crate::transaction::{Record, Transaction};

/// By how much the file is lengthened ahead of what is written, in bytes: a sync that need not change
/// the file's length is faster.
const RESERVE_BYTES: u64 = 1 << 20;

/// How long a file is, at the least, before the next one is begun; and how small a share of all of the journal
/// it is at the most, so that a journal of which nothing is ever dropped has not too many files: hundreds.
const SEGMENT_BYTES: u64 = 8 << 20;
const SEGMENT_SHARE: u64 = 64;

/// How many bytes are appended, after a file could not be begun, before it is tried again.
const RETRY_BYTES: u64 = 1 << 20;

/// The files as the one who appends holds them.
pub struct FileJournal {
    storage: Segments,
    /// That of the last file.
    header: Header,
    /// Where that begins.
    begin: u64,
    /// No other file is begun before this offset.
    roll_after: u64,
    /// The offset after the last complete batch.
    end: u64,
    /// The offset after the space that is reserved.
    reserved: u64,
    /// The number of the batch that comes next.
    next_batch: u64,
    /// How long it took to write and to sync the last batch.
    last_append: Duration,
    shared: Arc<Shared>,
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
    /// That is so in the file of this name.
    Within(String, Box<OpenError>),
}

impl OpenError {
    /// The same, in the file of this name.
    pub(super) fn within(self, name: &str) -> Self {
        match self {
            Self::Within(..) => self,
            _ => Self::Within(name.to_owned(), Box::new(self)),
        }
    }

    /// In which file it is, if it says so, and what is wrong there.
    pub fn parts(&self) -> (Option<&str>, &Self) {
        match self {
            Self::Within(name, error) => (Some(name), error),
            _ => (None, self),
        }
    }
}

/// Why a batch is not appended.
#[derive(Debug)]
pub enum AppendError {
    /// There is no room. The file is what it was.
    Full(io::Error),
    /// The file is not where it was, or not all there: what is appended would be lost. Nothing was
    /// written.
    Lost(io::Error),
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
            Self::Within(_, error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(error) | Self::Lost(error) | Self::Broken(error) => error.fmt(f),
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

/// Reads a file's header, and says where in it the first record's line begins.
///
/// # Errors
/// If it is none.
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
    Ok((header, Mark { offset: scanner.offset(), batch: scanner.next_batch(), line: 1 }))
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
    /// The lives that are noted in what was read, the newest last.
    pub lives: Vec<Source>,
    /// Whether a torn batch follows.
    pub torn: bool,
}

impl Extent {
    /// The text of the last complete batch, and whether it is not as the file has it: the first byte
    /// and the last line feed may be missing there.
    ///
    /// # Errors
    /// If it cannot be read.
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

/// Reads the records from the last of the reader's marks on, and shows them to `visit`; all if it has no
/// marks. The reader gets the marks of what is read.
///
/// # Errors
/// If the journal is damaged or cannot be read.
pub fn read_through(reader: &FileReader, visit: &mut Visit) -> Result<Extent, OpenError> {
    read_on(reader, visit).map_err(|error| reader.storage.located(error))
}

fn read_on(reader: &FileReader, visit: &mut Visit) -> Result<Extent, OpenError> {
    let storage = &reader.storage;
    let text_begin = storage.begin_offset();
    let text_length = (storage.length()? - text_begin).max(1);
    let files = storage.each();
    let (mut position, mark) = reader.last_mark();
    let mut scanner = Scanner::resume(storage, mark);
    let mut others = files.iter().filter(|file| file.first.offset > mark.offset).peekable();
    let mut last = scanner.offset();
    let mut lives = Vec::new();
    loop {
        let offset = scanner.offset();
        if let Some(file) = others.next_if(|file| file.first.offset <= offset)
            && (file.first.offset, file.position()) != (offset, position)
        {
            let why = format!(
                "it says that it goes on at position {}, offset {}, and the journal before it ends at \
                 position {position}, offset {offset}",
                file.position(),
                file.first.offset
            );
            return Err(OpenError::Header(why).within(&file.storage.name()));
        }
        match scanner.next()? {
            Ok(batch) => {
                last = offset;
                let mut transactions = Vec::with_capacity(batch.objects.len());
                for (line, (offset, object)) in (batch.first_line..).zip(batch.objects) {
                    let wrong = |why| OpenError::Line(offset, why);
                    if is_note(object) {
                        lives.push(Life::read(object).map_err(wrong)?);
                        continue;
                    }
                    let at = position + transactions.len() as u64;
                    let transaction = Transaction::decode(object.as_bytes())
                        .map_err(|error| wrong(error.to_string()))?;
                    if transaction.time.is_none() {
                        return Err(wrong("the transaction has no Time".into()));
                    }
                    let mark = Mark { offset, batch: batch.number, line };
                    reader.pass(at, mark, Ids::from(&transaction));
                    transactions.push(transaction);
                }
                position += transactions.len() as u64;
                visit((batch.end - text_begin) as f64 / text_length as f64, transactions)?;
            }
            Err(End::Damaged(damage)) => return Err(OpenError::Damaged(damage)),
            Err(end @ (End::Clean | End::Torn)) => {
                let extent = Extent {
                    last,
                    end: scanner.offset(),
                    next_batch: scanner.next_batch(),
                    length: position,
                    lives,
                    torn: end == End::Torn,
                };
                extent.check_end(storage)?;
                if let Some(newest) = extent.lives.last() {
                    reader.note_life(newest.clone());
                }
                return Ok(extent);
            }
        }
    }
}

impl Extent {
    /// Checks that what only the end of a journal may lack is not missing before its last file.
    fn check_end(&self, storage: &Segments) -> Result<(), OpenError> {
        let last_file = storage.last().first.offset;
        let damaged = |offset, why| Err(OpenError::Damaged(Damage { offset, why }));
        if self.end < last_file {
            return damaged(self.end, Why::Missing);
        }
        if self.last < last_file && self.last < self.end && self.last_batch(storage)?.1 {
            return damaged(self.last, Why::LineFeed);
        }
        Ok(())
    }
}

impl FileJournal {
    /// Makes an empty file a journal, durably.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(storage: &dyn Storage, header: &Header) -> io::Result<()> {
        storage.write_at(&header.line(), 0)?;
        storage.sync()
    }

    /// Opens a journal that [`read_through`] has found to be good, and cuts off what is torn.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(extent: &Extent, reader: FileReader) -> Result<Self, OpenError> {
        let storage = reader.storage.clone();
        let last_file = storage.last();
        let begin = last_file.first.offset;
        // What is torn must never be found between what is written later.
        if storage.length()? > extent.end {
            storage.set_length(extent.end)?;
        }
        // Who wrote the last batch may not have come to sync it, and if a sync has failed, the
        // system may take for durable what is not. So it is written once more before it is shown.
        // What is before the last file was durable before that was begun.
        if extent.last >= begin {
            let (text, is_mended) = extent.last_batch(&storage)?;
            match storage.write_at(&text, extent.last) {
                // A disk that is too full for that is no reason not to start.
                Err(error) if is_full(&error) && !is_mended => (),
                written => written?,
            }
        }
        storage.sync()?;
        reader.reach(extent.length);
        reader.shared.lock().end = extent.end;
        Ok(Self {
            storage,
            header: last_file.header.clone(),
            begin,
            roll_after: begin,
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
    /// If it is not appended.
    pub fn append(&mut self, batch: &[Record]) -> Result<(), AppendError> {
        self.roll_where_due()?;
        let mut text = Vec::with_capacity(batch.iter().map(|record| record.line.len() + 64).sum());
        let mut marks = Vec::new();
        let first = self.shared.lock().length;
        for (count, record) in batch.iter().enumerate() {
            let line = count as u64 + 1;
            if (first + count as u64).is_multiple_of(STRIDE) {
                let offset = self.end + text.len() as u64;
                marks.push(Mark { offset, batch: self.next_batch, line });
            }
            let seal = Seal { batch: self.next_batch, line, lines: batch.len() as u64 };
            push_line(&mut text, &record.line, seal);
        }
        self.write_batch(&text, batch.iter().any(Record::needs_version_2))?;
        self.shared.lock().extend(batch, marks);
        Ok(())
    }

    /// Notes, durably, that the journal goes on under a new life. Waits for the disk.
    ///
    /// # Errors
    /// If it is not noted.
    pub fn begin_life(&mut self, life: &Source) -> Result<(), AppendError> {
        let mut text = Vec::new();
        push_life(&mut text, life, self.next_batch);
        self.write_batch(&text, true)?;
        self.reader().note_life(life.clone());
        Ok(())
    }

    /// Begins another file if the last one is long. If that cannot be made now, the last one grows.
    fn roll_where_due(&mut self) -> Result<(), AppendError> {
        let all = self.end - self.storage.begin_offset();
        let due = self.begin + SEGMENT_BYTES.max(all / SEGMENT_SHARE);
        if self.end < due.max(self.roll_after) || !self.storage.can_grow() {
            return Ok(());
        }
        match self.roll() {
            Err(AppendError::Full(error)) => {
                log::warn!("{}: no other file can be begun yet: {error}", self.storage.name());
                self.roll_after = self.end + RETRY_BYTES;
                Ok(())
            }
            rolled => rolled,
        }
    }

    /// Has the journal go on in another file, so that what is before can be dropped, unless the last file has
    /// no record yet. Waits for the disk.
    ///
    /// # Errors
    /// If it does not go on in another file.
    pub fn roll(&mut self) -> Result<(), AppendError> {
        let reader = self.reader();
        let position = reader.length();
        let after = self.header.position();
        if position == after {
            return Ok(());
        }
        reader.check_place(self.end).map_err(AppendError::Lost)?;
        // Older programs do not look for other files.
        self.raise_version(SEGMENTS_VERSION)?;
        let begin = Begin { position, batch: self.next_batch, offset: self.end, after };
        let header = self.header.next(reader.life(), begin);
        let last = self.storage.last();
        self.storage.add(header.clone()).map_err(|error| match error {
            NotAdded::Absent(error) => AppendError::Full(error),
            NotAdded::Unknown(error) => AppendError::Broken(error),
        })?;
        (self.header, self.begin, self.reserved) = (header, self.end, self.end);
        // The last file's reserve is given back; if that cannot be done, it stays, and nobody reads it.
        last.cut(self.end).ok();
        Ok(())
    }

    /// Drops the files, but for the last one, all of whose records are before `position`, and says where the
    /// journal begins then. Waits for the disk.
    ///
    /// # Errors
    /// If one cannot be removed: nobody reads it any more, and the next call tries again.
    pub fn drop_before(&mut self, position: u64) -> io::Result<u64> {
        let removed = self.storage.drop_before(position);
        let (begin, offset) = (self.storage.begin(), self.storage.begin_offset());
        self.shared.lock().drop_before(begin, offset);
        removed.map(|()| begin)
    }

    /// Appends the text of the next batch, durably. If it `is_new`, older programs do not know what
    /// it has.
    fn write_batch(&mut self, text: &[u8], is_new: bool) -> Result<(), AppendError> {
        self.reader().check_place(self.end).map_err(AppendError::Lost)?;
        let end = self.end + text.len() as u64;
        let begin = Instant::now();
        if is_new {
            self.raise_version(NOTES_VERSION)?;
        }
        self.write(text, end)?;
        self.storage.sync().map_err(AppendError::Broken)?;
        self.last_append = begin.elapsed();
        self.end = end;
        self.shared.lock().end = end;
        self.next_batch += 1;
        Ok(())
    }

    /// Has the header say the version `to`, durably, before the first line that needs it is written. The
    /// header is as long as before and in one sector, so it is written whole or not at all; it is that of the
    /// journal's first file, since all others say the newest version.
    fn raise_version(&mut self, to: u32) -> Result<(), AppendError> {
        let Some(header) = self.header.raised(to) else { return Ok(()) };
        match self.storage.write_at(&header.line(), 0) {
            Err(error) if is_full(&error) => return Err(AppendError::Full(error)),
            written => written.map_err(AppendError::Broken)?,
        }
        self.storage.sync().map_err(AppendError::Broken)?;
        self.header = header;
        Ok(())
    }

    fn write(&mut self, text: &[u8], end: u64) -> Result<(), AppendError> {
        if end > self.reserved {
            let reserved = end.next_multiple_of(RESERVE_BYTES);
            // NUL bytes that are written, and not only counted in the file's length, are what makes
            // the syncs to come faster. If there is no room for them, there may be for the batch.
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
    /// If that cannot be done; what was appended is durable all the same.
    pub fn close(&mut self) -> io::Result<()> {
        self.storage.set_length(self.end)
    }
}

/// Whether there is no room: on the disk, in the quota, or for a file of that length.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | WriteZero)
}
