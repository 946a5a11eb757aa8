//! Reads a journal's text back, batch by batch, and tells a torn end from damage.

use std::fmt;
use std::io;

use super::format::{LineError, MAX_SEAL_BYTES, SECTOR_BYTES, read_line};
use super::storage::Storage;
use crate::transaction::MAX_ENCODED_BYTES;

/// How many bytes are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The longest line. What is longer without a line feed is no line.
const MAX_LINE_BYTES: usize = MAX_ENCODED_BYTES + MAX_SEAL_BYTES;

/// A complete batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Its number.
    pub number: u64,
    /// The offset after it.
    pub end: u64,
    /// Its objects, each with the offset of its line.
    pub objects: Vec<(u64, &'a str)>,
}

/// What is after the last complete batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing, or reserved space.
    Clean,
    /// A batch that a crash kept from becoming durable.
    Torn,
    /// Something that was changed after it was written.
    Damaged(Damage),
}

/// Where a journal is damaged, and how it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The offset of the line that is wrong.
    pub offset: u64,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is none.
    Line(LineError),
    /// It is in a place where another one belongs.
    Sequence {
        /// The batch and the number of lines left that it should have; none of the latter where it
        /// should be the first of its batch.
        expected: (u64, Option<u64>),
        /// Those it has.
        found: (u64, u64),
    },
    /// The batch is complete but for its last line feed.
    LineFeed,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: ", self.offset)?;
        match &self.why {
            Why::Line(error) => error.fmt(f),
            Why::LineFeed => f.write_str("the line does not end with a line feed"),
            Why::Sequence { expected: (batch, None), found } => {
                write!(f, "a line of batch {} where batch {batch} should begin", found.0)
            }
            Why::Sequence { expected: (batch, Some(left)), found } => write!(
                f,
                "a line of batch {} with {} left, where batch {batch} goes on with {left} left",
                found.0, found.1
            ),
        }
    }
}

/// Reads batches from an offset on.
pub struct Scanner<'a> {
    storage: &'a dyn Storage,
    /// What was read, from the offset `start` on.
    buffer: Vec<u8>,
    start: u64,
    /// How much of the buffer the batches take that were given.
    given: usize,
    /// The batch that comes next.
    batch: u64,
    /// Whether the last batch is all there but for its line feed, which was put into the buffer.
    unterminated: bool,
}

/// What became of reading a batch's lines.
enum Lines {
    /// All of them, each with where it is in the buffer and the length of its object; and where the
    /// batch ends.
    Complete(Vec<(usize, usize)>, usize),
    /// A whole line that does not belong here.
    Wrong { at: usize, why: Why },
    /// A line that a NUL byte or the end of the file cuts off; `left` is that of a right one.
    CutOff { at: usize, left: Option<u64> },
}

impl<'a> Scanner<'a> {
    /// Begins at `offset`, with a line of batch `batch`. It need not be the batch's first.
    pub fn new(storage: &'a dyn Storage, offset: u64, batch: u64) -> Self {
        Self { storage, buffer: Vec::new(), start: offset, given: 0, batch, unterminated: false }
    }

    /// The offset after the last complete batch.
    pub fn offset(&self) -> u64 {
        self.start + self.given as u64
    }

    /// The number of the batch that comes next.
    pub fn next_batch(&self) -> u64 {
        self.batch
    }

    /// Whether the last batch is all there but for its line feed. It counts as complete.
    pub fn unterminated(&self) -> bool {
        self.unterminated
    }

