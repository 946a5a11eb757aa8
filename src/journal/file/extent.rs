//! Reads a journal to its end, from the last mark or from its beginning.

use std::fmt;
use std::io;

use crate::journal::format::{FIRST_BYTE, Header, LifeNote, is_note};
use crate::journal::index::Ids;
use crate::journal::reader::{FileReader, Mark};
use crate::journal::scan::{Damage, DamageCause, JournalEnd, Scanner};
use crate::journal::segments::Segments;
use crate::journal::storage::Storage;
use crate::source::Source;
use crate::transaction::Transaction;

/// Why a journal cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be read or written.
    Io(io::Error),
    /// It is damaged.
    Damaged(Damage),
    /// Its first line is not a header that this program knows; in words.
    Header(String),
    /// The line at this offset has the right checksum but is no transaction; in words.
    Line(u64, String),
    /// The error is in the file of this name.
    Within(String, Box<OpenError>),
}

impl OpenError {
    /// The same error, in the file of this name.
    pub fn within(self, name: &str) -> Self {
        match self {
            Self::Within(..) => self,
            _ => Self::Within(name.to_owned(), Box::new(self)),
        }
    }

    /// The name of the file, if it is known, and the error in it.
    pub fn parts(&self) -> (Option<&str>, &Self) {
        match self {
            Self::Within(name, error) => (Some(name), error),
            _ => (None, self),
        }
    }
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

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Gets the transactions of each batch, and how much of the journal has been read, from 0 to 1.
pub type Visit<'a> = dyn FnMut(f64, Vec<Transaction>) -> Result<(), OpenError> + 'a;

/// Reads a file's header, and returns also where the first line after it begins.
///
/// # Errors
/// If it has no valid header.
pub fn read_header(storage: &dyn Storage) -> Result<(Header, Mark), OpenError> {
    let mut scanner = Scanner::new(storage, 0, 0);
    let header = match scanner.next()? {
        Ok(batch) => match batch.objects[..] {
            [(_, object)] => Header::read(object).map_err(OpenError::Header)?,
            _ => return Err(OpenError::Header("there is more than one header".into())),
        },
        Err(JournalEnd::Damaged(damage)) => return Err(OpenError::Damaged(damage)),
        Err(_) => return Err(OpenError::Header("there is no whole header".into())),
    };
    if scanner.unterminated() {
        return Err(OpenError::Header("the header does not end with a line feed".into()));
    }
    Ok((header, Mark { offset: scanner.offset(), batch: scanner.next_batch(), line: 1 }))
}

/// What is known of a journal that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The offset of the last complete batch, or of the part of that which was read.
    pub last: u64,
    /// The offset after the last complete batch, with its line feed.
    pub end: u64,
    /// The number of the batch that comes next.
    pub next_batch: u64,
    /// How many records there are.
    pub length: u64,
    /// The lives in the notes that were read, the newest last.
    pub lives: Vec<Source>,
    /// Whether a torn batch follows.
    pub torn: bool,
}

impl Extent {
    /// The text of the last complete batch, and whether it was mended: its first byte and its last line feed
    /// may be missing in the file.
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

/// Reads the records from the reader's last mark on, or all if it has none, and shows them to `visit`. The
/// reader gets the marks of these records.
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
                        lives.push(LifeNote::read(object).map_err(wrong)?);
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
            Err(JournalEnd::Damaged(damage)) => return Err(OpenError::Damaged(damage)),
            Err(end @ (JournalEnd::Clean | JournalEnd::Torn)) => {
                let extent = Extent {
                    last,
                    end: scanner.offset(),
                    next_batch: scanner.next_batch(),
                    length: position,
                    lives,
                    torn: end == JournalEnd::Torn,
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
    /// Checks that nothing is missing before the last file: only the end of a journal may be incomplete.
    pub fn check_end(&self, storage: &Segments) -> Result<(), OpenError> {
        let last_file = storage.last().first.offset;
        let damaged = |offset, why| Err(OpenError::Damaged(Damage { offset, why }));
        if self.end < last_file {
            return damaged(self.end, DamageCause::Missing);
        }
        if self.last < last_file && self.last < self.end && self.last_batch(storage)?.1 {
            return damaged(self.last, DamageCause::LineFeed);
        }
        Ok(())
    }
}
