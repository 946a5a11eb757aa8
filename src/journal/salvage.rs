//! Reads what is left of a damaged journal: every line whose checksum is right, wherever it is.

use std::io;

use super::format::{LifeNote, is_note, read_line};
use super::scan::MAX_LINE_BYTES;
use super::storage::Storage;
use crate::source::Source;
use crate::transaction::Record;

/// How many bytes are read at once, and how many if a read fails.
const CHUNK_BYTES: usize = 1 << 20;
const PIECE_BYTES: usize = 4096;

/// How many damaged places are listed; others are only counted.
const PLACES: usize = 10;

/// What the object of every transaction begins with.
const TRANSACTION: &[u8] = b"{\"Source\":";

/// What was found besides the transactions.
#[derive(Debug, Default)]
pub struct Remains {
    /// The lives in the notes.
    pub lives: Vec<Source>,
    /// The offsets of the first damaged lines.
    pub damaged: Vec<u64>,
    /// How many lines are damaged.
    pub damaged_count: u64,
}

/// Shows `visit` each transaction that can be read, in the order of the file, and none for each damaged line.
///
/// # Errors
/// If the file's length cannot be read. What cannot be read otherwise counts as damaged.
pub fn salvage(
    storage: &dyn Storage,
    visit: &mut dyn FnMut(Option<Record>),
) -> io::Result<Remains> {
    let length = storage.length()?;
    let mut salvage = Salvage { remains: Remains::default(), visit, line: Vec::new(), begin: 0 };
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut offset, mut size) = (0, CHUNK_BYTES);
    while offset < length {
        match storage.read_at(&mut chunk[..size], offset) {
            Ok(0) => break,
            Ok(read) => {
                salvage.read(&chunk[..read], offset);
                offset += read as u64;
            }
            Err(_) if size > PIECE_BYTES => {
                size = PIECE_BYTES;
                continue;
            }
            Err(_) => {
                // A NUL byte: no good line goes on over this gap.
                salvage.line.push(0);
                salvage.end(offset);
                offset += PIECE_BYTES as u64;
            }
        }
        if offset.is_multiple_of(CHUNK_BYTES as u64) {
            size = CHUNK_BYTES;
        }
    }
    salvage.end(offset);
    Ok(salvage.remains)
}

struct Salvage<'a> {
    remains: Remains,
    visit: &'a mut dyn FnMut(Option<Record>),
    /// The line that is being read, and where it begins.
    line: Vec<u8>,
    begin: u64,
}

impl Salvage<'_> {
    fn read(&mut self, bytes: &[u8], offset: u64) {
        let mut at = 0;
        for stop in memchr::memchr2_iter(b'\n', 0, bytes) {
            self.line.extend_from_slice(&bytes[at..stop]);
            at = stop + 1;
            self.end(offset + at as u64);
        }
        self.line.extend_from_slice(&bytes[at..]);
        if self.line.len() > 2 * MAX_LINE_BYTES {
            self.end(offset + bytes.len() as u64);
        }
    }

    /// Ends the line; the next one begins at `next`.
    fn end(&mut self, next: u64) {
        let line = std::mem::take(&mut self.line);
        let begin = std::mem::replace(&mut self.begin, next);
        if line.is_empty() || self.take(&line) {
            return;
        }
        if self.remains.damaged.len() < PLACES {
            self.remains.damaged.push(begin);
        }
        self.remains.damaged_count += 1;
        (self.visit)(None);
        // If only a line feed is damaged, or something was inserted, there are good lines in it.
        let mut starts = memchr::memmem::find_iter(&line, TRANSACTION).peekable();
        while let Some(start) = starts.next() {
            let line = &line[start..starts.peek().copied().unwrap_or(line.len())];
            if let Some(quote) = memchr::memrchr(b'"', line) {
                self.take(&line[..=quote]);
            }
        }
    }

    /// Takes a line, if it is good. Returns whether it is.
    fn take(&mut self, line: &[u8]) -> bool {
        let Ok(line) = read_line(line) else { return false };
        if is_note(line.object) {
            self.remains.lives.extend(LifeNote::read(line.object).ok());
            return true;
        }
        match Record::read(line.object) {
            Ok(Some(record)) => {
                (self.visit)(Some(record));
                true
            }
            _ => false,
        }
    }
}
