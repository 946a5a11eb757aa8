//! The lines of a journal one after the other, each checked.

use std::ops::Range;

use super::{FileReader, Mark};
use crate::journal::format::{LineError, is_note, read_line};
use crate::journal::scan::{Damage, DamageCause, Expected, MAX_LINE_BYTES};
use crate::journal::storage::Storage;

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads lines, from one of them on.
pub struct StoredLines<'a> {
    reader: &'a FileReader,
    /// What was read, from the offset `start` on.
    buffer: Vec<u8>,
    start: u64,
    /// How much of the buffer was returned.
    at: usize,
    /// The target of each read.
    chunk: Box<[u8]>,
    /// The line that comes next, and the position of the next record.
    expected: Expected,
    pub position: u64,
    /// How many records there were when reading began.
    pub length: u64,
}

/// A record's line.
pub struct StoredLine {
    pub position: u64,
    pub offset: u64,
    /// Where its object is in the buffer, until the next line is read.
    object: Range<usize>,
}

impl<'a> StoredLines<'a> {
    /// Begins at the mark of the record at `position`.
    pub fn new(reader: &'a FileReader, mark: Mark, position: u64) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: mark.offset,
            at: 0,
            chunk: vec![0; CHUNK_BYTES].into(),
            expected: mark.expected(),
            position,
            length: reader.length(),
        }
    }

    pub fn object(&self, line: &StoredLine) -> &str {
        let object = &self.buffer[line.object.clone()];
        std::str::from_utf8(object).expect("the line was read as text before")
    }

    /// The offset of the next line.
    pub fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The next record's line; none after the last.
    pub fn next(&mut self) -> Result<Option<StoredLine>, Damage> {
        if self.position >= self.length {
            return Ok(None);
        }
        loop {
            let offset = self.offset();
            let damaged = |why| Damage { offset, why };
            let length = self.line_length()?;
            let (begin, end) = (self.at, self.at + length);
            self.at = end + 1;
            let line = read_line(&self.buffer[begin..end])
                .map_err(|error| damaged(DamageCause::Line(error)))?;
            if !self.expected.is(line.seal) {
                let (expected, found) = (self.expected, line.seal);
                return Err(damaged(DamageCause::Sequence { expected, found }));
            }
            let seal = line.seal;
            self.expected = seal.next().map_or(Expected::First(seal.batch + 1), Expected::Line);
            if is_note(line.object) {
                continue;
            }
            let position = self.position;
            self.position += 1;
            let object = begin..begin + line.object.len();
            return Ok(Some(StoredLine { position, offset, object }));
        }
    }

    /// The length of the next line, without its line feed.
    fn line_length(&mut self) -> Result<usize, Damage> {
        let mut searched = self.at;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[searched..]) {
                return Ok(searched + found - self.at);
            }
            let offset = self.offset();
            let damaged = |why| Damage { offset, why };
            if self.buffer.len() - self.at > MAX_LINE_BYTES {
                return Err(damaged(DamageCause::Line(LineError::Unsealed)));
            }
            self.buffer.drain(..self.at);
            self.start += self.at as u64;
            self.at = 0;
            searched = self.buffer.len();
            let from = self.start + self.buffer.len() as u64;
            let read = self.reader.storage.read_at(&mut self.chunk, from);
            let read = read.map_err(|error| damaged(DamageCause::Unreadable(error.to_string())))?;
            if read == 0 {
                return Err(damaged(DamageCause::Missing));
            }
            self.buffer.extend_from_slice(&self.chunk[..read]);
        }
    }
}