    /// The next batch, or what there is instead of one.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next(&mut self) -> io::Result<Result<Batch<'_>, End>> {
        if self.unterminated {
            return Ok(Err(End::Clean));
        }
        let mut lines = self.lines()?;
        if let Lines::CutOff { at, left } = lines {
            match self.judge(at, left)? {
                Some(end) => return Ok(Err(end)),
                None => {
                    self.unterminated = true;
                    lines = self.lines()?;
                }
            }
        }
        match lines {
            Lines::Complete(lines, end) => {
                self.given = end;
                let number = self.batch;
                self.batch += 1;
                let object = |(at, length): (usize, usize)| {
                    let object = std::str::from_utf8(&self.buffer[at..at + length]);
                    (self.start + at as u64, object.expect("the line was read as text before"))
                };
                let objects = lines.into_iter().map(object).collect();
                Ok(Ok(Batch { number, end: self.offset(), objects }))
            }
            Lines::Wrong { at, why } => {
                Ok(Err(End::Damaged(Damage { offset: self.start + at as u64, why })))
            }
            Lines::CutOff { at, .. } => unreachable!("the line at {at} now has its line feed"),
        }
    }

    fn lines(&mut self) -> io::Result<Lines> {
        self.make_room();
        let mut lines: Vec<(usize, usize)> = Vec::new();
        let mut at = self.given;
        let mut expected_left = None;
        loop {
            let length = match self.line_length(at)? {
                Some(length) if length <= MAX_LINE_BYTES => length,
                Some(_) => {
                    return Ok(Lines::Wrong { at, why: Why::Line(LineError::Unsealed) });
                }
                None => return Ok(Lines::CutOff { at, left: expected_left }),
            };
            let line = match read_line(&self.buffer[at..at + length]) {
                Ok(line) => line,
                Err(error) => return Ok(Lines::Wrong { at, why: Why::Line(error) }),
            };
            if line.batch != self.batch || expected_left.is_some_and(|left| left != line.left) {
                let expected = (self.batch, expected_left);
                let why = Why::Sequence { expected, found: (line.batch, line.left) };
                return Ok(Lines::Wrong { at, why });
            }
            expected_left = line.left.checked_sub(1);
            lines.push((at, line.object.len()));
            at += length + 1;
            if expected_left.is_none() {
                return Ok(Lines::Complete(lines, at));
            }
        }
    }

    /// The length of the line at `at` in the buffer, without its line feed; none where a NUL byte or
    /// the end of the file comes first. Of a line that is too long, a length that is.
    fn line_length(&mut self, at: usize) -> io::Result<Option<usize>> {
        let mut searched = at;
        loop {
            let is_stop = |byte: &u8| *byte == b'\n' || *byte == 0;
            if let Some(found) = self.buffer[searched..].iter().position(is_stop) {
                let stop = searched + found;
                return Ok((self.buffer[stop] == b'\n').then_some(stop - at));
            }
            searched = self.buffer.len();
            if searched - at > MAX_LINE_BYTES {
                return Ok(Some(searched - at));
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Forgets what was given, where that is most of the buffer.
    fn make_room(&mut self) {
        if self.given > self.buffer.len() / 2 {
            self.buffer.drain(..self.given);
            self.start += self.given as u64;
            self.given = 0;
        }
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK_BYTES, 0);
        let read = self.storage.read_at(&mut self.buffer[length..], self.start + length as u64)?;
        self.buffer.truncate(length + read);
        Ok(read > 0)
    }

    /// Whether what is cut off at `at` is the end, torn, or damaged: see the format. None where nothing
    /// but the last line feed is missing, which then is put into the buffer.
    fn judge(&mut self, at: usize, left: Option<u64>) -> io::Result<Option<End>> {
        let stop = self.buffer[at..].iter().position(|byte| *byte == 0);
        let line = &self.buffer[at..stop.map_or(self.buffer.len(), |stop| at + stop)];
        let (offset, cut) = (self.start + at as u64, self.start + (at + line.len()) as u64);
        let lines_left = |line: &[u8]| {
            let line = read_line(line).ok().filter(|line| line.batch == self.batch)?;
            left.is_none_or(|left| left == line.left).then_some(line.left)
        };
        let is_last = lines_left(line) == Some(0);
        let lacks_line_feed = line.split_last().is_some_and(|(_, line)| lines_left(line).is_some());
        let end = at + line.len();
        let rest = Rest::read(self.storage, cut, self.batch)?;
        let damaged = |why| Ok(Some(End::Damaged(Damage { offset, why })));
        let is_edge = |offset: u64| offset.is_multiple_of(SECTOR_BYTES);
        if let Some(hole_end) = rest.data_start {
            // Something comes after the NUL bytes: sectors are missing, or a byte was changed. One byte
            // is never a hole: it would be too easily taken for one.
            let is_hole = (is_edge(cut) || cut == self.offset())
                && is_edge(hole_end)
                && hole_end - cut > 1
                && !rest.has_later_batch;
            return if is_hole {
                Ok(Some(End::Torn))
            } else {
                damaged(Why::Line(LineError::Unsealed))
            };
        }
        if cut == self.offset() {
            return Ok(Some(End::Clean));
        }
        if is_last {
            self.buffer.truncate(end);
            self.buffer.push(b'\n');
            return Ok(None);
        }
        if lacks_line_feed {
            return damaged(Why::LineFeed);
        }
        // Writing stopped here: where the file ends, or between two sectors.
        if cut == rest.file_end || is_edge(cut) {
            return Ok(Some(End::Torn));
        }
        damaged(Why::Line(LineError::Unsealed))
    }
}

/// What there is from a cut on, where NUL bytes begin or the file ends.
struct Rest {
    /// The offset of the first byte that is not NUL.
    data_start: Option<u64>,
    file_end: u64,
    /// Whether there is a line of a later batch than the one that is cut off.
    has_later_batch: bool,
}

impl Rest {
    fn read(storage: &dyn Storage, cut: u64, batch: u64) -> io::Result<Self> {
        let mut rest = Self { data_start: None, file_end: cut, has_later_batch: false };
        let mut line: Vec<u8> = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = storage.read_at(&mut chunk, rest.file_end)?;
            if read == 0 || rest.has_later_batch {
                return Ok(rest);
            }
            for byte in &chunk[..read] {
                if *byte != 0 {
                    rest.data_start.get_or_insert(rest.file_end);
                }
                rest.file_end += 1;
                if *byte == b'\n' {
                    rest.has_later_batch |= read_line(&line).is_ok_and(|line| line.batch > batch);
                    line.clear();
                } else if line.len() <= MAX_LINE_BYTES {
                    line.push(*byte);
                }
            }
        }
    }
}
